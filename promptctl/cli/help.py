"""Help: the overview from the table, a command's page from its Typer command. Plain text, the same in a pipe."""

from __future__ import annotations

from promptctl import __version__
from promptctl.cli import catalogue
from promptctl.cli.table import COMMANDS
from promptctl.output import stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

_INTRODUCTION = """\
System prompts in PostgreSQL: numbered versions that never change, and a pointer
to the one that is served. Moving the pointer takes effect at once; so does
taking it back.

Usage: promptctl COMMAND [OPTIONS] [ARGUMENTS]
       promptctl help COMMAND      what a command does, its options, examples
       promptctl --version         the version of this program
"""

_CLOSING = """\
Every command has --help, --json, --quiet, --verbose, --database-url, --color
and --no-pager.

The database, first that is given:
  --database-url, PROMPTCTL_DATABASE_URL, DATABASE_URL: a URL, or embedded:
  PGHOST, PGHOSTADDR, PGDATABASE, PGSERVICE or PGSERVICEFILE, as for psql
  else the embedded server, with its files under PROMPTCTL_HOME; where CI is
  set it is made only by the name embedded:

Other environment variables:
  PROMPTCTL_AUTHOR      who changes what; else Git's user.email, the system's
                        user
  PROMPTCTL_PAGER       shows long answers on a terminal; else PAGER, else less;
                        empty, or cat: no pager
  NO_COLOR              no colors
  FORCE_COLOR           colors in a pipe, too; 0 is never; also CLICOLOR_FORCE
  CLICOLOR              0: no colors; so does TERM=dumb
  PROMPTCTL_TRACEBACK   shows the traceback of a bug

Exit codes:
  0 done   1 failed   2 usage   3 a check found differences   4 not found
  5 refused by a rule or a conflict   6 database unreachable   7 Claude failed
  8 schema missing or of another version   70 a bug   130 interrupted
  141 closed pipe
"""


def root(words: Sequence[str]) -> int:
    """Answer `promptctl`, `--help`, `help` and `--version`; returns the exit code."""
    if words and words[0] in ("--version", "-V"):
        stream.write(f"promptctl {__version__}\n")
        return 0
    stream.hold_for_pager()
    stream.write(overview(None))
    return 0


def overview(family: str | None) -> str:
    """Return the list of the commands, or of those of one family (`db`)."""
    if family is not None:
        commands = [name for name in catalogue.COMMANDS if name.startswith(f"{family} ")]
        lines = [catalogue.FAMILIES[family], "", f"Usage: promptctl {family} COMMAND [OPTIONS] [ARGUMENTS]", ""]
        return "\n".join([*lines, "Commands:", *_summaries(commands)]) + "\n"
    parts = [_INTRODUCTION]
    for heading, commands in catalogue.HEADINGS:
        parts.append("\n".join([f"{heading}:", *_summaries(commands)]) + "\n")
    return "\n".join([*parts, _CLOSING])


def command(built: Any, path: str, shared: Sequence[str]) -> str:
    """Return the page of one command; `built` is its Typer command, `shared` the parameters that every command has."""
    summary, _, rest = (built.help or "").strip().partition("\n")
    arguments = [each for each in built.params if each.param_type_name == "argument"]
    own = [each for each in built.params if each.param_type_name == "option" and each.name not in (*shared, "help")]
    common = [each for each in built.params if each.name in shared]
    needed = [*(str(each.metavar) for each in arguments), *(spelling(each) for each in own if each.required)]
    usage = " ".join([f"Usage: {path} [OPTIONS]", *needed])
    parts = [summary, usage]
    if rest.strip():
        parts.append("\n".join(line.removeprefix("    ") for line in rest.strip("\n").rstrip().splitlines()))
    for heading, parameters in (("Arguments", arguments), ("Options", own), ("Options of every command", common)):
        if parameters:
            rows = [(spelling(each), each.help or "") for each in parameters]
            if parameters is common:
                rows.append(("-h, --help", "Show this."))
            parts.append("\n".join([f"{heading}:", *_rows(rows)]))
    return "\n\n".join(parts) + "\n"


def spelling(parameter: Any) -> str:
    """Return how a parameter is written: `NAME@VERSION`, `-r, --reason TEXT`."""
    metavar = str(parameter.metavar)
    if parameter.param_type_name == "argument":
        return metavar[1:-1] if metavar.startswith("[") else metavar
    # The first short one and the first long one: an option with more spellings has them in its help.
    short, long = ([each for each in parameter.opts if each.startswith("--") is is_long] for is_long in (False, True))
    spelled = ", ".join([*short[:1], *long[:1]])
    return spelled if parameter.is_flag else f"{spelled} {metavar}"


def _summaries(names: Iterable[str]) -> list[str]:
    return _rows([(name, COMMANDS[name]["summary"].rstrip(".")) for name in names], least=12)


def _rows(rows: Sequence[tuple[str, str]], least: int = 0) -> list[str]:
    """Two columns in 80; a left side that is too long gets a line of its own."""
    left = min(max(least, *(len(row[0]) for row in rows)), 24)
    lines: list[str] = []
    for spelled, meaning in rows:
        line = f"  {spelled:<{left}}" if len(spelled) <= left else f"  {spelled}\n  {'':<{left}}"
        room = 80 - left - 4
        words, told = meaning.split(), ""
        for word in words:
            if told and len(told) + 1 + len(word) > room:
                lines.append(f"{line}  {told}")
                line, told = f"  {'':<{left}}", word
            else:
                told = f"{told} {word}".strip()
        lines.append(f"{line}  {told}".rstrip())
    return lines
