"""Roll up uses into totals, and drop single uses that are in totals. Each call is one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp

# This many pages contain about 20 000 uses, which are deleted in a tenth of a second.
_PAGES = 500


class RollUp(Record):
    """The number of uses that one transaction rolled up, and the watermark after it, `rolled_below`.

    `horizon` is the highest possible watermark: above it are uses of transactions that have not ended. Both only grow.
    """

    uses: int
    rolled_below: int
    horizon: int


def count_uses_to_roll_up(database: Database) -> int:
    """Return the number of uses that are not yet in totals."""
    return database.run(
        "select count(*) from promptctl.uses u where u.recorded_in >= (select promptctl.rolled_below())"
    )[0][0]


def roll_up(database: Database) -> RollUp | None:
    """Roll up about a million uses; returns None if another session is rolling up."""
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
    return None if uses is None else RollUp(uses, rolled_below, horizon)


def begin_dropping(database: Database, seconds: int) -> Timestamp:
    """Mark single uses of this age as dropped; return the hour from which on uses are kept, by the server's clock.

    From now on an older use is not stored: it may have been stored and dropped before, and would count twice.
    """
    [(before,)] = database.run("select date_trunc('hour', now() - make_interval(secs => $1::float8), 'UTC')", seconds)
    database.run("select promptctl.drop_uses($1::timestamptz, 0, 0)", before)
    return before


def count_uses_to_drop(database: Database, before: Timestamp) -> dict[int, int]:
    """Return the number of uses that are older and in totals, by the first page of each range of pages that has any."""
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


def drop_uses(database: Database, before: Timestamp, page: int) -> int:
    """Drop the single uses of one range of pages that are older and in totals; return their number."""
    [(dropped,)] = database.run("select promptctl.drop_uses($1::timestamptz, $2::bigint, $3)", before, page, _PAGES)
    return dropped
