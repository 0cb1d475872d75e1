"""What the environment says of the way to Claude, proxies and certificates: checked before the SDK is loaded."""

from __future__ import annotations

import os

from promptctl import errors

_SCHEMES = ("http", "https", "socks5", "socks5h")
_HIGHEST_PORT = 65535


def check() -> None:
    """Raise ClaudeFailed (`invalid_network_setting`), with the variable's name, for what the SDK cannot use.

    A proxy's URL may hold a password, so no value stands in the message.
    """
    for kind in ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY"):
        name = _set(kind)
        if name is not None:
            _check_proxy(name, os.environ[name].strip())
    name = _set("NO_PROXY")
    if name is not None:
        for entry in os.environ[name].split(","):
            if not _can_be_left_out(entry.strip()):
                raise invalid(
                    name,
                    "holds what is neither a host nor an address",
                    f"write hosts and addresses in {name}, without brackets and networks",
                )
    _check_certificates()


def invalid(name: str, what: str, hint: str) -> errors.ClaudeFailed:
    """Return the error for a variable that says how to reach Claude and cannot be used."""
    return errors.ClaudeFailed("invalid_network_setting", f"{name} {what}", hint=hint)


def by_certificates() -> str:
    """Return the words for whose certificates a connection was checked by: a variable's, or none of them."""
    names = _certificate_variables()
    return f" by the certificates in {names[0]}" if names else ""


def _certificate_variables() -> list[str]:
    return [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if os.environ.get(name)]


def unusable(problem: Exception) -> errors.ClaudeFailed:
    """Return the error for what the SDK refuses when it is made ready; nothing was sent then."""
    names = _certificate_variables()
    if type(problem).__module__ == "ssl" and names:
        return invalid(
            names[0], "holds no certificates", f"unset {names[0]}, or name a file of certificates in PEM form"
        )
    kinds = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY")
    names = [name for name in (*map(_set, kinds), *names) if name]
    told = " or ".join(names) if names else "the environment"
    return invalid(
        told,
        f"cannot be used to reach Claude ({type(problem).__name__})",
        f"unset {' '.join(names)}" if names else "promptctl chat --help",
    )


def proxy(url: str) -> str | None:
    """Return the name of the variable whose proxy a URL is asked through; None: it is asked directly."""
    import urllib.request

    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    name = _set(f"{scheme.upper()}_PROXY") or _set("ALL_PROXY")
    return None if name is None or urllib.request.proxy_bypass(host) else name


def _set(name: str) -> str | None:
    """The name under which a variable is set and not empty: the one in small letters counts first."""
    return next((each for each in (name.lower(), name) if os.environ.get(each, "").strip()), None)


def _check_proxy(name: str, value: str) -> None:
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
    hint = f"set {name} to http://HOST:PORT, or unset it"
    host = rest.partition("/")[0].rpartition("@")[2]
    address, bracket, port = host.rpartition("]") if host.startswith("[") else ("", "", "")
    if bracket:
        address, port = address[1:], port.removeprefix(":")
    else:
        address, _, port = host.partition(":")
    is_port = not port or (port.isascii() and port.isdigit() and 0 < int(port[:9]) <= _HIGHEST_PORT)
    if scheme.lower() not in _SCHEMES or not address or not is_port or not (host.isprintable() and " " not in host):
        raise invalid(name, "is no URL of a proxy", hint)
    if bracket and not _is_ipv6(address):
        raise invalid(name, "is no URL of a proxy", hint)
    if scheme.lower().startswith("socks"):
        import importlib.util

        if importlib.util.find_spec("socksio") is None:
            raise invalid(name, "names a SOCKS proxy, which needs the package socksio", "pip install socksio")


def _can_be_left_out(entry: str) -> bool:
    """Whether the SDK's HTTP library can read an entry of NO_PROXY."""
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
    for name, is_there, what in (
        ("SSL_CERT_FILE", os.path.isfile, "file"),
        ("SSL_CERT_DIR", os.path.isdir, "folder"),
    ):
        path = os.environ.get(name)
        if path:
            if not (is_there(path) and os.access(path, os.R_OK)):
                raise invalid(
                    name, f"names no {what} that can be read", f"unset {name}, or name a {what} of certificates"
                )
            return
