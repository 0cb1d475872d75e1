"""The test server for Claude's API, called with the real SDK: each scenario produces its success or failure."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.claude_replies import CALM, CONCISE, ENTHUSIASTIC

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from tests.claude_api import ClaudeServer

    OpenClient = Callable[[str], Any]

REQUEST: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
METHODS = ("create", "stream")
SILENCE_SECONDS = 1.0


@pytest.fixture(scope="module")
def sdk() -> Any:
    import anthropic

    return anthropic


@pytest.fixture
def open_client(sdk: Any, claude: ClaudeServer) -> OpenClient:
    """Return a function that opens a client for a URL, without retries, with a timeout of `SILENCE_SECONDS`."""

    def open_client_for(url: str) -> Any:
        return sdk.Anthropic(api_key=claude.KEY, base_url=url, max_retries=0, timeout=SILENCE_SECONDS)

    return open_client_for


@contextmanager
def reply_events(client: Any, method: str) -> Generator[Any]:
    """Yield the events of a reply, read with `messages.create` or with `messages.stream`."""
    with client:
        if method == "create":
            with client.messages.create(stream=True, **REQUEST) as events:
                yield events
        else:
            with client.messages.stream(**REQUEST) as events:
                yield events


def event_types(client: Any, method: str) -> list[str]:
    with reply_events(client, method) as events:
        return [event.type for event in events]


def test_a_reply_has_its_text_its_tokens_and_an_id(open_client: OpenClient, claude: ClaudeServer) -> None:
    url = claude.url(text="Good day.", input_tokens=7, cache_read_tokens=5, cache_write_tokens=3, output_tokens=11)
    with reply_events(open_client(url), "stream") as stream:
        message = stream.get_final_message()
        usage = message.usage
        assert stream.request_id.startswith("req_")
    assert (message.content[0].text, message.model, message.stop_reason) == ("Good day.", "m", "end_turn")
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens) == (7, 5, 3)
    assert usage.output_tokens == 11


@pytest.mark.parametrize(
    ("system", "reply"),
    [
        ("You are calm.", CALM), ("You are calm and concise.", CONCISE), ("You are enthusiastic!", ENTHUSIASTIC),
        ([{"type": "text", "text": "You are calm."}], CALM), ("You are a clerk.", "You said: Hello"),
    ],
)  # fmt: skip
def test_the_reply_depends_on_the_system_prompt(
    system: Any, reply: str, open_client: OpenClient, claude: ClaudeServer
) -> None:
    with open_client(claude.url()) as client, client.messages.stream(system=system, **REQUEST) as stream:
        assert stream.get_final_text() == reply


@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("ok", "end_turn"), ("thinking", "end_turn"), ("unknown_event", "end_turn"), ("max_tokens", "max_tokens"),
        ("refusal", "refusal"), ("context_window", "model_context_window_exceeded"),
    ],
)  # fmt: skip
def test_a_complete_reply_has_a_stop_reason(
    scenario: str, reason: str, open_client: OpenClient, claude: ClaudeServer
) -> None:
    for method in METHODS:
        with reply_events(open_client(claude.url(scenario)), method) as events:
            reasons = [event.delta.stop_reason for event in events if event.type == "message_delta"]
        assert reasons == [reason]


def test_a_reply_without_streaming_is_one_object(sdk: Any, open_client: OpenClient, claude: ClaudeServer) -> None:
    with open_client(claude.url("max_tokens", text="Good day.", input_tokens=7, output_tokens=11)) as client:
        reply = client.messages.create(**REQUEST)
    assert [block.text for block in reply.content] == ["Good day."]
    assert (reply.stop_reason, reply.usage.input_tokens, reply.usage.output_tokens) == ("max_tokens", 7, 11)
    assert reply._request_id.startswith("req_")


# Scenario, its parameters, the module and the class of the exception.
FAILURES: dict[str, tuple[str, dict[str, int], str, str]] = {
    "a reset": ("cut", {"after": 2}, "httpx2", "ReadError"),
    "a reset before the first text": ("cut", {"after": 0}, "httpx2", "ReadError"),
    "silence in the middle": ("stall", {"after": 2}, "httpx2", "ReadTimeout"),
    "garbage": ("garbage", {"after": 1}, "json", "JSONDecodeError"),
    "an error in the stream": ("error_event", {"after": 2}, "anthropic", "APIStatusError"),
    "silence": ("hang", {}, "anthropic", "APITimeoutError"),
    "an HTML page from a proxy": ("html_error", {}, "anthropic", "InternalServerError"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_raises_the_same_exception_as_with_the_real_api(
    case: str, method: str, open_client: OpenClient, claude: ClaudeServer
) -> None:
    scenario, parameters, module, name = FAILURES[case]
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the class is what is tested
        event_types(open_client(claude.url(scenario, **parameters)), method)
    assert (caught.type.__module__.split(".")[0], caught.type.__name__) == (module, name)


def test_an_error_in_the_stream_has_status_200_and_a_type(
    sdk: Any, open_client: OpenClient, claude: ClaudeServer
) -> None:
    with pytest.raises(sdk.APIStatusError) as caught:
        event_types(open_client(claude.url("error_event", after=2)), "create")
    assert (caught.value.status_code, caught.value.type) == (200, "overloaded_error")
    assert caught.value.api_message == "Overloaded"
    assert caught.value.request_id.startswith("req_")


def test_a_stream_that_ends_early_raises_no_exception(open_client: OpenClient, claude: ClaudeServer) -> None:
    kinds = event_types(open_client(claude.url("early_end", after=2)), "create")
    assert kinds.count("content_block_delta") == 2
    assert not {"message_delta", "message_stop"} & set(kinds)
    with reply_events(open_client(claude.url("early_end", after=2)), "stream") as stream:
        assert stream.get_final_message().stop_reason is None


@pytest.mark.parametrize("scenario", ["html", "not_sse", "empty"])
def test_a_response_that_is_not_a_stream_has_no_events(
    scenario: str, open_client: OpenClient, claude: ClaudeServer
) -> None:
    assert event_types(open_client(claude.url(scenario)), "create") == []
    with reply_events(open_client(claude.url(scenario)), "stream") as stream, pytest.raises(AssertionError):
        stream.get_final_message()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"),
        (403, "permission_error"), (404, "not_found_error"), (413, "request_too_large"), (429, "rate_limit_error"),
        (500, "api_error"), (504, "timeout_error"), (529, "overloaded_error"),
    ],
)  # fmt: skip
def test_an_error_status_has_the_type_of_the_api(
    status: int, kind: str, sdk: Any, open_client: OpenClient, claude: ClaudeServer
) -> None:
    with pytest.raises(sdk.APIStatusError) as caught:
        event_types(open_client(claude.url("status", status=status, retry_after=7)), "create")
    assert (caught.value.status_code, caught.value.type) == (status, kind)
    assert caught.value.response.headers["retry-after"] == "7"


def test_a_closed_port_is_a_connection_error(sdk: Any, open_client: OpenClient, claude: ClaudeServer) -> None:
    with pytest.raises(sdk.APIConnectionError) as caught:
        event_types(open_client(claude.refuse()), "create")
    assert type(caught.value.__cause__).__name__ == "ConnectError"


def test_another_api_key_is_rejected(sdk: Any, claude: ClaudeServer) -> None:
    client = sdk.Anthropic(api_key="sk-ant-other", base_url=claude.url(), max_retries=0)
    with pytest.raises(sdk.AuthenticationError):
        event_types(client, "create")
