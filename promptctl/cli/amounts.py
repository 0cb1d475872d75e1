"""The options that accept an amount of US dollars."""

from __future__ import annotations

from promptctl import errors
from promptctl.rules import references


def dollars(option: str, text: str | None) -> float | None:
    """Return the value of an option in US dollars, None without one. Raises Usage."""
    if text is None:
        return None
    digits = text.removeprefix("$")
    if not digits.isascii() or not digits.replace(".", "", 1).isdecimal() or not 0 < float(digits) < 1e6:
        message = f"{option} {references.quoted(text)} is not an amount of US dollars above 0"
        raise errors.Usage("usage", message, hint=f"write for example {option} 2 or {option} 0.50")
    return float(digits)
