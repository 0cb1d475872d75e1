"""The parameters of a request arrive at Claude as they are."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.claude import sdk_arguments
from promptctl.claude.api import Attempt, Claude
from promptctl.rules.requests import REFUSED_KEYS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.claude_api import ClaudeServer, Request

    Send = Callable[..., tuple[Attempt, Request]]

REQUEST: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
# Arguments of the SDK that are about the call, not about the request.
OF_THE_CALL = ("extra_headers", "extra_query", "extra_body", "timeout")


@pytest.fixture
def send(claude: ClaudeServer, monkeypatch: pytest.MonkeyPatch) -> Send:
    """Return a function that sends a request and returns the attempt and what the server received."""

    def send_request(scenario: str = "ok", **request: Any) -> tuple[Attempt, Request]:
        monkeypatch.setenv("ANTHROPIC_API_KEY", claude.KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", claude.url(scenario))
        attempt = Attempt(REQUEST | request)
        for _ in Claude().call(attempt):
            pass
        return attempt, claude.requests[-1]

    return send_request


def sdk_parameters() -> list[str]:
    import anthropic

    names = inspect.signature(anthropic.Anthropic(api_key="x").messages.create).parameters
    return [name for name in names if name not in (*REQUEST, *REFUSED_KEYS, *OF_THE_CALL)]


def test_every_parameter_of_the_sdk_arrives_as_a_field_or_as_a_header(send: Send) -> None:
    values = {name: {"type": "x", "list": [1, None, {"b": 2, "a": 1}]} for name in sdk_parameters()}
    assert len(values) > 5
    _, received = send(**values)
    assert {name: received.body[name] for name in values} == values
    values = dict.fromkeys(values, "auto")
    _, received = send(**values)
    in_headers = {name for name in values if received.headers.get(f"anthropic-{name.replace('_', '-')}") == "auto"}
    assert {name: received.body[name] for name in values if name not in in_headers} == {
        name: "auto" for name in values if name not in in_headers
    }


@pytest.mark.parametrize("value", [None, 5, 1.5, True, "x", "ä\n", [], [5], {}, {"type": 5}])
def test_values_that_the_sdk_does_not_expect_arrive_as_they_are(value: Any, send: Send) -> None:
    attempt, received = send(thinking=value, tools=value, temperature=value, stop_sequences=value)
    assert attempt.failure is None
    assert [received.body[name] for name in ("thinking", "tools", "temperature", "stop_sequences")] == [value] * 4


def test_arguments_of_the_call_are_those_of_an_application(send: Send, claude: ClaudeServer) -> None:
    """What `messages.create` makes of them is what a version with them means."""
    import anthropic

    own: dict[str, Any] = {
        "timeout": 7.5,
        "extra_headers": {"x-own": "header"},
        "extra_query": {"own": "query"},
        "extra_body": {"temperature": 0.5, "thinking": {"type": "adaptive"}, "max_tokens": 7},
        "thinking": {"type": "disabled"},
    }
    client = anthropic.Anthropic(api_key=claude.KEY, base_url=claude.url("ok"), max_retries=0)
    client.messages.create(**REQUEST, **own, stream=True).close()
    expected = claude.requests[-1]
    attempt, received = send("ok", **own)
    assert attempt.failure is None
    assert received.body == expected.body
    assert received.body["thinking"] == {"type": "adaptive"}
    assert (received.body["max_tokens"], received.body["temperature"]) == (7, 0.5)
    assert received.headers == expected.headers
    assert received.headers["x-own"] == "header"
    # A key that the SDK does not know is beside those of the extra body.
    _, received = send("ok", **own, of_tomorrow={"a": 1})
    assert received.body == expected.body | {"of_tomorrow": {"a": 1}}


def test_the_timeout_of_a_version_limits_the_wait(send: Send) -> None:
    attempt, _ = send("hang", timeout=0.05)
    assert attempt.failure is not None
    assert attempt.failure.code == "claude_timed_out"


@pytest.mark.parametrize(
    ("own", "problem"),
    [
        ({"timeout": value}, "timeout is not a positive number of seconds") for value in (0, -1, True, "7", [7])
    ] + [
        ({name: value}, f"{name} is not an object")
        for name in ("extra_headers", "extra_query", "extra_body") for value in (5, "x", ["x"], False)
    ] + [
        ({"extra_headers": {"x own": "x"}}, "extra_headers has a name that no header can have"),
        ({"extra_headers": {"x": None}}, "extra_headers has a value that is not a text of ASCII characters"),
        ({"extra_headers": {"x": "ä"}}, "extra_headers has a value that is not a text of ASCII characters"),
    ],
)  # fmt: skip
def test_an_argument_that_the_sdk_fails_on_is_named(own: dict[str, Any], problem: str) -> None:
    with pytest.raises(errors.ClaudeFailed) as failure:
        sdk_arguments.for_request(None, REQUEST | own)
    assert failure.value.message == f"the request cannot be sent: {problem}"
    assert sdk_arguments.for_request(None, REQUEST | dict.fromkeys(own)) in (REQUEST, REQUEST | dict.fromkeys(own))


def test_a_header_cannot_have_a_line_break(send: Send) -> None:
    attempt, received = send(workspace_id="a\nb", user_profile_id="zoë")
    assert attempt.failure is None
    assert (received.body["workspace_id"], received.body["user_profile_id"]) == ("a\nb", "zoë")


def test_claude_refuses_a_parameter_that_it_does_not_know_in_its_own_words(send: Send) -> None:
    attempt, _ = send("strict", temperature=0.2)
    assert attempt.failure is not None
    assert attempt.failure.exit_code == 7
    assert attempt.failure.message == "Claude rejected the request: temperature: Extra inputs are not permitted"


def test_a_model_that_the_sdk_warns_about_causes_no_warning(send: Send, recwarn: pytest.WarningsRecorder) -> None:
    send(model="claude-opus-4-6", thinking={"type": "enabled", "budget_tokens": 1024})
    assert [warning for warning in recwarn if "thinking" in str(warning.message)] == []


def test_arguments_are_the_same_without_a_request() -> None:
    assert sdk_arguments.for_request(None, REQUEST | {"system": "x"}) == REQUEST | {"system": "x"}
