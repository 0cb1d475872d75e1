"""The blocks of the setting `cache` are read from Claude's cache, whatever the values of the variables are."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl.rules import requests
from promptctl.rules.message_requests import RequestTemplate
from tests.claude_cache import Input, PromptCache

RULES = "Answer the question that was asked, first and in plain words. " * 100
TOOLS = [
    {"name": f"tool_{number}", "description": "Looks something up. " * 10, "input_schema": {"type": "object"}}
    for number in range(10)
]
CALLS = 100


def inputs(content: str, settings: dict[str, Any], *, seconds: float, least_tokens: int = 1024) -> list[Input]:
    """Return how 100 calls with different values and questions, this long apart, are billed."""
    version = RequestTemplate(content, {"request": requests.encode({"tools": TOOLS}), "model": "m", **settings})
    cache = PromptCache(least_tokens)
    return [
        cache.send(
            version.keywords({"name": f"user {number}"}, [{"role": "user", "content": f"Question {number}?"}]),
            number * seconds,
        )
        for number in range(CALLS)
    ]


@pytest.mark.parametrize(("cache", "seconds"), [("5m", 1.0), ("5m", 299.0), ("1h", 1.0), ("1h", 3599.0)])
@pytest.mark.parametrize("content", [RULES, f"{RULES}You talk to {{name}}. Be kind.", f"{RULES}{{name}}"])
def test_what_comes_before_the_first_variable_is_read_from_the_cache(cache: str, seconds: float, content: str) -> None:
    first, *later = inputs(content, {"cache": cache}, seconds=seconds)
    cacheable = first.written
    assert cacheable > len(RULES) + len(str(TOOLS)) * 0.9
    assert first.read == 0
    assert {call.read for call in later} == {cacheable}
    assert {call.written for call in later} == {0}
    assert sum(call.read for call in later) / (CALLS * cacheable) >= 0.95


@pytest.mark.parametrize(
    ("content", "settings", "seconds", "least_tokens"),
    [
        (f"{RULES}{{name}}", {}, 1.0, 1024),
        (f"{{name}}{RULES}", {"cache": "5m"}, 1.0, 1024),
        (f"{RULES}{{name}}", {"cache": "5m"}, 301.0, 1024),
        (f"{RULES}{{name}}", {"cache": "1h"}, 3601.0, 1024),
        (f"{RULES}{{name}}", {"cache": "5m"}, 1.0, 4096),
    ],
    ids=["without the setting", "after a variable", "after 5 minutes", "after an hour", "too short for the model"],
)
def test_nothing_is_read(content: str, settings: dict[str, Any], seconds: float, least_tokens: int) -> None:
    assert {call.read for call in inputs(content, settings, seconds=seconds, least_tokens=least_tokens)} == {0}
