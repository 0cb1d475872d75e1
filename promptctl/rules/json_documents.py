"""Read JSON files: saved plans, conversations, routes, values of variables, snapshots, spooled uses. Pure.

A person may have edited such a file, it may be truncated, or another program may have written it. `parse` refuses what
is not JSON and what PostgreSQL or UTF-8 cannot store. `Fields` reads the fields of an object and checks their types.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, cast
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


DEEPEST = 100
# A double holds every integer of this many digits.
_MOST_DIGITS = 308
# A bracket, a text with the colon of a key, or a number.
_PIECE = r'(?P<value>[\[\]{}]|"(?:[^"\\]|\\.)*"|-?Infinity|NaN|-?\d[\d.eE+-]*)(?P<colon>\s*:)?'
_TOO_DEEP = f"nested more than {DEEPEST} deep"


class InvalidDocument(ValueError):
    """A document cannot be used: `reason` says why, `line` is the line number, None if it is not known."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line


class NotJson(InvalidDocument):
    """A document is not JSON."""


def parse(
    raw: bytes | str,
    *,
    unique_keys: bool = False,
    object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None,
    numbers_as_written: bool = False,
) -> Any:
    """Return the value of a JSON document.

    With `unique_keys`, a key that appears twice in an object is refused. `object_pairs_hook` is that of `json.loads`.
    With `numbers_as_written`, numbers are returned as strings.

    Raises NotJson for text that is not JSON, and InvalidDocument for bytes that are not UTF-8, NaN and Infinity, lone
    surrogates and NUL in strings, and nesting deeper than 100 levels.
    """
    text = _decoded(raw) if isinstance(raw, bytes) else raw
    try:
        value = json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=str if numbers_as_written else None,
            parse_float=str if numbers_as_written else _number,
            object_pairs_hook=_unique_keys if unique_keys else object_pairs_hook,
        )
    except json.JSONDecodeError as problem:
        raise NotJson(f"not JSON: {problem.msg}", problem.lineno) from None
    except (RecursionError, ValueError) as problem:
        is_ours = isinstance(problem, InvalidDocument)
        # Otherwise it is an integer of thousands of digits.
        reason = _TOO_DEEP if isinstance(problem, RecursionError) else "a number with too many digits"
        default = problem if is_ours else InvalidDocument(reason)
        raise _first_problem(text, unique_keys=unique_keys) or default from None
    # The check takes time. In valid UTF-8, only an escape can stand for a lone surrogate or NUL, and deep nesting needs
    # many brackets.
    if isinstance(raw, str) or "\\u" in text or text.count("[") + text.count("{") > DEEPEST:
        try:
            check_storable(value)
        except InvalidDocument as problem:
            raise _first_problem(text, unique_keys=unique_keys) or problem from None
    return value


def exact_text(value: object) -> str | None:
    """Return the JSON text of a value, None if the value of the text is another. This is faster than any walk.

    It is None for NaN, a date, a key that is not a text, a tuple, a lone surrogate and an integer of more than 308
    digits, which a double may not hold.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        return text if json.loads(text, parse_int=_short_integer) == value else None
    except (TypeError, ValueError, RecursionError):
        return None


def check_storable(value: Any) -> None:
    """Raise InvalidDocument for a value with a NUL, a lone surrogate or deep nesting: PostgreSQL cannot store it."""
    pending: list[tuple[Any, int]] = [(value, 0)]
    while pending:
        node, depth = pending.pop()
        if isinstance(node, str):
            _check_text(node)
        elif isinstance(node, (dict, list, tuple)):
            if depth > DEEPEST:
                raise InvalidDocument(_TOO_DEEP)
            if isinstance(node, dict):
                pending += [(key, depth + 1) for key in cast("dict[Any, Any]", node)]
                pending += [(item, depth + 1) for item in cast("dict[Any, Any]", node).values()]
            else:
                pending += [(item, depth + 1) for item in cast("list[Any]", node)]


def storage_problem(text: str) -> str | None:
    """Return what PostgreSQL cannot store in a text, such as `a NUL character`, or None."""
    if "\0" in text:
        return "a NUL character"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "a lone surrogate, which is not a character"
    return None


class Fields:
    """The fields of a JSON object. `where` names the object in errors.

    A method returns a field of one type. It raises InvalidDocument if the field is missing or has another type.
    """

    def __init__(self, value: object, where: str) -> None:
        if not isinstance(value, dict):
            raise InvalidDocument(f"{where} is not an object")
        self._fields = cast("dict[str, object]", value)
        self.where = where

    @property
    def everything(self) -> dict[str, object]:
        """The object itself."""
        return self._fields

    def text(self, name: str) -> str:
        """Return a text."""
        return self._of_type(name, str, "a text")

    def text_or_none(self, name: str) -> str | None:
        """Return a text, or None for null."""
        return None if self.is_none(name) else self.text(name)

    def integer(self, name: str, least: int = 0) -> int:
        """Return an integer from `least` to the largest `bigint` of PostgreSQL."""
        expected = f"a whole number from {least}"
        value = self._of_type(name, int, expected)
        if not least <= value < 1 << 63:
            raise self._wrong(name, expected)
        return value

    def integer_or_none(self, name: str, least: int = 0) -> int | None:
        """Return an integer, or None for null."""
        return None if self.is_none(name) else self.integer(name, least)

    def boolean(self, name: str) -> bool:
        """Return true or false."""
        return self._of_type(name, bool, "true or false")

    def mapping(self, name: str) -> dict[str, Any]:
        """Return an object, its values unchecked."""
        return self._of_type(name, dict, "an object")

    def sequence(self, name: str) -> list[Any]:
        """Return a list, its items unchecked."""
        return self._of_type(name, list, "a list")

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        items = self.sequence(name)
        if not all(isinstance(item, str) for item in items):
            raise self._wrong(name, "a list of texts")
        return tuple(items)

    def fields(self, name: str) -> Fields:
        """Return the fields of an object."""
        return Fields(self._fields.get(name), f"{self.where}: {name}")

    def is_none(self, name: str) -> bool:
        """Whether a field is null. Raises InvalidDocument if it is missing."""
        if name not in self._fields:
            raise InvalidDocument(f"{self.where}: {name} is missing")
        return self._fields[name] is None

    def _of_type(self, name: str, kind: type, expected: str) -> Any:
        # The exact type, because a bool is an instance of int.
        value = self._fields.get(name)
        if type(value) is not kind:
            raise self._wrong(name, expected)
        return value

    def _wrong(self, name: str, expected: str) -> InvalidDocument:
        if name not in self._fields:
            return InvalidDocument(f"{self.where}: {name} is missing")
        return InvalidDocument(f"{self.where}: {name} is not {expected}")


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise InvalidDocument(f"not UTF-8: byte {problem.start}", 1 + raw.count(b"\n", 0, problem.start)) from None


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise InvalidDocument(f"the key {key!r} appears twice")
        document[key] = value
    return document


def _first_problem(text: str, *, unique_keys: bool) -> InvalidDocument | None:
    """Return the first problem of a document that `parse` has refused, with its line; None if it is not found.

    Python's parser has no positions, so this reads the document again, token by token.
    """
    import re

    # For each list or object around the token: the keys that an object has so far, None for a list.
    keys: list[set[str] | None] = []
    for token in re.finditer(_PIECE, text):
        written = token["value"]
        reason = None
        if written in "[{":
            keys.append(set() if written == "{" else None)
            reason = _TOO_DEEP if len(keys) > DEEPEST + 1 else None
        elif written in "]}":
            if keys:
                keys.pop()
        elif written[0] == '"':
            try:
                value = json.loads(written)
            except ValueError:
                return None
            problem = storage_problem(value)
            reason = problem and f"a text has {problem}"
            earlier = keys[-1] if keys and token["colon"] else None
            if earlier is not None:
                if unique_keys and value in earlier:
                    reason = f"the key {value!r} appears twice"
                earlier.add(value)
        else:
            reason = _number_problem(written)
        if reason:
            return InvalidDocument(reason, 1 + text.count("\n", 0, token.start()))
    return None


def _number_problem(written: str) -> str | None:
    try:
        if written[-1] in "yN":
            _refuse_constant(written)
        elif written.lstrip("-").isdigit():
            int(written)
        else:
            _number(written)
    except InvalidDocument as problem:
        return problem.reason
    except ValueError:
        return "a number with too many digits"
    return None


def _refuse_constant(name: str) -> None:
    raise InvalidDocument(f"{name} is not a JSON number")


def _number(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise InvalidDocument(f"the number {digits[:40]} is too large")
    return value


def _short_integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise InvalidDocument("a number with too many digits")
    return int(digits)


def _check_text(text: str) -> None:
    if problem := storage_problem(text):
        raise InvalidDocument(f"a text has {problem}")
