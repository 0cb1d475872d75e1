"""The canonical name of a repository: every spelling of its remote's URL has the same name."""

from __future__ import annotations

_DEFAULT_PORTS = {"ssh": "22", "git+ssh": "22", "ssh+git": "22", "https": "443", "http": "80", "git": "9418"}


def canonical(url: str) -> str:
    """Return `host/path` for the URL of a remote, and the path for a repository on a disk.

    The scheme, user, password, default port, query, fragment and `.git` are removed. The host is in lower case. A
    canonical name is returned unchanged.
    """
    scheme, separator, rest = url.strip().partition("://")
    scheme = scheme.lower()
    if not separator:
        return _without_scheme(url.strip())
    if scheme == "file":
        # file://localhost/path and file:///path are the same file.
        return _trimmed("/" + rest.partition("/")[2])
    rest = rest.partition("?")[0].partition("#")[0]
    authority, _, path = rest.partition("/")
    host = authority.rpartition("@")[2].lower()
    name, colon, port = host.rpartition(":")
    # A bracket after the last colon ends an IPv6 address without a port.
    if colon and "]" not in port and port in ("", _DEFAULT_PORTS.get(scheme)):
        host = name
    return _joined(host, path)


def _without_scheme(url: str) -> str:
    """Return the name for `host:path` or `user@host:path`, as SSH writes them, or for a path.

    A single letter before a colon is a drive of Windows, so this is a path.
    """
    if url.startswith(("/", ".", "~")):
        return _trimmed(url)
    # An IPv6 address in brackets contains colons.
    start = url.find("]") + 1 if "[" in url.partition("/")[0] else 0
    colon = url.find(":", start)
    slash = url.find("/")
    if colon > 1 and (slash < 0 or colon < slash):
        host, path = url[:colon], url[colon + 1 :]
        if "@" not in host and (port := path.partition("/")[0]).isdigit():
            # This is a canonical name with a port. Older releases kept the default port.
            host = host if port in _DEFAULT_PORTS.values() else f"{host}:{port}"
            path = path.partition("/")[2]
        return _joined(host.rpartition("@")[2].lower(), path)
    return _trimmed(url)


def _joined(host: str, path: str) -> str:
    return _trimmed(f"{host}/{path.lstrip('/')}")


def _trimmed(name: str) -> str:
    while "//" in name:
        name = name.replace("//", "/")
    if len(name) > 1:
        name = name.rstrip("/")
    return name.removesuffix(".git").rstrip("/")
