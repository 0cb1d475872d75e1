"""promptctl rollout start, status, tick, watch, pause, resume and stop."""

from __future__ import annotations

from promptctl import errors
from promptctl.cli import present_prices
from promptctl.output import messages
from promptctl.output import rollout_view as output
from promptctl.rules import references, rollout_plans
from promptctl.store import rollouts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database
    from promptctl.store.rollouts import RolloutChange, Tick

_DEFAULT_SECONDS_BETWEEN_TICKS = 30
# `watch` gives up if the database cannot be reached for this long.
_LONGEST_OUTAGE_SECONDS = 300


def start(
    run: Run,
    reference: str,
    steps: str | None = None,
    hold: str | None = None,
    uses: int | None = None,
    guard: list[str] | None = None,
    patience: str | None = None,
    in_doubt: str | None = None,
    file: str | None = None,
    allow_new_variables: bool = False,
    dry_run: bool = False,
) -> None:
    """Roll a version out in steps, with guards.

    Starts a split with NAME@VERSION as the candidate, at the share of the first
    step. Then promptctl rollout tick decides: it takes the next step when the
    candidate has had the least time and uses in this one and no guard is worse than
    tolerated. It activates the candidate after the last step, and it rolls back
    when a guard is proven to be worse than tolerated. Run it every few minutes.

    --file reads the plan from the key rollout of a prompt.yaml. An option replaces
    the value in the file.

    Starting the same rollout again changes nothing. A prompt has one open rollout.

    Examples:
      promptctl rollout start default-system-prompt@3
      promptctl rollout start default-system-prompt@3 --steps 5%,50% --hold 1d
      promptctl rollout start default-system-prompt@3 --guard errors=1pt --dry-run
      promptctl rollout start default-system-prompt@3 -f prompt.yaml
    """
    target = references.parse_with_version(reference, "rollout start", None)
    assert target.version is not None
    plan = rollout_plans.RolloutPlan(
        steps=None if steps is None else _steps(steps),
        hold_seconds=None if hold is None else _age("--hold", hold, least=0),
        least_uses=uses,
        patience_seconds=None if patience is None else _age("--patience", patience, least=1),
        in_doubt=None if in_doubt is None else _doubt(in_doubt),
        guards=None if guard is None else _guards(guard),
    )
    if uses is not None:
        from promptctl.cli import numbers

        numbers.check("--uses", uses)
    if file is not None:
        plan = _plan_of_file(file).replaced_by(plan)
    if problem := rollout_plans.time_problem(plan):
        raise errors.Usage(
            "invalid_time", problem, hint="set --hold and --patience, for example --hold 8d --patience 14d"
        )
    with run.database_to_change() as database, database.dry_run(is_enabled=dry_run):
        models = rollouts.read_models(database, target.name, target.version) if plan.needs_prices else []
        change = rollouts.start(
            database,
            target.name,
            target.version,
            plan,
            prices=present_prices.of_models(models),
            author=run.author(),
            reason=run.reason,
            allow_new_variables=allow_new_variables,
        )
    output.show_start(change, run.reason, database.label, run.form, dry_run=dry_run)
    if change.changed and not dry_run:
        _log(run, "Rollout started", change)


def status(run: Run, name: str | None = None, html: str | None = None) -> None:
    """Show rollouts, their steps and guards.

    With NAME, shows the open rollout of the prompt, else its last one: the steps
    with their times and uses, the guards with the difference between the two
    versions and its interval, and what comes next. Without NAME, lists the open
    rollouts.

    Examples:
      promptctl rollout status
      promptctl rollout status default-system-prompt
      promptctl rollout status default-system-prompt --html report.html
    """
    if html is not None and name is None:
        raise errors.Usage("usage", "--html needs NAME", hint="promptctl rollout status NAME --html report.html")
    if name is None:
        with run.database() as database:
            output.show_open(rollouts.read_open(database), database.label, run.form)
        return
    prompt = _without_version(name, "status")
    with run.database() as database:
        last = rollouts.read_last(database, prompt)
        if last is None:
            output.show_none(prompt, database.label, run.form)
            return
        outlook = rollouts.explain(database, prompt)
        looks = [] if html is None else rollouts.read_looks(database, last[0].rollout)
    if html is not None:
        from promptctl.cli import html_files
        from promptctl.output import rollout_page

        html_files.write(html, rollout_page.text(*last, outlook, looks))
    output.show_status(*last, outlook, run.form)


def tick(run: Run, names: list[str] | None = None) -> int:
    """Take the next step of rollouts that are due.

    Compares the candidate with the active version, and takes the next step,
    activates the candidate, rolls back, pauses, or holds. One tick takes at most
    one step. Prints nothing when it holds; --verbose logs why. Each rollout has a
    transaction of its own, and several ticks at once do no harm.

    Run it every few minutes, for example from cron. It needs the access ticker.
    Exits with 3 if it rolled back, with 9 if it paused a rollout.

    Examples:
      promptctl rollout tick
      promptctl rollout tick default-system-prompt --verbose
    """
    prompts = None if names is None else [_without_version(name, "tick") for name in names]
    actions: list[str] = []
    failure: errors.PromptctlError | None = None
    with run.database_to_change() as database:
        ticked = rollouts.running_names(database) if prompts is None else prompts
        if ticked:
            _roll_up(database)
        for name in ticked:
            try:
                result = rollouts.tick(database, name, author=run.author())
            except errors.Unreachable:
                raise
            except errors.PromptctlError as problem:
                # The other rollouts do not wait for this one.
                if failure is not None:
                    _report(run, failure)
                failure = problem
            else:
                _answer(run, result, database.label)
                actions.append(result.action)
        code = _exit_code(actions)
        if failure is not None:
            if not code:
                raise failure
            _report(run, failure)
    return code


def watch(run: Run, name: str, every: str | None = None, timeout: str | None = None) -> int:
    """Tick a rollout until it ends.

    Ctrl-C stops watching and not the rollout: any other tick continues it. Exits
    with 0 if the candidate was activated, with 3 if the rollout was rolled back,
    with 9 if it was paused or stopped, or is not decided after --timeout.

    Examples:
      promptctl rollout watch default-system-prompt
      promptctl rollout watch default-system-prompt --every 5m --timeout 2h
    """
    from promptctl.cli import interruption

    prompt = _without_version(name, "watch")
    seconds = _DEFAULT_SECONDS_BETWEEN_TICKS if every is None else _age("--every", every, least=1)
    longest = None if timeout is None else _age("--timeout", timeout, least=1)
    with interruption.terminated():
        try:
            return _watch(run, prompt, seconds, longest)
        except KeyboardInterrupt:
            run.note(f"the rollout of {prompt} continues at the next tick: promptctl rollout tick {prompt}")
            raise


def pause(run: Run, name: str) -> None:
    """Pause a rollout at its present share.

    The candidate keeps its share, and no tick changes it, in either direction,
    until promptctl rollout resume. A paused rollout stays as it is, with exit
    code 0.

    Examples:
      promptctl rollout pause default-system-prompt --reason "release freeze"
    """
    prompt = _without_version(name, "pause")
    with run.database_to_change() as database:
        change = rollouts.pause(database, prompt, author=run.author(), reason=run.reason)
    output.show_change(change, "pause", database.label, run.form)
    if change.changed:
        _log(run, "Rollout paused", change)


def resume(run: Run, name: str) -> None:
    """Resume a paused rollout.

    It continues at the present share, even if the share was changed meanwhile. The
    least time of the step begins again. A running rollout stays as it is, with
    exit code 0.

    Examples:
      promptctl rollout resume default-system-prompt
    """
    prompt = _without_version(name, "resume")
    with run.database_to_change() as database:
        change = rollouts.resume(database, prompt, author=run.author(), reason=run.reason)
    output.show_change(change, "resume", database.label, run.form)
    if change.changed:
        _log(run, "Rollout resumed", change)


def stop(run: Run, name: str) -> None:
    """Stop a rollout: all units get the active version again.

    Ends the split. A rollout cannot be continued after that, only started again.

    Examples:
      promptctl rollout stop default-system-prompt --reason "too terse"
    """
    prompt = _without_version(name, "stop")
    with run.database_to_change() as database:
        change = rollouts.stop(database, prompt, author=run.author(), reason=run.reason)
    output.show_change(change, "stop", database.label, run.form)
    if change.changed:
        _log(run, "Rollout stopped", change)


def _answer(run: Run, result: Tick, label: str) -> None:
    output.show_tick(result, label, run.form)
    run.log(
        "Rollout ticked", name=result.name, version=result.candidate, action=result.action,
        basisPoints=result.basis_points, why=result.why, author=run.author(),
    )  # fmt: skip


def _watch(run: Run, name: str, seconds: int, longest: int | None) -> int:
    """Tick until the rollout ends, and return the exit code.

    A connection that is lost is made again at the next tick.
    """
    import time

    from promptctl.output import stream

    shows_hold = run.form == "plain" and stream.to_terminal()
    begin = time.monotonic()
    last_answer: float | None = None
    while True:
        try:
            with run.database_to_change() as database:
                code, held = _round(run, database, name)
            last_answer = time.monotonic()
        except errors.Unreachable as failure:
            if last_answer is None or time.monotonic() - last_answer > _LONGEST_OUTAGE_SECONDS:
                raise
            code, held = None, f"{failure.message}; trying again"
        if code is not None:
            stream.clear_transient()
            return code
        stream.flush()
        if shows_hold and held:
            stream.show_transient(held)
        remaining = None if longest is None else longest - (time.monotonic() - begin)
        if longest is not None and remaining is not None and remaining <= seconds:
            time.sleep(max(remaining, 0))
            stream.clear_transient()
            run.note(f"not decided in {output.span(longest)}: the rollout of {name} continues at the next tick")
            return errors.NOT_DECIDED
        time.sleep(seconds)


def _round(run: Run, database: Database, name: str) -> tuple[int | None, str]:
    """Tick once. Return the exit code if the rollout has ended or is paused, else None and why it holds."""
    _roll_up(database)
    result = rollouts.tick(database, name, author=run.author())
    if result.state is None:
        raise errors.NotFound(
            "rollout_not_found",
            f'"{name}" has no rollout in {database.label}',
            hint=f"promptctl rollout start {name}@VERSION",
        )
    _answer(run, result, database.label)
    if result.state == "running":
        return None, output.hold_sentence(result)
    if result.action == "nothing":
        run.note(f"{name}: {result.why}")
    return _code_of_state(result.state), ""


def _roll_up(database: Database) -> None:
    """Roll up uses, so that the ticks read fewer. They do not need it, so a failure only makes a warning."""
    try:
        rollouts.roll_up(database)
    except (errors.Unreachable, errors.Refused):
        # It would be refused to tick, too.
        raise
    except errors.PromptctlError as problem:
        messages.warning(f"cannot roll uses up, so the tick takes longer: {problem.message}")


def _code_of_state(state: str) -> int:
    return {"promoted": 0, "rolled back": errors.DIFFERENT}.get(state, errors.NOT_DECIDED)


def _exit_code(actions: Sequence[str]) -> int:
    if "roll back" in actions:
        return errors.DIFFERENT
    return errors.NOT_DECIDED if "pause" in actions else 0


def _report(run: Run, failure: errors.PromptctlError) -> None:
    messages.error(failure, as_json=run.form == "json")


def _log(run: Run, message: str, rollout: RolloutChange) -> None:
    run.log(
        message, name=rollout.name, version=rollout.candidate, basisPoints=rollout.basis_points, author=run.author()
    )


def _plan_of_file(file: str) -> rollout_plans.RolloutPlan:
    """Return the plan in a prompt.yaml. Raises Usage (`malformed_rollout`), and what `content.read` raises."""
    from promptctl.cli import content
    from promptctl.folder import rollout_yaml

    text, source = content.read(None, file, "rollout start"), "standard input" if file == "-" else file
    return rollout_yaml.plan_of_file(text, source)


def _steps(text: str) -> list[int]:
    try:
        return rollout_plans.parse_steps(text)
    except ValueError as problem:
        raise errors.Usage(
            "invalid_steps", f"--steps {references.quoted(text)}: {problem}", hint=_steps_hint()
        ) from None


def _steps_hint() -> str:
    return "write growing shares above 0% and below 100%, for example --steps 10%,25%,50%"


def _guards(texts: list[str]) -> list[dict[str, Any]]:
    from promptctl.rules import margins

    guards: list[dict[str, Any]] = []
    for metric, margin in margins.parse_all(texts, "--guard").items():
        tolerance = rollout_plans.tolerance(metric, margin)
        if tolerance is None:
            problem = f"--guard: {metric} has a tolerance that is too small"
            raise errors.Usage("invalid_margin", problem, hint=f"write {rollout_plans.tolerance_rule(metric)}")
        guards.append({"metric": metric, "tolerance": tolerance})
    return guards


def _age(option: str, text: str, *, least: int) -> int:
    """Return the seconds of an age. Raises Usage with the name of the option."""
    from promptctl.rules import ages

    try:
        seconds = ages.parse(text)
    except errors.Usage as problem:
        raise errors.Usage(problem.code, f"{option}: {problem.message}", hint="write 90s, 15m, 2h or 3d") from None
    if seconds < least:
        raise errors.Usage("invalid_time", f"{option} must be at least {least}s", hint="write 90s, 15m, 2h or 3d")
    return seconds


def _doubt(text: str) -> str:
    if text not in rollout_plans.IN_DOUBT:
        raise errors.Usage("usage", f"--in-doubt is pause or rollback, not {references.quoted(text)}")
    return rollout_plans.IN_DOUBT[text]


def _without_version(name: str, command: str) -> str:
    """Return a name. Raises Usage for a reference with a version."""
    bare, at, _ = name.partition("@")
    if at:
        raise errors.Usage(
            "usage", f"rollout {command} needs a name without a version: {bare}",
            hint=f"promptctl rollout {command} {bare}",
        )  # fmt: skip
    return references.check_name(name)
