"""promptctl db url."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from promptctl import errors
from promptctl.output import stream
from promptctl.postgres import connecting, drivers, settings
from promptctl.postgres.embedded import location

if TYPE_CHECKING:
    from promptctl.cli.run import Run

# A URL is shown and copied, so it has no secret.
_SECRETS = ("password", *connecting.SECRETS)
_EMBEDDED_KEYWORDS = ("host", "port", "user", "dbname")


def url(run: Run, password: bool = False) -> None:
    """Print the URL with which another program connects.

    The URL has no password. Give it to the program as PGPASSWORD or in ~/.pgpass.
    The embedded server is started if it does not run. Its URL names its socket,
    which accepts only the user of the system that it belongs to, and root. If it
    has a TCP port (`promptctl db start --listen`), the URL names the port, and
    --password adds the password of the port.

    Examples:
      promptctl db url
      psql "$(promptctl db url)"
      promptctl db url --password
    """
    target = settings.target(run.database_url)
    if password and not target.embedded:
        raise errors.Usage("usage", f"--password is for the embedded database, and {target.origin} chooses another")
    secret = ""
    if target.embedded:
        with run.database() as database:
            database.run("select")
        home = location.home()
        parameters = location.conninfo(home)
        keywords = {name: parameters[name] for name in _EMBEDDED_KEYWORDS}
        from promptctl.postgres.embedded import listening

        tcp = listening.stored(home)
        if tcp:
            keywords |= {"host": tcp.host, "port": str(tcp.port)}
            if password:
                secret = tcp.password
            else:
                run.note("this URL needs a password: promptctl db url --password prints the URL with it")
        elif password:
            raise errors.Usage(
                "usage",
                "the embedded server listens on its socket only, which needs no password",
                hint="to add a TCP port: promptctl db stop && promptctl db start --listen 127.0.0.1:5433",
            )
    elif target.url is not None:
        keywords = connecting.keywords(target.url)
    else:
        variables = drivers.for_command().variables()
        keywords = {keyword: os.environ[name] for name, keyword in variables.items() if os.environ.get(name)}
    text = _url({name: value for name, value in keywords.items() if name not in _SECRETS}, secret)
    if run.form == "json":
        stream.write_json({"url": text, "chosen_by": target.origin})
    else:
        stream.write(f"{text}\n")


def _url(keywords: dict[str, str], password: str = "") -> str:
    """Return the URL for libpq's keywords. Its query has those without a place of their own, such as a socket."""
    rest = dict(keywords)
    secret = f":{quote(password, safe='')}" if password else ""
    user = f"{quote(rest.pop('user'), safe='')}{secret}@" if rest.get("user") else ""
    host, port = rest.get("host", ""), rest.get("port", "")
    place = ""
    if host and not any(character in host for character in "/,@") and "," not in port:
        place = f"[{rest.pop('host')}]" if ":" in host else quote(rest.pop("host"), safe="")
        place += f":{rest.pop('port')}" if port else ""
    database = quote(rest.pop("dbname", ""), safe="")
    query = "&".join(f"{name}={quote(value, safe='/,')}" for name, value in rest.items() if value)
    return f"postgresql://{user}{place}/{database}" + (f"?{query}" if query else "")
