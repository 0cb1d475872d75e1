"""Versions with their statistics: one version, all versions of a prompt, and the overview of a prompt."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.store import prompt_states, version_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class VersionDetail(Record):
    """One version with everything that is stored about it. `stats` has the keys that docs/sql.md lists for `prompts`.

    `origin` is where it came from, with the keys that docs/json.md lists, and `release` the release that stored it.
    `variables` are the names in the template, in the order of their first occurrences, joined by spaces. `retired_at`
    is when the version was archived, and `prompt_archived_at` when its prompt was; None if it was not.
    `candidate_basis_points` is its share of 10 000 if it is the candidate of a split, else None. `last_test` is as in
    version_texts.VersionStatus.
    """

    name: str
    version: int
    id: str
    content: str
    is_active: bool
    created_at: Timestamp
    created_by: str
    metadata: dict[str, Any]
    settings: dict[str, Any]
    variables: str
    stats: dict[str, Any]
    retired_at: Timestamp | None
    origin: dict[str, Any] | None
    release: int | None
    candidate_basis_points: int | None
    prompt_archived_at: Timestamp | None
    last_test: dict[str, Any] | None


class VersionSummary(Record):
    """One version in a list, without its content. An average is None if no use reported its number.

    `commit` is the short hash of the commit that the version came from, or None. It is `9f3c2ab-dirty` if the version's
    file had changes that were not committed. `basis_points` is the version's share of 10 000 while a split runs. `days`
    has the uses of the last 14 days in UTC, as `0 12,3 7` for 12 uses today and 7 three days ago; None without uses, or
    if it was not requested.
    """

    name: str
    version: int
    is_active: bool
    created_at: Timestamp
    created_by: str
    description: str | None
    uses: int
    errors: int
    avg_tokens: float | None
    avg_response_time_ms: float | None
    last_used_at: Timestamp | None
    commit: str | None
    basis_points: int | None
    days: str | None


class Overview(Record):
    """A prompt with its newest versions, the active one and the candidate; `total` counts all versions in use.

    `active` is the active text, or None. For an archived prompt, `archived` is the time, the author and the reason of
    its archiving. It is None for a prompt in use.
    """

    versions: list[VersionSummary]
    total: int
    active: version_texts.VersionText | None
    archived: tuple[Timestamp, str, str | None] | None
    state: prompt_states.PromptState


# One version for a number $2, which may be archived, or the active version if $3, else all versions in use.
_VERSIONS = f"""
    select v.name, v.version, v.id, v.content, coalesce(v.version = s.active_version, false), v.created_at,
           v.created_by, v.metadata, v.settings, array_to_string(v.variables, ' '),
           (select t.stats from promptctl.version_stats t where t.name = v.name and t.version = v.version),
           v.retired_at, v.origin, v.release,
           case when v.version = s.candidate_version then s.basis_points end, s.archived_at,
           {version_texts.LAST_TEST}
    from promptctl.served s
    join promptctl.versions v on v.name = s.name
    where s.name = $1
      and ($2::integer is null or v.version = $2) and (not $3 or v.version = s.active_version)
      and ($2::integer is not null or not v.is_retired) and v.erased_at is null
    order by v.version desc
"""  # noqa: S608 - of constants


def read_version(database: Database, reference: Reference) -> VersionDetail:
    """Return one version, which may be archived; a bare name means the active version. Raises NotFound."""
    rows = database.run(_VERSIONS, reference.name, reference.version, reference.version is None)
    if not rows:
        raise prompt_states.not_found_error(database, reference)
    return VersionDetail(*rows[0])


def read_versions(database: Database, name: str) -> tuple[list[VersionDetail], prompt_states.PromptState]:
    """Return the versions of a prompt in use, newest first, and the state of the prompt. Raises NotFound."""
    rows, state = database.run_all((_VERSIONS, [name, None, False]), (prompt_states.PROMPT_STATE, [name]))
    if not state:
        raise prompt_states.not_found_error(database, Reference(name, None))
    return [VersionDetail(*row) for row in rows], prompt_states.PromptState(*state[0])


# `days` of VersionSummary, of the version v.
_DAYS: LiteralString = """
                   (select string_agg(d.days_ago || ' ' || d.uses, ',')
                    from (select p.today - (c.moment at time zone 'UTC')::date, sum(c.uses)
                          from (select (now() at time zone 'UTC')::date, date_trunc('day', now(), 'UTC'))
                              p (today, midnight)
                          cross join lateral (
                              select t.starts_at, t.uses from promptctl.totals t
                              where t.grain = 'day' and t.name = v.name and t.version = v.version
                                and t.starts_at >= p.midnight - interval '13 days'
                              union all
                              select date_trunc('day', u.recorded_at, 'UTC'), count(*) from promptctl.uses u
                              where u.name = v.name and u.version = v.version
                                and u.recorded_in >= promptctl.rolled_below()
                                and u.recorded_at >= p.midnight - interval '13 days'
                              group by 1
                          ) c (moment, uses)
                          group by 1) d (days_ago, uses))
"""


def read_overview(database: Database, name: str, limit: int, *, with_days: bool = False) -> Overview:
    """Return a prompt with its newest `limit` versions (0: all), the active one and the candidate. Raises NotFound.

    `with_days` also reads the uses of each of the last 14 days.
    """
    days = _DAYS if with_days else "null"
    summaries, total, active, archived, state = database.run_all(
        (
            f"""
            select v.name, v.version, coalesce(v.version = s.active_version, false), v.created_at, v.created_by,
                   v.metadata ->> 'description', (u.stats -> 'total_uses')::bigint, (u.stats -> 'errors')::bigint,
                   (u.stats -> 'avg_tokens')::float8, (u.stats -> 'avg_response_time_ms')::float8,
                   (u.stats ->> 'last_used_at')::timestamptz,
                   left(v.origin ->> 'commit', 7) || case when v.origin -> 'dirty' = 'true' then '-dirty' else '' end,
                   case when s.candidate_version is not null then
                       case v.version when s.candidate_version then s.basis_points
                                      when s.active_version then 10000 - s.basis_points end
                   end,
                   {days}
            from promptctl.served s
            join promptctl.versions v on v.name = s.name and not v.is_retired
            -- offset 0, or each of the five columns would compute the statistics again.
            cross join lateral (
                select t.stats from promptctl.version_stats t where t.name = v.name and t.version = v.version offset 0
            ) u
            where s.name = $1
              and ($2::integer = 0 or v.version in (s.active_version, s.candidate_version)
                   or v.version >= (select min(newest.version)
                                    from (select w.version from promptctl.versions w
                                          where w.name = $1 and not w.is_retired
                                          order by w.version desc limit $2::integer) newest))
            order by v.version desc
            """,  # noqa: S608 - of constants
            [name, limit],
        ),
        ("select count(*) from promptctl.versions v where v.name = $1 and not v.is_retired", [name]),
        (version_texts.ACTIVE_TEXT, [name]),
        (
            """
            select s.archived_at, a.author, a.reason
            from promptctl.served s
            join promptctl.allocations a on a.name = s.name and a.epoch = s.epoch
            where s.name = $1 and s.archived_at is not null
            """,
            [name],
        ),
        (prompt_states.PROMPT_STATE, [name]),
    )
    if not state:
        raise prompt_states.not_found_error(database, Reference(name, None))
    return Overview(
        [VersionSummary(*row) for row in summaries],
        total[0][0],
        version_texts.VersionText(*active[0]) if active else None,
        archived[0] if archived else None,
        prompt_states.PromptState(*state[0]),
    )
