"""Every error code in the source has a test, because the codes are part of the interface."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
# The classes of promptctl.errors, and other callables whose first argument is a code.
_RAISING = {
    "Failed", "Usage", "NotFound", "Refused", "Unreachable", "ClaudeFailed", "SchemaMismatch", "kind", "_Bug",
    "_Interrupted", "__init__",
}  # fmt: skip

# A test would need a server that hangs for a minute.
_TOO_SLOW_TO_TEST = {"embedded_stop_failed", "embedded_unresponsive"}
# The name of a rule whose error has one of two other codes.
_NEVER_RAISED = {"schema_version"}
_IN_JSON = re.compile(r'"code": "(\w+)"')


def _strings(node: ast.AST) -> set[str]:
    return {
        constant.value
        for constant in ast.walk(node)
        if isinstance(constant, ast.Constant) and isinstance(constant.value, str)
    }


def _codes(path: Path) -> set[str]:
    """Return the codes that a module raises: first arguments of errors, and values of the tables of errors."""
    codes: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and node.args:
            function_name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if function_name in _RAISING:
                codes |= {text for text in _strings(node.args[0]) if text.isidentifier()}
        if isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") in (
            "_BY_CONSTRAINT", "_IN_OUR_WORDS", "_BY_SQLSTATE",
        ):  # fmt: skip
            assert isinstance(node.value, ast.Dict)
            for value in node.value.values:
                assert isinstance(value, ast.Tuple)
                codes |= _strings(value.elts[1])
        if isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["MESSAGES"]:
            # Claude's types of errors are our codes, by which their messages are found.
            assert isinstance(node.value, ast.Dict)
            codes |= {text for key in node.value.keys if key for text in _strings(key)}
    return codes


class _Comparisons:
    """The codes that a test module compares with the `code` of an error.

    A comparison names the code itself, or a variable: then the codes are what the module gives that variable, as a
    parameter of a test, a target of a loop, a field of a case or an argument of a helper.
    """

    def __init__(self, source: str) -> None:
        self.tree = ast.parse(source)
        self.assigned = {
            target.id: node.value
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Assign)
            for target in node.targets
            if isinstance(target, ast.Name)
        } | {
            node.target.id: node.value
            for node in ast.walk(self.tree)
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value
        }
        # The functions of the module that return an error's code.
        self.readers: set[str] = set()
        for function in ast.walk(self.tree):
            if isinstance(function, ast.FunctionDef):
                named = {
                    ast.unparse(each.target if isinstance(each, ast.AnnAssign) else each.targets[0])
                    for each in ast.walk(function)
                    if isinstance(each, (ast.Assign, ast.AnnAssign)) and each.value and _is_code(each.value)
                }
                for node in ast.walk(function):
                    returned = node.value if isinstance(node, ast.Return) else None
                    if returned and (_is_code(returned) or ast.unparse(returned) in named):
                        self.readers.add(function.name)
        self.codes: set[str] = set()
        for scope in ast.walk(self.tree):
            if isinstance(scope, ast.FunctionDef):
                for node in ast.walk(scope):
                    if isinstance(node, ast.Compare) and isinstance(node.ops[0], (ast.Eq, ast.In)):
                        self._compare(node.left, node.comparators[0], scope)
                        self._compare(node.comparators[0], node.left, scope)
        for text in _strings(self.tree):
            self.codes |= set(_IN_JSON.findall(text))
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
                self.codes |= set(_IN_JSON.findall(node.value.decode("latin-1")))

    def _compare(self, left: ast.expr, right: ast.expr, scope: ast.FunctionDef) -> None:
        if self._is_code(left):
            self.codes |= self._values(right, scope)
        elif isinstance(left, (ast.Tuple, ast.List)) and isinstance(right, (ast.Tuple, ast.List)):
            for one, other in zip(left.elts, right.elts, strict=False):
                self._compare(one, other, scope)
        elif isinstance(left, (ast.Tuple, ast.List)) and isinstance(right, ast.Name):
            places = [place for place, each in enumerate(left.elts) if self._is_code(each)]
            for row in self._bound(right.id, scope):
                if isinstance(row, ast.Tuple):
                    for place in places:
                        self.codes |= self._values(row.elts[place], scope)
        elif isinstance(left, ast.Dict):
            for key, value in zip(left.keys, left.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code":
                    self.codes |= self._values(value, scope)
                elif isinstance(value, ast.Dict):
                    self._compare(value, value, scope)

    def _is_code(self, node: ast.expr) -> bool:
        return _is_code(node) or (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.readers
        )

    def _values(self, node: ast.expr, scope: ast.FunctionDef) -> set[str]:
        """Return the strings that an expression can evaluate to."""
        if isinstance(node, ast.Name):
            return set[str]().union(*(_strings(each) for each in self._bound(node.id, scope)))
        if isinstance(node, ast.Attribute):
            return set[str]().union(*(_strings(each) for each in self._fields(node.attr)))
        return _strings(node) if isinstance(node, (ast.Constant, ast.Tuple, ast.Set, ast.List, ast.IfExp)) else set()

    def _bound(self, name: str, scope: ast.FunctionDef) -> Iterator[ast.expr]:
        """Yield the expressions that are assigned to a variable of a function."""
        for decorator in scope.decorator_list:
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.parametrize":
                names = ast.literal_eval(decorator.args[0])
                listed = [each.strip() for each in names.split(",")] if isinstance(names, str) else [*names]
                if name in listed:
                    place = None if len(listed) == 1 else listed.index(name)
                    yield from self._column(decorator.args[1], place)
        parameters = [each.arg for each in [*scope.args.posonlyargs, *scope.args.args, *scope.args.kwonlyargs]]
        if name in parameters and not scope.name.startswith("test_"):
            place = parameters.index(name) - (parameters[:1] == ["self"])
            for call in ast.walk(self.tree):
                if isinstance(call, ast.Call) and ast.unparse(call.func).rpartition(".")[2] == scope.name:
                    yield from (keyword.value for keyword in call.keywords if keyword.arg == name)
                    yield from call.args[place : place + 1]
        for node in ast.walk(scope):
            if isinstance(node, (ast.For, ast.comprehension)):
                if isinstance(node.target, ast.Tuple):
                    targets = [ast.unparse(each) for each in node.target.elts]
                    if name in targets:
                        yield from self._column(node.iter, targets.index(name))
                elif isinstance(node.target, ast.Name) and node.target.id == name:
                    yield from self._column(node.iter, None)
            elif isinstance(node, ast.Assign):
                target = node.targets[0]
                if isinstance(target, ast.Tuple):
                    targets = [ast.unparse(each) for each in target.elts]
                    if name in targets and isinstance(node.value, ast.Subscript):
                        yield from self._column(_values_of(node.value.value), targets.index(name))
                elif ast.unparse(target) == name:
                    yield node.value

    def _column(self, rows: ast.expr, place: int | None) -> Iterator[ast.expr]:
        """Yield the cell at one index of each row of a table, or the whole row for None."""
        for row in self._rows(rows):
            cells = row.args if isinstance(row, ast.Call) else row.elts if isinstance(row, ast.Tuple) else []
            if place is None:
                yield cells[0] if isinstance(row, ast.Call) and cells else row
            elif place < len(cells):
                yield cells[place]

    def _rows(self, node: ast.expr) -> Iterator[ast.expr]:
        if isinstance(node, ast.Name) and node.id in self.assigned:
            yield from self._rows(self.assigned[node.id])
        elif isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            for each in node.elts:
                if isinstance(each, ast.Starred):
                    yield from self._rows(each.value)
                else:
                    yield each
        elif isinstance(node, (ast.GeneratorExp, ast.ListComp)):
            yield node.elt
        elif isinstance(node, ast.BinOp):
            yield from self._rows(node.left)
            yield from self._rows(node.right)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None:
                    yield ast.Tuple([key, value])
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "values":
            table = node.func.value
            table = self.assigned.get(table.id, table) if isinstance(table, ast.Name) else table
            if isinstance(table, ast.Dict):
                for key, value in zip(table.keys, table.values, strict=True):
                    if key is not None:
                        yield value
                    elif isinstance(value, ast.DictComp):
                        yield value.value
        elif isinstance(node, ast.Call):
            # `table.items()`, `enumerate(table)` and the like.
            inner = node.func.value if isinstance(node.func, ast.Attribute) else node.args[0] if node.args else None
            if inner is not None:
                yield from self._rows(inner)

    def _fields(self, field: str) -> Iterator[ast.expr]:
        """Yield the values that the module's named tuples get for a field."""
        for kind in ast.walk(self.tree):
            if isinstance(kind, ast.ClassDef):
                names = [ast.unparse(each.target) for each in kind.body if isinstance(each, ast.AnnAssign)]
                if field in names:
                    for call in ast.walk(self.tree):
                        if isinstance(call, ast.Call) and ast.unparse(call.func) == kind.name:
                            yield from call.args[names.index(field) : names.index(field) + 1]
                            yield from (keyword.value for keyword in call.keywords if keyword.arg == field)


def _values_of(table: ast.expr) -> ast.expr:
    return ast.Call(ast.Attribute(table, "values"), [], [])


def _is_code(node: ast.expr) -> bool:
    """Whether an expression is the code of an error: `error["code"]`, `failure.value.code`."""
    if isinstance(node, ast.Subscript):
        return isinstance(node.slice, ast.Constant) and node.slice.value == "code"
    return isinstance(node, ast.Attribute) and node.attr == "code"


def test_every_error_code_has_a_test() -> None:
    codes = {code for path in (ROOT / "promptctl").rglob("*.py") for code in _codes(path)}
    # The collection itself works.
    assert (
        _TOO_SLOW_TO_TEST | {"usage", "prompt_not_found", "locked", "not_utf8", "bug", "interrupted", "unreachable"}
        <= codes
    )
    tested_codes: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        tested_codes |= _Comparisons(path.read_text(encoding="utf-8")).codes
    for path in (ROOT / "tests" / "snapshots").rglob("*.txt"):
        tested_codes |= set(_IN_JSON.findall(path.read_text(encoding="utf-8")))
    assert sorted(codes - tested_codes - _TOO_SLOW_TO_TEST - _NEVER_RAISED) == []


MODULE = """
TABLE = {"x": ("six", 1), **{y: ("seven", 2) for y in "ab"}}

def code(ended):
    return ended["code"]

@pytest.mark.parametrize(("words", "expected"), [("not this", "one"), pytest.param("nor this", "two")])
def test_it(words, expected):
    "three is only mentioned"
    assert error["code"] == expected
    assert (failure.value.code, message) == ("four", "not this")
    assert message == "nor four hundred"
    for each, number in TABLE.values():
        assert code(it) == each
    assert it.err == '{"error": {"code": "five"}}'
    assert outcome == "overloaded"
"""


def test_a_code_counts_as_tested_only_if_it_is_compared_with_an_error() -> None:
    assert _Comparisons(MODULE).codes == {"one", "two", "four", "five", "six", "seven"}
