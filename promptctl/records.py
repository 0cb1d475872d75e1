"""What the store returns and the output shows: immutable records.

Times are RFC 3339 in UTC (`2026-11-12T09:30:00.5Z`), as text: most of them are only passed on.
"""

from __future__ import annotations

from _operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, dataclass_transform
else:

    def dataclass_transform(**_):
        """Typing's decorator has no effect at run time, and importing typing has a cost."""
        return lambda cls: cls


Timestamp = str


@dataclass_transform(frozen_default=True)
class Record(tuple["Any", ...]):
    """A named tuple whose class is made without `dataclasses` or `typing`, whose import every command would pay for.

    Fields are the class's annotations, in the order of a query's columns: `Move(*row)`. The last may have defaults.
    """

    __slots__ = ()
    fields: tuple[str, ...] = ()

    if not TYPE_CHECKING:
        defaults = {}

        def __init_subclass__(cls):
            cls.fields = tuple(cls.__annotations__)
            cls.defaults = {name: vars(cls)[name] for name in cls.fields if name in vars(cls)}
            for position, name in enumerate(cls.fields):
                setattr(cls, name, property(itemgetter(position)))

        def __new__(cls, *values, **named):
            """Make a record of its fields' values, by position or by name."""
            if named or len(values) != len(cls.fields):
                named = cls.defaults | named if cls.defaults else named
                values += tuple(named[name] for name in cls.fields[len(values) :])
                if len(values) != len(cls.fields) or named.keys() - set(cls.fields):
                    raise TypeError(f"{cls.__name__} takes {', '.join(cls.fields)}")
            return tuple.__new__(cls, values)

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in zip(self.fields, self, strict=True))})"

    def as_dict(self) -> dict[str, Any]:
        """Field names and values, in order."""
        return dict(zip(self.fields, self, strict=True))
