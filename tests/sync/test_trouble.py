"""Sync under stress: large folders, gaps, unreadable files, lost connections, concurrent changes."""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl.folder import listing, prompt_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Promptctl


def write(home: Path, files: dict[str, str | bytes]) -> None:
    for name, text in files.items():
        path = home / "prompts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)


def wait_until_waiting(sql: psycopg.Connection[Any]) -> None:
    deadline = time.monotonic() + 60
    while not sql.execute(
        "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    ).rowcount:
        assert time.monotonic() < deadline, "no session waits for a lock"


def count(sql: psycopg.Connection[Any], table: str) -> int:
    [(number,)] = sql.execute(f"select count(*) from promptctl.{table}".encode()).fetchall()
    return int(number)


def test_a_file_in_a_gap_gets_its_number_and_a_created_version_the_next(promptctl: Promptctl) -> None:
    write(promptctl.home, {"a/v1.txt": "one", "a/v3.txt": "three"})
    assert promptctl("sync", "prompts").code == 0
    assert promptctl("create", "a", "the next", "--quiet").out == "a@4\n"
    write(promptctl.home, {"a/v2.txt": "two"})
    assert promptctl("sync", "prompts").code == 0
    assert promptctl("show", "a@2").out == "two"
    # The number of the new file is taken in the database.
    write(promptctl.home, {"a/v4.txt": "four"})
    refused = promptctl("sync", "prompts")
    assert refused.code == 5
    assert "prompts/a/v4.txt differs from the stored version, which never changes: save it as v5" in refused.err


def test_a_version_of_5_mb_is_stored_and_exported(promptctl: Promptctl) -> None:
    text = "".join(f"{n}: Grüße an {{user.name}}, {{{{literal}}}} {{\n" for n in range(120_000))
    assert len(text.encode()) > 5_000_000
    write(promptctl.home, {"a/v1.txt": text, "a/prompt.yaml": "active: 1\n"})
    assert promptctl("sync", "prompts").code == 0
    assert promptctl("show", "a").out == text
    write(promptctl.home, {"a/v2.txt": text.replace("an", "von", 1)})
    planned = json.loads(promptctl("sync", "prompts", "--dry-run", "--json").out)
    assert planned["changes"][0]["diff"].count("\n") < 12
    assert promptctl("export", "out").code == 0
    assert (promptctl.home / "out" / "a" / "v1.txt").read_text(encoding="utf-8") == text


def test_a_prompt_with_5000_versions_is_applied(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    files: dict[str, str | bytes] = {f"a/v{number}.txt": f"{number}\n" for number in range(1, 5001)}
    write(promptctl.home, files | {"a/prompt.yaml": "active: 5000\n"})
    assert promptctl("sync", "prompts", "--quiet").code == 0
    assert count(sql, "versions") == 5000
    second = promptctl("sync", "prompts")
    assert (second.code, second.out) == (0, "")
    output = promptctl.on_terminal("sync", "prompts", "--source", "another", "--dry-run").out
    assert "comes from another source" in output


def test_10000_prompts_are_applied_and_exported(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    write(promptctl.home, {f"team-{n % 50}/p{n}/v1.txt": f"{n}\n" for n in range(10_000)})
    planned = promptctl.on_terminal("sync", "prompts", "--dry-run").out
    assert len(planned.splitlines()) < 90
    assert "and 9950 more of the kind new: --json lists all of them" in planned
    assert promptctl("sync", "prompts", "--quiet").out.count("\n") == 10_000
    assert count(sql, "served") == 10_000
    assert "no changes" in promptctl("sync", "prompts").err
    assert promptctl("export", "out", "--quiet").out.count("\n") == 20_000


def test_a_terminal_shows_progress(separate_database: None, promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    write(promptctl.home, {f"p{n}/v1.txt": f"{n}\n" for n in range(500)})
    sql.execute(
        "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(1); return null; end $$"
    )
    sql.execute("create trigger slow after insert on promptctl.versions for each statement execute function slow()")
    write(promptctl.home, {f"p{n}/v1.txt": f"{n}\n" * 3000 for n in range(500)})
    output = promptctl.drawn_on_terminal("sync", "prompts").out
    assert re.search(r"\r(storing|reading|comparing) \d+", output)
    # The progress line is cleared.
    assert "\r\x1b[K" in output


def test_an_unreadable_file_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "v1.txt"
    path.parent.mkdir()
    path.write_text("x")

    def refuse(*_: object) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(listing, "read_bytes", refuse)
    problems: list[str] = []
    [scanned] = listing.scan(listing.list_prompts(str(tmp_path)), problems)
    assert problems == [f"{path}: Permission denied"]
    # An unreadable file is neither read again nor reported again.
    assert prompt_files.read(scanned, problems).versions == []
    assert len(problems) == 1


def test_a_lost_connection_leaves_nothing_stored(
    promptctl: Promptctl, sql: psycopg.Connection[Any], connect: Callable[..., psycopg.Connection[Any]]
) -> None:
    write(promptctl.home, {"a/v1.txt": "one"})
    promptctl("sync", "prompts")
    write(promptctl.home, {"a/v2.txt": "two", "a/prompt.yaml": "active: 2\n", "b/v1.txt": "one"})
    holder = connect(autocommit=False)
    # The last of what a sync writes: by then everything else is written.
    holder.execute("select from promptctl.sources for update")
    process = promptctl.start("sync", "prompts", "--json")
    wait_until_waiting(sql)
    sql.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'promptctl' "
        "and datname = current_database()"
    )
    out, err = process.communicate(timeout=60)
    holder.rollback()
    assert (process.returncode, out) == (6, b"")
    assert json.loads(err.splitlines()[-1])["error"]["code"] == "connection_lost"
    assert (count(sql, "versions"), count(sql, "served"), count(sql, "releases")) == (1, 1, 1)
    assert promptctl("sync", "prompts").code == 0
    assert (count(sql, "versions"), count(sql, "served")) == (3, 2)


def test_an_interruption_during_an_upload_leaves_nothing(
    separate_database: None, promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    write(promptctl.home, {f"p{n:03}/v1.txt": f"{n}\n" * 20_000 for n in range(200)})
    sql.execute(
        "create function slow() returns trigger language plpgsql as $$ begin perform pg_sleep(0.3); return null; end $$"
    )
    sql.execute("create trigger slow after insert on promptctl.versions for each statement execute function slow()")
    process = promptctl.start("sync", "prompts")
    while not sql.execute(
        "select from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()"
    ).rowcount:
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.decode().splitlines()[-1]) == (130, b"", "error: interrupted")
    while sql.execute(
        "select from pg_stat_activity where application_name = 'promptctl' and datname = current_database()"
    ).rowcount:
        pass
    assert (count(sql, "versions"), count(sql, "served")) == (0, 0)


def test_a_version_that_the_server_refuses_in_the_middle_of_many_leaves_nothing(
    separate_database: None, promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    write(promptctl.home, {f"p{n:03}/v1.txt": f"{n}\n" * 20_000 for n in range(100)})
    sql.execute(
        "create function trouble() returns trigger language plpgsql as $$ begin "
        "if new.name = 'p050' then raise exception using errcode = '53100', message = 'no space'; end if; "
        "return new; end $$"
    )
    sql.execute("create trigger trouble before insert on promptctl.versions for each row execute function trouble()")
    refused = promptctl("sync", "prompts", "--json")
    assert (refused.code, json.loads(refused.err)["error"]["code"]) == (1, "disk_full")
    assert (count(sql, "versions"), count(sql, "served"), count(sql, "sources")) == (0, 0, 0)


def test_a_folder_that_is_found_invalid_after_an_upload_leaves_nothing(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    write(promptctl.home, {f"p{n:03}/v1.txt": f"{n}\n" * 20_000 for n in range(100)})
    write(promptctl.home, {"zzz/v1.txt": b"\xff\xfe", "zzz/prompt.yaml": "active: two\n"})
    refused = promptctl("sync", "prompts")
    assert refused.code == 1
    assert "prompts/zzz/prompt.yaml: active: a version is" in refused.err
    assert "prompts/zzz/v1.txt is not UTF-8" in refused.err
    assert (count(sql, "versions"), count(sql, "served"), count(sql, "releases")) == (0, 0, 0)


def test_a_concurrent_activation_is_before_or_after_a_sync_and_never_within(
    promptctl: Promptctl, sql: psycopg.Connection[Any], database_url: str
) -> None:
    write(promptctl.home, {f"p{n}/v{v}.txt": f"{n} {v}" for n in range(6) for v in (1, 2)})
    write(promptctl.home, {f"p{n}/prompt.yaml": "active: 1\n" for n in range(6)})
    promptctl("sync", "prompts")
    failures: list[str] = []
    stop = threading.Event()

    def operate() -> None:
        names = [f"p{n}" for n in range(5, -1, -1)]
        with psycopg.connect(database_url, autocommit=True) as operator:
            while not stop.is_set():
                for version in (2, 1):
                    try:
                        operator.execute("select promptctl.activate(%s, %s)", [names, [version] * 6])
                    except psycopg.Error as error:
                        failures.append(str(error))

    operator = threading.Thread(target=operate)
    operator.start()
    try:
        for version in (2, 1, 2, 1):
            write(promptctl.home, {f"p{n}/prompt.yaml": f"active: {version}\n" for n in range(6)})
            assert promptctl("sync", "prompts").code == 0
    finally:
        stop.set()
        operator.join()
    assert failures == []
    # Each release moved all six or none: history has no half.
    torn = sql.execute(
        "select release, count(*) from promptctl.allocations group by release having count(*) not in (0, 6)"
    ).fetchall()
    assert torn == []


def test_a_plan_and_an_answer_that_cannot_be_written_are_reported(promptctl: Promptctl) -> None:
    write(promptctl.home, {"a/v1.txt": "one"})
    refused = promptctl("sync", "prompts", "--save-plan", "/dev/full", "--json")
    assert (refused.code, json.loads(refused.err.splitlines()[-1])["error"]["code"]) == (1, "cannot_save")
    seen = promptctl("sync", "prompts", "--save-plan", "/dev/stderr", "--quiet")
    assert (seen.code, seen.out) == (0, "a@1\n")
    assert '"promptctl_plan": 5' in seen.err


@pytest.mark.parametrize("route", ["- {when: {plan: x}, use: nobody}", "- {when: {plan: x}, use: a}"])
def test_a_route_to_a_missing_prompt_or_with_a_cycle_is_a_conflict(promptctl: Promptctl, route: str) -> None:
    write(promptctl.home, {"a/v1.txt": "one", "a/prompt.yaml": f"route:\n{route}\n"})
    refused = promptctl("sync", "prompts")
    assert refused.code == 5
    assert re.search(r"error: a: the route (leads to nobody, which does not exist|has a cycle: a → a);", refused.err)
    assert refused.err.splitlines()[-1] == "hint:  correct route in prompts/a/prompt.yaml"


def test_a_name_that_differs_only_in_case_is_a_conflict(promptctl: Promptctl) -> None:
    write(promptctl.home, {"foo/v1.txt": "one"})
    promptctl("sync", "prompts")
    (promptctl.home / "prompts" / "foo").rename(promptctl.home / "prompts" / "Foo")
    planned, applied = promptctl("sync", "prompts", "--dry-run"), promptctl("sync", "prompts")
    assert (planned.code, applied.code) == (5, 5)
    assert planned.out == applied.out
    assert 'error: Foo: differs from "foo" only in case; nothing was applied' in applied.err


def test_a_saved_plan_of_a_folder_that_a_prompt_has_left(promptctl: Promptctl) -> None:
    write(promptctl.home, {"a/v1.txt": "one", "b/v1.txt": "one"})
    write(promptctl.home, {f"{name}/prompt.yaml": "active: 1\n" for name in "ab"})
    promptctl("sync", "prompts")
    shutil.rmtree(promptctl.home / "prompts" / "b")
    write(promptctl.home, {"a/v2.txt": "two", "a/prompt.yaml": "active: 2\n"})
    promptctl("sync", "prompts", "--save-plan", "plan.json")
    assert (promptctl.home / "plan.json").stat().st_mode & 0o777 == 0o600
    assert promptctl("sync", "--apply-plan", "plan.json").code == 0
    assert promptctl("show", "a").out == "two"


def test_routes_are_applied_and_resolved(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    step = "- {when: {plan: enterprise}, use: b}\n- {when: {beta: true}, use: a@1}\n"
    write(promptctl.home, {f"{name}/v{v}.txt": f"{name} {v}" for name in "ab" for v in (1, 2)})
    write(promptctl.home, {"a/prompt.yaml": f"active: 2\nroute:\n{step}", "b/prompt.yaml": "active: 1\n"})
    assert promptctl("sync", "prompts").code == 0

    def resolve(attributes: str) -> Any:
        return sql.execute("select name, version, epoch from promptctl.resolve('a', null, %s)", [attributes]).fetchone()

    assert resolve("{}")[:2] == ("a", 2)
    assert resolve('{"plan": "enterprise", "beta": true}')[:2] == ("b", 1)
    assert resolve('{"beta": true}')[:2] == ("a", 1)
    assert resolve('{"beta": 1}')[:2] == ("a", 2)
    [event] = [
        event for event in json.loads(promptctl("history", "a", "--json").out)["events"] if event["kind"] == "route"
    ]
    assert event["release"] == 1
    assert promptctl("delete", "a@1").code == 5
    write(promptctl.home, {"a/prompt.yaml": "active: 2\nroute: []\n"})
    assert promptctl("sync", "prompts").code == 0
    assert resolve('{"plan": "enterprise"}')[:2] == ("a", 2)
    assert promptctl("delete", "a@1").code == 0
