"""The folder of prompts, as docs/files.md describes it: which prompts and files there are, and a digest of each.

Listed, then read and hashed, and not yet understood: what has not changed since it was last applied need not be.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING

from promptctl import bounded_input, errors
from promptctl.records import Record
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

SUFFIXES = (".txt", ".md")
YAML_NAMES = ("prompt.yaml", "prompt.yml")
DEFAULTS_NAMES = ("promptctl.yaml", "promptctl.yml")
# Part of every digest: another number here has every folder understood anew, because it would be understood otherwise.
_READING = b"2"
# So much of what was read is kept, so that it is read once; of a larger folder what has changed is read again.
_MOST_KEPT_BYTES = 1 << 26


class InvalidFolder(errors.Failed):
    """A folder that cannot be synced; `others` are the problems beside the one in the message.

    `prompts` are those that were found in it all the same.
    """

    def __init__(self, problems: list[str], prompts: Sequence[ListedPrompt] = ()) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__("invalid_folder", problems[0] + more)
        self.problems = problems
        self.others = problems[1:]
        self.prompts = prompts


class ListedPrompt(Record):
    """A prompt's folder: the names of its version files by number, and of its prompt.yaml, if it has one.

    `defaults` are the settings of versions for which the prompt.yaml has none.
    """

    __slots__ = ()
    name: str
    path: str
    files: dict[int, str]
    yaml: str | None
    defaults: dict[str, Any]

    def version_path(self, number: int) -> str:
        """The path of a version file."""
        return f"{self.path}/{self.files[number]}"

    @property
    def yaml_path(self) -> str | None:
        """The path of its prompt.yaml, if it has one."""
        return f"{self.path}/{self.yaml}" if self.yaml else None


class ScannedPrompt(Record):
    """What is in a prompt's folder.

    `hashes` has, by number, the SHA-256 of the file's bytes, in hexadecimal, at 0 that of prompt.yaml; `digest` is one
    over all of it. `kept` has what was in the files, of those that were kept.
    """

    __slots__ = ()
    prompt: ListedPrompt
    hashes: dict[int, str]
    digest: str
    kept: dict[int, bytes]

    def raw(self, number: int) -> bytes:
        """What is in a version file, or at 0 in prompt.yaml. Raises OSError."""
        if number in self.kept:
            # Once: what was understood need not be kept.
            return self.kept.pop(number)
        return read_bytes(self.prompt.version_path(number) if number else f"{self.prompt.path}/{self.prompt.yaml}")


def listed(folder: str, defaults: dict[str, Any] | None = None) -> list[ListedPrompt]:
    """Return every prompt below a folder, in the order of names; `defaults` are settings for all of them.

    Raises Failed for a folder whose prompts cannot be told: all that is wrong is found before it is raised, the message
    names the first and counts the rest. No prompt at all is no failure here.
    """
    if not os.path.isdir(folder):
        raise errors.Failed("invalid_folder", f"{references.quoted(folder)} is no folder")
    problems: list[str] = []
    prompts = [
        prompt
        for path, files in _folders(folder, problems)
        if (prompt := _prompt(folder, path, files, defaults or {}, problems))
    ]
    prompts.sort(key=lambda prompt: prompt.name)
    seen: dict[str, str] = {}
    for prompt in prompts:
        other = seen.setdefault(prompt.name.lower(), prompt.path)
        if other != prompt.path:
            problems.append(f"{prompt.path}: its name differs from {other} only in case")
    if problems:
        raise InvalidFolder(problems, prompts)
    return prompts


def scanned(prompts: Iterable[ListedPrompt], problems: list[str]) -> Iterator[ScannedPrompt]:
    """Read and hash the files of prompts, one prompt after the other; a file that cannot be read is a problem."""
    room = _MOST_KEPT_BYTES
    for prompt in prompts:
        found = _scanned(prompt, problems, keeps=room > 0)
        yield found
        # What was understood meanwhile is not kept any more.
        room -= sum(map(len, found.kept.values()))


def number_of(file: str) -> int | None:
    """Return the version that a file's name stands for; 0: meant to, and not right; None: another file."""
    if file[:1] not in "vV":
        return None
    stem, dot, suffix = file.rpartition(".")
    if not dot:
        stem, suffix = file, ""
    digits = stem[1:]
    if not digits.isdigit():
        return None
    if stem[0] != "v" or dot + suffix not in SUFFIXES or not digits.isascii() or digits[0] == "0":
        return 0
    number = int(digits) if len(digits) < 11 else 0
    return number if number <= references.HIGHEST_VERSION else 0


def read_bytes(path: str) -> bytes:
    """Return what is in a regular file of at most 100 MB. Raises OSError."""
    return bounded_input.regular_file(path)


def _folders(folder: str, problems: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Every folder below, with the names of its files; hidden ones are not looked at."""
    root = os.path.realpath(folder)
    # Each with the real paths of the folders that it lies in: a link to one of them would never end.
    pending = [(folder, root, frozenset((root,)))]
    while pending:
        path, real_path, above = pending.pop()
        files: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name[0] == ".":
                        continue
                    if not entry.is_symlink():
                        if entry.is_dir(follow_symlinks=False):
                            real = f"{real_path}/{entry.name}"
                            pending.append((entry.path, real, above | {real}))
                        elif entry.is_file(follow_symlinks=False):
                            files.append(entry.name)
                        elif _is_ours(entry.name):
                            problems.append(f"{entry.path}: is not a regular file")
                        continue
                    real = os.path.realpath(entry.path)
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
                    elif _is_ours(entry.name):
                        problems.append(f"{entry.path}: a link to what is not a regular file")
        except OSError as problem:
            problems.append(f"{path}: {problem.strerror}")
            continue
        files.sort()
        yield path, files


def _is_ours(file: str) -> bool:
    return file.lower() in YAML_NAMES or number_of(file) is not None


def _prompt(
    folder: str, path: str, files: list[str], defaults: dict[str, Any], problems: list[str]
) -> ListedPrompt | None:
    numbered: dict[int, str] = {}
    described: list[str] = []
    for file in files:
        if file.lower() in YAML_NAMES:
            described.append(file)
            continue
        if file.lower() in DEFAULTS_NAMES and path != folder:
            problems.append(f"{os.path.join(path, file)}: only the one in the folder that is synced counts, {folder}")
            continue
        number = number_of(file)
        if number is None:
            continue
        if number == 0:
            problems.append(f"{os.path.join(path, file)}: not the name of a version file, such as v1.txt or v12.md")
        elif number in numbered:
            problems.append(f"{os.path.join(path, file)}: version {number} is in {numbered[number]} as well")
        else:
            numbered[number] = file
    if not numbered and not described:
        return None
    name = path[len(folder) :].lstrip("/")
    try:
        references.check_name(name)
    except errors.Usage as problem:
        told = problem.message if name else "version files lie in a folder that is named like the prompt"
        problems.append(f"{path}: {told}")
        return None
    if not numbered:
        problems.append(f"{os.path.join(path, described[0])}: no version file beside it")
        return None
    if len(described) > 1:
        problems.append(f"{path}: both {described[0]} and {described[1]}")
    return ListedPrompt(name, path, dict(sorted(numbered.items())), described[0] if described else None, defaults)


def _scanned(prompt: ListedPrompt, problems: list[str], *, keeps: bool) -> ScannedPrompt:
    sha256 = hashlib.sha256
    parts = [_READING]
    if prompt.defaults:
        parts.append(json.dumps(prompt.defaults, sort_keys=True).encode())
    hashes: dict[int, str] = {}
    kept: dict[int, bytes] = {}
    for number, file in ((0, prompt.yaml), *prompt.files.items()):
        if file is None:
            continue
        place = f"{prompt.path}/{file}"
        try:
            raw = read_bytes(place)
        except OSError as problem:
            problems.append(f"{place}: {problem.strerror}")
            continue
        found = sha256(raw)
        if keeps:
            kept[number] = raw
        parts += (b"/%d:" % number, found.digest())
        hashes[number] = found.hexdigest()
    return ScannedPrompt(prompt, hashes, sha256(b"".join(parts)).hexdigest(), kept)
