"""promptctl show."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import prompt_view as output
from promptctl.output import stream
from promptctl.rules import references
from promptctl.store import prompts
from promptctl.store.prompts import Text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database


def show(run: Run, reference: str, at: str | None = None, limit: int | None = None, archived: bool = False) -> None:
    """Show the versions of a prompt and its active text.

    In a pipe, show prints only the text, byte for byte: of NAME@VERSION, of the
    active version, or with --at of the version that was active at that time.

    Examples:
      promptctl show default-system-prompt
      promptctl show default-system-prompt@2 > v2.txt
      promptctl show default-system-prompt --at 2h
      promptctl show default-system-prompt --archived
    """
    wanted = references.parse(reference)
    newest = run.newest(limit)
    moment = None if at is None else _moment(wanted, at)
    if archived:
        _show_archived(run, wanted, at)
        return
    with run.database() as database:
        if moment is not None:
            _show_moment(run, database, wanted, moment)
        elif run.form == "json":
            from promptctl.output import documents

            if wanted.version is None:
                versions, standing = prompts.versions(database, wanted.name)
                documents.show(output.prompt_document(wanted.name, versions, standing, newest))
            else:
                documents.show(output.version_document(prompts.version(database, wanted)))
        elif wanted.version is None and run.form == "plain" and stream.to_terminal():
            found = prompts.overview(database, wanted.name, newest)
            output.show_overview(found, wanted.name, newest)
            if found.archived is not None:
                output.note_archived(wanted.name, found.archived)
        elif run.form == "quiet":
            _answer(run, prompts.text(database, wanted))
        elif wanted.version is None:
            text, standing = prompts.active_text(database, wanted.name)
            output.note_standing(text, standing)
            _answer(run, text)
        else:
            text, described = prompts.described_text(database, wanted)
            output.note_described(text, described)
            _answer(run, text)


def _moment(wanted: references.Reference, at: str) -> str:
    from promptctl.cli import times

    if wanted.version is not None:
        raise errors.Usage(
            "usage", "--at answers which version was live: it takes a bare name", hint=f"promptctl show {wanted}"
        )
    return times.parse(at)


def _show_archived(run: Run, wanted: references.Reference, at: str | None) -> None:
    from promptctl.output import archive_view as archiving_output
    from promptctl.output import messages
    from promptctl.store import archiving

    if wanted.version is not None or at is not None:
        raise errors.Usage(
            "usage", "--archived lists versions: it takes a bare name", hint=f"promptctl show {wanted.name} --archived"
        )
    with run.database() as database:
        found = archiving.versions(database, wanted.name)
        if not found:
            prompts.raise_if_unknown(database, wanted.name)
    archiving_output.show_versions(wanted.name, found, run.form)
    if not found and run.form == "plain" and stream.to_terminal():
        messages.note(f"no version of {wanted.name} is archived in {database.label}")


def _show_moment(run: Run, database: Database, wanted: references.Reference, moment: str) -> None:
    text = prompts.text_at(database, wanted.name, moment)
    if run.form == "json":
        from promptctl.output import documents

        whole = prompts.version(database, references.Reference(text.name, text.version))
        documents.show(output.version_document(whole))
        return
    if run.form == "plain":
        output.note_active_at(text, moment)
    _answer(run, text)


def _answer(run: Run, text: Text) -> None:
    run.log("Using prompt", name=text.name, version=text.version, promptId=text.id)
    if run.form == "quiet":
        stream.write(f"{text.name}@{text.version}\n")
        return
    stream.write_content(text.content)
    if stream.to_terminal():
        output.note_variables(text.variables, text.settings)
        output.note_origin(text.origin)
