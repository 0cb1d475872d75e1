"""Run a sync: read, plan, apply. `preview` only returns the plan; `apply` applies it, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import provenance
from promptctl.records import Record
from promptctl.store import rollouts, syncs
from promptctl.sync import plan, plan_checks, read
from promptctl.sync.apply import apply_plan
from promptctl.sync.changes import CONFLICT, NEW, WRITING_KINDS, Change, Plan, PlanOptions, PreparedPlan
from promptctl.sync.upload import Uploader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.folder.listing import ListedPrompt
    from promptctl.folder.prompt_files import FolderPrompt
    from promptctl.folder.provenance import Checkout
    from promptctl.postgres.database import Database
    from promptctl.store.moves import Move
    from promptctl.store.rollouts import RolloutChange
    from promptctl.store.syncs import StoredPrompt
    from promptctl.sync.apply import Applied, Prices
    from promptctl.sync.read import Progress, Reading


class SyncOptions(Record):
    """The options of the command `sync` that decide what a sync may do; its help describes them."""

    adopt: bool = False
    allow_new_variables: bool = False
    allow_secrets: bool = False
    force: bool = False
    template: str | None = None


class Outcome(Record):
    """A plan and its result.

    `refusal` is the error for a plan that must not be applied, else None. `stored` is what the database had of the
    compared prompts. `previous_commit` is the commit that had been applied last. `applied`: the plan was applied and
    has changed a prompt; `release`, `moves` and `rollouts` are then its release, its moves, and the rollouts that it
    has started and stopped.
    """

    prepared: PreparedPlan
    refusal: errors.Refused | None
    stored: dict[str, StoredPrompt]
    previous_commit: str | None
    applied: bool = False
    release: int | None = None
    moves: tuple[Move, ...] = ()
    rollouts: tuple[RolloutChange, ...] = ()

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.prepared.plan

    def as_applied(self, applied: Applied) -> Outcome:
        """Return the outcome once the plan is applied."""
        return Outcome(
            self.prepared,
            None,
            self.stored,
            self.previous_commit,
            self.plan.would_change,
            applied.release,
            tuple(applied.moves),
            tuple(applied.rollouts),
        )


def preview(
    database: Database,
    checkout: Checkout,
    prompts: Sequence[ListedPrompt],
    options: SyncOptions,
    progress: Progress,
    *,
    prices: Prices,
    will_apply: bool = False,
) -> Outcome:
    """Return the plan of a sync without changing anything.

    `will_apply`: the plan is to be applied later, from a file. `prices` is as in `apply_plan`. Raises Failed for an
    invalid folder, Refused for a secret in it and for a folder that overlaps another source.
    """
    with database.transaction(read_only=True):
        reading = read.read(database, checkout, prompts, progress, force=options.force, lock=False)
        parsed = list(reading.reader.parse(reading.stored, "comparing", allow_secrets=options.allow_secrets))
        return _make_plan(database, reading, parsed, options, prices, will_apply=will_apply)


def apply(
    database: Database,
    checkout: Checkout,
    prompts: Sequence[ListedPrompt],
    options: SyncOptions,
    progress: Progress,
    *,
    author: str,
    notify: Callable[[str], None],
    prices: Prices,
) -> Outcome:
    """Plan and apply a sync, completely or not at all; a plan that is refused is not applied.

    The plan is made while the prompts that it may change are locked, so it is still true when it is applied. `notify`
    gets a line when another sync holds the lock. `prices` is as in `apply_plan`. Raises what `preview` raises.
    """
    try:
        with database.transaction():
            syncs.lock(database, notify)
            reading = read.read(database, checkout, prompts, progress, force=options.force, lock=True)
            uploader = Uploader(
                database,
                checkout.source,
                checkout.commit,
                author=author,
                origin=checkout.origin,
                origins=checkout.origins,
            )
            try:
                outcome = _plan_and_upload(database, reading, uploader, options, prices)
                if outcome.refusal is not None:
                    raise _PlanRefused(outcome)
                uploader.finish()
            except errors.PromptctlError:
                # The transaction cannot be rolled back while the server stores a batch.
                uploader.cancel()
                raise
            applied = apply_plan(database, outcome.prepared, uploader, author=author, prices=prices)
    except _PlanRefused as refused:
        return refused.outcome
    return outcome.as_applied(applied)


class _PlanRefused(errors.PromptctlError):
    """Rolls back the transaction of a refused plan. Only `apply` raises and catches it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("conflict", "the plan is refused")
        self.outcome = outcome


def _plan_and_upload(
    database: Database, reading: Reading, uploader: Uploader, options: SyncOptions, prices: Prices
) -> Outcome:
    """Parse the changed prompts and make the plan. New texts are stored while the next files are parsed."""
    reader, stored = reading.reader, reading.stored
    if reading.lacks_applied_commit and not options.force:
        # Without --force, an older commit may not change anything, so there is nothing to upload.
        parsed = list(reader.parse(stored, "comparing", allow_secrets=options.allow_secrets))
    else:
        prompts = reader.parse(stored, "storing", allow_secrets=options.allow_secrets)
        parsed = list(uploader.upload(reader, stored, prompts))
        # The server stores the last texts while the plan is made.
        uploader.send_rest()
    if any(prompt.route or (prompt.rollout is not None and prompt.rollout.guards_cost) for prompt in parsed):
        # The queries of the route graph and of the models need the connection.
        uploader.wait()
    return _make_plan(database, reading, parsed, options, prices, will_apply=True)


def _make_plan(
    database: Database,
    reading: Reading,
    prompts: Sequence[FolderPrompt],
    options: SyncOptions,
    prices: Prices,
    *,
    will_apply: bool,
) -> Outcome:
    checkout, state, listed = reading.checkout, reading.state, reading.reader.listed_prompts
    new_plan = plan.make(
        plan.Input(
            source=checkout.source,
            prompts=prompts,
            stored=reading.stored,
            graph=read.route_graph(database, prompts),
            missing=reading.missing_prompts,
            unchanged=len(listed) - len(prompts),
            missing_rollouts=reading.missing_rollouts,
        ),
        PlanOptions(options.adopt, options.allow_new_variables, will_apply),
    )
    new_plan = _refuse_cost_without_price(database, new_plan, prices)
    prepared = PreparedPlan(
        source=checkout.source,
        commit=checkout.commit,
        origin=checkout.origin() if new_plan.would_change else {},
        origins=checkout.origins(_paths(new_plan)),
        plan=new_plan,
        adopt=options.adopt,
        allow_new_variables=options.allow_new_variables,
        is_already_recorded=_is_already_recorded(new_plan, reading),
    )
    refusal = plan_checks.refusal(new_plan, reading, force=options.force)
    return Outcome(prepared, refusal, reading.stored, state.commit)


def _refuse_cost_without_price(database: Database, new_plan: Plan, prices: Prices) -> Plan:
    """Return the plan with a conflict for each rollout that has a guard of the cost, and no model with a price."""
    models_of_files = {
        (change.name, change.version): change.file.settings.get("model")
        for change in new_plan.of(NEW)
        if change.file is not None
    }
    checked: list[Change] = []
    for change in new_plan.changes:
        if change.rollout is None or not change.rollout.guards_cost:
            checked.append(change)
            continue
        models = set(rollouts.read_models(database, change.name, change.version))
        if (model := models_of_files.get((change.name, change.version))) is not None:
            models.add(model)
        if models and prices(sorted(models)):
            checked.append(change)
            continue
        message = "its rollout has a guard of the cost, which needs the price of a model"
        if models:
            message += f"; there is no price of {', '.join(sorted(models))}"
        hint = f"remove cost from the guards in {change.yaml_path}, or set model there"
        checked.append(Change(CONFLICT, change.name, change.version, message, hint=hint))
    return Plan(checked, new_plan.applied_prompts, new_plan.unchanged)


def _is_already_recorded(new_plan: Plan, reading: Reading) -> bool:
    """Whether the database already stores what a plan without changes would record about the folder.

    An older commit is never recorded. A commit on another branch is: after a squash merge, the stored commit is on a
    deleted branch, and the commit on main has the same files.
    """
    if reading.relation == provenance.OLDER:
        return True
    commit = reading.checkout.commit
    return not new_plan.applied_prompts and reading.state.commit == (commit.hash if commit else None)


def _paths(new_plan: Plan) -> list[str]:
    """Return the paths of the files that cause the plan's changes, in order."""
    writing_changes = [change for change in new_plan.changes if change.kind in WRITING_KINDS]
    paths = {path for change in writing_changes if change.file is not None for path in change.file.paths}
    paths |= {change.yaml_path for change in writing_changes if change.file is None and change.yaml_path is not None}
    return sorted(paths)
