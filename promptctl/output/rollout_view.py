"""Present rollouts: their plans, their states and what a tick did. `form` is plain, quiet or json."""

from __future__ import annotations

import math

from promptctl.output import answers, messages, stream, table_columns, tables
from promptctl.records import Record
from promptctl.rules import margins, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.output.table_columns import Value
    from promptctl.rules.experiments import Judgment
    from promptctl.store.rollouts import Rollout, RolloutChange, RolloutEvent, Tick

# A rollout on which no tick decides for this long is reported.
LONGEST_SECONDS_WITHOUT_TICK = 15 * 60
_TICKING = "run promptctl rollout tick every few minutes, for example from cron"
_HEADING_WIDTH = 8
# Metrics whose values are averages of logarithms.
_GEOMETRIC = ("time", "first", "output")
_ACTIONS = {"pause": "paused", "resume": "resumed", "stop": "stopped"}


class Step(Record):
    """One share of a rollout, in basis points, as texts for a table.

    `state` is done, now, next, active or empty. `time` is how long the candidate had this share so far, empty for later
    shares, whose `uses` of the candidate are None.
    """

    basis_points: int
    state: str
    time: str
    uses: int | None


def show_start(change: RolloutChange, reason: str | None, label: str, form: str, *, dry_run: bool = False) -> None:
    """Show the plan of a rollout that was started; in a pipe as `show_change` does."""
    sentence = _start_sentence(change, label, dry_run=dry_run)
    if form != "plain" or not stream.to_terminal():
        _show_change(change, "start", sentence, form, dry_run=dry_run)
    else:
        stream.write(stream.one_line(sentence) + "\n\n")
        for heading, text in _plan(change, reason):
            stream.write(f"{stream.styled(heading.ljust(_HEADING_WIDTH), stream.DIM)}  {stream.one_line(text)}\n")
        stream.write("\n")
    if form == "plain" and dry_run:
        answers.note_dry_run()
    elif form == "plain" and stream.to_terminal():
        messages.note(_TICKING)
        messages.note(f"promptctl rollout status {change.name} shows how it goes")


def show_change(change: RolloutChange, action: str, label: str, form: str) -> None:
    """Show that a rollout was paused, resumed or stopped (`action`): a sentence.

    In a pipe: number, name, action, state, share and reason. Quiet: the reference of the candidate, and after a stop
    that of the active version.
    """
    _show_change(change, action, _change_sentence(change, action, label), form)


def _show_change(change: RolloutChange, action: str, sentence: str, form: str, *, dry_run: bool = False) -> None:
    if form == "json":
        document: dict[str, Any] = {"message": sentence, **_plan_document(change), "changed": change.changed}
        stream.write_json(document | ({"rollout": None, "dry_run": True} if dry_run else {}))
    elif form == "quiet":
        answers.write_references([(change.name, change.baseline if action == "stop" else change.candidate)])
    else:
        number = None if dry_run else change.rollout
        row = _row(number, change.name, action, change.state, change.basis_points, change.why)
        answers.show_changes([sentence], _columns(), [row])


def show_open(rollouts: Sequence[Rollout], label: str, form: str) -> None:
    """Show the open rollouts, one per row; quiet: the references of the candidates."""
    if form == "json":
        stream.write_json({"rollouts": [_document(rollout) for rollout in rollouts], "count": len(rollouts)})
    elif form == "quiet":
        answers.write_references([(rollout.name, rollout.candidate) for rollout in rollouts])
    elif not stream.for_people():
        _write_rows(rollouts)
    elif not rollouts:
        answers.write_line(f"no rollout is open in {label}")
    else:
        columns = table_columns.columns(
            NAME="name", FROM="number", TO="number", STATE="name", SHARE="number", FOR="number", BY="person", WHY="text"
        )
        rows: list[Sequence[Value]] = [
            (
                rollout.name,
                rollout.baseline,
                rollout.candidate,
                rollout.state,
                shares.percent(rollout.basis_points),
                span(rollout.seconds_in_step),
                rollout.author,
                rollout.why or rollout.reason,
            )
            for rollout in rollouts
        ]
        tables.show(columns, rows)
    if form == "plain":
        _warn_without_ticks(rollouts)


def show_none(name: str, label: str, form: str) -> None:
    """Show that a prompt never had a rollout; in a pipe nothing."""
    if form == "json":
        stream.write_json({"rollouts": [], "count": 0})
    elif form == "plain" and stream.for_people():
        answers.write_line(f"{name} had no rollout in {label}")
        messages.note(f"promptctl rollout start {name}@VERSION starts one")


def show_status(
    rollout: Rollout, events: Sequence[RolloutEvent], step_uses: Mapping[int, int], outlook: Tick, form: str
) -> None:
    """Show one rollout: its steps, its guards and what comes next.

    `step_uses` has the uses of the candidate by share. `outlook` is what a tick would do now.
    """
    figures = outlook.figures or []
    if form == "json":
        document = _document(rollout) | {
            "outlook": {"action": outlook.action, "why": outlook.why},
            "guards": [_figure_document(judgment) for judgment in judgments(figures)],
            "events": [_event_document(event) for event in events],
        }
        stream.write_json({"rollouts": [document], "count": 1})
        return
    if form == "quiet":
        answers.write_references([(rollout.name, rollout.candidate)])
        return
    if not stream.for_people():
        _write_rows([rollout])
    else:
        answers.write_line(state_sentence(rollout, events))
        stream.write("\n")
        _show_steps(rollout, events, step_uses)
        stream.write("\n")
        if figures:
            _show_guards(rollout, figures)
            stream.write("\n")
        for sentence in outlook_lines(rollout, outlook):
            answers.write_line(sentence)
    _warn_without_ticks([rollout])


def show_tick(tick: Tick, label: str, form: str) -> None:
    """Show what one tick did. In the form plain, a tick that changed nothing shows nothing."""
    if form == "json":
        stream.write_json_line(_tick_document(tick))
        return
    if not is_change(tick):
        return
    if form == "quiet":
        answers.write_references([(tick.name, tick.candidate)])
        return
    row = _row(tick.rollout, tick.name, tick.action, tick.state, tick.basis_points, tick.why)
    answers.show_changes([_tick_sentence(tick, label)], _columns(), [row])


def is_change(tick: Tick) -> bool:
    """Whether the tick moved the rollout or changed its state."""
    return tick.action in ("advance", "promote", "roll back", "pause")


def hold_sentence(tick: Tick) -> str:
    """Return why nothing changed, for one line that `watch` replaces."""
    share = "" if tick.basis_points is None else f" at {shares.percent(tick.basis_points)}"
    return f"{tick.name}{share}: {tick.why}"


def span(seconds: float) -> str:
    """Return a time span in at most two units: `38 min`, `1 h 2 min`, `4 days 3 h`."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return f"{int(seconds)} s"
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min"
    days, hours = divmod(hours, 24)
    if not days:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    plural = "" if days == 1 else "s"
    return f"{days} day{plural} {hours} h" if hours else f"{days} day{plural}"


def _plan(change: RolloutChange, reason: str | None) -> list[tuple[str, str]]:
    """Return the headings and texts of a plan."""
    steps = ", ".join(map(shares.percent, change.steps))
    guards = ", ".join(
        f"{guard['metric']} {tolerance_text(guard['metric'], guard['tolerance'])}" for guard in change.guards
    )
    uses = _counted(change.least_uses, "use")
    least = f"{span(change.hold_seconds)} and {uses}" if change.hold_seconds else uses
    action = "pauses" if change.in_doubt == "pause" else "rolls back"
    lines = [
        ("steps", f"{steps}, then version {change.candidate} is activated"),
        ("hold", f"at least {least} in each step"),
        ("guards", f"{guards}: rolls back if one is worse" if guards else "none"),
        ("in doubt", f"{action} after {span(change.patience_seconds)} in a step"),
    ]
    return [*lines, ("reason", reason)] if reason else lines


def _start_sentence(change: RolloutChange, label: str, *, dry_run: bool) -> str:
    share = shares.percent(change.basis_points)
    versions = f"{change.baseline} → {change.candidate}"
    if not change.changed:
        return f"rollout {change.rollout} of {change.name}, {versions}, is already {change.state} at {share} in {label}"
    what = f"of {change.name}: {versions} in {label}; {change.candidate}"
    split = f"; {change.why}" if change.why else ""
    if dry_run:
        return f"would start a rollout {what} would get {share}{split}"
    return f"started rollout {change.rollout} {what} gets {share}{split}"


def _change_sentence(change: RolloutChange, action: str, label: str) -> str:
    subject = f"rollout {change.rollout} of {change.name}"
    if not change.changed:
        return f"{subject} is already {change.state} in {label}"
    if action == "stop":
        return f"stopped {subject} in {label}: all units get version {change.baseline}"
    return f"{_ACTIONS[action]} {subject} at {shares.percent(change.basis_points)} in {label}"


def _tick_sentence(tick: Tick, label: str) -> str:
    name, candidate = tick.name, tick.candidate
    share, before = shares.percent(tick.basis_points or 0), shares.percent(tick.previous_basis_points or 0)
    if tick.action == "advance":
        return f"{name}: version {candidate} gets {share} (was {before}) in {label}: {tick.why}"
    if tick.action == "promote":
        return f"{name}: activated version {candidate} in {label} after {span(tick.seconds or 0)}: {tick.why}"
    if tick.action == "roll back":
        return f"{name}: rolled back to version {tick.baseline} in {label}: {tick.why}"
    return f"{name}: paused the rollout of version {candidate} at {before} in {label}: {tick.why}"


def state_sentence(rollout: Rollout, events: Sequence[RolloutEvent]) -> str:
    """Return which rollout it is, its state, since when, who started it and why."""
    state = f"{rollout.state} at {shares.percent(rollout.basis_points)} for {span(rollout.seconds_in_step)}"
    if rollout.state != "running":
        from promptctl.output import time_text

        share = f" at {shares.percent(rollout.basis_points)}" if rollout.state == "paused" else ""
        state = f"{rollout.state}{share} {time_text.moment(events[-1].happened_at)}"
    parts = [
        f"{rollout.name}: rollout {rollout.rollout}, {rollout.baseline} → {rollout.candidate}",
        state,
        f"started by {rollout.author}",
    ]
    return ", ".join(parts) + (f": {rollout.reason}" if rollout.reason else "")


def steps(rollout: Rollout, events: Sequence[RolloutEvent], step_uses: Mapping[int, int]) -> list[Step]:
    """Return the shares that the candidate had, has, and will have, in order."""
    times = _times_by_share(rollout, events)
    is_open = rollout.ended_at is None
    present = rollout.basis_points if is_open else None
    planned = [share for share in rollout.steps if is_open and share > rollout.basis_points]
    if is_open or rollout.state == "promoted":
        planned.append(shares.ALL)
    listed: list[Step] = []
    for share in sorted({*times, *planned} | ({rollout.basis_points} if is_open else set())):
        if share == present:
            seconds = times.get(share, rollout.seconds_in_step)
            listed.append(Step(share, "now", span(seconds), step_uses.get(share, 0)))
        elif share in times:
            listed.append(Step(share, "done", span(times[share]), step_uses.get(share, 0)))
        else:
            is_active = share == shares.ALL and not is_open
            state = "active" if is_active else "next" if share == planned[0] else ""
            listed.append(Step(share, state, "", None))
    return listed


def _show_steps(rollout: Rollout, events: Sequence[RolloutEvent], step_uses: Mapping[int, int]) -> None:
    """Show a row for each share, the present one with a star."""
    listed = steps(rollout, events, step_uses)
    blank = table_columns.BLANK
    rows: list[Sequence[Value]] = [
        (
            shares.percent(step.basis_points),
            step.state or blank,
            step.time or blank,
            blank if step.uses is None else step.uses,
        )
        for step in listed
    ]
    columns = table_columns.columns(SHARE="number", STEP="name", TIME="number", USES="number")
    tables.show(columns, rows, marked=lambda place: listed[place].state == "now", mark="")


def _times_by_share(rollout: Rollout, events: Sequence[RolloutEvent]) -> dict[int, float]:
    """Return for how many seconds the candidate had each share so far."""
    from datetime import datetime, timezone

    last = rollout.ended_at
    end = datetime.now(timezone.utc) if last is None else datetime.fromisoformat(last)
    moments = [(datetime.fromisoformat(event.happened_at), event.basis_points) for event in events]
    times: dict[int, float] = {}
    for (begin, share), (following, _) in zip(moments, [*moments[1:], (end, 0)], strict=True):
        if 0 < share < shares.ALL:
            times[share] = times.get(share, 0.0) + max((following - begin).total_seconds(), 0.0)
    return times


def judgments(figures: Sequence[Mapping[str, Any]]) -> list[Judgment]:
    """Return the figures of guards, as in Tick, as judgments with the tolerance as the margin.

    As in a comparison, a rate has no interval before it has 5 events.
    """
    from promptctl.rules.experiments import LEAST_EVENTS, Judgment

    judged: list[Judgment] = []
    for figure in figures:
        metric, lower, upper = figure["metric"], figure["lower"], figure["upper"]
        if margins.METRICS[metric].kind == "rate" and lower is not None:
            has_events = (figure["pooled"] or 0) * figure["uses_b"] >= LEAST_EVENTS
            # A rate cannot change by more than 100 points.
            lower, upper = (max(lower, -1.0), min(upper, 1.0)) if has_events else (None, None)
        value_a, value_b = _shown(metric, figure["value_a"]), _shown(metric, figure["value_b"])
        judged.append(
            Judgment(
                metric, figure["uses_a"], figure["uses_b"], value_a, value_b, figure["difference"], lower, upper,
                figure["tolerance"], figure["verdict"], None,
            )
        )  # fmt: skip
    return judged


def _shown(metric: str, value: float | None) -> float | None:
    """Return a value of `promptctl.compare_versions` in milliseconds or tokens, instead of its logarithm."""
    return math.exp(value) if metric in _GEOMETRIC and value is not None else value


def _show_guards(rollout: Rollout, figures: Sequence[Mapping[str, Any]]) -> None:
    from promptctl.output import comparison_numbers as numbers

    kinds = {
        "GUARD": "name",
        f"@{rollout.baseline}": "number",
        f"@{rollout.candidate}": "number",
        "DIFFERENCE": "number",
        "TOLERATED": "number",
        "INTERVAL": "name",
        "STATE": "name",
    }
    rows: list[Sequence[Value]] = [
        (
            judgment.metric,
            numbers.value(judgment.metric, judgment.value_a),
            numbers.value(judgment.metric, judgment.value_b),
            numbers.difference(judgment),
            tolerance_text(judgment.metric, judgment.margin),
            numbers.interval(judgment),
            judgment.verdict,
        )
        for judgment in judgments(figures)
    ]
    tables.show([table_columns.Column(heading, kind) for heading, kind in kinds.items()], rows)


def outlook_lines(rollout: Rollout, outlook: Tick) -> list[str]:
    """Return what comes next, and when the last tick was."""
    if rollout.state != "running":
        paused = rollout.state == "paused"
        following = after_pause(rollout.name, rollout.candidate, rollout.basis_points) if paused else []
        return [f"why: {rollout.why}", *following]
    from promptctl.output import time_text

    ticked = "no tick yet" if rollout.ticked_at is None else f"last tick {time_text.moment(rollout.ticked_at)}"
    following = outlook.next_basis_points or shares.ALL
    step = f"version {rollout.candidate} is activated" if following == shares.ALL else shares.percent(following)
    if outlook.action != "hold":
        what = {"advance": step, "promote": step, "pause": "pause"}.get(outlook.action, "rollback")
        return [f"at the next tick: {what}: {outlook.why}", ticked]
    remaining = rollout.hold_seconds - rollout.seconds_in_step
    when = f", in {span(remaining)} at the earliest" if remaining > 0 else ""
    return [f"next: {step}{when}", f"now: {outlook.why}", ticked]


def after_pause(name: str, candidate: int, basis_points: int) -> list[str]:
    """Return the commands that end a pause at this share, each with what it does.

    At 0% and 100% a rollout cannot be resumed: one of the versions gets no uses.
    """
    if 0 < basis_points < shares.ALL:
        return [f"promptctl rollout resume {name} continues it at this share"]
    return [
        f"promptctl activate {name}@{candidate} activates it for all units",
        f"promptctl rollout stop {name} ends the rollout and the split",
    ]


def _warn_without_ticks(rollouts: Sequence[Rollout]) -> None:
    late = [
        rollout
        for rollout in rollouts
        if rollout.state == "running" and rollout.seconds_since_tick > LONGEST_SECONDS_WITHOUT_TICK
    ]
    if late:
        longest = max(rollout.seconds_since_tick for rollout in late)
        messages.warning(f"no tick for {span(longest)}: {_TICKING}")


def tolerance_text(metric: str, tolerance: float) -> str:
    """Return the tolerance of a guard: `+1 point`, `+15%`, of a score `-0.02`."""
    sign = "+" if margins.METRICS[metric].more_is_worse else "-"
    return sign + margins.text(metric, tolerance)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}".replace(",", " ")


def _columns() -> list[table_columns.Column]:
    return table_columns.columns(ROLLOUT="number", NAME="name", ACTION="name", STATE="name", SHARE="name", WHY="text")


def _row(
    rollout: int | None, name: str, action: str, state: str | None, basis_points: int | None, why: str | None
) -> tuple[Value, ...]:
    return (rollout, name, action, state, None if basis_points is None else shares.percent(basis_points), why)


def _write_rows(rollouts: Sequence[Rollout]) -> None:
    """Write the rows of a pipe: number, name, active version, candidate, state, share, reason."""
    columns = table_columns.columns(
        ROLLOUT="number", NAME="name", FROM="number", TO="number", STATE="name", SHARE="name", WHY="text"
    )
    rows: list[Sequence[Value]] = [
        (r.rollout, r.name, r.baseline, r.candidate, r.state, shares.percent(r.basis_points), r.why) for r in rollouts
    ]
    tables.show(columns, rows)


def _plan_document(rollout: Rollout | RolloutChange) -> dict[str, Any]:
    keys = ("hold_seconds", "least_uses", "patience_seconds", "in_doubt")
    return {
        "rollout": rollout.rollout,
        "name": rollout.name,
        "baseline": rollout.baseline,
        "candidate": rollout.candidate,
        "state": rollout.state,
        "basis_points": rollout.basis_points,
        "steps": rollout.steps,
        **{key: getattr(rollout, key) for key in keys},
        "guards": [_guard_document(guard) for guard in rollout.guards],
        "why": rollout.why,
    }


def _document(rollout: Rollout) -> dict[str, Any]:
    keys = ("began_at", "step_began_at", "next_at", "ticked_at", "ended_at", "author", "reason")
    return _plan_document(rollout) | {key: getattr(rollout, key) for key in keys}


def _tick_document(tick: Tick) -> dict[str, Any]:
    return {
        "rollout": tick.rollout,
        "name": tick.name,
        "action": tick.action,
        "state": tick.state,
        "baseline": tick.baseline,
        "candidate": tick.candidate,
        "basis_points": tick.basis_points,
        "previous_basis_points": tick.previous_basis_points,
        "next_at": tick.next_at,
        "why": tick.why,
        "guards": [_figure_document(judgment) for judgment in judgments(tick.figures or ())],
    }


def _guard_document(guard: Mapping[str, Any]) -> dict[str, Any]:
    """Return a guard of a plan in public units, as `comparison_numbers.document_value` does."""
    return {"metric": guard["metric"], "tolerance": _public(guard["metric"], guard["tolerance"])}


def _figure_document(judgment: Judgment) -> dict[str, Any]:
    from promptctl.output.comparison_numbers import rounded

    metric = judgment.metric
    values = {key: getattr(judgment, key) for key in ("value_a", "value_b")}
    return {
        "metric": metric,
        **{key: None if value is None else rounded(value) for key, value in values.items()},
        "uses_a": judgment.uses_a,
        "uses_b": judgment.uses_b,
        **{key: _public(metric, getattr(judgment, key)) for key in ("difference", "lower", "upper")},
        "tolerance": _public(metric, judgment.margin),
        "verdict": judgment.verdict,
    }


def _public(metric: str, number: float | None) -> float | None:
    from promptctl.output import comparison_numbers

    return comparison_numbers.document_value(metric, number)


def _event_document(event: RolloutEvent) -> dict[str, Any]:
    return {key: getattr(event, key) for key in ("kind", "basis_points", "why", "author", "happened_at")}
