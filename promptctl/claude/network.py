"""Check the environment variables for proxies and certificates before the SDK reads them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from promptctl import errors

if TYPE_CHECKING:
    import httpx2

_SCHEMES = ("http", "https", "socks5", "socks5h")
_HIGHEST_PORT = 65535


def check_environment() -> None:
    """Raise ClaudeFailed (`invalid_network_setting`) for a variable that the SDK cannot use.

    The message has the name of the variable, not its value, because the URL of a proxy may contain a password.
    """
    for upper_case_name in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"):
        name = _name_in_environment(upper_case_name)
        if name is not None:
            _check_proxy(name, os.environ[name].strip())
    name = _name_in_environment("NO_PROXY")
    if name is not None:
        for entry in os.environ[name].split(","):
            if not _is_no_proxy_entry(entry.strip()):
                hint = f"list hosts and addresses in {name}, without brackets or networks"
                raise invalid(name, "has an entry that is neither a host nor an address", hint)
    _check_certificates()


def refuse_other_origin(response: httpx2.Response) -> None:
    """Raise an error of the transport for a redirect to another host, port or scheme, which would get the API key."""
    if not response.has_redirect_location:
        return
    import httpx2

    old = response.request.url
    new = old.join(response.headers["location"])
    if (new.scheme, new.host, new.port) != (old.scheme, old.host, old.port):
        message = f"it redirects to {new.scheme}://{new.netloc.decode()}, and only ANTHROPIC_BASE_URL gets the API key"
        raise httpx2.UnsupportedProtocol(message, request=response.request)


def invalid(name: str, problem: str, hint: str) -> errors.ClaudeFailed:
    """Return the error for an environment variable; `problem` continues the sentence after its name."""
    return errors.ClaudeFailed("invalid_network_setting", f"{name} {problem}", hint=hint)


def certificates_clause() -> str:
    """Return ` with the certificates of SSL_CERT_FILE` if a variable names the certificates, else ''."""
    names = _certificate_variables()
    return f" with the certificates of {names[0]}" if names else ""


def _certificate_variables() -> list[str]:
    return [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]


def setup_error(problem: Exception) -> errors.ClaudeFailed:
    """Return the error for an exception of the SDK's constructor, which sends no request."""
    certificates = _certificate_variables()
    if type(problem).__module__ == "ssl" and certificates:
        name = certificates[0]
        return invalid(name, "contains no certificates", f"unset {name}, or set it to a file of PEM certificates")
    proxies = map(_name_in_environment, ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"))
    names = [name for name in (*proxies, *certificates) if name]
    return invalid(
        " or ".join(names) if names else "the environment",
        f"cannot be used to reach Claude ({type(problem).__name__})",
        f"unset {' '.join(names)}" if names else "promptctl chat --help",
    )


def proxy_variable(url: str) -> str | None:
    """Return the name of the variable whose proxy is used for a URL; None for a direct connection."""
    import urllib.request

    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    name = _name_in_environment(f"{scheme.upper()}_PROXY") or _name_in_environment("ALL_PROXY")
    return None if name is None or urllib.request.proxy_bypass(host) else name


def _name_in_environment(name: str) -> str | None:
    """Return `name` in lower case, or else unchanged, if this variable is set and not blank; None otherwise."""
    return next((variable for variable in (name.lower(), name) if os.environ.get(variable, "").strip()), None)


def _check_proxy(name: str, value: str) -> None:
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    hint = f"set {name} to http://HOST:PORT, or unset it"
    host = rest.partition("/")[0].rpartition("@")[2]
    is_bracketed = host.startswith("[") and "]" in host
    if is_bracketed:
        address, _, port = host[1:].rpartition("]")
        port = port.removeprefix(":")
    else:
        address, _, port = host.partition(":")
    # Nine digits are more than a port has. `int` refuses a number with thousands of digits.
    is_port = not port or (port.isascii() and port.isdigit() and 0 < int(port[:9]) <= _HIGHEST_PORT)
    is_host = address and host.isprintable() and " " not in host and (not is_bracketed or _is_ipv6(address))
    if scheme.lower() not in _SCHEMES or not is_port or not is_host:
        raise invalid(name, "is not the URL of a proxy", hint)
    if scheme.lower().startswith("socks"):
        import importlib.util

        if importlib.util.find_spec("socksio") is None:
            from promptctl import requirements

            hint = requirements.install_command("socksio")
            raise invalid(name, "names a SOCKS proxy, which needs the package socksio", hint)


def _is_no_proxy_entry(entry: str) -> bool:
    """Whether the SDK's HTTP library can parse an entry of NO_PROXY."""
    host = entry.partition("://")[2] if "://" in entry else entry
    if _is_ipv6(host):
        return True
    _, colon, port = host.partition(":")
    return "[" not in host and (not colon or (port.isascii() and port.isdigit()))


def _is_ipv6(address: str) -> bool:
    import socket

    try:
        socket.inet_pton(socket.AF_INET6, address)
    except (OSError, UnicodeError, ValueError):
        return False
    return True


def _check_certificates() -> None:
    """Check SSL_CERT_FILE or, if it is not set, SSL_CERT_DIR. The SDK uses only the first of them that is set."""
    for name, exists, kind in (("SSL_CERT_FILE", os.path.isfile, "file"), ("SSL_CERT_DIR", os.path.isdir, "folder")):
        path = os.environ.get(name)
        if path:
            if not (exists(path) and os.access(path, os.R_OK)):
                hint = f"unset {name}, or set it to a {kind} of certificates"
                raise invalid(name, f"does not name a readable {kind}", hint)
            return
