"""Show the differences between the settings of two versions."""

from __future__ import annotations

import json
import sys

from promptctl.output import diff_view, stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, cast

    from promptctl.rules.setting_differences import Difference
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


# In characters. Longer texts are compared by line and word, and other values are shortened.
_LONGEST_VALUE = 60


def show(differences: Sequence[Difference], old_name: str, new_name: str) -> None:
    """Write each difference as `request.thinking.type: enabled -> adaptive`, and those of long texts as `diff_view`."""
    for difference in differences:
        path = stream.one_line(difference.path)
        if difference.kind == "changed" and _is_long_text(difference.old, difference.new):
            stream.write(_styled(f"{path}:", stream.BOLD) + "\n")
            # Texts in a request seldom end with a line feed. Only a difference of the ends is worth a line.
            end = "" if difference.old.endswith("\n") or difference.new.endswith("\n") else "\n"
            names = f"{old_name} {difference.path}", f"{new_name} {difference.path}"
            diff_view.show(difference.old + end, difference.new + end, *names)
        else:
            stream.write(f"{_styled(f'{path}:', stream.BOLD)} {_change(difference)}\n")


def show_markdown(differences: Sequence[Difference]) -> None:
    """Write a table of the differences in Markdown."""
    from promptctl.output import table_columns, tables

    columns = table_columns.columns(SETTING="name", CHANGE="name", OLD="text", NEW="text")
    rows = [
        (
            difference.path,
            "reordered" if difference.kind == "order" else difference.kind,
            _value(difference.old) if difference.kind != "added" else None,
            _value(difference.new) if difference.kind != "removed" else None,
        )
        for difference in differences
    ]
    tables.show(columns, rows)


def documents(differences: Sequence[Difference]) -> list[dict[str, Any]]:
    """Return the differences for --json."""
    return [
        {
            "path": difference.path,
            "kind": difference.kind,
            **({} if difference.kind == "added" else {"old": difference.old}),
            **({} if difference.kind == "removed" else {"new": difference.new}),
        }
        for difference in differences
    ]


def _change(difference: Difference) -> str:
    if difference.kind == "added":
        return _styled(f"added {_shown(difference.new)}", stream.GREEN)
    if difference.kind == "removed":
        return _styled(f"removed {_shown(difference.old)}", stream.RED)
    if difference.kind == "order":
        return f"reordered ({', '.join(difference.old)}) -> ({', '.join(difference.new)})"
    return f"{_shown(difference.old)} -> {_shown(difference.new)}"


def _value(value: Any) -> str:
    """Return a text as it is, and any other value as JSON."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _shown(value: Any) -> str:
    """Return a value on one line: a text as it is, any other value as JSON. A tool is shown by its description."""
    if isinstance(value, dict):
        description = cast("dict[str, Any]", value).get("description")
        value = description if isinstance(description, str) else cast("dict[str, Any]", value)
    text = stream.one_line(_value(value))
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _is_long_text(old: Any, new: Any) -> bool:
    if not isinstance(old, str) or not isinstance(new, str):
        return False
    return "\n" in old + new or max(len(old), len(new)) > _LONGEST_VALUE


def _styled(text: str, style: str) -> str:
    return stream.styled(text, style) if stream.to_terminal() or stream.has_color(sys.stdout) else text
