"""Hash a unit into the bucket of a split, as `promptctl.bucket` in schema.sql does. Pure.

A split serves the candidate to the units whose bucket is below the candidate's basis points.
"""

from __future__ import annotations

import hashlib
from struct import Struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

BUCKETS = 10_000

# For one block of SHA-256, the interpreter's own implementation takes a sixth less time than OpenSSL's. For longer
# input, OpenSSL's is faster, up to three times.
_sha256: Callable[..., Any] = hashlib.sha256
try:
    from _sha2 import sha256 as _own_sha256  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
except ImportError:
    try:  # before Python 3.12
        from _sha256 import sha256 as _own_sha256  # pyright: ignore[reportMissingImports, reportUnknownVariableType]
    except ImportError:
        _own_sha256 = hashlib.sha256
_sha256_of_a_block: Callable[..., Any] = _own_sha256  # pyright: ignore[reportUnknownVariableType]
# Input with fewer bytes than this fits in one block.
_BLOCK = 56
# Reads the first 8 bytes of a digest as a big-endian integer.
_first_number: Callable[[bytes], tuple[int]] = Struct(">Q").unpack_from


def bucket(seed: str, unit: str) -> int:
    """Return the bucket of a unit, 0 to 9999: the first 8 bytes of sha256(seed + "." + unit), big-endian, modulo 10000.

    docs/sql.md has test vectors. Raises ValueError for text with a NUL or a lone surrogate: PostgreSQL cannot store it,
    and a unit must not have a bucket here that it cannot have in SQL.
    """
    return for_seed(seed)(unit)


def for_seed(seed: str) -> Callable[[str], int]:
    """Return a function from a unit to its bucket for one seed. A call takes half a microsecond for a short unit."""
    prefix = f"{seed}.".encode()

    def bucket_of(unit: str) -> int:
        if "\0" in unit:
            raise ValueError("a unit has no NUL character: PostgreSQL cannot hold one")
        try:
            raw = prefix + unit.encode()
        except UnicodeEncodeError as problem:
            raise ValueError(f"a unit is text, and U+{ord(unit[problem.start]):04X} is not a character") from None
        sha256 = _sha256_of_a_block if len(raw) < _BLOCK else _sha256
        return _first_number(sha256(raw).digest())[0] % BUCKETS

    return bucket_of
