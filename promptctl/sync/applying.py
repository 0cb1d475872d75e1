"""Applying a plan: what it writes into the database, in the transaction in which it was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.store import moves, syncs, versions
from promptctl.sync.changes import ACTIVATE, DESCRIBE, ROUTE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion
    from promptctl.folder.provenance import Commit
    from promptctl.postgres.database import Database
    from promptctl.store.moves import Move
    from promptctl.sync.changes import Change, Plan

# A statement takes at most so many bytes of new text: the whole of a large folder would be more than PostgreSQL's JSON
# can hold.
_BATCH_BYTES = 1024 * 1024
# Nothing is stored before there is so much of it, or the plan is known: a refused sync of most folders then uses no
# number of a release, which no transaction gives back.
_HELD_BACK_BYTES = 4 * _BATCH_BYTES


class Work(Record):
    """A plan with all that carrying it out takes.

    `origin` is where the folder comes from, `origins` by path where each file does; `is_known` says that nothing is to
    be remembered that is not remembered already.
    """

    __slots__ = ()
    source: str
    commit: Commit | None
    origin: dict[str, Any]
    origins: dict[str, dict[str, Any]]
    plan: Plan
    adopts: bool
    allow_new_variables: bool
    is_known: bool


class Storing:
    """Stores new versions in batches, each while the next is made ready, in a release that begins with the first."""

    def __init__(
        self,
        database: Database,
        source: str,
        commit: Commit | None,
        origin: Callable[[], dict[str, Any]],
        author: str,
    ) -> None:
        self.reason = f"sync {commit.short}" if commit else "sync"
        self._database = database
        self._source = source
        self._origin = origin
        self._author = author
        self._release: int | None = None
        self._batch: list[tuple[str, FileVersion]] = []
        self._origins: Callable[[], dict[str, dict[str, Any]]] = dict
        self._size = 0
        self._wait: Callable[[], Any] | None = None

    @property
    def release(self) -> int:
        """The release, begun now if it was not yet."""
        if self._release is None:
            self._release = syncs.open_release(
                self._database, self._source, self._origin(), author=self._author, reason=self.reason
            )
        return self._release

    def add(self, name: str, file: FileVersion, origins: Callable[[], dict[str, dict[str, Any]]]) -> FileVersion:
        """Store a version, soon; returns it without its content, which is not needed any more.

        `origins` gives by path where files come from; it is called when a batch is full.
        """
        self._batch.append((name, file))
        self._origins = origins
        self._size += file.size
        if self._size >= (_BATCH_BYTES if self._release is not None else _HELD_BACK_BYTES):
            self._send_all()
        return file.without_content()

    def wait(self) -> None:
        """Wait until what was sent is stored: before any other statement."""
        self._stored()

    def finish(self) -> None:
        """Send everything, and wait until it is stored."""
        self._send_all()
        self._stored()

    def abandon(self) -> None:
        """Forget what was not sent, and wait for what was, so that the transaction can be rolled back."""
        self._batch = []
        try:
            self._stored()
        except errors.PromptctlError:
            return

    def _send_all(self) -> None:
        waiting, self._batch, self._size = self._batch, [], 0
        for each in waiting:
            self._batch.append(each)
            self._size += each[1].size
            if self._size >= _BATCH_BYTES:
                self._send()
        if self._batch:
            self._send()

    def _send(self) -> None:
        release = self.release
        origins = self._origins()
        batch = [
            {
                "name": name,
                "version": file.number,
                "settings": file.settings,
                "metadata": file.metadata,
                "created_by": file.author or origins.get(file.path, {}).get("author"),
                "origin": origins.get(file.path),
            }
            for name, file in self._batch
        ]
        contents = [file.content or b"" for _, file in self._batch]
        send = versions.prepared(self._database, batch, contents, author=self._author, release=release)
        self._stored()
        self._wait = send()
        self._batch, self._size = [], 0

    def _stored(self) -> None:
        if self._wait is not None:
            wait, self._wait = self._wait, None
            wait()


def carry_out(database: Database, work: Work, storing: Storing, *, author: str) -> tuple[int | None, list[Move]]:
    """Write the rest of a plan, whose versions are stored, and what it says, in the open transaction.

    Returns the release and its moves.
    """
    storing.finish()
    if not work.plan.would_change and work.is_known:
        return None, []
    release: int | None = None
    moved: list[Move] = []
    if work.plan.would_change:
        release = storing.release
        described = [
            {"name": change.name, "version": change.version, "metadata": change.metadata}
            for change in work.plan.of(DESCRIBE)
        ]
        if described:
            versions.describe(database, described, author=author, release=release)
        moved = _move(database, work, release, author, storing.reason)
    syncs.note_source(database, work.source, work.commit, author=author)
    if work.plan.applied:
        remembered = [each.as_dict() for each in work.plan.applied]
        syncs.note_applied(database, work.source, remembered, author=author, adopts=work.adopts)
    return release, moved


def _move(database: Database, work: Work, release: int, author: str, reason: str) -> list[Move]:
    routed, activated = work.plan.of(ROUTE), work.plan.of(ACTIVATE)
    if routed:
        moves.set_routes(
            database,
            {change.name: change.route for change in routed},
            author=author,
            reason=reason,
            release=release,
            origins=_by_name(routed, work),
        )
    if not activated:
        return []
    return moves.activate(
        database,
        [Reference(change.name, change.version) for change in activated],
        author=author,
        reason=reason,
        release=release,
        origins=_by_name(activated, work),
        allow_new_variables=work.allow_new_variables,
    )


def _by_name(found: Sequence[Change], work: Work) -> dict[str, dict[str, Any]]:
    return {change.name: work.origins[change.yaml_path] for change in found if change.yaml_path in work.origins}
