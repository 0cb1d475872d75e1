"""Runs of tests on a terminal, in a pipe and as JSON, and the sentences that all views share."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.evaluation.results import ModelNames
from promptctl.output import junit, stream, test_markdown, test_view, test_words
from promptctl.records import Record
from promptctl.rules.test_cases import Case
from promptctl.rules.test_verdicts import Verdict
from tests.output.run_examples import BROKEN, NOT_WORSE, SLOWER, UNANSWERED, UNDECIDED, a_run, case, reply, result

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.evaluation.results import CaseResult

SAME = [case(f"Question {number}") for number in range(10)]


class Screen(Record):
    """What was written to standard output and to standard error."""

    out: str
    err: str


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Callable[..., Screen]:
    """Return a function that shows runs and returns what was written."""

    def show(*tests: Any, form: str = "plain", terminal: bool = True, columns: int = 80, **options: Any) -> Screen:
        monkeypatch.setattr(stream, "to_terminal", lambda: terminal)
        monkeypatch.setenv("COLUMNS", str(columns))
        buffer, errors = io.BytesIO(), io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="utf-8"))
        monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(errors, encoding="utf-8"))
        test_view.show(tests, form, **options)
        return Screen(buffer.getvalue().decode(), errors.getvalue().decode())

    return show


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_has_the_cases_that_changed_and_the_verdict_last(
    shown: Callable[..., Screen], snapshot: Callable[..., None], columns: int
) -> None:
    screen = shown(a_run(BROKEN, SLOWER, UNANSWERED, *SAME), columns=columns)
    assert max(map(len, screen.out.splitlines())) <= columns
    assert "Question 1" not in screen.out
    snapshot(screen.out, f"test-run-{columns}")


def test_all_lists_every_case(shown: Callable[..., Screen]) -> None:
    screen = shown(a_run(BROKEN, *SAME), all_cases=True)
    assert all(one.case.title in screen.out for one in SAME)
    assert "--all" not in screen.out


def test_several_runs_end_with_a_table(shown: Callable[..., Screen], snapshot: Callable[..., None]) -> None:
    screen = shown(a_run(BROKEN), a_run(*SAME, verdict=UNDECIDED), a_run(*SAME, verdict=NOT_WORSE))
    snapshot(screen.out, "test-runs")


@pytest.mark.parametrize("columns", [50, 80])
def test_several_models_are_one_matrix_with_a_verdict_each(
    shown: Callable[..., Screen], snapshot: Callable[..., None], columns: int
) -> None:
    better = case("Refund after a month", (3, 10), (10, 10), is_changed=True)
    opus = a_run(better, *SAME, verdict=NOT_WORSE, models=ModelNames("claude-opus-5", ["claude-opus-5"]), id="43")
    screen = shown(a_run(BROKEN, *SAME), opus, columns=columns)
    assert max(map(len, screen.out.splitlines())) <= columns
    snapshot(screen.out, f"test-models-{columns}")
    assert shown(a_run(BROKEN), opus, terminal=False).err == (
        "support@3 against support@2: worse: 1 case is proven worse\n"
        "support@3 against support@2: not worse: a drop of 5 points is excluded\n"
    )
    assert shown(a_run(BROKEN, *SAME), opus, terminal=False).err.splitlines()[1] == (
        "support@3 against support@2, claude-opus-5: not worse: a drop of 5 points is excluded"
    )


def test_a_pipe_has_a_row_for_each_case_and_the_verdict_on_standard_error(shown: Callable[..., Screen]) -> None:
    tricky = case("A\ttab and a\nline", (1, 3), (2, 3))
    screen = shown(a_run(BROKEN, tricky), terminal=False)
    assert [line.split("\t") for line in screen.out.splitlines()] == [
        ["support@3", "support@2", "claude-haiku-5-5", "Refund after a month", "30", "30", "0", "10", "0", "worse",
         "1e-06"],
        ["support@3", "support@2", "claude-haiku-5-5", "A tab and a line", "1", "3", "2", "3", "0", "as before", "1"],
    ]  # fmt: skip
    assert screen.err == "support@3 against support@2: worse: 1 case is proven worse\n"


def test_json_has_every_number(shown: Callable[..., Screen]) -> None:
    document = json.loads(shown(a_run(BROKEN, SLOWER), form="json").out)
    [run] = document["runs"]
    assert (run["run"], run["verdict"], run["change"], run["lower"], run["upper"]) == (42, "worse", -0.25, -0.4, -0.1)
    broken, slower = run["cases"]
    assert broken["failed"] == [
        {"check": 'contains "30 days"', "reason": 'the reply does not contain "30 days"', "times": 10}
    ]
    assert (broken["verdict"], slower["verdict"], slower["is_changed"]) == ("worse", None, True)
    assert "30 days" in broken["baseline_reply"]


def test_quiet_has_the_versions_alone(shown: Callable[..., Screen]) -> None:
    assert shown(a_run(BROKEN), form="quiet") == Screen("support@3\n", "")


def test_a_run_of_an_unchanged_text_has_its_verdict_only(shown: Callable[..., Screen]) -> None:
    unchanged = a_run(
        case("Hello", (0, 0), (0, 0)), verdict=NOT_WORSE, id="", new_calls=0, kept_replies=0, cost=0.0,
        input_tokens=0, output_tokens=0, seconds=0.0,
    )  # fmt: skip
    lines = shown(unchanged).out.splitlines()
    assert lines[2:] == ["1 case, 1 as before", "0 calls, $0.00, 0 ms", "not worse: a drop of 5 points is excluded"]


def test_control_characters_of_a_reply_stay_visible(shown: Callable[..., Screen]) -> None:
    hostile = case("\x1b[31mred", (3, 3), (1, 3), is_changed=True, example_new=reply("a \x1b]0;title\x07 reply \u202e"))
    out = shown(a_run(hostile)).out
    assert "\x1b" not in out
    assert "\x07" not in out
    assert "\u202e" not in out
    assert "\\x1b]0;title\\x07" in out


def test_a_long_word_fits_the_terminal(shown: Callable[..., Screen]) -> None:
    long = case(
        "Long", (3, 3), (1, 3), is_changed=True, example_baseline=reply("x" * 5000), example_new=reply("y" * 5000)
    )
    assert max(map(len, shown(a_run(long)).out.splitlines())) <= 80


def test_the_words_that_differ_are_highlighted(shown: Callable[..., Screen], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = shown(a_run(BROKEN)).out
    assert "\x1b[1;7;31m" in out
    assert "\x1b[1;7;32m" in out


@pytest.mark.parametrize(
    ("shown_case", "word"),
    [
        (BROKEN, "worse"),
        (SLOWER, "fewer pass"),
        (UNANSWERED, "no reply"),
        (case("a", (1, 10), (3, 3), is_changed=True), "more pass"),
        (case("a", (9, 10), (2, 3)), "as before"),
        (case("a", (0, 0), (3, 3)), "passes"),
        (case("a", (0, 0), (2, 3)), "fails"),
        (case("a", (9, 9), (2, 3), case=Case("a", is_critical=True)), "critical, fails"),
    ],
)
def test_the_result_of_a_case_is_a_word(shown_case: CaseResult, word: str) -> None:
    assert test_words.outcome(shown_case) == word


def test_a_run_without_a_baseline_lists_the_cases_that_fail() -> None:
    alone = result(case("a", (0, 0), (3, 3)), case("b", (0, 0), (2, 3)), against=None)
    assert [test_words.is_listed(alone, one) for one in alone.cases] == [False, True]
    assert test_words.pass_rates(alone) == "5 of 6 replies pass"


def test_the_next_step_follows_from_the_verdict() -> None:
    assert test_words.next_step(a_run(BROKEN)) == "promptctl test show 42 --html report.html"
    assert test_words.next_step(a_run(*SAME, verdict=NOT_WORSE)) == "promptctl activate support@3"
    assert test_words.next_step(a_run(*SAME, verdict=UNDECIDED)) == (
        "12 more cases may decide, or once 6 more replies to each case (--repeat 9)"
    )
    # After one look at more replies, only more cases are proposed.
    repeated = case("Refund", (30, 30), (9, 9))
    assert test_words.next_step(a_run(repeated, verdict=UNDECIDED)) == "12 more cases may decide"


def test_the_change_says_which_replies_it_counts() -> None:
    kept = [case(str(place), (4, 5), (2, 2)) for place in range(3)]
    broken = [case("a", (4, 5), (0, 10)), case("b", (4, 5), (0, 10))]
    verdict = Verdict("worse", -0.4, (-0.922, 0.122), 0.01, (0, 1), (), None, None, "")
    assert test_words.change(result(*broken, *kept, verdict=verdict)).startswith(
        "change of the pass rate in the first 2 replies to each case, mean over the cases: -40.0 percentage points, "
        "90% interval for cases such as these -92.2 to +12.2; "
    )
    assert test_words.change(result(*broken, verdict=verdict)).startswith(
        "change of the pass rate in the first replies to each case, mean"
    )
    same = Verdict("not worse", -0.0001, None, 0.5, (), (), None, None, "")
    assert "mean over the cases: 0.0 percentage points" in test_words.change(result(case("a"), verdict=same))


def test_a_run_without_a_baseline_has_no_verdict_and_leads_to_the_newest_version() -> None:
    undecided = Verdict("undecided", None, None, None, (), (), None, None, "there are no replies to compare")
    made = result(case("a", (0, 0), (3, 3)), verdict=undecided, against=None)
    tested = test_words.Tested("support@1", made, "promptctl test support@3")
    assert test_words.verdict(made) == "kept as the baseline: 3 of 3 replies pass"
    assert test_words.next_step(tested) == "promptctl test support@3"
    assert test_view.document(tested)["verdict"] is None
    assert "✅ **kept as the baseline**" in test_markdown.text([tested])
    assert '<testcase classname="support" name="verdict"></testcase>' in junit.text([tested])
    failing = result(case("a", (0, 0), (1, 3), errors=2), verdict=undecided, against=None)
    assert test_words.verdict(failing) == "kept as the baseline: 1 of 3 replies pass, 2 replies missing"
    assert test_words.next_step(test_words.Tested("support@1", failing, "promptctl activate support@1")) == ""
