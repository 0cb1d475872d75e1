"""Parse the files of one prompt: its texts as they will be stored, and its prompt.yaml."""

from __future__ import annotations

import hashlib
import os
import posixpath
from types import MappingProxyType
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import prompt_yaml, request_files, secret_values, texts
from promptctl.records import Record
from promptctl.rules import requests, templates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.folder.listing import ScannedPrompt
    from promptctl.folder.prompt_yaml import PromptYaml
    from promptctl.folder.test_files import TestFile
    from promptctl.rules.rollout_plans import RolloutPlan


class FileVersion(Record):
    """One version file: its text as it will be stored, and what prompt.yaml has for it.

    `sha256` is that of the text, in hexadecimal. `content` is the text in UTF-8, `size` its length in bytes.
    `variables` are its variables in order of appearance, those of its few-shot messages last; `required` are those
    without a default. Of a text that is stored already, `content` is None, and the variables are not read.
    `request_path` is the request file of the version; without one, the request in `settings` is from prompt.yaml.
    """

    number: int
    path: str
    sha256: str
    content: bytes | None
    size: int
    variables: tuple[str, ...]
    required: tuple[str, ...]
    settings: dict[str, Any]
    metadata: dict[str, Any]
    author: str | None
    request_path: str | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the version file and of the request file."""
        return (self.path,) if self.request_path is None else (self.path, self.request_path)

    @property
    def request_size(self) -> int:
        """The length of the request in bytes, 0 for a version without one."""
        return len(self.settings.get("request", "").encode())

    def origin(self, origins: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """Return the origin of the version file, from the origins of files by path.

        It is `dirty` also if only the request file has changes that are not committed.
        """
        origin = origins.get(self.path)
        request_origin = origins.get(self.request_path) if self.request_path is not None else None
        if origin is None or request_origin is None or not request_origin["dirty"]:
            return origin
        return {**origin, "dirty": True}

    def without_content(self) -> FileVersion:
        """Return the version without its content, once its text is stored."""
        return FileVersion(
            self.number, self.path, self.sha256, None, self.size, self.variables, self.required, self.settings,
            self.metadata, self.author, self.request_path,
        )  # fmt: skip


class FolderPrompt(Record):
    """One prompt as its folder has it.

    `versions` are in order of their numbers. `active` and `route` are None where prompt.yaml sets none. `digest` is
    that of the files, None if one of them changed after it was hashed. `notes` has remarks about texts by version,
    which the plan shows. `rollout` is the plan with which another version becomes active, None to activate it at once.
    `tests` has the test cases, None for a folder without a file of cases, and `test_path` the first of these files.
    """

    name: str
    path: str
    yaml_path: str | None
    versions: list[FileVersion]
    active: int | None
    route: list[dict[str, Any]] | None
    digest: str | None
    notes: Mapping[int, Sequence[str]] = MappingProxyType({})
    rollout: RolloutPlan | None = None
    tests: TestFile | None = None
    test_path: str | None = None

    def with_versions(self, versions: list[FileVersion]) -> FolderPrompt:
        """Return the prompt with other versions."""
        return FolderPrompt(
            self.name, self.path, self.yaml_path, versions, self.active, self.route, self.digest, self.notes,
            self.rollout, self.tests, self.test_path,
        )  # fmt: skip

    @property
    def metadata(self) -> dict[str, dict[str, Any]]:
        """The metadata of each version that has any, by its number as text."""
        return {str(version.number): version.metadata for version in self.versions if version.metadata}


class StoredContents(Record):
    """What the database has of the versions of a prompt, by number: the SHA-256 of their texts, and their requests."""

    hashes: Mapping[int, str] = MappingProxyType({})
    requests: Mapping[int, str] = MappingProxyType({})


_NOTHING_STORED = StoredContents()


def read(
    scanned: ScannedPrompt,
    problems: list[str],
    secrets: list[str] | None = None,
    stored: StoredContents = _NOTHING_STORED,
) -> FolderPrompt:
    """Parse the files of a prompt. What is wrong is added to `problems`.

    A version file with the hash of the stored text is not parsed. `secrets` gets a message about each thing in
    prompt.yaml, or in a text or a request that is new or differs from the stored one, that looks like a key. If it is
    None, secrets are allowed.
    """
    return _PromptParser(scanned, problems, secrets, stored).parse()


class _PromptParser:
    """Parses one prompt."""

    def __init__(
        self, scanned: ScannedPrompt, problems: list[str], secrets: list[str] | None, stored: StoredContents
    ) -> None:
        self._scanned = scanned
        self._stored = stored
        self._problems = problems
        self._secrets = secrets
        self._notes: dict[int, list[str]] = {}
        # The digest covers the hashes of all files. This is False once a file has another content than was hashed.
        self._is_as_scanned = True

    def parse(self) -> FolderPrompt:
        prompt = self._scanned.prompt
        yaml = self._parse_yaml()
        # A file without a hash could not be read, which is reported already.
        versions = [
            version
            for number, file in prompt.files.items()
            if file in self._scanned.hashes and (version := self._parse_version(number, yaml)) is not None
        ]
        for number in yaml.versions.keys() - prompt.files.keys():
            self._problems.append(f"{prompt.yaml_path}: versions names {number}, which has no file")
        for number in yaml.allowed_secrets.keys() - prompt.files.keys() - {0, prompt_yaml.TESTS}:
            self._problems.append(f"{prompt.yaml_path}: allow_secrets names {number}, which has no file")
        tests = self._parse_tests(yaml)
        digest = self._scanned.digest if self._is_as_scanned else None
        test_path = f"{prompt.path}/{prompt.test_files[0]}" if prompt.test_files else None
        return FolderPrompt(
            prompt.name, prompt.path, prompt.yaml_path, versions, yaml.active, yaml.route, digest, self._notes,
            yaml.rollout, tests, test_path,
        )  # fmt: skip

    def _parse_yaml(self) -> PromptYaml:
        file, path = self._scanned.prompt.yaml, self._scanned.prompt.yaml_path
        if file is None or path is None or file not in self._scanned.hashes:
            return prompt_yaml.PromptYaml()
        content, _ = self._read(file)
        if content is None:
            return prompt_yaml.PromptYaml()
        text = content.decode(errors="replace")
        if problem := texts.git_problem(text):
            self._problems.append(f"{path}: {problem}")
            yaml = prompt_yaml.PromptYaml()
        else:
            yaml = prompt_yaml.parse(content, path, self._problems)
        if 0 not in yaml.allowed_secrets:
            self._find_secrets(text, path, yaml.values)
        return yaml

    def _parse_tests(self, yaml: PromptYaml) -> TestFile | None:
        """Return the test cases of the prompt, None if it has no file of cases."""
        prompt = self._scanned.prompt
        if not prompt.test_files:
            return None
        from promptctl.folder import test_files

        is_allowed = prompt_yaml.TESTS in yaml.allowed_secrets
        parsed: dict[str, TestFile] = {}
        for file in prompt.test_files:
            # A file without a hash could not be read, which is reported already.
            raw = self._read(file)[0] if file in self._scanned.hashes else None
            if raw is not None:
                path = f"{prompt.path}/{file}"
                parsed[path] = test_files.parse(
                    raw, path, self._problems, lambda name, file=file: self._read_conversation(file, name, is_allowed)
                )
                if not is_allowed:
                    self._find_secrets(raw.decode(errors="replace"), path)
        return test_files.combined(parsed, self._problems)

    def _read_conversation(self, test_file: str, name: str, is_allowed: bool) -> bytes:
        """Return the content of a saved conversation that a file of cases names. Raises OSError and ValueError."""
        prompt = self._scanned.prompt
        file = posixpath.normpath(posixpath.join(posixpath.dirname(test_file), name))
        if file not in prompt.conversation_files:
            raise ValueError("is not a JSON file in the folder of the prompt, or in its folder tests")
        path = f"{prompt.path}/{file}"
        root = os.path.realpath(prompt.path)
        if os.path.commonpath([root, os.path.realpath(path)]) != root:
            raise ValueError("is a link out of the folder of the prompt")
        content = self._scanned.take_content(file)
        if self._scanned.hashes.get(file) != hashlib.sha256(content).hexdigest():
            self._is_as_scanned = False
        if not is_allowed:
            self._find_secrets(content.decode(errors="replace"), path)
        return content

    def _parse_version(self, number: int, yaml: PromptYaml) -> FileVersion | None:
        prompt = self._scanned.prompt
        version = yaml.of(number)
        settings = {**prompt.defaults, **version.settings}
        request_path = prompt.request_path(number)
        if request_path is not None and not self._set_request(settings, number, request_path, yaml):
            return None
        file, path = prompt.files[number], prompt.version_path(number)
        sha256 = self._scanned.hashes[file]
        stored_hash = self._stored.hashes.get(number)
        if stored_hash == sha256:
            return FileVersion(
                number, path, sha256, None, 0, (), (), settings, version.metadata, version.author, request_path
            )
        raw, is_as_scanned = self._read(file)
        if raw is None:
            return None
        try:
            text = texts.normalise(raw, path)
        except errors.Usage as problem:
            self._problems.append(problem.message)
            return None
        if problem := texts.git_problem(text):
            self._problems.append(f"{path}: {problem}")
            return None
        is_normal = texts.is_normal(raw)
        content = raw if is_normal else text.encode()
        if not is_as_scanned or not is_normal:
            sha256 = hashlib.sha256(content).hexdigest()
        variables = required = ()
        if stored_hash is None:
            request = requests.decode(settings)
            variables = templates.variables(text, settings)
            required = templates.required(variables, settings)
            notes = templates.double_brace_warnings(text, settings)
            if request is not None:
                notes += requests.warnings(request)
            if "cache" in settings:
                from promptctl.rules import caching

                notes += caching.notes(text, settings)
            if number in yaml.allowed_secrets:
                notes += _allowed_secrets(text, request, yaml.allowed_secrets[number])
            if notes:
                self._notes[number] = notes
        # A text that differs from the stored one is searched too, because the plan prints the difference.
        if number not in yaml.allowed_secrets:
            self._find_secrets(text, path)
        return FileVersion(
            number, path, sha256, content, len(content), variables, required, settings, version.metadata,
            version.author, request_path,
        )  # fmt: skip

    def _set_request(self, settings: dict[str, Any], number: int, path: str, yaml: PromptYaml) -> bool:
        """Replace the request in `settings` by that of the request file. Return False for an invalid file."""
        file = self._scanned.prompt.request_files[number]
        # A file without a hash could not be read, which is reported already.
        raw = self._read(file)[0] if file in self._scanned.hashes else None
        request = request_files.parse(raw, path, self._problems) if raw is not None else None
        if raw is None or request is None:
            return False
        settings.pop("request", None)
        setting = request_files.setting(request)
        if setting is not None:
            settings["request"] = setting
            if number not in yaml.allowed_secrets and setting != self._stored.requests.get(number):
                self._find_secrets(raw.decode(errors="replace"), path, (request,))
        return True

    def _read(self, file: str) -> tuple[bytes | None, bool]:
        """Return the content of a file, None if it cannot be read, and whether the content still has its hash."""
        was_kept = file in self._scanned.contents
        try:
            content = self._scanned.take_content(file)
        except OSError as problem:
            path = f"{self._scanned.prompt.path}/{file}"
            self._problems.append(f"{path}: {problem.strerror or os.strerror(problem.errno or 0)}")
            return None, False
        is_as_scanned = was_kept or hashlib.sha256(content).hexdigest() == self._scanned.hashes[file]
        self._is_as_scanned = self._is_as_scanned and is_as_scanned
        return content, is_as_scanned

    def _find_secrets(self, text: str, path: str, values: Sequence[Any] = ()) -> None:
        if self._secrets is not None:
            self._secrets += secret_values.messages(path, text, values)


def _allowed_secrets(text: str, request: Mapping[str, Any] | None, reason: str) -> list[str]:
    """Return a note about each thing in a text or a request that looks like a key and is allowed."""
    because = f": {reason}" if reason else ""
    places = [(f"line {secret.line}", secret) for secret in secret_values.find(text)]
    if request is not None:
        places += [("request", secret) for secret in secret_values.find_in_values((request,))]
    return [
        f"{place}: {secret.masked} looks like {secret.kind}, which prompt.yaml allows{because}"
        for place, secret in places
    ]
