"""promptctl test list and test show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.claude.settings import DEFAULT_MODEL
from promptctl.cli import test_reports, test_targets
from promptctl.evaluation import reply_checks, stored_results
from promptctl.output import stream, test_view
from promptctl.output.test_words import Tested
from promptctl.rules import references, test_verdicts
from promptctl.store import prompt_states, test_runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database
    from promptctl.store.test_runs import RunRecord

# A note names at most so many runs.
_MOST_OPEN = 5
# These options of a run are not stored.
_GOES_ON = "the same test goes on from its replies. Give it the same --case, --repeat and --max-cost"


def list_runs(run: Run, name: str | None = None, limit: int | None = None) -> None:
    """List runs of test cases, newest first.

    A run without a verdict is running, was killed, or failed with the code of an
    error.

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
        if open_runs := _open_runs(runs):
            run.note(_open_note(open_runs))


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
    form = run.select_form(format)
    test_reports.check_files(html=html, junit=junit)
    with run.database() as database:
        record = test_runs.read_run(database, _number(number))
        if record.verdict is None:
            raise _without_verdict(database, record)
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


def _open_runs(runs: Sequence[RunRecord]) -> list[int]:
    """Return the numbers of the runs that have not ended, without those whose test was run again since."""
    open_runs: list[int] = []
    tested_again: set[tuple[object, ...]] = set()
    for record in runs:
        key = record.name, record.sha256, record.against_name, record.against_version, record.requested_model
        if record.ended_at is not None:
            tested_again.add(key)
        elif key not in tested_again:
            open_runs.append(record.run)
    return open_runs


def _open_note(numbers: Sequence[int]) -> str:
    names = ", ".join(map(str, numbers[:_MOST_OPEN])) + ", …" * (len(numbers) > _MOST_OPEN)
    if len(numbers) == 1:
        return f"run {names} is running or was killed: promptctl test show {names} has the command that goes on with it"
    return f"runs {names} are running or were killed: promptctl test show RUN has the command that goes on with one"


def _number(text: str) -> int:
    """Return the number of a run. Raises Usage."""
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise errors.Usage("usage", f"{references.quoted(text)} is not the number of a run", hint="promptctl test list")
    return int(text)


def _without_verdict(database: Database, record: RunRecord) -> errors.PromptctlError:
    """Return the error for a run without a verdict. Its hint is the command that goes on with the run."""
    subject = f"run {record.run} of {record.name}{'' if record.version is None else f'@{record.version}'}"
    if record.failure == "interrupted":
        message = f"{subject} was interrupted: {_GOES_ON}"
    elif record.failure is not None:
        message = f"{subject} ended without a verdict: {record.failure}"
    else:
        message = f"{subject} has not ended: it is running, or was killed. Then {_GOES_ON}"
    return errors.Failed("run_without_verdict", message, hint=_command_to_go_on(database, record))


def _command_to_go_on(database: Database, record: RunRecord) -> str:
    """Return the command that tests the same again, and takes the replies of batches that the run left."""
    if record.version is None:
        # The texts of a folder are not stored, and neither is the name of the folder.
        words = ["promptctl test FOLDER"]
    else:
        words = [f"promptctl test {record.name}@{record.version}"]
        if record.against_version is not None:
            words.append(f"--against {record.against_name}@{record.against_version}")
    if record.requested_model not in (None, _model(database, record)):
        words.append(f"--model {record.requested_model}")
    if record.margin != test_verdicts.DEFAULT_MARGIN:
        words.append(f"--margin {100 * record.margin:.12g}pt")
    if test_runs.has_batches(database, record.run):
        words.append("--batch")
    if record.ended_at is None and any(one.run == record.run for one in test_runs.open_batches(database, record.name)):
        words.append("--resume")
    return " ".join(words)


def _model(database: Database, record: RunRecord) -> str | None:
    """Return the model that the tested version asks for; that of the run if the version is not stored."""
    if record.version is None:
        return record.requested_model
    try:
        settings = test_targets.version(database, references.Reference(record.name, record.version)).settings
    except errors.NotFound:
        return record.requested_model
    return str(settings.get("model") or DEFAULT_MODEL)
