"""Check and parse the names of prompts and references, `NAME@VERSION`. Pure.

Constraints in schema.sql enforce the same rules. Here they are checked before a command connects.
"""

from __future__ import annotations

from promptctl import errors
from promptctl.records import Record

HIGHEST_VERSION = 2147483647
LONGEST_NAME = 200

# The characters that a segment of a name may begin with, and those that it may contain.
_FIRST_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_CHARACTERS = _FIRST_CHARACTERS | {".", "-"}


class Reference(Record):
    """`NAME@VERSION`, or `NAME` for the active version (`version` is None)."""

    name: str
    version: int | None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def short_hash(commit: str) -> str:
    """Return the abbreviated hash of a commit, 7 digits."""
    return commit[:7]


def quoted(text: str) -> str:
    """Return a user's text in double quotes, safe for a terminal: control characters escaped, cut at 80 characters."""
    cut = text if len(text) <= 80 else text[:79] + "…"
    return '"' + "".join(character if character.isprintable() else _escaped(character) for character in cut) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    # If an argument is not UTF-8, Python decodes each wrong byte as one of these lone surrogates.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode()


def check_name(name: str) -> str:
    """Return `name` if it is a valid name of a prompt. Raises Usage (`invalid_name`) with the reason."""
    if not name:
        raise errors.Usage("invalid_name", "the name is empty")
    if len(name) > LONGEST_NAME:
        raise errors.Usage(
            "invalid_name", f"the name {quoted(name)} has {len(name)} characters: at most {LONGEST_NAME} are allowed"
        )
    for segment in name.split("/"):
        if problem := _segment_problem(segment):
            raise errors.Usage(
                "invalid_name",
                f"{quoted(name)} cannot name a prompt: {problem}",
                hint="names are letters, digits, dot, dash and underscore, in segments joined by /",
            )
        if _is_a_file(segment.lower()):
            raise errors.Usage("invalid_name", f"{quoted(name)} cannot name a prompt: {segment} is the name of a file")
    if name.isdigit():
        raise errors.Usage("invalid_name", f"{quoted(name)} cannot name a prompt: a number is a version")
    return name


def _segment_problem(segment: str) -> str | None:
    if not _CHARACTERS.issuperset(segment):
        character = next(character for character in segment if character not in _CHARACTERS)
        # The code distinguishes a character that looks like an ASCII character.
        code = f" (U+{ord(character):04X})" if character.isprintable() and not character.isascii() else ""
        return f"it has {quoted(character)}{code}"
    if not segment or segment[0] not in _FIRST_CHARACTERS:
        return "a segment is empty or begins with a dot or a dash"
    return None


def _is_a_file(segment: str) -> bool:
    """Whether a segment is the name of a version file or of prompt.yaml, so that it cannot be that of a folder."""
    if segment in ("prompt.yaml", "prompt.yml"):
        return True
    stem, dot, suffix = segment.partition(".")
    return bool(dot) and suffix in ("txt", "md") and stem[:1] == "v" and stem[1:].isdigit()


def parse_version(text: str) -> int:
    """Return the version number in `text`, 1 to 2147483647 without sign or leading zeros.

    Raises Usage (`invalid_version`) for any other text.
    """
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 10 and int(text) <= HIGHEST_VERSION:
        return int(text)
    raise errors.Usage("invalid_version", f"{quoted(text)} is not a version: versions are 1 to {HIGHEST_VERSION}")


def parse(text: str) -> Reference:
    """Return the reference in `text`, `NAME` or `NAME@VERSION`. Raises Usage (`invalid_name`, `invalid_version`)."""
    name, at, version = text.partition("@")
    return Reference(check_name(name), parse_version(version) if at else None)


def parse_with_version(text: str, command: str, following: str | None = None) -> Reference:
    """Return the reference in `text`. Raises Usage (`version_missing`) for a reference without a version.

    The hint is about `command`. `following` is the next word of the command line: if it is a number, as in `NAME 2`,
    the hint proposes `NAME@2`.
    """
    reference = parse(text)
    if reference.version is None:
        is_number = following is not None and following.isascii() and following.isdigit()
        raise errors.Usage(
            "version_missing",
            f"{command} needs a version: {reference.name}@VERSION",
            hint=f"promptctl {command} {reference.name}@{following}"
            if is_number
            else f"promptctl show {reference.name}",
        )
    return reference
