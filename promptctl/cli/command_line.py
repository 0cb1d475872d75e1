"""Format a command line for a hint: quoted for a shell, without a password. Pure functions."""

from __future__ import annotations

_PROGRAM = "promptctl "

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def for_shell(words: Sequence[str]) -> str:
    """Return `promptctl` and the words, quoted for a shell. `URL` replaces a URL that contains a password."""
    import shlex

    line = ["promptctl", *words]
    for place, word in enumerate(line):
        option, equals, value = word.partition("=")
        if option == "--database-url" and equals:
            line[place] = f"{option}={_without_password(value)}"
        elif line[place - 1] == "--database-url":
            line[place] = _without_password(word)
    return shlex.join(line)


def with_options(words: Sequence[str], options: Sequence[str], without: str | None = None) -> list[str]:
    """Return the words with more options, which are added before any `--`.

    `without` is an argument that the options replace: its last occurrence is removed.
    """
    remaining = list(words)
    if without is not None and without in remaining:
        del remaining[len(remaining) - 1 - remaining[::-1].index(without)]
    end = remaining.index("--") if "--" in remaining else len(remaining)
    # A `--` with no argument after it is dropped.
    rest = remaining[end:] if len(remaining) > end + 1 else []
    return [*remaining[:end], *options, *rest]


def on_same_database(hint: str, words: Sequence[str]) -> str:
    """Return the hint with the --database-url of the words in each of its commands.

    Without the option, a command could use another database. The option goes directly after `promptctl`, because the
    rest of a hint may be a redirection or an explanation.
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
    """Return the last value of an option, None if it has none. The words may be incomplete."""
    value = None
    for place, word in enumerate(words):
        spelling, equals, rest = word.partition("=")
        if spelling == option:
            following = words[place + 1] if place + 1 < len(words) else None
            value = rest if equals else following
    return value


def _without_password(url: str) -> str:
    """Return the URL, or `URL` if it contains a password: pipelines keep standard error in their logs."""
    user = url.partition("://")[2].rpartition("@")[0]
    return "URL" if "password" in url.lower() or ":" in user else url
