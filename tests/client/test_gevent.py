"""Under gevent: whoever waits for the database holds up nobody else, and patching after a fork is noticed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.client.support import count, program

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    Connection = psycopg.Connection[Any]

pytest.importorskip("gevent")

HANGS = """
from gevent import monkey; monkey.patch_all()
import os, socket, time
import gevent
from promptctl import Prompts

silent = socket.socket()
silent.bind(("127.0.0.1", 0))
silent.listen(50)
prompts = Prompts(f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x", timeout_seconds=2)
turns = 0
def others():
    global turns
    while True:
        gevent.sleep(0.01)
        turns += 1
gevent.spawn(others)
prompt = prompts.get("greeter", default="x")
assert turns > 20, turns
with prompt.use():
    pass
turns = 0
assert not prompts.flush(2)
assert turns > 20, turns
# Who is given up while it connects leaves nothing behind that the thread beside could write into.
waits = gevent.spawn(prompts.get, "other")
gevent.sleep(0.1)
waits.kill()
prompts.close(0.1)
print("went on")
"""
WORKS = """
from gevent import monkey; monkey.patch_all()
import gevent
from promptctl import Prompts
prompts = Prompts(flush_seconds=0.02)
def work(number):
    with prompts.get("greeter", unit=number).use() as use:
        use.record(input_tokens=number)
gevent.joinall([gevent.spawn(work, number) for number in range(100)], raise_error=True)
assert prompts.flush(20) and prompts.is_connected
"""
# As a worker of Gunicorn does it: the application is loaded, and used, before.
PRELOADS = """
import os
from promptctl import Prompts
prompts = Prompts(flush_seconds=0.02)
prompt = prompts.get("greeter")
with prompt.use():
    pass
child = os.fork()
if child == 0:
    from gevent import monkey; monkey.patch_all()
    import gevent
    def work(number):
        with prompts.get("greeter", unit=number).use() as use:
            use.record(input_tokens=number)
    gevent.joinall([gevent.spawn(work, number) for number in range(99)], raise_error=True)
    assert prompts.flush(20)
    # Every get was answered from what the parent knew.
    while not prompts.is_connected:
        gevent.sleep(0.01)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
LATE = """
import sys
from promptctl import Prompts
prompts = Prompts()
with prompts.get("greeter").use():
    pass
from gevent import monkey; monkey.patch_all()
print(prompts.waiting_uses >= 0, flush=True)
import os
os._exit(0)
"""


def test_a_hanging_database_blocks_only_the_greenlets_that_wait_for_it(home: Path, env: dict[str, str]) -> None:
    ended = program(HANGS, home, env)
    assert (ended.code, ended.out) == (0, "went on\n"), ended.err


@pytest.mark.parametrize("code", [WORKS, PRELOADS], ids=["patched first", "patched in a forked worker"])
def test_each_use_is_recorded_once(sql: Connection, home: Path, env: dict[str, str], code: str) -> None:
    ended = program(code, home, env)
    assert (ended.code, ended.err) == (0, ""), ended.err
    assert count(sql) == 100


def test_patching_under_a_client_that_runs_is_logged(sql: Connection, home: Path, env: dict[str, str]) -> None:
    ended = program(LATE, home, env)
    assert (ended.code, ended.out) == (0, "True\n")
    assert "threads were replaced, for example by gevent, after this client had started its own" in ended.err
