"""Check a folder without a database: that sync can read it, and that no version differs from the one in a commit."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from promptctl.folder import base_commit
from promptctl.records import Record
from promptctl.rules import targeting
from promptctl.rules.targeting import RouteGraph
from promptctl.store.syncs import SourceState, StoredPrompt
from promptctl.sync import plan_checks, renaming, version_changes
from promptctl.sync.case_changes import case_notes
from promptctl.sync.changes import CONFLICT, NEW, NOTE, WHOLE_PROMPT, Change, Plan, PlanOptions, PreparedPlan
from promptctl.sync.differences import Original
from promptctl.sync.read import FolderReader
from promptctl.sync.synchronize import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.folder.base_commit import Base, BaseFile
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
    commit, its plan has no new versions. `originals` has the versions that were edited since the commit, by name and
    number. `unchecked` lists what could not be checked. `version_count` counts the version files.
    """

    outcome: Outcome
    base: Base | None
    originals: dict[tuple[str, int], Original]
    unchecked: list[str]
    version_count: int

    def original(self, change: Change) -> Original:
        """Return what the commit has of an edited version."""
        return self.originals[change.name, change.version]


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
    originals: dict[tuple[str, int], Original] = {}
    changes: list[Change] = []
    unchanged = 0
    for prompt in parsed:
        prompt_changes = [
            *_version_changes(prompt, base, originals),
            *_serving_changes(prompt, base, routes),
            *case_notes(prompt, None, has_new_cases=True),
        ]
        changes += prompt_changes
        unchanged += not prompt_changes
    plan = Plan(changes, [], unchanged)
    prepared = PreparedPlan(
        source=checkout.source,
        commit=checkout.commit,
        origin={},
        origins=checkout.origins(sorted(path for change in plan.of(NEW) if change.file for path in change.file.paths)),
        plan=plan,
        adopt=False,
        allow_new_variables=False,
        is_already_recorded=False,
    )
    conflicts = plan.of(CONFLICT)
    return OfflineCheck(
        Outcome(prepared, plan_checks.conflict(conflicts) if conflicts else None, _committed(base), None),
        base,
        originals,
        [_NEEDS_DATABASE] if base else [_NOT_IN_GIT, _NEEDS_DATABASE],
        sum(len(prompt.versions) for prompt in parsed),
    )


def _version_changes(
    prompt: FolderPrompt, base: Base | None, originals: dict[tuple[str, int], Original]
) -> list[Change]:
    """Return a conflict for each edited version, then the new versions with the notes about their texts."""
    if base is None:
        return []
    committed = base.versions.get(prompt.name, {})
    free_number = max(0, *committed, *(file.number for file in prompt.versions)) + 1
    edits: list[Change] = []
    for file in prompt.versions:
        text, settings = base.edited_text(prompt.name, file), base.other_request(prompt.name, file)
        request_path = file.request_path if settings is not None else None
        if text is not None or request_path is not None:
            originals[prompt.name, file.number] = Original(
                text if text is not None else (file.content or b"").decode(),
                settings if settings is not None else file.settings,
                f"{prompt.name}@{file.number} in {base.label}",
            )
            path = file.path if text is not None else None
            edits.append(_edit(prompt.name, file, base, free_number, path, request_path))
            free_number += 1
        elif settings is not None:
            message = f"has another request in {base.label}, and a version never changes"
            edits.append(Change(NOTE, prompt.name, file.number, message))
    new = prompt.with_versions([file for file in prompt.versions if file.number not in committed])
    # Without a stored prompt, every version is new.
    return [*edits, *version_changes.version_changes("", new, None, PlanOptions())]


def _edit(
    name: str, file: FileVersion, base: Base, free_number: int, path: str | None, request_path: str | None
) -> Change:
    """Return the conflict of an edited version. `path` and `request_path` are the files that were edited."""
    message = (
        f"{path or request_path} differs from {base.label}, and a version never changes: save it as v{free_number}"
    )
    if base.is_default:
        message += ", or name the branch that was applied, for example --base origin/main"
    base_files: list[BaseFile | None] = []
    if path is None and request_path is not None:
        commands = [renaming.copy(file.path, free_number), renaming.move(request_path, free_number)]
    else:
        commands = [renaming.move(one, free_number) for one in (path, request_path) if one is not None]
        if file.request_path is not None and request_path is None:
            commands.append(renaming.copy(file.request_path, free_number))
        base_files.append(base.versions[name][file.number])
    if request_path is not None:
        base_files.append(base.request_files.get(name, {}).get(file.number))
    if committed := [renaming.operand(one.path) for one in base_files if one is not None]:
        root, revision = renaming.operand(base.folder), shlex.quote(base.revision)
        commands.append(f"git -C {root} checkout {revision} -- {' '.join(committed)}")
    return Change(CONFLICT, name, file.number, message, file=file, hint=" && ".join(commands))


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
