"""The hook promptctl-check: the real pre-commit installs it from this source, and runs it for real commits."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

HOOKS = ROOT / ".pre-commit-hooks.yaml"
# What a wheel is built from.
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "schema.sql", "promptctl", "scripts", "man", HOOKS.name)
# What pip prints when it cannot reach a package index.
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "Could not fetch URL", "Read timed out")


class Project:
    """A repository with a folder of prompts, in which pre-commit is installed."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "project"
        # pip's configuration and cache are those of the developer, Git's configuration is not.
        self.env = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "PROMPTCTL_"))}
        self.env |= {
            "PRE_COMMIT_HOME": str(folder / "pre-commit"), "PRE_COMMIT_COLOR": "never", "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com", "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.com", "DATABASE_URL": "postgresql://127.0.0.1:1/nowhere",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        }  # fmt: skip
        self.env.pop("VIRTUAL_ENV", None)

    def run(self, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, cwd=cwd or self.path, env=self.env, capture_output=True, text=True, timeout=300, check=False
        )

    def write(self, path: str, text: str) -> None:
        file = self.path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def commit(self, *words: str) -> tuple[int, str]:
        """Commit what is staged; return the exit code of git and what the hook printed."""
        done = self.run("git", "commit", "-q", "-m", "change", *words)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    if project.run(sys.executable, "-m", "pre_commit", "--version", cwd=tmp_path).returncode != 0:
        pytest.skip("pre-commit is not installed: pip install -e '.[check]'")
    source = tmp_path / "source"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    for folder in (source, project.path):
        folder.mkdir(exist_ok=True)
        assert project.run("git", "init", "-q", "-b", "main", cwd=folder).returncode == 0
    assert project.run("git", "add", "-A", cwd=source).returncode == 0
    assert project.run("git", "commit", "-q", "-m", "source", cwd=source).returncode == 0
    revision = project.run("git", "rev-parse", "HEAD", cwd=source).stdout.strip()
    config = {"repos": [{"repo": str(source), "rev": revision, "hooks": [{"id": "promptctl-check"}]}]}
    project.write(".pre-commit-config.yaml", yaml.safe_dump(config))
    installed = project.run(sys.executable, "-m", "pre_commit", "install", "--install-hooks")
    if installed.returncode != 0 and any(message in installed.stdout for message in NO_NETWORK):
        pytest.skip("pip cannot reach a package index here")
    assert installed.returncode == 0, installed.stdout
    return project


def test_the_hook_checks_what_is_committed(project: Project) -> None:
    project.write("prompts/greeter/v1.txt", "Be kind.\n")
    project.write("prompts/greeter/prompt.yaml", "active: 1\n")
    project.run("git", "add", "-A")
    code, output = project.commit()
    assert (code, re.findall(r"check prompts\.+(\w+)", output)) == (0, ["Passed"]), output

    # A commit without files of prompts is not checked.
    project.write("README.md", "x\n")
    project.run("git", "add", "README.md")
    code, output = project.commit()
    assert (code, "(no files to check)Skipped" in output) == (0, True), output

    # An edited version is refused, with the difference.
    project.write("prompts/greeter/v1.txt", "Be very kind.\n")
    code, output = project.commit("-a")
    assert code == 1, output
    assert "conflict\tgreeter@1\tprompts/greeter/v1.txt differs from HEAD (" in output
    assert "- exit code: 5" in output
    assert "-Be kind.\n+Be very kind.\n" in output

    # pre-commit hides changes that are not staged, so only what is committed is checked.
    project.run("git", "reset", "-q")
    project.write("prompts/greeter/v2.txt", "Be brief.\n")
    project.run("git", "add", "prompts/greeter/v2.txt")
    code, output = project.commit()
    assert code == 0, output
    assert (project.path / "prompts/greeter/v1.txt").read_text() == "Be very kind.\n"

    # An invalid name is reported, although sync would not read the file.
    project.run("git", "checkout", "-q", ".")
    project.write("prompts/greeter/V3.txt", "Be.\n")
    project.run("git", "add", "-A")
    code, output = project.commit()
    assert code == 1, output
    assert "prompts/greeter/V3.txt: not the name of a version file" in output


@pytest.mark.parametrize(
    ("path", "is_checked"),
    [
        ("prompts/a/v1.txt", True),
        ("v12.md", True),
        ("prompts/a/b/prompt.yml", True),
        ("prompts/promptctl.yaml", True),
        ("prompts/a/V1.txt", True),
        ("prompts/a/v01", True),
        ("src/view.py", False),
        ("docs/prompt.yaml.md", False),
        ("prompts/a/notes.txt", False),
    ],
)
def test_the_hook_runs_for_the_files_that_sync_reads(path: str, is_checked: bool) -> None:
    [hook] = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    assert bool(re.search(hook["files"], path)) is is_checked
