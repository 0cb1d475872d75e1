"""The catalog of the schema: every object has a comment and a chosen name, and PUBLIC has no privilege."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.conftest import SERVERS
from tests.schema.support import rows, run
from tests.servers import Server

# Columns whose names need no comment.
PLAIN_COLUMNS = {
    "name", "version", "id", "kind", "author", "reason", "release", "epoch", "content", "metadata", "created_at",
    "created_by", "updated_at", "changed_at", "released_at", "recorded_at", "installed_at", "applied_at", "applied_by",
    "previous_version", "candidate_version", "basis_points", "seed", "position", "database_user", "previous_metadata",
    "source", "model", "input_tokens", "output_tokens", "response_ms", "score", "singleton", "serves_retired",
    "is_retired", "active_version", "is_active",
}  # fmt: skip

OBJECTS = """
    select format('%s %s', case c.relkind when 'v' then 'view' when 'i' then 'index' else 'table' end, c.relname),
           obj_description(c.oid, 'pg_class')
    from pg_class c where c.relnamespace = 'promptctl'::regnamespace
      and (c.relkind in ('r', 'v') or c.relkind = 'i' and not exists (select from pg_constraint where conindid = c.oid))
    union all
    -- pg_dump loses the comment on the constraint of a constraint trigger, and keeps the one on the trigger.
    select 'constraint ' || conname, obj_description(oid, 'pg_constraint')
    from pg_constraint where connamespace = 'promptctl'::regnamespace and contype not in ('n', 't')
    union all
    select 'trigger ' || t.tgname, obj_description(t.oid, 'pg_trigger')
    from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = 'promptctl'::regnamespace and not t.tgisinternal
    union all
    select 'rule ' || r.rulename, obj_description(r.oid, 'pg_rewrite')
    from pg_rewrite r join pg_class c on c.oid = r.ev_class
    where c.relnamespace = 'promptctl'::regnamespace and r.rulename <> '_RETURN'
    union all
    select 'function ' || proname, obj_description(oid, 'pg_proc')
    from pg_proc where pronamespace = 'promptctl'::regnamespace
    union all
    select 'type ' || t.typname, obj_description(t.oid, 'pg_type')
    from pg_type t join pg_class c on c.oid = t.typrelid and c.relkind = 'c'
    where t.typnamespace = 'promptctl'::regnamespace
    union all
    select 'schema promptctl', obj_description('promptctl'::regnamespace, 'pg_namespace')
"""

# The part of the catalog that is equal on every version of PostgreSQL.
CATALOG = """
    select 'column', c.relname || '.' || a.attname, format('%s %s %s %s', format_type(a.atttypid, a.atttypmod),
           a.attnotnull, pg_get_expr(d.adbin, d.adrelid), co.collname)
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    left join pg_collation co on co.oid = a.attcollation
    where c.relnamespace = 'promptctl'::regnamespace and a.attnum > 0 and c.relkind in ('r', 'v', 'c')
    union all
    select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
    from pg_constraint where connamespace = 'promptctl'::regnamespace and contype <> 'n'
    union all
    select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
    from pg_index i join pg_class c on c.oid = i.indexrelid where c.relnamespace = 'promptctl'::regnamespace
    union all
    select 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(t.oid)
    from pg_trigger t join pg_class c on c.oid = t.tgrelid
    where c.relnamespace = 'promptctl'::regnamespace and not t.tgisinternal
    union all
    select 'function', oid::regprocedure::text,
           format('%s %s %s %s %s', prosecdef, provolatile, proconfig, pg_get_function_result(oid), md5(prosrc))
    from pg_proc where pronamespace = 'promptctl'::regnamespace
    order by 1, 2
"""


def test_every_object_has_a_comment(database: psycopg.Connection[Any]) -> None:
    objects = rows(database, OBJECTS)
    assert len(objects) > 100
    assert [name for name, comment in objects if not comment] == []


def test_every_column_without_a_self_explanatory_name_has_a_comment(database: psycopg.Connection[Any]) -> None:
    columns = rows(
        database,
        """
        select c.relname, a.attname, col_description(c.oid, a.attnum)
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'promptctl'::regnamespace and c.relkind in ('r', 'v') and a.attnum > 0
        """,
    )
    assert [(table, column) for table, column, comment in columns if not comment and column not in PLAIN_COLUMNS] == []


def test_no_constraint_has_a_generated_name(database: psycopg.Connection[Any]) -> None:
    suffixes = ("_pkey", "_key", "_fkey", "_check", "_excl")
    constraints = rows(
        database,
        "select conname from pg_constraint where connamespace = 'promptctl'::regnamespace and contype <> 'n'",
    )
    assert [name for (name,) in constraints if name.endswith(suffixes)] == []


def test_no_object_grants_a_privilege_to_public(database: psycopg.Connection[Any]) -> None:
    grants = rows(
        database,
        """
        select proname from pg_proc p, aclexplode(coalesce(proacl, acldefault('f', proowner))) a
        where pronamespace = 'promptctl'::regnamespace and a.grantee = 0
        union all
        select relname from pg_class c, aclexplode(coalesce(relacl, acldefault('r', relowner))) a
        where relnamespace = 'promptctl'::regnamespace and a.grantee = 0
        union all
        select attname from pg_attribute t join pg_class c on c.oid = t.attrelid, aclexplode(t.attacl) a
        where relnamespace = 'promptctl'::regnamespace and a.grantee = 0
        union all
        select nspname from pg_namespace n, aclexplode(coalesce(nspacl, acldefault('n', nspowner))) a
        where nspname = 'promptctl' and a.grantee = 0
        """,
    )
    assert grants == []


def test_every_function_has_a_search_path_that_its_caller_cannot_change(database: psycopg.Connection[Any]) -> None:
    # An empty search path is not enough: temporary objects, including types, are then searched first.
    functions = rows(
        database,
        """
        select proname, prosrc, prosqlbody is not null, coalesce(proconfig, '{}') from pg_proc
        where pronamespace = 'promptctl'::regnamespace
        """,
    )
    assert len(functions) > 20
    assert [
        name
        for name, _, has_parsed_body, settings in functions
        if not has_parsed_body and "search_path=pg_catalog, pg_temp" not in settings
    ] == []


def test_installing_again_changes_nothing(sql: psycopg.Connection[Any], server: Server) -> None:
    from promptctl import schema

    before = rows(sql, CATALOG)
    run(sql, schema.read_sql())
    assert rows(sql, CATALOG) == before


def test_every_version_of_postgresql_gets_the_same_schema() -> None:
    from promptctl import schema

    catalogs: dict[str, list[tuple[Any, ...]]] = {}
    for version, programs in SERVERS.items():
        server = Server.start(programs)
        try:
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                run(connection, schema.read_sql())
                catalogs[version] = rows(connection, CATALOG)
        finally:
            server.stop()
    first, *others = catalogs.values()
    for other in others:
        assert other == first
