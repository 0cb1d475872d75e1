"""The spool: uses that cannot be sent are stored in a file, and the next process sends them once."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
import uuid
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import Prompts
from promptctl.client import backlog as client_backlog
from promptctl.client import recorder, spool_lines
from promptctl.client.backlog import Backlog
from promptctl.client.spool import Spool
from promptctl.store.uses import UseRecord
from tests.client.support import (
    WAIT_SECONDS,
    application_role,
    count,
    lines_of_spool,
    rows,
    small_disk,
    start_program,
    until,
    uses,
)
from tests.client.wire import Wire
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Server

    Connection = psycopg.Connection[Any]
    MakeClient = Callable[..., Prompts]
    Logged = Callable[[str], int]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """The path of the spool."""
    return tmp_path / "spool"


@pytest.fixture
def role(server: Server, database_name: str, sql: Connection) -> Iterator[str]:
    """A role with the access of an application, whose login a test can disable."""
    with application_role(server.dsn(database_name), f"{database_name}_role") as name:
        yield name


@pytest.fixture
def url(server: Server, database_name: str, role: str) -> str:
    """The URL of that role."""
    return server.url(database_name, user=role)


@pytest.fixture
def set_unreachable(sql: Connection, role: str) -> Callable[[bool], None]:
    """Return a function that disables the login of the role and ends its sessions, or enables it."""

    def set_state(is_unreachable: bool) -> None:
        run(sql, f"alter role {role} {'no' if is_unreachable else ''}login")
        if is_unreachable:
            run(sql, "select pg_terminate_backend(pid, 20000) from pg_stat_activity where usename = %s", [role])

    return set_state


def use_line(ids: list[str], **values: Any) -> list[Any]:
    """Return the line of a use in a spool, and add its id to `ids`."""
    ids.append(str(uuid.uuid4()))
    fields = {"version": 1, "epoch": 1, "bucket": None, "input_tokens": 7} | values
    return [
        "use", ids[-1], "greeter", time.time(), fields["version"], fields["epoch"], fields["bucket"], "m",
        fields["input_tokens"], 3, None, None, 950.5, None, "ok", None, None,
    ]  # fmt: skip


def use_record(**values: Any) -> UseRecord:
    """Return a use as a client has it in memory."""
    _, use_id, name, _, *others = use_line([], **values)
    others.append(values.get("trace_id"))
    return UseRecord(use_id, name, time.perf_counter(), *others)


def write_spool_file(spool: Path, rows: list[list[Any]], name: str = "1-aa.uses") -> Path:
    """Write a file as an earlier process leaves it."""
    spool.mkdir(exist_ok=True)
    path = spool / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_uses_waiting_at_the_end_are_spooled_and_sent_once_by_the_next_process(
    make_client: MakeClient,
    url: str,
    sql: Connection,
    spool: Path,
    set_unreachable: Callable[[bool], None],
    logged: Logged,
) -> None:
    first = make_client(url, spool=spool)
    prompt = first.get("greeter", unit="user-42")
    set_unreachable(True)
    ids: list[str] = []
    for n in range(30):
        with prompt.use() as current:
            current.record(input_tokens=n, model="m")
        ids.append(current.id)
    first.score(ids[-1], 0.5)
    with first.get("nobody", default="x").use():
        pass
    ended_at = time.time()
    first.close(0.2)
    assert first.dropped_uses == 0
    assert logged("not recorded") == 0
    [file] = spool.iterdir()
    assert (stat.S_IMODE(spool.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o700, 0o600)
    assert sorted(row[0] for row in lines_of_spool(spool)) == ["fallback", "score", *["use"] * 30]
    assert "user-42" not in file.read_text()
    time.sleep(0.3)
    set_unreachable(False)
    second = make_client(url, spool=spool)
    second.get("greeter")
    until(lambda: count(sql) == 30)
    until(lambda: os.listdir(spool) == [])
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert (count(sql, "fallbacks"), rows(sql, "select use_id::text, score from promptctl.scores")) == (
        1,
        [(ids[-1], 0.5)],
    )
    [(newest, bucket)] = rows(
        sql, "select extract(epoch from max(recorded_at))::float8, min(bucket) from promptctl.uses"
    )
    assert (abs(newest - ended_at) < 0.25, bucket) == (True, prompt.bucket)


def test_no_use_is_lost_in_an_outage_that_exceeds_the_queue(
    make_client: MakeClient,
    url: str,
    sql: Connection,
    spool: Path,
    set_unreachable: Callable[[bool], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from promptctl.client import recorder

    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.05)
    prompts = make_client(url, spool=spool, queue_size=100)
    prompt = prompts.get("greeter")
    set_unreachable(True)
    ids: list[str] = []
    for turn in range(500):
        with prompt.use() as current:
            pass
        ids.append(current.id)
        if turn % 40 == 39:
            until(lambda: prompts.waiting_uses <= 50)
    assert len(lines_of_spool(spool)) >= 400
    assert not prompts.flush(0.1)
    set_unreachable(False)
    assert until(prompts.flush) < WAIT_SECONDS
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert os.listdir(spool) == []
    assert (prompts.dropped_uses, prompts.waiting_uses) == (0, 0)


def record(prompts: Prompts, number: int, threads: int = 4) -> list[str]:
    """Record a number of uses, as fast as several threads can, and return their ids."""
    prompt = prompts.get("greeter")
    ids: list[str] = []

    def work() -> None:
        for _ in range(number // threads):
            with prompt.use() as current:
                pass
            ids.append(current.id)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return ids


@pytest.mark.parametrize("outage", ["refused", "hangs"])
def test_a_queue_that_fills_up_is_moved_to_the_spool(
    make_client: MakeClient, sql: Connection, server: Server, database_name: str, spool: Path, role: str,
    set_unreachable: Callable[[bool], None], outage: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """The recording thread does not have to run for this: it may be waiting for a server that does not answer."""
    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.5)
    with Wire(server.socket_directory / ".s.PGSQL.5432") as wire:
        prompts = make_client(wire.url(database_name, role), spool=spool, queue_size=1000)
        ids = record(prompts, 100, threads=1)
        assert prompts.flush(WAIT_SECONDS)
        if outage == "hangs":
            wire.pause()
        else:
            set_unreachable(True)
        ids += record(prompts, 20_000)
        assert prompts.dropped_uses == 0
        assert len(lines_of_spool(spool)) >= 18_000
        set_unreachable(False)
        wire.resume()
        assert until(lambda: prompts.flush(1)) < WAIT_SECONDS
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert os.listdir(spool) == []
    assert (prompts.dropped_uses, prompts.waiting_uses) == (0, 0)


def test_uses_beyond_the_queue_and_the_spool_are_counted_as_dropped(
    make_client: MakeClient,
    spool: Path,
    set_unreachable: Callable[[bool], None],
    sql: Connection,
    url: str,
    logged: Logged,
) -> None:
    prompts = make_client(url, spool=spool, queue_size=100, spool_bytes=50_000)
    prompts.get("greeter")
    set_unreachable(True)
    ids = record(prompts, 2000)
    until(lambda: prompts.waiting_uses <= 100)
    assert 40_000 <= sum(path.stat().st_size for path in spool.iterdir()) <= 50_000
    set_unreachable(False)
    until(lambda: prompts.flush(1))
    assert prompts.dropped_uses > 1000
    assert count(sql) == len(ids) - prompts.dropped_uses
    assert {row[0] for row in uses(sql, "id::text")} <= set(ids)


def test_a_full_spool_does_not_let_the_queue_grow_beyond_its_limit(
    make_client: MakeClient, spool: Path, refusing_url: str
) -> None:
    """This holds even if few uses are recorded between two attempts to send."""
    prompts = make_client(refusing_url, flush_seconds=1000)
    prompt = prompts.get("greeter", default="x")
    backlog = Backlog(deque(), 100, Spool(str(spool), 10_000))
    for _ in range(50):
        for _ in range(20):
            with prompt.use() as current:
                pass
            backlog.queue.append(current)
        backlog.shorten_in_outage()
        assert len(backlog) <= 100
    assert len(lines_of_spool(spool)) > 50
    assert (len(backlog) + len(lines_of_spool(spool)) + backlog.losses.dropped_uses, len(backlog)) == (1000, 100)


def test_a_signal_handler_does_not_deadlock_with_a_waiting_writer(
    make_client: MakeClient, spool: Path, refusing_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_backlog, "_DISK_SECONDS", 0.05)
    prompt = make_client(refusing_url, flush_seconds=1000).get("greeter", default="x")
    directory = Spool(str(spool), 1_000_000)
    backlog = Backlog(deque(), 1000, directory)
    for _ in range(50):
        with prompt.use() as current:
            pass
        backlog.queue.append(current)
    # The handler has interrupted code that holds this lock.
    with directory._lock:  # pyright: ignore[reportPrivateUsage]
        writer = threading.Thread(target=backlog.move_to_spool)
        writer.start()
        until(lambda: not backlog.queue)
        backlog.move_to_spool()
        assert len(backlog) == 0
        assert len(lines_of_spool(spool)) == 50
    writer.join()
    # Both wrote the same uses, which have the same ids.
    assert (len({line[1] for line in lines_of_spool(spool)}), backlog.losses.dropped_uses) == (50, 0)


INTERRUPTED_PROCESS = """
import json, signal, sys
from promptctl import Prompts

prompts = Prompts(spool=sys.argv[1], queue_size=40, flush_seconds=0.01, timeout_seconds=0.2)
prompt = prompts.get("nobody", default="x")
begun = 0
ended = []

def record():
    global begun
    begun += 1
    with prompt.use() as use:
        pass
    ended.append(use.id)

def handle(number, frame):
    global turns
    turns -= 1
    if turns > 0:
        record()
        prompts.flush(0)
    elif turns == 0:  # ignore a signal that was sent before the timer stopped
        signal.setitimer(signal.ITIMER_REAL, 0)
        prompts.close(0.1)
        print(json.dumps([begun, ended]), flush=True)
        sys.exit()

turns = int(sys.argv[2])
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.0013)
while True:
    record()
"""


def test_a_signal_handler_that_records_flushes_and_closes_loses_no_use(
    spool: Path, env: dict[str, str], home: Path, refusing_url: str
) -> None:
    for turns in (40, 41, 47, 53):
        place = spool / str(turns)
        process = start_program(INTERRUPTED_PROCESS, home, env | {"DATABASE_URL": refusing_url}, str(place), str(turns))
        out, _ = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0
        # The last signal may interrupt a use, also that of another signal. Such a use may have been recorded or not.
        begun, ended = json.loads(out)
        ids = {line[1] for line in lines_of_spool(place)}
        assert set(ended) <= ids
        assert len(ids) <= begun
        assert len(ended) >= turns


def test_damaged_lines_of_a_spool_are_skipped(
    make_client: MakeClient, sql: Connection, spool: Path, logged: Logged
) -> None:
    ids: list[str] = []
    valid = [use_line(ids) for _ in range(3)]
    path = write_spool_file(spool, valid)
    incomplete = json.dumps(use_line([]))
    invalid: list[Any] = [
        5, None, "use", [], {}, ["use"], ["other", 1], [[]], ["use", *[None] * 16],
        [*use_line([]), 1], [*use_line([]), "4bf92f35-77b3-4da6-a3ce-929d0e0e4736"], [*use_line([]), None, 1],
        use_line([])[:-1],
        ["use", "x", *use_line([])[2:]], ["use", "{" + ids[0][1:], *use_line([])[2:]], ["use", 5, *use_line([])[2:]],
        use_line([], version="1"), use_line([], version=True), use_line([], bucket=1.5),
        use_line([], input_tokens="7,8"),
        ["score", ids[0]], ["score", ids[0], None], ["score", ids[0], "0.5"], ["fallback", ids[0], "x"],
    ]  # fmt: skip
    with path.open("ab") as file:
        file.write(b"\xff\xfe\x00\n\n[[[[\n" + b"[" * 100_000 + b"\n" + incomplete[:50].encode() + b"\n")
        file.write("".join(json.dumps(row) + "\n" for row in invalid).encode())
        file.write((json.dumps(use_line(ids)) + "\n").encode() + incomplete[:-1].encode())
    prompts = make_client(spool=spool)
    prompts.get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert logged(f"lines of {path} are not uses") == 1
    assert logged("bug") == 0


def test_only_the_refused_records_of_a_spool_are_dropped(
    make_client: MakeClient, sql: Connection, spool: Path, logged: Logged
) -> None:
    ids: list[str] = []
    refused: list[list[Any]] = [
        use_line([], version=9), use_line([], input_tokens=-1), use_line([], bucket=70_000),
        use_line([], version=10**12), use_line([], bucket=10**30),
    ]  # fmt: skip
    write_spool_file(spool, [use_line(ids), *refused, use_line(ids)])
    prompts = make_client(spool=spool)
    prompts.get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert (prompts.dropped_uses, logged("5 uses were not recorded")) == (5, 1)


def test_lines_that_postgresql_cannot_store_are_skipped(
    make_client: MakeClient, sql: Connection, spool: Path, logged: Logged
) -> None:
    ids: list[str] = []
    refused = [
        [*use_line([])[:12], float("nan"), *use_line([])[13:]], [*use_line([])[:14], "a\0b", *use_line([])[15:]],
        [*use_line([])[:14], "\ud800", *use_line([])[15:]],
    ]  # fmt: skip
    write_spool_file(spool, [use_line(ids), *refused, use_line(ids)])
    make_client(spool=spool).get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert logged("3 lines of") == 1


HOLDING_PROCESS = """
import sys
from promptctl import Prompts
prompts = Prompts(spool=sys.argv[1], flush_seconds=0.02, queue_size=10)
for _ in range(100):
    with prompts.get("nobody", default="x").use():
        pass
print("ready", flush=True)
sys.stdin.readline()
"""


def test_the_spool_file_of_a_running_process_is_not_adopted(
    make_client: MakeClient, sql: Connection, spool: Path, env: dict[str, str], home: Path, refusing_url: str
) -> None:
    process = start_program(HOLDING_PROCESS, home, env | {"DATABASE_URL": refusing_url}, str(spool))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        until(lambda: lines_of_spool(spool) != [])
        prompts = make_client(spool=spool)
        with prompts.get("greeter").use():
            pass
        assert prompts.flush()
        assert len(lines_of_spool(spool)) > 0
        prompts.close()
        assert (count(sql), count(sql, "fallbacks")) == (1, 0)
        remaining = len(lines_of_spool(spool))
    finally:
        process.kill()
        process.communicate()
    later = make_client(spool=spool)
    later.get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert count(sql, "fallbacks") >= remaining > 0


def test_processes_that_start_together_send_spooled_uses_once(
    sql: Connection, spool: Path, env: dict[str, str], home: Path
) -> None:
    ids: list[str] = []
    for file in range(8):
        write_spool_file(spool, [use_line(ids) for _ in range(50)], f"{file}-aa.uses")
    code = (
        "import sys; from promptctl import Prompts\nwith Prompts(spool=sys.argv[1]) as p: p.get('greeter'); p.flush()"
    )
    processes = [start_program(code, home, env, str(spool)) for _ in range(3)]
    for process in processes:
        _, err = process.communicate(timeout=WAIT_SECONDS)
        assert (process.returncode, err) == (0, "")
    assert os.listdir(spool) == []
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)


def test_the_next_client_adopts_the_files_of_two_clients(
    make_client: MakeClient, spool: Path, refusing_url: str, sql: Connection
) -> None:
    for _ in range(2):
        prompts = make_client(refusing_url, spool=spool)
        with prompts.get("greeter", default="x").use():
            pass
        prompts.close(0.1)
    assert len(list(spool.iterdir())) == 2
    prompts = make_client(spool=spool)
    prompts.get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert count(sql, "fallbacks") == 2


def test_uses_beyond_the_spools_limit_are_dropped_and_logged(
    make_client: MakeClient, spool: Path, refusing_url: str, logged: Logged
) -> None:
    prompts = make_client(refusing_url, spool=spool, spool_bytes=5000)
    for _ in range(100):
        with prompts.get("greeter", default="x").use():
            pass
    prompts.close(0.1)
    spooled = len(lines_of_spool(spool))
    assert 10 < spooled < 100
    assert sum(file.stat().st_size for file in spool.iterdir()) <= 5000
    assert prompts.dropped_uses == 100 - spooled
    assert logged(f"{100 - spooled} uses were not recorded: the client was closed before they could be sent") == 1


def test_removing_a_sent_file_makes_room_below_the_limit(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"), 1000)
    row = use_record()
    for _ in range(5):
        written = spool.write([row] * 100)
        assert 0 < written < 100
        assert spool.write([row]) == 0
        [path] = spool.files()
        assert [len(part) for part in spool.read(path, 1)] == [1] * written
        spool.remove(path)
        assert not spool.has_files


def test_removing_a_sent_file_keeps_uses_written_meanwhile(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"), 10_000)
    spool.write([use_record()])
    [path] = spool.files()
    assert spool.write([use_record()]) == 1
    spool.remove(path)
    assert spool.has_files
    assert len(lines_of_spool(tmp_path / "s")) == 1


def test_a_trace_has_a_line_of_its_own_which_an_older_client_skips() -> None:
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    data = b"".join(spool_lines.encode(use_record(trace_id=one)) for one in (None, trace_id, None))
    first, trace, second, third = data.splitlines()
    # The line of a use has the fields of schema version 10, and no more.
    assert [len(json.loads(line)) for line in (first, second, third)] == [len(use_line([]))] * 3
    assert json.loads(trace) == ["trace", json.loads(second)[1], trace_id]

    def traces(*lines: bytes) -> list[str | bool | None]:
        return [isinstance(record, UseRecord) and record.trace_id for record in spool_lines.decode(lines)]

    assert traces(first, trace, second, third) == [None, trace_id, None]
    # A trace belongs to no use but its own, and a damaged one to none.
    assert traces(trace, first, second) == [None, None]
    assert traces(trace, b"{", second) == [False, None]
    assert traces(trace[:-9], second) == traces(trace.replace(b"4bf", b"ABF"), second) == [False, None]


def test_spooled_times_are_read_back_unchanged_and_never_in_the_future() -> None:
    record = use_record()
    line = spool_lines.encode(record)
    assert abs(json.loads(line)[3] - time.time()) < 1
    [decoded] = spool_lines.decode([line])
    assert isinstance(decoded, UseRecord)
    assert abs(decoded.ended_at - record.ended_at) < 1
    assert (decoded[:2], decoded[3:]) == (record[:2], record[3:])
    future = use_line([])
    future[3] += 5000
    [decoded] = spool_lines.decode([json.dumps(future).encode()])
    assert isinstance(decoded, UseRecord)
    assert decoded.ended_at <= time.perf_counter()


@pytest.mark.parametrize("place", ["file/spool", "/proc/spool", "file"])
def test_an_unwritable_spool_is_logged_once_and_its_uses_are_counted(
    make_client: MakeClient, tmp_path: Path, refusing_url: str, logged: Logged, place: str
) -> None:
    (tmp_path / "file").write_text("")
    prompts = make_client(refusing_url, spool=tmp_path / place, queue_size=20, flush_seconds=0.01)
    for _ in range(100):
        with prompts.get("greeter", default="x").use():
            pass
    until(lambda: logged("cannot write to the spool") == 1)
    prompts.close(0.1)
    assert (prompts.dropped_uses, logged("cannot write to the spool"), logged("bug")) == (100, 1, 0)


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk of 64 kB."""
    with small_disk("64k") as disk:
        yield disk


def test_a_full_disk_leaves_complete_lines_and_other_uses_are_counted(
    make_client: MakeClient, disk: Path, refusing_url: str, logged: Logged, sql: Connection
) -> None:
    prompts = make_client(refusing_url, spool=disk / "spool", flush_seconds=1000)
    ids: set[str] = set()
    for _ in range(1900):
        with prompts.get("greeter", default="x").use() as current:
            pass
        ids.add(current.id)
    prompts.close(0.1)
    spooled = lines_of_spool(disk / "spool")
    assert 100 < len(spooled) < 1900
    assert {row[1] for row in spooled} < ids
    assert prompts.dropped_uses == 1900 - len(spooled)
    assert logged("No space left on device") == 1
    later = make_client(spool=disk / "spool")
    later.get("greeter")
    until(lambda: os.listdir(disk / "spool") == [])
    assert count(sql, "fallbacks") == len(spooled)


def test_a_spool_is_written_again_once_its_full_disk_has_room(disk: Path) -> None:
    spool = Spool(str(disk / "spool"), 10_000_000)
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    records = [use_record() for _ in range(300)]
    written = spool.write(records)
    assert 0 < written < 300
    assert spool.write(records[written:]) < 300 - written
    ballast.unlink()
    more = spool.write(records[written:])
    assert more > 0
    spool.close()
    assert [row[1] for row in lines_of_spool(disk / "spool")][:written] == [record.id for record in records[:written]]


def test_a_large_spool_file_is_read_in_parts(tmp_path: Path) -> None:
    path = write_spool_file(tmp_path, [use_line([]) for _ in range(10)])
    spool = Spool(str(tmp_path), 10_000)
    spool.adopt()
    parts = spool.read(str(path), 4)
    assert [len(part) for part in parts] == [4, 4, 2]


def test_the_spool_is_not_read_while_the_database_is_down(
    make_client: MakeClient, spool: Path, refusing_url: str, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    from promptctl.client import recorder

    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.02)
    write_spool_file(spool, [use_line([])])
    reads: list[str] = []
    read = Spool.read

    def read_and_note(self: Spool, path: str, most: int) -> Any:
        reads.append(path)
        return read(self, path, most)

    monkeypatch.setattr(Spool, "read", read_and_note)
    prompts = make_client(refusing_url, spool=spool)
    assert prompts.get("greeter", default="x").is_default
    until(lambda: logged("cannot record uses") == 1)
    assert not prompts.flush(0.1)
    assert reads == []
    assert len(lines_of_spool(spool)) == 1
