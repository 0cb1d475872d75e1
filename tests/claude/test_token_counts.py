"""What each part of a call takes, from counts by a server, and what of a call is counted."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.claude import api, token_counts
from promptctl.rules import requests
from promptctl.rules.message_requests import RequestTemplate
from tests.claude_replies import NOT_COUNTED

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from promptctl.claude.token_counts import InputParts
    from tests.claude_api import ClaudeServer

    OpenClient = Callable[..., api.Claude]

TOOLS = [{"name": "search", "description": "Search the web now", "input_schema": {"type": "object"}}]
FEW_SHOT = [
    {"role": "user", "content": "one two"},
    {"role": "assistant", "content": [{"type": "text", "text": "three"}]},
]
SCHEMA = {"format": {"type": "json_schema", "schema": {"title": "an answer of four words"}}}


@pytest.fixture
def open_client(claude: ClaudeServer, monkeypatch: pytest.MonkeyPatch) -> Generator[OpenClient]:
    """Return a function that returns a client of the test server for a scenario, until the end of the test."""
    clients: list[api.Claude] = []

    def open_client_for(scenario: str = "ok", **parameters: object) -> api.Claude:
        monkeypatch.setenv("ANTHROPIC_API_KEY", claude.KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", claude.url(scenario, **parameters))
        clients.append(api.Claude())
        return clients[-1]

    yield open_client_for
    for opened in clients:
        # A command ends without closing its connections.
        opened._wait_for_client().close()  # pyright: ignore[reportPrivateUsage]


@pytest.fixture
def client(open_client: OpenClient) -> api.Claude:
    """A client of the test server."""
    return open_client()


def count(client: api.Claude, content: str, *, cache: str | None = None, **request: Any) -> InputParts:
    settings: dict[str, Any] = {"model": "m", "max_tokens": 9}
    if cache is not None:
        settings["cache"] = cache
    if request:
        settings["request"] = requests.encode(request)
    call = RequestTemplate(content, settings).keywords({"now": "at noon today"})
    [parts] = token_counts.count_parts(client, [call], pytest.fail)
    return parts


def test_each_part_is_the_difference_of_two_counts(client: api.Claude, claude: ClaudeServer) -> None:
    before = len(claude.requests)
    parts = count(
        client, "You are calm {now}.", tools=TOOLS, messages=FEW_SHOT, output_config=SCHEMA, stop_sequences=["END"]
    )
    # The server counts words: "search", "Search the web now" and so on.
    assert (parts.tools, parts.system, parts.few_shot, parts.other) == (5, 6, 3, 5)
    assert parts.total == 19
    assert parts.cacheable is None
    assert len(claude.requests) - before == 5


def test_a_text_alone_takes_two_counts(client: api.Claude, claude: ClaudeServer) -> None:
    before = len(claude.requests)
    parts = count(client, "You are calm.")
    assert (parts.tools, parts.system, parts.few_shot, parts.other, parts.cacheable) == (0, 3, 0, 0, None)
    assert len(claude.requests) - before == 2


def test_the_tools_and_the_text_before_the_first_variable_are_cacheable(client: api.Claude) -> None:
    parts = count(client, "You are calm. It is {now}.", cache="1h", tools=TOOLS, messages=FEW_SHOT)
    assert (parts.tools, parts.system, parts.few_shot) == (5, 8, 3)
    assert parts.cacheable == 5 + 5
    assert count(client, "You are calm.", cache="5m").cacheable == 3
    assert count(client, "{now} is the time.", cache="5m").cacheable is None


def test_the_choice_of_a_tool_counts_with_the_tools(client: api.Claude) -> None:
    assert count(client, "x", tools=TOOLS, tool_choice={"type": "tool", "name": "search"}).tools == 6


def test_what_is_counted_is_what_the_sdk_counts(client: api.Claude, claude: ClaudeServer) -> None:
    from anthropic.resources.messages import Messages

    accepted = set(inspect.signature(Messages.count_tokens).parameters)
    assert not accepted & NOT_COUNTED
    before = len(claude.requests)
    request: dict[str, Any] = {
        "thinking": {"type": "adaptive"},
        "service_tier": "auto",
        "stop_sequences": ["a"],
        "of_tomorrow": 1,
        "timeout": 10,
        "extra_headers": {"x-own": "header"},
        "extra_query": {"own": "query"},
        "extra_body": {"of_tomorrow": 2},
    }
    count(client, "x", **request)
    sent = {key for request in claude.requests[before:] for key in request.body}
    assert sent == {"model", "messages", "system", "thinking"}
    assert [request.headers.get("x-own") for request in claude.requests[before:]] == ["header"] * 3
    assert sent <= accepted


def test_the_counts_of_several_calls_are_made_beside_each_other(open_client: OpenClient) -> None:
    calls = [RequestTemplate(text, {"model": "m"}).keywords({}) for text in ("one", "one two")]
    # The server answers none of the four counts before all have come in.
    parts = token_counts.count_parts(open_client(together=4, test="beside each other"), calls, pytest.fail)
    assert [part.system for part in parts] == [1, 2]


def test_a_count_that_fails_for_a_moment_is_made_again(open_client: OpenClient) -> None:
    reports: list[str] = []
    call = RequestTemplate("one", {"model": "m"}).keywords({})
    client = open_client("status", status=529, times=1, retry_after="0", test="counted again")
    [parts] = token_counts.count_parts(client, [call], reports.append)
    assert parts.system == 1
    assert len(reports) == 1
    assert reports[0].startswith("Claude is overloaded")
    assert reports[0].endswith("; retrying")


@pytest.mark.parametrize(
    ("scenario", "parameters", "code"),
    [
        ("status", {"status": 400}, "invalid_request_error"),
        ("status", {"status": 529, "retry_after": "0"}, "overloaded_error"),
        ("html", {}, "reply_invalid"),
        ("not_sse", {}, "reply_invalid"),
    ],
)
def test_a_failed_count_is_an_error_of_claude(
    scenario: str, parameters: dict[str, Any], code: str, open_client: OpenClient
) -> None:
    call = RequestTemplate("one", {"model": "m"}).keywords({})
    with pytest.raises(errors.ClaudeFailed) as failure:
        token_counts.count_parts(open_client(scenario, **parameters), [call], lambda _: None)
    assert failure.value.code == code
