"""Parse ages: 90s, 15m, 2h, 3d, 1w. Pure."""

from __future__ import annotations

from promptctl import errors
from promptctl.rules import references

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
# A thousand years, which PostgreSQL can subtract from any present time.
_LONGEST_SECONDS = 1000 * 365 * 86_400
_MOST_DIGITS = 15


def parse(text: str) -> int:
    """Return an age (`90s`, `15m`, `2h`, `3d`, `1w`) in seconds. Raises Usage."""
    seconds = seconds_or_none(text.strip())
    if seconds is None:
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is not an age", hint="write 12h, 30d or 8w")
    if seconds >= _LONGEST_SECONDS:
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is out of range")
    return seconds


def seconds_or_none(text: str) -> int | None:
    """Return an age in seconds, None for a text that is not an age. Raises Usage for too many digits."""
    amount, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (amount.isascii() and amount.isdigit()):
        return None
    if len(amount) > _MOST_DIGITS:
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is out of range")
    return int(amount) * _UNITS[unit]
