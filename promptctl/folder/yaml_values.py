"""Checks and messages that the parsers of YAML files share."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    # Gets the description of a problem.
    Report = Callable[[str], None]

_LONGEST_SHOWN = 80


def mapping(value: object) -> dict[object, object] | None:
    """Return a value as a mapping, None if it is none."""
    return cast("dict[object, object]", value) if isinstance(value, dict) else None


def text(value: object, key: str, report: Report) -> str | None:
    """Return a value as a text that is not blank; reports any other value and returns None."""
    if isinstance(value, str) and value.strip():
        return value
    report(f"{key} must be a text, not {quoted(value)}")
    return None


def quoted(value: object) -> str:
    """Return a value as a message quotes it, shortened to a line."""
    literal = repr(value)
    return literal if len(literal) <= _LONGEST_SHOWN else literal[: _LONGEST_SHOWN - 1] + "…"


def is_not_finite(number: float) -> bool:
    """Whether a number is infinite or NaN, which JSON cannot hold."""
    return number != number or number in (float("inf"), float("-inf"))  # noqa: PLR0124 - NaN


def unknown_key(key: object, keys: Iterable[str]) -> str:
    """Return the message about an unknown key, which suggests the most similar key."""
    import difflib

    similar = difflib.get_close_matches(str(key), keys, n=1)
    return f"unknown key {quoted(key)}" + (f": did you mean {similar[0]!r}?" if similar else "")
