"""Command lines that do not begin with a command: a family alone, an unknown command, a misplaced option."""

from __future__ import annotations

from promptctl import errors
from promptctl.cli import parameters as p
from promptctl.cli.catalogue import COMMANDS, FAMILIES
from promptctl.cli.correction import lines
from promptctl.rules import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def family(words: Sequence[str]) -> str:
    """Return the family whose help the words ask for: `db`, `db --help`. Raises Usage for all other words."""
    name = words[0] if words[0] in FAMILIES else ""
    rest = words[1:] if name else words
    if name and (not rest or rest[0] in p.HELP.spellings):
        return name
    command_path = f"promptctl {name}".rstrip()
    if rest[0].startswith("-"):
        spelling = rest[0].partition("=")[0] if rest[0].startswith("--") else rest[0][:2]
        raise _option_error(command_path, spelling, words)
    raise _command_error(command_path, rest, words)


def _option_error(command_path: str, spelling: str, words: Sequence[str]) -> errors.Usage:
    if command_path == "promptctl" and spelling in p.by_spelling(p.SHARED):
        message = f"{spelling} belongs after the command: promptctl COMMAND {spelling}"
        return errors.Usage("usage", message, hint="promptctl --help")
    return lines.unknown_option(command_path, spelling, p.HELP.spellings, words)


def _command_error(command_path: str, rest: Sequence[str], words: Sequence[str]) -> errors.Usage:
    import difflib

    word = rest[0]
    message = f"{command_path} has no command {references.quoted(word)}"
    if explanation := lines.reason_and_hint(words):
        reason, hint = explanation
        return errors.Usage("usage", f"{message}: {reason}", hint=hint)
    # By the last word of a command, so that `init` finds `db init`, and `db list` finds `list`. Later entries take
    # precedence: commands of one word, then the words that may follow `command_path`.
    names = sorted(COMMANDS, key=lambda name: " " not in name)
    helps = {name.rpartition(" ")[2]: f"promptctl {name} --help" for name in names}
    prefix = f"{command_path} ".removeprefix("promptctl ")
    following = {name.removeprefix(prefix).partition(" ")[0] for name in COMMANDS if name.startswith(prefix)}
    helps |= {name: f"{command_path} {name} --help" for name in following}
    near = difflib.get_close_matches(word, helps, n=1, cutoff=0.75)
    return errors.Usage("usage", message, hint=helps[near[0]] if near else f"{command_path} --help")
