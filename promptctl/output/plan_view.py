"""A sync's plan as people and programs read it. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import messages, stream
from promptctl.sync import changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.sync.changes import Change
    from promptctl.sync.synchronize import Outcome

    Diffs = Mapping[tuple[str, int], tuple[str, str, str, str]]

_SIGNS = {
    changes.NEW: ("+", stream.GREEN),
    changes.ACTIVATE: (">", stream.CYAN),
    changes.DESCRIBE: ("~", stream.YELLOW),
    changes.ROUTE: ("~", stream.YELLOW),
    changes.HELD: ("!", stream.YELLOW),
    changes.CONFLICT: ("x", stream.RED),
    changes.STORED: ("#", stream.DIM),
    changes.NOTE: ("#", stream.DIM),
}
_MEANINGS = {
    "+": "new version",
    ">": "becomes active",
    "~": "corrected",
    "!": "held back, stays as it is",
    "x": "conflict",
    "#": "note, nothing is done",
}
_COUNTED = (
    (changes.NEW, "new", "new"),
    (changes.ACTIVATE, "activation", "activations"),
    (changes.DESCRIBE, "correction", "corrections"),
    (changes.ROUTE, "route", "routes"),
    (changes.HELD, "held back", "held back"),
    (changes.CONFLICT, "conflict", "conflicts"),
    (changes.STORED, "only in the database", "only in the database"),
)
_DID = {
    "rollback": "rolled back",
    "deactivate": "deactivated it",
    "archive": "archived it",
}
# Of a kind, on a terminal; all that need a decision are shown.
_MOST_LINES = 50
_MOST_DIFFS = 10
_MOST_NEW_TEXTS = 5
_LINES_OF_A_NEW_TEXT = 8
# One long name does not move all others to the right.
_WIDEST = 40
_SHORT_KINDS = (changes.NEW, changes.ACTIVATE, changes.DESCRIBE, changes.STORED, changes.NOTE)


def show(outcome: Outcome, title: str, form: str, diffs: Diffs, unclaimed: Sequence[str] | None = None) -> None:
    """Show a plan and what became of it; `title` says from where to where.

    `unclaimed` are prompts that come from no folder, None where they were not asked for.

    `diffs` has, for new versions by name and number, what differs from the active one: both texts, and their names.
    """
    found = outcome.plan.changes
    if form == "json":
        from promptctl.output import documents

        documents.show(document(outcome, title, diffs, unclaimed))
    elif form == "quiet":
        done = [each for each in found if each.kind in changes.DOING]
        stream.write("".join(f"{each.name}@{each.version}\n" if each.version else f"{each.name}\n" for each in done))
    elif stream.to_terminal():
        stream.write(stream.one_line(title) + "\n")
        _lines(outcome)
        _show_legend(outcome)
        _show_diffs(diffs)
        _show_new_texts(outcome, follows_diffs=bool(diffs))
        stream.write(summary(outcome) + "\n")
    else:
        rows = [
            f"{each.kind}\t{f'{each.name}@{each.version}' if each.version else each.name}\t"
            f"{stream.tsv_field(told(each, outcome))}\n"
            for each in found
        ]
        stream.write("".join(rows))
        messages.note(title)
        messages.note(summary(outcome))
    if form != "plain" or not stream.to_terminal():
        for each in outcome.plan.of(changes.HELD):
            if form != "plain":
                messages.note(f"{each.name} {told(each, outcome)}")
            if each.hint:
                messages.note(f"{each.name}: {each.hint}")


def document(outcome: Outcome, title: str, diffs: Diffs, unclaimed: Sequence[str] | None = None) -> dict[str, Any]:
    """Return a plan in JSON."""
    from promptctl.output import diff_view as differences

    work, refusal = outcome.work, outcome.refusal
    return {
        "title": title,
        "source": work.source,
        "commit": work.commit.hash if work.commit else None,
        "changes": [
            {
                "kind": each.kind,
                "name": each.name,
                "version": each.version or None,
                "previous_version": each.previous_version,
                "why": told(each, outcome),
                "diff": differences.unified(*diffs[each.name, each.version]) if _of_diff(each, diffs) else None,
                "held_by": each.hold.as_dict() if each.hold else None,
                "hint": each.hint,
                "origin": _origin(each, outcome),
            }
            for each in outcome.plan.changes
        ],
        "unchanged": outcome.plan.unchanged,
        "unclaimed": None if unclaimed is None else list(unclaimed),
        "applied": outcome.applied,
        "release": outcome.release,
        "refused": None if refusal is None else {"code": refusal.code, "message": refusal.message},
    }


def told(change: Change, outcome: Outcome, *, is_read: bool = False) -> str:
    """Return a change in words; `is_read`: by a person now, so that times are told as ages."""
    why = change.why
    if change.hold is not None:
        hold = change.hold
        did = f"rolled back release {hold.undone}" if hold.undone else _DID.get(hold.how, "moved it")
        if is_read:
            from promptctl.output import times

            when = times.ago(hold.at)
        else:
            when = f"at {hold.at[:19]}Z"
        why += f": {hold.by} {did} {when}" + (f", {hold.why}" if hold.why else "")
    origin = _origin(change, outcome) or {}
    if change.kind == changes.NEW:
        why += f"; by {origin['author']}" if origin.get("author") else ""
        why += "; not committed" if origin.get("dirty") else ""
    return why


def summary(outcome: Outcome) -> str:
    """Return a plan in one line: `1 new, 1 activation; applied as release 3`."""
    counts: list[str] = []
    for kind, one, many in _COUNTED:
        if count := len(outcome.plan.of(kind)):
            counts.append(f"{count} {one if count == 1 else many}")
    if not counts:
        return "no changes"
    if not outcome.plan.would_change and not outcome.plan.of(changes.CONFLICT):
        return f"{', '.join(counts)}; no changes"
    ending = "applied" if outcome.applied else "nothing applied"
    release = f" as release {outcome.release}" if outcome.release else ""
    return f"{', '.join(counts)}; {ending}{release}"


def _of_diff(change: Change, diffs: Diffs) -> bool:
    return change.kind == changes.NEW and (change.name, change.version) in diffs


def _origin(change: Change, outcome: Outcome) -> dict[str, Any] | None:
    path = change.file.path if change.file else change.yaml_path
    return outcome.work.origins.get(path) if path else None


def _lines(outcome: Outcome) -> None:
    shown: list[Change] = []
    left_out: dict[str, int] = {}
    counts: dict[str, int] = {}
    for change in outcome.plan.changes:
        counts[change.kind] = counts.get(change.kind, 0) + 1
        if change.kind in _SHORT_KINDS and counts[change.kind] > _MOST_LINES:
            left_out[change.kind] = left_out.get(change.kind, 0) + 1
        else:
            shown.append(change)
    subjects = [_subject(change) for change in shown]
    width = min(max(map(len, subjects), default=0), _WIDEST)
    for change, subject in zip(shown, subjects, strict=True):
        sign, style = _SIGNS[change.kind]
        line = f"{subject:<{width}}  {stream.one_line(told(change, outcome, is_read=True))}"
        stream.write(f"{stream.styled(sign, style)} {line}\n")
        if change.kind == changes.HELD and change.hint:
            stream.write(f"  {'':<{width}}  {stream.one_line(change.hint)}\n")
    for kind, count in left_out.items():
        stream.write(stream.styled(f"  and {count} more of the kind {kind}: --json has them all", stream.DIM) + "\n")


def _subject(change: Change) -> str:
    """What a change is about; on a terminal a long name is shortened in the middle, and its version stays."""
    subject = change.subject
    if len(subject) <= _WIDEST or not stream.to_terminal():
        return subject
    from promptctl.output import tables

    name, at, version = subject.partition("@")
    return f"{tables.middle(name, _WIDEST - len(at + version))}{at}{version}"


def _show_legend(outcome: Outcome) -> None:
    """Say what the signs mean that stand at the beginning of the lines."""
    used = {_SIGNS[change.kind][0] for change in outcome.plan.changes}
    parts = [f"{sign} {meaning}" for sign, meaning in _MEANINGS.items() if sign in used]
    if not parts:
        return
    line = f"signs: {parts.pop(0)}"
    for part in parts:
        if len(line) + 3 + len(part) > stream.width():
            stream.write(stream.styled(line, stream.DIM) + "\n")
            line = f"       {part}"
        else:
            line += f"   {part}"
    stream.write(stream.styled(line, stream.DIM) + "\n")


def _show_new_texts(outcome: Outcome, *, follows_diffs: bool) -> None:
    if outcome.applied or not outcome.plan.of(changes.NEW):
        return
    from promptctl.output import create_view

    create_view.show(outcome, _LINES_OF_A_NEW_TEXT, _MOST_NEW_TEXTS, follows_diffs=follows_diffs)


def _show_diffs(diffs: Diffs) -> None:
    if not diffs:
        return
    from promptctl.output import diff_view as differences

    for old, new, old_name, new_name in list(diffs.values())[:_MOST_DIFFS]:
        stream.write("\n")
        differences.show(old, new, old_name, new_name)
    if len(diffs) > _MOST_DIFFS:
        more = f"{len(diffs) - _MOST_DIFFS} more differ from the active version: --json has them all"
        stream.write("\n" + stream.styled(more, stream.DIM) + "\n")
    stream.write("\n")
