"""What the environment says of Claude: the key, and where its API is. Checked before the SDK is loaded."""

from __future__ import annotations

import os

from promptctl import errors
from promptctl.records import Record

# Any of these lets the SDK find a profile or a federated identity; without one it need not be loaded to say no.
_OTHER_CREDENTIALS = (
    "ANTHROPIC_PROFILE", "ANTHROPIC_CONFIG_DIR", "ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE",
)  # fmt: skip


class Settings(Record):
    """What was found; with neither key nor token the SDK finds a profile or a federated identity.

    `base_url` None: Claude's own. `secrets` must stand in no message.
    """

    __slots__ = ()
    api_key: str | None
    auth_token: str | None
    base_url: str | None
    secrets: list[str]


def read() -> Settings:
    """Return the settings. Raises ClaudeFailed where there is no key, or what is there cannot be one, or no URL."""
    api_key = _credential("ANTHROPIC_API_KEY")
    auth_token = None if api_key else _credential("ANTHROPIC_AUTH_TOKEN")
    if api_key is None and auth_token is None and not _has_other_credentials():
        raise no_key()
    base_url = _base_url()
    secrets = [secret for secret in (api_key, auth_token, *_password(base_url)) if secret]
    return Settings(api_key, auth_token, base_url, secrets)


def _credential(name: str) -> str | None:
    """Return a key without the line end that a file or a secret store left on it; None: there is none.

    Raises ClaudeFailed for one that no header can hold.
    """
    key = os.environ.get(name, "").strip()
    if not key:
        return None
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise errors.ClaudeFailed(
            "invalid_api_key",
            f"{name} is no key: it has a line end, a space or another character that no key has",
            hint=f"set {name} to the key alone",
        )
    return key


def _has_other_credentials() -> bool:
    if any(os.environ.get(name) for name in _OTHER_CREDENTIALS):
        return True
    return os.path.isdir(os.path.expanduser("~/.config/anthropic"))


def no_key() -> errors.ClaudeFailed:
    """Return the error for no credentials of any kind."""
    empty = " (it is set but empty)" if "ANTHROPIC_API_KEY" in os.environ else ""
    return errors.ClaudeFailed(
        "no_api_key", f"there is no key for Claude{empty}", hint="export ANTHROPIC_API_KEY=…, from the Claude console"
    )


def _base_url() -> str | None:
    """Return where the API is, where that is set. Raises ClaudeFailed for what is no URL; it may hold a password."""
    url = os.environ.get("ANTHROPIC_BASE_URL")
    if url is None:
        return None
    url = url.strip()
    scheme, separator, rest = url.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    name, _, port = host.partition(":") if not host.startswith("[") else host.rpartition("]:")
    plausible = url.isascii() and url.isprintable() and " " not in url and (not port or port.isdigit())
    if not separator or scheme.lower() not in ("http", "https") or not (name or host) or not plausible:
        raise errors.ClaudeFailed(
            "invalid_base_url",
            "ANTHROPIC_BASE_URL is no URL of a server" if url else "ANTHROPIC_BASE_URL is set but empty",
            hint="set it to https://HOST, or unset it",
        )
    return url


def _password(url: str | None) -> tuple[str, ...]:
    credentials, at, _ = (url or "").partition("://")[2].partition("/")[0].rpartition("@")
    return (credentials.partition(":")[2],) if at else ()
