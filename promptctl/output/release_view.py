"""Releases as people and programs read them. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import messages, stream, tables
from promptctl.output.prompt_view import at
from promptctl.output.tables import Column

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.store.releases import ReleaseMove, ReleaseSummary, Undone

_CORRECTIONS = ("describe", "archive", "restore", "erase", "new")


def show_list(releases: Sequence[ReleaseSummary], total: int, form: str) -> None:
    """Show releases, newest first; quiet: their numbers."""
    if form == "json":
        from promptctl.output import documents

        documents.show({"releases": [release.as_dict() for release in releases], "count": total})
        return
    if form == "quiet":
        stream.write("".join(f"{release.release}\n" for release in releases))
        return
    columns = [
        Column("RELEASE", "number"),
        Column("WHEN", "time"),
        Column("WHAT", "name"),
        Column("MOVED", "number"),
        Column("NEW", "number"),
        Column("BY", "person"),
        Column("WHY", "text"),
    ]
    rows = [
        (each.release, each.released_at, each.kind, each.moves, each.versions, each.author, _why(each))
        for each in releases
    ]
    if rows or not stream.to_terminal():
        tables.show(columns, rows)
    if total > len(releases):
        messages.note(f"{total - len(releases)} older: --limit 0 shows all")


def show_release(summary: ReleaseSummary, moves: Sequence[ReleaseMove], form: str) -> None:
    """Show one release and what it did; quiet: the references that it moved."""
    if form == "json":
        from promptctl.output import documents

        documents.show({**summary.as_dict(), "changes": [move.as_dict() for move in moves]})
        return
    if form == "quiet":
        moved = [move for move in moves if move.kind not in _CORRECTIONS]
        stream.write("".join(f"{m.name}@{m.version}\n" if m.version else f"{m.name}\n" for m in moved))
        return
    if stream.to_terminal():
        from promptctl.output import times

        told = f"release {summary.release}, {summary.kind} by {summary.author} {times.ago(summary.released_at)}"
        stream.write(stream.one_line(f"{told}, {why}" if (why := _why(summary)) else told) + "\n")
        if summary.source is not None:
            stream.write(stream.one_line(f"from {summary.source}{at(summary.origin)}") + "\n")
        stream.write("\n")
    columns = [Column("NAME", "name"), Column("WHAT", "name"), Column("VERSION", "name"), Column("SINCE", "name")]
    tables.show(
        columns, [(move.name, move.kind, _movement(move), "moved on" if move.moved_since else None) for move in moves]
    )


def show_rollback(undone: Sequence[Undone], number: int, label: str, form: str, *, dry_run: bool = False) -> None:
    """Show what a release's rollback did, or in a `dry_run` would do; quiet: the references that are active then.

    On a terminal a sentence each; in a pipe name, version and the version before, and the sentences on standard error.
    """
    if form == "json":
        from promptctl.output import documents

        for each in undone:
            documents.show_line(_document(each, number, label, dry_run=dry_run))
        return
    if form == "quiet":
        stream.write(
            "".join(f"{u.name}@{u.version}\n" if u.version else f"{u.name}\n" for u in undone if not u.skipped)
        )
        return
    if stream.to_terminal():
        for each in undone:
            stream.write(stream.one_line(sentence(each, number, label, dry_run=dry_run)) + "\n")
    else:
        columns = [Column("NAME", "name"), Column("VERSION", "number"), Column("PREVIOUS", "number")]
        tables.show(columns, [(each.name, each.version, each.previous_version) for each in undone])
        for each in undone:
            messages.note(sentence(each, number, label, dry_run=dry_run))
    if not undone:
        messages.note(f"release {number} moved nothing: there is nothing to put back in {label}")
    if dry_run:
        messages.note("dry run: nothing was changed")
        return
    release = next((each.release for each in undone if each.release is not None), None)
    if release is not None:
        messages.note(f"release {release}")


def sentence(undone: Undone, number: int, label: str, *, dry_run: bool = False) -> str:
    """Return in words what became of one prompt, or in a `dry_run` would."""
    version = "none" if undone.version is None else undone.version
    if undone.skipped:
        left = "would leave" if dry_run else "left"
        return f"{left} {undone.name} at {version} in {label}: it has moved since release {number}"
    if not undone.changed:
        return f"{undone.name} is back at {version} already in {label}"
    if undone.version == undone.previous_version:
        return f"{'would put' if dry_run else 'put'} back the route of {undone.name} in {label}"
    before = "none" if undone.previous_version is None else undone.previous_version
    ended = f"; its split {'would end' if dry_run else 'has ended'}" if undone.split_ended else ""
    ended += f"; its route {'would be' if dry_run else 'is'} put back" if undone.route_changed else ""
    return f"{'would roll' if dry_run else 'rolled'} back {undone.name}: {before} → {version} in {label}{ended}"


def _document(undone: Undone, number: int, label: str, *, dry_run: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "message": sentence(undone, number, label, dry_run=dry_run),
        "name": undone.name,
        "version": undone.version,
        "previous_version": undone.previous_version,
        "is_active": undone.version is not None,
        "changed": undone.changed,
        "skipped": undone.skipped,
        "route_changed": undone.route_changed,
        "release": None if dry_run else undone.release,
    }
    return document | {"dry_run": True} if dry_run else document


def _why(release: ReleaseSummary) -> str | None:
    told = [release.reason] if release.reason else []
    if release.undoes is not None:
        told.insert(0, f"puts back {release.undoes}")
    if release.undone_by is not None:
        told.append(f"put back by {release.undone_by}")
    return ", ".join(told) or None


def _movement(move: ReleaseMove) -> str:
    if move.kind in _CORRECTIONS or move.kind in ("split", "unsplit", "route"):
        return "-" if move.version is None else str(move.version)
    return f"{move.previous_version or 'none'} → {move.version or 'none'}"
