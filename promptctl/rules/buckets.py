"""Which bucket of a split a unit falls into: schema.sql's rule, for whoever answers without asking the database. Pure.

A candidate serves the units whose bucket is below its basis points.
"""

from __future__ import annotations

import hashlib
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BUCKETS = 10_000

# For what fits into one block of SHA-256 the interpreter's own saves a sixth; of more, OpenSSL's takes less, at last a
# third.
_sha256: Callable[..., Any] = hashlib.sha256
try:
    from _sha2 import sha256 as _own_sha256  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
except ImportError:
    try:  # before Python 3.12
        from _sha256 import sha256 as _own_sha256  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
    except ImportError:
        _own_sha256 = hashlib.sha256
_sha256_of_a_block: Callable[..., Any] = _own_sha256  # pyright: ignore[reportUnknownVariableType]
_BLOCK = 56
_first_number: Callable[[bytes], tuple[int]] = Struct(">Q").unpack_from


def bucket(seed: str, unit: str) -> int:
    """Return the bucket of a unit, 0 to 9999: the first 8 bytes of sha256(seed + "." + unit), big-endian, modulo 10000.

    Raises ValueError for what PostgreSQL cannot hold as text, a NUL or half of a surrogate pair: nobody is in a bucket
    here and in none there.
    """
    return for_seed(seed)(unit)


def for_seed(seed: str) -> Callable[[str], int]:
    """Return `bucket` of one seed: half a microsecond for a short unit."""
    begin = f"{seed}.".encode()

    def bucket_of(unit: str) -> int:
        if "\0" in unit:
            raise ValueError("a unit has no NUL character: PostgreSQL cannot hold one")
        try:
            raw = begin + unit.encode()
        except UnicodeEncodeError as problem:
            raise ValueError(f"a unit is text, and U+{ord(unit[problem.start]):04X} is no character") from None
        sha256 = _sha256_of_a_block if len(raw) < _BLOCK else _sha256
        return _first_number(sha256(raw).digest())[0] % BUCKETS

    return bucket_of
