"""Decide on a run of test cases: which cases get more replies, and whether the new text is worse. Pure.

The promise: of all runs of a text that is as good as its baseline, at most 5 % find it worse. Four things keep it:

- Single cases and the change over all cases get half of this error each (Bonferroni).
- The tests are exact and conditional on how many replies of a case pass (`exact_tests`), so it does not matter how
  difficult a case is, or how many replies it has.
- Each stage has its share of the error of a case. A case that is not suspicious gets no more replies, and is then only
  found worse less often than if it had got them. Holm's correction covers the number of cases.
- The change over all cases is tested with equal numbers of replies to all cases: after the first stage, and once more
  if all cases get more replies. Each look has its share of the error. The change and its interval are those of the
  first stage: which cases get more replies depends on it, so that an estimate from all replies would be biased.

benchmarks/verdicts.py measures how often each verdict is right.
"""

from __future__ import annotations

import math

from promptctl.records import Record
from promptctl.rules import exact_tests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Literal

    Word = Literal["worse", "not worse", "undecided", "better"]

# The new replies to each case in the first stage, and those more for a suspicious case in the second and third stage.
FIRST_STAGE = 3
SECOND_STAGE = 7
THIRD_STAGE = 20
MOST_MORE = SECOND_STAGE + THIRD_STAGE
# At most so many kept replies of the baseline are compared.
MOST_BASELINE = 30
# The probability of a false `worse`, for the whole run.
ERROR = 0.05
# The drop of the pass rate that does not matter, as a part of 1.
DEFAULT_MARGIN = 0.05

# The part of the error that each stage gets in the test of a case.
STAGE_SHARES = (0.1, 0.1, 0.8)
# The same for the looks at the change over all cases. A fifth is kept in reserve, so that both tests together find a
# text worse that is equal in at most 2.5 % of the simulated runs.
LOOK_SHARES = (0.4, 0.4)
# A case is suspicious if the p-value of its drop is at most this, after the first and after the second stage.
SUSPICIOUS = (0.2, 0.02)
# All cases get more replies if the p-value of the drop over all of them, without the one that explains the most of it,
# is at most this in the first stage.
SUSPICIOUS_IN_ALL = 0.15
# The interval has 90 %, so that each of its ends is a bound with an error of 5 %.
INTERVAL_ERROR = 0.05
_ROUNDING = 1e-9
# More cases or repeats than these are not proposed.
_MOST_CASES = 100_000
_MOST_REPEATS = 100


class Counts(Record):
    """The replies to one case: how many there are, and how many of them pass. Both of a side may be 0.

    Cases of one `group` belong together; None is a group of its own. A critical case must pass every time. `missing` is
    how many of the new replies that were asked for did not come.
    """

    baseline_passes: int
    baseline_replies: int
    new_passes: int
    new_replies: int
    group: str | None = None
    is_critical: bool = False
    missing: int = 0


class Verdict(Record):
    """What is known of a run.

    `change` is the mean change of the pass rate of a case, a part of 1, and `interval` its interval of 90 %.
    `p_overall` is the p-value of a drop over all cases. `broken` are the indexes of cases that are proven worse, and
    `p_of_case` has the p-value of each case. None stands for what cannot be calculated, without a baseline for example.
    `needed_cases` and `needed_repeats` are about how many more cases, or more replies to each case in the first stage,
    could decide an undecided run. `reason` is a sentence.
    """

    word: Word
    change: float | None
    interval: tuple[float, float] | None
    p_overall: float | None
    broken: tuple[int, ...]
    p_of_case: Sequence[float | None]
    needed_cases: int | None
    needed_repeats: int | None
    reason: str


def suspicious(counts: Sequence[Counts]) -> list[int]:
    """Return the indexes of the cases that look worse after the first stage."""
    return _suspicious(counts, SUSPICIOUS[0])


def more_replies(stages: Sequence[Sequence[Counts]]) -> dict[int, int]:
    """Return how many more replies cases get in the next stage, by their index; nothing if the run is complete.

    `stages` has the counts of each case after each stage so far, at least after the first. A case gets more replies
    while it is suspicious and not proven worse. After that, all other cases do if none is proven worse, the change over
    all cases is suspicious, and no single case explains it.
    """
    if len(stages) > len(SUSPICIOUS):
        return {}
    last = stages[-1]
    proven = _broken(_p_of_cases(stages))
    were = set(range(len(last))) if len(stages) == 1 else _extended(stages)
    number = (SECOND_STAGE, THIRD_STAGE)[len(stages) - 1]
    more = {index: number for index in _suspicious(last, SUSPICIOUS[len(stages) - 1]) if index in were - set(proven)}
    if not proven and (len(stages) > 1 or not more) and _is_change_suspicious(_tables(stages[0])):
        others = (index for index, counts in enumerate(last) if _is_compared(counts))
        more |= {index: SECOND_STAGE for index in others if len(stages) == 1 or index not in were}
    return more


def judge_run(stages: Sequence[Sequence[Counts]], margin: float) -> Verdict:
    """Return the verdict on a run. `margin` is the drop that does not matter, a part of 1.

    `stages` has the counts of each case after the first stage, and after each further one; the last are those of all
    replies. The verdict is the first of these that applies:

    - `worse` by rule: a new reply to a critical case fails.
    - `worse`: Holm's correction of the cases' p-values, or the test over all cases, refutes that nothing is worse.
    - `better`: the test over all cases refutes that nothing is better.
    - `not worse`: the interval of the change excludes a drop of the margin.
    - `undecided`.

    Where cases have groups, the test over all cases counts only if the interval excludes zero as well, because cases of
    a group may change together. A case that has a baseline and no new replies counts as failed in the change, and
    prevents `better` and `not worse`. So does a missing reply to a critical case, which might fail. The reason of every
    verdict but `worse` has how many new replies are missing.
    """
    first, every = stages[0], stages[-1]
    p_of_case = _p_of_cases(stages)
    broken = tuple(_broken(p_of_case))
    compared = [counts for counts in first if counts.baseline_replies]
    change = _Change(compared) if compared else None
    interval = None if change is None else change.interval()
    p_overall = _p_overall(stages)

    def verdict(word: Word, reason: str, cases: int | None = None, repeats: int | None = None) -> Verdict:
        mean = None if change is None else change.mean
        if word != "worse" and (missing := sum(counts.missing for counts in every)):
            reason += f"; {_number(missing, 'new reply')} {'is' if missing == 1 else 'are'} missing"
        return Verdict(word, mean, interval, p_overall, broken, p_of_case, cases, repeats, reason)

    if failed := sum(counts.is_critical and counts.new_passes < counts.new_replies for counts in every):
        return verdict("worse", f"{_number(failed, 'critical case')} failed, and must pass every time")
    if change is None or p_overall is None:
        return verdict("undecided", "there are no replies to compare")
    is_together = change.groups < len(compared)
    is_down = p_overall <= ERROR / 2 and (not is_together or (interval is not None and interval[1] < 0))
    if broken or is_down:
        verb = "is" if len(broken) == 1 else "are"
        parts = [f"{_number(len(broken), 'case')} {verb} proven worse"] if broken else []
        parts += ["the test over all cases proves a drop"] if is_down else []
        return verdict("worse", ", and ".join(parts))
    if missing := sum(not counts.new_replies or not counts.baseline_replies for counts in every):
        return verdict("undecided", f"{missing} of {len(every)} cases have no replies to compare")
    if lacking := sum(counts.is_critical and counts.missing > 0 for counts in every):
        return verdict("undecided", f"{_number(lacking, 'critical case')} may have failed in a reply that is missing")
    is_up = exact_tests.rise_in_all(_tables(first)) <= ERROR / 2
    if is_up and (not is_together or (interval is not None and interval[0] > 0)):
        return verdict("better", "the test over all cases proves a rise")
    if len(compared) == 1:
        return verdict("undecided", "one case is too few: add a second one")
    if interval is None:
        return verdict("undecided", "a change over all cases needs two cases that do not belong to one group")
    if interval[0] > -margin:
        return verdict("not worse", f"a drop of {_points(margin)} is excluded")
    cases, repeats = change.needed_cases(margin), change.needed_repeats(margin)
    reason = f"too few replies to exclude a drop of {_points(margin)} (up to {_points(-interval[0])} are possible)"
    return verdict("undecided", reason, cases, repeats)


class _Change:
    """The mean change of the pass rate over cases, in the first stage, and its interval.

    The interval is the wider one of two, at each end:

    - That of the spread of the changes. The variance is that of the delete-one-group jackknife, which is the
      cluster-robust variance CR3 of a mean: R. Bell and D. McCaffrey, "Bias Reduction in Standard Errors for Linear
      Regression with Multi-Stage Samples", Survey Methodology 28 (2002). Student's quantile has one degree of freedom
      less than the effective number of groups, which is smaller than their number if their sizes differ: L. Kish,
      "Survey Sampling" (1965).
    - That of the difference of two rates: R. Newcombe, "Interval Estimation for the Difference between Independent
      Proportions", Statistics in Medicine 17 (1998), method 10. Where failures are rare, the spread of a few replies
      says too little. The numbers of replies are divided by how much less the replies spread within the cases than
      all together.
    """

    def __init__(self, compared: Sequence[Counts]) -> None:
        self._compared = compared
        self._cases = len(compared)
        new = [counts.new_passes / counts.new_replies if counts.new_replies else 0.0 for counts in compared]
        baseline = [counts.baseline_passes / counts.baseline_replies for counts in compared]
        self._new, self._baseline = math.fsum(new) / self._cases, math.fsum(baseline) / self._cases
        changes = [now - before for now, before in zip(new, baseline, strict=True)]
        total = math.fsum(changes)
        self.mean = total / self._cases
        sums: dict[str | int, list[float]] = {}
        for place, (counts, change) in enumerate(zip(compared, changes, strict=True)):
            sums.setdefault(place if counts.group is None else counts.group, []).append(change)
        self.groups = len(sums)
        self._effective = self._cases**2 // sum(len(one) ** 2 for one in sums.values())
        self._variance = 0.0
        if self.groups > 1:
            without = ((total - math.fsum(one)) / (self._cases - len(one)) for one in sums.values())
            between = math.fsum((mean - self.mean) ** 2 for mean in without)
            self._variance = between * (self.groups - 1) / self.groups
        self._rates = [
            # The prior of H. Jeffreys.
            (counts.baseline_passes + counts.new_passes + 0.5) / (counts.baseline_replies + counts.new_replies + 1)
            for counts in compared
        ]
        rate = math.fsum(self._rates) / self._cases
        self._part_within = math.fsum(one * (1 - one) for one in self._rates) / self._cases / (rate * (1 - rate))

    def interval(self) -> tuple[float, float] | None:
        """Return the interval of the change, None with a single group."""
        return self._interval(INTERVAL_ERROR) if self.groups > 1 else None

    def needed_cases(self, margin: float) -> int | None:
        """Return about how many more cases decide, if their change and its spread are those of the present cases."""
        least = _least(lambda cases: self._decides(margin, cases=cases), self._cases + 1, _MOST_CASES)
        return None if least is None else least - self._cases

    def needed_repeats(self, margin: float) -> int | None:
        """Return about how many more replies to each case decide, None if more replies alone cannot decide."""
        present = min((counts.new_replies for counts in self._compared if counts.new_replies), default=0)
        least = _least(lambda repeats: self._decides(margin, repeats=repeats), present + 1, _MOST_REPEATS)
        return None if least is None else least - present

    def _decides(self, margin: float, cases: int = 0, repeats: int = 0) -> bool:
        is_excluded = self._interval(INTERVAL_ERROR, cases, repeats)[0] > -margin
        return is_excluded or self._interval(ERROR / 2, cases, repeats)[1] < 0

    def _interval(self, error: float, cases: int = 0, repeats: int = 0) -> tuple[float, float]:
        """Return the interval, each of whose ends has this error, as with so many cases, or replies to each case."""
        growth = max(cases, self._cases) / self._cases
        quantile = exact_tests.student_quantile(1 - error, max(1, int(self._effective * growth) - 1))
        new = [max(counts.new_replies, repeats, 1) for counts in self._compared]
        baseline = [max(counts.baseline_replies, min(repeats, MOST_BASELINE)) for counts in self._compared]
        variance = self._variance
        if repeats:
            present = ((max(counts.new_replies, 1), counts.baseline_replies) for counts in self._compared)
            variance -= self._within(present) - self._within(zip(new, baseline, strict=True))
        half = quantile * math.sqrt(max(variance, 0.0) / growth)
        new_low, new_high = self._limits(self._new, new, quantile, growth)
        low, high = self._limits(self._baseline, baseline, quantile, growth)
        down = math.hypot(self._new - new_low, high - self._baseline)
        up = math.hypot(new_high - self._new, self._baseline - low)
        return max(-1.0, self.mean - max(half, down)), min(1.0, self.mean + max(half, up))

    def _within(self, replies: Iterable[tuple[int, int]]) -> float:
        """Return the part of the variance that comes from replies to the same case."""
        parts = zip(self._rates, replies, strict=True)
        return math.fsum(rate * (1 - rate) * (1 / new + 1 / old) for rate, (new, old) in parts) / self._cases**2

    def _limits(self, rate: float, replies: Sequence[int], quantile: float, growth: float) -> tuple[float, float]:
        """Return the limits of a pass rate: E. B. Wilson, Journal of the American Statistical Association 22 (1927)."""
        number = growth * self._cases**2 / math.fsum(1 / one for one in replies) / self._part_within
        square = quantile * quantile
        center = (rate * number + square / 2) / (number + square)
        half = quantile / (number + square) * math.sqrt(rate * (1 - rate) * number + square / 4)
        return min(rate, center - half), max(rate, center + half)


def _p_overall(stages: Sequence[Sequence[Counts]]) -> float | None:
    """Return the p-value of a drop over all cases, None where nothing can be compared.

    It is the least of the p-values of the looks, each divided by its share of the error. If all cases have more replies
    than in the first stage, the second look is at these and at those of the stage that followed.
    """
    first = _tables(stages[0])
    if not first:
        return None
    p_value = exact_tests.drop_in_all(first) / LOOK_SHARES[0]
    compared = {index for index, counts in enumerate(stages[0]) if _is_compared(counts)}
    if len(stages) > 1 and compared <= _extended(stages):
        second: list[Counts] = []
        for index in sorted(compared):
            own = [stage[index] for stage in stages]
            second.append(next(counts for counts in own if counts.new_replies > own[0].new_replies))
        p_value = min(p_value, exact_tests.drop_in_all(_tables(second)) / LOOK_SHARES[1])
    return min(1.0, p_value)


def _extended(stages: Sequence[Sequence[Counts]]) -> set[int]:
    """Return the indexes of the cases that have more new replies than after the first stage."""
    return {
        index
        for index, (first, last) in enumerate(zip(stages[0], stages[-1], strict=True))
        if last.new_replies > first.new_replies
    }


def _is_change_suspicious(tables: Sequence[exact_tests.Table]) -> bool:
    """Return whether the change over all cases looks worse and is not proven, and no single case explains that."""
    if not tables or exact_tests.drop_in_all(tables) <= LOOK_SHARES[0] * ERROR / 2:
        return False
    others = sorted(tables, key=lambda table: (exact_tests.fisher(table), table))[1:]
    return exact_tests.drop_in_all(others) <= SUSPICIOUS_IN_ALL


def _suspicious(counts: Sequence[Counts], limit: float) -> list[int]:
    return [
        index
        for index, one in enumerate(counts)
        if _is_compared(one) and exact_tests.fisher(_table(one)) <= limit + _ROUNDING
    ]


def _p_of_cases(stages: Sequence[Sequence[Counts]]) -> list[float | None]:
    """Return the p-value of a drop of each case, None where nothing can be compared.

    It is the least of the p-values of the stages, each divided by the stage's share of the error.
    """
    p_values: list[float | None] = []
    for index, last in enumerate(stages[-1]):
        if not _is_compared(last):
            p_values.append(None)
            continue
        least, replies = 1.0, 0
        for share, counts in zip(STAGE_SHARES, (stage[index] for stage in stages), strict=False):
            if counts.new_replies > replies:
                least = min(least, exact_tests.fisher(_table(counts)) / share)
                replies = counts.new_replies
        p_values.append(least)
    return p_values


def _broken(p_of_case: Sequence[float | None]) -> list[int]:
    return exact_tests.holm([1.0 if p is None else p for p in p_of_case], ERROR / 2)


def _is_compared(counts: Counts) -> bool:
    return bool(counts.baseline_replies and counts.new_replies)


def _tables(all_counts: Sequence[Counts]) -> list[exact_tests.Table]:
    return [_table(counts) for counts in all_counts if _is_compared(counts)]


def _table(counts: Counts) -> exact_tests.Table:
    return counts.baseline_passes, counts.baseline_replies, counts.new_passes, counts.new_replies


def _least(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """Return the least number in a range for which a condition holds, which then holds for all larger ones."""
    if low > high or not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _number(count: int, noun: str) -> str:
    if count == 1:
        return f"1 {noun}"
    return f"{count} {noun[:-1]}ies" if noun.endswith("ply") else f"{count} {noun}s"


def _points(part: float) -> str:
    points = f"{part * 100:.3g}" if part >= 0.095 else f"{part * 100:.2g}"
    return f"{points} point{'' if points == '1' else 's'}"
