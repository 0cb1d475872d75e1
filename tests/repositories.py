"""Git repositories for tests, without the developer's configuration and with the same times in every run."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from tests.conftest import environment

if TYPE_CHECKING:
    from pathlib import Path


class Repository:
    """A repository with a folder of prompts; each commit is a minute after the one before."""

    def __init__(self, path: Path, home: Path) -> None:
        """Create the repository on the branch main, with a remote whose URL has credentials."""
        self.path = path
        self._home = home
        self._minutes = 0
        path.mkdir(parents=True, exist_ok=True)
        self.git("init", "-q", "-b", "main")
        self.git("remote", "add", "origin", "https://ci:s3cret@git.example.com/team/prompts.git")

    def git(self, *words: str, cwd: Path | None = None, **env: str) -> str:
        """Run git, and return its output."""
        settings = {
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_COMMITTER_NAME": "ci",
            "GIT_COMMITTER_EMAIL": "ci@example.com", "GIT_AUTHOR_NAME": "ci", "GIT_AUTHOR_EMAIL": "ci@example.com",
        }  # fmt: skip
        done = subprocess.run(
            ["git", *words],
            cwd=cwd or self.path,
            env=environment(self._home) | settings | env,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, files: dict[str, str]) -> None:
        """Write files by their paths in the repository."""
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")

    def commit(self, files: dict[str, str] | None = None, author: str = "ada") -> str:
        """Write files, commit everything, and return the commit's hash."""
        self.write(files or {})
        self._minutes += 1
        when = f"2026-11-12T09:{self._minutes:02}:00Z"
        self.git("add", "-A")
        self.git(
            "commit", "-q", "--allow-empty", "-m", f"commit {self._minutes}",
            GIT_AUTHOR_NAME=author, GIT_AUTHOR_EMAIL=f"{author}@example.com", GIT_AUTHOR_DATE=when,
            GIT_COMMITTER_DATE=when,
        )  # fmt: skip
        return self.git("rev-parse", "HEAD")
