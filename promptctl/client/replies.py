"""The usage, model and request id of a reply, by the field names of the SDKs and frameworks that call Claude."""

from __future__ import annotations

import inspect
from typing import Any

from promptctl.rules import tokens
from promptctl.rules.tokens import field, first_field

# The events of a stream report running totals, which must not be added up.
_EVENTS = ("message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta",
           "content_block_stop")  # fmt: skip


def read(reply: object) -> tuple[object, Any, Any]:
    """Return the usage, model and request id of a reply. Raises TypeError if it has no readable usage."""
    metadata = field(reply, "response_metadata")
    # `metadata.usage` is in the last event of Bedrock's ConverseStream.
    places = (
        field(reply, "usage"), field(reply, "usage_metadata"), first_field(metadata, "usage", "token_usage"),
        field(field(reply, "metadata"), "usage"), reply,
    )  # fmt: skip
    for usage in () if _is_event(reply) else places:
        if usage is not None and any(count is not None for count in tokens.read(usage)[:2]):
            return usage, *_names(reply, metadata)
    raise TypeError(_advice(reply))


def names(reply: object) -> tuple[Any, Any]:
    """Return the model and the request id of a reply, with or without usage. None: not reported."""
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
    """Return the error message for an object without readable usage, with what to pass instead."""
    problem = f"{type(reply).__name__} has no readable usage"
    call_with_numbers = "call record(input_tokens=…, output_tokens=…)"
    if inspect.isawaitable(reply):
        return f"{problem}: await it first"
    if isinstance(reply, BaseException):
        return f"{problem}: let it leave the block, or call failed()"
    if isinstance(reply, (str, bytes, int, float)):
        return f"{problem}: pass the whole reply, or {call_with_numbers}"
    if isinstance(reply, (list, tuple)):
        return f"{problem}: pass each reply, or {call_with_numbers}"
    if inspect.isroutine(reply):
        return f"{problem}: pass what it returns"
    is_manager = any(hasattr(reply, name) for name in ("__enter__", "__aenter__")) and not hasattr(reply, "__iter__")
    if _is_event(reply) or is_manager or field(reply, "get_final_message") is not None:
        return f"{problem}: pass what get_final_message() of the stream returns, or {call_with_numbers}"
    if field(reply, "custom_id") is not None:
        return f"{problem}: pass its result.message if it succeeded"
    if field(field(reply, "message"), "usage") is not None:
        return f"{problem}: pass its message"
    if field(reply, "body") is not None:
        return f'{problem}: pass the decoded body: json.loads(response["body"].read())'
    for method in ("parse", "json", "usage", "result"):
        if callable(field(reply, method)):
            return f"{problem}: pass what its {method}() returns, or {call_with_numbers}"
    return f"{problem}: {call_with_numbers}"
