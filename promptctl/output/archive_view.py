"""Present archived and erased prompts and versions. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import answers, messages, stream, table_columns, tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.store.archiving import Archival, ArchivedPrompt, ArchivedVersion, Erasure

# Places that may have copies of an erased text.
OUT_OF_REACH = (
    "Git repositories and their clones",
    "backups, archived write-ahead logs, and the server's disk until a vacuum",
    "snapshot files of clients that are not running",
    "logs of applications and of Claude",
)


def show_archivals(archivals: Sequence[Archival], label: str, form: str, *, undo: bool, dry_run: bool) -> None:
    """Show the prompts and versions that were archived, or with `undo` restored. In a `dry_run` nothing was changed.

    A terminal gets a sentence for each. Quiet: the references. A pipe: the references, and the sentences on standard
    error. `label` names the database.
    """
    if form == "json":
        for archival in archivals:
            document = {
                "message": _sentence(archival, label, undo=undo, dry_run=dry_run),
                "name": archival.name,
                "version": archival.version,
                "is_archived": not undo,
                "active_version": archival.active_version,
                "previous_version": archival.previous_version,
                "route_changed": archival.route_changed,
                "changed": archival.changed,
            }
            stream.write_json_line(document | {"dry_run": True} if dry_run else document)
        return
    is_on_terminal = form == "plain" and stream.to_terminal()
    for archival in archivals:
        sentence = _sentence(archival, label, undo=undo, dry_run=dry_run)
        if is_on_terminal:
            stream.write(stream.one_line(sentence) + "\n")
            continue
        answers.write_references([(archival.name, archival.version)])
        if form == "plain":
            messages.note(sentence)
    if form == "plain" and dry_run:
        answers.note_dry_run()
    elif is_on_terminal and not undo:
        names = [archival.name for archival in archivals if archival.changed and archival.version is None]
        if names:
            messages.note(f"promptctl delete --undo {' '.join(names)} restores {'it' if len(names) == 1 else 'them'}")


def show_erasure(erasure: Erasure, label: str, form: str, *, dry_run: bool) -> None:
    """Show what was erased, and where copies may be; quiet: the reference. In a `dry_run` nothing was erased."""
    sentence = _erasure_sentence(erasure, label, dry_run=dry_run)
    if form == "json":
        document = {
            "message": sentence,
            "name": erasure.name,
            "version": erasure.version,
            "changed": erasure.changed,
            "bytes": erasure.size,
            "settings": erasure.settings.split(", ") if erasure.settings else [],
            "metadata": erasure.metadata.split(", ") if erasure.metadata else [],
            "out_of_reach": list(OUT_OF_REACH),
        }
        stream.write_json(document | {"dry_run": True} if dry_run else document)
        return
    if form == "plain" and stream.to_terminal():
        stream.write(stream.one_line(sentence) + "\n")
    else:
        answers.write_references([(erasure.name, erasure.version)])
    if form == "quiet":
        return
    if not stream.to_terminal():
        messages.note(sentence)
    messages.note("the number, hash, history and statistics are kept; clients that pin the version stop serving it")
    messages.note("promptctl cannot erase copies in other places; check:")
    for place in OUT_OF_REACH:
        messages.note(f"  {place}")
    messages.note("if the text contained a key, revoke the key")
    if dry_run:
        answers.note_dry_run()


def show_prompts(prompts: Sequence[ArchivedPrompt], total: int, form: str) -> None:
    """Show archived prompts, the first of `total`; quiet: their names."""
    if form == "json":
        stream.write_json({"prompts": [prompt.as_dict() for prompt in prompts], "count": total})
    elif form == "quiet":
        answers.write_references([(prompt.name, None) for prompt in prompts])
    elif prompts or not stream.to_terminal():
        columns = table_columns.columns(NAME="name", VERSIONS="number", ARCHIVED="time", BY="text", WHY="text")
        tables.show(columns, [tuple(prompt) for prompt in prompts])
    if form == "plain":
        answers.note_omitted(total - len(prompts), "more")


def show_versions(name: str, versions: Sequence[ArchivedVersion], form: str) -> None:
    """Show the archived versions of a prompt; quiet: their references."""
    if form == "json":
        items = [{key: value for key, value in version.as_dict().items() if key != "name"} for version in versions]
        stream.write_json({"name": name, "versions": items, "count": len(items)})
    elif form == "quiet":
        answers.write_references([(name, version.version) for version in versions])
    elif versions or not stream.to_terminal():
        columns = table_columns.columns(
            VERSION="number", WHAT="name", WHEN="time", BY="text", WHY="text", DESCRIPTION="text"
        )
        rows = [
            (
                version.version,
                "erased" if version.erased_at else "archived",
                version.erased_at or version.archived_at,
                version.author,
                version.reason,
                version.description,
            )
            for version in versions
        ]
        tables.show(columns, rows)


def _sentence(archival: Archival, label: str, *, undo: bool, dry_run: bool) -> str:
    reference = archival.name if archival.version is None else f"{archival.name}@{archival.version}"
    if not archival.changed:
        return f"{reference} is {'not archived' if undo else 'already archived'} in {label}"
    past, conditional = ("restored", "would restore") if undo else ("archived", "would archive")
    sentence = f"{conditional if dry_run else past} {reference} in {label}"
    if archival.version is not None:
        return sentence
    if undo:
        active = archival.active_version
        verb = "would be" if dry_run else "is"
        parts = [f"no version {verb} active" if active is None else f"version {active} {verb} active again"]
        parts += [f"{'would also restore' if dry_run else 'restored'} its route"] if archival.route_changed else []
    else:
        before = archival.previous_version
        verb = "would no longer be" if dry_run else "is no longer"
        parts = ["it had no active version" if before is None else f"version {before} {verb} active"]
        parts += [f"{'would also end' if dry_run else 'ended'} its split"] if archival.split_ended else []
        parts += [f"{'would also remove' if dry_run else 'removed'} its route"] if archival.route_changed else []
    return f"{sentence}: {'; '.join(parts)}"


def _erasure_sentence(erasure: Erasure, label: str, *, dry_run: bool) -> str:
    reference = f"{erasure.name}@{erasure.version}"
    if not erasure.changed:
        return f"{reference} was already erased in {label}"
    parts = [f"{erasure.size} bytes of text"]
    parts += [f"settings ({erasure.settings})"] if erasure.settings else []
    parts += [f"metadata ({erasure.metadata})"] if erasure.metadata else []
    return f"{'would erase' if dry_run else 'erased'} {reference} in {label}: {', '.join(parts)}"
