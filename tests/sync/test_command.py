"""The command sync as pipelines run it: repeated, beside operators, and concurrently."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT, Ended, Promptctl

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg


@pytest.fixture
def folder(home: Path) -> Path:
    """A copy of the example prompts."""
    return Path(shutil.copytree(ROOT / "prompts", home / "prompts"))


def active_versions(sql: psycopg.Connection[Any]) -> dict[str, int | None]:
    return dict(sql.execute("select name, active_version from promptctl.served order by name").fetchall())


def sync(promptctl: Promptctl, *words: str) -> Ended:
    return promptctl("sync", "prompts", *words)


def set_active(folder: Path, version: int) -> None:
    path = folder / "default-system-prompt" / "prompt.yaml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(f"active: {version}" if line.startswith("active:") else line for line in lines) + "\n")


def test_the_first_sync_stores_and_activates_and_the_second_changes_nothing(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    first = sync(promptctl)
    assert first.code == 0
    assert "4 new, 1 activation; applied as release 1" in first.err
    assert active_versions(sql) == {"code_helper": None, "default-system-prompt": 1}
    second = sync(promptctl)
    assert (second.code, second.out) == (0, "")
    assert "no changes" in second.err
    assert sql.execute("select count(*) from promptctl.allocations").fetchone() == (1,)


def test_a_file_is_stored_byte_for_byte(promptctl: Promptctl, folder: Path) -> None:
    content = "line\n\n  indented\ttab \u2028 separator\x0cfeed, {braces} and \\backslash\nno newline at the end"
    (folder / "code_helper" / "v2.txt").write_bytes(content.encode())
    assert sync(promptctl).code == 0
    assert promptctl("show", "code_helper@2").out == content


def test_a_long_name_is_shortened_on_a_terminal_and_complete_in_a_pipe(promptctl: Promptctl, home: Path) -> None:
    name = "customer-support/escalations/second-level/a-name-that-goes-on-and-on"
    folder = home / "prompts" / name
    folder.mkdir(parents=True)
    (folder / "v12.txt").write_text("Be kind.\n")
    seen = promptctl.on_terminal("sync", "prompts", "--dry-run").out.split("\n")
    assert "+ …/a-name-that-goes-on-and-on@12  new, 9 bytes" in seen
    assert f"new\t{name}@12\tnew, 9 bytes" in promptctl("sync", "prompts", "--dry-run").out


def test_the_output_of_sync_matches_the_documented_screens(
    promptctl: Promptctl, folder: Path, snapshot: Callable[..., None]
) -> None:
    snapshot(promptctl.on_terminal("sync", "prompts", "--dry-run").out, "sync-dry-run-terminal")
    snapshot(promptctl.on_terminal("sync", "prompts").out, "sync-first-terminal")
    snapshot(promptctl.on_terminal("sync", "prompts").out, "sync-second-terminal")
    promptctl("activate", "default-system-prompt@3", "--reason", "more energy")
    promptctl("rollback", "default-system-prompt", "--to", "1")
    set_active(folder, 2)
    sync(promptctl)
    promptctl("rollback", "default-system-prompt", "--reason", "too terse, INC-412")
    (folder / "code_helper" / "prompt.yaml").write_text("description: Mends code\nmax_tokens: 9\n")
    snapshot(promptctl.on_terminal("sync", "prompts", "--dry-run").out, "sync-held-terminal")
    piped = sync(promptctl, "--dry-run")
    snapshot(piped.out + "---\n" + piped.err, "sync-held-piped")
    snapshot(sync(promptctl, "--dry-run", "--json").out.replace(str(folder), "/prompts"), "sync-held-json")
    (folder / "code_helper" / "v1.txt").write_text("Edited.\n")
    snapshot(promptctl.on_terminal("sync", "prompts").out, "sync-conflict-terminal")


def test_dry_run_and_check_change_nothing_and_check_exits_with_3(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    assert sync(promptctl, "--dry-run").code == 0
    assert sync(promptctl, "--check").code == 3
    assert active_versions(sql) == {}
    sync(promptctl)
    assert sync(promptctl, "--check").code == 0


def test_an_operators_move_stays_until_the_folder_names_another_version(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    sync(promptctl)
    set_active(folder, 3)
    assert sync(promptctl).code == 0
    assert active_versions(sql)["default-system-prompt"] == 3
    promptctl("rollback", "default-system-prompt", "--reason", "INC-412")
    held = sync(promptctl)
    assert held.code == 0
    assert re.search(r"held at 1, the folder names 3: ada@example.com rolled back at \S+Z, INC-412", held.out)
    assert (
        "to keep 1, write active: 1 in prompts/default-system-prompt/prompt.yaml; to follow the folder, activate 3"
        in held.err
    )
    assert sync(promptctl, "--check").code == 0
    assert active_versions(sql)["default-system-prompt"] == 1
    set_active(folder, 2)
    sync(promptctl)
    assert active_versions(sql)["default-system-prompt"] == 2


def test_an_operators_activation_of_the_folders_version_ends_a_hold(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    promptctl("create", "default-system-prompt", "-f", "prompts/default-system-prompt/v1.txt", "--meta", "a=1")
    promptctl("create", "default-system-prompt", "-f", "prompts/default-system-prompt/v2.txt", "--activate")
    assert "held at 2, the folder names 1" in sync(promptctl).out
    promptctl("activate", "default-system-prompt@1")
    assert "held" not in sync(promptctl).out
    set_active(folder, 3)
    sync(promptctl)
    assert active_versions(sql)["default-system-prompt"] == 3


def test_an_edited_version_refuses_the_whole_folder_with_a_diff(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    sync(promptctl)
    (folder / "default-system-prompt" / "v2.txt").write_text("Something else.\n")
    (folder / "brand-new").mkdir()
    (folder / "brand-new" / "v1.txt").write_text("New.\n")
    refused = sync(promptctl)
    assert refused.code == 5
    assert "+Something else." in refused.err
    assert "save it as v4; nothing was applied" in refused.err
    assert "brand-new" not in active_versions(sql)
    as_json = sync(promptctl, "--json")
    assert as_json.code == 5
    assert json.loads(as_json.err.splitlines()[-1])["error"]["code"] == "conflict"


def test_an_invalid_folder_exits_with_1_and_makes_no_connection(unconfigured: Promptctl) -> None:
    (unconfigured.home / "prompts").mkdir()
    ended = unconfigured("sync", "prompts", env={"DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"})
    assert ended.code == 1
    assert "no version file in" in ended.err


def test_another_source_cannot_take_a_prompt_over(promptctl: Promptctl, folder: Path) -> None:
    assert sync(promptctl, "--source", "one").code == 0
    refused = sync(promptctl, "--source", "two")
    assert refused.code == 5
    assert "comes from another source, one" in refused.err


def test_concurrent_pipelines_have_the_result_of_a_sequence(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    running = [promptctl.start("sync", "prompts") for _ in range(4)]
    endings = [(process.communicate(timeout=60)[1].decode(), process.returncode) for process in running]
    assert [code for _, code in endings] == [0, 0, 0, 0]
    assert sum("applied as release" in said for said, _ in endings) == 1
    assert sum("no changes" in said for said, _ in endings) == 3
    assert sql.execute("select count(*) from promptctl.versions").fetchone() == (4,)
    assert sql.execute("select count(*) from promptctl.allocations").fetchone() == (1,)


def test_a_plan_is_made_while_its_prompts_are_locked(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any], connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    for version in (1, 2):
        promptctl(
            "create", "default-system-prompt", "-f", f"prompts/default-system-prompt/v{version}.txt", "--meta", "a=1"
        )
    operator = connect(autocommit=False)
    operator.execute(
        "update promptctl.prompts set is_active = true where name = 'default-system-prompt' and version = 2"
    )
    process = promptctl.start("sync", "prompts")
    _wait_until_waiting(sql)
    operator.commit()
    out, _ = process.communicate(timeout=60)
    assert "held at 2, the folder names 1" in out.decode()
    assert active_versions(sql)["default-system-prompt"] == 2


def test_a_second_pipeline_prints_whom_it_waits_for(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any], connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    holder = connect(autocommit=False)
    holder.execute("select promptctl.lock_out_other_syncs()")
    process = promptctl.start("sync", "prompts")
    _wait_until_waiting(sql)
    holder.rollback()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"waiting for another sync in {sql.info.dbname} at localhost: postgres (pid " in err.decode()


def test_a_repository_in_which_git_fails_is_not_a_new_source(promptctl: Promptctl, folder: Path) -> None:
    (promptctl.home / ".git").write_text("gitdir: /nowhere\n")
    refused = sync(promptctl)
    assert refused.code == 1
    assert "not a git repository: /nowhere" in refused.err
    assert sync(promptctl, "--source", "team").code == 0


def test_one_run_reports_every_problem_of_a_folder(promptctl: Promptctl, folder: Path) -> None:
    (folder / "code_helper" / "v2.txt").write_text("")
    (folder / "code_helper" / "v03.txt").write_text("x")
    refused = sync(promptctl)
    assert refused.code == 1
    assert "v2.txt is empty" in refused.err
    assert "v03.txt: not the name of a version file" in refused.err


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
def test_a_sync_that_is_killed_or_interrupted_while_it_applies_leaves_nothing(
    signal_number: int,
    code: int,
    promptctl: Promptctl,
    folder: Path,
    sql: psycopg.Connection[Any],
    connect: Callable[..., psycopg.Connection[Any]],
) -> None:
    promptctl("create", "default-system-prompt", "-f", "prompts/default-system-prompt/v1.txt")
    holder = connect(autocommit=False)
    # Inside its transaction, after the new versions, the sync comes to this row and waits.
    holder.execute("select from promptctl.served where name = 'default-system-prompt' for update")
    process = promptctl.start("sync", "prompts")
    _wait_until_waiting(sql)
    process.send_signal(signal_number)
    process.communicate(timeout=60)
    assert process.returncode == code
    holder.rollback()
    _wait_until_alone(sql)
    assert sql.execute("select count(*) from promptctl.versions").fetchone() == (1,)
    assert sync(promptctl).code == 0
    assert sql.execute("select count(*) from promptctl.versions").fetchone() == (4,)


def test_the_source_is_the_repository_and_the_folder_without_credentials(
    promptctl: Promptctl, folder: Path, sql: psycopg.Connection[Any]
) -> None:
    for words in (
        ("init", "-q"),
        ("remote", "add", "origin", "https://ci:s3cret@git.example.com/team/prompts.git"),
        ("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "--allow-empty", "-m", "x"),
    ):
        subprocess.run(["git", "-C", str(promptctl.home), *words], check=True, env=promptctl.environment())
    assert sync(promptctl).code == 0
    assert sql.execute("select distinct source from promptctl.applied").fetchall() == [
        ("git.example.com/team/prompts prompts",)
    ]
    commit = subprocess.run(
        ["git", "-C", str(promptctl.home), "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    assert sql.execute("select reason from promptctl.allocations").fetchall() == [(f"sync {commit}",)]


def _wait_until_waiting(sql: psycopg.Connection[Any]) -> None:
    while not sql.execute(
        "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    ).rowcount:
        pass


def _wait_until_alone(sql: psycopg.Connection[Any]) -> None:
    while sql.execute(
        "select from pg_stat_activity where application_name = 'promptctl' and datname = current_database()"
    ).rowcount:
        pass
