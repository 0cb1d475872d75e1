"""Which database a client uses, without a password: for snapshots, and for prompts from another process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from promptctl.postgres import connecting

if TYPE_CHECKING:
    from promptctl.postgres import settings

_VARIABLES = {
    "host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE", "service": "PGSERVICE",
    "user": "PGUSER",
}  # fmt: skip


def identity(target: settings.Target) -> str:
    """Return a text that is the same for every login of a database."""
    if target.embedded:
        from promptctl.postgres.embedded import location

        return f"embedded {location.home()}"
    in_url = connecting.application_keywords(target.url, target.origin) if target.url else {}
    values = {keyword: in_url.get(keyword) or os.environ.get(name, "") for keyword, name in _VARIABLES.items()}
    keywords = ["host", "hostaddr", "port", "dbname", "service"]
    if not values["dbname"]:
        # The name of the database is then that of the user.
        keywords.append("user")
    return " ".join(f"{keyword}={values[keyword]}" for keyword in keywords)
