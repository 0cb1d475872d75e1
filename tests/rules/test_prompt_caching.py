"""The blocks of the setting `cache` are read from Claude's cache, whatever the values of the variables are."""

from __future__ import annotations

import itertools
import json
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
VALUES = [f"{number} is the user" for number in range(CALLS)]


def composed(content: str, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what is sent in 100 calls of a version, with different values and questions."""
    version = RequestTemplate(content, {"request": requests.encode({"tools": TOOLS}), "model": "m", **settings})
    return [
        version.keywords({"name": value}, [{"role": "user", "content": f"Question {number}?"}])
        for number, value in enumerate(VALUES)
    ]


def inputs(calls: list[dict[str, Any]], *, seconds: float, least_tokens: int = 1024) -> list[Input]:
    """Return how calls that are this long apart are billed."""
    cache = PromptCache(least_tokens)
    return [cache.send(call, number * seconds) for number, call in enumerate(calls)]


def cacheable_bytes(content: str) -> int:
    """Return how many bytes the 100 calls of a version begin with: the tools, and what its texts have in common."""
    texts = [content.replace("{name}", value) for value in VALUES]
    in_all = itertools.takewhile(lambda characters: len(set(characters)) == 1, zip(*texts, strict=False))
    return sum(len(json.dumps(tool)) for tool in TOOLS) + len(list(in_all))


@pytest.mark.parametrize(("cache", "seconds"), [("5m", 1.0), ("5m", 299.0), ("1h", 1.0), ("1h", 3599.0)])
@pytest.mark.parametrize("content", [RULES, f"{RULES}You talk to {{name}}. Be kind.", f"{RULES}{{name}}"])
def test_what_comes_before_the_first_variable_is_read_from_the_cache(cache: str, seconds: float, content: str) -> None:
    first, *later = inputs(composed(content, {"cache": cache}), seconds=seconds)
    cacheable = first.written
    assert cacheable > len(RULES) + len(str(TOOLS)) * 0.9
    assert first.read == 0
    assert {call.read for call in later} == {cacheable}
    assert {call.written for call in later} == {0}


@pytest.mark.parametrize(
    "content",
    [RULES, f"{RULES}You talk to {{name}}. Be kind.", f"{RULES}{{name}}{RULES}", f"Hello.\n\n{RULES}\n\n{{name}}\n"],
    ids=["no variable", "near the end", "in the middle", "several paragraphs"],
)
def test_most_of_what_calls_have_in_common_is_read_from_the_cache(content: str) -> None:
    read = sum(call.read for call in inputs(composed(content, {"cache": "5m"}), seconds=10))
    assert read / (CALLS * cacheable_bytes(content)) >= 0.95


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
    calls = composed(content, settings)
    assert {call.read for call in inputs(calls, seconds=seconds, least_tokens=least_tokens)} == {0}
