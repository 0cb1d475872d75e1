"""promptctl sync."""

from __future__ import annotations

from promptctl import errors, plan, prompt_files
from promptctl import sync as syncing
from promptctl.output import messages
from promptctl.output import plans as output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import AllowNewVariables, Author, Check, DryRun, Folder, Source
    from promptctl.cli.run import Run
    from promptctl.database import Database
    from promptctl.sync import Outcome

FOUND = 3


def sync(
    run: Run,
    folder: Folder = "prompts",
    dry_run: DryRun = False,
    check: Check = False,
    source: Source = None,
    allow_new_variables: AllowNewVariables = False,
    author: Author = None,
) -> int:
    """Store a folder of prompts, and make live what it says.

    The folder has a folder per prompt, in it v1.txt, v2.txt … and, optional,
    prompt.yaml. What is stored already is left alone; a second run says so.
    A stored version whose file was edited is a conflict: nothing is applied.
    What an operator moved stays until the folder changes its mind. An
    activation of a version that needs a variable which the active one does
    not is a conflict too, unless it is allowed.

    Examples:
      promptctl sync prompts/ --dry-run
      promptctl sync prompts/
    """
    try:
        prompts = prompt_files.read(folder)
    except prompt_files.InvalidFolder as invalid:
        for problem in invalid.others:
            messages.note(problem)
        raise
    origin = syncing.source_of(folder, source)
    run.author(author)
    only_looks = dry_run or check
    with run.database(creates=not only_looks) as database:
        outcome = (
            syncing.look(database, origin, prompts, allow_new_variables=allow_new_variables)
            if only_looks
            else syncing.apply(
                database,
                origin,
                prompts,
                author=run.who(),
                say=messages.note,
                allow_new_variables=allow_new_variables,
            )
        )
        at = f" at {origin.commit}" if origin.commit else ""
        if run.form != "json" or not outcome.plan.of(plan.CONFLICT):
            output.show(outcome, f"{folder}{at} → {database.label}", run.form)
        _refuse_conflicts(run, database, outcome)
    for move in outcome.moves:
        run.log("Prompt activated", name=move.name, version=move.version, promptId=move.id, author=run.who())
    return FOUND if check and outcome.plan.would_change else 0


def _refuse_conflicts(run: Run, database: Database, outcome: Outcome) -> None:
    conflicts = outcome.plan.of(plan.CONFLICT)
    if not conflicts:
        return
    from promptctl.output import diffs, stream
    from promptctl.records import Reference
    from promptctl.store import prompts

    for conflict in conflicts if run.form == "plain" else []:
        if conflict.file is not None:
            stored = prompts.text(database, Reference(conflict.name, conflict.version))
            told = diffs.unified(
                stored.content, conflict.file.content, f"{conflict.name}@{conflict.version}", conflict.file.path
            )
            stream.say(stream.harmless(told.rstrip("\n")))
    # What a word more would allow comes last: whoever repeats the command with it meets the others then.
    first = min(conflicts, key=lambda conflict: conflict.hint == plan.ALLOWING_NEW_VARIABLES)
    subject = f"{first.name}@{first.version}" if first.version else first.name
    more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
    told = f"{subject}: {first.why}{more}; nothing was applied"
    if first.hint == plan.ALLOWING_NEW_VARIABLES:
        refused = errors.Refused("new_variables", told)
        refused.again = ("--allow-new-variables",)
        raise refused
    raise errors.Refused("conflict", told, hint=first.hint)
