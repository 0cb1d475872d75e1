"""Check a folder without a database: that sync can read it, and that no version differs from the one in a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.folder import base_commit
from promptctl.records import Record
from promptctl.rules import targeting
from promptctl.rules.targeting import RouteGraph
from promptctl.store.syncs import SourceState, StoredPrompt
from promptctl.sync import plan_checks, version_changes
from promptctl.sync.changes import CONFLICT, NEW, NOTE, WHOLE_PROMPT, Change, Plan, PlanOptions, PreparedPlan
from promptctl.sync.read import FolderReader
from promptctl.sync.synchronize import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.folder.base_commit import Base
    from promptctl.folder.listing import ListedPrompt
    from promptctl.folder.prompt_files import FileVersion, FolderPrompt
    from promptctl.folder.provenance import Checkout
    from promptctl.sync.changes import Route
    from promptctl.sync.read import Progress

_NEEDS_DATABASE = "the versions, active versions and holds of the database"
_NOT_IN_GIT = "edited versions (the folder is in no Git repository)"
_NEVER_APPLIED = SourceState(None, None, {}, frozenset(), {}, has_been_applied=False)


class OfflineCheck(Record):
    """The result of a check without a database.

    `outcome` has the plan: versions that the commit does not have, edited versions as conflicts, and notes. Without a
    commit, its plan has no new versions. `edited_texts` has the texts that the commit has of the edited versions, by
    name and number. `unchecked` says what could not be checked. `version_count` counts the version files.
    """

    outcome: Outcome
    base: Base | None
    edited_texts: dict[tuple[str, int], str]
    unchecked: list[str]
    version_count: int

    def original(self, change: Change) -> tuple[str, str]:
        """Return the text that the commit has of an edited version, and its name for a diff."""
        assert self.base is not None
        return self.edited_texts[change.name, change.version], f"{change.reference} in {self.base.label}"


def check(
    checkout: Checkout,
    prompts: Sequence[ListedPrompt],
    revision: str | None,
    progress: Progress,
    *,
    allow_secrets: bool,
) -> OfflineCheck:
    """Parse every file of a folder, and compare its versions with those of the commit `revision`, None for HEAD.

    Raises Usage for an unknown commit, Failed for an invalid folder, Refused for a secret in it.
    """
    base = base_commit.read(checkout, revision)
    reader = FolderReader(prompts, _NEVER_APPLIED, progress)
    parsed = list(reader.parse({}, "checking", allow_secrets=allow_secrets))
    routes = {prompt.name: prompt.route for prompt in parsed if prompt.route}
    edited_texts: dict[tuple[str, int], str] = {}
    changes: list[Change] = []
    unchanged = 0
    for prompt in parsed:
        prompt_changes = [*_version_changes(prompt, base, edited_texts), *_serving_changes(prompt, base, routes)]
        changes += prompt_changes
        unchanged += not prompt_changes
    plan = Plan(changes, [], unchanged)
    prepared = PreparedPlan(
        source=checkout.source,
        commit=checkout.commit,
        origin={},
        origins=checkout.origins(sorted(change.file.path for change in plan.of(NEW) if change.file)),
        plan=plan,
        adopt=False,
        allow_new_variables=False,
        is_already_recorded=False,
    )
    conflicts = plan.of(CONFLICT)
    return OfflineCheck(
        Outcome(prepared, plan_checks.conflict(conflicts) if conflicts else None, _committed(base), None),
        base,
        edited_texts,
        [_NEEDS_DATABASE] if base else [_NOT_IN_GIT, _NEEDS_DATABASE],
        sum(len(prompt.versions) for prompt in parsed),
    )


def _version_changes(prompt: FolderPrompt, base: Base | None, edited_texts: dict[tuple[str, int], str]) -> list[Change]:
    """Return a conflict for each edited version, then the new versions with the notes about their texts."""
    if base is None:
        return []
    committed = base.versions.get(prompt.name, {})
    free_number = max(0, *committed, *(file.number for file in prompt.versions)) + 1
    edits: list[Change] = []
    for file in prompt.versions:
        if (text := base.edited_text(prompt.name, file)) is not None:
            edited_texts[prompt.name, file.number] = text
            edits.append(_edit(prompt, file, base, free_number))
            free_number += 1
    new = prompt.with_versions([file for file in prompt.versions if file.number not in committed])
    # Without a stored prompt, every version is new.
    return [*edits, *version_changes.version_changes("", new, None, PlanOptions())]


def _edit(prompt: FolderPrompt, file: FileVersion, base: Base, free_number: int) -> Change:
    import shlex

    message = f"{file.path} differs from {base.label}, and a version never changes: save it as v{free_number}"
    folder, _, basename = file.path.rpartition("/")
    # A path that begins with a hyphen would be an option.
    paths = [
        path if not path.startswith("-") else f"./{path}"
        for path in (file.path, f"{folder}/v{free_number}.{basename.rpartition('.')[2]}", base.folder)
    ]
    old, new, root = map(shlex.quote, paths)
    committed = shlex.quote(base.versions[prompt.name][file.number].path)
    hint = f"mv {old} {new} && git -C {root} checkout {shlex.quote(base.revision)} -- {committed}"
    if base.is_default:
        hint += "; if it was never applied, name the branch that is, for example --base origin/main"
    return Change(CONFLICT, prompt.name, file.number, message, file=file, hint=hint)


def _serving_changes(prompt: FolderPrompt, base: Base | None, routes: Mapping[str, Route]) -> list[Change]:
    """Return a note about an active version without a file, and a conflict for a route with a cycle in the folder.

    Whatever is not in the folder may be in the database.
    """
    changes: list[Change] = []
    numbers = {file.number for file in prompt.versions}
    if prompt.active is not None and prompt.active not in numbers:
        in_base = prompt.active in base.versions.get(prompt.name, {}) if base else False
        where = f"has a file only in {base.label}" if base and in_base else "has no file"
        message = f"is set as active, but {where}: sync needs it in the database"
        changes.append(Change(NOTE, prompt.name, prompt.active, message))
    if prompt.route:
        versions: dict[str, frozenset[int]] = {}
        for target in targeting.targets(prompt.route):
            versions[target.name] = versions.get(target.name, frozenset()) | {target.version or 0}
        if problem := targeting.route_problem(prompt.name, prompt.route, RouteGraph(versions, dict(routes))):
            hint = f"correct route in {prompt.yaml_path}"
            changes.append(Change(CONFLICT, prompt.name, WHOLE_PROMPT, problem, hint=hint))
    return changes


def _committed(base: Base | None) -> dict[str, StoredPrompt]:
    """Return the prompts that the commit has, as far as an Outcome needs them: their names and numbers."""
    return {
        name: StoredPrompt(
            name=name,
            active_version=None,
            next_version=max(versions) + 1,
            epoch=0,
            route=None,
            last_move=None,
            applied_source=None,
            applied_version=None,
            applied_route=None,
            has_applied_version=False,
            has_applied_route=False,
            applied_metadata={},
            versions={},
        )
        for name, versions in (base.versions if base else {}).items()
    }
