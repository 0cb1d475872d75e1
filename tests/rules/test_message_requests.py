"""What Claude is sent of a version: its order, texts of messages, cache blocks. A call cannot change the version."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.rules import requests, template_syntax
from promptctl.rules.message_requests import RequestTemplate, cacheable_text
from promptctl.rules.templates import MissingValues, Template
from tests.template_texts import texts

TOOLS = [{"name": "look_up", "input_schema": {"type": "object", "properties": {"{id}": {"type": "string"}}}}]
QUESTION = {"role": "user", "content": "And {this}?"}


def template(content: str = "You help {name}.", request: Any = None, **settings: Any) -> RequestTemplate:
    if request is not None:
        settings["request"] = json.dumps(request, ensure_ascii=False)
    return RequestTemplate(content, settings)


def test_keywords_have_a_fixed_order() -> None:
    request = {"tools": TOOLS, "messages": [{"role": "user", "content": "Hi"}], "thinking": {"type": "adaptive"}}
    composed = template(request=request, max_tokens=1024, model="claude-sonnet-5-5").keywords(
        {"name": "Ada"}, [QUESTION]
    )
    assert list(composed.items()) == [
        ("model", "claude-sonnet-5-5"),
        ("max_tokens", 1024),
        ("system", "You help Ada."),
        ("tools", TOOLS),
        ("thinking", {"type": "adaptive"}),
        ("messages", [{"role": "user", "content": "Hi"}, QUESTION]),
    ]


def test_model_and_max_tokens_are_left_out_where_nothing_names_them() -> None:
    assert template("Hello").keywords({}) == {"system": "Hello", "messages": []}


def test_an_argument_wins_over_the_setting() -> None:
    version = template("Hello", max_tokens=10, model="claude-sonnet-5-5")
    assert list(version.keywords({}, model="claude-haiku-5-5", max_tokens=20).items())[:2] == [
        ("model", "claude-haiku-5-5"),
        ("max_tokens", 20),
    ]
    assert list(template("Hello", max_tokens=10).keywords({}, model="claude-haiku-5-5"))[:2] == ["model", "max_tokens"]
    assert list(template("Hello", model="m").keywords({}, max_tokens=5).items())[:2] == [
        ("model", "m"),
        ("max_tokens", 5),
    ]


MESSAGES = [
    {"role": "user", "content": "What does {product} cost?"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "look_up", "input": {"id": "{x}"}}]},
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": "{price} for {{product}}"},
            {"type": "tool_result", "tool_use_id": "2", "content": [
                {"type": "text", "text": "{price}"},
                {"type": "image", "source": {"type": "url", "url": "{x}"}},
            ]},
            {"type": "tool_result", "tool_use_id": "4"},
            {"type": "text", "text": "Say it to {name}.", "cache_control": {"type": "ephemeral"}},
            {"type": "document", "source": {"type": "text", "data": "{x}"}, "title": "{x}"},
        ],
    },
    {"role": "assistant", "content": "It costs {{price}}.", "x": "{x}"},
]  # fmt: skip


def test_only_texts_of_messages_are_templates() -> None:
    version = template(request={"tools": TOOLS, "stop_sequences": ["{x}"], "messages": MESSAGES})
    assert version.variables == ("name", "product", "price")
    composed = version.keywords({"name": "{price}", "product": "{{name}}", "price": "5 {x}"}, [QUESTION])
    assert composed["system"] == "You help {price}."
    assert composed["tools"] == TOOLS
    assert composed["stop_sequences"] == ["{x}"]
    assert composed["messages"] == [
        {"role": "user", "content": "What does {{name}} cost?"},
        MESSAGES[1],
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "1", "content": "5 {x} for {product}"},
                {"type": "tool_result", "tool_use_id": "2", "content": [
                    {"type": "text", "text": "5 {x}"},
                    {"type": "image", "source": {"type": "url", "url": "{x}"}},
                ]},
                {"type": "tool_result", "tool_use_id": "4"},
                {"type": "text", "text": "Say it to {price}.", "cache_control": {"type": "ephemeral"}},
                {"type": "document", "source": {"type": "text", "data": "{x}"}, "title": "{x}"},
            ],
        },
        {"role": "assistant", "content": "It costs {price}.", "x": "{x}"},
        QUESTION,
    ]  # fmt: skip


@pytest.mark.parametrize("style", template_syntax.STYLES)
@given(texts_of_messages=st.lists(texts, min_size=1, max_size=4), content=texts)
def test_texts_of_messages_are_rendered_as_the_text_is(style: str, texts_of_messages: list[str], content: str) -> None:
    messages: list[Any] = [
        {"role": "user", "content": text if place % 2 else [{"type": "text", "text": text}]}
        for place, text in enumerate(texts_of_messages)
    ]
    version = template(content, {"messages": messages}, template=style)
    parsed = [Template(text, {"template": style}) for text in (content, *texts_of_messages)]
    assert version.variables == tuple(dict.fromkeys(name for one in parsed for name in one.variables))
    values = {name: f"<{{{name}}}>" for name in version.variables}
    composed = version.keywords(values)
    sent = [m["content"] if isinstance(m["content"], str) else m["content"][0]["text"] for m in composed["messages"]]
    assert [composed["system"], *sent] == [one.render(values) for one in parsed]


def test_texts_of_messages_are_those_that_count_for_the_contract() -> None:
    names = [name for text in requests.message_texts({"messages": MESSAGES}) for name in Template(text).variables]
    assert template("Hello", {"messages": MESSAGES}).variables == tuple(dict.fromkeys(names))


def test_missing_values_are_named_once_each_for_all_texts() -> None:
    version = template(
        "{a} {b}",
        {
            "messages": [
                {"role": "user", "content": "{c} {a}"},
                {"role": "user", "content": [{"type": "text", "text": "{d} {e}"}]},
            ]
        },
        variables={"e": {"default": "E"}, "b": {"required": False}, "unused": {}},
    )
    assert version.variables == ("a", "b", "c", "d", "e")
    assert version.required == ("a", "c", "d")
    assert version.accepted == {"a", "b", "c", "d", "e", "unused"}
    assert (version.default("e"), version.default("b"), version.default("a")) == ("E", "", None)
    with pytest.raises(MissingValues) as caught:
        version.keywords({"c": "C"})
    assert caught.value.names == ("a", "d")
    composed = version.keywords({"a": "A", "c": "C", "d": "D", "other": "ignored"})
    assert composed["system"] == "A "
    assert composed["messages"] == [
        {"role": "user", "content": "C A"},
        {"role": "user", "content": [{"type": "text", "text": "D E"}]},
    ]


def test_a_value_that_is_not_a_string_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        template(request={"messages": [{"role": "user", "content": "{n}"}]}).keywords({"name": "Ada", "n": 1})  # pyright: ignore[reportArgumentType]


EPHEMERAL = {"type": "ephemeral"}


@pytest.mark.parametrize(
    ("content", "settings", "system"),
    [
        ("Be brief.", {"cache": "5m"}, [{"type": "text", "text": "Be brief.", "cache_control": EPHEMERAL}]),
        (
            "Be {{brief}}, {name}, or {other}.",
            {"cache": "1h"},
            [
                {"type": "text", "text": "Be {brief}, ", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
                {"type": "text", "text": "Ada, or {name}."},
            ],
        ),
        ("{name}, be brief.", {"cache": "5m"}, "Ada, be brief."),
        (" \n{name}, be brief.", {"cache": "5m"}, " \nAda, be brief."),
        ("Be brief.\n{empty}", {"cache": "5m"}, [{"type": "text", "text": "Be brief.\n", "cache_control": EPHEMERAL}]),
        ("Be brief.{empty}\n", {"cache": "5m"}, [{"type": "text", "text": "Be brief.\n", "cache_control": EPHEMERAL}]),
        (
            "Be {brief}, {{name}}.",
            {"cache": "5m", "template": "mustache"},
            [{"type": "text", "text": "Be {brief}, ", "cache_control": EPHEMERAL}, {"type": "text", "text": "Ada."}],
        ),
        (
            "Be {name}.",
            {"cache": "5m", "template": "none"},
            [{"type": "text", "text": "Be {name}.", "cache_control": EPHEMERAL}],
        ),
        ("Be brief, {name}.", {}, "Be brief, Ada."),
    ],
)
def test_the_breakpoint_of_the_cache_is_at_the_first_variable(
    content: str, settings: dict[str, Any], system: object
) -> None:
    values = {"name": "Ada", "other": "{name}", "empty": ""}
    assert RequestTemplate(content, settings).keywords(values)["system"] == system


@given(content=texts, value=texts)
def test_cache_blocks_add_up_to_the_text(content: str, value: str) -> None:
    values = dict.fromkeys(Template(content).variables, value)
    system = template(content, cache="5m").keywords(values)["system"]
    rendered = Template(content).render(values)
    if isinstance(system, str):
        assert system == rendered
        assert cacheable_text(content, {}) == ""
        return
    assert "".join(block["text"] for block in system) == rendered
    assert all(block["text"].strip() for block in system)
    assert [block.get("cache_control") for block in system] == [EPHEMERAL, None][: len(system)]
    assert rendered.startswith(cacheable_text(content, {}))
    assert system[0]["text"].startswith(cacheable_text(content, {}))


def test_what_a_caller_changes_does_not_change_the_version() -> None:
    request = {"tools": TOOLS, "thinking": {"type": "adaptive"}, "stop_sequences": ["x"], "messages": MESSAGES}
    version = template("You help {name}. Bye.", request, model="m", cache="5m")
    values = {"name": "Ada", "product": "p", "price": "1"}
    first = version.keywords(values, [QUESTION])
    untouched = copy.deepcopy(first)
    first["tools"].append({"name": "mine"})
    first["thinking"]["type"] = "disabled"
    first["stop_sequences"].clear()
    first["messages"].append(QUESTION)
    first["messages"][0]["content"] = "other"
    first["messages"][2]["content"][3]["text"] = "other"
    first["system"][0]["cache_control"] = {"type": "ephemeral", "ttl": "1h"}
    first["system"].clear()
    with pytest.raises(TypeError, match="deepcopy"):
        first["tools"][0]["input_schema"]["properties"]["x"] = {}
    with pytest.raises(TypeError, match="deepcopy"):
        first["messages"][1]["content"].append({})
    first.clear()
    assert version.keywords(values, [QUESTION]) == untouched
    assert version.request == request


def test_the_messages_of_the_caller_are_not_copied() -> None:
    messages = [QUESTION]
    composed = template("Hello").keywords({}, messages)
    assert composed["messages"][0] is QUESTION
    composed["messages"].append(QUESTION)
    assert messages == [QUESTION]


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(ValueError, match="no template style"):
        template("Hello", template="jinja")
