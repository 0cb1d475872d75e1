"""Read the token counts of a usage object, as the SDKs and frameworks that call Claude report them.

They name the fields differently, and count cached tokens differently. Anthropic's `usage` and Bedrock's Converse do not
include cached tokens in `input_tokens`. OpenAI and LiteLLM (`prompt_tokens`, or `input_tokens` beside
`input_tokens_details`), LangChain (`usage_metadata`) and Pydantic AI include them in the input, and also report the
cached part.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from numbers import Integral
from typing import TYPE_CHECKING, Any

from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_TOKENS = 10**12


class TokenCounts(Record):
    """Tokens of a call, each None if it is not reported. `input` includes both cached parts."""

    input: int | None
    output: int | None
    cache_read: int | None
    cache_write: int | None


def read(usage: object) -> TokenCounts:
    """Return the counts that a usage object or mapping reports."""
    details = first_field(usage, "input_tokens_details", "input_token_details", "prompt_tokens_details")
    cache_read = count(usage, "cache_read_input_tokens", "cacheReadInputTokens")
    cache_write = count(usage, "cache_creation_input_tokens", "cacheWriteInputTokens")
    includes_cached = details is not None
    if details is not None:
        if cache_read is None:
            cache_read = count(details, "cached_tokens", "cache_read")
        if cache_write is None:
            cache_write = count(details, "cache_creation", "cache_creation_tokens", "cache_write_tokens")
    elif cache_read is None and cache_write is None:
        cache_read, cache_write = count(usage, "cache_read_tokens"), count(usage, "cache_write_tokens")
        # Only Pydantic AI has these names.
        includes_cached = cache_read is not None or cache_write is not None
    total_input = count(usage, "prompt_tokens")
    if total_input is None and includes_cached:
        total_input = count(usage, "input_tokens")
    if total_input is None:
        uncached = count(usage, "input_tokens", "inputTokens")
        total_input = None if uncached is None else uncached + (cache_read or 0) + (cache_write or 0)
    if total_input is not None and total_input > MOST_TOKENS:
        total_input = None
    return TokenCounts(
        total_input, count(usage, "output_tokens", "completion_tokens", "outputTokens"), cache_read, cache_write
    )


def total(usages: Iterable[object]) -> TokenCounts:
    """Return the sums over several replies. A sum is None if no reply reports it, or if it is too large to record."""
    counts = [read(usage) for usage in usages]
    return TokenCounts(*map(_sum, zip(*counts, strict=True)))


def count(usage: object, *names: str) -> int | None:
    """Return the first of these fields that is set, if it is a valid count of tokens."""
    value = first_field(usage, *names)
    if type(value) is not int:
        if isinstance(value, bool) or not isinstance(value, Integral):
            return None
        value = operator.index(value)  # of NumPy, for example
    return value if 0 <= value <= MOST_TOKENS else None


def first_field(source: object, *names: str) -> Any:
    """Return the first of these fields that is set, None if no field is set."""
    return next((value for name in names if (value := field(source, name)) is not None), None)


def field(source: object, name: str) -> Any:
    """Return an entry of a mapping or an attribute of any other object, None if it is missing or cannot be read."""
    try:
        return source.get(name) if isinstance(source, Mapping) else getattr(source, name, None)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] - of any kind
    except Exception:  # noqa: BLE001 - a reply may be of any kind, and may raise anything
        return None


def _sum(counts: Iterable[int | None]) -> int | None:
    reported = [count for count in counts if count is not None]
    return sum(reported) if reported and sum(reported) <= MOST_TOKENS else None
