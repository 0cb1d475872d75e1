"""Take the replies of batches that earlier runs of a prompt began."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.evaluation.result_recorder import not_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.evaluation.batches import BatchCalls
    from promptctl.evaluation.calls import Counts
    from promptctl.evaluation.judging import Judging
    from promptctl.evaluation.result_recorder import Recorder
    from promptctl.evaluation.results import Reply
    from promptctl.evaluation.sides import Side
    from promptctl.evaluation.storage import Storage
    from promptctl.store.test_runs import OpenBatch


class EarlierBatches:
    """The open batches of a prompt, for one run with these sides. `notes` gets sentences for a person."""

    def __init__(
        self, storage: Storage, recorder: Recorder, judging: Judging, sides: Sequence[Side], notes: list[str]
    ) -> None:
        self._storage, self._recorder, self._judging = storage, recorder, judging
        self._sides, self._notes = sides, notes
        # The hashes of the requests in batches of judges whose answers were taken, by batch.
        self._judge_batches: dict[str, set[str]] = {}

    def warning(self, batches: Sequence[OpenBatch]) -> str | None:
        """Return a note for a run that does not take batches, None if none of them has a reply for it.

        A batch of another model, text or case has none. Of a batch of a judge, this is not known before.
        """
        own = {one for side in self._sides for one in side.request_hashes}
        batches = [
            batch
            for batch in batches
            if any(request_hash in own or not text for _, request_hash, text in batch.requests.values())
        ]
        if not batches:
            return None
        count = "1 batch of an earlier run" if len(batches) == 1 else f"{len(batches)} batches of earlier runs"
        return f"the replies of {count} are not taken, and may be paid for again: use --resume to take them"

    def take(
        self,
        batches: Sequence[OpenBatch],
        maker: BatchCalls,
        add: Callable[[Reply], None],
        report: Callable[[Counts], None],
    ) -> None:
        """Wait for batches, store their replies, and pass each one that was not stored before to `add`.

        The answers of judges go to the judging. Raises ClaudeFailed, but a batch that Claude does not have is noted.
        """
        for batch in batches:
            try:
                self._take(batch, maker, add, report)
            except errors.ClaudeFailed as failure:
                if failure.code != "not_found_error":
                    raise
                self._notes.append(f"Claude has no batch {batch.id} for this API key, so its calls are made again")

    def end_judge_batches(self) -> None:
        """Mark the batches of judges as ended that this run has all answers of, after their verdicts came.

        The answers in another one are for another test, and are stored nowhere else.
        """
        for batch_id, hashes in self._judge_batches.items():
            if hashes <= self._judging.requests:
                self._recorder.end_batch(batch_id)
            else:
                self._notes.append(
                    f"the batch {batch_id} has answers of a judge for another test, and stays open for its --resume"
                )

    def _take(
        self, batch: OpenBatch, maker: BatchCalls, add: Callable[[Reply], None], report: Callable[[Counts], None]
    ) -> None:
        replies: dict[str, list[Reply]] = {}
        answers: dict[str, list[Reply]] = {}
        missing = set(batch.requests)
        kept = {reply.id for side in self._sides for group in side.replies.values() for reply in group}
        for result in maker.collect(batch.id, report):
            missing.discard(result.custom_id)
            case_hash, request_hash, text_hash = batch.requests.get(result.custom_id, ("", "", ""))
            reply = maker.reply(batch.id, result, case_hash, request_hash) if request_hash else None
            if reply is None or reply.id in kept:
                continue
            if text_hash:
                replies.setdefault(text_hash, []).append(reply)
            else:
                answers.setdefault(request_hash, []).append(reply)
        for text_hash, group in replies.items():
            try:
                self._storage.record_replies(batch.run, text_hash, group)
            except errors.Refused as refusal:
                if refusal.code != "text_erased":
                    raise
                self._notes.append(not_kept(refusal))
            # In the order in which a later run gets them.
            for reply in sorted(group, key=lambda one: one.id):
                add(reply)
        for request_hash, group in answers.items():
            self._judging.answers.setdefault(request_hash, []).extend(group)
        if missing:
            self._notes.append(
                f"the results of the batch {batch.id} lack {len(missing)} of {len(batch.requests)} calls: use --resume"
                " later to take them"
            )
        elif answers:
            self._judge_batches[batch.id] = set(answers)
        else:
            self._storage.end_batch(batch.id)
