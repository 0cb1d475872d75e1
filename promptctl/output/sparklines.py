"""Numbers as bars and sparklines of characters."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_BAR_CHARACTERS = 8
_DAYS = 14
# A character of a bar, filled by 0 to 8 eighths.
_EIGHTHS = " ▏▎▍▌▋▊▉█"
# The heights of a sparkline.
_LEVELS = "▁▂▃▄▅▆▇█"


def bar(value: float | None, largest: float) -> str:
    """Return a bar of at most eight characters, in steps of an eighth of a character; '' for zero."""
    if not value or largest <= 0:
        return ""
    eighths = max(1, round(value / largest * _BAR_CHARACTERS * 8))
    return _EIGHTHS[8] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def sparkline(values: Sequence[int], largest: int) -> str:
    """Return one character per value, as high as the value; a space for zero."""
    levels = [min(len(_LEVELS) - 1, value * len(_LEVELS) // (largest + 1)) for value in values]
    return "".join(_LEVELS[level] if value else " " for value, level in zip(values, levels, strict=True))


def of_days(days: Sequence[str | None]) -> list[str]:
    """Return a sparkline of the last 14 days for each version, all of one scale, today last; '' without uses.

    An item is a text such as `0 12,3 7` for 12 uses today and 7 three days ago.
    """
    trends: list[list[int]] = []
    for text in days:
        trend = [0] * _DAYS
        for day in text.split(",") if text else ():
            days_ago, _, uses = day.partition(" ")
            if 0 <= int(days_ago) < _DAYS:
                trend[-1 - int(days_ago)] = int(uses)
        trends.append(trend)
    busiest = max(map(max, trends), default=0)
    return [sparkline(trend, busiest) if any(trend) else "" for trend in trends]
