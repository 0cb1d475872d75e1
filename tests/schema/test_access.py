"""Access: each kind allows a login just the statements that it needs."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql as pieces

from promptctl import schema
from tests.schema.support import add_samples, refusal, refusal_error, rows, run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import psycopg

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

_numbers = itertools.count()
DENIED = "42501"
HASH = "0" * 64
RUN = f'{{"name": "greeter", "version": 1, "margin": 0, "cases_sha256": "{HASH}"}}'
BEGIN_RUN = f"promptctl.begin_test_run('{RUN}', '{{}}')"

VIEWER_STATEMENTS = [
    "select * from promptctl.prompts",
    "select stats from promptctl.prompts",
    "select * from promptctl.allocations",
    "select * from promptctl.corrections",
    "select * from promptctl.releases",
    "select * from promptctl.served",
    "select * from promptctl.versions",
    "select * from promptctl.uses",
    "select * from promptctl.applied",
    "select * from promptctl.sources",
    "select * from promptctl.totals",
    "select * from promptctl.bucket_totals",
    "select * from promptctl.split_uses",
    "select * from promptctl.compare_versions('greeter', 1, 2)",
    "select * from promptctl.valid_interval(1, 1, 1, promptctl.half_width(1, 1, 0.05), 0.05)",
    "select * from promptctl.scores",
    "select * from promptctl.fallbacks",
    "select * from promptctl.roll_up",
    "select * from promptctl.version_stats",
    "select promptctl.rolled_below()",
    "select * from promptctl.rollouts",
    "select * from promptctl.rollout_events",
    "select * from promptctl.rollout_looks",
    "select * from promptctl.rollout_ticks",
    "select * from promptctl.explain_rollout('greeter')",
    "select * from promptctl.test_cases",
    "select * from promptctl.prompt_tests",
    "select * from promptctl.prompt_cases",
    "select * from promptctl.test_runs",
    "select * from promptctl.test_run_cases",
    "select * from promptctl.test_batches",
    "select * from promptctl.version_verdicts",
]
# What may quote a reply.
REVIEWER_STATEMENTS = [
    "select * from promptctl.test_replies",
    "select * from promptctl.test_judgements",
    "select * from promptctl.test_failures",
]
TICKER_STATEMENTS = [
    "select * from promptctl.tick_rollout('greeter', 'cron')",
    "select promptctl.roll_up_uses(10)",
]
APPLICATION_STATEMENTS = [
    "select * from promptctl.resolve('greeter', 'user-42', '{}')",
    "select promptctl.record_use('greeter', 2, 2, 17, 120, 80, unit => 'user-42')",
    "select promptctl.bucket('greeter', 'user-42')",
    "select promptctl.new_use_id()",
    """select promptctl.record_uses(array[promptctl.new_use_id()], '{greeter}', '{2}', '{2}', '{5}', '{7}', '{m}',
           '{1}', '{1}', '{0}', '{0}', '{1}', '{1}', '{ok}', '{0.5}', '{req_1}')""",
    """select promptctl.record_fallbacks(array[promptctl.new_use_id()], '{greeter}', '{5}', '{m}', '{1}', '{1}', '{1}',
           '{ok}')""",
    "select promptctl.score_use(promptctl.record_use('greeter', 2, 2), 0.5)",
    "select * from promptctl.follow('{greeter}', '{1}')",
    "select * from promptctl.read_versions('{greeter}', '{1}')",
    "select promptctl.prompt_names()",
]
OPERATOR_STATEMENTS = [
    "update promptctl.prompts set is_active = true where name = 'greeter' and version = 1",
    "update promptctl.prompts set is_active = true where name = 'greeter' and version = 1 returning *",
    "insert into promptctl.prompts (name, content, is_active) values ('new', 'x', true) returning *",
    "select promptctl.activate('{greeter,other}', '{1,1}', 'ada', 'because')",
    "select promptctl.rollback('{greeter}')",
    "select promptctl.create_version('greeter', 'x', activated => true)",
    "select promptctl.retire('greeter', 1)",
    "select promptctl.describe('greeter', 1, '{}')",
    """select promptctl.add_versions('[{"name": "new", "version": 1, "content": "x"}]')""",
    "select promptctl.lock_prompts_to_sync('{greeter,new}')",
    "select promptctl.lock_out_other_syncs()",
    "select promptctl.open_release('ada', 'because', 'git', '{}')",
    "select promptctl.rollback_release(1)",
    """select promptctl.describe_versions('[{"name": "greeter", "version": 1, "metadata": {}}]')""",
    """select promptctl.set_routes('{greeter}', '[[{"when": {"plan": "x"}, "use": "other"}]]')""",
    "select promptctl.record_source('git')",
    """select promptctl.record_applied('git', '[{"name": "greeter", "active": 1}]')""",
    "select promptctl.split('greeter', 500, 1, author => 'ada', reason => 'because')",
    "select promptctl.end_split('greeter', 'ada', 'because')",
    "select * from promptctl.start_rollout('greeter', 1, author => 'ada')",
    "select * from promptctl.start_rollout('greeter', 1); select promptctl.pause_rollout('greeter')",
    "select * from promptctl.start_rollout('greeter', 1); select promptctl.resume_rollout('greeter')",
    "select * from promptctl.start_rollout('greeter', 1); select promptctl.stop_rollout('greeter')",
    "select promptctl.drop_uses(now(), 0)",
    "select promptctl.set_cases('greeter', '{}', 0.1)",
    f"select {BEGIN_RUN}",
    f"""select promptctl.record_test_replies({BEGIN_RUN}, encode(v.sha256, 'hex'), '[]')
        from promptctl.versions v where v.name = 'greeter' and v.version = 1""",
    f"select promptctl.record_test_judgements('{HASH}', '[]')",
    f"select promptctl.record_test_batch({BEGIN_RUN}, 'batch', '{{}}')",
    "select promptctl.end_test_batch('batch')",
    f"""select promptctl.end_test_run({BEGIN_RUN}, '{{"failure": "no_replies"}}')""",
    "select promptctl.drop_test_replies(now())",
]
COMMON_STATEMENTS = [
    f"select promptctl.expect_schema_version({schema.VERSION})",
    "select promptctl.current_author(), promptctl.current_reason()",
    "select * from promptctl.explain_resolve('greeter', 'user-42', '{}')",
]
OWNER_STATEMENTS = [
    "update promptctl.served set active_version = 1",
    "insert into promptctl.served (name) values ('new')",
    "select from promptctl.served for update",
    "insert into promptctl.versions (name, version, content) values ('greeter', 9, 'x')",
    "update promptctl.versions set retired_at = now()",
    "delete from promptctl.versions",
    "insert into promptctl.allocations (name, epoch, kind, basis_points, author) values ('other', 9, 'split', 0, 'x')",
    "delete from promptctl.allocations",
    "delete from promptctl.corrections",
    "insert into promptctl.releases (kind, author) values ('sync', 'x')",
    "insert into promptctl.uses (id, name, version, epoch) values (gen_random_uuid(), 'greeter', 1, 1)",
    "update promptctl.uses set response_ms = 0",
    "delete from promptctl.uses",
    "delete from promptctl.applied",
    "update promptctl.sources set commit = 'x'",
    "select promptctl.require_valid_route_targets('greeter', null)",
    "select promptctl.is_valid_route('[]')",
    "update promptctl.rollouts set hold = '0'",
    "delete from promptctl.rollout_events",
    "delete from promptctl.rollout_looks",
    "update promptctl.rollout_ticks set action = 'x'",
    "select promptctl.judge_rollout(null)",
    "select promptctl.record_tick(null)",
    "select promptctl.open_rollout('greeter')",
    "insert into promptctl.test_cases (definition) values ('{}')",
    "delete from promptctl.prompt_tests",
    "delete from promptctl.prompt_cases",
    "update promptctl.test_runs set verdict = 'better'",
    "update promptctl.test_run_cases set new_passes = 3",
    "delete from promptctl.test_batches",
    "delete from promptctl.test_replies",
    "delete from promptctl.test_judgements",
    "delete from promptctl.test_failures",
    "select promptctl.add_test_cases('{}')",
    "select promptctl.require_open_test_run(1)",
    "update promptctl.installation set version = 2",
    "truncate promptctl.uses",
    "truncate promptctl.totals",
    "update promptctl.totals set uses = 0",
    "update promptctl.bucket_totals set uses = 0",
    "truncate promptctl.bucket_totals",
    "select promptctl.add_to_bucket_totals(0, 10, null)",
    "select promptctl.slow_response_ms('greeter', 1)",
    "delete from promptctl.scores",
    "delete from promptctl.fallbacks",
    "update promptctl.roll_up set rolled_below = 0",
    "select promptctl.recording_number()",
    "select promptctl.catch_up_after_restore()",
    "select promptctl.matching_step('[]', '{}')",
    "delete from promptctl.prompts",
    "update promptctl.prompts set stats = '{}'",
    "update promptctl.prompts_without_stats set is_active = true",
    "select promptctl.lock_prompts('{greeter}')",
    "select promptctl.lock_or_create_prompts('{mine}')",
    "select promptctl.begin_change('x', 'y', 'sync')",
    "select promptctl.end_change()",
    "select promptctl.grant_access(session_user, 'operator')",
    "alter table promptctl.served disable trigger user",
    "set session_replication_role = replica",
    "create table promptctl.mine ()",
    "create function promptctl.mine() returns integer language sql return 1",
]
ALLOWED = {
    "viewer": COMMON_STATEMENTS + VIEWER_STATEMENTS,
    "reviewer": COMMON_STATEMENTS + VIEWER_STATEMENTS + REVIEWER_STATEMENTS,
    "ticker": COMMON_STATEMENTS + VIEWER_STATEMENTS + TICKER_STATEMENTS,
    "application": COMMON_STATEMENTS + APPLICATION_STATEMENTS,
    "operator": COMMON_STATEMENTS
    + VIEWER_STATEMENTS
    + REVIEWER_STATEMENTS
    + APPLICATION_STATEMENTS
    + TICKER_STATEMENTS
    + OPERATOR_STATEMENTS,
    None: list[str](),
}
ALL_STATEMENTS = [*ALLOWED["operator"], *OWNER_STATEMENTS]


@pytest.fixture
def login(database: Connection) -> str:
    """A new login role whose name needs quotes. The rollback after the test removes it."""
    name = f'tester "{os.getpid()}-{next(_numbers)}"'
    database.execute(pieces.SQL("create role {} login").format(pieces.Identifier(name)))
    return name


@contextlib.contextmanager
def acting_as(connection: Connection, login: str) -> Generator[None]:
    """Run statements with the rights of a session of that role."""
    connection.execute(pieces.SQL("set session authorization {}").format(pieces.Identifier(login)))
    yield
    connection.execute("reset session authorization")


def run_and_roll_back(connection: Connection, statement: str) -> None:
    """Run a statement that must be allowed, and roll it back."""
    with connection.transaction(force_rollback=True):
        run(connection, statement)


@pytest.mark.parametrize("access", ALLOWED)
def test_each_access_allows_its_own_statements_and_no_others(
    database: Connection, login: str, access: str | None
) -> None:
    if access:
        database.execute("select promptctl.grant_access(%s, %s)", [login, access])
    with acting_as(database, login):
        assert_allowed(database, ALLOWED[access])


def assert_allowed(connection: Connection, allowed: list[str]) -> None:
    """Check that these statements are allowed and that all others lack a privilege."""
    for statement in ALL_STATEMENTS:
        if statement in allowed:
            run_and_roll_back(connection, statement)
        else:
            assert refusal_error(connection, statement).sqlstate == DENIED, statement


def test_reading_and_writing_each_table_is_attempted(database: Connection) -> None:
    tables = rows(database, "select tablename from pg_tables where schemaname = 'promptctl'")
    readers = {*VIEWER_STATEMENTS, *REVIEWER_STATEMENTS}
    for (table,) in tables:
        name = f"promptctl.{table}"
        assert f"select * from {name}" in readers or table == "installation"
        words = (f"update {name} ", f"delete from {name}", f"insert into {name} ", f"truncate {name}")
        assert [statement for statement in OWNER_STATEMENTS if statement.startswith(words)] != [], table


@pytest.mark.parametrize(
    ("higher", "lower"),
    [
        ("operator", "viewer"),
        ("operator", "application"),
        ("viewer", "application"),
        ("operator", "ticker"),
        ("ticker", "viewer"),
        ("ticker", "application"),
        ("operator", "reviewer"),
        ("reviewer", "viewer"),
        ("reviewer", "ticker"),
    ],
)
def test_granting_a_lower_access_revokes_the_higher_one(
    database: Connection, login: str, higher: str, lower: str
) -> None:
    for access in (higher, lower):
        database.execute("select promptctl.grant_access(%s, %s)", [login, access])
    with acting_as(database, login):
        assert_allowed(database, ALLOWED[lower])


def test_granting_a_higher_access_extends_the_lower_one(database: Connection, login: str) -> None:
    for access in ("viewer", "viewer", "operator"):
        database.execute("select promptctl.grant_access(%s, %s)", [login, access])
    with acting_as(database, login):
        assert_allowed(database, ALLOWED["operator"])


def test_an_application_that_activates_gets_permission_denied_from_postgresql(database: Connection, login: str) -> None:
    database.execute("select promptctl.grant_access(%s, 'application')", [login])
    with acting_as(database, login):
        error = refusal_error(database, "select promptctl.activate('{greeter}', '{1}')")
    assert error.diag.message_primary == "permission denied for function activate"


def test_an_operators_update_of_a_versions_content_is_refused_by_the_rule(database: Connection, login: str) -> None:
    database.execute("select promptctl.grant_access(%s, 'operator')", [login])
    with acting_as(database, login):
        update = "update promptctl.prompts set content = 'y' where name = 'greeter' and version = 1"
        assert refusal(database, update) == ("23001", "a_version_never_changes")


@pytest.fixture
def role(sql: Connection) -> Iterator[str]:
    """A login role to connect as."""
    name = f"tester_{os.getpid()}_{next(_numbers)}"
    run(sql, f"create role {name} login")
    yield name
    run(sql, f"drop owned by {name}; drop role {name}")


def test_changes_record_the_login_role_as_database_user(connect: Connect, sql: Connection, role: str) -> None:
    add_samples(sql)
    sql.execute("select promptctl.grant_access(%s, 'operator')", [role])
    with connect(user=role) as session:
        session.execute("select promptctl.activate('{greeter}', '{1}', 'somebody else')")
        session.execute("select promptctl.create_version('greeter', 'mine')")
        session.execute("select promptctl.describe('greeter', 1, '{}')")
        authors = "select author, database_user from promptctl.allocations where name = 'greeter' and epoch = 3"
        assert rows(session, authors) == [("somebody else", role)]
        authors = "select created_by, database_user from promptctl.versions where content = 'mine'"
        assert rows(session, authors) == [(role, role)]
        authors = "select author, database_user from promptctl.corrections order by id desc limit 1"
        assert rows(session, authors) == [(role, role)]


def test_functions_ignore_temporary_types_and_tables_of_the_caller(
    connect: Connect, sql: Connection, role: str
) -> None:
    add_samples(sql)
    sql.execute("select promptctl.grant_access(%s, 'operator')", [role])
    with connect(user=role) as session:  # a new session, because a function's names are resolved at its first call
        for name in ("text", "jsonb", "timestamptz", "bytea", "xid", "uuid", "tid", "int8", "float8"):
            run(
                session,
                f"""
                create function pg_temp.fail(value pg_catalog.{name}) returns boolean language plpgsql as
                $$ begin raise exception 'run as %', current_user; end $$;
                create domain pg_temp.{name} as pg_catalog.{name} check (pg_temp.fail(value));
                """,
            )
        tables = (
            "served",
            "versions",
            "allocations",
            "uses",
            "installation",
            "roll_up",
            "totals",
            "bucket_totals",
            "scores",
            "fallbacks",
            "rollouts",
            "rollout_events",
            "rollout_looks",
            "rollout_ticks",
            "test_cases",
            "prompt_tests",
            "prompt_cases",
            "test_runs",
            "test_run_cases",
            "test_failures",
            "test_batches",
            "test_replies",
            "test_judgements",
        )
        for name in tables:
            run(session, f"create temporary table {name} (name integer)")
        for statement in APPLICATION_STATEMENTS + TICKER_STATEMENTS + OPERATOR_STATEMENTS + COMMON_STATEMENTS:
            run_and_roll_back(session, statement)
        assert refusal(session, "select promptctl.resolve('nobody')") == ("P0002", "prompt_exists")


def test_an_owner_without_superuser_rights_can_install_and_use_the_schema(
    connect: Connect, sql: Connection, role: str
) -> None:
    sql.execute("drop schema promptctl cascade")
    run(sql, f"grant create on database {sql.info.dbname} to {role}")
    with connect(user=role) as owner:
        run(owner, schema.read_sql())
        run(owner, schema.read_sql())
        add_samples(owner)
        for statement in APPLICATION_STATEMENTS + TICKER_STATEMENTS + OPERATOR_STATEMENTS:
            run_and_roll_back(owner, statement)
        for access in ("viewer", "operator"):
            assert refusal(owner, "select promptctl.grant_access(%s, %s)", role, access) == (
                "23001",
                "the_owner_has_every_access",
            )
        owner.execute("drop schema promptctl cascade")
