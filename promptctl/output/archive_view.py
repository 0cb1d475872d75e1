"""What is archived or erased, as people and programs read it. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import messages, stream, tables
from promptctl.output import prompt_view as prompts_output
from promptctl.output.tables import Column

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.store.archiving import Archival, ArchivedPrompt, ArchivedVersion, Erasure

DRY_RUN = "dry run: nothing was changed"
# Where an erased text may be as well.
OUT_OF_REACH = (
    "Git and its copies",
    "backups, archived write-ahead logs, and the server's disk until a vacuum",
    "snapshot files of processes that do not run",
    "logs of applications and of Claude",
)


def show_archivals(archivals: Sequence[Archival], label: str, form: str, *, undo: bool, dry_run: bool) -> None:
    """Show what was archived, or with `undo` taken back into use; in a `dry_run` what would be."""
    if form == "json":
        from promptctl.output import documents

        for each in archivals:
            document = {
                "message": sentence(each, label, undo=undo, dry_run=dry_run),
                "name": each.name,
                "version": each.version,
                "is_archived": not undo,
                "active_version": each.active_version,
                "previous_version": each.previous_version,
                "route_changed": each.route_changed,
                "changed": each.changed,
            }
            documents.show_line(document | {"dry_run": True} if dry_run else document)
        return
    is_shown = form == "plain" and stream.to_terminal()
    for each in archivals:
        told = sentence(each, label, undo=undo, dry_run=dry_run)
        if is_shown:
            stream.write(stream.one_line(told) + "\n")
            continue
        stream.write(f"{each.name}\n" if each.version is None else f"{each.name}@{each.version}\n")
        if form == "plain":
            messages.note(told)
    if form == "plain" and dry_run:
        messages.note(DRY_RUN)
    elif is_shown and not undo and any(each.changed and each.version is None for each in archivals):
        names = " ".join(each.name for each in archivals if each.changed and each.version is None)
        messages.note(f"promptctl delete --undo {names} takes it back" if " " not in names else
                      f"promptctl delete --undo {names} takes them back")  # fmt: skip


def sentence(archival: Archival, label: str, *, undo: bool, dry_run: bool = False) -> str:
    """Return in words what became of one version or prompt."""
    what = archival.name if archival.version is None else f"{archival.name}@{archival.version}"
    if not archival.changed:
        return f"{what} is {'in use' if undo else 'archived'} already in {label}"
    done, would = ("restored", "would restore") if undo else ("archived", "would archive")
    told = f"{would if dry_run else done} {what} in {label}"
    if archival.version is not None:
        return told
    if undo:
        active = archival.active_version
        verb = "would be" if dry_run else "is"
        parts = [f"no version of it {verb} active" if active is None else f"version {active} {verb} active again"]
        parts += [f"its route {verb} back"] if archival.route_changed else []
    else:
        before = archival.previous_version
        is_not = "would not be" if dry_run else "is not"
        parts = ["it had no active version" if before is None else f"version {before} {is_not} served any more"]
        parts += [f"its split {'would end' if dry_run else 'has ended'}"] if archival.split_ended else []
        parts += [f"its route {'would go' if dry_run else 'is gone'}"] if archival.route_changed else []
    return f"{told}: {'; '.join(parts)}"


def show_erasure(erasure: Erasure, label: str, form: str, *, dry_run: bool) -> None:
    """Show what was erased, or in a `dry_run` would be, and what that does not reach."""
    reference = f"{erasure.name}@{erasure.version}"
    told = f"{reference} was erased already in {label}"
    if erasure.changed:
        parts = [f"{erasure.size} bytes of text"]
        parts += [f"settings ({erasure.settings})"] if erasure.settings else []
        parts += [f"metadata ({erasure.metadata})"] if erasure.metadata else []
        told = f"{'would erase' if dry_run else 'erased'} {reference} in {label}: {', '.join(parts)}"
    if form == "json":
        from promptctl.output import documents

        document = {
            "message": told,
            "name": erasure.name,
            "version": erasure.version,
            "changed": erasure.changed,
            "bytes": erasure.size,
            "settings": erasure.settings.split(", ") if erasure.settings else [],
            "metadata": erasure.metadata.split(", ") if erasure.metadata else [],
            "out_of_reach": list(OUT_OF_REACH),
        }
        documents.show(document | {"dry_run": True} if dry_run else document)
        return
    if form == "plain" and stream.to_terminal():
        stream.write(stream.one_line(told) + "\n")
    else:
        stream.write(reference + "\n")
    if form == "quiet":
        return
    if not stream.to_terminal():
        messages.note(told)
    messages.note("its number, hash, history and statistics stay; clients that pin it stop serving it")
    messages.note("out of reach, look there yourself:")
    for place in OUT_OF_REACH:
        messages.note(f"  {place}")
    messages.note("revoke a key that stood in it")
    if dry_run:
        messages.note(DRY_RUN)


def show_prompts(prompts: Sequence[ArchivedPrompt], total: int, form: str) -> None:
    """Show archived prompts in a list, the first of a total; quiet: their names."""
    if form == "json":
        from promptctl.output import documents

        documents.show({"prompts": [prompt.as_dict() for prompt in prompts], "count": total})
    elif form == "quiet":
        stream.write("".join(f"{prompt.name}\n" for prompt in prompts))
    elif prompts or not stream.to_terminal():
        columns = [
            Column("NAME", "name"),
            Column("VERSIONS", "number"),
            Column("ARCHIVED", "time"),
            Column("BY", "text"),
            Column("WHY", "text"),
        ]
        tables.show(columns, [tuple(prompt) for prompt in prompts])
    prompts_output.note_more(total - len(prompts), form)


def show_versions(name: str, found: Sequence[ArchivedVersion], form: str) -> None:
    """Show the archived versions of a prompt; quiet: their references."""
    if form == "json":
        from promptctl.output import documents

        shown = [{key: value for key, value in each.as_dict().items() if key != "name"} for each in found]
        documents.show({"name": name, "versions": shown, "count": len(shown)})
    elif form == "quiet":
        stream.write("".join(f"{name}@{each.version}\n" for each in found))
    elif found or not stream.to_terminal():
        columns = [
            Column("VERSION", "number"),
            Column("WHAT", "name"),
            Column("WHEN", "time"),
            Column("BY", "text"),
            Column("WHY", "text"),
            Column("DESCRIPTION", "text"),
        ]
        rows = [
            (
                each.version,
                "erased" if each.erased_at else "archived",
                each.erased_at or each.archived_at,
                each.author,
                each.reason,
                each.description,
            )
            for each in found
        ]
        tables.show(columns, rows)
