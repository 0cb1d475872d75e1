"""Step 3 of a sync: write a plan to the database, in the transaction of the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.store import case_lists, moves, rollouts, routes, syncs, versions
from promptctl.sync.changes import ACTIVATE, DESCRIBE, ROLLOUT, ROUTE, STOP, TESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.store.moves import Move
    from promptctl.store.rollouts import RolloutChange
    from promptctl.sync.changes import Change, PreparedPlan
    from promptctl.sync.upload import Uploader

    # Returns the present prices of models, for `rollouts.start`.
    Prices = Callable[[Sequence[str]], Sequence[dict[str, Any]]]


class Applied(Record):
    """What applying a plan did: its release and its moves, and the rollouts that it has started and stopped.

    The release is None for a plan that changes no prompt, and for one that only stops rollouts.
    """

    release: int | None
    moves: Sequence[Move]
    rollouts: Sequence[RolloutChange]


def apply_plan(
    database: Database, prepared: PreparedPlan, uploader: Uploader, *, author: str, prices: Prices
) -> Applied:
    """Apply a plan in the open transaction, and return what it did.

    The caller has passed every new version to `uploader`. `prices` is called for a rollout whose plan needs prices.
    """
    uploader.finish()
    plan = prepared.plan
    if not plan.would_change and prepared.is_already_recorded:
        return Applied(None, [], [])
    release: int | None = None
    wait_for_moves: Callable[[], list[Move]] | None = None
    changed_rollouts = _stop_rollouts(database, plan.of(STOP), uploader.reason, author=author)
    if plan.needs_release:
        release = uploader.open_release()
        _write_metadata(database, plan.of(DESCRIBE), author=author, release=release)
        _write_routes(database, prepared, uploader.reason, author=author, release=release)
        changed_rollouts += _start_rollouts(database, prepared, uploader.reason, prices, author=author, release=release)
        wait_for_moves = _start_activating(database, prepared, uploader.reason, author=author, release=release)
    # Encode this while the server activates.
    documents = syncs.encode_applied([prompt.as_dict() for prompt in plan.applied_prompts])
    made_moves = wait_for_moves() if wait_for_moves is not None else []
    if lists := {change.name: change.tests for change in plan.of(TESTS) if change.tests is not None}:
        case_lists.set_lists(database, lists, author=author)
    syncs.record_source(database, prepared.source, prepared.commit, author=author)
    if documents:
        syncs.record_applied(database, prepared.source, documents, author=author, adopts=prepared.adopt)
    return Applied(release, made_moves, changed_rollouts)


def _write_metadata(database: Database, changes: Sequence[Change], *, author: str, release: int) -> None:
    if changes:
        rows = [{"name": change.name, "version": change.version, "metadata": change.metadata} for change in changes]
        versions.describe(database, rows, author=author, release=release)


def _write_routes(database: Database, prepared: PreparedPlan, reason: str, *, author: str, release: int) -> None:
    changes = prepared.plan.of(ROUTE)
    if changes:
        routes.set_routes(
            database,
            {change.name: change.route for change in changes},
            author=author,
            reason=reason,
            release=release,
            origins=_origins_by_name(changes, prepared),
        )


def _start_activating(
    database: Database, prepared: PreparedPlan, reason: str, *, author: str, release: int
) -> Callable[[], list[Move]] | None:
    changes = prepared.plan.of(ACTIVATE)
    if not changes:
        return None
    return moves.start_activating(
        database,
        [Reference(change.name, change.version) for change in changes],
        author=author,
        reason=reason,
        release=release,
        origins=_origins_by_name(changes, prepared),
        allow_new_variables=prepared.allow_new_variables,
    )


def _stop_rollouts(database: Database, changes: Sequence[Change], reason: str, *, author: str) -> list[RolloutChange]:
    return [rollouts.stop(database, change.name, author=author, reason=reason) for change in changes]


def _start_rollouts(
    database: Database, prepared: PreparedPlan, reason: str, prices: Prices, *, author: str, release: int
) -> list[RolloutChange]:
    changes = prepared.plan.of(ROLLOUT)
    origins = _origins_by_name(changes, prepared)
    started: list[RolloutChange] = []
    for change in changes:
        assert change.rollout is not None
        models = rollouts.read_models(database, change.name, change.version) if change.rollout.needs_prices else []
        try:
            effect = rollouts.start(
                database,
                change.name,
                change.version,
                change.rollout,
                prices=prices(models) if models else [],
                author=author,
                reason=reason,
                allow_new_variables=prepared.allow_new_variables,
                release=release,
                origin=origins.get(change.name),
            )
        except (errors.Refused, errors.Usage) as problem:
            # The database does not say which of the prompts it is.
            problem.message = f"{change.reference}: {problem.message}; nothing was applied"
            raise
        started.append(effect)
    return started


def _origins_by_name(changes: Sequence[Change], prepared: PreparedPlan) -> dict[str, dict[str, Any]]:
    """Return the origin of each change by prompt name: the origin of the prompt.yaml that causes the change."""
    origins = prepared.origins
    return {change.name: origins[change.yaml_path] for change in changes if change.yaml_path in origins}
