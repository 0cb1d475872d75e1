"""Find a text of several words whose quotes are missing, so that its last words look like arguments. Pure functions."""

from __future__ import annotations

from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.parameters import FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Options whose text may have several words.
_TEXTS = ("reason", "description", "author", "meta", "var", "default", "at", "since", "seed", "attribute")
# Commands whose arguments need a version, and commands whose arguments may be names.
_NEED_VERSIONS = ("activate", "split", "erase")
_NEED_NAMES = ("rollback", "deactivate", "delete")


def find(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return the range of words, first and end, of a text without quotes. None if every text has its quotes."""
    options = COMMANDS[name].options
    has_argument = False
    at = 0
    while at < len(rest):
        word = rest[at]
        if word == "--":
            return None
        if word == "-" or not word.startswith("-"):
            has_argument = True
            at += 1
            continue
        spelling, equals, value = word.partition("=")
        option = options.get(spelling)
        if option is None or option.kind == FLAG:
            at += 1
            continue
        first = at if equals else at + 1
        end = _next_option(rest, first + 1)
        text = value if equals else "".join(rest[first : first + 1])
        is_one_word = bool(text) and not any(character.isspace() for character in text)
        if option.name in _TEXTS and is_one_word and end > first + 1:
            following = rest[first + 1 : end]
            # An argument precedes the option, so the words after its text belong to the text.
            if has_argument and not any(_is_separate(word) for word in following):
                return first, end
            if name in _NEED_VERSIONS and not has_argument:
                # The option precedes all arguments, so each word before the first version belongs to the text.
                count = next((place for place, word in enumerate(following) if "@" in word), 0)
                if count:
                    return first, first + 1 + count
        at = first + 1
    return None


def before_names(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return the range of words in which a text without quotes may precede names. None for any other line.

    In `rollback --reason too concise D` it is `too concise D`. Only the database can separate the text from the names.
    """
    options = COMMANDS[name].options
    if name not in _NEED_NAMES:
        return None
    for at, word in enumerate(rest):
        option = options.get(word.partition("=")[0])
        if option is None:
            return None
        if option.name in _TEXTS and option.kind != FLAG:
            first = at if "=" in word else at + 1
            end = _next_option(rest, first + 1)
            return (first, end) if end > first + 2 and " " not in "".join(rest[first : first + 1]) else None
    return None


def _next_option(rest: Sequence[str], place: int) -> int:
    """Return the place of the next option, from a place on, or the number of words if there is none."""
    while place < len(rest) and not rest[place].startswith("-"):
        place += 1
    return place


def _is_separate(word: str) -> bool:
    """Whether a word is a quoted text, a reference or a share, and so not a part of an unquoted text."""
    return " " in word or "\n" in word or "@" in word or word.endswith("%")
