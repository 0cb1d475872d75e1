"""Where a folder of prompts comes from: its source, the commit it is at, and who wrote each file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import git, remotes
from promptctl.records import Record
from promptctl.rules.references import short_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Any

    from promptctl.records import Timestamp


class Commit(Record):
    """A commit: its whole hash, and when it was committed."""

    __slots__ = ()
    hash: str
    committed_at: Timestamp

    @property
    def short(self) -> str:
        """The hash as people write it."""
        return short_hash(self.hash)


_PLACE = ("rev-parse", "--show-toplevel", "--is-shallow-repository", "--git-common-dir")
_STATUS = (
    "status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignored", "--no-renames", "--ignore-submodules=none",
    "--", ".",
)  # fmt: skip
# How this commit stands to the one that was applied last: the same, or after it; before it; on another line of
# history; not known, because the clone does not have that commit.
AFTER, BEFORE, BESIDE, UNKNOWN = "after", "before", "beside", "unknown"


class Checkout:
    """A folder and the repository that it lies in, if it lies in one.

    `asked` asks Git, which answers while the folder is read. `source` is what the folder is called in the
    database: the given name (`is_named`), else the repository and the folder's place in it, else its path. `repository`
    is the canonical name of the remote, None where there is none; `folder` is as it was named, `path`
    absolute.
    """

    @classmethod
    def asked(cls, folder: str, name: str | None = None) -> Callable[[], Checkout]:
        """Ask Git about a folder; the function returned waits for the answers.

        It raises Failed (`git_failed`) for a repository that git does not answer for.
        """
        place = git.ask("-C", folder, *_PLACE)
        origin = git.ask("-C", folder, "config", "--get", "remote.origin.url")
        head = git.ask("-C", folder, "log", "-1", "--no-show-signature", "--format=%H %cI")
        changed = git.ask("-C", folder, *_STATUS)
        return lambda: cls(folder, name, (place() or "").split("\n"), origin(), head(), changed)

    def __init__(
        self,
        folder: str,
        name: str | None,
        found: list[str],
        url: str | None,
        last: str | None,
        changed: Callable[[], str | None],
    ) -> None:
        """Of Git's answers; `asked` asks."""
        self.folder = folder
        self._changed = changed
        self._dirty: tuple[frozenset[str], tuple[str, ...]] | None = None
        self._history: Generator[str] | None = None
        self._commit = ""
        self._written: dict[str, str] = {}
        absolute = os.path.realpath(folder)
        self._top = os.path.realpath(found[0]) if found[0] else None
        self._shallow = os.path.join(folder, found[2], "shallow") if found[1:2] == ["true"] else None
        self.commit = Commit(*last.split(" ", 1)) if self._top and last else None
        self.repository = self._named(url) if self._top and url else None
        if self._top is None and name is None and (repository := _repository_above(absolute)):
            raise _git_failed(folder, repository)
        self.path = absolute
        self.place = os.path.relpath(absolute, self._top) if self._top else None
        self.is_named = name is not None
        self.source = name or (
            f"{self.repository or os.path.basename(self._top)} {self.place}" if self._top else absolute
        )

    def place_of(self, source: str, repository: str | None = None, path: str | None = None) -> str | None:
        """Return where the folder of another source lies, as an absolute path; None: in no place that is known here.

        `repository` and `path` are those of its last release, for a source that has a name of its own.
        """
        if source.startswith("/"):
            return source
        if self._top is None:
            return None
        own = self.repository or os.path.basename(self._top)
        first, space, rest = source.partition(" ")
        if source.startswith(f"{own} "):
            place = source[len(own) + 1 :]
        elif space and self.repository is not None and remotes.canonical(first) == self.repository:
            # As it was written before all spellings were one.
            place = rest
        elif repository is not None and path is not None and remotes.canonical(repository) == self.repository:
            place = path
        else:
            return None
        return os.path.normpath(os.path.join(self._top, place))

    @property
    def is_dirty(self) -> bool:
        """Whether something in the folder is not as it was committed."""
        changed, _ = self._changes()
        return bool(changed)

    @property
    def is_shallow(self) -> bool:
        """Whether the clone has only a part of the history."""
        return self._shallow is not None

    def has(self, commit: str) -> bool:
        """Whether the clone has a commit."""
        return git.status("-C", self.folder, "cat-file", "-e", f"{commit}^{{commit}}") == 0

    def stands_to(self, applied: str) -> str:
        """Return how this commit stands to the one that was applied last: AFTER, BEFORE, BESIDE or UNKNOWN."""
        if self.commit is None:
            return UNKNOWN
        if self.commit.hash == applied:
            return AFTER
        ended = self._is_ancestor(applied, "HEAD")
        if ended == 0:
            return AFTER
        if ended != 1:
            return UNKNOWN
        if self._is_ancestor("HEAD", applied) == 0:
            return BEFORE
        # In a shallow clone two commits on one line of history seem to have nothing in common.
        return UNKNOWN if self._shallow else BESIDE

    def is_older(self, applied_at: Timestamp | None) -> bool:
        """Whether this commit was made before that time; equal times are not older."""
        if self.commit is None or applied_at is None:
            return False
        return _moment(self.commit.committed_at) < _moment(applied_at)

    def _is_ancestor(self, one: str, other: str) -> int | None:
        return git.status("-C", self.folder, "merge-base", "--is-ancestor", one, other)

    def _named(self, url: str) -> str:
        # A word without a dot before a colon is a host of somebody's SSH configuration, or an abbreviation of Git's.
        if "://" not in url and ":" in url and "." not in url.partition(":")[0]:
            url = git.ask("-C", self.folder, "ls-remote", "--get-url", "origin")() or url
        return remotes.canonical(url)

    def origin(self) -> dict[str, Any]:
        """Return where the whole folder comes from, as a release keeps it."""
        return {
            "repository": self.repository,
            "commit": self.commit.hash if self.commit else None,
            "path": self.place or self.folder,
            "dirty": self.is_dirty if self._top else None,
        }

    def origins(self, paths: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return by path where each file comes from, as versions and activations keep it.

        `author` is that of the file's last commit; None where there is none, or a shallow clone does not know it.
        `dirty`: it is not as it was committed; None without a repository.
        """
        if self._top is None:
            own = os.path.basename(os.path.realpath(self.folder))
            return {
                path: _origin(None, None, f"{own}/{path[len(self.folder) :].lstrip('/')}", None, None) for path in paths
            }
        inside = {path: self._inside(path) for path in paths}
        authors = self._authors(set(inside.values()))
        changed, folders = self._changes()
        commit = self.commit.hash if self.commit else None
        return {
            path: _origin(
                self.repository, commit, place, authors.get(place), place in changed or place.startswith(folders)
            )
            for path, place in inside.items()
        }

    def _inside(self, path: str) -> str:
        assert self._top is not None
        # Only the folder is resolved: a link in it is a file of its own to Git.
        rest = path[len(self.folder) :].lstrip("/")
        return rest if self.place in (None, ".") else f"{self.place}/{rest}"

    def _changes(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """The files that are not as they were committed, and ignored folders, each with a slash at its end."""
        if self._dirty is None:
            said = self._changed() if self._top else ""
            if said is None:
                raise _git_failed(self.folder, self._top or self.folder, *_STATUS)
            # Two letters of state, a space, the path.
            changed = frozenset(entry[3:] for entry in said.split("\0") if entry)
            self._dirty = (changed, tuple(path for path in changed if path.endswith("/")))
        return self._dirty

    def ask_for_authors(self) -> None:
        """Have Git begin to tell who wrote what, because `origins` will be asked for."""
        if self.commit is not None and self._history is None:
            self._history = git.fields(
                "-C", self.folder, "log", "--no-show-signature", "--no-notes", "--no-ext-diff", "--no-textconv",
                "--format=%x01%H %ae", "--name-only", "-z", "--no-renames", "HEAD", "--", ".",
            )  # fmt: skip

    def _authors(self, wanted: set[str]) -> dict[str, str]:
        """Who made the last commit of each file, as far as history tells, from the newest commit back."""
        if self.commit is None or not wanted:
            return {}
        self.ask_for_authors()
        assert self._history is not None
        # In a shallow clone the last commit seems to have made every file there is.
        ends = self._ends_of_history()
        missing = wanted - self._written.keys()
        # Where it went on the last time: what was passed on the way is known.
        for field in self._history if missing else ():
            if field.startswith("\x01"):
                self._commit = field[1:]
                continue
            path = field.removeprefix("\n")
            if path not in self._written:
                commit, _, author = self._commit.partition(" ")
                self._written[path] = "" if commit in ends else author
                missing.discard(path)
            if not missing:
                break
        return {path: author for path in wanted if (author := self._written.get(path))}

    def _ends_of_history(self) -> frozenset[str]:
        if self._shallow is None:
            return frozenset()
        try:
            with open(self._shallow, encoding="ascii") as file:
                return frozenset(file.read().split())
        except OSError:
            return frozenset()


def _origin(
    repository: str | None, commit: str | None, path: str, author: str | None, dirty: bool | None
) -> dict[str, Any]:
    return {"repository": repository, "commit": commit, "path": path, "author": author, "dirty": dirty}


def _git_failed(folder: str, repository: str, *asked: str) -> errors.Failed:
    """Return why git does not answer for a repository, in git's own words."""
    import shlex

    told = git.complaint("-C", folder, *(asked or _PLACE))
    if "dubious ownership" in told:
        hint = f"git config --global --add safe.directory {shlex.quote(repository)}"
    elif told.startswith("git cannot be started"):
        hint = "install git, or put its folder into PATH"
    else:
        hint = f"git -C {shlex.quote(folder)} status"
    return errors.Failed("git_failed", f"git does not answer for the repository {repository}: {told}", hint=hint)


def _moment(timestamp: Timestamp) -> Any:
    from datetime import datetime

    return datetime.fromisoformat(timestamp)


def _repository_above(path: str) -> str | None:
    while not os.path.exists(os.path.join(path, ".git")):
        parent = os.path.dirname(path)
        if parent == path:
            return None
        path = parent
    return path
