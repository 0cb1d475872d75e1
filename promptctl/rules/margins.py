"""The metrics of a comparison, and margins: how large a difference of a metric must be to matter. Pure.

A difference of a metric is B minus A, in the unit of its kind:

- `rate`: a difference of two shares of uses. 0.01 is one percentage point, written `1pt`.
- `ratio`: the natural logarithm of B / A. 0.0953 is 10 % more, written `10%`.
- `score`: a difference of two average scores, written as a number.
"""

from __future__ import annotations

import math

from promptctl import errors
from promptctl.records import Record
from promptctl.rules import references

# The largest margin that can be written: 100 points, 1000 %, or a score of 1e9.
_MOST_POINTS, _MOST_PERCENT, _LARGEST_SCORE = 100.0, 1000.0, 1e9
# The scales of scores that a default margin is a part of: 1, 5, 10, 100, 1000 and so on.
_SMALL_SCALES = (1.0, 5.0)
_PART_OF_THE_SCALE = 0.02


class Metric(Record):
    """What a comparison measures. `kind` is rate, ratio or score.

    `margin` is the default margin in the unit of the kind, None for scores, whose margin depends on their scale.
    `more_is_worse` is False for scores. `label` is the text of a table.
    """

    name: str
    label: str
    kind: str
    margin: float | None
    more_is_worse: bool = True


# In the order of a table.
METRICS = {
    metric.name: metric
    for metric in (
        Metric("errors", "errors", "rate", 0.01),
        Metric("time", "time", "ratio", math.log(1.10)),
        Metric("slow", "slow calls", "rate", 0.02),
        Metric("first", "first token", "ratio", math.log(1.10)),
        Metric("output", "reply tokens", "ratio", math.log(1.10)),
        Metric("cost", "cost", "ratio", math.log(1.10)),
        Metric("score", "score", "score", None, more_is_worse=False),
    )
}
EXAMPLES = {"rate": "0.5pt", "ratio": "15%", "score": "0.05"}


def default(metric: str, value_a: float | None = None) -> float:
    """Return the default margin of a metric in the unit of its kind.

    That of scores is 2 % of their scale: of the least of 1, 5, 10, 100, 1000 and so on that is at least the absolute
    value of `value_a`, the average score of version A.
    """
    margin = METRICS[metric].margin
    return _PART_OF_THE_SCALE * score_scale(value_a or 0.0) if margin is None else margin


def score_scale(average: float) -> float:
    """Return the least of 1, 5, 10, 100, 1000 and so on that is at least the absolute value of `average`."""
    size = abs(average)
    for scale in _SMALL_SCALES:
        if size <= scale:
            return scale
    scale = 10.0
    while scale < size:
        scale *= 10
    return scale


def parse(text: str, option: str = "--margin") -> tuple[str, float]:
    """Return the metric and the margin in `errors=0.5pt`, `time=15%` or `score=0.05`, in the unit of the kind.

    Raises Usage (`invalid_margin`). `option` names the option in the message.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    metric = METRICS.get(name)
    if metric is None or not equals:
        problem = f"{option} {references.quoted(text)} names no metric"
        raise errors.Usage("invalid_margin", problem, hint=f"write METRIC=MARGIN, a METRIC of {', '.join(METRICS)}")
    margin = value_of(name, value)
    if margin is None:
        problem = f"{option} {references.quoted(text)} is not a margin of {name}"
        raise errors.Usage("invalid_margin", problem, hint=f"write {rule(name)}")
    return name, margin


def parse_all(texts: list[str] | None, option: str = "--margin") -> dict[str, float]:
    """Return the margins by metric. Raises Usage (`invalid_margin`) also for a metric that appears twice."""
    parsed: dict[str, float] = {}
    for text in texts or ():
        name, margin = parse(text, option)
        if name in parsed:
            raise errors.Usage("invalid_margin", f"{option} appears twice for {name}")
        parsed[name] = margin
    return parsed


def text(metric: str, margin: float) -> str:
    """Return a margin in words: `1 point`, `0.5 points`, `10%`, `0.02`."""
    kind = METRICS[metric].kind
    if kind == "rate":
        points = f"{margin * 100:.4g}"
        return f"{points} point{'' if points == '1' else 's'}"
    return f"{math.expm1(margin) * 100:.4g}%" if kind == "ratio" else f"{margin:.4g}"


def rule(metric: str, separator: str = "=", least: str | None = None) -> str:
    """Return how the margin of a metric is written, with an example: `errors=0.5pt`.

    `least` is the least margin as it is written; without it, any margin above 0 is valid.
    """
    kind = METRICS[metric].kind
    example = f"{metric}{separator}{EXAMPLES[kind]}"
    if kind == "rate":
        numbers = f"from {least} to 100pt" if least else "above 0pt and up to 100pt"
        return f"percentage points {numbers}, for example {example}"
    if kind == "ratio":
        numbers = f"from {least} to 1000%" if least else "above 0% and up to 1000%"
        return f"a percentage {numbers}, for example {example}"
    numbers = f"from {least} to 1e9" if least else "above 0 and up to 1e9"
    return f"a number {numbers}, for example {example}"


def value_of(metric: str, value: str) -> float | None:
    """Return a margin of a metric in the unit of its kind, None for a text that is not one."""
    kind = METRICS[metric].kind
    suffixes = {"rate": ("points", "point", "pt"), "ratio": ("%",), "score": ("",)}[kind]
    suffix = next((suffix for suffix in suffixes if value.endswith(suffix)), None)
    if suffix is None:
        return None
    digits = value.removesuffix(suffix).strip().removeprefix("+")
    # Of the forms that float() accepts, only plain decimals.
    if not digits.replace(".", "", 1).isdecimal() or not digits.isascii():
        return None
    number = float(digits)
    most = {"rate": _MOST_POINTS, "ratio": _MOST_PERCENT, "score": _LARGEST_SCORE}[kind]
    if not 0 < number <= most:
        return None
    return {"rate": number / 100, "ratio": math.log1p(number / 100), "score": number}[kind]
