"""Adding recorded uses up in totals, and dropping single uses that totals have. Each call is one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp

# So many pages hold some 20 000 uses, which are gone in a tenth of a second.
_PAGES = 500


class RolledUp(Record):
    """What one transaction added up: uses, and how far totals go now.

    `horizon` is how far they can go: beyond it are uses of transactions that have not ended. Both only grow.
    """

    __slots__ = ()
    uses: int
    rolled_below: int
    horizon: int


def waiting(database: Database) -> int:
    """Return how many uses are in no totals."""
    return database.run(
        "select count(*) from promptctl.uses u where u.recorded_in >= (select promptctl.rolled_below())"
    )[0][0]


def roll_up(database: Database) -> RolledUp | None:
    """Add uses that are in no totals to them, about a million; None: another session is at it."""
    [(uses,)], [(rolled_below, horizon)] = database.run_all(
        ("select promptctl.roll_up_uses()", []),
        (
            """
            select coalesce(r.rolled_below, 0),
                   pg_snapshot_xmin(pg_current_snapshot())::text::bigint + coalesce(r.transaction_offset, 0)
            from (select) one left join promptctl.roll_up r on true
            """,
            [],
        ),
    )
    return None if uses is None else RolledUp(uses, rolled_below, horizon)


def announce_drop(database: Database, seconds: int) -> Timestamp:
    """Say that single uses older than that go; return the hour from which on they stay, by the server's clock.

    A use that arrives later than that is refused from then on: sent again, it might be there no more and count twice.
    """
    [(before,)] = database.run("select date_trunc('hour', now() - make_interval(secs => $1::float8), 'UTC')", seconds)
    database.run("select promptctl.drop_uses($1::timestamptz, 0, 0)", before)
    return before


def droppable(database: Database, before: Timestamp) -> dict[int, int]:
    """Return where uses lie that are older and in totals: the first page of each range that has some, and how many."""
    rows = database.run(
        """
        select (u.ctid::text::point)[0]::bigint / $2::bigint * $2::bigint, count(*)
        from promptctl.uses u
        where u.recorded_at < $1::timestamptz and u.recorded_in < (select promptctl.rolled_below())
        group by 1 order by 1
        """,
        before,
        _PAGES,
    )
    return dict(rows)


def drop(database: Database, before: Timestamp, page: int) -> int:
    """Drop the single uses that are older and in totals, of one range of pages; return how many."""
    [(dropped,)] = database.run("select promptctl.drop_uses($1::timestamptz, $2::bigint, $3)", before, page, _PAGES)
    return dropped
