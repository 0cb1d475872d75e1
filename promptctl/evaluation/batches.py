"""Make calls in Message Batches, for half of their price. A batch takes up to a day.

The ids of batches are stored before anything waits for them, so a run that was killed can take the replies later.
"""

from __future__ import annotations

import base64
import time
import uuid
from typing import TYPE_CHECKING, Any

from promptctl import errors
from promptctl.claude import message_batches
from promptctl.deferred_signals import deferred_signals, interruption
from promptctl.evaluation.budget import TokensUsed
from promptctl.evaluation.calls import MAY_PASS, Counts, timestamp
from promptctl.rules import tokens
from promptctl.rules.test_replies import BATCH_PRICE, Reply, canonical_json, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from promptctl.claude.api import Claude
    from promptctl.claude.message_batches import BatchResult
    from promptctl.evaluation.budget import Budget
    from promptctl.evaluation.calls import Call
    from promptctl.evaluation.result_recorder import Recorder

FIRST_POLL_SECONDS = 2.0
_LONGEST_POLL_SECONDS = 60.0
_POLL_GROWTH = 1.5
# A request that ends with an error of Claude's own is sent again in at most so many further batches.
MOST_REPETITIONS = 2
_OF_THE_REQUEST = ("invalid_request_error", "request_too_large", "not_found_error")
# How often a poll that fails for a moment, for example because the connection is lost, is made in sequence.
_MOST_FAILED_POLLS = 10
# The database takes the hashes of so many requests, which are shorter than 300 bytes each, as one document of 10 MB.
_MOST_IN_A_BATCH = min(30_000, message_batches.MOST_REQUESTS)


class BatchCalls:
    """Makes calls in batches. It has the method `make` of `calls.Calls`, and is used in its place."""

    def __init__(self, claude: Claude, budget: Budget, recorder: Recorder) -> None:
        self._recorder = recorder
        self._claude = claude
        self._budget = budget
        # The hash of the text that the calls belong to, by request hash; '' for the calls of a judge.
        self.text_hashes: Mapping[str, str] = {}

    def make(
        self, calls: Sequence[Call], take: Callable[[Reply], Call | None], report: Callable[[Counts], None]
    ) -> Mapping[str, str]:
        """Make the calls, and pass each reply to `take`. Return the calls that failed: the sentence, by request hash.

        The calls that `take` returns are made in the next batch. Raises ClaudeFailed, also if results of a batch are
        missing, and KeyboardInterrupt: the batch is then processed all the same and stays open, and `collect` takes it.
        """
        failures: dict[str, str] = {}
        pending = list(calls)
        total, ended, repetitions = len(calls), 0, 0
        while pending:
            again: list[Call] = []
            following: list[Call] = []
            for group in self._groups(pending):
                by_id = dict(_named(group))
                batch_id = self._create(by_id)
                for result in self._results(batch_id, ended, total, report):
                    call = by_id.pop(result.custom_id, None)
                    if call is None:
                        continue
                    if result.kind == "errored" and result.error_type not in _OF_THE_REQUEST:
                        again.append(call)
                        failures[call.request_hash] = _sentence(result)
                    elif (
                        reply := self.reply(batch_id, result, call.case_hash, call.request_hash, call.compose())
                    ) is None:
                        failures[call.request_hash] = _sentence(result)
                        ended += 1
                    else:
                        if (next_call := take(reply)) is not None:
                            following.append(next_call)
                        ended += 1
                if by_id:
                    raise _incomplete(batch_id, len(by_id), len(group))
                if self.text_hashes:
                    self._recorder.end_batch(batch_id)
                else:
                    self._recorder.end_judge_batch(batch_id)
            total += len(following)
            repetitions += bool(again)
            if repetitions > MOST_REPETITIONS:
                again = []
            for call in again:
                failures.pop(call.request_hash, None)
            pending = again + following
        report(Counts(ended, total, 0, 0.0))
        return failures

    def collect(self, batch_id: str, report: Callable[[Counts], None]) -> Iterator[BatchResult]:
        """Wait for a batch of an earlier run, and yield its results. Raises ClaudeFailed."""
        self._wait(batch_id, lambda counts: report(_counts(counts, 0, sum(counts.values()))))
        yield from message_batches.results(self._claude, batch_id)

    def reply(
        self,
        batch_id: str,
        result: BatchResult,
        case_hash: str,
        request_hash: str,
        keywords: Mapping[str, Any] | None = None,
    ) -> Reply | None:
        """Return the reply in the result of a request, and count what it cost; None if it has no reply.

        Its id is made of the batch and the request: a process that is killed while it stores the replies of a batch
        leaves some of them, and the next one takes them all.
        """
        message = result.message
        if message is None:
            return None
        usage = tokens.read(message.get("usage"))
        used = TokensUsed(usage.input or 0, usage.output or 0, usage.cache_read or 0, usage.cache_write or 0)
        model = str(message.get("model"))
        # A run that makes no batches can take the replies of one.
        cost = self._budget.call_cost(keywords, model, used, usage=message.get("usage"), price_part=BATCH_PRICE)
        self._budget.settle(0.0, cost, used)
        blocks: list[dict[str, Any]] = list(message.get("content") or ())
        return Reply(
            case_hash=case_hash,
            request_hash=request_hash,
            model=model,
            blocks=blocks,
            text=text_of(blocks),
            stop_reason=message.get("stop_reason"),
            input_tokens=usage.input,
            output_tokens=usage.output,
            cache_read_tokens=usage.cache_read,
            cache_write_tokens=usage.cache_write,
            response_ms=None,
            cost=cost,
            created_at=timestamp(time.time()),
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{batch_id}/{result.custom_id}")),
        )

    def _groups(self, calls: Sequence[Call]) -> Iterator[list[Call]]:
        """Divide calls into batches that Claude accepts, as far as the budget allows them."""
        group: list[Call] = []
        size = 0
        greatest = 0.0
        for call in calls:
            keywords = call.compose()
            reserved = self._budget.reserve(keywords)
            if reserved is None:
                self._budget.is_exhausted = True
                break
            greatest += reserved
            length = len(canonical_json(keywords).encode("utf-8", "surrogatepass")) + 200
            if group and (len(group) == _MOST_IN_A_BATCH or size + length > message_batches.MOST_BYTES):
                yield group
                group, size = [], 0
            group.append(call)
            size += length
        if group:
            yield group
        self._budget.settle(greatest, 0.0, TokensUsed(0, 0))

    def _create(self, by_id: Mapping[str, Call]) -> str:
        """Create a batch of calls, store its id and return it. Do so again if Claude rejects it because of its load.

        After any other failure, such as a lost connection, Claude may have the batch, and another one would cost again.
        """
        requests = {name: call.compose() for name, call in by_id.items()}
        document = {
            name: [call.case_hash, call.request_hash, self.text_hashes.get(call.request_hash, "")]
            for name, call in by_id.items()
        }
        for attempts in range(1, _MOST_FAILED_POLLS + 1):
            batch_id, seconds = "", 0.0
            # An interruption before the id is stored would lose a batch that is paid for.
            with deferred_signals() as signals:
                try:
                    batch_id = message_batches.create(self._claude, requests).id
                    self._recorder.record_batch(batch_id, document)
                except errors.ClaudeFailed as failure:
                    if failure.code not in ("rate_limit_error", "overloaded_error") or attempts == _MOST_FAILED_POLLS:
                        raise
                    seconds = min(failure.wait_seconds or FIRST_POLL_SECONDS, _LONGEST_POLL_SECONDS)
            if (interrupted := interruption(signals)) is not None:
                raise interrupted
            if batch_id:
                return batch_id
            time.sleep(seconds)
        raise AssertionError("the last attempt returns or raises")

    def _results(
        self, batch_id: str, ended: int, total: int, report: Callable[[Counts], None]
    ) -> Iterator[BatchResult]:
        """Wait for a batch of this run, and yield its results. A failure has the command that takes them later."""
        try:
            self._wait(batch_id, lambda counts: report(_counts(counts, ended, total)))
            yield from message_batches.results(self._claude, batch_id)
        except errors.ClaudeFailed as failure:
            first = f"{failure.hint}, and then " if failure.hint and failure.code not in MAY_PASS else ""
            failure.hint = f"{first}run the same command with --resume, which takes the replies of the batch"
            raise

    def _wait(self, batch_id: str, report: Callable[[Mapping[str, int]], None]) -> None:
        """Ask for the state of a batch until it has ended, less and less often."""
        seconds = FIRST_POLL_SECONDS
        failed_polls = 0
        while True:
            try:
                state = message_batches.retrieve(self._claude, batch_id)
            except errors.ClaudeFailed as failure:
                failed_polls += 1
                if failure.code not in MAY_PASS or failed_polls == _MOST_FAILED_POLLS:
                    raise
            else:
                failed_polls = 0
                report(state.counts)
                if state.has_ended:
                    return
            time.sleep(seconds)
            seconds = min(_LONGEST_POLL_SECONDS, seconds * _POLL_GROWTH)


def _named(calls: Sequence[Call]) -> Iterator[tuple[str, Call]]:
    """Yield each call with an id that tells repetitions of one request apart, in the characters that Claude accepts."""
    counts: dict[str, int] = {}
    for call in calls:
        number = counts[call.request_hash] = counts.get(call.request_hash, 0) + 1
        digest = base64.urlsafe_b64encode(bytes.fromhex(call.request_hash)).decode().rstrip("=")
        yield f"{digest}-{number}", call


def _counts(counts: Mapping[str, int], ended: int, total: int) -> Counts:
    processing = counts.get("processing", 0)
    return Counts(ended + sum(counts.values()) - processing, total, processing, 0.0)


def _incomplete(batch_id: str, missing: int, total: int) -> errors.ClaudeFailed:
    return errors.ClaudeFailed(
        "reply_incomplete",
        f"the results of the batch {batch_id} lack {missing} of {total} calls",
        hint="run the same command with --resume, which takes the rest",
    )


def _sentence(result: BatchResult) -> str:
    if result.kind == "errored":
        return f"Claude rejected the request: {result.error_message}"
    sentences = {
        "expired": "the batch expired before the call was made",
        "canceled": "the batch was cancelled",
        message_batches.INVALID: "the reply is not in the format of Claude's API",
    }
    return sentences.get(result.kind, f"Claude returned a result of an unknown kind: {result.kind[:100]}")
