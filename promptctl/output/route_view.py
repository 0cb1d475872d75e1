"""Present routes and their changes. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import answers, messages, stream, table_columns, tables
from promptctl.rules import attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.rules.targeting import Route
    from promptctl.store.routes import RouteChange


def show_route(name: str, steps: Route, label: str, form: str) -> None:
    """Show the steps of a route, in order; quiet: the references that they lead to."""
    if form == "json":
        stream.write_json({"name": name, "route": _route_document(steps)})
    elif form == "quiet":
        stream.write("".join(f"{step['use']}\n" for step in steps))
    elif steps or not stream.for_people():
        columns = table_columns.columns(STEP="number", WHEN="text", USE="name")
        rows = [(place, attributes.format_line(step["when"]), step["use"]) for place, step in enumerate(steps, 1)]
        tables.show(columns, rows)
    else:
        messages.note(f"{name} has no route in {label}: all requests use {name}")


def show_change(change: RouteChange, label: str, form: str) -> None:
    """Show a change of a route: a sentence, and the steps that differ; quiet: the name.

    In a pipe name, number of steps and previous number. `label` names the database.
    """
    if form == "json":
        stream.write_json(
            {
                "message": _sentence(change, label),
                "name": change.name,
                "route": _route_document(change.route),
                "previous_route": _route_document(change.previous_route),
                "epoch": change.epoch,
                "changed": change.changed,
            }
        )
        return
    if form == "quiet":
        answers.write_references([(change.name, None)])
        return
    columns = table_columns.columns(NAME="name", STEPS="number", BEFORE="number")
    row = (change.name, len(change.route), len(change.previous_route))
    answers.show_changes([_sentence(change, label)], columns, [row])
    if stream.to_terminal():
        _show_differences(change)


def _show_differences(change: RouteChange) -> None:
    """Show the steps of both routes, and a command that tests the first step of the new one."""
    for sign, line in _differences(change):
        color = {"+": stream.GREEN, "-": stream.RED}.get(sign, stream.DIM)
        stream.write(stream.styled(stream.one_line(f"{sign} {line}"), color) + "\n")
    if change.changed and change.route:
        import shlex

        pairs = attributes.format_pairs(change.route[0]["when"])
        options = " ".join(f"--attribute {shlex.quote(pair)}" for pair in pairs)
        messages.note(f"promptctl resolve {change.name} {options} tests the first step")


def _sentence(change: RouteChange, label: str) -> str:
    if not change.changed:
        return f"{change.name} {'already has this route' if change.route else 'has no route'} in {label}"
    before = _steps(change.previous_route)
    if not change.route:
        return f"removed the route of {change.name} in {label} (was {before})"
    return f"set the route of {change.name} in {label}: {_steps(change.route)} (was {before})"


def _route_document(steps: Route) -> list[dict[str, Any]]:
    """Return a route with `when` before `use`, because PostgreSQL returns the shorter key first."""
    return [{"when": step["when"], "use": step["use"]} for step in steps]


def _steps(steps: Route) -> str:
    return f"{len(steps)} step{'s' * (len(steps) != 1)}" if steps else "none"


def _differences(change: RouteChange) -> list[tuple[str, str]]:
    """Return the steps of both routes, each with a sign: + for a new one, - for a removed one, else a space."""
    if not change.changed:
        return []
    import difflib

    old, new = (
        [f"{attributes.format_line(step['when'])} → {step['use']}" for step in route]
        for route in (change.previous_route, change.route)
    )
    # A line has a sign, a blank and a step. Lines with the sign `?` mark changes inside a line.
    return [(line[0], line[2:]) for line in difflib.ndiff(old, new) if line[0] != "?"]
