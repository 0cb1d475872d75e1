"""Moments and durations as people read them."""

from __future__ import annotations

from datetime import datetime, timezone

_JUST_NOW_SECONDS = 10
_UNITS = ((60, "second"), (60, "minute"), (24, "hour"), (7, "day"))


def ago(moment: str, now: datetime | None = None) -> str:
    """`just now` for ten seconds, `5 minutes ago` for seven days, then the local date, `12 Nov 2026`.

    `moment` is RFC 3339 in UTC.
    """
    then = datetime.fromisoformat(moment)
    elapsed = int(((now or datetime.now(timezone.utc)) - then).total_seconds())
    if elapsed < _JUST_NOW_SECONDS:
        return "just now"
    for size, unit in _UNITS:
        if elapsed < size:
            return f"{elapsed} {unit}{'' if elapsed == 1 else 's'} ago"
        elapsed //= size
    local = then.astimezone()
    return f"{local.day} {local:%b %Y}"


def brief(milliseconds: float) -> str:
    """`350 ms`, `1.4 s`, `2 min 5 s`: a duration that is compared and not reckoned with."""
    return f"{milliseconds / 1000:.1f} s" if 999.5 <= milliseconds < 100_000 else duration(milliseconds)


def duration(milliseconds: float) -> str:
    """`350 ms`, `1.35 s`, `2 min 5 s`."""
    if milliseconds < 999.5:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / 1000
    if seconds < 100:
        return f"{seconds:.2f} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
