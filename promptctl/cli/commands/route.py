"""promptctl route show, set and unset."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import route_view as output
from promptctl.rules import references
from promptctl.store import routes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.options import AllowSecrets, Author, Name, Reason, RouteFile
    from promptctl.cli.run import Run


def show(run: Run, name: Name) -> None:
    """Show where a prompt leads whom, in the order in which it is tried.

    Of whom no step matches is served the prompt itself.

    Examples:
      promptctl route show default-system-prompt
    """
    wanted = _bare(name, "show")
    with run.database() as database:
        found = routes.current(database, wanted)
    output.show_route(wanted, found, database.label, run.form)


def set_route(
    run: Run,
    name: Name,
    file: RouteFile,
    author: Author = None,
    reason: Reason = None,
    allow_secrets: AllowSecrets = False,
) -> None:
    """Serve other prompts to other users: replace a prompt's route.

    The file has the list that stands under route in a prompt.yaml, in YAML or
    JSON; an empty list, [], takes the route away, as route unset does:

      - {when: {plan: enterprise, seats: 50}, use: enterprise_assistant}

    The first step counts whose values are all among the attributes that the
    application gives; values are texts, numbers, true or false. It leads to
    what is active of another prompt, or to one version, NAME@VERSION.

    Examples:
      promptctl route set default-system-prompt -f route.yaml
      promptctl route set default-system-prompt -f vip.json --reason "VIPs"
    """
    from promptctl.cli import content
    from promptctl.folder import route_files

    wanted = _bare(name, "set")
    text, source = content.read(None, file, "route set"), "standard input" if file == "-" else file
    run.refuse_secrets(source, text, allowed=allow_secrets)
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    steps = route_files.parse(text, source)
    run.author(author)
    with run.database() as database:
        changed = routes.replace(database, wanted, steps, author=run.who(), reason=reason)
    output.show_change(changed, database.label, run.form)
    if changed.changed:
        run.log("Route changed", name=changed.name, author=run.who())


def unset(
    run: Run,
    name: Name,
    author: Author = None,
    reason: Reason = None,
    allow_secrets: AllowSecrets = False,
) -> None:
    """Remove a prompt's route: everybody is served the prompt itself.

    A split goes on. The removed route stays in the history. A prompt that has
    no route is left as it is, with exit code 0.

    Examples:
      promptctl route unset default-system-prompt
      promptctl route unset default-system-prompt --reason "the pilot is over"
    """
    wanted = _bare(name, "unset")
    run.refuse_secrets("--reason", reason, allowed=allow_secrets)
    run.author(author)
    with run.database() as database:
        changed = routes.replace(database, wanted, [], author=run.who(), reason=reason)
    output.show_change(changed, database.label, run.form)
    if changed.changed:
        run.log("Route changed", name=changed.name, author=run.who())


def _bare(name: str, command: str) -> str:
    bare, at, _ = name.partition("@")
    if at:
        file = " -f FILE" if command == "set" else ""
        raise errors.Usage(
            "usage", f"a prompt has one route, whichever version is active: {bare}",
            hint=f"promptctl route {command} {bare}{file}",
        )  # fmt: skip
    return references.check_name(name)
