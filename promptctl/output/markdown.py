"""Parts of an answer in Markdown, for example of a comment on a pull request.

The flavour is GitHub's: https://github.github.com/gfm
"""

from __future__ import annotations

import html
import re

from promptctl.output import stream

# A comment on GitHub has at most 65 536 characters; a later edit adds a few.
MOST_CHARACTERS = 60_000
# After so many parts that do not fit into a comment, the others are not made.
MOST_MISFITS = 20
_MENTIONS = re.compile(r"(?<![0-9A-Za-z])@")
# What GitHub makes a link of without any syntax. An address of an e-mail stays one, because authors are addresses.
_LINKS = re.compile(r"(?i)(?:https?|ftp):(?=//)|www(?=\.)")


def details(heading: str, diff: str) -> str:
    """Return a folded diff. `heading` is text."""
    summary = f"<summary><code>{_html(heading)}</code></summary>"
    return f"<details>{summary}\n\n{fenced(diff, 'diff')}\n</details>\n"


def fenced(text: str, language: str = "") -> str:
    """Return a text as a block of code, with its controls escaped and a line feed at its end."""
    # The fence must be longer than any row of backticks in the text.
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    fence = "`" * max(3, longest + 1)
    end = "" if text.endswith("\n") or not text else "\n"
    return f"{fence}{language}\n{stream.escape_controls(text)}{end}{fence}\n"


def code(text: str) -> str:
    """Return a text for a code span, without characters that would end the span or a cell."""
    return stream.one_line(text).replace("|", "\\|").replace("`", "'")


def escaped(text: str) -> str:
    """Return a text without Markdown syntax, links and mentions of users."""
    escaped = stream.one_line(text)
    for character in "\\`*_[]#|~":
        escaped = escaped.replace(character, f"\\{character}")
    if escaped.count("$") > 1:
        # Between two of them, GitHub reads a formula.
        escaped = escaped.replace("$", "\\$")
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _LINKS.sub("\\g<0>\u200b", escaped)
    # An @ mentions a user, but for the one in an address, which has a letter or a digit before it.
    return _MENTIONS.sub("@\u200b", escaped)


def _html(text: str) -> str:
    """Return a text for HTML, which is no Markdown."""
    return html.escape(stream.one_line(text), quote=False)
