"""Connecting to the configured database: for a command, or for the threads of an application."""

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
# libpq's variables that apply to the embedded database as well.
_EMBEDDED_TOO = ("PGAPPNAME", "PGOPTIONS", "PGTZ", "PGDATESTYLE")
# Values for a connection through the embedded server's socket, which override libpq's variables.
_HARMLESS = {
    "channel_binding": "disable", "gssencmode": "disable", "load_balance_hosts": "disable",
    "max_protocol_version": "latest", "min_protocol_version": "3.0", "require_auth": "none", "sslmode": "disable",
    "ssl_max_protocol_version": "TLSv1.3", "ssl_min_protocol_version": "TLSv1.2", "sslcertmode": "disable",
    "sslnegotiation": "postgres", "sslrootcert": "none", "target_session_attrs": "any",
}  # fmt: skip

# Of these keywords, and of libpq's variables for them, a database is identified by those without a login.
_IDENTIFYING = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "service": "PGSERVICE",
    "user": "PGUSER",
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
    """Connect to the configured database.

    `creates` allows the creation of an embedded cluster, `starts` the start of an existing one. In CI, a setting or,
    with `names_embedded`, the command itself must name the embedded database before one is created. With
    `empty_if_absent`, returns an EmptyDatabase instead of creating one. Calls `say` with a line before a slow step.
    Raises Usage for an invalid setting, Unreachable.
    """
    target = settings.target(database_url)
    if target.embedded:
        if (creates or empty_if_absent) and not (names_embedded or target.may_be_made):
            _refuse_to_create()
        if empty_if_absent and (absent := _absent_home()) is not None:
            say(f"there is no embedded database yet: sync creates it in {absent}")
            return EmptyDatabase(_EMBEDDED)
        return _connect_embedded(creates, starts, say)
    return _configured_database(target, _common(), _connected)


def connect_application(target: settings.Target, *, connect_timeout_seconds: float, timeout_seconds: float) -> Database:
    """Connect for the threads of an application, which must detect a lost server soon. Raises Unreachable.

    `connect_timeout_seconds` is for all hosts of a URL together, `timeout_seconds` for each answer. The environment
    belongs to the application and is not changed, so times have the format of the session.
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
        database = _configured_database(target, own, driver.connect)
    database.set_timeout(timeout_seconds)
    return database


def keywords(url: str) -> dict[str, str]:
    """Return the values of a URL or a keyword string by libpq's keywords. Raises Usage for a malformed one."""
    return _keywords(drivers.for_command(), url, "--database-url")


def _configured_database(
    target: settings.Target, parameters: dict[str, str], connect: Callable[[dict[str, str]], Connection]
) -> Database:
    if target.url is not None:
        # libpq expands a URL or keywords in `dbname`; later keywords win.
        parameters["dbname"] = target.url
    parameters["client_encoding"] = "UTF8"
    try:
        connection = connect(parameters)
    except ConnectionFailed as failure:
        raise refusals.unreachable(failure, target) from None
    return Database(connection, _label(connection), embedded=False)


def identity(target: settings.Target) -> str:
    """Return a text that is the same for every login of a database, for an application. It has no password.

    Imports psycopg. Raises Failed (`libpq_missing`), and Usage for a malformed URL.
    """
    driver = drivers.for_application()
    if target.embedded:
        from promptctl.postgres.embedded import location

        return f"embedded {location.home()}"
    in_url = _keywords(driver, target.url, target.origin) if target.url else {}
    values = {keyword: in_url.get(keyword) or os.environ.get(name, "") for keyword, name in _IDENTIFYING.items()}
    keywords = ["host", "hostaddr", "port", "dbname", "service"]
    if not values["dbname"]:
        # The name of the database is then that of the user.
        keywords.append("user")
    return " ".join(f"{keyword}={values[keyword]}" for keyword in keywords)


def _keywords(driver: Driver, url: str, origin: str) -> dict[str, str]:
    try:
        return driver.keywords(url)
    except ConnectionFailed:
        raise errors.Usage(
            "invalid_database_url",
            f"{origin} is not a valid database URL",
            hint="write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, in the password %40 for @ and %25 for %",
        ) from None


def _refuse_to_create() -> None:
    """Raise Usage if there is no embedded database yet: a job in CI would fill one that is deleted with the job."""
    if _absent_home() is not None:
        raise errors.Usage(
            "no_database_configured",
            "no database is configured, and CI is set: an embedded database is created there only by name",
            hint=f"set DATABASE_URL to postgresql://USER@HOST/DATABASE, or to {settings.EMBEDDED}",
        )


def _absent_home() -> str | None:
    """Return the path for a new embedded database, or None if there is one."""
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
    """Return keywords that override libpq's variables for an application's connection to the embedded server.

    The environment belongs to the application and is not changed. Raises Usage for a variable without such a keyword.
    """
    if not any(name.startswith("PG") for name in os.environ):
        return {}
    keywords = {name: keyword for name, keyword in driver.variables().items() if name in os.environ}
    for name in ("PGHOSTADDR", "PGSERVICE"):
        if name in keywords:
            raise errors.Usage(
                "not_embedded",
                f"{name} is set, and selects another database than the embedded one",
                hint=f"unset {name}",
            )
    return {keyword: _HARMLESS[keyword] for keyword in keywords.values() if keyword in _HARMLESS}


def _common() -> dict[str, str]:
    # Detect a host that disappears during a statement within half a minute instead of two hours.
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
    # libpq sends these with its first message, so times are in RFC 3339 without another round trip.
    for name, value in (("PGTZ", "UTC"), ("PGDATESTYLE", "ISO")):
        os.environ[name] = value
    return drivers.for_command(light=light).connect(parameters, light=light)


def _hosts(url: str | None, origin: str, driver: Driver) -> int:
    """Return the number of hosts that are tried in turn. Raises Usage for a URL that libpq cannot parse."""
    parameters = _keywords(driver, url, origin) if url else {}
    for keyword, variable in (("hostaddr", "PGHOSTADDR"), ("host", "PGHOST")):
        if hosts := parameters.get(keyword) or os.environ.get(variable):
            return hosts.count(",") + 1
    return 1


def _label(connection: Connection) -> str:
    host = "localhost" if connection.host.startswith("/") or not connection.host else connection.host
    port = "" if connection.port in ("", "5432") else f":{connection.port}"
    return f"{connection.database} at {host}{port}"
