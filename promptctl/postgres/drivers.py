"""Choose the driver, which is the module that opens connections: `ctypes_pq` or `psycopg_pq`."""

from __future__ import annotations

from promptctl import errors
from promptctl.postgres import libpq_library

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Protocol

    from promptctl.postgres.connection import Connection

    class Driver(Protocol):
        """What the modules `ctypes_pq` and `psycopg_pq` have in common."""

        def connect(self, parameters: Mapping[str, str], *, light: bool = False) -> Connection: ...  # noqa: D102
        def keywords(self, conninfo: str) -> dict[str, str]: ...  # noqa: D102
        def variables(self) -> dict[str, str]: ...  # noqa: D102


def for_command(*, light: bool = False) -> Driver:
    """Return `ctypes_pq`, which starts fast, or `psycopg_pq` if ctypes finds no libpq to load.

    `light` prefers a libpq that is faster to load (libpq_library.load). Raises Failed (`libpq_missing`) if neither
    driver works.
    """
    try:
        libpq_library.load(light=light)
    except errors.Failed as missing:
        try:
            return for_application()
        except errors.Failed:
            raise missing from None
    from promptctl.postgres import ctypes_pq

    return ctypes_pq


def for_application() -> Driver:
    """Return `psycopg_pq`. Raises Failed (`libpq_missing`)."""
    try:
        from promptctl.postgres import psycopg_pq
    except ImportError as failure:
        raise libpq_library.missing(f"psycopg cannot be imported: {failure}") from None
    return psycopg_pq


def libraries() -> list[str]:
    """Return the path or name of each libpq that this process has loaded, [] before its first connection."""
    import sys

    psycopg_pq = sys.modules.get("promptctl.postgres.psycopg_pq")
    psycopg_libraries = [] if psycopg_pq is None else [psycopg_pq.library()]
    return [*libpq_library.loaded_paths(), *psycopg_libraries]
