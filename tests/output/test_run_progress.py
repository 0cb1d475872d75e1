"""The progress of a run of test cases: what the line has, and where it is written."""

from __future__ import annotations

import pytest

from promptctl.evaluation.results import Progress
from promptctl.output import run_progress, stream
from promptctl.output.run_progress import RunProgress


def test_the_line_has_calls_cost_and_waits() -> None:
    assert run_progress.line(Progress("replies", 12, 36, 0.04, 8, 0.0)) == "replies 12 of 36, 8 running, $0.0400"
    assert run_progress.line(Progress("more replies", 1, 7, None, 0, 11.6)) == (
        "more replies 1 of 7, waiting 12 s for the rate limit"
    )


@pytest.mark.parametrize(("form", "is_terminal", "count"), [("plain", True, 1), ("plain", False, 0), ("json", True, 0)])
def test_the_line_is_for_terminals_at_once_and_for_logs_later(
    monkeypatch: pytest.MonkeyPatch, form: str, is_terminal: bool, count: int
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(stream, "supports_escapes", lambda _file: is_terminal)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    monkeypatch.setattr(stream, "show_transient", lines.append)
    monkeypatch.setattr(stream, "write_stderr", lines.append)
    monkeypatch.setenv("COLUMNS", "40")
    progress = RunProgress(form)
    progress.title = "support@3"
    for calls in range(5):
        progress(Progress("replies", calls, 36, 0.04, 8, 0.0))
    assert len(lines) == count
    assert lines == ["support@3: replies 0 of 36, 8 running, $"[:39]] * count
    if count == 0 and form == "plain":
        monkeypatch.setattr(run_progress, "_LOG_SECONDS", -1.0)
        progress = RunProgress(form)
        progress(Progress("replies", 1, 36, 0.04, 8, 0.0))
        assert lines == [": replies 1 of 36, 8 running, $0.0400"]
