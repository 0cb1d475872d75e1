"""The values of --format."""

from __future__ import annotations

from promptctl import errors
from promptctl.rules import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

CHOICES = ("text", "markdown", "json")
OF_STATS = ("text", "markdown", "csv", "json", "prometheus")
# Names that other tools have for these formats and for --quiet.
_SYNONYMS = {
    "md": "markdown", "gfm": "markdown", "github": "markdown", "table": "text", "plain": "text", "tsv": "text",
    "yaml": "json", "name": "--quiet", "names": "--quiet", "quiet": "--quiet",
}  # fmt: skip


def select(form: str, format: str, choices: Sequence[str] = CHOICES) -> str:
    """Return the form of an answer: that of --format, where text is `plain`. `form` is that of --json and --quiet.

    Raises Usage for a format that is not one of `choices`, and for one that contradicts --json or --quiet.
    """
    if format not in choices:
        raise _unknown(format, choices)
    if form not in ("plain", format):
        raise errors.Usage("usage", f"use only one of --format {format} and --{form}")
    return "plain" if format == "text" else format


def _unknown(format: str, choices: Sequence[str]) -> errors.Usage:
    import difflib

    written = format.lower()
    near = [_SYNONYMS[written]] if written in _SYNONYMS else difflib.get_close_matches(written, choices, n=1)
    advice = f"did you mean {near[0]}? Use" if near else "use"
    listed = f"{', '.join(choices[:-1])} or {choices[-1]}"
    return errors.Usage("usage", f"invalid format {references.quoted(format)}: {advice} {listed}")
