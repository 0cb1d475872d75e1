"""promptctl sync."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors, working_directory
from promptctl.cli import present_prices
from promptctl.folder.provenance import Checkout
from promptctl.output import messages, plan_view, progress
from promptctl.store import syncs
from promptctl.sync import changes, differences, read
from promptctl.sync import synchronize as syncing
from promptctl.sync.differences import Original

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from promptctl.cli.run import Run
    from promptctl.folder.listing import ListedPrompt
    from promptctl.output.plan_view import TextPairs
    from promptctl.output.progress import Progress
    from promptctl.postgres.database import Database
    from promptctl.sync.changes import Change
    from promptctl.sync.synchronize import Outcome

# Exit code of --check.
_HAS_CHANGES = 3
# The default.
_FOLDER = "prompts"


def sync(
    run: Run,
    folder: str | None = None,
    dry_run: bool = False,
    check: bool = False,
    offline: bool = False,
    base: str | None = None,
    save_plan: str | None = None,
    apply_plan: str | None = None,
    format: str | None = None,
    source: str | None = None,
    template: str | None = None,
    adopt: bool = False,
    force: bool = False,
    allow_new_variables: bool = False,
) -> int:
    """Apply a folder of prompts to the database.

    The folder has one folder per prompt, with v1.txt, v2.txt and so on, and an
    optional prompt.yaml. v2.request.yaml or v2.request.json beside v2.txt has the
    request of version 2: thinking, tools and so on. sync stores new versions and
    activates the versions that the folder names, all in one transaction. Running
    it again changes nothing. It is a conflict if a file of a stored version was
    edited. If an operator activates another version, that one stays active until
    somebody changes the version that the folder names.

    --dry-run shows the plan. --save-plan also saves it, and --apply-plan applies
    exactly that plan. Each line of a plan starts with a sign:

      +  store a new version
      >  activate a version
      %  start or stop a rollout, if prompt.yaml has the key rollout
      ~  correct a description, metadata or a route
      !  hold: an operator changed the prompt after the last sync, so it stays
      x  a conflict: nothing is applied
      #  a note: no change

    --check --offline needs no database, for example before a commit. It exits with
    5 for a secret, or for a version whose text or request differs from that in Git.

    Examples:
      promptctl sync prompts/ --dry-run
      promptctl sync prompts/
      promptctl sync prompts/ --check --format markdown
      promptctl sync prompts/ --check --offline
    """
    form = _form(run, format, save_plan, apply_plan, dry_run=dry_run, check=check)
    if offline:
        needs_database = {
            "--save-plan": save_plan, "--apply-plan": apply_plan, "--source": source, "--adopt": adopt,
            "--force": force, "--allow-new-variables": allow_new_variables, "--database-url": run.database_url,
        }  # fmt: skip
        _refuse_offline(needs_database, check=check)
    elif base is not None:
        raise errors.Usage("usage", "--base needs --check --offline: sync compares the folder with the database")
    progress_bar = progress.Progress(is_enabled=form == "plain")
    try:
        if apply_plan is not None:
            if folder is not None or source is not None or template is not None:
                raise errors.Usage("usage", "a saved plan contains its folder: use --apply-plan FILE alone")
            return _apply_saved(run, apply_plan, form, progress_bar)
        if template is not None:
            from promptctl.cli import variables

            variables.check_style(template)
        if offline:
            return _check_offline(run, folder, base, template, form, progress_bar)
        options = syncing.SyncOptions(adopt, allow_new_variables, run.allow_secrets, force, template)
        if dry_run or check or save_plan is not None:
            outcome = _show_plan(run, folder, source, options, save_plan, form, progress_bar, is_check=check)
            return _HAS_CHANGES if check and outcome.plan.would_change else 0
        return _apply(run, folder, source, options, form, progress_bar)
    finally:
        progress_bar.close()


def _form(
    run: Run, format: str | None, save_plan: str | None, apply_plan: str | None, *, dry_run: bool, check: bool
) -> str:
    """Return the form of the output. Raises Usage for options that cannot be combined."""
    form = run.select_form(format)
    for option, value in (("--save-plan", save_plan), ("--apply-plan", apply_plan)):
        if value in ("", "-"):
            raise errors.Usage("usage", f"{option} needs the name of a file", hint=f"promptctl sync {option} plan.json")
    if apply_plan is not None and (dry_run or check or save_plan is not None):
        raise errors.Usage("usage", "--apply-plan cannot be combined with --dry-run, --check or --save-plan")
    return form


def _refuse_offline(needs_database: Mapping[str, object], *, check: bool) -> None:
    """Raise Usage for `--offline` without `--check`, or with one of the options that need a database."""
    if not check:
        raise errors.Usage("usage", "--offline needs --check: only a check can do without the database")
    for option, value in needs_database.items():
        if value not in (None, False):
            raise errors.Usage("usage", f"--offline cannot be combined with {option}, which needs the database")


def _check_offline(
    run: Run, folder: str | None, base: str | None, template: str | None, form: str, progress_bar: Progress
) -> int:
    from promptctl.output import offline_view
    from promptctl.sync import offline

    checkout, prompts = _read(folder, None, template)
    result = offline.check(checkout, prompts, base, progress_bar, allow_secrets=run.allow_secrets)
    progress_bar.close()
    if form != "json" or result.outcome.refusal is None:
        offline_view.show(result, _origin(checkout), form)
    _refuse(result.outcome, form, result.original)
    return 0


def _show_plan(
    run: Run,
    folder: str | None,
    source: str | None,
    options: syncing.SyncOptions,
    save_plan: str | None,
    form: str,
    progress_bar: Progress,
    *,
    is_check: bool,
) -> Outcome:
    """Show the plan, and save it if `save_plan` is a path. Raises the error that refuses the plan.

    A plan that is neither checked nor saved, and has no conflict, is shown with a warning instead of that error.
    """
    checkout, prompts = _read(folder, source, options.template)
    # A saved plan names its database, which must exist.
    with run.database(empty_if_absent=save_plan is None) as database:
        outcome = syncing.preview(
            database,
            checkout,
            prompts,
            options,
            progress_bar,
            prices=present_prices.of_models,
            will_apply=save_plan is not None,
        )
        title = f"{_origin(checkout)} → {database.label}"
        progress_bar.close()
        unclaimed = syncs.unclaimed(database)
        raises_refusal = is_check or save_plan is not None or bool(outcome.plan.of(changes.CONFLICT))
        # In JSON, an error is the whole answer.
        if form != "json" or outcome.refusal is None or not raises_refusal:
            _show(outcome, title, form, _text_pairs(database, outcome, form), unclaimed)
        if raises_refusal:
            _refuse(outcome, form, lambda change: _stored_version(database, outcome, change))
        elif outcome.refusal is not None:
            messages.warning(f"sync would refuse this: {outcome.refusal.message}")
        if unclaimed:
            several = len(unclaimed) != 1
            subject = f"{len(unclaimed)} prompts" if several else unclaimed[0]
            text = f"{subject} in {database.label} {'are' if several else 'is'} in no synced folder"
            run.note(f"{text}: promptctl export writes {'them' if several else 'it'} to a folder")
        if save_plan is not None:
            from promptctl.cli import interruption
            from promptctl.sync import saved_plans

            with interruption.terminated():
                saved_plans.save(save_plan, title, database, outcome)
            import shlex

            messages.note(f"saved in {save_plan}: promptctl sync --apply-plan {shlex.quote(save_plan)} applies it")
    return outcome


def _apply(
    run: Run,
    folder: str | None,
    source: str | None,
    options: syncing.SyncOptions,
    form: str,
    progress_bar: Progress,
) -> int:
    run.start_author()
    checkout, prompts = _read(folder, source, options.template)
    with run.database(creates=True) as database:
        outcome = syncing.apply(
            database, checkout, prompts, options, progress_bar, author=run.author(), notify=messages.note,
            prices=present_prices.of_models,
        )  # fmt: skip
        progress_bar.close()
        if form != "json" or outcome.refusal is None:
            _show(outcome, f"{_origin(checkout)} → {database.label}", form, {})
        _refuse(outcome, form, lambda change: _stored_version(database, outcome, change))
    _log(run, outcome)
    return 0


def _apply_saved(run: Run, path: str, form: str, progress_bar: Progress) -> int:
    from promptctl.sync import saved_plans

    saved = saved_plans.load(path)
    run.start_author()
    with run.database() as database:
        outcome = saved_plans.apply(
            database, saved, progress_bar, author=run.author(), notify=messages.note, prices=present_prices.of_models
        )
        progress_bar.close()
        _show(outcome, saved.title, form, {})
    _log(run, outcome)
    return 0


def _read(argument: str | None, source: str | None, template: str | None) -> tuple[Checkout, list[ListedPrompt]]:
    if source is not None and not source.strip():
        raise errors.Usage("usage", "--source is empty")
    if argument == "":
        raise errors.Usage("usage", "the name of the folder is empty")
    if argument == "-":
        raise errors.Usage("usage", "sync reads a folder, not standard input", hint=f"promptctl sync {_FOLDER}/")
    folder = _FOLDER if argument is None else argument
    working_directory.require(folder)
    # Git runs while the folder is listed.
    wait_for_checkout = Checkout.start(folder, source)
    prompts = read.list_prompts(folder, template, is_default=argument is None)
    return wait_for_checkout(), prompts


def _origin(checkout: Checkout) -> str:
    """Return the folder and its commit, for a title."""
    if checkout.commit is None:
        return checkout.folder
    return f"{checkout.folder} at {checkout.commit.short}{', not all committed' if checkout.is_dirty else ''}"


def _show(outcome: Outcome, title: str, form: str, pairs: TextPairs, unclaimed: Sequence[str] | None = None) -> None:
    if form == "markdown":
        from promptctl.output import plan_markdown

        plan_markdown.show(outcome, title, pairs)
        for change in outcome.plan.of(changes.HELD):
            messages.note(f"{change.name} {plan_view.message(change, outcome)}")
    else:
        plan_view.show(outcome, title, form, pairs, unclaimed)


def _text_pairs(database: Database, outcome: Outcome, form: str) -> TextPairs:
    """Return what the output compares: each new version with the active version of its prompt, if it has one."""
    from promptctl.output import stream
    from promptctl.rules.references import Reference
    from promptctl.store import version_texts

    new = [change for change in outcome.plan.of(changes.NEW) if change.previous_version is not None]
    if not new or (form == "plain" and not stream.to_terminal()) or form == "quiet":
        return {}
    old_texts = version_texts.read_contents(
        database, {Reference(change.name, change.previous_version) for change in new}
    )
    pairs: TextPairs = {}
    for change in new:
        assert change.previous_version is not None
        active = Original(
            old_texts[change.name, change.previous_version],
            outcome.stored[change.name].versions[change.previous_version].settings,
            f"{change.name}@{change.previous_version}",
        )
        pairs[change.name, change.version] = differences.with_new_version(change, active)
    return pairs


def _stored_version(database: Database, outcome: Outcome, change: Change) -> Original:
    """Return the stored version whose file was edited."""
    from promptctl.rules.references import Reference
    from promptctl.store import version_texts

    text = version_texts.read_text(database, Reference(change.name, change.version)).content
    return Original(text, outcome.stored[change.name].versions[change.version].settings, change.reference)


def _refuse(outcome: Outcome, form: str, original: Callable[[Change], Original]) -> None:
    """Raise the error that refuses a plan, if there is one. In plain form, first print diffs of edited versions.

    `original` returns a version before its file was edited.
    """
    if outcome.refusal is None:
        return
    conflicts = outcome.plan.of(changes.CONFLICT)
    from promptctl.output import diff_view, stream

    for conflict in conflicts if form == "plain" else []:
        if conflict.file is not None:
            for pair in differences.with_edited_files(conflict.file, original(conflict)):
                stream.write_stderr(stream.escape_controls(diff_view.unified(*pair).rstrip("\n")))
    if form == "json":
        # The plan is not printed with an error in JSON, so the error lists the other conflicts.
        others = [change for change in conflicts if change.message not in outcome.refusal.message]
        outcome.refusal.others = [f"{change.subject}: {change.message}" for change in others]
    raise outcome.refusal


def _log(run: Run, outcome: Outcome) -> None:
    for move in outcome.moves:
        # promptId is the id of the version.
        run.log("Prompt activated", name=move.name, version=move.version, promptId=move.id, author=run.author())
    for rollout in outcome.rollouts:
        run.log(
            "Rollout started" if rollout.state == "running" else "Rollout stopped", name=rollout.name,
            version=rollout.candidate, basisPoints=rollout.basis_points, author=run.author(),
        )  # fmt: skip
