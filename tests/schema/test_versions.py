"""Storing versions, archiving them, and correcting their metadata."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import psycopg

from tests.schema.support import refusal, rows, value

Connection = psycopg.Connection[Any]


def create(connection: Connection, content: str, **options: Any) -> tuple[int, bool]:
    """Create a version of `new`: its number, and whether it is new."""
    arguments: dict[str, Any] = {"settings": dict[str, str](), "version": None, "activated": False, **options}
    [(version, is_new)] = rows(
        connection,
        "select version, created from create_version('new', %s, %s, version => %s, activated => %s)",
        content,
        None if arguments["settings"] is None else json.dumps(arguments["settings"]),
        arguments["version"],
        arguments["activated"],
    )
    return version, is_new


def test_a_new_text_takes_the_next_number(database: Connection) -> None:
    assert [create(database, text) for text in "abc"] == [(1, True), (2, True), (3, True)]


def test_creating_an_existing_text_returns_its_newest_version(database: Connection) -> None:
    create(database, "a")
    create(database, "b")
    create(database, "a", version=7)
    assert create(database, "a") == (7, False)
    assert create(database, "b") == (2, False)


def test_a_text_with_other_settings_is_another_version(database: Connection) -> None:
    create(database, "a")
    assert create(database, "a", settings={"model": "m"}) == (2, True)
    assert create(database, "a", settings={"model": "m"}) == (2, False)
    assert create(database, "a", settings=None) == (1, False)


def test_the_text_of_an_archived_version_is_stored_again(database: Connection) -> None:
    create(database, "a")
    database.execute("select retire('new', 1)")
    assert create(database, "a") == (2, True)


def test_the_next_number_is_above_every_number_that_was_used(database: Connection) -> None:
    assert create(database, "a", version=10) == (10, True)
    assert create(database, "b", version=5) == (5, True)
    database.execute("select retire('new', 10)")
    assert create(database, "c") == (11, True)


def test_no_number_follows_the_largest_version_number(database: Connection) -> None:
    assert create(database, "a", version=2147483647) == (2147483647, True)
    assert refusal(database, "select create_version('new', 'b')") == (
        "23001",
        "version_numbers_are_from_1_to_2147483647",
    )
    assert create(database, "b", version=1) == (1, True)


def test_an_existing_text_can_be_activated_by_creating_it_again(database: Connection) -> None:
    create(database, "a", activated=True)
    create(database, "b", activated=True)
    answer = rows(
        database,
        "select version, created, is_active, previous_version from create_version('new', 'a', activated => true)",
    )
    assert answer == [(1, False, True, 2)]
    assert value(database, "select active_version from served where name = 'new'") == 1


def test_a_refused_first_version_leaves_no_prompt_behind(database: Connection) -> None:
    assert refusal(database, "select create_version('new', ' ')") == ("23514", "content_is_not_empty")
    assert rows(database, "select from served where name = 'new'") == []


def test_a_text_is_stored_byte_for_byte_with_its_hash(database: Connection) -> None:
    text = "  zoë \\ {name} \t 'quoted' \r 😀 \n\n"
    create(database, text)
    versions = rows(database, "select content, sha256 from versions where name = 'new'")
    assert versions == [(text, hashlib.sha256(text.encode()).digest())]


def test_many_versions_are_stored_under_their_own_numbers_all_or_none(database: Connection) -> None:
    versions = [
        {"name": "b", "version": 9, "content": "x", "metadata": {"description": "d"}, "created_by": "ada"},
        {"name": "b", "version": 2, "content": "y", "settings": None, "metadata": None, "created_by": None},
        {"name": "a", "version": 1, "content": "z", "settings": {"model": "m"}},
    ]
    assert value(database, "select add_versions(%s, 'bob')", json.dumps(versions)) == 3
    stored = "select name, version, created_by, settings, metadata from versions where name in ('a', 'b') order by 1, 2"
    assert rows(database, stored) == [
        ("a", 1, "bob", {"model": "m"}, {}),
        ("b", 2, "bob", {}, {}),
        ("b", 9, "ada", {}, {"description": "d"}),
    ]
    more = [{"name": "c", "version": 1, "content": "x"}, {"name": "b", "version": 2, "content": "other"}]
    assert refusal(database, "select add_versions(%s)", json.dumps(more))[1] == "a_number_is_used_once_in_a_prompt"
    assert rows(database, "select from served where name = 'c'") == []
    assert value(database, "select add_versions('[]')") == 0


def test_archiving_and_restoring_are_recorded_once_each(database: Connection) -> None:
    calls = ["retire('greeter', 1)", "retire('greeter', 1)", "retire('greeter', 1, true)", "retire('greeter', 1, true)"]
    assert [value(database, f"select {call}") for call in calls] == [True, False, True, False]
    corrections = rows(database, "select kind from corrections where version = 1 order by id")
    assert corrections == [("archive",), ("restore",)]


def test_a_correction_is_recorded_with_the_previous_metadata(database: Connection) -> None:
    describe = """select describe('greeter', 1, '{"description": "better"}', 'ada', 'typo')"""
    assert [value(database, describe), value(database, describe)] == [True, False]
    corrections = rows(
        database, "select kind, previous_metadata, metadata, author, reason, epoch from corrections where version = 1"
    )
    before, after = {"description": "the first"}, {"description": "better"}
    assert corrections == [("describe", before, after, "ada", "typo", 2)]
