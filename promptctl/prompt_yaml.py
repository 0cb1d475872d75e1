"""`prompt.yaml`: what a prompt's folder says beside its texts. docs/files.md has the keys."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, cast

from promptctl import references, strict_yaml, templates

if TYPE_CHECKING:
    from collections.abc import Callable

    Complain = Callable[[str], None]

NAMES = ("prompt.yaml", "prompt.yml")
SETTINGS = ("template", "variables", "model", "max_tokens")
# As the constraint max_tokens_count_from_1 has it.
_MOST_TOKENS = 999_999_999

_KEYS = ("description", "active", *SETTINGS, "versions", "route")


class PromptYaml:
    """What a prompt.yaml says, checked. `versions` has, by number, description, author, settings and metadata."""

    def __init__(self) -> None:
        self.description: str | None = None
        self.active: int | None = None
        self.settings: dict[str, Any] = {}
        self.versions: dict[int, dict[str, Any]] = {}


def read(path: str, problems: list[str]) -> PromptYaml:
    """Return what the file says; what is wrong with it is added to `problems`, with its path and, if known, line."""
    said = PromptYaml()
    try:
        with open(path, "rb") as file:
            document = strict_yaml.load(file.read())
    except OSError as problem:
        problems.append(f"{path}: {problem.strerror}")
        return said
    except strict_yaml.Malformed as problem:
        problems.append(f"{path}:{problem.line}: {problem.what}")
        return said

    def complain(problem: str) -> None:
        problems.append(f"{path}: {problem}")

    if document is None:
        return said
    keys = _mapping(document)
    if keys is None:
        complain("not a mapping of keys to values")
        return said
    for key, value in keys.items():
        _take(said, key, value, complain)
    return said


def _take(said: PromptYaml, key: object, value: object, complain: Complain) -> None:
    if key == "route":
        complain("route: this version of promptctl does not serve routes")
    elif key == "description":
        said.description = _text(value, "description", complain)
    elif key == "active":
        said.active = _version(value, "active", complain)
    elif key == "versions":
        versions = _mapping(value)
        if versions is None:
            complain("versions is a mapping of version numbers")
            return
        for written, own in versions.items():
            number = _version(written, "versions", complain)
            if number is not None:
                said.versions[number] = _own(number, own, complain)
    elif key in SETTINGS:
        if _is_setting(key, value, complain):
            said.settings[key] = value
    else:
        near = difflib.get_close_matches(str(key), _KEYS, n=1)
        complain(f"unknown key {key!r}" + (f": is {near[0]!r} meant?" if near else ""))


def _own(number: int, value: object, complain: Complain) -> dict[str, Any]:
    """Return what is said of one version: description, author and settings are checked, all else is metadata."""
    own = _mapping({} if value is None else value)
    if own is None:
        complain(f"versions: {number} is a mapping of keys to values")
        return {}
    kept: dict[str, Any] = {}
    for key, said in own.items():
        if not isinstance(key, str):
            complain(f"versions: {number}: the key {key!r} is no text")
        elif key in ("description", "author"):
            kept[key] = _text(said, f"versions: {number}: {key}", complain)
        elif key in SETTINGS:
            if _is_setting(key, said, complain):
                kept[key] = said
        else:
            kept[key] = _as_json(said)
    return kept


def _as_json(value: object) -> object:
    """Return a YAML value as JSON can hold it: dates become text."""
    mapping = _mapping(value)
    if mapping is not None:
        return {str(key): _as_json(each) for key, each in mapping.items()}
    if isinstance(value, (list, tuple, set)):
        return [_as_json(each) for each in cast("list[object]", value)]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN
        return str(value)
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _mapping(value: object) -> dict[object, object] | None:
    return cast("dict[object, object]", value) if isinstance(value, dict) else None


def _text(value: object, key: str, complain: Complain) -> str | None:
    if isinstance(value, str) and value.strip():
        return value
    complain(f"{key} is a text, not {value!r}")
    return None


def _version(value: object, key: str, complain: Complain) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= references.HIGHEST_VERSION:
        return value
    complain(f"{key}: a version is 1 to {references.HIGHEST_VERSION}, not {value!r}")
    return None


def _is_setting(key: str, value: object, complain: Complain) -> bool:
    if key == "template":
        if value in templates.STYLES:
            return True
        complain(f"template is one of {', '.join(templates.STYLES)}, not {value!r}")
        return False
    if key == "max_tokens":
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS:
            return True
        complain(f"max_tokens is a number from 1 to {_MOST_TOKENS}, not {value!r}")
        return False
    if key == "variables":
        return _are_variables(value, complain)
    return _text(value, key, complain) is not None


def _are_variables(value: object, complain: Complain) -> bool:
    variables = _mapping(value)
    if variables is None:
        complain("variables is a mapping of names")
        return False
    for name, said in variables.items():
        variable = _mapping(said)
        if not isinstance(name, str) or not templates.is_path(name):
            complain(f"variables: {name!r} is not identifiers joined by dots: letters of ASCII, digits, underscores")
            return False
        if variable is None or variable.keys() - {"required", "default"}:
            complain(f"variables: {name} takes required and default")
            return False
        if not isinstance(variable.get("required", False), bool) or not isinstance(variable.get("default", ""), str):
            complain(f"variables: {name}: required is true or false, default is a text")
            return False
        if variable.get("required") is True and "default" in variable:
            complain(f"variables: {name} is required and has a default: one of the two")
            return False
    return True
