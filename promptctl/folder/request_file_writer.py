"""Write requests in a layout that people can edit and compare: YAML, in which a text of several lines is a block."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from promptctl.folder import request_files
from promptctl.folder.listing import REQUEST_SUFFIXES
from promptctl.folder.yaml_dumper import OneLine, dump
from promptctl.rules import requests

if TYPE_CHECKING:
    from collections.abc import Mapping

_YAML, _JSON = REQUEST_SUFFIXES
# Writing YAML takes ten times as long as writing JSON, and nobody reads so much of it.
_LARGEST_YAML = 100_000
# In characters of JSON.
_LONGEST_LINE = 72


def file(request: Mapping[str, Any], suffix: str | None = None) -> tuple[str, bytes]:
    """Return the suffix and the content of a request file that `request_files.parse` reads as this request.

    `suffix` is that of a file that exists. Without one, a long request is written as JSON. A request that YAML cannot
    represent is always written as JSON.
    """
    is_long = suffix is None and len(requests.encode(request)) > _LARGEST_YAML
    if suffix != _JSON and not is_long and (yaml := _verified_yaml(request)) is not None:
        return _YAML, yaml
    return _JSON, _json(request).encode()


def text(settings: Mapping[str, Any]) -> str:
    """Return the request in a version's settings for a comparison, '' for a version without one."""
    request = requests.decode(settings)
    if not request:
        return ""
    return _yaml(request) if len(requests.encode(request)) <= _LARGEST_YAML else _json(request)


def yaml_text(request: Mapping[str, Any]) -> str:
    """Return a request as the value of the key `request` in prompt.yaml, with that key."""
    return dump({"request": _with_short_mappings(dict(request))})


def _verified_yaml(request: Mapping[str, Any]) -> bytes | None:
    """Return a request as YAML, None if it would be read as another request."""
    try:
        yaml = _yaml(request).encode()
    except (RecursionError, ValueError):
        return None
    problems: list[str] = []
    parsed = request_files.parse(yaml, _YAML, problems)
    return yaml if parsed is not None and requests.encode(parsed) == requests.encode(request) else None


def _yaml(request: Mapping[str, Any]) -> str:
    return dump({key: _with_short_mappings(value) for key, value in request.items()})


def _json(request: Mapping[str, Any]) -> str:
    return json.dumps(request, ensure_ascii=False, indent=2) + "\n"


def _with_short_mappings(value: Any) -> Any:
    """Return a JSON value in which mappings that are short and have no mappings or lists are marked as OneLine."""
    if isinstance(value, list):
        return [_with_short_mappings(item) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    mapping = cast("dict[str, Any]", value)
    if not any(isinstance(item, (dict, list)) for item in mapping.values()):
        line = json.dumps(mapping, ensure_ascii=False)
        return OneLine(mapping) if len(line) <= _LONGEST_LINE and "\\n" not in line else mapping
    return {key: _with_short_mappings(item) for key, item in mapping.items()}
