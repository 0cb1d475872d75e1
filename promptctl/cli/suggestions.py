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
    "list", "show", "render", "diff", "history", "stats", "export", "resolve", "route show", "release list",
    "release show",
)  # fmt: skip
_OWNER_ONLY = ("db grant", "db init", "db migrate")
_NEWEST = ("latest", "newest", "last", "head", "max")
_BEFORE = ("prev", "previous", "before", "head~1", "head^", "^", "~1", "old", "last-good")


def prompt(database: Database, name: str) -> str:
    """Return the command that shows the prompt with the nearest name, or else the one that lists all prompts."""
    try:
        names = prompt_lists.prompt_names(database, limit=20_000)
    except errors.PromptctlError:
        return "promptctl list"
    if reference := _reference(name, set(names)):
        return f"promptctl show {reference}"
    by_lower_case = {name.lower(): name for name in names}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1)
    return f"promptctl show {by_lower_case[near[0]]}" if near else "promptctl list"


def _reference(name: str, names: set[str]) -> str | None:
    """Return the reference that a name with a version or a folder in it means: `D/2`, `D-v2`, `prompts/D`."""
    stem = name.rstrip("0123456789")
    number = name[len(stem) :]
    if number and number[0] != "0" and len(number) < 10:
        for ending in ("/", "-", "_", ".", "/v", "-v", "_v", ".v"):
            if stem.endswith(ending) and stem.removesuffix(ending) in names:
                return f"{stem.removesuffix(ending)}@{number}"
    parts = name.split("/")
    return next((rest for place in range(1, len(parts)) if (rest := "/".join(parts[place:])) in names), None)


def count_words_before_names(database: Database, words: Sequence[str]) -> int:
    """Return how many of the first words are not names, up to the last such word. The last word is a name."""
    try:
        names = set(prompt_lists.prompt_names(database, limit=20_000))
    except errors.PromptctlError:
        return 0
    return max((place + 1 for place, word in enumerate(words[:-1]) if "@" not in word and word not in names), default=0)


def access(database: Database, message: str, words: Sequence[str]) -> str | None:
    """Return how the connected login gets the access that a command needs, None where the database does not answer."""
    try:
        login, owner, resolves = administration.read_login(database)
    except errors.PromptctlError:
        return None
    _, of_database, name = message.rpartition("for database ")
    if of_database:
        return f"ask its owner to run in psql: grant create on database {name} to {_identifier(login)}"
    if owner is None:
        return None
    command, rest = fast_reader.command(words)
    if command in _OWNER_ONLY:
        repeated = [word for word in rest if not word.startswith("-") or word == "--as"]
        line = repeated if command == "db grant" and "--database-url" not in rest else []
        return f"ask {owner}, the owner of the schema, to run: promptctl {shlex.join([*command.split(' '), *line])}"
    reads = command in _READING or (command == "split" and sum(not word.startswith("-") for word in rest) == 1)
    if reads and resolves:
        # A grant would replace the access that the application needs.
        return f"connect as a login with access viewer or operator: {shlex.quote(login)} has access application"
    needed = "viewer" if reads else "operator"
    return f"ask {owner}, the owner of the schema, to run: promptctl db grant {shlex.quote(login)} --as {needed}"


def version(words: Sequence[str]) -> str | None:
    """Return the command that replaces one with `D@latest` or `D@-1`, None where no word is such a reference."""
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
            return command_line.pasted([*words[:place], f"{name}@{newest}", *words[place + 1 :]])
        if number.isascii() and number.isdigit() and number[0] != "0" and int(number) <= references.HIGHEST_VERSION:
            continue
        return f"promptctl show {name}"
    command, rest = fast_reader.command(words)
    name = rest[0].partition("@")[0] if rest else ""
    if command in ("rollback", "deactivate"):
        try:
            return f"promptctl history {references.check_name(name)}"
        except errors.Usage:
            return None
    return None


def _newest(words: Sequence[str], name: str) -> int | None:
    """Return the newest version of a prompt, None where no server answers. Starts no server."""
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
