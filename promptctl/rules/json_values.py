"""Compare JSON values. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal by the rules of PostgreSQL's `jsonb`: 1 equals 1.0, but does not equal true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))  # pyright: ignore[reportUnknownArgumentType] - any JSON
    return one == other and isinstance(one, bool) == isinstance(other, bool)
