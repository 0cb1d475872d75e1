"""Uses that cannot be sent go into a file, which outlives the process and is sent by the next, once."""

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
from tests.client.support import WAIT_SECONDS, application_role, count, rows, small_disk, started, until, uses
from tests.client.wire import Wire
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Server

    Connection = psycopg.Connection[Any]
    Serve = Callable[..., Prompts]
    Logged = Callable[[str], int]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """Where the spool is to be."""
    return tmp_path / "spool"


@pytest.fixture
def role(server: Server, database_name: str, sql: Connection) -> Iterator[str]:
    """A role of an application that is shut out and let in again."""
    with application_role(server.dsn(database_name), f"{database_name}_role") as name:
        yield name


@pytest.fixture
def url(server: Server, database_name: str, role: str) -> str:
    """The URL of that role."""
    return server.url(database_name, user=role)


@pytest.fixture
def away(sql: Connection, role: str) -> Callable[[bool], None]:
    """Shuts the role out, and lets it in again."""

    def make(is_away: bool) -> None:
        run(sql, f"alter role {role} {'no' if is_away else ''}login")
        if is_away:
            run(sql, "select pg_terminate_backend(pid, 20000) from pg_stat_activity where usename = %s", [role])

    return make


def lines(spool: Path) -> list[list[Any]]:
    """All that is in a spool."""
    return [json.loads(line) for each in sorted(spool.glob("*.uses")) for line in each.read_text().splitlines()]


def use(ids: list[str], **values: Any) -> list[Any]:
    """A row as it is in a spool."""
    ids.append(str(uuid.uuid4()))
    given = {"version": 1, "epoch": 1, "bucket": None, "input_tokens": 7} | values
    return [
        "use", ids[-1], "greeter", time.time(), given["version"], given["epoch"], given["bucket"], "m",
        given["input_tokens"], 3, None, None, 950.5, None, "ok", None, None,
    ]  # fmt: skip


def use_record(**values: Any) -> UseRecord:
    """A record as a client has it in memory."""
    _, use_id, name, _, *others = use([], **values)
    return UseRecord(use_id, name, time.perf_counter(), *others)


def written(spool: Path, rows: list[list[Any]], name: str = "1-aa.uses") -> Path:
    """A file that a process left behind."""
    spool.mkdir(exist_ok=True)
    path = spool / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_uses_waiting_at_the_end_are_spooled_and_sent_once_by_the_next_process(
    serve: Serve, url: str, sql: Connection, spool: Path, away: Callable[[bool], None], logged: Logged
) -> None:
    first = serve(url, spool=spool)
    prompt = first.get("greeter", unit="user-42")
    away(True)
    ids: list[str] = []
    for n in range(30):
        with prompt.use() as one:
            one.record(input_tokens=n, model="m")
        ids.append(one.id)
    first.score(ids[-1], 0.5)
    with first.get("nobody", default="x").use():
        pass
    ended_at = time.time()
    first.close(0.2)
    assert first.dropped_uses == 0
    assert logged("not recorded") == 0
    [file] = spool.iterdir()
    assert (stat.S_IMODE(spool.stat().st_mode), stat.S_IMODE(file.stat().st_mode)) == (0o700, 0o600)
    assert sorted(row[0] for row in lines(spool)) == ["fallback", "score", *["use"] * 30]
    assert "user-42" not in file.read_text()
    time.sleep(0.3)
    away(False)
    second = serve(url, spool=spool)
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
    serve: Serve, url: str, sql: Connection, spool: Path, away: Callable[[bool], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptctl.client import recorder

    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.05)
    prompts = serve(url, spool=spool, queue_size=100)
    prompt = prompts.get("greeter")
    away(True)
    ids: list[str] = []
    for turn in range(500):
        with prompt.use() as one:
            pass
        ids.append(one.id)
        if turn % 40 == 39:
            until(lambda: prompts.waiting_uses <= 50)
    assert len(lines(spool)) >= 400
    assert not prompts.flush(0.1)
    away(False)
    assert until(prompts.flush) < WAIT_SECONDS
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert os.listdir(spool) == []
    assert (prompts.dropped_uses, prompts.waiting_uses) == (0, 0)


def record(prompts: Prompts, number: int, threads: int = 4) -> list[str]:
    """Record so many uses, as fast as several threads can, and return their ids."""
    prompt = prompts.get("greeter")
    ids: list[str] = []

    def work() -> None:
        for _ in range(number // threads):
            with prompt.use() as one:
                pass
            ids.append(one.id)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    return ids


@pytest.mark.parametrize("outage", ["refused", "hangs"])
def test_a_queue_that_fills_faster_than_it_can_be_sent_goes_into_the_spool(
    serve: Serve, sql: Connection, server: Server, database_name: str, spool: Path, role: str,
    away: Callable[[bool], None], outage: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Nobody waits for a turn of the thread that sends: it may be waiting for a server that does not answer."""
    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.5)
    with Wire(server.socket_directory / ".s.PGSQL.5432") as wire:
        prompts = serve(wire.url(database_name, role), spool=spool, queue_size=1000)
        ids = record(prompts, 100, threads=1)
        assert prompts.flush(WAIT_SECONDS)
        if outage == "hangs":
            wire.fall_silent()
        else:
            away(True)
        ids += record(prompts, 20_000)
        assert prompts.dropped_uses == 0
        assert len(lines(spool)) >= 18_000
        away(False)
        wire.speak()
        assert until(lambda: prompts.flush(1)) < WAIT_SECONDS
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert os.listdir(spool) == []
    assert (prompts.dropped_uses, prompts.waiting_uses) == (0, 0)


def test_uses_beyond_the_queue_and_the_spool_are_counted(
    serve: Serve, spool: Path, away: Callable[[bool], None], sql: Connection, url: str, logged: Logged
) -> None:
    prompts = serve(url, spool=spool, queue_size=100, spool_bytes=50_000)
    prompts.get("greeter")
    away(True)
    ids = record(prompts, 2000)
    until(lambda: prompts.waiting_uses <= 100)
    assert 40_000 <= sum(path.stat().st_size for path in spool.iterdir()) <= 50_000
    away(False)
    until(lambda: prompts.flush(1))
    assert prompts.dropped_uses > 1000
    assert count(sql) == len(ids) - prompts.dropped_uses
    assert {row[0] for row in uses(sql, "id::text")} <= set(ids)


def test_a_long_outage_with_a_full_spool_takes_no_more_memory_than_the_queue_has(
    serve: Serve, spool: Path, nobody: str
) -> None:
    """However slowly uses come: fewer between two attempts than have the queue looked after."""
    prompts = serve(nobody, flush_seconds=1000)
    prompt = prompts.get("greeter", default="x")
    backlog = Backlog(deque(), 100, Spool(str(spool), 10_000))
    for _ in range(50):
        for _ in range(20):
            with prompt.use() as one:
                pass
            backlog.queue.append(one)
        backlog.make_room()
        assert len(backlog) <= 100
    assert len(lines(spool)) > 50
    assert (len(backlog) + len(lines(spool)) + backlog.losses.dropped_uses, len(backlog)) == (1000, 100)


def test_a_signal_handler_does_not_deadlock_with_a_waiting_writer(
    serve: Serve, spool: Path, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_backlog, "_DISK_SECONDS", 0.05)
    prompt = serve(nobody, flush_seconds=1000).get("greeter", default="x")
    directory = Spool(str(spool), 1_000_000)
    backlog = Backlog(deque(), 1000, directory)
    for _ in range(50):
        with prompt.use() as one:
            pass
        backlog.queue.append(one)
    # As the code that the handler has interrupted holds it.
    with directory._lock:  # pyright: ignore[reportPrivateUsage]
        writer = threading.Thread(target=backlog.move_to_spool)
        writer.start()
        until(lambda: not backlog.queue)
        backlog.move_to_spool()
        assert len(backlog) == 0
        assert len(lines(spool)) == 50
    writer.join()
    # Both wrote the same uses, which count once.
    assert (len({line[1] for line in lines(spool)}), backlog.losses.dropped_uses) == (50, 0)


INTERRUPTED = """
import itertools, os, signal, sys
from promptctl import Prompts

prompts = Prompts(spool=sys.argv[1], queue_size=40, flush_seconds=0.01, timeout_seconds=0.2)
prompt = prompts.get("nobody", default="x")
ended = 0

def handle(number, frame):
    global turns
    turns -= 1
    if turns > 0:
        with prompt.use():
            pass
        prompts.flush(0)
    elif turns == 0:  # a later signal, which was on its way before the timer stopped, does nothing
        signal.setitimer(signal.ITIMER_REAL, 0)
        prompts.close(0.1)
        print(ended + int(sys.argv[2]) - 1, flush=True)
        sys.exit()

turns = int(sys.argv[2])
signal.signal(signal.SIGALRM, handle)
signal.setitimer(signal.ITIMER_REAL, 0.05, 0.0013)
while True:
    with prompt.use():
        pass
    ended += 1
"""


def test_a_signal_handler_that_records_flushes_and_closes_while_uses_are_moved_loses_none(
    spool: Path, env: dict[str, str], home: Path, nobody: str
) -> None:
    for turns in (40, 41, 47, 53):
        place = spool / str(turns)
        process = started(INTERRUPTED, home, env | {"DATABASE_URL": nobody}, str(place), str(turns))
        out, _ = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 0
        ids = [line[1] for line in lines(place)]
        # The use that the last signal interrupted may have been recorded and not counted.
        assert int(out) <= len(set(ids)) <= int(out) + 1


def test_damaged_lines_of_a_spool_are_skipped(serve: Serve, sql: Connection, spool: Path, logged: Logged) -> None:
    ids: list[str] = []
    good = [use(ids) for _ in range(3)]
    path = written(spool, good)
    torn = json.dumps(use([]))
    bad: list[Any] = [
        5, None, "use", [], {}, ["use"], ["other", 1], [[]], ["use", *[None] * 16], [*use([]), 1], use([])[:-1],
        ["use", "x", *use([])[2:]], ["use", "{" + ids[0][1:], *use([])[2:]], ["use", 5, *use([])[2:]],
        use([], version="1"), use([], version=True), use([], bucket=1.5), use([], input_tokens="7,8"),
        ["score", ids[0]], ["score", ids[0], None], ["score", ids[0], "0.5"], ["fallback", ids[0], "x"],
    ]  # fmt: skip
    with path.open("ab") as file:
        file.write(b"\xff\xfe\x00\n\n[[[[\n" + b"[" * 100_000 + b"\n" + torn[:50].encode() + b"\n")
        file.write("".join(json.dumps(row) + "\n" for row in bad).encode())
        file.write((json.dumps(use(ids)) + "\n").encode() + torn[:-1].encode())
    prompts = serve(spool=spool)
    prompts.get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert logged(f"lines of {path} are not uses") == 1
    assert logged("bug") == 0


def test_only_the_refused_records_of_a_spool_are_dropped(
    serve: Serve, sql: Connection, spool: Path, logged: Logged
) -> None:
    ids: list[str] = []
    refused: list[list[Any]] = [
        use([], version=9), use([], input_tokens=-1), use([], bucket=70_000), use([], version=10**12),
        use([], bucket=10**30),
    ]  # fmt: skip
    written(spool, [use(ids), *refused, use(ids)])
    prompts = serve(spool=spool)
    prompts.get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert (prompts.dropped_uses, logged("5 uses were not recorded")) == (5, 1)


def test_lines_that_postgresql_cannot_store_are_skipped(
    serve: Serve, sql: Connection, spool: Path, logged: Logged
) -> None:
    ids: list[str] = []
    refused = [
        [*use([])[:12], float("nan"), *use([])[13:]], [*use([])[:14], "a\0b", *use([])[15:]],
        [*use([])[:14], "\ud800", *use([])[15:]],
    ]  # fmt: skip
    written(spool, [use(ids), *refused, use(ids)])
    serve(spool=spool).get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert logged("3 lines of") == 1


HOLDER = """
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
    serve: Serve, sql: Connection, spool: Path, env: dict[str, str], home: Path, nobody: str
) -> None:
    process = started(HOLDER, home, env | {"DATABASE_URL": nobody}, str(spool))
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        until(lambda: lines(spool) != [])
        prompts = serve(spool=spool)
        with prompts.get("greeter").use():
            pass
        assert prompts.flush()
        assert len(lines(spool)) > 0
        prompts.close()
        assert (count(sql), count(sql, "fallbacks")) == (1, 0)
        left = len(lines(spool))
    finally:
        process.kill()
        process.communicate()
    later = serve(spool=spool)
    later.get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert count(sql, "fallbacks") >= left > 0


def test_processes_that_start_together_send_spooled_uses_once(
    sql: Connection, spool: Path, env: dict[str, str], home: Path
) -> None:
    ids: list[str] = []
    for file in range(8):
        written(spool, [use(ids) for _ in range(50)], f"{file}-aa.uses")
    code = (
        "import sys; from promptctl import Prompts\nwith Prompts(spool=sys.argv[1]) as p: p.get('greeter'); p.flush()"
    )
    processes = [started(code, home, env, str(spool)) for _ in range(3)]
    for process in processes:
        _, err = process.communicate(timeout=WAIT_SECONDS)
        assert (process.returncode, err) == (0, "")
    assert os.listdir(spool) == []
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)


def test_the_next_client_adopts_the_files_of_two_clients(
    serve: Serve, spool: Path, nobody: str, sql: Connection
) -> None:
    for _ in range(2):
        prompts = serve(nobody, spool=spool)
        with prompts.get("greeter", default="x").use():
            pass
        prompts.close(0.1)
    assert len(list(spool.iterdir())) == 2
    prompts = serve(spool=spool)
    prompts.get("greeter")
    until(lambda: os.listdir(spool) == [])
    assert count(sql, "fallbacks") == 2


def test_uses_beyond_the_spools_limit_are_dropped_and_logged(
    serve: Serve, spool: Path, nobody: str, logged: Logged
) -> None:
    prompts = serve(nobody, spool=spool, spool_bytes=5000)
    for _ in range(100):
        with prompts.get("greeter", default="x").use():
            pass
    prompts.close(0.1)
    kept = len(lines(spool))
    assert 10 < kept < 100
    assert sum(each.stat().st_size for each in spool.iterdir()) <= 5000
    assert prompts.dropped_uses == 100 - kept
    assert logged(f"{100 - kept} uses were not recorded: the client was closed before they could be sent") == 1


def test_room_that_was_used_is_free_again_once_it_is_sent(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"), 1000)
    row = use_record()
    for _ in range(5):
        taken = spool.write([row] * 100)
        assert 0 < taken < 100
        assert spool.write([row]) == 0
        [path] = spool.files()
        assert [len(each) for each in spool.read(path, 1)] == [1] * taken
        spool.remove(path)
        assert not spool.has_files


def test_what_is_written_while_a_file_is_sent_is_not_removed_with_it(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path / "s"), 10_000)
    spool.write([use_record()])
    [path] = spool.files()
    assert spool.write([use_record()]) == 1
    spool.remove(path)
    assert spool.has_files
    assert len(lines(tmp_path / "s")) == 1


def test_times_are_the_same_after_reading_and_never_in_the_future() -> None:
    record = use_record()
    line = spool_lines.encode(record)
    assert abs(json.loads(line)[3] - time.time()) < 1
    decoded = spool_lines.decode(line)
    assert isinstance(decoded, UseRecord)
    assert abs(decoded.ended_at - record.ended_at) < 1
    assert (decoded[:2], decoded[3:]) == (record[:2], record[3:])
    future = use([])
    future[3] += 5000
    decoded = spool_lines.decode(json.dumps(future).encode())
    assert isinstance(decoded, UseRecord)
    assert decoded.ended_at <= time.perf_counter()


@pytest.mark.parametrize("place", ["file/spool", "/proc/spool", "file"])
def test_an_unwritable_spool_is_logged_once_and_its_uses_are_counted(
    serve: Serve, tmp_path: Path, nobody: str, logged: Logged, place: str
) -> None:
    (tmp_path / "file").write_text("")
    prompts = serve(nobody, spool=tmp_path / place, queue_size=20, flush_seconds=0.01)
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


def test_a_full_disk_leaves_whole_lines_and_other_uses_are_counted(
    serve: Serve, disk: Path, nobody: str, logged: Logged, sql: Connection
) -> None:
    prompts = serve(nobody, spool=disk / "spool", flush_seconds=1000)
    ids: set[str] = set()
    for _ in range(1900):
        with prompts.get("greeter", default="x").use() as one:
            pass
        ids.add(one.id)
    prompts.close(0.1)
    kept = lines(disk / "spool")
    assert 100 < len(kept) < 1900
    assert {row[1] for row in kept} < ids
    assert prompts.dropped_uses == 1900 - len(kept)
    assert logged("No space left on device") == 1
    later = serve(spool=disk / "spool")
    later.get("greeter")
    until(lambda: os.listdir(disk / "spool") == [])
    assert count(sql, "fallbacks") == len(kept)


def test_a_disk_that_was_full_for_a_while_is_used_again(disk: Path) -> None:
    spool = Spool(str(disk / "spool"), 10_000_000)
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * 40_000)
    records = [use_record() for _ in range(300)]
    taken = spool.write(records)
    assert 0 < taken < 300
    assert spool.write(records[taken:]) < 300 - taken
    ballast.unlink()
    more = spool.write(records[taken:])
    assert more > 0
    spool.close()
    assert [row[1] for row in lines(disk / "spool")][:taken] == [record.id for record in records[:taken]]


def test_a_spool_that_is_larger_than_memory_should_hold_is_read_in_parts(tmp_path: Path) -> None:
    path = written(tmp_path, [use([]) for _ in range(10)])
    spool = Spool(str(tmp_path), 10_000)
    spool.adopt()
    parts = spool.read(str(path), 4)
    assert [len(part) for part in parts] == [4, 4, 2]


def test_the_spool_is_not_read_while_the_database_is_down(
    serve: Serve, spool: Path, nobody: str, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    from promptctl.client import recorder

    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.02)
    written(spool, [use([])])
    reads: list[str] = []
    read = Spool.read

    def noted(self: Spool, path: str, most: int) -> Any:
        reads.append(path)
        return read(self, path, most)

    monkeypatch.setattr(Spool, "read", noted)
    prompts = serve(nobody, spool=spool)
    assert prompts.get("greeter", default="x").is_default
    until(lambda: logged("cannot record uses") == 1)
    assert not prompts.flush(0.1)
    assert reads == []
    assert len(lines(spool)) == 1
