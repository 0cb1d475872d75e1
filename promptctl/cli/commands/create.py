"""promptctl create."""

from __future__ import annotations

import os

from promptctl import errors
from promptctl.output import messages, stream
from promptctl.output import prompt_view as output
from promptctl.rules import invisible_characters, references, requests, template_syntax, templates
from promptctl.store import version_texts, versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database
    from promptctl.store.versions import CreatedVersion


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
    request: str | None = None,
    request_set: list[str] | None = None,
    cache: str | None = None,
    description: str | None = None,
    meta: list[str] | None = None,
) -> None:
    """Store a text as the next version of a prompt.

    The text is TEXT or the content of a file (-f FILE). If TEXT is -, it is read
    from standard input. Without a text, create reads a pipe if there is one, and
    on a terminal opens an editor on the active text. TEXT must not be the name of
    a file or start with @: use -f to read the file, or --text to store TEXT as it
    is.

    The new version is not active until you activate it. If a version with the same
    text and settings exists, create returns that version. The answer lists the
    variables in the text: {name}, or {{name}} with --template mustache.

    --request FILE and --request-set describe the request: what Claude is sent
    besides the text, such as thinking and tools. Without them, a new version has
    no request. To start from the request of a version, pipe it to --request -.
    These keys are refused in a request: model and max_tokens (use the options),
    system (use TEXT), stream and metadata (set them in the call).

    Examples:
      promptctl create greeter "Be kind." --description "The first try"
      git show main:greeter.txt | promptctl create greeter -
      promptctl create greeter -f greeter.txt --activate
      promptctl create greeter "Greet {user.name}." --default user.name=you
      promptctl create greeter "Be kind." --request-set thinking.type=adaptive
    """
    references.check_name(name)
    metadata = _metadata(description, meta or [])
    settings = _settings(template, default or [], model, max_tokens, cache)
    for option, texts in (
        ("--reason", [run.reason]), ("--description", [description]), ("--meta", meta), ("--default", default)
    ):  # fmt: skip
        for option_text in texts or []:
            run.refuse_secrets(option, option_text)
    from promptctl.cli import content, request_options

    text, file = content.chosen(text, literal, file)
    request_value = None
    if request is not None or request_set:
        is_piped = file == "-" or (text is None and file is None and not content.needs_editor(text, file))
        request_value = request_options.read(run, request, request_set or [], text_from_pipe=is_piped)
        if request_value:
            settings["request"] = requests.encode(request_value)
    run.start_author()
    new_text, edited_file = _read(run, name, text, file)
    try:
        source = "the text" if file is None else "standard input" if file == "-" else file
        run.refuse_secrets(source, new_text)
        if default:
            _check_defaults(new_text, settings)
        with run.database(creates=True) as database:
            # The one before, because --activate may change which version is active.
            active = _active(database, name) if request_set and request is None and run.form == "plain" else None
            created = versions.create(
                database,
                name,
                new_text,
                metadata=metadata,
                settings=settings,
                author=run.author(),
                activate=activate,
                reason=run.reason,
                allow_new_variables=allow_new_variables,
            )
    except errors.PromptctlError as failure:
        _add_hint(failure, has_style=template is not None)
        if edited_file is not None:
            content.hint_at_saved_text(failure, edited_file)
        raise
    if edited_file is not None:
        os.unlink(edited_file)
    _log(run, created, activate=activate)
    _answer(run, created, database.label)
    _note_text(run, created, new_text, settings)
    if request_value is not None and run.form == "plain":
        request_options.note_warnings(request_value)
        if active is not None:
            request_options.note_left_out(run, active, request_value, has_text=text is not None)
    # A version that exists already keeps its description and metadata.
    if not created.created and {**created.metadata, **metadata} != created.metadata:
        messages.note(f"the description and metadata of {created.name}@{created.version} were not changed")
    if run.reason is not None and not activate:
        messages.note("the reason is not recorded without --activate; --description describes a version")


def _read(run: Run, name: str, text: str | None, file: str | None) -> tuple[str, str | None]:
    """Return the text, and the file of the editor if the text was written in one."""
    from promptctl.cli import content

    if not content.needs_editor(text, file):
        return content.read(text, file), None
    # The editor starts with the active text. The connection is closed, because the editor may be open for an hour.
    with run.database(creates=True) as database:
        active_text = _active_text(database, name)
    return content.edit(active_text, name)


def _add_hint(failure: errors.PromptctlError, *, has_style: bool) -> None:
    """Replace the hint of an error for new variables. The usual hint compares versions, and this one is not stored."""
    if failure.code == "new_variables":
        failure.hint, failure.hint_options = None, ("--allow-new-variables",)
        style = "" if has_style else "if the braces are text: --template none; or "
        failure.hint_prefix = f"{style}--default NAME=TEXT; else "


def _log(run: Run, created: CreatedVersion, *, activate: bool) -> None:
    events = ["Version created" if created.created else "Version found"]
    if activate and created.previous_version != created.version:
        events.append("Prompt activated")
    for event in events:
        run.log(event, name=created.name, version=created.version, promptId=created.id, author=run.author())


def _note_text(run: Run, created: CreatedVersion, text: str, settings: dict[str, Any]) -> None:
    """Print notes about double braces and invisible characters in the texts of a version, and about its caching."""
    if run.form != "plain":
        return
    for sentence in templates.double_brace_warnings(text, settings):
        messages.note(sentence)
    output.note_caching(text, settings)
    reference = f"{created.name}@{created.version}"
    if hidden := invisible_characters.summary(created.content):
        messages.note(f"{reference} {hidden}: promptctl show {reference} shows where")
    if "request" in settings:
        texts = requests.message_texts(requests.decode(settings) or {})
        if hidden := invisible_characters.summary("\n".join(texts)):
            messages.note(
                f"in its few-shot messages, {reference} {hidden}: promptctl show {reference} --request shows where"
            )


def _answer(run: Run, created: CreatedVersion, label: str) -> None:
    if run.form == "json":
        from promptctl.output import prompt_documents

        stream.write_json(prompt_documents.created_document(created))
        return
    reference = f"{created.name}@{created.version}"
    same = "this text and these settings" if created.settings else "this text"
    status = f"created {reference}" if created.created else f"{reference} has {same} already"
    sentence = f"{status} in {label}, {output.size(created.content)}, {'active' if created.is_active else 'not active'}"
    if run.form == "quiet" or not stream.to_terminal():
        stream.write(f"{reference}\n")
        if run.form == "plain":
            messages.note(sentence)
            output.note_variables(created.variables, created.settings)
    else:
        stream.write(sentence + "\n")
        output.note_variables(created.variables, created.settings)
        if not created.is_active:
            messages.note(f"promptctl activate {reference} makes it active")


def _active(database: Database, name: str) -> version_texts.VersionText | None:
    try:
        return version_texts.read_text(database, references.parse(name))
    except errors.NotFound:
        return None


def _active_text(database: Database, name: str) -> str:
    try:
        return version_texts.read_text(database, references.parse(name)).content
    except errors.NotFound:
        return ""


def _settings(
    template: str | None, defaults: list[str], model: str | None, max_tokens: int | None, cache: str | None
) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if template is not None:
        from promptctl.cli import variables as variable_values

        variable_values.check_style(template)
        settings["template"] = template
    variables: dict[str, dict[str, str]] = {}
    for pair in defaults:
        name, equals, text = pair.partition("=")
        if not equals or not template_syntax.is_path(name):
            raise errors.Usage("usage", f"--default needs NAME=TEXT, not {references.quoted(pair)}")
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
    if cache is not None:
        if cache not in requests.CACHE_LIFETIMES:
            raise errors.Usage("usage", f"--cache is 5m or 1h, not {references.quoted(cache)}")
        settings["cache"] = cache
    return settings


def _check_defaults(content: str, settings: dict[str, Any]) -> None:
    """Raise Usage for a default whose variable is not in the text. One of them is misspelled."""
    names = templates.variables(content, settings)
    unknown: list[str] = [name for name in settings["variables"] if name not in names]
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown[0], names, n=1)
        alternatives = f"did you mean {near[0]}?" if near else f"it has {', '.join(names) or 'none'}"
        raise errors.Usage("variable_unknown", f"--default: the text has no variable {unknown[0]}: {alternatives}")


def _metadata(description: str | None, pairs: list[str]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise errors.Usage("usage", f"--meta needs KEY=VALUE, not {references.quoted(pair)}")
        try:
            metadata[key] = _metadata_value(value)
        except ValueError as problem:
            raise errors.Usage("usage", f"--meta {references.quoted(key)}: {problem}") from None
    if description is not None:
        metadata["description"] = description
    return metadata


def _metadata_value(text: str) -> Any:
    """Return the value of a text that is JSON, and any other text as it is.

    Raises ValueError for JSON that PostgreSQL cannot store, and for a number that would be shown differently: a release
    number 1.10 must not become 1.1.
    """
    if text[:1] not in '-0123456789tfn[{"':
        return text
    import json
    import shlex

    from promptctl.rules import json_documents

    try:
        value = json_documents.parse(text, unique_keys=True)
    except json_documents.NotJson:
        return text
    except json_documents.InvalidDocument:
        if text[:1] in '"[{':
            raise
        return text
    is_number = type(value) in (int, float) and "e" not in text.lower()
    if is_number and (formatted := json.dumps(value)) != text and "e" not in formatted:
        raise ValueError(f"{text} is read as {formatted}: for a text write {shlex.quote(json.dumps(text))}")
    return value
