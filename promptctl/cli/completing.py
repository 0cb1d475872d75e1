"""Complete commands, options, prompts and versions at the Tab key. Completion never starts a server.

A script in the shell (`completion_scripts`) passes the words up to the cursor. The answer is one candidate per line.
"""

from __future__ import annotations

import os

from promptctl.cli import command_line
from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.completion_scripts import SCRIPTS
from promptctl.cli.formats import CHOICES, OF_STATS
from promptctl.cli.parameters import FLAG, TEXTS
from promptctl.output.stream import COLOR_CHOICES
from promptctl.rules.margins import METRICS
from promptctl.rules.prompt_lines import SORT_KEYS
from promptctl.rules.statistics import KEYS
from promptctl.rules.template_syntax import STYLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.cli.parameters import Parameter

# Names of parameters, by what their values are.
_NAMES = frozenset({"name", "names"})
_REFERENCES = frozenset({"reference", "references_", "left", "right", "other", "against", "targets"})
_VERSION_NUMBERS = frozenset({"to", "expect"})
# Versions of a prompt that was named before, with an @.
_VERSIONS = frozenset({"versions"})
_VALUES = {
    "by": KEYS,
    "access": ("viewer", "reviewer", "application", "ticker", "operator"),
    "log_format": ("text", "json"),
    "format": CHOICES,
    "table_format": CHOICES,
    "color": COLOR_CHOICES,
    "shell": tuple(SCRIPTS),
    "template": STYLES,
    "margin": tuple(f"{metric}=" for metric in METRICS),
    "guard": tuple(f"{metric}=" for metric in METRICS),
    "sort": SORT_KEYS,
    "in_doubt": ("pause", "rollback"),
}
# Values that differ from those of other commands.
_VALUES_OF_COMMANDS = {
    ("compare", "by"): ("share",),
    ("test", "margin"): ("1pt", "2pt", "5pt"),
    ("stats", "format"): OF_STATS,
}
# Values that only the shell can list: the answer is FILES or FOLDERS.
_FILES = frozenset(
    {"file", "vars_file", "save", "continue_", "save_plan", "apply_plan", "html", "junit", "from_", "labels"}
)
_FOLDERS = frozenset({"folder"})
FILES, FOLDERS = ":files", ":folders"


def candidates(words: Sequence[str]) -> list[str]:
    """Return the completions of the last of the words after `promptctl`. The last word may be ''.

    If the only candidate is FILES or FOLDERS, the shell lists names.
    """
    *before, current = words or [""]
    if before[:1] == ["help"]:
        # help accepts one command and nothing else.
        before = before[1:]
        if before and " ".join(before) in COMMANDS:
            return []
    for length in (2, 1):
        name = " ".join(before[:length])
        if len(before) >= length and name in COMMANDS:
            matches = _of_command(name, before[length:], current)
            if len(before) == length:
                # `test` is a command, and so is `test list`.
                matches = [*_following(f"{name} "), *matches]
            return (
                matches if matches in ([FILES], [FOLDERS]) else [word for word in matches if word.startswith(current)]
            )
    prefix = f"{' '.join(before)} " if before else ""
    return [word for word in _following(prefix) if word.startswith(current)]


def _following(prefix: str) -> list[str]:
    """Return the words that may follow a prefix in the name of a command."""
    return sorted({name[len(prefix) :].partition(" ")[0] for name in COMMANDS if name.startswith(prefix)})


def _of_command(name: str, before: Sequence[str], current: str) -> list[str]:
    """Return the completions of the word `current`, after a command and the words `before`."""
    options = COMMANDS[name].options
    arguments = _arguments(before, options)
    prompt = arguments[0].partition("@")[0] if arguments else ""
    # The shell passes the value with its quotes.
    url = (command_line.value_of("--database-url", before) or "").strip("'\"") or None
    if before and (option := options.get(before[-1])) and option.kind != FLAG:
        return _values(option.name, current, name, prompt, url)
    spelling, equals, value = current.partition("=")
    if equals and spelling.startswith("--") and (option := options.get(spelling)):
        matches = _values(option.name, value, name, prompt, url)
        return matches if matches in ([FILES], [FOLDERS]) else [f"{spelling}={match}" for match in matches]
    if current.startswith("-"):
        return sorted(spelling for spelling in options if spelling.startswith("--"))
    for place, argument in enumerate(COMMANDS[name].arguments):
        if argument.kind == TEXTS or place == len(arguments):
            return _values(argument.name, current, name, prompt, url)
    return []


def _arguments(before: Sequence[str], options: Mapping[str, Parameter]) -> list[str]:
    """Return the words that are neither options nor their values."""
    arguments: list[str] = []
    previous = None
    for word in before:
        is_value = previous is not None and previous.kind != FLAG
        if not (is_value or word.startswith("-")):
            arguments.append(word)
        previous = options.get(word)
    return arguments


def _values(parameter: str, current: str, command: str, prompt: str, url: str | None) -> list[str]:
    """Return the values for a parameter of a command. `prompt` is the prompt's name, '' if it is not known yet."""
    if (command, parameter) in _VALUES_OF_COMMANDS:
        return list(_VALUES_OF_COMMANDS[command, parameter])
    if parameter in _VALUES:
        return list(_VALUES[parameter])
    if parameter in _FILES:
        return [FILES]
    if parameter in _FOLDERS:
        return [FOLDERS]
    of_prompt = _VERSION_NUMBERS | _VERSIONS
    if parameter not in _NAMES | _REFERENCES | of_prompt or (parameter in of_prompt and not prompt):
        return []
    from promptctl import errors
    from promptctl.postgres import connecting
    from promptctl.store import prompt_lists

    # In seconds. A person at the Tab key does not wait longer.
    os.environ.setdefault("PGCONNECT_TIMEOUT", "2")
    try:
        with connecting.connect(url, starts=False) as opened:
            if parameter in _VERSION_NUMBERS:
                return [str(version) for version in prompt_lists.version_numbers(opened, prompt)]
            if parameter in _VERSIONS:
                return [f"@{version}" for version in prompt_lists.version_numbers(opened, prompt)]
            name, at, _ = current.partition("@")
            if at:
                return [f"{name}@{version}" for version in prompt_lists.version_numbers(opened, name)]
            names = prompt_lists.prompt_names(opened, current)
    except errors.PromptctlError:
        return []
    # These commands need a version after the name.
    return [f"{name}@" for name in names] if command in ("activate", "delete", "rollout start") else names
