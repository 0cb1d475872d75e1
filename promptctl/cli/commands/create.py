"""promptctl create."""

from __future__ import annotations

import os

from promptctl import errors
from promptctl.output import messages, stream
from promptctl.output import prompt_view as output
from promptctl.rules import invisible_characters, references, template_syntax, templates
from promptctl.store import prompts, versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database
    from promptctl.store.versions import Created


def create(
    run: Run,
    name: str,
    text: str | None = None,
    file: str | None = None,
    literal: str | None = None,
    activate: bool = False,
    allow_new_variables: bool = False,
    template: str | None = None,
    default: list[str] | None = None,
    model: str | None = None,
    max_tokens: int | None = None,
    description: str | None = None,
    meta: list[str] | None = None,
    author: str | None = None,
    reason: str | None = None,
    allow_secrets: bool = False,
) -> None:
    """Store a text as the next version of a prompt.

    The text is TEXT, a file (-f FILE) or standard input (-, or no text in a pipe).
    On a terminal without a text, create opens an editor on the active text. An
    argument that is the name of a file or starts with @ is refused: use -f to read
    the file, or --text to store the argument itself.

    The new version is not active until you activate it. If a version with the same
    text and settings exists, create returns that version. The answer lists the
    variables in the text: {name}, or {{name}} with --template mustache.

    Examples:
      promptctl create greeter "Be kind." --description "The first try"
      git show main:greeter.txt | promptctl create greeter -
      promptctl create greeter -f greeter.txt --activate
      promptctl create greeter "Greet {user.name}." --default user.name=you
    """
    references.check_name(name)
    metadata = _metadata(description, meta or [])
    settings = _settings(template, default or [], model, max_tokens)
    for option, texts in (
        ("--reason", [reason]),
        ("--description", [description]),
        ("--meta", meta),
        ("--default", default),
    ):
        for given in texts or []:
            run.refuse_secrets(option, given, allowed=allow_secrets)
    from promptctl.cli import content

    text, file = content.chosen(text, literal, file)
    run.author(author)
    if content.is_edited(text, file):
        # The editor needs the active text first, and may stay open for an hour: no connection waits for it.
        with run.database(creates=True) as database:
            before = _active_text(database, name)
        given, written = content.edit(before, name)
    else:
        given, written = content.read(text, file), None
    try:
        source = "the text" if file is None else "standard input" if file == "-" else file
        run.refuse_secrets(source, given, allowed=allow_secrets)
        if default:
            _check_defaults(given, settings)
        with run.database(creates=True) as database:
            made = versions.create(
                database,
                name,
                given,
                metadata=metadata,
                settings=settings,
                author=run.who(),
                activate=activate,
                reason=reason,
                allow_new_variables=allow_new_variables,
            )
    except errors.PromptctlError as failure:
        if failure.code == "new_variables":
            # The version is not stored, so there is nothing to compare.
            failure.hint, failure.again = None, ("--allow-new-variables",)
            style = "" if template else "where braces are text: --template none; or "
            failure.before_again = f"{style}--default NAME=TEXT; else "
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
    if run.form == "plain":
        for sentence in templates.double_brace_warnings(given, settings):
            messages.note(sentence)
        if hidden := invisible_characters.summary(made.content):
            messages.note(f"{made.name}@{made.version} {hidden}: promptctl show {made.name}@{made.version} shows where")
    if not made.created and {**made.metadata, **metadata} != made.metadata:
        messages.note(f"the description and metadata of {made.name}@{made.version} stay as they are")
    if reason is not None and not activate:
        messages.note("the reason is not recorded: it says why a version is activated, --description describes it")


def _answer(run: Run, made: Created, label: str) -> None:
    if run.form == "json":
        from promptctl.output import documents

        documents.show(output.created_document(made))
        return
    reference = f"{made.name}@{made.version}"
    done = f"created {reference}" if made.created else f"{reference} has this text already"
    sentence = f"{done} in {label}, {output.size(made.content)}, {'active' if made.is_active else 'not active'}"
    if run.form == "quiet" or not stream.to_terminal():
        stream.write(f"{reference}\n")
        if run.form == "plain":
            messages.note(sentence)
            output.note_variables(made.variables, made.settings)
    else:
        stream.write(sentence + "\n")
        output.note_variables(made.variables, made.settings)
        if not made.is_active:
            messages.note(f"promptctl activate {reference} makes it active")


def _active_text(database: Database, name: str) -> str:
    try:
        return prompts.text(database, references.parse(name)).content
    except errors.NotFound:
        return ""


def _settings(template: str | None, defaults: list[str], model: str | None, max_tokens: int | None) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if template is not None:
        from promptctl.cli import variables as given_variables

        given_variables.check_style(template)
        settings["template"] = template
    variables: dict[str, dict[str, str]] = {}
    for pair in defaults:
        name, equals, text = pair.partition("=")
        if not equals or not template_syntax.is_path(name):
            raise errors.Usage("usage", f"--default takes NAME=TEXT, not {references.quoted(pair)}")
        variables[name] = {"default": text}
    if variables:
        settings["variables"] = variables
    if model is not None:
        if not model.strip():
            raise errors.Usage("usage", "--model is empty")
        settings["model"] = model
    if max_tokens is not None:
        from promptctl.cli import numbers

        numbers.check("--max-tokens", max_tokens)
        settings["max_tokens"] = max_tokens
    return settings


def _check_defaults(content: str, settings: dict[str, Any]) -> None:
    """Raise Usage for a default of a variable that does not stand in the text: it is misspelt, here or there."""
    found: tuple[str, ...] = templates.Template(content, settings).variables
    unknown: list[str] = [name for name in settings["variables"] if name not in found]
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown[0], found, n=1)
        known = f"is {near[0]} meant?" if near else f"it has {', '.join(found) or 'none'}"
        raise errors.Usage("variable_unknown", f"--default: the text has no variable {unknown[0]}: {known}")


def _metadata(description: str | None, pairs: list[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise errors.Usage("usage", f"--meta takes KEY=VALUE, not {references.quoted(pair)}")
        try:
            metadata[key] = _value(value)
        except ValueError as problem:
            raise errors.Usage("usage", f"--meta {references.quoted(key)}: {problem}") from None
    if description is not None:
        metadata["description"] = description
    return metadata


def _value(text: str) -> Any:
    """A value that is a JSON number, truth, null, array or object is kept as such; all else is text.

    Raises ValueError for a text in quotes, an array or an object that PostgreSQL cannot hold, and for a number that is
    not written as it would be shown: a release 1.10 is no 1.1.
    """
    if text[:1] not in '-0123456789tfn[{"':
        return text
    import json
    import shlex

    from promptctl.rules import json_documents

    try:
        value = json_documents.parse(text, once=True)
    except json_documents.NotJson:
        return text
    except json_documents.InvalidDocument:
        if text[:1] in '"[{':
            raise
        return text
    is_number = type(value) in (int, float) and "e" not in text.lower()
    if is_number and (shown := json.dumps(value)) != text and "e" not in shown:
        raise ValueError(f"{text} is read as {shown}: for a text write {shlex.quote(json.dumps(text))}")
    return value
