"""The TCP address of the embedded server, for programs that cannot use its socket, and the password for that address.

The file `listen` in the home has both, one a line, and only the owner of the home can read it. A start writes it when
the server listens and the password is in effect. So an interrupted start changes no setting.

The server gets a verifier that is computed here, never the password itself.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from promptctl import atomic_files
from promptctl.errors import Usage
from promptctl.postgres.embedded import home, location
from promptctl.rules import references

if TYPE_CHECKING:
    from promptctl.postgres.connection import Connection

OFF = "off"

_FILE = "listen"
_HIGHEST_PORT = 65535
_HOSTS = {"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "[::1]": "::1"}
_FORMS = "127.0.0.1:PORT, [::1]:PORT, localhost:PORT or off"
_PASSWORD_BYTES = 24
_SALT_BYTES = 16
_ITERATIONS = 4096  # PostgreSQL's own number
_SOCKET_ERROR = re.compile(r'could not (?:bind|create|listen on) .*address "[^"]*": (.+)')


@dataclass(frozen=True, slots=True)
class Listening:
    """An address on the loopback interface, and the password of the owner's role there."""

    host: str
    port: int
    password: str = field(repr=False)

    @property
    def address(self) -> str:
        """The address as it is written, for example `127.0.0.1:5433` or `[::1]:5433`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str) -> Listening | None:
    """Return the address that a person wrote, with a new password, or None for `off`. Raises Usage.

    `localhost` is 127.0.0.1. Addresses of other interfaces are refused, because the server has no TLS.
    """
    import secrets

    if text == OFF:
        return None
    host, _, port = text.rpartition(":")
    if not host or text.endswith("]") or (":" in host and not host.startswith("[")):
        raise Usage("usage", f"invalid --listen {references.quoted(text)}: write {_FORMS}")
    if host not in _HOSTS:
        raise Usage(
            "usage",
            f"invalid --listen {references.quoted(text)}: the embedded server has no TLS, so it listens only on"
            " 127.0.0.1 and [::1]",
            hint="for other machines, run a PostgreSQL server with TLS, and set DATABASE_URL",
        )
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= _HIGHEST_PORT):
        raise Usage("usage", f"invalid port {references.quoted(port)} in --listen: use 1 to {_HIGHEST_PORT}")
    return Listening(_HOSTS[host], int(port), secrets.token_urlsafe(_PASSWORD_BYTES))


def read(home_directory: str) -> Listening | None:
    """Return the stored address and password, or None if the server listens on its socket only.

    Raises Failed (`data_directory_unusable`) if the file is damaged, OSError if it cannot be read.
    """
    path = os.path.join(home_directory, _FILE)
    try:
        with open(home.open_regular(path, os.O_RDONLY), encoding="ascii", errors="replace") as file:
            place, password, *rest = [*file.read().splitlines(), "", ""]
    except FileNotFoundError:
        return None
    host, _, port = place.rpartition(":")
    if host not in _HOSTS or not port.isdecimal() or not password or any(rest):
        raise location.unusable(path, "it is damaged", "remove it, then run promptctl db start with --listen")
    return Listening(_HOSTS[host], int(port), password)


def stored(home_directory: str) -> Listening | None:
    """Return what `read` returns, for a command. Raises Failed (`data_directory_unusable`) also instead of OSError."""
    with home.failures(home_directory):
        return read(home_directory)


def write(home_directory: str, setting: Listening | None) -> None:
    """Store an address and its password, or with None remove them. Raises OSError."""
    path = os.path.join(home_directory, _FILE)
    if setting is None:
        with suppress(FileNotFoundError):
            os.unlink(path)
    else:
        atomic_files.replace(path, f"{setting.address}\n{setting.password}\n".encode("ascii"), 0o600)


def set_password(connection: Connection, setting: Listening | None) -> None:
    """Give the owner's role the password of `setting`, or with None no password. Raises what the connection raises."""
    value = "null" if setting is None else f"'{_verifier(setting.password)}'"
    connection.script(f"alter role {location.SUPERUSER} password {value}")


def _verifier(password: str) -> str:
    """Return what PostgreSQL stores instead of a password of ASCII characters (RFC 5802, RFC 7677)."""
    import base64
    import hashlib
    import hmac

    salt = os.urandom(_SALT_BYTES)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    encoded = [base64.b64encode(part).decode("ascii") for part in (salt, stored_key, server_key)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{encoded[0]}${encoded[1]}:{encoded[2]}"


def refusal(log: str) -> str | None:
    """Return why the server cannot listen on its address, from the lines of its log, or None for another reason."""
    if "could not create any TCP/IP sockets" not in log:
        return None
    line = _SOCKET_ERROR.search(log)
    return line[1] if line else "its log has no reason"
