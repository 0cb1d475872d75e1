"""Moments as people write them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from promptctl import errors, references

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse(text: str, now: datetime | None = None) -> str:
    """Return the moment that `text` writes, in RFC 3339: an age (`90s`, `15m`, `2h`, `3d`, `1w`), RFC 3339, or a local
    date or date-time; raises Usage."""
    moment = _age(text.strip(), now or datetime.now(timezone.utc))
    if moment is None:
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError:
            raise errors.Usage(
                "invalid_time",
                f"{references.shown(text)} is no time",
                hint="write 2h, 2026-11-12T09:30:00Z, or a local 2026-11-12 09:30",
            ) from None
    try:
        return moment.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        raise errors.Usage("invalid_time", f"{references.shown(text)} is out of range") from None


def _age(text: str, now: datetime) -> datetime | None:
    amount, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (amount.isascii() and amount.isdigit()):
        return None
    try:
        return now - timedelta(**{_UNITS[unit]: int(amount)})
    except OverflowError:
        raise errors.Usage("invalid_time", f"{references.shown(text)} is out of range") from None
