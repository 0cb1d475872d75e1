"""The plan of a rollout: its steps as text, and what replaces what."""

from __future__ import annotations

import pytest

from promptctl.rules.rollout_plans import RolloutPlan, parse_steps

VALID = {
    "10%,25%,50%": [1000, 2500, 5000],
    "0.5%": [50],
    " 1% , 2.25% ,99.99%": [100, 225, 9999],
    ",".join(f"{n}%" for n in range(1, 21)): [n * 100 for n in range(1, 21)],
}
INVALID = {
    "": '"" is not a share',
    "10": '"10" is not a share',
    "10%,,50%": '"" is not a share',
    "10%;50%": '"10%;50%" is not a share',
    "-5%": '"-5%" is not a share',
    "101%": '"101%" is not a share',
    "0%": "a step is above 0%",
    "0%,50%": "a step is above 0%",
    "50%,100%": "a step is below 100%: after the last step the candidate is activated",
    "50%,25%": "each step must be larger than the one before: 25% follows 50%",
    "10%,10%": "each step must be larger than the one before: 10% follows 10%",
    ",".join(f"{n}%" for n in range(1, 22)): "a rollout has at most 20 steps, not 21",
}


@pytest.mark.parametrize("text", VALID)
def test_steps_are_growing_shares(text: str) -> None:
    assert parse_steps(text) == VALID[text]


@pytest.mark.parametrize("text", INVALID)
def test_invalid_steps_are_refused_with_the_first_problem(text: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared
        parse_steps(text)
    assert str(refused.value) == INVALID[text]


def test_the_fields_of_another_plan_take_precedence() -> None:
    plan = RolloutPlan([500], 60, 0, None, "pause")
    assert plan.replaced_by(RolloutPlan()) == plan
    assert plan.replaced_by(RolloutPlan(None, 0, 7, 90)) == RolloutPlan([500], 0, 7, 90, "pause")


def test_prices_are_needed_for_the_cost_and_for_the_default_guards() -> None:
    assert RolloutPlan().needs_prices
    assert RolloutPlan(guards=[{"metric": "time", "tolerance": 0.1}, {"metric": "cost", "tolerance": 0.1}]).needs_prices
    assert not RolloutPlan(guards=[{"metric": "time", "tolerance": 0.1}]).needs_prices
