"""Checks of the arguments that an application passes."""

from __future__ import annotations

import json
import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from promptctl.rules.tokens import MOST_TOKENS

if TYPE_CHECKING:
    from collections.abc import Sequence

_BILLION = 10**9
# Values of these types are certainly valid attributes, and encoding them as JSON to check that would take time.
_USUAL_TYPES = (str, int, bool)
_A_MESSAGE = '{"role": "user", "content": "…"}'


def check_positive(**numbers: float) -> None:
    """Raise ValueError, with the name of the parameter, for a number that is not positive or not finite."""
    for name, number in numbers.items():
        if not 0 < number < float("inf"):
            raise ValueError(f"{name} must be a positive number, not {number!r}")


def check_label(name: str, text: object) -> None:
    """Raise TypeError or ValueError for an argument that cannot be the label of a metric."""
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a string, not {type(text).__name__}")
    if not text.isprintable():
        raise ValueError(f"{name} must be printable text, not {text!r}")


def prompt_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return names as a tuple. Raises TypeError for a string, because each of its characters would become a name."""
    if isinstance(names, str):
        raise TypeError(f"names must be a list, for example [{names!r}], not a string")
    return tuple(names)


def unit_text(unit: object) -> str:
    """Return a unit as text, from which its bucket is calculated: a string, an integer's digits, a UUID's usual form.

    Raises TypeError for any other type, because its text may differ between processes.
    """
    if isinstance(unit, str):
        return unit
    if isinstance(unit, UUID):
        return str(unit)
    # NumPy's integers have __index__, too. A bool has it, but was probably passed by mistake.
    if isinstance(unit, bool) or not hasattr(unit, "__index__"):
        raise TypeError(f"unit must be a string, an integer or a UUID, not {type(unit).__name__}")
    return str(operator.index(unit))  # pyright: ignore[reportArgumentType] - it has __index__


def check_attributes(attributes: object) -> None:
    """Check that attributes are a mapping from strings to JSON values. Raises TypeError, and ValueError for a NaN."""
    if not isinstance(attributes, Mapping):
        raise TypeError(f"attributes must be a mapping, not {type(attributes).__name__}")
    items: Mapping[Any, Any] = attributes  # pyright: ignore[reportUnknownVariableType]
    for name, value in items.items():
        if not isinstance(name, str):
            raise TypeError(f"the name of an attribute must be a string, not {name!r}")
        if value is None or value.__class__ in _USUAL_TYPES:
            continue
        try:
            json.dumps(value, allow_nan=False)
        except TypeError as problem:
            raise TypeError(f'the attribute "{name}" cannot be encoded as JSON: {problem}') from None
        except (ValueError, RecursionError) as problem:
            raise ValueError(f'the attribute "{name}" cannot be encoded as JSON: {problem}') from None


def check_values(values: object) -> None:
    """Check that values are a mapping or None. Raises TypeError."""
    if values is not None and not isinstance(values, Mapping):
        raise TypeError(f"values must be a mapping from variables to strings, not {type(values).__name__}")


def message_list(messages: object) -> list[Any]:
    """Return messages as a list, which is empty for None. Raises TypeError for anything that is no list of messages."""
    if messages is None:
        return []
    # A string would become one message for each character, and a message one for each of its keys.
    if isinstance(messages, (str, bytes, Mapping)) or not isinstance(messages, Iterable):
        kind = type(messages).__name__  # pyright: ignore[reportUnknownArgumentType] - callers are not all checked
        raise TypeError(f"messages must be a list, for example [{_A_MESSAGE}], not {kind}")
    return list(messages)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - checked one by one


def check_message(message: object) -> None:
    """Check that one of the messages is a mapping. Raises TypeError."""
    if not isinstance(message, Mapping):
        raise TypeError(f"a message must be a mapping, for example {_A_MESSAGE}, not {type(message).__name__}")


def token_count(name: str, count: object) -> int:
    """Return a count of tokens as an integer; NumPy's integers are accepted. Raises TypeError, ValueError."""
    if isinstance(count, bool) or not hasattr(count, "__index__"):
        raise TypeError(f"{name} must be a number of tokens, not {count!r}")
    number = operator.index(count)  # pyright: ignore[reportArgumentType] - it has __index__
    if not 0 <= number <= MOST_TOKENS:
        raise ValueError(f"{name} must be a number of tokens, not {count!r}")
    return number


def score_number(score: object) -> float:
    """Return a score as a float. Raises ValueError for anything but a number from minus a billion to a billion."""
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not -_BILLION <= score <= _BILLION:
        raise ValueError(f"score must be a number from -{_BILLION:,} to {_BILLION:,}, not {score!r}")
    return float(score)
