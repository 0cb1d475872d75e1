"""Load YAML strictly: no duplicate keys, no aliases (they can grow without bound), one document, only plain values.

`yaml` is imported with the first document, because its import takes three times as long as Python's start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# A file this short cannot be nested deeply enough to exhaust the stack.
_SHALLOW_CHARACTERS = 1000
_DEEPEST = 50
_TOO_DEEP = f"nested more than {_DEEPEST} deep"

_STANDARD = "tag:yaml.org,2002:"
_TEXT, _INTEGER, _MERGE = f"{_STANDARD}str", f"{_STANDARD}int", f"{_STANDARD}merge"
# The tags of scalars without quotes other than texts.
_PLAIN = frozenset((_INTEGER, f"{_STANDARD}float", f"{_STANDARD}bool", f"{_STANDARD}null", f"{_STANDARD}timestamp"))
_SPECIAL_TAGS = frozenset((_MERGE, f"{_STANDARD}value"))
_FIRST_OF_A_NUMBER = frozenset("0123456789+-.")
# Up to here every integer has a floating-point number of its own.
_EXACT = 1 << 53
_LONGEST_SHOWN = 60
_MAPPING, _SEQUENCE = f"{_STANDARD}map", f"{_STANDARD}seq"


class Malformed(Exception):
    """A file that is not YAML, or uses what is not allowed: the line, and what is wrong there."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{line}: {what}")
        self.line = line
        self.what = what


def load(raw: bytes) -> Any:
    """Return the value of a document, None for an empty one. Raises Malformed.

    A value without quotes that YAML 1.1 does not read as it looks is malformed: NO is false there, 1.10 is 1.1, 010 is
    8, 12:30 is 750, 2026-01-01 is a date, ~ is null, and 1e3 is a text. The message has the quoted form.
    """
    return _read(raw, _construct)


def nodes(raw: bytes) -> Any:
    """Return the root of a document as a PyYAML node, with scalars as they are written, None for an empty document.

    Raises Malformed, also for a tag that is not a standard one.
    """
    return _read(raw, _check_tags)


def _read(raw: bytes, convert: Callable[[Any, Any], Any]) -> Any:
    import yaml

    parse: Any = getattr(yaml, "parse")  # noqa: B009 - by name, because PyYAML's types leave it unknown
    # The loader in C, where PyYAML was built with it, is six times faster and has the same interface.
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
            return convert(loader, root)
        finally:
            loader.dispose()
    except UnicodeDecodeError as problem:
        raise Malformed(1 + raw.count(b"\n", 0, problem.start), f"not UTF-8: byte {problem.start}") from None
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        # From 6.0.4 on PyYAML has a limit too, which is higher than ours.
        is_deep = "nesting depth" in str(problem.problem)
        raise Malformed(line, _TOO_DEEP if is_deep else str(problem.problem)) from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise Malformed(1, " ".join(str(problem).split())[:200]) from None


def _construct(loader: Any, root: Any) -> Any:
    try:
        return _value(loader, root, set())
    except TypeError:
        raise Malformed(_line(root), "a key must be a text or a number") from None


def _value(loader: Any, node: Any, visited: set[int]) -> Any:
    """Return the value of a node, in one pass over its nodes, which takes half of the time of PyYAML's constructor.

    `visited` has the ids of earlier nodes. This is no closure, because a closure would be a reference cycle that keeps
    every document in memory.
    """
    if id(node) in visited:
        raise Malformed(_line(node), "aliases are not allowed")
    visited.add(id(node))
    tag = node.tag
    if tag == _TEXT and node.id == "scalar":
        value = node.value
        # Cheapest test first: nearly every text begins with a letter.
        if (
            value[:1] in _FIRST_OF_A_NUMBER
            and not node.style
            and looks_like_a_number(value)
            # Otherwise it has an explicit tag: `!!str 010`.
            and loader.resolve(type(node), value, (True, False)) == _TEXT
        ):
            raise _misread(node, "a text", _plain_number(value))
        _refuse_nul(node)
        return value
    if tag in _PLAIN and node.id == "scalar":
        return _plain(loader, node)
    if tag == _MAPPING and node.id == "mapping" and not any(key.tag == _MERGE for key, _ in node.value):
        mapping: dict[Any, Any] = {}
        keys: set[str] = set()
        for key, item in node.value:
            if str(key.value) in keys:
                raise _duplicate_key(key)
            keys.add(str(key.value))
            mapping[_value(loader, key, visited)] = _value(loader, item, visited)
        return mapping
    if tag == _SEQUENCE and node.id == "sequence":
        return [_value(loader, item, visited) for item in node.value]
    return _rare_value(loader, node, visited)


def _rare_value(loader: Any, node: Any, visited: set[int]) -> Any:
    """Return the value of a node of a rare kind, from PyYAML's own constructor."""
    if node.id == "scalar" and node.tag in _SPECIAL_TAGS:
        raise Malformed(_line(node), f'{node.value} has a special meaning in YAML: write "{node.value}" in quotes')
    _refuse_duplicates(node, visited - {id(node)})
    for descendant in _descendants(node):
        if descendant.tag in _PLAIN and descendant.id == "scalar":
            _plain(loader, descendant)
        visited.add(id(descendant))
    try:
        return loader.construct_object(node, deep=True)
    except (ArithmeticError, AttributeError, LookupError, TypeError):
        raise Malformed(_line(node), "a value does not match its tag") from None


def _check_tags(_loader: Any, root: Any) -> Any:
    _refuse_duplicates(root, set())
    for node in _descendants(root):
        if not str(node.tag).startswith(_STANDARD):
            raise Malformed(_line(node), f"the tag {node.tag} is not allowed")
    return root


def _plain(loader: Any, node: Any) -> Any:
    """Return the value of a scalar other than a text. Raises Malformed for one that does not look like its value."""
    written = str(node.value)
    if node.tag == _INTEGER and written.isdigit() and written.isascii() and (written[0] != "0" or written == "0"):
        # The common case.
        return int(written)
    try:
        value = loader.construct_object(node, deep=True)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise Malformed(_line(node), "a value does not match its tag") from None
    # Quotes beside a tag are intentional: `!!float "1.10"`.
    if node.style or written == _canonical(value) or (value is None and not written):
        return value
    raise _misread(node, _description(value), _canonical(value) if isinstance(value, (bool, int, float)) else None)


def _canonical(value: object) -> str | None:
    """Return the literal of a value that YAML 1.1, JSON and a person read alike, None if there is none."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return repr(value)
    if isinstance(value, float) and value - value == 0:
        mantissa, e, exponent = repr(value).partition("e")
        # Without a point, 1e+22 is a text in YAML 1.1.
        return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else repr(value)
    return None


def _description(value: object) -> str:
    literal = _canonical(value)
    if literal is not None:
        return literal if len(literal) <= _LONGEST_SHOWN else "a number"
    return "infinity or NaN" if isinstance(value, float) else "a date"


def _misread(node: Any, read_as: str, plain: str | None) -> Malformed:
    written = str(node.value)
    if len(written) > _LONGEST_SHOWN:
        return Malformed(_line(node), f"{written[:_LONGEST_SHOWN]}… is read as {read_as}: write it in quotes")
    other = f", or {plain} without quotes" if plain is not None and len(plain) <= _LONGEST_SHOWN else ""
    return Malformed(_line(node), f'{written} is read as {read_as}: write "{written}" in quotes{other}')


def looks_like_a_number(written: str) -> bool:
    """Whether JSON, YAML 1.2 or a person reads a text as a number: 1e3, 08, 0o17. Without quotes it is refused."""
    if written[:1] not in _FIRST_OF_A_NUMBER:
        return False
    digits = written.lstrip("+-")
    if digits[:2] in ("0o", "0O"):
        return digits[2:].isdigit()
    return _plain_number(written) is not None


def _plain_number(written: str) -> str | None:
    if not written.isascii() or not any(character.isdigit() for character in written):
        return None
    try:
        value = float(written)
    except ValueError:
        return None
    return repr(int(value)) if value.is_integer() and abs(value) < _EXACT else _canonical(value)


def _refuse_depth(events: Any) -> None:
    """Raise Malformed for nesting that would exhaust the stack of PyYAML's composer, which has no limit."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind in ("SequenceStartEvent", "MappingStartEvent")
        depth -= kind in ("SequenceEndEvent", "MappingEndEvent")
        if depth > _DEEPEST:
            raise Malformed(_line(event), _TOO_DEEP)


def _refuse_duplicates(root: Any, before: set[int]) -> None:
    """Raise Malformed for a duplicate key, a node that occurs twice, which is an alias, and a text with a NUL.

    PostgreSQL cannot store a NUL in a text.
    """
    visited = set(before)
    for node in _descendants(root):
        if id(node) in visited:
            raise Malformed(_line(node), "aliases are not allowed")
        visited.add(id(node))
        if node.id == "scalar":
            _refuse_nul(node)
        if node.id == "mapping":
            keys: set[str] = set()
            for key, _ in node.value:
                if str(key.value) in keys:
                    raise _duplicate_key(key)
                keys.add(str(key.value))


def _refuse_nul(node: Any) -> None:
    if "\0" in node.value:
        raise Malformed(_line(node), "a text contains a NUL character")


def _duplicate_key(key: Any) -> Malformed:
    return Malformed(_line(key), f"the key {key.value!r} appears twice")


def _descendants(root: Any) -> Any:
    """Return the root and every node below it, each as often as it occurs."""
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
