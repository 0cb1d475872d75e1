"""The embedded database moves to a newer major version of PostgreSQL by the command that `db status` prints."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from promptctl.postgres.embedded import binaries
from tests.conftest import SERVERS


def run(env: dict[str, str], script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-ec", script], env=env, cwd="/", capture_output=True, text=True, check=False, timeout=120
    )


def answer(env: dict[str, str], script: str) -> str:
    ended = run(env, script)
    assert ended.returncode == 0, ended
    return ended.stdout


@pytest.mark.skipif("15" not in SERVERS, reason="needs PostgreSQL 15")
def test_the_printed_command_moves_the_data_and_keeps_the_old_home(embedded_home: dict[str, str]) -> None:
    home = Path(embedded_home["PROMPTCTL_HOME"])
    older = embedded_home | {"PROMPTCTL_PG_BIN": str(SERVERS["15"])}
    answer(older, "promptctl create greeter 'Be kind.' --activate && promptctl create greeter 'Be brief.'")
    answer(older, "promptctl activate greeter@2 && promptctl rollback greeter")
    before = answer(older, "promptctl history --json && promptctl show greeter@2 && promptctl list --json")

    # Without the setting, the newest programs are those of the package. The server runs on from its own copy.
    newest = binaries.find()
    assert newest is not None
    assert newest.version.major > 15
    status = run(embedded_home, "promptctl db status")
    assert (status.returncode, "server_version\t15." in status.stdout) == (0, True)
    [command] = re.findall(
        rf"stays on PostgreSQL 15, and {newest.version.major} is installed; to move it, stop the applications and run: "
        r"(promptctl db dump .*)$",
        status.stderr,
        flags=re.MULTILINE,
    )
    assert run(embedded_home, "promptctl db status --json").stderr == ""

    moved = run(embedded_home, command)
    assert moved.returncode == 0, moved
    try:
        status = run(embedded_home, "promptctl db status --json")
        assert json.loads(status.stdout)["server_version"].startswith(f"{newest.version.major}.")
        assert run(embedded_home, "promptctl db status").stderr == ""
        assert (
            answer(embedded_home, "promptctl history --json && promptctl show greeter@2 && promptctl list --json")
            == before
        )
        assert run(embedded_home, "promptctl db verify").returncode == 0
    finally:
        run(embedded_home, "promptctl db stop")

    # Nothing was destroyed: the old database is in the renamed home.
    kept = embedded_home | {"PROMPTCTL_HOME": f"{home}-postgresql-15"}
    try:
        assert "server_version\t15." in answer(kept, "promptctl list >/dev/null; promptctl db status")
        assert "greeter" in answer(kept, "promptctl list")
    finally:
        run(kept, "promptctl db stop")


@pytest.mark.skipif("15" not in SERVERS, reason="needs PostgreSQL 15")
def test_a_dump_that_cannot_be_written_leaves_the_home_where_it_is(embedded_home: dict[str, str]) -> None:
    older = embedded_home | {"PROMPTCTL_PG_BIN": str(SERVERS["15"])}
    answer(older, "promptctl create greeter 'Be kind.' --activate")
    [command] = re.findall(
        r"run: (promptctl db dump .*)$", run(embedded_home, "promptctl db status").stderr, re.MULTILINE
    )
    home = Path(embedded_home["PROMPTCTL_HOME"])
    Path(f"{home}-postgresql-15.dump").write_text("a file of somebody's", encoding="utf-8")
    assert run(embedded_home, command).returncode == 1
    assert Path(f"{home}-postgresql-15.dump").read_text(encoding="utf-8") == "a file of somebody's"
    assert answer(embedded_home, "promptctl list --quiet") == "greeter\n"


def test_a_restore_after_the_printed_roles_were_created_succeeds(embedded_home: dict[str, str]) -> None:
    answer(
        embedded_home, "promptctl create greeter 'Be kind.' --activate && promptctl db shell -c 'create role app login'"
    )
    answer(embedded_home, "promptctl db grant app --as application && promptctl db dump $PROMPTCTL_HOME.dump")
    empty = embedded_home | {"PROMPTCTL_HOME": f"{embedded_home['PROMPTCTL_HOME']}-empty"}
    restore = f"promptctl db restore {embedded_home['PROMPTCTL_HOME']}.dump"
    try:
        refused = run(empty, restore)
        assert (refused.returncode, "roles that do not exist: app" in refused.stderr) == (4, True)
        [hint] = re.findall(r"^hint:  (.*)$", refused.stderr, re.MULTILINE)
        # Each command creates the schema in an embedded database. A restore replaces it as long as it has no prompt.
        answer(empty, f"{hint} && promptctl list && {restore}")
        assert answer(empty, "promptctl list --quiet") == "greeter\n"
        assert run(empty, restore).returncode == 5
        assert answer(empty, "promptctl list --quiet") == "greeter\n"
    finally:
        run(empty, "promptctl db stop")
