"""Taking prompts out of service and archiving them: what goes, what stays, and what comes back."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from tests.schema.support import active, history, refusal, rows, run, served, value

Connection = psycopg.Connection[Any]


@pytest.fixture(autouse=True)
def _in_our_schema(furnished: Connection) -> None:
    run(furnished, "set search_path = promptctl")


def test_what_is_active_is_taken_out_together_or_not_at_all(furnished: Connection) -> None:
    call = "deactivate('{other,idle,greeter}', null, 'ada', 'unsafe')"
    found = rows(furnished, f"select name, version, previous_version, changed, release is null from {call}")
    out_of_service = [("other", None, 1, True, False), ("idle", None, None, False, False)]
    assert found == [*out_of_service, ("greeter", None, 2, True, False)]
    assert [active(furnished, name) for name in ("greeter", "other", "idle")] == [None, None, None]
    assert history(furnished, "greeter")[-1] == (3, "deactivate", 2, None)
    assert value(furnished, "select kind from releases order by release desc limit 1") == "deactivate"
    # Again: nothing to do, so no release and no row.
    assert rows(furnished, "select changed, release from deactivate('{greeter,other}')") == [(False, None)] * 2
    assert refusal(furnished, "select deactivate('{greeter,nobody}')") == ("P0002", "prompt_exists")


def test_a_rollback_goes_back_to_what_was_active_before_it_was_taken_out(furnished: Connection) -> None:
    run(furnished, "select deactivate('{greeter}', 2)")
    assert rows(furnished, "select version from rollback('{greeter}')") == [(2,)]
    assert rows(furnished, "select version from rollback('{greeter}')") == [(1,)]
    assert refusal(furnished, "select rollback('{greeter}')")[1] == "a_rollback_goes_to_an_earlier_active_version"
    # The first activation of all can be taken back, by SQL in the same way.
    run(furnished, "update prompts set is_active = false where name = 'greeter'")
    assert history(furnished, "greeter")[-1][1:] == ("deactivate", 1, None)
    assert rows(furnished, "select version from rollback('{greeter}')") == [(1,)]


def test_it_ends_a_split(furnished: Connection) -> None:
    run(furnished, "select split('greeter', 500, 1)")
    assert rows(furnished, "select changed, split_ended from deactivate('{greeter}')") == [(True, True)]
    assert served(furnished, "greeter") == (None, None, 0, 4)


def test_a_release_of_first_activations_is_put_back_to_nothing(furnished: Connection) -> None:
    run(furnished, "select create_version('new', 'x')")
    run(furnished, "select activate('{idle,new}', '{1,1}')")
    number = value(furnished, "select max(release) from releases")
    found = rows(furnished, "select name, version, previous_version from rollback_release(%s)", number)
    assert found == [("idle", None, 1), ("new", None, 1)]
    assert [active(furnished, name) for name in ("idle", "new")] == [None, None]


RAW = """
    select set_config('promptctl.author', 'ada', false), set_config('promptctl.reason', 'unused', false);
    update served set archived_at = now() where name = 'greeter'
"""


@pytest.mark.parametrize("statement", ["select archive('{greeter}', '{null}', false, 'ada', 'unused')", RAW])
def test_an_archived_prompt_serves_nothing_and_keeps_all(furnished: Connection, statement: str) -> None:
    run(furnished, """update served set route = '[{"when": {"plan": "x"}, "use": "other"}]' where name = 'greeter'""")
    run(furnished, "select split('greeter', 500, 1)")
    before = rows(furnished, "select name, version, content, metadata from versions order by 1, 2")
    run(furnished, statement)
    assert served(furnished, "greeter") == (None, None, 0, 5)
    assert value(furnished, "select route from served where name = 'greeter'") is None
    assert rows(furnished, "select kind, previous_version, version, route, author, reason from allocations "
                           "where name = 'greeter' order by epoch desc limit 1") == [
        ("archive", 2, None, None, "ada", "unused")
    ]  # fmt: skip
    assert rows(furnished, "select name, version, content, metadata from versions order by 1, 2") == before
    assert rows(furnished, "select count(*) from prompts where name = 'greeter'") == [(0,)]
    assert value(furnished, "select (stats ->> 'total_uses')::int from version_stats "
                            "where name = 'greeter' and version = 2") == 1  # fmt: skip
    error = refusal(furnished, "select resolve('greeter', null, '{\"plan\": \"x\"}')")
    assert error == ("P0002", "a_version_is_active")
    # The source that it comes from compares it again.
    assert not value(furnished, "select is_settled from applied where name = 'greeter'")


def test_it_comes_back_as_it_was_without_the_split(furnished: Connection) -> None:
    run(furnished, """update served set route = '[{"when": {"plan": "x"}, "use": "other"}]' where name = 'greeter'""")
    run(furnished, "select split('greeter', 500, 1)")
    run(furnished, "select archive('{greeter}', '{null}')")
    found = rows(furnished, "select name, version, changed, active_version, previous_version, split_ended, "
                            "route_changed from archive('{greeter}', '{null}', true)")  # fmt: skip
    assert found == [("greeter", None, True, 2, None, False, True)]
    assert served(furnished, "greeter")[:3] == (2, None, 0)
    assert value(furnished, "select route -> 0 ->> 'use' from served where name = 'greeter'") == "other"
    assert history(furnished, "greeter")[-2:] == [(5, "archive", 2, None), (6, "restore", None, 2)]
    # It stands where it stood: a rollback goes on from there.
    assert rows(furnished, "select version from rollback('{greeter}')") == [(1,)]
    assert rows(furnished, "select changed from archive('{greeter}', '{null}', true)") == [(False,)]


def test_one_without_an_active_version_comes_back_without_one(furnished: Connection) -> None:
    for statement in ("archive('{idle}', '{null}')", "archive('{idle}', '{null}', true)"):
        assert rows(furnished, f"select changed, active_version from {statement}") == [(True, None)]
    run(furnished, "select create_version('never', 'x'); select archive('{never}', '{null}')")
    assert rows(furnished, "select changed, active_version from archive('{never}', '{null}', true)") == [(True, None)]


def test_a_version_that_is_archived_meanwhile_does_not_come_back_active(furnished: Connection) -> None:
    run(furnished, "select archive('{greeter,greeter}', '{null,2}')")
    assert rows(furnished, "select active_version from archive('{greeter}', '{null}', true)") == [(None,)]
    assert rows(furnished, "select version from rollback('{greeter}')") == [(1,)]


def test_what_its_route_led_to_and_is_archived_too_is_named(furnished: Connection) -> None:
    run(furnished, """update served set route = '[{"when": {"plan": "x"}, "use": "other"}]' where name = 'greeter'""")
    run(furnished, "select archive('{greeter}', '{null}'); select archive('{other}', '{null}')")
    assert refusal(furnished, "select archive('{greeter}', '{null}', true)")[1] == "a_route_leads_to_a_prompt"
    # Together they come back, in any order that leads somewhere.
    run(furnished, "select archive('{other,greeter}', '{null,null}', true)")
    assert [active(furnished, name) for name in ("greeter", "other")] == [2, 1]


def test_versions_and_prompts_are_archived_together_or_not_at_all(furnished: Connection) -> None:
    assert refusal(furnished, "select archive('{idle,greeter,other}', '{null,2,null}')")[1] == (
        "a_served_version_is_not_archived"
    )
    assert value(furnished, "select count(*) from served where archived_at is not null") == 0
    found = rows(furnished, "select name, version, changed from archive('{idle,greeter,greeter}', '{null,1,3}')")
    assert found == [("idle", None, True), ("greeter", 1, True), ("greeter", 3, False)]


def test_what_needs_no_active_version_of_it_keeps_nobody_from_taking_it_out(furnished: Connection) -> None:
    run(furnished, """update served set route = '[{"when": {"plan": "x"}, "use": "greeter@1"}]' where name = 'other'""")
    run(furnished, "select deactivate('{greeter}')")
    assert value(furnished, "select version from resolve('other', null, '{\"plan\": \"x\"}')") == 1
