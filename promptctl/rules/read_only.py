"""JSON objects and lists that cannot be changed. Pure.

The calls of a process share the settings of a version, because copying ten tools takes longer than everything else that
a call needs. A change of a shared object would change the version for every later call, so it raises TypeError instead.
`copy.deepcopy`, `copy.copy` and `pickle` make ordinary objects.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def read_only(value: Any) -> Any:
    """Return a JSON value whose objects and lists, on all levels, cannot be changed."""
    if isinstance(value, (ReadOnlyDict, ReadOnlyList)):
        return value  # pyright: ignore[reportUnknownVariableType] - any JSON
    if isinstance(value, dict):
        return ReadOnlyDict({key: read_only(item) for key, item in value.items()})  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(value, list):
        return ReadOnlyList([read_only(item) for item in value])  # pyright: ignore[reportUnknownVariableType] - any JSON
    return value


def _refuse(*_: object, **__: object) -> NoReturn:
    raise TypeError("this is part of a version, which does not change: change a copy (copy.deepcopy) and pass that")


class ReadOnlyDict(dict):  # pyright: ignore[reportMissingTypeArgument] - any JSON
    """A JSON object that cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = clear = pop = popitem = setdefault = update = _refuse

    def __ior__(self, other: Any) -> Any:
        return dict(self) | other  # pyright: ignore[reportUnknownArgumentType] - any JSON

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (list(self.items()),)  # pyright: ignore[reportUnknownArgumentType] - any JSON


class ReadOnlyList(list):  # pyright: ignore[reportMissingTypeArgument] - any JSON
    """A JSON list that cannot be changed."""

    __slots__ = ()
    __setitem__ = __delitem__ = append = clear = extend = insert = pop = remove = reverse = sort = _refuse

    def __iadd__(self, other: Any) -> Any:
        return [*self, *other]

    def __imul__(self, count: Any) -> Any:
        return list(self) * count  # pyright: ignore[reportUnknownArgumentType] - any JSON

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (tuple(self),)  # pyright: ignore[reportUnknownArgumentType] - any JSON
