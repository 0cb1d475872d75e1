"""JSON from files that anybody may have edited."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.rules import json_documents
from promptctl.rules.json_documents import Fields, InvalidDocument, NotJson

TEXTS = st.text(st.characters(exclude_categories=[], exclude_characters="\0"), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


def has_lone_surrogate(value: Any) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in json.dumps(value, ensure_ascii=False))


@given(VALUES, st.booleans())
def test_every_json_value_is_parsed_except_lone_surrogates(value: Any, ascii: bool) -> None:
    written = json.dumps(value, ensure_ascii=ascii)
    raw: bytes | str = written
    if not has_lone_surrogate(value):
        raw = written.encode()
        assert json_documents.parse(raw) == value
        return
    with pytest.raises(InvalidDocument):
        json_documents.parse(raw)


@given(VALUES)
def test_the_exact_text_of_a_json_value_is_its_json(value: Any) -> None:
    written = json.dumps(value, ensure_ascii=False)
    assert json_documents.exact_text(value) == (None if has_lone_surrogate(value) else written)


@pytest.mark.parametrize(
    "value",
    [
        {1: "a"}, {True: "a"}, {None: "a"}, ("a",), {"a": ("b",)}, {"a"}, b"a", datetime.date(2026, 1, 1),
        float("nan"), [float("inf")], {"a": -float("inf")}, 10**309, {"a": [-(10**309)]}, 10**5000,
        "\ud800", {"\ud800": 1},
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_that_json_changes_has_no_exact_text(value: Any) -> None:
    assert json_documents.exact_text(value) is None


def test_a_value_too_deep_for_the_stack_has_no_exact_text() -> None:
    value: Any = []
    for _ in range(100_000):
        value = [value]
    assert json_documents.exact_text(value) is None


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_either_parsed_or_reported_as_malformed(raw: bytes) -> None:
    outcome = "a value"
    try:
        json_documents.parse(raw)
    except InvalidDocument as problem:
        outcome = problem.reason
    assert outcome
    assert outcome.isprintable()


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ('{"a": "\\ud800"}', "a text has a lone surrogate"),
        ('{"\\udc00": 1}', "a text has a lone surrogate"),
        ('["\\u0000"]', "a text has a NUL character"),
        ("[NaN]", "NaN is not a JSON number"),
        ("[-Infinity]", "-Infinity is not a JSON number"),
        ("[1e999]", "the number 1e999 is too large"),
        ("[" + "1" * 5000 + "]", "a number with too many digits"),
        ("[" * 200 + "]" * 200, "nested more than 100 deep"),
        ("[" * 100_000, "nested more than 100 deep"),
        (b"\xff", "not UTF-8: byte 0"),
    ],
)
def test_invalid_json_and_values_that_cannot_be_stored_are_refused(raw: bytes | str, reason: str) -> None:
    for document in (raw, raw.encode() if isinstance(raw, str) else raw):
        with pytest.raises(InvalidDocument) as caught:
            json_documents.parse(document)
        assert caught.value.reason.startswith(reason)


def test_an_error_in_json_is_reported_with_its_line() -> None:
    with pytest.raises(NotJson) as caught:
        json_documents.parse(b"{\n'a': 1}")
    assert (caught.value.line, caught.value.reason[:9]) == (2, "not JSON:")
    with pytest.raises(InvalidDocument, match="the key 'a' appears twice"):
        json_documents.parse('{"a": 1, "a": 2}', unique_keys=True)
    assert json_documents.parse(b'\xef\xbb\xbf{"a": 1.10}', numbers_as_written=True) == {"a": "1.10"}
    # A whole pair is a character.
    assert json_documents.parse(b'["\\ud83d\\ude00"]') == ["\U0001f600"]


def test_a_field_of_another_type_is_refused() -> None:
    fields = Fields({"text": "x", "number": 1, "flag": True, "list": ["a"], "object": {"a": 1}, "none": None}, "it")
    assert (fields.text("text"), fields.integer("number"), fields.boolean("flag")) == ("x", 1, True)
    assert (fields.texts("list"), fields.mapping("object"), fields.text_or_none("none")) == (("a",), {"a": 1}, None)
    for read_field in (
        lambda: fields.text("number"), lambda: fields.integer("flag"), lambda: fields.boolean("number"),
        lambda: fields.mapping("list"), lambda: fields.sequence("text"), lambda: fields.integer("number", 2),
        lambda: fields.text_or_none("missing"), lambda: fields.text("missing"), lambda: fields.fields("text"),
        lambda: Fields([], "it"), lambda: Fields({"a": 1 << 63}, "it").integer("a"),
        lambda: Fields({"a": ["x", 1]}, "it").texts("a"),
    ):  # fmt: skip
        with pytest.raises(InvalidDocument, match=r"^it"):
            read_field()
