"""promptctl show."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import answers, stream
from promptctl.output import prompt_view as output
from promptctl.rules import references
from promptctl.store import prompt_states, version_details, version_texts
from promptctl.store.version_texts import VersionText

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database


def show(
    run: Run,
    reference: str,
    at: str | None = None,
    request: bool = False,
    limit: int | None = None,
    archived: bool = False,
) -> None:
    """Show the versions of a prompt and its active text.

    On a terminal, 14 DAYS has the uses of each of the last 14 days, today on the
    right. It is left out where the terminal has no room for it.

    In a pipe, show prints only a text, byte for byte. It is the text of
    NAME@VERSION, else of the active version. With --at, it is the text of the
    version that was active at that time. With --request, it is the request of that
    version as JSON: {} if it has none.

    Examples:
      promptctl show default-system-prompt
      promptctl show default-system-prompt@2 > v2.txt
      promptctl show default-system-prompt --at 2h
      promptctl show greeter@1 --request | promptctl create greeter Hi --request -
      promptctl show default-system-prompt --archived
    """
    target = references.parse(reference)
    rows = run.row_limit(limit)
    time = None if at is None else _time(target, at)
    if archived:
        if request:
            raise errors.Usage("usage", "use only one of --archived and --request")
        _show_archived(run, target, at)
        return
    with run.database() as database:
        if request:
            _show_request(run, database, target, time)
        elif time is not None:
            _show_at(run, database, target, time)
        elif run.form == "json":
            from promptctl.output import prompt_documents

            if target.version is None:
                versions, state = version_details.read_versions(database, target.name)
                stream.write_json(prompt_documents.prompt_document(target.name, versions, state, rows))
            else:
                stream.write_json(prompt_documents.version_document(version_details.read_version(database, target)))
        elif target.version is None and run.form == "plain" and stream.for_people():
            prompt = version_details.read_overview(database, target.name, rows, with_days=output.shows_days())
            output.show_overview(prompt, target.name, rows)
            if prompt.archived is not None:
                output.note_archived(target.name, prompt.archived)
        elif run.form == "quiet":
            _answer(run, version_texts.read_text(database, target))
        elif target.version is None:
            text, state = version_texts.read_active_text(database, target.name)
            output.note_state(text, state)
            _answer(run, text)
        else:
            text, status = version_texts.read_text_and_status(database, target)
            output.note_version(text, status)
            _answer(run, text)


def _time(target: references.Reference, at: str) -> str:
    from promptctl.cli import time_values

    if target.version is not None:
        raise errors.Usage(
            "usage", "--at selects the version by time: use the name without @VERSION", hint=f"promptctl show {target}"
        )
    return time_values.parse(at)


def _show_archived(run: Run, target: references.Reference, at: str | None) -> None:
    from promptctl.output import archive_view as archiving_output
    from promptctl.output import messages
    from promptctl.store import archiving

    if target.version is not None or at is not None:
        raise errors.Usage(
            "usage",
            "--archived lists versions: use the name without @VERSION",
            hint=f"promptctl show {target.name} --archived",
        )
    with run.database() as database:
        versions = archiving.list_archived_versions(database, target.name)
        if not versions:
            prompt_states.require_prompt(database, target.name)
    archiving_output.show_versions(target.name, versions, run.form)
    if not versions and run.form == "plain" and stream.for_people():
        messages.note(f"no version of {target.name} is archived in {database.label}")


def _show_request(run: Run, database: Database, target: references.Reference, time: str | None) -> None:
    from promptctl.rules import requests

    if time is None:
        text = version_texts.read_text(database, target)
    else:
        text = version_texts.read_text_at(database, target.name, time)
    request = requests.decode(text.settings)
    if run.form == "json":
        stream.write_json({"name": text.name, "version": text.version, "request": request})
    elif run.form == "quiet":
        stream.write(f"{text.name}@{text.version}\n")
    else:
        answers.write_json_text(stream.json_text(request or {}, 2) + "\n")


def _show_at(run: Run, database: Database, target: references.Reference, time: str) -> None:
    text = version_texts.read_text_at(database, target.name, time)
    if run.form == "json":
        from promptctl.output import prompt_documents

        whole = version_details.read_version(database, references.Reference(text.name, text.version))
        stream.write_json(prompt_documents.version_document(whole))
        return
    if run.form == "plain":
        output.note_active_at(text, time)
    _answer(run, text)


def _answer(run: Run, text: VersionText) -> None:
    run.log("Using prompt", name=text.name, version=text.version, promptId=text.id)
    if run.form == "quiet":
        stream.write(f"{text.name}@{text.version}\n")
        return
    stream.write("\n" if stream.is_markdown() else "")
    answers.write_content(text.content)
    if stream.to_terminal():
        output.note_variables(text.variables, text.settings)
        output.note_request(text.settings, f"{text.name}@{text.version}")
        output.note_caching(text.content, text.settings)
        output.note_origin(text.origin)
