"""Convert the share of a split between text, `12.25%`, and basis points, hundredths of a percent. Pure."""

from __future__ import annotations

# The whole, in basis points.
ALL = 10_000


def basis_points(text: str) -> int:
    """Return the basis points, 0 to 10000, of a text such as `10%`, `0.5%` or `12.25%`.

    Raises ValueError for a text without %, with a sign, an exponent or more than two decimals, or above 100%.
    """
    whole, point, decimals = text.removesuffix("%").partition(".")
    digits = whole + decimals
    has_only_digits = text.endswith("%") and digits.isascii() and digits.isdigit()
    if has_only_digits and 1 <= len(whole) <= 3 and (not point or 1 <= len(decimals) <= 2):
        points = int(whole + decimals.ljust(2, "0"))
        if points <= ALL:
            return points
    raise ValueError(f"{text!r} is not a share")


def percent(points: int) -> str:
    """Return basis points as a percentage without trailing zeros: `10%`, `0.5%`, `12.25%`."""
    whole, rest = divmod(points, 100)
    return f"{whole}.{rest:02}".rstrip("0") + "%" if rest else f"{whole}%"
