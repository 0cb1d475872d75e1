"""Decide when the next call may begin, by how Claude answers. Pure: the caller passes the time.

A rate limit is not known beforehand and changes. So the first calls are as many beside each other as a limit allows,
which grows by one with each reply. From the first rejection by a rate limit on, calls also keep a distance: they begin
a little faster than replies came lately, as BBR sends (Cardwell and others, 2016). A rate that is measured does not
suffer from rejections at random, which would make a limit that shrinks with each one far too small.

After a rejection by a rate limit no call begins before the time that Claude named. An overloaded server may reject any
call, so only this call waits, twice as long after each attempt. The limit shrinks if many calls are rejected like that.
"""

from __future__ import annotations

from collections import deque

FIRST_LIMIT = 8
MOST_CALLS = 64
# How much faster than the latest replies calls begin: after a rejection by a rate limit, and without one.
_CAREFUL_GAIN, _GAIN = 1.15, 2.0
# So many latest answers measure the rate.
_MEASURED = 20
# The part of a round's calls whose rejection by an overloaded server makes the limit smaller, and by what factor.
_CONGESTION = 0.3
_DECREASE = 0.7
# A round has at least so many calls, because the part of a few calls says nothing.
_SHORTEST_ROUND = 10
# How long a call waits before it is made again if only this call must wait, in seconds: first, and at most.
FIRST_WAIT = 0.5
LONGEST_WAIT = 30.0


class Limiter:
    """The limit of calls that run beside each other. Times are seconds of any clock that only goes forward.

    `limit` is how many calls may run. `running` is how many do. `opens_at` is the time before which no call may begin,
    because Claude named it.
    """

    def __init__(self, most: int = MOST_CALLS) -> None:
        """Allow at most `most` calls beside each other."""
        self._most = most
        self._limit = float(min(FIRST_LIMIT, most))
        self.running = 0
        self.opens_at = 0.0
        # The seconds between the beginnings of two calls, 0.0 before the first rejection by a rate limit.
        self._distance = 0.0
        self._next_at = 0.0
        self._answered_at: deque[float] = deque(maxlen=_MEASURED)
        self._answers_since_rejection = 0
        self._successes = self._rejections = 0

    @property
    def limit(self) -> int:
        """How many calls may run beside each other, at least 1."""
        return max(1, int(self._limit))

    def delay(self, now: float) -> float | None:
        """Return the seconds until the next call may begin, 0.0 for at once, None if a call must end first."""
        if self.running >= self.limit:
            return None
        return max(0.0, self.opens_at - now, self._next_at - now)

    def begin(self, now: float) -> None:
        """Count a call that begins."""
        self.running += 1
        # A thread wakes up late. The next call makes up for that, but at most for one call.
        self._next_at = max(self._next_at, now - self._distance) + self._distance

    def succeed(self, now: float) -> None:
        """Count a call that ended with a reply, or with a failure that says nothing about the rate."""
        self.running -= 1
        self._successes += 1
        self._answered_at.append(now)
        self._answers_since_rejection += 1
        self._limit = min(float(self._most), self._limit + 1)
        if self._distance:
            self._measure(now)
        self._end_round()

    def reject(self, now: float, retry_after: float | None, times: int) -> float:
        """Count a call that Claude rejected because of its rate or its load, and return when to make it again.

        `retry_after` is the number of seconds that a rate limit named, which hold for every call, or None for an
        overloaded server. `times` is how often an overloaded server has rejected this call, with this one.
        """
        self.running -= 1
        if retry_after is None:
            self._rejections += 1
            # It passed the rate limit, if there is one. Else the calls would keep the distance of the replies alone,
            # and with each rejection a longer one.
            self._answered_at.append(now)
            self._end_round()
            # Up to 2^10, so that the number stays small.
            return now + min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(times - 1, 10))
        self.opens_at = max(self.opens_at, now + retry_after)
        self._answers_since_rejection = 0
        self._measure(now)
        return self.opens_at

    def _measure(self, now: float) -> None:
        """Set the distance of calls by the rate of the latest answers that no rate limit rejected."""
        if not self._answered_at:
            return
        is_careful = self._answers_since_rejection < _MEASURED
        seconds = max(now - self._answered_at[0], 1e-3)
        self._distance = seconds / (len(self._answered_at) * (_CAREFUL_GAIN if is_careful else _GAIN))

    def _end_round(self) -> None:
        """At the end of a round, shrink the limit if many of its calls were rejected, and begin the next round."""
        calls = self._successes + self._rejections
        if calls < max(_SHORTEST_ROUND, self.limit):
            return
        if self._rejections > _CONGESTION * calls:
            self._limit = max(1.0, self._limit * _DECREASE)
        self._successes = self._rejections = 0
