"""Migrate the embedded database at the first command of a new release, after a dump of it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from promptctl.postgres import dumping, migrating, settings
from promptctl.postgres.embedded import home, location
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl.postgres.database import Database

_EMBEDDED = settings.Target(url=None, embedded=True, origin="embedded")


def migrate(database: Database, say: Callable[[str], None], *, force: bool = False) -> tuple[int, int]:
    """Dump the embedded database, migrate it, and return its schema version before and after.

    The dump is in the directory `dumps` of PROMPTCTL_HOME. `say` gets one line, which names it. If no migration is
    needed, no dump is written. Raises what `migrating.migrate` and `dumping.dump` raise: without a dump, nothing is
    migrated.
    """
    if not migrating.migrations(database):
        return migrating.migrate(database, force=force, say=lambda _: None)
    directory = location.home()
    # A dump fails if another command migrates meanwhile.
    with home.failures(directory), home.migration_lock(directory):
        if not migrating.migrations(database):
            return migrating.migrate(database, force=force, say=lambda _: None)
        path = _dump(database, migrating.installed_version(database))
        before, after = migrating.migrate(database, force=force, say=lambda _: None)
    say(f"migrated {database.label} from schema version {before} to {after}; dumped before: {references.quoted(path)}")
    return before, after


def _dump(database: Database, version: int) -> str:
    directory = os.path.join(location.home(), "dumps")
    with home.failures(directory):
        # Only the owner may read the dumps, because they contain the texts of all prompts.
        os.makedirs(directory, 0o700, exist_ok=True)
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    path = os.path.join(directory, f"schema-{version}-{moment}-{os.getpid()}.dump")
    dumping.dump(database, _EMBEDDED, path)
    return path
