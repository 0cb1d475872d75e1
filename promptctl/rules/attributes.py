"""What is known of a request, as people write it: `plan=enterprise`, `seats=5`. Pure."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse(text: str) -> Any:
    """Return what a text stands for: what is a number, a text in quotes, true, false or null in JSON; else the text."""
    if text in _WORDS:
        return _WORDS[text]
    # Almost no text begins so, and `json` takes 7 ms to import.
    if text[:1] not in '-0123456789"' or not text or text[-1].isspace():
        return text
    import json

    def finite(number: str) -> float:
        if (read := float(number)) - read != 0:
            raise ValueError(number)
        return read

    try:
        return json.loads(text, parse_constant=finite, parse_float=finite)
    except ValueError:
        return text


def format_line(attributes: Mapping[str, Any]) -> str:
    """Return attributes on one line: `plan=enterprise, code="5"`."""
    return ", ".join(format_pairs(attributes))


def format_pairs(attributes: Mapping[str, Any]) -> list[str]:
    """Return each attribute so that `parse` reads it again."""
    return [f"{key}={_written(each)}" for key, each in attributes.items()]


def _written(each: Any) -> str:
    if isinstance(each, str) and parse(each) == each and '"' not in each and "," not in each and each == each.strip():
        return each
    import json

    return json.dumps(each, ensure_ascii=False)
