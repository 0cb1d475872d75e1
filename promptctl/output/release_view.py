"""Present releases. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import answers, messages, move_view, stream, table_columns, tables
from promptctl.output.prompt_view import commit_clause

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.store.releases import ReleaseMove, ReleaseReversal, ReleaseSummary

# Kinds of changes to a version. The other kinds change what a prompt serves.
_VERSION_KINDS = ("describe", "archive", "restore", "erase", "new")


def show_list(releases: Sequence[ReleaseSummary], total: int, form: str) -> None:
    """Show releases, newest first; quiet: their numbers."""
    if form == "json":
        stream.write_json({"releases": [release.as_dict() for release in releases], "count": total})
        return
    if form == "quiet":
        stream.write("".join(f"{release.release}\n" for release in releases))
        return
    columns = table_columns.columns(
        RELEASE="number", WHEN="time", WHAT="name", MOVED="number", NEW="number", BY="person", WHY="text"
    )
    rows = [
        (release.release, release.released_at, release.kind, release.moves, release.versions, release.author, why)
        for release, why in zip(releases, map(_why, releases), strict=True)
    ]
    if rows or not stream.to_terminal():
        tables.show(columns, rows)
    answers.note_omitted(total - len(releases), "older")


def show_release(release: ReleaseSummary, moves: Sequence[ReleaseMove], form: str) -> None:
    """Show one release and its changes; quiet: the references that it activated."""
    if form == "json":
        stream.write_json({**release.as_dict(), "changes": [move.as_dict() for move in moves]})
        return
    if form == "quiet":
        answers.write_references([(move.name, move.version) for move in moves if move.kind not in _VERSION_KINDS])
        return
    if stream.for_people():
        from promptctl.output import time_text

        when = time_text.moment(release.released_at)
        title = f"release {release.release}, {release.kind} by {release.author} {when}"
        why = _why(release)
        answers.write_line(f"{title}, {why}" if why else title)
        if release.source is not None:
            answers.write_line(f"source: {release.source}{commit_clause(release.origin)}")
        stream.write("\n")
    columns = table_columns.columns(NAME="name", WHAT="name", VERSION="name", SINCE="name")
    tables.show(
        columns,
        [(move.name, move.kind, _versions(move), "moved on" if move.moved_since else None) for move in moves],
    )


def show_rollback(
    reversals: Sequence[ReleaseReversal], number: int, label: str, form: str, *, dry_run: bool = False
) -> None:
    """Show the rollback of the release `number`: a sentence per prompt; in a pipe name, version and previous version.

    Quiet: the references that are active afterwards. In a `dry_run` nothing was changed.
    """
    if form == "plain" and not reversals:
        messages.note(f"release {number} moved no active version: nothing to roll back in {label}")
    if form == "quiet":
        reversals = [change for change in reversals if not change.skipped]
    move_view.show_with_sentences(
        reversals,
        [_sentence(change, number, label, dry_run=dry_run) for change in reversals],
        form,
        release=next((change.release for change in reversals if change.release is not None), None),
        keys=("skipped", "route_changed"),
        dry_run=dry_run,
    )


def _sentence(reversal: ReleaseReversal, number: int, label: str, *, dry_run: bool) -> str:
    version = "none" if reversal.version is None else reversal.version
    if reversal.skipped:
        verb = "would leave" if dry_run else "left"
        return f"{verb} {reversal.name} at {version} in {label}: it was moved after release {number}"
    if not reversal.changed:
        return f"{reversal.name} is already at {version} in {label}"
    if reversal.version == reversal.previous_version and reversal.split_ended:
        # The active version stays the same, so the changes are the end of the split and perhaps the route.
        units = f"all units {'would get' if dry_run else 'get'} version {version}"
        sentence = f"{'would end' if dry_run else 'ended'} the split of {reversal.name} in {label}: {units}"
        return sentence + (f"; {'would also restore' if dry_run else 'restored'} its route" * reversal.route_changed)
    if reversal.version == reversal.previous_version:
        return f"{'would restore' if dry_run else 'restored'} the route of {reversal.name} in {label}"
    before = "none" if reversal.previous_version is None else reversal.previous_version
    effects = [f"{'would also end' if dry_run else 'ended'} its split"] if reversal.split_ended else []
    effects += [f"{'would also restore' if dry_run else 'restored'} its route"] if reversal.route_changed else []
    verb = "would roll" if dry_run else "rolled"
    return "; ".join([f"{verb} back {reversal.name}: {before} → {version} in {label}", *effects])


def _why(release: ReleaseSummary) -> str | None:
    reasons = [f"undoes {release.undoes}"] if release.undoes is not None else []
    reasons += [release.reason] if release.reason else []
    reasons += [f"undone by {release.undone_by}"] if release.undone_by is not None else []
    return ", ".join(reasons) or None


def _versions(move: ReleaseMove) -> str:
    """Return the value of VERSION: the two active versions of a move, else the version that was changed."""
    if move.kind in _VERSION_KINDS or move.kind in ("split", "unsplit", "route"):
        return "-" if move.version is None else str(move.version)
    return f"{move.previous_version or 'none'} → {move.version or 'none'}"
