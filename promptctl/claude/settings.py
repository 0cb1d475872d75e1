"""Read the key and the URL of Claude's API from the environment, and check them before the SDK is loaded."""

from __future__ import annotations

import os

from promptctl import errors
from promptctl.records import Record

# What a version without these settings is called with.
DEFAULT_MODEL = "claude-sonnet-5-5"
DEFAULT_MAX_TOKENS = 8192
KEY_HINT = "export ANTHROPIC_API_KEY=KEY, with a key from the Claude Console"
# With one of these, the SDK may find a profile or a federated identity, so a missing key is not an error.
_OTHER_CREDENTIALS = (
    "ANTHROPIC_PROFILE", "ANTHROPIC_CONFIG_DIR", "ANTHROPIC_IDENTITY_TOKEN", "ANTHROPIC_IDENTITY_TOKEN_FILE",
)  # fmt: skip


class Settings(Record):
    """The settings for the SDK. Without a key or a token, the SDK looks for a profile or a federated identity.

    `base_url` is None for Anthropic's own URL. `secrets` are masked in messages.
    """

    api_key: str | None
    auth_token: str | None
    base_url: str | None
    secrets: list[str]


def read() -> Settings:
    """Return the settings. Raises ClaudeFailed for a missing or malformed key and for a malformed URL."""
    api_key = _credential("ANTHROPIC_API_KEY")
    auth_token = None if api_key else _credential("ANTHROPIC_AUTH_TOKEN")
    if api_key is None and auth_token is None and not _has_other_credentials():
        raise no_key()
    base_url = _base_url()
    secrets = [secret for secret in (api_key, auth_token, _password(base_url)) if secret]
    return Settings(api_key, auth_token, base_url, secrets)


def _credential(name: str) -> str | None:
    """Return the key in a variable without white space around it; None if it is not set.

    Raises ClaudeFailed for a key that an HTTP header cannot contain.
    """
    key = os.environ.get(name, "").strip()
    if not key:
        return None
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise errors.ClaudeFailed(
            "invalid_api_key",
            f"{name} is not a key: it contains a line break, a space or another invalid character",
            hint=f"set {name} to the key alone",
        )
    return key


def _has_other_credentials() -> bool:
    if any(os.environ.get(name) for name in _OTHER_CREDENTIALS):
        return True
    return os.path.isdir(os.path.expanduser("~/.config/anthropic"))


def no_key() -> errors.ClaudeFailed:
    """Return the error for missing credentials."""
    empty = " (ANTHROPIC_API_KEY is set but empty)" if "ANTHROPIC_API_KEY" in os.environ else ""
    return errors.ClaudeFailed("no_api_key", f"no API key for Claude{empty}", hint=KEY_HINT)


def _base_url() -> str | None:
    """Return the URL in ANTHROPIC_BASE_URL, None if it is not set. Raises ClaudeFailed for a malformed URL.

    The message leaves out the URL, because it may contain a password.
    """
    url = os.environ.get("ANTHROPIC_BASE_URL")
    if url is None:
        return None
    url = url.strip()
    if not _is_server_url(url):
        raise errors.ClaudeFailed(
            "invalid_base_url",
            "ANTHROPIC_BASE_URL is not the URL of a server" if url else "ANTHROPIC_BASE_URL is set but empty",
            hint="set it to https://HOST, or unset it",
        )
    return url


def _is_server_url(url: str) -> bool:
    from urllib.parse import urlsplit

    scheme, _, rest = url.partition("://")
    host_and_port = rest.partition("/")[0].rpartition("@")[2].lower()
    try:
        parts = urlsplit(f"//{host_and_port}")
        # Reading an invalid port raises ValueError.
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    # Some versions of Python ignore text beside the brackets of an IPv6 address.
    is_address_alone = "[" not in host_and_port or host_and_port.removeprefix(f"[{host}]")[:1] in ("", ":")
    is_plain = url.isascii() and url.isprintable() and " " not in url
    return is_plain and scheme.lower() in ("http", "https") and bool(host) and is_address_alone


def _password(url: str | None) -> str:
    """Return the password in a URL, '' if there is none."""
    user_and_password = (url or "").partition("://")[2].partition("/")[0].rpartition("@")[0]
    return user_and_password.partition(":")[2]
