"""Messages on standard error: errors with their hints, notes, warnings and the log."""

from __future__ import annotations

import sys

from promptctl.output import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl import errors


def error(failure: errors.PromptctlError, *, as_json: bool) -> None:
    """Write an error and its hint on two lines, or as one JSON object."""
    if as_json:
        document: dict[str, Any] = {"code": failure.code, "message": failure.message, "hint": failure.hint}
        if failure.others:
            document["others"] = list(failure.others)
        stream.write_stderr(stream.json_text({"error": document}))
        return
    for other in failure.others:
        note(other)
    stream.write_stderr(f"{stream.styled('error:', stream.RED, sys.stderr)} {stream.one_line(failure.message)}")
    if failure.hint:
        stream.write_stderr(f"{stream.styled('hint:', stream.CYAN, sys.stderr)}  {stream.one_line(failure.hint)}")


def note(text: str) -> None:
    """Write a line about the answer."""
    stream.write_stderr(stream.one_line(text))


def warning(text: str) -> None:
    """Write a line about a problem that does not make the command fail."""
    stream.write_stderr(f"{stream.styled('warning:', stream.YELLOW, sys.stderr)} {stream.one_line(text)}")


def log(form: str, message: str, fields: dict[str, Any]) -> None:
    """Write an event of the log: a JSON object for the form `json`, else words."""
    if form == "json":
        document = {"time": _now(), "level": "info", "message": message, **fields}
        stream.write_stderr(stream.json_text(document), at_once=True)
        return
    words = "  ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    stream.write_stderr(stream.one_line(f"{message}  {words}"), at_once=True)


def _now() -> str:
    """Return the time of this machine's clock in RFC 3339, in UTC: `2026-11-29T03:10:00.123Z`."""
    import time

    milliseconds = time.time_ns() // 1_000_000
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{seconds}.{milliseconds % 1000:03}Z"
