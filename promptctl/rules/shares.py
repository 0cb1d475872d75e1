"""Shares of a split as people write them, and in basis points. Pure."""

from __future__ import annotations

ALL = 10_000


def basis_points(text: str) -> int:
    """Return the share that a text such as `10%`, `0.5%` or `12.25%` writes, in basis points: 0 to 10000.

    Raises ValueError for all else: what has no %, a sign, an exponent, more than two decimals, more than 100%.
    """
    whole, point, decimals = text.removesuffix("%").partition(".")
    digits = whole + decimals
    if (
        text.endswith("%")
        and digits.isascii()
        and digits.isdigit()
        and 1 <= len(whole) <= 3
        and (not point or 1 <= len(decimals) <= 2)
        and (points := int(whole + decimals.ljust(2, "0"))) <= ALL
    ):
        return points
    raise ValueError(f"{text!r} is no share")


def percent(points: int) -> str:
    """Return basis points as people write them: `10%`, `0.5%`, `12.25%`."""
    whole, rest = divmod(points, 100)
    return f"{whole}.{rest:02}".rstrip("0") + "%" if rest else f"{whole}%"
