"""`record` reads the usage of replies of many SDKs and frameworks, and raises for any other object."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import numbers
import types
import unittest.mock
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.client import replies
from promptctl.rules import tokens
from promptctl.rules.tokens import MOST_TOKENS
from tests.client.support import uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    import anthropic
    import psycopg

    from promptctl import Prompts
    from tests.claude_api import ClaudeServer

    Connection = psycopg.Connection[Any]

TOKENS = "model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, request_id"
CACHED = {"input_tokens": 20, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 7, "output_tokens": 80}


class OtherInteger:
    """An integer type of another library, like those of NumPy."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number


numbers.Integral.register(OtherInteger)


@dataclasses.dataclass
class Reply:
    """A reply in a data class of the application."""

    usage: Any
    model: str = "m"


# By kind: a reply, and the expected model, input tokens, output tokens, tokens from the cache and to it, request id.
REPLIES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "Anthropic, model_dump()": (
        {"id": "msg_1", "type": "message", "model": "m", "content": [], "usage": CACHED}, ("m", 127, 80, 100, 7, None)
    ),
    "Anthropic, its usage alone": (types.SimpleNamespace(**CACHED), (None, 127, 80, 100, 7, None)),
    "Anthropic, no cache": (
        {"model": "m", "usage": {"input_tokens": 20, "output_tokens": 8}}, ("m", 20, 8, None, None, None)
    ),
    "Bedrock Converse": (
        {
            "ResponseMetadata": {"RequestId": "r-1", "HTTPStatusCode": 200},
            "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
            "stopReason": "end_turn",
            "usage": {
                "inputTokens": 20, "outputTokens": 80, "totalTokens": 207,
                "cacheReadInputTokens": 100, "cacheWriteInputTokens": 7,
            },
        },
        (None, 127, 80, 100, 7, "r-1"),
    ),
    "Bedrock InvokeModel, its body": (
        json.loads(json.dumps({"model": "m", "usage": CACHED})), ("m", 127, 80, 100, 7, None)
    ),
    "OpenAI, a chat completion": (
        types.SimpleNamespace(
            model="m", _request_id="req_1",
            usage=types.SimpleNamespace(
                prompt_tokens=127, completion_tokens=80, total_tokens=207,
                prompt_tokens_details=types.SimpleNamespace(cached_tokens=100, audio_tokens=0),
            ),
        ),
        ("m", 127, 80, 100, None, "req_1"),
    ),
    "OpenAI, a response": (
        types.SimpleNamespace(
            model="m", _request_id="req_1",
            usage=types.SimpleNamespace(
                input_tokens=127, output_tokens=80, total_tokens=207,
                input_tokens_details=types.SimpleNamespace(cached_tokens=100),
            ),
        ),
        ("m", 127, 80, 100, None, "req_1"),
    ),
    "OpenAI, model_dump()": (
        {"model": "m", "usage": {"prompt_tokens": 127, "completion_tokens": 80, "prompt_tokens_details": None}},
        ("m", 127, 80, None, None, None),
    ),
    "LiteLLM": (
        types.SimpleNamespace(
            model="m",
            usage=types.SimpleNamespace(
                prompt_tokens=127, completion_tokens=80, total_tokens=207,
                cache_read_input_tokens=100, cache_creation_input_tokens=7,
                prompt_tokens_details=types.SimpleNamespace(cached_tokens=100, cache_creation_tokens=7),
            ),
        ),
        ("m", 127, 80, 100, 7, None),
    ),
    "LangChain, usage_metadata": (
        types.SimpleNamespace(
            content="x", response_metadata={"model_name": "m", "usage": CACHED},
            usage_metadata={
                "input_tokens": 127, "output_tokens": 80, "total_tokens": 207,
                "input_token_details": {"cache_read": 100, "cache_creation": 7},
            },
        ),
        ("m", 127, 80, 100, 7, None),
    ),
    "LangChain, response_metadata of Anthropic": (
        types.SimpleNamespace(content="x", usage_metadata=None, response_metadata={"model": "m", "usage": CACHED}),
        ("m", 127, 80, 100, 7, None),
    ),
    "LangChain, response_metadata of OpenAI": (
        types.SimpleNamespace(
            content="x",
            response_metadata={"model_name": "m", "token_usage": {"prompt_tokens": 127, "completion_tokens": 80}},
        ),
        ("m", 127, 80, None, None, None),
    ),
    "Bedrock ConverseStream, its last event": (
        {"metadata": {"usage": {"inputTokens": 20, "outputTokens": 80, "totalTokens": 100}, "metrics": {}}},
        (None, 20, 80, None, None, None),
    ),
    "Pydantic AI": (
        types.SimpleNamespace(
            model_name="m",
            usage=types.SimpleNamespace(
                input_tokens=127, output_tokens=80, cache_read_tokens=100, cache_write_tokens=7, details={}
            ),
        ),
        ("m", 127, 80, 100, 7, None),
    ),
    "Pydantic AI, no cache": (
        types.SimpleNamespace(input_tokens=127, output_tokens=80, cache_read_tokens=0, cache_write_tokens=0),
        (None, 127, 80, 0, 0, None),
    ),
    "a data class with integers of NumPy": (
        Reply(types.SimpleNamespace(input_tokens=OtherInteger(20), output_tokens=OtherInteger(80))),
        ("m", 20, 80, None, None, None),
    ),
    "a negative count and a boolean count": (
        Reply({"input_tokens": -1, "output_tokens": 80, "cache_read_input_tokens": True}),
        ("m", None, 80, None, None, None),
    ),
    "a string count": ({"usage": {"inputTokens": "20", "outputTokens": 80}}, (None, None, 80, None, None, None)),
}  # fmt: skip


def test_usage_is_read_from_replies_of_many_libraries(prompts: Prompts, sql: Connection) -> None:
    for reply, _ in REPLIES.values():
        with prompts.get("greeter").use() as use:
            use.record(reply)
    assert prompts.flush()
    assert dict(zip(REPLIES, uses(sql, TOKENS), strict=True)) == {
        kind: expected for kind, (_, expected) in REPLIES.items()
    }


@pytest.fixture
def claude_client(claude: ClaudeServer) -> Iterator[anthropic.Anthropic]:
    """The real SDK, connected to a server that implements Claude's API."""
    import anthropic

    with anthropic.Anthropic(
        api_key=claude.KEY, base_url=claude.url("ok", input_tokens=20, output_tokens=8), max_retries=0
    ) as client:
        yield client


REQUEST: dict[str, Any] = {
    "model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]
}  # fmt: skip


def test_unfinished_replies_of_the_sdk_raise_with_advice(
    prompts: Prompts, sql: Connection, claude_client: anthropic.Anthropic
) -> None:
    messages: Any = claude_client.messages
    prompt = prompts.get("greeter")
    raw = messages.with_raw_response.create(**REQUEST)
    with prompt.use() as use:
        with pytest.raises(TypeError, match=r"no readable usage: pass what its parse\(\) returns"):
            use.record(raw)
        use.record(raw.parse())
    manager = messages.stream(**REQUEST)
    advice = r"MessageStream\w* has no readable usage: pass what get_final_message\(\) of the stream returns, or call"
    with prompt.use() as use, manager as stream:
        for early in (manager, stream):
            with pytest.raises(TypeError, match=advice):
                use.record(early)
        stream.until_done()
        use.record(stream.get_final_message())
    with prompt.use() as use, messages.create(**REQUEST, stream=True) as events:
        with pytest.raises(TypeError, match=r"no readable usage: call record\(input_tokens=…"):
            use.record(events)
        for event in events:
            # Each event has the usage so far.
            with pytest.raises(TypeError, match=r"Event has no readable usage: pass what get_final_message\(\)"):
                use.record(event)
        use.record(input_tokens=20, output_tokens=8, model="claude-sonnet-5-5")
    assert prompts.flush()
    assert [row[:3] for row in uses(sql, TOKENS)] == [("claude-sonnet-5-5", 20, 8)] * 3


def unreadable() -> dict[str, tuple[Any, str]]:
    whole = {"model": "m", "usage": CACHED}
    invalid_counts: list[object] = [None, -1, "7", True, 1.5, float("nan"), 10**30, MOST_TOKENS + 1]
    cases: dict[str, tuple[Any, str]] = {
        "a string": ("A pointer is a value.", "str has no readable usage: pass the whole reply"),
        "bytes": (json.dumps(whole).encode(), "bytes has no readable usage: pass the whole reply"),
        "a number": (80, "int has no readable usage: pass the whole reply"),
        "an object without attributes": (object(), "object has no readable usage: call record"),
        "an empty mapping": ({}, "dict has no readable usage: call record"),
        "no usage": (types.SimpleNamespace(model="m", usage=None), "SimpleNamespace has no readable usage"),
        "a batch item": (
            types.SimpleNamespace(custom_id="1", result=types.SimpleNamespace(type="succeeded", message=whole)),
            "pass its result.message",
        ),
        "Bedrock InvokeModel": ({"body": object(), "contentType": "application/json"}, r"pass the decoded body"),
        "a batch item, model_dump()": (
            {"custom_id": "1", "result": {"type": "succeeded", "message": whole}}, "pass its result.message",
        ),
        "a batch item's result": (types.SimpleNamespace(type="succeeded", message=whole), "usage: pass its message"),
        "an event, model_dump()": (
            {"type": "message_delta", "delta": {}, "usage": CACHED}, r"pass what get_final_message\(\) of the stream",
        ),
        "None": (None, "NoneType has no readable usage: call record"),
        "True": (True, "bool has no readable usage: pass the whole reply"),
        "an exception": (ValueError("x"), r"ValueError has no readable usage: let it leave the block, or call failed"),
        "a function": (len, "usage: pass what it returns"),
        "a future": (concurrent.futures.Future[Any](), r"usage: pass what its result\(\) returns"),
        "an HTTP response": (types.SimpleNamespace(json=lambda: whole), r"usage: pass what its json\(\) returns"),
        "Pydantic AI, a run": (types.SimpleNamespace(usage=lambda: CACHED), r"usage: pass what its usage\(\) returns"),
        "a generator": ((item for item in [whole]), "generator has no readable usage: call record"),
        "a tuple": ((whole, whole), "tuple has no readable usage: pass each reply"),
        "a set": ({1}, "set has no readable usage: call record"),
        "counts that are booleans": (Reply({"input_tokens": True, "output_tokens": False}), "no readable usage"),
        "counts that are negative": (Reply({"input_tokens": -1, "output_tokens": -1}), "no readable usage"),
        "a mock": (unittest.mock.MagicMock(), "MagicMock has no readable usage"),
        "an event of a stream": (types.SimpleNamespace(type="content_block_delta"), "no readable usage"),
        "a list": ([whole], "list has no readable usage: pass each reply"),
    }  # fmt: skip
    for count in invalid_counts:
        usage = {"prompt_tokens": count}
        cases[f"an object with {count!r}"] = (
            types.SimpleNamespace(usage=types.SimpleNamespace(**usage)),
            "no readable",
        )
        cases[f"a mapping with {count!r}"] = ({"usage": usage}, "no readable usage")
    return cases


def test_an_object_without_readable_usage_raises_a_type_error(prompts: Prompts, sql: Connection) -> None:
    async def create() -> None:
        """An asynchronous client returns a coroutine like this one."""

    coroutine = create()
    cases = unreadable() | {"a coroutine": (coroutine, "coroutine has no readable usage: await it first")}
    for case, (reply, message) in cases.items():
        with prompts.get("greeter").use() as use:
            with pytest.raises(TypeError, match=message):
                use.record(reply)
            # With numbers in the call the use is recorded.
            use.record(reply, input_tokens=7)
        with contextlib.suppress(TypeError), prompts.get("greeter").use() as use:
            use.record(reply)
        assert use.outcome == "TypeError", case
    coroutine.close()
    assert prompts.flush()
    recorded = sorted((outcome, tokens) for outcome, tokens in uses(sql, "outcome, coalesce(input_tokens, -1)"))
    assert recorded == [("TypeError", -1)] * len(cases) + [("ok", 7)] * len(cases)
    assert prompts.dropped_uses == 0


def test_replies_of_one_use_add_up_and_a_repeated_reply_counts_once(prompts: Prompts, sql: Connection) -> None:
    """An agent sends several requests for one answer, for example with the results of tools."""
    first: Any = types.SimpleNamespace(model="m", _request_id="r-1", usage=types.SimpleNamespace(**CACHED))
    last = {"model": "n", "usage": {"input_tokens": 3, "output_tokens": 5}}
    calls_by_use: list[list[tuple[Any, dict[str, Any]]]] = [
        [(first, {}), (first, {}), (last, {})],
        [(last, {}), ({"usage": {"output_tokens": 1}}, {}), (dict(last), {})],
        [(first, {}), (last, {"output_tokens": 50})],
        [({"usage": {"prompt_tokens": MOST_TOKENS}}, {}), (last, {})],
    ]
    for calls in calls_by_use:
        with prompts.get("greeter").use() as use:
            for reply, numbers in calls:
                use.record(reply, **numbers)
    assert prompts.flush()
    assert [row[:5] for row in uses(sql, TOKENS)] == [
        ("n", 130, 85, 100, 7), ("n", 3, 6, None, None), ("n", 130, 50, 100, 7), ("n", None, 5, None, None)
    ]  # fmt: skip


def test_counts_are_read_from_sdk_replies_and_their_json(claude_client: anthropic.Anthropic) -> None:
    messages: Any = claude_client.messages
    reply = messages.create(**REQUEST)
    for form in (reply, reply.model_dump(), json.loads(reply.model_dump_json())):
        usage, model, _ = replies.read(form)
        assert (*tokens.read(usage)[:2], model) == (20, 8, "claude-sonnet-5-5")
