"""Lists of prompts, and of their names and version numbers."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.store.prompt_states import SOURCE_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class PromptSummary(Record):
    """A prompt in a list. `versions` is the number of its versions that are not archived.

    `updated_at` is the time of its last new version or move.

    `candidate_version` is None if no split runs, and `basis_points` is its share of 10 000. `route_steps` is the number
    of steps of the route. `source_version` is the version that the folder in Git names, if an operator's move holds
    another one, else None.
    """

    name: str
    active_version: int | None
    latest_version: int | None
    versions: int
    updated_at: Timestamp
    candidate_version: int | None
    basis_points: int
    route_steps: int
    source_version: int | None


_SUMMARIES = f"""
    select s.name, s.active_version, v.latest_version, coalesce(v.versions, 0)::integer, s.updated_at,
           s.candidate_version, s.basis_points, jsonb_array_length(coalesce(s.route, '[]')),
           {SOURCE_VERSION}
    from promptctl.served s
    left join promptctl.applied p on p.name = s.name
    left join (
        select v.name, max(v.version) as latest_version, count(*) as versions
        from promptctl.versions v where not v.is_retired
        group by v.name
    ) v on v.name = s.name
    where s.archived_at is null and ($1::text is null or s.name like $1)
    order by s.name
"""  # noqa: S608 - of constants


def list_prompts(database: Database, pattern: str | None = None) -> list[PromptSummary]:
    """Return the prompts in use, by name; `pattern` is a glob (`*`, `?`) or a part of a name."""
    return [PromptSummary(*row) for row in database.run(_SUMMARIES, glob_to_like(pattern))]


def list_first_prompts(database: Database, pattern: str | None, limit: int) -> tuple[list[PromptSummary], int]:
    """Return the first `limit` prompts of `list_prompts`, and the number of all."""
    like = glob_to_like(pattern)
    rows, total = database.run_all(
        (f"{_SUMMARIES} limit $2", [like, limit]),
        (
            """
            select count(*) from promptctl.served s
            where s.archived_at is null and ($1::text is null or s.name like $1)
            """,
            [like],
        ),
    )
    return [PromptSummary(*row) for row in rows], total[0][0]


def prompt_names(database: Database, prefix: str = "", limit: int = 1000) -> list[str]:
    """Return the names of prompts in use that begin with `prefix`, at most `limit`."""
    rows = database.run(
        """
        select s.name from promptctl.served s
        where s.archived_at is null and starts_with(s.name, $1) order by s.name limit $2
        """,
        prefix,
        limit,
    )
    return [row[0] for row in rows]


def version_numbers(database: Database, name: str, limit: int = 1000) -> list[int]:
    """Return the numbers of a prompt's versions in use, newest first, at most `limit`; [] for an unknown prompt."""
    rows = database.run(
        """
        select v.version from promptctl.versions v
        where v.name = $1 and not v.is_retired order by v.version desc limit $2
        """,
        name,
        limit,
    )
    return [row[0] for row in rows]


def glob_to_like(pattern: str | None) -> str | None:
    """Return the LIKE pattern for a glob (`*`, `?`) or, without wildcards, for a part of a name."""
    if pattern is None:
        return None
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if "*" not in pattern and "?" not in pattern:
        return f"%{escaped}%"
    return escaped.replace("*", "%").replace("?", "_")
