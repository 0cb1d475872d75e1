"""The end of a client: at close, at interpreter exit, by a signal. Uses are sent, spooled or logged as lost."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import Closed, PromptNotFound, Prompts, Unavailable
from tests.client.support import WAIT_SECONDS, activate, count, run_program, start_program, until, uses
from tests.schema.support import value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.client.wire import Wire

    Connection = psycopg.Connection[Any]
    MakeClient = Callable[..., Prompts]
    Logged = Callable[[str], int]

SETUP = """
import os, sys, threading, time
from promptctl import Prompts
prompts = Prompts(flush_seconds=1000, spool=os.environ.get("SPOOL"))
def record_uses(number=20):
    prompt = prompts.get("greeter", default="x")
    for n in range(number):
        with prompt.use() as use:
            use.record(input_tokens=n)
"""
# In a forked child the first use starts the thread that sends uses.
SETUP_IN_CHILD = (
    SETUP
    + """
import signal
prompt = prompts.get("greeter")
child = os.fork()
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""
)
ENDINGS = {
    "end of the program": ("record_uses()", 0, ""),
    "sys.exit": ("record_uses(); sys.exit(3)", 3, ""),
    "an exception": ("record_uses(); raise ZeroDivisionError", 1, "ZeroDivisionError\n"),
    "an exception in a use": (
        "record_uses(19)\nwith prompts.get('greeter').use(): raise ZeroDivisionError", 1, "ZeroDivisionError\n",
    ),
    "a thread pool": (
        "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(4).map(record_uses, [5] * 4)", 0, "",
    ),
    "a thread that outlives the main thread": (
        "threading.Thread(target=lambda: (time.sleep(0.3), record_uses())).start()", 0, "",
    ),
    "a daemon thread": (
        "thread = threading.Thread(target=record_uses, daemon=True); thread.start(); thread.join()", 0, "",
    ),
    "asyncio": ("import asyncio\nasync def main(): record_uses()\nasyncio.run(main())", 0, ""),
    "an atexit handler": ("import atexit; record_uses(10); atexit.register(record_uses, 10)", 0, ""),
    "garbage collection": ("record_uses(); del prompts; import gc; gc.collect()", 0, ""),
    "close": ("record_uses(); prompts.close()", 0, ""),
    "Ctrl-C": (
        "record_uses(); import signal; signal.raise_signal(signal.SIGINT)", -signal.SIGINT, "KeyboardInterrupt\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS)
def test_waiting_uses_are_sent_at_interpreter_exit(
    sql: Connection, home: Path, env: dict[str, str], ending: str
) -> None:
    code, exit_code, err = ENDINGS[ending]
    result = run_program(SETUP + code, home, env)
    assert result.code == exit_code, result.err
    assert result.err.endswith(err)
    assert err or result.err == ""
    assert count(sql) == 20


@pytest.mark.parametrize("outage", ["refused", "silent"])
@pytest.mark.parametrize("spools", [True, False], ids=["with a spool", "without a spool"])
def test_during_an_outage_the_exit_keeps_its_time_limit_and_uses_are_spooled_or_logged(
    home: Path, env: dict[str, str], refusing_url: str, wire: Wire, database_name: str, outage: str, spools: bool
) -> None:
    wire.pause()
    env["DATABASE_URL"] = refusing_url if outage == "refused" else wire.url(database_name)
    if spools:
        env["SPOOL"] = str(home / "spool")
    # A short timeout, so that `get` does not wait long for the silent server.
    code = SETUP.replace("Prompts(", "Prompts(timeout_seconds=0.2, ") + "record_uses(); print(time.time(), flush=True)"
    result = run_program(code, home, env)
    took = time.time() - float(result.out)
    assert result.code == 0
    assert took < 8
    if spools:
        spooled = [json.loads(line) for file in (home / "spool").iterdir() for line in file.read_text().splitlines()]
        assert len(spooled) == 20
        assert "not recorded" not in result.err
    else:
        assert "promptctl: 20 uses were not recorded: the client was closed before they could be sent" in result.err


def test_a_connection_without_answers_does_not_delay_the_exit(
    home: Path, env: dict[str, str], wire: Wire, database_name: str
) -> None:
    env |= {"DATABASE_URL": wire.url(database_name), "SPOOL": str(home / "spool")}
    process = start_program(
        SETUP + "record_uses(); assert prompts.flush(); print('ready', flush=True); input(); record_uses()", home, env
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    wire.pause()
    began = time.monotonic()
    _, err = process.communicate("\n", timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert time.monotonic() - began < 9
    assert "not recorded" not in err
    assert sum(len(file.read_text().splitlines()) for file in (home / "spool").iterdir()) == 20


def test_four_clients_share_the_time_limit_at_interpreter_exit(
    home: Path, env: dict[str, str], wire: Wire, database_name: str
) -> None:
    wire.pause()
    env["DATABASE_URL"] = wire.url(database_name)
    code = """
import time
from promptctl import Prompts
for _ in range(4):
    with Prompts(timeout_seconds=0.1, flush_seconds=1000).get("greeter", default="x").use():
        pass
print(time.time(), flush=True)
"""
    result = run_program(code, home, env)
    assert result.code == 0
    assert time.time() - float(result.out) < 9
    assert result.err.count("1 uses were not recorded") == 4


def test_uses_sent_before_a_fatal_signal_are_recorded(sql: Connection, home: Path, env: dict[str, str]) -> None:
    code = (
        SETUP.replace("1000", "0.02")
        + "record_uses()\nwhile prompts.waiting_uses: time.sleep(0.01)\nprint('ready', flush=True)\ninput()"
    )
    process = start_program(code, home, env)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    _, err = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, err) == (-signal.SIGTERM, "")
    assert count(sql) == 20
    has_no_session = "select count(*) = 0 from pg_stat_activity where application_name = 'promptctl client'"
    until(lambda: sql.execute(has_no_session).fetchone() == (True,))


@pytest.mark.parametrize("handler", ["sys.exit(0)", "prompts.close(); os._exit(0)"])
def test_a_signal_handler_may_exit_or_close_at_any_point(
    sql: Connection, home: Path, env: dict[str, str], handler: str
) -> None:
    code = (
        SETUP.replace("1000", "0.001")
        + f"""
import signal
def end(*_):
    {handler}
signal.signal(signal.SIGTERM, end)
prompt = prompts.get("greeter")
print("ready", flush=True)
count = 0
while True:
    with prompt.use() as use:
        pass
    prompts.score(use.id, 0.5)
    assert prompts.waiting_uses >= 0
    count += 1
    if count % 50 == 0:
        prompts.flush(5)
        print(count, flush=True)
"""
    )
    for turn in range(8):
        process = start_program(code, home, env)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.02 * turn)
        process.terminate()
        out, err = process.communicate(timeout=WAIT_SECONDS)
        assert (process.returncode, err) == (0, "")
        assert count(sql) >= int(["0", *out.split()][-1])


def test_a_signal_handler_may_close_a_client_that_is_starting(sql: Connection, home: Path, env: dict[str, str]) -> None:
    code = (
        SETUP_IN_CHILD.replace("1000", "0.001")
        + """
def end(*_):
    prompts.close(); print(prompts.dropped_uses); sys.stdout.flush(); os._exit(0)
signal.signal(signal.SIGTERM, end)
start = threading.Thread.start
def interrupted(thread):
    start(thread)
    if thread.name == "promptctl-recorder":
        signal.raise_signal(signal.SIGTERM)
threading.Thread.start = interrupted
with prompt.use() as use:
    pass
"""
    )
    for turn in range(1, 6):
        result = run_program(code, home, env)
        assert (result.code, result.out, result.err) == (0, "0\n", "")
        assert count(sql) == turn


def test_an_exception_during_the_start_of_the_thread_does_not_prevent_a_later_start(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    code = (
        SETUP_IN_CHILD.replace("1000", "0.01")
        + """
start = threading.Thread.start
def interrupted(thread):
    threading.Thread.start = start
    raise KeyboardInterrupt
threading.Thread.start = interrupted
try:
    with prompt.use():
        pass
except KeyboardInterrupt:
    print("interrupted")
with prompt.use():
    pass
while prompts.waiting_uses:
    time.sleep(0.01)
"""
    )
    result = run_program(code, home, env)
    assert (result.code, result.out, result.err) == (0, "interrupted\n", "")
    assert count(sql) == 2


def test_a_signal_handler_may_flush_while_the_thread_starts_or_wakes(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    code = (
        SETUP_IN_CHILD.replace("1000", "0.01")
        + """
signal.signal(signal.SIGTERM, lambda *_: print(prompts.flush(20)))
recorder = prompts._recorder
def raises_after(function):
    def wrapper(*arguments):
        function(*arguments)
        if threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGTERM)
    return wrapper
start = threading.Thread.start
threading.Thread.start = raises_after(start)
with prompt.use():
    pass
threading.Thread.start = start
recorder._leave_idle = raises_after(recorder._leave_idle)
while not recorder._is_idle:
    time.sleep(0.01)
with prompt.use():
    pass
print([thread.name for thread in threading.enumerate()].count("promptctl-recorder"))
sys.stdout.flush()
os._exit(0)
"""
    )
    result = run_program(code, home, env)
    assert (result.code, result.out.split(), result.err) == (0, ["True", "True", "1"], "")
    assert count(sql) == 2


def test_the_end_of_the_with_block_closes_the_client(sql: Connection, database_url: str) -> None:
    before = threading.active_count()
    with Prompts(database_url, flush_seconds=1000) as prompts:
        with prompts.get("greeter").use():
            pass
        assert threading.active_count() == before + 2
        assert prompts.waiting_uses == 1
    assert threading.active_count() == before
    assert count(sql) == 1
    until(lambda: value(sql, "select count(*) from pg_stat_activity where application_name = 'promptctl client'") == 0)


def test_an_exception_in_the_with_block_closes_the_client(sql: Connection, database_url: str) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        Prompts(database_url, flush_seconds=1000) as prompts,
        prompts.get("greeter").use(),
    ):
        raise ZeroDivisionError
    assert uses(sql, "outcome") == [("ZeroDivisionError",)]


def test_a_client_can_be_closed_repeatedly_and_by_several_threads(make_client: MakeClient, sql: Connection) -> None:
    for turn in range(1, 6):
        prompts = make_client(flush_seconds=1000)
        with prompts.get("greeter").use():
            pass
        threads = [threading.Thread(target=prompts.close) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        prompts.close()
        assert (count(sql), prompts.waiting_uses, prompts.dropped_uses, prompts.is_connected) == (turn, 0, 0, False)


def test_a_closed_client_raises_closed(make_client: MakeClient) -> None:
    prompts = make_client()
    prompts.get("greeter")
    prompts.close()
    for call in (
        lambda: prompts.get("greeter"),
        lambda: prompts.get("greeter", unit="u"),
        lambda: prompts.get("greeter", default="a closed client does not use the default"),
        lambda: prompts.get_many(["greeter"]),
        lambda: prompts.preload(["greeter"]),
    ):
        with pytest.raises(Closed, match="this Prompts is closed") as failure:
            call()
        assert failure.value.code == "client_closed"


def test_a_use_that_ends_after_close_is_counted_and_logged_once(
    make_client: MakeClient, sql: Connection, logged: Logged
) -> None:
    prompts = make_client()
    prompt = prompts.get("greeter")
    with prompt.use() as late:
        prompts.close()
    for _ in range(50):
        with prompt.use():
            pass
    late.score(0.5)
    assert (prompts.dropped_uses, prompts.waiting_uses, count(sql)) == (51, 0, 0)
    assert logged("1 uses were not recorded: the client is closed") == 1
    assert logged("not recorded") == 1
    assert prompts.flush(0.1)


def test_uses_that_end_during_close_are_recorded_or_counted(make_client: MakeClient, sql: Connection) -> None:
    for _ in range(5):
        prompts = make_client(flush_seconds=0.001)
        prompt = prompts.get("greeter")
        before = count(sql)
        recorded = [0] * 4
        stop = threading.Event()

        def work(
            place: int, prompt: Any = prompt, recorded: list[int] = recorded, stop: threading.Event = stop
        ) -> None:
            while not stop.is_set():
                with prompt.use():
                    pass
                recorded[place] += 1
                stop.wait(0.0002)

        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        until(lambda recorded=recorded: min(recorded) > 50)
        prompts.close(20)
        stop.set()
        for thread in threads:
            thread.join()
        assert count(sql) - before + prompts.dropped_uses == sum(recorded)
        assert prompts.waiting_uses == 0


def test_close_leaves_no_thread_or_descriptor_open(make_client: MakeClient, sql: Connection, tmp_path: Path) -> None:
    def record_one_use() -> None:
        prompts = make_client(snapshot=tmp_path / "snapshot", spool=tmp_path / "spool")
        with prompts.get("greeter").use():
            pass
        prompts.close()

    def create_and_close() -> None:
        make_client().close()

    record_one_use()
    before = (len(os.listdir("/proc/self/fd")), threading.active_count())
    for _ in range(10):
        record_one_use()
        create_and_close()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert count(sql) == 11


def test_closing_an_unused_client_without_a_database_returns_at_once(
    make_client: MakeClient, refusing_url: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    make_client(refusing_url, spool=tmp_path).close()
    assert time.monotonic() - began < 1


def test_without_threads_each_get_reads_the_database_and_close_sends_uses(
    make_client: MakeClient, sql: Connection, monkeypatch: pytest.MonkeyPatch, logged: Logged, refusing_url: str
) -> None:
    prompts = make_client(flush_seconds=1000, max_age_seconds=5)
    unreachable = make_client(refusing_url)

    def fail_to_start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail_to_start)
        with prompts.get("greeter").use():
            pass
        # No thread follows the active version, so each call reads it.
        activate(sql, "greeter", 2)
        assert [prompts.get(name, unit="u").version for name in ("greeter", "greeter@1", "other")] == [2, 1, 1]
        with pytest.raises(PromptNotFound, match='no prompt "greter"'):
            prompts.get("greter")
        with pytest.raises(Unavailable, match=r"Connection refused \(can't start new thread\)"):
            unreachable.get("greeter")
        assert (prompts.waiting_uses, prompts.is_connected) == (1, False)
        prompts.close()
    assert (count(sql), prompts.waiting_uses, prompts.dropped_uses) == (1, 0, 0)
    assert logged("bug") == 0


# No thread can start with this stack size, as in Python 3.12.0 to 3.12.2 at interpreter exit.
REFUSE_THREADS = """
import atexit
def refuse():
    threading.stack_size(1 << 46)
    try:
        threading.Thread(target=print).start()
    except RuntimeError:
        os.write(1, b"refused")
"""


@pytest.mark.parametrize("is_started", [True, False], ids=["thread is running", "thread was not started"])
def test_without_threads_at_exit_the_exiting_thread_sends_uses(
    sql: Connection, home: Path, env: dict[str, str], is_started: bool
) -> None:
    code = SETUP + REFUSE_THREADS + "prompts.get('greeter')\n"
    # atexit calls the handler that is registered last first.
    code += "record_uses()\n" if is_started else "atexit.register(record_uses)\n"
    code += "atexit.register(refuse)"
    result = run_program(code, home, env)
    assert (result.code, result.out, result.err) == (0, "refused", "")
    assert count(sql) == 20
