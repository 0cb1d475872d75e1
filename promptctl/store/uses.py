"""How versions did: what their recorded uses add up to."""

from __future__ import annotations

from promptctl.records import VersionSummary
from promptctl.store import prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.database import Database


def statistics(database: Database, name: str | None) -> list[VersionSummary]:
    """Return every version in use of a prompt or, without a name, of all, newest first within a prompt.

    Averages are over the uses that went well and reported the number. Raises NotFound.
    """
    rows = database.run(
        """
        select v.name, v.version, coalesce(v.version = s.active_version, false), v.created_at, v.created_by,
               v.metadata ->> 'description', coalesce(u.uses, 0)::integer, coalesce(u.errors, 0)::integer,
               u.avg_tokens::float8, u.avg_response_time_ms::float8, u.last_used_at
        from promptctl.versions v
        join promptctl.served s on s.name = v.name
        left join (
            select u.name, u.version, count(*) as uses, count(*) filter (where u.outcome <> 'ok') as errors,
                   avg(u.input_tokens + u.output_tokens) filter (where u.outcome = 'ok') as avg_tokens,
                   avg(u.response_ms) filter (where u.outcome = 'ok') as avg_response_time_ms,
                   max(u.recorded_at) as last_used_at
            from promptctl.uses u where $1::text is null or u.name = $1
            group by u.name, u.version
        ) u on u.name = v.name and u.version = v.version
        where ($1::text is null or v.name = $1) and not v.is_retired
        order by v.name, v.version desc
        """,
        name,
    )
    if not rows and name is not None:
        prompts.raise_if_unknown(database, name)
    return [VersionSummary(*row) for row in rows]
