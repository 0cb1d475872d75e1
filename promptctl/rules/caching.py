"""Describe how much of a version Claude can cache, and where caching is of little use. Pure.

With the setting `cache`, a version is sent with a breakpoint before the first variable of its text. Claude caches what
stands before a breakpoint: the tools, then the text.
"""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.templates import Template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# How many tokens Claude caches at least, by model. A shorter prompt is processed without caching, and without an error.
# From "Cache limitations" in Claude's documentation of prompt caching. A model that is missing here gets no warning.
_MINIMUMS = {
    512: (
        "claude-fable-5-1", "claude-mythos-5-1", "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5",
        "claude-opus-5", "claude-fable-5", "claude-mythos-5",
    ),
    1024: (
        "claude-opus-4-8", "claude-sonnet-5", "claude-sonnet-4-6", "claude-sonnet-4-5", "claude-opus-4-1",
        "claude-opus-4-0", "claude-opus-4", "claude-sonnet-4-0", "claude-sonnet-4",
    ),
    2048: ("claude-opus-4-7", "claude-mythos-preview", "claude-3-5-haiku"),
    4096: ("claude-opus-4-6", "claude-opus-4-5", "claude-haiku-4-5"),
}  # fmt: skip
_MINIMUM_BY_MODEL = {model: minimum for minimum, models in _MINIMUMS.items() for model in models}
# English has three to four bytes per token, so an estimate is rather too high, and a warning rather missing than wrong.
_BYTES_PER_TOKEN = 3
_LIFETIMES = {"5m": "5 minutes", "1h": "1 hour"}


class Caching(Record):
    """How much of a text can be cached, for `lifetime`, which is 5m or 1h.

    `cacheable_bytes` stand before `first_variable`, which is None for a text without variables. `is_cached` is whether
    that is enough for Claude, as far as is known. Sizes are bytes in UTF-8. `warnings` has sentences without a period.
    """

    lifetime: str
    text_bytes: int
    cacheable_bytes: int
    first_variable: str | None
    is_cached: bool
    warnings: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line: `97% of the text, 1,840 of 1,900 bytes, for 5 minutes`."""
        lifetime = _LIFETIMES[self.lifetime]
        if self.cacheable_bytes == self.text_bytes:
            return f"all of the text, {self.text_bytes:,} bytes, for {lifetime}"
        share = f"{_percent(self.cacheable_bytes, self.text_bytes)}% of the text"
        return f"{share}, {self.cacheable_bytes:,} of {self.text_bytes:,} bytes, for {lifetime}"


def describe(content: str, settings: Mapping[str, Any]) -> Caching | None:
    """Return how much of a version is cached; None without the setting `cache`.

    Raises ValueError for an unknown template style.
    """
    if "cache" not in settings:
        return None
    from promptctl.rules import message_requests

    lifetime = message_requests.cache_lifetime(settings)
    if lifetime is None:
        return None
    prefix = message_requests.cacheable_text(content, settings)
    text_bytes, cacheable_bytes = len(content.encode()), len(prefix.encode())
    names = Template(content, settings).variables
    variable = _written(names[0], settings) if names else None
    warnings: list[str] = []
    tokens = estimated_tokens(prefix, settings)
    least, most = _limits(settings.get("model"))
    is_cached = bool(prefix) and tokens >= least
    if variable is not None and prefix and 10 * cacheable_bytes < 9 * text_bytes:
        percent = _percent(text_bytes - cacheable_bytes, text_bytes)
        warnings.append(f"{percent}% of this text comes after {variable} and is never cached")
    if variable is not None and not prefix:
        warnings.append(f"nothing is cached: the text begins with {variable}")
    elif not is_cached:
        before = "" if variable is None else f" before {variable}"
        has = f"the tools and the text{before} have" if _tools(settings) else f"the text{before} has"
        who = f"{settings['model']} caches only {least:,}" if settings.get("model") else f"every model needs {least:,}"
        warnings.append(f"nothing is cached: {has} about {tokens:,} token{'s' * (tokens != 1)}, and {who} or more")
    elif tokens < most:
        warnings.append(f"some models cache only {most:,} tokens or more, and this has about {tokens:,}: set the model")
    return Caching(lifetime, text_bytes, cacheable_bytes, variable, is_cached, tuple(warnings))


def notes(content: str, settings: Mapping[str, Any]) -> list[str]:
    """Return sentences about how much of a version is cached, and its warnings; none without the setting `cache`."""
    caching = describe(content, settings)
    if caching is None:
        return []
    return [*([f"cached: {caching.summary}"] if caching.is_cached else []), *caching.warnings]


def _limits(model: str | None) -> tuple[int, int]:
    """Return how many tokens a model caches at least, twice; 0 for an unknown model.

    Without a model, these are the least and the greatest number of any model.
    """
    if not model:
        return min(_MINIMUMS), max(_MINIMUMS)
    minimum = minimum_tokens(model) or 0
    return minimum, minimum


def minimum_tokens(model: str | None) -> int | None:
    """Return how many tokens a model caches at least, None for no model and an unknown one.

    A name may end with a date: claude-haiku-4-5-20251001.
    """
    if model is None:
        return None
    name, _, end = model.replace("@", "-").rpartition("-")
    is_dated = (len(end) == 8 and end.isdigit()) or end == "latest"
    return _MINIMUM_BY_MODEL.get(name if is_dated else model)


def estimated_tokens(prefix: str, settings: Mapping[str, Any]) -> int:
    """Return an estimate of the tokens of the tools and of a text, from their bytes."""
    size = len(prefix.encode())
    if tools := _tools(settings):
        import json

        size += len(json.dumps(tools, ensure_ascii=False, separators=(",", ":")).encode())
    return size // _BYTES_PER_TOKEN


def _tools(settings: Mapping[str, Any]) -> Any:
    """Return the tools in the request of a version, None without any."""
    if "request" not in settings:
        return None
    from promptctl.rules import requests

    return (requests.decode(settings) or {}).get("tools") or None


def _written(name: str, settings: Mapping[str, Any]) -> str:
    """Return a variable as it is written in the template style of a version."""
    return f"{{{{{name}}}}}" if settings.get("template") == "mustache" else f"{{{name}}}"


def _percent(part: int, whole: int) -> int:
    """Return a rounded percentage, which is 0 or 100 only for none and for all."""
    if part in (0, whole):
        return 100 if part else 0
    return min(99, max(1, round(100 * part / whole)))
