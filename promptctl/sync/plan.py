"""Step 2 of a sync: the plan, a pure function of the folder, the database, and what was applied last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record
from promptctl.rules.targeting import RouteGraph
from promptctl.sync.case_changes import case_changes, case_notes
from promptctl.sync.changes import CONFLICT, DATABASE_ONLY, HELD, NOTE, WHOLE_PROMPT, AppliedPrompt, Change, Plan
from promptctl.sync.serving_changes import (
    activation_changes,
    future_of_rollout,
    is_route_held,
    route_changes,
    stop_command,
    unnamed_rollout_changes,
)
from promptctl.sync.version_changes import version_changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.folder.prompt_files import FolderPrompt
    from promptctl.store.rollouts import Rollout
    from promptctl.store.syncs import StoredPrompt
    from promptctl.sync.changes import PlanOptions


class Input(Record):
    """What a plan is made from.

    `prompts` are the folder's prompts that may have changed; `unchanged` counts the others. `stored` is what the
    database has of them; its keys are the names there, which may differ from the folder's in case. `graph` has the
    prompts that routes lead to. `missing` has the prompts of this source that are no longer in the folder, with their
    active versions, and `missing_rollouts` their open rollouts.
    """

    source: str
    prompts: Sequence[FolderPrompt]
    stored: Mapping[str, StoredPrompt]
    graph: RouteGraph
    missing: Mapping[str, int | None]
    unchanged: int
    missing_rollouts: Mapping[str, Rollout]


def make(inputs: Input, options: PlanOptions) -> Plan:
    """Return the plan of a sync."""
    changes: list[Change] = []
    applied_prompts: list[AppliedPrompt] = []
    unchanged = inputs.unchanged
    graph = _graph_after_sync(inputs, options)
    stored_names = {name.lower(): name for name in inputs.stored}
    for prompt in inputs.prompts:
        stored_name = stored_names.get(prompt.name.lower(), prompt.name)
        if stored_name != prompt.name:
            message = f'differs from "{stored_name}" only in case'
            changes.append(Change(CONFLICT, prompt.name, WHOLE_PROMPT, message, hint=f"promptctl show {stored_name}"))
            continue
        stored = inputs.stored.get(prompt.name)
        prompt_changes = _prompt_changes(inputs.source, prompt, stored, options, graph)
        applied_source = stored.applied_source if stored is not None else None
        has_other_source = applied_source not in (None, inputs.source)
        if has_other_source and not options.adopt:
            is_conflict = options.will_apply or any(map(_needs_attention, prompt_changes))
            prompt_changes = [_other_source(prompt, applied_source, is_conflict=is_conflict)]
        else:
            # Nothing is recorded about an archived prompt, so that a sync after its restoration compares it again.
            if stored is None or not stored.is_archived:
                applied_prompts.append(_applied_prompt(prompt, stored, prompt_changes))
            if has_other_source:
                message = f"is taken over from another source, {applied_source}"
                prompt_changes.append(Change(NOTE, prompt.name, WHOLE_PROMPT, message))
        changes += prompt_changes
        if not prompt_changes:
            unchanged += 1
    for name, active in inputs.missing.items():
        if active is not None:
            message, hint = f"is no longer in the folder; version {active} stays active", None
            if (open_one := inputs.missing_rollouts.get(name)) is not None:
                future = future_of_rollout(open_one.rollout, open_one.candidate, open_one.state, open_one.basis_points)
                message, hint = f"{message}, and {future}", stop_command(name)
            changes.append(Change(DATABASE_ONLY, name, WHOLE_PROMPT, message, previous_version=active, hint=hint))
    return Plan(changes, applied_prompts, unchanged)


def _prompt_changes(
    source: str, prompt: FolderPrompt, stored: StoredPrompt | None, options: PlanOptions, graph: RouteGraph
) -> list[Change]:
    if stored is not None and stored.is_archived:
        return [_archived_prompt(prompt, stored)]
    changes = version_changes(source, prompt, stored, options)
    if prompt.active is not None:
        changes += activation_changes(prompt, prompt.active, stored, options)
    elif stored is not None:
        changes += unnamed_rollout_changes(prompt, stored)
    if prompt.route is not None:
        changes += route_changes(prompt, prompt.route, stored, options, graph)
    of_cases = case_changes(prompt, stored)
    return [*changes, *of_cases, *case_notes(prompt, stored, has_new_cases=bool(of_cases))]


def _archived_prompt(prompt: FolderPrompt, stored: StoredPrompt) -> Change:
    """Return a hold for an archived prompt, or a conflict if the folder has a new text for it."""
    # The hint begins with a sentence: a command alone would undo another person's decision.
    hint = (
        f"to keep it archived, remove {prompt.path} from Git; to use it again, ask the person who archived it, "
        f"then run: promptctl delete --undo {prompt.name}"
    )
    for file in prompt.versions:
        if file.number not in stored.versions:
            return Change(CONFLICT, prompt.name, WHOLE_PROMPT, f"is archived, and {file.path} is new", hint=hint)
    return Change(HELD, prompt.name, WHOLE_PROMPT, "is archived and stays archived", hold=stored.last_move, hint=hint)


def _graph_after_sync(inputs: Input, options: PlanOptions) -> RouteGraph:
    """Return the versions and the routes that the prompts will have once the folder is applied."""
    if not any(prompt.route for prompt in inputs.prompts):
        return inputs.graph
    versions, routes = dict(inputs.graph.versions), dict(inputs.graph.routes)
    for prompt in inputs.prompts:
        stored = inputs.stored.get(prompt.name)
        new = {file.number for file in prompt.versions if stored is None or file.number not in stored.versions}
        versions[prompt.name] = versions.get(prompt.name, frozenset()) | new
        if prompt.route is not None and not is_route_held(prompt.route, stored, options):
            routes[prompt.name] = prompt.route
    return RouteGraph(versions, routes)


def _other_source(prompt: FolderPrompt, source: str | None, *, is_conflict: bool) -> Change:
    message = f"comes from another source, {source}"
    if is_conflict:
        hint = f"rename the folder {prompt.path}; if the source was renamed, see --adopt in promptctl sync --help"
        return Change(CONFLICT, prompt.name, WHOLE_PROMPT, message, hint=hint)
    return Change(NOTE, prompt.name, WHOLE_PROMPT, f"{message}: this folder cannot be applied")


def _needs_attention(change: Change) -> bool:
    return change.kind not in (DATABASE_ONLY, NOTE)


def _applied_prompt(prompt: FolderPrompt, stored: StoredPrompt | None, changes: Sequence[Change]) -> AppliedPrompt:
    """Return what to record about a prompt. An active version or a route that is held keeps its earlier record.

    A version that is being rolled out is recorded even if it is held: after a failure of the rollout, it stays held.
    """
    active, route, digest = prompt.active, prompt.route, prompt.digest
    keeps_version = False
    if stored is not None:
        # A change tells what is held: with a file, metadata; with the number of a version, the active version; with
        # WHOLE_PROMPT, which is 0, the route.
        held_versions = [change.version for change in changes if change.kind == HELD and change.file is None]
        is_rolled_out = stored.open_rollout is not None and stored.open_rollout.candidate == prompt.active
        keeps_version = any(held_versions) and not is_rolled_out
        if keeps_version and stored.has_applied_version:
            active = stored.applied_version
        elif is_rolled_out and not stored.has_applied_version and stored.applied_version == active:
            # `record_applied` compares everything but `is_held`, and leaves an equal record as it is.
            digest = None
        if WHOLE_PROMPT in held_versions:
            route = stored.applied_route
    # The next sync skips a settled prompt if its files are unchanged. These kinds of changes are reported again at
    # every sync, a note only once.
    is_settled = not any(change.kind in (HELD, DATABASE_ONLY, CONFLICT) for change in changes)
    # The record of a version whose file is missing stays: the file may come back.
    numbers = {str(file.number) for file in prompt.versions}
    recorded = stored.applied_metadata if stored is not None else {}
    metadata = {number: keys for number, keys in recorded.items() if number not in numbers} | prompt.metadata
    return AppliedPrompt(prompt.name, active, route, metadata, digest, is_settled, keeps_version)
