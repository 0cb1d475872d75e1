"""promptctl db url."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from promptctl.output import stream
from promptctl.postgres import connecting, drivers, settings
from promptctl.postgres.embedded import location

if TYPE_CHECKING:
    from promptctl.cli.run import Run

# A URL is shown and copied, so it has no secret.
_SECRETS = ("password", *connecting.SECRETS)
_EMBEDDED_KEYWORDS = ("host", "port", "user", "dbname")


def url(run: Run) -> None:
    """Print the URL with which another program connects.

    The URL has no password. Give it to the program as PGPASSWORD or in ~/.pgpass.
    The embedded server is started if it does not run. It listens on a socket only,
    and accepts only the user of the system that it belongs to, and root.

    Examples:
      promptctl db url
      psql "$(promptctl db url)"
    """
    target = settings.target(run.database_url)
    if target.embedded:
        with run.database() as database:
            database.run("select")
        parameters = location.conninfo(location.home())
        keywords = {name: parameters[name] for name in _EMBEDDED_KEYWORDS}
    elif target.url is not None:
        keywords = connecting.keywords(target.url)
    else:
        variables = drivers.for_command().variables()
        keywords = {keyword: os.environ[name] for name, keyword in variables.items() if os.environ.get(name)}
    text = _url({name: value for name, value in keywords.items() if name not in _SECRETS})
    if run.form == "json":
        stream.write_json({"url": text, "chosen_by": target.origin})
    else:
        stream.write(f"{text}\n")


def _url(keywords: dict[str, str]) -> str:
    """Return the URL for libpq's keywords. Its query has those without a place of their own, such as a socket."""
    rest = dict(keywords)
    user = f"{quote(rest.pop('user'), safe='')}@" if rest.get("user") else ""
    host, port = rest.get("host", ""), rest.get("port", "")
    place = ""
    if host and not any(character in host for character in "/,@") and "," not in port:
        place = f"[{rest.pop('host')}]" if ":" in host else quote(rest.pop("host"), safe="")
        place += f":{rest.pop('port')}" if port else ""
    database = quote(rest.pop("dbname", ""), safe="")
    query = "&".join(f"{name}={quote(value, safe='/,')}" for name, value in rest.items() if value)
    return f"postgresql://{user}{place}/{database}" + (f"?{query}" if query else "")
