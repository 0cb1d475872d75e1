"""Versions, shares and ages as people type them, for example `v2`, `10` or `7 days`. Pure functions."""

from __future__ import annotations

from promptctl.rules import references, shares

_UNITS = {"hours": "h", "hour": "h", "hrs": "h", "days": "d", "day": "d", "weeks": "w", "week": "w"}


def with_share(word: str) -> list[str] | None:
    """Return `D@3=10%` or `D@3:10%` as a reference and a share, None for any other word."""
    for separator in "=:":
        reference, is_separated, number = word.partition(separator)
        if is_separated and "@" in reference and number.rstrip("%").replace(".", "", 1).isdigit():
            return [reference, share(number)]
    return None


def age(text: str) -> str | None:
    """Return the age that `7d`, `7days` or `7 days` means, None for any other text."""
    plain = text.lower().replace(" ", "")
    digits = plain.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = plain[len(digits) :]
    short = _UNITS.get(unit, unit)
    return f"{digits}{short}" if digits.isdigit() and short in ("m", "h", "d", "w") else None


def version(word: str) -> str | None:
    """Return the number that `2`, `v2`, `@2`, `#2` or `02` means, None for a word that is not a version."""
    digits = word.removeprefix("@").removeprefix("#")
    digits = digits[1:] if digits[:1] in ("v", "V") else digits
    if not (digits.isascii() and digits.isdigit() and len(digits) < 11 and int(digits) > 0):
        return None
    return str(int(digits)) if int(digits) <= references.HIGHEST_VERSION else None


def share(text: str) -> str:
    """Return a share as `split` accepts it: a number that is not a share by itself gets a percent sign."""
    try:
        shares.basis_points(text)
    except ValueError:
        return f"{text}%"
    return text
