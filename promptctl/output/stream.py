"""Standard output and standard error: what they are connected to, and bytes written to them."""

from __future__ import annotations

import errno
import os
import sys

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"

# What a terminal would obey instead of showing: C0 and C1 controls, and the characters that turn the reading direction.
CONTROLS = [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_ESCAPES = {code: (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}") for code in CONTROLS}
_ON_A_LINE = _ESCAPES | {ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
_IN_A_TEXT = {code: escape for code, escape in _ESCAPES.items() if code not in (0x09, 0x0A)}
# As COPY reads it: a control character as the bytes of its UTF-8.
_IN_A_CELL = {
    code: f"\\xc2{escape}" if code > 0x7F else escape for code, escape in _ESCAPES.items() if code < 0x100
} | {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}
_NO = ("0", "false")
COLOR_CHOICES = ("auto", "always", "never")
# What --color said.
_color = "auto"
# Whether a pager is allowed: --no-pager.
_may_page = True
# The answer so far, while it is kept back to be compared with the terminal's height.
_kept_back: list[bytes] | None = None
_TAB_COLUMNS = 8


def is_terminal(stream: TextIO) -> bool:
    """Whether a person looks at this stream. A closed one is no terminal."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def to_terminal() -> bool:
    """Whether the answer goes to a person."""
    return is_terminal(sys.stdout)


def set_color(when: str) -> None:
    """Color as an option says: auto, always or never."""
    global _color
    _color = when


def has_color(stream: TextIO) -> bool:
    """Whether to color this stream.

    The first of these that is set decides: --color, NO_COLOR, FORCE_COLOR, CLICOLOR_FORCE; else a terminal that is not
    dumb is colored, unless CLICOLOR is 0. An empty variable is not set; FORCE_COLOR=0 means never, CLICOLOR_FORCE=0
    nothing.
    """
    if _color != "auto":
        return _color == "always"
    setting = os.environ.get
    if setting("NO_COLOR"):
        return False
    if forced := setting("FORCE_COLOR"):
        return forced not in _NO
    if setting("CLICOLOR_FORCE", "0") not in ("", *_NO):
        return True
    return is_terminal(stream) and setting("TERM", "") not in ("", "dumb") and setting("CLICOLOR") != "0"


def width() -> int:
    """Columns of the terminal, at least 20; 80 when it does not say."""
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
    """Return `text` in a style (an SGR code) where the stream has color, else as it is."""
    return f"\x1b[{style}m{text}\x1b[0m" if has_color(stream or sys.stdout) else text


def one_line(text: str) -> str:
    """Return `text` so that a terminal shows all of it on one line and obeys none of it."""
    return text if text.isprintable() and text.isascii() else _visible(text, _ON_A_LINE)


def escape_controls(text: str) -> str:
    """Return a text of many lines so that a terminal shows all of it and obeys none of it; tabs and line ends stay."""
    return _visible(text, _IN_A_TEXT)


def _visible(text: str, controls: Mapping[int, str]) -> str:
    if not text.isascii():
        from promptctl.rules import invisible_characters

        text = invisible_characters.escape(text)
    return text.translate(controls)


def tsv_field(text: str) -> str:
    """Return `text` as a field of tab-separated output, escaped as PostgreSQL's COPY does it."""
    return text if text.isprintable() and "\\" not in text else text.translate(_IN_A_CELL)


def write(text: str) -> None:
    """Write to standard output, in UTF-8 whatever the locale."""
    write_bytes(text.encode("utf-8", "surrogateescape"))


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output as they are; raises Failed (`cannot_write`) when it is closed or full."""
    if sys.stdout is None:
        raise unwritten(OSError(errno.EBADF, os.strerror(errno.EBADF)))
    if _kept_back is not None:
        _kept_back.append(data)
        return
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
    except OSError as problem:
        raise unwritten(problem) from None


def use_pager(allowed: bool) -> None:
    """Allow a pager or not, as an option says."""
    global _may_page
    _may_page = allowed


def hold_for_pager() -> None:
    """From now on keep the answer back until `flush`, which shows it in a pager if it is longer than the terminal."""
    global _kept_back
    if _may_page and _kept_back is None and sys.stdout is not None and can_erase(sys.stdout):
        _kept_back = []


def release_held() -> None:
    """Write what `page` kept back, and keep no more back; raises Failed (`cannot_write`)."""
    global _kept_back
    kept, _kept_back = _kept_back, None
    if kept:
        write_bytes(b"".join(kept))


def _show_kept_back() -> None:
    global _kept_back
    kept, _kept_back = _kept_back, None
    data = b"".join(kept or ())
    try:
        size = os.get_terminal_size(sys.stdout.fileno())
    except (OSError, ValueError):
        size = os.terminal_size((0, 0))
    # The most lines that it can take. The line below the answer is the shell's.
    lines = data.count(b"\n") + (len(data) + _TAB_COLUMNS * data.count(b"\t")) // max(size.columns, 1)
    if 0 < size.lines <= lines:
        from promptctl.output import pager

        if pager.show(data, size.columns, size.lines):
            return
    write_bytes(data)


def write_content(content: str) -> None:
    """Write a prompt's text: byte for byte into a pipe; on a terminal made harmless, with a line end after it."""
    if not to_terminal():
        write_bytes(content.encode())
        return
    shown = escape_controls(content)
    write(shown if shown.endswith("\n") else shown + "\n")


def can_erase(stream: TextIO) -> bool:
    """Whether a line that was written to this stream can be taken away again: a terminal that is not dumb."""
    return is_terminal(stream) and os.environ.get("TERM", "") not in ("", "dumb")


_shown_for_now = False


def show_transient(text: str) -> None:
    """Write over the line on standard error that is taken away before anything else is said there."""
    global _shown_for_now
    _shown_for_now = True
    _write_at_once(f"\r{text}\x1b[K")


def clear_transient() -> None:
    """Take away what is shown for now."""
    global _shown_for_now
    if _shown_for_now:
        _shown_for_now = False
        _write_at_once("\r\x1b[K")


def _write_at_once(text: str) -> None:
    try:
        os.write(2, text.encode())
    except OSError:
        return


def write_stderr(text: str, *, at_once: bool = False) -> None:
    """Write a line to standard error. A standard error that is closed or full is no reason to fail.

    While the answer is kept back for the pager, the line keeps its place in it; `at_once`: unless it is the first.
    """
    clear_transient()
    if _kept_back is not None and (_kept_back or not at_once) and is_terminal(sys.stderr):
        _kept_back.append((text + "\n").encode("utf-8", "surrogateescape"))
        return
    try:
        if to_terminal():
            # The person reads both streams: what was answered first stands first.
            sys.stdout.flush()
        sys.stderr.flush()
        sys.stderr.buffer.write((text + "\n").encode("utf-8", "surrogateescape"))
        sys.stderr.buffer.flush()
    except (OSError, ValueError, AttributeError):
        return


def flush() -> None:
    """Hand everything written so far to the system, or to the pager; raises Failed (`cannot_write`) if it fails."""
    if sys.stdout is None:
        return
    if _kept_back is not None:
        _show_kept_back()
    try:
        sys.stdout.flush()
    except OSError as problem:
        raise unwritten(problem) from None


def unwritten(problem: OSError) -> Exception:
    """Return what to raise when standard output fails: a closed pipe as it is, all else as Failed."""
    if isinstance(problem, BrokenPipeError):
        return problem
    # The answer comes last: what was to be changed is changed.
    return errors.Failed(
        "cannot_write", f"cannot write the answer: {problem.strerror}", hint="promptctl history shows what was changed"
    )
