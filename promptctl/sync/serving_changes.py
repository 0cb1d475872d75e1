"""The changes that a plan makes to what a prompt serves: its active version and its route.

An operator's move is held: it stays until the folder names another version than at the last sync. In the same way, a
route that was set in the database stays until the folder's route changes.

If prompt.yaml has the key `rollout`, another version becomes active by a rollout, but not the baseline of the rollout
that promoted the active version: a revert takes effect at once. A sync leaves an open rollout to the version that the
folder names to the ticks, and stops one to another version once the folder names a version anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.rules import shares, targeting
from promptctl.rules.json_values import same
from promptctl.sync.changes import (
    ACTIVATE,
    CONFLICT,
    HELD,
    NOTE,
    ROLLOUT,
    ROUTE,
    STOP,
    WHOLE_PROMPT,
    Change,
)

if TYPE_CHECKING:
    from promptctl.folder.prompt_files import FolderPrompt
    from promptctl.rules.rollout_plans import RolloutPlan
    from promptctl.rules.targeting import RouteGraph
    from promptctl.store.syncs import LastRollout, StoredPrompt
    from promptctl.sync.changes import PlanOptions, Route

# The states of a rollout that has ended without the activation of its candidate.
_FAILED_STATES = ("rolled back", "stopped")
# A version that needs a variable which the active version does not need is a conflict. This command resolves it.
ALLOW_NEW_VARIABLES_COMMAND = "promptctl sync --allow-new-variables"


def activation_changes(
    prompt: FolderPrompt, target: int, stored: StoredPrompt | None, options: PlanOptions
) -> list[Change]:
    """Return the changes that make `target` the active version: an activation, a rollout, a hold, a conflict, or none.

    Where an open rollout to another version is in the way, its end comes first.
    """
    version = stored.versions.get(target) if stored else None
    correct_yaml = f"correct active in {prompt.yaml_path}"
    if version is None and not any(file.number == target for file in prompt.versions):
        message = "is set as active, but is neither in the folder nor in the database"
        return [Change(CONFLICT, prompt.name, target, message, hint=correct_yaml)]
    # An erased version is a conflict even if the prompt is held, because nobody can ever activate it. An archived one
    # is a conflict only without a hold (below), because it can be restored.
    if version is not None and version.is_erased:
        return [Change(CONFLICT, prompt.name, target, "is set as active, but was erased", hint=correct_yaml)]
    if stored is None:
        message = f"activate {target} (none active)"
        return [Change(ACTIVATE, prompt.name, target, message, yaml_path=prompt.yaml_path)]
    active, rollout = stored.active_version, stored.open_rollout
    if active == target:
        is_named_anew = stored.has_applied_version and stored.applied_version != target
        return [_stop(prompt, stored, rollout)] if rollout is not None and is_named_anew else []
    if rollout is not None and rollout.candidate == target:
        return [_rolling_out(prompt, target, stored, rollout)]
    if _is_activation_held(target, stored, options):
        return [_hold(prompt, target, stored)]
    if version is not None and version.is_archived:
        return [Change(CONFLICT, prompt.name, target, "is set as active, but is archived", hint=correct_yaml)]
    if not options.allow_new_variables and (variables := _new_variables(prompt, target, stored)):
        return [_variables_conflict(prompt, target, stored, variables)]
    share = shares.percent(stored.basis_points)
    promotion = stored.promotion
    is_revert = prompt.rollout is not None and promotion is not None and promotion.baseline == target
    if prompt.rollout is not None and active is not None and not is_revert:
        stops = [_stop(prompt, stored, rollout)] if rollout is not None else []
        return [*stops, _rollout(prompt, target, stored, prompt.rollout)]
    message = f"activate {target} ({'none' if active is None else active} active)"
    if is_revert and promotion is not None:
        message += f" at once, as it was before rollout {promotion.rollout}"
    if rollout is not None:
        message += f"; ends rollout {rollout.rollout}, {share} for version {rollout.candidate}"
    elif stored.candidate_version is not None:
        message += f"; ends the split, {share} for version {stored.candidate_version}"
    return [Change(ACTIVATE, prompt.name, target, message, previous_version=active, yaml_path=prompt.yaml_path)]


def _rollout(prompt: FolderPrompt, target: int, stored: StoredPrompt, plan: RolloutPlan) -> Change:
    active = stored.active_version
    message = f"roll out {target} ({active} active): {plan.steps_text}"
    if stored.candidate_version is not None and stored.open_rollout is None:
        share = shares.percent(stored.basis_points)
        verb = "replaces the share of" if stored.candidate_version == target else "ends"
        message += f"; {verb} the split, {share} for version {stored.candidate_version}"
    return Change(
        ROLLOUT, prompt.name, target, message, previous_version=active, yaml_path=prompt.yaml_path, rollout=plan
    )


def _stop(prompt: FolderPrompt, stored: StoredPrompt, rollout: LastRollout) -> Change:
    active, share = stored.active_version, shares.percent(stored.basis_points)
    message = f"stop rollout {rollout.rollout}, {share} for version {rollout.candidate} ({active} active)"
    return Change(STOP, prompt.name, rollout.candidate, message, previous_version=active, yaml_path=prompt.yaml_path)


def _rolling_out(prompt: FolderPrompt, target: int, stored: StoredPrompt, rollout: LastRollout) -> Change:
    """Return a note about the open rollout to the folder's version, or a hold if the folder wants no rollout."""
    active = stored.active_version
    progress = f"{shares.percent(stored.basis_points)} now"
    if rollout.state == "paused":
        progress += f", paused ({rollout.why})" if rollout.why else ", paused"
    if prompt.rollout is not None:
        return Change(NOTE, prompt.name, target, f"rolling out, {progress}", previous_version=active)
    return Change(
        HELD,
        prompt.name,
        target,
        f"held at {active}, the folder names {target}: rollout {rollout.rollout} is rolling it out, {progress}",
        previous_version=active,
        hint=f"promptctl rollout status {prompt.name}",
    )


def unnamed_rollout_changes(prompt: FolderPrompt, stored: StoredPrompt) -> list[Change]:
    """Return a note if the folder names no active version any more, and a rollout of the one that it named is open."""
    rollout = stored.open_rollout
    if rollout is None or rollout.candidate != stored.applied_version:
        return []
    future = future_of_rollout(rollout.rollout, rollout.candidate, rollout.state, stored.basis_points)
    message = f"prompt.yaml names no active version now; version {stored.active_version} stays active, and {future}"
    hint = stop_command(prompt.name)
    return [Change(NOTE, prompt.name, WHOLE_PROMPT, message, previous_version=stored.active_version, hint=hint)]


def future_of_rollout(rollout: int, candidate: int, state: str, basis_points: int) -> str:
    """Return what an open rollout will do, as a part of a sentence. The share is in basis points."""
    share = shares.percent(basis_points)
    if state == "paused":
        return f"rollout {rollout} stays paused, with {share} for version {candidate}"
    return f"rollout {rollout} continues, with {share} for version {candidate}, and can activate it"


def stop_command(name: str) -> str:
    """Return the command that stops the rollout of a prompt."""
    return f"promptctl rollout stop {name}"


def _is_activation_held(target: int, stored: StoredPrompt, options: PlanOptions) -> bool:
    """Whether the active version stays, although the folder names another one, `target`.

    If the folder named the same `target` at the last sync, an operator has moved the prompt since, and that move stays.
    If there was no sync of the prompt yet, any active version stays, unless `adopt` is set.
    """
    if stored.has_applied_version:
        # A sync has recorded what the folder named. If that was no version, it is None, and `target` is not held.
        return stored.applied_version == target
    return stored.active_version is not None and not options.adopt


def _hold(prompt: FolderPrompt, target: int, stored: StoredPrompt) -> Change:
    active = stored.active_version
    # The hint is a sentence and not a command: a command that follows the folder would undo an operator's move.
    if active is None:
        keep = f"to keep the prompt without an active version, remove active from {prompt.yaml_path}"
    else:
        keep = f"to keep {active}, write active: {active} in {prompt.yaml_path}"
    rollout = stored.last_rollout
    if rollout is not None and rollout.candidate == target and rollout.is_newest and rollout.state in _FAILED_STATES:
        end = "was rolled back" if rollout.state == "rolled back" else "has ended"
        because = f": {rollout.why}" if rollout.why else ""
        return Change(
            HELD,
            prompt.name,
            target,
            f"held at {'none' if active is None else active}, the folder names {target}: rollout {rollout.rollout} "
            f"{end}{because}",
            previous_version=active,
            # A rollout needs an active version.
            hint=f"{keep}; to try {target} again, {'start a rollout of it' if active is not None else 'activate it'}",
        )
    return Change(
        HELD,
        prompt.name,
        target,
        f"held at {'none' if active is None else active}, the folder names {target}",
        previous_version=active,
        hold=stored.last_move,
        hint=f"{keep}; to follow the folder, activate {target}",
    )


def _variables_conflict(prompt: FolderPrompt, target: int, stored: StoredPrompt, variables: list[str]) -> Change:
    active = stored.active_version
    if target in stored.versions:
        hint = f"promptctl diff {prompt.name}@{active} {prompt.name}@{target}"
    else:
        path = prompt.yaml_path or f"{prompt.path}/prompt.yaml"
        hint = (
            f"if braces are text, set template: none in {path}; or set a default for {variables[0]} there; "
            f"else {ALLOW_NEW_VARIABLES_COMMAND}"
        )
    message = f"needs {', '.join(variables)}, which the active version {active} does not"
    return Change(CONFLICT, prompt.name, target, message, hint=hint, needs_new_variables=True)


def _new_variables(prompt: FolderPrompt, target: int, stored: StoredPrompt) -> list[str]:
    """Return the variables that a version needs and the active version does not."""
    if stored.active_version is None:
        return []
    passed = stored.versions[stored.active_version].required_variables.split()
    if (version := stored.versions.get(target)) is not None:
        required = version.required_variables.split()
    else:
        required = next(file.required for file in prompt.versions if file.number == target)
    return [name for name in required if name not in passed]


def route_changes(
    prompt: FolderPrompt, route: Route, stored: StoredPrompt | None, options: PlanOptions, graph: RouteGraph
) -> list[Change]:
    """Return the changes that give a prompt the folder's route: the route, a hold, a conflict, or none."""
    stored_route = stored.route if stored else None
    if same(route, stored_route or []):
        return []
    if is_route_held(route, stored, options):
        steps = "1 step" if len(route) == 1 else f"{len(route)} steps"
        message = f"route: the stored route stays until the folder's route ({steps}) changes"
        return [Change(HELD, prompt.name, WHOLE_PROMPT, message)]
    if problem := targeting.route_problem(prompt.name, route, graph):
        return [Change(CONFLICT, prompt.name, WHOLE_PROMPT, problem, hint=f"correct route in {prompt.yaml_path}")]
    targets = ", ".join(str(target) for target in targeting.targets(route))
    message = f"route: {targets or 'none'}"
    return [Change(ROUTE, prompt.name, WHOLE_PROMPT, message, route=route, yaml_path=prompt.yaml_path)]


def is_route_held(route: Route, stored: StoredPrompt | None, options: PlanOptions) -> bool:
    """Whether the stored route stays, although the folder has another one.

    It stays while the folder has the route that was applied last. If no sync has set a route yet, any stored route
    stays, unless `adopt` is set.
    """
    if stored is None or same(route, stored.route or []):
        return False
    is_from_database = not stored.has_applied_route and bool(stored.route)
    return (is_from_database and not options.adopt) or same(stored.applied_route, route)
