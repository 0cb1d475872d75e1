"""Store the results of a run as they come; in a file after a failure of the database."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.evaluation.spooled_results import SpooledResults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.evaluation.storage import Storage
    from promptctl.rules.test_replies import Judgement, Reply
    from promptctl.store.test_runs import CaseOutcome, RunOutcome

# A process that is killed loses the replies of at most this time, or so many of them.
_MOST_SECONDS = 0.5
_MOST_REPLIES = 20


class Recorder:
    """Records the results of one run. `run` is its number, `notes` are sentences for a person."""

    def __init__(self, storage: Storage, run: int, directory: str) -> None:
        """Store results in `storage`, or in a file of `directory` after a failure of the database."""
        self.run = run
        self.notes: list[str] = []
        self.reply_ids: set[str] = set()
        # The batches of this run whose replies are still to come.
        self.open_batches: set[str] = set()
        self._judge_batches: list[str] = []
        # The number of the write that stores a reply, from 1, by the id of the reply.
        self._writes: dict[str, int] = {}
        self._next_write = 1
        self._storage = storage
        self._spool = SpooledResults(directory, run, storage.installation())
        self._is_spooling = False
        # What is not stored yet, by the hash of the text that it belongs to.
        self._replies: dict[str, list[Reply]] = {}
        self._judgements: dict[str, list[Judgement]] = {}
        self._flushed_at = time.monotonic()

    def add_reply(self, text_hash: str, reply: Reply) -> None:
        """Record a reply to the text with this hash, soon."""
        self.reply_ids.add(reply.id)
        self._writes[reply.id] = self._next_write
        self._replies.setdefault(text_hash, []).append(reply)
        if len(self._replies[text_hash]) >= _MOST_REPLIES:
            self.flush()
        else:
            self.flush_if_due()

    def place(self, reply: Reply) -> tuple[int, str]:
        """Return a key that sorts replies as a later run gets them; those of earlier runs have one key."""
        write = self._writes.get(reply.id, 0)
        return write, reply.id if write else ""

    def add_judgement(self, judge_sha256: str, judgement: Judgement) -> None:
        """Record a judgement of a judge, soon."""
        self._judgements.setdefault(judge_sha256, []).append(judgement)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Store what came, if the last time was half a second ago."""
        if time.monotonic() - self._flushed_at >= _MOST_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Store everything that came. An interruption leaves what is not stored for the next time."""
        # Replies first: a judgement belongs to a reply that is stored.
        self._next_write += 1
        for text_hash, replies in list(self._replies.items()):
            self._store_replies(text_hash, replies)
            del self._replies[text_hash]
        for judge_sha256, judgements in list(self._judgements.items()):
            self._store_judgements(judge_sha256, judgements)
            del self._judgements[judge_sha256]
        self._flushed_at = time.monotonic()

    def end(self, outcome: RunOutcome, results: Sequence[CaseOutcome]) -> None:
        """Store the outcome of the run, after everything else."""
        self.flush()
        self._store(
            lambda: self._storage.end_run(self.run, outcome, results), lambda: self._spool.add_end(outcome, results)
        )

    def record_batch(self, batch_id: str, requests: Mapping[str, Any]) -> None:
        """Store the id of a batch of messages, and what its replies need."""
        self.open_batches.add(batch_id)
        self._store(
            lambda: self._storage.record_batch(self.run, batch_id, requests),
            lambda: self._spool.add_batch(batch_id, requests),
        )

    def end_batch(self, batch_id: str) -> None:
        """Mark a batch as ended, after its replies were stored."""
        self.flush()
        self.open_batches.discard(batch_id)
        self._store(lambda: self._storage.end_batch(batch_id), lambda: self._spool.add_batch_end(batch_id))

    def end_judge_batch(self, batch_id: str) -> None:
        """Mark a batch of a judge as ended when `end_judgements` is called.

        Its answers are votes, which are stored as a part of a judgement only. Until then, another run can take them.
        """
        self._judge_batches.append(batch_id)

    def end_judgements(self) -> None:
        """Store the judgements, and mark the batches as ended that they were made of."""
        self.flush()
        while self._judge_batches:
            self.end_batch(self._judge_batches.pop())

    def _store_replies(self, text_hash: str, replies: Sequence[Reply]) -> None:
        self._store(
            lambda: self._storage.record_replies(self.run, text_hash, replies),
            lambda: self._spool.add_replies(text_hash, replies),
        )

    def _store_judgements(self, judge_sha256: str, judgements: Sequence[Judgement]) -> None:
        self._store(
            lambda: self._storage.record_judgements(judge_sha256, judgements),
            lambda: self._spool.add_judgements(judge_sha256, judgements),
        )

    def _store(self, record: Callable[[], object], spool: Callable[[], None]) -> None:
        """Store a result with `record`, or with `spool` from the first failure of the database on.

        Any failure counts, for example of a full disk: what Claude was paid for is never thrown away. But replies to a
        text that was erased meanwhile are kept nowhere.
        """
        if not self._is_spooling:
            try:
                record()
            except errors.PromptctlError as problem:
                if problem.code == "text_erased":
                    if (note := not_kept(problem)) not in self.notes:
                        self.notes.append(note)
                    return
                self._is_spooling = True
                reason = problem.message.partition(";")[0]
                self.notes.append(
                    f"the results are in {self._spool.path}, and --resume stores them. The database failed: {reason}"
                )
            else:
                return
        spool()


def not_kept(refusal: errors.PromptctlError) -> str:
    """Return the note that the database keeps no replies to a text that was erased."""
    return f"the replies to it are not kept: {refusal.message}"
