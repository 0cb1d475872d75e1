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
# What a scalar without quotes may be read as, other than a text.
_PLAIN = frozenset((_INTEGER, f"{_STANDARD}float", f"{_STANDARD}bool", f"{_STANDARD}null", f"{_STANDARD}timestamp"))
_SIGNS = frozenset((_MERGE, f"{_STANDARD}value"))
_NUMBERS_BEGIN_WITH = frozenset("0123456789+-.")
_EXACT = 1 << 53
_LONGEST_SHOWN = 60
_MAPPING, _SEQUENCE = f"{_STANDARD}map", f"{_STANDARD}seq"


class Malformed(Exception):
    """A file that is not YAML, or not of the kind that is allowed: the line, and what is wrong there."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{line}: {what}")
        self.line = line
        self.what = what


def load(raw: bytes) -> Any:
    """Return what a document says, None for an empty one; raises Malformed.

    Refused as well is what YAML 1.1 reads otherwise than it looks, without quotes: NO is false there, 1.10 is 1.1, 010
    is 8, 12:30 is 750, 2026-01-01 is a date, ~ is null, and 1e3 is a text. The message has the quoted form.
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
        value = node.value
        # Nearly every text begins with a letter.
        if (
            value[:1] in _NUMBERS_BEGIN_WITH
            and not node.style
            and looks_like_a_number(value)
            # Else it has a tag that says so: `!!str 010`.
            and loader.resolve(type(node), value, (True, False)) == _TEXT
        ):
            raise _misread(node, "a text", _plain_number(value))
        _refuse_nul(node)
        return value
    if tag in _PLAIN and node.id == "scalar":
        return _plain(loader, node)
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
    if node.id == "scalar" and node.tag in _SIGNS:
        raise Malformed(_line(node), f'{node.value} is a sign of YAML: write "{node.value}" in quotes')
    _refuse_repetition(node, seen - {id(node)})
    for each in _all(node):
        if each.tag in _PLAIN and each.id == "scalar":
            _plain(loader, each)
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


def _plain(loader: Any, node: Any) -> Any:
    """The value of a scalar that is no text; raises Malformed for one that does not look like what it is read as."""
    written = str(node.value)
    if node.tag == _INTEGER and written.isdigit() and written.isascii() and (written[0] != "0" or written == "0"):
        # Nearly all of them.
        return int(written)
    try:
        value = loader.construct_object(node, deep=True)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise Malformed(_line(node), "a value is not what its tag says") from None
    # Quotes beside a tag are a decision: `!!float "1.10"`.
    if node.style or written == _canonical(value) or (value is None and not written):
        return value
    raise _misread(node, _told(value), _canonical(value) if isinstance(value, (bool, int, float)) else None)


def _canonical(value: object) -> str | None:
    """How a value is written that YAML, JSON and a reader take for the same; None: it is always quoted."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return repr(value)
    if isinstance(value, float) and value - value == 0:
        mantissa, e, exponent = repr(value).partition("e")
        # Without a point YAML 1.1 takes 1e+22 for a text.
        return f"{mantissa}.0e{exponent}" if e and "." not in mantissa else repr(value)
    return None


def _told(value: object) -> str:
    if value is None:
        return "nothing"
    written = _canonical(value)
    if written is not None:
        return written if len(written) <= _LONGEST_SHOWN else "a number"
    return "an endless number" if isinstance(value, float) else "a date"


def _misread(node: Any, read_as: str, plain: str | None) -> Malformed:
    written = str(node.value)
    if len(written) > _LONGEST_SHOWN:
        return Malformed(_line(node), f"{written[:_LONGEST_SHOWN]}… is read as {read_as}: write it in quotes")
    other = f", or {plain} without quotes" if plain is not None and len(plain) <= _LONGEST_SHOWN else ""
    return Malformed(_line(node), f'{written} is read as {read_as}: write "{written}" in quotes{other}')


def looks_like_a_number(written: str) -> bool:
    """Whether a text is a number to JSON, to YAML 1.2 or to a reader: 1e3, 08, 0o17. Without quotes it is refused."""
    if written[:1] not in _NUMBERS_BEGIN_WITH:
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
