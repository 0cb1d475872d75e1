"""A use is timed and recorded once, with the counts of its reply. Each lost use is counted and logged."""

from __future__ import annotations

import contextlib
import datetime
import json
import time
import types
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import Prompts, errors
from promptctl.client import backlog as client_backlog
from promptctl.client import recorder
from promptctl.client.use import Use
from promptctl.rules.tokens import MOST_TOKENS
from promptctl.store import uses as store
from tests.client.support import application_role, count, rows, run_program, until, uses
from tests.conftest import SERVERS
from tests.schema.support import run, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.claude_api import ClaudeServer
    from tests.client.wire import Wire
    from tests.servers import Server

    Connection = psycopg.Connection[Any]
    MakeClient = Callable[..., Prompts]
    Logged = Callable[[str], int]

ALL_SERVERS = pytest.mark.parametrize("templated", list(SERVERS), indirect=True)
TOKENS = "model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, outcome"


@pytest.fixture
def send_request(claude: ClaudeServer) -> Iterator[Callable[..., Any]]:
    """Return a function that sends a request with Claude's SDK to a server that implements its API."""
    import anthropic

    clients: list[anthropic.Anthropic] = []

    def call(scenario: str = "ok", *, streams: bool = False, use: Use | None = None, **parameters: object) -> Any:
        url = claude.url(scenario, **parameters)
        client = anthropic.Anthropic(api_key=claude.KEY, base_url=url, max_retries=0, timeout=30)
        clients.append(client)
        request: Any = {
            "model": "claude-sonnet-5-5", "max_tokens": 100, "system": "Be kind.",
            "messages": [{"role": "user", "content": "Hello"}],
        }  # fmt: skip
        if not streams:
            messages: Any = client.messages
            return messages.create(**request)
        with client.messages.stream(**request) as stream:
            for _ in stream.text_stream:
                assert use is not None
                use.first_token()
            return stream.get_final_message()

    yield call
    for client in clients:
        client.close()


def test_a_use_records_its_response_time_and_time_to_first_token(prompts: Prompts, sql: Connection) -> None:
    with prompts.get("greeter").use() as use:
        time.sleep(0.05)
        use.first_token()
        time.sleep(0.05)
        use.first_token()
    assert prompts.flush()
    [(name, version, epoch, bucket, outcome, first, whole, use_id)] = uses(
        sql, "name, version, epoch, bucket, outcome, first_token_ms, response_ms, id::text"
    )
    assert (name, version, epoch, bucket, outcome, use_id) == ("greeter", 1, 1, None, "ok", use.id)
    assert 50 <= first <= whole - 50 < 10_000
    assert uuid.UUID(use.id).version == 7
    assert uuid.UUID(use.id).variant == uuid.RFC_4122


class ApplicationError(Exception):
    """An exception of the application."""


@pytest.mark.parametrize(
    "kind", [ValueError, ApplicationError, KeyboardInterrupt, SystemExit, GeneratorExit, TimeoutError]
)
def test_an_exception_is_recorded_by_name_and_raised_again(
    prompts: Prompts, sql: Connection, kind: type[BaseException]
) -> None:
    with pytest.raises(kind), prompts.get("greeter").use():
        raise kind
    assert prompts.flush()
    assert uses(sql, "outcome") == [(kind.__name__,)]


def test_failed_records_the_name_of_an_error(prompts: Prompts, sql: Connection) -> None:
    for name in ("refused", "", "ok", "a\0b\ud800" + "c" * 500):
        with prompts.get("greeter").use() as use:
            use.failed(name)
    with contextlib.suppress(ApplicationError), prompts.get("greeter").use() as use:
        use.failed("set before the exception")
        raise ApplicationError
    assert prompts.flush()
    expected = ["refused", "failed", "failed", "ab?" + "c" * 197, "set before the exception"]
    assert sorted(row[0] for row in uses(sql, "outcome")) == sorted(expected)


@ALL_SERVERS
def test_a_reply_of_the_sdk_is_recorded_completely(
    prompts: Prompts, sql: Connection, send_request: Callable[..., Any]
) -> None:
    with prompts.get("greeter").use() as use:
        reply = send_request(input_tokens=20, cache_read_tokens=100, cache_write_tokens=7, output_tokens=80)
        use.record(reply)
    assert prompts.flush()
    [(*fields, request_id)] = uses(sql, f"{TOKENS}, request_id")
    assert fields == ["claude-sonnet-5-5", 127, 80, 100, 7, "ok"]
    assert request_id == reply._request_id
    assert request_id.startswith("req_")


def test_a_streamed_reply_is_recorded_with_its_first_token(
    prompts: Prompts, sql: Connection, send_request: Callable[..., Any]
) -> None:
    with prompts.get("greeter").use() as use:
        use.record(send_request(streams=True, use=use, input_tokens=20, output_tokens=8, delay_ms=50))
    assert prompts.flush()
    [(tokens_in, tokens_out, first, whole)] = uses(sql, "input_tokens, output_tokens, first_token_ms, response_ms")
    assert (tokens_in, tokens_out) == (20, 8)
    assert 50 <= first <= whole


def test_exceptions_of_the_sdk_are_recorded(
    prompts: Prompts, sql: Connection, send_request: Callable[..., Any]
) -> None:
    import anthropic

    with pytest.raises(anthropic.RateLimitError), prompts.get("greeter").use() as use:
        use.record(send_request("status", status=429))
    assert prompts.flush()
    assert uses(sql, TOKENS) == [(None, None, None, None, None, "RateLimitError")]


def reply(model: object = "m", request_id: object = "r", **usage: object) -> Any:
    return types.SimpleNamespace(model=model, _request_id=request_id, usage=types.SimpleNamespace(**usage))


class Unreadable:
    """A reply with an invalid model and with one count in its usage."""

    class Model:
        def __str__(self) -> str:
            raise ZeroDivisionError("model")

    class Usage:
        input_tokens = 1

        def __getattr__(self, name: str) -> int:
            raise ZeroDivisionError(name)

    model = Model()

    usage = Usage()


INVALID_REPLIES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "too large": (reply(input_tokens=10**30, output_tokens=3), ("m", None, 3, None, None)),
    "boolean": (reply(input_tokens=True, output_tokens=3), ("m", None, 3, None, None)),
    "negative": (reply(input_tokens=-1, output_tokens=3), ("m", None, 3, None, None)),
    "nan": (reply(input_tokens=float("nan"), output_tokens=2), ("m", None, 2, None, None)),
    "invalid cache counts": (
        reply(input_tokens=7, output_tokens=2, cache_read_input_tokens=-1, cache_creation_input_tokens="x"),
        ("m", 7, 2, None, None),
    ),
    "cache count without input count": (reply(output_tokens=2, cache_read_input_tokens=9), ("m", None, 2, None, None)),
    "too large in total": (
        reply(input_tokens=MOST_TOKENS, cache_read_input_tokens=MOST_TOKENS), ("m", None, None, None, None)
    ),
    "a model that is not a string": (
        reply(model=types.SimpleNamespace(a=1), output_tokens=3), ("namespace(a=1)", None, 3, None, None)
    ),
    "a long model with a nul": (
        reply(model="m\0" + "x" * 500, input_tokens=7), ("m" + "x" * 199, 7, None, None, None)
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID_REPLIES)
def test_invalid_counts_in_a_reply_are_ignored(prompts: Prompts, sql: Connection, case: str) -> None:
    invalid_reply, expected = INVALID_REPLIES[case]
    with prompts.get("greeter").use() as use:
        use.record(invalid_reply)
    assert prompts.flush()
    assert uses(sql, TOKENS) == [(*expected, "ok")]
    assert prompts.dropped_uses == 0


def test_an_unreadable_reply_drops_only_its_own_use(prompts: Prompts, sql: Connection, logged: Logged) -> None:
    for one in (reply(input_tokens=1), Unreadable(), reply(input_tokens=2)):
        with prompts.get("greeter").use() as use:
            use.record(one)
    assert prompts.flush()
    assert uses(sql, "input_tokens") == [(1,), (2,)]
    assert prompts.dropped_uses == 1
    assert logged("1 uses were not recorded: ZeroDivisionError: model") == 1
    assert logged("bug") == 0


@pytest.mark.parametrize(
    "wrong", [-1, MOST_TOKENS + 1, 10**400, float("nan"), float("inf"), 1.5, 7.0, True, "7", b"7", [7]]
)
@pytest.mark.parametrize("field", ["input_tokens", "output_tokens"])
def test_an_invalid_number_of_tokens_raises(prompts: Prompts, sql: Connection, field: str, wrong: Any) -> None:
    with prompts.get("greeter").use() as use:
        use.record(input_tokens=7, output_tokens=3)
        with pytest.raises((ValueError, TypeError), match=f"{field} must be a number of tokens"):
            use.record(reply(), **{field: wrong})
    assert prompts.flush()
    assert uses(sql, TOKENS) == [(None, 7, 3, None, None, "ok")]


def test_arguments_override_the_counts_of_a_reply(prompts: Prompts, sql: Connection) -> None:
    class Index:
        def __index__(self) -> int:
            return 40

    sdk_reply = reply(input_tokens=1, output_tokens=2, cache_read_input_tokens=30, cache_creation_input_tokens=5)
    arguments: list[dict[str, Any]] = [
        {"input_tokens": 50, "model": "n"}, {"input_tokens": Index(), "output_tokens": 0}, {"input_tokens": 30}
    ]  # fmt: skip
    for options in arguments:
        with prompts.get("greeter").use() as use:
            use.record(sdk_reply, **options)
    assert prompts.flush()
    assert uses(sql, TOKENS) == [
        ("n", 50, 2, 30, 5, "ok"), ("m", 40, 0, 30, 5, "ok"), ("m", 30, 2, None, None, "ok")
    ]  # fmt: skip


def test_calls_outside_the_with_block_raise(prompts: Prompts, sql: Connection) -> None:
    early = prompts.get("greeter").use()
    with prompts.get("greeter").use() as late:
        late.record(input_tokens=7)
    for use, position in ((early, "before the block"), (late, "after the block")):
        for call in (lambda use=use: use.record(input_tokens=9), use.first_token, lambda use=use: use.failed("x")):
            with pytest.raises(RuntimeError, match=position):
                call()
    assert prompts.flush()
    assert uses(sql, TOKENS) == [(None, 7, None, None, None, "ok")]


def test_a_use_cannot_be_started_twice(prompts: Prompts, sql: Connection) -> None:
    with prompts.get("greeter").use() as use:
        pass
    with pytest.raises(RuntimeError, match="start another"), use:
        raise AssertionError
    assert prompts.flush()
    assert count(sql) == 1


def scores(sql: Connection) -> list[tuple[Any, ...]]:
    return rows(
        sql,
        """
        select distinct on (u.recorded_at, u.id) coalesce(s.score, u.score) from promptctl.uses u
        left join promptctl.scores s on s.use_id = u.id order by u.recorded_at, u.id, s.place desc
        """,
    )


def test_a_use_can_be_scored_in_its_block_after_it_and_by_its_id(prompts: Prompts, sql: Connection) -> None:
    recorded: list[Use] = []
    for n in range(4):
        with prompts.get("greeter").use() as use:
            if n == 0:
                use.score(0.1)
                use.score(1)
        recorded.append(use)
    recorded[1].score(0.25)
    assert prompts.flush()
    recorded[2].score(0.5)
    prompts.score(recorded[3].id, 0.6)
    prompts.score(uuid.UUID(recorded[3].id), -1e9)  # pyright: ignore[reportArgumentType] - a UUID works, too
    recorded[0].score(0.9)
    assert prompts.flush()
    assert scores(sql) == [(0.9,), (0.25,), (0.5,), (-1e9,)]
    invalid_scores: list[Any] = [float("nan"), float("inf"), 1.1e9, "0.5", None, True, [0.5]]
    for wrong in invalid_scores:
        with pytest.raises(ValueError, match="score must be a number from -1,000,000,000 to"):
            recorded[0].score(wrong)
        with pytest.raises(ValueError, match="score must be a number from -1,000,000,000 to"):
            prompts.score(recorded[0].id, wrong)
    for wrong in ("", "greeter", "0" * 31, None, 5):
        with pytest.raises(ValueError, match="badly formed"):
            prompts.score(wrong, 0.5)  # pyright: ignore[reportArgumentType]
    assert prompts.dropped_uses == 0


def test_another_process_can_score_a_use(prompts: Prompts, sql: Connection, home: Path, env: dict[str, str]) -> None:
    with prompts.get("greeter").use() as use:
        pass
    assert prompts.flush()
    code = "import sys; from promptctl import Prompts\nwith Prompts() as prompts: prompts.score(sys.argv[1], 0.75)"
    assert run_program(code, home, env, use.id).code == 0
    assert scores(sql) == [(0.75,)]


def test_a_score_waits_for_a_use_that_another_process_has_not_sent_yet(
    make_client: MakeClient, sql: Connection, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_backlog, "_RETRY_EVERY_SECONDS", 0.02)
    one, other = make_client(flush_seconds=1000), make_client()
    with one.get("greeter").use() as use:
        pass
    other.score(use.id, 0.1)
    other.score(use.id, 0.2)
    assert other.flush()
    assert other.waiting_uses == 1
    assert one.flush()
    until(lambda: other.waiting_uses == 0)
    assert scores(sql) == [(0.2,)]
    other.score(use.id, 0.3)
    assert other.flush()
    # The scores that were sent before are not sent again.
    time.sleep(0.1)
    assert scores(sql) == [(0.3,)]
    assert logged("not recorded") == 0


@pytest.mark.parametrize("closes", [True, False], ids=["at close", "after the time limit"])
def test_the_score_of_a_missing_use_is_logged(
    make_client: MakeClient, sql: Connection, logged: Logged, monkeypatch: pytest.MonkeyPatch, closes: bool
) -> None:
    monkeypatch.setattr(client_backlog, "_RETRY_EVERY_SECONDS", 0.02)
    if not closes:
        monkeypatch.setattr(client_backlog, "_RETRY_FOR_SECONDS", 0.1)
    prompts = make_client()
    unknown = str(uuid.uuid4())
    prompts.score(unknown, 0.5)
    assert prompts.flush()
    if closes:
        assert (prompts.waiting_uses, logged("not recorded")) == (1, 0)
        prompts.close()
    until(lambda: logged(f"use {unknown} does not exist or was dropped") == 1)
    assert logged("1 scores were not recorded: ") == 1
    assert (prompts.waiting_uses, prompts.dropped_uses) == (0, 0)


def test_an_idle_recorder_does_not_wake_up(
    make_client: MakeClient, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn = recorder.Recorder._turn  # pyright: ignore[reportPrivateUsage]
    turns: list[None] = []

    def count_turn(self: recorder.Recorder) -> None:
        turns.append(None)
        turn(self)

    monkeypatch.setattr(recorder.Recorder, "_turn", count_turn)
    prompts = make_client(flush_seconds=0.01)
    prompt = prompts.get("greeter")
    for number in (1, 2, 3):
        before = len(turns)
        time.sleep(0.2)
        assert len(turns) == before
        with prompt.use() as use:
            pass
        if number == 3:
            prompts.flush()
            use.score(0.5)
        until(lambda: prompts._recorder._is_idle and prompts.waiting_uses == 0)  # pyright: ignore[reportPrivateUsage]
        assert count(sql) == number
    assert count(sql, "scores") == 1


# The row that `db maintain --keep 24h` writes once it has dropped uses.
KEEP_ONE_DAY = """
    alter table promptctl.roll_up disable trigger user;
    insert into promptctl.roll_up (dropped_before) values (now() - interval '24 hours');
    alter table promptctl.roll_up enable trigger user;
"""


def test_uses_older_than_the_database_keeps_are_dropped_counted_and_logged(
    make_client: MakeClient, sql: Connection, logged: Logged
) -> None:
    run(sql, KEEP_ONE_DAY)
    prompts = make_client(flush_seconds=1000)
    for name in ("greeter", "nobody"):
        for hours in (1, 50, 60):
            with prompts.get(name, default="").use() as use:
                pass
            # As if the use had waited in a spool.
            use.ended -= hours * 3600
    assert prompts.flush()
    assert (count(sql), count(sql, "fallbacks")) == (1, 1)
    assert (prompts.dropped_uses, prompts.waiting_uses) == (4, 0)
    assert logged("4 uses were not recorded: they are older than what the database keeps") == 1


def lose_connection_three_times(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make a function of the store lose the connection in its first three calls."""
    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.05)
    function = getattr(store, name)
    failures = iter(range(3))

    def fail_first(*arguments: Any) -> Any:
        for _ in failures:
            raise errors.Unreachable("connection_lost", "the connection was lost")
        return function(*arguments)

    monkeypatch.setattr(store, name, fail_first)


def test_expired_uses_of_a_batch_that_is_sent_again_are_counted_once(
    make_client: MakeClient, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_connection_three_times(monkeypatch, "score")
    run(sql, KEEP_ONE_DAY)
    # A queue size that is a float is accepted, too.
    prompts = make_client(flush_seconds=1000, queue_size=1e3)
    for name in ("greeter", "nobody"):
        with prompts.get(name, default="").use() as late:
            pass
        late.ended -= 50 * 3600
    with prompts.get("greeter").use() as use:
        pass
    use.score(0.5)
    until(prompts.flush)
    assert (count(sql), count(sql, "fallbacks"), count(sql, "scores"), prompts.dropped_uses) == (1, 0, 1, 2)


@ALL_SERVERS
def test_only_refused_uses_are_dropped_counted_and_logged(
    make_client: MakeClient, sql: Connection, logged: Logged
) -> None:
    prompts = make_client(flush_seconds=1000)
    run(sql, "alter table promptctl.uses add constraint no_seven check (input_tokens <> 7)")
    run(sql, "alter table promptctl.fallbacks add constraint no_seven check (input_tokens <> 7)")
    prompt = prompts.get("greeter")
    ids: set[str] = set()
    for n in range(1900):
        with prompt.use() as use:
            use.record(input_tokens=7 if n in (0, 5, 777, 1899) else n + 10)
        if n not in (0, 5, 777, 1899):
            ids.add(use.id)
    for n in (6, 7, 8):
        with prompts.get("nobody", default="").use() as use:
            use.record(input_tokens=n)
    use = prompt.use()
    with use:
        pass
    ids.add(use.id)
    use.score(0.5)
    assert prompts.flush()
    assert {row[0] for row in uses(sql, "id::text")} == ids
    assert (count(sql), count(sql, "fallbacks"), count(sql, "scores")) == (1897, 2, 1)
    assert prompts.dropped_uses == 5
    assert prompts.waiting_uses == 0
    assert logged("5 uses were not recorded: ") == 1
    assert logged("no_seven") == 1


def test_only_the_use_of_a_missing_version_is_dropped(make_client: MakeClient, sql: Connection, logged: Logged) -> None:
    """A client cannot get such a version, so the test removes it afterwards."""
    prompts = make_client(flush_seconds=1000)
    for name in ("greeter", "other", "greeter"):
        with prompts.get(name).use():
            pass
    sql.execute("set session_replication_role = replica")
    sql.execute("delete from promptctl.versions where name = 'other'")
    assert prompts.flush()
    assert uses(sql, "name") == [("greeter",)] * 2
    assert (prompts.dropped_uses, logged("1 uses were not recorded: ")) == (1, 1)


def test_errors_that_are_not_caused_by_a_use_are_retried(
    make_client: MakeClient, sql: Connection, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.05)
    prompts = make_client()
    function = "create function pg_temp.f() returns trigger language plpgsql as $$ begin {} return new; end $$"
    run(sql, function.format("").replace("pg_temp.f", "public.fails"))
    run(sql, "create trigger fails before insert on promptctl.uses execute function public.fails()")
    ids: list[str] = []
    for place, sqlstate in enumerate(("53200", "58030", "XX000", "40001", "55P03", "25006", "42501", "57014", "53100")):
        logged_before = logged("cannot record uses")
        run(
            sql,
            f"""
            create or replace function public.fails() returns trigger language plpgsql as $$
            begin raise exception 'not now' using errcode = '{sqlstate}'; end $$
            """,
        )
        with prompts.get("greeter").use() as use:
            pass
        ids.append(use.id)
        assert not prompts.flush()
        assert logged("cannot record uses") == logged_before + 1
        assert prompts.waiting_uses == 1
        run(sql, function.format("").replace("create function pg_temp.f", "create or replace function public.fails"))
        until(lambda place=place: count(sql) == place + 1)
        until(lambda: prompts.waiting_uses == 0)
    assert [row[0] for row in uses(sql, "id::text")] == ids
    assert prompts.dropped_uses == 0


def test_a_full_queue_drops_the_oldest_uses_and_logs_it(
    make_client: MakeClient, refusing_url: str, logged: Logged
) -> None:
    prompts = make_client(refusing_url, queue_size=50, flush_seconds=0.01)
    recorded: list[Use] = []
    for n in range(120):
        with prompts.get("greeter", default="x").use() as use:
            use.record(input_tokens=n)
        recorded.append(use)
    until(lambda: logged("not recorded: the queue is full") >= 1)
    assert prompts.waiting_uses <= 50
    assert prompts.dropped_uses == 120 - prompts.waiting_uses >= 70
    prompts.close(0.1)
    assert prompts.dropped_uses == 120
    assert logged("uses were not recorded: the client was closed before they could be sent") == 1


def test_the_number_of_waiting_scores_is_limited(make_client: MakeClient, refusing_url: str, logged: Logged) -> None:
    prompts = make_client(refusing_url, queue_size=50)
    for _ in range(120):
        prompts.score(str(uuid.uuid4()), 0.5)
    until(lambda: logged("scores were not recorded: the queue is full") == 1 or prompts.waiting_uses <= 100)
    assert prompts.waiting_uses <= 100
    assert prompts.dropped_uses == 0


def test_flush_waits_until_uses_are_recorded(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client(flush_seconds=1000)
    for number in (1, 5000):
        before = count(sql)
        prompt = prompts.get("greeter")
        for _ in range(number):
            with prompt.use():
                pass
        assert prompts.flush(60)
        assert (count(sql), prompts.waiting_uses) == (before + number, 0)
    assert prompts.flush(0)


def test_flush_returns_false_after_its_timeout(
    make_client: MakeClient, wire: Wire, database_name: str, sql: Connection
) -> None:
    prompts = make_client(wire.url(database_name), flush_seconds=1000)
    prompts.get("greeter")
    wire.pause()
    with prompts.get("greeter").use():
        pass
    began = time.monotonic()
    assert not prompts.flush(0.2)
    assert time.monotonic() - began < 5
    assert prompts.waiting_uses == 1
    wire.resume()
    assert prompts.flush(30)
    assert count(sql) == 1


def test_flush_does_not_wait_for_later_uses(make_client: MakeClient, sql: Connection) -> None:
    import threading

    prompts = make_client(flush_seconds=1000)
    prompt = prompts.get("greeter")
    stop = threading.Event()

    def record_continuously() -> None:
        while not stop.is_set():
            with prompt.use():
                pass
            stop.wait(0.0005)

    thread = threading.Thread(target=record_continuously)
    thread.start()
    try:
        for _ in range(20):
            with prompt.use() as use:
                pass
            assert prompts.flush(30)
            assert value(sql, "select count(*) from promptctl.uses where id = %s", use.id) == 1
    finally:
        stop.set()
        thread.join()


def test_flush_after_an_outage_connects_immediately(
    make_client: MakeClient, server: Server, database_name: str, sql: Connection
) -> None:
    prompts = make_client()
    prompt = prompts.get("greeter")
    sql.close()
    with psycopg.connect(server.dsn(), autocommit=True) as other:
        run(other, f"alter database {database_name} allow_connections false")
        run(other, "select pg_terminate_backend(pid, 20000) from pg_stat_activity where datname = %s", [database_name])
        with prompt.use():
            pass
        for _ in range(6):
            # Each flush makes one attempt, so the pauses between the attempts of the thread grow.
            assert not prompts.flush()
        run(other, f"alter database {database_name} allow_connections true")
    assert prompts.flush()
    assert prompts.waiting_uses == 0


def test_a_batch_that_is_sent_twice_is_recorded_once(
    make_client: MakeClient, sql: Connection, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:

    monkeypatch.setattr(recorder, "_LONGEST_PAUSE_SECONDS", 0.05)
    begin_recording = store.begin_recording
    failures = iter(range(3))

    def lose_answers(*arguments: Any) -> Any:
        wait = begin_recording(*arguments)

        def lose_answer() -> Any:
            answer = wait()
            for _ in failures:
                raise errors.Unreachable("connection_lost", "the answer was lost")
            return answer

        return lose_answer

    monkeypatch.setattr(store, "begin_recording", lose_answers)
    prompts = make_client()
    ids: list[str] = []
    for _ in range(100):
        with prompts.get("greeter").use() as use:
            pass
        ids.append(use.id)
    until(prompts.flush)
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)
    assert (
        value(
            sql,
            "select (stats ->> 'total_uses')::integer from promptctl.prompts where name = 'greeter' and version = 1",
        )
        == 100
    )
    assert (prompts.dropped_uses, logged("the answer was lost; retrying")) == (0, 1)


def test_a_use_that_is_refused_twice_is_counted_once(
    make_client: MakeClient, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    lose_connection_three_times(monkeypatch, "record_fallbacks")
    run(sql, "alter table promptctl.uses add constraint no_seven check (input_tokens <> 7)")
    prompts = make_client(flush_seconds=1000)
    for n in (6, 7, 8):
        with prompts.get("greeter").use() as use:
            use.record(input_tokens=n)
    with prompts.get("nobody", default="").use():
        pass
    until(prompts.flush)
    assert (count(sql), count(sql, "fallbacks"), prompts.dropped_uses) == (2, 1, 1)


def test_the_recording_thread_logs_a_bug_and_continues(
    make_client: MakeClient, sql: Connection, monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    begin_recording = store.begin_recording
    failures = iter([ZeroDivisionError("seven")])

    def fail_first(*arguments: Any) -> Any:
        for failure in failures:
            raise failure
        return begin_recording(*arguments)

    monkeypatch.setattr(store, "begin_recording", fail_first)
    prompts = make_client()
    with prompts.get("greeter").use():
        pass
    until(lambda: count(sql) == 1)
    until(lambda: prompts.waiting_uses == 0)
    assert logged("a bug in the thread that records uses") == 1
    assert prompts.dropped_uses == 0

    def always(*_: Any) -> Any:
        raise ZeroDivisionError("ever")

    monkeypatch.setattr(store, "begin_recording", always)
    with prompts.get("greeter").use():
        pass
    until(lambda: prompts.dropped_uses == 1)
    monkeypatch.setattr(store, "begin_recording", begin_recording)
    with prompts.get("greeter").use():
        pass
    until(lambda: count(sql) == 2)
    assert logged("1 uses were not recorded: ZeroDivisionError: ever") == 1


def test_a_use_is_recorded_with_the_time_of_its_end(
    make_client: MakeClient, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    from promptctl.postgres import connecting

    connect = connecting.connect_application
    prompts = make_client(flush_seconds=1000)
    prompt = prompts.get("greeter")

    def connect_slowly(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.5)
        return connect(*arguments, **options)

    monkeypatch.setattr(connecting, "connect_application", connect_slowly)
    before = value(sql, "select clock_timestamp()")
    with prompt.use():
        pass
    after = value(sql, "select clock_timestamp()")
    assert prompts.flush(30)
    [(recorded_at,)] = uses(sql, "recorded_at")
    assert before <= recorded_at <= after + datetime.timedelta(seconds=0.25)


def test_use_ids_are_in_the_order_of_time(prompts: Prompts) -> None:
    ids: list[str] = []
    for _ in range(1000):
        with prompts.get("greeter").use() as use:
            pass
        ids.append(use.id)
    assert len(set(ids)) == 1000
    assert ids == sorted(ids)


def test_a_login_that_may_not_record_can_still_get(
    make_client: MakeClient, server: Server, database_name: str, sql: Connection, logged: Logged
) -> None:
    with application_role(server.dsn(database_name), f"{database_name}_role") as role:
        run(sql, f"revoke execute on function promptctl.record_uses from {role}")
        prompts = make_client(server.url(database_name, user=role), queue_size=10)
        for _ in range(30):
            with prompts.get("greeter").use():
                pass
        until(lambda: logged("cannot record uses: ") == 1 and logged("permission denied") >= 1)
        until(lambda: prompts.waiting_uses <= 10)
        prompts.close(0.1)
        assert (count(sql), prompts.dropped_uses) == (0, 30)


def test_one_batch_records_uses_scores_and_fallbacks(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client(flush_seconds=1000)
    with prompts.get("greeter", unit="u").use() as use:
        use.record(reply(input_tokens=1, output_tokens=2), model='quo"te\\d, {}')
    use.score(0.5)
    with prompts.get("nobody", default="").use() as other:
        other.record(model='quo"te\\d, {}')
    assert prompts.waiting_uses == 3
    assert prompts.flush()
    assert uses(sql, "model") == rows(sql, "select model from promptctl.fallbacks") == [('quo"te\\d, {}',)]
    assert json.dumps(scores(sql)) == "[[0.5]]"
