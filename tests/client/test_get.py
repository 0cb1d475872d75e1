"""`get`: the first call reads the active version, and later calls are answered from memory."""

from __future__ import annotations

import datetime
import gc
import random
import threading
import time
import traceback
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import (
    MissingVariables,
    NoActiveVersion,
    PromptNotFound,
    Prompts,
    Unavailable,
    VersionNotFound,
    errors,
)
from promptctl.client import nonexistent_prompts
from tests.client.support import activate, count, rows, until
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.client.wire import Wire
    from tests.servers import Server

    Connection = psycopg.Connection[Any]
    MakeClient = Callable[..., Prompts]
    Logged = Callable[[str], int]

ROUTE = """[{"when": {"plan": "enterprise"}, "use": "other"}, {"when": {"plan": "test"}, "use": "greeter@2"}]"""


def disconnect(server: Server, database_name: str) -> None:
    """End all sessions of a database and refuse new ones."""
    import psycopg

    with psycopg.connect(server.dsn(), autocommit=True) as sql:
        run(sql, f"alter database {database_name} allow_connections false")
        run(sql, "select pg_terminate_backend(pid, 20000) from pg_stat_activity where datname = %s", [database_name])


def test_a_prompt_has_every_attribute_of_the_active_version(prompts: Prompts) -> None:
    prompt = prompts.get("greeter")
    assert (prompt.name, prompt.version, prompt.epoch) == ("greeter", 1, 1)
    assert prompt.content == "Be kind, {user.name}."
    assert (prompt.settings, prompt.metadata) == ({"model": "m-1"}, {"description": "the first"})
    assert (prompt.is_default, prompt.bucket) == (False, None)
    assert 0 <= prompt.age_seconds < 30
    assert (str(prompt), repr(prompt)) == ("greeter@1", "<Prompt greeter@1>")
    assert prompt.render({"user.name": "Ada", "not a variable": "x"}) == "Be kind, Ada."
    with pytest.raises(MissingVariables, match=r"greeter@1 needs user\.name") as missing:
        prompt.render()
    assert missing.value.code == "variables_missing"
    assert missing.value.names == ("user.name",)
    with pytest.raises(TypeError, match=r'greeter@1 needs a string for "user\.name", not int'):
        prompt.render({"user.name": 7})  # pyright: ignore[reportArgumentType]


def test_only_the_first_call_uses_the_network(
    make_client: MakeClient, wire: Wire, database_name: str, sql: Connection
) -> None:
    sql.execute("select promptctl.set_routes('{greeter}', %s)", [f"[{ROUTE}]"])
    prompts = make_client(wire.url(database_name), poll_seconds=3600)
    prompts.preload(["greeter", "idle", "greeter@2"])
    before = wire.bytes
    for n in range(200):
        assert prompts.get("greeter").version == 1
        assert prompts.get("greeter", unit=n).version == 1
        assert prompts.get("greeter", attributes={"plan": "enterprise"}).name == "other"
        assert prompts.get("greeter", unit="u", attributes={"plan": "test"}).version == 2
        assert prompts.get("greeter@2").version == 2
        assert prompts.get_many(["greeter", "other", "greeter@2"])["other"].version == 1
    assert wire.bytes == before > 0
    assert wire.connections == 1


def test_loaded_versions_are_returned_without_the_database(
    prompts: Prompts, server: Server, database_name: str
) -> None:
    prompts.preload(["greeter", "greeter@2"])
    pinned = prompts.get("greeter@2")
    disconnect(server, database_name)
    until(lambda: not prompts.is_connected)
    assert prompts.get("greeter").version == 1
    assert prompts.get("greeter@2") is pinned
    with pytest.raises(Unavailable, match='"other" is not loaded') as failure:
        prompts.get("other")
    assert failure.value.code == "prompt_unavailable"


def test_twenty_threads_that_load_the_same_prompt_read_it_once(
    make_client: MakeClient, wire: Wire, database_name: str
) -> None:
    prompts = make_client(wire.url(database_name), poll_seconds=3600)
    barrier = threading.Barrier(20)
    served: list[object] = []

    def get() -> None:
        barrier.wait()
        served.append(prompts.get("greeter"))

    threads = [threading.Thread(target=get) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(served) == 20
    assert len(set(map(id, served))) == 1
    assert wire.connections == 1
    assert wire.responses.count(b"Be kind") == 1


def test_a_pinned_version_does_not_change(prompts: Prompts, sql: Connection) -> None:
    pinned = prompts.get("greeter@2")
    assert (pinned.version, pinned.epoch, pinned.content) == (2, 0, "Be brief, {user.name}.")
    activate(sql, "greeter", 2)
    activate(sql, "greeter", 1)
    sql.execute("select promptctl.retire('greeter', 2)")
    until(lambda: prompts.get("greeter").epoch == 3)
    assert prompts.get("greeter@2") is pinned


def test_an_archived_version_can_be_pinned(prompts: Prompts) -> None:
    assert prompts.get("greeter@3").content == "Be loud."


def test_a_prompt_without_an_active_version_raises(prompts: Prompts) -> None:
    with pytest.raises(NoActiveVersion, match=r'(?m)^"idle" has no active version in test_.* at localhost$') as failure:
        prompts.get("idle")
    assert (failure.value.code, failure.value.hint) == ("no_active_version", "promptctl activate idle@VERSION")
    with pytest.raises(NoActiveVersion):
        prompts.get("idle", unit="user-42")
    with pytest.raises(NoActiveVersion):
        prompts.get_many(["greeter", "idle"])


def test_an_unknown_prompt_is_reported_with_the_nearest_name(prompts: Prompts) -> None:
    with pytest.raises(PromptNotFound, match=r'(?m)^no prompt "greter" in .*; the nearest is "greeter"$') as failure:
        prompts.get("greter")
    assert (failure.value.code, failure.value.name) == ("prompt_not_found", "greter")
    with pytest.raises(PromptNotFound, match=r'(?m)^no prompt "zzz" in [^;]*$'):
        prompts.get("zzz@1")
    with pytest.raises(PromptNotFound, match="greter"):
        prompts.get_many(["greeter", "greter"])


def test_an_unknown_version_is_reported(prompts: Prompts) -> None:
    with pytest.raises(VersionNotFound, match="no version greeter@9 in ") as failure:
        prompts.get("greeter@9")
    assert (failure.value.code, failure.value.hint) == ("version_not_found", "promptctl show greeter")
    assert failure.value.__notes__ == ["hint: promptctl show greeter"]


@pytest.mark.parametrize(
    "name", ["", "a b", "greeter@", "greeter@0", "greeter@01", "greeter@x", "../x", "7", "a" * 201]
)
def test_an_invalid_name_raises_even_with_a_default(prompts: Prompts, name: str) -> None:
    with pytest.raises(errors.Usage):
        prompts.get(name)
    with pytest.raises(errors.Usage):
        prompts.get(name, default="text")
    with pytest.raises(errors.Usage):
        prompts.preload(["greeter", name])


@pytest.mark.parametrize("name", [5, None, b"greeter", ("greeter",)])
def test_a_name_must_be_a_string(prompts: Prompts, name: Any) -> None:
    with pytest.raises(TypeError):
        prompts.get(name)


def test_a_list_of_names_must_not_be_a_string(prompts: Prompts) -> None:
    with pytest.raises(TypeError, match=r"names must be a list, for example \['greeter'\]"):
        prompts.get_many("greeter")
    with pytest.raises(TypeError):
        prompts.preload("greeter")
    assert prompts.get_many(iter(["greeter", "other"])).keys() == {"greeter", "other"}  # pyright: ignore[reportArgumentType]
    assert prompts.get_many([]) == {}


def test_a_default_is_used_without_an_active_version_and_recorded_separately(
    prompts: Prompts, sql: Connection, logged: Logged
) -> None:
    for n in range(3):
        prompt = prompts.get("greter", default="Be yourself, {user.name}.", unit=f"user-{n}")
        assert (prompt.is_default, prompt.name, prompt.version, prompt.epoch) == (True, "greter", None, None)
        assert (str(prompt), prompt.render({"user.name": "Ada"})) == ("greter", "Be yourself, Ada.")
        with prompt.use() as use:
            use.record(input_tokens=7, output_tokens=3, model="m")
            use.score(0.5)
        use.score(0.7)
    for reference in ("idle", "greeter@9"):
        with prompts.get(reference, default="x").use():
            pass
    assert not prompts.get("greeter", default="x").is_default
    assert prompts.flush()
    fallbacks = "select name, model, input_tokens, output_tokens, outcome from promptctl.fallbacks order by id"
    assert rows(sql, fallbacks) == [
        *[("greter", "m", 7, 3, "ok")] * 3, ("idle", None, None, None, "ok"), ("greeter", None, None, None, "ok")
    ]  # fmt: skip
    assert (count(sql), count(sql, "scores"), prompts.dropped_uses) == (0, 0, 0)
    assert logged('no prompt "greter"') == logged("no version greeter@9") == logged('"idle" has no active version') == 1
    assert logged("using the default text") == 3


def test_a_default_is_returned_at_once_while_the_database_is_down(
    make_client: MakeClient, refusing_url: str, logged: Logged
) -> None:
    prompts = make_client(refusing_url)
    began = time.monotonic()
    for _ in range(100):
        assert prompts.get("greeter", default="Be yourself.").is_default
    assert time.monotonic() - began < 10
    with pytest.raises(Unavailable, match="Connection refused"):
        prompts.get("greeter")
    assert (prompts.is_connected, logged("using the default text")) == (False, 1)
    assert logged("no version is loaded") == 1


def test_the_first_call_keeps_its_timeout(make_client: MakeClient, wire: Wire, database_name: str) -> None:
    wire.pause()
    prompts = make_client(wire.url(database_name), timeout_seconds=0.3)
    began = time.monotonic()
    with pytest.raises(Unavailable, match=r"no answer in 0\.3 s"):
        prompts.get("greeter")
    assert 0.3 <= time.monotonic() - began < 5
    assert not prompts.is_connected


def test_polling_finds_a_prompt_that_is_created_later(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client(poll_seconds=0.1)
    with pytest.raises(PromptNotFound):
        prompts.get("late")
    with pytest.raises(VersionNotFound):
        prompts.get("other@3")
    sql.execute("select promptctl.create_version('late', 'Here.')")
    sql.execute("select promptctl.create_version('other', 'The third.')")

    def is_created() -> bool:
        try:
            prompts.get("late", default="")
            prompts.get("late")
        except NoActiveVersion:
            return True
        except PromptNotFound:
            return False
        raise AssertionError

    until(is_created)
    activate(sql, "late", 1)
    until(lambda: not prompts.get("late", default="").is_default)

    def can_be_pinned() -> bool:
        try:
            return prompts.get("other@3").content == "The third."
        except VersionNotFound:
            return False

    until(can_be_pinned)


def test_a_missing_prompt_is_found_by_a_notification(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client(poll_seconds=3600)
    with pytest.raises(PromptNotFound):
        prompts.get("late")
    sql.execute("select promptctl.create_version('late', 'Here.', activated => true)")
    until(lambda: not prompts.get("late", default="").is_default)


def test_an_unknown_name_is_queried_once(make_client: MakeClient, wire: Wire, database_name: str) -> None:
    prompts = make_client(wire.url(database_name), poll_seconds=3600)
    failures: list[PromptNotFound] = []
    for _ in range(100):
        with pytest.raises(PromptNotFound) as failure:
            prompts.get("unknown")
        failures.append(failure.value)
    before = wire.bytes
    for _ in range(100):
        with pytest.raises(PromptNotFound):
            prompts.get("unknown")
    assert wire.bytes == before
    # A single exception for all calls would collect the traceback of each.
    assert len(set(map(id, failures))) == 100
    assert len({len(traceback.extract_tb(failure.__traceback__)) for failure in failures}) <= 2


def test_the_number_of_remembered_missing_names_is_limited(make_client: MakeClient) -> None:
    prompts = make_client(poll_seconds=3600)
    prompts.get("greeter")
    for n in range(nonexistent_prompts.MOST + 20):
        assert prompts.get(f"missing-{n}", default="x").is_default
    assert len(prompts._follower._refresher.nonexistent) == nonexistent_prompts.MOST  # pyright: ignore[reportPrivateUsage]


@pytest.mark.parametrize("name", ["greeter", "other", "other@1", "absent"])
def test_a_unit_is_a_string_an_integer_or_a_uuid(prompts: Prompts, sql: Connection, name: str) -> None:
    sql.execute("select promptctl.split('other', 5000, 2)")
    until(lambda: prompts.get("other", unit="x").epoch == 2)
    some_uuid = uuid.uuid4()
    for unit, text in (
        (5, "5"),
        (-7, "-7"),
        (some_uuid, str(some_uuid)),
        ("", ""),
        ("ユーザー😀", "ユーザー😀"),
        ("x" * 1_000_000, "x" * 1_000_000),
    ):
        prompt, same = (prompts.get(name, unit=form, default="") for form in (unit, text))
        assert (prompt.version, prompt.bucket) == (same.version, same.bucket)
        if not prompt.is_default:
            assert [(prompt.bucket,)] == rows(sql, "select promptctl.bucket(%s, %s)", prompt.served_version.seed, text)
    for wrong in (True, 1.5, b"user", ["user"], object(), Decimal(1), float("nan")):
        with pytest.raises(TypeError, match="unit must be a string, an integer or a UUID"):
            prompts.get(name, unit=wrong, default="")
        with pytest.raises(TypeError):
            prompts.get_many([name], unit=wrong)
    if name != "absent":
        for text in ("user\0", "user\ud800", "é" * 300 + "\0"):
            with pytest.raises(ValueError, match="a unit"):
                prompts.get(name, unit=text, default="")


def test_a_long_unit_is_not_kept_in_memory_with_its_use(prompts: Prompts) -> None:
    unit = "".join(random.choices("ab", k=1_000_000))
    for name in ("greeter", "greeter@2"):
        prompt = prompts.get(name, unit=unit)
        assert unit not in gc.get_referents(prompt)
        assert prompt.bucket is not None


@pytest.mark.parametrize("name", ["greeter", "other", "absent"])
def test_attributes_must_be_a_mapping_of_json_values(prompts: Prompts, sql: Connection, name: str) -> None:
    sql.execute("select promptctl.set_routes('{greeter}', %s)", [f"[{ROUTE}]"])
    until(lambda: prompts.get("greeter", attributes={"plan": "test"}).version == 2)
    cycle: dict[str, Any] = {}
    cycle["cycle"] = cycle
    for wrong in ([], [("plan", "test")], "plan", 5, {"plan"}, object()):
        with pytest.raises(TypeError, match="attributes must be a mapping"):
            prompts.get(name, attributes=wrong, default="")  # pyright: ignore[reportArgumentType]
    for value in ({"set"}, object(), b"bytes", Decimal(1), datetime.datetime.now(datetime.UTC), [object()]):
        with pytest.raises(TypeError, match='the attribute "plan" cannot be encoded as JSON'):
            prompts.get(name, attributes={"plan": value}, default="")
    for value in (float("nan"), float("inf"), [float("nan")], cycle):
        with pytest.raises(ValueError, match='the attribute "plan" cannot be encoded as JSON'):
            prompts.get(name, attributes={"plan": value}, default="")
    for key in (5, None, b"plan"):
        with pytest.raises(TypeError, match="the name of an attribute must be a string"):
            prompts.get(name, attributes={key: "test"}, default="")  # pyright: ignore[reportArgumentType]
    nested: dict[str, Any] = {"plan": ["test"], "other": {"plan": "test"}, "none": None, "big": 10**30, "tuple": (1,)}
    assert prompts.get(name, attributes=nested, default="").name == name
    assert prompts.get(name, attributes={}, default="").name == name


@pytest.mark.parametrize(
    "setting",
    [
        {"poll_seconds": 0}, {"poll_seconds": float("inf")}, {"timeout_seconds": -1}, {"flush_seconds": float("nan")},
        {"queue_size": 0}, {"spool_bytes": -5}, {"max_age_seconds": 0},
    ],
    ids=str,
)  # fmt: skip
def test_a_number_that_is_not_positive_raises_in_the_constructor(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(setting))} must be a positive number"):
        Prompts("postgresql:///x", **setting)


@pytest.mark.parametrize(
    "url", ["", "  ", "mysql://x/y", "somewhere", "postgresql://u:secret@[::1/x", "host=x nonsense=1"]
)
def test_an_invalid_database_url_raises_in_the_constructor(url: str, tmp_path: Any) -> None:
    for options in ({}, {"snapshot": tmp_path / "snapshot"}):
        with pytest.raises(errors.Usage, match="database_url") as failure:
            Prompts(url, **options)
        assert "secret" not in str(failure.value)


def test_no_thread_starts_before_the_first_call(make_client: MakeClient, refusing_url: str) -> None:
    before = threading.active_count()
    prompts = make_client(refusing_url)
    assert threading.active_count() == before
    assert (prompts.is_connected, prompts.waiting_uses, prompts.dropped_uses) == (False, 0, 0)
    assert prompts.flush(0.1)
    prompts.close()


def test_random_choices_do_not_depend_on_the_applications_seed(prompts: Prompts, sql: Connection) -> None:
    sql.execute("select promptctl.split('other', 5000, 2)")
    until(lambda: prompts.get("other", unit="x").epoch == 2)
    served: set[int | None] = set()
    for _ in range(200):
        random.seed(1)
        served.add(prompts.get("other").version)
    assert served == {1, 2}
