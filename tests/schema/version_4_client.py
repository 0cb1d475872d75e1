"""A program that sends the SQL of an application's client of schema version 4, and sends a use again after an error."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from threading import Event

# The statements of that client, with the parameters of psycopg.
GATE = """
    select promptctl.expect_schema_version(4)
    where not exists (select from promptctl.installation i where i.version = 4)
    """
FOLLOW = "select * from promptctl.follow(%s, %s)"
READ_VERSIONS = "select * from promptctl.read_versions(%s, %s)"
NAMES = "select * from promptctl.prompt_names()"
RECORD = """
    select (b).recorded, (b).repeated, (b).late
    from promptctl.record_uses(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) b
    """
RECORD_ONE = """
    select promptctl.record_use(
        name => %s, version => %s, epoch => %s, input_tokens => %s, output_tokens => %s, response_ms => %s,
        model => %s, unit => %s, outcome => %s, use_id => %s, cache_read_tokens => %s, cache_write_tokens => %s,
        first_token_ms => %s, request_id => %s)
    """
FALLBACKS = "select * from promptctl.record_fallbacks(%s, %s, %s, %s, %s, %s, %s, %s)"
SCORE = "select promptctl.score_use(%s, %s)"
RESOLVE = "select name, version, epoch, content, settings, metadata from promptctl.resolve(%s, %s)"
# Classes of SQLSTATE for which that client drops a use. After any other error it sends the use again.
_OF_THE_USE = ("22", "23", "54", "P0")
_COLUMNS = [
    "name", "epoch", "active_version", "candidate_version", "basis_points", "seed", "route", "content", "settings",
    "metadata", "candidate_content", "candidate_settings", "candidate_metadata",
]  # fmt: skip


class Client:
    """One application. `recorded` are the ids of its acknowledged uses, `resolved` counts its reads.

    `longest_read` and `longest_record` are in seconds. `failure` is an error for which that client would lose a use.
    """

    def __init__(self, dsn: str) -> None:
        self.recorded: list[str] = []
        self.resolved = 0
        self.retries = 0
        self.longest_read = 0.0
        self.longest_record = 0.0
        self.failure: Exception | None = None
        self._dsn = dsn

    def work(self, ending: Event) -> None:
        """Read and record until the event is set."""
        try:
            connection = self._connect()
            while not ending.is_set():
                start = time.perf_counter()
                self._again(lambda: self._read(connection))
                read = time.perf_counter()
                use_id = str(uuid.uuid4())
                self._again(lambda: self._record(connection, use_id))  # noqa: B023 - it is called at once
                self.longest_read = max(self.longest_read, read - start)
                self.longest_record = max(self.longest_record, time.perf_counter() - read)
                self.recorded.append(use_id)
            connection.close()
        except Exception as failure:  # noqa: BLE001 - the test reports it
            self.failure = failure

    def _connect(self) -> psycopg.Connection[Any]:
        connection: psycopg.Connection[Any] = psycopg.connect(
            self._dsn, autocommit=True, application_name="promptctl client", prepare_threshold=None
        )
        connection.execute("listen promptctl")
        connection.execute(GATE)
        return connection

    def _again(self, send: Any) -> None:
        while True:
            try:
                send()
                return
            except psycopg.Error as error:
                if error.sqlstate is None or error.sqlstate[:2] in _OF_THE_USE:
                    raise
                self.retries += 1
                time.sleep(0.005)

    def _read(self, connection: psycopg.Connection[Any]) -> None:
        cursor = connection.execute(FOLLOW, [["support", "greeting"], [None, None]])
        assert [column.name for column in cursor.description or []] == _COLUMNS
        assert len(cursor.fetchall()) == 2
        assert connection.execute(READ_VERSIONS, [["support"], [1]]).fetchall()
        assert connection.execute(RESOLVE, ["greeting", "user-1"]).fetchall()
        assert connection.execute(NAMES).fetchall()
        self.resolved += 1

    def _record(self, connection: psycopg.Connection[Any], use_id: str) -> None:
        number = len(self.recorded)
        if number % 10 == 9:
            connection.execute(
                RECORD_ONE,
                ["greeting", 1, 1, 5, 6, 7.5, "model", "user-1", "ok", use_id, None, None, None, None],
            )
            connection.execute(SCORE, [use_id, 0.5])
            connection.execute(
                FALLBACKS,
                [[str(uuid.uuid4())], ["gone"], [0.5], [None], [1], [2], [3.5], ["ok"]],
            )
            return
        [(recorded, repeated, late)] = connection.execute(
            RECORD,
            [
                [use_id], ["support"], [1], [3], [1.5], [number % 10000], ["model"], [10], [20], [None], [None], [30.5],
                [None], ["ok"], [None], ["request"],
            ],
        )  # fmt: skip
        assert (recorded + repeated, late) == (1, 0)
