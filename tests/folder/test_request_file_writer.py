"""Request files that export writes, and that are read as the same request."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from promptctl.folder import prompt_yaml, request_file_writer, request_files
from promptctl.rules import requests

NUMBERS: dict[str, Any] = {
    "one": 1, "point": 1.0, "exponent": 1e3, "large": 10**30, "tenth": 0.1, "huge": 1e22, "tiny": 1e-7, "minus": -0.0,
    "most": 1.7976931348623157e308, "third": 1 / 3,
}  # fmt: skip
TEXTS: dict[str, Any] = {
    "off": "on", "1": "1e3", "": " ", "NO": "2026-01-01", "~": "~", "größe": "🙂\u2028\ufeff\x85",
    "a: b": "#x\n\n y \n",
    "k" * 200: "\t\n", "<<": "=", "multi\nline": "\\ \x7f \x1b", "null": None, "true": [True, [], {}, [[{}]]],
}  # fmt: skip
# What JSON can represent and a request can have.
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5), children, max_size=4
        )
    ),
    max_leaves=20,
)


@given(values)
@example(NUMBERS)
@example(TEXTS)
def test_a_written_request_is_read_with_equal_values_in_the_same_order(value: Any) -> None:
    request = {"x": value}
    for suffix in (None, ".request.yaml", ".request.json"):
        written_suffix, content = request_file_writer.file(request, suffix)
        problems: list[str] = []
        parsed = request_files.parse(content, f"v1{written_suffix}", problems)
        assert problems == []
        assert parsed is not None
        assert requests.encode(parsed) == requests.encode(request)
        if suffix == ".request.json":
            assert written_suffix == suffix
    yaml = request_file_writer.yaml_text(request)
    if written_in_yaml(request):
        assert prompt_yaml.parse(yaml.encode(), "prompt.yaml", []).settings == {"request": requests.encode(request)}


def written_in_yaml(request: dict[str, Any]) -> bool:
    return request_file_writer.file(request)[0] == ".request.yaml"


def test_people_can_read_what_is_written() -> None:
    request = {
        "thinking": {"type": "adaptive"},
        "tools": [{"name": "weather", "description": "One.\nTwo.\n", "input_schema": {"type": "object"}}],
        "stop_sequences": ["END", "1.10"],
    }
    assert request_file_writer.file(request) == (
        ".request.yaml",
        b"""\
thinking: {type: adaptive}
tools:
  - name: weather
    description: |
      One.
      Two.
    input_schema: {type: object}
stop_sequences:
  - END
  - "1.10"
""",
    )


def test_numbers_and_texts_are_written_as_yaml() -> None:
    assert written_in_yaml({"x": NUMBERS})
    assert written_in_yaml({"x": TEXTS})


def test_a_long_request_is_written_as_json_unless_its_file_is_yaml() -> None:
    request = {"a": ["x" * 100] * 1000}
    suffix, content = request_file_writer.file(request)
    assert (suffix, json.loads(content)) == (".request.json", request)
    assert request_file_writer.file(request, ".request.yaml")[0] == ".request.yaml"
    # Every level of nesting indents YAML further, so this would have more than 4 MB.
    deep: Any = list(range(20_000))
    for _ in range(98):
        deep = [deep]
    assert request_file_writer.file({"a": deep})[0] == ".request.json"


def test_a_request_of_the_deepest_nesting_is_written() -> None:
    deep: Any = {}
    for _ in range(99):
        deep = {"a": deep}
    suffix, content = request_file_writer.file(deep)
    assert requests.problems(deep) == []
    assert request_files.parse(content, f"v1{suffix}", []) == deep
