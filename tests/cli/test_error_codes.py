"""Every error code in the source is met by a test: a code is part of the contract."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
# The classes of promptctl.errors, and what else takes a code first.
_RAISING = {
    "Failed", "Usage", "NotFound", "Refused", "Unreachable", "ClaudeFailed", "SchemaMismatch", "kind", "_Bug",
    "_Interrupted", "__init__",
}  # fmt: skip

# The server would have to hang for a minute.
_TOO_SLOW_TO_MEET = {"embedded_stop_failed", "embedded_unresponsive"}


def _strings(node: ast.AST) -> set[str]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def _codes(path: Path) -> set[str]:
    """The codes that a module raises: first arguments of our errors, and the values of the tables of errors."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in _RAISING:
                found |= {each for each in _strings(node.args[0]) if each.isidentifier()}
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") in (
            "_BY_CONSTRAINT", "_IN_OUR_WORDS", "_BY_SQLSTATE", "_BY_TYPE",
        ):  # fmt: skip
            assert isinstance(node.value, ast.Dict)
            for value in node.value.values:
                assert isinstance(value, ast.Tuple)
                found |= _strings(value.elts[1])
    return found


def test_every_error_code_is_met_by_a_test() -> None:
    codes = {code for path in (ROOT / "promptctl").rglob("*.py") for code in _codes(path)}
    # The collection itself works.
    assert (
        _TOO_SLOW_TO_MEET | {"usage", "prompt_not_found", "locked", "not_utf8", "bug", "interrupted", "unreachable"}
        <= codes
    )
    tested: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for text in _strings(ast.parse(path.read_text(encoding="utf-8"))):
            tested |= set(re.findall(r"\w+", text))
    assert sorted(codes - tested - _TOO_SLOW_TO_MEET) == []
