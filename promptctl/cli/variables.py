"""Read values of variables from --var and --vars-file. Every value is text, as it is written."""

from __future__ import annotations

import sys

from promptctl import bounded_input, errors
from promptctl.rules import references, template_syntax

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from typing import Any

    from promptctl.rules.message_requests import RequestTemplate
    from promptctl.rules.templates import MissingValues, Template

# No real nesting is as deep, and it does not exhaust the stack.
_DEEPEST = 50


def read(pairs: list[str] | None, file: str | None) -> dict[str, str]:
    """Return the values by name. --var takes precedence over the file, and of several --var the last one.

    Raises Usage for a text that is not NAME=VALUE and for a malformed file, Failed for an unreadable file.
    """
    values = {} if file is None else _from_file(file)
    for assignment in pairs or []:
        name, value = pair(assignment, "--var")
        values[name] = value
    return values


def pair(assignment: str, option: str) -> tuple[str, str]:
    """Return the name and the value in NAME=VALUE. `option` is what it belongs to: --var, or /var in a conversation.

    Raises Usage for a text of another form, and for a value that is not UTF-8.
    """
    name, equals, value = assignment.partition("=")
    if not equals or not template_syntax.is_path(name):
        raise errors.Usage("usage", f"{option} needs NAME=VALUE, not {references.quoted(assignment)}")
    if not _is_utf8(value):
        raise errors.Usage("not_utf8", f"the value of {name} is not UTF-8: {references.quoted(value)}")
    return name, value


def check_style(style: str) -> None:
    """Raise Usage for an unknown template style."""
    if style not in template_syntax.STYLES:
        raise errors.Usage(
            "usage", f"invalid template style {references.quoted(style)}: use {', '.join(template_syntax.STYLES)}"
        )


def check(
    accepted: Collection[str], reference: str, values: Mapping[str, str], *, in_conversation: bool = False
) -> None:
    """Raise Usage for a value without a variable. `accepted` are the names in the templates and in the settings.

    The hint is the command line with the nearest names, or the command that lists the variables. In a conversation it
    is /var with the nearest name.
    """
    unknown = [name for name in values if name not in accepted]
    if not unknown:
        return
    import difflib

    near = {name: match for name in unknown for match in difflib.get_close_matches(name, accepted, n=1)}
    names = ", ".join(f"{name} (did you mean {near[name]}?)" if name in near else name for name in unknown)
    available = "" if near else f": it has {', '.join(sorted(accepted)) or 'none'}"
    failure = errors.Usage(
        "variable_unknown",
        f"{reference} has no variable{'s' if len(unknown) > 1 else ''} {names}{available}",
    )
    if in_conversation:
        failure.hint = " ".join(f"/var {match}={values[name]}" for name, match in near.items()) or None
    else:
        failure.hint = f"promptctl show {reference}"
        failure.hint_corrections = {f"{name}=": f"{match}=" for name, match in near.items()}
    raise failure


def missing(problem: MissingValues, reference: str, then: str | None = None) -> errors.Usage:
    """Return the error for missing values. In a conversation, `then` is the command to enter after /var."""
    pairs = [f"{name}=VALUE" for name in problem.names]
    failure = errors.Usage("variable_missing", f"{reference} needs {', '.join(problem.names)}")
    if then is not None:
        failure.hint = f"{', '.join(f'/var {pair}' for pair in pairs)}, then {then}"
    else:
        failure.hint_options = tuple(word for pair in pairs for word in ("--var", pair))
    return failure


def used(template: Template | RequestTemplate, values: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each variable in a template, in the order in which the variables first occur."""
    return {name: values.get(name, template.default(name) or "") for name in template.variables}


def _from_file(file: str) -> dict[str, str]:
    if file == "":
        raise errors.Usage("usage", "--vars-file is empty")
    raw = _read(file)
    try:
        return _values(_entries(raw, file))
    except _Malformed as problem:
        if file == "-":
            place = f"standard input, line {problem.line}" if problem.line else "standard input"
        else:
            place = f"{file}:{problem.line}" if problem.line else file
        raise errors.Usage(
            "invalid_variables", f"{place}: {problem.what}", hint="write NAME: VALUE in YAML, or a JSON object"
        ) from None


def _values(entries: _Entries) -> dict[str, str]:
    """Return the values by full name. Raises _Malformed."""
    values: dict[str, str] = {}
    lines: dict[str, int | None] = {}
    for name, value, line in _flat(entries, ""):
        if name in values:
            first = f", first on line {lines[name]}" if lines[name] else ""
            raise _Malformed(line, f"{name} appears twice{first}")
        values[name], lines[name] = value, line
    return values


class _Entries(list["tuple[str, Any, int | None]"]):
    """The keys of a mapping in a file, each with its value and its line. The line is None if it is unknown.

    A value is a scalar, `_Entries` again, or a list, which `_flat` refuses.
    """


class _Malformed(Exception):
    """An error in a file, with its line. The line is None if it is unknown."""

    def __init__(self, line: int | None, what: str) -> None:
        super().__init__(what)
        self.line = line
        self.what = what


def _read(file: str) -> bytes:
    try:
        if file != "-":
            return bounded_input.any_file(file)
        if sys.stdin is None or sys.stdin.closed:
            raise errors.Usage("usage", "--vars-file -: standard input is closed")
        return bounded_input.from_stream(sys.stdin.buffer)
    except bounded_input.TooLarge as problem:
        raise errors.Usage("too_large", f"{references.quoted(file)} {problem.strerror}") from None
    except (OSError, ValueError) as problem:
        hint = "pass --vars-file a readable file, or - for standard input"
        raise bounded_input.unreadable(references.quoted(file), problem, hint) from None


def _entries(raw: bytes, file: str) -> _Entries:
    """Return the entries of a file. It is JSON if it has the suffix .json or starts with a brace, else YAML."""
    is_json = file.lower().endswith(".json")
    if not is_json and not raw.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
        return _yaml(raw)
    try:
        return _json(raw)
    except _NotJson as problem:
        if is_json:
            raise
        try:
            # A mapping in YAML may start with a brace too.
            return _yaml(raw)
        except _Malformed:
            raise problem from None


class _NotJson(_Malformed):
    """The file is not JSON. It may be YAML."""


def _json(raw: bytes) -> _Entries:
    from promptctl.rules import json_documents

    def entries(pairs: list[tuple[str, Any]]) -> _Entries:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            repeated = next(key for place, key in enumerate(keys) if key in keys[:place])
            raise _Malformed(None, f"the key {references.quoted(repeated)} appears twice")
        return _Entries((key, value, None) for key, value in pairs)

    try:
        document = json_documents.parse(raw, object_pairs_hook=entries, numbers_as_written=True)
    except json_documents.NotJson as problem:
        raise _NotJson(problem.line, problem.reason) from None
    except json_documents.InvalidDocument as problem:
        raise _Malformed(problem.line, problem.reason) from None
    if not isinstance(document, _Entries):
        raise _Malformed(1, "not a mapping of names to values")
    return document


def _yaml(raw: bytes) -> _Entries:
    from promptctl.folder import strict_yaml

    try:
        root = strict_yaml.nodes(raw)
    except strict_yaml.Malformed as problem:
        raise _Malformed(problem.line, problem.what) from None
    if root is None:
        return _Entries()
    if root.id != "mapping":
        raise _Malformed(root.start_mark.line + 1, "not a mapping of names to values")
    entries: _Entries = _from_node(root)
    return entries


def _from_node(node: Any) -> Any:
    """Convert a YAML node to `_Entries`, a text, an empty list for any list, or None for a plain null or no value."""
    if node.id == "scalar":
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)
    if node.id == "sequence":
        return []
    return _Entries((_key(key), _from_node(value), key.start_mark.line + 1) for key, value in node.value)


def _key(node: Any) -> str:
    if node.id != "scalar":
        raise _Malformed(node.start_mark.line + 1, "a key must be a name")
    return str(node.value)


def _flat(entries: _Entries, prefix: str) -> Iterator[tuple[str, str, int | None]]:
    """Yield the full name, the value and the line of each text. Dots join nested names. Raises _Malformed."""
    if prefix.count(".") > _DEEPEST:
        raise _Malformed(None, f"nested more than {_DEEPEST} deep")
    for key, value, line in entries:
        name = prefix + key
        if not template_syntax.is_path(key):
            raise _Malformed(line, f"{references.quoted(name)} is not a name of a variable")
        if isinstance(value, _Entries):
            yield from _flat(value, f"{name}.")
        elif value is None:
            raise _Malformed(line, f'{name} has no value; write "" for an empty one')
        elif isinstance(value, list):
            raise _Malformed(line, f"{name} is a list and not a text")
        else:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if "\0" in text:
                raise _Malformed(line, f"the value of {name} has a NUL character")
            if not _is_utf8(text):
                raise _Malformed(line, f"the value of {name} has a lone surrogate, which is not a character")
            yield name, text, line


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
