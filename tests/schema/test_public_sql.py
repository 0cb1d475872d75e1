"""The documented SQL interface that any program may rely on."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.schema.support import active, create, history, refusal, rows, value

if TYPE_CHECKING:
    Connection = psycopg.Connection[Any]

SUMMARY = """
SELECT name, version, is_active, stats->>'total_uses' AS uses, stats->>'avg_tokens' AS avg_tokens,
       stats->>'avg_response_time_ms' AS avg_response_time
FROM prompts WHERE name = 'default-system-prompt' ORDER BY version;
"""


@pytest.fixture
def program(database: Connection) -> Connection:
    """A connection of a program, with the schema promptctl on its search path."""
    create(database, "default-system-prompt", 3)
    create(database, "code_helper", 1)
    return database


def test_the_prompts_view_has_the_documented_columns(program: Connection) -> None:
    columns = rows(
        program,
        """
        select attname, format_type(atttypid, atttypmod) from pg_attribute
        where attrelid = 'promptctl.prompts'::regclass order by attnum
        """,
    )
    assert columns == [
        ("id", "uuid"),
        ("name", "text"),
        ("version", "integer"),
        ("content", "text"),
        ("is_active", "boolean"),
        ("created_at", "timestamp with time zone"),
        ("created_by", "text"),
        ("metadata", "jsonb"),
        ("stats", "jsonb"),
    ]


def test_select_from_prompts_returns_every_version_that_is_not_archived(program: Connection) -> None:
    versions = rows(program, "SELECT * FROM prompts;")
    assert sorted(row[1:5] for row in versions) == [
        ("code_helper", 1, "text 1", False),
        ("default-system-prompt", 1, "text 1", False),
        ("default-system-prompt", 2, "text 2", False),
        ("default-system-prompt", 3, "text 3", False),
        ("greeter", 1, "Be kind.", False),
        ("greeter", 2, "Be brief.", True),
        ("idle", 1, "Wait.", False),
        ("other", 1, "Something else.", True),
    ]
    [(identifier, *_, created_at, created_by, metadata, stats)] = [row for row in versions if row[1] == "code_helper"]
    assert isinstance(identifier, uuid.UUID)
    assert isinstance(created_at, dt.datetime)
    assert (created_by, metadata, stats) == ("postgres", {}, {"total_uses": 0, "errors": 0})


def test_the_stats_of_the_view_have_uses_and_averages(program: Connection) -> None:
    program.execute("SELECT record_use('default-system-prompt', 2, 17, 120, 80, 950);")
    program.execute("SELECT record_use('default-system-prompt', 2, 17, 121, 80, 951);")
    program.execute("UPDATE prompts SET is_active = true WHERE name = 'default-system-prompt' AND version = 2;")
    assert rows(program, SUMMARY) == [
        ("default-system-prompt", 1, False, "0", None, None),
        ("default-system-prompt", 2, True, "2", "200.5", "950.5"),
        ("default-system-prompt", 3, False, "0", None, None),
    ]


def test_an_update_activates_one_version_and_no_other(program: Connection) -> None:
    for version in (1, 2):
        cursor = program.execute(
            "UPDATE prompts SET is_active = true WHERE name = 'default-system-prompt' AND version = %s", [version]
        )
        assert (cursor.statusmessage, active(program, "default-system-prompt")) == ("UPDATE 1", version)
    assert [(version, is_active) for _, version, is_active, *_ in rows(program, SUMMARY)] == [
        (1, False),
        (2, True),
        (3, False),
    ]


def test_an_update_deactivates_only_the_active_version(program: Connection) -> None:
    deactivate = "UPDATE prompts SET is_active = false WHERE name = 'code_helper' AND version = 1;"
    program.execute(deactivate)
    assert history(program, "code_helper") == []
    program.execute("UPDATE prompts SET is_active = true WHERE name = 'code_helper' AND version = 1;")
    program.execute(deactivate)
    program.execute(deactivate)
    assert history(program, "code_helper") == [(1, "activate", None, 1), (2, "deactivate", 1, None)]


def test_an_insert_stores_a_version(program: Connection) -> None:
    program.execute("INSERT INTO prompts (name, version, content) VALUES ('a/greeter', 1, 'Be kind.');")
    columns = "version, content, is_active, created_by, metadata"
    assert rows(program, f"select {columns} from prompts where name = 'a/greeter'") == [
        (1, "Be kind.", False, "postgres", {})
    ]


def test_an_insert_stores_every_column_that_it_sets(program: Connection) -> None:
    identifier, created_at = uuid.uuid4(), dt.datetime(2024, 2, 29, 12, tzinfo=dt.UTC)
    cursor = program.cursor(row_factory=dict_row)
    cursor.execute(
        """
        INSERT INTO prompts (id, name, version, content, is_active, metadata, created_at, created_by)
        VALUES (%s, 'a/greeter', 7, 'Be kind.', true, '{"description": "d"}', %s, 'ada') RETURNING *
        """,
        [identifier, created_at],
    )
    expected = {
        "id": identifier, "name": "a/greeter", "version": 7, "content": "Be kind.", "is_active": True,
        "metadata": {"description": "d"}, "created_at": created_at, "created_by": "ada",
    }  # fmt: skip
    assert cursor.fetchone() == expected | {"stats": None}
    cursor.execute("select * from prompts where name = 'a/greeter'")
    assert cursor.fetchone() == expected | {"stats": {"total_uses": 0, "errors": 0}}


def test_an_insert_without_a_number_takes_the_next_one(program: Connection) -> None:
    insert = "insert into prompts (name, content) values ('default-system-prompt', 'x') returning version"
    assert [value(program, insert) for _ in range(2)] == [4, 5]


def test_copy_stores_and_activates_several_versions(program: Connection) -> None:
    with program.cursor().copy("copy prompts (name, version, content, is_active) from stdin") as copy:
        for row in (("new", 1, "a", False), ("new", 2, "b", True), ("code_helper", 2, "c", True)):
            copy.write_row(row)
    assert (active(program, "new"), active(program, "code_helper")) == (2, 2)


def test_resolve_returns_the_documented_columns(program: Connection) -> None:
    program.execute("UPDATE prompts SET is_active = true WHERE name = 'default-system-prompt' AND version = 2;")
    cursor = program.cursor(row_factory=dict_row)
    cursor.execute("""SELECT * FROM resolve('default-system-prompt', 'user-42', '{"plan": "enterprise"}');""")
    assert cursor.fetchall() == [
        {
            "name": "default-system-prompt", "version": 2, "epoch": 1, "content": "text 2", "settings": {},
            "metadata": {},
        }
    ]  # fmt: skip
    cursor.execute("select version from resolve('default-system-prompt')")
    assert cursor.fetchall() == [{"version": 2}]


def test_resolve_works_in_a_read_only_transaction(program: Connection) -> None:
    program.execute("UPDATE prompts SET is_active = true WHERE name = 'code_helper' AND version = 1;")
    program.execute("set transaction read only")
    assert value(program, "select version from resolve('code_helper')") == 1
    assert refusal(program, "select resolve('nobody')") == ("P0002", "prompt_exists")


def test_record_use_returns_the_id_of_the_use(program: Connection) -> None:
    identifier = value(program, "SELECT record_use('default-system-prompt', 2, 17, 120, 80, 950);")
    uses = rows(
        program,
        "select name, version, epoch, input_tokens, output_tokens, response_ms, outcome from uses where id = %s",
        identifier,
    )
    # The prompt has had fewer than 17 changes, so the epoch is stored as the current one.
    current_epoch = value(program, "select epoch from served where name = 'default-system-prompt'")
    assert uses == [("default-system-prompt", 2, current_epoch, 120, 80, 950, "ok")]


def test_an_archived_version_is_not_in_the_prompts_view(database: Connection) -> None:
    assert rows(database, "select version from promptctl.prompts where name = 'greeter' order by 1") == [(1,), (2,)]
    cursor = database.execute("update prompts set is_active = true where name = 'greeter' and version = 3")
    assert cursor.rowcount == 0
