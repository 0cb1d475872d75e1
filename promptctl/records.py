"""The base class of records: immutable rows with named fields.

Times are text in RFC 3339 and UTC (`2026-11-12T09:30:00.5Z`), because most of them are printed without being parsed.
"""

from __future__ import annotations

from _operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, dataclass_transform
else:

    def dataclass_transform(**_):
        """Replace the decorator of `typing`, which is slow to import and has no effect at run time."""
        return lambda cls: cls


Timestamp = str


class _RecordType(type):
    """The class of record classes. It gives them empty `__slots__`, so a record has no attributes but its fields."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _RecordType:
        return super().__new__(cls, name, bases, {"__slots__": (), **namespace})


@dataclass_transform(frozen_default=True)
class Record(tuple["Any", ...], metaclass=_RecordType):
    """A named tuple. It needs neither `dataclasses` nor `typing`, whose imports would slow down every command.

    The fields are those of the base class, then the annotations of the class. They have the order of a query's columns,
    so `Move(*row)` makes a record of a row. The last fields may have defaults.
    """

    fields: tuple[str, ...] = ()

    if not TYPE_CHECKING:
        field_defaults = {}

        def __init_subclass__(cls):
            cls.fields += tuple(cls.__annotations__)
            # A default is a class attribute, until the property of its field replaces it below.
            cls.field_defaults = {name: vars(cls)[name] for name in cls.fields if name in vars(cls)}
            for position, name in enumerate(cls.fields):
                setattr(cls, name, property(itemgetter(position)))

        def __new__(cls, *values, **named):
            """Make a record from the values of its fields, by position or by name."""
            if named or len(values) != len(cls.fields):
                values += cls._other_values(len(values), named)
            return tuple.__new__(cls, values)

        @classmethod
        def _other_values(cls, count, named):
            """Return the values of the fields after the first `count`, by name or by default."""
            defaults = cls.field_defaults
            try:
                values = [named.pop(name) if name in named else defaults[name] for name in cls.fields[count:]]
            except KeyError:
                values = None
            if values is None or named or count > len(cls.fields):
                raise TypeError(f"{cls.__name__} takes {', '.join(cls.fields)}")
            return tuple(values)

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.as_dict().items())})"

    def as_dict(self) -> dict[str, Any]:
        """Return the names and values of the fields, in order."""
        return dict(zip(self.fields, self, strict=True))
