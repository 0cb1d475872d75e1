"""Sync: make a plan from the folder and the database, and apply it in one transaction."""

from __future__ import annotations

import os

from promptctl import errors, git, plan
from promptctl.records import Record, Reference
from promptctl.store import moves, syncs, versions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.database import Database
    from promptctl.plan import Plan
    from promptctl.prompt_files import FolderPrompt
    from promptctl.records import Move


class Source(Record):
    """Where prompts come from: what the source is called, and the commit, where there is one."""

    __slots__ = ()
    name: str
    commit: str | None


class Outcome(Record):
    """A plan, whether it was applied, and the moves that it made."""

    __slots__ = ()
    plan: Plan
    applied: bool
    moves: list[Move]

    @property
    def release(self) -> int | None:
        """The release that it became; None: nothing was activated."""
        return self.moves[0].release if self.moves else None


def source_of(folder: str, name: str | None) -> Source:
    """Return the source of a folder: the given name, else its repository and its place there, else its path.

    Raises Failed where there is a repository that git does not answer for: the path would be another source.
    """
    if name is not None and not name.strip():
        raise errors.Usage("usage", "--source is empty")
    top = git.ask("-C", folder, "rev-parse", "--show-toplevel")
    origin = git.ask("-C", folder, "config", "remote.origin.url")
    head = git.ask("-C", folder, "rev-parse", "--short", "HEAD")
    toplevel, url, commit = top(), origin(), head()
    absolute = os.path.realpath(folder)
    if name is not None:
        return Source(name, commit)
    if toplevel is None:
        if repository := _repository_above(absolute):
            raise errors.Failed(
                "git_failed",
                f"git does not answer for the repository {repository}, so the source of the prompts is not known",
                hint=f"git config --global --add safe.directory {repository}, or promptctl sync --source NAME",
            )
        return Source(absolute, None)
    repository = git.without_credentials(url) if url else os.path.basename(toplevel)
    return Source(f"{repository} {os.path.relpath(absolute, os.path.realpath(toplevel))}", commit)


def _repository_above(path: str) -> str | None:
    while not os.path.exists(os.path.join(path, ".git")):
        parent = os.path.dirname(path)
        if parent == path:
            return None
        path = parent
    return path


def look(
    database: Database, source: Source, folder: list[FolderPrompt], *, allow_new_variables: bool = False
) -> Outcome:
    """Return what a sync would do now, and change nothing."""
    return Outcome(_plan(database, source, folder, allow_new_variables), False, [])


def apply(
    database: Database,
    source: Source,
    folder: list[FolderPrompt],
    *,
    author: str,
    say: Callable[[str], None],
    allow_new_variables: bool = False,
) -> Outcome:
    """Plan and apply, whole or not at all; a plan with a conflict is not applied.

    Planned under the locks of the prompts, so that it is true until it is applied. `say` gets a line when there is
    something to wait for.
    """
    try:
        with database.transaction():
            syncs.lock(database, [prompt.name for prompt in folder], say)
            made = _plan(database, source, folder, allow_new_variables)
            _refuse(made)
            moved = _carry_out(database, source, made, author, allow_new_variables) if made.would_change else []
            syncs.note_applied(database, source.name, made.applied, author=author)
    except _Conflict as conflict:
        return Outcome(conflict.plan, False, [])
    return Outcome(made, made.would_change, moved)


def _refuse(made: Plan) -> None:
    if made.of(plan.CONFLICT):
        raise _Conflict(made)


class _Conflict(errors.PromptctlError):
    """Ends the transaction; never told to anybody."""

    def __init__(self, made: Plan) -> None:
        super().__init__("conflict", "the plan has a conflict")
        self.plan = made


def _plan(database: Database, source: Source, folder: list[FolderPrompt], allow_new_variables: bool) -> Plan:
    found, by_case = syncs.stored(database, [prompt.name for prompt in folder])
    return plan.make(source.name, folder, found, by_case, allow_new_variables=allow_new_variables)


def _carry_out(database: Database, source: Source, made: Plan, author: str, allow_new_variables: bool) -> list[Move]:
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
        return []
    reason = f"sync {source.commit}" if source.commit else "sync"
    return moves.activate(
        database,
        activations,
        author=author,
        reason=reason,
        release_kind="sync",
        allow_new_variables=allow_new_variables,
    )
