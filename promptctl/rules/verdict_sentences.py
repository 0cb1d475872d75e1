"""Write what a comparison found out as sentences for a reader without statistics. Pure."""

from __future__ import annotations

import math

from promptctl.rules import experiments, margins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from promptctl.rules.experiments import Judgment, Traffic

# Per metric: what B does, with the words for more and for less. {} is the size of the difference.
_DIFFERENCES = {
    "errors": ("its error rate is {} {}", "higher", "lower"),
    "time": ("it is {} {}", "slower", "faster"),
    "slow": ("its rate of slow calls is {} {}", "higher", "lower"),
    "first": ("its first token is {} {}", "later", "earlier"),
    "output": ("its replies are {} {}", "longer", "shorter"),
    "cost": ("it costs {} {}", "more", "less"),
    "score": ("its score is {} {}", "higher", "lower"),
}
# The same without a size.
_DIRECTIONS = {
    "errors": ("it fails more often", "it fails less often"),
    "slow": ("more of its calls are slow", "fewer of its calls are slow"),
}
_MOST_DIGITS = 6


def sentence(
    a: int, b: int, uses_a: int, uses_b: int, judgments: Sequence[Judgment], verdict: str, traffic: Traffic
) -> str:
    """Return the verdict on version B beside version A, and what it is based on, as one to three sentences.

    `uses_a`, `uses_b` are their recorded uses.
    """
    worse = [judgment for judgment in judgments if judgment.verdict == experiments.WORSE]
    better = [judgment for judgment in judgments if judgment.verdict == experiments.BETTER]
    same = [judgment for judgment in judgments if judgment.verdict == experiments.SAME]
    if verdict == experiments.WORSE:
        rest = f"But {_joined(map(difference, better))}." if better else "Nothing is better."
        return f"Version {b} is worse: {_joined(map(difference, worse))}. {rest}"
    if verdict == experiments.BETTER:
        return f"Version {b} is better: {_joined(map(difference, better))}. Nothing is worse.{_open(judgments)}"
    if verdict == experiments.SAME:
        return f"Versions {a} and {b} are the same: no difference that matters.{_open(judgments)}"
    if not uses_a and not uses_b:
        return "Nothing is known yet: no uses were recorded while both versions were served."
    fewest, version = (uses_b, b) if uses_b <= uses_a else (uses_a, a)
    if fewest < experiments.LEAST_USES:
        return (
            f"Nothing is known yet: version {version} has {counted(fewest, 'use')}, and a verdict takes at least"
            f" {experiments.LEAST_USES}."
        )
    if traffic.has_alarm and traffic.difference is not None:
        return f"Nothing is decided: version {b} gets {share_of_uses(traffic.difference)} than its share."
    with_values = [judgment for judgment in judgments if judgment.value_a is not None]
    if with_values and all(judgment.lacks_units for judgment in with_values):
        most_a = max(judgment.units_a or 0 for judgment in with_values)
        most_b = max(judgment.units_b or 0 for judgment in with_values)
        units, version = (most_b, b) if most_b <= most_a else (most_a, a)
        return (
            f"Nothing is known yet: the uses of version {version} come from {counted(units, 'group')} of units, and a"
            f" verdict takes at least {experiments.LEAST_UNITS}."
        )
    opening = f"It is not known yet whether version {b} is better or worse."
    if same:
        opening += (
            f" No difference that matters in {_joined(margins.METRICS[judgment.metric].label for judgment in same)}."
        )
    return opening


def difference(judgment: Judgment) -> str:
    """Return a proven difference in words: `it is 8 to 19% faster`, `its error rate is 0.4 to 3.9 points higher`."""
    assert judgment.difference is not None
    phrase, more, less = _DIFFERENCES[judgment.metric]
    is_more = judgment.difference > 0
    if judgment.lower is None or judgment.upper is None:
        direction = _DIRECTIONS[judgment.metric][0 if is_more else 1]
        return f"{direction}, and by how much is not known yet"
    kind = margins.METRICS[judgment.metric].kind
    ends = sorted(abs(_of_kind(end, kind)) for end in (judgment.lower, judgment.upper))
    return phrase.format(_span(ends[0], ends[1], kind), more if is_more else less)


def share_of_uses(ratio: float) -> str:
    """Return a difference of uses in words: `31% fewer uses`."""
    return f"{abs(ratio) * 100:.0f}% {'more' if ratio > 0 else 'fewer'} uses"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 use`, `18,240 uses`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def about(number: int) -> str:
    """Return a number rounded up to two digits: `9,100`."""
    step = 10 ** max(0, len(str(number)) - 2)
    return f"{-(-number // step) * step:,}"


def _open(judgments: Sequence[Judgment]) -> str:
    """Return a sentence about the metrics with values that have no verdict, '' if there are none."""
    names = [
        margins.METRICS[judgment.metric].label
        for judgment in judgments
        if not judgment.is_enough and (judgment.value_a is not None or judgment.value_b is not None)
    ]
    return f" Not known yet: {_joined(names)}." if names else ""


def _of_kind(value: float, kind: str) -> float:
    if kind == "ratio":
        return math.expm1(value) * 100
    return value * 100 if kind == "rate" else value


def _span(low: float, high: float, kind: str) -> str:
    """Return `0.4 to 3.9 points` or `8 to 19%`, with as many digits as the smaller number needs."""
    digits = 0 if kind == "ratio" else 1 if kind == "rate" else 2
    while digits < _MOST_DIGITS and round(low, digits) == 0:
        digits += 1
    unit = {"rate": " points", "ratio": "%", "score": ""}[kind]
    return f"{low:.{digits}f} to {high:.{digits}f}{unit}"


def _joined(parts: Iterable[str]) -> str:
    """Return texts as a list: `a`, `a and b`, `a, b and c`."""
    texts = [*parts]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
