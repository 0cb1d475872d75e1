"""Guarded rollouts: what starts them, what a tick decides and does, and what pauses, resumes and stops them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.schema.rollout_traffic import GUARDS, MODEL, PRICES, feed, let_time_pass
from tests.schema.support import create, history, move, record, refusal, refusal_error, rows, run, serving_state, value

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

TICK = """
    select action, state, previous_basis_points, basis_points, next_basis_points, why from promptctl.tick_rollout('p')
"""
ERRORS = '[{"metric": "errors", "tolerance": 0.01}]'
TIME = '[{"metric": "time", "tolerance": 0.139762}]'
FINE = "300 uses, no guard worse than tolerated"
# All that a tick may change, except for the time of the last tick.
STATE = """
    select (select array_agg(s::text order by s.name) from promptctl.served s),
           (select array_agg(r::text order by r.rollout) from promptctl.rollouts r),
           (select count(*) from promptctl.allocations), (select count(*) from promptctl.rollout_events),
           (select count(*) from promptctl.rollout_looks)
"""


@pytest.fixture
def prompt(database: Connection) -> Connection:
    """A prompt p with versions 1 to 3. Version 1 is active since epoch 1."""
    create(database, "p", 3, activate=1)
    return database


def start(connection: Connection, candidate: int | None = 2, **options: Any) -> Any:
    """Call start_rollout for p and return its row as a dictionary."""
    arguments = {"name": "p", "candidate": candidate, "hold": "0"} | options
    types = {
        "steps": "::integer[]",
        "guards": "::jsonb",
        "prices": "::jsonb",
        "hold": "::interval",
        "origin": "::jsonb",
    }
    passed = ", ".join(f"{name} => %s{types.get(name, '')}" for name in arguments)
    call = f"select to_json(r) from promptctl.start_rollout({passed}) r"
    return value(connection, call, *arguments.values())


def tick(connection: Connection) -> tuple[Any, ...]:
    """Call tick_rollout for p: action, state, share before and after, next share, why."""
    [row] = rows(connection, TICK)
    return row


def events(connection: Connection) -> list[tuple[Any, ...]]:
    """Return the events of the rollouts of p: kind, share, epoch, why, author."""
    return rows(
        connection,
        """
        select e.kind, e.basis_points, e.epoch, e.why, e.author
        from promptctl.rollout_events e join promptctl.rollouts r using (rollout) where r.name = 'p'
        order by e.rollout, e.place
        """,
    )


def reasons(connection: Connection) -> list[tuple[Any, ...]]:
    """Return the changes of p from epoch 2 on: kind, active version, share, reason without the rollout's number."""
    return rows(
        connection,
        """
        select kind, version, basis_points, regexp_replace(reason, '[0-9]+', 'N') from promptctl.allocations
        where name = 'p' and epoch > 1 order by epoch
        """,
    )


def evidence(connection: Connection, function: str = "explain_rollout") -> dict[str, Any]:
    """Return the guards of the last rollout of p by their metrics."""
    return {guard["metric"]: guard for guard in value(connection, f"select evidence from promptctl.{function}('p')")}


def test_a_rollout_starts_with_the_first_share_and_the_defaults(prompt: Connection) -> None:
    started = start(prompt, author="ada", reason="to see", hold=None)
    rollout = started.pop("rollout")
    assert started == {
        "name": "p", "baseline": 1, "candidate": 2, "state": "running", "previous_state": None, "basis_points": 1000,
        "steps": [1000, 2500, 5000], "hold": "01:00:00", "least_uses": 200, "patience": "7 days", "in_doubt": "pause",
        "guards": [{"metric": "errors", "tolerance": 0.01}, {"metric": "time", "tolerance": 0.139762}],
        "epoch": 2, "changed": True, "why": None,
    }  # fmt: skip
    assert serving_state(prompt, "p") == (1, 2, 1000, 2)
    assert rows(prompt, "select reason, author, seed from promptctl.allocations where name = 'p' and epoch = 2") == [
        (f"rollout {rollout} starts: to see", "ada", "p.2")
    ]
    assert events(prompt) == [("start", 1000, 2, "to see", "ada")]


def test_starting_the_same_rollout_again_changes_nothing(prompt: Connection) -> None:
    first = start(prompt)
    before = rows(prompt, STATE)
    for candidate in (2, None):
        again = start(prompt, candidate, reason="again")
        assert (again["rollout"], again["changed"], again["steps"]) == (first["rollout"], False, [1000, 2500, 5000])
    assert rows(prompt, STATE) == before


def test_another_plan_of_an_open_rollout_is_refused(prompt: Connection) -> None:
    start(prompt)
    error = refusal_error(
        prompt, "select promptctl.start_rollout('p', 2, steps => '{100}', least_uses => 200, guards => '[]')"
    )
    assert error.diag.constraint_name == "a_prompt_has_one_open_rollout"
    assert str(error.diag.message_primary).endswith(
        'of "p" to version 2 is open with another plan: it differs in steps, guards'
    )
    # The share of the rollout is as before.
    assert serving_state(prompt, "p") == (1, 2, 1000, 2)


def test_a_rollout_says_what_became_of_the_split_before_it(prompt: Connection) -> None:
    prompt.execute("select promptctl.split('p', 3000, 2)")
    assert value(prompt, "select why from promptctl.start_rollout('p', 2)") == (
        "replaces the share of the split, 30% for version 2"
    )
    prompt.execute("select promptctl.stop_rollout('p')")
    prompt.execute("select promptctl.split('p', 3000, 3)")
    assert value(prompt, "select why from promptctl.start_rollout('p', 2)") == "ends the split, 30% for version 3"


def test_another_rollout_of_the_prompt_is_refused_while_one_is_open(prompt: Connection) -> None:
    rollout = start(prompt)["rollout"]
    error = refusal_error(prompt, "select promptctl.start_rollout('p', 3)")
    assert (error.sqlstate, error.diag.constraint_name) == ("23001", "a_prompt_has_one_open_rollout")
    assert error.diag.message_primary == f'rollout {rollout} of "p" is open: it serves version 2 to 10% of the units'
    assert error.diag.message_hint == "promptctl rollout status p"
    prompt.execute("select promptctl.pause_rollout('p')")
    assert refusal(prompt, "select promptctl.start_rollout('p', 3)") == ("23001", "a_prompt_has_one_open_rollout")
    prompt.execute("select promptctl.stop_rollout('p')")
    assert start(prompt, 3)["rollout"] > rollout


def test_a_rollout_continues_the_split_of_its_candidate(prompt: Connection) -> None:
    prompt.execute("select promptctl.split('p', 500, 2, 'mine')")
    # The units that have the candidate keep it, because the seed stays.
    assert start(prompt, None)["candidate"] == 2
    assert serving_state(prompt, "p") == (1, 2, 1000, 3)
    assert value(prompt, "select seed from promptctl.served where name = 'p'") == "mine"
    assert value(prompt, "select state from promptctl.rollouts where name = 'p'") == "running"


def test_a_rollout_that_begins_with_the_present_share_makes_no_move(prompt: Connection) -> None:
    prompt.execute("select promptctl.split('p', 1000, 2)")
    assert start(prompt)["epoch"] == 2
    assert serving_state(prompt, "p") == (1, 2, 1000, 2)
    feed(prompt, "p")
    assert tick(prompt) == ("advance", "running", 1000, 2500, 5000, FINE)


def test_a_rollout_replaces_a_split_with_another_version(prompt: Connection) -> None:
    prompt.execute("select promptctl.split('p', 1000, 3, 'mine')")
    start(prompt)
    assert serving_state(prompt, "p") == (1, 2, 1000, 3)
    assert value(prompt, "select seed from promptctl.served where name = 'p'") == "p.3"


def test_a_candidate_that_needs_a_new_variable_is_allowed_for_the_whole_rollout(prompt: Connection) -> None:
    prompt.execute("select promptctl.create_version('p', 'For {user.name}.', version => 9)")
    assert refusal(prompt, "select promptctl.start_rollout('p', 9)") == ("23001", "a_version_needs_no_new_variable")
    start(prompt, 9, allow_new_variables=True, least_uses=0, guards="[]", steps=[5000])
    assert tick(prompt)[0] == "promote"
    assert serving_state(prompt, "p") == (9, None, 0, 3)


# Uses of version 1 in the last days, prices, settings of version 2, and the metrics and tolerances of the guards.
@pytest.mark.parametrize(
    ("use", "prices", "settings", "guards"),
    [
        (None, PRICES, {}, {"errors": 0.01, "time": 0.139762}),
        ({}, None, {}, {"errors": 0.01}),
        ({"response_ms": 5}, None, {}, {"errors": 0.01, "time": 0.139762}),
        ({"scores": 0.7}, None, {}, {"errors": 0.01, "score": 0.02}),
        ({"scores": -3.0}, None, {}, {"errors": 0.01, "score": 0.1}),
        ({"scores": 10.0}, None, {}, {"errors": 0.01, "score": 0.2}),
        ({"scores": 70.0}, None, {}, {"errors": 0.01, "score": 2.0}),
        ({"models": MODEL, "input_tokens": 5}, PRICES, {}, {"errors": 0.01, "cost": 0.09531}),
        ({"models": MODEL, "output_tokens": 5}, PRICES, {"model": MODEL}, {"errors": 0.01, "cost": 0.09531}),
        ({"models": MODEL, "input_tokens": 5}, PRICES, {"model": "other"}, {"errors": 0.01}),
        ({"models": "other", "input_tokens": 5}, PRICES, {}, {"errors": 0.01}),
        ({"models": MODEL, "input_tokens": 150_000}, PRICES, {}, {"errors": 0.01}),  # another price tier
        ({"models": None, "input_tokens": 5}, PRICES, {}, {"errors": 0.01}),
        ({"models": MODEL, "input_tokens": 5}, None, {}, {"errors": 0.01}),
        ({"models": MODEL}, PRICES, {}, {"errors": 0.01}),
        ({"scores": 0.7, "ages_ms": 8 * 86_400_000.0}, None, {}, {"errors": 0.01, "time": 0.139762}),
    ],
)
@pytest.mark.parametrize("rolls_up", [False, True])
def test_the_default_guards_are_metrics_that_are_reported(
    sql: Connection, use: dict[str, Any] | None, prices: str | None, settings: Any, guards: Any, rolls_up: bool
) -> None:
    create(sql, "p", 1, activate=1)
    sql.execute("select promptctl.create_version('p', 'two', %s::jsonb)", [json.dumps(settings)])
    if use is not None:
        record(sql, [{"names": "p"} | use] * 100)
    if rolls_up:
        sql.execute("select promptctl.roll_up_uses()")
    started = start(sql, prices=prices)
    assert {guard["metric"]: guard["tolerance"] for guard in started["guards"]} == guards


def test_99_scores_are_too_few_for_a_default_guard(prompt: Connection) -> None:
    record(prompt, [{"names": "p", "scores": 0.5}] * 99 + [{"names": "p"}] * 100)
    assert [guard["metric"] for guard in start(prompt)["guards"]] == ["errors"]


def test_ticks_enlarge_the_share_step_by_step_and_promote_the_candidate(prompt: Connection) -> None:
    start(prompt, hold="1 hour", guards=GUARDS.replace("score", "output"), prices=PRICES)
    for before, after, following in ((1000, 2500, 5000), (2500, 5000, 10000), (5000, 10000, 10000)):
        assert tick(prompt)[::5] == ("hold", "waits for uses: 0 of 200")
        feed(prompt, "p")
        assert tick(prompt)[::5] == ("hold", "this share has lasted less than 1h")
        let_time_pass(prompt, "p")
        is_last = after == 10000
        assert tick(prompt) == (
            "promote" if is_last else "advance", "promoted" if is_last else "running", before, after, following, FINE
        )  # fmt: skip
    assert serving_state(prompt, "p") == (2, None, 0, 5)
    assert reasons(prompt) == [
        ("split", 1, 1000, "rollout N starts"),
        ("split", 1, 2500, f"rollout N: {FINE}"),
        ("split", 1, 5000, f"rollout N: {FINE}"),
        ("activate", 2, 0, f"rollout N: {FINE}"),
    ]
    assert [event[:4] for event in events(prompt)] == [
        ("start", 1000, 2, None), ("advance", 2500, 3, FINE), ("advance", 5000, 4, FINE), ("promote", 10000, 5, FINE)
    ]  # fmt: skip
    assert tick(prompt)[:4] == ("nothing", "promoted", 5000, 10000)
    # A rollback of the promotion goes to the baseline.
    assert value(prompt, "select version from promptctl.rollback('{p}')") == 1
    assert value(prompt, "select state from promptctl.rollouts where name = 'p'") == "promoted"


def test_one_tick_takes_one_step_even_after_two_days_without_ticks(prompt: Connection) -> None:
    start(prompt, hold="1 hour")
    feed(prompt, "p")
    let_time_pass(prompt, "p", "2 days")
    assert tick(prompt)[::3] == ("advance", 2500)
    # The hold begins anew by the clock of the database.
    feed(prompt, "p")
    assert tick(prompt)[::5] == ("hold", "this share has lasted less than 1h")
    assert value(prompt, "select next_at > now() + interval '59 min' from promptctl.explain_rollout('p')") is True


def test_a_clock_that_is_set_back_prolongs_the_hold(prompt: Connection) -> None:
    start(prompt)
    feed(prompt, "p")
    let_time_pass(prompt, "p", "-2 days")
    assert tick(prompt)[::5] == ("hold", "this share has lasted less than 0s")
    let_time_pass(prompt, "p", "2 days")
    assert tick(prompt)[0] == "advance"


def test_a_tick_that_holds_changes_nothing(prompt: Connection) -> None:
    start(prompt)
    feed(prompt, "p", 40)
    assert tick(prompt)[0] == "hold"
    before = rows(prompt, STATE)
    assert [tick(prompt) for _ in range(3)] == [tick(prompt)] * 3
    assert rows(prompt, STATE) == before


def test_a_tick_after_a_step_finds_nothing_to_do(prompt: Connection) -> None:
    start(prompt)
    feed(prompt, "p")
    assert tick(prompt)[0] == "advance"
    before = rows(prompt, STATE)
    assert tick(prompt)[::5] == ("hold", "waits for uses: 0 of 200")
    after = rows(prompt, STATE)
    assert [row[:4] for row in after] == [row[:4] for row in before]


@pytest.mark.parametrize(
    ("guards", "harm", "why"),
    [
        (TIME, {"response_ms": 1.5}, "time: 1497 ms with version 2, 998 ms with 1, tolerated 15% more"),
        (ERRORS, {"outcomes": "timeout"}, "errors: 100.0% with version 2, 0.0% with 1, tolerated 1 point more"),
        ('[{"metric": "output", "tolerance": 0.1}]', {"output_tokens": 90},
         "output: 90 tokens with version 2, 50 tokens with 1, tolerated 10.5% more"),
        ('[{"metric": "cost", "tolerance": 0.09531}]', {"output_tokens": 90},
         "cost: $0.00165 with version 2, $0.00105 with 1, tolerated 10% more"),
    ],
)  # fmt: skip
def test_a_guard_that_is_worse_than_tolerated_rolls_back(
    prompt: Connection, guards: str, harm: dict[str, Any], why: str
) -> None:
    start(prompt, hold="1 hour", guards=guards, prices=PRICES)
    feed(prompt, "p", **{"response_ms": 1} | harm)
    [metric] = [guard["metric"] for guard in json.loads(guards)]
    found = evidence(prompt)[metric]
    assert (found["verdict"], found["lower"] > 0) == ("worse", True)
    action, state, before, after, _, reason = tick(prompt)
    assert (action, state, before, after) == ("roll back", "rolled back", 1000, 0)
    assert reason == why
    assert serving_state(prompt, "p") == (1, None, 0, 3)
    assert reasons(prompt)[-1] == ("unsplit", 1, 0, f"rollout N: {reason}")
    assert events(prompt)[-1][:4] == ("roll back", 0, 3, reason)
    assert value(prompt, "select evidence -> 0 ->> 'verdict' from promptctl.explain_rollout('p')") == "worse"
    assert tick(prompt)[:4] == ("nothing", "rolled back", 1000, 0)


def test_harm_that_begins_with_a_larger_share_is_found_in_that_share(prompt: Connection) -> None:
    start(prompt, guards=TIME, steps=[1000, 1500])
    feed(prompt, "p", 3000)
    assert tick(prompt)[0] == "advance"
    feed(prompt, "p", 600, response_ms=1.6)
    found = evidence(prompt)["time"]
    # Over both shares the difference is less than tolerated.
    assert found["difference"] < found["tolerance"] < found["share_lower"]
    action, *_, why = tick(prompt)
    assert (action, why) == (
        "roll back", "time at 15%: 1597 ms with version 2, 998 ms with 1, tolerated 15% more"
    )  # fmt: skip


def test_a_score_that_falls_is_worse(prompt: Connection) -> None:
    start(prompt, guards='[{"metric": "score", "tolerance": 0.02}]')
    for score in (0.6, 0.8):
        feed(prompt, "p", 200, scores=score - 0.3)
        prompt.execute(
            "select promptctl.score_use(id, %s) from promptctl.uses where name = 'p' and version = 1 and score is null",
            [score],
        )
    found = evidence(prompt)["score"]
    assert (found["verdict"], found["difference"] < 0, found["upper"] < 0) == ("worse", True, True)
    assert tick(prompt)[0] == "roll back"


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        ({"response_ms": None}, "time: too few uses reported it"),
        ({"outcomes": "timeout"}, "time: too few uses reported it"),
    ],
)
def test_a_guard_that_nobody_reports_holds(prompt: Connection, candidate: dict[str, Any], why: str) -> None:
    start(prompt, guards=TIME)
    feed(prompt, "p", **candidate)
    assert tick(prompt)[::5] == ("hold", why)
    assert evidence(prompt)["time"]["verdict"] == "too few uses"


def test_a_cost_guard_holds_if_a_model_without_a_price_appears(prompt: Connection) -> None:
    start(prompt, guards='[{"metric": "cost", "tolerance": 0.1}]', prices=PRICES)
    feed(prompt, "p", models="new")
    assert tick(prompt)[::5] == ("hold", "cost: a model that was used had no price when the rollout began")
    assert evidence(prompt)["cost"]["verdict"] == "no price"


def test_a_cost_guard_holds_if_the_baseline_is_free(prompt: Connection) -> None:
    free = PRICES.replace("3e-6", "0").replace("15e-6", "0")
    start(prompt, guards='[{"metric": "cost", "tolerance": 0.1}]', prices=free)
    feed(prompt, "p")
    assert evidence(prompt)["cost"]["value_b"] == 0
    assert tick(prompt)[0] == "advance"


def test_a_difference_that_is_not_proven_holds(prompt: Connection) -> None:
    start(prompt, guards=ERRORS)
    # 2 % of the uses of the baseline fail, and 4 % of those of the candidate.
    for version, first, count, every in ((1, 1000, 2700, 50), (2, 0, 300, 25)):
        record(
            prompt,
            [
                {"names": "p", "versions": version, "epochs": 2, "buckets": first + n * 10 // 3,
                 "outcomes": "ok" if n % every else "timeout"}
                for n in range(count)
            ],
        )  # fmt: skip
    assert tick(prompt)[::5] == ("hold", "errors: looks worse than tolerated, not proven")
    assert evidence(prompt)["errors"]["verdict"] == "doubtful"


@pytest.mark.parametrize(
    ("in_doubt", "state", "split"),
    [("pause", "paused", (1, 2, 1000, 2)), ("roll back", "rolled back", (1, None, 0, 3))],
)
def test_a_rollout_that_is_not_decided_ends_in_a_pause_or_a_rollback(
    prompt: Connection, in_doubt: str, state: str, split: tuple[Any, ...]
) -> None:
    start(prompt, hold="1 hour", patience="1 day", in_doubt=in_doubt)
    feed(prompt, "p", 40)
    let_time_pass(prompt, "p", "23 hours")
    assert tick(prompt)[::5] == ("hold", "waits for uses: 40 of 200")
    let_time_pass(prompt, "p", "1 hour")
    reason = "not decided in 1d: errors: too few uses reported it, time: too few uses reported it"
    assert tick(prompt)[:2] == (in_doubt, state)
    assert value(prompt, "select why from promptctl.rollouts where name = 'p'") == reason
    assert serving_state(prompt, "p") == split
    assert tick(prompt)[0] == "nothing"


def test_a_resumed_rollout_has_its_hold_and_patience_again(prompt: Connection) -> None:
    start(prompt, hold="1 hour", patience="1 day")
    let_time_pass(prompt, "p", "1 day")
    assert tick(prompt)[0] == "pause"
    prompt.execute("select promptctl.resume_rollout('p')")
    feed(prompt, "p")
    assert tick(prompt)[::5] == ("hold", "this share has lasted less than 1h")
    let_time_pass(prompt, "p")
    assert tick(prompt)[0] == "advance"


def lose_uses(connection: Connection, epoch: int) -> None:
    """Record as many uses of the baseline as of the candidate, though the candidate has 10 % of the buckets."""
    for version, first, width in ((1, 1000, 9000), (2, 0, 1000)):
        record(
            connection,
            [
                {"names": "p", "versions": version, "epochs": epoch, "buckets": first + n * width // 500}
                for n in range(500)
            ],
        )


def test_a_version_that_gets_more_uses_than_its_share_pauses_the_rollout(prompt: Connection) -> None:
    start(prompt, guards=ERRORS)
    lose_uses(prompt, 2)
    action, state, before, after, _, why = tick(prompt)
    assert (action, state, before, after) == ("pause", "paused", 1000, 1000)
    assert why == "version 2 gets 800.0% more uses than its share"
    assert value(prompt, "select alarm from promptctl.explain_rollout('p')") == "traffic"
    assert tick(prompt)[0] == "nothing"
    assert serving_state(prompt, "p") == (1, 2, 1000, 2)
    # Who resumes it has seen the alarm. At the next step it is checked again.
    prompt.execute("select promptctl.resume_rollout('p')")
    assert tick(prompt)[:4] == ("advance", "running", 1000, 2500)
    lose_uses(prompt, 3)
    assert tick(prompt)[0] == "pause"


@pytest.mark.parametrize("without_unit", [False, True])
def test_a_version_whose_uses_are_all_lost_pauses_the_rollout(prompt: Connection, *, without_unit: bool) -> None:
    start(prompt, guards=ERRORS)
    uses = [{"names": "p", "epochs": 2, "buckets": None if without_unit else 1000 + 9 * n} for n in range(1000)]
    record(prompt, uses[:60])
    # A side of a tenth has no user by chance.
    assert tick(prompt)[0] == "hold"
    record(prompt, uses[60:])
    assert tick(prompt)[::5] == ("pause", "version 2 gets no uses")


def test_few_users_may_all_get_the_same_version(prompt: Connection) -> None:
    start(prompt, guards=ERRORS)
    record(prompt, [{"names": "p", "epochs": 2, "buckets": 1000 + 400 * (n % 20)} for n in range(2000)])
    assert tick(prompt)[::5] == ("hold", "waits for uses: 0 of 200")


def test_uses_with_the_bucket_of_the_other_version_pause_the_rollout(prompt: Connection) -> None:
    start(prompt, guards=ERRORS)
    feed(prompt, "p", 150)
    use = {"names": "p", "versions": 2, "epochs": 2}
    record(prompt, [use | {"buckets": 5000 + n} for n in range(70)])
    assert tick(prompt)[0] == "hold"
    record(prompt, [use | {"buckets": 5000 + n} for n in range(20)])
    assert tick(prompt)[::5] == ("pause", "90 uses have the bucket of the other version")
    prompt.execute("select promptctl.resume_rollout('p')")
    feed(prompt, "p", 50)
    assert tick(prompt)[0] == "advance"
    # The uses of the earlier share are no reason to pause again.
    feed(prompt, "p", 100)
    assert tick(prompt)[0] == "hold"


def test_an_alarm_that_was_seen_hides_no_other_alarm(prompt: Connection) -> None:
    start(prompt, guards=ERRORS, least_uses=5000)
    lose_uses(prompt, 2)
    assert tick(prompt)[0] == "pause"
    prompt.execute("select promptctl.resume_rollout('p')")
    assert tick(prompt)[0] == "hold"
    record(prompt, [{"names": "p", "versions": 2, "epochs": 2, "buckets": 5000 + n} for n in range(200)])
    both = "version 2 gets 800.0% more uses than its share, 200 uses have the bucket of the other version"
    assert tick(prompt)[::5] == ("pause", both)
    assert value(prompt, "select alarm from promptctl.explain_rollout('p')") == "traffic, out of place"
    prompt.execute("select promptctl.resume_rollout('p')")
    assert tick(prompt)[0] == "hold"


def test_a_tick_without_a_running_rollout_does_nothing(prompt: Connection) -> None:
    assert rows(prompt, "select * from promptctl.tick_rollout('p')") == [
        (None, "p", "nothing", None, 0, None, None, None, "it has no rollout", None, None)
    ]
    rollout = start(prompt)["rollout"]
    prompt.execute("select promptctl.pause_rollout('p', 'ada', 'lunch')")
    assert tick(prompt) == (
        "nothing", "paused", 1000, 1000, None, f"rollout {rollout} is paused: paused by ada: lunch"
    )  # fmt: skip
    assert refusal(prompt, "select promptctl.tick_rollout('nobody')") == ("P0002", "prompt_exists")


def test_explain_rollout_returns_what_a_tick_would_do_and_changes_nothing(prompt: Connection) -> None:
    assert value(prompt, "select why from promptctl.explain_rollout('p')") == "it has no rollout"
    start(prompt)
    feed(prompt, "p")
    before = rows(prompt, STATE)
    explained = rows(prompt, TICK.replace("tick_", "explain_"))
    assert explained == [("advance", "running", 1000, 2500, 2500, FINE)]
    assert rows(prompt, STATE) == before
    assert tick(prompt)[:4] == explained[0][:4]
    prompt.execute("select promptctl.split('p', 4000, author => 'bob')")
    assert rows(prompt, TICK.replace("tick_", "explain_")) == [
        ("nothing", "paused", 4000, 4000, 5000, "the share was set to 40% by bob")
    ]


def test_pause_resume_and_stop_are_recorded_and_repeating_them_changes_nothing(prompt: Connection) -> None:
    start(prompt, hold="1 hour")
    call = "select state, previous_state, basis_points, changed, why from promptctl.{}_rollout('p', 'ada', 'lunch')"
    for function, expected in (
        ("pause", ("paused", "running", 1000, True, "paused by ada: lunch")),
        ("pause", ("paused", "paused", 1000, False, "paused by ada: lunch")),
        ("resume", ("running", "paused", 1000, True, None)),
        ("resume", ("running", "running", 1000, False, None)),
        ("stop", ("stopped", "running", 1000, True, "stopped by ada: lunch")),
    ):
        assert rows(prompt, call.format(function)) == [expected]
    assert events(prompt)[1:] == [
        ("pause", 1000, 2, "paused by ada: lunch", "ada"),
        ("resume", 1000, 2, "lunch", "ada"),
        ("stop", 0, 3, "stopped by ada: lunch", "ada"),
    ]
    assert serving_state(prompt, "p") == (1, None, 0, 3)
    assert reasons(prompt)[-1] == ("unsplit", 1, 0, "rollout N stopped: lunch")
    for function in ("pause", "resume", "stop"):
        error = refusal_error(prompt, call.format(function))
        assert (error.sqlstate, error.diag.constraint_name) == ("P0002", "rollout_exists")
        assert error.diag.message_primary == '"p" has no open rollout'


def test_a_paused_rollout_can_be_stopped(prompt: Connection) -> None:
    start(prompt)
    prompt.execute("select promptctl.pause_rollout('p')")
    assert value(prompt, "select previous_state from promptctl.stop_rollout('p')") == "paused"
    assert serving_state(prompt, "p") == (1, None, 0, 3)


def test_a_tick_records_what_it_saw_at_most_once_a_minute_and_in_a_fiftieth_of_the_age(prompt: Connection) -> None:
    start(prompt, hold="1 hour")
    feed(prompt, "p")
    looks = "select count(*) from promptctl.rollout_looks join promptctl.rollouts using (rollout) where name = 'p'"
    for _ in range(3):
        tick(prompt)
    assert value(prompt, looks) == 2
    let_time_pass(prompt, "p", "61 seconds")
    tick(prompt)
    assert value(prompt, looks) == 4
    with prompt.transaction(force_rollback=True):
        let_time_pass(prompt, "p", "100 hours")
        tick(prompt)
        let_time_pass(prompt, "p", "90 minutes")
        tick(prompt)
        assert value(prompt, looks) == 6
        let_time_pass(prompt, "p", "60 minutes")
        tick(prompt)
        assert value(prompt, looks) == 8
    assert rows(
        prompt,
        """
        select metric, l.basis_points, uses_a > 2000, uses_b, abs(difference) < 0.01, lower < 0 and upper > 0
        from promptctl.rollout_looks l join promptctl.rollouts using (rollout) where name = 'p' and metric = 'time'
        order by looked_at desc limit 1
        """,
    ) == [("time", 1000, True, 300, True, True)]
    assert rows(
        prompt,
        """
        select action, t.why, ticked_at between now() - interval '1 hour' and clock_timestamp()
        from promptctl.rollout_ticks t join promptctl.rollouts using (rollout) where name = 'p'
        """,
    ) == [("hold", "this share has lasted less than 1h", True)]


def test_the_promotion_has_the_origin_of_the_rollout(prompt: Connection) -> None:
    start(prompt, origin='{"commit": "9f3c2ab"}', steps=[5000], least_uses=0, guards="[]", author="ada")
    assert value(prompt, "select author from (select promptctl.tick_rollout('p', 'cron')) t, promptctl.rollouts r "
                         "where r.name = 'p'") == "ada"  # fmt: skip
    assert rows(
        prompt, "select kind, origin, author from promptctl.allocations where name = 'p' and epoch > 1 order by epoch"
    ) == [("split", {"commit": "9f3c2ab"}, "ada"), ("activate", {"commit": "9f3c2ab"}, "cron")]


def test_rolling_back_a_release_stops_the_rollouts_that_it_started(prompt: Connection) -> None:
    create(prompt, "q", 2, activate=1)
    create(prompt, "r", 2, activate=1)
    release = value(prompt, "select promptctl.open_release('ada')")
    for name in "pq":
        start(prompt, name=name, release=release)
    prompt.execute("select promptctl.activate('{r}', '{2}', release => %s)", [release])
    prompt.execute("select promptctl.stop_rollout('q')")
    reversals = rows(
        prompt,
        """
        select name, version, previous_version, changed, split_ended
        from promptctl.rollback_release(%s, author => 'eve')
        """,
        release,
    )
    assert reversals == [("p", 1, 1, True, True), ("r", 1, 2, True, False)]
    assert serving_state(prompt, "p") == (1, None, 0, 3)
    assert rows(prompt, "select name, state, why from promptctl.rollouts where name in ('p', 'q') order by name") == [
        ("p", "stopped", "the split was ended by eve"),
        ("q", "stopped", "stopped by postgres"),
    ]
    # Doing it again changes nothing.
    again = rows(prompt, "select name, changed from promptctl.rollback_release(%s)", release)
    assert again == [("r", False)]


def test_the_rollback_of_a_release_takes_back_the_promotion_of_its_rollout(prompt: Connection) -> None:
    release = value(prompt, "select promptctl.open_release('ada')")
    start(prompt, release=release, steps=[5000], least_uses=0, guards="[]")
    assert tick(prompt)[0] == "promote"
    undo = "select name, version, previous_version, changed from promptctl.rollback_release(%s)"
    assert rows(prompt, undo, release) == [("p", 1, 2, True)]
    assert serving_state(prompt, "p")[0] == 1
    assert history(prompt, "p")[-1] == (4, "rollback", 2, 1)
    # Doing it again changes nothing.
    assert rows(prompt, undo, release) == [("p", 1, 1, False)]


def test_a_move_after_the_promotion_stays_when_the_release_is_rolled_back(prompt: Connection) -> None:
    release = value(prompt, "select promptctl.open_release('ada')")
    start(prompt, release=release, steps=[5000], least_uses=0, guards="[]")
    assert tick(prompt)[0] == "promote"
    prompt.execute("select promptctl.activate('{p}', '{1}')")
    prompt.execute("select promptctl.activate('{p}', '{2}')")
    undo = f"select promptctl.rollback_release({release})"
    assert refusal(prompt, undo) == ("23001", "a_rolled_back_release_has_no_later_moves")
    assert serving_state(prompt, "p")[0] == 2


def test_a_candidate_cannot_be_archived_while_its_rollout_is_open(prompt: Connection) -> None:
    start(prompt)
    for sql in (
        "select promptctl.retire('p', 2)",
        "select promptctl.archive('{p}', '{2}')",
        "update promptctl.versions set retired_at = now() where name = 'p' and version = 2",
    ):
        assert refusal(prompt, sql) == ("23001", "a_served_version_is_not_archived")
    assert refusal(prompt, "select promptctl.erase('p', 2, 'me', 'why')") == ("23001", "a_served_version_is_not_erased")
    prompt.execute("select promptctl.stop_rollout('p')")
    assert value(prompt, "select promptctl.retire('p', 2)") is True


def test_each_event_is_notified_on_its_own_channel(connect: Any, sql: Connection) -> None:
    create(sql, "p", 2, activate=1)
    listener = connect()
    listener.execute("listen promptctl_rollouts")
    rollout = start(sql, reason="x" * 2000)["rollout"]
    run(sql, "select promptctl.stop_rollout('p', 'ada')")
    payloads = [json.loads(notify.payload) for notify in listener.notifies(timeout=10, stop_after=2)]
    assert payloads == [
        {"rollout": rollout, "name": "p", "kind": "start", "why": "x" * 499 + "…"},
        {"rollout": rollout, "name": "p", "kind": "stop", "why": "stopped by ada"},
    ]


def test_a_move_of_another_prompt_does_not_concern_a_rollout(prompt: Connection) -> None:
    start(prompt)
    before = rows(prompt, "select * from promptctl.rollouts where name = 'p'")
    move(prompt, {"greeter": 1, "other": 1})
    assert rows(prompt, "select * from promptctl.rollouts where name = 'p'") == before
