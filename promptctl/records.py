"""The base class of records: immutable rows with named fields.

Times are text in RFC 3339 and UTC (`2026-11-12T09:30:00.5Z`), because most of them are passed on unparsed.
"""

from __future__ import annotations

from _operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, dataclass_transform
else:

    def dataclass_transform(**_):
        """Replace the decorator of `typing`, which has no effect at run time and whose import is slow."""
        return lambda cls: cls


Timestamp = str


class _RecordType(type):
    """Give each class of records empty `__slots__`: a record has no attributes but its fields."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _RecordType:
        return super().__new__(cls, name, bases, {"__slots__": (), **namespace})


@dataclass_transform(frozen_default=True)
class Record(tuple["Any", ...], metaclass=_RecordType):
    """A named tuple whose class needs neither `dataclasses` nor `typing`: every command would pay for their import.

    The fields are the class's annotations after those of its base, in the order of a query's columns: `Move(*row)`. The
    last fields may have defaults.
    """

    fields: tuple[str, ...] = ()

    if not TYPE_CHECKING:
        defaults = {}

        def __init_subclass__(cls):
            cls.fields += tuple(cls.__annotations__)
            cls.defaults = {name: vars(cls)[name] for name in cls.fields if name in vars(cls)}
            for position, name in enumerate(cls.fields):
                setattr(cls, name, property(itemgetter(position)))

        def __new__(cls, *values, **named):
            """Make a record from the values of its fields, by position or by name."""
            if named or len(values) != len(cls.fields):
                named = cls.defaults | named if cls.defaults else named
                values += tuple(named[name] for name in cls.fields[len(values) :])
                if len(values) != len(cls.fields) or named.keys() - set(cls.fields):
                    raise TypeError(f"{cls.__name__} takes {', '.join(cls.fields)}")
            return tuple.__new__(cls, values)

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in zip(self.fields, self, strict=True))})"

    def as_dict(self) -> dict[str, Any]:
        """Return the names and values of the fields, in order."""
        return dict(zip(self.fields, self, strict=True))
