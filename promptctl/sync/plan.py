"""Step 2 of a sync: the plan, a pure function of the folder, the database, and what was applied last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record
from promptctl.rules import shares, targeting, templates
from promptctl.rules.json_values import same
from promptctl.rules.targeting import RouteGraph
from promptctl.sync.changes import (
    ACTIVATE,
    CONFLICT,
    DATABASE_ONLY,
    DESCRIBE,
    HELD,
    NEW,
    NOTE,
    ROUTE,
    WRITING_KINDS,
    AppliedPrompt,
    Change,
    Plan,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion, FolderPrompt
    from promptctl.store.syncs import StoredPrompt, StoredVersion

    Route = list[dict[str, Any]]

# The command that resolves the conflict of an activation whose version needs a variable that the active one does not.
ALLOW_NEW_VARIABLES_COMMAND = "promptctl sync --allow-new-variables"


class Input(Record):
    """What a plan is made from.

    `prompts` are the folder's prompts that may have changed; `unchanged` counts the others. `stored` is what the
    database has of `prompts`, by the name in the database, which may differ in case. `graph` has the prompts that
    routes lead to. `missing` are the prompts of this source that are not in the folder any more, with their active
    versions.
    """

    source: str
    prompts: Sequence[FolderPrompt]
    stored: Mapping[str, StoredPrompt]
    graph: RouteGraph
    missing: Mapping[str, int | None]
    unchanged: int


class PlanOptions(Record):
    """What a plan may contain.

    `adopt`: take over prompts of another source, and versions that were activated outside of Git. With `will_apply`,
    a prompt of another source is always a conflict; in a preview it is one only if it has changes.
    """

    adopt: bool = False
    allow_new_variables: bool = False
    will_apply: bool = True


def make(inputs: Input, options: PlanOptions) -> Plan:
    """Return the plan."""
    changes: list[Change] = []
    applied_prompts: list[AppliedPrompt] = []
    unchanged = inputs.unchanged
    graph = _graph_after_sync(inputs, options)
    spellings = {name.lower(): name for name in inputs.stored}
    for prompt in inputs.prompts:
        spelling = spellings.get(prompt.name.lower(), prompt.name)
        if spelling != prompt.name:
            message = f'differs from "{spelling}" only in case'
            changes.append(Change(CONFLICT, prompt.name, 0, message, hint=f"promptctl show {spelling}"))
            continue
        stored = inputs.stored.get(prompt.name)
        prompt_changes = _prompt_changes(inputs.source, prompt, stored, options, graph)
        other_source = stored.applied_source if stored is not None else None
        if other_source not in (None, inputs.source) and not options.adopt:
            is_conflict = options.will_apply or any(map(_needs_attention, prompt_changes))
            prompt_changes = [_other_source(prompt, other_source, is_conflict=is_conflict)]
        else:
            # Nothing is recorded about an archived prompt: the folder's changes count once it is restored.
            if stored is None or not stored.is_archived:
                applied_prompts.append(_applied_prompt(prompt, stored, prompt_changes))
            if other_source not in (None, inputs.source):
                message = f"is taken over from another source, {other_source}"
                prompt_changes.append(Change(NOTE, prompt.name, 0, message))
        changes += prompt_changes
        unchanged += not prompt_changes
    for name, active in inputs.missing.items():
        if active is not None:
            message = f"is no longer in the folder; version {active} stays active"
            changes.append(Change(DATABASE_ONLY, name, 0, message, previous_version=active))
    return Plan(changes, applied_prompts, unchanged)


def _prompt_changes(
    source: str, prompt: FolderPrompt, stored: StoredPrompt | None, options: PlanOptions, graph: RouteGraph
) -> list[Change]:
    if stored is not None and stored.is_archived:
        return [_archived_prompt(prompt, stored)]
    changes: list[Change] = []
    free_number = max(stored.next_version if stored else 1, *(file.number + 1 for file in prompt.versions), 1)
    for file in prompt.versions:
        file_changes = _file_changes(prompt, file, stored, options, free_number)
        # Each edited file gets a free number of its own.
        free_number += any(change.kind == CONFLICT for change in file_changes)
        changes += file_changes
    if stored is not None:
        numbers = {file.number for file in prompt.versions}
        changes += [
            Change(DATABASE_ONLY, prompt.name, number, f"only in the database, created by {version.created_by}")
            for number, version in sorted(stored.versions.items())
            if number not in numbers and not version.is_archived and version.source != source
        ]
    if prompt.active is not None:
        changes += _activation(prompt, prompt.active, stored, options)
    if prompt.route is not None:
        changes += _route_change(prompt, prompt.route, stored, options, graph)
    return changes


def _archived_prompt(prompt: FolderPrompt, stored: StoredPrompt) -> Change:
    """Hold back the changes of an archived prompt; a new text for it is a conflict."""
    # A sentence first: the command alone would undo another person's move.
    hint = (
        f"to keep it archived, remove {prompt.path} from Git; to use it again, ask the person who archived it, "
        f"then run: promptctl delete --undo {prompt.name}"
    )
    for file in prompt.versions:
        if file.number not in stored.versions:
            return Change(CONFLICT, prompt.name, 0, f"is archived, and {file.path} is new", hint=hint)
    return Change(HELD, prompt.name, 0, "is archived and stays archived", hold=stored.last_move, hint=hint)


def _file_changes(
    prompt: FolderPrompt, file: FileVersion, stored: StoredPrompt | None, options: PlanOptions, free_number: int
) -> list[Change]:
    version = stored.versions.get(file.number) if stored else None
    if version is None:
        notes = prompt.notes.get(file.number, ())
        return [_new_version(prompt, file, stored), *(Change(NOTE, prompt.name, file.number, note) for note in notes)]
    assert stored is not None
    if version.is_erased:
        relation = "still contains its text" if version.sha256 == file.sha256 else "uses its number"
        message = f"was erased, and {file.path} {relation}: remove the file"
        return [Change(CONFLICT, prompt.name, file.number, message, hint=f"promptctl history {prompt.name}")]
    if version.sha256 != file.sha256:
        message = f"{file.path} differs from the stored version, which never changes: save it as v{free_number}"
        hint = _command_to_save_as(free_number, prompt.name, file)
        return [Change(CONFLICT, prompt.name, file.number, message, file=file, hint=hint)]
    changes = _metadata_changes(prompt, file, version, stored, options)
    folder_settings, stored_settings = _with_style(file.settings), _with_style(version.settings)
    if not same(folder_settings, stored_settings):
        keys = _differing_keys(folder_settings, stored_settings)
        message = f"settings differ from the stored ones, which never change: {keys}"
        changes.append(Change(NOTE, prompt.name, file.number, message))
    return changes


def _with_style(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with a template style; the default one where none is set."""
    return settings if "template" in settings else {"template": templates.DEFAULT_STYLE, **settings}


def _command_to_save_as(number: int, name: str, file: FileVersion) -> str:
    """Return the command that renames an edited file to a free number and restores the stored text.

    It reads the stored text first: if that fails, no file of the folder has changed.
    """
    import shlex

    folder, _, basename = file.path.rpartition("/")
    target = f"{folder}/v{number}{basename[basename.rindex('.') :]}"
    # A path that begins with a hyphen would be an option.
    paths = [path if not path.startswith("-") else f"./{path}" for path in (file.path, target)]
    old, new = map(shlex.quote, paths)
    restored = shlex.quote(f"{paths[0]}.stored")
    return f"promptctl show {name}@{file.number} > {restored} && mv {old} {new} && mv {restored} {old}"


def _new_version(prompt: FolderPrompt, file: FileVersion, stored: StoredPrompt | None) -> Change:
    same_text = (
        {n: version for n, version in stored.versions.items() if version.sha256 == file.sha256} if stored else {}
    )
    if erased := next((number for number, version in same_text.items() if version.is_erased), None):
        message = f"{file.path} contains the text of @{erased}, which was erased: remove the file"
        return Change(CONFLICT, prompt.name, file.number, message, hint=f"promptctl history {prompt.name}")
    message = f"new, {file.size} bytes" + (f", same text as @{max(same_text)}" if same_text else "")
    if file.variables:
        message += f"; variables: {templates.describe(file.variables, file.settings)}"
    active = stored.active_version if stored else None
    # All fields by position, which is faster: a folder may have a hundred thousand files.
    return Change(NEW, prompt.name, file.number, message, active, None, None, file, prompt.yaml_path, None, None)


def _metadata_changes(
    prompt: FolderPrompt, file: FileVersion, version: StoredVersion, stored: StoredPrompt, options: PlanOptions
) -> list[Change]:
    """Apply the metadata that changed in the folder, and hold back what was corrected in the database since."""
    folder_metadata = file.metadata
    last_applied = stored.applied_metadata.get(str(file.number), {})
    is_first_sync = stored.applied_source is None and not options.adopt
    new_metadata = dict(version.metadata)
    held_keys: list[str] = []
    for key, value in folder_metadata.items():
        if key in version.metadata and same(version.metadata[key], value):
            continue
        is_unchanged_in_folder = key in last_applied and same(last_applied[key], value)
        if is_unchanged_in_folder or (is_first_sync and key in version.metadata):
            held_keys.append(key)
        else:
            new_metadata[key] = value
    for key in last_applied.keys() - folder_metadata.keys():
        if key in new_metadata and same(new_metadata[key], last_applied[key]):
            del new_metadata[key]
    changes: list[Change] = []
    if not same(new_metadata, version.metadata):
        keys = _differing_keys(new_metadata, version.metadata)
        changes.append(Change(DESCRIBE, prompt.name, file.number, keys, metadata=new_metadata))
    if held_keys:
        message = f"{', '.join(sorted(held_keys))}: the stored value stays until the folder changes it"
        changes.append(Change(HELD, prompt.name, file.number, message, file=file))
    return changes


def _activation(prompt: FolderPrompt, target: int, stored: StoredPrompt | None, options: PlanOptions) -> list[Change]:
    version = stored.versions.get(target) if stored else None
    correct_yaml = f"correct active in {prompt.yaml_path}"
    if version is None and not any(file.number == target for file in prompt.versions):
        message = "is set as active, but is neither in the folder nor in the database"
        return [Change(CONFLICT, prompt.name, target, message, hint=correct_yaml)]
    if version is not None and version.is_erased:
        return [Change(CONFLICT, prompt.name, target, "is set as active, but was erased", hint=correct_yaml)]
    if stored is None:
        message = f"activate {target} (none active)"
        return [Change(ACTIVATE, prompt.name, target, message, yaml_path=prompt.yaml_path)]
    active = stored.active_version
    if active == target:
        return []
    if _is_activation_held(target, stored, options):
        return [_held_activation(prompt, target, stored)]
    if version is not None and version.is_archived:
        return [Change(CONFLICT, prompt.name, target, "is set as active, but is archived", hint=correct_yaml)]
    if not options.allow_new_variables and (variables := _new_variables(prompt, target, stored)):
        return [_needs_new_variables(prompt, target, stored, variables)]
    message = f"activate {target} ({'none' if active is None else active} active)"
    if stored.candidate_version is not None:
        share = shares.percent(stored.basis_points)
        message += f"; ends the split, {share} for version {stored.candidate_version}"
    return [Change(ACTIVATE, prompt.name, target, message, previous_version=active, yaml_path=prompt.yaml_path)]


def _is_activation_held(target: int, stored: StoredPrompt, options: PlanOptions) -> bool:
    """Whether an operator's move stays: the folder names the same version as when it was applied last.

    If no sync has set a version yet, any active version stays, unless `adopt` is set.
    """
    if stored.has_applied_version:
        return stored.applied_version == target
    return stored.active_version is not None and not options.adopt


def _held_activation(prompt: FolderPrompt, target: int, stored: StoredPrompt) -> Change:
    active = stored.active_version
    # A sentence and no command: a command that follows the folder would undo an operator's move.
    if active is None:
        keep = f"to keep the prompt without an active version, remove active from {prompt.yaml_path}"
    else:
        keep = f"to keep {active}, write active: {active} in {prompt.yaml_path}"
    return Change(
        HELD,
        prompt.name,
        target,
        f"held at {'none' if active is None else active}, the folder names {target}",
        previous_version=active,
        hold=stored.last_move,
        hint=f"{keep}; to follow the folder, activate {target}",
    )


def _needs_new_variables(prompt: FolderPrompt, target: int, stored: StoredPrompt, variables: list[str]) -> Change:
    active = stored.active_version
    if target in stored.versions:
        hint = f"promptctl diff {prompt.name}@{active} {prompt.name}@{target}"
    else:
        path = prompt.yaml_path or f"{prompt.path}/prompt.yaml"
        hint = (
            f"if braces are text, set template: none in {path}; or set a default for {variables[0]} there; "
            f"else {ALLOW_NEW_VARIABLES_COMMAND}"
        )
    message = f"needs {', '.join(variables)}, which the active version {active} does not"
    return Change(CONFLICT, prompt.name, target, message, hint=hint, needs_new_variables=True)


def _new_variables(prompt: FolderPrompt, target: int, stored: StoredPrompt) -> list[str]:
    """Return the variables that a version needs and the active one does not: applications do not pass them yet."""
    if stored.active_version is None:
        return []
    passed = stored.versions[stored.active_version].required_variables.split()
    if (version := stored.versions.get(target)) is not None:
        required = version.required_variables.split()
    else:
        required = next(file.required for file in prompt.versions if file.number == target)
    return [name for name in required if name not in passed]


def _route_change(
    prompt: FolderPrompt, route: Route, stored: StoredPrompt | None, options: PlanOptions, graph: RouteGraph
) -> list[Change]:
    if same(route, (stored.route if stored else None) or []):
        return []
    if _is_route_held(route, stored, options):
        steps = f"{len(route)} step{'s' * (len(route) != 1)}"
        message = f"route: the stored route stays until the folder changes its own, {steps}"
        return [Change(HELD, prompt.name, 0, message)]
    if problem := targeting.route_problem(prompt.name, route, graph):
        return [Change(CONFLICT, prompt.name, 0, problem, hint=f"correct route in {prompt.yaml_path}")]
    targets = ", ".join(str(target) for target in targeting.targets(route))
    return [Change(ROUTE, prompt.name, 0, f"route: {targets or 'none'}", route=route, yaml_path=prompt.yaml_path)]


def _is_route_held(route: Route, stored: StoredPrompt | None, options: PlanOptions) -> bool:
    if stored is None or same(route, stored.route or []):
        return False
    is_from_elsewhere = not stored.has_applied_route and bool(stored.route) and not options.adopt
    return is_from_elsewhere or same(stored.applied_route, route)


def _graph_after_sync(inputs: Input, options: PlanOptions) -> RouteGraph:
    """Return what routes lead to once the folder is applied."""
    if not any(prompt.route for prompt in inputs.prompts):
        return inputs.graph
    versions, routes = dict(inputs.graph.versions), dict(inputs.graph.routes)
    for prompt in inputs.prompts:
        stored = inputs.stored.get(prompt.name)
        new = {file.number for file in prompt.versions if stored is None or file.number not in stored.versions}
        versions[prompt.name] = versions.get(prompt.name, frozenset()) | new
        if prompt.route is not None and not _is_route_held(prompt.route, stored, options):
            routes[prompt.name] = prompt.route
    return RouteGraph(versions, routes)


def _other_source(prompt: FolderPrompt, source: str | None, *, is_conflict: bool) -> Change:
    message = f"comes from another source, {source}"
    if is_conflict:
        hint = f"rename the folder {prompt.path}; if the source was renamed, see --adopt in promptctl sync --help"
        return Change(CONFLICT, prompt.name, 0, message, hint=hint)
    return Change(NOTE, prompt.name, 0, f"{message}: this folder cannot be applied")


def _needs_attention(change: Change) -> bool:
    return change.kind in WRITING_KINDS or change.kind in (HELD, CONFLICT)


def _applied_prompt(prompt: FolderPrompt, stored: StoredPrompt | None, changes: Sequence[Change]) -> AppliedPrompt:
    """Return what to record about a prompt. For what is held, the earlier record is kept."""
    active, route = prompt.active, prompt.route
    is_version_held = is_route_held = False
    if stored is not None:
        held = [change for change in changes if change.kind == HELD and change.file is None]
        is_version_held = any(change.version for change in held)
        is_route_held = any(not change.version for change in held)
        if is_version_held and stored.has_applied_version:
            active = stored.applied_version
        if is_route_held:
            route = stored.applied_route
    # Holds and database-only versions are reported at every sync; a difference of settings is reported once.
    is_settled = not any(change.kind in (HELD, DATABASE_ONLY, CONFLICT) for change in changes)
    # The record of a version whose file is gone stays: the file may come back.
    numbers = {str(file.number) for file in prompt.versions}
    recorded = stored.applied_metadata if stored is not None else {}
    gone = {number: metadata for number, metadata in recorded.items() if number not in numbers}
    return AppliedPrompt(prompt.name, active, route, gone | prompt.metadata, prompt.digest, is_settled, is_version_held)


def _differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return ", ".join(
        key
        for key in sorted(one.keys() | other.keys())
        if (key in one) != (key in other) or not same(one.get(key), other.get(key))
    )
