"""What prompts served at the end of a period, and their moves in it, for a report."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules import report_periods

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, LiteralString

    from promptctl.postgres.connection import Row
    from promptctl.records import Timestamp

    Statement = tuple[LiteralString, Sequence[Any]]

# Of a prompt, the newest moves are read with their reasons, the first ones without, and those between are counted.
MOST_MOVES = 40
_FIRST_MOVES = 100
# Of the last 24 hours, so many moves are read, and so many of one prompt.
MOST_RECENT = 25
MOST_RECENT_OF_ONE = 5


class Served(Record):
    """What a prompt serves at one time: the active version, and the candidate of a split with its share."""

    version: int | None = None
    candidate_version: int | None = None
    basis_points: int = 0


class ReportState(Record):
    """What a prompt served at the end of the period.

    `moved_at`, `author`, `reason` and `release` are those of the last change of the active version, and None without
    one. `origin` is where that move came from or, without that, where the version came from. `archived_at` is None for
    a prompt in use. `changed_at` and `changed_by` are the time and
    the author of the last split, or of the archiving, and None for a prompt that is neither. `created_at` is None for a
    prompt that existed at the end. `before` is what was served when the period began.
    """

    name: str
    active_version: int | None
    candidate_version: int | None
    basis_points: int
    route_steps: int
    moved_at: Timestamp | None
    author: str | None
    reason: str | None
    release: int | None
    origin: dict[str, Any] | None
    archived_at: Timestamp | None
    changed_at: Timestamp | None = None
    changed_by: str | None = None
    created_at: Timestamp | None = None
    before: Served = Served()

    @property
    def served(self) -> Served:
        """What the prompt served at the end of the period."""
        return Served(self.active_version, self.candidate_version, self.basis_points)


class ReportMove(Record):
    """A move in the period. `number` is its position among the moves of the prompt in the period, from 1.

    Only the newest MOST_MOVES have a reason.
    """

    name: str
    number: int
    kind: str
    previous_version: int | None
    version: int | None
    candidate_version: int | None
    basis_points: int
    release: int | None
    author: str
    reason: str | None
    changed_at: Timestamp
    origin: dict[str, Any] | None
    route_steps: int

    @property
    def served(self) -> Served:
        """What the prompt serves after the move."""
        return Served(self.version, self.candidate_version, self.basis_points)


class OlderMoves(Record):
    """How many moves of a prompt are in one hour of the period, of those between its first and its newest moves."""

    name: str
    hour: int
    moves: int


class ReportStates(Record):
    """The states of prompts by name, their moves in the order of the history, and the moves of the last 24 hours."""

    states: list[ReportState]
    moves: list[ReportMove]
    older: list[OlderMoves]
    recent: list[ReportMove]
    recent_moves: int


def statements(
    names: Sequence[str] | None, begin: int, end: int | None, recent_begin: int, recent_end: int
) -> list[Statement]:
    """Return four statements; `parse` makes records of their rows.

    Times are seconds since 1970. Without names, the prompts are those in use and those archived since `begin`. `end` is
    None for a period that has not ended: all moves were made before its end, whatever time a wrong clock gave them.
    """
    times = [
        "infinity" if moment is None else report_periods.timestamp(moment)
        for moment in (begin, end, recent_begin, recent_end)
    ]
    chosen = None if names is None else list(names)
    return [
        (_STATES, [chosen, times[0], times[1]]),
        (_MOVES, [chosen, times[0], times[1], MOST_MOVES, _FIRST_MOVES]),
        (_OLDER, [chosen, times[0], times[1], MOST_MOVES, _FIRST_MOVES]),
        (_RECENT, [chosen, times[2], times[3], MOST_RECENT, MOST_RECENT_OF_ONE]),
    ]


def parse(states: Sequence[Row], moves: Sequence[Row], older: Sequence[Row], recent: Sequence[Row]) -> ReportStates:
    """Return the records of the rows of the four statements."""
    return ReportStates(
        [ReportState(*row[:-3], before=Served(*row[-3:])) for row in states],
        [ReportMove(*row) for row in moves],
        [OlderMoves(*row) for row in older],
        [ReportMove(*row[:-1]) for row in recent],
        recent[0][-1] if recent else 0,
    )


_STATES: LiteralString = """
    select s.name, a.version, a.candidate_version, coalesce(a.basis_points, 0),
           coalesce(jsonb_array_length(a.route), 0), m.changed_at, m.author, m.reason, m.release,
           coalesce(m.origin, v.origin)::jsonb, case when s.archived_at < $3 then s.archived_at end,
           case when s.archived_at < $3 then s.archived_at else c.changed_at end,
           case when s.archived_at is null or s.archived_at >= $3 or c.kind = 'archive' then c.author end,
           case when s.created_at >= $3 and a.epoch is null then s.created_at end,
           b.version, b.candidate_version, coalesce(b.basis_points, 0)
    from promptctl.served s
    left join lateral (
        select a.epoch, a.version, a.candidate_version, a.basis_points, a.route from promptctl.allocations a
        where a.name = s.name and a.changed_at < $3::timestamptz order by a.epoch desc limit 1
    ) a on true
    left join lateral (
        select c.changed_at, c.author, c.kind from promptctl.allocations c
        where c.name = s.name and c.changed_at < $3 and c.kind <> 'route' order by c.epoch desc limit 1
    ) c on a.candidate_version is not null or s.archived_at < $3
    left join lateral (
        select b.version, b.candidate_version, b.basis_points from promptctl.allocations b
        where b.name = s.name and b.changed_at < $2::timestamptz order by b.epoch desc limit 1
    ) b on true
    left join lateral (
        select m.changed_at, m.author, m.reason, m.release, m.origin from promptctl.allocations m
        where m.name = s.name and m.changed_at < $3 and m.version is distinct from m.previous_version
        order by m.epoch desc limit 1
    ) m on true
    left join promptctl.versions v on v.name = s.name and v.version = a.version
    where case when $1::text[] is null then s.archived_at is null or s.archived_at >= $2
               else s.name = any ($1) end
    order by s.name
"""
_MOVE: LiteralString = """
    n.kind, n.previous_version, n.version, n.candidate_version, n.basis_points, n.release, n.author, {reason},
    n.changed_at, n.origin::jsonb, coalesce(jsonb_array_length(n.route), 0)
"""
# The moves of a period with their numbers. A clock that was set back changes no number.
_NUMBERED: LiteralString = """
    select a.*, row_number() over (partition by a.name order by a.epoch) as number,
           count(*) over (partition by a.name) as total
    from promptctl.allocations a
    where a.changed_at >= $2::timestamptz and a.changed_at < $3::timestamptz
      and ($1::text[] is null or a.name = any ($1))
"""
_MOVES = f"""
    select n.name, n.number, {_MOVE.format(reason="case when n.number > n.total - $4::bigint then n.reason end")}
    from ({_NUMBERED}) n
    where n.number > n.total - $4::bigint or n.number <= $5::bigint
    order by n.name, n.epoch
"""  # noqa: S608 - of constants
_OLDER = f"""
    select n.name, (extract(epoch from date_trunc('hour', n.changed_at, 'UTC') - $2) / 3600)::integer, count(*)
    from ({_NUMBERED}) n
    where n.number <= n.total - $4::bigint and n.number > $5::bigint
    group by 1, 2 order by 1, 2
"""  # noqa: S608 - of constants
_RECENT = f"""
    select n.name, 0, {_MOVE.format(reason="n.reason")}, n.total
    from (
        select n.*, count(*) over () as total, row_number() over (partition by n.name order by n.epoch desc) as place
        from promptctl.allocations n
        where n.changed_at >= $2::timestamptz and n.changed_at < $3::timestamptz
          and ($1::text[] is null or n.name = any ($1))
    ) n
    where n.place <= $5::bigint
    order by n.changed_at desc, n.name, n.epoch desc limit $4
"""  # noqa: S608 - of constants
