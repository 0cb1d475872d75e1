"""Hints that need the database: the nearest name, the newest version, the access that is missing."""

from __future__ import annotations

import difflib
import os
import shlex

from promptctl import errors
from promptctl.cli import command_line, fast_reader
from promptctl.postgres import connecting
from promptctl.rules import references
from promptctl.store import administration, prompt_lists

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.postgres.database import Database

# Commands for which the access `viewer` is enough.
_READING = (
    "list", "show", "render", "diff", "history", "stats", "report", "top", "export", "resolve", "compare", "route show",
    "rollout status", "release list", "release show", "test list", "test show",
)  # fmt: skip
# Commands for which the access `ticker` is enough.
_TICKING = ("rollout tick", "rollout watch")
# Commands whose line may have values of variables and a message.
_WITH_VALUES = ("render", "tokens", "chat")
_OWNER_ONLY = ("db grant", "db init", "db migrate")
_NEWEST = ("latest", "newest", "last", "head", "max")
_BEFORE = ("prev", "previous", "before", "head~1", "head^", "^", "~1", "old", "last-good")


def prompt(database: Database, name: str, words: Sequence[str]) -> str:
    """Return the command that shows the prompt with the nearest name. If there is none, return `promptctl list`.

    A command that needs values or a message is repeated with the nearest name, so that they need not be typed again.
    """
    try:
        names = prompt_lists.prompt_names(database, limit=20_000)
    except errors.PromptctlError:
        return "promptctl list"
    reference = _reference(name, set(names))
    if reference is None:
        by_lower_case = {name.lower(): name for name in names}
        near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
        if not near:
            return "promptctl list"
        reference = by_lower_case[near[0]]
    if fast_reader.command(words)[0] in _WITH_VALUES:
        # The first word may be a name too, as in `promptctl chat chat`.
        line = [words[0], *(_renamed(word, name, reference) for word in words[1:])]
        if line != list(words):
            return command_line.for_shell(line)
    return f"promptctl show {reference}"


def _renamed(word: str, name: str, reference: str) -> str:
    """Return a word that is a name, or a version of it, with another name; any other word as it is."""
    prompt_name, at, version = word.partition("@")
    if prompt_name != name:
        return word
    return reference if "@" in reference else f"{reference}{at}{version}"


def _reference(name: str, names: set[str]) -> str | None:
    """Return the reference that a name with a version or a folder in it means: `D/2`, `D-v2`, `prompts/D`."""
    stem = name.rstrip("0123456789")
    number = name[len(stem) :]
    if number and number[0] != "0" and len(number) < 10:
        for ending in ("/", "-", "_", ".", "/v", "-v", "_v", ".v"):
            if stem.endswith(ending) and stem.removesuffix(ending) in names:
                return f"{stem.removesuffix(ending)}@{number}"
    # Without its first folders: `prompts/D` means `D`.
    parts = name.split("/")
    return next((rest for place in range(1, len(parts)) if (rest := "/".join(parts[place:])) in names), None)


def count_words_before_names(database: Database, words: Sequence[str]) -> int:
    """Return the number of words up to the last one that is not a prompt's name. The last word counts as a name."""
    try:
        names = set(prompt_lists.prompt_names(database, limit=20_000))
    except errors.PromptctlError:
        return 0
    return max((place + 1 for place, word in enumerate(words[:-1]) if "@" not in word and word not in names), default=0)


def access(database: Database, message: str, words: Sequence[str]) -> str | None:
    """Return how the login gets the access that a command needs, None without an answer or without a schema."""
    try:
        login, owner, resolves = administration.read_login(database)
    except errors.PromptctlError:
        return None
    _, is_for_database, name = message.rpartition("for database ")
    if is_for_database:
        return f"ask its owner to run in psql: grant create on database {name} to {_identifier(login)}"
    if owner is None:
        return None
    command, rest = fast_reader.command(words)
    if command in _OWNER_ONLY:
        arguments = [word for word in rest if not word.startswith("-") or word == "--as"]
        # With --database-url, its value would be among these words.
        repeated = arguments if command == "db grant" and "--database-url" not in rest else []
        return f"ask {owner}, the owner of the schema, to run: promptctl {shlex.join([*command.split(' '), *repeated])}"
    # `split NAME` without a share only shows the split.
    is_reading = command in _READING or (command == "split" and sum(not word.startswith("-") for word in rest) == 1)
    if is_reading and resolves:
        # The login of an application keeps its access: a grant would replace it.
        return f"connect as a login with access viewer or operator: {shlex.quote(login)} has access application"
    needed = "viewer" if is_reading else "ticker" if command in _TICKING else "operator"
    return f"ask {owner}, the owner of the schema, to run: promptctl db grant {shlex.quote(login)} --as {needed}"


def version(words: Sequence[str]) -> str | None:
    """Return the command to run instead of one with an invalid version, such as `D@latest`. None if unknown."""
    for place, word in enumerate(words):
        name, at, number = word.partition("@")
        if not at or word.startswith("-"):
            continue
        try:
            references.check_name(name)
        except errors.Usage:
            continue
        if (number[:1] == "-" and number[1:].isdigit()) or number.lower() in _BEFORE:
            return f"promptctl history {name}"
        if number.lower() in _NEWEST:
            newest = _newest(words, name)
            if newest is None:
                return f"promptctl show {name}"
            return command_line.for_shell([*words[:place], f"{name}@{newest}", *words[place + 1 :]])
        if number.isascii() and number.isdigit() and number[0] != "0" and int(number) <= references.HIGHEST_VERSION:
            continue
        return f"promptctl show {name}"
    # The invalid version may be the value of an option: `rollback D --to latest`.
    command, rest = fast_reader.command(words)
    name = rest[0].partition("@")[0] if rest else ""
    if command in ("rollback", "deactivate"):
        try:
            return f"promptctl history {references.check_name(name)}"
        except errors.Usage:
            return None
    return None


def _newest(words: Sequence[str], name: str) -> int | None:
    """Return the newest version of a prompt, None if no server answers. Starts no server."""
    read = fast_reader.read(words)
    url = read[1]["database_url"] if read else None
    os.environ.setdefault("PGCONNECT_TIMEOUT", "2")
    try:
        with connecting.connect(url, starts=False) as opened:
            return next(iter(prompt_lists.version_numbers(opened, name, 1)), None)
    except errors.PromptctlError:
        return None


def _identifier(name: str) -> str:
    """Return a name as an SQL identifier, quoted where it must be."""
    plain = name.isascii() and name.isidentifier() and name.islower()
    return name if plain else '"' + name.replace('"', '""') + '"'
