"""Show what changed in a case of a test on a terminal: the checks that fail, and a reply of each side."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING

from promptctl.output import diff_view, stream, test_words
from promptctl.output.text_width import columns_of, cut

if TYPE_CHECKING:
    from collections.abc import Iterator

    from promptctl.evaluation.results import CaseResult, Reply

# On a terminal of so many columns, both replies are beside each other.
_COLUMNS_FOR_TWO = 100
# In characters: what is visible of a reply, and how much of it before the first difference.
_LONGEST_EXCERPT, _BEFORE_DIFFERENCE = 320, 60
_MOST_LINES = 6
_MOST_CHECKS = 3
_INDENT = "    "

Parts = list[tuple[str, bool]]


def has_details(case: CaseResult) -> bool:
    """Whether `show` writes anything."""
    return test_words.outcome(case) != test_words.SAME and (bool(case.failed_checks) or excerpts(case) is not None)


def show(case: CaseResult, indent: str) -> None:
    """Write the checks that fail, at most three, and an example of each side. A case that is as before has nothing."""
    if not has_details(case):
        return
    for check in case.failed_checks[:_MOST_CHECKS]:
        text = stream.one_line(test_words.failed_check(check))
        stream.write(indent + cut(text, stream.width() - len(indent)) + "\n")
    _show_examples(case)


def excerpts(case: CaseResult) -> tuple[str, str] | None:
    """Return what to show of an example of each side, one line each, from near the first difference on.

    A side without a reply has ''. None if both sides have the same.
    """
    old, new = _text(case.example_baseline), _text(case.example_new)
    if old == new:
        return None
    same = next((place for place, pair in enumerate(zip(old, new, strict=False)) if pair[0] != pair[1]), 0)
    start = max(0, same - _BEFORE_DIFFERENCE)
    return _excerpt(old, start), _excerpt(new, start)


def _show_examples(case: CaseResult) -> None:
    """Write an example of each side: beside each other on a wide terminal, else below each other."""
    texts = excerpts(case)
    if texts is None:
        return
    old, new = diff_view.changed_parts(*texts) if all(texts) else ([(texts[0], False)], [(texts[1], False)])
    if stream.width() >= _COLUMNS_FOR_TWO and all(texts):
        width = (stream.width() - len(_INDENT) - 7) // 2
        lefts, rights = list(_lines(old, width, stream.RED)), list(_lines(new, width, stream.GREEN))
        for left, right in zip_longest(lefts, rights):
            text, used = left or ("", 0)
            sign = "-" if left else " "
            line = f"{_INDENT}{sign} {text}{' ' * (width - used)}"
            stream.write((f"{line}  + {right[0]}" if right else line.rstrip()) + "\n")
        return
    for sign, parts, color in (("-", old, stream.RED), ("+", new, stream.GREEN)):
        if parts != [("", False)]:
            for line, _ in _lines(parts, stream.width() - len(_INDENT) - 2, color):
                stream.write(f"{_INDENT}{stream.styled(sign, color)} {line}\n")


def _lines(parts: Parts, width: int, color: str) -> Iterator[tuple[str, int]]:
    """Yield the lines of a text that is wrapped at blanks, each with its columns. Words that differ are highlighted."""
    line, used, count = "", 0, 0
    for spaced, differs in _words(parts):
        word, needed = spaced, columns_of(spaced)
        if used + needed > width and used:
            if count == _MOST_LINES - 1:
                yield line + "…", used + 1
                return
            yield line, used
            line, used, count = "", 0, count + 1
            word, needed = spaced.lstrip(), columns_of(spaced.lstrip())
        visible = cut(word, width)
        line += stream.styled(visible, f"1;7;{color}") if differs else visible
        used += min(needed, width)
    if used:
        yield line, used


def _words(parts: Parts) -> Iterator[tuple[str, bool]]:
    """Yield the words of a text, each with the blank before it."""
    for text, differs in parts:
        word = ""
        for character in text:
            if character == " " and word.strip():
                yield word, differs
                word = ""
            word += character
        if word:
            yield word, differs


def _text(reply: Reply | None) -> str:
    """Return the text of a reply on one line, or what it has in place of a text."""
    if reply is None:
        return ""
    text = " ".join(test_words.reply_text(reply).split())
    return stream.one_line(text) if text else f"(no text: {reply.stop_reason})"


def _excerpt(text: str, start: int) -> str:
    before = "…" if start and text else ""
    after = "…" if len(text) > start + _LONGEST_EXCERPT else ""
    return f"{before}{text[start : start + _LONGEST_EXCERPT]}{after}"


def write_wrapped(text: str) -> None:
    """Write a text, wrapped at blanks to the width of the terminal."""
    stream.write("".join(f"{line}\n" for line in wrapped(text, stream.width())))


def wrapped(text: str, width: int) -> list[str]:
    """Return the lines of a text, wrapped at blanks."""
    return [line.lstrip() for line, _ in _lines([(stream.one_line(text), False)], width, "")] or [""]
