"""Load YAML strictly: one document without duplicate keys, without aliases, and without values that mislead a reader.

An alias could make a small file grow without bound. A misleading value is one that YAML reads differently from how it
looks: see `load`. `yaml` is imported with the first document, because its import takes three times as long as Python's
start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# A text with at most this many characters cannot be nested deeply enough to exhaust the stack.
_SHALLOW_CHARACTERS = 1000
_DEEPEST = 50

_STANDARD = "tag:yaml.org,2002:"
_TEXT, _INTEGER, _MERGE = f"{_STANDARD}str", f"{_STANDARD}int", f"{_STANDARD}merge"
# The tags that YAML gives to values without quotes, other than texts.
_PLAIN = frozenset((_INTEGER, f"{_STANDARD}float", f"{_STANDARD}bool", f"{_STANDARD}null", f"{_STANDARD}timestamp"))
# The tags of `<<` and `=`.
_SPECIAL_TAGS = frozenset((_MERGE, f"{_STANDARD}value"))
_MAPPING, _SEQUENCE = f"{_STANDARD}map", f"{_STANDARD}seq"
# The tags of values that JSON can represent.
_JSON_TAGS = frozenset(
    (_TEXT, _MAPPING, _SEQUENCE, *(f"{_STANDARD}{kind}" for kind in ("int", "float", "bool", "null")))
)
_MISLEADING_TAGS = _SPECIAL_TAGS | {f"{_STANDARD}timestamp"}
# The characters at the beginning of a line in which lists and mappings can begin: `  - ? - `.
_INDENT = " \t?:-\ufeff"
_FIRST_OF_A_NUMBER = frozenset("0123456789+-.")
# Below this, a floating-point number represents every integer exactly.
_EXACT = 1 << 53
_LONGEST_SHOWN = 60
_MOST_TAGS = 1000
# Python neither reads nor writes a decimal number of more than 4300 digits. A hexadecimal one has fewer digits.
_MOST_DIGITS = 3500
# The class of PyYAML's loader, once it is imported.
_loaders: list[Any] = []


class Malformed(Exception):
    """A file is not YAML, or is refused. `line` is the line, and `what` is wrong there."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{line}: {what}")
        self.line = line
        self.what = what


def load(raw: bytes) -> Any:
    """Return the value of a document, None for an empty one. Raises Malformed.

    Without quotes, YAML 1.1 reads some values differently from how they look: NO is false, 1.10 is 1.1, 010 is 8, 12:30
    is 750, 2026-01-01 is a date, ~ is null, and 1e3 is a text. Such a value is malformed. The message proposes quotes.
    """
    return _read(raw, _construct, _DEEPEST)


def load_json(raw: bytes, deepest: int) -> Any:
    """Return the value of a document as `load` does, with at most `deepest` levels of mappings and lists.

    Also raises Malformed for a key that is not a text and for a tag such as `!!set`, which JSON does not have. Infinity
    and NaN, which it does not have either, are returned if they have the tag `!!float`.
    """
    return _read(raw, _construct_json, deepest)


def json_problem(raw: bytes, key: str) -> Malformed | None:
    """Return why `load_json` refuses the value of a key of the document, with its line, None if it does not."""
    root = nodes(raw)
    for key_node, value in root.value if root is not None and root.id == "mapping" else ():
        if key_node.value == key:
            try:
                _check_json(value)
            except Malformed as problem:
                return problem
    return None


def nodes(raw: bytes) -> Any:
    """Return the root of a document as a PyYAML node, None for an empty document. Scalars are as they are written.

    Raises Malformed, also for a tag that is not standard.
    """
    return _read(raw, _check_tags, _DEEPEST)


def _read(raw: bytes, convert: Callable[[Any, Any], Any], deepest: int) -> Any:
    import yaml

    parse: Any = getattr(yaml, "parse")  # noqa: B009 - by name, because PyYAML's types leave it unknown
    if not _loaders:
        # The loader in C, where PyYAML was built with it, is six times faster and has the same interface.
        _loaders.append(_with_known_tags(getattr(yaml, "CSafeLoader", yaml.SafeLoader), yaml.ScalarNode))
    safe_loader = _loaders[0]
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise Malformed(1 + raw.count(b"\n", 0, problem.start), f"not UTF-8: byte {problem.start}") from None
    try:
        if len(text) > _SHALLOW_CHARACTERS and most_levels(text) > deepest:
            _refuse_depth(parse(text, safe_loader), deepest)
        loader = safe_loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            return convert(loader, root)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as problem:
        raise _not_yaml(problem, text, deepest) from None
    except RecursionError:
        raise Malformed(1, _too_deep(deepest)) from None
    except yaml.YAMLError as problem:
        # A control character.
        code: object = getattr(problem, "character", 0)
        character: str = chr(code) if isinstance(code, int) else f"{code}"
        line = 1 + text.count("\n", 0, max(text.find(character), 0))
        raise Malformed(line, f"the character U+{ord(character):04X} is not allowed") from None


def _not_yaml(problem: Any, text: str, deepest: int) -> Malformed:
    """Return the error for an error of PyYAML, in words for people who have not read YAML's grammar where possible."""
    mark = problem.problem_mark
    reason = str(problem.problem)
    if mark is None:
        return Malformed(1, f"not YAML: {reason}")
    # From 6.0.4 on PyYAML has a limit too, which is higher than ours.
    if "nesting depth" in reason:
        return Malformed(mark.line + 1, _too_deep(deepest))
    if "found another document" in reason:
        return Malformed(mark.line + 1, "a second document begins here, and a file has one")
    if "cannot start any token" in reason:
        character = text.split("\n")[int(mark.line)][int(mark.column) : int(mark.column) + 1]
        if character == "\t":
            return Malformed(mark.line + 1, "not YAML: a tab, where only spaces can indent a line")
        return Malformed(mark.line + 1, f"not YAML: a value cannot begin with {character} unless it is in quotes")
    return Malformed(mark.line + 1, f"not YAML: {reason}")


def _with_known_tags(safe_loader: Any, scalar_node: type) -> Any:
    """Return a loader that remembers which tags short scalars without quotes have.

    A folder of prompts has the same keys in thousands of files, and PyYAML tries regular expressions on each.
    """
    tags: dict[str, str] = {}
    resolve = safe_loader.resolve

    class Loader(safe_loader):
        def resolve(self, kind: type, value: Any, implicit: Any) -> Any:
            # Without quotes, the first element of `implicit` is true, and the tag depends on the value alone.
            if kind is not scalar_node or not implicit[0]:
                return resolve(self, kind, value, implicit)
            tag = tags.get(value)
            if tag is None:
                tag = resolve(self, kind, value, implicit)
                if len(tags) < _MOST_TAGS and len(value) <= _LONGEST_SHOWN:
                    tags[value] = tag
            return tag

    return Loader


def _construct(loader: Any, root: Any) -> Any:
    try:
        return _value(loader, root, set())
    except TypeError:
        raise Malformed(_line(root), "a key must be a text or a number") from None


def _construct_json(loader: Any, root: Any) -> Any:
    _check_json(root)
    # This refuses every other alias.
    return _construct(loader, root)


def _check_json(root: Any) -> None:
    """Raise Malformed for a key that is not a text, for a tag that JSON does not have, and for the alias of a node."""
    # Collections, each once: an alias is a collection that occurs twice, and could make this walk endless.
    pending: list[Any] = []
    visited = {id(root)}
    _check_json_node(root)
    if root.id != "scalar":
        pending.append(root)
    while pending:
        node = pending.pop()
        items = node.value
        if node.id == "mapping":
            for key, _ in items:
                if key.tag != _TEXT:
                    written = f': write "{key.value}" in quotes' if key.id == "scalar" else ""
                    raise Malformed(_line(key), f"a key must be a text{written}")
            items = [value for _, value in items]
        for item in items:
            if item.tag not in _JSON_TAGS:
                _check_json_node(item)
            if item.id != "scalar":
                if id(item) in visited:
                    raise Malformed(_line(item), "aliases are not allowed")
                visited.add(id(item))
                pending.append(item)


def _check_json_node(node: Any) -> None:
    """Raise Malformed for a tag that JSON does not have.

    `_construct` has better messages for dates and special values without quotes.
    """
    if node.tag not in _JSON_TAGS and (node.id != "scalar" or node.style or node.tag not in _MISLEADING_TAGS):
        raise Malformed(_line(node), f"the tag {node.tag.replace(_STANDARD, '!!')} is not allowed")


def _value(loader: Any, node: Any, visited: set[int]) -> Any:
    """Return the value of a node. This takes half of the time of PyYAML's constructor.

    `visited` has the ids of earlier nodes. It is a parameter, because a recursive closure would be a reference cycle
    that keeps every document in memory.
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
            # `!!str 010` has an explicit tag, so it is meant as a text. YAML would not resolve it to a text itself.
            and loader.resolve(type(node), value, (True, False)) == _TEXT
        ):
            raise _misread(node, "a text", _plain_number(value))
        if "\0" in value:
            raise _nul(node)
        return value
    if tag in _PLAIN and node.id == "scalar":
        return _plain(loader, node)
    if tag == _MAPPING and node.id == "mapping" and _MERGE not in [key.tag for key, _ in node.value]:
        mapping: dict[Any, Any] = {}
        keys: set[str] = set()
        for key, item in node.value:
            written = str(key.value)
            if written in keys:
                raise _duplicate_key(key)
            keys.add(written)
            mapping[_value(loader, key, visited)] = _value(loader, item, visited)
        return mapping
    if tag == _SEQUENCE and node.id == "sequence":
        return [_value(loader, item, visited) for item in node.value]
    return _rare_value(loader, node, visited)


def _rare_value(loader: Any, node: Any, visited: set[int]) -> Any:
    """Return the value of any other node, such as a set, from PyYAML's own constructor."""
    if node.id == "scalar" and node.tag in _SPECIAL_TAGS:
        raise Malformed(_line(node), f'{node.value} has a special meaning in YAML: write "{node.value}" in quotes')
    # `_value` has added the node itself, which is not an alias.
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
    """Return the value of a number, a boolean, null or a date. Raises Malformed if it is not written as it is read."""
    written = str(node.value)
    if len(written) > _MOST_DIGITS:
        raise Malformed(_line(node), "a number with too many digits")
    if node.tag == _INTEGER and written.isdigit() and written.isascii() and (written[0] != "0" or written == "0"):
        # The common case.
        return int(written)
    try:
        value = loader.construct_object(node, deep=True)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise Malformed(_line(node), "a value does not match its tag") from None
    # A value in quotes has an explicit tag, so it is meant: `!!float "1.10"`.
    if node.style or written == _canonical(value) or (value is None and not written):
        return value
    raise _misread(node, _description(value), _canonical(value) if isinstance(value, (bool, int, float)) else None)


def _canonical(value: object) -> str | None:
    """Return how a value is written so that YAML 1.1, JSON and a person read it alike, None if there is no such way."""
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
    """Return the error for a misleading value. It proposes quotes, and `plain`, a way to write it without quotes."""
    written = str(node.value)
    if len(written) > _LONGEST_SHOWN:
        return Malformed(_line(node), f"{written[:_LONGEST_SHOWN]}… is read as {read_as}: write it in quotes")
    other = f", or {plain} without quotes" if plain is not None and len(plain) <= _LONGEST_SHOWN else ""
    return Malformed(_line(node), f'{written} is read as {read_as}: write "{written}" in quotes{other}')


def looks_like_a_number(written: str) -> bool:
    """Whether JSON, YAML 1.2 or a person would read a text as a number: 1e3, 08, 0o17. It needs quotes."""
    if written[:1] not in _FIRST_OF_A_NUMBER:
        return False
    digits = written.lstrip("+-")
    if digits[:2] in ("0o", "0O"):
        return digits[2:].isdigit()
    return _plain_number(written) is not None


def _plain_number(written: str) -> str | None:
    """Return the number that a text looks like, in the form of `_canonical`: 1000 for 1e3. None for no number."""
    if not written.isascii() or not any(character.isdigit() for character in written):
        return None
    try:
        value = float(written)
    except ValueError:
        return None
    return repr(int(value)) if value.is_integer() and abs(value) < _EXACT else _canonical(value)


def _too_deep(deepest: int) -> str:
    return f"nested more than {deepest} deep"


def most_levels(text: str) -> int:
    """Return a number that the levels of a YAML text do not exceed. This takes a tenth of the time of parsing it.

    Outside of brackets, a list or a mapping begins further to the right than the one around it, except that a list can
    begin below its key.
    """
    # These are more line ends than those of YAML.
    widest = max((len(line) - len(line.lstrip(_INDENT)) for line in text.splitlines()), default=0)
    return 2 * (widest + 1) + text.count("[") + text.count("{")


def _refuse_depth(events: Any, deepest: int) -> None:
    """Raise Malformed for deep nesting. Older PyYAML has no limit, so its composer would exhaust the stack."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        if kind in ("SequenceStartEvent", "MappingStartEvent"):
            depth += 1
        elif kind in ("SequenceEndEvent", "MappingEndEvent"):
            depth -= 1
        if depth > deepest:
            raise Malformed(_line(event), _too_deep(deepest))


def _refuse_duplicates(root: Any, visited: set[int]) -> None:
    """Raise Malformed for a duplicate key, an alias, and a NUL, which PostgreSQL cannot store in a text.

    An alias is a node that occurs twice. `visited` has the ids of earlier nodes.
    """
    visited = set(visited)
    for node in _descendants(root):
        if id(node) in visited:
            raise Malformed(_line(node), "aliases are not allowed")
        visited.add(id(node))
        if node.id == "scalar" and "\0" in node.value:
            raise _nul(node)
        if node.id == "mapping":
            keys: set[str] = set()
            for key, _ in node.value:
                if str(key.value) in keys:
                    raise _duplicate_key(key)
                keys.add(str(key.value))


def _nul(node: Any) -> Malformed:
    return Malformed(_line(node), "a text contains a NUL character")


def _duplicate_key(key: Any) -> Malformed:
    return Malformed(_line(key), f"the key {key.value!r} appears twice")


def _descendants(root: Any) -> Any:
    """Yield the root and every node below it, each as often as it occurs."""
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
