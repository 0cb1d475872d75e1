"""How a client ends: with its block, with the interpreter, by a signal. Uses are sent, spooled or logged."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import Closed, PromptNotFound, Prompts, Unavailable
from tests.client.support import WAIT_SECONDS, activate, count, program, started, until, uses
from tests.schema.support import value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.client.wire import Wire

    Connection = psycopg.Connection[Any]
    Serve = Callable[..., Prompts]
    Logged = Callable[[str], int]

BEGIN = """
import os, sys, threading, time
from promptctl import Prompts
prompts = Prompts(flush_seconds=1000, spool=os.environ.get("SPOOL"))
def book(number=20):
    prompt = prompts.get("greeter", default="x")
    for n in range(number):
        with prompt.use() as use:
            use.record(input_tokens=n)
"""
# In a child it is the first use that starts the thread which sends.
IN_CHILD = (
    BEGIN
    + """
import signal
prompt = prompts.get("greeter")
child = os.fork()
if child:
    sys.exit(os.waitpid(child, 0)[1])
"""
)
ENDINGS = {
    "the end of the file": ("book()", 0, ""),
    "sys.exit": ("book(); sys.exit(3)", 3, ""),
    "an exception": ("book(); raise ZeroDivisionError", 1, "ZeroDivisionError\n"),
    "an exception in a use": (
        "book(19)\nwith prompts.get('greeter').use(): raise ZeroDivisionError", 1, "ZeroDivisionError\n",
    ),
    "a thread pool": (
        "from concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor(4).map(book, [5] * 4)", 0, "",
    ),
    "a thread that goes on": ("threading.Thread(target=lambda: (time.sleep(0.3), book())).start()", 0, ""),
    "a daemon thread": ("thread = threading.Thread(target=book, daemon=True); thread.start(); thread.join()", 0, ""),
    "asyncio": ("import asyncio\nasync def main(): book()\nasyncio.run(main())", 0, ""),
    "what is registered with atexit": ("import atexit; book(10); atexit.register(book, 10)", 0, ""),
    "let go of": ("book(); del prompts; import gc; gc.collect()", 0, ""),
    "closed": ("book(); prompts.close()", 0, ""),
    "Ctrl-C": ("book(); import signal; signal.raise_signal(signal.SIGINT)", -signal.SIGINT, "KeyboardInterrupt\n"),
}  # fmt: skip


@pytest.mark.parametrize("way", ENDINGS)
def test_waiting_uses_are_sent_at_interpreter_exit(sql: Connection, home: Path, env: dict[str, str], way: str) -> None:
    code, exit_code, err = ENDINGS[way]
    ended = program(BEGIN + code, home, env)
    assert ended.code == exit_code, ended.err
    assert ended.err.endswith(err)
    assert err or ended.err == ""
    assert count(sql) == 20


@pytest.mark.parametrize("down", ["refused", "silent"])
@pytest.mark.parametrize("spools", [True, False], ids=["with a spool", "without"])
def test_during_an_outage_the_exit_keeps_its_time_limit_and_uses_are_spooled_or_logged(
    home: Path, env: dict[str, str], nobody: str, wire: Wire, database_name: str, down: str, spools: bool
) -> None:
    wire.fall_silent()
    env["DATABASE_URL"] = nobody if down == "refused" else wire.url(database_name)
    if spools:
        env["SPOOL"] = str(home / "spool")
    # Of the silent one the first answer is not waited for.
    code = BEGIN.replace("Prompts(", "Prompts(timeout_seconds=0.2, ") + "book(); print(time.time(), flush=True)"
    ended = program(code, home, env)
    took = time.time() - float(ended.out)
    assert ended.code == 0
    assert took < 8
    if spools:
        kept = [json.loads(line) for file in (home / "spool").iterdir() for line in file.read_text().splitlines()]
        assert len(kept) == 20
        assert "not recorded" not in ended.err
    else:
        assert "promptctl: 20 uses were not recorded: the client was closed before they could be sent" in ended.err


def test_a_connection_without_answers_does_not_delay_the_exit(
    home: Path, env: dict[str, str], wire: Wire, database_name: str
) -> None:
    env |= {"DATABASE_URL": wire.url(database_name), "SPOOL": str(home / "spool")}
    process = started(BEGIN + "book(); assert prompts.flush(); print('ready', flush=True); input(); book()", home, env)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    wire.fall_silent()
    began = time.monotonic()
    _, err = process.communicate("\n", timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert time.monotonic() - began < 9
    assert "not recorded" not in err
    assert sum(len(file.read_text().splitlines()) for file in (home / "spool").iterdir()) == 20


def test_several_clients_end_together(home: Path, env: dict[str, str], wire: Wire, database_name: str) -> None:
    wire.fall_silent()
    env["DATABASE_URL"] = wire.url(database_name)
    code = """
import time
from promptctl import Prompts
for _ in range(4):
    with Prompts(timeout_seconds=0.1, flush_seconds=1000).get("greeter", default="x").use():
        pass
print(time.time(), flush=True)
"""
    ended = program(code, home, env)
    assert ended.code == 0
    assert time.time() - float(ended.out) < 9
    assert ended.err.count("1 uses were not recorded") == 4


def test_uses_sent_before_a_fatal_signal_are_recorded(sql: Connection, home: Path, env: dict[str, str]) -> None:
    code = (
        BEGIN.replace("1000", "0.02")
        + "book()\nwhile prompts.waiting_uses: time.sleep(0.01)\nprint('ready', flush=True)\ninput()"
    )
    process = started(code, home, env)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    _, err = process.communicate(timeout=WAIT_SECONDS)
    assert (process.returncode, err) == (-signal.SIGTERM, "")
    assert count(sql) == 20
    ended = "select count(*) = 0 from pg_stat_activity where application_name = 'promptctl client'"
    until(lambda: sql.execute(ended).fetchone() == (True,))


@pytest.mark.parametrize("handler", ["sys.exit(0)", "prompts.close(); os._exit(0)"])
def test_a_signal_handler_may_exit_or_close_at_any_point(
    sql: Connection, home: Path, env: dict[str, str], handler: str
) -> None:
    code = (
        BEGIN.replace("1000", "0.001")
        + f"""
import signal
def end(*_):
    {handler}
signal.signal(signal.SIGTERM, end)
prompt = prompts.get("greeter")
print("ready", flush=True)
done = 0
while True:
    with prompt.use() as use:
        pass
    prompts.score(use.id, 0.5)
    assert prompts.waiting_uses >= 0
    done += 1
    if done % 50 == 0:
        prompts.flush(5)
        print(done, flush=True)
"""
    )
    for turn in range(8):
        process = started(code, home, env)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.02 * turn)
        process.terminate()
        out, err = process.communicate(timeout=WAIT_SECONDS)
        assert (process.returncode, err) == (0, "")
        assert count(sql) >= int(["0", *out.split()][-1])


def test_a_signal_handler_may_close_a_client_that_is_starting(sql: Connection, home: Path, env: dict[str, str]) -> None:
    code = (
        IN_CHILD.replace("1000", "0.001")
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
        ended = program(code, home, env)
        assert (ended.code, ended.out, ended.err) == (0, "0\n", "")
        assert count(sql) == turn


def test_an_exception_during_the_start_of_the_thread_does_not_prevent_a_later_start(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    code = (
        IN_CHILD.replace("1000", "0.01")
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
    ended = program(code, home, env)
    assert (ended.code, ended.out, ended.err) == (0, "interrupted\n", "")
    assert count(sql) == 2


def test_a_signal_handler_may_flush_while_the_thread_starts_or_wakes(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    code = (
        IN_CHILD.replace("1000", "0.01")
        + """
signal.signal(signal.SIGTERM, lambda *_: print(prompts.flush(20)))
recorder = prompts._recorder
def raises_after(function):
    def called(*given):
        function(*given)
        if threading.current_thread() is threading.main_thread():
            signal.raise_signal(signal.SIGTERM)
    return called
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
    ended = program(code, home, env)
    assert (ended.code, ended.out.split(), ended.err) == (0, ["True", "True", "1"], "")
    assert count(sql) == 2


def test_a_client_is_closed_by_its_block(sql: Connection, database_url: str) -> None:
    before = threading.active_count()
    with Prompts(database_url, flush_seconds=1000) as prompts:
        with prompts.get("greeter").use():
            pass
        assert threading.active_count() == before + 2
        assert prompts.waiting_uses == 1
    assert threading.active_count() == before
    assert count(sql) == 1
    until(lambda: value(sql, "select count(*) from pg_stat_activity where application_name = 'promptctl client'") == 0)


def test_an_exception_in_the_block_closes_it_too(sql: Connection, database_url: str) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        Prompts(database_url, flush_seconds=1000) as prompts,
        prompts.get("greeter").use(),
    ):
        raise ZeroDivisionError
    assert uses(sql, "outcome") == [("ZeroDivisionError",)]


def test_it_can_be_closed_twice_and_by_several_at_once(serve: Serve, sql: Connection) -> None:
    for turn in range(1, 6):
        prompts = serve(flush_seconds=1000)
        with prompts.get("greeter").use():
            pass
        threads = [threading.Thread(target=prompts.close) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        prompts.close()
        assert (count(sql), prompts.waiting_uses, prompts.dropped_uses, prompts.is_connected) == (turn, 0, 0, False)


def test_a_closed_client_raises_closed(serve: Serve) -> None:
    prompts = serve()
    prompts.get("greeter")
    prompts.close()
    for call in (
        lambda: prompts.get("greeter"),
        lambda: prompts.get("greeter", unit="u"),
        lambda: prompts.get("greeter", default="not served: it is a mistake"),
        lambda: prompts.get_many(["greeter"]),
        lambda: prompts.preload(["greeter"]),
    ):
        with pytest.raises(Closed, match="this Prompts is closed") as failure:
            call()
        assert failure.value.code == "client_closed"


def test_a_use_that_ends_after_close_is_counted_and_logged_once(serve: Serve, sql: Connection, logged: Logged) -> None:
    prompts = serve()
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


def test_uses_that_end_during_close_are_recorded_or_counted(serve: Serve, sql: Connection) -> None:
    for _ in range(5):
        prompts = serve(flush_seconds=0.001)
        prompt = prompts.get("greeter")
        before = count(sql)
        booked = [0] * 4
        ends = threading.Event()

        def work(place: int, prompt: Any = prompt, booked: list[int] = booked, ends: threading.Event = ends) -> None:
            while not ends.is_set():
                with prompt.use():
                    pass
                booked[place] += 1
                ends.wait(0.0002)

        threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
        for thread in threads:
            thread.start()
        until(lambda booked=booked: min(booked) > 50)
        prompts.close(20)
        ends.set()
        for thread in threads:
            thread.join()
        assert count(sql) - before + prompts.dropped_uses == sum(booked)
        assert prompts.waiting_uses == 0


def test_it_leaves_no_thread_no_connection_and_no_descriptor_behind(
    serve: Serve, sql: Connection, tmp_path: Path
) -> None:
    def use_one() -> None:
        prompts = serve(snapshot=tmp_path / "snapshot", spool=tmp_path / "spool")
        with prompts.get("greeter").use():
            pass
        prompts.close()

    def not_even_used() -> None:
        serve().close()

    use_one()
    before = (len(os.listdir("/proc/self/fd")), threading.active_count())
    for _ in range(10):
        use_one()
        not_even_used()
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert count(sql) == 11


def test_a_client_that_records_nothing_does_not_read_the_spool_at_its_end(
    serve: Serve, nobody: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    serve(nobody, spool=tmp_path).close()
    assert time.monotonic() - began < 1


def test_without_threads_each_get_reads_the_database_and_close_sends_uses(
    serve: Serve, sql: Connection, monkeypatch: pytest.MonkeyPatch, logged: Logged, nobody: str
) -> None:
    prompts = serve(flush_seconds=1000, max_age_seconds=5)
    away = serve(nobody)

    def no_more(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_more)
        with prompts.get("greeter").use():
            pass
        # Nothing follows what was read, so it is read again.
        activate(sql, "greeter", 2)
        assert [prompts.get(name, unit="u").version for name in ("greeter", "greeter@1", "other")] == [2, 1, 1]
        with pytest.raises(PromptNotFound, match='no prompt "greter"'):
            prompts.get("greter")
        with pytest.raises(Unavailable, match=r"Connection refused \(can't start new thread\)"):
            away.get("greeter")
        assert (prompts.waiting_uses, prompts.is_connected) == (1, False)
        prompts.close()
    assert (count(sql), prompts.waiting_uses, prompts.dropped_uses) == (1, 0, 0)
    assert logged("bug") == 0


# No thread can be started with such a stack: as in Python 3.12.0 to 3.12.2 while the interpreter ends.
REFUSE = """
import atexit
def refuse():
    threading.stack_size(1 << 46)
    try:
        threading.Thread(target=print).start()
    except RuntimeError:
        os.write(1, b"refused")
"""


@pytest.mark.parametrize("starts", [True, False], ids=["the thread runs", "it was not started"])
def test_without_threads_at_exit_the_exiting_thread_sends_uses(
    sql: Connection, home: Path, env: dict[str, str], starts: bool
) -> None:
    code = BEGIN + REFUSE + "prompts.get('greeter')\n"
    # What is registered last is called first.
    code += "book()\natexit.register(refuse)" if starts else "atexit.register(book)\natexit.register(refuse)"
    ended = program(code, home, env)
    assert (ended.code, ended.out, ended.err) == (0, "refused", "")
    assert count(sql) == 20
