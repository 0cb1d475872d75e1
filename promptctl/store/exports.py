"""Read prompts with all their versions in use, for an export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record
from promptctl.store import case_lists, prompt_lists

if TYPE_CHECKING:
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.store.case_lists import CaseList

# Prompts are read in batches, because all of them might not fit in memory as one result.
_PROMPTS_PER_STATEMENT = 500


class ExportedVersion(Record):
    """One version in use; `origin_path` is the file that it came from, or None."""

    version: int
    content: str
    settings: dict[str, Any]
    metadata: dict[str, Any]
    created_by: str
    origin_path: str | None


class ExportedPrompt(Record):
    """A prompt with its versions in use, by number, its active version, its route, and its test cases if it has any.

    If a sync has started an open rollout, or has left it to the ticks, `active_version` is the candidate: the version
    that the folder names.
    """

    name: str
    active_version: int | None
    route: list[dict[str, Any]] | None
    versions: list[ExportedVersion]
    tests: CaseList | None = None


def read_prompts(database: Database, pattern: str | None) -> list[ExportedPrompt]:
    """Return the prompts that have a version in use, by name, in one snapshot.

    `pattern` is a glob (`*`, `?`) or a part of a name.
    """
    exported_prompts: list[ExportedPrompt] = []
    with database.transaction(read_only=True):
        names = [prompt.name for prompt in prompt_lists.list_prompts(database, pattern)]
        for start in range(0, len(names), _PROMPTS_PER_STATEMENT):
            batch = names[start : start + _PROMPTS_PER_STATEMENT]
            served, versions = database.run_all(
                (
                    """
                    select s.name, coalesce(r.candidate, s.active_version), s.route
                    from promptctl.served s
                    left join promptctl.applied a on a.name = s.name
                    left join promptctl.rollouts r on r.name = s.name and r.state in ('running', 'paused')
                                                   and r.candidate = a.active_version
                    where s.name = any ($1)
                    """,
                    [batch],
                ),
                (
                    """
                    select v.name, v.version, v.content, v.settings, v.metadata, v.created_by, v.origin ->> 'path'
                    from promptctl.versions v where v.name = any ($1) and not v.is_retired
                    order by v.name, v.version
                    """,
                    [batch],
                ),
            )
            tests = case_lists.read_cases(database, batch)
            versions_by_name: dict[str, list[ExportedVersion]] = {}
            for name, *rest in versions:
                versions_by_name.setdefault(name, []).append(ExportedVersion(*rest))
            exported_prompts += [
                ExportedPrompt(name, active, route, versions_by_name[name], tests.get(name))
                for name, active, route in sorted(served, key=lambda row: row[0])
                if name in versions_by_name
            ]
    return exported_prompts
