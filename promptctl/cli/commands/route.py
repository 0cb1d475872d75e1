"""promptctl route show, set and unset."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import route_view as output
from promptctl.rules import references
from promptctl.store import routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.store.routes import RouteChange


def show(run: Run, name: str) -> None:
    """Show the route of a prompt.

    Lists the steps in the order in which they are tested. A request that matches
    no step gets the prompt itself.

    Examples:
      promptctl route show default-system-prompt
    """
    prompt = _without_version(name, "show")
    with run.database() as database:
        route = routes.read_route(database, prompt)
    output.show_route(prompt, route, database.label, run.form)


def set_route(run: Run, name: str, file: str) -> None:
    """Replace the route of a prompt.

    The file contains a list of steps in YAML or JSON, like route in a prompt.yaml:

      - {when: {plan: enterprise, seats: 50}, use: enterprise_assistant}

    A request gets the first step whose values all equal attributes of the request.
    Values are text, numbers, true or false. A step leads to the active version of
    another prompt, or to one version, NAME@VERSION. The empty list, [], removes the
    route, as route unset does.

    Examples:
      promptctl route set default-system-prompt -f route.yaml
      promptctl route set default-system-prompt -f vip.json --reason "VIPs"
    """
    from promptctl.cli import content
    from promptctl.folder import route_files

    prompt = _without_version(name, "set")
    text, source = content.read(None, file, "route set"), "standard input" if file == "-" else file
    run.refuse_secrets(source, text)
    steps = route_files.parse(text, source)
    with run.database_to_change() as database:
        changed = routes.set_route(database, prompt, steps, author=run.author(), reason=run.reason)
    _answer(run, changed, database.label)


def unset(run: Run, name: str) -> None:
    """Remove the route of a prompt.

    Every request then gets the prompt itself. A running split continues. The
    history keeps the removed route. A prompt without a route stays as it is, with
    exit code 0.

    Examples:
      promptctl route unset default-system-prompt
      promptctl route unset default-system-prompt --reason "the pilot is over"
    """
    prompt = _without_version(name, "unset")
    with run.database_to_change() as database:
        changed = routes.set_route(database, prompt, [], author=run.author(), reason=run.reason)
    _answer(run, changed, database.label)


def _answer(run: Run, changed: RouteChange, label: str) -> None:
    output.show_change(changed, label, run.form)
    if changed.changed:
        run.log("Route changed", name=changed.name, author=run.author())


def _without_version(name: str, command: str) -> str:
    """Return a name. Raises Usage for a reference with a version."""
    bare, at, _ = name.partition("@")
    if at:
        file = " -f FILE" if command == "set" else ""
        raise errors.Usage(
            "usage", f"a route belongs to a prompt and not to a version: use the name {bare}",
            hint=f"promptctl route {command} {bare}{file}",
        )  # fmt: skip
    return references.check_name(name)
