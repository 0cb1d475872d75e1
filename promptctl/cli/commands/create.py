"""promptctl create."""

from __future__ import annotations

import os

from promptctl import errors, references
from promptctl.output import messages, stream
from promptctl.output import prompts as output
from promptctl.store import prompts, versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.cli.options import Activate, Author, Description, File, Meta, NewName, Reason, Text
    from promptctl.cli.run import Run
    from promptctl.database import Database
    from promptctl.records import Created


def create(
    run: Run,
    name: NewName,
    text: Text = None,
    file: File = None,
    activate: Activate = False,
    description: Description = None,
    meta: Meta = None,
    author: Author = None,
    reason: Reason = None,
) -> None:
    """Store a text as a prompt's next version.

    The text is the argument, a file (-f FILE), or standard input (-f -, or
    when it is no terminal and no text is given). On a terminal, with neither,
    the editor opens on the active text. A version is not live until it is
    activated. A text that a version has already returns that version.

    Examples:
      promptctl create greeter "Be kind." --description "The first try"
      promptctl create greeter -f greeter.txt --activate
    """
    references.check_name(name)
    metadata = _metadata(description, meta or [])
    run.author(author)
    from promptctl.cli import content

    if content.is_edited(text, file):
        # The editor needs the active text first, and may stay open for an hour: no connection waits for it.
        with run.database(creates=True) as database:
            before = _active_text(database, name)
        given, written = content.edit(before, name)
    else:
        given, written = content.read(text, file), None
    try:
        with run.database(creates=True) as database:
            made = versions.create(
                database, name, given, metadata=metadata, author=run.who(), activate=activate, reason=reason
            )
    except errors.PromptctlError as failure:
        if written is not None:
            content.keep(failure, written)
        raise
    if written is not None:
        os.unlink(written)
    run.log(
        "Version created" if made.created else "Version found",
        name=made.name,
        version=made.version,
        promptId=made.id,
        author=run.who(),
    )
    if activate and made.previous_version != made.version:
        run.log("Prompt activated", name=made.name, version=made.version, promptId=made.id, author=run.who())

    _answer(run, made, database.label)
    if not made.created and {**made.metadata, **metadata} != made.metadata:
        messages.note(f"the description and metadata of {made.name}@{made.version} stay as they are")


def _answer(run: Run, made: Created, label: str) -> None:
    if run.form == "json":
        from promptctl.output import documents

        documents.show(output.created_document(made))
        return
    reference = f"{made.name}@{made.version}"
    done = f"created {reference}" if made.created else f"{reference} has this text already"
    sentence = f"{done} in {label}{', live' if made.is_active else ', not live'}"
    if run.form == "quiet" or not stream.to_terminal():
        stream.write(f"{reference}\n")
        if run.form == "plain":
            messages.note(sentence)
    else:
        stream.write(sentence + "\n")
        if not made.is_active:
            messages.note(f"promptctl activate {reference} makes it live")


def _active_text(database: Database, name: str) -> str:
    try:
        return prompts.text(database, references.parse(name)).content
    except errors.NotFound:
        return ""


def _metadata(description: str | None, pairs: list[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise errors.Usage("usage", f"--meta takes KEY=VALUE, not {references.shown(pair)}")
        metadata[key] = _value(value)
    if description is not None:
        metadata["description"] = description
    if "\\u0000" in _as_json(metadata):
        raise errors.Usage("nul_in_text", "the metadata has a NUL character, which PostgreSQL cannot store")
    return metadata


def _as_json(metadata: dict[str, Any]) -> str:
    if not metadata:
        return ""
    import json

    return json.dumps(metadata)


def _value(text: str) -> Any:
    """A value that is a JSON number, truth, null, array or object is kept as such; all else is text."""
    if text[:1] not in '-0123456789tfn[{"':
        return text
    import json

    def finite(number: str) -> float:
        if (value := float(number)) - value != 0:
            raise ValueError(number)
        return value

    try:
        return json.loads(text, parse_constant=finite, parse_float=finite)
    except (ValueError, RecursionError):
        return text
