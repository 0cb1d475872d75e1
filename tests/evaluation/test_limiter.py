"""The adaptive limit of calls, against a simulated server with a simulated clock."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field

import pytest

from promptctl.evaluation.limiter import FIRST_LIMIT, LONGEST_WAIT, Limiter


@dataclass
class Simulation:
    """A server with a bucket of tokens that fills at a rate, and rejects a part of the calls at random.

    The bucket's rejections name the time until it has a token. Random ones name none.
    """

    rate: float
    latency: float = 0.2
    random_part: float = 0.0
    capacity: float = 5.0
    retry_after: float | None = None
    seconds: float = 0.0
    attempts: int = 0
    most_running: int = 0
    limits: list[int] = field(default_factory=list[int])
    earliest_after_wait: list[bool] = field(default_factory=list[bool])

    def run(self, calls: int, limiter: Limiter, seed: int = 1) -> None:
        generator = random.Random(seed)
        tokens, filled_at, now = self.capacity, 0.0, 0.0
        fresh = list(range(calls))
        # (time, number of the call, rejections by an overloaded server), made again before a fresh call begins.
        ready: list[tuple[float, int, int]] = []
        # (time of the end, number of the call, overloads so far, seconds that were named or None, whether it succeeded)
        events: list[tuple[float, int, int, float | None, bool]] = []
        replies = 0
        while replies < calls:
            is_ready = bool(ready) and ready[0][0] <= now
            if (is_ready or fresh) and limiter.delay(now) == 0.0:
                _, number, overloads = heapq.heappop(ready) if is_ready else (now, fresh.pop(), 0)
                self.earliest_after_wait.append(now >= limiter.opens_at)
                limiter.begin(now)
                self.attempts += 1
                tokens = min(self.capacity, tokens + (now - filled_at) * self.rate)
                filled_at = now
                if generator.random() < self.random_part:
                    heapq.heappush(events, (now + 0.01, number, overloads, None, False))
                elif tokens < 1:
                    named = self.retry_after or (1 - tokens) / self.rate
                    heapq.heappush(events, (now + 0.01, number, overloads, named, False))
                else:
                    tokens -= 1
                    heapq.heappush(events, (now + self.latency, number, overloads, None, True))
                self.most_running = max(self.most_running, limiter.running)
                continue
            times = [events[0][0]] if events else []
            if (ready or fresh) and limiter.running < limiter.limit:
                times.append(max(now if fresh else ready[0][0], now + (limiter.delay(now) or 0.0)))
            now = max(now + 1e-9, min(times))
            if events and events[0][0] <= now:
                _, number, overloads, named, succeeded = heapq.heappop(events)
                if succeeded:
                    limiter.succeed(now)
                    replies += 1
                else:
                    overloads += named is None
                    heapq.heappush(ready, (limiter.reject(now, named, overloads), number, overloads))
                self.limits.append(limiter.limit)
        self.seconds = now


@pytest.mark.parametrize("rate", [2, 10, 30])
@pytest.mark.parametrize("latency", [0.05, 0.2])
def test_the_rate_of_the_server_is_used_while_one_call_in_ten_is_rejected(rate: float, latency: float) -> None:
    simulation = Simulation(rate, latency, random_part=0.1)
    simulation.run(2000, Limiter())
    bound = 2000 / rate
    assert simulation.seconds < 1.15 * bound


def test_a_slow_model_gets_as_many_calls_beside_each_other_as_the_rate_needs() -> None:
    simulation = Simulation(rate=10, latency=4, random_part=0.1)
    simulation.run(1000, Limiter())
    assert simulation.seconds < 1.25 * 1000 / 10
    assert simulation.most_running >= 36


def test_a_server_that_rejects_little_is_not_slowed_down() -> None:
    limiter = Limiter()
    Simulation(rate=10_000, random_part=0.1, capacity=10_000).run(2000, limiter)
    assert limiter.limit == 64


def test_an_overloaded_server_gets_fewer_calls_beside_each_other_and_then_more_again() -> None:
    limiter = Limiter()
    for _ in range(200):
        limiter.begin(1.0)
        limiter.reject(1.0, None, 1)
    assert limiter.limit == 1
    for _ in range(30):
        limiter.begin(1.0)
        limiter.succeed(1.0)
    assert limiter.limit > 20


def test_a_rate_limit_that_was_raised_is_used() -> None:
    limiter = Limiter()
    Simulation(rate=2).run(100, limiter)
    # The clock of a new simulation begins anew, and so do the times of the limiter.
    limiter.opens_at = limiter._next_at = 0.0  # pyright: ignore[reportPrivateUsage]
    limiter._answered_at.clear()  # pyright: ignore[reportPrivateUsage]
    raised = Simulation(rate=40)
    raised.run(2000, limiter)
    assert raised.seconds < 1.5 * 2000 / 40


def test_no_call_begins_before_the_time_that_claude_names() -> None:
    simulation = Simulation(rate=20, retry_after=3.0, capacity=10)
    simulation.run(200, Limiter())
    assert all(simulation.earliest_after_wait)


def test_a_rejection_that_names_no_time_holds_up_its_own_call_alone() -> None:
    limiter = Limiter()
    limiter.begin(100.0)
    assert limiter.reject(100.0, None, 1) == pytest.approx(100.5)
    assert limiter.delay(100.0) == 0.0
    limiter.begin(100.0)
    assert limiter.reject(100.0, None, 3) == pytest.approx(102.0)
    limiter.begin(100.0)
    assert limiter.reject(100.0, None, 500) == pytest.approx(100 + LONGEST_WAIT)


def test_a_rejection_that_names_a_time_holds_up_every_call() -> None:
    limiter = Limiter()
    limiter.begin(100.0)
    assert limiter.reject(100.0, 7.5, 1) == pytest.approx(107.5)
    assert limiter.delay(100.0) == pytest.approx(7.5)
    limiter.begin(100.0)
    # A shorter time does not open it earlier.
    assert limiter.reject(101.0, 1.0, 1) == pytest.approx(107.5)
    assert limiter.delay(107.5) == 0.0


def test_a_full_limit_waits_for_the_end_of_a_call() -> None:
    limiter = Limiter()
    for _ in range(FIRST_LIMIT):
        assert limiter.delay(1.0) == 0.0
        limiter.begin(1.0)
    assert limiter.delay(1.0) is None
    limiter.succeed(1.1)
    assert limiter.delay(1.1) == 0.0
