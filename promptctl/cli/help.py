"""Print help: the overview, and a page for each command. Plain text, the same on a terminal and in a pipe."""

from __future__ import annotations

from promptctl import __version__
from promptctl.cli import catalogue
from promptctl.cli import parameters as p
from promptctl.output import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from promptctl.cli.catalogue import Command
    from promptctl.cli.parameters import Parameter

INTRODUCTION = """\
Manage system prompts in PostgreSQL: numbered versions that never change, and
one active version per prompt. Activating or rolling back a version takes
effect at once.

Usage: promptctl COMMAND [OPTIONS] [ARGUMENTS]
       promptctl help COMMAND      show the help of a command
       promptctl --version         show the version of promptctl
"""

CLOSING = """\
Every command has --help, --json, --quiet, --verbose, --database-url, --color
and --no-pager.

promptctl uses the first of these databases that is set:
  --database-url, PROMPTCTL_DATABASE_URL, DATABASE_URL: a URL, or embedded:
  PGHOST, PGHOSTADDR, PGDATABASE, PGSERVICE or PGSERVICEFILE, as in psql
  the embedded database, with its files under PROMPTCTL_HOME; if CI is set,
  promptctl creates it only for the URL embedded:

Other environment variables:
  PROMPTCTL_AUTHOR      author of changes; default: Git's user.email, then the
                        system user
  PROMPTCTL_PAGER       pager for long output on a terminal; default: PAGER,
                        then less; empty or cat: no pager
  NO_COLOR              use no color
  FORCE_COLOR           use color in a pipe too; 0: use no color; also
                        CLICOLOR_FORCE
  CLICOLOR              0: use no color; so does TERM=dumb
  PROMPTCTL_TRACEBACK   print the traceback of a bug

Exit codes:
  0 done   1 failed   2 usage   3 a check found differences   4 not found
  5 refused by a rule or a conflict   6 database unreachable   7 Claude failed
  8 schema missing or of another version   9 not decided   70 a bug
  130 interrupted   141 closed pipe
"""


def root(words: Sequence[str]) -> int:
    """Print the overview or the version; return the exit code."""
    if words and words[0] in ("--version", "-V"):
        stream.write(f"promptctl {__version__}\n")
        return 0
    stream.buffer_for_pager()
    stream.write(overview(None))
    return 0


def overview(family: str | None) -> str:
    """Return the overview of all commands, or of the commands of one family, for example `db`."""
    if family is not None:
        commands = [name for name in catalogue.COMMANDS if name.startswith(f"{family} ")]
        lines = [catalogue.FAMILIES[family], "", f"Usage: promptctl {family} COMMAND [OPTIONS] [ARGUMENTS]", ""]
        return "\n".join([*lines, "Commands:", *_summaries(commands)]) + "\n"
    parts = [INTRODUCTION]
    for heading, commands in catalogue.HEADINGS:
        parts.append("\n".join([f"{heading}:", *_summaries(commands)]) + "\n")
    return "\n".join([*parts, CLOSING])


def show(name: str) -> int:
    """Print the page of a command, or the overview of a family; return the exit code."""
    text = overview(name) if name in catalogue.FAMILIES else page(name)
    stream.buffer_for_pager()
    stream.write(text)
    return 0


def page(name: str) -> str:
    """Return the page of one command. Its description is the docstring of the command's function."""
    command = catalogue.COMMANDS[name]
    arguments = command.arguments
    options = [parameter for parameter in command.parameters if parameter.spellings]
    required = [*map(_in_usage, arguments), *(option.usage for option in options if option.is_required)]
    parts = [command.summary, " ".join([f"Usage: promptctl {name} [OPTIONS]", *required])]
    if text := description(command):
        parts.append(text)
    for heading, parameters in (
        ("Arguments", arguments), ("Options", options), ("Options of every command", [*p.SHARED, p.HELP])
    ):  # fmt: skip
        if parameters:
            rows = [(parameter.usage, parameter.help) for parameter in parameters]
            parts.append("\n".join([f"{heading}:", *_rows(rows)]))
    return "\n\n".join(parts) + "\n"


def _in_usage(argument: Parameter) -> str:
    return argument.metavar if argument.is_required else f"[{argument.metavar}]"


def description(command: Command) -> str:
    """Return the description of a command: the docstring of its function without the first line."""
    module, function = command.locate()
    docstring: str = getattr(__import__(module, fromlist=[function]), function).__doc__
    lines = docstring.partition("\n")[2].strip("\n").rstrip().splitlines()
    return "\n".join(line.removeprefix("    ") for line in lines)


def _summaries(names: Iterable[str]) -> list[str]:
    return _rows([(name, catalogue.COMMANDS[name].summary.rstrip(".")) for name in names], least_width=12)


def _rows(rows: Sequence[tuple[str, str]], least_width: int = 0) -> list[str]:
    """Return the rows as two columns within 80 characters. A left side of more than 24 characters gets its own line."""
    left = min(max(least_width, *(len(row[0]) for row in rows)), 24)
    lines: list[str] = []
    # Two blanks precede each column.
    room = 80 - left - 4
    for spelled, meaning in rows:
        line = f"  {spelled:<{left}}" if len(spelled) <= left else f"  {spelled}\n  {'':<{left}}"
        text = ""
        for word in meaning.split():
            if text and len(text) + 1 + len(word) > room:
                lines.append(f"{line}  {text}")
                line, text = f"  {'':<{left}}", word
            else:
                text = f"{text} {word}".strip()
        lines.append(f"{line}  {text}".rstrip())
    return lines
