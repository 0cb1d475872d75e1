"""Deactivating, archiving and restoring prompts: what changes, what stays, and what is restored."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.schema.support import active, history, refusal, rows, run, serving_state, value

Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def _set_search_path(database: Connection) -> None:
    run(database, "set search_path = promptctl")


def test_deactivating_several_prompts_is_atomic_and_one_release(database: Connection) -> None:
    call = "deactivate('{other,idle,greeter}', null, 'ada', 'unsafe')"
    result = rows(database, f"select name, version, previous_version, changed, release is null from {call}")
    expected = [("other", None, 1, True, False), ("idle", None, None, False, False)]
    assert result == [*expected, ("greeter", None, 2, True, False)]
    assert [active(database, name) for name in ("greeter", "other", "idle")] == [None, None, None]
    assert history(database, "greeter")[-1] == (3, "deactivate", 2, None)
    assert value(database, "select kind from releases order by release desc limit 1") == "deactivate"
    # A repetition changes nothing, so it makes no release.
    assert rows(database, "select changed, release from deactivate('{greeter,other}')") == [(False, None)] * 2
    assert refusal(database, "select deactivate('{greeter,nobody}')") == ("P0002", "prompt_exists")


def test_a_rollback_of_a_deactivation_restores_the_previous_version(database: Connection) -> None:
    run(database, "select deactivate('{greeter}', 2)")
    assert rows(database, "select version from rollback('{greeter}')") == [(2,)]
    assert rows(database, "select version from rollback('{greeter}')") == [(1,)]
    assert refusal(database, "select rollback('{greeter}')")[1] == "a_rollback_goes_to_an_earlier_active_version"
    # The first activation can be undone by an update of the view.
    run(database, "update prompts set is_active = false where name = 'greeter'")
    assert history(database, "greeter")[-1][1:] == ("deactivate", 1, None)
    assert rows(database, "select version from rollback('{greeter}')") == [(1,)]


def test_a_deactivation_ends_the_split(database: Connection) -> None:
    run(database, "select split('greeter', 500, 1)")
    assert rows(database, "select changed, split_ended from deactivate('{greeter}')") == [(True, True)]
    assert serving_state(database, "greeter") == (None, None, 0, 4)


def test_rolling_back_a_release_of_first_activations_deactivates_the_prompts(database: Connection) -> None:
    run(database, "select create_version('new', 'x')")
    run(database, "select activate('{idle,new}', '{1,1}')")
    number = value(database, "select max(release) from releases")
    result = rows(database, "select name, version, previous_version from rollback_release(%s)", number)
    assert result == [("idle", None, 1), ("new", None, 1)]
    assert [active(database, name) for name in ("idle", "new")] == [None, None]


ARCHIVE_BY_UPDATE = """
    select set_config('promptctl.author', 'ada', false), set_config('promptctl.reason', 'unused', false);
    update served set archived_at = now() where name = 'greeter'
"""


@pytest.mark.parametrize(
    "statement", ["select archive('{greeter}', '{null}', false, 'ada', 'unused')", ARCHIVE_BY_UPDATE]
)
def test_an_archived_prompt_serves_nothing_and_keeps_its_versions_and_uses(
    database: Connection, statement: str
) -> None:
    run(database, """update served set route = '[{"when": {"plan": "x"}, "use": "other"}]' where name = 'greeter'""")
    run(database, "select split('greeter', 500, 1)")
    before = rows(database, "select name, version, content, metadata from versions order by 1, 2")
    run(database, statement)
    assert serving_state(database, "greeter") == (None, None, 0, 5)
    assert value(database, "select route from served where name = 'greeter'") is None
    assert rows(database, "select kind, previous_version, version, route, author, reason from allocations "
                           "where name = 'greeter' order by epoch desc limit 1") == [
        ("archive", 2, None, None, "ada", "unused")
    ]  # fmt: skip
    assert rows(database, "select name, version, content, metadata from versions order by 1, 2") == before
    assert rows(database, "select count(*) from prompts where name = 'greeter'") == [(0,)]
    assert value(database, "select (stats ->> 'total_uses')::int from version_stats "
                            "where name = 'greeter' and version = 2") == 1  # fmt: skip
    error = refusal(database, "select resolve('greeter', null, '{\"plan\": \"x\"}')")
    assert error == ("P0002", "a_version_is_active")
    # The next sync of its source compares the prompt again.
    assert not value(database, "select is_settled from applied where name = 'greeter'")


def test_a_restored_prompt_has_its_active_version_and_route_but_no_split(database: Connection) -> None:
    run(database, """update served set route = '[{"when": {"plan": "x"}, "use": "other"}]' where name = 'greeter'""")
    run(database, "select split('greeter', 500, 1)")
    run(database, "select archive('{greeter}', '{null}')")
    result = rows(database, "select name, version, changed, active_version, previous_version, split_ended, "
                            "route_changed from archive('{greeter}', '{null}', true)")  # fmt: skip
    assert result == [("greeter", None, True, 2, None, False, True)]
    assert serving_state(database, "greeter")[:3] == (2, None, 0)
    assert value(database, "select route -> 0 ->> 'use' from served where name = 'greeter'") == "other"
    assert history(database, "greeter")[-2:] == [(5, "archive", 2, None), (6, "restore", None, 2)]
    # Its position in the history is restored, and a rollback continues from there.
    assert rows(database, "select version from rollback('{greeter}')") == [(1,)]
    assert rows(database, "select changed from archive('{greeter}', '{null}', true)") == [(False,)]


def test_a_prompt_without_an_active_version_is_restored_without_one(database: Connection) -> None:
    for statement in ("archive('{idle}', '{null}')", "archive('{idle}', '{null}', true)"):
        assert rows(database, f"select changed, active_version from {statement}") == [(True, None)]
    run(database, "select create_version('never', 'x'); select archive('{never}', '{null}')")
    assert rows(database, "select changed, active_version from archive('{never}', '{null}', true)") == [(True, None)]


def test_restoring_a_prompt_does_not_activate_a_version_archived_meanwhile(database: Connection) -> None:
    run(database, "select archive('{greeter,greeter}', '{null,2}')")
    assert rows(database, "select active_version from archive('{greeter}', '{null}', true)") == [(None,)]
    assert rows(database, "select version from rollback('{greeter}')") == [(1,)]


def test_restoring_a_prompt_is_refused_while_its_route_target_is_archived(database: Connection) -> None:
    run(database, """update served set route = '[{"when": {"plan": "x"}, "use": "other"}]' where name = 'greeter'""")
    run(database, "select archive('{greeter}', '{null}'); select archive('{other}', '{null}')")
    assert refusal(database, "select archive('{greeter}', '{null}', true)")[1] == "a_route_leads_to_a_prompt"
    # Both can be restored together, in any order.
    run(database, "select archive('{other,greeter}', '{null,null}', true)")
    assert [active(database, name) for name in ("greeter", "other")] == [2, 1]


def test_archiving_several_prompts_and_versions_is_atomic(database: Connection) -> None:
    assert refusal(database, "select archive('{idle,greeter,other}', '{null,2,null}')")[1] == (
        "a_served_version_is_not_archived"
    )
    assert value(database, "select count(*) from served where archived_at is not null") == 0
    result = rows(database, "select name, version, changed from archive('{idle,greeter,greeter}', '{null,1,3}')")
    assert result == [("idle", None, True), ("greeter", 1, True), ("greeter", 3, False)]


def test_a_route_to_a_pinned_version_does_not_prevent_a_deactivation(database: Connection) -> None:
    run(database, """update served set route = '[{"when": {"plan": "x"}, "use": "greeter@1"}]' where name = 'other'""")
    run(database, "select deactivate('{greeter}')")
    assert value(database, "select version from resolve('other', null, '{\"plan\": \"x\"}')") == 1
