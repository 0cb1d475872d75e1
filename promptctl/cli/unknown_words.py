"""Command lines that begin with no command: a family alone, an unknown command, an option in the wrong place."""

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
    path = f"promptctl {name}".rstrip()
    if rest[0].startswith("-"):
        spelling = rest[0].partition("=")[0] if rest[0].startswith("--") else rest[0][:2]
        raise _option(path, spelling, words)
    raise _command(path, rest, words)


def _option(path: str, spelling: str, words: Sequence[str]) -> errors.Usage:
    if path == "promptctl" and spelling in p.by_spelling(p.SHARED):
        message = f"{spelling} belongs after the command: promptctl COMMAND {spelling}"
        return errors.Usage("usage", message, hint="promptctl --help")
    return lines.unknown_option(path, spelling, p.HELP.spellings, words)


def _command(path: str, rest: Sequence[str], words: Sequence[str]) -> errors.Usage:
    import difflib

    word = rest[0]
    message = f"{path} has no command {references.quoted(word)}"
    if alternative := lines.alternative(words):
        reason, hint = alternative
        return errors.Usage("usage", f"{message}: {reason}", hint=hint)
    # Compared with and without the family: `init` means `db init`, and `db list` means `list`.
    names = sorted(COMMANDS, key=lambda name: " " not in name)
    commands = {name.rpartition(" ")[2]: f"promptctl {name} --help" for name in names}
    prefix = path.removeprefix("promptctl").strip()
    inside = [name.removeprefix(f"{prefix} ") for name in COMMANDS if name.startswith(f"{prefix} ")]
    inside = inside if prefix else [*(name for name in COMMANDS if " " not in name), *FAMILIES]
    commands |= {name: f"{path} {name} --help" for name in inside}
    near = difflib.get_close_matches(word, commands, n=1, cutoff=0.75)
    return errors.Usage("usage", message, hint=commands[near[0]] if near else f"{path} --help")
