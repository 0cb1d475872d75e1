"""The schema's number follows its shape."""

from __future__ import annotations

import hashlib
import re

from promptctl import schema

VERSION = 6
DIGEST = "d229c6e40581da263c32484b7a333b160b28c5c325c4a1735e58783ba8d9a628"


def test_the_number_was_looked_at_when_the_schema_changed() -> None:
    digest = hashlib.sha256(schema.read_sql().encode()).hexdigest()
    assert (schema.VERSION, digest) == (VERSION, DIGEST), (
        "schema.sql changed. If the shape did (a table, a column, a constraint, a function's arguments), raise the "
        "number in schema.sql, in promptctl/schema.py and here; if not, only the digest here: " + digest
    )


def test_the_command_line_and_the_schema_say_the_same_number() -> None:
    [number] = re.findall(r"expected constant integer := (\d+);", schema.read_sql())
    assert int(number) == schema.VERSION
