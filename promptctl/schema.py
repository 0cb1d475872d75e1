"""The version and the text of the schema that this promptctl installs and requires."""

from __future__ import annotations

import os

from promptctl import errors

# The version that schema.sql installs, and that the statements in `store` require.
VERSION = 6


def read_sql() -> str:
    """Return the text of schema.sql."""
    # It is beside this module in a wheel, and in the root of the repository in an editable installation.
    folder = os.path.dirname(os.path.abspath(__file__))
    for path in (os.path.join(folder, "schema.sql"), os.path.join(os.path.dirname(folder), "schema.sql")):
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return file.read()
    raise errors.Failed(
        "installation_damaged",
        "schema.sql is missing from this installation of promptctl",
        hint="install promptctl again, from where it was installed",
    )
