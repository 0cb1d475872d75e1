"""Routes and their changes as people and programs read them. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import messages, stream, tables
from promptctl.output.tables import Column
from promptctl.rules import attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.rules.targeting import Route
    from promptctl.store.routes import RouteChange


def show_route(name: str, steps: Route, label: str, form: str) -> None:
    """Show a route, its steps in order; quiet: where they lead."""
    if form == "json":
        from promptctl.output import documents

        documents.show({"name": name, "route": _document(steps)})
    elif form == "quiet":
        stream.write("".join(f"{step['use']}\n" for step in steps))
    elif steps or not stream.to_terminal():
        columns = [Column("STEP", "number"), Column("WHEN", "text"), Column("USE", "name")]
        rows = [(place, attributes.format_line(step["when"]), step["use"]) for place, step in enumerate(steps, 1)]
        tables.show(columns, rows)
    else:
        messages.note(f"{name} has no route in {label}: it is for everybody")


def show_change(changed: RouteChange, label: str, form: str) -> None:
    """Show what became of a route, naming the database; quiet: the name.

    In a pipe the name, the number of steps and that before. The steps that differ stand below the sentence.
    """
    if form == "json":
        from promptctl.output import documents

        documents.show(
            {
                "message": sentence(changed, label),
                "name": changed.name,
                "route": _document(changed.route),
                "previous_route": _document(changed.previous_route),
                "epoch": changed.epoch,
                "changed": changed.changed,
            }
        )
        return
    if form == "quiet":
        stream.write(f"{changed.name}\n")
        return
    if not stream.to_terminal():
        columns = [Column("NAME", "name"), Column("STEPS", "number"), Column("BEFORE", "number")]
        tables.show(columns, [(changed.name, len(changed.route), len(changed.previous_route))])
        messages.note(sentence(changed, label))
        return
    stream.write(stream.one_line(sentence(changed, label)) + "\n")
    for sign, line in _differences(changed):
        color = {"+": stream.GREEN, "-": stream.RED}.get(sign, stream.DIM)
        stream.write(stream.styled(stream.one_line(f"{sign} {line}"), color) + "\n")
    if changed.changed and changed.route:
        import shlex

        words = [f"--attribute {shlex.quote(pair)}" for pair in attributes.format_pairs(changed.route[0]["when"])]
        messages.note(f"promptctl resolve {changed.name} {' '.join(words)} shows who is led there")


def sentence(change: RouteChange, label: str) -> str:
    """Return a change of a route in words."""
    if not change.changed:
        return f"{change.name} has {'this route already' if change.route else 'no route'} in {label}"
    before = _steps(change.previous_route)
    if not change.route:
        return f"{change.name}: no route (was {before}) in {label}"
    return f"{change.name}: a route of {_steps(change.route)} (was {before}) in {label}"


def _document(steps: Route) -> list[dict[str, Any]]:
    """The steps in JSON, each as people write it: PostgreSQL orders keys by their length."""
    return [{"when": step["when"], "use": step["use"]} for step in steps]


def _steps(steps: Route) -> str:
    return f"{len(steps)} step{'s' * (len(steps) != 1)}" if steps else "none"


def _differences(change: RouteChange) -> list[tuple[str, str]]:
    """The steps of both routes, with a sign: + is new, - is gone."""
    if not change.changed:
        return []
    import difflib

    old, new = (
        [f"{attributes.format_line(s['when'])} → {s['use']}" for s in r] for r in (change.previous_route, change.route)
    )
    return [(line[0], line[2:]) for line in difflib.ndiff(old, new) if line[0] != "?"]
