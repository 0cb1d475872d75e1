"""The schema version is reviewed at every change of schema.sql."""

from __future__ import annotations

import hashlib
import re

import promptctl
from promptctl import schema

VERSION = 11
DIGEST = "6f7b529d2fe3099299cace6c7a0e9c0e85948273e89340690545591c5ac9d4f6"


def test_the_recorded_digest_is_the_one_of_schema_sql() -> None:
    digest = hashlib.sha256(schema.read_sql().encode()).hexdigest()
    assert (schema.VERSION, digest) == (VERSION, DIGEST), (
        "schema.sql changed. If the shape did (a table, a column, a constraint, a function's arguments), raise the "
        "number in schema.sql, in promptctl/schema.py and here; if not, only the digest here: " + digest
    )


def test_the_program_and_schema_sql_have_the_same_version() -> None:
    [number] = re.findall(r"expected constant integer := (\d+);", schema.read_sql())
    assert int(number) == schema.VERSION


def test_the_release_that_the_schema_names_is_this_one_or_an_earlier_one() -> None:
    # The hint for a schema that is too new names it as the release to install.
    [release] = re.findall(r"release constant text := '(\d+\.\d+\.\d+)';", schema.read_sql())
    assert [int(part) for part in release.split(".")] <= [int(part) for part in promptctl.__version__.split(".")[:3]]
    newest = schema.MIGRATIONS[-1]
    assert f"'{release}'" in newest.read_sql()
    assert newest.version == schema.VERSION
