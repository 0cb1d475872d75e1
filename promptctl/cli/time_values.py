"""Parse the times in options."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from promptctl import errors
from promptctl.rules import ages, references


def parse(text: str, now: datetime | None = None) -> str:
    """Return a time for the store: RFC 3339, or an age such as `-2h`, which the server adds to its own time.

    `text` is an age (`90s`, `15m`, `2h`, `3d`, `1w`), RFC 3339, or a local date or date-time. Raises Usage.
    """
    text = text.strip()
    if _time_ago(text, now or datetime.now(timezone.utc)) is not None:
        return f"-{text}"
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise errors.Usage(
            "invalid_time",
            f"{references.quoted(text)} is not a time",
            hint="write 2h, 2026-11-12T09:30:00Z, or 2026-11-12 09:30 for local time",
        ) from None
    try:
        return time.astimezone(timezone.utc).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is out of range") from None


def _time_ago(text: str, now: datetime) -> datetime | None:
    """Return the time that is an age before now, None for a text that is not an age. Raises Usage out of range."""
    seconds = ages.seconds_or_none(text)
    if seconds is None:
        return None
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        raise errors.Usage("invalid_time", f"{references.quoted(text)} is out of range") from None
