"""JSON that the server sends is read on each Python, whatever its private scanner asks for."""

from __future__ import annotations

import _json
import json
import sys
from typing import Any

import pytest

from promptctl.postgres.libpq import _jsonb as read_jsonb  # pyright: ignore[reportPrivateUsage] - no way of its own leads to it

VALUES: list[Any] = [
    {},
    {"model": "claude-sonnet-5-5", "max_tokens": 4096, "defaults": {"language": 'Ä \U0001f600 \\ "'}},
    [1, -2.5, 1e300, True, False, None, [], [[{}]]],
]


def _scanner_of_a_later_python(context: Any) -> Any:
    return context.hook_of_a_later_python


def _scanner_that_checks_its_argument(context: Any) -> Any:
    raise TypeError("make_scanner() takes a JSONDecoder")


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("scanner", ["present", "later", "strict", "absent"])
def test_json_of_the_server_is_read(value: Any, scanner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if scanner == "absent":
        monkeypatch.setitem(sys.modules, "_json", None)
    elif scanner != "present":
        makers = {"later": _scanner_of_a_later_python, "strict": _scanner_that_checks_its_argument}
        monkeypatch.setattr(_json, "make_scanner", makers[scanner])
    assert read_jsonb(json.dumps(value, ensure_ascii=False).encode()) == value


def test_the_scanner_of_python_3_15_has_what_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads one attribute more than that of 3.14, and is used all the same."""
    made: list[object] = []
    of_today = _json.make_scanner

    def of_python_3_15(context: Any) -> Any:
        made.append(context.array_hook)
        return of_today(context)

    monkeypatch.setattr(_json, "make_scanner", of_python_3_15)
    assert read_jsonb(b'{"a": [1]}') == {"a": [1]}
    assert made == [None]
