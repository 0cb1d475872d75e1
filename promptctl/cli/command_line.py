"""A command line as a hint: quoted for a shell, to be pasted, without a password. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def pasted(words: Sequence[str]) -> str:
    """Return `promptctl` and its words as a person types them into a shell; a URL with a password becomes `URL`."""
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
    """Return the words with `more` after them, and without the last one that is `leaves_out`."""
    kept = list(words)
    if leaves_out is not None and leaves_out in kept:
        del kept[len(kept) - 1 - kept[::-1].index(leaves_out)]
    end = kept.index("--") if "--" in kept else len(kept)
    rest = kept[end:] if len(kept) > end + 1 else []
    return [*kept[:end], *more, *rest]


def _without_password(url: str) -> str:
    """What is written to standard error stands in the log of a pipeline."""
    return "URL" if "password" in url.lower() or ":" in url.partition("://")[2].rpartition("@")[0] else url
