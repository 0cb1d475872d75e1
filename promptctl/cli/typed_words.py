"""Single words as people type them: a version, a share, an age. Pure."""

from __future__ import annotations

from promptctl.rules import references, shares


def with_share(word: str) -> list[str] | None:
    """Return `D@3=10%` and `D@3:10%` as a reference and a share; None: it is neither."""
    for separator in "=:":
        reference, found, number = word.partition(separator)
        if found and "@" in reference and number.rstrip("%").replace(".", "", 1).isdigit():
            return [reference, share(number)]
    return None


def age(text: str) -> str | None:
    """Return the age that `7d`, `7days` or `7 days` writes; None: it is none."""
    plain = text.lower().replace(" ", "")
    digits = plain.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = plain[len(digits) :]
    short = {"hours": "h", "hour": "h", "hrs": "h", "days": "d", "day": "d", "weeks": "w", "week": "w"}.get(unit, unit)
    return f"{digits}{short}" if digits.isdigit() and short in ("m", "h", "d", "w") else None


def version(word: str) -> str | None:
    """Return the number that `2`, `v2`, `@2`, `#2` or `02` writes; None: it is no version."""
    digits = word.removeprefix("@").removeprefix("#")
    digits = digits[1:] if digits[:1] in ("v", "V") else digits
    if not (digits.isascii() and digits.isdigit() and len(digits) < 11 and int(digits) > 0):
        return None
    return str(int(digits)) if int(digits) <= references.HIGHEST_VERSION else None


def share(text: str) -> str:
    """Return a share as `split` reads it: a number without a percent sign that is none gets one."""
    try:
        shares.basis_points(text)
    except ValueError:
        return f"{text}%"
    return text
