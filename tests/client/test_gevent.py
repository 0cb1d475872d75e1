"""Under gevent: a greenlet that waits for the database does not block the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.client.support import count, run_program

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    Connection = psycopg.Connection[Any]

pytest.importorskip("gevent")

HANGING_DATABASE = """
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
# A greenlet that is killed while it connects must not leave a result that another thread writes into.
waiting = gevent.spawn(prompts.get, "other")
gevent.sleep(0.1)
waiting.kill()
prompts.close(0.1)
print("done")
"""
PATCHED_FIRST = """
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
# Like a worker of Gunicorn that loads the application before it forks.
PATCHED_AFTER_FORK = """
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
    # Until then `get` answers with the versions that the parent loaded.
    while not prompts.is_connected:
        gevent.sleep(0.01)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
PATCHED_AFTER_START = """
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
    result = run_program(HANGING_DATABASE, home, env)
    assert (result.code, result.out) == (0, "done\n"), result.err


@pytest.mark.parametrize(
    "code", [PATCHED_FIRST, PATCHED_AFTER_FORK], ids=["patched first", "patched in a forked worker"]
)
def test_each_use_is_recorded_once_under_gevent(sql: Connection, home: Path, env: dict[str, str], code: str) -> None:
    result = run_program(code, home, env)
    assert (result.code, result.err) == (0, ""), result.err
    assert count(sql) == 100


def test_patching_after_a_client_has_started_is_logged(sql: Connection, home: Path, env: dict[str, str]) -> None:
    result = run_program(PATCHED_AFTER_START, home, env)
    assert (result.code, result.out) == (0, "True\n")
    assert "threads were replaced, for example by gevent, after this client had started its own" in result.err
