"""The first commands on an empty machine, many at once, and commands beside a server that is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def start(env: dict[str, str], home: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "promptctl", *words],
        env=env, cwd=home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def run(env: dict[str, str], home: Path, *words: str) -> tuple[int, str, str]:
    process = start(env, home, *words)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_twenty_first_commands_at_once_all_succeed_on_one_cluster(embedded_home: dict[str, str], home: Path) -> None:
    shutil.copytree(ROOT / "prompts", home / "prompts")
    running = [start(embedded_home, home, "sync", "prompts") for _ in range(10)]
    running += [start(embedded_home, home, "create", f"prompt-{n}", "Be kind.") for n in range(10)]
    endings = [(process.communicate(timeout=120)[1], process.returncode) for process in running]
    assert [code for _, code in endings] == [0] * 20, [said for said, code in endings if code]
    assert sum("applied as release" in said for said, _ in endings) == 1
    code, out, _ = run(embedded_home, home, "list", "--quiet")
    assert (code, len(out.splitlines())) == (0, 12)


def test_a_dry_run_without_a_database_reports_errors_in_the_folder(embedded_home: dict[str, str], home: Path) -> None:
    (home / "prompts" / "p").mkdir(parents=True)
    (home / "prompts" / "p" / "v1.txt").write_bytes(b"\xff")
    code, out, err = run(embedded_home, home, "sync", "--dry-run")
    assert (code, out) == (1, "")
    assert "v1.txt is not UTF-8" in err


def test_a_dry_run_without_a_database_shows_the_first_sync_and_creates_nothing(
    embedded_home: dict[str, str], home: Path
) -> None:
    shutil.copytree(ROOT / "prompts", home / "prompts")
    place = embedded_home["PROMPTCTL_HOME"]
    code, planned, said = run(embedded_home, home, "sync", "--dry-run")
    assert (code, said.splitlines()[0]) == (0, f"there is no embedded database yet: sync creates it in {place}")
    assert run(embedded_home, home, "sync", "--check")[0] == 3
    code, out, err = run(embedded_home, home, "sync", "--check", "--json")
    assert (code, err) == (3, "")
    assert json.loads(out)["changes"]
    assert run(embedded_home, home, "sync", "--dry-run", "--format", "markdown")[0] == 0
    code, _, err = run(embedded_home, home, "sync", "--save-plan", "plan.json")
    assert (code, "there is no embedded one" in err) == (6, True)
    assert not os.path.exists(place)
    code, applied, _ = run(embedded_home, home, "sync")
    assert (code, applied) == (0, planned)
    assert run(embedded_home, home, "sync", "--check")[0] == 0


def test_in_ci_an_embedded_database_is_created_if_it_is_named(embedded_home: dict[str, str], home: Path) -> None:
    in_ci = embedded_home | {"CI": "true"}
    assert run(in_ci, home, "create", "greeter", "Be kind.")[0] == 2
    named = ("create", "greeter", "Be kind.", "--activate", "--database-url", "embedded:")
    assert run(in_ci | {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/x"}, home, *named)[0] == 0
    assert run(in_ci, home, "create", "greeter", "Be brief.")[0] == 0
    code, out, _ = run(in_ci | {"PROMPTCTL_DATABASE_URL": "embedded:"}, home, "db", "status", "--json")
    assert (code, json.loads(out)["chosen_by"]) == (0, "PROMPTCTL_DATABASE_URL")
    program = "from promptctl import Prompts\nwith Prompts('embedded:') as prompts: print(prompts.get('greeter'))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=in_ci, cwd=home, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "greeter@1\n", done.stderr


def test_the_next_command_restarts_a_killed_server_without_data_loss(embedded_home: dict[str, str], home: Path) -> None:
    assert run(embedded_home, home, "create", "greeter", "Be kind.", "--activate")[0] == 0
    pid_file = os.path.join(embedded_home["PROMPTCTL_HOME"], "pg18", "postmaster.pid")
    with open(pid_file, encoding="utf-8") as file:
        os.kill(int(file.readline()), signal.SIGKILL)
    code, out, err = run(embedded_home, home, "show", "greeter")
    assert (code, out) == (0, "Be kind."), err


def test_the_error_without_database_and_postgresql_names_both_solutions(
    embedded_home: dict[str, str], home: Path
) -> None:
    code, out, err = run(embedded_home, home, "list")
    assert (code, out) == (6, "")
    assert "hint:  set DATABASE_URL, or run: promptctl db start" in err
    hidden = embedded_home | {"PROMPTCTL_PG_BIN": str(home)}
    code, out, err = run(hidden, home, "sync", str(ROOT / "prompts"))
    assert (code, out) == (2, "")
    assert "PROMPTCTL_PG_BIN: no working postgres" in err
