"""Calls beside each other: none is lost, none is made twice when it succeeded, and what stops them."""

from __future__ import annotations

import gc
import signal
import threading
import time
import weakref
from collections import Counter
from queue import SimpleQueue
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors, threads
from promptctl.claude import refusals
from promptctl.claude.api import Claude
from promptctl.cli import interruption
from promptctl.evaluation import calls as evaluation_calls
from promptctl.evaluation.budget import Budget, TokensUsed
from promptctl.evaluation.calls import Call, Calls, Counts
from promptctl.evaluation.limiter import Limiter
from promptctl.rules.test_replies import Reply, hash_of_request
from promptctl.rules.use_ids import UseIds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.claude_api import ClaudeServer, Request

MODEL = "claude-haiku-5-5"


class Maker:
    """Makes calls of the test server, and keeps what came."""

    def __init__(self, most_cost: float | None = None) -> None:
        self.claude = Claude()
        self.budget = Budget(most_cost, "2026-11-30T00:00:00Z")
        self.replies: list[Reply] = []
        self.counts: list[Counts] = []

    def make(self, calls: Sequence[Call], take: Callable[[Reply], Call | None] | None = None) -> dict[str, str]:
        made = Calls(self.claude, self.budget, UseIds()).make(calls, take or self.replies.append, self.counts.append)
        return dict(made)


def call(number: int, *, model: str = MODEL, max_tokens: int = 100) -> Call:
    keywords: dict[str, Any] = {
        "model": model,
        "max_tokens": max_tokens,
        "system": "You are calm.",
        "messages": [{"role": "user", "content": f"question {number}"}],
    }
    return Call(f"case {number}", hash_of_request(keywords), lambda: keywords)


@pytest.fixture
def open_maker(claude: ClaudeServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Maker]:
    """Return a function that returns a Maker for a scenario of the test server."""

    def open_for(scenario: str = "crowd", *, most_cost: float | None = None, **parameters: object) -> Maker:
        monkeypatch.setenv("ANTHROPIC_API_KEY", claude.KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", claude.url(scenario, **parameters))
        return Maker(most_cost)

    return open_for


def asked(requests: Sequence[Request]) -> Counter[str]:
    """Return how many replies the server sent for each question."""
    return Counter(request.body["messages"][-1]["content"] for request in requests if request.status == 200)


def test_no_call_is_lost_and_none_that_succeeded_is_made_again(
    open_maker: Callable[..., Maker], claude: ClaudeServer
) -> None:
    before = len(claude.requests)
    maker = open_maker(rate=300, burst=20, reject_every=10, delay_ms=20)
    assert maker.make([call(number) for number in range(60) for _ in range(3)]) == {}
    assert Counter(reply.case_hash for reply in maker.replies) == {f"case {number}": 3 for number in range(60)}
    assert set(asked(claude.requests[before:]).values()) == {3}
    statuses = Counter(request.status for request in claude.requests[before:])
    assert statuses[529] >= 5
    assert statuses[429] >= 5
    assert len({reply.id for reply in maker.replies}) == 180
    assert maker.counts[-1][:3] == (180, 180, 0)


def test_calls_that_have_ended_leave_no_thread_and_no_connection(
    open_maker: Callable[..., Maker], monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[threading.Event] = []

    def start(work: Callable[[], object]) -> bool:
        event = threading.Event()
        ended.append(event)

        def work_to_end() -> None:
            work()
            event.set()

        return threads.start(work_to_end)

    monkeypatch.setattr(evaluation_calls, "threads", SimpleNamespace(start=start))
    maker = open_maker(delay_ms=20)
    maker.make([call(number) for number in range(20)])
    assert len(ended) == len(maker.replies) == 20
    assert all(event.wait(10) for event in ended)
    del start
    ended.clear()
    client = weakref.ref(maker.claude)
    # A client closes its connections when it is freed.
    del maker
    until = time.monotonic() + 10
    while client() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert client() is None


@pytest.mark.parametrize("allowed", [0, 3])
def test_a_system_that_allows_no_further_thread_makes_calls_slower(
    open_maker: Callable[..., Maker], monkeypatch: pytest.MonkeyPatch, allowed: int
) -> None:
    running = threading.Semaphore(allowed)

    def start(work: Callable[[], object]) -> bool:
        def work_to_end() -> None:
            work()
            running.release()

        return running.acquire(blocking=False) and threads.start(work_to_end)

    monkeypatch.setattr(evaluation_calls, "threads", SimpleNamespace(start=start))
    maker = open_maker(delay_ms=5)
    assert maker.make([call(number) for number in range(20)]) == {}
    assert {reply.case_hash for reply in maker.replies} == {f"case {number}" for number in range(20)}
    assert maker.counts[-1][:3] == (20, 20, 0)


def test_an_interruption_ends_calls_without_threads_after_the_present_one(
    open_maker: Callable[..., Maker], claude: ClaudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> bool:
        return False

    monkeypatch.setattr(evaluation_calls, "threads", SimpleNamespace(start=refuse))
    before = len(claude.requests)
    maker = open_maker()

    def take(reply: Reply) -> None:
        maker.replies.append(reply)
        if len(maker.replies) == 3:
            signal.raise_signal(signal.SIGTERM)

    with interruption.terminated(), pytest.raises(KeyboardInterrupt):
        maker.make([call(number) for number in range(20)], take)
    assert len(maker.replies) == len(claude.requests) - before == 3


def test_a_call_that_follows_a_reply_is_the_next_one(
    open_maker: Callable[..., Maker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_calls, "Limiter", lambda: Limiter(1))
    maker = open_maker()

    def take(reply: Reply) -> Call | None:
        maker.replies.append(reply)
        return call(100) if reply.case_hash == "case 1" else None

    assert maker.make([call(number) for number in range(4)], take) == {}
    assert [reply.case_hash for reply in maker.replies] == ["case 0", "case 1", "case 100", "case 2", "case 3"]
    assert maker.counts[-1][:3] == (5, 5, 0)


def test_a_reply_has_what_claude_returned(open_maker: Callable[..., Maker]) -> None:
    maker = open_maker(alias="claude-haiku-5-5-20261001")
    maker.make([call(7)])
    [reply] = maker.replies
    assert reply.text == 'A good reply to "question 7"'
    assert reply.blocks == [{"type": "text", "text": reply.text}]
    assert (reply.model, reply.stop_reason) == ("claude-haiku-5-5-20261001", "end_turn")
    assert (reply.input_tokens, reply.output_tokens) == (12, 6)
    assert reply.response_ms is not None
    assert reply.cost == pytest.approx(maker.budget.spent)
    assert reply.created_at.endswith("Z")


@pytest.mark.parametrize("stop", ["refusal", "max_tokens"])
def test_a_refusal_and_a_cut_reply_are_replies(open_maker: Callable[..., Maker], stop: str) -> None:
    maker = open_maker(stop=stop)
    assert maker.make([call(1)]) == {}
    assert [reply.stop_reason for reply in maker.replies] == [stop]


def test_a_model_that_does_not_exist_ends_the_calls(open_maker: Callable[..., Maker], claude: ClaudeServer) -> None:
    before = len(claude.requests)
    maker = open_maker(missing_models="claude-nope")
    with pytest.raises(errors.ClaudeFailed, match="Claude does not have the model") as raised:
        maker.make([call(number, model="claude-nope") for number in range(50)])
    assert raised.value.code == "not_found_error"
    assert len(claude.requests) - before <= 8


def test_a_request_that_claude_rejects_fails_alone_and_is_not_repeated(
    open_maker: Callable[..., Maker], claude: ClaudeServer
) -> None:
    before = len(claude.requests)
    maker = open_maker("status", status=400, times=1)
    wrong, right = call(1), call(2)
    failures = maker.make([wrong])
    assert list(failures) == [wrong.request_hash]
    assert maker.make([right, right]) == {}
    assert len(maker.replies) == 2
    assert len(claude.requests) - before == 3


def test_a_lost_connection_is_retried(open_maker: Callable[..., Maker], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_calls, "FIRST_WAIT", 0.01)
    maker = open_maker("early_end", after=1)
    failed = call(1)
    assert maker.make([failed]) == {failed.request_hash: "the reply ended before it was complete"}
    assert maker.counts[-1][:2] == (1, 1)


def test_a_wait_that_is_too_long_ends_the_calls(open_maker: Callable[..., Maker], claude: ClaudeServer) -> None:
    before = len(claude.requests)
    maker = open_maker("status", status=429, retry_after=3600)
    with pytest.raises(errors.ClaudeFailed, match="Claude asks to wait 1 hour"):
        maker.make([call(number) for number in range(50)])
    assert len(claude.requests) - before <= 8


def test_the_cost_of_all_calls_never_exceeds_the_limit(open_maker: Callable[..., Maker]) -> None:
    calls = [call(number, max_tokens=4000) for number in range(100)]
    greatest = open_maker().budget.greatest_cost(calls[0].compose())
    assert greatest is not None
    limit = greatest + 0.0001
    maker = open_maker(most_cost=limit)
    maker.make(calls)
    spent = maker.budget.spent
    assert maker.budget.is_exhausted
    assert spent is not None
    # Another call could exceed the limit.
    assert limit - greatest < spent <= limit
    assert 0 < len(maker.replies) < 50


def test_a_reply_that_is_cut_counts_with_all_that_it_could_cost(
    open_maker: Callable[..., Maker], claude: ClaudeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_calls, "FIRST_WAIT", 0.01)
    greatest = open_maker().budget.greatest_cost(call(0).compose())
    assert greatest is not None
    before = len(claude.requests)
    maker = open_maker("cut", after=400, most_cost=3.5 * greatest)
    maker.make([call(number) for number in range(3)])
    assert len(claude.requests) - before == 3
    assert maker.budget.is_exhausted
    assert maker.budget.spent == pytest.approx(3 * greatest)


@pytest.mark.parametrize("parameters", [{}, {"retry_after": 0}, {"retry_after": "soon"}])
def test_a_rate_limit_that_lets_no_call_pass_ends_the_calls(
    open_maker: Callable[..., Maker],
    claude: ClaudeServer,
    monkeypatch: pytest.MonkeyPatch,
    parameters: dict[str, object],
) -> None:
    monkeypatch.setattr(evaluation_calls, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(evaluation_calls, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(evaluation_calls, "MOST_RATE_REJECTIONS", 3)
    monkeypatch.setattr(refusals, "_DEFAULT_WAIT_SECONDS", 0.01)
    before = len(claude.requests)
    maker = open_maker("status", status=429, **parameters)
    with pytest.raises(errors.ClaudeFailed, match="rate limit") as raised:
        maker.make([call(number) for number in range(36)])
    assert raised.value.code == "rate_limit_error"
    assert len(claude.requests) - before <= 3 * 8


def test_the_cache_of_an_hour_has_its_price_by_the_request_or_by_the_usage() -> None:
    budget = Budget(None, "2026-11-30T00:00:00Z")
    tokens = TokensUsed(1000, 10, 0, 1000)
    block = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "1h"}}
    usages: list[Any] = [{}, {"cache_creation": {"ephemeral_1h_input_tokens": 1000}}]
    written = [budget.call_cost(keywords, MODEL, tokens, usage=usage)
               for keywords, usage in (({"system": [block]}, usages[0]), (None, usages[1]))]  # fmt: skip
    usual = budget.call_cost({"system": '"ttl":"1h"'}, MODEL, tokens)
    assert usual is not None
    assert written == [budget.cost(MODEL, tokens, writes_for_an_hour=True)] * 2
    assert written[0] is not None
    assert written[0] > usual


@pytest.mark.parametrize("source", [{"type": "url", "url": "https://x/y.pdf"}, {"type": "file", "file_id": "file_1"}])
def test_a_document_that_claude_fetches_cannot_be_limited(source: dict[str, str]) -> None:
    inner = {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "document", "source": source}]}
    request: dict[str, Any] = {**call(1).compose(), "messages": [{"role": "user", "content": [inner]}]}
    budget = Budget(1.0, "2026-11-30T00:00:00Z")
    assert budget.greatest_cost(request) is None
    with pytest.raises(errors.Refused, match="unknown number of tokens") as raised:
        budget.check_requests([call(1).compose(), request])
    assert raised.value.code == "price_unknown"
    budget.check_requests([call(1).compose()])
    Budget(None, "2026-11-30T00:00:00Z").check_requests([request])


def test_an_unknown_price_cannot_be_limited(open_maker: Callable[..., Maker]) -> None:
    with pytest.raises(errors.Refused, match="the price of house-model is not known") as raised:
        open_maker(most_cost=1.0).budget.check_models([MODEL, "house-model"])
    assert raised.value.code == "price_unknown"
    open_maker().budget.check_models(["house-model"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_keeps_the_replies_of_calls_that_run(
    open_maker: Callable[..., Maker], claude: ClaudeServer, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    class Interrupting(SimpleQueue[Any]):
        """A signal arrives at the worst moment: a call has ended, and its reply is not passed on yet."""

        is_interrupted = False

        def get(self, block: bool = True, timeout: float | None = None) -> Any:
            job = super().get(block, timeout)
            if threading.current_thread() is threading.main_thread() and not Interrupting.is_interrupted:
                Interrupting.is_interrupted = True
                signal.raise_signal(number)
            return job

    monkeypatch.setattr(evaluation_calls, "SimpleQueue", Interrupting)
    before = len(claude.requests)
    maker = open_maker(delay_ms=50)
    with interruption.terminated(), pytest.raises(KeyboardInterrupt) as raised:
        maker.make([call(one) for one in range(40)])
    assert getattr(raised.value, "number", signal.SIGINT) == number
    # Those of the calls that ran beside the first one, too.
    assert 4 <= len(maker.replies) < 40
    assert len(maker.replies) == asked(claude.requests[before:]).total()
