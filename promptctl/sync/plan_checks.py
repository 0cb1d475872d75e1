"""Decide whether a plan must be refused: for a conflict, an older commit, or too many moves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import provenance
from promptctl.postgres import refusals
from promptctl.rules.references import short_hash
from promptctl.sync import serving_changes
from promptctl.sync.changes import ACTIVATE, CONFLICT, ROLLOUT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.folder.provenance import Checkout
    from promptctl.sync.changes import Change, Plan
    from promptctl.sync.read import Reading

# If a source has at least this many active prompts, a plan that moves more than a third of them needs --force.
_LIMITED_SOURCE_PROMPTS = 10


def refusal(plan: Plan, reading: Reading, *, force: bool) -> errors.Refused | None:
    """Return the error for a plan that must not be applied, else None. `force` allows everything but a conflict."""
    if conflicts := plan.of(CONFLICT):
        return conflict(conflicts)
    if force or not plan.would_change:
        return None
    if reading.lacks_applied_commit:
        assert reading.state.commit is not None
        return _older_commit(reading.checkout, reading.state.commit, reading.relation)
    return _too_many_moves(plan, reading)


def _too_many_moves(plan: Plan, reading: Reading) -> errors.Refused | None:
    # A rollout of any share counts as much as an activation.
    started = (*plan.of(ACTIVATE), *plan.of(ROLLOUT))
    moved = sum(1 for change in started if change.previous_version is not None)
    source_versions = reading.state.active_versions
    # Active prompts that this source applies for the first time count too.
    new_versions = [prompt.active_version for name, prompt in reading.stored.items() if name not in source_versions]
    active = sum(1 for version in (*source_versions.values(), *new_versions) if version)
    if active < _LIMITED_SOURCE_PROMPTS or moved * 3 <= active:
        return None
    error = errors.Refused(
        "too_many_moves", f"the plan moves {moved} of {active} active prompts at once, which is more than a third"
    )
    error.hint_options = ("--dry-run",)
    return error


def _older_commit(checkout: Checkout, applied_commit: str, relation: str) -> errors.Refused:
    applied = short_hash(applied_commit)
    if checkout.commit is None:
        reason = f"a folder without a commit does not come after {applied}, which was applied last"
        hint = f"run it in a Git checkout that contains {applied}"
    else:
        reason = f"{checkout.commit.short} does not come after {applied}, which was applied last"
        hint = f"git merge --ff-only {applied}"
        if checkout.is_shallow:
            reason += ", as far as this shallow clone shows"
            hint = "git fetch --unshallow, or fetch-depth: 0 for actions/checkout"
        elif relation == provenance.DIVERGED:
            hint = f"merge main into the branch: git merge {applied}"
        elif not checkout.has(applied_commit):
            hint = "git fetch --all"
    return errors.Refused("older_commit", f"{reason}: it would move prompts back", hint=hint)


def conflict(conflicts: Sequence[Change]) -> errors.Refused:
    """Return the error for a plan with these conflicts."""
    # Report a conflict that `--allow-new-variables` resolves only if there is no other one. Otherwise the user would
    # repeat the command with this option and then see the next conflict.
    first = min(conflicts, key=lambda change: change.needs_new_variables)
    more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
    message = f"{first.reference}: {first.message}{more}; nothing was applied"
    if not first.needs_new_variables:
        return errors.Refused("conflict", message, hint=first.hint)
    hint = first.hint or ""
    if not hint.endswith(serving_changes.ALLOW_NEW_VARIABLES_COMMAND):
        return errors.Refused("new_variables", f"{message}; {refusals.ALLOWED_BY}", hint=hint)
    # Instead of `promptctl sync`, the hint ends with the user's own command, with the option added.
    error = errors.Refused("new_variables", message)
    error.hint_prefix = hint.removesuffix(serving_changes.ALLOW_NEW_VARIABLES_COMMAND)
    error.hint_options = ("--allow-new-variables",)
    return error
