"""Find a text of several words whose quotes are missing, so that its last words look like arguments. Pure functions."""

from __future__ import annotations

from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.parameters import FLAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Options whose text may have several words.
_TEXTS = ("reason", "description", "author", "meta", "var", "default", "at", "since", "seed", "attribute")
_NEED_VERSIONS = ("activate", "split", "erase")
_NEED_NAMES = ("rollback", "deactivate", "delete")


def find(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of the text's first word and after its last word, None where no text lacks its quotes."""
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
        end = _end(rest, first + 1)
        text = value if equals else "".join(rest[first : first + 1])
        has_more = end > first + 1 and bool(text) and not any(character.isspace() for character in text)
        if option.name in _TEXTS and has_more:
            following = rest[first + 1 : end]
            if has_argument and not any(_is_separate(word) for word in following):
                return first, end
            if name in _NEED_VERSIONS and not has_argument:
                # The option precedes all arguments: a word without a version is part of the text.
                count = next((place for place, word in enumerate(following) if "@" in word), 0)
                if count:
                    return first, first + 1 + count
        at = first + 1
    return None


def before_names(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of an option's text of one word and after the names that follow it, where the text may go on.

    For example `rollback --reason too concise D`, where the option precedes several names.
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
            end = _end(rest, first + 1)
            return (first, end) if end > first + 2 and " " not in "".join(rest[first : first + 1]) else None
    return None


def _end(rest: Sequence[str], place: int) -> int:
    """Return the place of the first option from a place on, or the number of words."""
    while place < len(rest) and not rest[place].startswith("-"):
        place += 1
    return place


def _is_separate(word: str) -> bool:
    """Whether a word is not part of an unquoted text: a quoted text, a reference, a share."""
    return " " in word or "\n" in word or "@" in word or word.endswith("%")
