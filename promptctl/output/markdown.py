"""Parts of a comment on a pull request, in Markdown.

The flavour is GitHub's: https://github.github.com/gfm
"""

from __future__ import annotations

from promptctl.output import stream

# A comment on GitHub has at most 65 536 characters; a later edit adds a few.
MOST_CHARACTERS = 60_000


def details(heading: str, diff: str) -> str:
    """Return a folded diff. `heading` is HTML."""
    # The fence must be longer than any row of backticks in the text.
    longest = run = 0
    for character in diff:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    summary = f"<summary><code>{heading}</code></summary>"
    return f"<details>{summary}\n\n{fence}diff\n{stream.escape_controls(diff)}{fence}\n\n</details>\n"


def code(text: str) -> str:
    """Return a text for a code span, without characters that would end the span or a cell."""
    return stream.one_line(text).replace("|", "\\|").replace("`", "'")


def escaped(text: str) -> str:
    """Return a text without Markdown syntax and without mentions of users."""
    escaped = stream.one_line(text)
    for character in "\\`*_[]#|~":
        escaped = escaped.replace(character, f"\\{character}")
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Only an @ after a blank mentions a user, not the one in an address.
    return escaped.replace(" @", " @\u200b")
