"""List the prompts and files of a folder (docs/files.md), then read and hash them.

Files are hashed before they are parsed: a prompt whose files have not changed since they were applied is not parsed.
"""

from __future__ import annotations

import hashlib
import json
import os
from types import MappingProxyType
from typing import TYPE_CHECKING

from promptctl import bounded_input, errors
from promptctl.records import Record
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

SUFFIXES = (".txt", ".md")
YAML_NAMES = ("prompt.yaml", "prompt.yml")
# What follows `vN` in the name of a request file.
REQUEST_SUFFIXES = (".request.yaml", ".request.json")
_REQUEST_WORDS = frozenset(("request", "requests"))
_REQUEST_ENDINGS = frozenset(("yaml", "yml", "json"))
# The words of a name that is meant as that of a request file. `example-request.json` is another file.
_PARTS_OF_REQUEST_NAMES = _REQUEST_WORDS | _REQUEST_ENDINGS | {"prompt", "txt", "md"}
# The names of a file of test cases beside the versions, and of the folder that can have several.
TEST_NAMES = ("tests.yaml", "tests.yml")
TESTS_FOLDER = "tests"
# Names that are meant as that of a file of test cases. Such a file would be ignored.
_LIKE_TEST_NAMES = frozenset(
    f"{stem}.{ending}" for stem in ("test", "testcase", "testcases") for ending in ("yaml", "yml")
)
DEFAULTS_NAMES = ("promptctl.yaml", "promptctl.yml")
_NO_REQUEST_FILE = "not the name of a request file, such as v1.request.yaml or v12.request.json"
_MOST_DIGITS = len(str(references.HIGHEST_VERSION))
# Part of every digest. Raise it when files are parsed differently, so that every folder is parsed again.
_PARSER_VERSION = b"2"
# How many bytes of contents are kept in memory from hashing to parsing. Contents beyond this are read again when they
# are parsed.
_KEPT_BYTES = 1 << 26
# A file of cases that names a saved conversation has this.
_CONVERSATION = b"conversation"


class InvalidFolder(errors.Failed):
    """A folder cannot be synced. `problems` are all problems, `others` all but the first, which is in the message.

    `prompts` are the prompts that could be listed.
    """

    def __init__(self, problems: list[str], prompts: Sequence[ListedPrompt] = ()) -> None:
        others = len(problems) - 1
        more = f" (and {others} more error{'' if others == 1 else 's'})" if others else ""
        super().__init__("invalid_folder", problems[0] + more)
        self.problems = problems
        self.others = problems[1:]
        self.prompts = prompts


class ListedPrompt(Record):
    """The folder of one prompt.

    `files` has the names of its version files by number, `request_files` those of the request files. `yaml` is the name
    of its prompt.yaml, None without one. `defaults` are the settings of a version that prompt.yaml does not set.
    `test_files` are its files of test cases, and `conversation_files` the JSON files that a case may name; both are
    paths from the folder of the prompt.
    """

    name: str
    path: str
    files: dict[int, str]
    yaml: str | None
    defaults: dict[str, Any]
    request_files: Mapping[int, str] = MappingProxyType({})
    test_files: tuple[str, ...] = ()
    conversation_files: tuple[str, ...] = ()

    def version_path(self, number: int) -> str:
        """Return the path of a version file."""
        return f"{self.path}/{self.files[number]}"

    def request_path(self, number: int) -> str | None:
        """Return the path of the request file of a version, if there is one."""
        return f"{self.path}/{self.request_files[number]}" if number in self.request_files else None

    @property
    def yaml_path(self) -> str | None:
        """The path of prompt.yaml, if there is one."""
        return f"{self.path}/{self.yaml}" if self.yaml else None


class ScannedPrompt(Record):
    """A prompt with the hashes of its files.

    `hashes` has the SHA-256 of each file in hexadecimal, by the name of the file. `digest` covers all of these hashes.
    `contents` has the bytes of the files that are kept in memory, by the same names.
    """

    prompt: ListedPrompt
    hashes: dict[str, str]
    digest: str
    contents: dict[str, bytes]

    def take_content(self, file: str) -> bytes:
        """Return the bytes of a file, and drop them from memory. Raises OSError."""
        if file in self.contents:
            return self.contents.pop(file)
        return read_bytes(f"{self.prompt.path}/{file}")


def list_prompts(folder: str, defaults: dict[str, Any] | None = None) -> list[ListedPrompt]:
    """Return every prompt in a folder, sorted by name; an empty list if there is none.

    `defaults` are the default settings of their versions. Raises Failed (`invalid_folder`) with every problem of names
    and files.
    """
    if not os.path.isdir(folder):
        raise errors.Failed("invalid_folder", f"{references.quoted(folder)} is not a folder")
    problems: list[str] = []
    files_by_folder = dict(_walk(folder, problems))
    prompts = [
        prompt
        for path, files in files_by_folder.items()
        if (prompt := _list_prompt(folder, path, files, defaults or {}, problems))
    ]
    prompts = [_with_tests(prompt, files_by_folder, problems) for prompt in prompts]
    prompts.sort(key=lambda prompt: prompt.name)
    paths: dict[str, str] = {}
    for prompt in prompts:
        path = paths.setdefault(prompt.name.lower(), prompt.path)
        if path != prompt.path:
            problems.append(f"{prompt.path}: its name differs from {path} only in case")
    if problems:
        raise InvalidFolder(problems, prompts)
    return prompts


def scan(prompts: Iterable[ListedPrompt], problems: list[str]) -> Iterator[ScannedPrompt]:
    """Read and hash the files of one prompt after the other. `problems` gets a message for each unreadable file."""
    free_bytes = _KEPT_BYTES
    for prompt in prompts:
        scanned = _scan_prompt(prompt, problems, keep_contents=free_bytes > 0)
        yield scanned
        # Here the caller has parsed the prompt, or has kept it for later. A caller that parses takes the contents out.
        free_bytes -= sum(map(len, scanned.contents.values()))


def number_of(file: str) -> int | None:
    """Return the version number in a file name, 0 for a malformed name such as `V1.txt`, None for any other file."""
    if file[:1] not in "vV":
        return None
    stem, dot, suffix = file.rpartition(".")
    if not dot:
        stem, suffix = file, ""
    digits = stem[1:]
    if not digits.isdigit():
        return None
    return _number(digits) if stem[0] == "v" and dot + suffix in SUFFIXES else 0


def request_number_of(file: str) -> int | None:
    """Return the version number in the name of a request file, 0 for a malformed name, None for any other file.

    Malformed names are, for example, `V1.request.json`, `v1.request.yml`, `v1-request.yaml` and `v1.txt.request.yaml`.
    """
    if file[:1] not in "vV" or "request" not in file.lower():
        return None
    end = 1
    while file[end].isdigit():
        end += 1
    digits, rest = file[1:end], file[end:]
    if not digits:
        return None
    if file[0] == "v" and rest in REQUEST_SUFFIXES:
        return _number(digits)
    words = _words(rest)
    # `v1.request.yaml.orig` is a backup.
    is_meant = words[-1] in _REQUEST_ENDINGS and not _REQUEST_WORDS.isdisjoint(words)
    return 0 if is_meant or (words[0] in _REQUEST_WORDS and len(words) <= 2) else None


def is_request_without_number(file: str) -> bool:
    """Whether a file is named like a request file without the number of a version: `request.yaml`."""
    if "request" not in file.lower() or request_number_of(file) is not None:
        return False
    words = _words(file)
    return (
        words[-1] in _REQUEST_ENDINGS
        and not _REQUEST_WORDS.isdisjoint(words)
        and all(word in _PARTS_OF_REQUEST_NAMES or word.lstrip("v").isdigit() for word in words)
    )


def _words(file: str) -> list[str]:
    """Return the words of a file name in lower case: `v1`, `request` and `yaml` for `v1.request.yaml`."""
    return file.lower().strip(".-_~").replace("-", ".").replace("_", ".").split(".")


def _number(digits: str) -> int:
    """Return the version number of these digits, 0 if they are not written as a version number."""
    if not digits.isascii() or digits[0] == "0" or len(digits) > _MOST_DIGITS:
        return 0
    number = int(digits)
    return number if number <= references.HIGHEST_VERSION else 0


def read_bytes(path: str) -> bytes:
    """Return the content of a regular file of at most 100 MB. Raises OSError."""
    return bounded_input.regular_file(path)


def _walk(folder: str, problems: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield a folder and every folder in it, each with the sorted names of its files. Hidden entries are skipped."""
    root = os.path.realpath(folder)
    # The path, the real path, and the real paths of the ancestors, because a link to an ancestor is an endless loop.
    pending = [(folder, root, frozenset((root,)))]
    while pending:
        path, real_path, ancestors = pending.pop()
        files: list[str] = []
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    if entry.name[0] == ".":
                        continue
                    if entry.is_symlink():
                        real = os.path.realpath(entry.path)
                        if problem := _link_problem(entry.name, real, root, ancestors):
                            problems.append(f"{entry.path}: {problem}")
                        elif os.path.isdir(real):
                            pending.append((entry.path, real, ancestors | {real}))
                        elif os.path.isfile(real):
                            files.append(entry.name)
                    elif entry.is_dir(follow_symlinks=False):
                        real = f"{real_path}/{entry.name}"
                        pending.append((entry.path, real, ancestors | {real}))
                    elif entry.is_file(follow_symlinks=False):
                        files.append(entry.name)
                    elif _is_prompt_file(entry.name):
                        problems.append(f"{entry.path}: is not a regular file")
        except OSError as problem:
            problems.append(f"{path}: {problem.strerror}")
            continue
        files.sort()
        yield path, files


def _link_problem(name: str, real: str, root: str, ancestors: frozenset[str]) -> str | None:
    """Return why a link is an error, None if it can be followed or ignored. `real` is the real path of its target."""
    if os.path.commonpath([root, real]) != root:
        return "is a link out of the folder"
    if real in ancestors:
        return "is a link to a folder that contains it"
    if not os.path.exists(real):
        return "is a broken link"
    if not os.path.isdir(real) and not os.path.isfile(real) and _is_prompt_file(name):
        return "is a link to something that is not a regular file"
    return None


def _is_prompt_file(file: str) -> bool:
    is_yaml = file.lower() in (*YAML_NAMES, *TEST_NAMES)
    return is_yaml or number_of(file) is not None or request_number_of(file) is not None


def _list_prompt(
    folder: str, path: str, files: list[str], defaults: dict[str, Any], problems: list[str]
) -> ListedPrompt | None:
    """Return the prompt whose folder is `path`, None if there is none. What is wrong is added to `problems`."""
    version_files: dict[int, str] = {}
    request_files: dict[int, str] = {}
    yaml_files: list[str] = []
    for file in files:
        if file.lower() in YAML_NAMES:
            yaml_files.append(file)
        elif file.lower() in DEFAULTS_NAMES:
            if path != folder:
                problems.append(
                    f"{os.path.join(path, file)}: has no effect here: sync reads only {os.path.join(folder, file)}"
                )
        elif (number := number_of(file)) is None:
            if (number := request_number_of(file)) is None:
                continue
            if number == 0:
                problems.append(f"{os.path.join(path, file)}: {_NO_REQUEST_FILE}")
            elif number in request_files:
                problems.append(
                    f"{os.path.join(path, file)}: the request of version {number} is also in {request_files[number]}"
                )
            else:
                request_files[number] = file
        elif number == 0:
            problems.append(f"{os.path.join(path, file)}: not the name of a version file, such as v1.txt or v12.md")
        elif number in version_files:
            problems.append(f"{os.path.join(path, file)}: version {number} is also in {version_files[number]}")
        else:
            version_files[number] = file
    if not version_files and not yaml_files and not request_files:
        return None
    problems += [f"{os.path.join(path, file)}: {_NO_REQUEST_FILE}" for file in files if is_request_without_number(file)]
    problems += [
        f"{os.path.join(path, file)}: not the name of a file of test cases: did you mean {TEST_NAMES[0]}?"
        for file in files
        if file.lower().replace("-", "").replace("_", "") in _LIKE_TEST_NAMES
    ]
    name = path.removeprefix(folder).lstrip("/")
    try:
        references.check_name(name)
    except errors.Usage as problem:
        message = problem.message if name else "a version file must be in a folder that has the name of its prompt"
        problems.append(f"{path}: {message}")
        return None
    problems += [
        f"{os.path.join(path, file)}: there is no text beside it, in v{number}.txt or v{number}.md"
        for number, file in request_files.items()
        if number not in version_files
    ]
    if not version_files:
        problems += [f"{os.path.join(path, file)}: there is no version file beside it" for file in yaml_files[:1]]
        return None
    if len(yaml_files) > 1:
        problems.append(f"{path}: has both {yaml_files[0]} and {yaml_files[1]}")
    return ListedPrompt(
        name, path, dict(sorted(version_files.items())), yaml_files[0] if yaml_files else None, defaults,
        dict(sorted(request_files.items())),
    )  # fmt: skip


def _with_tests(prompt: ListedPrompt, files_by_folder: Mapping[str, list[str]], problems: list[str]) -> ListedPrompt:
    """Return a prompt with its files of test cases. What is wrong is added to `problems`."""
    test_files = [file for file in files_by_folder[prompt.path] if file.lower() in TEST_NAMES]
    folder = f"{prompt.path}/{TESTS_FOLDER}"
    in_folder = files_by_folder.get(folder, [])
    # A folder with versions is the prompt NAME/tests.
    if not any(number_of(file) is not None for file in in_folder):
        test_files += [f"{TESTS_FOLDER}/{file}" for file in in_folder if file.lower().endswith((".yaml", ".yml"))]
    if not test_files:
        return prompt
    if len(test_files) > 1 and test_files[0].lower() in TEST_NAMES:
        problems.append(f"{prompt.path}: has both {test_files[0]} and {test_files[1]}")
    conversations = tuple(_json_files(prompt.path, files_by_folder))
    return ListedPrompt(
        prompt.name, prompt.path, prompt.files, prompt.yaml, prompt.defaults, prompt.request_files, tuple(test_files),
        conversations,
    )  # fmt: skip


def _json_files(path: str, files_by_folder: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the JSON files in the folder of a prompt and in its folder `tests`, as paths from the former."""
    for prefix in ("", f"{TESTS_FOLDER}/"):
        for file in files_by_folder.get(f"{path}/{prefix}".rstrip("/"), ()):
            if file.endswith(".json") and request_number_of(file) is None:
                yield prefix + file


def _scan_prompt(prompt: ListedPrompt, problems: list[str], *, keep_contents: bool) -> ScannedPrompt:
    """Read and hash the files of a prompt. The digest covers the defaults, and the name and the hash of each file."""
    sha256 = hashlib.sha256
    parts = [_PARSER_VERSION]
    if prompt.defaults:
        parts.append(json.dumps(prompt.defaults, sort_keys=True).encode())
    hashes: dict[str, str] = {}
    contents: dict[str, bytes] = {}

    def add(mark: bytes, file: str) -> bytes:
        path = f"{prompt.path}/{file}"
        try:
            content = read_bytes(path)
        except OSError as problem:
            problems.append(f"{path}: {problem.strerror}")
            return b""
        file_hash = sha256(content)
        if keep_contents:
            contents[file] = content
        parts.extend((mark, file_hash.digest()))
        hashes[file] = file_hash.hexdigest()
        return content

    for mark, file in _marked_files(prompt):
        add(mark, file)
    if prompt.test_files:
        test_files = [add(b"/tests/%s:" % os.fsencode(file), file) for file in prompt.test_files]
        if any(_CONVERSATION in content for content in test_files):
            for file in prompt.conversation_files:
                add(b"/conversation/%s:" % os.fsencode(file), file)
    return ScannedPrompt(prompt, hashes, sha256(b"".join(parts)).hexdigest(), contents)


def _marked_files(prompt: ListedPrompt) -> Iterator[tuple[bytes, str]]:
    """Yield the files of a prompt but those of its test cases, each with its mark in the digest.

    The mark is the version number, 0 for prompt.yaml. For a request file it also has the suffix, because the same bytes
    can have another meaning in YAML than in JSON.
    """
    if prompt.yaml is not None:
        yield b"/0:", prompt.yaml
    for number, file in prompt.files.items():
        yield b"/%d:" % number, file
    for number, file in prompt.request_files.items():
        yield b"/%d%s:" % (number, file.removeprefix(f"v{number}").encode()), file
