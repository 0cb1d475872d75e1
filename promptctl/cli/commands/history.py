"""promptctl history."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import messages, stream
from promptctl.output import move_view as output
from promptctl.rules import references
from promptctl.store import history_events, prompt_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run


def history(
    run: Run, name: str | None = None, since: str | None = None, limit: int | None = None, graph: bool = False
) -> None:
    """Show who changed what, when and why.

    Lists moves, splits, changes of routes, and archiving. Changes that were made
    with SQL are included. The newest change is first. With NAME, the newest
    change is the one that was made last, even if a clock was wrong. Without NAME,
    it is the one with the latest time.

    In the graph of --graph, the newest version is on top, and R is a rollback.
    --json and --quiet have no graph.

    Examples:
      promptctl history default-system-prompt
      promptctl history default-system-prompt --graph --since 30d
      promptctl history --limit 5 --json
    """
    if name is not None:
        references.check_name(name)
    elif graph:
        raise errors.Usage("usage", "--graph draws one prompt: add its NAME", hint="promptctl history NAME --graph")
    rows = run.row_limit(limit)
    moment = None
    if since is not None:
        from promptctl.cli import time_values

        moment = time_values.parse(since)
    with run.database() as database:
        events, total = history_events.read_history(database, name, rows, moment)
        drawn = None
        if graph and name is not None and run.form == "plain":
            drawn = history_events.read_graph(database, name, moment)
            if drawn[1] is not None and drawn[1] > drawn[2]:
                raise errors.Usage("invalid_time", f"--since {since} is in the future")
        if not events and name is not None:
            prompt_states.require_prompt(database, name)
    if drawn is not None and drawn[0]:
        from promptctl.output import serving_graph

        serving_graph.show(*drawn)
        if len(drawn[0]) == history_events.MOST_DRAWN:
            messages.note(f"the graph begins with the newest {history_events.MOST_DRAWN:,} changes")
        if not stream.for_people():
            return
    output.show_history(events, total, run.form, with_names=name is None)
    if not events and run.form == "plain" and stream.for_people():
        # Of an age such as 7d, the moment is -7d.
        when = "yet" if moment is None else f"in the last {moment[1:]}" if moment[0] == "-" else f"since {since}"
        messages.note(f"{'nothing has' if name is None else f'{name} has not'} moved {when} in {database.label}")
