"""Erasing a version: what goes, what stays, and who may."""

from __future__ import annotations

import os
from typing import Any

import psycopg
import pytest

from tests.schema.support import refusal, rows, run, value

Connection = psycopg.Connection[Any]
ERASE = "select erase('greeter', 1, 'ada', 'a key in it')"


@pytest.fixture(autouse=True)
def _in_our_schema(furnished: Connection) -> None:
    run(furnished, "set search_path = promptctl")


def test_what_can_hold_a_secret_goes_and_the_rest_stays(furnished: Connection) -> None:
    run(furnished, """select describe('greeter', 1, '{"description": "key sk-1", "team": "a"}', 'ada', 'why')""")
    run(
        furnished,
        """select record_applied('git', '[{"name": "greeter", "active": 2, "digest": "00",
        "metadata": {"1": {"description": "key sk-1"}, "2": {"description": "kept"}}, "is_settled": true}]')""",
    )
    run(furnished, "select record_use('greeter', 1, 1, 17, 120, 80)")
    kept = "select id, sha256, created_at, created_by, version from versions where name = 'greeter' and version = 1"
    before = rows(furnished, kept)
    erased = rows(furnished, ERASE.replace("select", "select name, version, changed, size, metadata from"))
    assert erased == [("greeter", 1, True, 8, ["description", "team"])]
    assert rows(furnished, kept) == before
    gone = "select content, settings, metadata, variables, is_retired, erased_at is not null from versions"
    assert rows(furnished, f"{gone} where name = 'greeter' and version = 1") == [("", {}, {}, [], True, True)]
    assert value(furnished, "select (stats ->> 'total_uses')::int from version_stats "
                            "where name = 'greeter' and version = 1") == 1  # fmt: skip
    # Not in the history either, nor in what the folder said.
    assert rows(furnished, "select kind, previous_metadata, metadata, author, reason from corrections "
                           "where version = 1 and name = 'greeter' order by id") == [
        ("describe", None, None, "ada", "why"), ("archive", None, None, "ada", "a key in it"),
        ("erase", None, None, "ada", "a key in it"),
    ]  # fmt: skip
    assert rows(furnished, "select metadata, digest, is_settled from applied") == [
        ({"2": {"description": "kept"}}, None, False)
    ]  # fmt: skip
    tables = ("versions", "corrections", "applied", "allocations", "releases", "uses")
    everything = " ".join(str(rows(furnished, f"select t::text from {table} t")) for table in tables)
    assert "sk-1" not in everything
    # For good, and once.
    assert value(furnished, "select changed from erase('greeter', 1, 'ada', 'again')") is False
    assert value(furnished, "select count(*) from corrections where kind = 'erase'") == 1


def test_raw_sql_of_the_owner_does_just_the_same(furnished: Connection) -> None:
    run(furnished, "select set_config('promptctl.reason', 'a key in it', false)")
    run(furnished, "update versions set erased_at = '2000-01-01' where name = 'greeter' and version = 3")
    assert rows(furnished, "select content, erased_at > now() - interval '1 hour' from versions "
                           "where name = 'greeter' and version = 3") == [("", True)]  # fmt: skip
    assert value(furnished, "select reason from corrections where kind = 'erase'") == "a key in it"
    # Nobody stores a version that was erased already.
    run(furnished, "insert into versions (name, version, content, erased_at) values ('greeter', 8, 'x', now())")
    assert value(furnished, "select erased_at is null from versions where version = 8")


def test_whoever_holds_it_can_ask(furnished: Connection) -> None:
    run(furnished, ERASE)
    asked = rows(furnished, "select erased_versions('{greeter,greeter,idle}', '{1,2,1}')")
    assert asked == [("greeter@1",)]
    assert rows(furnished, "select version from read_versions('{greeter,greeter}', '{1,2}')") == [(2,)]


@pytest.mark.parametrize("access", ["viewer", "application", "operator", "none", "operator with every right"])
def test_only_the_owner_erases(furnished: Connection, access: str) -> None:
    login = f"eraser_{os.getpid()}"
    with furnished.transaction(force_rollback=True):
        run(furnished, f"create role {login} login; grant usage on schema promptctl to {login}")
        if access == "operator with every right":
            run(furnished, f"grant all on all tables in schema promptctl to {login};"
                           f"grant execute on all functions in schema promptctl to {login}")  # fmt: skip
        elif access != "none":
            run(furnished, f"select grant_access('{login}', '{access}')")
        run(furnished, f"set local session authorization {login}; set local promptctl.reason = 'x'")
        statements = (ERASE, "update versions set erased_at = now() where name = 'greeter' and version = 1",
                      "update versions set content = 'x' where name = 'greeter' and version = 1")  # fmt: skip
        expected = (
            [("42501", "only_the_owner_erases")] * 2 + [("23001", "a_version_never_changes")]
            if access == "operator with every right"
            else [("42501", None)] * 3
        )
        assert [refusal(furnished, each) for each in statements] == expected
    assert value(furnished, "select content from versions where name = 'greeter' and version = 1") == "Be kind."


def test_a_member_of_the_owning_role_erases_too(furnished: Connection) -> None:
    login = f"member_{os.getpid()}"
    with furnished.transaction(force_rollback=True):
        owner = value(furnished, "select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'promptctl'")
        run(furnished, f"create role {login} login; grant {owner} to {login}")
        run(furnished, f"set local session authorization {login}")
        assert value(furnished, f"select changed from ({ERASE}) t (e), lateral (select (e).changed) c") is True
