"""Checks and messages that the parsers of YAML files share."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # Gets the description of a problem.
    Report = Callable[[str], None]

_LONGEST_SHOWN = 80


def mapping(value: object) -> dict[object, object] | None:
    """Return the value if it is a mapping, else None."""
    return cast("dict[object, object]", value) if isinstance(value, dict) else None


def text(value: object, key: str, report: Report) -> str | None:
    """Return the value if it is a text that is not blank. Report any other value and return None."""
    if isinstance(value, str) and value.strip():
        return value
    report(f"{key} must be a text, not {quoted(value)}")
    return None


def quoted(value: object) -> str:
    """Return a value as messages quote it, cut at 80 characters."""
    literal = repr(value)
    return literal if len(literal) <= _LONGEST_SHOWN else literal[: _LONGEST_SHOWN - 1] + "…"


def is_finite(number: float) -> bool:
    """Whether a number is neither infinite nor NaN. JSON has no such numbers."""
    return float("-inf") < number < float("inf")


def unknown_key(key: object, keys: Iterable[str]) -> str:
    """Return the message about an unknown key, which suggests the most similar key."""
    import difflib

    similar = difflib.get_close_matches(str(key), keys, n=1)
    return f"unknown key {quoted(key)}" + (f": did you mean {similar[0]!r}?" if similar else "")
