"""The schema's number follows its shape."""

from __future__ import annotations

import hashlib
import re

from promptctl import database

VERSION = 5
DIGEST = "2a7971f893f27b3b4beb291e5b86b3270b473f4a4c5e3de9391600796a86534e"


def test_the_number_was_looked_at_when_the_schema_changed() -> None:
    digest = hashlib.sha256(database.schema_sql().encode()).hexdigest()
    assert (database.SCHEMA_VERSION, digest) == (VERSION, DIGEST), (
        "schema.sql changed. If the shape did (a table, a column, a constraint, a function's arguments), raise the "
        "number in schema.sql, in promptctl/database.py and here; if not, only the digest here: " + digest
    )


def test_the_command_line_and_the_schema_say_the_same_number() -> None:
    [number] = re.findall(r"expected constant integer := (\d+);", database.schema_sql())
    assert int(number) == database.SCHEMA_VERSION
