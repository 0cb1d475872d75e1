"""Roll up uses into totals, drop single uses that are in totals, and drop replies of tests.

Each call is one transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp

# Uses are dropped by ranges of this number of pages of their table. Such a range has about 20 000 uses, which are
# deleted in a tenth of a second.
_PAGES = 500


# How many replies one transaction deletes.
_REPLIES = 1000


class RollUp(Record):
    """The number of uses that one transaction rolled up, and the watermark after it, `rolled_below`.

    `horizon` is the highest watermark that is possible now: above it, transactions that record uses may still run. Both
    only grow.
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
    """Roll up about a million uses. Return None if another session is rolling up."""
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
    """Record that single uses which are older than `seconds` are being dropped, and return the time before which.

    It is a full hour of the server's clock. From now on, the database does not store a use from before that time: the
    use may have been stored and dropped already, and would count twice.
    """
    [(before,)] = database.run("select date_trunc('hour', now() - make_interval(secs => $1::float8), 'UTC')", seconds)
    # In a range of 0 pages, this drops no use and only records the time.
    database.run("select promptctl.drop_uses($1::timestamptz, 0, 0)", before)
    return before


def count_uses_to_drop(database: Database, before: Timestamp) -> dict[int, int]:
    """Return the numbers of uses to drop, by the first page of their range: uses before a time that are in totals."""
    # `ctid` is the page of a row, and its position in that page.
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
    """Drop the uses to drop in the range that begins at `page`, and return their number."""
    [(dropped,)] = database.run("select promptctl.drop_uses($1::timestamptz, $2::bigint, $3)", before, page, _PAGES)
    return dropped


def count_replies_to_drop(database: Database, seconds: int) -> tuple[Timestamp, int]:
    """Return the time `seconds` ago by the server's clock, and the number of replies of tests from before it."""
    [(before, number)] = database.run(
        """
        select b.time, (select count(*) from promptctl.test_replies t where t.recorded_at < b.time)
        from (select now() - make_interval(secs => $1::float8)) b (time)
        """,
        seconds,
    )
    return before, number


def drop_replies(database: Database, before: Timestamp) -> int:
    """Drop up to a thousand replies of tests from before a time, with their judgements, and return their number.

    The call that drops fewer also drops the reasons of failures from before that time.
    """
    [(dropped,)] = database.run("select promptctl.drop_test_replies($1::timestamptz, $2)", before, _REPLIES)
    return dropped


def is_last_batch_of_replies(dropped: int) -> bool:
    """Return whether no more replies are to be dropped, after `drop_replies` has returned this number."""
    return dropped < _REPLIES
