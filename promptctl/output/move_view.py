"""Present moves and the history. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import answers, messages, stream, table_columns, tables
from promptctl.output.table_columns import Column
from promptctl.rules import shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.store.history_events import HistoryEvent
    from promptctl.store.moves import Move
    from promptctl.store.releases import ReleaseReversal

# "activated", "deactivated" or "rolled back".
Verb = str
_INFINITIVES = {"activated": "activate", "deactivated": "deactivate", "rolled back": "roll back"}


def show_moves(moves: Sequence[Move], verb: Verb, label: str, form: str, *, dry_run: bool = False) -> None:
    """Show moves: a sentence each; in a pipe name, version and previous version; quiet: the references.

    `label` names the database. In a `dry_run` the moves were not made.
    """
    sentences = [_sentence(move, verb, label, dry_run=dry_run) for move in moves]
    show_with_sentences(moves, sentences, form, release=moves[0].release if moves else None, dry_run=dry_run)


def show_with_sentences(
    moves: Sequence[Move | ReleaseReversal],
    sentences: Sequence[str],
    form: str,
    *,
    release: int | None,
    keys: Sequence[str] = (),
    dry_run: bool,
) -> None:
    """Show moves with a sentence for each. `release` is the release of all the moves.

    `keys` names the fields of the moves that JSON has in addition.
    """
    if form == "json":
        for move, sentence in zip(moves, sentences, strict=True):
            stream.write_json_line(_document(move, sentence, keys, dry_run=dry_run))
        return
    if form == "quiet":
        answers.write_references([(move.name, move.version) for move in moves])
        return
    columns = table_columns.columns(NAME="name", VERSION="number", PREVIOUS="number")
    answers.show_changes(sentences, columns, [(move.name, move.version, move.previous_version) for move in moves])
    if dry_run:
        answers.note_dry_run()
    elif release is not None:
        messages.note(f"release {release}")


def show_history(events: Sequence[HistoryEvent], total: int, form: str, *, with_names: bool) -> None:
    """Show events, newest first: when, what, which versions, who and why; quiet: the references."""
    if form == "json":
        stream.write_json({"events": [event.as_dict() for event in events], "count": total})
        return
    if form == "quiet":
        answers.write_references([(event.name, event.version) for event in events])
        return
    columns = table_columns.columns(WHEN="time", WHAT="name", VERSION="name", BY="person", WHY="text")
    rows: list[tuple[str | None, ...]] = [
        (event.changed_at, event.kind, _version_cell(event), event.author, _why(event)) for event in events
    ]
    if with_names:
        columns.insert(1, Column("NAME", "name"))
        rows = [(row[0], event.name, *row[1:]) for event, row in zip(events, rows, strict=True)]
    if rows or not stream.to_terminal():
        tables.show(columns, rows)
    answers.note_omitted(total - len(events), "older")


def _sentence(move: Move, verb: Verb, label: str, *, dry_run: bool) -> str:
    if not move.changed:
        if move.version is None:
            return f"{move.name} is already inactive in {label}"
        return f"{move.name}@{move.version} is already active in {label}"
    if move.version == move.previous_version:
        # The active version stays the same, so the change is the end of the split.
        if dry_run:
            return f"would end the split of {move.name} in {label}: all units would get version {move.version}"
        return f"ended the split of {move.name} in {label}: all units get version {move.version}"
    before, after = _number(move.previous_version), _number(move.version)
    if dry_run:
        split = "; would also end its split" if move.split_ended else ""
        return f"would {_INFINITIVES[verb]} {move.name}: {before} → {after} in {label}{split}"
    split = "; ended its split" if move.split_ended else ""
    return f"{verb} {move.name}: {before} → {after} in {label}{split}"


def _document(move: Move | ReleaseReversal, sentence: str, keys: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "message": sentence,
        "name": move.name,
        "version": move.version,
        "previous_version": move.previous_version,
        "is_active": move.version is not None,
        "changed": move.changed,
        **{key: getattr(move, key) for key in keys},
        "release": None if dry_run else move.release,
    }
    return document | {"dry_run": True} if dry_run else document


def _number(version: int | None) -> str:
    return "none" if version is None else str(version)


def _version_cell(event: HistoryEvent) -> str:
    """Return the value of VERSION: what the event was about."""
    if event.of_version:
        return str(event.version)
    if event.kind == "split":
        return f"{event.version} | {event.candidate_version} at {shares.percent(event.basis_points)}"
    if event.kind == "route":
        steps = len(event.route or ())
        return f"→ {steps} step{'s' * (steps != 1)}" if steps else "→ none"
    if event.kind == "unsplit":
        return f"{event.version} alone"
    return f"{event.previous_version or 'none'} → {event.version or 'none'}"


def _why(event: HistoryEvent) -> str | None:
    release = None if event.release is None else f"release {event.release}"
    return ", ".join(part for part in (release, event.reason) if part) or None
