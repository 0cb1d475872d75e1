"""What a reply says of its tokens, by the names of the SDKs and frameworks through which Claude is called.

Anthropic's `usage` counts what came from a cache, or went into one, apart from `input_tokens`; so does Bedrock's
Converse. OpenAI's and LiteLLM's names (`prompt_tokens`, and `input_tokens` beside `input_tokens_details`) count all of
the input, and say how much of it came from a cache; so do LangChain's `usage_metadata` and Pydantic AI's usages.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_TOKENS = 10**12
# A stream's events report what was used so far: to add them up would count it several times.
_EVENTS = ("message_start", "message_delta", "message_stop", "content_block_start", "content_block_delta",
           "content_block_stop")  # fmt: skip

# All of the input, of the reply, and the parts of the input that were read from a cache and written to one.
Counts = tuple[int | None, int | None, int | None, int | None]


def counts(usage: object) -> Counts:
    """Return how many tokens a usage reports: input, output, cache read, cache write. None: it does not say."""
    details = _first(usage, "input_tokens_details", "input_token_details", "prompt_tokens_details")
    read = _count(usage, "cache_read_input_tokens", "cacheReadInputTokens")
    write = _count(usage, "cache_creation_input_tokens", "cacheWriteInputTokens")
    has_whole = details is not None
    if details is not None:
        read = _count(details, "cached_tokens", "cache_read") if read is None else read
        names_of_writes = ("cache_creation", "cache_creation_tokens", "cache_write_tokens")
        write = _count(details, *names_of_writes) if write is None else write
    elif read is None and write is None:
        read, write = _count(usage, "cache_read_tokens"), _count(usage, "cache_write_tokens")
        has_whole = read is not None or write is not None
    whole = _count(usage, "prompt_tokens")
    if whole is None and has_whole:
        whole = _count(usage, "input_tokens")
    if whole is None:
        uncached = _count(usage, "input_tokens", "inputTokens")
        whole = None if uncached is None else uncached + (read or 0) + (write or 0)
    if whole is not None and whole > MOST_TOKENS:
        whole = None
    return whole, _count(usage, "output_tokens", "completion_tokens", "outputTokens"), read, write


def total(usages: Iterable[object]) -> Counts:
    """Return what several replies report in all. None: none of them says, or it is more than can be recorded."""
    reports = [counts(usage) for usage in usages]
    whole, output, cached, written = (_sum(report[part] for report in reports) for part in range(4))
    return whole, output, cached, written


def read(reply: object) -> tuple[object, Any, Any]:
    """Return a reply's usage, model and request id. Raises TypeError for what has no readable usage."""
    metadata = _value(reply, "response_metadata")
    # The last but one is of Bedrock's ConverseStream.
    places = (
        _value(reply, "usage"), _value(reply, "usage_metadata"), _first(metadata, "usage", "token_usage"),
        _value(_value(reply, "metadata"), "usage"), reply,
    )  # fmt: skip
    for usage in () if _is_event(reply) else places:
        if usage is not None and any(count is not None for count in counts(usage)[:2]):
            return usage, *_names(reply, metadata)
    raise TypeError(_advice(reply))


def names(reply: object) -> tuple[Any, Any]:
    """Return a reply's model and request id, whether it reports a usage or not. None: it does not say."""
    return _names(reply, _value(reply, "response_metadata"))


def _names(reply: object, metadata: object) -> tuple[Any, Any]:
    model = _first(reply, "model", "model_name")
    request_id = _value(reply, "_request_id")
    return (
        _first(metadata, "model_name", "model", "model_id") if model is None else model,
        _value(_value(reply, "ResponseMetadata"), "RequestId") if request_id is None else request_id,
    )


def _is_event(reply: object) -> bool:
    return _value(reply, "type") in _EVENTS


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
    if _is_event(reply) or is_manager or _value(reply, "get_final_message") is not None:
        return f"{what}: give what get_final_message() of the stream returns, or {numbers}"
    if _value(reply, "custom_id") is not None:
        return f"{what}: give its result.message, where it succeeded"
    if _value(_value(reply, "message"), "usage") is not None:
        return f"{what}: give its message"
    if _value(reply, "body") is not None:
        return f'{what}: give the body that was read: json.loads(response["body"].read())'
    for method in ("parse", "json", "usage", "result"):
        if callable(_value(reply, method)):
            return f"{what}: give what its {method}() returns, or {numbers}"
    return f"{what}: {numbers}"


def _value(thing: object, name: str) -> Any:
    """Return an entry of a mapping or an attribute of anything else; None: there is none, or it cannot be read."""
    try:
        return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - of any kind
    except Exception:  # noqa: BLE001 - a reply may be of any kind, and what it raises is no count
        return None


def _first(thing: object, *names: str) -> Any:
    return next((value for name in names if (value := _value(thing, name)) is not None), None)


def _count(usage: object, *names: str) -> int | None:
    value = _first(usage, *names)
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, Integral):
            return None
        value = operator.index(value)  # of NumPy, for example
    return value if 0 <= value <= MOST_TOKENS else None


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known and sum(known) <= MOST_TOKENS else None
