"""Where a folder of prompts comes from: its source, its commit, and the origin of each file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import git, remotes
from promptctl.records import Record
from promptctl.rules.references import short_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from datetime import datetime
    from typing import Any

    from promptctl.records import Timestamp


class Commit(Record):
    """A commit: its full hash and its time."""

    hash: str
    committed_at: Timestamp

    @property
    def short(self) -> str:
        """The abbreviated hash."""
        return short_hash(self.hash)


# Git prints three lines: the root of the repository, `true` for a shallow clone, and the path of Git's directory.
_REPOSITORY = ("rev-parse", "--show-toplevel", "--is-shallow-repository", "--git-common-dir")
_STATUS = (
    "status", "--porcelain=v1", "-z", "--untracked-files=all", "--ignored", "--no-renames", "--ignore-submodules=none",
    "--", ".",
)  # fmt: skip
# How a commit relates to the commit that was applied last. NEWER: it is the same or a descendant. OLDER: it is an
# ancestor. DIVERGED: it is on another branch. UNKNOWN: the clone has too little of the history.
NEWER, OLDER, DIVERGED, UNKNOWN = "newer", "older", "diverged", "unknown"


class Checkout:
    """A folder and, if it is in one, its Git repository.

    `source` is the name of the folder in the database: the name that the user chose (`is_named`), else the repository
    and the folder's path in it. Outside of a repository, it is the absolute path of the folder. `repository` is the
    canonical name of the remote, None without a remote. `folder` is the path as the user wrote it, `path` the absolute
    one.
    """

    @classmethod
    def start(cls, folder: str, name: str | None = None) -> Callable[[], Checkout]:
        """Start Git's queries about a folder, and return a function that waits for the answers.

        That function raises Failed (`git_failed`) for a repository in which git fails.
        """
        repository = git.start("-C", folder, *_REPOSITORY)
        remote_url = git.start("-C", folder, "config", "--get", "remote.origin.url")
        head = git.start("-C", folder, "log", "-1", "--no-show-signature", "--format=%H %cI")
        status = git.start("-C", folder, *_STATUS)
        return lambda: cls(folder, name, (repository() or "").split("\n"), remote_url(), head(), status)

    def __init__(
        self,
        folder: str,
        name: str | None,
        repository_lines: list[str],
        remote_url: str | None,
        head: str | None,
        status: Callable[[], str | None],
    ) -> None:
        """Make a checkout from Git's answers; `start` calls this. `repository_lines` answers `_REPOSITORY`."""
        self.folder = folder
        self._status = status
        self._changes: tuple[frozenset[str], tuple[str, ...]] | None = None
        self._origins: dict[str, dict[str, Any]] = {}
        self.path = os.path.realpath(folder)
        self._root = os.path.realpath(repository_lines[0]) if repository_lines[0] else None
        is_shallow = repository_lines[1:2] == ["true"]
        self._shallow_file = os.path.join(folder, repository_lines[2], "shallow") if is_shallow else None
        self.commit = Commit(*head.split(" ", 1)) if self._root and head else None
        self.repository = self._canonical_name(remote_url) if self._root and remote_url else None
        # Otherwise a folder in a repository that Git cannot read would be applied as another source.
        if self._root is None and name is None and (root := _repository_above(self.path)):
            raise _git_failed(folder, root)
        self._path_in_repository = os.path.relpath(self.path, self._root) if self._root else None
        self._authors = _FileAuthors(folder, self._shallow_file)
        self.is_named = name is not None
        self.source = name or (
            f"{self.repository or os.path.basename(self._root)} {self._path_in_repository}" if self._root else self.path
        )

    def path_of_source(self, source: str, repository: str | None = None, path: str | None = None) -> str | None:
        """Return the absolute path of a source's folder, None if it is not in this repository.

        A source outside of a repository has its path as its name. `repository` and `path` are those of the source's
        last release. They are needed for a source whose name the user chose.
        """
        if source.startswith("/"):
            return source
        if self._root is None:
            return None
        own_repository = self.repository or os.path.basename(self._root)
        first_word, space, rest = source.partition(" ")
        if source.startswith(f"{own_repository} "):
            path_in_repository = source.removeprefix(f"{own_repository} ")
        elif space and self.repository is not None and remotes.canonical(first_word) == self.repository:
            # Older releases stored other spellings of the repository's URL.
            path_in_repository = rest
        elif repository is not None and path is not None and remotes.canonical(repository) == self.repository:
            path_in_repository = path
        else:
            return None
        return os.path.normpath(os.path.join(self._root, path_in_repository))

    @property
    def is_dirty(self) -> bool:
        """Whether the folder has changes that are not committed."""
        changed, _ = self._uncommitted()
        return bool(changed)

    @property
    def is_in_repository(self) -> bool:
        """Whether the folder is in a Git repository, with or without a commit."""
        return self._root is not None

    @property
    def is_shallow(self) -> bool:
        """Whether the clone has only a part of the history."""
        return self._shallow_file is not None

    def has(self, commit: str) -> bool:
        """Whether the clone has a commit."""
        return git.exit_code("-C", self.folder, "cat-file", "-e", f"{commit}^{{commit}}") == 0

    def relation_to(self, applied: str) -> str:
        """Return how the checkout's commit relates to the commit `applied`: NEWER, OLDER, DIVERGED or UNKNOWN."""
        if self.commit is None:
            return UNKNOWN
        if self.commit.hash == applied:
            return NEWER
        code = self._merge_base_code(applied, "HEAD")
        if code == 0:
            return NEWER
        if code != 1:
            return UNKNOWN
        if self._merge_base_code("HEAD", applied) == 0:
            return OLDER
        # In a shallow clone, an ancestor and its descendant can look unrelated.
        return UNKNOWN if self.is_shallow else DIVERGED

    def is_older(self, applied_at: Timestamp | None) -> bool:
        """Whether the checkout's commit was made before a time. A commit of exactly that time is not older."""
        if self.commit is None or applied_at is None:
            return False
        return _parse_time(self.commit.committed_at) < _parse_time(applied_at)

    def _merge_base_code(self, ancestor: str, descendant: str) -> int | None:
        """Return 0 if the first commit is an ancestor of the second, 1 if it is not. Git fails with another code."""
        return git.exit_code("-C", self.folder, "merge-base", "--is-ancestor", ancestor, descendant)

    def _canonical_name(self, url: str) -> str:
        # A word without a dot before the colon is a host in the user's SSH configuration, or an abbreviation for a URL
        # in Git's configuration. Git resolves the abbreviation.
        if "://" not in url and ":" in url and "." not in url.partition(":")[0]:
            url = git.start("-C", self.folder, "ls-remote", "--get-url", "origin")() or url
        return remotes.canonical(url)

    def origin(self) -> dict[str, Any]:
        """Return the origin of the folder, as a release stores it."""
        return {
            "repository": self.repository,
            "commit": self.commit.hash if self.commit else None,
            "path": self._path_in_repository or self.folder,
            "dirty": self.is_dirty if self._root else None,
        }

    def start_author_query(self) -> None:
        """Start reading the history for `origins`, which takes a while for many files."""
        if self.commit is not None:
            self._authors.start()

    def origins(self, paths: Iterable[str]) -> dict[str, dict[str, Any]]:
        """Return the origin of each file by path, as versions and activations store it.

        `author` is that of the file's last commit, None if the file has none or a shallow clone does not have it.
        `dirty`: the file has changes that are not committed; None without a repository.
        """
        paths = list(paths)
        if missing := [path for path in paths if path not in self._origins]:
            self._origins |= self._read_origins(missing)
        return {path: self._origins[path] for path in paths}

    def _read_origins(self, paths: list[str]) -> dict[str, dict[str, Any]]:
        if self._root is None:
            folder = os.path.basename(self.path)
            return {
                path: _file_origin(None, None, f"{folder}/{self._path_in_folder(path)}", author=None, dirty=None)
                for path in paths
            }
        git_paths = {path: self._git_path(path) for path in paths}
        authors = self._authors.of(set(git_paths.values())) if self.commit is not None else {}
        changed, changed_folders = self._uncommitted()
        commit = self.commit.hash if self.commit else None
        return {
            path: _file_origin(
                self.repository,
                commit,
                git_path,
                author=authors.get(git_path),
                dirty=git_path in changed or git_path.startswith(changed_folders),
            )
            for path, git_path in git_paths.items()
        }

    def _path_in_folder(self, path: str) -> str:
        return path.removeprefix(self.folder).lstrip("/")

    def _git_path(self, path: str) -> str:
        """Return the path of a file in the repository.

        Links below the folder are not resolved, because Git stores a link as a file.
        """
        rest = self._path_in_folder(path)
        return rest if self._path_in_repository in (None, ".") else f"{self._path_in_repository}/{rest}"

    def _uncommitted(self) -> tuple[frozenset[str], tuple[str, ...]]:
        """Return the paths with changes that are not committed, and separately the folders among them.

        Git reports a folder instead of its files if it is an untracked repository inside of this one.
        """
        if self._changes is None:
            output = self._status() if self._root else ""
            if output is None:
                raise _git_failed(self.folder, self._root or self.folder, *_STATUS)
            # An entry is two letters of state, a space and the path. The path of a folder ends with a slash.
            changed = frozenset(entry[3:] for entry in output.split("\0") if entry)
            self._changes = (changed, tuple(path for path in changed if path.endswith("/")))
        return self._changes


class _FileAuthors:
    """The authors of files, read from `git log` on demand, from the newest commit back.

    `start` or the first look-up starts `git log`. Its output is read only as far as the look-ups need it.
    """

    def __init__(self, folder: str, shallow_file: str | None) -> None:
        """`shallow_file` is the file in which Git lists the oldest commits of a shallow clone, else None."""
        self._folder = folder
        self._shallow_file = shallow_file
        self._log: Generator[str] | None = None
        # What was read of the log: the current commit and its author, and the authors by path, '' for an unknown one.
        self._commit = ""
        self._authors: dict[str, str] = {}

    def start(self) -> Generator[str]:
        """Start `git log`, unless it runs already."""
        if self._log is None:
            self._log = git.stream_fields(
                "-C", self._folder, "log", "--no-show-signature", "--no-notes", "--no-ext-diff", "--no-textconv",
                "--format=%x01%H %ae", "--name-only", "-z", "--no-renames", "HEAD", "--", ".",
            )  # fmt: skip
        return self._log

    def of(self, paths: set[str]) -> dict[str, str]:
        """Return the author of each file's last commit, by path in the repository, without files of unknown authors."""
        missing = paths - self._authors.keys()
        if missing:
            self._read_until_found(missing)
        return {path: author for path in paths if (author := self._authors.get(path))}

    def _read_until_found(self, missing: set[str]) -> None:
        """Read the log until it has named each path in `missing`, and remove each from the set."""
        # In a shallow clone, `git log` names every file under each of the oldest commits, even if the
        # commit did not change it.
        boundary = self._boundary_commits()
        for field in self.start():
            # `--format` marks a commit with \x01. A line break precedes the first path of a commit.
            if field.startswith("\x01"):
                self._commit = field[1:]
                continue
            path = field.removeprefix("\n")
            if path not in self._authors:
                commit, _, author = self._commit.partition(" ")
                self._authors[path] = "" if commit in boundary else author
                missing.discard(path)
            if not missing:
                break

    def _boundary_commits(self) -> frozenset[str]:
        if self._shallow_file is None:
            return frozenset()
        try:
            with open(self._shallow_file, encoding="ascii") as file:
                return frozenset(file.read().split())
        except OSError:
            return frozenset()


def _file_origin(
    repository: str | None, commit: str | None, path: str, *, author: str | None, dirty: bool | None
) -> dict[str, Any]:
    return {"repository": repository, "commit": commit, "path": path, "author": author, "dirty": dirty}


def _git_failed(folder: str, repository: str, *arguments: str) -> errors.Failed:
    """Return the error for a repository in which git fails. Runs git again with the arguments, for its message."""
    import shlex

    message = git.error_message("-C", folder, *(arguments or _REPOSITORY))
    if "dubious ownership" in message:
        hint = f"git config --global --add safe.directory {shlex.quote(repository)}"
    elif message.startswith("git cannot be started"):
        hint = "install git, or add its folder to PATH"
    else:
        hint = f"git -C {shlex.quote(folder)} status"
    return errors.Failed("git_failed", f"git fails in the repository {repository}: {message}", hint=hint)


def _parse_time(timestamp: Timestamp) -> datetime:
    from datetime import datetime

    return datetime.fromisoformat(timestamp)


def _repository_above(path: str) -> str | None:
    """Return the nearest folder with `.git` that is or contains this folder, None if there is none."""
    while not os.path.exists(os.path.join(path, ".git")):
        parent = os.path.dirname(path)
        if parent == path:
            return None
        path = parent
    return path
