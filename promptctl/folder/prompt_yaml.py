"""`prompt.yaml`: what a prompt's folder says beside its texts. docs/files.md has the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from promptctl import errors
from promptctl.folder import strict_yaml
from promptctl.records import Record
from promptctl.rules import references, template_syntax

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Complain = Callable[[str], None]

SETTINGS = ("template", "variables", "model", "max_tokens")
# The words of a version that mean something by themselves: metadata of such a name stands under `metadata`.
TAKEN = frozenset(("author", "metadata", *SETTINGS))
MOST_ROUTES = 100
# As the constraint max_tokens_is_at_least_1 has it.
_MOST_TOKENS = 999_999_999
# As strict_yaml has it for files that are not short: a file does not become invalid by growing.
_DEEPEST = 50
# A version's value lies in a version, in `versions`, in the file.
_DEPTH_OF_A_VALUE = 4
_LONGEST_SHOWN = 80

_KEYS = ("description", "active", *SETTINGS, "versions", "route", "allow_secrets")


class VersionYaml(Record):
    """What is said of one version: its author, its settings, and its metadata, the description among it."""

    __slots__ = ()
    author: str | None
    settings: dict[str, Any]
    metadata: dict[str, Any]


class PromptYaml:
    """What a prompt.yaml says, checked. `versions` has each one's own words; `of` adds those for all of them.

    `route` is None where nothing is said of it, [] where the file says that there is none. `allowed_secrets` has by
    version, 0 being the file itself, why what looks like a key in it is none ('': no reason is given).
    """

    def __init__(self) -> None:
        self.description: str | None = None
        self.active: int | None = None
        self.settings: dict[str, Any] = {}
        self.versions: dict[int, VersionYaml] = {}
        self.route: list[dict[str, Any]] | None = None
        self.allowed_secrets: dict[int, str] = {}

    def of(self, number: int) -> VersionYaml:
        """Return what the file says of a version: its own words, and for what they do not say those for all."""
        own = self.versions.get(number) or VersionYaml(None, {}, {})
        metadata = {} if self.description is None else {"description": self.description}
        return VersionYaml(own.author, self.settings | own.settings, metadata | own.metadata)


class _TooDeep(Exception):
    """A value that is nested deeper than a file may be."""


def parse(raw: bytes, path: str, problems: list[str]) -> PromptYaml:
    """Return what a file says; what is wrong with it is added to `problems`, with its path and, if known, line."""
    said = PromptYaml()

    def complain(problem: str) -> None:
        problems.append(f"{path}: {problem}")

    try:
        document = strict_yaml.load(raw)
    except strict_yaml.Malformed as problem:
        problems.append(f"{path}:{problem.line}: {problem.what}")
        return said
    if document is None:
        return said
    keys = _mapping(document)
    if keys is None:
        complain("not a mapping of keys to values")
        return said
    try:
        for key, value in keys.items():
            _take(said, key, value, complain)
    except RecursionError:
        complain(f"nested more than {_DEEPEST} deep")
    return said


def _take(said: PromptYaml, key: object, value: object, complain: Complain) -> None:
    if key == "route":
        said.route = _route(value, complain)
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
    elif key == "allow_secrets":
        _take_allowed_secrets(said, value, complain)
    elif key in SETTINGS:
        if is_setting(key, value, complain):
            said.settings[key] = value
    else:
        complain(unknown(key, _KEYS))


def _take_allowed_secrets(said: PromptYaml, value: object, complain: Complain) -> None:
    mapping = _mapping(value)
    if mapping is None and not isinstance(value, list):
        complain(f"allow_secrets is a mapping of versions to reasons, or a list of versions, not {_shown(value)}")
        return
    reasons = mapping if mapping is not None else dict.fromkeys(map(str, cast("list[object]", value)))
    for written, reason in reasons.items():
        text = str(written)
        if text == "prompt.yaml":
            number: int | None = 0
        else:
            digits = text.removeprefix("v")
            is_number = digits.isascii() and digits.isdigit() and digits[0] != "0" and len(digits) < 11
            number = _version(int(digits) if is_number else written, "allow_secrets", complain)
        if number is None:
            continue
        if number in said.allowed_secrets:
            complain(f"allow_secrets names {text} twice")
        elif reason is not None and (not isinstance(reason, str) or not reason.strip()):
            complain(f"allow_secrets: the reason for {text} is a text, not {_shown(reason)}")
        else:
            said.allowed_secrets[number] = reason.strip() if isinstance(reason, str) else ""


def unknown(key: object, known: Iterable[str]) -> str:
    """Return the sentence about an unknown key, with the known one that was probably meant."""
    import difflib

    near = difflib.get_close_matches(str(key), known, n=1)
    return f"unknown key {_shown(key)}" + (f": is {near[0]!r} meant?" if near else "")


def _own(number: int, value: object, complain: Complain) -> VersionYaml:
    """Return what is said of one version: description, author and settings are checked, all else is metadata."""
    said = VersionYaml(None, {}, {})
    own = _mapping({} if value is None else value)
    if own is None:
        complain(f"versions: {number} is a mapping of keys to values")
        return said
    author: str | None = None
    further: object = None
    for key, word in own.items():
        if not isinstance(key, str):
            complain(f"versions: {number}: the key {_shown(key)} is no text")
        elif key == "author":
            author = _text(word, f"versions: {number}: author", complain)
        elif key == "description":
            if (description := _text(word, f"versions: {number}: description", complain)) is not None:
                said.metadata[key] = description
        elif key == "metadata":
            further = word
        elif key in SETTINGS:
            if is_setting(key, word, complain):
                said.settings[key] = word
        else:
            _add(said.metadata, key, word, _DEPTH_OF_A_VALUE, f"versions: {number}", complain)
    if further is not None:
        _add_further(said.metadata, further, f"versions: {number}: metadata", complain)
    return VersionYaml(author, said.settings, said.metadata)


def _add_further(metadata: dict[str, Any], value: object, where: str, complain: Complain) -> None:
    further = _mapping(value)
    if further is None:
        complain(f"{where} is a mapping of keys to values")
        return
    beside = frozenset(metadata)
    for key, word in further.items():
        if not isinstance(key, str):
            complain(f"{where}: the key {_shown(key)} is no text")
        elif key in beside:
            complain(f"{where}: the key {_shown(key)} is beside it as well: one of the two")
        else:
            _add(metadata, key, word, _DEPTH_OF_A_VALUE + 1, where, complain)


def _add(metadata: dict[str, Any], key: str, value: object, depth: int, where: str, complain: Complain) -> None:
    try:
        metadata[key] = _as_json(value, depth)
    except _TooDeep:
        complain(f"{where}: {_shown(key)} is nested more than {_DEEPEST} deep")


def _as_json(value: object, depth: int) -> object:
    """Return a YAML value as JSON can hold it: dates become text. Raises _TooDeep."""
    if isinstance(value, float) and _is_endless(value):
        return str(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if not isinstance(value, (dict, list, tuple, set)):
        return str(value)
    if depth > _DEEPEST:
        raise _TooDeep
    mapping = _mapping(cast("object", value))
    if mapping is not None:
        return {_key(key): _as_json(each, depth + 1) for key, each in mapping.items()}
    several = cast("list[object] | set[object]", value)
    # A set has another order in every process.
    ordered = sorted(several, key=str) if isinstance(several, set) else several
    return [_as_json(each, depth + 1) for each in ordered]


def _key(key: object) -> str:
    """A key as JSON has it: a text, written as it was in the file."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _is_endless(number: float) -> bool:
    return number != number or number in (float("inf"), float("-inf"))  # noqa: PLR0124 - NaN


def _mapping(value: object) -> dict[object, object] | None:
    return cast("dict[object, object]", value) if isinstance(value, dict) else None


def _shown(value: object) -> str:
    """Return a value as a message has it: not longer than a line."""
    written = repr(value)
    return written if len(written) <= _LONGEST_SHOWN else written[: _LONGEST_SHOWN - 1] + "…"


def _text(value: object, key: str, complain: Complain) -> str | None:
    if isinstance(value, str) and value.strip():
        return value
    complain(f"{key} is a text, not {_shown(value)}")
    return None


def _version(value: object, key: str, complain: Complain) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= references.HIGHEST_VERSION:
        return value
    complain(f"{key}: a version is 1 to {references.HIGHEST_VERSION}, not {_shown(value)}")
    return None


def is_setting(key: str, value: object, complain: Complain) -> bool:
    """Whether a value is one that this setting may have; `complain` gets why not."""
    if key == "template":
        # Only a text has a hash for certain, and only a text is one.
        if isinstance(value, str) and value in template_syntax.STYLES:
            return True
        complain(f"template is one of {', '.join(template_syntax.STYLES)}, not {_shown(value)}")
        return False
    if key == "max_tokens":
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS:
            return True
        complain(f"max_tokens is a number from 1 to {_MOST_TOKENS}, not {_shown(value)}")
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
        if not isinstance(name, str) or not template_syntax.is_path(name):
            complain(
                f"variables: {_shown(name)} is not identifiers joined by dots: letters of ASCII, digits, underscores"
            )
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


def _route(value: object, complain: Complain) -> list[dict[str, Any]] | None:
    """Return the entries that are right; None for what is no list of them."""
    entries = route_entries(value, complain)
    if entries is None:
        return None
    checked = [route_step(written, f"route: entry {place}", complain) for place, written in enumerate(entries, 1)]
    return [step for step in checked if step is not None]


def route_entries(value: object, complain: Complain) -> list[object] | None:
    """Return the entries of a route as they are written; None for what is no list, or too long a one."""
    if not isinstance(value, list):
        complain(f"route is a list of entries with when and use, not {_shown(value)}")
        return None
    entries = cast("list[object]", value)
    if len(entries) > MOST_ROUTES:
        complain(f"route: at most {MOST_ROUTES} entries, not {len(entries)}")
        return None
    return entries


def route_step(value: object, where: str, complain: Complain) -> dict[str, Any] | None:
    """Return an entry of a route, None for one that is wrong; complaints begin with `where`."""
    entry = _mapping(value)
    if entry is None:
        complain(f"{where} is a mapping with when and use, not {_shown(value)}")
        return None
    wrong = [f"{where}: {unknown(key, ('when', 'use'))}" for key in entry if key not in ("when", "use")]
    wrong += [f"{where}: {key} is missing" for key in ("when", "use") if key not in entry]
    if not wrong:
        wrong = _wrong_when(entry["when"], f"{where}: when") + _wrong_use(entry["use"], f"{where}: use")
    for problem in wrong:
        complain(problem)
    return None if wrong else {"when": entry["when"], "use": entry["use"]}


def _wrong_when(value: object, where: str) -> list[str]:
    when = _mapping(value)
    if not when:
        return [f"{where} is a mapping of what is known of a request to values, not {_shown(value)}"]
    wrong: list[str] = []
    for key, asked in when.items():
        if not isinstance(key, str):
            wrong.append(f"{where}: the key {_shown(key)} is no text")
        elif not isinstance(asked, (str, int, float)) or (isinstance(asked, float) and _is_endless(asked)):
            wrong.append(f"{where}: {_shown(key)} is a text, a number, true or false, not {_shown(asked)}")
    return wrong


def _wrong_use(value: object, where: str) -> list[str]:
    if not isinstance(value, str):
        return [f"{where} is NAME or NAME@VERSION, not {_shown(value)}"]
    try:
        references.parse(value)
    except errors.Usage as problem:
        return [f"{where}: {problem.message}"]
    return []
