"""The parts that answers of several commands have in common. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import messages, stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from promptctl.output.table_columns import Column, Value


def write_references(references: Iterable[tuple[str, int | None]]) -> None:
    """Write one reference per line: `NAME@VERSION`, or `NAME` without a version."""
    stream.write("".join([f"{name}\n" if version is None else f"{name}@{version}\n" for name, version in references]))


def write_line(text: str, style: str | None = None) -> None:
    """Write a line of an answer that people read: with escaped controls, in Markdown also without syntax.

    `style` is that of `stream.styled`, for a terminal.
    """
    if stream.is_markdown():
        from promptctl.output import markdown

        # The blanks break the line. A line feed alone would be a blank.
        stream.write(f"{markdown.escaped(text)}  \n")
    else:
        line = stream.one_line(text)
        stream.write((stream.styled(line, style) if style else line) + "\n")


def write_content(content: str) -> None:
    """Write the text of a prompt as `stream.write_content` does, in Markdown as a block of code."""
    if stream.is_markdown():
        from promptctl.output import markdown

        stream.write(markdown.fenced(content))
    else:
        stream.write_content(content)


def write_json_text(text: str) -> None:
    """Write JSON that is the answer, in Markdown as a block of code."""
    if stream.is_markdown():
        from promptctl.output import markdown

        text = markdown.fenced(text, "json")
    stream.write(text)


def write_fact(heading: str, text: str) -> None:
    """Write a heading and a text as a line of an answer that people read."""
    if stream.is_markdown():
        write_line(f"{heading}: {text}")
    else:
        stream.write(f"{stream.styled(heading, stream.DIM)}  {stream.one_line(text)}\n")


def note_or_write_line(text: str) -> None:
    """Write a line about the answer: as a note on standard error, in Markdown as a part of the answer."""
    if stream.is_markdown():
        write_line(text)
    else:
        messages.note(text)


def show_changes(sentences: Sequence[str], columns: Sequence[Column], rows: Sequence[Sequence[Value]]) -> None:
    """Show changes in the form plain.

    A terminal gets a sentence per change. A pipe gets a row per change, and the sentences on standard error. Markdown
    has both.
    """
    if stream.to_terminal():
        stream.write("".join([stream.one_line(sentence) + "\n" for sentence in sentences]))
        return
    from promptctl.output import tables

    if stream.is_markdown():
        for sentence in sentences:
            write_line(sentence)
        stream.write("\n")
        tables.show(columns, rows)
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
