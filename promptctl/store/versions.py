"""Store versions, one or many at once, and correct their metadata."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class CreatedVersion(Record):
    """The version that has a text. `created` is False if an earlier version had the text already."""

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
) -> CreatedVersion:
    """Store a text as the next version of a prompt, or return the newest version that already has the text.

    Raises Usage for an empty text. Raises Refused for a name that differs from another only in case, for an archived
    prompt, for a text that was erased, and, with `activate`, if it needs a variable which the active version does not
    need.
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
    return CreatedVersion(*rows[0])


def prepare(
    database: Database,
    versions: Sequence[Mapping[str, Any]],
    contents: Sequence[bytes],
    *,
    author: str,
    release: int,
) -> Callable[[], Callable[[], Any]]:
    """Prepare to store versions with numbers of their own, all or none, in a release of the open transaction.

    A mapping in `versions` has `name`, `version` and optionally `settings`, `metadata`, `created_by`, `origin`.
    `contents` are the texts in UTF-8, which are sent as bytes beside the JSON. Returns a function that sends all of
    this. That function returns another one, which waits until the versions are stored. Call it before the next
    statement.
    """
    import json

    start = 0
    documents: list[dict[str, Any]] = []
    for version, content in zip(versions, contents, strict=True):
        # The place of the text in the joined texts.
        documents.append({**version, "start": start, "size": len(content)})
        start += len(content)
    document, text = json.dumps(documents), b"".join(contents)
    return lambda: database.start("select promptctl.add_versions($1, $2, $3, $4)", document, author, release, text)


def describe(
    database: Database, versions: Sequence[Mapping[str, Any]], *, author: str, release: int | None = None
) -> int:
    """Correct the metadata of versions and record the corrections; return how many changed. Raises NotFound.

    A mapping has `name`, `version` and `metadata`, which replaces all of the version's metadata.
    """
    import json

    rows = database.run(
        "select promptctl.describe_versions($1, $2, null, $3)",
        json.dumps(versions, ensure_ascii=False),
        author,
        release,
    )
    return int(rows[0][0])
