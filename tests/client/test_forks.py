"""A process that forks: parent and child both follow active versions, and each use is recorded once."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.support import activate, count, run_program, start_program, until, uses

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    Connection = psycopg.Connection[Any]

# A program prints the ids of the uses that must be recorded once.
SETUP = """
import logging, os, sys, time
from promptctl import Prompts
def record_uses(prompt, number=1):
    ids = []
    for _ in range(number):
        with prompt.use() as use:
            use.record(input_tokens=7)
        ids.append(use.id)
    return ids
def print_ids(ids):
    os.write(1, "".join(id + "\\n" for id in ids).encode())
def wait_for(child):
    assert os.waitpid(child, 0)[1] == 0
"""


def check_recorded_once(sql: Connection, output: str) -> None:
    """Check that exactly the uses whose ids a program printed are recorded."""
    ids = output.split()
    assert len(set(ids)) == len(ids) > 0
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ids)


def run_with_setup(code: str, home: Path, env: dict[str, str]) -> str:
    result = run_program(SETUP + code, home, env)
    assert (result.code, result.err) == (0, ""), result.err
    return result.out


def test_parent_and_child_of_os_fork_record_each_use_once(sql: Connection, home: Path, env: dict[str, str]) -> None:
    out = run_with_setup(
        """
prompts = Prompts(flush_seconds=1000)
prompt = prompts.get("greeter", unit="u")
print_ids(record_uses(prompt, 50))
child = os.fork()
if child == 0:
    assert prompts.waiting_uses == prompts.dropped_uses == 0
    # The prompt from before the fork, the same prompt again, and a prompt that is not loaded.
    print_ids(record_uses(prompt, 20) + record_uses(prompts.get("greeter"), 20) + record_uses(prompts.get("other"), 20))
    prompts.close()
    os._exit(0)
print_ids(record_uses(prompt, 30))
wait_for(child)
print_ids(record_uses(prompts.get("other"), 30))
prompts.close()
""",
        home, env,
    )  # fmt: skip
    check_recorded_once(sql, out)
    assert len(out.split()) == 170


def test_a_fork_while_the_connection_for_uses_is_closed_keeps_the_childs_descriptors(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_with_setup(
        """
import threading
prompts = Prompts(flush_seconds=0.01)
print_ids(record_uses(prompts.get("greeter"), 5))
prompts.flush()
sender = prompts._recorder._delivery._sender
connection = sender._database._connection
pgconn = connection._pgconn
ended = threading.Event()
class SlowConnection:
    def finish(self):
        pgconn.finish()
        ended.set()
        time.sleep(0.5)
connection._pgconn = SlowConnection()
thread = threading.Thread(target=sender.disconnect)
thread.start()
ended.wait()
# The pipe reuses the descriptor of the closed socket.
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.fstat(reading)
    os.write(writing, b"x")
    print_ids(record_uses(prompts.get("greeter"), 5))
    os._exit(0 if prompts.flush() else 1)
wait_for(child)
assert os.read(reading, 9) == b"x"
thread.join()
""",
        home, env,
    )  # fmt: skip
    check_recorded_once(sql, out)
    assert len(out.split()) == 10


def test_a_fork_during_an_outage_does_not_block_and_the_parent_keeps_its_uses(
    sql: Connection, home: Path, env: dict[str, str], refusing_url: str
) -> None:
    spool = home / "spool"
    out = run_with_setup(
        """
logging.getLogger("promptctl").setLevel(logging.ERROR)
prompts = Prompts(os.environ["REFUSING_URL"], spool="spool")
prompt = prompts.get("greeter", default="x")
ids = record_uses(prompt, 50)
assert not prompts.flush(1)
began = time.monotonic()
child = os.fork()
if child == 0:
    ids = record_uses(prompt, 20)
    prompts.close()
    assert prompts.dropped_uses == 0
    print_ids(ids)
    os._exit(0)
assert time.monotonic() - began < 5
wait_for(child)
prompts.close()
print_ids(ids)
""",
        home, env | {"REFUSING_URL": refusing_url},
    )  # fmt: skip
    spooled = [json.loads(line)[1] for file in spool.iterdir() for line in file.read_text().splitlines()]
    assert sorted(spooled) == sorted(out.split())
    assert len(spooled) == 70


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
        SETUP
        + """
prompts = Prompts(poll_seconds=3600)
def follow(name):
    for version in (1, 2, 1):
        while prompts.get("greeter").version != version:
            time.sleep(0.002)
        # Wait until `get` answers from memory without a lock, as in a process that has not forked.
        deadline = time.monotonic() + 20
        while prompts._process_local.state is not prompts._memory.state and time.monotonic() < deadline:
            time.sleep(0.002)
        assert prompts._process_local.state is prompts._memory.state and prompts.is_connected
        os.write(1, f"{name} {version}\\n".encode())
prompts.get("greeter")
"""
        + child
        + "follow('parent')\n"
        + ("process.join()\nassert process.exitcode == 0" if forks == "multiprocessing" else "wait_for(child)")
    )
    process = start_program(code, home, env)
    assert process.stdout is not None
    try:
        lines = sorted(process.stdout.readline().strip() for _ in range(2))
        assert lines == ["child 1", "parent 1"]
        connected = "select count(*) from pg_stat_activity where query like '%follow%' and pid <> pg_backend_pid()"
        until(lambda: sql.execute(connected).fetchone() == (2,))
        for version in (2, 1):
            activate(sql, "greeter", version)
            lines = sorted(process.stdout.readline().strip() for _ in range(2))
            assert lines == [f"child {version}", f"parent {version}"]
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.communicate()


def test_the_exit_of_a_child_does_not_break_the_parents_connections(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_with_setup(
        """
logging.basicConfig(level=logging.INFO)
prompts = Prompts(flush_seconds=0.01, poll_seconds=0.01)
prompt = prompts.get("greeter")
for turn in range(20):
    print_ids(record_uses(prompt))
    child = os.fork()
    if child == 0:
        if turn % 2:
            print_ids(record_uses(prompt))
            assert prompts.flush()
        os._exit(0)
    wait_for(child)
    print_ids(record_uses(prompt))
assert prompts.flush() and prompts.is_connected
""",
        home, env,
    )  # fmt: skip
    check_recorded_once(sql, out)


def test_a_fork_at_any_time_does_not_deadlock_the_child(sql: Connection, home: Path, env: dict[str, str]) -> None:
    out = run_with_setup(
        """
import threading
prompts = Prompts(flush_seconds=0.001, poll_seconds=0.001)
prompt = prompts.get("greeter")
stop = threading.Event()
ids_of_threads = []
def work():
    while not stop.is_set():
        ids_of_threads.extend(record_uses(prompts.get("greeter", unit="u")))
        prompts.score(ids_of_threads[-1], 0.5)
        stop.wait(0.002)
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for turn in range(25):
    child = os.fork()
    if child == 0:
        ids = record_uses(prompts.get("greeter", unit=turn), 3) + record_uses(prompts.get("other"), 3)
        assert prompts.flush(20)
        print_ids(ids)
        os._exit(0)
    wait_for(child)
stop.set()
for thread in threads:
    thread.join()
prompts.close()
assert prompts.dropped_uses == 0
print_ids(ids_of_threads)
""",
        home, env,
    )  # fmt: skip
    check_recorded_once(sql, out)
    assert len(out.split()) >= 25 * 6


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("start", ["Process", "ProcessPoolExecutor"])
def test_children_of_multiprocessing_send_their_uses_at_exit(
    sql: Connection, home: Path, env: dict[str, str], method: str, start: str
) -> None:
    """Such children do not run atexit handlers."""
    (home / "app.py").write_text(
        SETUP
        + f"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
prompts = Prompts(flush_seconds=1000)
def work(n):
    ids = record_uses(prompts.get("greeter", unit=n), 5)
    print_ids(ids)
if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    print_ids(record_uses(prompts.get("greeter"), 5))
    if "{start}" == "Process":
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
    result = subprocess.run([sys.executable, "app.py"], cwd=home, env=env, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    check_recorded_once(sql, result.stdout)
    assert len(result.stdout.split()) == 20


def test_a_client_created_in_a_multiprocessing_child_is_closed_at_its_exit(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_with_setup(
        """
import multiprocessing
def work():
    print_ids(record_uses(Prompts(flush_seconds=1000).get("greeter"), 5))
    # Do the same in a child of this child.
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
    check_recorded_once(sql, out)
    assert len(out.split()) == 10


def test_a_use_in_progress_at_a_fork_is_recorded_by_the_parent_only(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_with_setup(
        """
prompts = Prompts()
child = None
with prompts.get("greeter").use() as use:
    child = os.fork()
if child == 0:
    assert prompts.flush() and prompts.dropped_uses == 0
    os._exit(0)
wait_for(child)
print_ids([use.id])
""",
        home, env,
    )  # fmt: skip
    check_recorded_once(sql, out)


def test_a_child_does_not_share_the_parents_spool_files(
    sql: Connection, home: Path, env: dict[str, str], refusing_url: str
) -> None:
    out = run_with_setup(
        """
logging.getLogger("promptctl").setLevel(logging.ERROR)
prompts = Prompts(os.environ["REFUSING_URL"], spool="spool", queue_size=100, flush_seconds=0.01)
prompt = prompts.get("greeter", default="x")
ids = record_uses(prompt, 60)
while not os.path.isdir("spool") or not os.listdir("spool"):
    time.sleep(0.01)
child = os.fork()
if child == 0:
    print_ids(record_uses(prompt, 5))
    prompts.close(0.1)
    assert prompts.dropped_uses == 0
    os._exit(0)
wait_for(child)
ids += record_uses(prompt, 5)
prompts.close(0.1)
assert prompts.dropped_uses == 0
print_ids(ids)
assert len(os.listdir("spool")) == 2
""",
        home, env | {"REFUSING_URL": refusing_url},
    )  # fmt: skip
    spooled = [json.loads(line)[1] for file in (home / "spool").iterdir() for line in file.read_text().splitlines()]
    assert sorted(spooled) == sorted(out.split())


def test_forked_children_select_versions_at_random_independently(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    sql.execute("select promptctl.split('other', 5000, 2)")
    out = run_with_setup(
        """
prompts = Prompts()
prompts.preload(["other"])
for _ in range(3):
    child = os.fork()
    if child == 0:
        os.write(1, ("".join(str(prompts.get("other").version) for _ in range(64)) + "\\n").encode())
        os._exit(0)
    wait_for(child)
""",
        home, env,
    )  # fmt: skip
    assert len(set(out.split())) == 3


def test_no_thread_starts_before_the_first_call_in_parent_or_child(
    sql: Connection, home: Path, env: dict[str, str]
) -> None:
    out = run_with_setup(
        """
import threading
prompts = Prompts()
child = os.fork()
if child == 0:
    print_ids(record_uses(prompts.get("greeter")))
    assert prompts.flush()
    os._exit(0)
wait_for(child)
assert threading.active_count() == 1
print_ids(record_uses(prompts.get("greeter")))
""",
        home, env,
    )  # fmt: skip
    check_recorded_once(sql, out)
    assert count(sql) == 2
