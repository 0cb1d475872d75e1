"""promptctl test."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.cli import amounts, interruption, numbers, test_reports, test_targets
from promptctl.evaluation import estimate as estimating
from promptctl.evaluation import reply_checks, runner, stored_results
from promptctl.evaluation.storage import DatabaseStorage
from promptctl.output import messages, stream, test_view
from promptctl.output.run_progress import RunProgress
from promptctl.output.test_words import Tested
from promptctl.rules import margins, references, test_verdicts
from promptctl.store import test_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.cli.run import Run
    from promptctl.cli.test_targets import Target
    from promptctl.evaluation.results import CaseReplies, Estimate, Subject
    from promptctl.postgres.database import Database


def run_cases(
    run: Run,
    targets: list[str],
    against: str | None = None,
    case: str | None = None,
    repeat: int | None = None,
    margin: str | None = None,
    model: list[str] | None = None,
    estimate: bool = False,
    max_cost: str | None = None,
    replay: bool = False,
    batch: bool = False,
    resume: bool = False,
    strict: bool = False,
    all: bool = False,
    format: str | None = None,
    html: str | None = None,
    junit: str | None = None,
) -> int:
    """Run test cases with Claude, and compare a version with the active one.

    Runs the cases of tests.yaml, which sync stores. NAME@VERSION is compared with
    the active version, and a bare NAME means the newest version. The active version
    itself is run without a comparison. A folder is compared before a sync: each
    version that it would activate, else the newest that it would store.

    The verdict is worse (proven), not worse (a drop of more than --margin is
    excluded), better (proven) or undecided. Kept replies of earlier runs cost
    nothing, so a second run goes on where the first one stopped.

    test list, test show, test add and test judge are commands of their own.

    Exit codes: 3 worse, 7 Claude failed, with --strict 9 undecided, otherwise 0.

    Examples:
      promptctl test default-system-prompt@3 --estimate
      promptctl test default-system-prompt@3 --max-cost 2
      promptctl test prompts/ --format markdown --junit report.xml
    """
    _refuse_misspelled_command(targets)
    form = run.select_form(format)
    options = _options(repeat, margin, max_cost, estimate=estimate, replay=replay, batch=batch, resume=resume)
    test_reports.check_files(html=html, junit=junit)
    if any(not name.strip() for name in model or ()):
        raise errors.Usage("usage", "--model is empty", hint="promptctl test --help")
    # What is named twice is run once.
    targets, model = list(dict.fromkeys(targets)), model and list(dict.fromkeys(model))
    if against is not None and (len(targets) > 1 or test_targets.is_folder(targets[0])):
        raise errors.Usage("usage", "--against needs one version: promptctl test NAME@VERSION --against NAME@OTHER")
    baseline = None if against is None else references.parse(against)
    words = [word if test_targets.is_folder(word) else references.parse(word) for word in targets]
    run.start_author()
    with run.database(creates=any(isinstance(word, str) for word in words)) as database:
        selected: list[Target] = []
        remarks: list[str] = []
        untested: list[str] = []
        for word in words:
            if isinstance(word, str):
                of_folder = test_targets.of_folder(database, word)
                selected += of_folder.targets
                remarks += of_folder.notes
                untested += of_folder.untested
            else:
                selected.append(test_targets.of_reference(database, word, baseline))
        selected = [_selected(target, case) for target in selected]
        for remark in remarks:
            run.note(remark)
        if untested:
            warning = test_targets.without_tests(untested)
            messages.warning(warning)
            remarks.append(warning)
        command = _Command(run, database, options, form, margin is not None)
        if estimate:
            return command.show_estimates(selected, model or [None])
        command.check_targets(selected, model or [None])
        lost = command.run_targets(selected, model or [None], remarks, all_cases=all, html=html, junit=junit)
        code = command.exit_code(strict=strict, is_complete=not untested)
        if lost is not None and not code:
            raise lost
        if lost is not None:
            messages.error(lost, as_json=False)
        return code


class _Command:
    """One call of the command, with its connection."""

    def __init__(self, run: Run, database: Database, options: runner.Options, form: str, has_margin: bool) -> None:
        self._run = run
        self._database = database
        self._options = options
        self._form = form
        self._has_margin = has_margin
        self._storage = DatabaseStorage(database, run.author(), run.database)
        self._progress = RunProgress(form)
        self._tests: list[Tested] = []

    def show_estimates(self, targets: Sequence[Target], models: Sequence[str | None]) -> int:
        """Show what the runs would take; return the exit code."""
        from promptctl.claude.api import Claude

        claude = Claude()
        estimates: list[tuple[str, Estimate]] = []
        for target, model in [(target, model) for target in targets for model in models]:
            title = target.title if model is None else f"{target.title} with {model}"
            value = estimating.estimate(
                target.subject, target.against, target.cases, self._options_for(target, model), self._storage, claude,
                judge_of=self._judge_of, report=self._run.note,
            )  # fmt: skip
            estimates.append((title, value))
        if self._form == "json":
            stream.write_json({"estimates": [test_view.estimate_document(*one) for one in estimates]})
        else:
            for title, value in estimates:
                test_view.show_estimate(title, value, self._form)
        return 0

    def check_targets(self, targets: Sequence[Target], models: Sequence[str | None]) -> None:
        """Raise what would end a later run before its first call, so that the runs before it are not paid for.

        Raises Usage, Refused (`price_unknown`) and NotFound.
        """
        pairs = [(target, model) for target in targets for model in models]
        # A single run has the same checks before its calls.
        for target, model in pairs if len(pairs) > 1 else ():
            runner.check(
                target.subject, target.against, target.cases, self._options_for(target, model), self._storage,
                statistics=test_verdicts, judge_of=self._judge_of,
            )  # fmt: skip

    def run_targets(
        self,
        targets: Sequence[Target],
        models: Sequence[str | None],
        remarks: Sequence[str],
        *,
        all_cases: bool,
        html: str | None,
        junit: str | None,
    ) -> errors.Failed | None:
        """Run and show the targets. After a failure, first show the runs that ended.

        Return the error of a report that cannot be written: the exit code of a bad verdict must not depend on it.
        """
        failure: BaseException | None = None
        try:
            with interruption.terminated():
                for target, model in [(target, model) for target in targets for model in models]:
                    self._tests.append(Tested(target.title, self._execute(target, model), target.next_command))
        except (errors.PromptctlError, KeyboardInterrupt) as problem:
            failure = problem
        finally:
            self._progress.close()
        # In JSON, an error is the whole answer.
        if failure is None or (self._tests and self._form != "json"):
            test_reports.show(self._tests, self._form, remarks, all_cases=all_cases)
        if isinstance(failure, KeyboardInterrupt):
            way = "the same command with --resume" if self._options.is_batch else "the same command"
            messages.note(f"the replies that came are stored: {way} goes on from there")
        try:
            if self._tests or failure is None:
                self._write_reports(remarks, html, junit)
        except errors.Failed as problem:
            if failure is None:
                return problem
            messages.warning(problem.message)
        if failure is not None:
            raise failure
        return None

    def exit_code(self, *, strict: bool, is_complete: bool) -> int:
        """Return the exit code for the verdicts of all runs. What has no cases is undecided."""
        words = {tested.result.verdict.word for tested in self._tests}
        if "worse" in words:
            return errors.DIFFERENT
        if any(tested.result.has_failed for tested in self._tests):
            return errors.ClaudeFailed.exit_code
        is_open = any(
            tested.result.against is not None and tested.result.verdict.word == "undecided" for tested in self._tests
        )
        return errors.NOT_DECIDED if strict and (is_open or not is_complete) else 0

    def _write_reports(self, remarks: Sequence[str], html: str | None, junit: str | None) -> None:
        replies = {
            tested.result.id: self._replies(tested.result)
            for tested in (self._tests if html is not None else ())
            if tested.result.id
        }
        test_reports.write_summary(self._tests, remarks)
        test_reports.write(self._tests, replies, html=html, junit=junit)

    def _replies(self, result: runner.RunResult) -> list[CaseReplies]:
        """Return all replies of a run with their checks; only its examples if the database was lost."""
        # The connection is another one if the first was lost.
        database = self._run.connection or self._database
        try:
            record = test_runs.read_run(database, int(result.id))
            if record.verdict is not None:
                _, sides = stored_results.read(database, record)
                return reply_checks.check_all(database, result, sides, self._judge_of)
        except errors.PromptctlError as problem:
            messages.warning(f"the page of --html has no other replies than the output: {problem.message}")
        return reply_checks.check_examples(result)

    def _execute(self, target: Target, model: str | None) -> runner.RunResult:
        self._progress.title = target.title
        return runner.execute(
            target.subject, target.against, target.cases, self._options_for(target, model), self._progress,
            self._storage, statistics=test_verdicts, judge_of=self._judge_of, origin=target.origin,
            say=self._run.note,
        )  # fmt: skip

    def _options_for(self, target: Target, model: str | None) -> runner.Options:
        options = self._options
        margin = options.margin
        if target.margin is not None and not self._has_margin:
            margin = target.margin
        max_cost = options.max_cost
        if max_cost is not None:
            # All runs share the limit.
            for tested in self._tests:
                if tested.result.cost is None:
                    raise errors.Refused(
                        "price_unknown",
                        f"the cost of the run of {tested.title} is not known, so no other run begins with --max-cost",
                        hint="run the command for each model or prompt alone, or without --max-cost",
                    )
            max_cost = max(0.0, max_cost - sum(tested.result.cost or 0.0 for tested in self._tests))
        return runner.Options(
            model, options.max_tokens, margin, options.repeat, options.is_replay, options.is_batch, options.is_resumed,
            max_cost, options.directory,
        )  # fmt: skip

    def _judge_of(self, reference: str) -> Subject:
        try:
            return test_targets.version(self._run.connection or self._database, references.parse(reference))
        except errors.NotFound as problem:
            problem.message = f"the judge {reference} that tests.yaml names: {problem.message}"
            raise


def _refuse_misspelled_command(targets: Sequence[str]) -> None:
    """Raise Usage for `test shwo 6`. A number names a run, not a prompt."""
    first, rest = targets[0], targets[1:]
    is_run = bool(rest) and all(word.isdigit() for word in rest)
    if is_run and (near := difflib.get_close_matches(first, ("show",), n=1, cutoff=0.5)):
        problem = errors.Usage("usage", f"test has no command {references.quoted(first)}: did you mean test {near[0]}?")
        problem.hint = f"promptctl test {near[0]} {rest[0]}"
        raise problem


def _options(
    repeat: int | None,
    margin: str | None,
    max_cost: str | None,
    *,
    estimate: bool,
    replay: bool,
    batch: bool,
    resume: bool,
) -> runner.Options:
    """Return the options of the runs. Raises Usage."""
    numbers.check("--repeat", repeat)
    if replay and estimate:
        raise errors.Usage("usage", "--replay makes no call and costs nothing: use it without --estimate")
    if replay and (batch or resume):
        raise errors.Usage("usage", "--replay makes no call: use it without --batch and --resume")
    drop = test_verdicts.DEFAULT_MARGIN
    if margin is not None:
        value = margins.value_of("errors", margin)
        if value is None:
            message = f"--margin {references.quoted(margin)} is not a number of percentage points"
            raise errors.Usage("invalid_margin", message, hint="write for example --margin 5pt")
        drop = value
    return runner.Options(None, None, drop, repeat, replay, batch, resume, amounts.dollars("--max-cost", max_cost))


def _selected(target: Target, pattern: str | None) -> Target:
    """Return a target with the cases whose title or description matches a pattern. Raises NotFound."""
    if pattern is None:
        return target
    matches = _matcher(pattern)
    cases = [one for one in target.cases if matches(one.title) or matches(one.description)]
    if not cases:
        raise errors.NotFound(
            "case_not_found",
            f"no case of {target.title} matches {references.quoted(pattern)}",
            hint="a PATTERN is a part of a description, or a quoted pattern with * and ?",
        )
    return target.with_cases(cases)


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Return whether a text has the pattern as a part, or matches it as a whole if it has * or ?."""
    folded = pattern.casefold()
    if "*" not in pattern and "?" not in pattern:
        return lambda text: folded in text.casefold()
    import fnmatch
    import re

    compiled = re.compile(fnmatch.translate(folded.replace("[", "[[]")))
    return lambda text: compiled.match(text.casefold()) is not None
