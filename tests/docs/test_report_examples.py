"""The examples that write the report every night: the script for cron, and the workflow that publishes an artifact."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from tests.commands import NEWEST
from tests.conftest import ROOT, Ended

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

EXAMPLES = ROOT / "examples"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # The examples meet promptctl, which meets every version of PostgreSQL in other tests: one is enough here.
    if "templated" in metafunc.fixturenames:
        metafunc.definition.add_marker(pytest.mark.parametrize("templated", NEWEST, indirect=True, scope="session"))


def run(promptctl: Promptctl, *words: str, **env: str) -> Ended:
    variables = promptctl.environment(dict(env))
    variables["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}"
    done = subprocess.run(words, env=variables, cwd=promptctl.home, capture_output=True, text=True, check=False)
    return Ended(done.returncode, done.stdout, done.stderr)


def test_the_nightly_script_keeps_the_reports_of_some_days(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sql.execute("select promptctl.create_version('support', 'One.'); select promptctl.activate('{support}', '{1}')")
    folder = promptctl.home / "reports"
    folder.mkdir()
    for name in ("prompts-2020-01-01.html", "prompts-2020-01-02.html", "notes.html"):
        (folder / name).write_text("old")
        os.utime(folder / name, (0, 0))
    script = str(EXAMPLES / "ci" / "nightly-report.sh")
    ended = run(promptctl, script)
    assert (ended.code, ended.err) == (0, "")
    page = Path(ended.out.rstrip("\n"))
    assert page.parent == Path("reports")
    index = (folder / "index.html").read_text(encoding="utf-8")
    assert "support" in index
    assert index == (promptctl.home / page).read_text(encoding="utf-8")
    # The newest one of those before stayed.
    kept = {"index.html", "notes.html", "prompts-2020-01-02.html", page.name}
    assert {path.name for path in folder.iterdir()} == kept
    # Without a database, the last page stays. Expired reports are deleted all the same, but not the newest one.
    os.utime(promptctl.home / page, (0, 0))
    ended = run(promptctl, script, DATABASE_URL="postgresql://127.0.0.1:1/nowhere")
    assert (ended.code, ended.out) == (6, "")
    assert (folder / "index.html").read_text(encoding="utf-8") == index
    assert {path.name for path in folder.iterdir()} == kept - {"prompts-2020-01-02.html"}


def test_the_nightly_script_makes_room_first_and_leaves_no_part_of_a_page(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("select promptctl.create_version('support', 'One.'); select promptctl.activate('{support}', '{1}')")
    folder = promptctl.home / "reports"
    folder.mkdir()
    (folder / "index.html").write_text("last")
    for name in ("prompts-2020-01-01.html", "prompts-2020-01-02.html"):
        (folder / name).write_text("old")
        os.utime(folder / name, (0, 0))
    # The disk is full after half of the copy.
    programs = promptctl.home / "programs"
    programs.mkdir()
    copy = programs / "cp"
    copy.write_text('#!/bin/sh\nhead -c 100 "$1" >"$2"\necho \'cp: No space left on device\' >&2\nexit 1\n')
    copy.chmod(0o755)
    script = str(EXAMPLES / "ci" / "nightly-report.sh")
    ended = run(promptctl, "bash", "-c", f'PATH={programs}:$PATH; export PATH; exec "{script}"')
    assert (ended.code, ended.out, ended.err) == (1, "", "cp: No space left on device\n")
    assert (folder / "index.html").read_text() == "last"
    old, new = sorted(path.name for path in folder.iterdir() if path.name != "index.html")
    # The newest one of those before stays.
    assert old == "prompts-2020-01-02.html"
    assert (folder / new).stat().st_size > 1000


def test_the_workflow_publishes_the_page(promptctl: Promptctl) -> None:
    document = yaml.safe_load((EXAMPLES / "github" / "report.yml").read_text(encoding="utf-8"))
    assert document["permissions"] == {}
    [job] = cast("list[dict[str, Any]]", [*document["jobs"].values()])
    assert job["environment"] == "reports"
    install, write, publish = job["steps"]
    assert "[cli,chat]" in install["run"]
    assert not [step for step in (install, write) if "${{" in step["run"]]
    assert set(write["env"]) == {"DATABASE_URL"}
    assert run(promptctl, "bash", "-e", "-c", write["run"]).code == 0
    assert (promptctl.home / publish["with"]["path"]).stat().st_size > 1000
