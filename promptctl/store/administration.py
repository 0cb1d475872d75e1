"""The database itself: what is installed in it, and which login may do what."""

from __future__ import annotations

from promptctl import schema
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class Installation(Record):
    """What `db status` found in a database; `uses_to_roll_up` are the uses that are in no totals yet.

    `open_to_everybody` counts the functions and tables of the schema that every login may use: 0, unless a restore lost
    the grants.
    """

    __slots__ = ()
    database: str
    server_version: str
    schema_version: int | None
    expected_schema_version: int
    open_to_everybody: int | None
    prompts: int | None
    versions: int | None
    uses: int | None
    uses_to_roll_up: int | None
    rolled_up_at: Timestamp | None


def installation(database: Database) -> Installation:
    """Return what is there, also in a database without our schema (`schema_version` None) or with another version."""
    [(present,)] = database.run_unchecked("select to_regclass('promptctl.installation') is not null")
    version = None
    counted: tuple[Any, ...] = (None,) * 6
    if present:
        [(version,)] = database.run_unchecked("select (select i.version from promptctl.installation i)")
    if version == schema.VERSION:
        # Uses that are in totals are not counted one by one, and may be gone.
        [counted] = database.run_unchecked(
            """
            select (select count(*) from promptctl.open_to_everybody()),
                   (select count(*) from promptctl.served), (select count(*) from promptctl.versions),
                   (select coalesce(sum(t.uses), 0)::bigint from promptctl.totals t where t.grain = 'all') + w.uses,
                   w.uses, (select r.rolled_up_at from promptctl.roll_up r)
            from (select count(*) from promptctl.uses u
                  where u.recorded_in >= (select promptctl.rolled_below())) w (uses)
            """
        )
    return Installation(database.name, database.server_version, version, schema.VERSION, *counted)


def installation_id(database: Database) -> str:
    """Return the id of this database's installation, which no other has."""
    return str(database.run("select i.id from promptctl.installation i")[0][0])


def connected_login(database: Database) -> tuple[str, str | None, bool]:
    """Return the connected login, the owner of the schema (None: there is none), and whether the login may resolve."""
    [(login, owner, resolves)] = database.run_unchecked(
        """
        select current_user::text, pg_get_userbyid(n.nspowner)::text,
               exists (select from pg_catalog.pg_proc p where p.pronamespace = n.oid and p.proname = 'resolve'
                       and has_function_privilege(p.oid, 'execute'))
        from (select) one left join pg_catalog.pg_namespace n on n.nspname = 'promptctl'
        """
    )
    return login, owner, resolves


def grant(database: Database, login: str, access: str) -> None:
    """Give an existing login role what `access` (viewer, application, operator) needs, and take back the rest.

    Raises NotFound for an unknown role, Refused when the connected role may not grant.
    """
    database.run("select promptctl.grant_access($1, $2)", login, access)
