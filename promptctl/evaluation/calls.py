"""Make calls of Claude beside each other, under the adaptive limit, and repeat those that Claude rejects.

The main thread decides which call begins and when. Threads make the calls. Each reply is passed on as soon as it is
whole, so an interruption or a failure loses none of them.
"""

from __future__ import annotations

import heapq
import time
from collections import deque
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from promptctl import errors, threads
from promptctl.claude.api import OK, Attempt
from promptctl.deferred_signals import deferred_signals, interruption
from promptctl.evaluation.budget import TokensUsed
from promptctl.evaluation.limiter import FIRST_WAIT, LONGEST_WAIT, Limiter
from promptctl.records import Record
from promptctl.rules.test_replies import Reply, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.claude.api import Claude
    from promptctl.evaluation.budget import Budget
    from promptctl.rules.use_ids import UseIds

# A call that an overloaded server rejects is made at most so often. The waits between add up to five minutes.
MOST_REJECTIONS = 15
# A call that fails for another reason that may pass, such as a lost connection, is made at most so often.
MOST_ATTEMPTS = 4
# If Claude asks to wait longer than this, the run ends: the user gets the error, with the time to wait.
LONGEST_RATE_LIMIT_SECONDS = 300.0
# The same for a rate limit, as long as no other call succeeds.
MOST_RATE_REJECTIONS = 15
# After Ctrl-C, calls that run have so long to end, because they are billed in any case.
GRACE_SECONDS = 10.0
_REPORT_SECONDS = 0.1
_OVERLOAD = ("overloaded_error", "api_error", "timeout_error")
_PASSING = ("reply_cut", "reply_incomplete", "claude_timed_out", "claude_unreachable")
# Outcomes with a whole reply.
_WHOLE = (OK, "reply_refused")
# Failures of a call that Claude may have begun to answer, and then bills.
_BEGUN = ("reply_cut", "reply_incomplete", "claude_timed_out")
# Failures after which the same call may succeed.
MAY_PASS = (*_OVERLOAD, *_PASSING, "rate_limit_error")
# A failure that says something about this request alone. After any other one, each further call would fail too.
_OF_THE_REQUEST = ("invalid_request_error", "request_too_large")


class Call(Record):
    """One call to make. `compose` returns the keywords of `messages.create`, whose hash is `request_hash`."""

    case_hash: str
    request_hash: str
    compose: Callable[[], Mapping[str, Any]]


class Counts(Record):
    """How far the calls are: those that have ended, all of them, those that run, and how long all of them wait."""

    ended: int
    total: int
    running: int
    waiting_seconds: float


class _Job:
    """A call with what happened to it so far."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.attempts = 0
        self.rejections = 0
        # How often a rate limit has rejected the call since another call succeeded, and when it did last.
        self.rate_rejections = 0
        self.rejected_at = 0.0
        self.reserved = 0.0
        self.keywords: Mapping[str, Any] = {}
        self.attempt: Attempt | None = None
        self.problem: BaseException | None = None


class Calls:
    """Makes calls with one limiter, whose knowledge of the rate limit lasts from one stage of a run to the next."""

    def __init__(self, claude: Claude, budget: Budget, ids: UseIds) -> None:
        self._claude = claude
        self._budget = budget
        self._ids = ids
        self._limiter = Limiter()
        self._ended: SimpleQueue[_Job] = SimpleQueue()

    def make(
        self, calls: Sequence[Call], take: Callable[[Reply], Call | None], report: Callable[[Counts], None]
    ) -> Mapping[str, str]:
        """Make the calls, and pass each reply to `take`. Return the calls that failed: the sentence, by request hash.

        A call that `take` returns is the next one to be made. `report` is called about ten times a second. The calls
        end early when the budget does not allow another one,
        which then `is_exhausted`. Raises ClaudeFailed for a failure that every further call would have too, after the
        calls that run have ended, and KeyboardInterrupt with the replies that came within ten seconds.
        """
        return _Round(self, calls, take, report).run()

    def start(self, job: _Job) -> bool:
        """Let a thread make a call. If the system allows no further thread, make it here, and return False."""
        self._limiter.begin(time.monotonic())
        job.attempts += 1
        if threads.start(lambda: self._call(job)):
            return True
        self._call(job)
        return False

    def _call(self, job: _Job) -> None:
        job.attempt, job.problem = Attempt(job.keywords), None
        try:
            for _ in self._claude.call(job.attempt):
                pass
        except BaseException as problem:  # noqa: BLE001 - the main thread raises it
            job.problem = problem
        self._ended.put(job)


class _Round:
    """One use of `Calls.make`."""

    def __init__(
        self,
        calls: Calls,
        pending: Sequence[Call],
        take: Callable[[Reply], Call | None],
        report: Callable[[Counts], None],
    ) -> None:
        self._calls = calls
        self._limiter: Limiter = calls._limiter  # pyright: ignore[reportPrivateUsage] - a part of the same class
        self._budget = calls._budget  # pyright: ignore[reportPrivateUsage]
        self._ids = calls._ids  # pyright: ignore[reportPrivateUsage]
        self._results = calls._ended  # pyright: ignore[reportPrivateUsage]
        self._fresh = deque(map(_Job, pending))
        self._total = len(pending)
        # (when to make it again, a number that keeps the order, the call)
        self._again: list[tuple[float, int, _Job]] = []
        self._number = 0
        self._ended = self._running = 0
        self._last_success_at = 0.0
        self._take = take
        self._report = report
        self._reported_at = 0.0
        self._failures: dict[str, str] = {}
        self._fatal: BaseException | None = None
        self._is_stopped = False

    def run(self) -> Mapping[str, str]:
        # An interruption between the end of a call and `take` would lose a reply that was paid for.
        with deferred_signals() as signals:
            while not signals and (self._start_calls() or self._running):
                self._wait(self._seconds_to_wait())
            if signals:
                self._stop()
                self._end_running_calls()
        if (interrupted := interruption(signals)) is not None:
            raise interrupted
        self._tell(is_last=True)
        if self._fatal is not None:
            raise self._fatal
        return self._failures

    def _start_calls(self) -> bool:
        """Begin every call that may begin now. Return whether there are calls left to begin."""
        while self._fresh or self._again:
            now = time.monotonic()
            is_again = bool(self._again) and self._again[0][0] <= now
            if not is_again and not self._fresh:
                return True
            if self._limiter.delay(now) != 0.0:
                return True
            job = self._again[0][2] if is_again else self._fresh[0]
            job.keywords = job.keywords or job.call.compose()
            reserved = self._budget.reserve(job.keywords)
            if reserved is None:
                if not self._running:
                    # Nothing is reserved that could become free.
                    self._budget.is_exhausted = True
                    self._stop()
                return bool(self._fresh)
            job.reserved = reserved
            if is_again:
                heapq.heappop(self._again)
            else:
                self._fresh.popleft()
            self._running += 1
            if not self._calls.start(job):
                # Its reply is to be stored before the next call is made.
                return True
        return False

    def _seconds_to_wait(self) -> float:
        """Return the seconds until the next call may begin, if no call ends before."""
        if not (self._fresh or self._again):
            return _REPORT_SECONDS
        now = time.monotonic()
        ready = 0.0 if self._fresh else max(0.0, self._again[0][0] - now)
        delay = self._limiter.delay(now)
        return min(_REPORT_SECONDS, max(ready, _REPORT_SECONDS if delay is None else delay))

    def _wait(self, seconds: float) -> None:
        """Wait for the end of a call, and handle it and all others that have ended."""
        try:
            self._end(self._results.get(timeout=max(seconds, 0.001)))
            while True:
                self._end(self._results.get_nowait())
        except Empty:
            pass
        self._tell()

    def _end(self, job: _Job) -> None:
        """Handle a call that has ended: pass its reply on, or decide whether it is made again."""
        self._running -= 1
        now = time.monotonic()
        attempt = job.attempt
        assert attempt is not None
        self._settle(job, attempt)
        code = attempt.outcome
        if job.problem is not None:
            self._limiter.succeed(now)
            self._give_up(job, job.problem)
        elif code in _WHOLE:
            self._limiter.succeed(now)
            self._last_success_at = now
            self._ended += 1
            following = self._take(reply_of(attempt, job.call, self._ids, self._cost(attempt)))
            if following is not None and not self._is_stopped:
                self._fresh.appendleft(_Job(following))
                self._total += 1
        elif code == "rate_limit_error":
            self._reject(job, attempt, now)
        elif code in _OVERLOAD:
            job.rejections += 1
            again_at = self._limiter.reject(now, None, job.rejections)
            self._repeat(job, again_at, attempt, is_allowed=job.rejections < MOST_REJECTIONS)
        else:
            self._limiter.succeed(now)
            may_pass = code in _PASSING and job.attempts < MOST_ATTEMPTS
            self._repeat(job, now + FIRST_WAIT * job.attempts, attempt, is_allowed=may_pass)

    def _reject(self, job: _Job, attempt: Attempt, now: float) -> None:
        failure = attempt.failure
        assert failure is not None
        # For a long wait, the failure has it, because such a call is not repeated elsewhere.
        named = attempt.retry_after_seconds
        wait = failure.wait_seconds if named is None else named
        job.rate_rejections = 1 if job.rejected_at < self._last_success_at else job.rate_rejections + 1
        job.rejected_at = now
        if job.rate_rejections > 1:
            # Claude may have named a time that is too short, or none.
            wait = max(wait, min(LONGEST_WAIT, FIRST_WAIT * 2 ** (job.rate_rejections - 2)))
        again_at = self._limiter.reject(now, min(wait, LONGEST_RATE_LIMIT_SECONDS), job.rejections)
        if wait > LONGEST_RATE_LIMIT_SECONDS:
            self._give_up(job, failure)
            return
        failure.wait_seconds = 0.0
        self._repeat(job, again_at, attempt, is_allowed=job.rate_rejections < MOST_RATE_REJECTIONS)

    def _repeat(self, job: _Job, again_at: float, attempt: Attempt, *, is_allowed: bool) -> None:
        if is_allowed and self._fatal is None:
            self._number += 1
            heapq.heappush(self._again, (again_at, self._number, job))
            return
        failure = attempt.failure
        assert failure is not None
        self._give_up(job, failure)

    def _give_up(self, job: _Job, problem: BaseException) -> None:
        """Record that a call failed for good."""
        self._ended += 1
        code = getattr(problem, "code", "")
        if code in _OF_THE_REQUEST:
            # Repetitions of the same request would fail in the same way.
            same = job.call.request_hash
            self._ended += sum(other.call.request_hash == same for other in self._fresh)
            self._fresh = deque(other for other in self._fresh if other.call.request_hash != same)
        elif code not in _OVERLOAD and code not in _PASSING[:-1]:
            self._fatal = self._fatal or problem
            self._stop()
        self._failures[job.call.request_hash] = getattr(problem, "message", str(problem))

    def _stop(self) -> None:
        """Begin no further call."""
        self._is_stopped = True
        self._fresh.clear()
        self._again.clear()

    def _end_running_calls(self) -> None:
        """Wait for the calls that run, for a few seconds. A second interruption ends the wait."""
        until = time.monotonic() + GRACE_SECONDS
        self._fatal = self._fatal or KeyboardInterrupt()
        while self._running and (seconds := until - time.monotonic()) > 0:
            self._wait(min(seconds, _REPORT_SECONDS))

    def _settle(self, job: _Job, attempt: Attempt) -> None:
        """Count what a call cost. One that Claude began to answer and that was cut may cost all that is reserved."""
        used = _tokens(attempt)
        cost = self._cost(attempt)
        if attempt.outcome not in _WHOLE and (attempt.input_tokens is not None or attempt.outcome in _BEGUN):
            cost = max(cost or 0.0, job.reserved) if job.reserved else cost
        self._budget.settle(job.reserved, cost, used)
        job.reserved = 0.0

    def _cost(self, attempt: Attempt) -> float | None:
        if attempt.input_tokens is None:
            return None
        return self._budget.call_cost(attempt.request, attempt.model, _tokens(attempt))

    def _tell(self, *, is_last: bool = False) -> None:
        now = time.monotonic()
        if is_last or now - self._reported_at >= _REPORT_SECONDS:
            self._reported_at = now
            waiting = max(0.0, self._limiter.opens_at - now) if not is_last else 0.0
            self._report(Counts(self._ended, self._total, self._running, waiting))


def _tokens(attempt: Attempt) -> TokensUsed:
    return TokensUsed(
        attempt.input_tokens or 0,
        attempt.output_tokens or 0,
        attempt.cache_read_tokens or 0,
        attempt.cache_write_tokens or 0,
    )


def reply_of(attempt: Attempt, call: Call, ids: UseIds, cost: float | None) -> Reply:
    """Return the reply of a call that ended well, or that Claude's safeguards ended."""
    blocks = attempt.blocks
    return Reply(
        case_hash=call.case_hash,
        request_hash=call.request_hash,
        model=attempt.model,
        blocks=blocks,
        text=text_of(blocks),
        stop_reason=attempt.stop_reason,
        input_tokens=attempt.input_tokens,
        output_tokens=attempt.output_tokens,
        cache_read_tokens=attempt.cache_read_tokens,
        cache_write_tokens=attempt.cache_write_tokens,
        response_ms=attempt.response_ms,
        cost=cost,
        created_at=timestamp(time.time()),
        id=ids.new(attempt.began_at),
    )


def timestamp(seconds: float) -> str:
    """Return a time in seconds since 1970 as RFC 3339 text in UTC."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def failed(sentence: str, others: Sequence[str] = ()) -> errors.ClaudeFailed:
    """Return the error of a run without any reply to judge. `sentence` and `others` say why."""
    failure = errors.ClaudeFailed("no_replies", f"nothing can be compared: {sentence}", hint="run the command again")
    failure.others = others
    return failure
