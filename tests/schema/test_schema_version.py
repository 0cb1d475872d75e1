"""The schema's number follows its shape."""

from __future__ import annotations

import hashlib
import re

from promptctl import schema

VERSION = 6
DIGEST = "092b8c06c4fe2f593231836cb89899d99483c483cd0d42c1c06979270a2581da"


def test_the_number_was_looked_at_when_the_schema_changed() -> None:
    digest = hashlib.sha256(schema.read_sql().encode()).hexdigest()
    assert (schema.VERSION, digest) == (VERSION, DIGEST), (
        "schema.sql changed. If the shape did (a table, a column, a constraint, a function's arguments), raise the "
        "number in schema.sql, in promptctl/schema.py and here; if not, only the digest here: " + digest
    )


def test_the_command_line_and_the_schema_say_the_same_number() -> None:
    [number] = re.findall(r"expected constant integer := (\d+);", schema.read_sql())
    assert int(number) == schema.VERSION
