"""The installation of the schema in a database, and the access of its logins."""

from __future__ import annotations

from promptctl import schema
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class Installation(Record):
    """What is installed in a database. `schema_version` is None without our schema.

    `is_usable` is whether the schema serves this promptctl. The counts are None unless it does. `open_to_everybody`
    counts the functions and tables of the schema that every login may use. It is 0, unless a restore lost the grants.
    `uses_to_roll_up` counts the uses that are not yet in totals.
    """

    database: str
    server_version: str
    schema_version: int | None
    expected_schema_version: int
    is_usable: bool
    open_to_everybody: int | None
    prompts: int | None
    versions: int | None
    uses: int | None
    uses_to_roll_up: int | None
    rolled_up_at: Timestamp | None
    test_runs: int | None


def read_installation(database: Database) -> Installation:
    """Return what is installed, also in a database without our schema or with another version of it."""
    [(is_installed,)] = database.run_unchecked("select to_regclass('promptctl.installation') is not null")
    version, is_usable = None, False
    counts: tuple[Any, ...] = (None,) * 7
    if is_installed:
        # Before version 7 the table had no compatible_version.
        [(version, compatible_version)] = database.run_unchecked(
            """
            select i.version, coalesce((to_jsonb(i) ->> 'compatible_version')::integer, i.version)
            from (select) one left join promptctl.installation i on true
            """
        )
        is_usable = version is not None and compatible_version <= schema.VERSION <= version
    if is_usable:
        # All uses are those in totals plus those that are not yet in totals. Counting the single uses would miss the
        # dropped ones.
        [counts] = database.run_unchecked(
            """
            select (select count(*) from promptctl.open_to_everybody()),
                   (select count(*) from promptctl.served), (select count(*) from promptctl.versions),
                   (select coalesce(sum(t.uses), 0)::bigint from promptctl.totals t where t.grain = 'all') + w.uses,
                   w.uses, (select r.rolled_up_at from promptctl.roll_up r), (select count(*) from promptctl.test_runs)
            from (select count(*) from promptctl.uses u
                  where u.recorded_in >= (select promptctl.rolled_below())) w (uses)
            """
        )
    return Installation(database.name, database.server_version, version, schema.VERSION, is_usable, *counts)


def read_installation_id(database: Database) -> str:
    """Return the unique id of the installation in this database."""
    return str(database.run("select i.id from promptctl.installation i")[0][0])


def read_login(database: Database) -> tuple[str, str | None, bool]:
    """Return the connected login, the owner of the schema (None without one), and whether the login may resolve."""
    [(login, owner, may_resolve)] = database.run_unchecked(
        """
        select current_user::text, pg_get_userbyid(n.nspowner)::text,
               exists (select from pg_catalog.pg_proc p where p.pronamespace = n.oid and p.proname = 'resolve'
                       and has_function_privilege(p.oid, 'execute'))
        from (select) one left join pg_catalog.pg_namespace n on n.nspname = 'promptctl'
        """
    )
    return login, owner, may_resolve


def grant_access(database: Database, login: str, access: str) -> None:
    """Grant an existing login role what `access` (viewer, reviewer, application, ticker, operator) needs.

    Raises NotFound for an unknown role, and Refused if the connected role must not grant.
    """
    database.run("select promptctl.grant_access($1, $2)", login, access)
