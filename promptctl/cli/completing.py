"""Completion at the Tab key: commands, options, prompts, versions. It asks only a database that answers already.

The shells' scripts (`completion_scripts`) hand over the words up to the cursor; the answer is one candidate a line.
"""

from __future__ import annotations

import os

from promptctl.cli.completion_scripts import SCRIPTS
from promptctl.cli.table import COMMANDS, SHARED
from promptctl.output.stream import COLOR_CHOICES
from promptctl.rules.statistics import KEYS
from promptctl.rules.template_syntax import STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What the words of an argument stand for, by the name of its parameter.
_NAMES = frozenset({"name", "names"})
_REFERENCES = frozenset({"reference", "references_", "left", "right", "against"})
_NUMBERS = frozenset({"to", "expect"})
_VALUES = {
    "by": KEYS,
    "access": ("viewer", "application", "operator"),
    "log_format": ("text", "json"),
    "format": ("text", "markdown", "json"),
    "color": COLOR_CHOICES,
    "shell": tuple(SCRIPTS),
    "template": STYLES,
}
# What only the shell can list.
_FILES = frozenset({"file", "vars_file", "save", "continue_", "save_plan", "apply_plan"})
_FOLDERS = frozenset({"folder"})
FILES, FOLDERS = ":files", ":folders"


def candidates(words: Sequence[str]) -> list[str]:
    """Return what the last word, which may be '', can become; `words` are those after the program's name.

    FILES or FOLDERS alone stand for names that only the shell can list.
    """
    *before, current = words or [""]
    if before[:1] == ["help"]:
        # It names a command and nothing after that.
        before = before[1:]
        if before and " ".join(before) in COMMANDS:
            return []
    for length in (2, 1):
        name = " ".join(before[:length])
        if len(before) >= length and name in COMMANDS:
            found = _of_command(name, before[length:], current)
            return found if found in ([FILES], [FOLDERS]) else [each for each in found if each.startswith(current)]
    prefix = f"{' '.join(before)} " if before else ""
    following = {name[len(prefix) :].partition(" ")[0] for name in COMMANDS if name.startswith(prefix)}
    return sorted(each for each in following if each.startswith(current))


def _of_command(name: str, before: Sequence[str], current: str) -> list[str]:
    command = COMMANDS[name]
    options = command["options"] | SHARED
    arguments = _arguments(before, options)
    prompt = arguments[0].partition("@")[0] if arguments else ""
    url = _database_url(before)
    if before and (known := options.get(before[-1])) and known[1] != "flag":
        return _of_argument(known[0], current, name, prompt, url)
    option, equals, value = current.partition("=")
    if equals and option.startswith("--") and (known := options.get(option)):
        found = _of_argument(known[0], value, name, prompt, url)
        return found if found in ([FILES], [FOLDERS]) else [f"{option}={each}" for each in found]
    if current.startswith("-"):
        return sorted(option for option in options if option.startswith("--"))
    taken = len(arguments)
    for parameter, _, several in command["arguments"]:
        if several or taken == 0:
            return _of_argument(parameter, current, name, prompt, url)
        taken -= 1
    return []


def _arguments(before: Sequence[str], options: Mapping[str, tuple[str, str]]) -> list[str]:
    """Return the words that are neither options nor their values."""
    return [
        word
        for place, word in enumerate(before)
        if not word.startswith("-") and not (place and options.get(before[place - 1], ("", "flag"))[1] != "flag")
    ]


def _database_url(before: Sequence[str]) -> str | None:
    """Return what the line says of the database; the shell has not taken off the quotes."""
    for place, word in enumerate(before):
        option, equals, value = word.partition("=")
        if option == "--database-url":
            return (value if equals else "".join(before[place + 1 : place + 2])).strip("'\"")
    return None


def _of_argument(parameter: str, current: str, command: str, prompt: str, url: str | None) -> list[str]:
    if parameter in _VALUES:
        return list(_VALUES[parameter])
    if parameter in _FILES:
        return [FILES]
    if parameter in _FOLDERS:
        return [FOLDERS]
    if parameter not in _NAMES | _REFERENCES | _NUMBERS or (parameter in _NUMBERS and not prompt):
        return []
    from promptctl import errors
    from promptctl.postgres import connecting
    from promptctl.store import prompts

    # Nobody waits longer at the Tab key.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "2")
    try:
        with connecting.connect(url, starts=False) as opened:
            if parameter in _NUMBERS:
                return [str(version) for version in prompts.version_numbers(opened, prompt)]
            name, at, _ = current.partition("@")
            if at:
                return [f"{name}@{version}" for version in prompts.version_numbers(opened, name)]
            known = prompts.names(opened, current)
    except errors.PromptctlError:
        return []
    # Where a version must follow, the @ is part of the word.
    return [f"{each}@" for each in known] if command in ("activate", "delete") else known
