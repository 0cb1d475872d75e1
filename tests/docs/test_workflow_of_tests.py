"""The workflow examples/github/tests.yml runs test cases as it says, and comments what the command wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from xml.etree import ElementTree

import yaml

from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Promptctl

EXAMPLES = ROOT / "examples"
CASE = "tests:\n  - message: Hello\n    assert: [{contains: good}]\n"


def steps() -> list[dict[str, Any]]:
    document = yaml.safe_load((EXAMPLES / "github" / "tests.yml").read_text(encoding="utf-8"))
    assert document["permissions"] == {}
    [job] = cast("list[dict[str, Any]]", [*document["jobs"].values()])
    # Secrets are in an environment, and a fork has none.
    assert job["environment"] == "tests"
    assert "github.repository" in job["if"]
    assert job["permissions"] == {"contents": "read", "pull-requests": "write"}
    return job["steps"]


def test_the_workflow_tests_the_folder_and_comments_the_markdown(
    promptctl: Promptctl, claude_env: Callable[..., dict[str, str]], home: Path, tmp_path: Path
) -> None:
    _, install, test, comment = steps()
    assert "[cli,chat]" in install["run"]
    assert set(test["env"]) == {"DATABASE_URL", "ANTHROPIC_API_KEY"}
    assert comment["if"].startswith("always()")
    assert "--body-file comment.md" in comment["run"]
    assert not [step for step in (install, test, comment) if "${{" in step["run"]]
    folder = home / "prompts" / "support"
    folder.mkdir(parents=True)
    (folder / "tests.yaml").write_text(CASE)
    (folder / "v1.txt").write_text("You are calm.")
    (folder / "prompt.yaml").write_text("active: 1\n")
    assert promptctl("sync", "prompts").code == 0
    (folder / "v2.txt").write_text("You are broken.")
    (folder / "prompt.yaml").write_text("active: 2\n")
    summary = tmp_path / "summary.md"
    env = promptctl.environment({**claude_env("crowd"), "CI": "true", "GITHUB_STEP_SUMMARY": str(summary)})
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", test["run"]], env=env, cwd=home, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    text = (home / "comment.md").read_text()
    assert text.startswith("<!-- promptctl test -->\n")
    assert "| ❌ **worse** |" in text
    assert summary.read_text() == text
    assert ElementTree.fromstring((home / "promptctl-tests.xml").read_text()).get("failures") != "0"


def test_the_page_of_examples_names_the_workflow() -> None:
    assert "(github/tests.yml)" in (EXAMPLES / "README.md").read_text(encoding="utf-8")
