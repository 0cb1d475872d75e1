"""Parse `prompt.yaml`, which has everything about a prompt but its texts. docs/files.md describes the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from promptctl.folder import request_files, rollout_yaml, route_steps, strict_yaml, yaml_settings
from promptctl.folder.yaml_settings import SETTINGS
from promptctl.folder.yaml_values import is_finite, is_near, mapping, quoted, text, unknown_key
from promptctl.records import Record
from promptctl.rules import references, requests

if TYPE_CHECKING:
    from promptctl.folder.yaml_values import Report
    from promptctl.rules.rollout_plans import RolloutPlan

# The keys of a version that have a meaning of their own or in a request.
_RESERVED_KEYS = frozenset((
    "author", "metadata", *SETTINGS, *yaml_settings.REQUEST_PARAMETERS, *requests.REFUSED_KEYS,
))  # fmt: skip
# strict_yaml has the same limit, but checks it only in long files. It is checked here too, so that a short file with
# deep nesting does not become invalid when it grows.
_DEEPEST = 50
# How deep the value of a version's key is: in the mapping of the version, in `versions`, in the mapping of the file.
_METADATA_DEPTH = 4

# What stands for the files of test cases in `allowed_secrets`.
TESTS = -1

KEYS = ("description", "active", *SETTINGS, "versions", "route", "rollout", "allow_secrets")


class VersionYaml(Record):
    """What prompt.yaml has for one version: its author, its settings, and its metadata with the description."""

    author: str | None
    settings: dict[str, Any]
    metadata: dict[str, Any]


class PromptYaml:
    """The checked content of a prompt.yaml.

    `versions` has the keys of each version; `of` combines them with the keys for all versions. In `settings`, a request
    is the text that is stored. `route` is None for a file without the key `route`, [] for an empty route. `rollout` is
    the plan that the key `rollout` has, or None, and `written_rollout` is the value of that key. `allowed_secrets` has
    the versions in which what looks like a key is allowed, each with the reason, '' without one. The number 0 stands
    for prompt.yaml itself, and TESTS for the files of test cases.
    """

    def __init__(self) -> None:
        self.description: str | None = None
        self.active: int | None = None
        self.settings: dict[str, Any] = {}
        self.versions: dict[int, VersionYaml] = {}
        self.route: list[dict[str, Any]] | None = None
        self.rollout: RolloutPlan | None = None
        self.written_rollout: object = None
        self.allowed_secrets: dict[int, str] = {}

    @property
    def values(self) -> list[Any]:
        """Everything that the file has to be stored, as JSON values."""
        all_settings = (self.settings, *(version.settings for version in self.versions.values()))
        return [
            self.description,
            self.route,
            *(requests.visible_settings(settings) for settings in all_settings),
            *((version.author, version.metadata) for version in self.versions.values()),
        ]

    def of(self, number: int) -> VersionYaml:
        """Return what the file has for a version. Its own keys take precedence over those for all versions."""
        own = self.versions.get(number) or VersionYaml(None, {}, {})
        metadata = {} if self.description is None else {"description": self.description}
        return VersionYaml(own.author, self.settings | own.settings, metadata | own.metadata)


def is_reserved(key: str) -> bool:
    """Whether metadata with this key goes under `metadata`: it has a meaning of its own, or resembles a setting."""
    return key in _RESERVED_KEYS or any(is_near(key, setting) for setting in SETTINGS)


class _TooDeep(Exception):
    """A value that is nested too deeply."""


def parse(raw: bytes, path: str, problems: list[str]) -> PromptYaml:
    """Return the content of a file. What is wrong is added to `problems`, with the path and, if known, the line."""
    content = PromptYaml()

    def report(problem: str) -> None:
        problems.append(f"{path}: {problem}")

    try:
        document = strict_yaml.load(raw)
    except strict_yaml.Malformed as problem:
        problems.append(f"{path}:{problem.line}: {problem.what}")
        return content
    if document is None:
        return content
    keys = mapping(document)
    if keys is None:
        report("not a mapping of keys to values")
        return content
    try:
        for key, value in keys.items():
            if key == "request" and requests.problems(value) and (refusal := strict_yaml.json_problem(raw, "request")):
                problems.append(f"{path}:{refusal.line}: request: {refusal.what}")
            else:
                _set_key(content, key, value, report)
    except RecursionError:
        report(f"nested more than {_DEEPEST} deep")
    return content


def _set_key(content: PromptYaml, key: object, value: object, report: Report) -> None:
    if key == "route":
        content.route = _route(value, report)
    elif key == "rollout":
        content.rollout, content.written_rollout = rollout_yaml.plan(value, report), value
    elif key == "description":
        content.description = text(value, "description", report)
    elif key == "active":
        content.active = _version_number(value, "active", report)
    elif key == "versions":
        _set_versions(content, value, report)
    elif key == "allow_secrets":
        _set_allowed_secrets(content, value, report)
    elif key in SETTINGS:
        if yaml_settings.is_valid(key, value, report):
            _set_setting(content.settings, key, value)
    else:
        report(yaml_settings.request_hint(key) or unknown_key(key, KEYS))


def _set_setting(settings: dict[str, Any], key: str, value: Any) -> None:
    if key != "request":
        settings[key] = value
    elif (request := request_files.setting(value)) is not None:
        settings[key] = request


def _set_versions(content: PromptYaml, value: object, report: Report) -> None:
    versions = mapping(value)
    if versions is None:
        report("versions must be a mapping of version numbers")
        return
    for key, version in versions.items():
        number = _version_number(key, "versions", report)
        if number is not None:
            content.versions[number] = _version(number, version, report)


def _set_allowed_secrets(content: PromptYaml, value: object, report: Report) -> None:
    is_list = isinstance(value, list)
    # A list names versions without reasons.
    reasons = dict.fromkeys(map(str, cast("list[object]", value))) if is_list else mapping(value)
    if reasons is None:
        report(f"allow_secrets must be a mapping of versions to reasons, or a list of versions, not {quoted(value)}")
        return
    for key, reason in reasons.items():
        number = _allowed_number(key, report)
        if number is None:
            continue
        if number in content.allowed_secrets:
            report(f"allow_secrets names {key} twice")
        elif reason is not None and (not isinstance(reason, str) or not reason.strip()):
            report(f"allow_secrets: the reason for {key} must be a text, not {quoted(reason)}")
        else:
            content.allowed_secrets[number] = reason.strip() if isinstance(reason, str) else ""


def _allowed_number(key: object, report: Report) -> int | None:
    """Return the version that a key of `allow_secrets` names, 0 for prompt.yaml, TESTS for tests.yaml."""
    name = str(key)
    if name == "prompt.yaml":
        return 0
    if name == "tests.yaml":
        return TESTS
    digits = name.removeprefix("v")
    is_number = digits.isascii() and digits.isdigit() and digits[0] != "0" and len(digits) <= 10
    # `_version_number` reports any other key.
    return _version_number(int(digits) if is_number else key, "allow_secrets", report)


def _version(number: int, value: object, report: Report) -> VersionYaml:
    """Return what the file has for one version. A key that is not an author or a setting is metadata."""
    where = f"versions: {number}"
    settings: dict[str, Any] = {}
    metadata: dict[str, Any] = {}
    author: str | None = None
    reserved_metadata: object = None
    keys = mapping({} if value is None else value)
    if keys is None:
        report(f"{where} must be a mapping of keys to values")
        return VersionYaml(None, {}, {})
    for key, item in keys.items():
        if not isinstance(key, str):
            report(f"{where}: the key {quoted(key)} must be a text")
        elif key == "author":
            author = text(item, f"{where}: author", report)
        elif key == "description":
            if (description := text(item, f"{where}: description", report)) is not None:
                metadata[key] = description
        elif key == "metadata":
            reserved_metadata = item
        elif key == "request":
            report(
                f"{where}: the request of version {number} belongs in v{number}.request.yaml, and metadata with this "
                "key under metadata"
            )
        elif key in SETTINGS:
            if yaml_settings.is_valid(key, item, report):
                settings[key] = item
        elif key in yaml_settings.REQUEST_PARAMETERS:
            report(
                f"{where}: {key} is a parameter of Claude's API, which belongs in v{number}.request.yaml, and metadata "
                "with this key under metadata"
            )
        elif key in requests.REFUSED_KEYS:
            report(f"{where}: {key} {requests.REFUSED_KEYS[key]}, and metadata with this key belongs under metadata")
        elif similar := next((setting for setting in SETTINGS if is_near(key, setting)), None):
            report(
                f"{where}: unknown key {quoted(key)}: did you mean {similar!r}? Metadata with this key belongs under "
                "metadata"
            )
        else:
            _set_metadata(metadata, key, item, _METADATA_DEPTH, where, report)
    if reserved_metadata is not None:
        _set_reserved_metadata(metadata, reserved_metadata, f"{where}: metadata", report)
    return VersionYaml(author, settings, metadata)


def _set_reserved_metadata(metadata: dict[str, Any], value: object, where: str, report: Report) -> None:
    """Add the keys under `metadata`, which may have the names of reserved keys."""
    keys = mapping(value)
    if keys is None:
        report(f"{where} must be a mapping of keys to values")
        return
    outer_keys = frozenset(metadata)
    for key, item in keys.items():
        if not isinstance(key, str):
            report(f"{where}: the key {quoted(key)} must be a text")
        elif key in outer_keys:
            report(f"{where}: the key {quoted(key)} is also set beside metadata: remove one of them")
        else:
            _set_metadata(metadata, key, item, _METADATA_DEPTH + 1, where, report)


def _set_metadata(metadata: dict[str, Any], key: str, value: object, depth: int, where: str, report: Report) -> None:
    try:
        metadata[key] = _as_json(value, depth)
    except _TooDeep:
        report(f"{where}: {quoted(key)} is nested more than {_DEEPEST} deep")


def _as_json(value: object, depth: int) -> object:
    """Return a YAML value as JSON can represent it: a date, infinity and NaN become text. Raises _TooDeep."""
    if isinstance(value, float) and not is_finite(value):
        return str(value)
    if value is None or isinstance(value, (str, int, float)):
        return value
    if not isinstance(value, (dict, list, tuple, set)):
        return str(value)
    if depth > _DEEPEST:
        raise _TooDeep
    keys = mapping(cast("object", value))
    if keys is not None:
        return {_json_key(key): _as_json(item, depth + 1) for key, item in keys.items()}
    items = cast("list[object] | set[object]", value)
    # The order of a set differs from process to process.
    ordered = sorted(items, key=str) if isinstance(items, set) else items
    return [_as_json(item, depth + 1) for item in ordered]


def _json_key(key: object) -> str:
    """Return a key as text, as JSON needs it, in the spelling of the file."""
    if isinstance(key, bool):
        return "true" if key else "false"
    return "null" if key is None else str(key)


def _version_number(value: object, key: str, report: Report) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= references.HIGHEST_VERSION:
        return value
    report(f"{key}: a version is a number from 1 to {references.HIGHEST_VERSION}, not {quoted(value)}")
    return None


def _route(value: object, report: Report) -> list[dict[str, Any]] | None:
    """Return the valid steps of a route, None for a value that is not a list."""
    entries = route_steps.entries(value, report)
    if entries is None:
        return None
    steps = [route_steps.step(entry, f"route: entry {count}", report) for count, entry in enumerate(entries, 1)]
    return [step for step in steps if step is not None]
