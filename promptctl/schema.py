"""The version and the text of the schema that this promptctl installs and requires, and the migrations to it."""

from __future__ import annotations

import os

from promptctl import errors

# The version that schema.sql installs, and that the statements in `store` require.
VERSION = 11


class Migration:
    """One file of `promptctl/migrations`, which changes a schema of `start` into one of `version`, in one transaction.

    `compatible_version` is the oldest version whose applications the new schema serves.
    """

    __slots__ = ("compatible_version", "name", "start", "version")

    def __init__(self, name: str, *, start: int, version: int, compatible_version: int) -> None:
        self.name = name
        self.start = start
        self.version = version
        self.compatible_version = compatible_version

    def read_sql(self) -> str:
        """Return the text of the file. Raises Failed (`installation_damaged`)."""
        return _read(os.path.join(_FOLDER, "migrations", self.name))


# A client of an application announces its version with a shared advisory lock: this number, then the version.
ANNOUNCEMENT = 7021773

# The versions before 4, and 5 and 6, were in no release.
MIGRATIONS = [
    Migration("0007_first_release.sql", start=4, version=7, compatible_version=4),
    Migration("0008_experiments.sql", start=7, version=8, compatible_version=4),
    Migration("0009_requests.sql", start=8, version=9, compatible_version=4),
    Migration("0010_tests.sql", start=9, version=10, compatible_version=4),
    Migration("0011_traces.sql", start=10, version=11, compatible_version=4),
]

_FOLDER = os.path.dirname(os.path.abspath(__file__))


def read_sql() -> str:
    """Return the text of schema.sql. Raises Failed (`installation_damaged`)."""
    # It is beside this module in a wheel, and in the root of the repository in an editable installation.
    beside = os.path.join(_FOLDER, "schema.sql")
    return _read(beside if os.path.exists(beside) else os.path.join(os.path.dirname(_FOLDER), "schema.sql"))


def path_from(version: int) -> list[Migration] | None:
    """Return the migrations that lead from a version to VERSION, in their order: [] from VERSION, None if none do."""
    path: list[Migration] = []
    while version != VERSION:
        migration = next((candidate for candidate in MIGRATIONS if candidate.start == version), None)
        if migration is None:
            return None
        path.append(migration)
        version = migration.version
    return path


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise errors.Failed(
            "installation_damaged",
            f"{os.path.basename(path)} is missing from this installation of promptctl",
            hint="install promptctl again, from where it was installed",
        ) from None
