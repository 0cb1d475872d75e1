"""The assertions of test cases as a file has them: their keys, their short forms, and the variables in their values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from promptctl.folder import strict_yaml
from promptctl.folder.yaml_values import mapping, other_key, quoted
from promptctl.records import Record
from promptctl.rules import assertions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from promptctl.folder.yaml_values import Report
    from promptctl.rules.test_cases import Assertion

KEYS = ("type", "value", "threshold", "weight", "metric")
# How promptfoo begins the path of a file in place of a value.
FILE_URL = "file://"
NO_CODE = "no code is run"
_JUDGE = "name the prompt of a judge with judge"
# What to use in place of promptfoo's other keys.
INSTEAD: Mapping[str, str] = {
    "provider": _JUDGE,
    "rubricPrompt": _JUDGE,
    "transform": NO_CODE,
    "contextTransform": NO_CODE,
    "config": NO_CODE,
}
# How an expression of promptfoo's templates begins, and how it ends.
_BRACES = {"{{": "}}", "{%": "%}"}
_RAW = re.compile(r"\A\{% raw %\}(.*)\{% endraw %\}\Z", re.DOTALL)
_DEEPEST_SCHEMA = 90


class WrittenAssertion(Record):
    """An assertion as a file has it. `where` is its place in messages."""

    where: str
    type: str
    value: object
    threshold: object
    weight: object
    metric: object


def read(value: object, report: Report) -> tuple[WrittenAssertion, ...]:
    """Return the assertions of a list, and report those that cannot be read."""
    if not isinstance(value, list):
        report(f"assert must be a list of assertions, not {quoted(value)}")
        return ()
    written = [_read_one(item, f"assert {count}", report) for count, item in enumerate(cast("list[object]", value), 1)]
    return tuple(one for one in written if one is not None)


def _read_one(item: object, where: str, report: Report) -> WrittenAssertion | None:
    """Return an assertion: `{type: contains, value: 30 days}`, or the short form `{contains: 30 days}`."""
    keys = mapping(item)
    if keys is None:
        report(f"{where} must be a mapping such as contains: 30 days, not {quoted(item)}")
        return None
    if "type" in keys:
        kind, value = keys["type"], keys.get("value")
        others = [key for key in keys if key not in KEYS]
    else:
        types = [key for key in keys if key not in KEYS and key not in INSTEAD]
        if len(types) != 1 or "value" in keys:
            report(f"{where} has no type: the types are {', '.join(assertions.KINDS)}, and not- before each")
            return None
        kind, value = types[0], keys[types[0]]
        others = [key for key in keys if key in INSTEAD]
    if not isinstance(kind, str):
        report(f"{where}: type must be a text, not {quoted(kind)}")
        return None
    threshold = keys.get("threshold")
    if "type" not in keys and threshold is None and kind.removeprefix("not-") in ("latency", "cost"):
        value, threshold = None, value
    # The reason for a type that is not supported is the one that matters.
    if kind.removeprefix("not-") in assertions.KINDS:
        for key in others:
            report(f"{where}: {other_key(key, KEYS, INSTEAD)}")
    return WrittenAssertion(where, kind, value, threshold, keys.get("weight"), keys.get("metric"))


def completed(written: WrittenAssertion, values: Mapping[str, str], report: Report) -> Assertion | None:
    """Return an assertion with the values of a case, by variable. Report one that is not valid, and return None."""

    def report_here(problem: str) -> None:
        report(f"{written.where}: {problem}")

    value = written.value
    kind = written.type.removeprefix("not-")
    if kind in assertions.KINDS:
        if (path := _file_url(value)) is not None:
            report_here(f"{quoted(path)} is not read: write the value itself")
            return None
        try:
            value = filled(value, values)
            if kind == assertions.IS_JSON and isinstance(value, str):
                value = strict_yaml.load_json(value.encode(), _DEEPEST_SCHEMA)
        except strict_yaml.Malformed as malformed:
            report_here(f"the schema is neither JSON nor YAML: line {malformed.line}: {malformed.what}")
            return None
        except ValueError as problem:
            report_here(str(problem))
            return None
    return assertions.make(written.type, value, written.threshold, written.weight, written.metric, report_here)


def _file_url(value: object) -> str | None:
    """Return the first text of a value that promptfoo reads as the path of a file, if there is one."""
    items = cast("Sequence[object]", value) if isinstance(value, list) else [value]
    return next((item for item in items if isinstance(item, str) and item.startswith(FILE_URL)), None)


def filled(value: object, values: Mapping[str, str]) -> Any:
    """Return the value of an assertion with the values of the case in the places `{{name}}`, as promptfoo has it.

    A value is inserted once, and braces in it are text. `{% raw %}` and `{% endraw %}` around a text keep its braces.
    Raises ValueError for another name or another expression.
    """
    if isinstance(value, str):
        if (raw := _RAW.match(value)) is not None:
            return raw[1]
        return _replaced(value, values) if "{" in value else value
    if isinstance(value, list):
        return [filled(item, values) for item in cast("list[object]", value)]
    return value


def unfilled(value: Any) -> Any:
    """Return the value of an assertion as a file must have it so that `parse` returns `value`."""
    if isinstance(value, str) and next(expressions(value), None) is not None:
        return f"{{% raw %}}{value}{{% endraw %}}"
    if isinstance(value, list):
        return [unfilled(item) for item in cast("list[Any]", value)]
    return value


def _replaced(text: str, values: Mapping[str, str]) -> str:
    parts: list[str] = []
    position = 0
    for start, end in expressions(text):
        parts += text[position:start], _value_of(text[start:end], values)
        position = end
    return "".join(parts) + text[position:]


def expressions(text: str) -> Iterator[tuple[int, int]]:
    """Yield where each `{{ }}` and each `{% %}` begins and ends, in a time that is proportional to the length."""
    position = 0
    starts = {closing: text.find(opening) for opening, closing in _BRACES.items()}
    while True:
        next_ones = [(start, closing) for closing, start in starts.items() if start >= 0]
        if not next_ones:
            return
        start, closing = min(next_ones)
        end = text.find(closing, start + 2)
        if end < 0:
            starts[closing] = -1
            continue
        position = end + 2
        yield start, position
        for opening, other in _BRACES.items():
            if 0 <= starts[other] < position:
                starts[other] = text.find(opening, position)


def _value_of(expression: str, values: Mapping[str, str]) -> str:
    """Return the value of `{{name}}`, also with blanks and `-` at its braces. Raises ValueError."""
    name = expression[2:-2].removeprefix("-").removesuffix("-").strip() if expression.startswith("{{") else None
    if name is None or name not in values:
        reason = "is no variable under vars" if name is not None and name.isidentifier() else "is an expression"
        raise ValueError(
            f"{quoted(expression)} {reason}: only a name in {{{{ }}}} is replaced; for the braces themselves, write "
            "{% raw %} before the text and {% endraw %} after it"
        )
    return values[name]
