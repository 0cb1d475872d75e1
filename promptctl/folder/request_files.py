"""Parse a request file, `vN.request.yaml` or `vN.request.json`: what Claude is sent with a version besides its text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.folder import strict_yaml, texts
from promptctl.rules import json_documents, requests

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# A request has at most 1 MB. A file may be larger, because of indentation and comments.
_LARGEST_FILE = 4_000_000
# About a file without a value.
EMPTY = "is empty: write {} for no request"


def parse(raw: bytes, path: str, problems: list[str]) -> dict[str, Any] | None:
    """Return the request in a file, {} for a version without one, None for an invalid file.

    The path decides between YAML and JSON. What is wrong is added to `problems`, with the path and, if known, the line.
    """
    earlier_problems = len(problems)
    request = _value(raw, path, problems)
    if len(problems) == earlier_problems and request is None:
        problems.append(f"{path}: {EMPTY}")
    elif len(problems) == earlier_problems:
        problems += [f"{path}: {problem}" for problem in requests.problems(request)]
    return request if len(problems) == earlier_problems else None


def setting(request: Mapping[str, Any] | None) -> str | None:
    """Return a request as the setting `request` holds it, None for no request and for one without keys."""
    return requests.encode(request) if request else None


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two versions have the same request, by their settings.

    The database stores a request as `requests.encode` writes it. Only a version that schema version 8 stored can have
    another text.
    """
    return one.get("request") == other.get("request") or canonical(one) == canonical(other)


def canonical(settings: Mapping[str, Any]) -> str | None:
    """Return the request in a version's settings as `setting` does."""
    return setting(requests.decode(settings))


def _value(raw: bytes, path: str, problems: list[str]) -> Any:
    if len(raw) > _LARGEST_FILE:
        problems.append(f"{path}: has {len(raw)} bytes: at most {_LARGEST_FILE} are allowed")
        return None
    if problem := texts.git_problem(raw.decode(errors="replace")):
        problems.append(f"{path}: {problem}")
        return None
    try:
        if path.endswith(".json"):
            if not raw.removeprefix(b"\xef\xbb\xbf").strip():
                return None
            return json_documents.parse(raw, unique_keys=True)
        return strict_yaml.load_json(raw, requests.DEEPEST)
    except json_documents.InvalidDocument as problem:
        line = f":{problem.line}" if problem.line is not None else ""
        problems.append(f"{path}{line}: {problem.reason}")
    except strict_yaml.Malformed as problem:
        problems.append(f"{path}:{problem.line}: {problem.what}")
    return None
