"""What an application says of whom it asks for, a unit and attributes: checked. Pure."""

from __future__ import annotations

import json
import operator
from collections.abc import Mapping
from typing import Any
from uuid import UUID


def unit_text(unit: object) -> str:
    """Return a unit as the text that decides its bucket: a text, an integer's digits, the usual form of a UUID.

    Raises TypeError for anything else: each process might show it in its own way.
    """
    if isinstance(unit, str):
        return unit
    if isinstance(unit, UUID):
        return str(unit)
    # As numpy's integers are, and truth is not meant.
    if isinstance(unit, bool) or not hasattr(unit, "__index__"):
        raise TypeError(f"a unit is a text, an integer or a UUID, not {type(unit).__name__}")
    return str(operator.index(unit))  # pyright: ignore[reportArgumentType] - that was asked


def check_attributes(attributes: object) -> None:
    """Check that attributes are a mapping from texts to what JSON has. Raises TypeError; ValueError for a NaN."""
    if not isinstance(attributes, Mapping):
        raise TypeError(f"attributes are a mapping, not {type(attributes).__name__}")
    given: Mapping[Any, Any] = attributes  # pyright: ignore[reportUnknownVariableType]
    for name, value in given.items():
        if not isinstance(name, str):
            raise TypeError(f"an attribute's name is a text, not {name!r}")
        kind = value.__class__
        if kind is str or kind is int or kind is bool or value is None:
            continue
        try:
            json.dumps(value, allow_nan=False)
        except TypeError as problem:
            raise TypeError(f'the attribute "{name}" is nothing that JSON has: {problem}') from None
        except (ValueError, RecursionError) as problem:
            raise ValueError(f'the attribute "{name}" is nothing that JSON has: {problem}') from None
