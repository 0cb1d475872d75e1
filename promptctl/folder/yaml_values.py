"""Checks and messages that the parsers of YAML files share."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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
    """Return a YAML value as messages quote it, cut at 80 characters."""
    literal = _literal(value)
    return literal if len(literal) <= _LONGEST_SHOWN else literal[: _LONGEST_SHOWN - 1] + "…"


def _literal(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (bytes, set)):
        return "a binary value" if isinstance(value, bytes) else "a set"
    if isinstance(value, list):
        return f"[{', '.join(map(_literal, cast('list[object]', value)))}]"
    if (keys := mapping(value)) is not None:
        return f"{{{', '.join(f'{_literal(key)}: {_literal(item)}' for key, item in keys.items())}}}"
    return repr(value) if isinstance(value, (str, int, float)) else str(value)


def is_near(one: str, other: str) -> bool:
    """Whether two keys differ in one letter, in the order of two letters, or in case, hyphens and underscores."""
    one, other = (key.lower().replace("-", "").replace("_", "") for key in (one, other))
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    one, other = one[start:], other[start:]
    while one and other and one[-1] == other[-1]:
        one, other = one[:-1], other[:-1]
    return max(len(one), len(other)) <= 1 or (len(one) == 2 and one == other[::-1])


def is_finite(number: float) -> bool:
    """Whether a number is neither infinite nor NaN. JSON has no such numbers."""
    return float("-inf") < number < float("inf")


def unknown_key(key: object, keys: Iterable[str]) -> str:
    """Return the message about an unknown key, which suggests the most similar key."""
    import difflib

    similar = difflib.get_close_matches(str(key), keys, n=1)
    return f"unknown key {quoted(key)}" + (f": did you mean {similar[0]!r}?" if similar else "")


def other_key(key: object, keys: Sequence[str], instead: Mapping[str, str]) -> str:
    """Return the message about a key that is not one of `keys`. `instead` has what to use for keys of promptfoo."""
    if key in instead:
        return f"{key} is not supported ({instead[cast('str', key)]}): the keys are {', '.join(keys)}"
    problem = unknown_key(key, keys)
    separator = " The" if problem.endswith("?") else "; the"
    return f"{problem}{separator} keys are {', '.join(keys)}"
