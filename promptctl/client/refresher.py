"""Updates of a client's state, from the database and from the snapshot."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from promptctl.client.load_requests import Requests
from promptctl.client.memory import EMPTY
from promptctl.client.nonexistent_prompts import NonexistentPrompt, NonexistentPrompts
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
    """Reads what has changed, makes a new state of it and publishes that in memory. Saves the state as a snapshot."""

    def __init__(self, memory: Memory, link: Link, snapshot: Snapshot | None, on_confirmed: Callable[[], None]) -> None:
        """`on_confirmed` is called after each answer of the database, before waiting callers continue."""
        self.nonexistent = NonexistentPrompts()
        self._on_confirmed = on_confirmed
        self._memory = memory
        self._link = link
        self._snapshot = snapshot
        # Whether the database has ever confirmed the state, in this process or its parent.
        self._was_confirmed = False
        # Names that other processes have put into a shared snapshot, and all such names so far: each is read once.
        self._names_of_others: Sequence[str] = ()
        self._all_names_of_others: set[str] = set()
        self.reset()

    def reset(self) -> None:
        """Start again, as in a process that has read nothing."""
        self.requests = Requests()
        self._has_published = False
        # Held while a state is published.
        self._lock = threading.RLock()

    @property
    def has_names_to_read(self) -> bool:
        """Whether callers wait for names, or other processes have added names to the snapshot."""
        return bool(self.requests) or bool(self._names_of_others)

    def seconds_until_save(self) -> float:
        """Return in how many seconds the snapshot may be written; infinity if it need not be written."""
        return float("inf") if self._snapshot is None else self._snapshot.due_at - time.monotonic()

    def is_relevant(self, payload: str) -> bool:
        """Return whether a notification may be about a prompt of this client."""
        # The payload for one prompt is `{"name" : "greeter", "epoch" : 7}`. It is split at the quotation marks, which
        # is faster than parsing JSON, and names have no character that JSON escapes. Any other payload is relevant: it
        # is that of a release, or was sent by another program.
        parts = payload.split('"', 4)
        return (
            len(parts) < 5
            or parts[1] != "name"
            or parts[3] in self._memory.state.prompts
            or parts[3] in self.nonexistent
        )

    def refresh(self, database: Database, *, is_full: bool = False, should_check_erased: bool = False) -> None:
        """Read what has changed and what callers wait for, and publish the new state.

        A refresh that `is_full` reads all prompts again. With `is_full` or `should_check_erased`, it removes the pinned
        versions that were erased.
        """
        # Every process does this at each activation, so whatever is empty is skipped.
        requests = self.requests.take() if self.requests else []
        requested = [name for request in requests for name in request.names]
        began_at = time.monotonic()
        try:
            state = self._memory.state
            names = [*requested, *self.nonexistent, *self._names_of_others]
            not_erased = _without_erased(database, state) if is_full or should_check_erased else state
            new_state = _with_changes(database, not_erased, names, self._link, is_full=is_full)
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
        self._memory.confirm(began_at)
        self._was_confirmed = True
        self._on_confirmed()
        for request in requests:
            request.answer()
        self.save(is_changed=is_changed)

    def read_once(self, database: Database, names: Sequence[str]) -> State:
        """Return a state that has these names, without publishing it. Raises PromptNotFound, VersionNotFound."""
        began_at = time.monotonic()
        state = _with_changes(database, EMPTY, names, self._link, is_full=True)
        if nonexistent := state.not_loaded(names):
            raise NonexistentPrompt(nonexistent[0], following.list_names(database), database.label).error()
        self._memory.confirm(began_at)
        return state

    def save(self, *, is_changed: bool) -> None:
        """Write the snapshot if it is due. If other processes have added names to it, read these names first."""
        self._names_of_others = ()
        if self._snapshot is not None and self._snapshot.is_due(is_changed=is_changed):
            # If the state does not have a name that was read before, the database does not have it either.
            self._names_of_others = self._snapshot.save(
                self._memory.state, self._memory.age_seconds, self._all_names_of_others
            )
            self._all_names_of_others.update(self._names_of_others)

    def save_at_end(self) -> None:
        """Write the snapshot if the state has changed since the last time."""
        if self._snapshot is not None and self._snapshot.is_outdated and self._was_confirmed:
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
                self._memory.confirm(time.monotonic() - contents.age_seconds)
                self._memory.publish(state)

    @property
    def _has_state(self) -> bool:
        return self._has_published or self._was_confirmed or bool(self._memory.state.prompts)

    def _update_nonexistent(self, database: Database, state: State, requested: Sequence[str]) -> None:
        """After these names were requested: those that the state does not have do not exist."""
        still_nonexistent = [name for name in self.nonexistent if state.not_loaded([name])]
        new = [name for name in requested if name not in still_nonexistent and name not in state]
        self.nonexistent.replace(still_nonexistent, new, following.list_names(database) if new else (), database.label)


def _without_erased(database: Database, state: State) -> State:
    """Return the state without pinned versions that were erased: the same object if none was."""
    if not state.pinned:
        return state
    pinned = [(prompt.served_version.name, prompt.served_version.version or 0) for prompt in state.pinned.values()]
    return state.without(following.list_erased_versions(database, pinned))


def _with_changes(database: Database, state: State, names: Sequence[str], link: Link, *, is_full: bool) -> State:
    """Return the state as the database has it now: the same object if nothing has changed.

    It also has these names and pinned references, as far as they exist, and the targets of the prompts' routes. One
    statement reads all prompts, so they are as they were at one time. Prompts whose epoch has not changed are not read
    again, unless the read `is_full`.
    """
    # The epochs that the client has. The database returns the prompts with another epoch; None: in any case.
    epochs: dict[str, int | None] = {name: prompt.row.epoch for name, prompt in state.prompts.items()}
    if is_full:
        epochs = dict.fromkeys(epochs)
    requested: set[str] = set()
    while True:
        pinned: Sequence[following.PinnedVersion] = ()
        versions: Sequence[references.Reference] = ()
        if names:
            requested.update(names)
            versions = [references.parse(name) for name in names if "@" in name and name not in state.pinned]
            epochs |= {name: None for name in names if "@" not in name and name not in epochs}
        # Also if there is no name, to check that the database can be read.
        rows = following.follow(database, epochs)
        if versions:
            numbers = [(version.name, version.version or 0) for version in versions]
            pinned = following.read_versions(database, numbers)
        if not rows and not pinned:
            return state
        state = state.with_rows(rows, pinned, link)
        # If new routes lead to targets that are not loaded, read everything again, together with these targets.
        routed = [row.name for row in rows if row.route]
        names = [name for name in state.not_loaded(routed) if name not in requested] if routed else ()
        if not names:
            return state
        epochs |= {row.name: row.epoch for row in rows}
