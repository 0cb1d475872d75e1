"""What the client of an application costs: an answer from memory, a recorded use, and the delay of a move.

    python benchmarks/client.py [--turns N] [--langfuse PYTHON] [--mlflow PYTHON] [--only answers|seen|recorded]

The peers, each named by the interpreter of an environment that has it, answer from their warm caches in the same run.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import signal
import statistics
import subprocess
import tempfile
import threading
import time
import timeit
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from unittest import mock

import psycopg
from measure import Report, environment, install, start_server

from promptctl import Prompts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.client.state import State

_WORDS = "Answer the question that was asked, first and in plain words. Then add what the person needs. "
# As a real server: a COMMIT has reached the disk.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_LISTENERS = 200
_CLIENTS = 32

_LANGFUSE = """
import sys, timeit
from langfuse import Langfuse
client = Langfuse(public_key="pk", secret_key="sk", base_url=sys.argv[1], tracing_enabled=False)
call = lambda: client.get_prompt("plain")
call()
for _ in range(5):
    print(timeit.timeit(call, number=20000) / 20000)
"""
_MLFLOW = """
import sys, timeit
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_registry_uri(sys.argv[1])
mlflow.genai.register_prompt(name="plain", template="Hello {{name}}")
call = lambda: mlflow.genai.load_prompt("prompts:/plain/1", cache_ttl_seconds=3600)
call()
for _ in range(5):
    print(timeit.timeit(call, number=5000) / 5000)
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=15, help="how often each call is measured")
    options.add_argument("--langfuse", metavar="PYTHON", help="the interpreter of an environment with langfuse")
    options.add_argument("--mlflow", metavar="PYTHON", help="the interpreter of an environment with mlflow")
    options.add_argument("--only", choices=("answers", "seen", "recorded"), help="one part")
    arguments = options.parse_args()
    report = Report()
    with start_server(**_DURABLE, shared_buffers="512MB", max_wal_size="4GB", max_connections=600) as server:
        dsn = install(server, "client")
        with psycopg.connect(dsn, autocommit=True) as connection:
            _fill(connection)
        if arguments.only in (None, "answers"):
            _answers(report, dsn, arguments)
        if arguments.only in (None, "seen"):
            _seen(report, dsn)
        if arguments.only in (None, "recorded"):
            _recorded(report, dsn)
    return report.close()


def _fill(connection: psycopg.Connection) -> None:
    text = (_WORDS * 30)[:1900]
    five = "".join(f"{text[place * 380 : (place + 1) * 380]}{{name_{place}}}" for place in range(5))
    for name in ("plain", "split", "moved", "third", "fourth"):
        connection.execute(
            "insert into promptctl.prompts (name, version, content, is_active) values (%s, 1, %s, true)", (name, five)
        )
        connection.execute(
            "insert into promptctl.prompts (name, version, content) values (%s, 2, %s)", (name, f"{five} Be brief.")
        )
    connection.execute("select promptctl.split('split', 5000, 2)")


def _answers(report: Report, dsn: str, arguments: argparse.Namespace) -> None:
    """Calls in one process, in turn; the figure is the least time of all turns, which other work can only add to."""
    names = ["plain", "split", "moved", "third", "fourth"]
    with Prompts(dsn) as prompts:
        prompts.preload(names)
        served = {name: prompts.get(name) for name in names}
        plain = served["plain"]
        values = {f"name_{place}": "Ada Lovelace" for place in range(5)}
        text = plain.content

        def booked() -> None:
            with plain.use() as use:
                use.record(input_tokens=120, output_tokens=80, model="claude-sonnet-5-5")

        calls: dict[str, Callable[[], object]] = {
            "look-up": lambda: served.get("plain"),
            "get": lambda: prompts.get("plain"),
            "get for a unit": lambda: prompts.get("plain", "user-42"),
            "get with a split": lambda: prompts.get("split", "user-42"),
            "get_many of 5": lambda: prompts.get_many(names, unit="user-42"),
            "render": lambda: plain.render(values),
            "str.format": lambda: text.format(**values),
            "nothing": lambda: None,
        }
        least = {name: float("inf") for name in (*calls, "booked")}
        for _ in range(arguments.turns):
            for name, call in calls.items():
                least[name] = min(least[name], timeit.timeit(call, number=20_000) / 20_000 * 1e9)
            # The client's thread, which sends them, is not to run meanwhile; uses are few enough to wait in memory.
            prompts.flush()
            least["booked"] = min(least["booked"], timeit.timeit(booked, number=1500) / 1500 * 1e9)
        prompts.flush()
    # What calling a function that does nothing takes is taken off: it is the benchmark's own.
    own = {name: value - least["nothing"] for name, value in least.items()}
    report.heading("An answer from memory, in one process")
    report.add("dict.get", own["look-up"], unit="ns")
    report.add("get / dict.get", own["get"] / own["look-up"], 3)
    report.add("get", own["get"], 100, unit="ns")
    report.add("get for a unit, no split", own["get for a unit"], unit="ns")
    report.add("get with a split", own["get with a split"], 1200, unit="ns")
    report.add("get_many of 5", own["get_many of 5"], unit="ns")
    report.add("render of 2 kB with 5 variables / str.format", own["render"] / own["str.format"], 1.5)
    report.add("a use, from `with prompt.use()` to its end", own["booked"], 600, unit="ns")
    for name, peer, seconds in (
        ("Langfuse", arguments.langfuse, lambda: _langfuse(arguments.langfuse)),
        ("MLflow", arguments.mlflow, lambda: _mlflow(arguments.mlflow)),
    ):
        if not peer:
            print(f"  {name} is not compared: give --{name.lower()} PYTHON")
            continue
        took = seconds() * 1e9
        report.add(f"{name}, from its warm cache", took, unit="ns")
        report.add(f"get / {name}: at most a twentieth", least["get"] / took, 0.05)


def _langfuse(interpreter: str) -> float:
    """The seconds that Langfuse's SDK takes; its server is one that answers with one prompt."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said: dict[str, object] = {
                "type": "text",
                "name": "plain",
                "version": 1,
                "prompt": "Hello",
                "config": {},
                "labels": [],
            }
            body = json.dumps({**said, "tags": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        return _peer(interpreter, _LANGFUSE, f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()


def _mlflow(interpreter: str) -> float:
    with tempfile.TemporaryDirectory() as directory:
        return _peer(interpreter, _MLFLOW, f"sqlite:///{directory}/mlflow.db")


def _peer(interpreter: str, code: str, *words: str) -> float:
    """The least time that a peer says. Raises RuntimeError when it fails."""
    own = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    process = subprocess.run(
        [interpreter, "-c", code, *words],
        env=environment() | own,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(process.stderr[-2000:])
    return min(float(line) for line in process.stdout.splitlines()[-5:])


def _seen(report: Report, dsn: str) -> None:
    report.heading("From the COMMIT of an activation to the answer in another process")
    moves, reads = _watched(dsn, 1000)
    late = sorted(_delays(moves, reads))
    report.add("one listener, median", statistics.median(late) * 1000, unit="ms")
    report.add("one listener, p99", late[int(len(late) * 0.99)] * 1000, 2, unit="ms")
    bound = 0.002
    wrong = sum(not _was_active(moves, at, epoch, bound) for at, epoch in reads)
    report.add(f"of {len(reads):,} reads, not live within 2 ms before", wrong, unit="")
    for processes in (10, _LISTENERS):
        all_late = sorted(_many(dsn, processes, statistics.median(late)))
        what = f"{_LISTENERS} listeners in {processes} processes"
        report.add(f"{what}, median", statistics.median(all_late) * 1000, unit="ms")
        report.add(f"{what}, p99", all_late[int(len(all_late) * 0.99)] * 1000, 50, unit="ms")
    polled = sorted(_polled(dsn))
    report.add("by polling alone, at most", polled[-1], 5, unit="s")


# Of each: between which moments it was committed, and the epoch.
Moves = list[tuple[float, float, int]]


def _move(connection: psycopg.Connection, version: int) -> tuple[float, float, int]:
    began = time.perf_counter()
    row = connection.execute(
        "select epoch from promptctl.activate(array['moved'], array[%s::integer])", (version,)
    ).fetchone()
    ended = time.perf_counter()
    assert row is not None
    return began, ended, row[0]


def _watched(dsn: str, count: int) -> tuple[Moves, list[tuple[float, int]]]:
    """Move a prompt so often while another process reads it: the moves, and when which epoch was read.

    time.perf_counter is the machine's clock since its start, the same in both.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _end_after(_read_until_told, dsn, writing)
    os.close(writing)
    moves: Moves = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        time.sleep(1)
        for place in range(count):
            moves.append(_move(connection, 2 - place % 2))
            time.sleep(random.uniform(0.006, 0.016))
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    with os.fdopen(reading) as file:
        reads = [(float(at), int(epoch)) for at, epoch in map(str.split, file)]
    os.waitpid(child, 0)
    return moves, reads


def _end_after(run: Callable[..., None], *arguments: object) -> None:
    """In a child process: do this and end, whatever comes; what its parent began is its parent's to end."""
    try:
        run(*arguments)
    finally:
        os._exit(0)


def _read_until_told(dsn: str, pipe: int) -> None:
    gc.disable()
    has_changed = False

    def end(*_: object) -> None:
        nonlocal has_changed
        has_changed = True

    signal.signal(signal.SIGTERM, end)
    reads: list[tuple[float, int | None]] = []
    with Prompts(dsn) as prompts:
        while not has_changed:
            epoch = prompts.get("moved").epoch
            reads.append((time.perf_counter(), epoch))
            time.sleep(0.00005)
    with os.fdopen(pipe, "w") as file:
        file.writelines(f"{at} {epoch}\n" for at, epoch in reads)


def _delays(moves: Moves, reads: Sequence[tuple[float, int]]) -> list[float]:
    """For each move, how long after its commit at the latest the first read was that had it, or one after it."""
    found: list[float] = []
    place = 0
    for _, committed, epoch in moves:
        while place < len(reads) and reads[place][1] < epoch:
            place += 1
        if place == len(reads):
            raise RuntimeError("an activation was never seen")
        found.append(max(0.0, reads[place][0] - committed))
    return found


def _was_active(moves: Moves, at: float, epoch: int, bound: float) -> bool:
    """Whether an epoch was active at some time within `bound` before a read: from its own move to the next one."""
    place = epoch - moves[0][2]
    # It may have been committed as soon as it was sent, and its successor as late as it was answered.
    begins = moves[place][0] if place >= 0 else float("-inf")
    ends = moves[place + 1][1] if place + 1 < len(moves) else float("inf")
    return begins <= at and ends >= at - bound


def _many(dsn: str, processes: int, alone: float) -> list[float]:
    """Of 200 clients in so many processes, when each has the state of an epoch: seconds after its COMMIT.

    A listener that is `alone` takes so long.
    """
    pipes: list[int] = []
    children: list[int] = []
    for _ in range(processes):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _end_after(_note_until_told, dsn, _LISTENERS // processes, writing)
        os.close(writing)
        pipes.append(reading)
        children.append(child)
    committed: dict[int, float] = {}
    with psycopg.connect(dsn, autocommit=True) as connection:
        deadline = time.monotonic() + 60
        listening = "select count(*) from pg_stat_activity where application_name = 'promptctl client'"
        while (connection.execute(listening).fetchone() or (0,))[0] < _LISTENERS and time.monotonic() < deadline:
            time.sleep(0.2)
        time.sleep(2)
        # The first ones are not noted: what the processes have in common is copied as they write to it.
        for place in range(-20, 60):
            row = connection.execute(
                "select epoch from promptctl.activate(array['moved'], array[%s::integer])", (2 - place % 2,)
            ).fetchone()
            assert row is not None
            if place >= 0:
                committed[row[0]] = time.perf_counter()
            time.sleep(0.15)
    time.sleep(0.5)
    for child in children:
        os.kill(child, signal.SIGTERM)
    seen: list[dict[int, float]] = []
    for child, pipe in zip(children, pipes, strict=True):
        with os.fdopen(pipe) as file:
            seen += [{int(epoch): at for epoch, at in json.loads(line).items()} for line in file]
        os.waitpid(child, 0)
    late: list[float] = []
    for epoch, answered in committed.items():
        # One that was passed over was replaced before it was read: the next counts for it.
        firsts = [min(at for each, at in one.items() if each >= epoch) for one in seen]
        # The answer to the COMMIT has to wait for its turn among so many: the first listener may have been before it.
        moment = min(answered, min(firsts) - alone)
        late += [first - moment for first in firsts]
    return late


class _Noting(Prompts):
    """Notes when a state is there for `get` to answer from."""

    def __init__(self, dsn: str) -> None:
        self.seen: dict[int, float] = {}
        super().__init__(dsn)
        self._memory_publish = self._memory.publish
        self._memory.publish = self._note

    def _note(self, state: State) -> None:
        self._memory_publish(state)
        if "moved" in state.prompts:
            self.seen[state.prompts["moved"].row.epoch] = time.perf_counter()


def _note_until_told(dsn: str, clients: int, pipe: int) -> None:
    signal.signal(signal.SIGTERM, _told)
    noting = [_Noting(dsn) for _ in range(clients)]
    for prompts in noting:
        prompts.get("moved")
    signal.pause()
    with os.fdopen(pipe, "w") as file:
        file.writelines(json.dumps(prompts.seen) + "\n" for prompts in noting)


def _told(*_: object) -> None:
    pass


def _not_listening(*_: object) -> bool:
    return False


def _polled(dsn: str) -> list[float]:
    """Where no notification passes: seconds from an activation to the answer, for an interval of 5 s."""
    late: list[float] = []
    with (
        mock.patch("promptctl.postgres.database.Database.listen", _not_listening),
        Prompts(dsn) as prompts,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        prompts.get("moved")
        for place in range(3):
            _, committed, epoch = _move(connection, 1 + (prompts.get("moved").version == 1))
            while (prompts.get("moved").epoch or 0) < epoch:
                time.sleep(0.002)
            late.append(time.perf_counter() - committed)
            time.sleep(random.uniform(0, 1) + place)
    return late


def _recorded(report: Report, dsn: str) -> None:
    report.heading("Uses into PostgreSQL")
    count = 200_000
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = connection.execute("select count(*) from promptctl.uses").fetchone() or (0,)
    own = 0.0
    for _ in range(3):
        with Prompts(dsn, queue_size=count + 1) as prompts:
            prompt = prompts.get("plain")
            began = time.perf_counter()
            for _ in range(count):
                with prompt.use() as use:
                    use.record(input_tokens=120, output_tokens=80, model="claude-sonnet-5-5")
            if not prompts.flush(120):
                raise RuntimeError("not all uses were sent")
            own = max(own, count / (time.perf_counter() - began))
    single = 0.0
    with psycopg.connect(dsn, autocommit=True) as connection:
        found = connection.execute("select count(*) from promptctl.uses").fetchone()
        assert found == (before[0] + 3 * count,), found
        for _ in range(3):
            began = time.perf_counter()
            for _ in range(1000):
                connection.execute(
                    "insert into promptctl.uses (id, name, version, epoch, input_tokens, output_tokens, response_ms)"
                    " values (gen_random_uuid(), 'plain', 1, 1, 120, 80, 950)"
                )
            single = max(single, 1000 / (time.perf_counter() - began))
    report.add("uses a second, booked and sent by one process", own, unit="/s")
    report.add("at least 50 000: 50 000 / that", 50_000 / own, 1)
    report.add("an INSERT for each, a second", single, unit="/s")
    report.add("at least 20 times that: 20 x INSERT / ours", 20 * single / own, 1)

    idle = _activations(dsn)
    children = [_book_in_child(dsn) for _ in range(_CLIENTS)]
    time.sleep(3)
    busy = _activations(dsn)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    report.add("an activation, p99, nothing else", idle * 1000, unit="ms")
    report.add(f"the same beside {_CLIENTS} recording clients", busy * 1000, unit="ms")
    report.add("beside them / nothing else", busy / idle, 8)


def _activations(dsn: str) -> float:
    """The p99 of 500 activations, in seconds."""
    took: list[float] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for place in range(520):
            began, ended, _ = _move(connection, 2 - place % 2)
            if place >= 20:
                took.append(ended - began)
            time.sleep(0.005)
    return statistics.quantiles(took, n=100)[98]


def _book_in_child(dsn: str) -> int:
    """A process that books 100 uses a second; its id."""
    child = os.fork()
    if child:
        return child
    _end_after(_book_for_ever, dsn)
    return 0


def _book_for_ever(dsn: str) -> None:
    with Prompts(dsn) as prompts:
        while True:
            with prompts.get("plain").use() as use:
                use.record(input_tokens=120, output_tokens=80)
            time.sleep(0.01)


if __name__ == "__main__":
    raise SystemExit(main())
