"""Sync: make a plan from the folder and the database, and apply it in one transaction."""

from __future__ import annotations

import os

from promptctl import git, plan
from promptctl.records import Record, Reference
from promptctl.store import moves, syncs, versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.database import Database
    from promptctl.plan import Plan
    from promptctl.prompt_files import FolderPrompt


class Source(Record):
    """Where prompts come from: what the source is called, and the commit, where there is one."""

    __slots__ = ()
    name: str
    commit: str | None


class Outcome(Record):
    """A plan, whether it was applied, and the release that it became (None: nothing was activated)."""

    __slots__ = ()
    plan: Plan
    applied: bool
    release: int | None


def source_of(folder: str, name: str | None) -> Source:
    """Return the source of a folder: the given name, else its repository and its place there, else its path."""
    top = git.ask("-C", folder, "rev-parse", "--show-toplevel")
    origin = git.ask("-C", folder, "config", "remote.origin.url")
    head = git.ask("-C", folder, "rev-parse", "--short", "HEAD")
    toplevel, url, commit = top(), origin(), head()
    absolute = os.path.realpath(folder)
    if name is not None:
        return Source(name, commit)
    if toplevel is None:
        return Source(absolute, None)
    repository = git.without_credentials(url) if url else os.path.basename(toplevel)
    return Source(f"{repository} {os.path.relpath(absolute, os.path.realpath(toplevel))}", commit)


def look(database: Database, source: Source, folder: list[FolderPrompt]) -> Outcome:
    """Return what a sync would do now, and change nothing."""
    return Outcome(_plan(database, source, folder), False, None)


def apply(database: Database, source: Source, folder: list[FolderPrompt], *, author: str) -> Outcome:
    """Plan and apply, whole or not at all, with no other sync in between; a plan with a conflict is not applied."""
    with database.transaction():
        syncs.lock(database)
        made = _plan(database, source, folder)
        if made.of(plan.CONFLICT):
            return Outcome(made, False, None)
        release = _carry_out(database, source, made, author) if made.would_change else None
        syncs.note_applied(database, source.name, made.agreed, author=author)
    return Outcome(made, made.would_change, release)


def _plan(database: Database, source: Source, folder: list[FolderPrompt]) -> Plan:
    found, by_case = syncs.stored(database, [prompt.name for prompt in folder])
    return plan.make(source.name, folder, found, by_case)


def _carry_out(database: Database, source: Source, made: Plan, author: str) -> int | None:
    new = [
        {
            "name": change.name,
            "version": change.version,
            "content": change.file.content,
            "settings": change.file.settings,
            "metadata": change.file.metadata,
            "created_by": change.file.author,
        }
        for change in made.of(plan.NEW)
        if change.file is not None
    ]
    if new:
        versions.add(database, new, author=author)
    for change in made.of(plan.DESCRIBE):
        versions.describe(database, Reference(change.name, change.version), change.metadata or {}, author=author)
    activations = [Reference(change.name, change.version) for change in made.of(plan.ACTIVATE)]
    if not activations:
        return None
    reason = f"sync {source.commit}" if source.commit else "sync"
    moved = moves.activate(database, activations, author=author, reason=reason, release_kind="sync")
    return moved[0].release
