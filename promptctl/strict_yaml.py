"""YAML, strictly: no key twice, no aliases (they can grow without bound), one document, only plain values.

Imports `yaml`, which takes three times as long as Python's start, when it is asked for a document and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# A file this short cannot be nested deeply enough to do harm.
_SHALLOW_CHARACTERS = 1000
_DEEPEST = 50
_TOO_DEEP = f"nested more than {_DEEPEST} deep"

_STANDARD = "tag:yaml.org,2002:"
_TEXT, _INTEGER, _MERGE = f"{_STANDARD}str", f"{_STANDARD}int", f"{_STANDARD}merge"
_MAPPING, _SEQUENCE = f"{_STANDARD}map", f"{_STANDARD}seq"


class Malformed(Exception):
    """A file that is not YAML, or not of the kind that is allowed: the line, and what is wrong there."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{line}: {what}")
        self.line = line
        self.what = what


def load(raw: bytes) -> Any:
    """Return what a document says, None for an empty one; raises Malformed.

    Refused as well is what means something else than it looks: numbers in YAML 1.1's other notations (010 is 8 there,
    1:30 is 90).
    """
    return _read(raw, _constructed)


def nodes(raw: bytes) -> Any:
    """Return the root of a document as PyYAML's nodes, its scalars as they are written, None for an empty document.

    Raises Malformed, also for a tag that is not YAML's own.
    """
    return _read(raw, _standard_tags)


def _read(raw: bytes, take: Callable[[Any, Any], Any]) -> Any:
    import yaml

    parse: Any = getattr(yaml, "parse")  # noqa: B009 - by name, because PyYAML's types leave it unknown
    # The one of C where PyYAML was built with it: six times faster, the same interface.
    safe_loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        text = raw.decode("utf-8-sig")
        if len(text) > _SHALLOW_CHARACTERS:
            _refuse_depth(parse(text, safe_loader))
        loader = safe_loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            return take(loader, root)
        finally:
            loader.dispose()
    except UnicodeDecodeError as problem:
        raise Malformed(1 + raw.count(b"\n", 0, problem.start), f"not UTF-8: byte {problem.start}") from None
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        # From 6.0.4 on PyYAML looks as well, for more than we allow.
        is_deep = "nesting depth" in str(problem.problem)
        raise Malformed(line, _TOO_DEEP if is_deep else str(problem.problem)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise Malformed(1, " ".join(str(problem).split())[:200]) from None


def _constructed(loader: Any, root: Any) -> Any:
    try:
        return _value(loader, root, set())
    except TypeError:
        raise Malformed(_line(root), "a key is no text and no number") from None


def _value(loader: Any, node: Any, seen: set[int]) -> Any:
    """The value of a node: in one pass over its nodes, which takes half of what PyYAML's constructor takes.

    `seen` has the nodes that stood somewhere before. No closure, which would be a cycle, and keep every document.
    """
    if id(node) in seen:
        raise Malformed(_line(node), "aliases are not allowed")
    seen.add(id(node))
    tag = node.tag
    if tag == _TEXT and node.id == "scalar":
        _refuse_nul(node)
        return node.value
    if tag == _INTEGER and node.id == "scalar":
        if not _is_plain(node.value):
            raise Malformed(_line(node), f"{node.value} is not a plain decimal number")
        return int(node.value)
    if tag == _MAPPING and node.id == "mapping" and not any(key.tag == _MERGE for key, _ in node.value):
        found: dict[Any, Any] = {}
        keys: set[str] = set()
        for key, each in node.value:
            if str(key.value) in keys:
                raise _twice(key)
            keys.add(str(key.value))
            found[_value(loader, key, seen)] = _value(loader, each, seen)
        return found
    if tag == _SEQUENCE and node.id == "sequence":
        return [_value(loader, each, seen) for each in node.value]
    return _otherwise(loader, node, seen)


def _otherwise(loader: Any, node: Any, seen: set[int]) -> Any:
    """The value of a node of a rarer kind, by PyYAML's own constructor."""
    _refuse_repetition(node, seen - {id(node)})
    for each in _all(node):
        if each.tag == _INTEGER and not _is_plain(str(each.value)):
            raise Malformed(_line(each), f"{each.value} is not a plain decimal number")
        seen.add(id(each))
    try:
        return loader.construct_object(node, deep=True)
    except (ArithmeticError, AttributeError, LookupError, TypeError):
        raise Malformed(_line(node), "a value is not what its tag says") from None


def _standard_tags(_loader: Any, root: Any) -> Any:
    _refuse_repetition(root, set())
    for node in _all(root):
        if not str(node.tag).startswith(_STANDARD):
            raise Malformed(_line(node), f"the tag {node.tag} is not allowed")
    return root


def _is_plain(number: str) -> bool:
    digits = number.removeprefix("-")
    return digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0")


def _refuse_depth(events: Any) -> None:
    """Raise Malformed for nesting that would exhaust the stack of PyYAML's composer, which does not look."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind in ("SequenceStartEvent", "MappingStartEvent")
        depth -= kind in ("SequenceEndEvent", "MappingEndEvent")
        if depth > _DEEPEST:
            raise Malformed(_line(event), _TOO_DEEP)


def _refuse_repetition(root: Any, before: set[int]) -> None:
    """Raise Malformed for a node that stands in two places, which is an alias, and for a key that is there twice.

    And for text with a NUL, which no text in PostgreSQL can hold.
    """
    seen = set(before)
    for node in _all(root):
        if id(node) in seen:
            raise Malformed(_line(node), "aliases are not allowed")
        seen.add(id(node))
        if node.id == "scalar":
            _refuse_nul(node)
        if node.id == "mapping":
            keys: set[str] = set()
            for key, _ in node.value:
                if str(key.value) in keys:
                    raise _twice(key)
                keys.add(str(key.value))


def _refuse_nul(node: Any) -> None:
    if "\0" in node.value:
        raise Malformed(_line(node), "a text with a NUL character")


def _twice(key: Any) -> Malformed:
    return Malformed(_line(key), f"the key {key.value!r} is there twice")


def _all(root: Any) -> Any:
    """Every node, each as often as it stands somewhere."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        if node.id == "sequence":
            pending += node.value
        elif node.id == "mapping":
            for pair in node.value:
                pending += pair


def _line(place: Any) -> int:
    return int(place.start_mark.line) + 1
