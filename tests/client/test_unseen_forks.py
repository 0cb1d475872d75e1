"""A process that is forked in C, without Python's hooks, as uWSGI does it: the client in the child notices it."""

from __future__ import annotations

import dis
import gc
import mmap
import sys
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import Prompts
from promptctl.client import fork_page
from tests.client.support import activate, program, started
from tests.client.test_forks import BEGIN, check

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    Connection = psycopg.Connection[Any]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a page is wiped in a child on Linux alone")

# With the interpreter's lock held, which is how uWSGI forks; Python's hooks are not called.
IN_C = (
    BEGIN
    + """
import ctypes
def fork():
    # A thread that happens to wait for the interpreter's lock leaves it broken in a child that Python does not know of:
    # the client's threads are to rest, as they do when uWSGI forks.
    time.sleep(0.1)
    return ctypes.PyDLL(None).fork()
logging.basicConfig(format="%(message)s")
"""
)
NOTICED = (
    "promptctl: this process was forked in C, as uWSGI does, and Python was not notified: the client starts again\n"
)


def test_every_child_follows_what_is_active_and_records_each_of_its_uses(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    code = (
        IN_C
        + """
prompts = Prompts(flush_seconds=1000)
prompt = prompts.get("greeter")
say(book(prompt, 30))
children = []
for number in range(3):
    child = fork()
    if child == 0:
        # What was got before the fork is used first, in one of them: nothing else has noticed it by then.
        ids = book(prompt, 20) if number == 0 else []
        if number == 1:
            assert not prompts.is_connected
        while prompts.get("greeter").version != 2:
            time.sleep(0.002)
        ids += book(prompts.get("greeter", unit="u"), 20) + book(prompts.get("other"), 20)
        assert prompts.flush(20) and prompts.is_connected
        say(ids)
        os._exit(0)
    children.append(child)
say(book(prompt, 30))
input()
for child in children:
    ends(child)
prompts.close()
"""
    )
    process = started(code, home, env)
    assert process.stderr is not None
    # Each child has noticed it.
    noticed = "".join(process.stderr.readline() for _ in range(3))
    activate(sql, "greeter", 2)
    out, err = process.communicate("\n", timeout=60)
    assert process.returncode == 0, err
    assert noticed + err == NOTICED * 3
    check(sql, out)
    assert len(out.split()) == 60 + 20 + 3 * 40


def test_every_call_in_a_child_detects_the_fork(sql: Connection, home: Path, env: dict[str, str]) -> None:
    code = (
        IN_C
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
    "several": lambda: prompts.get_many(["greeter", "other"])["greeter"],
    "a default": lambda: prompts.get("greeter", default="x"),
}
others = {
    "loading": lambda: prompts.preload(["greeter"]) is None,
    "a version": lambda: prompts.get("greeter@1").version == 1,
    "whether it is connected": lambda: not prompts.is_connected,
    "its age": lambda: prompts.age_seconds >= 0,
    "how many wait": lambda: prompts.waiting_uses == 0,
    "how many were dropped": lambda: prompts.dropped_uses == 0,
    "sending": lambda: prompts.flush(),
    "a use": lambda: book(prompt) and prompts.flush(),
    "an end": lambda: prompts.close() is None,
}
with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as database:
    def activate(version):
        database.execute("select promptctl.activate(array['greeter'], array[%s::integer])", [version])
    for name in (*answers, *others):
        activate(1)
        while prompts.get("greeter").version != 1:
            time.sleep(0.001)
        reads, writes = os.pipe()
        child = fork()
        if child == 0:
            os.read(reads, 1)
            ends = time.monotonic() + 4
            while name in answers and answers[name]().version != 2 and time.monotonic() < ends:
                time.sleep(0.002)
            assert name in answers or others[name](), name
            os._exit(0 if time.monotonic() < ends else 1)
        activate(2)
        os.write(writes, b"x")
        assert os.waitpid(child, 0)[1] == 0, name
    print("all")
"""
    )
    ended = program(code, home, env)
    assert (ended.code, ended.out) == (0, "all\n"), ended.err
    assert ended.err == NOTICED * 15


def test_a_use_in_progress_at_a_fork_in_c_is_recorded_by_the_parent_only(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    code = (
        IN_C
        + """
prompts = Prompts()
with prompts.get("greeter").use() as use:
    time.sleep(0.05)  # a process's beginning is known to 10 ms
    child = fork()
    if child:
        ends(child)
if child == 0:
    say(book(prompts.get("greeter")))
    assert prompts.flush()
    os._exit(0)
say([use.id])
"""
    )
    ended = program(code, home, env)
    assert ended.code == 0, ended.err
    check(sql, ended.out)
    assert len(ended.out.split()) == 2


def test_children_of_children_and_of_both_kinds_of_fork(sql: Connection, home: Path, env: dict[str, str]) -> None:
    code = (
        IN_C
        + """
prompts = Prompts()
def generation(number):
    prompt = prompts.get("greeter")
    say(book(prompt, 10))
    if number:
        child = (fork if number % 2 else os.fork)()
        if child == 0:
            say(book(prompt, 10))
            generation(number - 1)
            assert prompts.flush(20)
            os._exit(0)
        ends(child)
        say(book(prompt, 10))
generation(4)
"""
    )
    ended = program(code, home, env)
    assert (ended.code, ended.err) == (0, NOTICED * 2)
    check(sql, ended.out)
    assert len(ended.out.split()) == 50 + 40 + 40


def test_children_select_versions_at_random_independently(sql: Connection, home: Path, env: dict[str, str]) -> None:
    sql.execute("select promptctl.split('greeter', 5000, 2)")
    code = (
        IN_C
        + """
prompts = Prompts()
prompts.get("greeter")
for _ in range(3):
    child = fork()
    if child == 0:
        print("".join(str(prompts.get("greeter").version) for _ in range(100)), flush=True)
        os._exit(0)
    ends(child)
"""
    )
    ended = program(code, home, env)
    assert ended.code == 0, ended.err
    assert len(set(ended.out.split())) == 3


def test_an_unused_page_is_reused(database_url: str) -> None:
    for _ in range(3):
        with Prompts(database_url) as prompts:
            prompts.get("greeter")
        del prompts
    before = len(fork_page.all_pages)
    for _ in range(20):
        with Prompts(database_url) as prompts:
            assert prompts.get("greeter").version == 1
        del prompts
    gc.collect()
    assert len(fork_page.all_pages) - before < 20
    assert len({id(page) for page in fork_page.free_pages}) == len(fork_page.free_pages) > 0


def test_get_does_not_read_the_process_id() -> None:
    # What runs when a prompt is known: a look-up of the page, of its slot, and of the name; no call.
    code = [each for each in dis.get_instructions(Prompts.get) if each.opname not in ("CACHE", "RESUME", "NOP")]
    first_return = next(place for place, each in enumerate(code) if each.opname == "RETURN_VALUE")
    assert not [each.opname for each in code[:first_return] if each.opname.startswith(("CALL", "PRECALL", "IMPORT"))]
    assert first_return <= 16


def test_used_slots_are_in_the_middle_of_the_page() -> None:
    padding = fork_page.padding()
    assert padding * 8 >= mmap.PAGESIZE or padding == 0
    names = sorted(fork_page.ForkPage.__slots__)
    assert names[padding:-padding] == ["ids", "plain", "queue_limit", "state"]
    assert fork_page.ForkPage.__basicsize__ >= len(names) * 8
