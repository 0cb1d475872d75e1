"""A whole run on the test server: stages, kept replies, errors, models that moved, and what is stored."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.claude import message_batches, settings
from promptctl.cli import interruption
from promptctl.evaluation import batches
from promptctl.evaluation import calls as evaluation_calls
from promptctl.evaluation.calls import Calls
from promptctl.evaluation.judge import Voting
from promptctl.evaluation.limiter import Limiter
from promptctl.evaluation.results import Subject
from promptctl.rules import test_verdicts
from promptctl.rules.test_cases import Assertion
from tests.evaluation.conftest import BROKEN, GOOD, MODEL, case, estimated, rubric, subject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from promptctl.evaluation.results import Reply
    from promptctl.rules.test_verdicts import Counts
    from tests.evaluation.conftest import Runner

    RunCases = Callable[..., Runner]


def test_a_first_run_makes_three_replies_on_each_side(run_cases: RunCases) -> None:
    run = run_cases()
    result = run.run([case(1), case(2)])
    assert [(one.baseline_passes, one.baseline_replies, one.new_passes, one.new_replies) for one in result.cases] == [
        (3, 3, 3, 3)
    ] * 2
    assert (result.new_calls, result.kept_replies, result.judge_calls) == (12, 0, 0)
    assert result.verdict.word == "not worse"
    assert (result.id, result.models, result.judge) == ("1", (MODEL, [MODEL]), "")
    assert len(run.storage.replies) == 12
    assert run.storage.outcomes[1].verdict == "not worse"
    assert [one.stage for one in run.progress][-1] == "replies"
    assert run.progress[-1][1:3] == (12, 12)


def test_the_baseline_of_an_earlier_run_costs_nothing(run_cases: RunCases) -> None:
    run = run_cases()
    run.run([case(1)])
    result = run.run([case(1)], subject("You are very calm.", None))
    assert (result.new_calls, result.kept_replies) == (3, 3)
    assert result.cases[0].baseline_replies == 3


def test_a_run_that_is_repeated_makes_no_call(run_cases: RunCases) -> None:
    run = run_cases(pass_every=2)
    cases = [case(number) for number in range(3)]
    first = run.run(cases)
    again = run.run(cases)
    assert again.new_calls == 0
    assert again.cost == 0
    assert [one[:7] for one in again.cases] == [one[:7] for one in first.cases]


@pytest.mark.parametrize("is_batch", [False, True])
def test_cases_with_the_same_input_have_replies_of_their_own(run_cases: RunCases, is_batch: bool) -> None:
    run = run_cases()
    cases = [*(case(1, Assertion("contains", value=text)) for text in ("good", "reply", "e")), case(2)]
    new = subject(BROKEN, None)
    expected = estimated(run, cases, new)
    assert (expected.calls, expected.most_calls) == (2 * (3 * 3 + 3), 2 * (3 * 30 + 30))
    result = run.run(cases, new, is_batch=is_batch)
    counts = [(one.baseline_replies, one.new_replies) for one in result.cases]
    assert (counts[1:3], [one.errors for one in result.cases]) == ([(9, 3)] * 2, [0] * 4)
    assert counts[0] == (10, 10)
    # The second stage of the first case gives the others replies too, on the side of the baseline.
    assert result.new_calls == len(run.storage.replies) == 2 * (1 + 9 * 3 + counts[3][1])
    stored = run.storage.results[1]
    for side in ("baseline_ids", "new_ids"):
        ids = [one for outcome in stored for one in getattr(outcome, side)]
        assert len(ids) == len(set(ids))
    again = run.run(cases, new)
    assert (again.new_calls, again.kept_replies) == (0, result.new_calls - 2 * 6)
    assert run.storage.results[2] == stored


def test_a_baseline_that_needs_more_replies_to_a_shared_request_gets_them(run_cases: RunCases) -> None:
    run = run_cases()
    # The baseline ignores the name, so it is sent the same for both cases; the new side is that for the first one.
    cases = [case(1, values={"name": name}) for name in ("calm", "kind")]
    result = run.run(
        cases, subject("You are {name}.", 2), subject("You are calm.", 1, variables={"name": {"default": "?"}})
    )
    assert [(one.baseline_replies, one.new_replies) for one in result.cases] == [(3, 3), (3, 3)]
    assert result.new_calls == 6 + 3


def test_a_suspicious_case_gets_the_second_stage(run_cases: RunCases) -> None:
    run = run_cases()
    cases = [case(1), case(2, Assertion("contains", value="reply"))]
    result = run.run(cases, subject(BROKEN, None))
    assert [(one.new_passes, one.new_replies) for one in result.cases] == [(0, 10), (3, 3)]
    assert result.cases[0].baseline_replies == 10
    assert result.verdict.word == "worse"
    broken, whole = result.cases
    assert (broken.verdict, broken.is_changed) == ("worse", True)
    assert (whole.verdict, whole.is_changed) == (None, False)
    [failed] = broken.failed_checks
    assert (failed.label, failed.times) == ('contains "good"', 10)
    assert broken.example_new is not None
    assert "poor" in broken.example_new.text
    assert broken.example_baseline is not None
    assert "good" in broken.example_baseline.text
    assert "more replies" in [one.stage for one in run.progress]


def test_a_case_that_still_looks_worse_gets_the_third_stage(
    run_cases: RunCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_cases()
    numbers = {1: {0: 7}, 2: {0: 20, 1: 7}}

    def more_replies(stages: Sequence[Sequence[Counts]]) -> dict[int, int]:
        return numbers.get(len(stages), {})

    monkeypatch.setattr(run.statistics, "more_replies", more_replies)
    result = run.run([case(1), case(2), case(3)])
    assert [one.new_replies for one in result.cases] == [30, 10, 3]
    assert [one.baseline_replies for one in result.cases] == [30, 10, 3]


def test_exact_tests_decide_on_a_run(run_cases: RunCases) -> None:
    run = run_cases()
    run.statistics = test_verdicts
    cases = [case(1), *(case(number, Assertion("contains", value="reply")) for number in range(2, 21))]
    result = run.run(cases, subject(BROKEN, None))
    assert (result.verdict.word, result.verdict.broken) == ("worse", (0,))
    assert result.verdict.reason == "1 case is proven worse"
    assert [one.new_replies for one in result.cases] == [10] + [3] * 19
    assert [one.is_changed for one in result.cases] == [True] + [False] * 19
    equal = run.run(cases[1:], subject(BROKEN, None))
    assert (equal.verdict.word, equal.new_calls, equal.verdict.change) == ("undecided", 0, 0)
    assert equal.verdict.needed_repeats is not None
    more = run.run(cases[1:], subject(BROKEN, None), repeat=3 + equal.verdict.needed_repeats)
    assert more.verdict.word == "not worse"


def test_the_option_repeat_outranks_that_of_a_case(run_cases: RunCases) -> None:
    run = run_cases()
    cases = [case(1), case(2, repeat=2)]
    assert [one.new_replies for one in run.run(cases).cases] == [3, 2]
    assert [one.new_replies for one in run.run(cases, repeat=5).cases] == [5, 5]


def test_many_repetitions_are_kept_for_the_next_run_too(run_cases: RunCases) -> None:
    run = run_cases()
    # Two cases with the same input, each with as many replies.
    cases = [case(1, repeat=45), case(1, Assertion("contains", value="reply"), repeat=45)]
    result = run.run(cases, is_batch=True)
    assert [(one.new_replies, one.baseline_replies) for one in result.cases] == [(45, 30)] * 2
    assert estimated(run, cases).calls == 0
    again = run.run(cases)
    assert (again.new_calls, [one.new_replies for one in again.cases]) == (0, [45] * 2)
    assert run.storage.results[2] == run.storage.results[1]


def test_the_same_text_makes_no_call_and_needs_no_database(run_cases: RunCases) -> None:
    run = run_cases("status", status=500)
    run.storage.is_lost = True
    result = run.run([case(1)], subject(GOOD, 2))
    assert (result.verdict.word, result.new_calls, result.id) == ("not worse", 0, "")
    assert result.verdict.reason == "the text and the settings are those of support@1"


def test_a_replay_needs_no_key(run_cases: RunCases, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_cases()
    run.run([case(1)])
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setattr(settings, "_has_other_credentials", lambda: False)
    result = run.run([case(1)], is_replay=True)
    assert (result.new_calls, result.cases[0].new_replies) == (0, 3)
    with pytest.raises(errors.NotFound, match="no replies to the cases of support@9 are kept") as raised:
        run.run([case(1)], subject("You are new.", 9), is_replay=True)
    assert raised.value.code == "no_kept_replies"
    assert run.storage.outcomes[3].failure == "no_kept_replies"


@pytest.mark.parametrize("is_replay", [False, True])
def test_an_alias_that_moved_makes_the_baseline_stale_in_every_run_after_it(
    run_cases: RunCases, is_replay: bool
) -> None:
    run = run_cases(alias="claude-haiku-5-5-20260101")
    run.run([case(1)], repeat=8)
    run.serve(alias="claude-haiku-5-5-20261101", pass_every=2)
    result = run.run([case(1)], subject("You are very calm.", None))
    assert result.is_stale
    assert result.models.returned == ["claude-haiku-5-5-20261101"]
    assert (result.new_calls, result.cases[0].baseline_replies) == (6, 3)
    [note] = result.notes
    assert note == (
        "claude-haiku-5-5 now returns claude-haiku-5-5-20261101, so the replies of support@1 from"
        " claude-haiku-5-5-20260101 are not compared"
    )
    again = run.run([case(1)], subject("You are very calm.", None), is_replay=is_replay)
    assert (again.new_calls, again.is_stale, again.notes) == (0, True, result.notes)
    assert (again.verdict, again.cases) == (result.verdict, result.cases)
    # The text that was tested before has replies of the former model alone.
    if is_replay:
        with pytest.raises(errors.NotFound, match="no replies to the cases of support@2 are kept"):
            run.run([case(1)], is_replay=True)
    else:
        assert run.run([case(1)]).new_calls == 3


def test_a_model_that_moves_in_a_later_stage_makes_all_stages_again(run_cases: RunCases) -> None:
    # The first stage of both sides has 18 replies.
    run = run_cases(alias="claude-haiku-5-5-20260101,claude-haiku-5-5-20261101", moves_after=18)
    anything = Assertion("contains", value="reply")
    result = run.run([case(1), case(2, anything), case(3, anything)], subject(BROKEN, None))
    assert [(one.baseline_replies, one.new_replies, one.errors) for one in result.cases] == [
        (10, 10, 0), (3, 3, 0), (3, 3, 0),
    ]  # fmt: skip
    assert result.models.returned == ["claude-haiku-5-5-20261101"]
    assert result.verdict.word == "worse"
    assert result.new_calls == 18 + 2 * (10 + 3 + 3)


def test_a_name_that_returns_models_by_turns_ends_the_run(run_cases: RunCases) -> None:
    result = run_cases(alias="claude-haiku-5-5-20260101,claude-haiku-5-5-20261101").run([case(1), case(2)])
    assert len(result.models.returned) == 1
    assert all(0 < one.new_replies <= 3 for one in result.cases)
    assert 12 < result.new_calls <= 12 * 3


@pytest.mark.parametrize("stop", ["refusal", "max_tokens"])
def test_a_refusal_and_a_cut_reply_are_judged_as_they_are(run_cases: RunCases, stop: str) -> None:
    result = run_cases(stop=stop).run([case(1)])
    assert (result.cases[0].new_passes, result.cases[0].errors) == (3, 0)


def test_a_case_without_a_reply_is_an_error_and_the_run_is_not_good(run_cases: RunCases) -> None:
    run = run_cases(reject_text="question 1")
    run.statistics = test_verdicts
    result = run.run([case(1), case(2)])
    assert [(one.new_replies, one.errors) for one in result.cases] == [(0, 3), (3, 0)]
    assert result.verdict.word == "undecided"
    assert result.verdict.reason == "1 of 2 cases have no replies to compare; 3 new replies are missing"


def test_a_run_without_any_reply_fails(run_cases: RunCases) -> None:
    run = run_cases("status", status=400)
    with pytest.raises(errors.ClaudeFailed, match="Claude rejected the request") as raised:
        run.run([case(1)])
    assert raised.value.code == "no_replies"
    assert run.storage.outcomes[1].failure == "no_replies"


def test_a_model_that_does_not_exist_fails_the_run(run_cases: RunCases) -> None:
    run = run_cases(missing_models="claude-nope")
    with pytest.raises(errors.ClaudeFailed, match="Claude does not have the model"):
        run.run([case(1)], model="claude-nope")
    assert run.storage.outcomes[1].failure == "not_found_error"


def test_cases_that_cannot_be_run_are_refused_before_any_call(run_cases: RunCases) -> None:
    run = run_cases()
    with pytest.raises(errors.Usage, match=r"case 1 .* has no value for the variable name") as raised:
        run.run([case(1), case(2)], subject("You serve {name}.", 3))
    assert raised.value.code == "invalid_cases"
    assert len(raised.value.others) == 1
    with pytest.raises(errors.Usage, match="support@2 has no test cases") as raised:
        run.run([])
    assert raised.value.code == "no_cases"
    assert run.storage.runs == {}


def test_a_baseline_without_a_value_for_its_variable_is_noted(run_cases: RunCases) -> None:
    result = run_cases().run([case(1)], against=subject("You serve {name}.", 1))
    assert result.cases[0].baseline_replies == 0
    [note] = result.notes
    assert note.startswith("support@1 cannot be called with 1 of the 1 cases, which have no value for its variables")


def test_braces_in_values_are_text(run_cases: RunCases) -> None:
    run = run_cases("echo")
    asked = case(1, Assertion("contains", value="{other} ${x}"), values={"name": "{other} ${x}"})
    result = run.run([asked], subject("You serve {name}.", 2))
    assert (result.cases[0].new_passes, result.cases[0].new_replies) == (3, 3)


def test_the_limit_of_costs_ends_the_calls(run_cases: RunCases) -> None:
    run = run_cases()
    result = run.run([case(number) for number in range(50)], max_cost=0.0009)
    assert result.cost is not None
    assert 0 < result.cost <= 0.0009
    assert result.new_calls < 300
    assert "the calls ended at the limit of 0.0009 US dollars" in result.notes
    with pytest.raises(errors.Refused, match="the first call could exceed --max-cost") as raised:
        run.run([case(1)], subject("You are new.", 8), max_cost=0.000001)
    assert raised.value.code == "limit_too_low"
    with pytest.raises(errors.Refused, match="the price of house-model is not known"):
        run.run([case(1)], model="house-model", max_cost=1.0)


def test_costs_of_a_model_without_a_price_are_unknown(run_cases: RunCases) -> None:
    result = run_cases().run([case(1)], model="house-model")
    assert result.cost is None
    assert result.input_tokens > 0


def test_a_cost_that_is_not_known_counts_neither_as_passed_nor_as_failed(run_cases: RunCases) -> None:
    run = run_cases()
    run.statistics = test_verdicts
    cheap = Assertion("cost", threshold=1.0)
    cases = [case(1, cheap), case(2), case(3, Assertion("contains", value="never"), cheap)]
    result = run.run(cases, model="house-model")
    assert [(one.baseline_replies, one.new_passes, one.new_replies, one.errors) for one in result.cases] == [
        (0, 0, 0, 3), (3, 3, 3, 0), (3, 0, 3, 0),
    ]  # fmt: skip
    assert result.verdict.word == "undecided"
    reason = "the cost is not known, because house-model has no known price"
    assert result.notes == [f"6 replies count neither as passed nor as failed: {reason}"]
    with pytest.raises(errors.Refused, match=f"no reply can be checked: {reason}") as raised:
        run.run(cases[:1], model="house-model")
    assert raised.value.code == "price_unknown"


def test_replies_of_batches_decide_on_no_latency(run_cases: RunCases) -> None:
    run = run_cases()
    run.run([case(1)], is_batch=True)
    timed = case(1, Assertion("latency", threshold=60_000.0))
    requests = len(run.claude.requests)
    with pytest.raises(errors.Usage, match=r"case 2 .* of type latency, but the time of a reply in a batch") as raised:
        run.run([case(2), timed], is_batch=True)
    assert (raised.value.code, len(run.claude.requests)) == ("latency_in_batch", requests)
    result = run.run([timed])
    assert (result.new_calls, result.kept_replies, result.verdict.word) == (6, 0, "not worse")
    assert (result.cases[0].baseline_passes, result.cases[0].new_passes) == (3, 3)
    # Without a weight the time decides nothing.
    run.run([case(1, Assertion("latency", threshold=1.0, weight=0.0))], is_batch=True)


def test_the_cost_of_replies_in_batches_is_compared_at_the_full_price(run_cases: RunCases) -> None:
    run = run_cases()
    run.run([case(1)], subject("You are a", 3), against=subject(GOOD, 1))
    whole = next(reply.cost for reply in run.storage.replies.values())
    assert whole is not None
    # More than the replies of both sides cost, and than half of that.
    result = run.run([case(1, Assertion("cost", threshold=whole * 0.75))], subject("You are b", 4), is_batch=True)
    assert result.kept_replies == 3
    assert (result.cases[0].baseline_passes, result.cases[0].new_passes) == (0, 0)


def test_a_judge_decides_on_rubrics_and_its_verdicts_are_kept(run_cases: RunCases) -> None:
    run = run_cases()
    cases = [case(1, rubric("It is good"))]
    result = run.run(cases, subject(BROKEN, None))
    assert (result.cases[0].new_passes, result.cases[0].new_replies) == (0, 10)
    assert result.cases[0].baseline_passes == 10
    # A failing verdict takes two calls, a passing one takes one.
    assert result.judge_calls == 10 * 2 + 10
    assert result.judge == "built-in"
    again = run.run(cases, subject(BROKEN, None))
    assert (again.new_calls, again.judge_calls) == (0, 0)
    assert again.cases[0].new_passes == 0
    # Another rubric is judged anew.
    other = run.run([case(1, rubric("It is a reply"))], subject(BROKEN, None))
    assert (other.new_calls, other.judge_calls > 0) == (0, True)


def test_a_model_of_a_judge_that_moved_judges_the_baseline_again(run_cases: RunCases) -> None:
    run = run_cases(judge_alias="a")
    run.judges["strict@1"] = Subject("strict", 1, "", "Judge.", {"model": "claude-sonnet-5"})
    cases = [case(1, rubric("It is good"), judge="strict@1"), case(2, rubric("It is a reply"), judge="strict@1")]
    run.run(cases, repeat=8)
    run.serve(judge_alias="b")
    result = run.run(cases, subject(BROKEN, 3))
    note = "claude-sonnet-5 now returns b, so the verdicts of the judge from a are not compared"
    assert result.notes == [note]
    models = {one.model for one in run.storage.judgements.values()}
    assert models == {"a", "b"}
    # As many replies of the baseline are judged again as there are new ones.
    assert [one.baseline_replies for one in result.cases] == [one.new_replies for one in result.cases]
    again = run.run(cases, subject(BROKEN, 3))
    assert (again.new_calls, again.judge_calls, again.notes) == (0, 0, [note])
    assert (again.verdict, again.cases) == (result.verdict, result.cases)


def test_an_answer_of_a_judge_that_is_nonsense_is_an_error(run_cases: RunCases) -> None:
    run = run_cases(judge="nonsense")
    with pytest.raises(errors.ClaudeFailed, match="the judge built-in gave no usable answer"):
        run.run([case(1, rubric())])
    # An assertion that fails anyway decides without the judge.
    result = run.run([case(1, Assertion("contains", value="never"), rubric())])
    assert (result.cases[0].new_passes, result.cases[0].new_replies, result.cases[0].errors) == (0, 3, 0)


def test_a_version_is_a_judge(run_cases: RunCases) -> None:
    run = run_cases()
    run.judges["judges/strict@2"] = Subject("judges/strict", 2, "", "You judge by {rubric}.", {"model": MODEL})
    result = run.run([case(1, rubric(), judge="judges/strict@2")])
    assert (result.judge, result.cases[0].new_passes) == ("judges/strict@2", 3)


def test_a_database_that_is_lost_loses_no_reply(run_cases: RunCases, tmp_path: Path) -> None:
    run = run_cases()
    cases = [case(number, rubric()) for number in range(4)]
    run.storage.is_lost_at_replies = True
    result = run.run(cases)
    assert result.verdict.word == "not worse"
    [path] = tmp_path.glob("promptctl-test-*.jsonl")
    assert path.stat().st_mode & 0o777 == 0o600
    assert f"the results are in {path}, and --resume stores them" in result.notes[-1]
    assert run.storage.replies == {}
    # The last line is incomplete after a kill.
    with path.open("ab") as file:
        file.write(b'{"run": 1, "repl')
    run.storage.is_lost = run.storage.is_lost_at_replies = False
    resumed = run.run(cases, is_resumed=True)
    assert (resumed.new_calls, resumed.judge_calls) == (0, 0)
    assert len(run.storage.replies) == 24
    assert run.storage.outcomes[1].verdict == "not worse"
    assert resumed.notes == ["stored 24 replies that an earlier run left in a file"]
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_keeps_its_replies_and_goes_on(run_cases: RunCases, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_cases()
    cases = [case(number) for number in range(10)]
    make = Calls.make

    def interrupted(self: Calls, calls: Any, take: Callable[[Reply], None], report: Any) -> Any:
        make(self, calls[:25], take, report)
        raise KeyboardInterrupt

    monkeypatch.setattr(Calls, "make", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run.run(cases)
    assert run.storage.outcomes[1].failure == "interrupted"
    monkeypatch.setattr(Calls, "make", make)
    result = run.run(cases)
    assert (result.new_calls, result.kept_replies) == (35, 25)


def test_batches_cost_half_and_their_results_come_in_any_order(run_cases: RunCases) -> None:
    direct = run_cases(errored=0).run([case(1), case(2)])
    run = run_cases(polls=3)
    result = run.run([case(1), case(2)], is_batch=True)
    assert direct.cost is not None
    assert result.cost == pytest.approx(direct.cost / 2)
    assert [one[:6] for one in result.cases] == [one[:6] for one in direct.cases]
    assert len(run.storage.ended_batches) == 1
    assert run.progress[-1].calls == 12
    assert all(reply.response_ms is None for reply in run.storage.replies.values())


def test_entries_of_a_batch_that_fail_for_a_moment_are_sent_again(run_cases: RunCases) -> None:
    result = run_cases(errored=4).run([case(1), case(2)], is_batch=True)
    assert [one.errors for one in result.cases] == [0, 0]
    assert result.new_calls == 12


def test_a_batch_that_a_rate_limit_rejects_is_created_again(run_cases: RunCases) -> None:
    run = run_cases(rejected_batches=3)
    before = len(run.claude.batches)
    assert run.run([case(1)], is_batch=True).new_calls == 6
    assert len(run.claude.batches) - before == 1


def test_entries_of_a_batch_that_expire_are_errors(run_cases: RunCases) -> None:
    run = run_cases(expired=2, canceled=1)
    result = run.run([case(1), case(2)], is_batch=True)
    assert result.new_calls == 9
    assert sum(one.errors for one in result.cases) > 0
    # Another run asks for the missing ones alone.
    assert run.run([case(1), case(2)], is_batch=True).new_calls == 3


def test_calls_are_divided_into_batches_that_the_database_takes(
    run_cases: RunCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "_MOST_IN_A_BATCH", 5)
    run = run_cases()
    before = len(run.claude.batches)
    assert run.run([case(1), case(2)], is_batch=True).new_calls == 12
    assert [len(batch.requests) for batch in run.claude.batches[before:]] == [5, 5, 2]


def test_results_of_a_batch_that_come_twice_count_once(run_cases: RunCases) -> None:
    result = run_cases(results="twice").run([case(1), case(2)], is_batch=True)
    assert (result.new_calls, [one.new_replies for one in result.cases]) == (12, [3, 3])


def test_a_batch_whose_results_are_short_stays_open_for_resume(run_cases: RunCases) -> None:
    run = run_cases(results="short")
    with pytest.raises(
        errors.ClaudeFailed, match=r"the results of the batch msgbatch_\d+ lack 3 of 12 calls"
    ) as raised:
        run.run([case(1), case(2)], is_batch=True)
    assert (raised.value.code, raised.value.hint) == (
        "reply_incomplete", "run the same command with --resume, which takes the rest",
    )  # fmt: skip
    assert (len(run.storage.replies), run.storage.outcomes) == (9, {})
    # Results that are missing again are made by this run, and the batch stays open.
    [batch] = run.claude.batches[-1:]
    batch.way = "short"
    short = run.run([case(1), case(2)], is_resumed=True)
    assert (short.notes, short.new_calls) == (
        [f"the results of the batch {batch.id} lack 3 of 12 calls: use --resume later to take them"], 3
    )  # fmt: skip
    resumed = run.run([case(1), case(2)], is_resumed=True)
    assert (resumed.new_calls, resumed.notes) == (3, [])
    assert run.storage.open_batches("support") == []


def test_results_of_a_batch_in_another_form_are_failed_calls(run_cases: RunCases) -> None:
    run = run_cases(results="odd")
    result = run.run([case(number) for number in range(1, 5)], is_batch=True)
    assert run.storage.open_batches("support") == []
    assert 0 < result.new_calls < 24
    with pytest.raises(errors.ClaudeFailed, match="the reply is not in the format of Claude's API"):
        run.run([case(1)], subject("You are odd.", 3), is_batch=True, repeat=1)
    with pytest.raises(errors.ClaudeFailed, match="Claude returned a result of an unknown kind: paused"):
        run_cases(paused=99).run([case(1)], subject("You are odd.", 3), is_batch=True)


def test_a_batch_of_a_run_that_was_killed_is_taken_up(run_cases: RunCases, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_cases(polls=1)
    cases = [case(1), case(2, rubric())]

    def kill(*_: Any) -> None:
        raise KeyboardInterrupt

    from promptctl.evaluation.batches import BatchCalls

    wait = BatchCalls._wait  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(BatchCalls, "_wait", kill)
    with pytest.raises(KeyboardInterrupt):
        run.run(cases, is_batch=True)
    monkeypatch.setattr(BatchCalls, "_wait", wait)
    assert run.storage.outcomes == {}
    assert len(run.claude.batches) >= 1
    before = len(run.claude.batches)
    result = run.run(cases, is_batch=True, is_resumed=True)
    # One more batch, for the judge.
    assert len(run.claude.batches) == before + 1
    assert [(one.new_replies, one.errors) for one in result.cases] == [(3, 0), (3, 0)]
    assert run.storage.open_batches("support") == []


def test_replies_that_can_be_stored_nowhere_end_the_run(run_cases: RunCases, tmp_path: Path) -> None:
    run = run_cases()
    run.storage.is_lost_at_replies = True
    run.directory = tmp_path / "missing"
    with pytest.raises(errors.Failed, match="the database failed, and the replies cannot be") as raised:
        run.run([case(1)])
    assert raised.value.code == "spool_failed"


def test_a_database_that_is_lost_while_a_batch_runs_loses_no_reply(run_cases: RunCases, tmp_path: Path) -> None:
    run = run_cases()
    run.storage.is_lost_at_replies = True
    run.run([case(1)], is_batch=True)
    run.storage.is_lost = run.storage.is_lost_at_replies = False
    resumed = run.run([case(1)], is_batch=True, is_resumed=True)
    assert resumed.new_calls == 0
    assert run.storage.open_batches("support") == []
    assert list(tmp_path.iterdir()) == []


def test_a_batch_whose_replies_are_stored_in_part_is_taken_without_repetition(
    run_cases: RunCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_cases()
    cases = [case(number) for number in range(1, 9)]
    record_replies = run.storage.record_replies

    def kill(number: int, sha256: str, replies: Sequence[Reply]) -> None:
        record_replies(number, sha256, replies)
        raise SystemExit

    monkeypatch.setattr(run.storage, "record_replies", kill)
    with pytest.raises(SystemExit):
        run.run(cases, is_batch=True)
    stored = len(run.storage.replies)
    assert 0 < stored < 48
    monkeypatch.setattr(run.storage, "record_replies", record_replies)
    result = run.run(cases, is_resumed=True)
    assert (result.new_calls, result.kept_replies) == (48 - stored, stored)
    assert len(run.storage.replies) == 48
    # A run that makes no batches itself counts half of the price too.
    assert len({(reply.request_hash, reply.cost) for reply in run.storage.replies.values()}) == 16


def test_a_batch_that_claude_does_not_have_is_noted_and_its_calls_are_made(run_cases: RunCases) -> None:
    run = run_cases()
    run.run([case(1)])
    run.storage.record_batch(1, "msgbatch_gone", {"other": ["00", "00", "00"], "judge": ["00", "00", ""]})
    # The note comes before the calls are made again.
    assert run.run([case(1)], repeat=5).notes == []
    assert run.said == [
        "the replies of 1 batch of an earlier run are not taken, and may be paid for again: use --resume to take them"
    ]
    resumed = run.run([case(1), case(2)], is_resumed=True)
    assert resumed.notes == ["Claude has no batch msgbatch_gone for this API key, so its calls are made again"]
    assert resumed.new_calls == 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_batch_that_is_created_while_a_signal_arrives_is_stored(
    run_cases: RunCases, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    run = run_cases()
    create = message_batches.create

    def create_and_interrupt(*arguments: Any) -> message_batches.BatchState:
        state = create(*arguments)
        signal.raise_signal(number)
        return state

    monkeypatch.setattr(message_batches, "create", create_and_interrupt)
    before = len(run.claude.batches)
    with interruption.terminated(), pytest.raises(KeyboardInterrupt) as raised:
        run.run([case(1)], is_batch=True)
    assert getattr(raised.value, "number", signal.SIGINT) == number
    assert len(run.claude.batches) - before == 1
    monkeypatch.setattr(message_batches, "create", create)
    assert run.run([case(1)], is_batch=True, is_resumed=True).new_calls == 6
    assert len(run.claude.batches) - before == 1


def test_the_votes_of_an_interrupted_judge_are_not_paid_again(
    run_cases: RunCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A failing verdict takes two batches of votes, and the run is interrupted in the second one."""
    run = run_cases()
    cases = [case(number, rubric("It is good")) for number in range(1, 4)]
    wait = batches.BatchCalls._wait  # pyright: ignore[reportPrivateUsage]
    waits = 0

    def interrupt(maker: batches.BatchCalls, *arguments: Any) -> None:
        nonlocal waits
        waits += 1
        if waits == 3:
            raise KeyboardInterrupt
        wait(maker, *arguments)

    monkeypatch.setattr(batches.BatchCalls, "_wait", interrupt)
    before = len(run.claude.batches)
    with pytest.raises(KeyboardInterrupt):
        run.run(cases, subject(BROKEN, None), repeat=3, is_batch=True)
    first_votes, second_votes = run.storage.open_batches("support")
    # Replies with the same text share the requests, and each of them still gets one vote in each batch.
    assert (len(first_votes.requests), len(second_votes.requests)) == (18, 9)
    # A run of other cases uses none of these votes, or not all of them, and leaves them open.
    others = run.run([case(9, rubric("It is good"))], subject(BROKEN, None), repeat=1, is_resumed=True)
    assert [note.partition(" has")[0] for note in others.notes] == [
        f"the batch {batch.id}" for batch in (first_votes, second_votes)
    ]
    result = run.run(cases, subject(BROKEN, None), repeat=3, is_batch=True, is_resumed=True)
    assert run.storage.open_batches("support") == []
    # Each vote that was paid for counts.
    calls = sum(len(batch.requests) for batch in run.claude.batches[before:])
    assert calls == 18 + result.new_calls + result.judge_calls


def test_an_interruption_loses_only_the_votes_of_judges_that_have_no_verdict_yet(
    run_cases: RunCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_cases()
    cases = [case(number, rubric("It is good")) for number in range(1, 41)]
    add = Voting.add
    votes = 0

    def interrupt(voting: Voting, answer: Reply) -> None:
        nonlocal votes
        add(voting, answer)
        votes += 1
        if votes == 80:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(evaluation_calls, "Limiter", lambda: Limiter(4))
    monkeypatch.setattr(Voting, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run.run(cases, subject(BROKEN, None), repeat=1)
    stored = sum(one.calls for one in run.storage.judgements.values())
    # Those of the four calls that ran, and of the replies whose next vote was about to be asked for.
    assert votes - 8 <= stored


def test_a_batch_that_cannot_be_asked_for_is_taken_by_the_command_of_the_hint(
    run_cases: RunCases, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_cases()
    retrieve = message_batches.retrieve
    codes = [("overloaded_error", "run the command again later"), ("authentication_error", "set ANTHROPIC_API_KEY")]
    hints: list[str | None] = []
    monkeypatch.setattr(batches, "_MOST_FAILED_POLLS", 1)
    before = len(run.claude.batches)
    for place, (code, hint) in enumerate(codes):

        def fail(*_: object, code: str = code, hint: str = hint) -> None:
            raise errors.ClaudeFailed(code, "it failed", hint=hint)

        monkeypatch.setattr(message_batches, "retrieve", fail)
        with pytest.raises(errors.ClaudeFailed) as raised:
            run.run([case(1 + place)], is_batch=True)
        hints.append(raised.value.hint)
    taking = "run the same command with --resume, which takes the replies of the batch"
    assert hints == [taking, f"set ANTHROPIC_API_KEY, and then {taking}"]
    monkeypatch.setattr(message_batches, "retrieve", retrieve)
    result = run.run([case(1), case(2)], is_batch=True, is_resumed=True)
    assert (result.new_calls, len(run.claude.batches) - before) == (12, 2)


def test_a_database_that_refuses_a_reply_loses_none(
    run_cases: RunCases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_cases()
    record_replies = run.storage.record_replies

    def refuse(*_: object) -> None:
        raise errors.Failed("disk_full", "the disk of the server is full")

    monkeypatch.setattr(run.storage, "record_replies", refuse)
    assert "The database failed: the disk of the server is full" in run.run([case(1)]).notes[-1]
    monkeypatch.setattr(run.storage, "record_replies", record_replies)
    assert run.run([case(1)], is_resumed=True).new_calls == 0
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_not_of_this_database_stay(run_cases: RunCases, tmp_path: Path) -> None:
    contents = {
        "promptctl-test-7.jsonl": '{"database": "another", "run": 7, "sha256": "", "replies": []}\n',
        "promptctl-test-notes.jsonl": '["of another program"]\n',
    }
    for name, content in contents.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "promptctl-test-folder.jsonl").mkdir()
    result = run_cases().run([case(1)], is_resumed=True)
    assert result.notes == [
        f"{tmp_path}/promptctl-test-7.jsonl is not of this database, and stays",
        f"{tmp_path}/promptctl-test-folder.jsonl stays: Is a directory",
        f"{tmp_path}/promptctl-test-notes.jsonl is not of this database, and stays",
    ]
    assert {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()} == contents


def test_a_returned_model_without_a_price_ends_calls_that_have_a_limit(run_cases: RunCases) -> None:
    result = run_cases(alias="house-model").run([case(number) for number in range(50)], max_cost=5.0)
    assert result.cost is None
    assert 0 < result.new_calls < 150
    assert "the calls ended, because a model that Claude returned has no known price to limit" in result.notes


def test_a_value_that_only_an_assertion_uses_needs_no_variable(run_cases: RunCases) -> None:
    run = run_cases()
    assert run.run([case(1, values={"expected": "good"})]).cases[0].new_passes == 3
    with pytest.raises(errors.Usage, match="has a value for expected, which is not a variable"):
        run.run([case(1, values={"expected": "elsewhere"})])
