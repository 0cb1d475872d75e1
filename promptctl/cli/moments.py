"""Moments as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from promptctl import errors
from promptctl.rules import references

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST_SECONDS = 1000 * 365 * 86_400
_LONGEST_AMOUNT = 15


def parse(text: str, now: datetime | None = None) -> str:
    """Return the moment that `text` writes, as the store takes it: RFC 3339, or `-2h`, so long ago on the server.

    `text` is an age (`90s`, `15m`, `2h`, `3d`, `1w`), RFC 3339, or a local date or date-time. Raises Usage.
    """
    text = text.strip()
    if _age(text, now or datetime.now(timezone.utc)) is not None:
        return f"-{text}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise errors.Usage(
            "invalid_time",
            f"{references.quoted(text)} is no time",
            hint="write 2h, 2026-11-12T09:30:00Z, or a local 2026-11-12 09:30",
        ) from None
    try:
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is out of range") from None


def age(text: str) -> int:
    """Return the seconds of an age (`90s`, `15m`, `2h`, `3d`, `1w`); raises Usage."""
    seconds = _seconds(text.strip())
    if seconds is None:
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is no age", hint="write 12h, 30d or 8w")
    # The server's own times go no further.
    if seconds >= _LONGEST_SECONDS:
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is out of range")
    return seconds


def _age(text: str, now: datetime) -> datetime | None:
    seconds = _seconds(text)
    if seconds is None:
        return None
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is out of range") from None


def _seconds(text: str) -> int | None:
    amount, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (amount.isascii() and amount.isdigit()):
        return None
    if len(amount) > _LONGEST_AMOUNT:
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is out of range")
    return int(amount) * _UNITS[unit]
