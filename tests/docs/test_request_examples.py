"""The composition of a request in JavaScript and in SQL gives what the client in Python gives."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.rules import requests, template_syntax
from promptctl.rules.message_requests import RequestTemplate
from promptctl.rules.templates import MissingValues
from tests.conftest import ROOT
from tests.template_texts import TRICKY

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

QUESTION = {"role": "user", "content": "What is a pointer?"}
MESSAGES: list[Any] = [
    {"role": "user", "content": "{{word}} {word}"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "t", "input": {"a": "{word}"}}]},
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": "{word} of {name}"},
            {"type": "tool_result", "tool_use_id": "2", "content": [{"type": "text", "text": "{{name}}"}]},
            {"type": "tool_result", "tool_use_id": "3"},
            {"type": "text", "text": "größe {name}"},
            {"type": "text", "text": None},
            {"type": "text"},
            {"type": "tool_result", "tool_use_id": "4", "content": {"a": "{word}"}},
            {
                "type": "tool_result",
                "tool_use_id": "5",
                "content": [{"type": "tool_result", "content": "{word}"}, None],
            },
            None,
            5,
        ],
    },
]
TOOLS: list[Any] = [
    {"name": "t", "description": "{word}", "input_schema": {"type": "object", "properties": {"b": {}, "a": {}}}}
]
REQUEST: dict[str, Any] = {
    "tools": TOOLS,
    "messages": MESSAGES,
    "thinking": {"type": "adaptive"},
    "stop_sequences": ["{x}"],
}
TEXTS = ["Be kind.", "Be {{kind}}, {name}. {word}", "{name}, be kind.", "Be kind.{empty}\n", "{empty}", *TRICKY]

# Each line of the input is a version, values and messages.
COMPOSE = """
const { compose } = require(process.argv[1]);
const lines = require('fs').readFileSync(0, 'utf8').trim().split('\\n');
for (const line of lines) {
  let composed;
  try { composed = compose(...JSON.parse(line)); } catch (error) { composed = { error: error.message }; }
  console.log(JSON.stringify(composed));
}
"""


def all_settings() -> list[dict[str, Any]]:
    """Return settings with each template style, with and without a request and the cache."""
    request = {"request": requests.encode(REQUEST)}
    described = {"variables": {"name": {"default": "N"}, "word": {"required": False}}}
    extras: list[dict[str, Any]] = [
        {},
        {"cache": "5m", "model": "m"},
        {"cache": "1h", "max_tokens": 10, **request},
        {**request, **described},
    ]
    return [{"template": style, **extra} for style in template_syntax.STYLES for extra in extras]


def python_result(content: str, settings: Mapping[str, Any], values: Mapping[str, str]) -> str:
    try:
        composed = RequestTemplate(content, settings).keywords(values, [QUESTION])
    except MissingValues as missing:
        composed = {"error": f"values are missing for {', '.join(missing.names)}"}
    return json.dumps(composed, ensure_ascii=False, separators=(",", ":"))


def test_javascript_composes_what_python_composes() -> None:
    if shutil.which("node") is None:
        pytest.skip("no node")
    calls: list[tuple[str, dict[str, Any], dict[str, str]]] = []
    for settings in all_settings():
        for text in TEXTS:
            names = RequestTemplate(text, settings).variables
            values = {name: "" if name == "empty" else f"<{{{name}}}>" for name in names}
            calls += [(text, settings, values), (text, settings, {})]
    lines = [
        json.dumps([{"content": text, "settings": settings}, values, [QUESTION]]) for text, settings, values in calls
    ]
    command = ["node", "-e", COMPOSE, str(ROOT / "examples" / "applications" / "requests.js")]
    ended = subprocess.run(
        command, input="\n".join(lines), capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert ended.stderr == ""
    printed = ended.stdout.rstrip("\n").split("\n")
    assert len(printed) == len(calls)
    for call, result in zip(calls, printed, strict=True):
        assert result == python_result(*call), call


@pytest.mark.parametrize(
    ("style", "content"),
    [
        ("none", "Be {kind}. {{kind}}"),
        ("braces", "Be {{kind}}, {{{a.b_1}}} \\frac{{a}}{{b}} {{ a }} {{1}} {{a.}} {{a}}}}."),
        ("mustache", "Be {kind}."),
    ],
)
@pytest.mark.parametrize("extra", [{}, {"cache": "5m"}, {"cache": "1h", "model": "m-1", "max_tokens": 77}])
@pytest.mark.parametrize("request_of_version", [None, REQUEST, {"messages": MESSAGES}, {"tools": TOOLS}])
def test_sql_composes_what_python_composes(
    sql: psycopg.Connection[Any],
    extra: dict[str, Any],
    request_of_version: dict[str, Any] | None,
    style: str,
    content: str,
) -> None:
    settings = {"template": style, "model": "claude-sonnet-5-5", "max_tokens": 1024, **extra}
    if request_of_version is not None:
        settings["request"] = requests.encode(request_of_version)
    assert not RequestTemplate(content, {"template": style}).variables
    sql.execute("set search_path = promptctl")
    sql.execute(
        "select create_version('default-system-prompt', %s, %s, activated => true)", [content, json.dumps(settings)]
    )
    page = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
    [statement] = re.findall(r"^```sql\n(WITH prompt AS .*?)^```$", page, flags=re.M | re.S)
    [composed] = sql.execute(statement.encode()).fetchone() or [None]
    # Texts of messages are sent as they are.
    own = (request_of_version or {}).get("messages", [])
    expected = RequestTemplate(content, {**settings, "request": "{}"}).keywords({}, [])
    expected |= {key: value for key, value in (request_of_version or {}).items() if key != "messages"}
    expected["messages"] = [*own, QUESTION]
    order = [
        "model",
        "max_tokens",
        "system",
        *(key for key in expected if key in (request_of_version or {}) and key != "messages"),
        "messages",
    ]
    expected = {key: expected[key] for key in order}
    assert json.dumps(composed) == json.dumps(expected)
