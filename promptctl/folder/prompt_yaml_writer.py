"""Writing a `prompt.yaml`: the text that says what prompt_yaml reads. For people, who keep it in Git."""

from __future__ import annotations

import functools
import json
import re
import sys
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from promptctl.folder import prompt_yaml, strict_yaml
from promptctl.folder.prompt_yaml import VersionYaml
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_COLUMNS = 100
# What a loader takes for the end of a line or does not keep: only an escape says it.
_ESCAPED = frozenset("\r\x85\u2028\u2029\ufeff")
_BLANK_AT_END = re.compile(r"[ \t]$", re.MULTILINE)


class Inexpressible(Exception):
    """Something that no prompt.yaml can say; `what` it is, in words: `settings of @2: temperature`."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class _Line(dict[str, Any]):
    """A mapping that is written in one line."""


def text(
    versions: Mapping[int, VersionYaml],
    *,
    active: int | None,
    route: list[dict[str, Any]] | None,
    allowed_secrets: Mapping[int, str] = MappingProxyType({}),
) -> str:
    """Return the prompt.yaml that says exactly this of the versions, '' when there is nothing to say.

    `allowed_secrets` has by version, 0 being the file itself, why what looks like a key in it is allowed. It has been
    read back. Raises Inexpressible for what a prompt.yaml cannot say.
    """
    written = _attempt(versions, active, route)
    if written is None:
        raise Inexpressible(_culprit(versions, active, route))
    if allowed_secrets:
        reasons = {f"v{number}" if number else "prompt.yaml": why for number, why in sorted(allowed_secrets.items())}
        written += _dumped({"allow_secrets": reasons if all(reasons.values()) else list(reasons)})
    return written


def _attempt(versions: Mapping[int, VersionYaml], active: int | None, route: list[dict[str, Any]] | None) -> str | None:
    """Return the text, None where it does not say what it should."""
    try:
        expected = _exactly([active, route, {str(number): version for number, version in versions.items()}])
        document = _document(versions, active, route)
        written = _dumped(document) if document else ""
        problems: list[str] = []
        said = prompt_yaml.parse(written.encode(), "prompt.yaml", problems)
        found = {str(number): said.of(number) for number in versions}
        if not problems and _exactly([said.active, said.route, found]) == expected:
            return written
    except (TypeError, ValueError, AttributeError, RecursionError):
        # What is no JSON, has half a surrogate pair or thousands of digits, or is nested without end.
        pass
    return None


def _exactly(value: object) -> bytes:
    """Return a value as bytes that are the same for equal ones only: in Python 1, 1.0 and True are equal.

    Raises TypeError and ValueError for what is no JSON, and for text that is not Unicode.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _culprit(versions: Mapping[int, VersionYaml], active: int | None, route: list[dict[str, Any]] | None) -> str:
    """Return what it is that cannot be said: the first word that cannot be said alone."""
    for number, alone, what in _words(versions):
        if _attempt({number: alone}, None, None) is None:
            return what
    if _attempt({}, active, None) is None:
        return f"active: {active}"
    for place, entry in enumerate(route or [], 1):
        if _attempt({}, None, [entry]) is None:
            return f"route: entry {place}"
    return "route" if _attempt({}, None, route) is None else "all of it in one file"


def _words(versions: Mapping[int, VersionYaml]) -> Iterator[tuple[int, VersionYaml, str]]:
    for number, version in sorted(versions.items()):
        yield number, VersionYaml(version.author, {}, {}), f"author of @{number}"
        for key, value in version.settings.items():
            yield number, VersionYaml(None, {key: value}, {}), f"settings of @{number}: {_named(key)}"
        for key, value in version.metadata.items():
            yield number, VersionYaml(None, {}, {key: value}), f"metadata of @{number}: {_named(key)}"


def _named(key: str) -> str:
    shown = references.quoted(key)
    return key if shown == f'"{key}"' else shown


def _document(
    versions: Mapping[int, VersionYaml], active: int | None, route: list[dict[str, Any]] | None
) -> dict[str, Any]:
    """Return what is to be written, in its order; what is short enough for a line is marked."""
    description = _description_of_all(versions)
    settings = _settings_of_all(versions)
    document: dict[str, Any] = {}
    if description is not None:
        document["description"] = description
    if active is not None:
        document["active"] = active
    document |= _laid_out(settings, 2)
    own: dict[int, Any] = {}
    for number, version in sorted(versions.items()):
        words = _own(version, settings, description)
        if words:
            line = _line(number, words, 2)
            own[number] = line if isinstance(line, _Line) else _laid_out(words, 6)
    if own:
        document["versions"] = own
    if route is not None:
        document["route"] = [_route_line(entry) for entry in route]
    return document


def _description_of_all(versions: Mapping[int, VersionYaml]) -> str | None:
    """Return the description that all of several versions have.

    One version's own is not for all: the next version would have it as well.
    """
    found = [version.metadata.get("description") for version in versions.values()]
    return found[0] if len(found) > 1 and _is_text(found[0]) and found.count(found[0]) == len(found) else None


def _settings_of_all(versions: Mapping[int, VersionYaml]) -> dict[str, Any]:
    """Return the settings that every version has, as the newest has them.

    A setting that one lacks cannot be said for all: a version's own words can replace it, and not take it away.
    """
    if not versions:
        return {}
    newest = versions[max(versions)].settings
    return {
        key: value
        for key, value in _in_order(newest).items()
        if all(key in version.settings for version in versions.values())
    }


def _own(version: VersionYaml, settings: dict[str, Any], description: str | None) -> dict[str, Any]:
    """Return what stands under a version's number, beside what is said of all."""
    own: dict[str, Any] = {}
    beside: dict[str, Any] = {}
    further: dict[str, Any] = {}
    for key, value in sorted(version.metadata.items()):
        if key == "description" and _is_text(value):
            if description is None:
                own[key] = value
        elif key == "description" or key in prompt_yaml.TAKEN:
            further[key] = _sorted(value)
        else:
            beside[key] = _sorted(value)
    if version.author is not None:
        own["author"] = version.author
    own |= {
        key: value
        for key, value in _in_order(version.settings).items()
        if key not in settings or _exactly(settings[key]) != _exactly(value)
    }
    own |= beside
    return own | {"metadata": further} if further else own


def _in_order(settings: dict[str, Any]) -> dict[str, Any]:
    known = [key for key in prompt_yaml.SETTINGS if key in settings]
    unknown = sorted(settings.keys() - set(known))
    return {key: _sorted(settings[key]) for key in (*known, *unknown)}


def _sorted(value: Any) -> Any:
    """Return a value of JSON with its keys in order: PostgreSQL has not kept the one they were written in."""
    if isinstance(value, dict):
        mapping = cast("dict[str, Any]", value)
        return {key: _sorted(each) for key, each in sorted(mapping.items())}
    if isinstance(value, list):
        return [_sorted(each) for each in cast("list[Any]", value)]
    return value


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _laid_out(words: dict[str, Any], indent: int) -> dict[str, Any]:
    """Return words of which each is to have its own lines; of the variables each has one, if it fits."""
    variables = words.get("variables")
    if not isinstance(variables, dict):
        return words
    named = cast("dict[str, Any]", variables)
    return words | {"variables": {name: _line(name, said, indent) for name, said in named.items()}}


def _line(key: str | int, value: Any, indent: int) -> Any:
    """Return a mapping marked as a line, if it fits in one behind its key."""
    if not isinstance(value, dict):
        return value
    line = _Line(cast("dict[str, Any]", value))
    return line if _fits(_dumped({key: line}), indent) else line.copy()


def _route_line(entry: dict[str, Any]) -> dict[str, Any]:
    # `when` before `use`.
    ordered = {key: _sorted(entry[key]) for key in sorted(entry, reverse=True)}
    line = _Line(ordered)
    return line if _fits(_dumped([line]), 2) else ordered


def _fits(written: str, indent: int) -> bool:
    # A text of several lines has them in a block only.
    return "\\n" not in written and written.count("\n") == 1 and indent + len(written) - 1 <= _COLUMNS


def _dumped(value: object) -> str:
    import yaml

    # No line is broken: a broken one has to be broken anew when a word in it changes.
    return str(
        yaml.dump(
            value,
            Dumper=_dumper(),
            default_flow_style=False,
            sort_keys=False,
            allow_unicode=True,
            width=sys.maxsize,
        )
    )


@functools.cache
def _dumper() -> Any:
    """Return PyYAML's dumper, with no aliases, lists indented, and texts as `_style` has them."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
            super().increase_indent(flow, False)

        def analyze_scalar(self, scalar: str) -> Any:
            # The emitter escapes every tab; within a block it can stand as it is.
            shown = scalar.replace("\t", " ") if _style(scalar) == "|" else scalar
            analysis = super().analyze_scalar(shown)
            analysis.scalar = scalar
            return analysis

    def a_text(dumper: Any, data: str) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=_style(data))

    def a_line(dumper: Any, data: _Line) -> Any:
        return dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True)

    Dumper.add_representer(str, a_text)
    Dumper.add_representer(_Line, a_line)
    return Dumper


def _style(written: str) -> str | None:
    """Return how a text is written: in a block, between double quotes, or, None, as the emitter likes it."""
    if not _ESCAPED.isdisjoint(written):
        return '"'
    if "\n" not in written:
        return '"' if strict_yaml.looks_like_a_number(written) else None
    # White space at either end of a line is not seen in a block, and at its beginning not told from indentation.
    return '"' if written[0].isspace() or _BLANK_AT_END.search(written) else "|"
