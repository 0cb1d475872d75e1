"""The prompt cache of Claude's API, as its documentation describes it: which bytes of a request are read and written.

https://docs.claude.com/en/docs/build-with-claude/prompt-caching
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_LIFETIMES = {"5m": 300.0, "1h": 3600.0}
_MOST_BREAKPOINTS = 4
# A breakpoint finds an earlier prefix that ends at most this many blocks before it.
_LOOKBACK = 20
_BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Input:
    """The bytes of a request by how Claude bills them."""

    read: int
    written: int
    uncached: int


@dataclass(frozen=True)
class _Prefix:
    """A request up to the end of a block, and the lifetime of the breakpoint there, in seconds, or None."""

    digest: bytes
    size: int
    lifetime: float | None


class PromptCache:
    """A cache of prefixes. Each use of a prefix begins its lifetime again."""

    def __init__(self, least_tokens: int) -> None:
        """A cache for a model that does not cache a prefix of fewer than `least_tokens`."""
        self._least_bytes = least_tokens * _BYTES_PER_TOKEN
        # The ends of the lifetimes, by the digest of the prefix.
        self._ends: dict[bytes, float] = {}

    def send(self, request: Mapping[str, Any], now: float) -> Input:
        """Return how a request at the time `now`, in seconds, is billed. Raises ValueError for a fifth breakpoint."""
        prefixes = list(_prefixes(request))
        total = prefixes[-1].size
        breakpoints = [place for place, prefix in enumerate(prefixes) if prefix.lifetime is not None]
        if len(breakpoints) > _MOST_BREAKPOINTS:
            raise ValueError(f"a request has at most {_MOST_BREAKPOINTS} breakpoints")
        read = 0
        for place in breakpoints:
            for earlier in prefixes[max(0, place - _LOOKBACK + 1) : place + 1]:
                if self._ends.get(earlier.digest, 0.0) > now:
                    read = max(read, earlier.size)
        stored = read
        for place in breakpoints:
            prefix = prefixes[place]
            if prefix.lifetime is not None and prefix.size >= self._least_bytes:
                self._ends[prefix.digest] = now + prefix.lifetime
                stored = max(stored, prefix.size)
        return Input(read, stored - read, total - stored)


def _prefixes(request: Mapping[str, Any]) -> Iterator[_Prefix]:
    """Yield the prefixes that end at each block: of the tools, then the system prompt, then the messages."""
    digest = hashlib.sha256(str(request.get("model")).encode())
    size = 0
    for block in _blocks(request):
        control = block.get("cache_control")
        raw = json.dumps({key: value for key, value in block.items() if key != "cache_control"}).encode()
        digest.update(raw)
        size += len(raw)
        yield _Prefix(digest.digest(), size, None if control is None else _LIFETIMES[control.get("ttl", "5m")])


def _blocks(request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from request.get("tools", ())
    contents = [request.get("system", []), *(message["content"] for message in request["messages"])]
    for content in contents:
        if isinstance(content, str):
            yield {"type": "text", "text": content}
        else:
            yield from content
