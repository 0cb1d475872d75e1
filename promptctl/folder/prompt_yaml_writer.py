"""Write a `prompt.yaml` that prompt_yaml parses to the same content, in a layout that people can edit and compare."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from promptctl.folder import prompt_yaml, request_file_writer, yaml_settings
from promptctl.folder.prompt_yaml import VersionYaml
from promptctl.folder.yaml_dumper import OneLine, dump, fits_in_a_line
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Inexpressible(Exception):
    """No prompt.yaml can represent a value; `what` describes it: `settings of @2: temperature`."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def text(
    versions: Mapping[int, VersionYaml],
    *,
    active: int | None,
    route: list[dict[str, Any]] | None,
    rollout: object = None,
    request: str | None = None,
    allowed_secrets: Mapping[int, str] = MappingProxyType({}),
) -> str:
    """Return a prompt.yaml with exactly this content, '' if it has no content.

    `rollout` and `request` are the valid values of these keys in the file that is replaced, None to write none; the
    request is as settings hold it. `allowed_secrets` has the versions in which what looks like a key is allowed, each
    with the reason, '' without one; 0 stands for prompt.yaml itself, and prompt_yaml.TESTS for the files of test cases.
    The rest of the text is parsed again and compared before it is returned. Raises Inexpressible for what a prompt.yaml
    cannot represent.
    """
    yaml = _verified_text(versions, active, route)
    if yaml is None:
        raise Inexpressible(_first_inexpressible(versions, active, route))
    if rollout is not None:
        yaml += dump({"rollout": rollout})
    if request is not None:
        yaml += request_file_writer.yaml_text(json.loads(request))
    if allowed_secrets:
        # A list has no reasons, so it is written only if one of them is missing.
        names = {0: "prompt.yaml", prompt_yaml.TESTS: "tests.yaml"}
        reasons = {names.get(number) or f"v{number}": why for number, why in sorted(allowed_secrets.items())}
        yaml += dump({"allow_secrets": reasons if all(reasons.values()) else list(reasons)})
    return yaml


def _verified_text(
    versions: Mapping[int, VersionYaml], active: int | None, route: list[dict[str, Any]] | None
) -> str | None:
    """Return the text, None if it would not parse to the same content."""
    try:
        expected = _exact_json([active, route, {str(number): version for number, version in versions.items()}])
        document = _document(versions, active, route)
        yaml = dump(document) if document else ""
        problems: list[str] = []
        content = prompt_yaml.parse(yaml.encode(), "prompt.yaml", problems)
        parsed_versions = {str(number): content.of(number) for number in versions}
        if not problems and _exact_json([content.active, content.route, parsed_versions]) == expected:
            return yaml
    except (TypeError, ValueError, AttributeError, RecursionError):
        # A value that is not JSON, has half a surrogate pair or thousands of digits, or is nested without end.
        pass
    return None


def _exact_json(value: object) -> bytes:
    """Return a JSON value as bytes, to compare exactly: in Python, 1, 1.0 and True are equal.

    Raises TypeError or ValueError for a value that is not JSON, and ValueError for text that is not Unicode.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _first_inexpressible(
    versions: Mapping[int, VersionYaml], active: int | None, route: list[dict[str, Any]] | None
) -> str:
    """Return a description of the first value that cannot be represented, even alone in a file."""
    for number, single_value, what in _single_values(versions):
        if _verified_text({number: single_value}, None, None) is None:
            return what
    if _verified_text({}, active, None) is None:
        return f"active: {active}"
    for count, entry in enumerate(route or [], 1):
        if _verified_text({}, None, [entry]) is None:
            return f"route: entry {count}"
    return "route" if _verified_text({}, None, route) is None else "all of it in one file"


def _single_values(versions: Mapping[int, VersionYaml]) -> Iterator[tuple[int, VersionYaml, str]]:
    """Yield every value of the versions: its version, a version with only this value, and its description."""
    for number, version in sorted(versions.items()):
        yield number, VersionYaml(version.author, {}, {}), f"author of @{number}"
        for key, value in version.settings.items():
            yield number, VersionYaml(None, {key: value}, {}), f"settings of @{number}: {_printable_key(key)}"
        for key, value in version.metadata.items():
            yield number, VersionYaml(None, {}, {key: value}), f"metadata of @{number}: {_printable_key(key)}"


def _printable_key(key: str) -> str:
    quoted = references.quoted(key)
    return key if quoted == f'"{key}"' else quoted


def _document(
    versions: Mapping[int, VersionYaml], active: int | None, route: list[dict[str, Any]] | None
) -> dict[str, Any]:
    """Return what the file contains, in order. Mappings that are short enough are marked as OneLine."""
    description = _shared_description(versions)
    settings = _shared_settings(versions)
    document: dict[str, Any] = {}
    if description is not None:
        document["description"] = description
    if active is not None:
        document["active"] = active
    document |= _with_short_variables(settings, 2)
    own_keys: dict[int, Any] = {}
    for number, version in sorted(versions.items()):
        if keys := _own_keys(version, settings, description):
            line = _one_line_if_short(number, keys, 2)
            own_keys[number] = line if isinstance(line, OneLine) else _with_short_variables(keys, 6)
    if own_keys:
        document["versions"] = own_keys
    if route is not None:
        document["route"] = [_route_entry(entry) for entry in route]
    return document


def _shared_description(versions: Mapping[int, VersionYaml]) -> str | None:
    """Return the description that several versions share, else None.

    The description of a single version is not written for all versions, because the next version would get it too.
    """
    descriptions = [version.metadata.get("description") for version in versions.values()]
    first = descriptions[0] if descriptions else None
    is_shared = len(descriptions) > 1 and _is_text(first) and descriptions.count(first) == len(descriptions)
    return first if is_shared else None


def _shared_settings(versions: Mapping[int, VersionYaml]) -> dict[str, Any]:
    """Return the settings that every version has, with the values of the newest.

    A setting that one version lacks cannot be shared: the keys of a version can replace it, but not remove it.
    """
    if not versions:
        return {}
    newest = versions[max(versions)].settings
    return {
        key: value
        for key, value in _ordered_settings(newest).items()
        if all(key in version.settings for version in versions.values())
    }


def _own_keys(version: VersionYaml, shared_settings: dict[str, Any], shared_description: str | None) -> dict[str, Any]:
    """Return what goes under a version's number: what is not shared, in order."""
    keys: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    reserved_metadata: dict[str, Any] = {}
    for key, value in sorted(version.metadata.items()):
        if key == "description" and _is_text(value):
            if shared_description is None:
                keys[key] = value
        elif key == "description" or prompt_yaml.is_reserved(key):
            reserved_metadata[key] = _sorted(value)
        else:
            metadata[key] = _sorted(value)
    if version.author is not None:
        keys["author"] = version.author
    keys |= {
        key: value
        for key, value in _ordered_settings(version.settings).items()
        if key not in shared_settings or _exact_json(shared_settings[key]) != _exact_json(value)
    }
    keys |= metadata
    return keys | {"metadata": reserved_metadata} if reserved_metadata else keys


def _ordered_settings(settings: dict[str, Any]) -> dict[str, Any]:
    ordered = [key for key in yaml_settings.SETTINGS if key in settings]
    unknown = sorted(settings.keys() - set(ordered))
    return {key: _sorted(settings[key]) for key in (*ordered, *unknown)}


def _sorted(value: Any) -> Any:
    """Return a JSON value with sorted keys: PostgreSQL does not store their order."""
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        return {key: _sorted(item) for key, item in sorted(mapping.items())}
    if isinstance(value, list):
        return [_sorted(item) for item in cast("list[Any]", value)]
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _with_short_variables(keys: dict[str, Any], indent: int) -> dict[str, Any]:
    """Return the keys, with each declaration of a variable that is short enough marked as OneLine.

    `indent` is the number of spaces before the names of the variables.
    """
    variables = keys.get("variables")
    if not isinstance(variables, dict):
        return keys
    declarations = cast("dict[str, Any]", variables)
    return keys | {"variables": {name: _one_line_if_short(name, value, indent) for name, value in declarations.items()}}


def _one_line_if_short(key: str | int, value: Any, indent: int) -> Any:
    """Return a mapping as OneLine if it fits in a line behind its key and the indent, else the value itself."""
    if not isinstance(value, dict):
        return value
    mapping = cast("dict[str, Any]", value)
    line = OneLine(mapping)
    return line if fits_in_a_line(dump({key: line}), indent) else mapping


def _route_entry(entry: dict[str, Any]) -> dict[str, Any]:
    # In reverse order, `when` is before `use`.
    ordered = {key: _sorted(entry[key]) for key in sorted(entry, reverse=True)}
    line = OneLine(ordered)
    return line if fits_in_a_line(dump([line]), 2) else ordered
