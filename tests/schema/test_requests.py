"""Requests in the database: stored as text with the order of keys, equal by text, and templates in their messages."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from promptctl.rules import requests, templates
from promptctl.rules.template_syntax import STYLES
from tests.rules.test_requests import MESSAGES, REQUESTS, TEXTS
from tests.schema.support import refusal_error, rows, value
from tests.template_texts import texts

Connection = psycopg.Connection[Any]
MANY = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

REQUEST_TEXT = "select request_text(to_jsonb(%s::text))"
CREATE = "select version, created from create_version(%s, %s, %s)"


@example(
    {"a": [1e22, 1e-7, -0.0, 0.1 + 0.2, 1e16, 1e15, 123456789012345680.0, 5e-324, 1.7976931348623157e308, -1.5, 1e23]}
)
@example({"a": '1e5 \\ " \u007f ä 😀 \b\f\n\r\t\u0001 /'})
@MANY
@given(REQUESTS)
def test_the_text_that_the_program_writes_is_stored_as_it_is(
    database: Connection, request_value: dict[str, Any]
) -> None:
    written = requests.encode(request_value)
    assert value(database, REQUEST_TEXT, written) == written


# Numbers with at most 15 digits, in other forms than Python's.
NUMBERS = st.tuples(
    st.integers(-(10**14), 10**14),
    st.sampled_from(["e{}", ".0", ".50", "E+2", "", ".5e{}"]),
    st.integers(-20, 20),
).map(lambda parts: f"{parts[0]}{parts[1].format(parts[2])}")
FORMS: st.SearchStrategy[str] = st.recursive(
    st.sampled_from(["null", "true", "false", "-0", "-0.0", "0.0000", "1e-400", r'"\u00e4\/\ud83d\ude00"']) | NUMBERS
    | TEXTS.map(json.dumps),
    lambda inner: st.lists(inner, max_size=3).map(lambda items: f"[ {' ,'.join(items)}]")
    | st.dictionaries(TEXTS.map(json.dumps), inner, max_size=3).map(
        lambda items: "{\n" + ",".join(f"{key}:\t{item}" for key, item in items.items()) + "}"
    ),
    max_leaves=8,
)  # fmt: skip


@example('{"a":1e1}')
@example('{"a": 1.50, "b": 1E5, "c": 1234567890123456.75, "d": "x{,:}1e5"}')
@MANY
@given(FORMS.map(lambda form: f'{{"x":{form}}}'))
def test_another_text_of_the_same_request_is_stored_as_the_program_writes_it(database: Connection, text: str) -> None:
    assert value(database, REQUEST_TEXT, text) == requests.encode(json.loads(text))


# Numbers in every form that JSON has. A double of 9e15 or more can be the nearest one to a decimal halfway to the next.
DIGITS = st.integers(-(10**18), 10**18)
FORMS_OF_NUMBERS: st.SearchStrategy[str] = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: f"{number:.17e}"),
    st.floats(-1e308, 1e308).map(lambda number: f"{number:.14e}"),
    st.floats(-1e-3, 1e-3).map(repr),
    st.floats(9e15, 1e41).map(lambda number: f"{number:.1f}"),
    st.integers(0, 5000).map(lambda count: f"{count * 5e-324:.20e}"),
    st.integers(-1074, 1023).map(lambda exponent: f"{2.0**exponent:.20e}"),
    st.tuples(DIGITS, st.sampled_from("eE"), st.integers(-345, 45)).map(lambda parts: "{}{}{}".format(*parts)),
    st.tuples(DIGITS, st.integers(0, 10**18)).map(lambda parts: "{}.{}".format(*parts)),
    st.integers(-(10**300), 10**300).map(str),
)
NUMBERS_OF_ONE_DOUBLE = [
    "-0.000508105753894264", "4.94065645841246544e-324", "3e-324", "2.4703282292062327e-324", "2.4703282292062328e-324",
    "7.12676591788714240e+16", "71267659178871424.0", "1.79769313486231580e308", "1.797693134862315807e308", "1e-400",
    "-1e-400", "-0", "-0.0", "0e5", "-0e-5", "1e15", "1e16", "1e22", "1e23", "-1e23", "9007199254740993.0",
    "5.6843418860808015e-14", "1234567890123456.75", "100.0", "1.50", "0.0001", "0.00001", "12345678901234567890123",
]  # fmt: skip


@example(NUMBERS_OF_ONE_DOUBLE)
@MANY
@given(st.lists(FORMS_OF_NUMBERS, min_size=20, max_size=20))
def test_a_number_is_written_as_the_program_writes_it(database: Connection, numbers: list[str]) -> None:
    query = "select array(select json_number(n) from unnest(%s::text[]) with ordinality t (n, place) order by place)"
    assert value(database, query, numbers) == [json.dumps(json.loads(number)) for number in numbers]
    text = f'{{"x": [{", ".join(numbers)}]}}'
    assert value(database, REQUEST_TEXT, text) == requests.encode(json.loads(text))


def test_a_number_that_is_too_large_for_a_double_stays_as_it_is(database: Connection) -> None:
    for number in ("1e309", "-1E400", "1.7976931348623159e308", "1" + "0" * 400 + ".0"):
        assert value(database, "select json_number(%s)", number) == number


@pytest.mark.parametrize("digit", ["1", "1.5"])
def test_the_time_for_many_numbers_is_linear(database: Connection, digit: str) -> None:
    # It takes 0.3 s. A quadratic algorithm takes more than a minute.
    text = f'{{"x": [{", ".join([digit] * 200_000)}]}}'
    database.execute("set local statement_timeout = '10s'")
    assert value(database, f"{REQUEST_TEXT} = %s", text, text) is True


@MANY
@given(REQUESTS.filter(bool))
def test_an_object_of_an_sql_caller_becomes_text(database: Connection, request_value: dict[str, Any]) -> None:
    stored = value(database, "select stored_settings(%s)", json.dumps({"request": request_value}))
    # jsonb writes 1e+16 as an integer.
    [expected, stored_value] = [
        json.loads(text, parse_int=float) for text in (json.dumps(request_value), stored["request"])
    ]
    assert stored_value == expected
    assert value(database, REQUEST_TEXT, stored["request"]) == stored["request"]


def test_settings_without_a_request_are_stored_as_they_are(database: Connection) -> None:
    for text in ("{}", '{"model": "m", "max_tokens": 5}', '{"request": 7}', '{"request": null}', "[]"):
        assert value(database, "select stored_settings(%s) = %s::jsonb", text, text)


def test_an_empty_request_is_stored_as_none(database: Connection) -> None:
    empty: list[Any] = [{}, "{}", " {\n}"]
    for place, request_value in enumerate(empty):
        settings_with_request = json.dumps({"model": "m", "request": request_value})
        # Of the first call, the trigger changes the settings, and of the others create_version itself.
        assert rows(database, CREATE, "asks", "Be kind.", settings_with_request) == [(1, place == 0)]
    assert rows(database, CREATE, "asks", "Be kind.", '{"model": "m"}') == [(1, False)]
    assert value(database, "select settings from versions where name = 'asks'") == {"model": "m"}


def test_create_version_finds_the_version_with_the_same_request(database: Connection) -> None:
    def create(request_text: str) -> tuple[Any, ...]:
        [row] = rows(database, CREATE, "asks", "Be kind.", json.dumps({"request": request_text}))
        return row

    assert create('{"b": 1, "a": {"y": 2.5, "x": "ä"}}') == (1, True)
    assert create('{"b": 1, "a": {"y": 2.5, "x": "ä"}}') == (1, False)
    assert create('{"b":1,\n"a":{"y":2.50,"x":"\\u00e4"}}') == (1, False)
    # Claude is sent another order, so it is another version.
    assert create('{"a": {"y": 2.5, "x": "ä"}, "b": 1}') == (2, True)
    assert rows(database, CREATE, "asks", "Be kind.", '{"request": {"b": 1, "a": {"x": "ä", "y": 2.5}}}') == [(3, True)]
    assert rows(database, CREATE, "asks", "Be kind.", '{"request": {"a": {"y": 2.5, "x": "ä"}, "b": 1}}') == [
        (3, False)
    ]
    assert rows(database, CREATE, "asks", "Be kind.", "{}") == [(4, True)]
    keys = "select array(select json_object_keys((settings ->> 'request')::json)) from versions where name = 'asks'"
    assert rows(database, f"{keys} order by version limit 2") == [(["b", "a"],), (["a", "b"],)]


@pytest.mark.parametrize(
    "statement",
    [
        """
        select add_versions(jsonb_build_array(jsonb_build_object(
            'name', 'asks', 'version', 1, 'content', 'x', 'settings', '{"request": {"k": [1, 2.50]}}'::jsonb)))
        """,
        """
        insert into prompts (name, version, content) values ('asks', 7, 'x');
        insert into versions (name, version, content, settings)
        values ('asks', 1, 'x', '{"request": "{\\"k\\":[1,2.50]}"}')
        """,
    ],
)
def test_every_way_of_storing_a_version_stores_the_same_text(database: Connection, statement: str) -> None:
    for part in statement.split(";"):
        database.execute(part.encode())
    stored = "select settings from versions where name = 'asks' and version = 1"
    assert value(database, stored) == {"request": '{"k": [1, 2.5]}'}


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "yes", "{'a': 1}", '{"a": NaN}', '{"a": "\\u0000"}', '{"a": "\\ud800"}', '{"a": 1e999999999}',
        '{"a": 1e-1000000}', '{"a": ' + "[" * 300_000 + "]" * 300_000 + "}", "[]", "7", '"{}"', "null",
    ],
    ids=lambda text: text[:20],
)  # fmt: skip
def test_a_text_that_is_not_a_json_object_is_refused_by_the_rule(database: Connection, text: str) -> None:
    database.execute("select create_version('asks', 'x')")
    for content in ("x", "y"):
        error = refusal_error(database, CREATE, "asks", content, json.dumps({"request": text}))
        assert (error.sqlstate, error.diag.constraint_name) == ("23514", "a_request_is_an_object")
        assert str(error).startswith("the request is not a JSON object: ")


def test_requests_at_the_limits_are_stored(database: Connection) -> None:
    levels: Any = 1
    for _ in range(99):
        levels = [levels]
    largest = {"x": "ä" * ((1_000_000 - len('{"x": ""}')) // 2)}
    for request_value in ({"x": levels}, largest, {"x": [1.7976931348623157e308, -(10**308)]}):
        assert requests.problems(request_value) == []
        text = requests.encode(request_value)
        # With other blanks it takes the longer way.
        for form in (text, text.replace("{", "{ ")):
            row = rows(database, CREATE, "asks", "x", json.dumps({"request": form}))
            assert row[0][1] is (form is text)
    settings_beside = json.dumps({"request": requests.encode(largest), "note": "n" * 900_000}, ensure_ascii=False)
    assert rows(database, CREATE, "asks", "x", settings_beside)[0][1] is True


def test_the_texts_of_messages_are_the_same_as_in_the_program(database: Connection) -> None:
    request_value = {"tools": [{"description": "{z}"}], "messages": MESSAGES}
    as_json = json.dumps({"request": requests.encode(request_value)})
    assert value(database, "select message_texts(%s)", as_json) == requests.message_texts(request_value)
    blocks = [{"type": "text"}, {"type": "text", "text": "{b}"}]
    messages = [{"role": "user", "content": [{"type": "tool_result", "content": blocks}]}]
    for text in (
        requests.encode({"messages": messages}),
        json.dumps({"messages": messages}).replace("m", "\\u006d", 1),
    ):
        assert value(database, "select message_texts(%s)", json.dumps({"request": text})) == ["{b}"]
    for odd in ({}, {"messages": 7}, {"messages": [7, {"role": "user"}, {"content": [7, {"type": "text"}]}]}):
        as_json = json.dumps({"request": json.dumps(odd)})
        assert value(database, "select message_texts(%s)", as_json) == []


def text_block(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def result_block(text: str) -> dict[str, Any]:
    return {"type": "tool_result", "content": text}


def result_of_blocks(text: str) -> dict[str, Any]:
    return {"type": "tool_result", "content": [text_block(text), 7, result_block(text)]}


def broken_blocks(text: str) -> dict[str, Any]:
    broken: list[Any] = [{"type": "text"}, {"type": "text", "text": 7}, {"text": text}, [text_block(text)], text, None]
    return {"type": "tool_result", "content": [*broken, text_block(text)]}


def result_of_an_object(text: str) -> dict[str, Any]:
    return {"type": "tool_result", "content": text_block(text)}


def other_block(text: str) -> dict[str, Any]:
    return {"type": "thinking", "thinking": text, "text": text}


BLOCKS: st.SearchStrategy[Any] = st.one_of(
    texts.map(text_block), texts.map(result_block), texts.map(result_of_blocks), texts.map(other_block),
    texts.map(broken_blocks), texts.map(result_of_an_object), st.sampled_from([7, None, "{a}", {"type": ["text"]}]),
)  # fmt: skip
MESSAGE_LISTS: st.SearchStrategy[list[dict[str, Any]]] = st.lists(
    st.fixed_dictionaries({
        "role": st.sampled_from(requests.ROLES), "content": texts | st.lists(BLOCKS, max_size=3),
    }),
    min_size=1,
    max_size=3,
)  # fmt: skip


@MANY
@given(content=texts, messages=MESSAGE_LISTS, style=st.sampled_from(STYLES))
def test_the_database_and_the_program_find_the_same_variables(
    database: Connection, content: str, messages: list[Any], style: str
) -> None:
    request_text = requests.encode({"tools": [{"name": "{no}"}], "messages": messages})
    version_settings = {"template": style, "request": request_text}
    as_json = json.dumps(version_settings)
    variables = templates.variables(content, version_settings)
    assert value(database, "select template_variables(%s, %s)", content, as_json) == list(variables)


def test_a_variable_of_a_message_counts_at_an_activation(database: Connection) -> None:
    request_value = {"messages": [{"role": "user", "content": "For {customer}, {tone}"}]}
    described = {"variables": {"tone": {"default": "kindly"}}, "request": request_value}
    database.execute("select create_version('asks', 'Be {mood}.', activated => true)")
    database.execute("select create_version('asks', 'Be {mood}.', %s)", [json.dumps(described)])
    stored = "select variables, required_variables from versions where name = 'asks' and version = 2"
    assert rows(database, stored) == [(["mood", "customer", "tone"], ["mood", "customer"])]
    error = refusal_error(database, "select activate('{asks}', '{2}')")
    assert error.diag.constraint_name == "a_version_needs_no_new_variable"
    assert "needs customer" in str(error)


def test_erasing_a_version_erases_its_request(database: Connection) -> None:
    database.execute("select create_version('asks', 'x', %s)", ['{"cache": "1h", "request": {"tools": []}}'])
    assert value(database, "select settings from erase('asks', 1, 'me', 'a key in it')") == ["cache", "request"]
    assert value(database, "select settings from versions where name = 'asks'") == {}
