"""Show the differences between two texts: changed words on a terminal, a unified diff in a pipe."""

from __future__ import annotations

import re
import sys

from promptctl.output import stream
from promptctl.rules import alignment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_CONTEXT_LINES = 3
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
# A changed passage with a smaller common part counts as rewritten: its words are not highlighted.
_LEAST_COMMON_PART = 0.6
_NO_NEWLINE = "\\ No newline at end of file\n"
# In a changed passage that is longer, words are not compared.
_MOST_COMPARED_CHARACTERS = 200_000
# In characters. An equal part of a line that is longer is shortened to `_SHOWN_OF_EQUAL` at each end.
_LONGEST_EQUAL = 2_000
_SHOWN_OF_EQUAL = 200


def unified(old: str, new: str, old_name: str, new_name: str) -> str:
    """Return a unified diff of two texts that `patch` can apply; '' if they are equal."""
    # Split at LF only. `str.splitlines` would also split at a form feed or a line separator.
    before, after = _lines(old), _lines(new)
    lines: list[str] = []
    for hunk in _hunks(before, after):
        lines.append(f"{_heading(hunk)}\n")
        for is_equal, old_start, old_end, new_start, new_end in hunk:
            signed = [(" ", before[old_start:old_end])]
            if not is_equal:
                signed = [("-", before[old_start:old_end]), ("+", after[new_start:new_end])]
            for sign, texts in signed:
                lines += [f"{sign}{line}" if line.endswith("\n") else f"{sign}{line}\n{_NO_NEWLINE}" for line in texts]
    return "".join([f"--- {old_name}\n+++ {new_name}\n", *lines]) if lines else ""


def show(old: str, new: str, old_name: str, new_name: str) -> None:
    """Write the differences: with highlighted words on a terminal or with colors, else as a unified diff.

    Without differences, a terminal gets a message on standard error.
    """
    if not stream.to_terminal() and not stream.has_color(sys.stdout):
        stream.write(unified(old, new, old_name, new_name))
        return
    if old != new:
        stream.write("".join(f"{line}\n" for line in _word_diff(old, new, old_name, new_name)))
    elif stream.to_terminal() and old_name == new_name:
        stream.write_stderr(f"{old_name} is compared with itself: no differences")
    elif stream.to_terminal():
        stream.write_stderr(f"no differences between {old_name} and {new_name}")


def show_markdown(old: str, new: str, old_name: str, new_name: str) -> None:
    """Write a unified diff as a block of code in Markdown, or a sentence if the texts are equal."""
    from promptctl.output import answers, markdown

    if old == new:
        answers.write_line(f"{old_name} and {new_name} have the same text")
    else:
        stream.write(markdown.fenced(unified(old, new, old_name, new_name), "diff"))


def _lines(text: str) -> list[str]:
    parts = text.split("\n")
    lines = [part + "\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


def _hunks(before: Sequence[str], after: Sequence[str]) -> list[list[alignment.Segment]]:
    return alignment.hunks(alignment.segments(before, after), _CONTEXT_LINES)


def _heading(hunk: Sequence[alignment.Segment]) -> str:
    _, old_start, _, new_start, _ = hunk[0]
    _, _, old_end, _, new_end = hunk[-1]
    return f"@@ -{_range(old_start, old_end)} +{_range(new_start, new_end)} @@"


def _range(start: int, end: int) -> str:
    count = end - start
    if count == 1:
        return str(end)
    # Lines are numbered from 1. An empty range has the number of the line before it.
    return f"{start + 1 if count else start},{count}"


def _word_diff(old: str, new: str, old_name: str, new_name: str) -> list[str]:
    has_color = stream.has_color(sys.stdout)
    lines = [
        _styled(f"--- {stream.one_line(old_name)}", stream.RED, has_color=has_color),
        _styled(f"+++ {stream.one_line(new_name)}", stream.GREEN, has_color=has_color),
    ]
    before, after = _lines(old), _lines(new)
    for hunk in _hunks(before, after):
        lines.append(_styled(_heading(hunk), stream.CYAN, has_color=has_color))
        for is_equal, old_start, old_end, new_start, new_end in hunk:
            if is_equal:
                equal_lines = before[old_start:old_end]
                lines += ["  " + _cut(stream.escape_controls(line.removesuffix("\n"))) for line in equal_lines]
            else:
                lines += _changed_lines(before[old_start:old_end], after[new_start:new_end], has_color=has_color)
    return lines


def changed_parts(old: str, new: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]]:
    """Return the parts of both texts, each with whether it differs. A rewritten text is one part that does not."""
    if old == new:
        return [(old, False)], [(new, False)]
    removed, added = _highlighted_parts(old, new)
    return (removed, added) if removed is not None and added is not None else ([(old, False)], [(new, False)])


def _changed_lines(before: Sequence[str], after: Sequence[str], *, has_color: bool) -> list[str]:
    """Return the lines of a changed passage, with the words that differ highlighted."""
    # Both are None for a rewritten passage.
    removed, added = _highlighted_parts("".join(before), "".join(after)) if before and after else (None, None)
    lines: list[str] = []
    for sign, color, texts, parts in (
        ("- ", stream.RED, before, removed or [("".join(before), False)]),
        ("+ ", stream.GREEN, after, added or [("".join(after), False)]),
    ):
        if not texts:
            continue
        line = _styled(sign, color, has_color=has_color)
        for text, differs in parts:
            style = f"1;7;{color}" if differs else color
            # Equal parts are shortened. A rewritten passage has none, and is shown in full.
            first, *rest = stream.escape_controls(_cut(text) if removed and not differs else text).split("\n")
            line += _styled(first, style, has_color=has_color)
            for next_line in rest:
                lines.append(line)
                line = _styled(sign, color, has_color=has_color) + _styled(next_line, style, has_color=has_color)
        if not texts[-1].endswith("\n"):
            lines += [line, _styled("\\ No newline at end of file", stream.DIM, has_color=has_color)]
    return lines


def _highlighted_parts(old: str, new: str) -> tuple[list[tuple[str, bool]], list[tuple[str, bool]]] | tuple[None, None]:
    """Return the parts of both texts, each with whether it differs; None if the passage counts as rewritten."""
    start, end_old, end_new = _common_ends(old, new)
    if end_old - start + end_new - start > _MOST_COMPARED_CHARACTERS:
        return None, None
    before, after = _WORDS.findall(old[start:end_old]), _WORDS.findall(new[start:end_new])
    aligned = alignment.segments(before, after)
    equal_words = [word for is_equal, first, end, _, _ in aligned if is_equal for word in before[first:end]]
    common = start + sum(map(len, equal_words)) + len(old) - end_old
    if 2 * common < _LEAST_COMMON_PART * (len(old) + len(new)):
        return None, None
    removed, added = [(old[:start], False)], [(new[:start], False)]
    for is_equal, old_start, old_end, new_start, new_end in aligned:
        removed.append(("".join(before[old_start:old_end]), not is_equal))
        added.append(("".join(after[new_start:new_end]), not is_equal))
    return [*removed, (old[end_old:], False)], [*added, (new[end_new:], False)]


def _common_ends(old: str, new: str) -> tuple[int, int, int]:
    """Return where two texts begin to differ, and where the difference ends in each, at the boundaries of words."""
    start = _common_prefix(old, new)
    while start and (_inside_word(old, start) or _inside_word(new, start)):
        start -= 1
    # The common suffix must not overlap the common prefix. It is the common prefix of the reversed texts.
    limit = min(len(old), len(new)) - start
    suffix = _common_prefix(old[len(old) - limit :][::-1], new[len(new) - limit :][::-1]) if limit else 0
    while suffix and (_inside_word(old, len(old) - suffix) or _inside_word(new, len(new) - suffix)):
        suffix -= 1
    return start, len(old) - suffix, len(new) - suffix


def _inside_word(text: str, place: int) -> bool:
    """Whether this place in a text is inside a word or inside white space."""
    return 0 < place < len(text) and _character_class(text[place - 1]) == _character_class(text[place]) != 0


def _character_class(character: str) -> int:
    """Return 1 for a character of a word, 2 for white space, 0 for any other, which is a word of its own."""
    if character.isalnum() or character == "_":
        return 1
    return 2 if character.isspace() else 0


def _common_prefix(old: str, new: str) -> int:
    """Return the length of the common prefix. Bisection compares slices, which is faster than single characters."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _cut(text: str) -> str:
    """Shorten long lines of a text in the middle."""
    if len(text) <= _LONGEST_EQUAL:
        return text
    return "\n".join(
        part
        if len(part) <= _LONGEST_EQUAL
        else f"{part[:_SHOWN_OF_EQUAL]} … {len(part) - 2 * _SHOWN_OF_EQUAL} characters … {part[-_SHOWN_OF_EQUAL:]}"
        for part in text.split("\n")
    )


def _styled(text: str, style: str, *, has_color: bool) -> str:
    return f"\x1b[{style}m{text}\x1b[0m" if text and has_color else text
