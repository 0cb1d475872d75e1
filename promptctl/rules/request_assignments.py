"""Set single values of a request by assignments: `thinking.type=adaptive`, `stop_sequences=["END"]`. Pure."""

from __future__ import annotations

from promptctl.rules import json_documents, json_values, requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, cast
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


def set_value(request: dict[str, Any], assignment: str) -> None:
    """Set one value of a request.

    A value that is JSON is read as JSON, and any other as a text. A value that begins as an object, a list or a text
    of JSON must be JSON. Objects on the path are added, and lists are not. A number on the path is a place in a list,
    from 0. Raises ValueError with a short reason.
    """
    keys, value = _assignment(assignment)
    node: Any = request
    for place, key in enumerate(keys[:-1], start=1):
        if isinstance(node, dict):
            if key not in node and keys[place].isdigit():
                path = ".".join(keys[:place])
                raise ValueError(f"there is no list {path}, so no place {keys[place]} in it: set {path}=[...]")
            node = cast("dict[str, Any]", node).setdefault(key, {})
        else:
            items, index = _item(node, key, keys[: place - 1])
            node = items[index]
    if isinstance(node, dict):
        node[keys[-1]] = value
    else:
        items, index = _item(node, keys[-1], keys[:-1])
        items[index] = value


def contradicted(request: Any, assignment: str) -> bool:
    """Whether a request has another value than an assignment gave it, because a later one replaced the value.

    A later assignment may add keys to an object. Raises ValueError as `set_value` does.
    """
    keys, value = _assignment(assignment)
    node = request
    for key in keys:
        if isinstance(node, dict) and key in node:
            node = cast("dict[str, Any]", node)[key]
        elif isinstance(node, list) and key.isdigit() and int(key) < len(cast("list[Any]", node)):
            node = cast("list[Any]", node)[int(key)]
        else:
            return True
    return not _includes(node, value)


def _item(node: object, key: str, path: list[str]) -> tuple[list[Any], int]:
    """Return a list and the place in it that a key of a path means. Raises ValueError."""
    where = ".".join(path)
    if not isinstance(node, list):
        raise ValueError(f"{where} is {requests.kind(node)}, not an object")  # noqa: TRY004 - of the text, not of an argument
    items = cast("list[Any]", node)
    if not (key.isascii() and key.isdigit() and len(key) < 10 and int(key) < len(items)):
        raise ValueError(f"{where} is a list of {len(items)}: {requests.shortened(key)} is not a place in it")
    return items, int(key)


def _assignment(text: str) -> tuple[list[str], object]:
    """Return the keys and the value of `KEY=VALUE`. Raises ValueError."""
    path, equals, value = text.partition("=")
    keys = path.split(".")
    if not equals or not all(keys):
        raise ValueError("is not KEY=VALUE, such as thinking.type=adaptive")
    return keys, _assigned_value(value)


def _assigned_value(text: str) -> object:
    try:
        return requests.parse_json(text)
    except json_documents.NotJson as problem:
        if text.lstrip()[:1] in ("{", "[", '"'):
            raise ValueError(f"the value begins as JSON, and is {problem.reason}") from None
        return text


def _includes(whole: Any, part: Any) -> bool:
    """Whether two values are equal, or the objects in the first one only have more keys."""
    if isinstance(whole, dict) and isinstance(part, dict):
        keys = cast("dict[str, Any]", part)
        return all(key in whole and _includes(whole[key], value) for key, value in keys.items())
    if isinstance(whole, list) and isinstance(part, list):
        items, others = cast("list[Any]", whole), cast("list[Any]", part)
        return len(items) == len(others) and all(map(_includes, items, others))
    return json_values.same(whole, part)
