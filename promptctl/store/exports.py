"""What an export reads: every version in use, whole, prompt by prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record
from promptctl.store import prompts

if TYPE_CHECKING:
    from typing import Any

    from promptctl.postgres.database import Database

# Prompts are read so many at a time: a database may hold more than fits into one answer.
_PAGE = 500


class StoredText(Record):
    """One version in use, as a folder can say it; `origin_path` is the file that it came from, if it was one."""

    __slots__ = ()
    version: int
    content: str
    settings: dict[str, Any]
    metadata: dict[str, Any]
    created_by: str
    origin_path: str | None


class WholePrompt(Record):
    """A prompt with its versions in use, by number, what is live of it and who else gets what."""

    __slots__ = ()
    name: str
    active_version: int | None
    route: list[dict[str, Any]] | None
    versions: list[StoredText]


def whole_prompts(database: Database, pattern: str | None) -> list[WholePrompt]:
    """Return prompts in the order of their names, all as they were at one moment.

    `pattern` is a glob (`*`, `?`), without one a part of the name. A prompt that has no version in use is left out.
    """
    found: list[WholePrompt] = []
    with database.transaction(read_only=True):
        names = [prompt.name for prompt in prompts.list_prompts(database, pattern)]
        for start in range(0, len(names), _PAGE):
            page = names[start : start + _PAGE]
            served, versions = database.run_all(
                (
                    "select s.name, s.active_version, s.route from promptctl.served s where s.name = any ($1)",
                    [page],
                ),
                (
                    """
                    select v.name, v.version, v.content, v.settings, v.metadata, v.created_by, v.origin ->> 'path'
                    from promptctl.versions v where v.name = any ($1) and not v.is_retired
                    order by v.name, v.version
                    """,
                    [page],
                ),
            )
            by_name: dict[str, list[StoredText]] = {}
            for name, *rest in versions:
                by_name.setdefault(name, []).append(StoredText(*rest))
            found += [
                WholePrompt(name, active, route, by_name[name])
                for name, active, route in sorted(served, key=lambda row: row[0])
                if name in by_name
            ]
    return found
