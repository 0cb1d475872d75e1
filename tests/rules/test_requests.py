"""Requests: what can be stored, which texts in them are templates, and that they survive as text."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.rules import requests

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
REQUESTS = st.dictionaries(
    TEXTS.filter(lambda key: key not in (*requests.REFUSED_KEYS, "messages")), VALUES, max_size=5
)


def levels(count: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(count - 1):
        value = [value]
    return {"x": value}


@given(REQUESTS)
def test_a_request_survives_as_text_with_the_order_of_its_keys(request: dict[str, Any]) -> None:
    assert requests.problems(request) == []
    text = requests.encode(request)
    decoded = requests.decode({"request": text})
    assert decoded == request
    assert json.dumps(decoded) == json.dumps(request)
    assert requests.encode(requests.parse_json(text)) == text  # type: ignore[arg-type]


def test_settings_show_the_request_as_an_object() -> None:
    settings = {"model": "m", "request": '{"thinking": {"type": "adaptive"}}'}
    visible = requests.visible_settings(settings)
    assert visible == {"model": "m", "request": {"thinking": {"type": "adaptive"}}}
    assert requests.decode(visible) == visible["request"]
    assert isinstance(settings["request"], str)


def test_settings_without_a_request_are_returned_as_they_are() -> None:
    settings = {"model": "m"}
    assert requests.visible_settings(settings) is settings
    assert requests.decode(settings) is None


@pytest.mark.parametrize(
    ("request_value", "clauses"),
    [
        ([], ["is a list, not an object"]),
        (7, ["is a number, not an object"]),
        (None, ["is null, not an object"]),
        ("{}", ["is a text, not an object"]),
        ({"model": "m"}, ["model belongs in the setting model"]),
        ({"max_tokens": 1, "model": "m"}, [
            "model belongs in the setting model", "max_tokens belongs in the setting max_tokens",
        ]),
        ({"system": "x"}, ["system is the text of the version"]),
        ({"stream": True}, ["stream belongs in the application's call"]),
        ({"metadata": {}}, ["metadata belongs in the application's call"]),
        ({"x": float("nan")}, ["x is not a finite number"]),
        ({"tools": [{"x": float("-inf")}]}, ["tools[0].x is not a finite number"]),
        ({"x": 10**400}, ["x is not a finite number"]),
        ({"x": {"y": "a\0"}}, ["x.y has a NUL character"]),
        ({"x": ["\ud800"]}, ["x[0] has a lone surrogate, which is not a character"]),
        ({"x": {"\0": 1}}, ["x.'\\x00': a key has a NUL character"]),
        ({"x": {1: 1}}, ["x.1: the key 1 is not a text"]),
        ({"x": datetime.date(2026, 1, 1)}, ["x is a date, which JSON does not have"]),
        ({"x": "a" * 1_000_000}, ["has more than 1 000 000 bytes"]),
        ({"x": "ä" * 499_996}, ["has more than 1 000 000 bytes"]),
        (levels(101), ["has more than 100 levels"]),
        (levels(100_000), ["has more than 100 levels"]),
        ({"messages": {}}, ["messages is an object, not a list"]),
        ({"messages": []}, ["messages is empty: leave it out"]),
        ({"messages": ["hello"]}, ["messages[0] is a text, not an object"]),
        ({"messages": [{"content": "x"}]}, ["messages[0] has no role: use user or assistant"]),
        ({"messages": [{"role": "system", "content": "x"}]}, [
            "messages[0] has the role 'system': use user or assistant",
        ]),
        ({"messages": [{"role": "user"}]}, ["messages[0] has no content"]),
        ({"messages": [{"role": "user", "content": 1}]}, [
            "messages[0].content is a number: use a text or a list of blocks",
        ]),
    ],
)  # fmt: skip
def test_what_cannot_be_a_request_is_named_by_its_path(request_value: object, clauses: list[str]) -> None:
    assert requests.problems(request_value) == clauses


def test_a_request_at_the_limits_has_no_problem() -> None:
    assert requests.problems({}) == []
    assert requests.problems(levels(100)) == []
    assert requests.problems({"x": "a" * (1_000_000 - len('{"x": ""}'))}) == []
    assert requests.problems({"x": [1.7976931348623157e308, -(10**308), 0, True, None]}) == []


def test_what_is_wrong_for_claude_alone_can_be_stored() -> None:
    tool_without_a_name = {"tools": [{"input_schema": {"type": 7}}], "temperature": "hot"}
    assert requests.problems(tool_without_a_name) == []


def test_at_most_twenty_problems_are_listed() -> None:
    assert len(requests.problems({"x": [float("nan")] * 50})) == 20


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ('{"a": 1,\n "a": 2}', "the key 'a' appears twice", 2),
        ('{"a": NaN}', "NaN is not a JSON number", 1),
        ('{"a": 1e999}', "the number 1e999 is too large", 1),
        ('{"a": "\\ud800"}', "a text has a lone surrogate, which is not a character", 1),
        ('{"a": "\\u0000"}', "a text has a NUL character", 1),
        ('{\n"a": }', "not JSON: Expecting value", 2),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "nested more than 100 deep", 1),
    ],
)
def test_text_that_is_not_a_request_is_refused_with_a_reason(text: str, reason: str, line: int) -> None:
    with pytest.raises(ValueError, match=r"\S") as caught:
        requests.parse_json(text)
    assert (str(caught.value), getattr(caught.value, "line", 0)) == (reason, line)


def messages(*roles: str) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": "x"} for role in roles]}


@pytest.mark.parametrize(
    ("request_value", "beginnings"),
    [
        ({}, []),
        (messages("user", "assistant"), ["messages end with the assistant: newer models refuse a call"]),
        (messages("user", "assistant", "user"), ["messages end with the user"]),
        (messages("assistant"), ["messages[0] is from the assistant", "messages end with the assistant"]),
        (messages("user", "user", "user", "assistant"), [
            "messages do not alternate: messages[0] and messages[1] are both from the user",
            "messages end with the assistant",
        ]),
    ],
)  # fmt: skip
def test_messages_that_claude_refuses_or_reads_otherwise_are_warned_of(
    request_value: dict[str, Any], beginnings: list[str]
) -> None:
    sentences = requests.warnings(request_value)
    assert len(sentences) == len(beginnings)
    assert all(map(str.startswith, sentences, beginnings))


MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "one {a}"},
    {"role": "assistant", "content": [
        {"type": "text", "text": "two {b}"},
        {"type": "thinking", "thinking": "no {c}"},
        {"type": "tool_use", "id": "t", "name": "n", "input": {"text": "no {d}"}},
    ]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "t", "content": "three {e}"},
        {"type": "tool_result", "tool_use_id": "t", "content": [
            {"type": "text", "text": "four {f}", "cache_control": {"type": "ephemeral"}},
            {"type": "image", "source": {"text": "no {g}"}},
        ]},
        {"type": "document", "text": "no {h}", "content": "no {i}"},
        "no block",
    ]},
]  # fmt: skip


def test_texts_of_messages_are_templates_and_nothing_else_is() -> None:
    request = {"tools": [{"description": "no {z}"}], "messages": MESSAGES}
    assert requests.message_texts(request) == ["one {a}", "two {b}", "three {e}", "four {f}"]
    assert requests.message_texts({"tools": []}) == []


def test_replacing_texts_leaves_the_messages_themselves_and_all_else_unchanged() -> None:
    before = json.dumps(MESSAGES)
    replaced = requests.replace_message_texts(MESSAGES, lambda text: text.upper())
    assert json.dumps(MESSAGES) == before
    assert requests.message_texts({"messages": replaced}) == ["ONE {A}", "TWO {B}", "THREE {E}", "FOUR {F}"]
    assert json.dumps(replaced).lower() == before.lower()


def test_a_request_is_read_without_the_module_json() -> None:
    program = (
        "import sys\nfrom promptctl.rules import requests\n"
        'text = \'{"a": [1, 2.5, null], "b": "ä"}\'\n'
        "assert requests.decode({'request': text}) == {'a': [1, 2.5, None], 'b': 'ä'}\n"
        "assert 'json' not in sys.modules and 're' not in sys.modules and 'typing' not in sys.modules\n"
    )
    subprocess.run(
        [sys.executable, "-S", "-E", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{program}"], check=True
    )
