"""Schemas of test cases: drafts, references, formats, and schemas that cannot be used."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from promptctl.rules import json_schemas, patterns

DRAFT_7 = "http://json-schema.org/draft-07/schema#"

UNUSABLE: list[tuple[Any, str]] = [
    (3, "is 3, not an object"),
    ([], "is [], not an object"),
    ({"type": "objct"}, "is invalid: $.type: 'objct' is not valid"),
    ({"$schema": "https://schemas.example/9"}, "has the draft https://schemas.example/9, which is not known"),
    ({"$schema": []}, "is invalid: $['$schema']: [] is not of type 'string'"),
    ({"$schema": DRAFT_7, "required": "a"}, "is invalid: $.required: 'a' is not of type 'array'"),
    ({"$ref": "https://schemas.example/a"}, "refers to another document, which is not fetched: $ref: https://"),
    ({"properties": {"a": {"$ref": "other.json#/a"}}}, "refers to another document, which is not fetched: $ref: other"),
    ({"$dynamicRef": "https://schemas.example/a#x"}, "refers to another document"),
    ({"properties": {"a": {"pattern": "("}}}, "has a pattern that is not a regular expression: missing )"),
    ({"patternProperties": {"[": {}}}, "has a pattern that is not a regular expression"),
]


@pytest.mark.parametrize(("schema", "reason"), UNUSABLE)
def test_an_unusable_schema(schema: Any, reason: str) -> None:
    problem = json_schemas.problem(schema)
    assert problem is not None
    assert problem.startswith(reason)


MISMATCHES: list[tuple[Any, Any, str | None]] = [
    (True, 1, None),
    (False, 1, "$: False schema does not allow 1"),
    ({"required": ["a"]}, {}, "$: 'a' is a required property"),
    ({"properties": {"a": {"items": {"type": "number"}}}}, {"a": [1, "x"]}, "$.a[1]: 'x' is not of type 'number'"),
    # 2020-12, and draft 07 for a schema that only it allows.
    ({"prefixItems": [{"type": "string"}]}, [1], "$[0]: 1 is not of type 'string'"),
    ({"items": [{"type": "string"}]}, [1], "$[0]: 1 is not of type 'string'"),
    ({"$schema": DRAFT_7, "prefixItems": [{"type": "string"}]}, [1], None),
    ({"$defs": {"n": {"type": "number"}}, "properties": {"a": {"$ref": "#/$defs/n"}}}, {"a": 1}, None),
    # A property may have the name of a keyword.
    ({"properties": {"$ref": {"type": "string"}, "pattern": {"type": "string"}}}, {"$ref": "http://a"}, None),
    ({"enum": [{"$ref": "http://a"}]}, {"$ref": "http://a"}, None),
    ({"pattern": "^a+$"}, "ab", "$: 'ab' does not match '^a+$'"),
    ({"format": "date"}, "2026-02-30x", "$: '2026-02-30x' is not a 'date'"),
    ({"format": "date-time"}, "2026-11-12T09:30:00.5Z", None),
    ({"format": "date-time"}, "2026-11-12", "$: '2026-11-12' is not a 'date-time'"),
    ({"format": "time"}, "25:00:00Z", "$: '25:00:00Z' is not a 'time'"),
    ({"format": "email"}, "a@b", None),
    ({"format": "email"}, "a", "$: 'a' is not a 'email'"),
    ({"format": "email"}, 1, None),
    ({"format": "uri"}, "https://a.example/b", None),
    ({"format": "uri"}, "a b", "$: 'a b' is not a 'uri'"),
    ({"format": "uuid"}, "x", "$: 'x' is not a 'uuid'"),
    ({"format": "ipv4"}, "1.2.3", "$: '1.2.3' is not a 'ipv4'"),
    # Any other format is not checked.
    ({"format": "iri-reference"}, "\\", None),
    ({"const": "x" * 400}, 1, "$: '" + "x" * 198 + "…"),
]


@pytest.mark.parametrize(("schema", "value", "reason"), MISMATCHES)
def test_a_value_that_does_not_follow_a_schema(schema: Any, value: Any, reason: str | None) -> None:
    assert json_schemas.problem(schema) is None
    assert json_schemas.mismatch(schema, value) == reason


def test_a_schema_that_is_not_usable_for_a_value() -> None:
    for schema, reason in [
        ({"$ref": "#"}, "refers to itself without end"),
        ({"$ref": "#/$defs/a"}, "refers to #/\\$defs/a, which it does not have"),
        ({"type": "objct"}, "is invalid"),
    ]:
        with pytest.raises(json_schemas.UnusableSchema, match=reason):
            json_schemas.mismatch(schema, {})


def test_a_recursive_schema_follows_its_value() -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    value: dict[str, Any] = {}
    for _ in range(40):
        value = {"children": [value]}
    assert json_schemas.mismatch(tree, value) is None
    assert (
        json_schemas.mismatch(tree, {"children": [{"children": 1}]})
        == "$.children[0].children: 1 is not of type 'array'"
    )


def test_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_keywords: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    # `problem` refuses this schema. A stored case could still have it.
    for reference in ("http://127.0.0.1:9/a", "https://schemas.example/a", "file:///etc/passwd"):
        with pytest.raises(json_schemas.UnusableSchema, match="which it does not have"):
            json_schemas.mismatch({"$ref": reference}, 1)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a{2}", None),
        ("[[a]", None),
        ("(?<name>a)", "is not a regular expression: unknown extension ?<n at position 1"),
        ("a" * 10_001, "has more than 10000 characters"),
        ("a{99999999999}", "is not a regular expression: it is nested or repeated too often"),
        ("(" * 4000 + ")" * 4000, "is not a regular expression: it is nested or repeated too often"),
    ],
)
def test_patterns(pattern: str, reason: str | None) -> None:
    assert patterns.problem(pattern) == reason
