"""Format a command line for a hint: quoted for a shell, without a password. Pure functions."""

from __future__ import annotations

_PROGRAM = "promptctl "

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def pasted(words: Sequence[str]) -> str:
    """Return `promptctl` and the words, quoted for a shell. `URL` replaces a URL with a password."""
    import shlex

    line = ["promptctl", *words]
    for place, word in enumerate(line):
        option, equals, value = word.partition("=")
        if option == "--database-url" and equals:
            line[place] = f"{option}={_without_password(value)}"
        elif line[place - 1] == "--database-url":
            line[place] = _without_password(word)
    return shlex.join(line)


def changed(words: Sequence[str], more: Sequence[str], left_out: str | None = None) -> list[str]:
    """Return the words with `more` after them, and without the last word that equals `left_out`."""
    remaining = list(words)
    if left_out is not None and left_out in remaining:
        del remaining[len(remaining) - 1 - remaining[::-1].index(left_out)]
    end = remaining.index("--") if "--" in remaining else len(remaining)
    rest = remaining[end:] if len(remaining) > end + 1 else []
    return [*remaining[:end], *more, *rest]


def on_same_database(hint: str, words: Sequence[str]) -> str:
    """Return a hint whose commands use the same --database-url as the words; without it, they could use another one.

    The option goes directly after `promptctl`, because the rest of a hint may be a redirection or an explanation.
    """
    url = value_of("--database-url", words)
    if url is None or not hint or "--database-url" in hint:
        return hint
    import shlex

    option = f"--database-url {shlex.quote(_without_password(url))}"
    parts = hint.split(" && ")
    return " && ".join(
        f"promptctl {option} {part[len(_PROGRAM) :]}" if part.startswith(_PROGRAM) and "--help" not in part else part
        for part in parts
    )


def value_of(option: str, words: Sequence[str]) -> str | None:
    """Return the last value of an option in words that may be incomplete, None if it has none."""
    value = None
    for place, word in enumerate(words):
        spelling, equals, rest = word.partition("=")
        if spelling == option:
            value = rest if equals else words[place + 1] if place + 1 < len(words) else None
    return value


def _without_password(url: str) -> str:
    """Return the URL, or `URL` where it has a password: pipelines keep standard error in their logs."""
    return "URL" if "password" in url.lower() or ":" in url.partition("://")[2].rpartition("@")[0] else url
