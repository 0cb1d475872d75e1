"""Read the usage, model and request id of a reply by the field names of the SDKs and frameworks that call Claude."""

from __future__ import annotations

import inspect
from typing import Any

from promptctl.rules import tokens
from promptctl.rules.tokens import field, first_field

# The events of a stream are not accepted: they report running totals, which must not be added up.
_EVENTS = ("message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta",
           "content_block_stop")  # fmt: skip


def read(reply: object) -> tuple[object, Any, Any]:
    """Return the usage, model and request id of a reply. Raises TypeError if it has no readable usage."""
    metadata = field(reply, "response_metadata")
    # Where SDKs and frameworks have the usage. Bedrock's ConverseStream has it in its last event, as `metadata.usage`.
    possible_usages = (
        field(reply, "usage"), field(reply, "usage_metadata"), first_field(metadata, "usage", "token_usage"),
        field(field(reply, "metadata"), "usage"), reply,
    )  # fmt: skip
    for usage in () if _is_event(reply) else possible_usages:
        # One of the first two counts, the input and the output, has to be reported.
        if usage is not None and tokens.read(usage)[:2] != (None, None):
            return usage, *model_and_request_id(reply)
    raise TypeError(_advice(reply))


def model_and_request_id(reply: object) -> tuple[Any, Any]:
    """Return the model and the request id of a reply, with or without usage. None: not reported."""
    model = first_field(reply, "model", "model_name")
    if model is None:
        model = first_field(field(reply, "response_metadata"), "model_name", "model", "model_id")
    request_id = field(reply, "_request_id")
    if request_id is None:
        request_id = field(field(reply, "ResponseMetadata"), "RequestId")
    return model, request_id


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
    # `messages.stream()` of Anthropic's SDK returns a context manager.
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
