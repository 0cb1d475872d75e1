"""Many threads, and asynchronous code: nobody waits for the network, and every use is counted once where it belongs."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import Prompts
from promptctl.client.load_requests import Request
from tests.client.support import WAIT_SECONDS, activate, rows
from tests.schema.support import value

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.client.wire import Wire

    Connection = psycopg.Connection[Any]
    Serve = Callable[..., Prompts]
    Logged = Callable[[str], int]


def test_sixteen_threads_record_each_use_once_for_a_version_that_was_active(
    serve: Serve, sql: Connection, logged: Logged
) -> None:
    prompts = serve(poll_seconds=3600)
    prompts.preload(["greeter", "other"])
    ends = threading.Event()
    booked: list[list[tuple[str, str, int | None, int | None]]] = [[] for _ in range(16)]
    failures: list[BaseException] = []

    def work(mine: list[tuple[str, str, int | None, int | None]]) -> None:
        draw = random.Random()
        try:
            while not ends.is_set():
                prompt = prompts.get(draw.choice(["greeter", "other"]), unit=draw.choice([None, "u", "v"]))
                with prompt.use() as use:
                    use.record(input_tokens=1, output_tokens=2, model="m")
                    if draw.random() < 0.1:
                        use.score(0.5)
                mine.append((use.id, prompt.name, prompt.version, prompt.epoch))
                ends.wait(0.001)
        except BaseException as failure:  # noqa: BLE001 - the test reports it
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(mine,)) for mine in booked]
    for thread in threads:
        thread.start()
    until_moment = time.monotonic() + 2
    turn = 0
    while time.monotonic() < until_moment:
        turn += 1
        activate(sql, "greeter", 1 + turn % 2)
        if turn % 3 == 0:
            sql.execute("select promptctl.split('other', 5000, 2)")
        elif turn % 3 == 1:
            sql.execute("select promptctl.end_split('other')")
    ends.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert prompts.flush(30)
    expected = sorted(use for mine in booked for use in mine)
    assert rows(sql, "select id::text, name, version, epoch from promptctl.uses order by id") == expected
    assert len(expected) > 1000
    assert len({epoch for _, name, _, epoch in expected if name == "greeter"}) > 5
    # Each use is recorded for a version that its epoch served.
    wrong = """
        select count(*) from promptctl.uses u join promptctl.allocations a using (name, epoch)
        where u.version <> a.version and u.version is distinct from a.candidate_version
    """
    assert value(sql, wrong) == 0
    # And at its time: the epoch had begun, and had not ended for longer than a notification takes on a busy machine.
    late = """
        select count(*) from promptctl.uses u join promptctl.allocations a using (name, epoch)
        left join promptctl.allocations n on n.name = a.name and n.epoch = a.epoch + 1
        where u.recorded_at < a.changed_at - interval '100 ms' or u.recorded_at > n.changed_at + interval '2 s'
    """
    assert value(sql, late) == 0
    assert (prompts.dropped_uses, logged("bug"), logged("using the versions confirmed")) == (0, 0, 0)


async def stalls(prompts: Prompts, seconds: float, calls: Callable[[], object]) -> float:
    """Call it over and over beside a clock that ticks, and return the longest time that the loop stood still."""
    longest = 0.0
    ends = time.monotonic() + seconds

    async def tick() -> None:
        nonlocal longest
        before = time.perf_counter()
        while time.monotonic() < ends:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest = max(longest, now - before)
            before = now

    async def work() -> None:
        while time.monotonic() < ends:
            calls()
            await asyncio.sleep(0.0005)

    await asyncio.gather(tick(), work(), work())
    return longest


def test_an_event_loop_is_not_blocked_while_the_database_hangs(
    serve: Serve, sql: Connection, wire: Wire, database_name: str
) -> None:
    # Twice the timeout of a first connection and all of an answer's would be noticed.
    prompts = serve(wire.url(database_name), poll_seconds=0.05, flush_seconds=0.02, max_age_seconds=1000)
    also = serve(wire.url(database_name), poll_seconds=0.05, flush_seconds=0.02)
    for each in (prompts, also):
        each.preload(["greeter", "other", "greeter@2"])
        with each.get("greeter").use():
            pass
        assert each.flush()
    wire.fall_silent()
    n = 0

    def calls() -> None:
        nonlocal n
        n += 1
        for each in (prompts, also):
            for prompt in (
                each.get("greeter"), each.get("other", unit=n), each.get("greeter", attributes={"a": 1}),
                each.get("greeter@2"), *each.get_many(["greeter", "other"]).values(),
            ):  # fmt: skip
                prompt.render({"user.name": "Ada"})
            if n % 10 == 0:
                with each.get("greeter").use() as use:
                    use.record(input_tokens=1)
                use.score(0.5)

    longest = asyncio.run(stalls(prompts, 2.5, calls))
    assert prompts.age_seconds > 2
    assert n > 50
    # Others compute on this machine; a wait for the network would be of seconds.
    assert longest < 0.5
    wire.speak()
    assert prompts.flush(60)
    assert also.flush(60)
    assert value(sql, "select count(*) from promptctl.uses") == 2 * (n // 10) + 2
    assert prompts.dropped_uses == also.dropped_uses == 0


def test_asynchronous_tasks_book_their_own_uses(serve: Serve, sql: Connection) -> None:
    prompts = serve()

    async def ask(n: int) -> None:
        with prompts.get("greeter", unit=n).use() as use:
            await asyncio.sleep(0.01)
            use.record(input_tokens=n)

    async def main() -> None:
        task = asyncio.create_task(ask(50))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(*(ask(n) for n in range(50)), task, return_exceptions=True)

    asyncio.run(main())
    assert prompts.flush()
    assert rows(sql, "select input_tokens, outcome from promptctl.uses order by input_tokens nulls last") == [
        *((n, "ok") for n in range(50)), (None, "CancelledError")
    ]  # fmt: skip


def test_readers_and_a_closing_thread_do_not_interfere(serve: Serve) -> None:
    from promptctl import errors

    for _ in range(10):
        prompts = serve(poll_seconds=0.005)
        prompts.get("greeter")
        failures: list[BaseException] = []

        def read(prompts: Prompts = prompts, failures: list[BaseException] = failures) -> None:
            n = 0
            try:
                while True:
                    n += 1
                    prompts.get("greeter", unit=n)
                    prompts.get(f"absent-{n % 7}", default="x")
            except errors.Failed as closed:
                if closed.code != "client_closed":
                    failures.append(closed)
            except BaseException as failure:  # noqa: BLE001 - the test reports it
                failures.append(failure)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        prompts.close()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        assert failures == []


def test_a_failed_thread_start_does_not_discard_requests_of_other_threads(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = serve()
    start = threading.Thread.start
    answered: list[str] = []
    claude_env = threading.Thread(target=lambda: answered.append(str(prompts.get("greeter"))))

    def none_left(thread: threading.Thread) -> None:
        if thread.name != "promptctl-follower":
            start(thread)
            return
        monkeypatch.setattr(threading.Thread, "start", start)
        requests = prompts._follower._refresher.requests  # pyright: ignore[reportPrivateUsage]
        claude_env.start()
        others.append(Request(["other"]))
        requests.add(others[0])
        raise RuntimeError("can't start new thread")

    others: list[Request] = []
    monkeypatch.setattr(threading.Thread, "start", none_left)
    assert str(prompts.get("greeter@2")) == "greeter@2"
    claude_env.join(WAIT_SECONDS)
    assert answered == ["greeter@1"]
    # What was in the list beside the one that failed is answered, too.
    assert others[0].wait(WAIT_SECONDS)
