"""The estimate of a run, compared with what the run then takes, and with what the test server bills."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from promptctl import errors
from promptctl.claude import prices
from tests.evaluation.conftest import GOOD, MODEL, case, estimated, rubric, subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.evaluation.conftest import Runner

    RunCases = Callable[..., Runner]


def billed(run: Runner, before: int) -> float:
    """Return what the server bills for the requests after the first `before`, at the prices of the model."""
    usages = [(one.body["model"], one.usage) for one in run.claude.requests[before:] if one.usage]
    costs = [
        prices.cost_usd(model, usage["input_tokens"], usage["output_tokens"], 0, 0, "2026-11-30T00:00:00Z")
        for model, usage in usages
    ]
    return sum(cost for cost in costs if cost is not None)


def test_the_cost_of_a_run_is_within_two_percent_of_its_estimate_and_of_the_bill(run_cases: RunCases) -> None:
    run = run_cases()
    cases = [case(number) for number in range(10)]
    run.run(cases)
    new = subject("You are calm, kind and brief, whatever they say.", 3)
    expected = estimated(run, cases, new)
    before = len(run.claude.requests)
    result = run.run(cases, new)
    assert (expected.calls, expected.judge_calls, expected.kept_replies) == (30, 0, 30)
    assert expected.is_output_known
    assert result.new_calls == 30
    assert result.input_tokens == expected.input_tokens
    assert result.cost == pytest.approx(billed(run, before))
    assert expected.cost == pytest.approx(result.cost, rel=0.02)
    assert expected.most_cost is not None
    assert result.cost is not None
    assert result.cost < expected.most_cost


def test_the_greatest_cost_has_the_longest_replies_in_the_input_of_the_judge(run_cases: RunCases) -> None:
    run = run_cases()
    cases = [case(1, rubric())]
    run.run(cases)
    text = "You are calm, kind and brief."
    usual = estimated(run, cases, subject(text, 3))
    greatest = estimated(run, cases, subject(text, 3, max_tokens=8000))
    cached = estimated(run, cases, subject(text, 3, cache="1h"))
    assert usual.most_cost is not None
    assert greatest.most_cost is not None
    # The kept replies are short, and the longest one is in the output of one call and the input of up to three.
    more_output = prices.cost_usd(MODEL, 0, 7500, 0, 0, "2026-11-30T00:00:00Z")
    more_input = prices.cost_usd(MODEL, 7500, 0, 0, 0, "2026-11-30T00:00:00Z")
    assert more_output is not None
    assert more_input is not None
    assert cached.most_cost is not None
    assert cached.most_cost > usual.most_cost
    assert greatest.most_cost - usual.most_cost >= greatest.most_calls / 2 * (more_output + 3 * more_input)


def test_calls_of_judges_are_estimated_too(run_cases: RunCases) -> None:
    run = run_cases()
    cases = [case(1, rubric()), case(2)]
    first = estimated(run, cases)
    assert (first.calls, first.judge_calls) == (12, 6)
    assert (first.most_calls, first.most_judge_calls) == (120, 180)
    assert not first.is_output_known
    assert run.run(cases).judge_calls == 6
    again = estimated(run, cases)
    assert (again.calls, again.judge_calls, again.cost) == (0, 0, 0)


def test_an_estimate_makes_no_call_but_counts(run_cases: RunCases) -> None:
    run = run_cases()
    before = len(run.claude.requests)
    estimated(run, [case(1, rubric()), case(2)])
    assert all(request.status is None for request in run.claude.requests[before:])
    assert run.storage.runs == {}


def test_the_same_text_takes_nothing(run_cases: RunCases) -> None:
    same = estimated(run_cases(), [case(1)], subject(GOOD, 2))
    assert (same.calls, same.most_calls, same.cost) == (0, 0, 0)


def test_a_batch_is_half_the_price(run_cases: RunCases) -> None:
    run = run_cases()
    whole, half = estimated(run, [case(1)]), estimated(run, [case(1)], is_batch=True)
    assert whole.cost is not None
    assert half.cost == pytest.approx(whole.cost / 2)


def test_a_model_without_a_price_is_named(run_cases: RunCases) -> None:
    unknown = estimated(run_cases(), [case(1, rubric())], model="house-model")
    assert unknown.unpriced_models == ["house-model"]
    assert (unknown.cost, unknown.most_cost) == (None, None)
    assert unknown.calls == 6


def test_a_count_that_claude_refuses_ends_the_estimate(run_cases: RunCases) -> None:
    run = run_cases("status", status=401)
    with pytest.raises(errors.ClaudeFailed, match="Claude rejected the API key"):
        estimated(run, [case(1)], model=MODEL)


def test_an_estimate_has_as_many_calls_as_the_option_repeat_makes(run_cases: RunCases) -> None:
    run = run_cases()
    assert estimated(run, [case(1, repeat=2), case(2)], repeat=4).calls == 16
