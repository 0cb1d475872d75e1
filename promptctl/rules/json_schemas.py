"""JSON schemas of test cases: drafts 2020-12 and 07, without references to other documents. Pure.

The library `jsonschema` of the extra `cli` validates. It takes 100 ms to import, so it is imported with the first
schema.
"""

from __future__ import annotations

import functools
import json

from promptctl.rules import patterns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, cast
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_LONGEST_SHOWN = 200
_DATE = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:[Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)"
# The formats that are checked. jsonschema itself would check more where more packages are installed.
_FORMATS = {
    "date": rf"{_DATE}",
    "date-time": rf"{_DATE}[Tt ]{_TIME}",
    "time": _TIME,
    "email": r"[^@\s]+@[^@\s]+",
    "uri": r"[A-Za-z][A-Za-z0-9+.-]*:[^\s]+",
    "uuid": r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}",
}


def problem(schema: object) -> str | None:
    """Return why a value is not a usable schema, as a clause without a subject, or None.

    References must stay in the schema (`#/$defs/address`), because nothing is fetched.
    """
    if not isinstance(schema, (dict, bool)):
        return f"is {json.dumps(schema)[:_LONGEST_SHOWN]}, not an object"
    for key, value in _keys(cast("object", schema)):
        if key in _REFERENCES and isinstance(value, str) and not value.startswith("#"):
            return f"refers to another document, which is not fetched: {key}: {value[:_LONGEST_SHOWN]}"
        if key == "pattern" and isinstance(value, str) and (fault := patterns.problem(value)):
            return f"has a pattern that {fault}"
        if key == "patternProperties" and isinstance(value, dict):
            for pattern in cast("dict[str, object]", value):
                if fault := patterns.problem(pattern):
                    return f"has a pattern that {fault}"
    try:
        _validator(json.dumps(schema))
    except UnusableSchema as failure:
        return str(failure)
    except RecursionError:
        return "is invalid: it is nested too deep"
    return None


def mismatch(schema: object, instance: object) -> str | None:
    """Return where and why a JSON value does not follow a schema: `$.price: "a" is not of type "number"`, or None.

    Raises UnusableSchema. This has no time limit of its own: the patterns of a schema can take for ever.
    """
    from jsonschema import exceptions
    from referencing.exceptions import Unresolvable

    best_match: Any = getattr(exceptions, "best_match")  # noqa: B009 - by name, because its type is unknown
    try:
        failure = best_match(_validator(json.dumps(schema)).iter_errors(instance))
    except RecursionError:
        raise UnusableSchema("refers to itself without end, or the value is nested too deep") from None
    except Unresolvable as unresolvable:
        raise UnusableSchema(f"refers to #{unresolvable.ref}, which it does not have") from None
    return _place_and_reason(failure) if failure is not None else None


class UnusableSchema(ValueError):
    """A schema cannot be used. The message is a clause without a subject."""


@functools.lru_cache(maxsize=256)
def _validator(schema_text: str) -> Any:
    """Return the validator of a schema, of the draft that `$schema` names, else of 2020-12 or of 07.

    A schema without `$schema` that is only valid in draft 07, as one with a list of `items`, is of that draft, the
    default of promptfoo. Raises UnusableSchema.
    """
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import Draft7Validator, Draft202012Validator, validator_for
    from referencing.jsonschema import EMPTY_REGISTRY

    schema: Any = json.loads(schema_text)
    drafts: list[Any] = [Draft202012Validator, Draft7Validator]
    written = cast("dict[str, object]", schema).get("$schema") if isinstance(schema, dict) else None
    if isinstance(written, str):
        unknown: Any = None
        drafts = [validator_for(cast("dict[str, Any]", schema), default=unknown)]
        if drafts == [unknown]:
            raise UnusableSchema(f"has the draft {_shortened(written)}, which is not known")
    failures: list[Any] = []
    for draft in drafts:
        try:
            draft.check_schema(schema)
        except SchemaError as failure:
            failures.append(failure)
        else:
            # The registry that is the default fetches documents.
            return draft(schema, registry=EMPTY_REGISTRY, format_checker=_format_checker())
    raise UnusableSchema(f"is invalid: {_place_and_reason(failures[0])}")


@functools.cache
def _format_checker() -> Any:
    from jsonschema import FormatChecker

    checker = FormatChecker(formats=("ipv4", "ipv6"))
    for name, pattern in _FORMATS.items():
        checker.checks(name)(functools.partial(_has_format, patterns.compiled(pattern)))
    return checker


def _has_format(pattern: Any, value: object) -> bool:
    return not isinstance(value, str) or pattern.fullmatch(value) is not None


def _keys(schema: object) -> Iterator[tuple[str, object]]:
    """Yield each key in a schema and its value. Names of properties, which look like keys, are yielded too."""
    pending: list[object] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            keys = cast("dict[str, object]", node)
            yield from keys.items()
            # A constant may have any key.
            pending += [value for key, value in keys.items() if key not in ("const", "enum", "default", "examples")]
        elif isinstance(node, list):
            pending += cast("list[object]", node)


def _place_and_reason(failure: Any) -> str:
    return f"{failure.json_path}: {_shortened(failure.message)}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
