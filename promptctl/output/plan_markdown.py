"""Write the plan of a sync as Markdown, for a comment on a pull request: the changes, and the texts that differ."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from promptctl.output import create_view, diff_view, markdown, plan_view, stream
from promptctl.sync import changes

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.output.create_view import NewText
    from promptctl.output.plan_view import TextPairs
    from promptctl.sync.changes import Change
    from promptctl.sync.synchronize import Outcome

_MOST_ROWS = 200
_LINES_OF_A_NEW_TEXT = 30
_LABELS = {
    changes.NEW: "new version",
    changes.ACTIVATE: "**becomes active**",
    changes.DESCRIBE: "metadata",
    changes.ROUTE: "**route**",
    changes.ROLLOUT: "**rollout**",
    changes.STOP: "**rollout stops**",
    changes.TESTS: "tests",
    changes.HELD: "held",
    changes.CONFLICT: "**conflict**",
    changes.DATABASE_ONLY: "only in the database",
    changes.NOTE: "note",
}
# Important kinds come first, the kinds that are not listed last.
_ORDER = {
    changes.CONFLICT: 0,
    changes.ACTIVATE: 1,
    changes.ROUTE: 1,
    changes.ROLLOUT: 1,
    changes.STOP: 1,
    changes.HELD: 2,
    changes.NEW: 3,
    changes.DESCRIBE: 4,
    changes.TESTS: 4,
}
# A workflow can find and replace its earlier comment by this line.
_MARK = "<!-- promptctl sync -->"


def show(outcome: Outcome, title: str, pairs: TextPairs, remark: str = "") -> None:
    """Write a plan to standard output, and a remark below its summary."""
    stream.write(text(outcome, title, pairs, remark))


def text(outcome: Outcome, title: str, pairs: TextPairs, remark: str = "") -> str:
    """Return a plan as a comment on a pull request; texts that do not fit are left out and counted."""
    parts = [f"{_MARK}\n### promptctl sync\n\n`{markdown.code(title)}`\n"]
    if outcome.refusal is not None:
        parts.append(f"> **sync would refuse this plan:** {markdown.escaped(outcome.refusal.message)}\n")
    changes_in_order = sorted(outcome.plan.changes, key=lambda change: _ORDER.get(change.kind, 5))
    if changes_in_order:
        rows = [_row(change, outcome) for change in changes_in_order[:_MOST_ROWS]]
        parts.append("\n".join(["| | prompt | |", "|---|---|---|", *rows]) + "\n")
    if len(changes_in_order) > _MOST_ROWS:
        parts.append(f"… and {len(changes_in_order) - _MOST_ROWS} more.\n")
    parts += [f"{markdown.escaped(line)}\n" for line in (plan_view.summary(outcome), remark) if line]
    # Joining the parts adds one newline for each.
    size = sum(map(len, parts)) + len(parts)
    fitting = misfits = 0
    sections = _texts(outcome, pairs)
    for make_section in sections:
        section = make_section()
        if size + len(section) > markdown.MOST_CHARACTERS:
            misfits += 1
            if misfits == markdown.MOST_MISFITS:
                break
            continue
        parts.append(section)
        size += len(section) + 1
        fitting += 1
    if omitted := len(sections) - fitting:
        parts.append(f"{omitted} more texts are left out because they are too long for this comment.\n")
    return "\n".join(parts)


def _texts(outcome: Outcome, pairs: TextPairs) -> list[Callable[[], str]]:
    """Return functions that make a section for each new version that differs from the active one or is the first."""

    def changed(name: str, version: int) -> str:
        diff = "".join(diff_view.unified(*pair) for pair in pairs[name, version])
        return markdown.details(f"{name}@{version} compared with the active version", diff)

    def first(new: NewText) -> str:
        lines = [f"+{line}\n" for line in new.lines]
        if new.omitted_lines:
            lines.append(f"… {new.omitted_lines} more lines in {new.path}\n")
        return markdown.details(f"{new.reference}, a new prompt", "".join(lines))

    return [
        *(partial(changed, *key) for key in pairs),
        *(partial(first, new) for new in create_view.new_texts(outcome, _LINES_OF_A_NEW_TEXT)),
    ]


def _row(change: Change, outcome: Outcome) -> str:
    message = markdown.escaped(plan_view.message(change, outcome))
    if change.kind != changes.CONFLICT and change.hint:
        message += f"; {markdown.escaped(change.hint)}"
    return f"| {_LABELS[change.kind]} | `{change.subject}` | {message} |"
