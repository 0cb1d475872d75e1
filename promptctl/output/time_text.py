"""Format times and durations for people."""

from __future__ import annotations

from datetime import datetime, timezone

from promptctl.output import stream

_JUST_NOW_SECONDS = 10
# Each unit, and how many of it make the next one.
_UNITS = ((60, "second"), (60, "minute"), (24, "hour"), (7, "day"))


def ago(timestamp: str) -> str:
    """Return how long ago a time was: `just now`, `5 minutes ago`; after seven days the local date, `12 Nov 2026`.

    `timestamp` is RFC 3339 in UTC.
    """
    then = datetime.fromisoformat(timestamp)
    elapsed = int((datetime.now(timezone.utc) - then).total_seconds())
    if elapsed < _JUST_NOW_SECONDS:
        return "just now"
    for size, unit in _UNITS:
        if elapsed < size:
            return f"{elapsed} {unit}{'' if elapsed == 1 else 's'} ago"
        elapsed //= size
    local = then.astimezone()
    return f"{local.day} {local:%b %Y}"


def moment(timestamp: str) -> str:
    """Return a time as `ago` does, in Markdown as `at 2026-11-12 09:30:00 UTC`, because a ticket is read later."""
    return f"at {utc(timestamp)}" if stream.is_markdown() else ago(timestamp)


def utc(timestamp: str) -> str:
    """Return a time that is RFC 3339 in UTC as `2026-11-12 09:30:00 UTC`."""
    return f"{timestamp[:19].replace('T', ' ')} UTC"


def brief(milliseconds: float) -> str:
    """Return a duration with two digits, for comparison: `350 ms`, `1.4 s`, `2 min 5 s`."""
    # 999.5 ms would be rounded to 1000 ms.
    return f"{milliseconds / 1000:.1f} s" if 999.5 <= milliseconds < 100_000 else duration(milliseconds)


def duration(milliseconds: float) -> str:
    """Return a duration with three digits: `350 ms`, `1.35 s`, `2 min 5 s`."""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 100:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def span(seconds: float) -> str:
    """Return how long something took, in one unit: `90 seconds`, `25 minutes`, `36 hours`, `4 days`.

    A larger unit is used from two of it on.
    """
    number, unit = seconds, "second"
    for size, larger in ((60, "minute"), (60, "hour"), (24, "day"), (7, "week")):
        if number < 2 * size:
            break
        number, unit = number / size, larger
    rounded = round(number)
    return f"{rounded} {unit}{'' if rounded == 1 else 's'}"
