"""Compare the settings of two versions, key by key. Pure."""

from __future__ import annotations

import json

from promptctl.records import Record
from promptctl.rules import json_values, requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, cast
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


class Difference(Record):
    """A value that two versions have differently.

    `path` is `request.thinking.type`, and `request.tools[get_weather].description` for a tool. `kind` is `added`,
    `removed`, `changed` or `order`, for an object whose keys have another order. `old` and `new` are the values, None
    where there is none.
    """

    path: str
    kind: str
    old: Any
    new: Any


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between the settings of two versions, in the order of the keys.

    Objects are compared by key. A list of objects that all have a name of their own, such as tools, is compared by
    name. Of any other two lists of the same length the items are compared, and the rest is compared as a whole. In a
    request 1 differs from 1.0, because versions have the same request if its text is the same.
    """
    return list(_of_objects("", requests.visible_settings(old), requests.visible_settings(new)))


def _of_values(path: str, old: Any, new: Any) -> Iterator[Difference]:
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _of_objects(path, cast("dict[str, Any]", old), cast("dict[str, Any]", new))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(path, cast("list[Any]", old), cast("list[Any]", new))
    elif not _same(path, old, new):
        yield Difference(path, "changed", old, new)


def _of_objects(path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for key in (*old, *(key for key in new if key not in old)):
        below = f"{path}.{key}" if path else key
        if key not in new:
            yield Difference(below, "removed", old[key], None)
        elif key not in old:
            yield Difference(below, "added", None, new[key])
        else:
            yield from _of_values(below, old[key], new[key])
    # jsonb sorts the keys of settings themselves, and keeps no order.
    if path and old.keys() == new.keys() and list(old) != list(new):
        yield Difference(path, "order", list(old), list(new))


def _of_lists(path: str, old: list[Any], new: list[Any]) -> Iterator[Difference]:
    old_names, new_names = _names(old), _names(new)
    if old_names is not None and new_names is not None:
        old_items, new_items = dict(zip(old_names, old, strict=True)), dict(zip(new_names, new, strict=True))
        for name in (*old_items, *(name for name in new_items if name not in old_items)):
            below = f"{path}[{name}]"
            if name not in new_items:
                yield Difference(below, "removed", old_items[name], None)
            elif name not in old_items:
                yield Difference(below, "added", None, new_items[name])
            else:
                yield from _of_values(below, old_items[name], new_items[name])
        if old_items.keys() == new_items.keys() and old_names != new_names:
            yield Difference(path, "order", old_names, new_names)
    elif len(old) == len(new) and all(isinstance(item, (dict, list)) for item in (*old, *new)):
        for place, (old_item, new_item) in enumerate(zip(old, new, strict=True)):
            yield from _of_values(f"{path}[{place}]", old_item, new_item)
    elif not _same(path, old, new):
        yield Difference(path, "changed", old, new)


def _same(path: str, old: Any, new: Any) -> bool:
    """Whether two values are equal: those in a request by their text, any others by the rules of `jsonb`."""
    if path.startswith(("request.", "request[")):
        return json.dumps(old) == json.dumps(new)
    return json_values.same(old, new)


def _names(items: list[Any]) -> list[str] | None:
    """Return the names of the objects in a list, None if one has none or two have the same."""
    names: dict[str, None] = {}
    for item in items:
        name = cast("dict[str, Any]", item).get("name") if isinstance(item, dict) else None
        if not isinstance(name, str) or name in names:
            return None
        names[name] = None
    return list(names)
