"""Verdicts on runs of test cases: each rule, extreme counts, and how often verdicts are wrong in a small simulation."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptctl.rules import test_verdicts
from promptctl.rules.test_verdicts import Counts, judge_run, more_replies, suspicious

if TYPE_CHECKING:
    from collections.abc import Sequence

MARGIN = test_verdicts.DEFAULT_MARGIN
GOOD = Counts(30, 30, 3, 3)


def after(stages: Sequence[Counts], *others: Counts) -> list[list[Counts]]:
    """Return the counts after each stage of one case, beside others that stay as they are."""
    return [[counts, *others] for counts in stages]


def in_group(counts: Counts, group: str) -> Counts:
    """Return counts as those of a case in a group."""
    return Counts(counts.baseline_passes, counts.baseline_replies, counts.new_passes, counts.new_replies, group)


def test_a_case_that_always_passes_is_not_suspicious() -> None:
    assert suspicious([GOOD] * 20) == []
    assert more_replies([[GOOD] * 20]) == {}


@pytest.mark.parametrize(
    ("counts", "is_suspicious"),
    [
        (Counts(30, 30, 2, 3), True),
        (Counts(28, 30, 2, 3), False),
        (Counts(28, 30, 1, 3), True),
        (Counts(15, 30, 1, 3), False),
        (Counts(15, 30, 0, 3), True),
        (Counts(3, 3, 1, 3), True),
        (Counts(3, 3, 2, 3), False),
        (Counts(0, 30, 0, 3), False),
        (Counts(0, 0, 0, 3), False),
        (Counts(30, 30, 0, 0), False),
    ],
)
def test_a_case_that_passes_less_often_is_suspicious(counts: Counts, is_suspicious: bool) -> None:
    stage = [counts, *[GOOD] * 9]
    assert suspicious(stage) == [0] * is_suspicious
    assert more_replies([stage]) == ({0: 7} if is_suspicious else {})


def test_a_case_that_still_looks_worse_gets_the_third_stage() -> None:
    first, second, third = Counts(30, 30, 2, 3), Counts(30, 30, 6, 10), Counts(30, 30, 16, 30)
    others = [GOOD] * 49
    assert more_replies(after([first], *others)) == {0: 7}
    assert more_replies(after([first, second], *others)) == {0: 20}
    assert more_replies(after([first, second, third], *others)) == {}
    verdict = judge_run(after([first, second, third], *others), MARGIN)
    assert (verdict.word, verdict.broken) == ("worse", (0,))
    assert verdict.reason == "1 case is proven worse"


def test_a_case_that_is_proven_worse_or_recovers_gets_no_more_replies() -> None:
    others = [GOOD] * 49
    assert more_replies(after([Counts(30, 30, 0, 3), Counts(30, 30, 0, 10)], *others)) == {}
    assert more_replies(after([Counts(30, 30, 2, 3), Counts(30, 30, 9, 10)], *others)) == {}


def test_a_change_over_all_cases_that_looks_worse_gives_all_cases_more_replies() -> None:
    first = [Counts(24, 30, 2, 3)] * 16 + [Counts(24, 30, 3, 3)] * 5 + [Counts(24, 30, 1, 3)] * 3 + [Counts(0, 0, 1, 3)]
    suspects, others = range(21, 24), range(21)
    assert suspicious(first) == list(suspects)
    assert more_replies([first]) == dict.fromkeys(suspects, 7)
    second = first[:21] + [Counts(24, 30, 6, 10)] * 3 + first[24:]
    assert more_replies([first, second]) == dict.fromkeys(others, 7)
    third = [Counts(24, 30, 5, 10)] * 16 + [Counts(24, 30, 8, 10)] * 5 + second[21:]
    assert more_replies([first, second, third]) == {}
    early, late = judge_run([first, second], MARGIN), judge_run([first, second, third], MARGIN)
    assert early.p_overall is not None
    assert late.p_overall is not None
    assert late.p_overall < 0.025 < early.p_overall
    assert late.change == early.change
    compared = judge_run([one[:24] for one in (first, second, third)], MARGIN)
    assert (compared.word, compared.broken) == ("worse", ())


def test_one_case_does_not_give_all_others_more_replies() -> None:
    first = [Counts(30, 30, 2, 3), *[GOOD] * 49]
    assert more_replies([first]) == {0: 7}
    assert more_replies([first, [Counts(30, 30, 8, 10), *first[1:]]]) == {}


def test_all_cases_get_more_replies_also_if_none_of_them_is_suspicious() -> None:
    first = [Counts(24, 30, 2, 3)] * 22 + [GOOD] * 2
    assert suspicious(first) == []
    assert more_replies([first]) == dict.fromkeys(range(24), 7)
    assert more_replies([first, [Counts(24, 30, 8, 10)] * 24]) == {}


def test_a_critical_case_that_fails_once_is_worse_by_rule() -> None:
    critical = Counts(0, 30, 29, 30, None, True)
    verdict = judge_run([[critical, GOOD]], MARGIN)
    assert (verdict.word, verdict.broken) == ("worse", ())
    assert verdict.reason == "1 critical case failed, and must pass every time"
    verdict = judge_run([[Counts(0, 0, 2, 3, None, True)] * 2], MARGIN)
    assert (verdict.word, verdict.reason[:23]) == ("worse", "2 critical cases failed")
    assert judge_run([[Counts(30, 30, 3, 3, None, True)] * 20], MARGIN).word == "not worse"
    # A failure in a later stage counts too.
    assert judge_run([[GOOD] * 20, [Counts(30, 30, 9, 10, None, True)] + [GOOD] * 19], MARGIN).word == "worse"


def test_equal_cases_are_not_worse_and_the_interval_is_no_point() -> None:
    verdict = judge_run([[GOOD] * 50], MARGIN)
    assert (verdict.word, verdict.change, verdict.reason) == ("not worse", 0, "a drop of 5 points is excluded")
    assert verdict.interval is not None
    low, high = verdict.interval
    # 150 replies that all pass have a rate of at least 98 %.
    assert low == pytest.approx(-0.02, abs=0.003)
    assert 0 < high < 0.005


def test_twenty_cases_that_always_pass_are_enough_in_a_first_run() -> None:
    assert judge_run([[Counts(3, 3, 3, 3)] * 20], MARGIN).word == "not worse"
    verdict = judge_run([[Counts(3, 3, 3, 3)] * 12], MARGIN)
    assert (verdict.word, verdict.needed_cases, verdict.needed_repeats) == ("undecided", 8, 3)
    assert judge_run([[Counts(6, 6, 6, 6)] * 12], MARGIN).word == "not worse"
    assert judge_run([[Counts(5, 5, 5, 5)] * 12], MARGIN).word == "undecided"


def test_a_proven_rise_is_better() -> None:
    verdict = judge_run([[Counts(12, 30, 3, 3)] * 20], MARGIN)
    assert (verdict.word, verdict.reason) == ("better", "the test over all cases proves a rise")
    assert verdict.change == pytest.approx(0.6)


def test_a_proven_drop_over_all_cases_is_worse() -> None:
    verdict = judge_run([[Counts(30, 30, 2, 3)] * 10], MARGIN)
    assert (verdict.word, verdict.broken) == ("worse", ())
    assert verdict.reason == "the test over all cases proves a drop"


def test_few_cases_are_undecided_and_more_of_them_would_decide() -> None:
    cases = [Counts(15, 30, 2, 3), Counts(20, 30, 2, 3), Counts(29, 30, 2, 3)] * 12
    verdict = judge_run([cases], 0.1)
    reason = "too few replies to exclude a drop of 10 points (up to 12.2 points are possible)"
    assert (verdict.word, verdict.reason) == ("undecided", reason)
    assert (verdict.needed_cases, verdict.needed_repeats) == (31, 4)
    assert judge_run([cases + cases[:33]], 0.1).word == "not worse"
    assert judge_run([cases + cases[:27]], 0.1).word == "undecided"


def test_more_repeats_do_not_help_where_the_cases_differ() -> None:
    verdict = judge_run([[Counts(30, 30, 0, 30), Counts(0, 30, 30, 30)] * 4], MARGIN)
    assert verdict.word == "worse"
    groups = [Counts(20, 30, 12 if group % 2 else 30, 30, str(group)) for group in range(6) for _ in range(3)]
    verdict = judge_run([groups], MARGIN)
    assert verdict.needed_repeats is None


def test_without_a_baseline_nothing_is_proven() -> None:
    verdict = judge_run([[Counts(0, 0, 3, 3), Counts(0, 0, 0, 3)]], MARGIN)
    assert verdict == ("undecided", None, None, None, (), [None, None], None, None, "there are no replies to compare")


def test_a_case_without_replies_stays_in_the_denominator_and_prevents_a_good_verdict() -> None:
    missing = Counts(30, 30, 0, 0)
    verdict = judge_run([[GOOD] * 49 + [missing]], MARGIN)
    assert (verdict.word, verdict.reason) == ("undecided", "1 of 50 cases have no replies to compare")
    assert verdict.change == pytest.approx(-1 / 50)
    assert verdict.p_of_case[-1] is None
    assert judge_run([[Counts(12, 30, 3, 3)] * 20 + [missing]], MARGIN).word == "undecided"
    assert judge_run([[GOOD] * 20 + [Counts(0, 0, 3, 3)]], MARGIN).word == "undecided"
    assert judge_run([[Counts(30, 30, 2, 3)] * 20 + [missing]], MARGIN).word == "worse"
    assert judge_run([[missing] * 3], MARGIN).reason == "there are no replies to compare"


def test_a_critical_case_that_lacks_a_reply_prevents_a_good_verdict() -> None:
    lacking = Counts(30, 30, 1, 1, None, True, 2)
    verdict = judge_run([[GOOD] * 30 + [lacking]], MARGIN)
    reason = "1 critical case may have failed in a reply that is missing; 2 new replies are missing"
    assert (verdict.word, verdict.reason) == ("undecided", reason)
    assert judge_run([[Counts(12, 30, 3, 3)] * 20 + [lacking]], MARGIN).word == "undecided"
    assert judge_run([[Counts(30, 30, 2, 3)] * 20 + [lacking]], MARGIN).word == "worse"
    # In another case, the missing reply is named with the verdict.
    verdict = judge_run([[GOOD] * 30 + [Counts(30, 30, 2, 2, None, False, 1)]], MARGIN)
    assert (verdict.word, verdict.reason) == ("not worse", "a drop of 5 points is excluded; 1 new reply is missing")


def test_cases_of_one_group_count_together() -> None:
    drop = [Counts(30, 30, 2, 3)] * 8 + [GOOD] * 16
    assert judge_run([drop], MARGIN).word == "worse"
    # The same counts where the drop is in one of three groups.
    together = [in_group(counts, str(place // 8)) for place, counts in enumerate(drop)]
    verdict = judge_run([together], MARGIN)
    assert verdict.p_overall is not None
    assert (verdict.word, verdict.p_overall < 0.025) == ("undecided", True)
    alone = [in_group(counts, "all") for counts in drop]
    verdict = judge_run([alone], MARGIN)
    assert (verdict.word, verdict.interval) == ("undecided", None)
    assert verdict.reason == "a change over all cases needs two cases that do not belong to one group"


def test_a_group_makes_the_interval_wider_where_its_cases_change_together() -> None:
    cases = [Counts(15, 30, 3 if place // 5 % 2 else 0, 3) for place in range(50)]
    grouped = [in_group(counts, str(place // 5)) for place, counts in enumerate(cases)]
    own, shared = judge_run([cases], MARGIN).interval, judge_run([grouped], MARGIN).interval
    assert own is not None
    assert shared is not None
    assert shared[1] - shared[0] > 2 * (own[1] - own[0])


def test_a_single_case_has_no_interval() -> None:
    assert judge_run([[GOOD]], MARGIN).reason == "one case is too few: add a second one"
    assert judge_run([[GOOD]], MARGIN).interval is None
    assert judge_run(after([Counts(30, 30, 0, 3), Counts(30, 30, 0, 10)]), MARGIN).broken == (0,)


@st.composite
def runs(draw: st.DrawFn) -> list[Counts]:
    """Return counts after the first stage, of any kind."""
    cases: list[Counts] = []
    for _ in range(draw(st.integers(1, 12))):
        baseline, new = draw(st.integers(0, 30)), draw(st.integers(0, 5))
        passes, new_passes = draw(st.integers(0, baseline)), draw(st.integers(0, new))
        group, is_critical = draw(st.sampled_from([None, None, "a", "b"])), draw(st.integers(0, 9)) == 0
        missing = draw(st.sampled_from([0, 0, 0, 1]))
        cases.append(Counts(passes, baseline, new_passes, new, group, is_critical, missing))
    return cases


@settings(max_examples=60)
@given(runs(), st.randoms(use_true_random=False))
def test_the_order_of_the_cases_changes_nothing(cases: list[Counts], order: random.Random) -> None:
    places = list(range(len(cases)))
    order.shuffle(places)
    first, second = judge_run([cases], MARGIN), judge_run([[cases[place] for place in places]], MARGIN)
    assert (second.word, second.reason, second.p_overall) == (first.word, first.reason, first.p_overall)
    assert (second.change, second.interval) == (pytest.approx(first.change), pytest.approx(first.interval))
    assert second.p_of_case == [first.p_of_case[place] for place in places]
    assert sorted(places[index] for index in second.broken) == list(first.broken)


@settings(max_examples=60)
@given(runs(), st.floats(0.001, 0.9))
def test_a_verdict_agrees_with_its_numbers(cases: list[Counts], margin: float) -> None:
    verdict = judge_run([cases], margin)
    if verdict.interval is not None:
        assert verdict.change is not None
        low, high = verdict.interval
        assert -1 <= low <= verdict.change <= high <= 1
        if verdict.word == "not worse":
            assert low > -margin
    assert len(verdict.p_of_case) == len(cases)
    assert all(p is None or 0 <= p <= 1 for p in verdict.p_of_case)
    for needed in (verdict.needed_cases, verdict.needed_repeats):
        assert needed is None or (needed > 0 and verdict.word == "undecided")
    if verdict.word in ("better", "not worse"):
        assert all(one.baseline_replies and one.new_replies for one in cases)
        assert not any(one.is_critical and (one.missing or one.new_passes < one.new_replies) for one in cases)


def test_a_thousand_cases_are_judged_in_a_moment() -> None:
    source = random.Random(1)
    cases = [Counts(source.randint(15, 30), 30, source.randint(0, 3), 3) for _ in range(1000)]
    began = time.process_time()
    judge_run([cases, cases], MARGIN)
    assert time.process_time() - began < 1
