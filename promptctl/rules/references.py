"""Names and references: what may be called a prompt, and `NAME@VERSION`.

The same rules stand as constraints in schema.sql; here they give an answer before a connection is made.
"""

from __future__ import annotations

from promptctl import errors
from promptctl.records import Record


class Reference(Record):
    """`NAME@VERSION`, or a bare `NAME`, which means its active version."""

    __slots__ = ()
    name: str
    version: int | None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


def short_hash(commit: str) -> str:
    """Return a commit's hash as people write it."""
    return commit[:7]


HIGHEST_VERSION = 2147483647
LONGEST_NAME = 200

_FIRST = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_REST = _FIRST | {".", "-"}


def quoted(text: str) -> str:
    """A user's word, quoted for one line of a terminal: control characters escaped, at most 80 characters."""
    cut = text if len(text) <= 80 else text[:79] + "…"
    return '"' + "".join(c if c.isprintable() else _escaped(c) for c in cut) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    # A byte of an argument that is not UTF-8 arrives as a lone surrogate.
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else character.encode("unicode_escape").decode()


def check_name(name: str) -> str:
    """Return `name` if it may name a prompt; raises Usage, saying what is wrong with it."""
    if not name:
        raise errors.Usage("invalid_name", "the name is empty")
    if len(name) > LONGEST_NAME:
        raise errors.Usage(
            "invalid_name", f"the name {quoted(name)} has {len(name)} characters: at most {LONGEST_NAME} are allowed"
        )
    for segment in name.split("/"):
        bad = next((character for character in segment if character not in _REST), None)
        if not segment or segment[0] not in _FIRST or bad is not None:
            look_alike = f" (U+{ord(bad):04X})" if bad is not None and bad.isprintable() and not bad.isascii() else ""
            what = (
                f"it has {quoted(bad)}{look_alike}"
                if bad is not None
                else "a segment is empty or begins with a dot or a dash"
            )
            raise errors.Usage(
                "invalid_name",
                f"{quoted(name)} cannot name a prompt: {what}",
                hint="names are letters, digits, dot, dash and underscore, in segments joined by /",
            )
        if _is_a_file(segment.lower()):
            raise errors.Usage("invalid_name", f"{quoted(name)} cannot name a prompt: {segment} is a file's name")
    if name.isdigit():
        raise errors.Usage("invalid_name", f"{quoted(name)} cannot name a prompt: a number is a version")
    return name


def _is_a_file(segment: str) -> bool:
    if segment in ("prompt.yaml", "prompt.yml"):
        return True
    stem, dot, suffix = segment.partition(".")
    return bool(dot) and suffix in ("txt", "md") and stem[:1] == "v" and stem[1:].isdigit()


def parse_version(text: str) -> int:
    """Return the version that `text` writes: 1 to 2147483647, without sign or leading zeros; raises Usage."""
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) <= 10 and int(text) <= HIGHEST_VERSION:
        return int(text)
    raise errors.Usage("invalid_version", f"{quoted(text)} is not a version: versions are 1 to {HIGHEST_VERSION}")


def parse(text: str) -> Reference:
    """Return the reference that `text` writes, `NAME` or `NAME@VERSION`; raises Usage."""
    name, at, version = text.partition("@")
    return Reference(check_name(name), parse_version(version) if at else None)


def parse_with_version(text: str, command: str, following: str | None = None) -> Reference:
    """As `parse`, but the version must be there; `following` is the next word, for a hint on `NAME 2`."""
    reference = parse(text)
    if reference.version is None:
        following_version = following is not None and following.isascii() and following.isdigit()
        raise errors.Usage(
            "version_missing",
            f"{command} needs a version: {reference.name}@VERSION",
            hint=f"promptctl {command} {reference.name}@{following}"
            if following_version
            else f"promptctl show {reference.name}",
        )
    return reference
