"""Runs made by hand for the tests of their views."""

from __future__ import annotations

from typing import Any

from promptctl.evaluation.results import (
    CaseResult,
    CheckedReply,
    FailedCheck,
    ModelNames,
    Reply,
    ReplyFault,
    RunResult,
    Subject,
)
from promptctl.output.test_words import Tested
from promptctl.rules.test_cases import Case
from promptctl.rules.test_verdicts import Verdict

MODEL = "claude-haiku-5-5"


def subject(version: int | None) -> Subject:
    return Subject("support", version, "0" * 64, f"Text {version}", {"model": MODEL})


def reply(text: str, **fields: Any) -> Reply:
    known: dict[str, Any] = {
        "case_hash": "c" * 64, "request_hash": "d" * 64, "model": MODEL, "blocks": [{"type": "text", "text": text}],
        "text": text, "stop_reason": "end_turn", "input_tokens": 20, "output_tokens": 9, "cache_read_tokens": 0,
        "cache_write_tokens": 0, "response_ms": 812.0, "cost": 0.0001, "created_at": "2026-11-30T08:00:00Z",
        "id": "0190",
    }  # fmt: skip
    return Reply(**(known | fields))


def checked(text: str, *reasons: str, passes: bool | None = True, **fields: Any) -> CheckedReply:
    """Return a reply that fails assertions for these reasons."""
    faults = [ReplyFault(f"assertion {place}", reason, counts=True) for place, reason in enumerate(reasons, 1)]
    return CheckedReply(reply(text, **fields), passes and not faults, faults, (), None)


def case(title: str, old: tuple[int, int] = (10, 10), new: tuple[int, int] = (3, 3), **fields: Any) -> CaseResult:
    known: dict[str, Any] = {
        "case": Case(description=title, messages=({"role": "user", "content": title},)), "baseline_passes": old[0],
        "baseline_replies": old[1], "new_passes": new[0], "new_replies": new[1], "errors": 0, "failed_checks": (),
        "is_changed": False, "verdict": None, "p": 1.0, "example_baseline": reply("Yes."), "example_new": reply("Yes."),
    }  # fmt: skip
    return CaseResult(**(known | fields))


BROKEN = case(
    "Refund after a month", (30, 30), (0, 10), is_changed=True, verdict="worse", p=0.000001,
    failed_checks=[FailedCheck('contains "30 days"', 'the reply does not contain "30 days"', 10)],
    example_baseline=reply("You can return the order within 30 days of its delivery, and we pay you back in full."),
    example_new=reply("You can return the order at any time after its delivery, and we pay you back in full."),
)  # fmt: skip
SLOWER = case("Shipping abroad", (28, 30), (6, 10), is_changed=True, p=0.03)
UNANSWERED = case("A long conversation", (10, 10), (0, 0), errors=3, example_new=None)
WORSE = Verdict("worse", -0.25, (-0.4, -0.1), 0.001, (0,), (0.000001, 0.03), None, None, "1 case is proven worse")
UNDECIDED = Verdict("undecided", -0.02, (-0.1, 0.06), 0.4, (), (), 12, 6, "a drop of 5 points is not excluded")
NOT_WORSE = Verdict("not worse", 0.01, (-0.02, 0.04), 0.6, (), (), None, None, "a drop of 5 points is excluded")


def result(*cases: CaseResult, verdict: Verdict = WORSE, **fields: Any) -> RunResult:
    known: dict[str, Any] = {
        "id": "42", "subject": subject(3), "against": subject(2), "cases": cases, "verdict": verdict, "new_calls": 27,
        "kept_replies": 64, "judge_calls": 0, "cost": 0.0123, "input_tokens": 1840, "output_tokens": 930,
        "started_at": "2026-11-30T08:00:00Z", "seconds": 12.34, "models": ModelNames(MODEL, [MODEL]),
        "is_stale": False, "notes": (), "margin": 0.05, "judge": "",
    }  # fmt: skip
    return RunResult(**(known | fields))


def a_run(*cases: CaseResult, **fields: Any) -> Tested:
    made = result(*cases, **fields)
    return Tested(made.subject.label, made, "promptctl activate support@3")
