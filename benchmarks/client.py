"""The cost of the client in an application: a call from memory, a recorded use, and the delay of a move.

    python benchmarks/client.py [--turns N] [--langfuse PYTHON] [--mlflow PYTHON]
        [--only calls|traces|delays|uses|caching]

Langfuse and MLflow, each with the interpreter of an environment that has it, answer from their warm caches in the same
run.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import random
import signal
import statistics
import subprocess
import sys
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
from promptctl.rules import requests
from tests.claude_cache import PromptCache

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from promptctl.client.state import State

_WORDS = "Answer the question that was asked, first and in plain words. Then add what the person needs. "
_TOOLS = [
    {
        "name": f"tool_{number}",
        "description": _WORDS * 2,
        "input_schema": {
            "type": "object",
            "properties": {
                name: {"type": "string", "description": "What to look up."} for name in ("id", "kind", "limit")
            },
            "required": ["id"],
            "additionalProperties": False,
        },
    }
    for number in range(10)
]
_EXAMPLES = [("user", "What is a pointer"), ("assistant", "It is"), ("user", "And a value"), ("assistant", "It has")]
# The least number of tokens that most models cache, and the cache's lifetime for `5m`.
_LEAST_TOKENS = 1024
# Like a real server: a COMMIT waits for the disk.
_DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_LISTENERS = 200
_CLIENTS = 32

# Answers each line with the seconds of a call. As an application has a processor that exports, each has one.
_TRACES = """
import contextvars, sys, timeit
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from promptctl import Prompts
dsn, kind = sys.argv[1:]
provider = TracerProvider()
provider.add_span_processor(SpanProcessor())
if kind == "idle":
    class Idle(SpanProcessor):
        def on_start(self, span, parent_context=None):
            pass
    provider.add_span_processor(Idle())
elif kind not in ("", "by hand"):
    from promptctl.otel import PromptAttributes
    processor = PromptAttributes(in_context=kind == "in_context")
    provider.add_span_processor(processor)
    if kind == "shut down":
        processor.shutdown()
tracer = provider.get_tracer("com.anthropic.sdk.python")
# The span of a call as Anthropic's SDK makes it.
first = {
    "server.address": "api.anthropic.com", "server.port": 443, "gen_ai.provider.name": "anthropic",
    "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.request.max_tokens": 1000,
}
later = {
    "http.response.status_code": 200, "gen_ai.response.id": "msg_1", "gen_ai.response.model": "m",
    "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20,
}
def begin():
    return tracer.start_span("chat m", kind=trace.SpanKind.CLIENT, attributes={**first})
def end(span):
    with trace.use_span(span, end_on_exit=False, record_exception=False, set_status_on_exception=False):
        span.set_attribute("url.full", "https://api.anthropic.com/v1/messages")
    for name, value in later.items():
        span.set_attribute(name, value)
    span.set_status(trace.Status(trace.StatusCode.OK))
    span.end()
with tracer.start_as_current_span("request"):
    request = contextvars.copy_context()
with Prompts(dsn) as prompts:
    prompt = prompts.get("plain")
    fields = prompt.served_version.fields
    def use():
        with prompt.use():
            pass
    def call():
        with prompt.use():
            end(begin())
    if kind == "by hand":
        def call():
            with prompt.use() as use:
                span = begin()
                span.set_attributes(
                    fields | {"promptctl.age_seconds": prompt.age_seconds, "promptctl.use_id": use.id}
                )
                end(span)
    calls = {"use": use, "call": call, "call in a request": lambda: request.copy().run(call)}
    for line in sys.stdin:
        prompts.flush()
        # The first uses wake the recorder's thread, and fill the caches.
        timeit.timeit(calls[line.strip()], number=50)
        print(timeit.timeit(calls[line.strip()], number=100) / 100, flush=True)
"""

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
    options.add_argument("--only", choices=("calls", "traces", "delays", "uses", "caching"), help="one part")
    arguments = options.parse_args()
    report = Report()
    with start_server(**_DURABLE, shared_buffers="512MB", max_wal_size="4GB", max_connections=600) as server:
        dsn = install(server, "client")
        with psycopg.connect(dsn, autocommit=True) as connection:
            _fill(connection)
        if arguments.only in (None, "calls"):
            _time_calls(report, dsn, arguments)
        if arguments.only in (None, "traces"):
            _time_traces(report, dsn, arguments.turns)
        if arguments.only in (None, "caching"):
            _count_cache_reads(report, dsn)
        if arguments.only in (None, "delays"):
            _time_delays(report, dsn)
        if arguments.only in (None, "uses"):
            _time_uses(report, dsn)
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
    for name, variables, caching in (
        ("request", 0, {}),
        ("request_with_cache", 0, {"cache": "5m"}),
        ("request_of_variables", len(_EXAMPLES), {}),
    ):
        examples = [
            {"role": role, "content": f"{words} {{name_{place}}}." if place < variables else words}
            for place, (role, words) in enumerate(_EXAMPLES)
        ]
        request = {"thinking": {"type": "adaptive"}, "tools": _TOOLS, "messages": examples}
        settings = {"model": "m", "max_tokens": 1024, "request": requests.encode(request)} | caching
        connection.execute(
            "select promptctl.create_version(%s, %s, %s, activated => true)", (name, five, json.dumps(settings))
        )


def _time_calls(report: Report, dsn: str, arguments: argparse.Namespace) -> None:
    """Time calls in one process, in turn. The figure is the minimum of all turns, because other work only adds time."""
    names = ["plain", "split", "moved", "third", "fourth"]
    with Prompts(dsn) as prompts:
        prompts.preload(names)
        served = {name: prompts.get(name) for name in names}
        plain = served["plain"]
        values = {f"name_{place}": "Ada Lovelace" for place in range(5)}
        text = plain.content
        requested = prompts.get("request")
        with_cache, of_variables = prompts.get("request_with_cache"), prompts.get("request_of_variables")
        question = [{"role": "user", "content": "And now?"}]

        def record_use() -> None:
            with plain.use() as use:
                use.record(input_tokens=120, output_tokens=80, model="claude-sonnet-5-5")

        calls: dict[str, Callable[[], object]] = {
            "look-up": lambda: served.get("plain"),
            "get": lambda: prompts.get("plain"),
            "get for a unit": lambda: prompts.get("plain", "user-42"),
            "get with a split": lambda: prompts.get("split", "user-42"),
            "get_many of 5": lambda: prompts.get_many(names, unit="user-42"),
            "render": lambda: plain.render(values),
            "request": lambda: requested.request(values, question),
            "request with cache": lambda: with_cache.request(values, question),
            "request of variables": lambda: of_variables.request(values, question),
            "str.format": lambda: text.format(**values),
            "nothing": lambda: None,
        }
        minimum = {name: float("inf") for name in (*calls, "use")}
        for _ in range(arguments.turns):
            for name, call in calls.items():
                # Short samples, because the minimum of long ones contains other work of a busy machine.
                seconds = min(timeit.repeat(call, number=2_000, repeat=10)) / 2_000
                minimum[name] = min(minimum[name], seconds * 1e9)
            # The thread that sends uses must not run meanwhile, so the uses are few enough to wait in memory.
            prompts.flush()
            minimum["use"] = min(minimum["use"], timeit.timeit(record_use, number=1500) / 1500 * 1e9)
        prompts.flush()
    # Subtract the cost of calling an empty function, which is the benchmark's own.
    own = {name: value - minimum["nothing"] for name, value in minimum.items()}
    report.heading("A call from memory, in one process")
    report.add("dict.get", own["look-up"], unit="ns")
    report.add("get / dict.get", own["get"] / own["look-up"], 3)
    report.add("get", own["get"], 100, unit="ns")
    report.add("get for a unit, no split", own["get for a unit"], unit="ns")
    report.add("get with a split", own["get with a split"], 1200, unit="ns")
    report.add("get_many of 5", own["get_many of 5"], unit="ns")
    report.add("render of 2 kB with 5 variables / str.format", own["render"] / own["str.format"], 1.5)
    report.add("request, with ten tools and four messages / render", own["request"] / own["render"], 3)
    report.add("the same, with the setting cache / render", own["request with cache"] / own["render"])
    report.add("the same, with a variable in each message / render", own["request of variables"] / own["render"])
    report.add("a recorded use, from `with prompt.use()` to its end", own["use"], 600, unit="ns")
    for name, peer, seconds in (
        ("Langfuse", arguments.langfuse, lambda: _langfuse(arguments.langfuse)),
        ("MLflow", arguments.mlflow, lambda: _mlflow(arguments.mlflow)),
    ):
        if not peer:
            print(f"  {name} is not compared: pass --{name.lower()} PYTHON")
            continue
        nanoseconds = seconds() * 1e9
        report.add(f"{name}, from its warm cache", nanoseconds, unit="ns")
        report.add(f"get / {name}: at most a twentieth", minimum["get"] / nanoseconds, 0.05)


def _time_traces(report: Report, dsn: str, turns: int) -> None:
    """Time uses with a span each, in processes with and without our processor that take turns.

    Each has a process, because CPython adapts code to the types that it meets, and an application meets one kind of
    use. The recorder's thread must not run meanwhile, so there are few uses in a sample. Processes differ by 150 ns,
    because their objects lie elsewhere in memory. So several processes are measured. Of each, the fastest sample
    counts, and the figure is the median of the processes.
    """
    fastest: list[dict[tuple[str, str], float]] = []
    for _ in range(turns):
        fastest.append({})
        with contextlib.ExitStack() as stack:
            processes = {
                kind: stack.enter_context(_process([sys.executable, "-c", _TRACES, dsn, kind]))
                for kind in ("", "idle", "by hand", "in_context", "stamped", "shut down")
            }
            for _ in range(60):
                for call in ("use", "call", "call in a request"):
                    for kind, process in processes.items():
                        assert process.stdin
                        assert process.stdout
                        process.stdin.write(f"{call}\n")
                        process.stdin.flush()
                        nanoseconds = float(process.stdout.readline()) * 1e9
                        fastest[-1][kind, call] = min(fastest[-1].get((kind, call), nanoseconds), nanoseconds)

    def median(kind: str, call: str) -> float:
        return statistics.median(turn[kind, call] for turn in fastest)

    def more(kind: str, call: str) -> float:
        return statistics.median(turn[kind, call] - turn["", call] for turn in fastest)

    report.heading("OpenTelemetry: a new use with a new span")
    report.add("a use without a span and without a processor", median("", "use"), unit="ns")
    report.add("  after a processor was shut down", median("shut down", "use") / median("", "use"), 1.1)
    report.add("  with a processor: more", more("stamped", "use"), unit="ns")
    report.add("a use with a span, without a processor", median("", "call"), unit="ns")
    report.add("  with one more processor that does nothing: more", more("idle", "call"), unit="ns")
    for call in ("call", "call in a request"):
        where = call.removeprefix("call")
        report.add(f"  stamped{where}: more", more("stamped", call), 1000, unit="ns")
        own = more("stamped", call) - more("idle", call)
        report.add(f"  stamped{where}: more than with a processor that does nothing", own, unit="ns")
    report.add("  with in_context: more", more("in_context", "call"), unit="ns")
    report.add("  the same attributes by set_attributes: more", more("by hand", "call"), unit="ns")


@contextlib.contextmanager
def _process(words: list[str]) -> Generator[subprocess.Popen[str]]:
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def _count_cache_reads(report: Report, dsn: str) -> None:
    """Count what Claude's cache reads in 100 calls, each a second later with other values and another question."""
    cache = PromptCache(_LEAST_TOKENS)
    with Prompts(dsn) as prompts:
        prompt = prompts.get("request_with_cache")
        inputs = [
            cache.send(
                prompt.request(
                    {f"name_{place}": f"user {call}" for place in range(5)},
                    [{"role": "user", "content": f"Question {call}?"}],
                ),
                now=float(call),
            )
            for call in range(100)
        ]
    cacheable = 100 * max(call.read + call.written for call in inputs)
    report.heading("100 calls with the setting cache, by a stand-in for Claude's cache")
    report.add("cacheable bytes of all input bytes", cacheable / sum(c.read + c.written + c.uncached for c in inputs))
    report.add(
        "cacheable bytes not read from the cache: at most 5 %", 1 - sum(c.read for c in inputs) / cacheable, 0.05
    )


def _langfuse(interpreter: str) -> float:
    """Return the seconds of a call of Langfuse's SDK. A local server replaces Langfuse and returns one prompt."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            document: dict[str, object] = {
                "type": "text",
                "name": "plain",
                "version": 1,
                "prompt": "Hello",
                "config": {},
                "labels": [],
            }
            body = json.dumps({**document, "tags": []}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        return _peer(interpreter, _LANGFUSE, f"http://127.0.0.1:{server.server_address[1]}")
    finally:
        server.shutdown()


def _mlflow(interpreter: str) -> float:
    with tempfile.TemporaryDirectory() as directory:
        return _peer(interpreter, _MLFLOW, f"sqlite:///{directory}/mlflow.db")


def _peer(interpreter: str, code: str, *words: str) -> float:
    """Return the minimum of the times that a peer's program prints. Raises RuntimeError if it fails."""
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


def _time_delays(report: Report, dsn: str) -> None:
    report.heading("From the COMMIT of an activation to the answer in another process")
    moves, reads = _move_beside_reader(dsn, 1000)
    delays = sorted(_delays(moves, reads))
    report.add("one listener, median", statistics.median(delays) * 1000, unit="ms")
    report.add("one listener, p99", delays[int(len(delays) * 0.99)] * 1000, 2, unit="ms")
    bound = 0.002
    stale = sum(not _was_active(moves, at, epoch, bound) for at, epoch in reads)
    report.add(f"stale of {len(reads):,} reads: not active in 2 ms before", stale, unit="")
    for processes in (10, _LISTENERS):
        all_delays = sorted(_listener_delays(dsn, processes, statistics.median(delays)))
        label = f"{_LISTENERS} listeners in {processes} processes"
        report.add(f"{label}, median", statistics.median(all_delays) * 1000, unit="ms")
        report.add(f"{label}, p99", all_delays[int(len(all_delays) * 0.99)] * 1000, 50, unit="ms")
    polled = sorted(_polling_delays(dsn))
    report.add("by polling only, maximum", polled[-1], 5, unit="s")


# The times before and after the COMMIT of a move, and its epoch.
Moves = list[tuple[float, float, int]]


def _move(connection: psycopg.Connection, version: int) -> tuple[float, float, int]:
    began = time.perf_counter()
    row = connection.execute(
        "select epoch from promptctl.activate(array['moved'], array[%s::integer])", (version,)
    ).fetchone()
    ended = time.perf_counter()
    assert row is not None
    return began, ended, row[0]


def _move_beside_reader(dsn: str, count: int) -> tuple[Moves, list[tuple[float, int]]]:
    """Move a prompt while another process reads it, and return the moves and the time and epoch of each read.

    time.perf_counter is the time since the machine started, the same in both processes.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _end_after(_read_until_sigterm, dsn, writing)
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
    """Call a function in a forked child, then exit without the exit handlers of the parent."""
    try:
        run(*arguments)
    finally:
        os._exit(0)


def _read_until_sigterm(dsn: str, pipe: int) -> None:
    gc.disable()
    is_ended = False

    def end(*_: object) -> None:
        nonlocal is_ended
        is_ended = True

    signal.signal(signal.SIGTERM, end)
    reads: list[tuple[float, int | None]] = []
    with Prompts(dsn) as prompts:
        while not is_ended:
            epoch = prompts.get("moved").epoch
            reads.append((time.perf_counter(), epoch))
            time.sleep(0.00005)
    with os.fdopen(pipe, "w") as file:
        file.writelines(f"{at} {epoch}\n" for at, epoch in reads)


def _delays(moves: Moves, reads: Sequence[tuple[float, int]]) -> list[float]:
    """Return, for each move, the longest possible time from its commit to the first read of it or a later one."""
    delays: list[float] = []
    place = 0
    for _, committed, epoch in moves:
        while place < len(reads) and reads[place][1] < epoch:
            place += 1
        if place == len(reads):
            raise RuntimeError("an activation was never read")
        delays.append(max(0.0, reads[place][0] - committed))
    return delays


def _was_active(moves: Moves, at: float, epoch: int, bound: float) -> bool:
    """Return whether an epoch was active at some time within `bound` seconds before a read."""
    place = epoch - moves[0][2]
    # At the earliest it was committed when it was sent, and the next one at the latest when it was answered.
    begins = moves[place][0] if place >= 0 else float("-inf")
    ends = moves[place + 1][1] if place + 1 < len(moves) else float("inf")
    return begins <= at and ends >= at - bound


def _listener_delays(dsn: str, processes: int, alone: float) -> list[float]:
    """Return the seconds from each COMMIT until each of 200 clients has the new version.

    The clients are divided between `processes`; `alone` is the delay of a single listener.
    """
    pipes: list[int] = []
    children: list[int] = []
    for _ in range(processes):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            _end_after(_note_until_sigterm, dsn, _LISTENERS // processes, writing)
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
        # The first moves do not count, because the forked processes still copy shared memory.
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
    times_by_client: list[dict[int, float]] = []
    for child, pipe in zip(children, pipes, strict=True):
        with os.fdopen(pipe) as file:
            times_by_client += [{int(epoch): at for epoch, at in json.loads(line).items()} for line in file]
        os.waitpid(child, 0)
    delays: list[float] = []
    for epoch, answered in committed.items():
        # A client may skip a version that is replaced at once: the next one counts instead.
        firsts = [min(at for client_epoch, at in times.items() if client_epoch >= epoch) for times in times_by_client]
        # With so many processes the answer to the COMMIT may be late, even later than the first listener.
        committed_at = min(answered, min(firsts) - alone)
        delays += [first - committed_at for first in firsts]
    return delays


class _TimedPrompts(Prompts):
    """A client that stores when `get` can return the version of an epoch."""

    def __init__(self, dsn: str) -> None:
        self.times: dict[int, float] = {}
        super().__init__(dsn)
        self._memory_publish = self._memory.publish
        self._memory.publish = self._note

    def _note(self, state: State) -> None:
        self._memory_publish(state)
        if "moved" in state.prompts:
            self.times[state.prompts["moved"].row.epoch] = time.perf_counter()


def _note_until_sigterm(dsn: str, clients: int, pipe: int) -> None:
    signal.signal(signal.SIGTERM, _ignore)
    clients_of_process = [_TimedPrompts(dsn) for _ in range(clients)]
    for prompts in clients_of_process:
        prompts.get("moved")
    signal.pause()
    with os.fdopen(pipe, "w") as file:
        file.writelines(json.dumps(prompts.times) + "\n" for prompts in clients_of_process)


def _ignore(*_: object) -> None:
    pass


def _listen_to_nothing(*_: object) -> bool:
    return False


def _polling_delays(dsn: str) -> list[float]:
    """Return the seconds from an activation to the answer without notifications, for an interval of 5 s."""
    delays: list[float] = []
    with (
        mock.patch("promptctl.postgres.database.Database.listen", _listen_to_nothing),
        Prompts(dsn) as prompts,
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        prompts.get("moved")
        for place in range(3):
            _, committed, epoch = _move(connection, 1 + (prompts.get("moved").version == 1))
            while (prompts.get("moved").epoch or 0) < epoch:
                time.sleep(0.002)
            delays.append(time.perf_counter() - committed)
            time.sleep(random.uniform(0, 1) + place)
    return delays


def _uses_a_second(dsn: str, count: int, *, with_metrics: bool) -> float:
    with Prompts(dsn, queue_size=count + 1) as prompts:
        prompt = prompts.get("plain")
        if with_metrics:
            prompts.metrics()
        began = time.perf_counter()
        for _ in range(count):
            with prompt.use() as use:
                use.record(input_tokens=120, output_tokens=80, model="claude-sonnet-5-5")
        if not prompts.flush(120):
            raise RuntimeError("not all uses were sent")
        return count / (time.perf_counter() - began)


def _time_uses(report: Report, dsn: str) -> None:
    report.heading("Uses into PostgreSQL")
    count = 200_000
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = connection.execute("select count(*) from promptctl.uses").fetchone() or (0,)
    own = counted = 0.0
    for _ in range(3):
        own = max(own, _uses_a_second(dsn, count, with_metrics=False))
        counted = max(counted, _uses_a_second(dsn, count, with_metrics=True))
    single = 0.0
    with psycopg.connect(dsn, autocommit=True) as connection:
        after = connection.execute("select count(*) from promptctl.uses").fetchone()
        assert after == (before[0] + 6 * count,), after
        for _ in range(3):
            began = time.perf_counter()
            for _ in range(1000):
                connection.execute(
                    "insert into promptctl.uses (id, name, version, epoch, input_tokens, output_tokens, response_ms)"
                    " values (gen_random_uuid(), 'plain', 1, 1, 120, 80, 950)"
                )
            single = max(single, 1000 / (time.perf_counter() - began))
    report.add("uses a second, recorded and sent by one process", own, unit="/s")
    report.add("50 000 a second / that", 50_000 / own, 1)
    report.add("that / with metrics()", own / counted, 1.15)
    report.add("one INSERT each, a second", single, unit="/s")
    report.add("20 x one INSERT each / ours", 20 * single / own, 1)

    idle = _activation_p99(dsn)
    children = [_start_recording_process(dsn) for _ in range(_CLIENTS)]
    time.sleep(3)
    busy = _activation_p99(dsn)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    report.add("an activation, p99, idle server", idle * 1000, unit="ms")
    report.add(f"the same with {_CLIENTS} recording clients", busy * 1000, unit="ms")
    report.add("with them / idle server", busy / idle, 8)


def _activation_p99(dsn: str) -> float:
    """Return the p99 of 500 activations, in seconds."""
    durations: list[float] = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        for place in range(520):
            began, ended, _ = _move(connection, 2 - place % 2)
            if place >= 20:
                durations.append(ended - began)
            time.sleep(0.005)
    return statistics.quantiles(durations, n=100)[98]


def _start_recording_process(dsn: str) -> int:
    """Start a process that records 100 uses a second, and return its id."""
    child = os.fork()
    if child:
        return child
    _end_after(_record_forever, dsn)
    return 0


def _record_forever(dsn: str) -> None:
    with Prompts(dsn) as prompts:
        while True:
            with prompts.get("plain").use() as use:
                use.record(input_tokens=120, output_tokens=80)
            time.sleep(0.01)


if __name__ == "__main__":
    raise SystemExit(main())
