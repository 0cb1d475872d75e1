"""The snapshot: a file from which a client starts while the database is down."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import NoActiveVersion, Prompts, Unavailable
from promptctl.client.snapshot import Snapshot
from promptctl.client.state import State
from tests.client.support import activate, small_disk, until
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Server

    Connection = psycopg.Connection[Any]
    MakeClient = Callable[..., Prompts]
    Logged = Callable[[str], int]

LOADED = ["greeter", "other", "greeter@2", "idle"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the snapshot."""
    return tmp_path / "snapshot.json"


@pytest.fixture
def set_unreachable(server: Server, database_name: str) -> Callable[[bool], None]:
    """Return a function that makes the database unreachable, or reachable again."""

    def set_state(is_unreachable: bool) -> None:
        with psycopg.connect(server.dsn(), autocommit=True) as sql:
            run(sql, f"alter database {database_name} allow_connections {not is_unreachable}")
            if is_unreachable:
                run(
                    sql,
                    "select pg_terminate_backend(pid, 20000) from pg_stat_activity where datname = %s",
                    [database_name],
                )

    return set_state


def write_snapshot(make_client: MakeClient, path: Path, names: list[str] = LOADED) -> dict[str, Any]:
    """Have a client write the snapshot, and return its JSON document."""
    prompts = make_client(snapshot=path)
    prompts.preload(names)
    prompts.close()
    return json.loads(path.read_text())


def test_a_client_starts_from_its_snapshot_while_the_database_is_down(
    make_client: MakeClient, path: Path, sql: Connection, set_unreachable: Callable[[bool], None], logged: Logged
) -> None:
    sql.execute(
        "select promptctl.set_routes('{greeter}', %s)",
        [json.dumps([[{"when": {"a": 1}, "use": "other"}, {"when": {"a": 2}, "use": "other@2"}]])],
    )
    sql.execute("select promptctl.split('other', 5000, 2)")
    connected = make_client(snapshot=path)
    connected.preload(LOADED)
    set_unreachable(True)
    calls: list[tuple[str, dict[str, Any]]] = [
        (name, options)
        for name in ("greeter", "other", "greeter@2")
        for options in ({}, {"unit": "user-42"}, {"unit": 7, "attributes": {"a": 1}}, {"attributes": {"a": 2}})
        if "unit" in options or name != "other"
    ]

    def answers(prompts: Prompts) -> list[tuple[Any, ...]]:
        served = [prompts.get(name, **options) for name, options in calls]
        return [(p.name, p.version, p.epoch, p.content, p.settings, p.metadata, p.bucket) for p in served]

    offline = make_client(snapshot=path)
    assert answers(offline) == answers(connected)
    with pytest.raises(NoActiveVersion, match=r'(?m)^"idle" has no active version in the database$'):
        offline.get("idle")
    with pytest.raises(Unavailable):
        offline.get("unknown")
    assert not offline.is_connected
    assert logged(f"using the snapshot {path}, confirmed 0 s ago") == 1
    set_unreachable(False)
    until(lambda: offline.is_connected)
    with psycopg.connect(str(sql.info.dsn), autocommit=True) as again:
        activate(again, "greeter", 2)
    until(lambda: offline.get("greeter").version == 2)


def test_the_age_of_a_snapshot_is_logged_and_limited(
    make_client: MakeClient, path: Path, set_unreachable: Callable[[bool], None], logged: Logged
) -> None:
    document = write_snapshot(make_client, path)
    document["confirmed_at"] -= 5000
    path.write_text(json.dumps(document))
    set_unreachable(True)
    prompts = make_client(snapshot=path)
    assert 5000 <= prompts.get("greeter").age_seconds < 5100
    assert logged(f"using the snapshot {path}, confirmed 50") == 1
    strict = make_client(snapshot=path, max_age_seconds=60)
    with pytest.raises(Exception, match=r"were confirmed 50\d\d s ago, and max_age_seconds is 60"):
        strict.get("greeter")
    assert strict.get("greeter@2").version == 2


@pytest.mark.parametrize("seconds", [5, 5000, 1e300])
def test_a_snapshot_from_the_future_is_not_used(
    make_client: MakeClient, path: Path, set_unreachable: Callable[[bool], None], logged: Logged, seconds: float
) -> None:
    """Such a file would have no age, so max_age_seconds would not limit it."""
    document = write_snapshot(make_client, path)
    document["confirmed_at"] += seconds
    path.write_text(json.dumps(document))
    set_unreachable(True)
    assert make_client(snapshot=path, max_age_seconds=60).get("greeter", default="own").is_default
    assert logged("its time is in the future") == 1


def test_a_snapshot_has_no_negative_age_after_a_small_clock_step(
    make_client: MakeClient, path: Path, set_unreachable: Callable[[bool], None]
) -> None:
    document = write_snapshot(make_client, path)
    document["confirmed_at"] = time.time() + 0.5
    path.write_text(json.dumps(document))
    set_unreachable(True)
    assert 0 <= make_client(snapshot=path).get("greeter").age_seconds < 30


def change_owner(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the file another owner as root, or else make the process appear to be another user."""
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 65534)


@pytest.mark.parametrize("fault", ["owner", "mode", "link", "dangling link"])
def test_a_snapshot_that_another_user_can_write_is_neither_read_nor_replaced(
    make_client: MakeClient,
    path: Path,
    set_unreachable: Callable[[bool], None],
    logged: Logged,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    write_snapshot(make_client, path)
    content = path.read_bytes()
    target = path.with_name("elsewhere.json")
    if fault == "owner":
        change_owner(path, monkeypatch)
    elif fault == "mode":
        path.chmod(0o620)
    else:
        path.rename(target)
        path.symlink_to(target)
        if fault == "dangling link":
            target.unlink()
    reason = {"owner": "it belongs to another user", "mode": "other users can write to it"}.get(fault, "it is a link")
    set_unreachable(True)
    prompts = make_client(snapshot=path, poll_seconds=0.02)
    assert prompts.get("greeter", default="own").is_default
    assert logged(f"the snapshot {path} cannot be used: {reason}") == 1
    set_unreachable(False)
    until(lambda: logged(f"cannot write the snapshot {path}: {reason}") == 1)
    prompts.close()
    assert path.is_symlink() == ("link" in fault)
    assert target.exists() == (fault == "link")
    if fault != "dangling link":
        assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["pipe", "directory", "device"])
def test_a_pipe_directory_or_device_is_not_read_as_a_snapshot(
    make_client: MakeClient, path: Path, refusing_url: str, logged: Logged, kind: str
) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    prompts = make_client(refusing_url, snapshot=path if kind != "device" else Path("/dev/zero"))
    assert prompts.get("greeter", default="own").is_default
    assert logged("cannot be used: it is not a regular file") == 1


def test_the_snapshot_is_private_current_and_replaced_atomically(
    make_client: MakeClient, path: Path, sql: Connection
) -> None:
    prompts = make_client(snapshot=path, poll_seconds=0.02)
    prompts.preload(LOADED)
    until(path.exists)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    stop = threading.Event()
    epochs: list[int] = []

    def watch() -> None:
        is_last = False
        while not is_last:
            is_last = stop.is_set()
            document = json.loads(path.read_text())
            epochs.append(document["prompts"][0]["epoch"])

    thread = threading.Thread(target=watch)
    thread.start()
    until(lambda: len(epochs) > 0)
    for turn in range(50):
        activate(sql, "greeter", 2 - turn % 2)
    until(lambda: json.loads(path.read_text())["prompts"][0]["epoch"] == 51)
    stop.set()
    thread.join()
    assert epochs == sorted(epochs)
    assert len(set(epochs)) > 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    [greeter] = [row for row in json.loads(path.read_text())["prompts"] if row["name"] == "greeter"]
    assert greeter["content"] == "Be kind, {user.name}."


def test_close_writes_the_last_change_to_the_snapshot(make_client: MakeClient, path: Path, sql: Connection) -> None:
    prompts = make_client(snapshot=path, poll_seconds=3600)
    prompts.get("greeter")
    # The next regular write is due much later, as after a write that took long.
    until(path.exists)
    prompts._follower._refresher._snapshot._next_write_at = time.monotonic() + 1000  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
    activate(sql, "greeter", 2)
    until(lambda: prompts.get("greeter").version == 2)
    assert json.loads(path.read_text())["prompts"][0]["active_version"] == 1
    prompts.close()
    assert json.loads(path.read_text())["prompts"][0]["active_version"] == 2


def test_an_unchanged_state_is_written_once_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = Snapshot(str(tmp_path / "s"), "x")
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert snapshot.is_due(is_changed=False)
    snapshot.save(State({}, {}), 0)
    for now, due in ((1000.5, False), (1059.0, False), (1060.5, True)):  # noqa: B007 - the clock reads it
        assert snapshot.is_due(is_changed=False) is due
    assert snapshot.is_due(is_changed=True)


def test_the_snapshot_is_written_less_often_to_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from promptctl import atomic_files

    snapshot = Snapshot(str(tmp_path / "s"), "x")
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)

    def replace_slowly(*_: Any, **__: Any) -> None:
        nonlocal now
        now += 0.5

    monkeypatch.setattr(atomic_files, "replace", replace_slowly)
    snapshot.save(State({}, {}), 0)
    assert snapshot.due_at == float("inf")
    now += 1
    assert not snapshot.is_due(is_changed=True)
    assert snapshot.due_at == 1010.5
    now += 9.5
    assert snapshot.is_due(is_changed=False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not JSON: Expecting value"),
        ("{", "Expecting property name"),
        ("[]", "list indices"),
        ("{}", "it is damaged (KeyError('form'))"),
        ("[" * 100_000, "nested more than 100 deep"),
        (b"\xff\xfe", "not UTF-8: byte 0"),
        ('{"confirmed_at": Infinity}', "Infinity is not a JSON number"),
        ('{"confirmed_at": NaN}', "NaN is not a JSON number"),
        ('{"prompts": ["\\ud800"]}', "a lone surrogate"),
        ('{"form": 2}', "its format is 2, and this version reads format 1"),
        ('{"form": 1, "database": "host=elsewhere"}', "it is of another database (host=elsewhere)"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_invalid_snapshot_is_logged_and_ignored(
    make_client: MakeClient, path: Path, refusing_url: str, logged: Logged, content: str | bytes, words: str
) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    prompts = make_client(refusing_url, snapshot=path)
    with pytest.raises(Unavailable):
        prompts.get("greeter")
    assert prompts.get("greeter", default="own").is_default
    assert logged(f"the snapshot {path} cannot be used") == logged(words) == 1
    assert logged("bug") == 0


DAMAGES: list[Callable[[dict[str, Any]], object]] = [
    lambda document: document.pop("prompts"),
    lambda document: document.update(prompts={}, versions=5),
    lambda document: document.update(prompts=[5]),
    lambda document: document.update(confirmed_at="yesterday"),
    lambda document: document["prompts"][0].pop("epoch"),
    lambda document: document["prompts"][0].update(surplus=1),
    lambda document: document["prompts"][0].update(name="../x"),
    lambda document: document["prompts"][0].update(name=5),
    lambda document: document["prompts"][0].update(epoch="1"),
    lambda document: document["prompts"][0].update(basis_points=None),
    lambda document: document["prompts"][0].update(basis_points=True),
    lambda document: document["prompts"][0].update(content=["text"]),
    lambda document: document["prompts"][0].update(settings=[]),
    lambda document: document["prompts"][0].update(route={"when": {}}),
    lambda document: document["prompts"][0].update(route=[5]),
    lambda document: document["prompts"][0].update(route=[{"when": 5, "use": "other"}]),
    lambda document: document["prompts"][0].update(route=[{"when": {"a": 1}, "use": "nobody"}]),
    lambda document: document["prompts"][0].update(route=[{"when": {"a": 1}, "use": "other@9"}]),
    lambda document: document["versions"][0].update(version=0),
    lambda document: document["versions"][0].update(content=None),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_snapshot_with_invalid_fields_is_not_used(
    make_client: MakeClient,
    path: Path,
    set_unreachable: Callable[[bool], None],
    logged: Logged,
    damage: Callable[[dict[str, Any]], object],
) -> None:
    document = write_snapshot(make_client, path)
    damage(document)
    path.write_text(json.dumps(document))
    set_unreachable(True)
    prompts = make_client(snapshot=path)
    assert prompts.get("greeter", default="own").is_default
    assert logged(f"the snapshot {path} cannot be used") == 1
    assert logged("bug") == 0


def test_a_snapshot_of_another_database_is_not_used_and_is_replaced(
    make_client: MakeClient, path: Path, refusing_url: str, logged: Logged
) -> None:
    write_snapshot(make_client, path)
    other = make_client(refusing_url, snapshot=path)
    assert other.get("greeter", default="own").is_default
    assert logged("it is of another database") == 1
    other.close()
    assert "greeter" in path.read_text()


@pytest.mark.parametrize(
    "place", ["missing/snapshot", "directory", "pipe", "/proc/version/x", "/dev/full", "/dev/zero"]
)
def test_an_unwritable_snapshot_is_logged_once(
    make_client: MakeClient, sql: Connection, tmp_path: Path, logged: Logged, place: str
) -> None:
    (tmp_path / "directory").mkdir()
    os.mkfifo(tmp_path / "pipe")
    prompts = make_client(snapshot=tmp_path / place, poll_seconds=0.02)
    assert prompts.get("greeter").version == 1
    activate(sql, "greeter", 2)
    until(lambda: prompts.get("greeter").version == 2)
    assert prompts.is_connected
    until(lambda: logged("cannot write the snapshot") == 1)
    prompts.close()
    assert logged("cannot write the snapshot") == 1
    assert logged("bug") == 0


@pytest.fixture
def full_disk() -> Iterator[Path]:
    """A disk of 1 MB on which there is no room left."""
    with small_disk("1m") as disk:
        (disk / "snapshot.json").write_text("before")
        with (disk / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(b"x" * 4096):
                pass
        yield disk


def test_a_full_disk_keeps_the_old_snapshot_until_there_is_room(
    make_client: MakeClient, sql: Connection, full_disk: Path, logged: Logged
) -> None:
    path = full_disk / "snapshot.json"
    prompts = make_client(snapshot=path, poll_seconds=0.02)
    assert prompts.get("greeter").version == 1
    until(lambda: logged("cannot write the snapshot") == 1)
    assert logged("No space left on device") == 1
    assert path.read_text() == "before"
    assert sorted(file.name for file in full_disk.iterdir()) == ["ballast", "snapshot.json"]
    (full_disk / "ballast").unlink()
    activate(sql, "greeter", 2)
    until(lambda: "Be brief" in path.read_text())


def test_processes_that_share_a_snapshot_keep_each_others_prompts(
    make_client: MakeClient, path: Path, set_unreachable: Callable[[bool], None]
) -> None:
    first = make_client(snapshot=path, poll_seconds=0.02)
    first.preload(["greeter", "greeter@2"])
    until(path.exists)
    second = make_client(snapshot=path, poll_seconds=0.02)
    second.get("other")
    names = lambda: {row["name"] for row in json.loads(path.read_text())["prompts"]}  # noqa: E731
    until(lambda: names() == {"greeter", "other"})
    # A third client loads only one prompt itself and is the last to write.
    third = make_client(snapshot=path)
    third.get("idle", default="x")
    for client in (first, second, third):
        client.close()
    set_unreachable(True)
    offline = make_client(snapshot=path)
    assert offline.get("greeter").version == offline.get("other").version == 1
    assert offline.get("greeter@2").version == 2
    with pytest.raises(NoActiveVersion):
        offline.get("idle")


def test_prompts_of_another_process_are_read_without_waiting_for_a_poll(
    make_client: MakeClient, path: Path, sql: Connection
) -> None:
    write_snapshot(make_client, path, ["greeter", "other@2"])
    prompts = make_client(snapshot=path, poll_seconds=3600)
    prompts.get("other")
    until(lambda: "Something else." in path.read_text())
    document = json.loads(path.read_text())
    assert {row["name"] for row in document["prompts"]} == {"greeter", "other"}
    assert [(row["name"], row["version"]) for row in document["versions"]] == [("other", 2)]
    loaded_names = lambda: set(prompts._memory.state.prompts)  # pyright: ignore[reportPrivateUsage] # noqa: E731
    assert loaded_names() == {"greeter", "other"}
    write_snapshot(make_client, path, ["idle"])
    activate(sql, "other", 2)
    until(lambda: loaded_names() == {"greeter", "other", "idle"})
    until(lambda: len(json.loads(path.read_text())["prompts"]) == 3)


def test_a_prompt_that_no_longer_exists_does_not_block_the_snapshot(make_client: MakeClient, path: Path) -> None:
    document = write_snapshot(make_client, path, ["greeter"])
    document["prompts"].append(document["prompts"][0] | {"name": "gone"})
    path.write_text(json.dumps(document))
    prompts = make_client(snapshot=path, poll_seconds=3600)
    prompts.get("other")
    until(lambda: "gone" not in path.read_text())
    assert {row["name"] for row in json.loads(path.read_text())["prompts"]} == {"greeter", "other"}


WRITER = """
import sys
from promptctl import Prompts
name = sys.argv[2]
with Prompts(snapshot=sys.argv[1], poll_seconds=0.01) as prompts:
    prompts.get(name)
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_two_writers_leave_a_complete_snapshot(
    make_client: MakeClient, path: Path, sql: Connection, env: dict[str, str], set_unreachable: Callable[[bool], None]
) -> None:
    pipe = subprocess.PIPE
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name], env=env, stdin=pipe, stdout=pipe, text=True)
        for name in ("greeter", "other")
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
        until(path.exists)
        for turn in range(40):
            activate(sql, "greeter", 2 - turn % 2)
            activate(sql, "other", 2 - turn % 2)
            assert json.loads(path.read_text())["form"] == 1
    finally:
        for writer in writers:
            writer.communicate("\n")
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sorted(os.listdir(path.parent)) == ["home", path.name]
    set_unreachable(True)
    prompts = make_client(snapshot=path)
    assert (prompts.get("greeter").version, prompts.get("other").version) == (1, 1)


def test_a_snapshot_is_for_a_database_and_any_login(
    make_client: MakeClient, path: Path, server: Server, sql: Connection
) -> None:
    write_snapshot(make_client, path)
    for url, is_same in (
        (f"postgresql://ada:secret@/x?host={server.socket_directory}&port={server.port}", False),
        (f"host={server.socket_directory} port={server.port} dbname={sql.info.dbname} user=ada password=secret", True),
    ):
        prompts = Prompts(url, snapshot=path)
        assert (prompts._follower._refresher._snapshot.load() is not None) is is_same  # pyright: ignore[reportPrivateUsage, reportOptionalMemberAccess]
        prompts.close()
    assert "secret" not in path.read_text()


def test_a_relative_path_is_resolved_when_the_client_is_created(
    make_client: MakeClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    prompts = make_client(snapshot="own.json", spool="own")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    prompts.get("greeter")
    prompts.close()
    assert (tmp_path / "own.json").exists()
