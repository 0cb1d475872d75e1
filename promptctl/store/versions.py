"""Writing versions: a new one, many at once, out of use and back."""

from __future__ import annotations

from promptctl.records import Created

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.database import Database
    from promptctl.records import Reference


def create(
    database: Database,
    name: str,
    content: str,
    *,
    author: str,
    metadata: Mapping[str, Any],
    settings: Mapping[str, Any] | None = None,
    activate: bool = False,
    reason: str | None = None,
    allow_new_variables: bool = False,
) -> Created:
    """Store a text as the next version of a prompt; a text that a version already has returns the newest such version.

    Raises Usage for an empty text, Refused for a name that differs from another only in case, and where it is to be
    active and needs a variable that the active version does not.
    """
    rows = database.run(
        """
        select c.id, c.name, c.version, c.content, c.is_active, c.created_at, c.created_by, c.metadata, c.created,
               c.previous_version, c.settings, array_to_string(c.variables, ' ')
        from promptctl.create_version($1, $2, $3, $4, $5, null, $6, $7, $8) c
        """,
        name,
        content,
        settings or {},
        metadata,
        author,
        activate,
        reason,
        allow_new_variables,
    )
    return Created(*rows[0])


def retire(database: Database, reference: Reference, *, undo: bool, author: str, reason: str | None = None) -> bool:
    """Take a version out of use, or with `undo` back in; False: it was so already. Raises NotFound, Refused."""
    rows = database.run(
        "select promptctl.retire($1, $2, $3, $4, $5)", reference.name, reference.version, undo, author, reason
    )
    return bool(rows[0][0])


def add(database: Database, versions: Sequence[Mapping[str, Any]], *, author: str) -> int:
    """Store versions under their own numbers, all or none; returns how many.

    Each has `name`, `version`, `content` and, optional, `settings`, `metadata`, `created_by`.
    """
    import json

    rows = database.run("select promptctl.add_versions($1, $2)", json.dumps(versions, ensure_ascii=False), author)
    return int(rows[0][0])


def describe(database: Database, reference: Reference, metadata: Mapping[str, Any], *, author: str) -> bool:
    """Correct a version's metadata, which is recorded; False: it was so already. Raises NotFound."""
    rows = database.run(
        "select promptctl.describe($1, $2, $3, $4)", reference.name, reference.version, metadata, author
    )
    return bool(rows[0][0])
