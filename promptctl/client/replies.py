"""What a reply says of its tokens, by the names of the SDKs and frameworks through which Claude is called.

Anthropic's `usage` counts what came from a cache, or went into one, apart from `input_tokens`; so does Bedrock's
Converse. OpenAI's and LiteLLM's names (`prompt_tokens`, and `input_tokens` beside `input_tokens_details`) count all of
the input, and say how much of it came from a cache; so does LangChain's `usage_metadata`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_TOKENS = 10**12

# All of the input, of the reply, and the parts of the input that were read from a cache and written to one.
Counts = tuple[int | None, int | None, int | None, int | None]


def counts(usage: object) -> Counts:
    """Return how many tokens a usage reports: input, output, cache read, cache write. None: it does not say."""
    details = _first(usage, "input_tokens_details", "input_token_details", "prompt_tokens_details")
    read = _count(usage, "cache_read_input_tokens", "cacheReadInputTokens")
    write = _count(usage, "cache_creation_input_tokens", "cacheWriteInputTokens")
    if details is not None:
        read = _count(details, "cached_tokens", "cache_read") if read is None else read
        write = _count(details, "cache_creation", "cache_creation_tokens") if write is None else write
    whole = _count(usage, "prompt_tokens")
    if whole is None and details is not None:
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
    places = (
        _value(reply, "usage"), _value(reply, "usage_metadata"), _first(metadata, "usage", "token_usage"), reply,
    )  # fmt: skip
    for usage in places:
        if usage is not None and any(count is not None for count in counts(usage)[:2]):
            return usage, *_names(reply, metadata)
    raise TypeError(_advice(reply))


def names(reply: object) -> tuple[Any, Any]:
    """Return a reply's model and request id, whether it reports a usage or not. None: it does not say."""
    return _names(reply, _value(reply, "response_metadata"))


def _names(reply: object, metadata: object) -> tuple[Any, Any]:
    model = _value(reply, "model")
    request_id = _value(reply, "_request_id")
    return (
        _first(metadata, "model_name", "model", "model_id") if model is None else model,
        _value(_value(reply, "ResponseMetadata"), "RequestId") if request_id is None else request_id,
    )


def _advice(reply: object) -> str:
    """Say what to give instead of something that has no readable usage."""
    what = f"{type(reply).__name__} has no readable usage"
    numbers = "give record(input_tokens=…, output_tokens=…)"
    if inspect.isawaitable(reply):
        return f"{what}: await it first"
    if isinstance(reply, (str, bytes, int, float)):
        return f"{what}: give the whole reply, or {numbers}"
    is_manager = any(hasattr(reply, name) for name in ("__enter__", "__aenter__")) and not hasattr(reply, "__iter__")
    if is_manager or _value(reply, "get_final_message") is not None:
        return f"{what}: give what get_final_message() of the stream returns"
    if _value(reply, "custom_id") is not None:
        return f"{what}: give its result.message, where it succeeded"
    if _value(reply, "body") is not None:
        return f'{what}: give the body that was read: json.loads(response["body"].read())'
    if callable(_value(reply, "parse")):
        return f"{what}: give what its parse() returns"
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
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _sum(numbers: Iterable[int | None]) -> int | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if known and sum(known) <= MOST_TOKENS else None
