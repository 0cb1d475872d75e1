"""A run that is killed in each of its stages, and the run after it, on a real database."""

from __future__ import annotations

import os
import signal
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO

import pytest

from tests.conftest import ROOT, SERVERS
from tests.evaluation import killed_run
from tests.evaluation.conftest import GOOD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.claude_api import ClaudeServer
    from tests.preloaded import Forked, Preloaded

# A run sends the same statements to each version of PostgreSQL, so one version is enough here.
NEWEST = pytest.mark.parametrize("templated", list(SERVERS)[:1], indirect=True)
# 4 cases: 3 and then 10 new replies to each, which are broken, and as many of the baseline.
FIRST_REPLIES, REPLIES = 24, 80
# A failing verdict of a judge takes two calls.
JUDGE_CALLS = 40 * 2 + 40


@dataclass
class Run:
    """A run in a process of its own, with what it writes."""

    process: Forked
    output: TextIO
    errors: BinaryIO

    def interrupt_at(self, number: signal.Signals, stage: str, calls: int) -> int:
        """Send a signal when the run reports so many calls of a stage. Return how it ended, as `Forked.wait`."""
        with self.output:
            for line in self.output:
                words = line.split()
                if line.startswith(stage) and int(words[-1]) >= calls:
                    break
            os.kill(self.process.pid, number)
            return self.process.wait()


@pytest.fixture
def start(preloaded: Preloaded, database_url: str) -> Iterator[Callable[[str], Run]]:
    """Return a function that starts a run."""
    with tempfile.TemporaryFile() as errors:

        def start_run(way: str) -> Run:
            reader, writer = os.pipe()
            process = preloaded.start(
                "tests.evaluation.killed_run", [database_url, way], os.environ, ROOT, writer, errors.fileno()
            )
            os.close(writer)
            return Run(process, open(reader), errors)

        yield start_run


def counts(sql: psycopg.Connection[Any]) -> tuple[int, int]:
    """Return how many replies and judgements are stored."""
    query = "select (select count(*) from promptctl.test_replies), (select count(*) from promptctl.test_judgements)"
    row = sql.execute(query).fetchone()
    assert row is not None
    return row


@pytest.fixture
def serve(claude: ClaudeServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets the server answer in a way of its scenario `crowd`."""

    def serve_crowd(**parameters: object) -> None:
        monkeypatch.setenv("ANTHROPIC_API_KEY", claude.KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", claude.url("crowd", **parameters))

    return serve_crowd


@pytest.fixture
def version(sql: psycopg.Connection[Any]) -> None:
    """Store the baseline of the run."""
    sql.execute("select promptctl.create_version('support', %s, activated => true)", [GOOD])


@NEWEST
@pytest.mark.usefixtures("version")
def test_a_run_that_is_killed_in_each_stage_repeats_nothing_that_was_stored(
    claude: ClaudeServer,
    serve: Callable[..., None],
    start: Callable[[str], Run],
    database_url: str,
    sql: psycopg.Connection[Any],
) -> None:
    before = len(claude.requests)
    stored = [(0, 0)]
    for stage, calls in (("replies", 8), ("judge", 8), ("more replies", 16)):
        # Slower than the progress is reported, so that the run is killed while calls run.
        serve(delay_ms=150)
        assert start("direct").interrupt_at(signal.SIGKILL, stage, calls) == -signal.SIGKILL
        stored.append(counts(sql))
    # No stage is made before the one before it is stored.
    assert stored == sorted(stored)
    assert stored[1][0] < FIRST_REPLIES <= stored[2][0] <= stored[3][0] < REPLIES
    replies, judgements = stored[-1]
    serve()
    result = killed_run.run(database_url, is_batch=False)
    assert result.kept_replies == replies
    assert result.new_calls == REPLIES - replies
    assert result.judge_calls <= JUDGE_CALLS - judgements
    assert counts(sql) == (REPLIES, REPLIES)
    # A kill loses what was not stored yet: at most the replies of half a second and the calls that ran.
    sent = sum(one.status == 200 and "output_config" not in one.body for one in claude.requests[before:])
    assert REPLIES <= sent <= REPLIES + 2 * FIRST_REPLIES + 56


@NEWEST
@pytest.mark.usefixtures("version")
def test_ctrl_c_stores_the_replies_of_the_calls_that_run(
    claude: ClaudeServer,
    serve: Callable[..., None],
    start: Callable[[str], Run],
    database_url: str,
    sql: psycopg.Connection[Any],
) -> None:
    before = len(claude.requests)
    serve(delay_ms=150)
    run = start("direct")
    assert run.interrupt_at(signal.SIGINT, "replies", 6) == 1
    run.errors.seek(0)
    assert b"KeyboardInterrupt" in run.errors.read()
    replies, _ = counts(sql)
    assert replies == sum(one.status == 200 for one in claude.requests[before:])
    assert 6 <= replies <= FIRST_REPLIES
    assert sql.execute("select failure from promptctl.test_runs").fetchall() == [("interrupted",)]


@NEWEST
@pytest.mark.usefixtures("version")
def test_a_batch_that_was_created_is_not_sent_again(
    claude: ClaudeServer,
    serve: Callable[..., None],
    start: Callable[[str], Run],
    database_url: str,
    sql: psycopg.Connection[Any],
) -> None:
    before = len(claude.batches)
    serve(polls=4, test="killed batch")
    assert start("batch").interrupt_at(signal.SIGKILL, "replies", 0) == -signal.SIGKILL
    assert counts(sql) == (0, 0)
    result = killed_run.run(database_url, is_batch=True)
    assert (result.new_calls, result.judge_calls, result.kept_replies) == (REPLIES, JUDGE_CALLS, 0)
    requests = [len(batch.requests) for batch in claude.batches[before:]]
    assert requests[0] == FIRST_REPLIES
    assert sum(requests) == REPLIES + JUDGE_CALLS
    assert counts(sql) == (REPLIES, REPLIES)
