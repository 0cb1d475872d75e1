"""Splits and their changes as people and programs read them. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import messages, stream, tables
from promptctl.output.tables import Column
from promptctl.rules import shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.store.splits import Split, SplitChange


def show_change(changed: SplitChange, label: str, form: str) -> None:
    """Show what became of a split, naming the database; quiet: the reference of the candidate, else of what is live.

    In a pipe the name, the active version, the candidate, its share and the share before.
    """
    if form == "json":
        from promptctl.output import documents

        documents.show(_change_document(changed, label))
        return
    if form == "quiet":
        stream.write(_reference(changed.name, changed.candidate_version or changed.version))
        return
    said = sentence(changed, label)
    if not stream.to_terminal():
        columns = [
            Column("NAME", "name"),
            Column("ACTIVE", "number"),
            Column("CANDIDATE", "number"),
            Column("SHARE", "name"),
            Column("BEFORE", "name"),
        ]
        now = None if changed.candidate_version is None else shares.percent(changed.basis_points)
        before = None if changed.previous_candidate is None else shares.percent(changed.previous_basis_points)
        tables.show(columns, [(changed.name, changed.version, changed.candidate_version, now, before)])
        messages.note(said)
        return
    stream.write(stream.one_line(said) + "\n")
    if changed.changed and changed.candidate_version is not None:
        messages.note(f"promptctl activate {changed.name}@{changed.candidate_version} gives it to everybody")
        messages.note(f"promptctl split {changed.name} --off gives it to nobody")


def sentence(change: SplitChange, label: str) -> str:
    """Return a change of a split in words."""
    name, candidate, before = change.name, change.candidate_version, change.previous_candidate
    share, share_before = shares.percent(change.basis_points), shares.percent(change.previous_basis_points)
    if candidate is None:
        served = _everybody(change.version)
        if not change.changed:
            return f"{name} has no split in {label}: {served}"
        return f"{name}: {served} again in {label}; the split with version {before} ({share_before}) has ended"
    rest = f"version {change.version} {'the rest' if change.basis_points < shares.ALL else 'nothing'}"
    if not change.changed:
        return f"{name}: version {candidate} gets {share} already, {rest}, in {label}"
    if before is None:
        was = " (was none)"
    elif before != candidate:
        was = f" (version {before} had {share_before})"
    elif share != share_before:
        was = f" (was {share_before})"
    else:
        was = " as before, drawn anew"
    return f"{name}: version {candidate} gets {share}{was}, {rest}, in {label}"


def show_split(found: Split, label: str, form: str) -> None:
    """Show how a prompt is split; quiet: the reference of the candidate, if there is one."""
    if form == "json":
        from promptctl.output import documents

        documents.show(
            {
                "name": found.name,
                "active_version": found.active_version,
                "candidate_version": found.candidate_version,
                "basis_points": found.basis_points,
                "seed": found.seed,
                "epoch": found.epoch,
                "changed_at": found.changed_at,
                "author": found.author,
                "reason": found.reason,
            }
        )
        return
    if form == "quiet":
        stream.write("" if found.candidate_version is None else _reference(found.name, found.candidate_version))
        return
    if found.candidate_version is None and stream.to_terminal():
        stream.write(
            stream.one_line(f"{found.name} has no split in {label}: {_everybody(found.active_version)}") + "\n"
        )
        return
    rows = [(found.active_version, shares.percent(shares.ALL - found.basis_points), found.description)]
    if found.active_version is None:
        rows = []
    if found.candidate_version is not None:
        rows.insert(0, (found.candidate_version, shares.percent(found.basis_points), found.candidate_description))
    columns = [Column("VERSION", "number"), Column("SHARE", "number"), Column("DESCRIPTION", "text")]
    tables.show(columns, rows, marked=lambda place: rows[place][0] == found.active_version)
    if stream.to_terminal() and found.changed_at is not None:
        from promptctl.output import times

        why = f": {found.reason}" if found.reason else ""
        stream.write("\n" + stream.one_line(f"since {times.ago(found.changed_at)}, by {found.author}{why}") + "\n")
        stream.write(f"{stream.styled('seed', stream.DIM)}  {stream.one_line(str(found.seed))}\n")


def _everybody(version: int | None) -> str:
    return "nothing is active" if version is None else f"version {version} is for everybody"


def _reference(name: str, version: int | None) -> str:
    return f"{name}\n" if version is None else f"{name}@{version}\n"


def _change_document(change: SplitChange, label: str) -> dict[str, Any]:
    return {
        "message": sentence(change, label),
        "name": change.name,
        "version": change.version,
        "candidate_version": change.candidate_version,
        "previous_candidate_version": change.previous_candidate,
        "basis_points": change.basis_points,
        "previous_basis_points": change.previous_basis_points,
        "seed": change.seed,
        "epoch": change.epoch,
        "changed": change.changed,
    }
