"""The plan of a sync: a pure function of what Git says, what the database says, and what was applied last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record
from promptctl.rules import shares, targeting, templates
from promptctl.rules.json_values import same
from promptctl.rules.targeting import Surroundings
from promptctl.sync.changes import (
    ACTIVATE,
    CONFLICT,
    DESCRIBE,
    DOING,
    HELD,
    NEW,
    NOTE,
    ROUTE,
    STORED,
    Applied,
    Change,
    Plan,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion, FolderPrompt
    from promptctl.rules.references import Reference
    from promptctl.store.syncs import StoredPrompt, StoredVersion

# What resolves the conflict of an activation whose version needs a variable that the active one does not.
ALLOWING_NEW_VARIABLES = "promptctl sync --allow-new-variables"
NOWHERE = Surroundings({}, {})


class Terms(Record):
    """What may be done. `adopts`: take over what is live, or comes, from elsewhere. `claims`: it is to be applied.

    A folder that says just what is stored of another source's prompts has nothing to change, and cannot have them.
    """

    __slots__ = ()
    adopts: bool = False
    allow_new_variables: bool = False
    claims: bool = True


def make(
    source: str,
    folder: Sequence[FolderPrompt],
    stored: Mapping[str, StoredPrompt],
    names_by_case: Mapping[str, str],
    terms: Terms = Terms(),  # noqa: B008 - immutable
    *,
    gone: Mapping[str, int | None] | None = None,
    around: Surroundings = NOWHERE,
    unchanged: int = 0,
) -> Plan:
    """Return the plan.

    `folder` has the prompts that may have changed, `unchanged` counts the others; `stored` is what the database has of
    them, `names_by_case` its spelling of names by their lower case. `gone` are prompts of this source that are not in
    the folder any more, with what is live of each; `around` is what routes can lead to beside the folder.
    """
    changes: list[Change] = []
    applied: list[Applied] = []
    around = _with_folder(around, folder, stored, terms)
    for prompt in folder:
        other = names_by_case.get(prompt.name.lower(), prompt.name)
        if other != prompt.name:
            why = f'differs from "{other}" only in case'
            changes.append(Change(CONFLICT, prompt.name, 0, why, hint=f"promptctl show {other}"))
            continue
        known = stored.get(prompt.name)
        found = _of_prompt(source, prompt, known, terms, around)
        if known is not None and known.applied_source not in (None, source) and not terms.adopts:
            found = [_foreign(prompt, known.applied_source, is_conflict=terms.claims or any(map(_matters, found)))]
        else:
            # Of an archived prompt nothing is remembered: what Git says of it counts once it is restored.
            if known is None or not known.is_archived:
                applied.append(_to_remember(prompt, known, found))
            if known is not None and known.applied_source not in (None, source):
                found.append(Change(NOTE, prompt.name, 0, f"is taken over from another source, {known.applied_source}"))
        changes += found
        unchanged += not found
    for name, live in (gone or {}).items():
        if live is not None:
            why = f"is not in the folder any more: {live} stays live"
            changes.append(Change(STORED, name, 0, why, previous_version=live))
    return Plan(changes, applied, unchanged)


def route_targets(prompt: FolderPrompt) -> list[Reference]:
    """Return what the route of a folder's prompt leads to."""
    return targeting.targets(prompt.route or ())


def _of_prompt(
    source: str, prompt: FolderPrompt, known: StoredPrompt | None, terms: Terms, around: Surroundings
) -> list[Change]:
    found: list[Change] = []
    if known is not None and known.is_archived:
        return _of_archived(prompt, known)
    free = max((known.next_version if known else 1), *(each.number + 1 for each in prompt.versions), 1)
    for version in prompt.versions:
        changes = _of_version(prompt, version, known, terms, free)
        # Each edited file gets a number of its own.
        free += any(change.kind == CONFLICT for change in changes)
        found += changes
    if known is not None:
        numbers = {version.number for version in prompt.versions}
        found += [
            Change(STORED, prompt.name, number, f"only in the database, by {version.created_by}")
            for number, version in sorted(known.versions.items())
            if number not in numbers and not version.is_retired and version.source != source
        ]
    if prompt.active is not None:
        found += _of_activation(prompt, prompt.active, known, terms)
    if prompt.route is not None:
        found += _of_route(prompt, prompt.route, known, terms, around)
    return found


def _of_archived(prompt: FolderPrompt, known: StoredPrompt) -> list[Change]:
    """What a folder says of an archived prompt is held back; a text that is new to it is a conflict."""
    # Words first: the command alone would undo another person's move.
    hint = (
        f"to keep it archived, remove {prompt.path} from Git; to use it again, ask the person who archived it, "
        f"then run: promptctl delete --undo {prompt.name}"
    )
    new = [version.path for version in prompt.versions if version.number not in known.versions]
    if new:
        return [Change(CONFLICT, prompt.name, 0, f"is archived, and {new[0]} is new", hint=hint)]
    return [Change(HELD, prompt.name, 0, "is archived, and stays so", hold=known.moved, hint=hint)]


def _of_version(
    prompt: FolderPrompt, version: FileVersion, known: StoredPrompt | None, terms: Terms, free: int
) -> list[Change]:
    stored = known.versions.get(version.number) if known else None
    if stored is None:
        notes = prompt.notes.get(version.number, ())
        return [_new(prompt, version, known), *(Change(NOTE, prompt.name, version.number, note) for note in notes)]
    assert known is not None
    if stored.is_erased:
        holds = "still holds its text" if stored.sha256 == version.sha256 else "takes its number"
        why = f"was erased, and {version.path} {holds}: remove the file"
        return [Change(CONFLICT, prompt.name, version.number, why,
                       hint=f"promptctl history {prompt.name}")]  # fmt: skip
    if stored.sha256 != version.sha256:
        return [
            Change(
                CONFLICT,
                prompt.name,
                version.number,
                f"{version.path} differs from the stored version, which never changes: save it as v{free}",
                file=version,
                hint=_saving_as(free, prompt.name, version),
            )
        ]
    found = _of_metadata(prompt, version, stored, known, terms)
    now, then = _with_style(version.settings), _with_style(stored.settings)
    if not same(now, then):
        keys = _differing(now, then)
        found.append(Change(NOTE, prompt.name, version.number, f"is stored with other settings, which stay: {keys}"))
    return found


def _with_style(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings with the template's style, which where none is set is the default one."""
    return settings if "template" in settings else {"template": templates.DEFAULT_STYLE, **settings}


def _saving_as(number: int, name: str, version: FileVersion) -> str:
    """Return the command that keeps an edited file under a free number, and puts the stored text in its place."""
    import shlex

    folder, _, file = version.path.rpartition("/")
    target = f"{folder}/v{number}{file[file.rindex('.') :]}"
    # A path that begins with a hyphen would be an option.
    here = [path if not path.startswith("-") else f"./{path}" for path in (version.path, target)]
    old, new = map(shlex.quote, here)
    return f"mv {old} {new} && promptctl show {name}@{version.number} > {old}"


def _new(prompt: FolderPrompt, version: FileVersion, known: StoredPrompt | None) -> Change:
    twin = known and next(
        (n for n, v in sorted(known.versions.items(), reverse=True) if v.sha256 == version.sha256), None
    )
    erased = known and next((n for n, v in known.versions.items() if v.is_erased and v.sha256 == version.sha256), None)
    if erased:
        why = f"{version.path} holds the text of @{erased}, which was erased: remove the file"
        hint = f"promptctl history {prompt.name}"
        return Change(CONFLICT, prompt.name, version.number, why, hint=hint)
    why = f"new, {version.size} bytes" + (f", same text as @{twin}" if twin else "")
    if version.variables:
        why += f"; variables: {templates.describe(version.variables, version.settings)}"
    active = known.active_version if known else None
    # All fields by position: a folder may have a hundred thousand of them.
    return Change(NEW, prompt.name, version.number, why, active, None, None, version, prompt.yaml_path, None, None)


def _of_metadata(
    prompt: FolderPrompt, version: FileVersion, stored: StoredVersion, known: StoredPrompt, terms: Terms
) -> list[Change]:
    """What Git says otherwise than it did is written; what somebody corrected since stays."""
    now = version.metadata
    then = known.applied_metadata.get(str(version.number), {})
    is_new_here = known.applied_source is None and not terms.adopts
    wanted = dict(stored.metadata)
    held: list[str] = []
    for key, value in now.items():
        if key in stored.metadata and same(stored.metadata[key], value):
            continue
        if (key in then and same(then[key], value)) or (is_new_here and key in stored.metadata):
            held.append(key)
        else:
            wanted[key] = value
    for key in then.keys() - now.keys():
        if key in wanted and same(wanted[key], then[key]):
            del wanted[key]
    found: list[Change] = []
    if not same(wanted, stored.metadata):
        found.append(
            Change(DESCRIBE, prompt.name, version.number, _differing(wanted, stored.metadata), metadata=wanted)
        )
    if held:
        why = f"{', '.join(sorted(held))}: stays as it is stored, until the folder says something else again"
        found.append(Change(HELD, prompt.name, version.number, why, file=version))
    return found


def _of_activation(prompt: FolderPrompt, wanted: int, known: StoredPrompt | None, terms: Terms) -> list[Change]:
    stored = known.versions.get(wanted) if known else None
    if stored is None and not any(version.number == wanted for version in prompt.versions):
        why = "should be active and is neither in the folder nor stored"
        return [Change(CONFLICT, prompt.name, wanted, why, hint=f"correct active in {prompt.yaml_path}")]
    if stored is not None and stored.is_erased:
        why = "should be active and was erased"
        return [Change(CONFLICT, prompt.name, wanted, why, hint=f"correct active in {prompt.yaml_path}")]
    if known is None:
        return [Change(ACTIVATE, prompt.name, wanted, f"activate {wanted} (none active)", yaml_path=prompt.yaml_path)]
    live = known.active_version
    if live == wanted:
        return []
    told = "none" if live is None else str(live)
    never_applied = not known.has_said_version and live is not None and not terms.adopts
    if never_applied or (known.has_said_version and known.applied_version == wanted):
        # Words and no command: one that follows Git would undo what somebody did, perhaps a minute ago.
        keep = f"active: {told}" if live is not None else "no active"
        hint = f"to keep {told}, write {keep} in {prompt.yaml_path}; to follow Git, activate {wanted}"
        why = f"held at {told}, Git says {wanted}"
        return [Change(HELD, prompt.name, wanted, why, previous_version=live, hold=known.moved, hint=hint)]
    if stored is not None and stored.is_retired:
        hint = f"correct active in {prompt.yaml_path}"
        return [Change(CONFLICT, prompt.name, wanted, "should be active and is archived", hint=hint)]
    if not terms.allow_new_variables and (needed := _newly_needed(prompt, wanted, known)):
        why = f"needs {needed}, which the active version {told} does not"
        hint = f"promptctl diff {prompt.name}@{told} {prompt.name}@{wanted}"
        if stored is None:
            path = prompt.yaml_path or f"{prompt.path}/prompt.yaml"
            first = needed.partition(",")[0]
            hint = (
                f"where braces are text: template: none in {path}; or a default for {first} there; "
                f"else {ALLOWING_NEW_VARIABLES}"
            )
        return [Change(CONFLICT, prompt.name, wanted, why, hint=hint, needs_new_variables=True)]
    why = f"activate {wanted} ({told} active)"
    if known.candidate_version is not None:
        share = shares.percent(known.basis_points)
        why += f"; ends the split, {share} for version {known.candidate_version}"
    return [Change(ACTIVATE, prompt.name, wanted, why, previous_version=live, yaml_path=prompt.yaml_path)]


def _newly_needed(prompt: FolderPrompt, wanted: int, known: StoredPrompt) -> str:
    """The variables that a version needs and the active one does not: the application that runs would not give them."""
    if known.active_version is None:
        return ""
    given = known.versions[known.active_version].required_variables.split()
    stored = known.versions.get(wanted)
    needed = (
        stored.required_variables.split()
        if stored
        else next(version.required for version in prompt.versions if version.number == wanted)
    )
    return ", ".join(name for name in needed if name not in given)


def _of_route(
    prompt: FolderPrompt,
    wanted: list[dict[str, Any]],
    known: StoredPrompt | None,
    terms: Terms,
    around: Surroundings,
) -> list[Change]:
    current = (known.route if known else None) or []
    if same(wanted, current):
        return []
    steps = f"{len(wanted)} step{'s' * (len(wanted) != 1)}"
    if _is_route_held(wanted, known, terms):
        why = f"route: stays as it is stored, Git says {steps}; until the folder says something else"
        return [Change(HELD, prompt.name, 0, why)]
    if told := targeting.route_problem(prompt.name, wanted, around):
        return [Change(CONFLICT, prompt.name, 0, told, hint=f"correct route in {prompt.yaml_path}")]
    leads = ", ".join(str(target) for target in targeting.targets(wanted))
    why = f"route: {leads}" if wanted else "route: none"
    return [Change(ROUTE, prompt.name, 0, why, route=wanted, yaml_path=prompt.yaml_path)]


def _is_route_held(wanted: list[dict[str, Any]], known: StoredPrompt | None, terms: Terms) -> bool:
    if known is None or same(wanted, known.route or []):
        return False
    never_said = not known.has_said_route and bool(known.route) and not terms.adopts
    return never_said or same(known.applied_route, wanted)


def _with_folder(
    around: Surroundings, folder: Sequence[FolderPrompt], stored: Mapping[str, StoredPrompt], terms: Terms
) -> Surroundings:
    """What routes lead to when the folder is applied."""
    if not any(prompt.route for prompt in folder):
        return around
    versions = dict(around.versions)
    said = dict(around.routes)
    for prompt in folder:
        known = stored.get(prompt.name)
        new = frozenset(each.number for each in prompt.versions if known is None or each.number not in known.versions)
        versions[prompt.name] = versions.get(prompt.name, frozenset()) | new
        if prompt.route is not None and not _is_route_held(prompt.route, known, terms):
            said[prompt.name] = prompt.route
    return Surroundings(versions, said)


def _foreign(prompt: FolderPrompt, other: str | None, *, is_conflict: bool) -> Change:
    if is_conflict:
        hint = f"rename the folder {prompt.path}; --adopt in promptctl sync --help is for a source that has moved"
        return Change(CONFLICT, prompt.name, 0, f"comes from another source, {other}", hint=hint)
    return Change(NOTE, prompt.name, 0, f"comes from another source, {other}: this folder could not be applied")


def _matters(change: Change) -> bool:
    return change.kind in DOING or change.kind in (HELD, CONFLICT)


def _to_remember(prompt: FolderPrompt, known: StoredPrompt | None, found: Sequence[Change]) -> Applied:
    held = [change for change in found if change.kind == HELD and change.file is None]
    active, route = prompt.active, prompt.route
    is_held = known is not None and any(change.version for change in held)
    if known is not None and is_held and known.has_said_version:
        active = known.applied_version
    if known is not None and any(not change.version for change in held):
        route = known.applied_route
    # What is held back or only in the database is said again next time; that settings differ is said once.
    is_settled = not any(change.kind in (HELD, STORED, CONFLICT) for change in found)
    here = {str(version.number) for version in prompt.versions}
    said = known.applied_metadata if known is not None else {}
    # Of a version whose file is gone the last word is kept: the file may come back.
    metadata = {number: words for number, words in said.items() if number not in here} | prompt.metadata
    return Applied(prompt.name, active, route, metadata, prompt.digest, is_settled, is_held)


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    return ", ".join(
        sorted(k for k in one.keys() | other.keys() if (k in one) != (k in other) or not same(one.get(k), other.get(k)))
    )
