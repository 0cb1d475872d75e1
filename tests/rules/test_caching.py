"""How much of a version can be cached, and the warnings where caching is of little use."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl.rules import caching, message_requests, requests

TEXT = "You answer briefly. " * 100


def warnings(content: str, **settings: Any) -> tuple[str, ...]:
    described = caching.describe(content, {"cache": "5m"} | settings)
    assert described is not None
    return described.warnings


def test_without_the_setting_nothing_is_described() -> None:
    assert caching.describe("{now} " + TEXT, {"model": "claude-haiku-4-5"}) is None


def test_notes_are_the_summary_and_the_warnings() -> None:
    assert caching.notes(TEXT, {}) == []
    model = {"model": "a-model-of-tomorrow"}
    assert caching.notes(TEXT, {"cache": "5m"} | model) == ["cached: all of the text, 2,000 bytes, for 5 minutes"]
    early = caching.notes("x" * 20 + "{now}" + "y" * 975, {"cache": "1h"} | model)
    assert early == [
        "cached: 2% of the text, 20 of 1,000 bytes, for 1 hour",
        "98% of this text comes after {now} and is never cached",
    ]
    assert caching.notes("{now}" + TEXT, {"cache": "5m"}) == ["nothing is cached: the text begins with {now}"]


def test_a_sentence_says_that_nothing_is_cached() -> None:
    for settings, who in (({"model": "claude-sonnet-5-5"}, "claude-sonnet-5-5 caches only"), ({}, "every model needs")):
        assert caching.notes("Be {mood}, and brief.", {"cache": "5m"} | settings) == [
            "86% of this text comes after {mood} and is never cached",
            f"nothing is cached: the text before {{mood}} has about 1 token, and {who} 512 or more",
        ]


def test_without_a_model_a_text_is_judged_by_all_models() -> None:
    assert caching.notes(TEXT, {"cache": "5m"}) == [
        "cached: all of the text, 2,000 bytes, for 5 minutes",
        "some models cache only 4,096 tokens or more, and this has about 666: set the model",
    ]
    assert warnings(TEXT * 7) == ()


def test_a_text_without_variables_is_cached_as_a_whole() -> None:
    described = caching.describe(TEXT, {"cache": "1h"})
    assert described is not None
    assert (described.text_bytes, described.cacheable_bytes, described.first_variable) == (2000, 2000, None)
    assert described.summary == "all of the text, 2,000 bytes, for 1 hour"


def test_sizes_are_in_bytes_and_end_at_the_first_variable() -> None:
    described = caching.describe("é" * 500 + "{name}" + "x" * 94, {"cache": "5m"})
    assert described is not None
    assert (described.text_bytes, described.cacheable_bytes, described.first_variable) == (1100, 1000, "{name}")
    assert described.summary == "91% of the text, 1,000 of 1,100 bytes, for 5 minutes"


@pytest.mark.parametrize(("before", "warns"), [(899, True), (900, False)])
def test_less_than_nine_tenths_of_a_text_gives_a_warning(before: int, warns: bool) -> None:
    content = "x" * before + "{now}" + "y" * (995 - before)
    assert bool(warnings(content, model="a-model-of-tomorrow")) is warns


def test_a_warning_names_the_variable_in_the_style_of_the_version() -> None:
    model = "a-model-of-tomorrow"
    late = "% of this text comes after {now} and is never cached"
    assert warnings("At {now}." + TEXT, model=model) == (f"99{late}",)
    assert warnings("x" * 20 + "{now}" + "y" * 975, model=model) == (f"98{late}",)
    [mustache] = warnings("At {{a.b}}." + TEXT, template="mustache", model=model)
    assert mustache.endswith("comes after {{a.b}} and is never cached")
    assert warnings("At {now}." + TEXT, template="none", model=model) == ()


def test_a_text_that_begins_with_a_variable_is_not_cached() -> None:
    for content in ("{now} " + TEXT, "\n  {now} " + TEXT):
        assert warnings(content, model="claude-haiku-4-5") == ("nothing is cached: the text begins with {now}",)
        assert message_requests.cacheable_text(content, {}) == ""


def test_a_text_below_the_minimum_of_its_model_gives_a_warning() -> None:
    # 2 000 bytes are estimated as 666 tokens.
    assert warnings(TEXT, model="claude-sonnet-5-5") == ()
    assert warnings(TEXT, model="claude-haiku-4-5-20251001") == (
        "nothing is cached: the text has about 666 tokens, and claude-haiku-4-5-20251001 caches only 4,096 or more",
    )
    assert "the text before {now} has about 666" in warnings(TEXT + "{now}", model="claude-sonnet-4-5")[0]
    assert warnings(TEXT, model="a-model-of-tomorrow") == ()


def test_tools_count_as_part_of_what_is_cached() -> None:
    tools = [{"name": "search", "description": "x" * 3000, "input_schema": {"type": "object"}}]
    request = requests.encode({"tools": tools})
    assert warnings(TEXT, model="claude-sonnet-4-5")
    assert warnings(TEXT, model="claude-sonnet-4-5", request=request) == ()
    assert warnings(TEXT, model="claude-sonnet-4-5", request={"tools": tools}) == ()
    assert warnings(TEXT, model="claude-haiku-4-5", request=request) == (
        (
            "nothing is cached: the tools and the text have about 1,689 tokens, and claude-haiku-4-5 caches only 4,096 "
            "or more"
        ),
    )
    assert ": the text has" in warnings(TEXT, model="claude-haiku-4-5", request=requests.encode({"tools": []}))[0]


@pytest.mark.parametrize(
    ("model", "minimum"),
    [
        ("claude-opus-5", 512), ("claude-opus-5-5", 512), ("claude-haiku-5-5@20261001", 512), ("claude-opus-4-8", 1024),
        ("claude-sonnet-4-20250514", 1024), ("claude-opus-4-7", 2048), ("claude-3-5-haiku-latest", 2048),
        ("claude-opus-4-5", 4096), ("claude-opus-5-9", None), ("claude-opus", None), ("x", None), ("", None),
        (None, None),
    ],
)  # fmt: skip
def test_the_minimum_of_a_model_needs_its_exact_name(model: str | None, minimum: int | None) -> None:
    assert caching.minimum_tokens(model) == minimum
