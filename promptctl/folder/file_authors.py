"""Find the author of each file's last commit in the history of a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.folder import git

if TYPE_CHECKING:
    from collections.abc import Generator


class FileAuthors:
    """The authors of files, read from `git log` on demand, from the newest commit back.

    `git log` starts with `start` or with the first look-up, and is read only as far as look-ups need.
    """

    def __init__(self, folder: str, shallow_file: str | None) -> None:
        """`shallow_file` is the file in which Git keeps the boundary of a shallow clone, None for a complete one."""
        self._folder = folder
        self._shallow_file = shallow_file
        self._log: Generator[str] | None = None
        # What was read of the log: the current commit and its author, and the authors by path.
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
        """Return the author of each file's last commit, by path in the repository; unknown ones are left out."""
        missing = paths - self._authors.keys()
        if missing:
            self._read_until_found(missing)
        return {path: author for path in paths if (author := self._authors.get(path))}

    def _read_until_found(self, missing: set[str]) -> None:
        # A shallow clone shows each of its oldest commits as the author of every file.
        boundary = self._boundary_commits()
        for field in self.start():
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
