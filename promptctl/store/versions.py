"""Writing versions: a new one, many at once, and correcting what is said of them."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class Created(Record):
    """The version that holds a text. `created` is False when the text was there already."""

    __slots__ = ()
    id: str
    name: str
    version: int
    content: str
    is_active: bool
    created_at: Timestamp
    created_by: str
    metadata: dict[str, Any]
    created: bool
    previous_version: int | None
    settings: dict[str, Any]
    variables: str


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

    Raises Usage for an empty text, Refused for a name that differs from another only in case, for an archived prompt,
    for a text that was erased, and where it is to be active and needs a variable that the active version does not.
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


def prepared(
    database: Database,
    versions: Sequence[Mapping[str, Any]],
    contents: Sequence[bytes],
    *,
    author: str,
    release: int,
) -> Callable[[], Callable[[], Any]]:
    """Make ready to store versions under their own numbers, all or none, in a release of the open transaction.

    Each has `name`, `version` and, optional, `settings`, `metadata`, `created_by`, `origin`; `contents` are their texts
    in UTF-8, which go beside the JSON as they are. The function returned sends them, and returns one that waits until
    they are stored, before the next statement is run.
    """
    import json

    start = 0
    described: list[dict[str, Any]] = []
    for version, content in zip(versions, contents, strict=True):
        described.append({**version, "start": start, "size": len(content)})
        start += len(content)
    text, whole = json.dumps(described), b"".join(contents)
    return lambda: database.start("select promptctl.add_versions($1, $2, $3, $4)", text, author, release, whole)


def describe(
    database: Database, versions: Sequence[Mapping[str, Any]], *, author: str, release: int | None = None
) -> int:
    """Correct the metadata of versions, which is recorded; returns how many were not so already. Raises NotFound.

    Each has `name`, `version` and `metadata`, the whole of it.
    """
    import json

    rows = database.run(
        "select promptctl.describe_versions($1, $2, null, $3)",
        json.dumps(versions, ensure_ascii=False),
        author,
        release,
    )
    return int(rows[0][0])
