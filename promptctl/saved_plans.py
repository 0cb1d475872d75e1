"""A plan in a file: reviewed now, applied later, exactly as it was, or not at all."""

from __future__ import annotations

import hashlib
import json

from promptctl import applying, atomic_files, errors, references, sync
from promptctl.changes import KINDS, NEW, Applied, Change, Hold, Plan
from promptctl.prompt_files import FileVersion
from promptctl.provenance import Commit
from promptctl.records import Record
from promptctl.store import administration, syncs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from promptctl.applying import Work
    from promptctl.changes import StoredPrompt
    from promptctl.database import Database
    from promptctl.sync import Outcome, Progress

_FORMAT = 1
_LARGEST_BYTES = 1 << 30


class SavedPlan(Record):
    """A plan as it was saved: which database it is for, and what that held of its prompts then."""

    __slots__ = ()
    title: str
    database: str
    applied_commit: str | None
    expected: dict[str, str | None]
    work: Work


def save(path: str, title: str, database: Database, outcome: Outcome) -> None:
    """Write a plan into a file. Raises Failed (`cannot_save`)."""
    work = outcome.work
    names = {each.name for each in work.plan.applied}
    document = {
        "promptctl_plan": _FORMAT,
        "title": title,
        "database": administration.installation_id(database),
        "applied_commit": outcome.applied_commit,
        "expected": {name: _fingerprint(outcome.stored.get(name)) for name in sorted(names)},
        "work": _as_json(work),
    }
    text = json.dumps(document, ensure_ascii=False, indent=1)
    try:
        atomic_files.write(path, text.encode() + b"\n", private=True)
    except OSError as problem:
        raise errors.Failed(
            "cannot_save",
            f"cannot save the plan in {references.shown(path)}: {problem.strerror}",
            hint="save it elsewhere, with --save-plan FILE",
        ) from None


def load(path: str) -> SavedPlan:
    """Return the plan in a file. Raises Failed (`cannot_read`, `invalid_plan`)."""
    try:
        with open(path, "rb") as file:
            raw = file.read(_LARGEST_BYTES)
    except OSError as problem:
        raise errors.Failed(
            "cannot_read",
            f"cannot read {references.shown(path)}: {problem.strerror}",
            hint="give --apply-plan a file that --save-plan has written",
        ) from None
    try:
        document = json.loads(raw.decode())
        return _saved_plan(document)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as problem:
        why = str(problem) if isinstance(problem, ValueError) else "it is not what --save-plan writes"
        raise errors.Failed(
            "invalid_plan",
            f"{references.shown(path)} holds no plan: {' '.join(why.split())[:200]}",
            hint="promptctl sync FOLDER --save-plan FILE",
        ) from None


def apply(
    database: Database, saved: SavedPlan, progress: Progress, *, author: str, say: Callable[[str], None]
) -> Outcome:
    """Apply a saved plan, exactly it and whole. Raises Refused (`plan_outdated`) when the database moved since."""
    if administration.installation_id(database) != saved.database:
        raise errors.Refused(
            "plan_outdated",
            f"the plan was made for another database than {database.label}",
            hint="promptctl sync FOLDER --save-plan FILE",
        )
    names = list(saved.expected)
    with database.transaction():
        syncs.lock(database, say)
        if names:
            syncs.lock_prompts(database, names)
        state = syncs.source_state(database, saved.work.source)
        stored, _ = syncs.stored(database, names) if names else ({}, {})
        moved = [name for name, expected in saved.expected.items() if _fingerprint(stored.get(name)) != expected]
        if moved or state.commit != saved.applied_commit:
            more = f" (and {len(moved) - 1} more)" if len(moved) > 1 else ""
            what = f'"{moved[0]}"{more} is' if moved else f"the commit that was applied of {saved.work.source} is"
            raise errors.Refused(
                "plan_outdated",
                f"{what} not as it was when the plan was made; nothing was applied",
                hint="promptctl sync FOLDER --save-plan FILE",
            )
        work = saved.work
        storing = applying.Storing(database, work.source, work.commit, lambda: work.origin, author)
        new = work.plan.of(NEW)
        for place, change in enumerate(new):
            if change.file is not None:
                storing.add(change.name, change.file, lambda: work.origins)
            progress("storing", place + 1, len(new))
        release, moves = applying.carry_out(database, work, storing, author=author)
    return sync.Outcome(saved.work, None, stored, state.commit).carried_out(release, moves)


def _fingerprint(prompt: StoredPrompt | None) -> str | None:
    """A digest of all that the database says of a prompt; None for one that is not there, or was just made room for."""
    if prompt is None or (not prompt.versions and not prompt.epoch and prompt.applied_source is None):
        return None
    text = json.dumps(_as_json(prompt), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _as_json(value: Any) -> Any:
    """Records as objects by their fields, texts in UTF-8 as texts, all else as it is."""
    if isinstance(value, Record):
        return {name: _as_json(each) for name, each in value.as_dict().items()}
    if isinstance(value, dict):
        return {str(key): _as_json(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(value, (list, tuple)):
        return [_as_json(each) for each in value]  # pyright: ignore[reportUnknownVariableType] - any JSON
    return value.decode() if isinstance(value, bytes) else value


def _saved_plan(document: Mapping[str, Any]) -> SavedPlan:
    if document["promptctl_plan"] != _FORMAT:
        raise ValueError(f"its format is {document['promptctl_plan']}, this promptctl knows {_FORMAT}")
    expected = dict(document["expected"])
    saved = SavedPlan(
        str(document["title"]), str(document["database"]), document["applied_commit"], expected, _work(document["work"])
    )
    for change in document["work"]["plan"]["changes"]:
        is_whole = isinstance(change["version"], int) and isinstance(change["name"], str) and change["kind"] in KINDS
        if not is_whole or (change["kind"] == NEW and not isinstance(change["file"]["content"], str)):
            raise TypeError
    return saved


def _work(said: Mapping[str, Any]) -> Work:
    plan = said["plan"]
    found = [_change(change) for change in plan["changes"]]
    applied = [Applied(**each) for each in plan["applied"]]
    commit = Commit(**said["commit"]) if said["commit"] is not None else None
    known: dict[str, Any] = {**said, "commit": commit, "plan": Plan(found, applied, int(plan["unchanged"]))}
    return applying.Work(**known)


def _change(said: Mapping[str, Any]) -> Change:
    file: FileVersion | None = None
    if said["file"] is not None:
        told = said["file"]
        listed: dict[str, Any] = {name: tuple(told[name]) for name in ("variables", "required")}
        content = None if told["content"] is None else told["content"].encode()
        file = FileVersion(**(told | listed | {"content": content}))
    hold = Hold(**said["hold"]) if said["hold"] is not None else None
    known: dict[str, Any] = {**said, "file": file, "hold": hold}
    return Change(**known)
