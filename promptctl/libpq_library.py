"""Where libpq is, and what its functions take and return.

The library is the one that psycopg's wheel carries, else the system's; any from PostgreSQL 14 on.
"""

from __future__ import annotations

import ctypes
import os
import sys

from promptctl import errors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

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


class Notification(ctypes.Structure):
    """libpq's PGnotify: the channel, who sent it, and what it says."""

    _fields_ = (("channel", ctypes.c_char_p), ("process", ctypes.c_int), ("payload", ctypes.c_char_p))


def _candidates(preferred: str | None) -> Iterator[str]:
    """Paths and names of libpq to try, best first: the preferred one, the one beside psycopg, then the system's."""
    if preferred is not None:
        yield preferred
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


def load(preferred: str | None) -> ctypes.CDLL:
    """Return libpq, its functions declared; `preferred` is a path to try first. Raises Failed (`libpq_missing`)."""
    # Lazily: thousands of functions of OpenSSL, Kerberos and LDAP that nothing calls are then not looked up by name.
    mode = getattr(os, "RTLD_LAZY", ctypes.DEFAULT_MODE)
    for path in _candidates(preferred):
        try:
            lib, quick = ctypes.CDLL(path, mode), ctypes.PyDLL(path, mode)
        except OSError:
            continue
        pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
        texts = ctypes.POINTER(text)
        for name, returns, takes in (
            ("PQconnectdbParams", pointer, (texts, texts, number)),
            ("PQstatus", number, (pointer,)),
            ("PQerrorMessage", text, (pointer,)),
            ("PQfinish", None, (pointer,)),
            ("PQsocket", number, (pointer,)),
            ("PQdb", text, (pointer,)),
            ("PQhost", text, (pointer,)),
            ("PQport", text, (pointer,)),
            ("PQserverVersion", number, (pointer,)),
            ("PQenterPipelineMode", number, (pointer,)),
            ("PQexitPipelineMode", number, (pointer,)),
            ("PQpipelineSync", number, (pointer,)),
            ("PQsendQuery", number, (pointer, text)),
            ("PQsendQueryParams", number, (pointer, text, number, pointer, texts, pointer, pointer, number)),
            ("PQsetnonblocking", number, (pointer, number)),
            ("PQflush", number, (pointer,)),
            ("PQconsumeInput", number, (pointer,)),
            ("PQisBusy", number, (pointer,)),
            ("PQgetResult", pointer, (pointer,)),
            ("PQresultStatus", number, (pointer,)),
            ("PQresultErrorField", text, (pointer, number)),
            ("PQntuples", number, (pointer,)),
            ("PQnfields", number, (pointer,)),
            ("PQftype", ctypes.c_uint, (pointer, number)),
            ("PQgetvalue", text, (pointer, number, number)),
            ("PQgetisnull", number, (pointer, number, number)),
            ("PQclear", None, (pointer,)),
            ("PQnotifies", ctypes.POINTER(Notification), (pointer,)),
            ("PQfreemem", None, (pointer,)),
            ("PQgetCancel", pointer, (pointer,)),
            ("PQcancel", number, (pointer, text, number)),
            ("PQfreeCancel", None, (pointer,)),
            ("PQsetNoticeProcessor", pointer, (pointer, _NOTICE_PROCESSOR, pointer)),
        ):
            try:
                function = getattr(lib if name in _MAY_WAIT else quick, name)
            except AttributeError:  # older than 14: no pipelines
                break
            function.restype, function.argtypes = returns, takes
            setattr(lib, name, function)
        else:
            return lib
    raise errors.Failed(
        "libpq_missing", "libpq, PostgreSQL's client library, is not there", hint='pip install "psycopg[binary]"'
    )
