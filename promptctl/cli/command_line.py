"""Format a command line for a hint: quoted for a shell, without a password. Pure functions."""

from __future__ import annotations

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


def changed(words: Sequence[str], more: Sequence[str], leaves_out: str | None = None) -> list[str]:
    """Return the words with `more` after them, and without the last word that equals `leaves_out`."""
    remaining = list(words)
    if leaves_out is not None and leaves_out in remaining:
        del remaining[len(remaining) - 1 - remaining[::-1].index(leaves_out)]
    end = remaining.index("--") if "--" in remaining else len(remaining)
    rest = remaining[end:] if len(remaining) > end + 1 else []
    return [*remaining[:end], *more, *rest]


def _without_password(url: str) -> str:
    """Return the URL, or `URL` where it has a password: pipelines keep standard error in their logs."""
    return "URL" if "password" in url.lower() or ":" in url.partition("://")[2].rpartition("@")[0] else url
