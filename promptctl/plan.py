"""The plan of a sync: a pure function of what Git says, what the database says, and what was applied last."""

from __future__ import annotations

import hashlib

from promptctl import templates
from promptctl.records import Record, Timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.prompt_files import FileVersion, FolderPrompt

# What resolves the conflict of an activation whose version needs a variable that the active one does not.
ALLOWING_NEW_VARIABLES = "promptctl sync --allow-new-variables"

NEW, ACTIVATE, DESCRIBE, HELD, CONFLICT, NOTE = "new", "activate", "describe", "held", "conflict", "note"


class StoredVersion(Record):
    """What the database has of one version; `sha256` in hexadecimal, names of variables joined by spaces."""

    __slots__ = ()
    sha256: str
    settings: dict[str, Any]
    metadata: dict[str, Any]
    is_retired: bool
    required_variables: str


class StoredPrompt(Record):
    """What the database has of one prompt, who moved it last, and what was applied last (source None: nothing)."""

    __slots__ = ()
    name: str
    active_version: int | None
    next_version: int
    moved_by: str | None
    moved_how: str | None
    moved_why: str | None
    moved_at: Timestamp | None
    applied_source: str | None
    applied_version: int | None
    versions: dict[int, StoredVersion]


class Change(Record):
    """One line of a plan. `kind` is new, activate, describe, held, conflict or note; `why` is in words.

    `version` is the version it is about; `metadata` what describe would write; `file` the file of a new version or of
    a conflict, `hint` a command that resolves a conflict.
    """

    __slots__ = ()
    kind: str
    name: str
    version: int
    why: str
    metadata: dict[str, Any] | None
    file: FileVersion | None
    hint: str | None


class Plan(Record):
    """What a sync would do. `applied` is what to remember as applied, by name; None: that Git said nothing."""

    __slots__ = ()
    changes: list[Change]
    applied: dict[str, int | None]

    def of(self, kind: str) -> list[Change]:
        """Return the changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    @property
    def would_change(self) -> bool:
        """Whether applying it changes the database; what is only held back or noted does not."""
        return any(change.kind in (NEW, ACTIVATE, DESCRIBE) for change in self.changes)


def make(
    source: str,
    folder: Sequence[FolderPrompt],
    stored: Mapping[str, StoredPrompt],
    names_by_case: Mapping[str, str],
    *,
    allow_new_variables: bool = False,
) -> Plan:
    """Return the plan; `names_by_case` has the database's names by their lower case."""
    changes: list[Change] = []
    applied: dict[str, int | None] = {}
    for prompt in folder:
        other = names_by_case.get(prompt.name.lower(), prompt.name)
        if other != prompt.name:
            why = f'differs from "{other}" only in case'
            changes.append(_change(CONFLICT, prompt.name, 0, why, hint=f"promptctl show {other}"))
            continue
        known = stored.get(prompt.name)
        if known is not None and known.applied_source not in (None, source):
            why = f"comes from another source, {known.applied_source}"
            hint = f"promptctl sync --source '{known.applied_source}' FOLDER"
            changes.append(_change(CONFLICT, prompt.name, 0, why, hint=hint))
            continue
        for version in prompt.versions:
            changes += _of_version(prompt, version, known)
        activation = _of_activation(prompt, prompt.active, known) if prompt.active is not None else []
        changes += activation if allow_new_variables else [_checked(prompt, change, known) for change in activation]
        is_held = any(change.kind == HELD for change in activation)
        applied[prompt.name] = known.applied_version if is_held and known is not None else prompt.active
    return Plan(changes, applied)


def _of_version(prompt: FolderPrompt, version: FileVersion, known: StoredPrompt | None) -> list[Change]:
    stored = known.versions.get(version.number) if known else None
    digest = hashlib.sha256(version.content.encode()).hexdigest()
    if stored is None:
        twin = known and next((n for n, v in sorted(known.versions.items(), reverse=True) if v.sha256 == digest), None)
        why = f"new, {len(version.content.encode())} bytes" + (f", same text as @{twin}" if twin else "")
        if variables := templates.Template(version.content, version.settings).variables:
            why += f"; variables: {templates.told(variables, version.settings)}"
        return [_change(NEW, prompt.name, version.number, why, file=version)]
    if stored.sha256 != digest:
        assert known is not None
        free = max(known.next_version, *(each.number + 1 for each in prompt.versions))
        return [
            _change(
                CONFLICT,
                prompt.name,
                version.number,
                f"{version.path} differs from the stored version, which never changes: save it as v{free}",
                file=version,
                hint=f"promptctl show {prompt.name}@{version.number} > {version.path}",
            )
        ]
    found: list[Change] = []
    if version.metadata and stored.metadata | version.metadata != stored.metadata:
        keys = ", ".join(sorted(k for k, v in version.metadata.items() if stored.metadata.get(k) != v))
        found.append(_change(DESCRIBE, prompt.name, version.number, keys, metadata=stored.metadata | version.metadata))
    if version.settings != stored.settings:
        keys = ", ".join(
            sorted(
                key
                for key in version.settings.keys() | stored.settings.keys()
                if version.settings.get(key) != stored.settings.get(key)
            )
        )
        found.append(_change(NOTE, prompt.name, version.number, f"is stored with other settings, which stay: {keys}"))
    return found


def _of_activation(prompt: FolderPrompt, wanted: int, known: StoredPrompt | None) -> list[Change]:
    stored = known.versions.get(wanted) if known else None
    if stored is None and not any(version.number == wanted for version in prompt.versions):
        why = "should be active and is neither in the folder nor stored"
        return [_change(CONFLICT, prompt.name, wanted, why, hint=f"correct active in {prompt.path}/prompt.yaml")]
    if known is None or known.active_version == wanted:
        return [] if known else [_change(ACTIVATE, prompt.name, wanted, f"activate {wanted} (none active)")]
    if stored is not None and stored.is_retired:
        hint = f"promptctl delete --undo {prompt.name}@{wanted}"
        return [_change(CONFLICT, prompt.name, wanted, "should be active and is retired", hint=hint)]
    live = "none" if known.active_version is None else str(known.active_version)
    never_applied = known.applied_version is None and known.active_version is not None
    if never_applied or known.applied_version == wanted:
        who = f": {known.moved_by} {_done(known.moved_how)}" if known.moved_by else ""
        reason = f", {known.moved_why}" if known.moved_why else ""
        return [_change(HELD, prompt.name, wanted, f"held at {live}, Git says {wanted}{who}{reason}")]
    return [_change(ACTIVATE, prompt.name, wanted, f"activate {wanted} ({live} active)")]


def _checked(prompt: FolderPrompt, change: Change, known: StoredPrompt | None) -> Change:
    """Return the change, or the conflict that it is: the application that runs gives what the active version needs."""
    if change.kind != ACTIVATE or known is None or known.active_version is None:
        return change
    given = known.versions[known.active_version].required_variables.split()
    stored = known.versions.get(change.version)
    needed = (
        stored.required_variables.split()
        if stored
        else next(
            templates.Template(version.content, version.settings).required
            for version in prompt.versions
            if version.number == change.version
        )
    )
    new = [name for name in needed if name not in given]
    if not new:
        return change
    why = f"needs {', '.join(new)}, which the active version {known.active_version} does not"
    return _change(CONFLICT, prompt.name, change.version, why, hint=ALLOWING_NEW_VARIABLES)


def _done(kind: str | None) -> str:
    return {"rollback": "rolled back", "activate": "activated it", "deactivate": "deactivated it"}.get(
        kind or "", "moved it"
    )


def _change(
    kind: str,
    name: str,
    version: int,
    why: str,
    *,
    metadata: dict[str, Any] | None = None,
    file: FileVersion | None = None,
    hint: str | None = None,
) -> Change:
    return Change(kind, name, version, why, metadata, file, hint)
