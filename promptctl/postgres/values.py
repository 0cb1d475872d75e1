"""Conversions between Python values and PostgreSQL's text format."""

from __future__ import annotations

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from psycopg.pq.abc import PGresult

    Parameter = (
        bytes | str | int | float | bool | None | Sequence[str | None] | Sequence[int | None] | Mapping[str, Any]
    )
    Row = tuple[Any, ...]


def _array(items: Sequence[str | int | None]) -> str:
    quoted = [
        "NULL" if item is None else '"' + str(item).replace("\\", "\\\\").replace('"', '\\"') + '"' for item in items
    ]
    return "{" + ",".join(quoted) + "}"


def _encoded(value: Parameter) -> bytes | None:
    """Return a parameter in PostgreSQL's text format; None is NULL, a list or a tuple an array, a mapping JSON.

    Bytes are returned unchanged, because they are sent in the binary format. Raises Usage (`not_utf8`, `nul_in_text`).
    """
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str):
        text = value
    elif isinstance(value, bool):
        text = "t" if value else "f"
    elif isinstance(value, (int, float)):
        text = str(value)
    elif isinstance(value, (list, tuple)):
        text = _array(value)
    else:
        import json

        text = json.dumps(value, ensure_ascii=False)
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        # Python decodes the byte 0xff of an argument as the lone surrogate U+DCFF, which UTF-8 cannot encode.
        printable = text[:80].encode("utf-8", "backslashreplace").decode()
        raise errors.Usage("not_utf8", f'"{printable}" is not UTF-8') from None
    if b"\0" in encoded:
        raise errors.Usage("nul_in_text", "the text has a NUL character, which PostgreSQL cannot store")
    return encoded


def query_arguments(
    sql: str, parameters: Sequence[Parameter]
) -> tuple[bytes, list[bytes | None] | None, None, list[int] | None]:
    """Return the arguments of `send_query_params`: the statement, values, types and formats. Raises Usage.

    A format is 0 for text and 1 for binary. None leaves the types to the server, and means that all formats are text.
    """
    if not parameters:
        return sql.encode(), None, None, None
    values = [_encoded(parameter) for parameter in parameters]
    formats = None
    if bytes in map(type, parameters):
        formats = [int(isinstance(parameter, bytes)) for parameter in parameters]
    return sql.encode(), values, None, formats


def _json(raw: bytes) -> Any:
    import json

    return json.loads(raw)


def _jsonb(raw: bytes) -> Any:
    if raw == b"{}":  # most metadata
        return {}
    from promptctl.rules import jsonb

    return jsonb.parse(raw.decode())


def _timestamp(raw: bytes) -> str:
    """Return a time in RFC 3339. In a session in UTC the server sends `2026-11-12 09:30:00.5+00`."""
    return raw.decode().replace(" ", "T", 1).removesuffix("+00") + "Z"


# By the oid of the type, which is its row in pg_type. A value of any other type is text.
_CONVERSIONS: dict[int, Callable[[bytes], Any]] = {
    16: lambda raw: raw == b"t",  # boolean
    20: int,  # bigint
    21: int,  # smallint
    23: int,  # integer
    700: float,  # real
    701: float,  # double precision
    1700: float,  # numeric
    114: _json,
    3802: _jsonb,
    1184: _timestamp,  # timestamp with time zone
}


def rows(result: PGresult) -> list[Row]:
    """Return the rows of a result as Python values, None for NULL."""
    columns = range(result.nfields)
    conversions = [_CONVERSIONS.get(result.ftype(column), bytes.decode) for column in columns]
    get_value = result.get_value
    converted: list[Row] = []
    for row in range(result.ntuples):
        cells: list[Any] = []
        for column in columns:
            raw = get_value(row, column)
            cells.append(None if raw is None else conversions[column](raw))
        converted.append(tuple(cells))
    return converted
