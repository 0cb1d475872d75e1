"""Compare JSON values, and list their texts. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal by the rules of PostgreSQL's `jsonb`: 1 equals 1.0, but does not equal true."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))  # pyright: ignore[reportUnknownArgumentType] - any JSON
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def texts(value: Any) -> Iterator[str]:
    """Yield every text and every key in a JSON value, in order."""
    pending: list[Any] = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            # The last one is next.
            for key, item in reversed(node.items()):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
                pending += (item, key)
        elif isinstance(node, (list, tuple)):
            pending += reversed(node)  # pyright: ignore[reportUnknownArgumentType] - any JSON
