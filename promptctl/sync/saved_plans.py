"""Save a plan in a file, and apply it later: exactly the plan that was reviewed, or nothing."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from promptctl import atomic_files, bounded_input, errors
from promptctl.records import Record
from promptctl.rules import json_documents, references
from promptctl.rules.json_documents import Fields, InvalidDocument
from promptctl.store import administration, syncs
from promptctl.sync import plan_documents
from promptctl.sync.apply import apply_plan
from promptctl.sync.changes import NEW
from promptctl.sync.synchronize import Outcome
from promptctl.sync.upload import Uploader

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.postgres.database import Database
    from promptctl.store.syncs import SourceState, StoredPrompt
    from promptctl.sync.apply import Prices
    from promptctl.sync.changes import PreparedPlan
    from promptctl.sync.read import Progress

_FORMAT = 5
_HINT = "promptctl sync FOLDER --save-plan FILE"


class SavedPlan(Record):
    """A plan from a file.

    `installation` is the id of the database that the plan was made for. `previous_commit` is the commit that had been
    applied last. `fingerprints` has, by prompt name, a digest of what the database had of the prompt, None for nothing.
    """

    title: str
    installation: str
    previous_commit: str | None
    fingerprints: dict[str, str | None]
    prepared: PreparedPlan


def save(path: str, title: str, database: Database, outcome: Outcome) -> None:
    """Write a plan into a file. Raises Failed (`cannot_save`)."""
    names = {prompt.name for prompt in outcome.plan.applied_prompts}
    document = {
        "promptctl_plan": _FORMAT,
        "title": title,
        "database": administration.read_installation_id(database),
        "applied_commit": outcome.previous_commit,
        "expected": {name: _fingerprint(outcome.stored.get(name)) for name in sorted(names)},
        "work": plan_documents.prepared_plan_as_json(outcome.prepared),
    }
    document["digest"] = plan_documents.digest(document)
    data = json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
    try:
        if len(data) > bounded_input.LARGEST_BYTES:
            # `load` refuses a larger file.
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
        data = bounded_input.any_file(path)
    except (OSError, ValueError) as problem:
        hint = "pass --apply-plan a file that --save-plan has written"
        raise bounded_input.unreadable(references.quoted(path), problem, hint) from None
    try:
        return _parse(json_documents.parse(data))
    except InvalidDocument as problem:
        raise errors.Failed(
            "invalid_plan",
            f"{references.quoted(path)} is not a saved plan: {' '.join(problem.reason.split())[:200]}",
            hint=_HINT,
        ) from None


def apply(
    database: Database,
    saved: SavedPlan,
    progress: Progress,
    *,
    author: str,
    notify: Callable[[str], None],
    prices: Prices,
) -> Outcome:
    """Apply a saved plan, exactly as it was saved. Raises Refused (`plan_outdated`) if the database has changed since.

    `notify` gets a line when another sync holds the lock. `prices` is as in `apply_plan`.
    """
    if administration.read_installation_id(database) != saved.installation:
        message = f"the plan was made for another database than {database.label}"
        raise errors.Refused("plan_outdated", message, hint=_HINT)
    prepared = saved.prepared
    names = list(saved.fingerprints)
    with database.transaction():
        syncs.lock(database, notify)
        if names:
            syncs.start_locking(database, names)()
        state = syncs.source_state(database, prepared.source)
        stored = syncs.stored_prompts(database, names) if names else {}
        _refuse_if_outdated(saved, state, stored)
        uploader = Uploader(
            database,
            prepared.source,
            prepared.commit,
            author=author,
            origin=lambda: prepared.origin,
            origins=lambda _: prepared.origins,
        )
        new = prepared.plan.of(NEW)
        for count, change in enumerate(new, 1):
            if change.file is not None:
                uploader.add(change.name, change.file)
            progress("storing", count, len(new))
        applied = apply_plan(database, prepared, uploader, author=author, prices=prices)
    return Outcome(prepared, None, stored, state.commit).as_applied(applied)


def _refuse_if_outdated(saved: SavedPlan, state: SourceState, stored: dict[str, StoredPrompt]) -> None:
    """Raise Refused (`plan_outdated`) if a prompt or the applied commit has changed since the plan was saved."""
    changed = [name for name, value in saved.fingerprints.items() if _fingerprint(stored.get(name)) != value]
    if not changed and state.commit == saved.previous_commit:
        return
    if changed:
        more = f" (and {len(changed) - 1} more)" if len(changed) > 1 else ""
        subject = f'"{changed[0]}"{more}'
    else:
        subject = f"the applied commit of {saved.prepared.source}"
    message = f"{subject} has changed since the plan was made; nothing was applied"
    raise errors.Refused("plan_outdated", message, hint=_HINT)


def _fingerprint(prompt: StoredPrompt | None) -> str | None:
    """Return a digest of everything that the database has of a prompt, None if it has nothing.

    A lock of a prompt that does not exist inserts an empty row. An empty row counts as nothing.
    """
    if prompt is None or (not prompt.versions and not prompt.epoch and prompt.applied_source is None):
        return None
    # A record is a tuple, so the digest does not depend on the names of its fields.
    return hashlib.sha256(json.dumps(prompt, sort_keys=True).encode()).hexdigest()


def _parse(document: object) -> SavedPlan:
    fields = Fields(document, "the document")
    if (number := fields.integer("promptctl_plan")) != _FORMAT:
        raise InvalidDocument(f"it has format {number}, and this promptctl reads format {_FORMAT}")
    if fields.text("digest") != plan_documents.digest(fields.everything):
        raise InvalidDocument("it was changed after it was saved: its digest does not match")
    fingerprints = fields.mapping("expected")
    for name, value in fingerprints.items():
        if not isinstance(value, (str, type(None))):
            raise InvalidDocument(f"expected: {name[:80]} is not a text")
        plan_documents.check_name(name)
    return SavedPlan(
        fields.text("title"),
        fields.text("database"),
        fields.text_or_none("applied_commit"),
        fingerprints,
        plan_documents.parse_prepared_plan(fields.fields("work")),
    )
