"""What `promptctl top` reads: the uses of the last minutes, what the prompts serve, and whether either has changed.

A reader that stays remembers a position, `Uses.position`: which transactions had ended. The next look reads the uses of
those that have ended since, so each use is read once, however long another transaction stays open. A standby does not
know which transactions run, so it reads again from the oldest one on. A cluster that was restored, or failed over to,
may give numbers again, so a position holds for one connection only.

Times are text in UTC, whatever the settings of the session are.
"""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.prompt_lines import ServedPrompt
from promptctl.rules.use_window import TokensRow, UseCounts, UsesRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp

    Statement = tuple[LiteralString, Sequence[Any]]

# The planner estimates many more groups than there are, and would sort a million uses on disk. A hash table of 64 MB
# holds the groups.
_BEGIN: Sequence[Statement] = (
    ("begin isolation level repeatable read, read only", []),
    ("set local work_mem = '64MB'", []),
    ("set local enable_sort = off", []),
)
# The snapshot, and the number from which on uses are read again. The numbers of uses are those of transactions plus an
# offset. On a standby, a snapshot does not list the transactions that run.
_SNAPSHOT: LiteralString = """
    (select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_snapshot_xmin(t.snapshot)
                 else pg_catalog.pg_snapshot_xmax(t.snapshot) end::text::bigint + t.number, t.snapshot, t.number
     from (select pg_catalog.pg_current_snapshot(),
                  coalesce((select r.transaction_offset from promptctl.roll_up r), 0)) t (snapshot, number))
"""
# Without uses of a clock that is ahead, but with those that were committed a moment after now().
_OF_THE_MINUTES: LiteralString = """
    ($1::text[] = '{}' or u.name = any ($1::text[]))
    and u.recorded_at >= now() - $2::integer * interval '1 minute' and u.recorded_at < now() + interval '10 seconds'
"""


class Look(Record):
    """What tells a reader whether there is anything new.

    `begun` is the number that the next transaction gets, and `ended` the number of the oldest one that runs: while both
    are equal and stay the same, no use was recorded. `served` stays the same while no prompt moves and no rollout
    changes. `schema_version` is that of the installed schema.
    """

    begun: int
    ended: int
    served: str
    schema_version: int


class Position(Record):
    """What a read has seen: the uses of transactions below `bound`, without those in `running`, which had not ended."""

    bound: int
    running: Sequence[int]


class Uses(Record):
    """Uses that were read. `position` is for the next read, `now` the server's time in seconds since 1970."""

    rows: list[UsesRow]
    position: Position
    now: float


class Move(Record):
    """A change of what a prompt serves. The fields are those of `HistoryEvent`."""

    kind: str
    previous_version: int | None
    version: int | None
    candidate_version: int | None
    basis_points: int
    changed_at: Timestamp
    author: str
    reason: str | None


def look(database: Database) -> Look:
    """Return whether there is anything new. It reads no use."""
    [row] = database.run(
        """
        select pg_catalog.pg_snapshot_xmax(n.snapshot)::text::bigint,
               pg_catalog.pg_snapshot_xmin(n.snapshot)::text::bigint,
               (select concat_ws(' ', count(*),
                                 sum(hashtextextended(concat_ws(' ', s.name, s.epoch, s.archived_at), 0)))
                from promptctl.served s)
               || ' ' || (select concat_ws(' ', count(*), sum(hashtextextended(concat_ws(' ', r.rollout, r.state), 0)))
                          from promptctl.rollouts r where r.state in ('running', 'paused')),
               (select i.version from promptctl.installation i)
        from (select pg_catalog.pg_current_snapshot()) n (snapshot)
        """
    )
    return Look(*row)


def read_prompts(database: Database, names: Sequence[str]) -> list[ServedPrompt]:
    """Return what prompts serve, by name; without names, all that are not archived. A missing one is left out."""
    return _prompts(database.run_all(_served(names))[0])


def read_uses(
    database: Database, names: Sequence[str], minutes: int, slot_seconds: float, since: Position | None
) -> Uses:
    """Return the uses of the last minutes that are new since a position, with the next position.

    None reads all of them. Without names, those of all prompts.
    """
    *_, rows, [(bound, running, now)], _ = database.run_all(
        *_BEGIN,
        _recent(names, minutes, slot_seconds, since),
        (
            f"""
            select b.bound,
                   (select string_agg((x.running::text::bigint + b.number)::text, ' ')
                    from pg_catalog.pg_snapshot_xip(b.snapshot) x (running)),
                   extract(epoch from now())::float8
            from {_SNAPSHOT} b (bound, snapshot, number)
            """,  # noqa: S608 - of constants
            [],
        ),
        ("commit", []),
    )
    position = Position(bound, [int(number) for number in (running or "").split()])
    return Uses([_uses_row(row) for row in rows], position, now)


def read_counts(
    database: Database, names: Sequence[str], minutes: int, *, with_tokens: bool
) -> tuple[list[ServedPrompt], list[UseCounts], list[TokensRow]]:
    """Return what prompts serve and the counts of their uses of the last minutes, in one round trip.

    The tokens are read only if `with_tokens`.
    """
    statements = [_served(names), _counts(names, minutes)]
    if with_tokens:
        statements.append(_tokens(names, minutes))
    answers = database.run_all(*_BEGIN, *statements, ("commit", []))
    prompts, counts, *tokens = answers[len(_BEGIN) : -1]
    return (
        _prompts(prompts), [UseCounts(*row) for row in counts], [TokensRow(*row) for rows in tokens for row in rows]
    )  # fmt: skip


def read_moves(database: Database, name: str, limit: int) -> tuple[list[Move], list[int]]:
    """Return the newest moves of a prompt, the newest first, and the numbers of its versions that are in use."""
    moves, versions = database.run_all(
        (
            """
            select a.kind, a.previous_version, a.version, a.candidate_version, a.basis_points,
                   (to_json(a.changed_at at time zone 'UTC') #>> '{}') || 'Z', a.author, a.reason
            from promptctl.allocations a where a.name = $1 order by a.epoch desc limit $2
            """,
            [name, limit],
        ),
        (
            """
            select v.version from promptctl.versions v
            where v.name = $1 and not v.is_retired order by v.version desc limit $2
            """,
            [name, limit],
        ),
    )
    return [Move(*row) for row in moves], [row[0] for row in versions]


def _served(names: Sequence[str]) -> Statement:
    """Return the statement for what prompts serve. What has no spaces is one text, as in `_recent`."""
    return (
        """
        select s.name, a.author, a.reason,
               concat_ws(' ', coalesce(s.active_version::text, '-'), coalesce(s.candidate_version::text, '-'),
                         s.basis_points, jsonb_array_length(coalesce(s.route, '[]')), coalesce(r.rollout::text, '-'),
                         coalesce(a.previous_version::text, '-'), coalesce(a.version::text, '-'),
                         coalesce(a.candidate_version::text, '-'), coalesce(a.basis_points::text, '-'),
                         coalesce(r.state, '-'), coalesce(a.kind, '-'),
                         coalesce((to_json(a.changed_at at time zone 'UTC') #>> '{}') || 'Z', '-'))
        from promptctl.served s
        left join promptctl.rollouts r on r.name = s.name and r.state in ('running', 'paused')
        left join lateral (
            select * from promptctl.allocations a where a.name = s.name order by a.epoch desc limit 1
        ) a on true
        where case when $1::text[] = '{}' then s.archived_at is null else s.name = any ($1::text[]) end
        order by s.name
        """,
        [list(names)],
    )


def _recent(names: Sequence[str], minutes: int, slot_seconds: float, since: Position | None) -> Statement:
    """Return the statement for the uses of the last minutes. `since` is the position of the last read, or None.

    It groups by the comparisons of a price tier and not by their sum, as `usage._uses` does. The expression of a bucket
    is that of promptctl.histogram_bucket, which a viewer may not call. The numbers of a row are one text, because to
    read a column takes longer than to split a text.
    """
    return (
        f"""
        select u.name, u.model, u.outcome,
               concat_ws(' ', u.version, u.slot, u.tier, u.is_settled::integer, sum(u.uses), sum(u.with_tokens),
                         coalesce(sum(u.input_tokens)::text, '-'), coalesce(sum(u.output_tokens)::text, '-'),
                         coalesce(sum(u.cache_read_tokens)::text, '-'), coalesce(sum(u.cache_write_tokens)::text, '-'),
                         coalesce(min(u.fastest_ms)::text, '-'), coalesce(max(u.slowest_ms)::text, '-'),
                         array_agg(u.bucket) filter (where u.bucket is not null),
                         array_agg(u.uses) filter (where u.bucket is not null))
        from (
            select u.name, u.version, floor(extract(epoch from u.recorded_at)::float8 / $3::float8)::bigint as slot,
                   u.model, u.outcome, u.recorded_in < b.bound as is_settled, t.bucket,
                   coalesce(u.input_tokens > 100000, false)::integer
                   + coalesce(u.input_tokens > 200000, false)::integer as tier,
                   count(*) as uses, count(coalesce(u.input_tokens, u.output_tokens)) as with_tokens,
                   sum(u.input_tokens::float8) as input_tokens, sum(u.output_tokens::float8) as output_tokens,
                   sum(u.cache_read_tokens::float8) as cache_read_tokens,
                   sum(u.cache_write_tokens::float8) as cache_write_tokens,
                   min(t.response_ms) as fastest_ms, max(t.response_ms) as slowest_ms
            from promptctl.uses u
            cross join {_SNAPSHOT} b (bound, snapshot, number)
            cross join lateral (
                select case when u.outcome = 'ok' then u.response_ms end,
                       case when u.outcome <> 'ok' or u.response_ms is null then null
                            when u.response_ms > 0.0009765625
                            then floor(ln(u.response_ms) * 46.16624130844683)::smallint else -320 end
            ) t (response_ms, bucket)
            where (u.recorded_in >= $4::bigint or u.recorded_in = any ($5::bigint[]))
              and {_OF_THE_MINUTES}
            group by u.name, u.version, 3, u.model, u.outcome, 6, 7, coalesce(u.input_tokens > 100000, false),
                     coalesce(u.input_tokens > 200000, false)
        ) u
        group by u.name, u.version, u.slot, u.model, u.outcome, u.tier, u.is_settled
        """,  # noqa: S608 - of constants
        [list(names), minutes, slot_seconds, since.bound if since else 0, list(since.running) if since else []],
    )


def _counts(names: Sequence[str], minutes: int) -> Statement:
    """Return the statement for the counts of each prompt. It takes a third of the time of `_recent`.

    PostgreSQL's percentile_disc is of nearest rank, as that of `rules.statistics`, and exact. It sorts an array of each
    prompt: to sort the uses takes longer, and to count them by bucket does if most are in different ones.
    """
    return (
        f"""
        select p.name, p.uses, p.errors,
               (select percentile_disc(0.95) within group (order by t.response_ms) from unnest(p.times) t (response_ms))
        from (
            select u.name, count(*), count(*) filter (where u.outcome <> 'ok'),
                   array_agg(u.response_ms) filter (where u.outcome = 'ok')
            from promptctl.uses u where {_OF_THE_MINUTES} group by u.name
        ) p (name, uses, errors, times)
        """,  # noqa: S608 - of a constant
        [list(names), minutes],
    )


def _tokens(names: Sequence[str], minutes: int) -> Statement:
    """Return the statement for the tokens of each prompt by model and price tier."""
    return (
        f"""
        select u.name, u.model,
               coalesce(u.input_tokens > 100000, false)::integer + coalesce(u.input_tokens > 200000, false)::integer,
               count(coalesce(u.input_tokens, u.output_tokens)), sum(u.input_tokens::float8),
               sum(u.output_tokens::float8), sum(u.cache_read_tokens::float8), sum(u.cache_write_tokens::float8)
        from promptctl.uses u where {_OF_THE_MINUTES}
        group by u.name, u.model, coalesce(u.input_tokens > 100000, false), coalesce(u.input_tokens > 200000, false)
        """,  # noqa: S608 - of a constant
        [list(names), minutes],
    )


def _prompts(rows: Sequence[Sequence[Any]]) -> list[ServedPrompt]:
    return [_prompt(row) for row in rows]


def _prompt(row: Sequence[Any]) -> ServedPrompt:
    name, author, reason, others = row
    *numbers, state, kind, changed_at = [None if value == "-" else value for value in others.split(" ")]
    active, candidate, basis_points, route_steps, rollout, *move_versions, move_basis_points = [
        None if number is None else int(number) for number in numbers
    ]
    move_from, move_to, move_candidate = move_versions
    return ServedPrompt(
        name, active, candidate, basis_points or 0, route_steps or 0, rollout, state, kind, move_from, move_to,
        move_candidate, move_basis_points, changed_at, author, reason,
    )  # fmt: skip


def _uses_row(row: Sequence[Any]) -> UsesRow:
    name, model, outcome, numbers = row
    version, slot, tier, is_settled, uses, with_tokens, *sums = numbers.split(" ")
    tokens_in, tokens_out, cache_read, cache_write, fastest, slowest = [
        None if number == "-" else float(number) for number in sums[:6]
    ]
    buckets, counts = map(_numbers, sums[6:] or ["", ""])
    return UsesRow(
        name, int(version), int(slot), model, outcome, int(tier), is_settled == "1", int(uses), int(with_tokens),
        tokens_in, tokens_out, cache_read, cache_write, fastest, slowest, buckets, counts,
    )  # fmt: skip


def _numbers(array: str) -> list[int]:
    """Return the numbers of an array in PostgreSQL's text format, `{1,2}`; [] for ''."""
    return [int(number) for number in array[1:-1].split(",")] if array else []
