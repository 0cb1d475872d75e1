"""What differs between two texts: changed words on a terminal, a unified diff in a pipe."""

from __future__ import annotations

import difflib
import re
import sys

from promptctl.output import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

_CONTEXT_LINES = 3
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
# Comparing words costs the square of their number: beyond this a changed passage is shown by lines only.
_MOST_WORDS = 4_000
# Where fewer of the words stayed, the passage was rewritten, and a word here and there that stands out says nothing.
_LEAST_ALIKE = 0.6
_NO_NEWLINE = "\\ No newline at end of file\n"


def unified(old: str, new: str, old_name: str, new_name: str) -> str:
    """Return a unified diff of two texts, '' when they are equal; `patch` can read it."""
    lines: list[str] = []
    # Split at LF only: a form feed or a line separator is text.
    for line in difflib.unified_diff(_lines(old), _lines(new), old_name, new_name, n=_CONTEXT_LINES):
        lines.append(line if line.endswith("\n") else f"{line}\n{_NO_NEWLINE}")
    return "".join(lines)


def show(old: str, new: str, old_name: str, new_name: str) -> None:
    """Write what differs to standard output; says so on standard error when nothing does."""
    if not stream.to_terminal():
        stream.write(unified(old, new, old_name, new_name))
        return
    if old == new:
        stream.say(f"nothing differs between {old_name} and {new_name if new_name != old_name else 'itself'}")
        return
    from rich.console import Console

    console = Console(
        file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True,
        no_color=not stream.has_colour(sys.stdout), width=stream.width(),
    )  # fmt: skip
    try:
        for line in _words(old, new, old_name, new_name):
            console.print(line, end="\n")
    except OSError as problem:
        raise stream.unwritten(problem) from None


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _words(old: str, new: str, old_name: str, new_name: str) -> list[Text]:
    from rich.text import Text

    shown = [
        Text(f"--- {stream.one_line(old_name)}", style="red"),
        Text(f"+++ {stream.one_line(new_name)}", style="green"),
    ]
    before, after = _lines(old), _lines(new)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for group in matcher.get_grouped_opcodes(_CONTEXT_LINES):
        first, last = group[0], group[-1]
        shown.append(Text(f"@@ -{first[1] + 1},{last[2] - first[1]} +{first[3] + 1},{last[4] - first[3]} @@", "cyan"))
        for kind, a, b, c, d in group:
            if kind == "equal":
                shown += [Text("  " + _shown(line)) for line in before[a:b]]
            else:
                shown += _changed(before[a:b], after[c:d])
    return shown


def _changed(before: Sequence[str], after: Sequence[str]) -> list[Text]:
    """The lines of one changed passage; the words that differ stand out from those that only moved with them."""
    from rich.text import Text

    removed, added = Text(style="red"), Text(style="green")
    old, new = (_WORDS.findall("".join(lines)) for lines in (before, after))
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    if not before or not after or len(old) + len(new) > _MOST_WORDS or matcher.ratio() < _LEAST_ALIKE:
        removed.append(stream.harmless("".join(before)))
        added.append(stream.harmless("".join(after)))
    else:
        for kind, a, b, c, d in matcher.get_opcodes():
            emphasis = "" if kind == "equal" else "bold reverse"
            removed.append(stream.harmless("".join(old[a:b])), emphasis)
            added.append(stream.harmless("".join(new[c:d])), emphasis)
    lines: list[Text] = []
    for sign, style, text, whole in (("- ", "red", removed, before), ("+ ", "green", added, after)):
        if whole:
            lines += [Text(sign, style) + line for line in text.split("\n", allow_blank=False)]
            if not whole[-1].endswith("\n"):
                lines.append(Text("\\ no line end after the last line", "dim"))
    return lines


def _shown(line: str) -> str:
    return stream.harmless(line.removesuffix("\n"))
