"""Bringing a client's state up to date, from the database and from the snapshot."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from promptctl.client.load_requests import Requests
from promptctl.client.memory import EMPTY
from promptctl.client.missing_prompts import MissingPrompt, MissingPrompts
from promptctl.rules import references
from promptctl.store import following

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.client.link import Link
    from promptctl.client.memory import Memory
    from promptctl.client.snapshot import Snapshot
    from promptctl.client.state import State
    from promptctl.postgres.database import Database


class Refresher:
    """Publishes states in memory: each replaces the last as a whole."""

    def __init__(self, memory: Memory, link: Link, snapshot: Snapshot | None, confirmed: Callable[[], None]) -> None:
        """`confirmed` is called after each answer of the database, before waiting callers are released."""
        self.nonexistent = MissingPrompts()
        self._confirmed = confirmed
        self._memory = memory
        self._link = link
        self._snapshot = snapshot
        self._was_confirmed = False
        # What other processes put into a shared snapshot: each name is requested once.
        self._names_of_others: Sequence[str] = ()
        self._requested_for_others: set[str] = set()
        self.begin()

    def begin(self) -> None:
        """Start again, as in a process that has read nothing."""
        self.requests = Requests()
        self._has_published = False
        self._lock = threading.RLock()

    @property
    def is_urgent(self) -> bool:
        """Whether there are names to read now."""
        return bool(self.requests) or bool(self._names_of_others)

    def seconds_until_save(self) -> float:
        """Return in how many seconds the snapshot may be written; infinity: it is current."""
        return float("inf") if self._snapshot is None else self._snapshot.due_at - time.monotonic()

    def concerns(self, payload: str) -> bool:
        """Return whether a notification is about a prompt of this client."""
        # `{"name" : "greeter", "epoch" : 7}`: names contain nothing that JSON escapes. Anything else, from a release or
        # from anybody who may connect, is a reason to look.
        parts = payload.split('"', 4)
        return (
            len(parts) < 5
            or parts[1] != "name"
            or parts[3] in self._memory.state.prompts
            or parts[3] in self.nonexistent
        )

    def refresh(self, database: Database, *, anew: bool = False, may_be_erased: bool = False) -> None:
        """Read what has changed and what callers wait for.

        A pinned version never changes, so whether it was erased is read only if it `may_be_erased`, or `anew`. Every
        process does this at each activation, so queries without names are skipped.
        """
        requests = self.requests.take() if self.requests else []
        requested = [name for request in requests for name in request.names]
        began_at = time.monotonic()
        try:
            state = self._memory.state
            names = [*requested, *self.nonexistent, *self._names_of_others]
            kept = _without_erased(database, state) if anew or may_be_erased else state
            new_state = _with_changes(database, kept, names, self._link, anew=anew)
            is_changed = new_state is not state
            if is_changed or not self._has_published:
                with self._lock:
                    self._memory.publish(new_state)
                    self._has_published = True
            if requested or self.nonexistent:
                self._update_nonexistent(database, new_state, requested)
        except BaseException:
            self.requests.put_back(requests)
            raise
        self._memory.confirmed_at = began_at
        self._was_confirmed = True
        self._confirmed()
        for request in requests:
            request.answer()
        self.save(is_changed=is_changed)

    def read_once(self, database: Database, names: Sequence[str]) -> State:
        """Return a state that has these names, without publishing it. Raises PromptNotFound, VersionNotFound."""
        began_at = time.monotonic()
        state = _with_changes(database, EMPTY, names, self._link, anew=True)
        if missing := state.missing(names):
            raise MissingPrompt(missing[0], following.list_names(database), database.label).error()
        self._memory.confirmed_at = began_at
        return state

    def save(self, *, is_changed: bool) -> None:
        """Write the snapshot if it is due, after reading what other processes put there."""
        self._names_of_others = ()
        if self._snapshot is not None and self._snapshot.is_due(is_changed=is_changed):
            # Names that were requested before and are still missing do not exist any more.
            self._names_of_others = self._snapshot.save(
                self._memory.state, self._memory.age_seconds, self._requested_for_others
            )
            self._requested_for_others.update(self._names_of_others)

    def save_at_end(self) -> None:
        """Write the snapshot if the state has changed since the last time."""
        if self._snapshot is not None and self._snapshot.is_behind and self._was_confirmed:
            self._snapshot.save(self._memory.state, self._memory.age_seconds, is_ending=True)

    def load_snapshot(self) -> None:
        """Publish the snapshot, unless the client already has a state."""
        if self._snapshot is None or self._has_state:
            return
        contents = self._snapshot.load()
        if contents is None:
            return
        with self._lock:
            # Another thread may have read the database meanwhile.
            if not self._has_state:
                state = self._memory.state.with_rows(contents.prompts, contents.versions, self._link)
                self._memory.confirmed_at = time.monotonic() - contents.age_seconds
                self._memory.publish(state)

    @property
    def _has_state(self) -> bool:
        return self._has_published or self._was_confirmed or bool(self._memory.state.prompts)

    def _update_nonexistent(self, database: Database, state: State, requested: Sequence[str]) -> None:
        still_missing = [name for name in self.nonexistent if state.missing([name])]
        new = [
            name
            for name in requested
            if name not in still_missing and name not in state.prompts and name not in state.pinned
        ]
        self.nonexistent.replace(still_missing, new, following.list_names(database) if new else (), database.label)


def _without_erased(database: Database, state: State) -> State:
    """Return the state without pinned versions that were erased; itself if none was."""
    if not state.pinned:
        return state
    pinned = [(prompt.source.name, prompt.source.version or 0) for prompt in state.pinned.values()]
    return state.without(following.list_erased_versions(database, pinned))


def _with_changes(database: Database, state: State, names: Sequence[str], link: Link, *, anew: bool) -> State:
    """Return the current state, with these names and pinned references as far as they exist; itself if it is current.

    It includes the targets of the prompts' routes. One statement reads everything that can change, so the state is that
    of one time. Prompts whose epoch has not changed are not read again, unless `anew`.
    """
    epochs: dict[str, int | None] = {name: None if anew else prompt.row.epoch for name, prompt in state.prompts.items()}
    requested: set[str] = set()
    while True:
        pinned: Sequence[following.PinnedVersion] = ()
        versions: Sequence[references.Reference] = ()
        if names:
            requested.update(names)
            versions = [references.parse(name) for name in names if "@" in name and name not in state.pinned]
            epochs |= {name: None for name in names if "@" not in name and name not in epochs}
        # Without any name as well, to check that the database can be read.
        rows = following.follow(database, epochs)
        if versions:
            numbers = [(version.name, version.version or 0) for version in versions]
            pinned = following.read_versions(database, numbers)
        if not rows and not pinned:
            return state
        state = state.with_rows(rows, pinned, link)
        # The targets of new routes are read next; then everything is checked once more.
        routed = [row.name for row in rows if row.route]
        names = [name for name in state.missing(routed) if name not in requested] if routed else ()
        if not names:
            return state
        epochs |= {row.name: row.epoch for row in rows}
