"""The fast parser of jsonb values returns what the module json returns."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from promptctl.rules import jsonb

if TYPE_CHECKING:
    import pytest

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters='"\\', exclude_categories=["Cc"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda values: st.lists(values) | st.dictionaries(TEXTS, values),
)


@given(VALUES)
def test_a_value_without_escapes_is_parsed_without_the_module_json(value: Any) -> None:
    parsed, end = jsonb._value(text := json.dumps(value, ensure_ascii=False), 0)  # pyright: ignore[reportPrivateUsage] - json is loaded here
    assert (parsed, end) == (value, len(text))


def test_json_is_used_for_escapes_and_where_it_is_already_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    value: Any = {"a": 'Ä \U0001f600 \\ "\n', "b": [1e300, -2.5]}
    assert jsonb.parse(json.dumps(value)) == value
    monkeypatch.delitem(sys.modules, "json")
    assert jsonb.parse('{"model": "m-1", "max_tokens": 9}') == {"model": "m-1", "max_tokens": 9}
    assert "json" not in sys.modules
    assert jsonb.parse(json.dumps(value, ensure_ascii=False)) == value
