"""Connect to the configured database, for a command or for the threads of an application."""

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
# Keywords with secrets that, unlike a password, no environment variable can set.
SECRETS = ("sslpassword", "scram_client_key", "scram_server_key", "oauth_client_secret")
_EMBEDDED = "the embedded database"
# A command on the embedded database removes libpq's variables from its environment, because they describe another
# server. It keeps these.
_KEPT_VARIABLES = ("PGAPPNAME", "PGOPTIONS", "PGTZ", "PGDATESTYLE")
# An application's connection to the embedded server passes these keywords for the variables that are set. A variable
# such as PGSSLMODE=require is meant for another server, and no connection through a socket satisfies it.
_SOCKET_KEYWORDS = {
    "channel_binding": "disable", "gssencmode": "disable", "load_balance_hosts": "disable",
    "max_protocol_version": "latest", "min_protocol_version": "3.0", "require_auth": "none", "sslmode": "disable",
    "ssl_max_protocol_version": "TLSv1.3", "ssl_min_protocol_version": "TLSv1.2", "sslcertmode": "disable",
    "sslnegotiation": "postgres", "sslrootcert": "none", "target_session_attrs": "any",
}  # fmt: skip
# The keywords that identify a database, with libpq's variables for them. `user` does so only if no `dbname` is set.
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
    """Connect to the configured database. Raises Usage for an invalid setting, and Unreachable.

    The parameters are for the embedded database. `starts` allows to start its server, and `creates` to create the
    database if there is none. In CI it is created only if a setting names it, or if the command itself does
    (`names_embedded`). With `empty_if_absent`, a database that does not exist is not created: an EmptyDatabase is
    returned. `say` is called with a line of text before a slow step.
    """
    target = settings.target(database_url)
    if target.embedded:
        if (creates or empty_if_absent) and not (names_embedded or target.may_be_created):
            _refuse_to_create()
        if empty_if_absent and (new_home := _new_home()) is not None:
            say(f"there is no embedded database yet: sync creates it in {new_home}")
            return EmptyDatabase(_EMBEDDED)
        return _connect_embedded(creates, starts, say)
    return _configured_database(target, _command_parameters(), _connect_command)


def connect_application(target: settings.Target, *, connect_timeout_seconds: float, timeout_seconds: float) -> Database:
    """Connect for the threads of an application, which must detect a lost server soon. Raises Unreachable.

    `connect_timeout_seconds` is for all hosts of a URL together, `timeout_seconds` for each answer. Unlike a command,
    this sets no variables, because the environment belongs to the application. So a time that is read through this
    connection is in the time zone and the format of the session, not in RFC 3339.
    """
    driver = drivers.for_application()
    # psycopg allows `connect_timeout` for each host, and at least 2 seconds.
    seconds_per_host = connect_timeout_seconds / _count_hosts(target.url, target.origin, driver)
    client_parameters = {
        "fallback_application_name": "promptctl client",
        "keepalives_idle": "5",
        "keepalives_interval": "2",
        "keepalives_count": "3",
        "tcp_user_timeout": str(round(timeout_seconds * 1000)),
        "connect_timeout": str(max(2, round(seconds_per_host))),
    }
    if target.embedded:
        from promptctl.postgres.embedded import location, server

        home = location.home()
        if location.cluster(home) is None:
            raise errors.Unreachable("no_embedded_database", f"there is no embedded database in {home}")
        client_parameters |= _overrides(driver)

        def connect(parameters: Mapping[str, str]) -> Connection:
            return driver.connect({**client_parameters, **parameters})

        try:
            database = _embedded_database(home, connect)
        except ConnectionFailed as failure:
            if not server.is_absent(home, str(failure)):
                raise refusals.embedded_unreachable(failure) from None
            server.start(home, create=False, connect=connect, unless_stopped=True)
            database = _embedded_database(home, connect)
    else:
        database = _configured_database(target, client_parameters, driver.connect)
    database.set_timeout(timeout_seconds)
    return database


def keywords(url: str) -> dict[str, str]:
    """Return the values in a URL or a keyword string, by libpq's keyword. Raises Usage if it is malformed."""
    return _keywords(drivers.for_command(), url, "--database-url")


def _configured_database(
    target: settings.Target, parameters: dict[str, str], connect: Callable[[dict[str, str]], Connection]
) -> Database:
    if target.url is not None:
        # libpq accepts a URL, or a string of keywords, as `dbname`. A parameter after it overrides a value in it.
        parameters["dbname"] = target.url
    parameters["client_encoding"] = "UTF8"
    try:
        connection = connect(parameters)
    except ConnectionFailed as failure:
        raise refusals.unreachable(failure, target) from None
    return Database(connection, _label(connection), embedded=False)


def identity(target: settings.Target) -> str:
    """Return a text that identifies a database: it is the same for each of its logins, and has no password.

    Only an application calls this, because it imports psycopg. Raises Failed (`libpq_missing`), and Usage for a
    malformed URL.
    """
    driver = drivers.for_application()
    if target.embedded:
        from promptctl.postgres.embedded import location

        return f"embedded {location.home()}"
    in_url = _keywords(driver, target.url, target.origin) if target.url else {}
    values = {keyword: in_url.get(keyword) or os.environ.get(name, "") for keyword, name in _IDENTIFYING.items()}
    keywords = ["host", "hostaddr", "port", "dbname", "service"]
    if not values["dbname"]:
        # libpq then connects to the database that has the name of the user.
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
    """Raise Usage if there is no embedded database yet.

    In CI a new one would be deleted at the end of the job, with what the job has stored.
    """
    if _new_home() is not None:
        raise errors.Usage(
            "no_database_configured",
            "no database is configured, and CI is set: an embedded database is created there only by name",
            hint=f"set DATABASE_URL to postgresql://USER@HOST/DATABASE, or to {settings.EMBEDDED}",
        )


def _new_home() -> str | None:
    """Return the path for a new embedded database, or None if there is one already."""
    from promptctl.postgres.embedded import location

    home = location.home()
    return home if location.cluster(home) is None else None


def _connect_embedded(creates: bool, starts: bool, say: Callable[[str], None]) -> Database:
    """Connect to the embedded server. If it does not run, create or start it first, if that is allowed."""
    from promptctl.postgres.embedded import location

    home = location.home()
    _remove_variables()
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


def listen_embedded(listen: str, say: Callable[[str], None]) -> None:
    """Start the embedded server with `listen` as its TCP address, and create the database if there is none.

    Raises what `server.start` raises.
    """
    from promptctl.postgres.embedded import location, server

    _remove_variables()
    server.start(location.home(), create=True, say=say, listen=listen)


def _remove_variables() -> None:
    """Remove libpq's variables, which are for other servers, from the environment of this command."""
    for name in list(os.environ):
        if name.startswith("PG") and name not in _KEPT_VARIABLES:
            del os.environ[name]


def _embedded_database(home: str, connect: Callable[[Mapping[str, str]], Connection]) -> Database:
    from promptctl.postgres.embedded import location

    connection = connect({**location.conninfo(home), "client_encoding": "UTF8"})
    return Database(connection, _EMBEDDED, embedded=True)


def _connect_light(parameters: Mapping[str, str]) -> Connection:
    """Connect to the embedded server with a libpq that is faster to load (libpq_library.load)."""
    return _connect_command({**_command_parameters(), **parameters}, light=True)


def _overrides(driver: Driver) -> dict[str, str]:
    """Return keywords that override libpq's variables for an application's connection to the embedded server.

    The variables themselves belong to the application and stay as they are. Raises Usage for PGHOSTADDR and PGSERVICE,
    which no keyword overrides.
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
    return {keyword: _SOCKET_KEYWORDS[keyword] for keyword in keywords.values() if keyword in _SOCKET_KEYWORDS}


def _command_parameters() -> dict[str, str]:
    """Return the keywords of every connection of a command."""
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


def _connect_command(parameters: dict[str, str], *, light: bool = False) -> Connection:
    """Connect for a command. It reads times in UTC, in the format that `values` converts to RFC 3339."""
    # libpq sends these variables with its first message: setting them with a statement would cost a round trip.
    for name, value in (("PGTZ", "UTC"), ("PGDATESTYLE", "ISO")):
        os.environ[name] = value
    return drivers.for_command(light=light).connect(parameters, light=light)


def _count_hosts(url: str | None, origin: str, driver: Driver) -> int:
    """Return the number of hosts that libpq tries in turn. Raises Usage for a URL that libpq cannot parse."""
    parameters = _keywords(driver, url, origin) if url else {}
    for keyword, variable in (("hostaddr", "PGHOSTADDR"), ("host", "PGHOST")):
        if hosts := parameters.get(keyword) or os.environ.get(variable):
            return hosts.count(",") + 1
    return 1


def _label(connection: Connection) -> str:
    """Return the database as messages name it: `llm_app at db.prod`."""
    is_local = not connection.host or connection.host.startswith("/")
    host = "localhost" if is_local else connection.host
    port = "" if connection.port in ("", "5432") else f":{connection.port}"
    return f"{connection.database} at {host}{port}"
