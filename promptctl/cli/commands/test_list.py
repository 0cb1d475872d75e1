"""promptctl test list and test show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.cli import test_reports, test_targets
from promptctl.evaluation import reply_checks, stored_results
from promptctl.output import stream, test_view
from promptctl.output.test_words import Tested
from promptctl.rules import references
from promptctl.store import prompt_states, test_runs

if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.store.test_runs import RunRecord


def list_runs(run: Run, name: str | None = None, limit: int | None = None) -> None:
    """List runs of test cases, newest first.

    A run without a verdict has not ended, or has failed with the code of an error.

    Examples:
      promptctl test list
      promptctl test list default-system-prompt --limit 5
    """
    if name is not None:
        references.check_name(name)
    rows = run.row_limit(limit) or references.HIGHEST_VERSION
    with run.database() as database:
        runs = test_runs.read_runs(database, name, rows)
        if not runs and name is not None:
            prompt_states.require_prompt(database, name)
        test_view.show_runs(runs, run.form)
        if not runs:
            run.note("no runs of test cases: promptctl test NAME@VERSION makes one")


def show(
    run: Run,
    number: str,
    all: bool = False,
    format: str | None = None,
    html: str | None = None,
    junit: str | None = None,
) -> None:
    """Show a run of test cases.

    Shows the cases that changed, with a reply of each side. A login without access
    to replies sees the numbers only. The page of --html has every reply.

    Examples:
      promptctl test show 42
      promptctl test show 42 --all --html report.html
    """
    form = test_reports.form_of(run, format)
    test_reports.check_files(html=html, junit=junit)
    with run.database() as database:
        record = test_runs.read_run(database, _number(number))
        if record.verdict is None:
            raise _without_verdict(record)
        result, sides = stored_results.read(database, record)
        replies = (
            reply_checks.check_all(
                database, result, sides, lambda judge: test_targets.version(database, references.parse(judge))
            )
            if html is not None
            else []
        )
    title = result.subject.label if record.version is not None else f"{record.name} (a text that is not stored)"
    command = f"promptctl activate {result.subject.label}" if record.version is not None else ""
    tests = [Tested(title, result, command)]
    test_reports.show(tests, form, (), all_cases=all)
    if form == "plain" and stream.to_terminal():
        stream.write(stream.styled(f"run {record.run} by {stream.one_line(record.author)}", stream.DIM) + "\n")
    test_reports.write(tests, {result.id: replies}, html=html, junit=junit)


def _number(text: str) -> int:
    """Return the number of a run. Raises Usage."""
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise errors.Usage("usage", f"{references.quoted(text)} is not the number of a run", hint="promptctl test list")
    return int(text)


def _without_verdict(record: RunRecord) -> errors.PromptctlError:
    if record.failure is None:
        message = f"run {record.run} of {record.name} has not ended"
        return errors.Failed("run_without_verdict", message, hint="promptctl test list")
    message = f"run {record.run} of {record.name} ended without a verdict: {record.failure}"
    return errors.Failed("run_without_verdict", message, hint=f"run it again: promptctl test {record.name}")
