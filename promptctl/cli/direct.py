"""Read a well-formed command line without Typer, by the table that was made from Typer's own commands.

Typer's import takes twice as long as everything that a rollback does. So this reads what is plainly right: known
options, whole values, the right number of arguments. Anything else — help, a mistake, an abbreviation — it leaves to
Typer, which says what is wrong. A property test holds the two to the same reading.
"""

from __future__ import annotations

from promptctl.cli.table import COMMANDS, SHARED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# Options whose text people forget to quote.
_TEXTS = ("reason", "description", "author", "meta", "var", "default")
FLAG, ONE, MANY, INTEGER = "flag", "one", "many", "integer"


def read(words: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """Return the command's name and the values of its parameters by name; None: let Typer read it."""
    name, rest = command(words)
    if name is None:
        return None
    entry = COMMANDS[name]
    values: dict[str, Any] = dict(entry["defaults"])
    positional: list[str] = []
    pending = list(reversed(rest))
    only_arguments = False
    while pending:
        word = pending.pop()
        if only_arguments or word == "-" or not word.startswith("-"):
            positional.append(word)
        elif word == "--":
            only_arguments = True
        else:
            option, equals, attached = word.partition("=")
            known = entry["options"].get(option) or SHARED.get(option)
            if known is None or (equals and not word.startswith("--")):
                return None
            parameter, kind = known
            if kind == FLAG:
                if equals:
                    return None
                values[parameter] = True
                continue
            if not equals:
                if not pending or (pending[-1].startswith("-") and pending[-1] != "-"):
                    return None
                attached = pending.pop()
            if kind == INTEGER:
                if not (attached.isascii() and attached.isdigit() and len(attached) < 10):
                    return None
                values[parameter] = int(attached)
            elif kind == MANY:
                values[parameter] = [*(values[parameter] or []), attached]
            else:
                values[parameter] = attached
    if any(values[option] is None for option in entry["required"]):
        return None
    if len(positional) > 1 and any(values.get(text) for text in _TEXTS) and _may_be_split(name, rest):
        return None
    return (name, values) if _place(positional, entry["arguments"], values) else None


def _may_be_split(name: str, rest: Sequence[str]) -> bool:
    """Whether a text without quotes runs on into the arguments, where a command would take them for its own."""
    if not (COMMANDS[name]["arguments"][0][2] or name in ("create", "chat")):
        return False
    from promptctl.cli import unquoted

    return unquoted.place(name, rest) is not None


def command(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """Return the name of the command that is named, and the words after it; None: no command is."""
    for length in (1, 2):
        name = " ".join(words[:length])
        if name in COMMANDS and name.split(" ") == [*words[:length]]:
            return name, words[length:]
    return None, ()


def _place(words: list[str], arguments: Sequence[tuple[str, bool, bool]], values: dict[str, Any]) -> bool:
    """Give the words to the arguments (parameter, required, several); False when they do not fit."""
    left = words
    for parameter, required, several in arguments:
        if several:
            values[parameter], left = left, []
            if required and not values[parameter]:
                return False
        elif left:
            values[parameter], left = left[0], left[1:]
        elif required:
            return False
    return not left
