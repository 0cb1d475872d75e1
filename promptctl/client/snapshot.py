"""What a client knew, in a file: with it a process starts while the database is down.

Processes may share a file. What one of them finds in it beyond what it knows itself it reads from the database and
follows as well, so that none of them takes away what another will need.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import stat
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from promptctl import atomic_files, bounded_input, errors
from promptctl.client import own_files
from promptctl.postgres import connecting
from promptctl.records import Record
from promptctl.rules import json_documents, references
from promptctl.store.following import Followed, Pinned

if TYPE_CHECKING:
    from collections.abc import Collection, Generator

    from promptctl.client.serving import State
    from promptctl.postgres import settings

# No snapshot has so much; what has may not exhaust an application's memory.
_LARGEST_BYTES = 1 << 30
_LOG = logging.getLogger("promptctl")
_FORM = 1
# An unchanged state is written again so often, so that its age is known: at most so much less than it seems.
_RENEWED_AFTER_SECONDS = 60.0
# Following must not wait for a large file over and over: at most such a part of the time is spent on it.
_MOST_OF_THE_TIME = 0.05
_AFTER_FAILURE_SECONDS = 1.0
# How long one process waits for another that writes.
_TURNS, _TURN_SECONDS = 20, 0.01
# A clock that is kept right may be set back by so much between writing and reading.
_CLOCK_STEP_SECONDS = 1.0

_VARIABLES = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "service": "PGSERVICE",
    "user": "PGUSER",
}  # fmt: skip

_NUMBER, _TEXT, _OBJECT, _NONE = int, str, Mapping, type(None)
_FOLLOWED: dict[str, tuple[type, ...]] = {
    "name": (_TEXT,), "epoch": (_NUMBER,), "active_version": (_NUMBER, _NONE), "candidate_version": (_NUMBER, _NONE),
    "basis_points": (_NUMBER,), "seed": (_TEXT, _NONE), "route": (list, _NONE), "content": (_TEXT, _NONE),
    "settings": (_OBJECT, _NONE), "metadata": (_OBJECT, _NONE), "candidate_content": (_TEXT, _NONE),
    "candidate_settings": (_OBJECT, _NONE), "candidate_metadata": (_OBJECT, _NONE),
}  # fmt: skip
_PINNED: dict[str, tuple[type, ...]] = {
    "name": (_TEXT,), "version": (_NUMBER,), "epoch": (_NUMBER,), "content": (_TEXT,), "settings": (_OBJECT,),
    "metadata": (_OBJECT,),
}  # fmt: skip


class Kept(Record):
    """What a file says, and how long ago the database confirmed it."""

    __slots__ = ()
    prompts: Sequence[Followed]
    versions: Sequence[Pinned]
    age_seconds: float

    @property
    def names(self) -> list[str]:
        """The names and pinned references in it."""
        return [each.name for each in self.prompts] + [f"{each.name}@{each.version}" for each in self.versions]


class Snapshot:
    """A file for the state. It holds the texts of prompts: whoever may not read those may not read it."""

    def __init__(self, path: str, identity: str) -> None:
        """`identity` says of which database it is: one of another is not used."""
        self._path = path
        self._identity = identity
        self._kept_at = self._rests_until = float("-inf")
        self._is_behind = False
        self._own: tuple[int, int] | None = None
        self._warned = False

    def is_due(self, *, changed: bool) -> bool:
        """Whether the state is to be written: it has changed, or was not written for a minute."""
        self._is_behind = self._is_behind or changed
        now = time.monotonic()
        return now >= self._rests_until and (self._is_behind or now - self._kept_at >= _RENEWED_AFTER_SECONDS)

    @property
    def is_behind(self) -> bool:
        """Whether the state has changed since it was written."""
        return self._is_behind

    @property
    def due_at(self) -> float:
        """When a state that has changed since may be written (time.monotonic); infinity: it has not changed."""
        return self._rests_until if self._is_behind else float("inf")

    def keep(
        self, state: State, age_seconds: float, gone: Collection[str] = (), *, ends: bool = False
    ) -> Sequence[str]:
        """Write the state, which was confirmed so long ago. A failure is logged.

        What another process has left in the file since, and the state does not have, is returned instead of written
        over: names and pinned references, but for those that are `gone`. When the process `ends` it is kept as it is,
        beside the state.
        """
        began = time.monotonic()
        try:
            with _alone(os.path.dirname(self._path)):
                kept = None if self._marks() in (None, self._own) else self._read(says=False)
                others = state.missing(kept.names) if kept is not None else []
                others = [name for name in others if name not in gone]
                if others and not ends:
                    return others
                self._write(_said(self._identity, state, age_seconds, kept if others else None))
                self._own = self._marks()
        except BlockingIOError:  # soon, then
            self._rests_until = time.monotonic() + _TURN_SECONDS
            return ()
        except OSError as error:
            if not self._warned:
                _LOG.warning("promptctl: cannot write the snapshot %s: %s", self._path, error.strerror or error)
            self._warned = True
            self._rests_until = time.monotonic() + _AFTER_FAILURE_SECONDS
        else:
            self._kept_at = began
            self._is_behind = False
            self._warned = False
            ended = time.monotonic()
            self._rests_until = ended + (ended - began) / _MOST_OF_THE_TIME
        return ()

    def _write(self, said: dict[str, Any]) -> None:
        own_files.check_place(self._path)
        atomic_files.replace(self._path, json.dumps(said, ensure_ascii=False).encode(), self._mode())

    def _mode(self) -> int:
        """Return the mode of the file that is there, so that an operator's group keeps reading it."""
        try:
            return stat.S_IMODE(os.lstat(self._path).st_mode)
        except FileNotFoundError:
            return stat.S_IRUSR | stat.S_IWUSR

    def load(self) -> Kept | None:
        """Return what the file says; None, and a warning, when it cannot be used."""
        kept = self._read(says=True)
        if kept is not None:
            _LOG.warning("promptctl: begins with the snapshot %s, which is %.0f s old", self._path, kept.age_seconds)
        return kept

    def _read(self, *, says: bool) -> Kept | None:
        try:
            return _understood(_json(self._path), self._identity)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, errors.Usage) as error:
            if says:
                why: object = getattr(error, "strerror", None) or error
                if isinstance(error, (LookupError, AttributeError)):
                    why = f"it is damaged ({error!r})"
                _LOG.warning("promptctl: the snapshot %s cannot be used: %s", self._path, why)
            return None

    def _marks(self) -> tuple[int, int] | None:
        """What another file in its place would not have."""
        try:
            found = os.lstat(self._path)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns


@contextlib.contextmanager
def _alone(directory: str) -> Generator[None]:
    """Keep processes apart that write into a directory. Raises BlockingIOError when another one is at it for long."""
    import fcntl

    descriptor = own_files.open_directory(directory)
    try:
        for turn in range(_TURNS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if turn == _TURNS - 1:
                    raise
                time.sleep(_TURN_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _said(identity: str, state: State, age_seconds: float, others: Kept | None) -> dict[str, Any]:
    """Return what a file is to say of a state, and of what others have left there that is not in it."""
    prompts = [each.row for each in state.prompts.values()]
    versions = [{name: getattr(each.source, name) for name in _PINNED} for each in state.pinned.values()]
    if others is not None:
        age_seconds = max(age_seconds, others.age_seconds)
        prompts += [each for each in others.prompts if each.name not in state.prompts]
        versions += [each.as_dict() for each in others.versions if f"{each.name}@{each.version}" not in state.pinned]
    return {
        "form": _FORM,
        "database": identity,
        "confirmed_at": time.time() - age_seconds,
        "prompts": [each.as_dict() for each in prompts],
        "versions": versions,
    }


def _json(path: str) -> Any:
    with open(own_files.open_file(path), "rb") as file:
        return json_documents.parse(bounded_input.from_stream(file, _LARGEST_BYTES))


def _understood(said: Any, identity: str) -> Kept:
    """Return what a file says. Raises all manner of errors for what is no snapshot of this database."""
    if said["form"] != _FORM:
        raise ValueError(f"it has form {said['form']!r}, this is form {_FORM}")
    if said["database"] != identity:
        raise ValueError(f"it is of another database ({said['database']})")
    prompts = [Followed(**_checked(row, _FOLLOWED)) for row in said["prompts"]]
    versions = [Pinned(**_checked(row, _PINNED)) for row in said["versions"]]
    kept = Kept(prompts, versions, _age(said["confirmed_at"]))
    _check_names(kept)
    return kept


def _age(confirmed_at: object) -> float:
    """Return how many seconds ago a moment was, in seconds since 1970. Raises ValueError for one that is still to come.

    Such a file would be younger than it is, and `max_age_seconds` would not refuse it.
    """
    if isinstance(confirmed_at, bool) or not isinstance(confirmed_at, (int, float)):
        raise ValueError("confirmed_at is not a number")  # noqa: TRY004 - as for all that it cannot be
    age = time.time() - confirmed_at
    if not -_CLOCK_STEP_SECONDS <= age < float("inf"):
        raise ValueError("its time is in the future")
    return max(0.0, age)


def _checked(row: dict[str, Any], kinds: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return a row whose fields are what they have to be. Raises ValueError."""
    for name, value in row.items():
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise ValueError(f"{name} is {type(value).__name__}")  # noqa: TRY004 - as for all that it cannot be
    return row


def _check_names(kept: Kept) -> None:
    """Raise errors.Usage for what names no prompt, ValueError for a route that leads out of what is kept."""
    known = set(kept.names)
    for name in known:
        references.parse(name)
    for prompt in kept.prompts:
        for step in prompt.route or ():
            if not isinstance(step["when"], Mapping) or step["use"] not in known:
                raise ValueError(f"the route of {prompt.name} leads to what is not in it")


def identity(target: settings.Target) -> str:
    """Return which database is meant, without who asks: a snapshot of another one is not to be used."""
    if target.embedded:
        from promptctl.postgres.embedded import location

        return f"embedded {location.home()}"
    given = connecting.keywords(target.url, target.origin) if target.url else {}

    def said(keyword: str) -> str:
        return given.get(keyword) or os.environ.get(_VARIABLES[keyword], "")

    places = ["host", "hostaddr", "port", "dbname", "service"]
    if not said("dbname"):
        # It is then the user's name.
        places.append("user")
    return " ".join(f"{place}={said(place)}" for place in places)
