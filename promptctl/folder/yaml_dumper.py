"""Write YAML in the layout that people write: texts of several lines as blocks, short mappings in one line."""

from __future__ import annotations

import functools
import re
import sys
from typing import Any

from promptctl.folder import strict_yaml

_COLUMNS = 100
# Characters that a YAML loader changes to a line end or drops. A text with them is written in quotes, with escapes.
_ESCAPED = frozenset("\r\x85\u2028\u2029\ufeff")
_BLANK_AT_END = re.compile(r"[ \t]$", re.MULTILINE)


class OneLine(dict[str, Any]):
    """A mapping that is written in one line."""


def dump(value: object) -> str:
    """Return a value as YAML."""
    import yaml

    # Lines are not wrapped. In Git, a change of one word would otherwise change all lines of its paragraph.
    return str(
        yaml.dump(
            value,
            Dumper=_dumper(),
            default_flow_style=False,
            sort_keys=False,
            allow_unicode=True,
            width=sys.maxsize,
        )
    )


def fits_in_a_line(yaml: str, indent: int) -> bool:
    """Whether a dumped value is one short line. A line with an escaped line break does not count: it needs a block."""
    # The dumped value ends with a line end, which is not shown.
    return "\\n" not in yaml and yaml.count("\n") == 1 and indent + len(yaml) - 1 <= _COLUMNS


@functools.cache
def _dumper() -> Any:
    """Return PyYAML's dumper without aliases, with indented lists, and with texts in the style of `_style`."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
            super().increase_indent(flow, False)

        def analyze_scalar(self, scalar: str) -> Any:
            # PyYAML writes a text with a tab in quotes. A block can contain tabs, so the analysis must not see them.
            without_tabs = scalar.replace("\t", " ") if _style(scalar) == "|" else scalar
            analysis = super().analyze_scalar(without_tabs)
            analysis.scalar = scalar
            return analysis

    def represent_text(dumper: Any, data: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=_style(data))

    def represent_one_line(dumper: Any, data: OneLine) -> Any:
        return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)

    Dumper.add_representer(str, represent_text)
    Dumper.add_representer(OneLine, represent_one_line)
    return Dumper


def _style(text: str) -> str | None:
    """Return PyYAML's name of the style of a text: `|` for a block, `"` for quotes, None for PyYAML's choice."""
    if not _ESCAPED.isdisjoint(text):
        return '"'
    if "\n" not in text:
        return '"' if strict_yaml.looks_like_a_number(text) else None
    # In a block, a reader cannot see white space at the end of a line, and takes white space at the beginning for
    # indent.
    return '"' if text[0].isspace() or _BLANK_AT_END.search(text) else "|"
