"""Splits: which units get the candidate, what ends a split, and what the history records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.schema.support import Statement, create, move, refusal, rows, run, serving_state, value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import psycopg

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

SPLIT = """
    select version, candidate_version, previous_candidate, basis_points, previous_basis_points, seed, changed, epoch
    from promptctl.split(name => 'p', basis_points => %s, candidate => %s, seed => %s)
"""
END_SPLIT = """
    select version, candidate_version, previous_candidate, basis_points, previous_basis_points, seed, changed, epoch
    from promptctl.end_split('p')
"""
units = st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1, max_size=30)


@pytest.fixture
def prompt(database: Connection) -> Connection:
    """A prompt p with versions 1 to 4, of which 1 is active since epoch 1."""
    create(database, "p", 4, activate=1)
    return database


def split(
    connection: Connection, basis_points: int, candidate: int | None = None, seed: str | None = None
) -> tuple[Any, ...]:
    """Call split for p."""
    [row] = rows(connection, SPLIT, basis_points, candidate, seed)
    return row


def units_with_candidate(connection: Connection, units: Iterable[str]) -> set[str]:
    """Return the units that do not get version 1 of p."""
    rows_of_units = rows(
        connection,
        "select u from unnest(%s::text[]) u cross join lateral promptctl.resolve('p', u) r where r.version <> 1",
        list(units),
    )
    return {unit for (unit,) in rows_of_units}


def allocations(connection: Connection) -> list[tuple[Any, ...]]:
    """The history of p from epoch 2 on."""
    return rows(
        connection,
        """
        select epoch, kind, version, candidate_version, basis_points, seed from promptctl.allocations
        where name = 'p' and epoch > 1 order by epoch
        """,
    )


def test_the_seed_is_set_at_the_start_and_stays_when_the_share_changes(prompt: Connection) -> None:
    assert split(prompt, 1000, 2) == (1, 2, None, 1000, 0, "p.2", True, 2)
    assert split(prompt, 2500) == (1, 2, 2, 2500, 1000, "p.2", True, 3)
    assert split(prompt, 2500) == (1, 2, 2, 2500, 2500, "p.2", False, 3)
    assert split(prompt, 2500, 2) == (1, 2, 2, 2500, 2500, "p.2", False, 3)
    assert split(prompt, 0) == (1, 2, 2, 0, 2500, "p.2", True, 4)
    assert split(prompt, 2500, 3) == (1, 3, 2, 2500, 0, "p.5", True, 5)
    assert rows(prompt, END_SPLIT) == [(1, None, 3, 0, 2500, None, True, 6)]
    assert rows(prompt, END_SPLIT) == [(1, None, None, 0, 0, None, False, 6)]
    assert split(prompt, 100, 2)[5:] == ("p.7", True, 7)
    assert allocations(prompt) == [
        (2, "split", 1, 2, 1000, "p.2"),
        (3, "split", 1, 2, 2500, "p.2"),
        (4, "split", 1, 2, 0, "p.2"),
        (5, "split", 1, 3, 2500, "p.5"),
        (6, "unsplit", 1, None, 0, None),
        (7, "split", 1, 2, 100, "p.7"),
    ]


def test_the_seed_can_be_chosen_and_changed(prompt: Connection) -> None:
    assert split(prompt, 1000, 2, "summarise.r1")[5:] == ("summarise.r1", True, 2)
    assert split(prompt, 2000)[5:] == ("summarise.r1", True, 3)
    assert split(prompt, 2000, None, "summarise.r2")[5:] == ("summarise.r2", True, 4)
    # Another candidate gets the same units only if the seed is repeated.
    assert split(prompt, 2000, 3, "summarise.r2")[5:] == ("summarise.r2", True, 5)
    assert split(prompt, 2000, 4)[5:] == ("p.6", True, 6)
    assert split(prompt, 2000, 2, "")[5:] == ("", True, 7)


def test_a_chosen_seed_is_not_reused_by_a_later_statement(prompt: Connection) -> None:
    split(prompt, 1000, 2, "mine")
    prompt.execute("update promptctl.served set candidate_version = 3 where name = 'p'")
    assert value(prompt, "select seed from promptctl.served where name = 'p'") == "p.3"


def test_plain_sql_records_the_same_history_as_split(prompt: Connection) -> None:
    for changes in (
        "candidate_version = 2, basis_points = 1000",
        "basis_points = 2000",
        "seed = 'x'",
        "candidate_version = 3",
        "candidate_version = null",
    ):
        run(prompt, f"update promptctl.served set {changes} where name = 'p'")
    assert allocations(prompt) == [
        (2, "split", 1, 2, 1000, "p.2"),
        (3, "split", 1, 2, 2000, "p.2"),
        (4, "split", 1, 2, 2000, "x"),
        (5, "split", 1, 3, 2000, "p.5"),
        (6, "unsplit", 1, None, 0, None),
    ]


@pytest.mark.parametrize(
    ("basis_points", "expected"),
    [
        (0, set[str]()),
        (1, set[str]()),
        (999, set[str]()),
        (1000, {"user-2160"}),  # its bucket is 999
        (1001, {"user-2160", "user-1198"}),
        (3012, {"user-2160", "user-1198"}),
        (3013, {"user-2160", "user-1198", "user-1"}),
        (10000, {"user-2160", "user-1198", "user-1", "user-2", ""}),
    ],
)
def test_a_unit_gets_the_candidate_if_its_bucket_is_below_the_share(
    prompt: Connection, basis_points: int, expected: set[str]
) -> None:
    split(prompt, basis_points, 2, "summarise.r1")
    assert units_with_candidate(prompt, ["user-2160", "user-1198", "user-1", "user-2", ""]) == expected


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shares=st.lists(st.integers(0, 10000), min_size=2, max_size=6).map(sorted), units=units)
def test_units_keep_the_candidate_when_the_share_grows(prompt: Connection, shares: list[int], units: list[str]) -> None:
    rows(prompt, END_SPLIT)
    before = set[str]()
    for share in shares:
        split(prompt, share, 2)
        after = units_with_candidate(prompt, units)
        assert before <= after
        before = after


def test_a_share_of_10_percent_selects_about_10_percent_of_the_units(prompt: Connection) -> None:
    split(prompt, 1000, 2)
    units = units_with_candidate(prompt, (f"user-{n}" for n in range(10000)))
    assert 850 < len(units) < 1150


@pytest.mark.parametrize(
    ("statement", "after", "ended"),
    [
        ("select split_ended from promptctl.activate('{p}', '{3}')", (3, None, 0, 3), True),
        ("select split_ended from promptctl.activate('{p}', '{2}')", (2, None, 0, 3), True),  # the candidate
        ("select split_ended from promptctl.activate('{p}', '{1}')", (1, None, 0, 3), True),
        ("select split_ended from promptctl.rollback('{p}')", (1, None, 0, 3), True),
        ("update promptctl.prompts set is_active = true where name = 'p' and version = 3", (3, None, 0, 3), None),
        ("update promptctl.prompts set is_active = false where name = 'p' and version = 1", (None, None, 0, 3), None),
        ("update promptctl.served set active_version = 3 where name = 'p'", (3, None, 0, 3), None),
        # Archiving another version does not.
        ("select not promptctl.retire('p', 4)", (1, 2, 5000, 2), False),
    ],
)
def test_a_move_ends_a_split_and_reports_it(
    prompt: Connection, statement: str, after: tuple[Any, ...], ended: bool | None
) -> None:
    split(prompt, 5000, 2)
    cursor = run(prompt, statement)
    if ended is not None:
        assert cursor.fetchall() == [(ended,)]
    assert serving_state(prompt, "p") == after


def test_the_first_rollback_during_a_split_only_ends_it(prompt: Connection) -> None:
    move(prompt, {"p": 2})
    split(prompt, 5000, 3)
    assert value(prompt, "select version from promptctl.rollback('{p}')") == 2
    assert value(prompt, "select version from promptctl.rollback('{p}')") == 1


def test_a_candidate_with_a_new_variable_is_refused_unless_allowed(prompt: Connection) -> None:
    prompt.execute("select promptctl.create_version('p', 'For {user.name}.')")
    assert refusal(prompt, "select promptctl.split('p', 1, 5)") == ("23001", "a_version_needs_no_new_variable")
    prompt.execute("select promptctl.split('p', 1, 5, allow_new_variables => true)")
    assert serving_state(prompt, "p") == (1, 5, 1, 2)
    # Once allowed, its share can be changed without the option.
    assert split(prompt, 100)[3] == 100


def test_a_candidate_cannot_be_archived(prompt: Connection) -> None:
    split(prompt, 5000, 2)
    assert refusal(prompt, "select promptctl.retire('p', 2)") == ("23001", "a_served_version_is_not_archived")
    rows(prompt, END_SPLIT)
    assert value(prompt, "select promptctl.retire('p', 2)") is True


def test_a_candidate_is_not_archived_while_its_split_is_created(connect: Connect, sql: Connection) -> None:
    create(sql, "p", 2, activate=1)
    first = connect()
    with first.transaction():
        first.execute("select promptctl.split('p', 5000, 2)")
        second = Statement(connect(), "select promptctl.retire('p', 2)")
        second.wait_until_blocked(sql)
    error = second.end()
    assert error is not None
    assert error.diag.constraint_name == "a_served_version_is_not_archived"


def test_a_split_records_its_author_and_reason(prompt: Connection) -> None:
    prompt.execute("select promptctl.split('p', 5, 2, author => 'ada', reason => 'to see')")
    prompt.execute("select promptctl.end_split('p', 'bob', 'seen')")
    authors = "select author, reason from promptctl.allocations where name = 'p' and epoch > 1 order by epoch"
    assert rows(prompt, authors) == [("ada", "to see"), ("bob", "seen")]
    prompt.execute("update promptctl.served set candidate_version = 2 where name = 'p'")
    assert rows(prompt, authors)[-1] == ("postgres", None)
