"""The folder of prompts, as docs/files.md describes it: read and checked, before anything is compared or stored."""

from __future__ import annotations

import os

from promptctl import errors, prompt_yaml, references, texts
from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SUFFIXES = (".txt", ".md")


class InvalidFolder(errors.Failed):
    """A folder that cannot be synced; `others` are the problems beside the one in the message."""

    def __init__(self, message: str, others: list[str]) -> None:
        super().__init__("invalid_folder", message)
        self.others = others


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
        raise InvalidFolder(problems[0] + more, problems[1:])
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
    # Each with the real paths of the folders that it lies in: a link to one of them would never end.
    pending = [(folder, root, frozenset((root,)))]
    while pending:
        path, real_path, above = pending.pop()
        files: list[str] = []
        try:
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as problem:
            problems.append(f"{path}: {problem.strerror}")
            continue
        for entry in entries:
            if entry.name.startswith("."):
                continue
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(real_path, entry.name)
            if os.path.commonpath([root, real]) != root:
                problems.append(f"{entry.path}: a link out of the folder")
            elif real in above:
                problems.append(f"{entry.path}: a link to a folder that it lies in")
            elif not os.path.exists(real):
                problems.append(f"{entry.path}: a link to nothing")
            elif os.path.isdir(real):
                pending.append((entry.path, real, above | {real}))
            elif os.path.isfile(real):
                files.append(entry.name)
        yield path, files


def _prompt(folder: str, path: str, files: list[str], problems: list[str]) -> FolderPrompt | None:
    numbered: dict[int, str] = {}
    described: list[str] = []
    for file in files:
        if file.lower() in prompt_yaml.NAMES:
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
    told = prompt_yaml.read(os.path.join(path, described[0]), problems) if described else prompt_yaml.PromptYaml()
    versions = [
        version
        for number, file in sorted(numbered.items())
        if (version := _version(os.path.join(path, file), number, told, problems))
    ]
    for number in told.versions.keys() - numbered.keys():
        problems.append(f"{os.path.join(path, described[0])}: versions names {number}, which has no file")
    return FolderPrompt(name, path, versions, told.active)


def _version(path: str, number: int, told: prompt_yaml.PromptYaml, problems: list[str]) -> FileVersion | None:
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
    settings = told.settings | {key: own.pop(key) for key in prompt_yaml.SETTINGS if key in own}
    metadata = ({"description": told.description} if told.description else {}) | own
    return FileVersion(number, path, content, settings, metadata, author)
