"""A text without quotes that runs on into the arguments. Pure."""

from __future__ import annotations

from promptctl.cli.table import COMMANDS, SHARED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_TEXTS = ("reason", "description", "author", "meta", "var", "default", "at", "since", "seed", "attribute")

_NEED_VERSIONS = ("activate", "split", "erase")
_TAKE_NAMES = ("rollback", "deactivate", "delete")


def place(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of the first and behind the last word of a text that runs on."""
    known = COMMANDS[name]["options"] | SHARED
    is_argument_before = False
    at = 0
    while at < len(rest):
        word = rest[at]
        if word == "--":
            return None
        if word == "-" or not word.startswith("-"):
            is_argument_before = True
            at += 1
            continue
        option, equals, value = word.partition("=")
        parameter, kind = known.get(option, ("", "flag"))
        if kind == "flag":
            at += 1
            continue
        first = at if equals else at + 1
        end = first + 1
        text = value if equals else "".join(rest[first:end])
        while end < len(rest) and not rest[end].startswith("-"):
            end += 1
        runs_on = end > first + 1 and bool(text) and not any(character.isspace() for character in text)
        follows = rest[first + 1 : end]
        if (
            parameter in _TEXTS
            and is_argument_before
            and runs_on
            # A text that has been quoted, a reference and a share are no part of this one.
            and not any(" " in each or "\n" in each or "@" in each or each.endswith("%") for each in follows)
        ):
            return first, end
        if name in _NEED_VERSIONS and parameter in _TEXTS and not is_argument_before and runs_on:
            # The option stands before all arguments: what has no version is no argument.
            count = next((number for number, each in enumerate(follows) if "@" in each), 0)
            if count:
                return first, first + 1 + count
        at = first + 1
    return None


def before_names(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of an option's text of one word and behind the names that follow, where that may run on.

    For example `rollback --reason too concise D`, where the option stands before several names.
    """
    known = COMMANDS[name]["options"] | SHARED
    if name not in _TAKE_NAMES:
        return None
    for at, word in enumerate(rest):
        parameter, kind = known.get(word.partition("=")[0], ("", ""))
        if not kind:
            return None
        if parameter in _TEXTS and kind != "flag":
            first = at if "=" in word else at + 1
            end = first + 1
            while end < len(rest) and not rest[end].startswith("-"):
                end += 1
            return (first, end) if end > first + 2 and " " not in "".join(rest[first : first + 1]) else None
    return None
