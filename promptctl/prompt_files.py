"""The folder of prompts, as docs/files.md describes it: read and checked, before anything is compared or stored."""

from __future__ import annotations

import difflib
import os

from promptctl import errors, references, texts
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

YAML_NAMES = ("prompt.yaml", "prompt.yml")
SUFFIXES = (".txt", ".md")
TEMPLATES = ("braces", "mustache", "none")

_KEYS = ("description", "active", "template", "variables", "model", "max_tokens", "versions", "route")
_SETTINGS = ("template", "variables", "model", "max_tokens")


class FileVersion(Record):
    """One version file: the content as it will be stored, and what prompt.yaml says of it."""

    __slots__ = ()
    number: int
    path: str
    content: str
    settings: dict[str, Any]
    metadata: dict[str, Any]
    author: str | None


class FolderPrompt(Record):
    """One folder of version files: the prompt's name, its versions by number, what should be live (None: not said)."""

    __slots__ = ()
    name: str
    path: str
    versions: list[FileVersion]
    active: int | None


def read(folder: str) -> list[FolderPrompt]:
    """Return every prompt below a folder, in the order of names. Raises Failed for a folder that is not valid.

    All that is wrong is found before it is raised: the message names the first and counts the rest.
    """
    if not os.path.isdir(folder):
        what = "is a file" if os.path.exists(folder) else "does not exist"
        raise errors.Failed("invalid_folder", f"the folder {references.shown(folder)} {what}")
    problems: list[str] = []
    prompts = [
        prompt for path, files in _folders(folder, problems) if (prompt := _prompt(folder, path, files, problems))
    ]
    prompts.sort(key=lambda prompt: prompt.name)
    seen: dict[str, str] = {}
    for prompt in prompts:
        other = seen.setdefault(prompt.name.lower(), prompt.path)
        if other != prompt.path:
            problems.append(f"{prompt.path}: its name differs from {other} only in case")
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise errors.Failed("invalid_folder", problems[0] + more)
    if not prompts:
        raise errors.Failed(
            "invalid_folder",
            f"no version file in {references.shown(folder)}",
            hint=f"write {os.path.join(folder, 'NAME', 'v1.txt')}",
        )
    return prompts


def _folders(folder: str, problems: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Every folder below, with the names of its files; hidden ones are not looked at."""
    root = os.path.realpath(folder)
    pending = [folder]
    visited: set[str] = set()
    while pending:
        path = pending.pop()
        files: list[str] = []
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as problem:
            problems.append(f"{path}: {problem.strerror}")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
                if os.path.commonpath([root, real]) != root:
                    problems.append(f"{entry.path}: a link out of the folder")
                    continue
                if real in visited:
                    continue
                visited.add(real)
            if entry.is_dir():
                pending.append(entry.path)
            elif entry.is_file():
                files.append(entry.name)
        yield path, files


def _prompt(folder: str, path: str, files: list[str], problems: list[str]) -> FolderPrompt | None:
    numbered: dict[int, str] = {}
    described: list[str] = []
    for file in files:
        if file.lower() in YAML_NAMES:
            described.append(file)
            continue
        stem, suffix = os.path.splitext(file)
        if stem[:1] not in ("v", "V") or not stem[1:].isdigit():
            continue
        try:
            number = references.parse_version(stem[1:])
        except errors.Usage:
            number = 0
        if number == 0 or stem[0] != "v" or suffix not in SUFFIXES:
            problems.append(f"{os.path.join(path, file)}: not the name of a version file, such as v1.txt or v12.md")
        elif number in numbered:
            problems.append(f"{os.path.join(path, file)}: version {number} is in {numbered[number]} as well")
        else:
            numbered[number] = file
    if not numbered and not described:
        return None
    name = os.path.relpath(path, folder).replace(os.sep, "/")
    try:
        references.check_name("" if name == "." else name)
    except errors.Usage as problem:
        told = "version files lie in a folder that is named like the prompt" if name == "." else problem.message
        problems.append(f"{path}: {told}")
        return None
    if not numbered:
        problems.append(f"{os.path.join(path, described[0])}: no version file beside it")
        return None
    if len(described) > 1:
        problems.append(f"{path}: both {described[0]} and {described[1]}")
    told = _yaml(os.path.join(path, described[0]), problems) if described else _Described()
    versions = [
        version
        for number, file in sorted(numbered.items())
        if (version := _version(os.path.join(path, file), number, told, problems))
    ]
    for number in told.versions.keys() - numbered.keys():
        problems.append(f"{os.path.join(path, described[0])}: versions names {number}, which has no file")
    return FolderPrompt(name, path, versions, told.active)


def _version(path: str, number: int, told: _Described, problems: list[str]) -> FileVersion | None:
    try:
        with open(path, "rb") as file:
            content = texts.normalised(file.read(), path)
    except errors.Usage as problem:
        problems.append(problem.message)
        return None
    except OSError as problem:
        problems.append(f"{path}: {problem.strerror}")
        return None
    own = dict(told.versions.get(number, {}))
    author = own.pop("author", None)
    settings = told.settings | {key: own.pop(key) for key in _SETTINGS if key in own}
    metadata = ({"description": told.description} if told.description else {}) | own
    return FileVersion(number, path, content, settings, metadata, author)


class _Described:
    """What a prompt.yaml says, checked."""

    def __init__(self) -> None:
        self.description: str | None = None
        self.active: int | None = None
        self.settings: dict[str, Any] = {}
        self.versions: dict[int, dict[str, Any]] = {}


def _yaml(path: str, problems: list[str]) -> _Described:
    described = _Described()
    try:
        with open(path, "rb") as file:
            document = _load(file.read())
    except OSError as problem:
        problems.append(f"{path}: {problem.strerror}")
        return described
    except _Malformed as problem:
        problems.append(f"{path}:{problem}")
        return described
    if document is None:
        return described
    if not isinstance(document, dict):
        problems.append(f"{path}: not a mapping of keys to values")
        return described
    _fill(described, document, lambda problem: problems.append(f"{path}: {problem}"))
    return described


def _fill(described: _Described, document: dict[Any, Any], complain: Any) -> None:
    for key, value in document.items():
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            complain(f"unknown key {key!r}{f': is {near[0]!r} meant?' if near else ''}")
        elif key == "route":
            complain("route: this version of promptctl does not serve routes")
        elif key == "description":
            described.description = value if _is_text(value, key, complain) else None
        elif key == "active":
            described.active = value if _is_version(value, key, complain) else None
        elif key == "versions":
            if not isinstance(value, dict):
                complain("versions is a mapping of version numbers")
                continue
            for number, own in value.items():
                if _is_version(number, "versions", complain):
                    described.versions[number] = _own(number, own, complain)
        elif _is_setting(key, value, complain):
            described.settings[key] = value


def _own(number: int, own: Any, complain: Any) -> dict[str, Any]:
    """What `versions:` says of one version: description, author, settings of its own, else metadata."""
    if own is None:
        return {}
    if not isinstance(own, dict):
        complain(f"versions: {number} is a mapping of keys to values")
        return {}
    kept: dict[str, Any] = {}
    for key, value in own.items():
        if not isinstance(key, str):
            complain(f"versions: {number}: the key {key!r} is no text")
        elif key in ("description", "author") and not _is_text(value, f"versions: {number}: {key}", complain):
            continue
        elif key in _SETTINGS and not _is_setting(key, value, complain):
            continue
        else:
            kept[key] = _plain(value)
    return kept


def _plain(value: Any) -> Any:
    """A YAML value as JSON has it: dates become text."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def _is_text(value: Any, key: str, complain: Any) -> bool:
    if isinstance(value, str) and value.strip():
        return True
    complain(f"{key} is a text, not {value!r}")
    return False


def _is_version(value: Any, key: str, complain: Any) -> bool:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= references.HIGHEST_VERSION:
        return True
    complain(f"{key} is a version, 1 to {references.HIGHEST_VERSION}, not {value!r}")
    return False


def _is_setting(key: str, value: Any, complain: Any) -> bool:
    if key == "template":
        if value in TEMPLATES:
            return True
        complain(f"template is one of {', '.join(TEMPLATES)}, not {value!r}")
        return False
    if key == "max_tokens":
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return True
        complain(f"max_tokens is a number from 1, not {value!r}")
        return False
    if key == "variables":
        return _are_variables(value, complain)
    return _is_text(value, key, complain)


def _are_variables(value: Any, complain: Any) -> bool:
    if not isinstance(value, dict):
        complain("variables is a mapping of names")
        return False
    for name, variable in value.items():
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            complain(f"variables: {name!r} is not identifiers joined by dots")
            return False
        if not isinstance(variable, dict) or variable.keys() - {"required", "default"}:
            complain(f"variables: {name} takes required and default")
            return False
        if not isinstance(variable.get("required", False), bool) or not isinstance(variable.get("default", ""), str):
            complain(f"variables: {name}: required is true or false, default is a text")
            return False
    return True


class _Malformed(Exception):
    """`LINE: what is wrong`."""


def _load(raw: bytes) -> Any:
    """Parse YAML, strictly: no key twice, no aliases (which can grow without bound), plain values only."""
    import yaml

    loader_class: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(loader_class):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise _Malformed(f"{self.peek_event().start_mark.line + 1}: aliases are not allowed")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key_node, _ in node.value:
                key = str(key_node.value)
                if key in seen:
                    raise _Malformed(f"{key_node.start_mark.line + 1}: the key {key!r} is there twice")
                seen.add(key)
            return super().construct_mapping(node, deep=deep)

    try:
        text = raw.decode("utf-8-sig")
        return yaml.load(text, Loader)  # noqa: S506 - a subclass of SafeLoader
    except UnicodeDecodeError as problem:
        raise _Malformed(f"1: not UTF-8: byte {problem.start}") from None
    except yaml.MarkedYAMLError as problem:
        line = problem.problem_mark.line + 1 if problem.problem_mark else 1
        raise _Malformed(f"{line}: {problem.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as problem:
        raise _Malformed(f"1: {' '.join(str(problem).split())[:200]}") from None
