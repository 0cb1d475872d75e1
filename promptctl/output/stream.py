"""Write to standard output and standard error: escaping, colors, JSON, terminals and the pager."""

from __future__ import annotations

import errno
import os
import sys

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, TextIO

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"

# Characters that control a terminal instead of being displayed: C0 and C1 controls and bidirectional controls.
CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_ESCAPES = {code: (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}") for code in CONTROLS}
_LINE_ESCAPES = (
    _ESCAPES
    | {ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
    | {
        # The separators of lines and of paragraphs, which Markdown, HTML and Python break lines at.
        code: f"\\u{code:04x}"
        for code in (0x2028, 0x2029)
    }
)
_TEXT_ESCAPES = {code: escape for code, escape in _ESCAPES.items() if code not in (0x09, 0x0A)}
# The format of COPY escapes single bytes. A C1 control has two bytes in UTF-8, and the first is always c2.
_TSV_ESCAPES = {
    code: f"\\xc2{escape}" if code > 0x7F else escape for code, escape in _ESCAPES.items() if code < 0x100
} | {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
_FALSE_VALUES = ("0", "false")
COLOR_CHOICES = ("auto", "always", "never")
# The value of --color.
_color = "auto"
# False with --no-pager.
_may_use_pager = True
# True with --format markdown.
_is_markdown = False
# The answer so far, while it is collected for the pager; None if it is written at once.
_buffered: list[bytes] | None = None
_TAB_COLUMNS = 8


def is_terminal(stream: TextIO) -> bool:
    """Whether this stream is a terminal. A closed stream is not."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def to_terminal() -> bool:
    """Whether standard output is a terminal, and the answer is laid out for it. An answer in Markdown is not."""
    return is_terminal(sys.stdout) and not _is_markdown


def use_markdown() -> None:
    """Write the answer in Markdown, as --format markdown asks. It is the same on a terminal and in a pipe."""
    global _is_markdown
    _is_markdown = True


def is_markdown() -> bool:
    """Whether the answer is in Markdown."""
    return _is_markdown


def for_people() -> bool:
    """Whether people read the answer: on a terminal or in Markdown. Programs read what goes into a pipe."""
    return _is_markdown or to_terminal()


def set_color(choice: str) -> None:
    """Set the value of --color: auto, always or never."""
    global _color
    _color = choice


def has_color(stream: TextIO) -> bool:
    """Whether to use colors in this stream.

    Markdown has none. Else the first of these that is set decides: --color, NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE.
    Without them, a terminal has colors unless CLICOLOR is 0, or TERM is dumb or not set. A variable that is empty
    counts as not set. FORCE_COLOR=0 switches colors off, and CLICOLOR_FORCE=0 is ignored.
    """
    if _is_markdown and stream is sys.stdout:
        return False
    if _color != "auto":
        return _color == "always"
    setting = os.environ.get
    if setting("NO_COLOR"):
        return False
    if forced := setting("FORCE_COLOR"):
        return forced not in _FALSE_VALUES
    if setting("CLICOLOR_FORCE", "0") not in ("", *_FALSE_VALUES):
        return True
    return supports_escapes(stream) and setting("CLICOLOR") != "0"


def width() -> int:
    """Return the columns of the terminal, at least 20; 80 if they are not known."""
    setting = os.environ.get("COLUMNS", "")
    if setting.isascii() and setting.isdigit() and len(setting) < 6 and int(setting) > 0:
        columns = int(setting)
    else:
        try:
            columns = os.get_terminal_size(sys.stdout.fileno()).columns or 80
        except (OSError, ValueError):
            columns = 80
    return max(columns, 20)


def styled(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return `text` in a style (an SGR code) if the stream has colors, else unchanged."""
    return f"\x1b[{style}m{text}\x1b[0m" if has_color(stream or sys.stdout) else text


def wrapped(sentences: Sequence[str]) -> list[str]:
    """Return sentences as lines that break between words on a terminal."""
    if not sentences or not to_terminal():
        return list(sentences)
    import textwrap

    return [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, width(), break_long_words=False, break_on_hyphens=False)
    ]


def one_line(text: str) -> str:
    """Return `text` with all control characters escaped, newlines and tabs too, for one line of a terminal."""
    return text if text.isprintable() and text.isascii() else _escape(text, _LINE_ESCAPES)


def escape_controls(text: str) -> str:
    """Return `text` with all control characters escaped except newlines and tabs."""
    return _escape(text, _TEXT_ESCAPES)


def _escape(text: str, controls: Mapping[int, str]) -> str:
    if not text.isascii():
        from promptctl.rules import invisible_characters

        text = invisible_characters.escape(text)
    return text.translate(controls)


def tsv_field(text: str) -> str:
    """Return `text` as a field of tab-separated output, escaped as in PostgreSQL's COPY format."""
    return text if text.isprintable() and "\\" not in text else text.translate(_TSV_ESCAPES)


def write(text: str) -> None:
    """Write text to standard output in UTF-8, independent of the locale."""
    write_bytes(text.encode("utf-8", "surrogateescape"))


def write_json(document: Mapping[str, Any]) -> None:
    """Write one JSON object: indented on a terminal, on one line in a pipe. docs/json.md documents the keys."""
    write(json_text(document, 2 if to_terminal() else None) + "\n")


def write_json_line(document: Mapping[str, Any]) -> None:
    """Write one JSON object on one line, for an answer of several objects."""
    write(json_text(document) + "\n")


def json_text(document: object, indent: int | None = None) -> str:
    """Return a JSON value as text in which all control and suspicious invisible characters are escaped."""
    import json

    text = json.dumps(document, ensure_ascii=False, indent=indent)
    if text.isascii() and "\x7f" not in text:
        return text
    from promptctl.rules import invisible_characters

    text = invisible_characters.escape(text, lambda character: json.dumps(character)[1:-1])
    # `json.dumps` has escaped C0 controls, and the newlines of an indented object must stay.
    return text.translate({code: f"\\u{code:04x}" for code in CONTROLS if code >= 0x7F})


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output.

    Raises Failed (`cannot_write`) if standard output is not open or the disk is full, and BrokenPipeError if the reader
    has closed its end of a pipe.
    """
    if sys.stdout is None:
        raise write_error(OSError(errno.EBADF, os.strerror(errno.EBADF)))
    if _buffered is not None:
        _buffered.append(data)
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    except OSError as problem:
        raise write_error(problem) from None


def disable_pager() -> None:
    """Write every answer without a pager, as --no-pager asks."""
    global _may_use_pager
    _may_use_pager = False


def buffer_for_pager() -> None:
    """Collect the answer until `flush`, which shows it in the pager if it is longer than the terminal."""
    global _buffered
    if _may_use_pager and _buffered is None and sys.stdout is not None and supports_escapes(sys.stdout):
        _buffered = []


def write_buffered() -> None:
    """Write the answer so far, if it was collected, without the pager. Raises Failed (`cannot_write`)."""
    global _buffered
    parts, _buffered = _buffered, None
    if parts:
        write_bytes(b"".join(parts))


def _flush_to_pager() -> None:
    global _buffered
    parts, _buffered = _buffered, None
    data = b"".join(parts or ())
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        size = os.terminal_size((0, 0))
    # The answer has at most this many lines on the screen: one for each newline, and one for each time that it fills
    # the width. A byte takes at most one column, and a tab eight more. If the answer and the shell's prompt may need
    # more lines than the terminal has, `pager.show` counts the lines exactly and decides.
    lines = data.count(b"\n") + (len(data) + _TAB_COLUMNS * data.count(b"\t")) // max(size.columns, 1)
    if 0 < size.lines <= lines:
        from promptctl.output import pager

        if pager.show(data, size.columns, size.lines, write_stderr):
            return
    write_bytes(data)


def write_content(content: str) -> None:
    """Write the text of a prompt: unchanged into a pipe; on a terminal escaped, and with a newline at the end."""
    if not to_terminal():
        write_bytes(content.encode())
        return
    text = escape_controls(content)
    write(text if text.endswith("\n") else text + "\n")


def supports_escapes(stream: TextIO) -> bool:
    """Whether this stream is a terminal, other than a dumb one, that supports escape sequences."""
    return is_terminal(stream) and os.environ.get("TERM", "") not in ("", "dumb")


_has_transient = False


def show_transient(text: str) -> None:
    """Show a temporary line on standard error. The next temporary line replaces it, and the next message erases it."""
    global _has_transient
    _has_transient = True
    _write_at_once(f"\r{text}\x1b[K")


def clear_transient() -> None:
    """Erase the line of `show_transient`, if there is one."""
    global _has_transient
    if _has_transient:
        _has_transient = False
        _write_at_once("\r\x1b[K")


def _write_at_once(text: str) -> None:
    try:
        os.write(2, text.encode())
    except OSError:
        return


def write_stderr(text: str, *, at_once: bool = False, end: str = "\n") -> None:
    """Write a line to standard error. Ignore an error of writing, because the answer is not affected.

    If the answer is being collected for the pager and standard error is a terminal, the line joins the answer, which
    keeps the order. With `at_once`, it is written immediately as long as the answer is empty.
    """
    clear_transient()
    is_answer_empty = not _buffered
    if _buffered is not None and not (at_once and is_answer_empty) and is_terminal(sys.stderr):
        _buffered.append((text + end).encode("utf-8", "surrogateescape"))
        return
    try:
        if is_terminal(sys.stdout):
            # A terminal shows both streams: keep their order.
            sys.stdout.flush()
        sys.stderr.flush()
        sys.stderr.buffer.write((text + end).encode("utf-8", "surrogateescape"))
        sys.stderr.buffer.flush()
    except (OSError, ValueError, AttributeError):
        return


def flush() -> None:
    """Write all buffered output, or show it in the pager. Raises Failed (`cannot_write`)."""
    if sys.stdout is None:
        return
    if _buffered is not None:
        _flush_to_pager()
    try:
        sys.stdout.flush()
    except OSError as problem:
        raise write_error(problem) from None


def write_error(problem: OSError) -> Exception:
    """Return the exception for an error of standard output: a closed pipe unchanged, any other error as Failed."""
    if isinstance(problem, BrokenPipeError):
        return problem
    # Whether a change was made before depends on the command, so `cli.hints` adds the hint.
    return errors.Failed("cannot_write", f"cannot write the answer: {problem.strerror}")
