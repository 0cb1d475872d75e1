"""A plan in a file: reviewed now, applied later, exactly as it was, or not at all."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from promptctl import atomic_files, bounded_input, errors
from promptctl.folder.prompt_files import FileVersion
from promptctl.folder.provenance import Commit
from promptctl.records import Record
from promptctl.rules import json_documents, references
from promptctl.rules.json_documents import Fields, InvalidDocument
from promptctl.store import administration, syncs
from promptctl.store.syncs import Hold
from promptctl.sync import applying, synchronize
from promptctl.sync.changes import ACTIVATE, DESCRIBE, KINDS, NEW, ROUTE, Applied, Change, Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.store.syncs import StoredPrompt
    from promptctl.sync.applying import Work
    from promptctl.sync.synchronize import Outcome, Progress

_FORMAT = 2
_HINT = "promptctl sync FOLDER --save-plan FILE"


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
    document["digest"] = _digest(document)
    data = json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
    try:
        if len(data) > bounded_input.LARGEST_BYTES:
            # It could not be read back.
            raise bounded_input.TooLarge(bounded_input.LARGEST_BYTES)
        atomic_files.write(path, data, private=True)
    except OSError as problem:
        raise errors.Failed(
            "cannot_save",
            f"cannot save the plan in {references.quoted(path)}: {problem.strerror}",
            hint="save it elsewhere, with --save-plan FILE",
        ) from None


def load(path: str) -> SavedPlan:
    """Return the plan in a file. Raises Failed (`cannot_read`, `invalid_plan`)."""
    try:
        raw = bounded_input.any_file(path)
    except (OSError, ValueError) as problem:
        # A name with a NUL is no system's error.
        reason = getattr(problem, "strerror", None) or str(problem)
        raise errors.Failed(
            "cannot_read",
            f"cannot read {references.quoted(path)}: {reason}",
            hint="give --apply-plan a file that --save-plan has written",
        ) from None
    try:
        return _saved_plan(json_documents.parse(raw))
    except InvalidDocument as problem:
        raise errors.Failed(
            "invalid_plan",
            f"{references.quoted(path)} holds no plan: {' '.join(problem.reason.split())[:200]}",
            hint=_HINT,
        ) from None


def apply(
    database: Database, saved: SavedPlan, progress: Progress, *, author: str, say: Callable[[str], None]
) -> Outcome:
    """Apply a saved plan, exactly it and whole. Raises Refused (`plan_outdated`) when the database moved since."""
    if administration.installation_id(database) != saved.database:
        raise errors.Refused(
            "plan_outdated",
            f"the plan was made for another database than {database.label}",
            hint=_HINT,
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
                hint=_HINT,
            )
        work = saved.work
        storing = applying.Storing(database, work.source, work.commit, lambda: work.origin, author)
        new = work.plan.of(NEW)
        for place, change in enumerate(new):
            if change.file is not None:
                storing.add(change.name, change.file, lambda: work.origins)
            progress("storing", place + 1, len(new))
        release, moves = applying.carry_out(database, work, storing, author=author)
    return synchronize.Outcome(saved.work, None, stored, state.commit).carried_out(release, moves)


def _fingerprint(prompt: StoredPrompt | None) -> str | None:
    """A digest of all that the database says of a prompt; None for one that is not there, or was just made room for."""
    if prompt is None or (not prompt.versions and not prompt.epoch and prompt.applied_source is None):
        return None
    text = json.dumps(_as_json(prompt), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(document: Mapping[str, Any]) -> str:
    """A digest of a plan's document: it tells an accident or an edit, not a forgery, which would have another one."""
    said = {name: value for name, value in document.items() if name != "digest"}
    # As bytes that do not depend on white space, on the order of keys, or on how a character is escaped.
    text = json.dumps(said, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _as_json(value: Any) -> Any:
    """Records as objects by their fields, texts in UTF-8 as texts, all else as it is."""
    if isinstance(value, Record):
        return {name: _as_json(each) for name, each in value.as_dict().items()}
    if isinstance(value, dict):
        return {_storable(str(key)): _as_json(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(value, (list, tuple)):
        return [_as_json(each) for each in value]  # pyright: ignore[reportUnknownVariableType] - any JSON
    if isinstance(value, str):
        return _storable(value)
    return value.decode() if isinstance(value, bytes) else value


def _storable(text: str) -> str:
    """Return a text as UTF-8 can hold it: a path may have bytes that are none."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _saved_plan(document: object) -> SavedPlan:
    fields = Fields(document, "the document")
    if (form := fields.integer("promptctl_plan")) != _FORMAT:
        raise InvalidDocument(f"its format is {form}, this promptctl knows {_FORMAT}")
    if fields.text("digest") != _digest(fields.everything):
        raise InvalidDocument("it was changed after it was saved: its digest is another one")
    expected = fields.mapping("expected")
    for name, digest in expected.items():
        if not isinstance(digest, (str, type(None))):
            raise InvalidDocument(f"expected: {name[:80]} is no text")
        _check_name(name)
    return SavedPlan(
        fields.text("title"),
        fields.text("database"),
        fields.text_or_none("applied_commit"),
        expected,
        _work(fields.fields("work")),
    )


def _work(said: Fields) -> Work:
    plan = said.fields("plan")
    commit = None if said.is_none("commit") else said.fields("commit")
    origins = said.mapping("origins")
    for path, origin in origins.items():
        if not isinstance(origin, dict):
            raise InvalidDocument(f"origins: {path[:80]} is no object")
    return applying.Work(
        said.text("source"),
        commit and Commit(commit.text("hash"), commit.text("committed_at")),
        said.mapping("origin"),
        origins,
        Plan(
            [_change(Fields(each, f"change {place}")) for place, each in enumerate(plan.sequence("changes"), 1)],
            [_applied(Fields(each, f"prompt {place}")) for place, each in enumerate(plan.sequence("applied"), 1)],
            plan.integer("unchanged"),
        ),
        said.boolean("adopts"),
        said.boolean("allow_new_variables"),
        said.boolean("is_known"),
    )


def _change(said: Fields) -> Change:
    kind = said.text("kind")
    if kind not in KINDS:
        raise InvalidDocument(f"{said.where}: there is no kind {references.quoted(kind)}")
    file = None if said.is_none("file") else _file(said.fields("file"))
    is_whole = {
        NEW: file is not None and file.content is not None,
        ACTIVATE: said.integer("version") > 0,
        DESCRIBE: not said.is_none("metadata"),
        ROUTE: not said.is_none("route"),
    }
    if not is_whole.get(kind, True):
        raise InvalidDocument(f"{said.where}: a change of the kind {kind} that does not say what to do")
    return Change(
        kind,
        _check_name(said.text("name")),
        said.integer("version"),
        said.text("why"),
        said.integer_or_none("previous_version"),
        None if said.is_none("metadata") else said.mapping("metadata"),
        None if said.is_none("route") else _route(said, "route"),
        file,
        said.text_or_none("yaml_path"),
        None if said.is_none("hold") else _hold(said.fields("hold")),
        said.text_or_none("hint"),
        said.boolean("needs_new_variables"),
    )


def _file(said: Fields) -> FileVersion:
    content = said.text_or_none("content")
    return FileVersion(
        said.integer("number", 1),
        said.text("path"),
        said.text("sha256"),
        None if content is None else content.encode(),
        said.integer("size"),
        said.texts("variables"),
        said.texts("required"),
        said.mapping("settings"),
        said.mapping("metadata"),
        said.text_or_none("author"),
    )


def _hold(said: Fields) -> Hold:
    return Hold(
        said.text("by"), said.text("how"), said.text("at"), said.text_or_none("why"), said.integer_or_none("undone")
    )


def _applied(said: Fields) -> Applied:
    metadata = said.mapping("metadata")
    if not all(isinstance(each, dict) for each in metadata.values()):
        raise InvalidDocument(f"{said.where}: metadata is not by version")
    return Applied(
        _check_name(said.text("name")),
        said.integer_or_none("active", 1),
        None if said.is_none("route") else _route(said, "route"),
        metadata,
        said.text_or_none("digest"),
        said.boolean("is_settled"),
        said.boolean("is_held"),
    )


def _route(said: Fields, name: str) -> list[dict[str, Any]]:
    steps = said.sequence(name)
    if not all(isinstance(step, dict) for step in steps):
        raise InvalidDocument(f"{said.where}: {name} is no list of objects")
    return steps


def _check_name(name: str) -> str:
    try:
        references.check_name(name)
    except errors.Usage as problem:
        raise InvalidDocument(problem.message) from None
    return name
