"""Read a well-formed command line without Typer, whose import takes twice as long as the rest of a rollback.

It reads lines with known options, complete values and the right number of arguments. It leaves all others, for example
a mistake or combined short options, to `typer_reader`. A property test checks that both readers return the same values.
"""

from __future__ import annotations

from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.parameters import FLAG, HELP, NUMBER, SHARED, TEXTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from promptctl.cli.parameters import Parameter

# Options whose text people often forget to quote.
_OFTEN_UNQUOTED = ("reason", "description", "author", "meta", "var", "default")


def read(words: Sequence[str]) -> tuple[str, dict[str, Any]] | None:
    """Return the command's name and the values of its parameters by name, or None for a line that Typer must read.

    If --help is on the line, the values contain `help`, and arguments may be missing.
    """
    name, rest = command(words)
    if name is None:
        return None
    entry = COMMANDS[name]
    options = entry.options
    values: dict[str, Any] = {parameter.name: parameter.default for parameter in (*entry.parameters, *SHARED)}
    positional: list[str] = []
    pending = list(reversed(rest))
    only_arguments = False
    while pending:
        word = pending.pop()
        if only_arguments or word == "-" or not word.startswith("-"):
            positional.append(word)
        elif word == "--":
            only_arguments = True
        elif word in HELP.spellings:
            values["help"] = True
        else:
            spelling, equals, attached = word.partition("=")
            option = options.get(spelling)
            if option is None or (equals and not word.startswith("--")):
                return None
            if option.kind == FLAG:
                if equals:
                    return None
                values[option.name] = True
                continue
            if not equals:
                if not pending or (pending[-1].startswith("-") and pending[-1] != "-"):
                    return None
                attached = pending.pop()
            if not _store_option(values, option, attached):
                return None
    if "help" in values:
        return name, values
    has_text = any(values.get(option) for option in _OFTEN_UNQUOTED)
    # Without this, the last words of a text without quotes would become arguments.
    if len(positional) > 1 and has_text and _is_unquoted(name, rest):
        return None
    is_complete = _store_arguments(values, entry.arguments, positional) and all(
        values[parameter.name] is not None for parameter in entry.parameters if parameter.is_required
    )
    return (name, values) if is_complete else None


def command(words: Sequence[str]) -> tuple[str | None, Sequence[str]]:
    """Return the command's name and the words after it. The name is None if the first words are not a command."""
    # `test` is a command, and so is `test list`.
    for length in (2, 1):
        name = " ".join(words[:length])
        # The second condition excludes one word with a blank: 'db init' in quotes.
        if name in COMMANDS and name.split(" ") == [*words[:length]]:
            return name, words[length:]
    return None, ()


def _store_option(values: dict[str, Any], option: Parameter, text: str) -> bool:
    """Store the value of an option. Return False for a number that only Typer's reader can judge."""
    if option.kind == NUMBER:
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            return False
        values[option.name] = int(text)
    elif option.kind == TEXTS:
        values[option.name] = [*(values[option.name] or []), text]
    else:
        values[option.name] = text
    return True


def _is_unquoted(name: str, rest: Sequence[str]) -> bool:
    """Whether the text of an option lacks quotes, so that its last words would be read as arguments."""
    # Any other command refuses these words as arguments.
    if not (COMMANDS[name].arguments[0].kind == TEXTS or name in ("create", "chat")):
        return False
    from promptctl.cli import unquoted_texts

    return unquoted_texts.find(name, rest) is not None


def _store_arguments(values: dict[str, Any], arguments: Sequence[Parameter], words: list[str]) -> bool:
    """Store the words as values of the arguments. Return False if there are too many words."""
    for argument in arguments:
        if argument.kind == TEXTS:
            values[argument.name], words = words or None, []
        elif words:
            values[argument.name], *words = words
    return not words
