"""promptctl test judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import bounded_input, errors
from promptctl.claude.api import Claude
from promptctl.cli import amounts, interruption, test_targets
from promptctl.evaluation import labels as labelling
from promptctl.evaluation.judge import BUILT_IN, Judge
from promptctl.evaluation.results import Progress
from promptctl.output import judge_view
from promptctl.output.run_progress import RunProgress
from promptctl.rules import references

if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.evaluation.calls import Counts

_LARGEST_FILE = 10_000_000


def judge(run: Run, name: str, labels: str, max_cost: str | None = None) -> None:
    """Show how far a judge agrees with people.

    The judge decides on replies that people have labelled: a YAML or JSON list of
    rubric, message, reply and passes. NAME is a prompt, NAME@VERSION, or built-in.
    Krippendorff's alpha is 1 for full agreement and 0 for agreement by chance.

    Examples:
      promptctl test judge judges/helpful@3 --labels labels.yaml
      promptctl test judge built-in --labels labels.yaml --max-cost 1
    """
    if name != BUILT_IN and "".join(filter(str.isalpha, name.lower())) == "builtin":
        problem = errors.Usage("usage", f"the judge of promptctl is {BUILT_IN}, not {references.quoted(name)}")
        problem.hint_corrections = {name: BUILT_IN}
        raise problem
    reference = None if name == BUILT_IN else references.parse(name)
    dollars = amounts.dollars("--max-cost", max_cost)
    try:
        raw = bounded_input.any_file(labels, _LARGEST_FILE)
    except (OSError, ValueError) as problem:
        raise bounded_input.unreadable(references.quoted(labels), problem, "pass a file to --labels") from None
    labelled = labelling.parse(raw, labels)
    subject = None
    if reference is not None:
        with run.database() as database:
            subject = test_targets.version(database, reference)
    chosen = Judge.of(subject)
    progress = RunProgress(run.form)
    progress.title = chosen.reference

    def report(counts: Counts) -> None:
        progress(Progress("judge", counts.ended, counts.total, None, counts.running, counts.waiting_seconds))

    try:
        with interruption.terminated():
            comparison = labelling.compare(chosen, labelled, Claude(), dollars, report)
    finally:
        progress.close()
    judge_view.show(chosen.reference, labelled, comparison, run.form)
