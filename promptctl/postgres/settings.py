"""The choice of a database: the option, the environment, libpq's own variables, else the embedded server."""

from __future__ import annotations

import os

from promptctl import errors
from promptctl.records import Record

# libpq reads these itself, and each of them chooses a database. PGUSER, PGPORT and its other variables only add to the
# choice.
_CHOOSING_VARIABLES = ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE", "PGSERVICEFILE")
# Names the embedded database where a URL is expected.
EMBEDDED = "embedded:"


class Target(Record):
    """A database to connect to.

    `url` is a URL, or a string of libpq's keywords. It is None for the embedded database, and where libpq's variables
    choose the database. `origin` is the option or the variable that chose it, and "embedded" if none did.
    """

    url: str | None
    embedded: bool
    origin: str

    @property
    def may_be_created(self) -> bool:
        """Whether an embedded database may be created if there is none.

        In CI a setting must choose it. Otherwise a job whose secret is missing would create a database that is deleted
        at its end.
        """
        return self.origin != "embedded" or not in_ci()


def in_ci() -> bool:
    """Return whether this is a run of CI: the variable CI is set, and is neither 0 nor false."""
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def target(database_url: str | None, origin: str = "--database-url") -> Target:
    """Return the database that was chosen. Raises Usage for a setting that is set but empty, or malformed.

    `database_url` is the value of the option `origin`, or None. An empty setting is an error, because it is usually a
    missing secret in CI: the next setting would choose another database.
    """
    if database_url is not None:
        return _named(database_url, origin)
    for name in ("PROMPTCTL_DATABASE_URL", "DATABASE_URL"):
        if (value := os.environ.get(name)) is not None:
            return _named(value, name)
    names = [name for name in _CHOOSING_VARIABLES if name in os.environ]
    for name in names:
        if not os.environ[name].strip():
            raise _empty_error(name)
    if names:
        return Target(url=None, embedded=False, origin=names[0])
    return Target(url=None, embedded=True, origin="embedded")


def _named(value: str, origin: str) -> Target:
    if value.strip() == EMBEDDED:
        return Target(url=None, embedded=True, origin=origin)
    return Target(url=_url(value, origin), embedded=False, origin=origin)


def _url(value: str, origin: str) -> str:
    """Return a URL with a scheme that libpq supports, or a string of keywords as it is."""
    if not value.strip():
        raise _empty_error(origin)
    scheme, separator, rest = value.strip().partition("://")
    if not separator and "=" in value:
        return value.strip()
    if not separator:
        separator = " " if origin.startswith("-") else "="
        hint = f"{origin}{separator}postgresql://USER@HOST/DATABASE"
        raise errors.Usage("invalid_database_url", f"{origin} is not a database URL", hint=hint)
    # SQLAlchemy writes its driver into the scheme: postgresql+psycopg://…
    plain = scheme.partition("+")[0].lower()
    if plain not in ("postgresql", "postgres"):
        raise errors.Usage(
            "invalid_database_url",
            f"{origin} is not the URL of a PostgreSQL database",
            hint="begin it with postgresql://, and percent-encode special characters in the password",
        )
    return f"{plain}://{rest}"


def _empty_error(name: str) -> errors.Usage:
    if name.startswith("-"):
        return errors.Usage("empty_setting", f"{name} is empty", hint=f"pass a URL, or omit {name}")
    return errors.Usage("empty_setting", f"{name} is set but empty", hint=f"set {name}, or unset it")
