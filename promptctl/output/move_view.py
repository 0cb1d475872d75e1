"""Moves and the history of them as people and programs read them. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import messages, stream, tables
from promptctl.output.tables import Column
from promptctl.rules import shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.store.moves import Event, Move

Verb = str
_INFINITIVES = {"activated": "activate", "deactivated": "deactivate", "rolled back": "roll back"}


def show_moves(moves: Sequence[Move], verb: Verb, label: str, form: str, *, dry_run: bool = False) -> None:
    """Show what `verb` (activated, deactivated, rolled back) did, naming the database; in a `dry_run` what it would do.

    On a terminal a sentence each; in a pipe name, version and the version before, and the sentences on standard error.
    """
    if form == "json":
        from promptctl.output import documents

        for move in moves:
            documents.show_line(_document(move, verb, label, dry_run=dry_run))
        return
    if form == "quiet":
        stream.write("".join(f"{move.name}@{move.version}\n" if move.version else f"{move.name}\n" for move in moves))
        return
    if stream.to_terminal():
        for move in moves:
            stream.write(stream.one_line(sentence(move, verb, label, dry_run=dry_run)) + "\n")
    else:
        columns = [Column("NAME", "name"), Column("VERSION", "number"), Column("PREVIOUS", "number")]
        tables.show(columns, [(move.name, move.version, move.previous_version) for move in moves])
        for move in moves:
            messages.note(sentence(move, verb, label, dry_run=dry_run))
    if dry_run:
        messages.note("dry run: nothing was changed")
    elif release := moves[0].release if moves else None:
        messages.note(f"release {release}")


def sentence(move: Move, verb: Verb, label: str, *, dry_run: bool = False) -> str:
    """Return one move in words."""
    if not move.changed:
        if move.version is None:
            return f"{move.name} is inactive already in {label}"
        return f"{move.name}@{move.version} is active already in {label}"
    if move.version == move.previous_version:
        if dry_run:
            return f"would end the split of {move.name} in {label}: version {move.version} is active alone then"
        return f"{move.name}@{move.version} is active alone again in {label}: its split has ended"
    before, after = _number(move.previous_version), _number(move.version)
    if dry_run:
        ended = "; its split would end" if move.split_ended else ""
        return f"would {_INFINITIVES[verb]} {move.name}: {before} → {after} in {label}{ended}"
    ended = "; its split has ended" if move.split_ended else ""
    return f"{verb} {move.name}: {before} → {after} in {label}{ended}"


def show_history(events: Sequence[Event], total: int, form: str, *, with_names: bool) -> None:
    """Show who moved what, when and why; quiet: the references."""
    if form == "json":
        from promptctl.output import documents

        documents.show({"events": [event.as_dict() for event in events], "count": total})
        return
    if form == "quiet":
        stream.write("".join(f"{e.name}@{e.version}\n" if e.version else f"{e.name}\n" for e in events))
        return
    columns = [Column("WHEN", "time"), Column("WHAT", "name"), Column("VERSION", "name"), Column("BY", "person")]
    rows: list[tuple[str | None, ...]] = [(e.changed_at, e.kind, _movement(e), e.author, _why(e)) for e in events]
    columns.append(Column("WHY", "text"))
    if with_names:
        columns.insert(1, Column("NAME", "name"))
        rows = [(row[0], event.name, *row[1:]) for event, row in zip(events, rows, strict=True)]
    if rows or not stream.to_terminal():
        tables.show(columns, rows)
    if total > len(events):
        messages.note(f"{total - len(events)} older: --limit 0 shows all")


def _number(version: int | None) -> str:
    return "none" if version is None else str(version)


def _document(move: Move, verb: Verb, label: str, *, dry_run: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "message": sentence(move, verb, label, dry_run=dry_run),
        "name": move.name,
        "version": move.version,
        "previous_version": move.previous_version,
        "is_active": move.version is not None,
        "changed": move.changed,
        "release": None if dry_run else move.release,
    }
    return document | {"dry_run": True} if dry_run else document


def _movement(event: Event) -> str:
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


def _why(event: Event) -> str | None:
    told = [f"release {event.release}"] if event.release is not None else []
    return ", ".join([*told, *([event.reason] if event.reason else [])]) or None
