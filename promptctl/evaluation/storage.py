"""What a run needs of the database: kept replies and judgements, and where to record new ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from promptctl import errors
from promptctl.evaluation import stored_results
from promptctl.store import administration, test_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.evaluation.results import RunResult
    from promptctl.postgres.database import Database
    from promptctl.rules.test_cases import Case
    from promptctl.rules.test_replies import Judgement, Reply
    from promptctl.store.test_runs import CaseOutcome, NewRun, OpenBatch, RunOutcome

_Result = TypeVar("_Result")


class Storage(Protocol):
    """Where runs are stored. The other methods are the functions of `store.test_runs`, with their errors."""

    def installation(self) -> str:
        """Return the unique id of the database."""
        ...

    def kept_replies(self, request_hashes: Sequence[str], most: int) -> list[Reply]:
        """Return the newest `most` replies to each request, oldest first."""
        ...

    def kept_judgements(self, reply_ids: Sequence[str], judging_keys: Sequence[str]) -> list[Judgement]:
        """Return the judgements of these replies with these keys by each model, oldest first."""
        ...

    def begin_run(self, new: NewRun, cases: Sequence[Case]) -> int:
        """Begin a run, and return its number."""
        ...

    def standing_result(self, new: NewRun, request_hashes: Sequence[str], repeats: Sequence[int]) -> RunResult | None:
        """Return the result of the run whose verdict a run of the same would only repeat, as `standing_run` says."""
        ...

    def record_replies(self, run: int, sha256: str, replies: Sequence[Reply]) -> None:
        """Store replies to the text with this hash."""
        ...

    def record_judgements(self, judge_sha256: str, judgements: Sequence[Judgement]) -> None:
        """Store judgements of one judge."""
        ...

    def record_batch(self, run: int, batch_id: str, requests: Mapping[str, Any]) -> None:
        """Store the id of a batch of messages, and what its replies need."""
        ...

    def open_batches(self, name: str) -> list[OpenBatch]:
        """Return the batches of runs of a prompt whose replies are not stored, oldest first."""
        ...

    def end_batch(self, batch_id: str) -> None:
        """Mark a batch as ended, because its replies are stored."""
        ...

    def end_run(self, run: int, outcome: RunOutcome, results: Sequence[CaseOutcome]) -> None:
        """End a run."""
        ...


class DatabaseStorage:
    """The storage in a database. A run may take hours, so a connection that was lost is opened again once."""

    def __init__(self, database: Database, author: str, reconnect: Callable[[], Database] | None = None) -> None:
        """Use a connection, and `reconnect` for another one when it is lost. `author` begins the runs."""
        self._database = database
        self._author = author
        self._reconnect = reconnect
        self._installation: str | None = None

    def installation(self) -> str:
        """Do as the method of Storage says."""
        if self._installation is None:
            self._installation = self._run(administration.read_installation_id)
        return self._installation

    def kept_replies(self, request_hashes: Sequence[str], most: int) -> list[Reply]:
        """Do as the method of Storage says."""
        return self._run(lambda database: test_runs.kept_replies(database, request_hashes, most))

    def kept_judgements(self, reply_ids: Sequence[str], judging_keys: Sequence[str]) -> list[Judgement]:
        """Do as the method of Storage says."""
        return self._run(lambda database: test_runs.kept_judgements(database, reply_ids, judging_keys))

    def begin_run(self, new: NewRun, cases: Sequence[Case]) -> int:
        """Do as the method of Storage says."""
        return self._run(lambda database: test_runs.begin_run(database, new, cases, author=self._author))

    def standing_result(self, new: NewRun, request_hashes: Sequence[str], repeats: Sequence[int]) -> RunResult | None:
        """Do as the method of Storage says."""

        def read(database: Database) -> RunResult | None:
            run = test_runs.standing_run(database, new, request_hashes, repeats)
            return None if run is None else stored_results.read(database, test_runs.read_run(database, run))[0]

        return self._run(read)

    def record_replies(self, run: int, sha256: str, replies: Sequence[Reply]) -> None:
        """Do as the method of Storage says."""
        self._run(lambda database: test_runs.record_replies(database, run, sha256, replies))

    def record_judgements(self, judge_sha256: str, judgements: Sequence[Judgement]) -> None:
        """Do as the method of Storage says."""
        self._run(lambda database: test_runs.record_judgements(database, judge_sha256, judgements))

    def record_batch(self, run: int, batch_id: str, requests: Mapping[str, Any]) -> None:
        """Do as the method of Storage says."""
        self._run(lambda database: test_runs.record_batch(database, run, batch_id, requests))

    def open_batches(self, name: str) -> list[OpenBatch]:
        """Do as the method of Storage says."""
        return self._run(lambda database: test_runs.open_batches(database, name))

    def end_batch(self, batch_id: str) -> None:
        """Do as the method of Storage says."""
        self._run(lambda database: test_runs.end_batch(database, batch_id))

    def end_run(self, run: int, outcome: RunOutcome, results: Sequence[CaseOutcome]) -> None:
        """Do as the method of Storage says."""
        self._run(lambda database: test_runs.end_run(database, run, outcome, results))

    def _run(self, action: Callable[[Database], _Result]) -> _Result:
        try:
            return action(self._database)
        except errors.Unreachable:
            if self._reconnect is None:
                raise
            self._database = self._reconnect()
            return action(self._database)
