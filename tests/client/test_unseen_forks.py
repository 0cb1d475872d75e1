"""A process that is forked in C, without Python's hooks, as uWSGI does: the client in the child detects it."""

from __future__ import annotations

import dis
import gc
import mmap
import sys
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import Prompts
from promptctl.client import process_local
from tests.client.support import activate, run_program, start_program
from tests.client.test_forks import SETUP, check_recorded_once

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    Connection = psycopg.Connection[Any]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can wipe a page in a forked child")

# Like uWSGI, fork while this thread has the interpreter's lock. Python's hooks do not run.
SETUP_FORK_IN_C = (
    SETUP
    + """
import ctypes
def fork():
    # In such a child the lock is broken if another thread waited for it at the fork.
    # Let the client's threads become idle first, as they are when uWSGI forks.
    time.sleep(0.1)
    return ctypes.PyDLL(None).fork()
logging.basicConfig(format="%(message)s")
"""
)
FORK_WARNING = (
    "promptctl: this process was forked in C, as uWSGI does, and Python was not notified: the client starts again\n"
)


def test_every_child_follows_active_versions_and_records_its_uses(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    code = (
        SETUP_FORK_IN_C
        + """
prompts = Prompts(flush_seconds=1000)
prompt = prompts.get("greeter")
print_ids(record_uses(prompt, 30))
children = []
for number in range(3):
    child = fork()
    if child == 0:
        # In one child the first call is the use of a prompt from before the fork.
        ids = record_uses(prompt, 20) if number == 0 else []
        if number == 1:
            assert not prompts.is_connected
        while prompts.get("greeter").version != 2:
            time.sleep(0.002)
        ids += record_uses(prompts.get("greeter", unit="u"), 20) + record_uses(prompts.get("other"), 20)
        assert prompts.flush(20) and prompts.is_connected
        print_ids(ids)
        os._exit(0)
    children.append(child)
print_ids(record_uses(prompt, 30))
input()
for child in children:
    wait_for(child)
prompts.close()
"""
    )
    process = start_program(code, home, env)
    assert process.stderr is not None
    # Each child logs the fork.
    warnings = "".join(process.stderr.readline() for _ in range(3))
    activate(sql, "greeter", 2)
    out, err = process.communicate("\n", timeout=60)
    assert process.returncode == 0, err
    assert warnings + err == FORK_WARNING * 3
    check_recorded_once(sql, out)
    assert len(out.split()) == 60 + 20 + 3 * 40


def test_every_call_in_a_child_detects_the_fork(sql: Connection, home: Path, env: dict[str, str]) -> None:
    code = (
        SETUP_FORK_IN_C
        + """
import psycopg
prompts = Prompts()
prompts.preload(["greeter", "other", "greeter@1"])
prompt = prompts.get("greeter")
answers = {
    "get": lambda: prompts.get("greeter"),
    "a unit": lambda: prompts.get("greeter", unit="u"),
    "another kind of unit": lambda: prompts.get("greeter", unit=7),
    "attributes": lambda: prompts.get("greeter", attributes={"plan": "free"}),
    "get_many": lambda: prompts.get_many(["greeter", "other"])["greeter"],
    "a default": lambda: prompts.get("greeter", default="x"),
}
others = {
    "preload": lambda: prompts.preload(["greeter"]) is None,
    "a version": lambda: prompts.get("greeter@1").version == 1,
    "is_connected": lambda: not prompts.is_connected,
    "age_seconds": lambda: prompts.age_seconds >= 0,
    "waiting_uses": lambda: prompts.waiting_uses == 0,
    "dropped_uses": lambda: prompts.dropped_uses == 0,
    "flush": lambda: prompts.flush(),
    "a use": lambda: record_uses(prompt) and prompts.flush(),
    "close": lambda: prompts.close() is None,
}
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
    def activate(version):
        database.execute("select promptctl.activate(array['greeter'], array[%s::integer])", [version])
    for name in (*answers, *others):
        activate(1)
        while prompts.get("greeter").version != 1:
            time.sleep(0.001)
        read_end, write_end = os.pipe()
        child = fork()
        if child == 0:
            os.read(read_end, 1)
            deadline = time.monotonic() + 4
            while name in answers and answers[name]().version != 2 and time.monotonic() < deadline:
                time.sleep(0.002)
            assert name in answers or others[name](), name
            os._exit(0 if time.monotonic() < deadline else 1)
        activate(2)
        os.write(write_end, b"x")
        assert os.waitpid(child, 0)[1] == 0, name
    print("all")
"""
    )
    result = run_program(code, home, env)
    assert (result.code, result.out) == (0, "all\n"), result.err
    assert result.err == FORK_WARNING * 15


def test_a_use_in_progress_at_a_fork_in_c_is_recorded_by_the_parent_only(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    code = (
        SETUP_FORK_IN_C
        + """
prompts = Prompts()
with prompts.get("greeter").use() as use:
    time.sleep(0.05)  # the start time of a process has a resolution of 10 ms
    child = fork()
    if child:
        wait_for(child)
if child == 0:
    print_ids(record_uses(prompts.get("greeter")))
    assert prompts.flush()
    os._exit(0)
print_ids([use.id])
"""
    )
    result = run_program(code, home, env)
    assert result.code == 0, result.err
    check_recorded_once(sql, result.out)
    assert len(result.out.split()) == 2


def test_nested_children_of_both_kinds_of_fork_record_their_uses(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    code = (
        SETUP_FORK_IN_C
        + """
prompts = Prompts()
def generation(number):
    prompt = prompts.get("greeter")
    print_ids(record_uses(prompt, 10))
    if number:
        child = (fork if number % 2 else os.fork)()
        if child == 0:
            print_ids(record_uses(prompt, 10))
            generation(number - 1)
            assert prompts.flush(20)
            os._exit(0)
        wait_for(child)
        print_ids(record_uses(prompt, 10))
generation(4)
"""
    )
    result = run_program(code, home, env)
    assert (result.code, result.err) == (0, FORK_WARNING * 2)
    check_recorded_once(sql, result.out)
    assert len(result.out.split()) == 50 + 40 + 40


def test_children_select_versions_at_random_independently(sql: Connection, home: Path, env: dict[str, str]) -> None:
    sql.execute("select promptctl.split('greeter', 5000, 2)")
    code = (
        SETUP_FORK_IN_C
        + """
prompts = Prompts()
prompts.get("greeter")
for _ in range(3):
    child = fork()
    if child == 0:
        print("".join(str(prompts.get("greeter").version) for _ in range(100)), flush=True)
        os._exit(0)
    wait_for(child)
"""
    )
    result = run_program(code, home, env)
    assert result.code == 0, result.err
    assert len(set(result.out.split())) == 3


def test_an_unused_page_is_reused(database_url: str) -> None:
    for _ in range(3):
        with Prompts(database_url) as prompts:
            prompts.get("greeter")
        del prompts
    before = len(process_local.all_instances)
    for _ in range(20):
        with Prompts(database_url) as prompts:
            assert prompts.get("greeter").version == 1
        del prompts
    gc.collect()
    assert len(process_local.all_instances) - before < 20
    assert len({id(page) for page in process_local.free_instances}) == len(process_local.free_instances) > 0


def test_get_makes_no_call_for_a_loaded_prompt() -> None:
    # For a loaded prompt `get` looks up the page, its slot and the name, and calls nothing.
    instructions = dis.get_instructions(Prompts.get)
    operations = [one.opname for one in instructions if one.opname not in ("CACHE", "RESUME", "NOP")]
    first_return = operations.index("RETURN_VALUE")
    assert not [name for name in operations[:first_return] if name.startswith(("CALL", "PRECALL", "IMPORT"))]
    assert first_return <= 16


def test_used_slots_are_in_the_middle_of_the_page() -> None:
    padding = process_local.padding_slots()
    assert padding * 8 >= mmap.PAGESIZE or padding == 0
    names = sorted(process_local.ProcessLocal.__slots__)
    assert names[padding:-padding] == ["ids", "plain", "state", "wake_length"]
    assert process_local.ProcessLocal.__basicsize__ >= len(names) * 8
