"""Many threads, and asynchronous code: calls do not wait for the network, and each use is recorded once."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import Prompts
from promptctl.client.load_requests import Request
from tests.client.support import WAIT_SECONDS, activate, rows, until
from tests.schema.support import value

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.client.wire import Wire

    Connection = psycopg.Connection[Any]
    MakeClient = Callable[..., Prompts]
    Logged = Callable[[str], int]


def test_sixteen_threads_record_each_use_once_for_a_version_that_was_active(
    make_client: MakeClient, sql: Connection, logged: Logged
) -> None:
    prompts = make_client(poll_seconds=3600)
    prompts.preload(["greeter", "other"])
    stop = threading.Event()
    recorded: list[list[tuple[str, str, int | None, int | None]]] = [[] for _ in range(16)]
    failures: list[BaseException] = []

    def work(own_uses: list[tuple[str, str, int | None, int | None]]) -> None:
        draw = random.Random()
        try:
            while not stop.is_set():
                prompt = prompts.get(draw.choice(["greeter", "other"]), unit=draw.choice([None, "u", "v"]))
                with prompt.use() as use:
                    use.record(input_tokens=1, output_tokens=2, model="m")
                    if draw.random() < 0.1:
                        use.score(0.5)
                own_uses.append((use.id, prompt.name, prompt.version, prompt.epoch))
                stop.wait(0.001)
        except BaseException as failure:  # noqa: BLE001 - the test reports it
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(own_uses,)) for own_uses in recorded]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 2
    turn = 0
    while time.monotonic() < deadline:
        turn += 1
        activate(sql, "greeter", 1 + turn % 2)
        if turn % 3 == 0:
            sql.execute("select promptctl.split('other', 5000, 2)")
        elif turn % 3 == 1:
            sql.execute("select promptctl.end_split('other')")
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert prompts.flush(30)
    expected = sorted(use for own_uses in recorded for use in own_uses)
    assert rows(sql, "select id::text, name, version, epoch from promptctl.uses order by id") == expected
    assert len(expected) > 1000
    assert len({epoch for _, name, _, epoch in expected if name == "greeter"}) > 5
    # Each use is recorded for a version that its epoch served.
    uses_of_inactive_versions = """
        select count(*) from promptctl.uses u join promptctl.allocations a using (name, epoch)
        where u.version <> a.version and u.version is distinct from a.candidate_version
    """
    assert value(sql, uses_of_inactive_versions) == 0
    # The epoch had begun, and had not ended for longer than a notification takes on a busy machine.
    uses_at_wrong_times = """
        select count(*) from promptctl.uses u join promptctl.allocations a using (name, epoch)
        left join promptctl.allocations n on n.name = a.name and n.epoch = a.epoch + 1
        where u.recorded_at < a.changed_at - interval '100 ms' or u.recorded_at > n.changed_at + interval '2 s'
    """
    assert value(sql, uses_at_wrong_times) == 0
    assert (prompts.dropped_uses, logged("bug"), logged("using the versions confirmed")) == (0, 0, 0)


async def longest_stall(prompts: Prompts, seconds: float, calls: Callable[[], object]) -> float:
    """Repeat the calls in an event loop, and return the longest time for which the loop was blocked."""
    longest = 0.0
    deadline = time.monotonic() + seconds

    async def tick() -> None:
        nonlocal longest
        before = time.perf_counter()
        while time.monotonic() < deadline:
            await asyncio.sleep(0.001)
            now = time.perf_counter()
            longest = max(longest, now - before)
            before = now

    async def work() -> None:
        while time.monotonic() < deadline:
            calls()
            await asyncio.sleep(0.0005)

    await asyncio.gather(tick(), work(), work())
    return longest


def test_an_event_loop_is_not_blocked_while_the_database_hangs(
    make_client: MakeClient, sql: Connection, wire: Wire, database_name: str
) -> None:
    # With these settings a call that waits for the network would wait for seconds.
    prompts = make_client(wire.url(database_name), poll_seconds=0.05, flush_seconds=0.02, max_age_seconds=1000)
    other = make_client(wire.url(database_name), poll_seconds=0.05, flush_seconds=0.02)
    for client in (prompts, other):
        client.preload(["greeter", "other", "greeter@2"])
        with client.get("greeter").use():
            pass
        assert client.flush()
    wire.pause()
    n = 0

    def calls() -> None:
        nonlocal n
        n += 1
        for client in (prompts, other):
            for prompt in (
                client.get("greeter"), client.get("other", unit=n), client.get("greeter", attributes={"a": 1}),
                client.get("greeter@2"), *client.get_many(["greeter", "other"]).values(),
            ):  # fmt: skip
                prompt.render({"user.name": "Ada"})
            if n % 10 == 0:
                with client.get("greeter").use() as use:
                    use.record(input_tokens=1)
                use.score(0.5)

    longest = asyncio.run(longest_stall(prompts, 2.5, calls))
    assert prompts.age_seconds > 2
    assert n > 50
    # On a busy machine the loop stalls a little; a wait for the network takes seconds.
    assert longest < 0.5
    wire.resume()
    assert prompts.flush(60)
    assert other.flush(60)
    assert value(sql, "select count(*) from promptctl.uses") == 2 * (n // 10) + 2
    assert prompts.dropped_uses == other.dropped_uses == 0


def test_asynchronous_tasks_record_their_own_uses(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client()

    async def use_prompt(n: int) -> None:
        with prompts.get("greeter", unit=n).use() as use:
            await asyncio.sleep(0.01)
            use.record(input_tokens=n)

    async def main() -> None:
        task = asyncio.create_task(use_prompt(50))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(*(use_prompt(n) for n in range(50)), task, return_exceptions=True)

    asyncio.run(main())
    assert prompts.flush()
    assert rows(sql, "select input_tokens, outcome from promptctl.uses order by input_tokens nulls last") == [
        *((n, "ok") for n in range(50)), (None, "CancelledError")
    ]  # fmt: skip


def test_get_during_close_returns_a_prompt_or_raises_closed(make_client: MakeClient) -> None:
    from promptctl import errors

    for _ in range(10):
        prompts = make_client(poll_seconds=0.005)
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
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = make_client()
    start = threading.Thread.start
    answers: list[str] = []
    other_thread = threading.Thread(target=lambda: answers.append(str(prompts.get("greeter"))))

    def fail_for_the_follower(thread: threading.Thread) -> None:
        if thread.name != "promptctl-follower":
            start(thread)
            return
        monkeypatch.setattr(threading.Thread, "start", start)
        requests = prompts._follower._refresher.requests  # pyright: ignore[reportPrivateUsage]
        other_thread.start()
        other_requests.append(Request(["other"]))
        requests.add(other_requests[0])
        raise RuntimeError("can't start new thread")

    other_requests: list[Request] = []
    monkeypatch.setattr(threading.Thread, "start", fail_for_the_follower)
    assert str(prompts.get("greeter@2")) == "greeter@2"
    other_thread.join(WAIT_SECONDS)
    assert answers == ["greeter@1"]
    # The other requests in the list are answered, too.
    assert other_requests[0].wait(WAIT_SECONDS)


def test_a_caller_reads_the_database_itself_if_the_thread_gets_no_pipe(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = make_client()

    def fail() -> tuple[int, int]:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pipe", fail)
        assert str(prompts.get("greeter")) == "greeter@1"
        assert not prompts.is_connected
    assert str(prompts.get("greeter")) == "greeter@1"
    until(lambda: prompts.is_connected)
