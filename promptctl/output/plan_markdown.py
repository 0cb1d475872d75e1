"""A sync's plan in Markdown, for the comment of a pull request: what would happen, and what differs.

The flavour is GitHub's: https://github.github.com/gfm
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import create_view, plan_view, stream
from promptctl.output import diff_view as differences
from promptctl.sync import changes

if TYPE_CHECKING:
    from promptctl.output.plan_view import Diffs
    from promptctl.sync.changes import Change
    from promptctl.sync.synchronize import Outcome

# A comment on GitHub takes 65 536 characters; a later edit adds a few.
_MOST_CHARACTERS = 60_000
_MOST_ROWS = 200
_LINES_OF_A_NEW_TEXT = 30
_WORDS = {
    changes.NEW: "new version",
    changes.ACTIVATE: "**goes live**",
    changes.DESCRIBE: "corrected",
    changes.ROUTE: "**route**",
    changes.HELD: "held back",
    changes.CONFLICT: "**conflict**",
    changes.STORED: "only in the database",
    changes.NOTE: "note",
}
_WEIGHTS = {
    changes.CONFLICT: 0,
    changes.ACTIVATE: 1,
    changes.ROUTE: 1,
    changes.HELD: 2,
    changes.NEW: 3,
    changes.DESCRIBE: 4,
}
# A line that begins so is found again, so that a workflow can replace its earlier comment.
_MARK = "<!-- promptctl sync -->"


def show(outcome: Outcome, title: str, diffs: Diffs) -> None:
    """Write a plan to standard output."""
    stream.write(text(outcome, title, diffs))


def text(outcome: Outcome, title: str, diffs: Diffs) -> str:
    """Return a plan as a comment of a pull request; what does not fit into one is left out, and said so."""
    parts = [f"{_MARK}\n### promptctl sync\n\n`{_code(title)}`\n"]
    if outcome.refusal is not None:
        parts.append(f"> **This would be refused:** {_escaped(outcome.refusal.message)}\n")
    found = sorted(outcome.plan.changes, key=lambda change: _WEIGHTS.get(change.kind, 5))
    if found:
        rows = [_row(change, outcome) for change in found[:_MOST_ROWS]]
        parts.append("\n".join(["| | prompt | |", "|---|---|---|", *rows]) + "\n")
    if len(found) > _MOST_ROWS:
        parts.append(f"… and {len(found) - _MOST_ROWS} more.\n")
    parts.append(f"{_escaped(plan_view.summary(outcome))}\n")
    size = sum(map(len, parts)) + len(parts)
    left_out = 0
    for (name, version), (old, new, old_name, new_name) in diffs.items():
        told = differences.unified(old, new, old_name, new_name)
        part = _details(f"{name}@{version} against the active version", told)
        if size + len(part) > _MOST_CHARACTERS:
            left_out += 1
            continue
        parts.append(part)
        size += len(part) + 1
    for each in create_view.of(outcome, _LINES_OF_A_NEW_TEXT):
        more = [f"… {each.left_out} more lines in {each.path}"] if each.left_out else []
        told = "".join(f"+{line}\n" for line in each.lines) + "".join(f"{line}\n" for line in more)
        part = _details(f"{each.reference}, a new prompt", told)
        if size + len(part) > _MOST_CHARACTERS:
            left_out += 1
            continue
        parts.append(part)
        size += len(part) + 1
    if left_out:
        parts.append(f"{left_out} more texts are left out, which are too long for this comment.\n")
    return "\n".join(parts)


def _row(change: Change, outcome: Outcome) -> str:
    told = _escaped(plan_view.told(change, outcome))
    if change.kind == changes.HELD and change.hint:
        told += f"; {_escaped(change.hint)}"
    return f"| {_WORDS[change.kind]} | `{change.subject}` | {told} |"


def _details(heading: str, told: str) -> str:
    # The fence is longer than any in the text.
    longest = run = 0
    for character in told:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    summary = f"<summary><code>{heading}</code></summary>"
    return f"<details>{summary}\n\n{fence}diff\n{stream.escape_controls(told)}{fence}\n\n</details>\n"


def _code(text: str) -> str:
    return stream.one_line(text).replace("|", "\\|").replace("`", "'")


def _escaped(text: str) -> str:
    """Text of which Markdown takes nothing for its own, and which mentions nobody."""
    told = stream.one_line(text)
    for character in "\\`*_[]#|~":
        told = told.replace(character, f"\\{character}")
    told = told.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # An address mentions nobody, a name after a blank does.
    return told.replace(" @", " @\u200b")
