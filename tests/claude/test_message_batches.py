"""Batches of calls: their states, and results of every kind in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.claude import message_batches
from promptctl.claude.api import Claude

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.claude_api import ClaudeServer

    Open = Callable[..., Claude]

REQUESTS: dict[str, dict[str, Any]] = {
    f"request-{number}": {
        "model": "m",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": f"question {number}"}],
    }
    for number in range(4)
}


@pytest.fixture
def open_client(claude: ClaudeServer, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Return a function that returns a client of the test server for a scenario."""

    def open_client_for(scenario: str = "crowd", **parameters: object) -> Claude:
        monkeypatch.setenv("ANTHROPIC_API_KEY", claude.KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", claude.url(scenario, **parameters))
        return Claude()

    return open_client_for


def test_a_batch_ends_and_has_a_result_for_each_request(open_client: Open) -> None:
    client = open_client(polls=2, errored=1, expired=1, canceled=1, test="results")
    created = message_batches.create(client, REQUESTS)
    assert (created.has_ended, created.counts["processing"]) == (False, 4)
    assert not message_batches.retrieve(client, created.id).has_ended
    ended = message_batches.retrieve(client, created.id)
    assert ended.has_ended
    assert dict(ended.counts) == {"processing": 0, "succeeded": 1, "errored": 1, "canceled": 1, "expired": 1}
    results = list(message_batches.results(client, created.id))
    # The server has another order than the requests.
    assert [(one.custom_id, one.kind) for one in results] == [
        ("request-3", "succeeded"), ("request-2", "canceled"), ("request-1", "expired"), ("request-0", "errored"),
    ]  # fmt: skip
    assert results[0].message is not None
    assert results[0].message["content"] == [{"type": "text", "text": 'A good reply to "question 3"'}]
    assert results[0].message["usage"]["output_tokens"] == 6
    assert (results[3].error_type, results[3].error_message) == ("api_error", "it failed")


def test_no_other_host_gets_the_key(open_client: Open) -> None:
    # The API names an address for the results that nobody listens at, in every test of batches.
    client = open_client(results="moved", polls=0, test="moved")
    created = message_batches.create(client, REQUESTS)
    with pytest.raises(
        errors.ClaudeFailed, match=r"it redirects to http://127.0.0.1:9, and only ANTHROPIC_BASE_URL gets"
    ):
        list(message_batches.results(client, created.id))


def test_results_and_counts_in_another_form_are_told_apart(open_client: Open) -> None:
    client = open_client(results="odd", polls=0, paused=1, test="odd")
    requests = {f"{name}-{number}": body for name, body in REQUESTS.items() for number in range(2)}
    created = message_batches.create(client, requests)
    assert dict(created.counts) == {"errored": 0, "canceled": 0, "expired": 0, "paused": 1}
    results = list(message_batches.results(client, created.id))
    assert [one.kind for one in results] == [*["invalid"] * 4, "errored", "invalid", "succeeded", "paused"]
    assert (results[4].error_type, results[4].error_message) == ("", "")


def test_a_batch_that_does_not_exist_is_an_error(open_client: Open) -> None:
    with pytest.raises(errors.ClaudeFailed, match="msgbatch_none") as raised:
        message_batches.retrieve(open_client(), "msgbatch_none")
    assert raised.value.wait_seconds == 0


def test_a_failure_that_may_pass_has_the_time_to_wait(open_client: Open) -> None:
    client = open_client("status", status=529, test="batches")
    with pytest.raises(errors.ClaudeFailed, match="Claude is overloaded") as raised:
        message_batches.create(client, REQUESTS)
    assert raised.value.wait_seconds == 1


def test_an_answer_that_describes_no_batch_is_an_error(open_client: Open) -> None:
    with pytest.raises(errors.ClaudeFailed, match="it does not describe a batch"):
        message_batches.create(open_client("not_sse"), REQUESTS)
