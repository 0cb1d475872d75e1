"""Write the numbers of a comparison: values, differences, intervals and margins."""

from __future__ import annotations

import math

from promptctl.output import table_layout, time_text
from promptctl.rules import margins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.rules.experiments import Judgment

# A ratio above this is written as a limit.
_LARGEST_PERCENT = 999.5
_MOST_DIGITS = 6


def label(metric: str, slow_ms: Sequence[int] = ()) -> str:
    """Return a metric in the words of a table; that of slow calls names its limit, if there is one."""
    text = margins.METRICS[metric].label
    if metric != "slow" or len(slow_ms) != 1:
        return text
    limit = slow_ms[0]
    return f"slow (>{limit / 1000:g} s)" if limit >= 1000 else f"slow (>{limit} ms)"


def value(metric: str, number: float | None) -> str | None:
    """Return the value of a version: `1.9%`, `1.24 s`, `$0.0051`, `212`, `0.71`; None without a value."""
    if number is None:
        return None
    if metric in ("time", "first"):
        return time_text.duration(number)
    if metric == "cost":
        return table_layout.money(number)
    if margins.METRICS[metric].kind == "rate":
        percent = number * 100
        return "0%" if percent == 0 else f"{percent:.{1 if percent >= 1 else 2}f}%"
    return f"{number:.0f}" if metric == "output" else f"{number:.{_score_digits(number)}f}"


def difference(judgment: Judgment) -> str | None:
    """Return a difference: `+0.1 points`, `-14%`, `+0.02`; None if it is not known."""
    if judgment.difference is None:
        return None
    return f"{_signed(judgment.difference, judgment)}{_unit(judgment.metric)}"


def interval(judgment: Judgment) -> str | None:
    """Return an interval: `-0.6 to +0.8 points`, `-19 to -8%`, `-0.03 to +0.07`; None if there is none."""
    if judgment.lower is None or judgment.upper is None:
        return None
    return f"{_signed(judgment.lower, judgment)} to {_signed(judgment.upper, judgment)}{_unit(judgment.metric)}"


def document_value(metric: str, number: float | None) -> float | None:
    """Return a difference, an end of an interval or a margin for JSON.

    A ratio is given minus 1: 0.14 is 14 % more. A rate is a fraction: 0.021 is 2.1 points.
    """
    if number is None:
        return None
    if margins.METRICS[metric].kind != "ratio":
        return rounded(number)
    # Beyond this exponent, a float overflows.
    return rounded(math.expm1(min(number, 700.0)))


def rounded(number: float) -> float:
    """Return a number with seven digits, which is more than any estimate has."""
    return float(f"{number:.7g}")


def _signed(number: float, judgment: Judgment) -> str:
    kind = margins.METRICS[judgment.metric].kind
    digits = _digits(judgment, kind)
    if kind == "ratio":
        percent = math.expm1(min(number, 700.0)) * 100
        return f">+{_LARGEST_PERCENT + 0.5:.0f}" if percent > _LARGEST_PERCENT else _with_sign(percent, digits)
    return _with_sign(number * 100 if kind == "rate" else number, digits)


def _with_sign(number: float, digits: int) -> str:
    text = f"{number:+,.{digits}f}"
    # No sign before a zero.
    return text if any(character in "123456789" for character in text) else text[1:]


def _digits(judgment: Judgment, kind: str) -> int:
    """Return how many decimals show differences that are small beside the margin, and short intervals."""
    size = judgment.margin
    if judgment.lower is not None and judgment.upper is not None:
        size = min(size, 5 * max(abs(judgment.lower), abs(judgment.upper), size / 1000))
    if kind != "score":
        size = size * 100 if kind == "rate" else math.expm1(size) * 10
    least = 1 if kind == "rate" else 0
    return min(max(least, math.ceil(-math.log10(size)) + (kind == "rate" and size < 1)), _MOST_DIGITS)


def _score_digits(number: float) -> int:
    return 2 if abs(number) < 100 else 0


def _unit(metric: str) -> str:
    return {"rate": " points", "ratio": "%", "score": ""}[margins.METRICS[metric].kind]
