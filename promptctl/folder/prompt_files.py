"""The files of one prompt's folder, understood: its texts as they will be stored, and what prompt.yaml says."""

from __future__ import annotations

import hashlib
import os
from types import MappingProxyType
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import prompt_yaml, secret_values, texts
from promptctl.records import Record
from promptctl.rules import templates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.folder.listing import ScannedPrompt


class FileVersion(Record):
    """One version file: its text as it will be stored, and what prompt.yaml says of it.

    `sha256` is that of the text, in hexadecimal; `content`, in UTF-8, is None for a text that is stored already. `size`
    is in bytes; `variables` and `required` are the names in a text that was not stored, in the order of their first
    places.
    """

    __slots__ = ()
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

    def without_content(self) -> FileVersion:
        """Return it as one whose text is stored."""
        return FileVersion(
            self.number, self.path, self.sha256, None, self.size, self.variables, self.required, self.settings,
            self.metadata, self.author,
        )  # fmt: skip


class FolderPrompt(Record):
    """One prompt as its folder has it: the versions by number, what should be live and who else gets what.

    `active` and `route` None: not said. `digest` is that of the files; None where they changed while they were read.
    `notes` has by version what whoever looks at the plan should know of its text.
    """

    __slots__ = ()
    name: str
    path: str
    yaml_path: str | None
    versions: list[FileVersion]
    active: int | None
    route: list[dict[str, Any]] | None
    digest: str | None
    notes: Mapping[int, Sequence[str]] = MappingProxyType({})

    def with_versions(self, versions: list[FileVersion]) -> FolderPrompt:
        """Return it with other versions."""
        return FolderPrompt(
            self.name, self.path, self.yaml_path, versions, self.active, self.route, self.digest, self.notes
        )

    @property
    def metadata(self) -> dict[str, dict[str, Any]]:
        """What prompt.yaml says of each version beside its settings, by the version's number as text."""
        return {str(version.number): version.metadata for version in self.versions if version.metadata}


def read(
    scanned: ScannedPrompt, stored: Mapping[int, str], problems: list[str], secrets: list[str] | None = None
) -> FolderPrompt:
    """Understand a prompt's folder; what is wrong with it is added to `problems`.

    What looks like a key in prompt.yaml, or in a text that is not stored just so, is added to `secrets`. `stored` has
    the SHA-256 of the stored texts by version: a file that is one of them, byte for byte, is not read.
    """
    said = prompt_yaml.PromptYaml()
    is_as_scanned = True
    prompt = scanned.prompt
    yaml_path = prompt.yaml_path
    if yaml_path is not None and 0 in scanned.hashes:
        was_kept = 0 in scanned.kept
        raw = _read(scanned, 0, yaml_path, problems)
        if raw is not None:
            is_as_scanned = was_kept or hashlib.sha256(raw).hexdigest() == scanned.hashes[0]
            if told := texts.unfinished(raw.decode(errors="replace")):
                problems.append(f"{yaml_path}: {told}")
            else:
                said = prompt_yaml.parse(raw, yaml_path, problems)
            if 0 not in said.allowed_secrets:
                _look_for_secrets(raw.decode(errors="replace"), yaml_path, secrets)
    versions: list[FileVersion] = []
    notes: dict[int, list[str]] = {}
    for number in prompt.files:
        if number not in scanned.hashes:
            continue
        own = said.of(number)
        settings = {**prompt.defaults, **own.settings}
        path, sha256, content = prompt.version_path(number), scanned.hashes[number], None
        size, variables, required = 0, (), ()
        if stored.get(number) != sha256:
            was_kept = number in scanned.kept
            raw = _read(scanned, number, path, problems)
            if raw is None:
                continue
            is_as_scanned = is_as_scanned and (was_kept or hashlib.sha256(raw).hexdigest() == sha256)
            try:
                text = texts.normalised(raw, path)
            except errors.Usage as problem:
                problems.append(problem.message)
                continue
            if told := texts.unfinished(text):
                problems.append(f"{path}: {told}")
                continue
            is_normal = texts.is_normal(raw)
            content = raw if is_normal else text.encode()
            size = len(content)
            if not is_as_scanned or not is_normal:
                sha256 = hashlib.sha256(content).hexdigest()
            if number not in stored:
                variables = templates.variables(text, settings)
                required = templates.required(variables, settings)
                notes[number] = templates.double_brace_warnings(text, settings)
                if number in said.allowed_secrets:
                    notes[number] += _allowed(text, said.allowed_secrets[number])
            # Also in one that differs from what is stored: the difference would be shown.
            if number not in said.allowed_secrets:
                _look_for_secrets(text, path, secrets)
        versions.append(
            FileVersion(number, path, sha256, content, size, variables, required, settings, own.metadata, own.author)
        )
    for number in said.versions.keys() - prompt.files.keys():
        problems.append(f"{yaml_path}: versions names {number}, which has no file")
    for number in said.allowed_secrets.keys() - prompt.files.keys() - {0}:
        problems.append(f"{yaml_path}: allow_secrets names {number}, which has no file")
    digest = scanned.digest if is_as_scanned else None
    return FolderPrompt(prompt.name, prompt.path, yaml_path, versions, said.active, said.route, digest, notes)


def _allowed(text: str, reason: str) -> list[str]:
    """Say what looks like a key and was acknowledged."""
    because = f": {reason}" if reason else ""
    return [
        f"line {found.line}: {found.shown} looks like {found.kind}, which prompt.yaml allows{because}"
        for found in secret_values.find(text)
    ]


def _look_for_secrets(text: str, path: str, secrets: list[str] | None) -> None:
    if secrets is not None:
        secrets += [f"{path}:{found.line}: {found.shown} looks like {found.kind}" for found in secret_values.find(text)]


def _read(scanned: ScannedPrompt, number: int, path: str, problems: list[str]) -> bytes | None:
    try:
        return scanned.raw(number)
    except OSError as problem:
        problems.append(f"{path}: {problem.strerror or os.strerror(problem.errno or 0)}")
        return None
