"""Opening a connection to the database that was chosen: for a command, or for an application's threads."""

from __future__ import annotations

import os

from promptctl import errors
from promptctl.postgres import drivers, refusals, settings
from promptctl.postgres.connection import ConnectionFailed
from promptctl.postgres.database import Database, EmptyDatabase

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from promptctl.postgres.connection import Connection
    from promptctl.postgres.drivers import Driver

CONNECT_TIMEOUT_SECONDS = 10
_EMBEDDED = "the embedded database"
# Of libpq's variables these have a meaning for the embedded database as well.
_EMBEDDED_TOO = ("PGAPPNAME", "PGOPTIONS", "PGTZ", "PGDATESTYLE")
# What a connection through the embedded server's socket takes, in the place of what a variable says.
_HARMLESS = {
    "channel_binding": "disable", "gssencmode": "disable", "load_balance_hosts": "disable",
    "max_protocol_version": "latest", "min_protocol_version": "3.0", "require_auth": "none", "sslmode": "disable",
    "ssl_max_protocol_version": "TLSv1.3", "ssl_min_protocol_version": "TLSv1.2", "sslcertmode": "disable",
    "sslnegotiation": "postgres", "sslrootcert": "none", "target_session_attrs": "any",
}  # fmt: skip


def connect(
    database_url: str | None,
    *,
    creates: bool = False,
    starts: bool = True,
    names_embedded: bool = False,
    empty_if_absent: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Database:
    """Connect to the database that was chosen.

    `creates` allows making an embedded cluster where there is none, `starts` starting the server of one that exists.
    In CI none is made unless a setting or, with `names_embedded`, the command itself names the embedded database.
    `empty_if_absent` returns an EmptyDatabase where one would be made.
    `say` gets a line when something slow begins. Raises Usage for a malformed setting, Unreachable.
    """
    target = settings.target(database_url)
    if target.embedded:
        if (creates or empty_if_absent) and not (names_embedded or target.may_be_made):
            _refuse_to_make()
        if empty_if_absent and (absent := _absent_home()) is not None:
            say(f"there is no embedded database yet: sync makes it in {absent}")
            return EmptyDatabase(_EMBEDDED)
        return _connect_embedded(creates, starts, say)
    parameters = _common()
    if target.url is not None:
        # libpq expands a URL or a keyword string that stands for the database's name; later keywords win.
        parameters["dbname"] = target.url
    parameters["client_encoding"] = "UTF8"
    try:
        connection = _connected(parameters)
    except ConnectionFailed as failure:
        raise refusals.unreachable(failure, target) from None
    return Database(connection, _label(connection), embedded=False)


def connect_application(target: settings.Target, *, connect_timeout_seconds: float, timeout_seconds: float) -> Database:
    """Connect for the threads of an application, which must notice soon that the server is gone. Raises Unreachable.

    `connect_timeout_seconds` is for all hosts of a URL together, `timeout_seconds` for each answer. The environment,
    which is the application's, is left alone: times come in whatever form the session has.
    """
    driver = drivers.for_application()
    # psycopg allows this time for each host, and at least 2 seconds.
    connect_timeout = str(max(2, round(connect_timeout_seconds / _hosts(target.url, target.origin, driver))))
    own = {
        "fallback_application_name": "promptctl client",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": str(round(timeout_seconds * 1000)),
        "connect_timeout": connect_timeout,
    }
    if target.embedded:
        from promptctl.postgres.embedded import location, server

        home = location.home()
        if location.cluster(home) is None:
            raise errors.Unreachable("no_embedded_database", f"there is no embedded database in {home}")
        own |= _shield(driver)

        def connect(parameters: Mapping[str, str]) -> Connection:
            return driver.connect({**own, **parameters})

        try:
            database = _embedded_database(home, connect)
        except ConnectionFailed as failure:
            if not server.is_absent(home, str(failure)):
                raise refusals.embedded_unreachable(failure) from None
            server.start(home, create=False, connect=connect, unless_stopped=True)
            database = _embedded_database(home, connect)
    else:
        if target.url is not None:
            own["dbname"] = target.url
        own["client_encoding"] = "UTF8"
        try:
            connection = driver.connect(own)
        except ConnectionFailed as failure:
            raise refusals.unreachable(failure, target) from None
        database = Database(connection, _label(connection), embedded=False)
    database.set_timeout(timeout_seconds)
    return database


def load_application_driver() -> None:
    """Import psycopg. Raises Failed (`libpq_missing`)."""
    drivers.for_application()


def keywords(url: str, origin: str = "--database-url") -> dict[str, str]:
    """Return the values of a URL or a keyword string by libpq's keywords. Raises Usage for a malformed one."""
    return _keywords(drivers.for_command(), url, origin)


def application_keywords(url: str, origin: str) -> dict[str, str]:
    """Do what `keywords` does, in an application."""
    return _keywords(drivers.for_application(), url, origin)


def _keywords(driver: Driver, url: str, origin: str) -> dict[str, str]:
    try:
        return driver.keywords(url)
    except ConnectionFailed:
        raise errors.Usage(
            "invalid_database_url",
            f"{origin} is not a valid database URL",
            hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, in the password %40 for @ and %25 for %",
        ) from None


def _refuse_to_make() -> None:
    """Raise Usage where there is no embedded database yet: a job in CI would fill one that is thrown away with it."""
    if _absent_home() is not None:
        raise errors.Usage(
            "no_database_configured",
            "no database is configured, and CI is set: an embedded database is made there only by name",
            hint=f"set DATABASE_URL to postgresql://USER@HOST/DATABASE, or to {settings.EMBEDDED}",
        )


def _absent_home() -> str | None:
    """Return where the embedded database would be made; None: there is one."""
    from promptctl.postgres.embedded import location

    home = location.home()
    return home if location.cluster(home) is None else None


def _connect_embedded(creates: bool, starts: bool, say: Callable[[str], None]) -> Database:
    from promptctl.postgres.embedded import location

    home = location.home()
    for name in [name for name in os.environ if name.startswith("PG") and name not in _EMBEDDED_TOO]:
        del os.environ[name]
    if location.cluster(home) is not None:
        try:
            return _embedded_database(home, _connect_light)
        except ConnectionFailed as failure:
            from promptctl.postgres.embedded import server

            if not starts or not server.is_absent(home, str(failure)):
                raise refusals.embedded_unreachable(failure) from None
    elif not starts:
        raise errors.Unreachable("no_embedded_database", f"there is no embedded database in {home}")
    from promptctl.postgres.embedded import server

    server.start(home, create=creates, say=say)
    try:
        return _embedded_database(home, _connect_light)
    except ConnectionFailed as failure:
        raise refusals.embedded_unreachable(failure) from None


def _embedded_database(home: str, connect: Callable[[Mapping[str, str]], Connection]) -> Database:
    from promptctl.postgres.embedded import location

    connection = connect({**location.conninfo(home), "client_encoding": "UTF8"})
    return Database(connection, _EMBEDDED, embedded=True)


def _connect_light(parameters: Mapping[str, str]) -> Connection:
    return _connected({**_common(), **parameters}, light=True)


def _shield(driver: Driver) -> dict[str, str]:
    """Return keywords that keep libpq's variables away from the embedded connection of an application.

    The environment is the application's, and is left alone. Raises Usage for a variable that no keyword outweighs.
    """
    if not any(name.startswith("PG") for name in os.environ):
        return {}
    keywords = {name: keyword for name, keyword in driver.variables().items() if name in os.environ}
    for name in ("PGHOSTADDR", "PGSERVICE"):
        if name in keywords:
            raise errors.Usage(
                "not_embedded", f"{name} is set, and leads away from the embedded database", hint=f"unset {name}"
            )
    return {keyword: _HARMLESS[keyword] for keyword in keywords.values() if keyword in _HARMLESS}


def _common() -> dict[str, str]:
    # A host that vanishes in the middle of a statement is noticed within half a minute instead of two hours.
    parameters = {
        "fallback_application_name": "promptctl",
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
        "tcp_user_timeout": "30000",
    }
    if not os.environ.get("PGCONNECT_TIMEOUT"):
        parameters["connect_timeout"] = str(CONNECT_TIMEOUT_SECONDS)
    return parameters


def _connected(parameters: dict[str, str], *, light: bool = False) -> Connection:
    # libpq sends these with its first message: times come as RFC 3339 needs them, for no round trip of their own.
    for name, value in (("PGTZ", "UTC"), ("PGDATESTYLE", "ISO")):
        os.environ[name] = value
    return drivers.for_command(light=light).connect(parameters, light=light)


def _hosts(url: str | None, origin: str, driver: Driver) -> int:
    """How many hosts are tried one after the other. Raises Usage for a URL that libpq cannot read."""
    parameters = _keywords(driver, url, origin) if url else {}
    for keyword, variable in (("hostaddr", "PGHOSTADDR"), ("host", "PGHOST")):
        if hosts := parameters.get(keyword) or os.environ.get(variable):
            return hosts.count(",") + 1
    return 1


def _label(connection: Connection) -> str:
    host = "localhost" if connection.host.startswith("/") or not connection.host else connection.host
    port = "" if connection.port in ("", "5432") else f":{connection.port}"
    return f"{connection.database} at {host}{port}"
