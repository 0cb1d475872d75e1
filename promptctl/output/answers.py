"""The parts that answers of several commands have in common. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import messages, stream, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from promptctl.output.table_columns import Column, Value


def write_references(references: Iterable[tuple[str, int | None]]) -> None:
    """Write one reference per line: `NAME@VERSION`, or `NAME` without a version."""
    stream.write("".join([f"{name}\n" if version is None else f"{name}@{version}\n" for name, version in references]))


def show_changes(sentences: Sequence[str], columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> None:
    """Show changes in the form plain.

    A terminal gets a sentence per change. A pipe gets a row per change, and the sentences on standard error.
    """
    if stream.to_terminal():
        stream.write("".join([stream.one_line(sentence) + "\n" for sentence in sentences]))
        return
    tables.show(columns, rows)
    for sentence in sentences:
        messages.note(sentence)


def show_sentences(sentences: Sequence[str], document: Mapping[str, Any], form: str, quiet: str = "") -> None:
    """Show an answer that consists of sentences. A terminal gets them on standard output, a pipe on standard error.

    JSON has the sentences as `message`, before the keys of `document`. The form quiet writes the text `quiet`.
    """
    if form == "json":
        stream.write_json({"message": "; ".join(sentences), **document})
    elif form == "quiet":
        stream.write(quiet)
    elif stream.to_terminal():
        stream.write("".join(f"{sentence}\n" for sentence in sentences))
    else:
        for sentence in sentences:
            messages.note(sentence)


def note_dry_run() -> None:
    """Report that a dry run changed nothing."""
    messages.note("dry run: nothing was changed")


def note_omitted(number: int, kind: str) -> None:
    """Report how many rows `--limit` leaves out, if any; `kind` is "more" or "older"."""
    if number > 0:
        messages.note(f"{number} {kind}: --limit 0 shows all")
