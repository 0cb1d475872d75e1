"""The types of assertions, and what each allows as its value and threshold. Pure.

The types are those of promptfoo, an open tool for tests of prompts, with the same meaning. `evaluation.checks` checks
a reply.
"""

from __future__ import annotations

from promptctl.rules import json_schemas, patterns
from promptctl.rules.test_cases import Assertion, split_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, cast

    Report = Callable[[str], None]
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


_WORDS = ("contains", "icontains", "starts-with")
_WORD_LISTS = ("contains-any", "contains-all")
_LIMITS = ("latency", "cost")
RUBRIC = "llm-rubric"
IS_JSON = "is-json"
# Each also exists with `not-` before it.
KINDS = ("equals", "contains", "icontains", "contains-any", "contains-all", "starts-with", "regex", IS_JSON, "latency",
         "cost", RUBRIC)  # fmt: skip
_RUN_CODE = "no code is run: say in words what the reply must be, with llm-rubric"
_JUDGED = "use llm-rubric"
# What to use in place of promptfoo's other types.
_INSTEAD: Mapping[str, str] = {
    "assert-set": "list its assertions in the case",
    "icontains-any": "use regex: (?i)one|two",
    "icontains-all": "use one icontains for each text",
    "ends-with": "use regex: text$",
    "contains-json": "use is-json",
    "javascript": _RUN_CODE,
    "python": _RUN_CODE,
    "ruby": _RUN_CODE,
    "webhook": "no other server is asked: use llm-rubric",
    **dict.fromkeys(
        ("answer-relevance", "classifier", "context-faithfulness", "context-recall", "context-relevance", "factuality",
         "g-eval", "is-refusal", "model-graded-closedqa", "model-graded-factuality", "moderation", "search-rubric",
         "select-best", "similar"),
        _JUDGED,
    ),
}  # fmt: skip
_LONGEST_SHOWN = 60


def make(
    written_type: str, value: object, threshold: object, weight: object, metric: object, report: Report
) -> Assertion | None:
    """Return the assertion with these keys of a file, None for an invalid one.

    `value`, `threshold`, `weight` and `metric` are None for keys that the file does not have. `report` gets a clause
    about each invalid key. A number as the value becomes the text that JSON has for it, and a text with commas the list
    of `contains-any` and `contains-all`.
    """
    kind, is_negated = split_type(written_type)
    problems: list[str] = []
    if kind not in KINDS:
        problems.append(_unknown_type(written_type, kind))
    else:
        value = _normalised(kind, value, problems)
        _check_threshold(kind, threshold, problems)
    if weight is not None and not _is_number(weight, 0):
        problems.append(f"weight must be a number from 0, not {_quoted(weight)}")
    if metric is not None and not (isinstance(metric, str) and metric.strip()):
        problems.append(f"metric must be a text, not {_quoted(metric)}")
    for problem in problems:
        report(problem)
    if problems:
        return None
    return Assertion(
        kind, is_negated, value,
        None if threshold is None else float(cast("float", threshold)),
        1.0 if weight is None else float(cast("float", weight)),
        cast("str | None", metric),
    )  # fmt: skip


def list_items(text: str) -> list[str]:
    """Return the items of a text with commas, without the blanks around them.

    An item in double quotes may have commas.
    """
    items: list[str] = []
    item = ""
    is_quoted = False
    for character in text:
        if character == '"':
            is_quoted = not is_quoted
        elif character == "," and not is_quoted:
            items.append(item.strip())
            item = ""
        else:
            item += character
    return [*items, item.strip()]


def _unknown_type(written_type: str, kind: str) -> str:
    instead = _INSTEAD.get(kind) or _INSTEAD.get(kind.partition(":")[0])
    reason = f" ({instead}): the" if instead else _similar_type(written_type)
    return (
        f"the type {_shortened(written_type)} is not supported{reason} types are {', '.join(KINDS)}, and not- "
        "before each"
    )


def _similar_type(written_type: str) -> str:
    """Return the question for the most similar type, and the beginning of the list of types."""
    import difflib

    types = [*KINDS, *(f"not-{kind}" for kind in KINDS)]
    similar = difflib.get_close_matches(written_type.strip().lower().replace("_", "-").replace(" ", "-"), types, n=1)
    return f": did you mean {similar[0]}? The" if similar else ": the"


def _normalised(kind: str, value: object, problems: list[str]) -> Any:
    if kind in _LIMITS:
        if value is not None:
            problems.append(f"{kind} has a threshold, not a value")
        return None
    if kind == IS_JSON:
        if value is not None and (problem := json_schemas.problem(value)):
            problems.append(f"the schema {problem}")
        return value
    if kind == RUBRIC:
        if not isinstance(value, str) or not value.strip():
            problems.append(f"{kind} needs a text that says what the reply must be, not {_quoted(value)}")
        return value
    if kind in _WORD_LISTS:
        return _normalised_list(kind, value, problems)
    text = _scalar_text(value)
    if kind == "equals":
        if value is None:
            problems.append("equals needs a value")
        return value if text is None else text
    if not text:
        problems.append(f"{kind} needs a text, not {_quoted(value)}")
    elif kind == "regex" and (problem := patterns.problem(text)):
        problems.append(f"the pattern {_quoted(text)} {problem}")
    return text


def _normalised_list(kind: str, value: object, problems: list[str]) -> list[str] | None:
    items: list[object] | None = list(list_items(value)) if isinstance(value, str) else None
    if isinstance(value, list):
        items = cast("list[object]", value)
    texts = [_scalar_text(item) for item in items or ()]
    if not texts or not all(texts):
        problems.append(f"{kind} needs a list of texts, not {_quoted(cast('object', value))}")
        return None
    return cast("list[str]", texts)


def _check_threshold(kind: str, threshold: object, problems: list[str]) -> None:
    if threshold is None:
        if kind in _LIMITS:
            unit = "milliseconds" if kind == "latency" else "US dollars"
            problems.append(f"{kind} needs a threshold in {unit}")
    elif kind in _LIMITS:
        if not _is_number(threshold, 0):
            problems.append(f"threshold must be a number from 0, not {_quoted(threshold)}")
    elif kind != RUBRIC:
        problems.append(f"{kind} has no threshold: a case has one, for the mean of its scores")
    elif not _is_number(threshold, 0, 1):
        problems.append(f"threshold must be a number from 0 to 1, not {_quoted(threshold)}")


# An integer may be larger than each float.
_LARGEST = 1.7976931348623157e308


def _is_number(value: object, least: float = float("-inf"), most: float = float("inf")) -> bool:
    """Whether a value is a finite number from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return least <= value <= most and abs(value) <= _LARGEST


def _scalar_text(value: object) -> str | None:
    """Return a text, or the JSON text of a number or a boolean; None for any other value."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if _is_number(value) else None


def _quoted(value: object) -> str:
    return "nothing" if value is None else _shortened(repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"
