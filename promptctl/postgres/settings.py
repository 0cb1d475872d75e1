"""The choice of a database: the option, the environment, libpq's own variables, else the embedded server."""

from __future__ import annotations

import os

from promptctl import errors
from promptctl.records import Record

# libpq reads these itself; any one of them chooses a database. PGUSER, PGPORT and the others complete the choice.
_LIBPQ = ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE", "PGSERVICEFILE")
# Names the embedded database where a URL is expected.
EMBEDDED = "embedded:"


class Target(Record):
    """A database to connect to. `url` is a URL or libpq's keywords, None for libpq's variables and the embedded server.

    `origin` is the setting that chose it, "embedded" if no setting did.
    """

    url: str | None
    embedded: bool
    origin: str

    @property
    def may_be_made(self) -> bool:
        """Whether an embedded database may be created if there is none.

        In CI a setting must name it: a missing secret must not create a database that is thrown away with the job.
        """
        return self.origin != "embedded" or not in_ci()


def in_ci() -> bool:
    """Return whether this is a run of CI: the variable CI is set, and is neither 0 nor false."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def target(database_url: str | None, origin: str = "--database-url") -> Target:
    """Return the database that was chosen. Raises Usage for a setting that is set but empty, or malformed.

    `origin` is the name of the option that `database_url` comes from. An empty setting is an error, because a missing
    secret in CI must not choose another database.
    """
    if database_url is not None:
        return _named(database_url, origin)
    for name in ("PROMPTCTL_DATABASE_URL", "DATABASE_URL"):
        value = os.environ.get(name)
        if value is not None:
            return _named(value, name)
    chosen = [name for name in _LIBPQ if name in os.environ]
    for name in chosen:
        if not os.environ[name].strip():
            raise _empty(name)
    return Target(None, False, chosen[0]) if chosen else Target(None, True, "embedded")


def _named(value: str, origin: str) -> Target:
    if value.strip() == EMBEDDED:
        return Target(None, True, origin)
    return Target(_url(value, origin), False, origin)


def _url(value: str, origin: str) -> str:
    if not value.strip():
        raise _empty(origin)
    scheme, separator, rest = value.strip().partition("://")
    if not separator:
        if "=" not in value:
            raise errors.Usage(
                "invalid_database_url",
                f"{origin} is not a database URL",
                hint=f"{origin}{' ' if origin.startswith('-') else '='}postgresql://USER@HOST/DATABASE",
            )
        return value.strip()
    # SQLAlchemy writes its driver into the scheme: postgresql+psycopg://…
    plain = scheme.partition("+")[0].lower()
    if plain not in ("postgresql", "postgres"):
        raise errors.Usage(
            "invalid_database_url",
            f"{origin} is not the URL of a PostgreSQL database",
            hint="begin it with postgresql://, and percent-encode special characters in the password",
        )
    return f"{plain}://{rest}"


def _empty(name: str) -> errors.Usage:
    if name.startswith("-"):
        return errors.Usage("empty_setting", f"{name} is empty", hint=f"pass a URL, or omit {name}")
    return errors.Usage("empty_setting", f"{name} is set but empty", hint=f"set {name}, or unset it")
