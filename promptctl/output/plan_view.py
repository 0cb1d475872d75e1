"""Show the plan of a sync, to people and to programs. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import messages, stream
from promptctl.sync import changes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.sync.changes import Change
    from promptctl.sync.differences import Pair
    from promptctl.sync.synchronize import Outcome

    # What to compare, by the name and number of a new version.
    TextPairs = dict[tuple[str, int], list[Pair]]

_SIGNS = {
    changes.NEW: ("+", stream.GREEN),
    changes.ACTIVATE: (">", stream.CYAN),
    changes.DESCRIBE: ("~", stream.YELLOW),
    changes.ROUTE: ("~", stream.YELLOW),
    changes.ROLLOUT: ("%", stream.CYAN),
    changes.STOP: ("%", stream.CYAN),
    changes.TESTS: ("~", stream.YELLOW),
    changes.HELD: ("!", stream.YELLOW),
    changes.CONFLICT: ("x", stream.RED),
    changes.DATABASE_ONLY: ("#", stream.DIM),
    changes.NOTE: ("#", stream.DIM),
}
_MEANINGS = {
    "+": "new version",
    ">": "becomes active",
    "%": "rollout",
    "~": "correction",
    "!": "held, not changed",
    "x": "conflict",
    "#": "note, nothing changes",
}
# Kinds that the summary counts, each as singular and plural. It counts what is only in the database after them.
_COUNTED = (
    (changes.NEW, "new", "new"),
    (changes.ACTIVATE, "activation", "activations"),
    (changes.DESCRIBE, "correction", "corrections"),
    (changes.ROUTE, "route", "routes"),
    (changes.ROLLOUT, "rollout", "rollouts"),
    (changes.STOP, "rollout stopped", "rollouts stopped"),
    (changes.TESTS, "change of tests", "changes of tests"),
    (changes.HELD, "held", "held"),
    (changes.CONFLICT, "conflict", "conflicts"),
)
# What an operator did, by the kind of the move that a hold protects.
_ACTIONS = {"rollback": "rolled back", "deactivate": "deactivated it", "archive": "archived it"}
# Changes that need no decision. A terminal gets at most `_MOST_LINES` of each kind.
_LIMITED_KINDS = (
    changes.NEW, changes.ACTIVATE, changes.DESCRIBE, changes.TESTS, changes.DATABASE_ONLY, changes.NOTE,
)  # fmt: skip
_MOST_LINES = 50
_MOST_DIFFS = 10
_MOST_NEW_TEXTS = 5
_LINES_OF_A_NEW_TEXT = 8
# The column of subjects is at most this wide. A longer subject does not widen it.
_WIDEST_SUBJECT = 40


def show(outcome: Outcome, title: str, form: str, pairs: TextPairs, unclaimed: Sequence[str] | None = None) -> None:
    """Show a plan and its result; `title` names the folder and the database.

    `unclaimed` are the prompts that come from no folder, None if they were not read. `pairs` has the new versions
    to compare with the active ones.
    """
    plan = outcome.plan
    if form == "json":
        stream.write_json(document(outcome, title, pairs, unclaimed))
    elif form == "quiet":
        writing_changes = [change for change in plan.changes if change.kind in changes.WRITING_KINDS]
        stream.write("".join(f"{_reference(change)}\n" for change in writing_changes))
    elif stream.to_terminal():
        stream.write(stream.one_line(title) + "\n")
        _show_changes(outcome)
        _show_legend(outcome)
        _show_diffs(pairs)
        _show_new_texts(outcome, follows_diffs=bool(pairs))
        stream.write(summary(outcome) + "\n")
    else:
        rows = [
            f"{change.kind}\t{change.reference}\t{stream.tsv_field(message(change, outcome))}\n"
            for change in plan.changes
        ]
        stream.write("".join(rows))
        messages.note(title)
        messages.note(summary(outcome))
    if form != "plain" or not stream.to_terminal():
        # On a terminal, the list of changes has the hints already. In a pipe, its rows have only the messages.
        for change in plan.changes:
            hint = _own_hint(change)
            if form != "plain" and (change.kind == changes.HELD or hint):
                messages.note(f"{change.name} {message(change, outcome)}")
            if hint:
                messages.note(f"{change.name}: {hint}")


def _reference(change: Change) -> str:
    """Return what --quiet prints of a change: after the end of a rollout, the version that all units get."""
    if change.kind == changes.STOP:
        return f"{change.name}@{change.previous_version}"
    return change.reference


def document(outcome: Outcome, title: str, pairs: TextPairs, unclaimed: Sequence[str] | None = None) -> dict[str, Any]:
    """Return a plan as JSON values."""
    prepared, refusal = outcome.prepared, outcome.refusal
    return {
        "title": title,
        "source": prepared.source,
        "commit": prepared.commit.hash if prepared.commit else None,
        "changes": [
            {
                "kind": change.kind,
                "name": change.name,
                "version": change.version or None,
                "previous_version": change.previous_version,
                "why": message(change, outcome),
                "diff": _diff(change, pairs),
                "held_by": change.hold.as_json() if change.hold else None,
                "hint": change.hint,
                "origin": _origin(change, outcome),
            }
            for change in outcome.plan.changes
        ],
        "unchanged": outcome.plan.unchanged,
        "unclaimed": None if unclaimed is None else list(unclaimed),
        "applied": outcome.applied,
        "release": outcome.release,
        "refused": None if refusal is None else {"code": refusal.code, "message": refusal.message},
    }


def message(change: Change, outcome: Outcome, *, with_age: bool = False) -> str:
    """Return the description of a change. With `with_age`, the time of an operator's move is an age: `2 hours ago`."""
    text = change.message
    if change.hold is not None:
        hold = change.hold
        release = hold.undone_release
        action = f"rolled back release {release}" if release else _ACTIONS.get(hold.kind, "moved it")
        if with_age:
            from promptctl.output import time_text

            when = time_text.ago(hold.changed_at)
        else:
            when = f"at {hold.changed_at[:19]}Z"
        text += f": {hold.author} {action} {when}" + (f", {hold.reason}" if hold.reason else "")
    origin = _origin(change, outcome) or {}
    if change.kind == changes.NEW:
        text += f"; by {origin['author']}" if origin.get("author") else ""
        text += "; not committed" if origin.get("dirty") else ""
    return text


def summary(outcome: Outcome) -> str:
    """Return a plan in one line: `1 new, 1 activation; applied as release 3`."""
    counts: list[str] = []
    for kind, singular, plural in _COUNTED:
        if count := len(outcome.plan.of(kind)):
            counts.append(f"{count} {singular if count == 1 else plural}")
    only_in_database = outcome.plan.of(changes.DATABASE_ONLY)
    prompts = sum(change.version == changes.WHOLE_PROMPT for change in only_in_database)
    for noun, count in (("version", len(only_in_database) - prompts), ("prompt", prompts)):
        if count:
            counts.append(f"{count} {noun}{'s' * (count != 1)} only in the database")
    if not counts:
        return "no changes"
    if not outcome.plan.would_change and not outcome.plan.of(changes.CONFLICT):
        return f"{', '.join(counts)}; no changes"
    if outcome.applied:
        result = "applied"
    else:
        result = "nothing applied" if outcome.refusal is None else "refused, nothing applied"
    release = f" as release {outcome.release}" if outcome.release else ""
    return f"{', '.join(counts)}; {result}{release}"


def _diff(change: Change, pairs: TextPairs) -> str | None:
    from promptctl.output import diff_view

    texts = pairs.get((change.name, change.version)) if change.kind == changes.NEW else None
    return None if texts is None else "".join(diff_view.unified(*pair) for pair in texts)


def _origin(change: Change, outcome: Outcome) -> Mapping[str, Any] | None:
    origins = outcome.prepared.origins
    if change.file is not None:
        return change.file.origin(origins)
    return origins.get(change.yaml_path) if change.yaml_path else None


def _show_changes(outcome: Outcome) -> None:
    listed: list[Change] = []
    omitted: dict[str, int] = {}
    counts: dict[str, int] = {}
    for change in outcome.plan.changes:
        counts[change.kind] = counts.get(change.kind, 0) + 1
        if change.kind in _LIMITED_KINDS and counts[change.kind] > _MOST_LINES:
            omitted[change.kind] = omitted.get(change.kind, 0) + 1
        else:
            listed.append(change)
    subjects = [_subject(change) for change in listed]
    width = min(max(map(len, subjects), default=0), _WIDEST_SUBJECT)
    for change, subject in zip(listed, subjects, strict=True):
        sign, style = _SIGNS[change.kind]
        line = f"{subject:<{width}}  {stream.one_line(message(change, outcome, with_age=True))}"
        stream.write(f"{stream.styled(sign, style)} {_wrapped(line, indent=width + 2)}\n")
        if hint := _own_hint(change):
            stream.write(f"  {'':<{width}}  {stream.one_line(hint)}\n")
    for kind, count in omitted.items():
        more = f"  and {count} more of the kind {kind}: --json lists all of them"
        stream.write(stream.styled(more, stream.DIM) + "\n")


def _own_hint(change: Change) -> str | None:
    """Return the hint that follows a change. That of a conflict follows the error instead."""
    return None if change.kind == changes.CONFLICT else change.hint


def _wrapped(line: str, indent: int) -> str:
    """Break a line of a plan between words at the terminal's width, and indent all but its first part.

    The caller writes a sign and a space before the line, so two columns are left free. If the terminal is too narrow
    for the indented text, the line is not broken.
    """
    columns = stream.width() - 2
    if len(line) <= columns or columns < 2 * indent:
        return line
    import textwrap

    parts = textwrap.wrap(line, columns, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
    return "\n  ".join(parts)


def _subject(change: Change) -> str:
    """Return the subject of a change; on a terminal a long name is shortened in the middle, before its version."""
    subject = change.subject
    if len(subject) <= _WIDEST_SUBJECT or not stream.to_terminal():
        return subject
    from promptctl.output import text_width

    name, at, version = subject.partition("@")
    return f"{text_width.cut_middle(name, _WIDEST_SUBJECT - len(at + version))}{at}{version}"


def _show_legend(outcome: Outcome) -> None:
    """Explain the signs at the beginning of the lines."""
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


def _show_diffs(pairs: TextPairs) -> None:
    if not pairs:
        return
    from promptctl.output import diff_view

    for texts in list(pairs.values())[:_MOST_DIFFS]:
        for pair in texts:
            stream.write("\n")
            diff_view.show(*pair)
    if len(pairs) > _MOST_DIFFS:
        more = f"{len(pairs) - _MOST_DIFFS} more differ from the active version: --json lists all of them"
        stream.write("\n" + stream.styled(more, stream.DIM) + "\n")
    stream.write("\n")
