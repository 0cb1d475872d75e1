"""A process that forks: each use is recorded once, and parent and child both go on."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.support import activate, count, program, started, until, uses

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    Connection = psycopg.Connection[Any]

# Ids that are printed are those of uses that have to be recorded, once.
BEGIN = """
import logging, os, sys, time
from promptctl import Prompts
def book(prompt, number=1):
    ids = []
    for _ in range(number):
        with prompt.use() as use:
            use.record(input_tokens=7)
        ids.append(use.id)
    return ids
def say(ids):
    os.write(1, "".join(id + "\\n" for id in ids).encode())
def ends(child):
    assert os.waitpid(child, 0)[1] == 0
"""


def check(sql: Connection, output: str) -> None:
    """Exactly the uses whose ids a program printed are recorded."""
    ids = output.split()
    assert len(set(ids)) == len(ids) > 0
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)


def run_in(code: str, home: Path, env: dict[str, str]) -> str:
    ended = program(BEGIN + code, home, env)
    assert (ended.code, ended.err) == (0, ""), ended.err
    return ended.out


def test_a_child_of_os_fork_works_and_the_parents_uses_are_recorded_once(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_in(
        """
prompts = Prompts(flush_seconds=1000)
prompt = prompts.get("greeter", unit="u")
say(book(prompt, 50))
child = os.fork()
if child == 0:
    assert prompts.waiting_uses == prompts.dropped_uses == 0
    # The prompt that was held, and one that is asked for anew, known and unknown.
    say(book(prompt, 20) + book(prompts.get("greeter"), 20) + book(prompts.get("other"), 20))
    prompts.close()
    os._exit(0)
say(book(prompt, 30))
ends(child)
say(book(prompts.get("other"), 30))
prompts.close()
""",
        home, env,
    )  # fmt: skip
    check(sql, out)
    assert len(out.split()) == 170


def test_a_fork_while_the_connection_for_uses_is_closed_keeps_the_childs_descriptors(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_in(
        """
import threading
prompts = Prompts(flush_seconds=0.01)
say(book(prompts.get("greeter"), 5))
prompts.flush()
sender = prompts._recorder._delivery._sender
connection = sender._database._connection
pgconn = connection._pgconn
ended = threading.Event()
class Finishing:
    def finish(self):
        pgconn.finish()
        ended.set()
        time.sleep(0.5)
connection._pgconn = Finishing()
thread = threading.Thread(target=sender.close)
thread.start()
ended.wait()
# They take the number of the socket that was closed.
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.fstat(reading)
    os.write(writing, b"x")
    say(book(prompts.get("greeter"), 5))
    os._exit(0 if prompts.flush() else 1)
ends(child)
assert os.read(reading, 9) == b"x"
thread.join()
""",
        home, env,
    )  # fmt: skip
    check(sql, out)
    assert len(out.split()) == 10


def test_during_an_outage_a_fork_does_not_wait_and_the_uses_stay_with_the_parent(
    sql: Connection, home: Path, env: dict[str, str], nobody: str
) -> None:
    spool = home / "spool"
    out = run_in(
        """
logging.getLogger("promptctl").setLevel(logging.ERROR)
prompts = Prompts(os.environ["NOBODY"], spool="spool")
prompt = prompts.get("greeter", default="x")
ids = book(prompt, 50)
assert not prompts.flush(1)
began = time.monotonic()
child = os.fork()
if child == 0:
    ids = book(prompt, 20)
    prompts.close()
    assert prompts.dropped_uses == 0
    say(ids)
    os._exit(0)
assert time.monotonic() - began < 5
ends(child)
prompts.close()
say(ids)
""",
        home, env | {"NOBODY": nobody},
    )  # fmt: skip
    kept = [json.loads(line)[1] for file in spool.iterdir() for line in file.read_text().splitlines()]
    assert sorted(kept) == sorted(out.split())
    assert len(kept) == 70


@pytest.mark.parametrize("forks", ["os.fork()", "multiprocessing"])
def test_parent_and_child_follow_active_versions_on_separate_connections(
    sql: Connection, home: Path, env: dict[str, str], forks: str
) -> None:
    child = "child = os.fork()\nif child == 0:\n    follow('child')\n    os._exit(0)\n"
    if forks == "multiprocessing":
        child = (
            "import multiprocessing\nmultiprocessing.set_start_method('fork')\n"
            "process = multiprocessing.Process(target=follow, args=('child',))\nprocess.start()\nchild = process.pid\n"
        )
    code = (
        BEGIN
        + """
prompts = Prompts(poll_seconds=3600)
def follow(name):
    for version in (1, 2, 1):
        while prompts.get("greeter").version != version:
            time.sleep(0.002)
        # From memory alone, as in a process that never forked, and before anything has changed.
        ends = time.monotonic() + 20
        while prompts._page.state is not prompts._memory.state and time.monotonic() < ends:
            time.sleep(0.002)
        assert prompts._page.state is prompts._memory.state and prompts.is_connected
        os.write(1, f"{name} {version}\\n".encode())
prompts.get("greeter")
"""
        + child
        + "follow('parent')\n"
        + ("process.join()\nassert process.exitcode == 0" if forks == "multiprocessing" else "ends(child)")
    )
    process = started(code, home, env)
    assert process.stdout is not None
    try:
        said = sorted(process.stdout.readline().strip() for _ in range(2))
        assert said == ["child 1", "parent 1"]
        connected = "select count(*) from pg_stat_activity where query like '%follow%' and pid <> pg_backend_pid()"
        until(lambda: sql.execute(connected).fetchone() == (2,))
        for version in (2, 1):
            activate(sql, "greeter", version)
            said = sorted(process.stdout.readline().strip() for _ in range(2))
            assert said == [f"child {version}", f"parent {version}"]
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_the_parents_connections_are_not_harmed_by_the_end_of_a_child(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_in(
        """
logging.basicConfig(level=logging.INFO)
prompts = Prompts(flush_seconds=0.01, poll_seconds=0.01)
prompt = prompts.get("greeter")
for turn in range(20):
    say(book(prompt))
    child = os.fork()
    if child == 0:
        if turn % 2:
            say(book(prompt))
            assert prompts.flush()
        os._exit(0)
    ends(child)
    say(book(prompt))
assert prompts.flush() and prompts.is_connected
""",
        home, env,
    )  # fmt: skip
    check(sql, out)


def test_a_fork_at_any_time_does_not_deadlock_the_child(sql: Connection, home: Path, env: dict[str, str]) -> None:
    out = run_in(
        """
import threading
prompts = Prompts(flush_seconds=0.001, poll_seconds=0.001)
prompt = prompts.get("greeter")
over = threading.Event()
mine = []
def work():
    while not over.is_set():
        mine.extend(book(prompts.get("greeter", unit="u")))
        prompts.score(mine[-1], 0.5)
        over.wait(0.002)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for turn in range(25):
    child = os.fork()
    if child == 0:
        ids = book(prompts.get("greeter", unit=turn), 3) + book(prompts.get("other"), 3)
        assert prompts.flush(20)
        say(ids)
        os._exit(0)
    ends(child)
over.set()
for thread in threads:
    thread.join()
prompts.close()
assert prompts.dropped_uses == 0
say(mine)
""",
        home, env,
    )  # fmt: skip
    check(sql, out)
    assert len(out.split()) >= 25 * 6


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("way", ["Process", "ProcessPoolExecutor"])
def test_children_of_multiprocessing_send_their_uses_at_their_end(
    sql: Connection, home: Path, env: dict[str, str], method: str, way: str
) -> None:
    """They end without what is registered with atexit."""
    (home / "app.py").write_text(
        BEGIN
        + f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
prompts = Prompts(flush_seconds=1000)
def work(n):
    ids = book(prompts.get("greeter", unit=n), 5)
    say(ids)
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    say(book(prompts.get("greeter"), 5))
    if "{way}" == "Process":
        children = [context.Process(target=work, args=(n,)) for n in range(3)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
    else:
        with ProcessPoolExecutor(3, mp_context=context) as pool:
            list(pool.map(work, range(3)))
"""
    )
    done = subprocess.run([sys.executable, "app.py"], cwd=home, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    check(sql, done.stdout)
    assert len(done.stdout.split()) == 20


def test_a_client_that_a_child_of_multiprocessing_makes_itself_is_closed_at_its_end(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_in(
        """
import multiprocessing
def work():
    say(book(Prompts(flush_seconds=1000).get("greeter"), 5))
    # And in a child of its own.
    if multiprocessing.parent_process() is not None and not multiprocessing.current_process().name.endswith("-again"):
        child = multiprocessing.get_context("fork").Process(target=work, name="again-again")
        child.start()
        child.join()
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
""",
        home, env,
    )  # fmt: skip
    check(sql, out)
    assert len(out.split()) == 10


def test_a_use_in_progress_at_a_fork_is_recorded_by_the_parent_only(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_in(
        """
prompts = Prompts()
child = None
with prompts.get("greeter").use() as use:
    child = os.fork()
if child == 0:
    assert prompts.flush() and prompts.dropped_uses == 0
    os._exit(0)
ends(child)
say([use.id])
""",
        home, env,
    )  # fmt: skip
    check(sql, out)


def test_a_child_does_not_share_the_parents_spool_files(
    sql: Connection, home: Path, env: dict[str, str], nobody: str
) -> None:
    out = run_in(
        """
logging.getLogger("promptctl").setLevel(logging.ERROR)
prompts = Prompts(os.environ["NOBODY"], spool="spool", queue_size=100, flush_seconds=0.01)
prompt = prompts.get("greeter", default="x")
ids = book(prompt, 60)
while not os.path.isdir("spool") or not os.listdir("spool"):
    time.sleep(0.01)
child = os.fork()
if child == 0:
    say(book(prompt, 5))
    prompts.close(0.1)
    assert prompts.dropped_uses == 0
    os._exit(0)
ends(child)
ids += book(prompt, 5)
prompts.close(0.1)
assert prompts.dropped_uses == 0
say(ids)
assert len(os.listdir("spool")) == 2
""",
        home, env | {"NOBODY": nobody},
    )  # fmt: skip
    kept = [json.loads(line)[1] for file in (home / "spool").iterdir() for line in file.read_text().splitlines()]
    assert sorted(kept) == sorted(out.split())


def test_children_make_their_own_random_choices_and_ids(sql: Connection, home: Path, env: dict[str, str]) -> None:
    sql.execute("select promptctl.split('other', 5000, 2)")
    out = run_in(
        """
prompts = Prompts()
prompts.preload(["other"])
for _ in range(3):
    child = os.fork()
    if child == 0:
        os.write(1, ("".join(str(prompts.get("other").version) for _ in range(64)) + "\\n").encode())
        os._exit(0)
    ends(child)
""",
        home, env,
    )  # fmt: skip
    assert len(set(out.split())) == 3


def test_no_thread_starts_before_the_first_call_in_parent_or_child(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_in(
        """
import threading
prompts = Prompts()
child = os.fork()
if child == 0:
    say(book(prompts.get("greeter")))
    assert prompts.flush()
    os._exit(0)
ends(child)
assert threading.active_count() == 1
say(book(prompts.get("greeter")))
""",
        home, env,
    )  # fmt: skip
    check(sql, out)
    assert count(sql) == 2
