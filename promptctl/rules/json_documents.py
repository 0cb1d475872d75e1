"""JSON that is read back: plans, conversations, routes, values of variables, snapshots, spooled uses.

Such a file may have been edited, cut off or written by another program. One reader refuses what JSON does not have and
what PostgreSQL and UTF-8 cannot hold; `Fields` takes an object apart and checks the type of each of its values.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, cast
else:

    def cast(_: str, value: object) -> object:
        """Return the value: the kind is for a type checker, and typing takes 7 ms to import."""
        return value


_DEEPEST = 100
_TOO_DEEP = f"nested more than {_DEEPEST} deep"


class InvalidDocument(ValueError):
    """What is wrong with a document, in words; `line` where it is known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


class NotJson(InvalidDocument):
    """A text that is no JSON at all."""


def parse(
    raw: bytes | str,
    *,
    once: bool = False,
    hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
    numbers_as_written: bool = False,
) -> Any:
    """Return the value that a document writes.

    With `once` a key that is there twice is refused; `hook` makes something else of an object's pairs;
    `numbers_as_written` leaves numbers as texts. Raises InvalidDocument
    for bytes that are not UTF-8, for NaN and Infinity, for halves of surrogate pairs and NUL in texts, and for deep
    nesting; NotJson for what is no JSON.
    """
    text = _decoded(raw) if isinstance(raw, bytes) else raw
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=str if numbers_as_written else None,
            parse_float=str if numbers_as_written else _number,
            object_pairs_hook=_once if once else hook,
        )
    except json.JSONDecodeError as problem:
        raise NotJson(f"not JSON: {problem.msg}", problem.lineno) from None
    except RecursionError:
        raise InvalidDocument(_TOO_DEEP) from None
    except InvalidDocument:
        raise
    except ValueError:
        # An integer of thousands of digits.
        raise InvalidDocument("a number with too many digits") from None
    # Only an escape can write what cannot be stored: bytes that are not UTF-8 were refused.
    if isinstance(raw, str) or "\\u" in text or text.count("[") + text.count("{") > _DEEPEST:
        check_storable(value)
    return value


def check_storable(value: Any) -> None:
    """Raise InvalidDocument for a value that PostgreSQL cannot hold: a NUL, half of a surrogate pair, deep nesting."""
    pending: list[tuple[Any, int]] = [(value, 0)]
    while pending:
        each, depth = pending.pop()
        if isinstance(each, str):
            _refuse_text(each)
        elif isinstance(each, (dict, list, tuple)):
            if depth > _DEEPEST:
                raise InvalidDocument(_TOO_DEEP)
            if isinstance(each, dict):
                pending += [(key, depth + 1) for key in cast("dict[Any, Any]", each)]
                pending += [(item, depth + 1) for item in cast("dict[Any, Any]", each).values()]
            else:
                pending += [(item, depth + 1) for item in cast("list[Any]", each)]


def storage_problem(text: str) -> str | None:
    """Return what makes a text one that cannot be stored, None: nothing does."""
    if "\0" in text:
        return "a NUL character"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "half of a surrogate pair, which is no character"
    return None


class Fields:
    """The fields of a JSON object, read by type. `where` names the object in errors. Methods raise InvalidDocument."""

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise InvalidDocument(f"{where} is no object")
        self._fields = cast("dict[str, object]", value)
        self.where = where

    @property
    def everything(self) -> dict[str, object]:
        """The object itself."""
        return self._fields

    def text(self, name: str) -> str:
        """Return a text."""
        value = self._fields.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def text_or_none(self, name: str) -> str | None:
        """Return a text, or None for null."""
        return None if self.is_none(name) else self.text(name)

    def integer(self, name: str, least: int = 0) -> int:
        """Return an integer from `least` up to the highest of PostgreSQL's bigint."""
        value = self._fields.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 1 << 63:
            raise self._wrong(name, f"a whole number from {least}")
        return value

    def integer_or_none(self, name: str, least: int = 0) -> int | None:
        """Return an integer, or None for null."""
        return None if self.is_none(name) else self.integer(name, least)

    def boolean(self, name: str) -> bool:
        """Return true or false."""
        value = self._fields.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object as it is."""
        value = self._fields.get(name)
        if not isinstance(value, dict):
            raise self._wrong(name, "an object")
        return cast("dict[str, Any]", value)

    def sequence(self, name: str) -> list[Any]:
        """Return a list as it is."""
        value = self._fields.get(name)
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return cast("list[Any]", value)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        found = self.sequence(name)
        if not all(isinstance(each, str) for each in found):
            raise self._wrong(name, "a list of texts")
        return tuple(found)

    def fields(self, name: str) -> Fields:
        """Return the fields of an object."""
        return Fields(self._fields.get(name), f"{self.where}: {name}")

    def is_none(self, name: str) -> bool:
        """Whether a field is null; one that is missing is wrong."""
        if name not in self._fields:
            raise InvalidDocument(f"{self.where}: {name} is missing")
        return self._fields[name] is None

    def _wrong(self, name: str, wanted: str) -> InvalidDocument:
        if name not in self._fields:
            return InvalidDocument(f"{self.where}: {name} is missing")
        return InvalidDocument(f"{self.where}: {name} is not {wanted}")


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InvalidDocument(f"not UTF-8: byte {problem.start}", 1 + raw.count(b"\n", 0, problem.start)) from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InvalidDocument(f"the key {key!r} is there twice")
        found[key] = value
    return found


def _refuse_constant(name: str) -> None:
    raise InvalidDocument(f"{name} is no number in JSON")


def _number(written: str) -> float:
    value = float(written)
    if value in (float("inf"), float("-inf")):
        raise InvalidDocument(f"{written[:40]} is too large a number")
    return value


def _refuse_text(text: str) -> None:
    if problem := storage_problem(text):
        raise InvalidDocument(f"a text has {problem}")
