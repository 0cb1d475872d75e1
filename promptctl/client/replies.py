"""What a reply says of its tokens, by the names of the SDKs and frameworks through which Claude is called.

Anthropic's `usage` counts what came from a cache, or went into one, apart from `input_tokens`; so does Bedrock's
Converse. OpenAI's and LiteLLM's names (`prompt_tokens`, and `input_tokens` beside `input_tokens_details`) count all of
the input, and say how much of it came from a cache; so do LangChain's `usage_metadata` and Pydantic AI's usages.
"""

from __future__ import annotations

import inspect
from typing import Any

from promptctl.rules import tokens
from promptctl.rules.tokens import field, first_field

# A stream's events report what was used so far: to add them up would count it several times.
_EVENTS = ("message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta",
           "content_block_stop")  # fmt: skip


def read(reply: object) -> tuple[object, Any, Any]:
    """Return a reply's usage, model and request id. Raises TypeError for what has no readable usage."""
    metadata = field(reply, "response_metadata")
    # The last but one is of Bedrock's ConverseStream.
    places = (
        field(reply, "usage"), field(reply, "usage_metadata"), first_field(metadata, "usage", "token_usage"),
        field(field(reply, "metadata"), "usage"), reply,
    )  # fmt: skip
    for usage in () if _is_event(reply) else places:
        if usage is not None and any(count is not None for count in tokens.read(usage)[:2]):
            return usage, *_names(reply, metadata)
    raise TypeError(_advice(reply))


def names(reply: object) -> tuple[Any, Any]:
    """Return a reply's model and request id, whether it reports a usage or not. None: it does not say."""
    return _names(reply, field(reply, "response_metadata"))


def _names(reply: object, metadata: object) -> tuple[Any, Any]:
    model = first_field(reply, "model", "model_name")
    request_id = field(reply, "_request_id")
    return (
        first_field(metadata, "model_name", "model", "model_id") if model is None else model,
        field(field(reply, "ResponseMetadata"), "RequestId") if request_id is None else request_id,
    )


def _is_event(reply: object) -> bool:
    return field(reply, "type") in _EVENTS


def _advice(reply: object) -> str:
    """Say what to give instead of something that has no readable usage."""
    what = f"{type(reply).__name__} has no readable usage"
    numbers = "give record(input_tokens=…, output_tokens=…)"
    if inspect.isawaitable(reply):
        return f"{what}: await it first"
    if isinstance(reply, BaseException):
        return f"{what}: let it leave the block, or call failed()"
    if isinstance(reply, (str, bytes, int, float)):
        return f"{what}: give the whole reply, or {numbers}"
    if isinstance(reply, (list, tuple)):
        return f"{what}: give its replies one by one, or {numbers}"
    if inspect.isroutine(reply):
        return f"{what}: give what it returns"
    is_manager = any(hasattr(reply, name) for name in ("__enter__", "__aenter__")) and not hasattr(reply, "__iter__")
    if _is_event(reply) or is_manager or field(reply, "get_final_message") is not None:
        return f"{what}: give what get_final_message() of the stream returns, or {numbers}"
    if field(reply, "custom_id") is not None:
        return f"{what}: give its result.message, where it succeeded"
    if field(field(reply, "message"), "usage") is not None:
        return f"{what}: give its message"
    if field(reply, "body") is not None:
        return f'{what}: give the body that was read: json.loads(response["body"].read())'
    for method in ("parse", "json", "usage", "result"):
        if callable(field(reply, method)):
            return f"{what}: give what its {method}() returns, or {numbers}"
    return f"{what}: {numbers}"
