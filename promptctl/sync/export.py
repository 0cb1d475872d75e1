"""Export: write the prompts of the database as a folder that sync can read."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from typing import TYPE_CHECKING

from promptctl import atomic_files, errors
from promptctl.folder import defaults as folder_defaults
from promptctl.folder import (
    listing,
    prompt_yaml,
    prompt_yaml_writer,
    request_file_writer,
    request_files,
    secret_values,
    test_file_writer,
    test_files,
    texts,
)
from promptctl.folder.prompt_yaml import TESTS, VersionYaml
from promptctl.records import Record
from promptctl.rules import references, requests, templates
from promptctl.rules.json_values import same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.folder.prompt_yaml import PromptYaml
    from promptctl.store.exports import ExportedPrompt, ExportedVersion
    from promptctl.sync.read import Progress

# What looks like a key in an exported file gets this reason in `allow_secrets`, unless the folder has a reason already.
_EXPORTED_REASON = "it was in the database when this was exported"
_HINT = "promptctl export FOLDER"
# A file that has this, and no valid plan, would lose its plan if it was replaced.
_ROLLOUT_KEY = b"\nrollout:"


class Exported(Record):
    """The result of an export: the paths that were written, and the number of files that were up to date.

    `secrets` has a message about each thing in the files that looks like a key.
    """

    written: list[str]
    unchanged: int
    secrets: list[str]


class FilesDiffer(errors.Refused):
    """Files in the folder differ from the database. The command adds a hint that exports into another folder."""

    def __init__(self, paths: list[str]) -> None:
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        super().__init__("files_differ", f"{paths[0]} differs from the database{more}; nothing was written")
        self.others = [f"{path} differs from the database" for path in paths[1:]]


def free_folder(folder: str) -> str:
    """Return a path beside this folder at which nothing exists: `prompts-1`."""
    base = folder.rstrip("/") or folder
    number = 1
    while os.path.lexists(f"{base}-{number}"):
        number += 1
    return f"{base}-{number}"


def export(folder: str, prompts: Sequence[ExportedPrompt], progress: Progress, *, overwrite: bool = False) -> Exported:
    """Write prompts into a folder, so that a sync of the folder finds nothing to do.

    A file in which a sync would find no difference is left as it is, with its comments. A file that differs is replaced
    only with `overwrite`. No file is removed. A new folder is created atomically. In an existing folder, each file is
    replaced atomically. Raises Refused (`files_differ`) and Failed (`cannot_read`, `cannot_save`, and `cannot_export`
    for what prompt.yaml cannot represent).
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise errors.Failed("cannot_save", f"{references.quoted(folder)} is a file", hint=_HINT)
    problems: list[str] = []
    defaults = folder_defaults.read(folder, problems)
    if problems:
        raise errors.Failed("cannot_export", problems[0], hint="correct that file, or export into another folder")
    secrets: list[str] = []
    files: list[tuple[str, bytes]] = []
    differing: list[str] = []
    unchanged = 0
    for count, prompt in enumerate(prompts, 1):
        for path, content in _FilesOfPrompt(folder, prompt, defaults, secrets).contents():
            if os.path.islink(path):
                _refuse_link_out_of(folder, path)
            current = _read_if_exists(path)
            if current is not None:
                if _is_same(path, current, content, prompt, defaults):
                    unchanged += 1
                    continue
                differing.append(path)
            files.append((path, content))
        progress("comparing", count, len(prompts))
    if differing and not overwrite:
        raise FilesDiffer(differing)
    _write(folder, files, progress)
    return Exported([path for path, _ in files], unchanged, secrets)


class _FilesOfPrompt:
    """The files of one prompt and their contents. A version that has a file already keeps the name of that file.

    `defaults` are the folder's settings for all prompts. A message about each thing that looks like a key is added to
    `secrets`. prompt.yaml allows these things, so that another database accepts the folder.
    """

    def __init__(self, folder: str, prompt: ExportedPrompt, defaults: Mapping[str, Any], secrets: list[str]) -> None:
        self._prompt = prompt
        self._defaults = defaults
        self._secrets = secrets
        self._folder = os.path.join(folder, *prompt.name.split("/"))
        _refuse_link_out_of(folder, self._folder)

    def contents(self) -> list[tuple[str, bytes]]:
        """Return the path and the content of each file."""
        version_files, request_names, yaml_file = self._existing_files()
        yaml_path = os.path.join(self._folder, yaml_file)
        current = _present_yaml(yaml_path)
        files: list[tuple[str, bytes]] = []
        # The versions with secrets. Below, 0 stands for prompt.yaml, and TESTS for the test cases.
        with_secrets: set[int] = set()
        for version in self._prompt.versions:
            name = version_files.get(version.version) or f"v{version.version}{_suffix(version.origin_path)}"
            path = os.path.join(self._folder, name)
            file_count = len(files)
            files.append((path, version.content.encode()))
            if request_file := self._request_file(version, request_names.get(version.version), current):
                files.append(request_file)
            request = requests.decode(version.settings)
            for file_path, content in files[file_count:]:
                values = (request,) if file_path != path else ()
                if messages := secret_values.messages(file_path, content.decode(), values):
                    self._secrets += messages
                    with_secrets.add(version.version)
        for path, content in self._test_files():
            files.append((path, content))
            if secrets := secret_values.find(content.decode(errors="replace")):
                self._secrets += [
                    f"{path}:{secret.line}: {secret.masked} looks like {secret.kind}" for secret in secrets
                ]
                with_secrets.add(TESTS)
        text = self._yaml_text(yaml_path, current, with_secrets)
        return [*files, (yaml_path, text.encode())] if text else files

    def _request_file(
        self, version: ExportedVersion, name: str | None, current: PromptYaml
    ) -> tuple[str, bytes] | None:
        """Return the path and the content of the request file of a version, None if it needs none.

        `name` is that of the file that exists. Without one, the key `request` of prompt.yaml, which is kept, can have
        the request of the version.
        """
        request = requests.decode(version.settings) or {}
        if name is None and request_files.setting(request) == current.settings.get("request"):
            return None
        if name is not None:
            path = os.path.join(self._folder, name)
            present = _read_if_exists(path) or b""
            present_request = request_files.parse(present, path, [])
            if present_request is not None and request_files.setting(present_request) == request_files.setting(request):
                return path, present
        stem = f"v{version.version}"
        suffix, content = request_file_writer.file(request, None if name is None else name.removeprefix(stem))
        path = os.path.join(self._folder, f"{stem}{suffix}")
        if name is not None and name != f"{stem}{suffix}":
            raise errors.Failed(
                "cannot_export",
                f"YAML cannot represent the request of {self._prompt.name}@{version.version}",
                hint=f"mv {shlex.quote(os.path.join(self._folder, name))} {shlex.quote(path)}",
            )
        return path, content

    def _test_files(self) -> list[tuple[str, bytes]]:
        """Return the path and the content of each file of test cases: those that exist, if they have the same cases."""
        if self._prompt.tests is None:
            return []
        present = self._present_test_files()
        problems: list[str] = []
        parsed = {
            path: test_files.parse(content, path, problems, lambda name, path=path: self._conversation(path, name))
            for path, content in present.items()
        }
        tests = test_files.combined(parsed, problems)
        hashes = [case.hash for case in self._prompt.tests.cases]
        if not problems and tests.margin == self._prompt.tests.margin and [c.hash for c in tests.cases] == hashes:
            return list(present.items())
        path = next(iter(present), os.path.join(self._folder, listing.TEST_NAMES[0]))
        if os.path.dirname(path) != self._folder:
            raise errors.Failed(
                "cannot_export",
                f"the test cases of {self._prompt.name} differ from those in {os.path.dirname(path)}, and are exported "
                "into one file",
                hint="move that folder away, or export into another folder",
            )
        text = test_file_writer.text(self._prompt.tests.cases, self._prompt.tests.margin)
        if text is None:
            raise errors.Failed(
                "cannot_export",
                f"{listing.TEST_NAMES[0]} cannot represent the test cases of {self._prompt.name}",
                hint="read them with SQL, in promptctl.prompt_cases and promptctl.test_cases",
            )
        return [(path, text.encode())]

    def _present_test_files(self) -> dict[str, bytes]:
        """Return the contents of the files of test cases that exist, by path in their order."""
        names = sorted(os.listdir(self._folder)) if os.path.isdir(self._folder) else []
        present = [name for name in names if name.lower() in listing.TEST_NAMES]
        folder = os.path.join(self._folder, listing.TESTS_FOLDER)
        in_folder = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        if not any(listing.number_of(name) is not None for name in in_folder):
            present += [f"{listing.TESTS_FOLDER}/{name}" for name in in_folder if name.endswith((".yaml", ".yml"))]
        paths = [os.path.join(self._folder, name) for name in present]
        return {path: content for path in paths if (content := _read_if_exists(path)) is not None}

    def _conversation(self, test_path: str, name: str) -> bytes:
        """Return the content of a conversation that a file of cases names. Raises OSError, ValueError."""
        path = os.path.join(os.path.dirname(test_path), name)
        root = os.path.realpath(self._folder)
        if os.path.commonpath([root, os.path.realpath(path)]) != root:
            raise ValueError("is not in the folder of the prompt")
        return listing.read_bytes(path)

    def _existing_files(self) -> tuple[dict[int, str], dict[int, str], str]:
        """Return the names of the version files and request files that exist, by number, and that of prompt.yaml."""
        version_files: dict[int, str] = {}
        request_names: dict[int, str] = {}
        yaml_file = listing.YAML_NAMES[0]
        files = os.listdir(self._folder) if os.path.isdir(self._folder) else []
        for file in sorted(files):
            if (number := listing.number_of(file)) is not None:
                version_files.setdefault(number, file)
            elif number := listing.request_number_of(file):
                request_names.setdefault(number, file)
            elif file.lower() in listing.YAML_NAMES:
                yaml_file = file
        return version_files, request_names, yaml_file

    def _yaml_text(self, path: str, current: PromptYaml, with_secrets: set[int]) -> str:
        """Return the text of prompt.yaml. If a file has secrets, it is written again, with `allow_secrets`.

        The plan of rollouts is in no database, so that of the present file stays, and so does the request for versions
        without a request file.
        """
        prompt = self._prompt
        request = current.settings.get("request")
        rollout = current.written_rollout if current.rollout is not None else None
        versions = {
            version.version: VersionYaml(
                version.created_by, _explicit_settings(version.settings, self._defaults), version.metadata
            )
            for version in prompt.versions
        }
        try:
            text = prompt_yaml_writer.text(
                versions, active=prompt.active_version, route=prompt.route, rollout=rollout, request=request
            )
            secrets = secret_values.find(text)
            if not secrets and "\\" in text:
                secrets = secret_values.find_in_values(prompt_yaml.parse(text.encode(), path, []).values)
            if secrets:
                self._secrets += [f"{path}: {secret.masked} looks like {secret.kind}" for secret in secrets]
                with_secrets.add(0)
            if not with_secrets:
                return text
            reasons = {number: current.allowed_secrets.get(number) or _EXPORTED_REASON for number in with_secrets}
            return prompt_yaml_writer.text(
                versions,
                active=prompt.active_version,
                route=prompt.route,
                rollout=rollout,
                request=request,
                allowed_secrets=reasons,
            )
        except prompt_yaml_writer.Inexpressible as problem:
            raise errors.Failed(
                "cannot_export",
                f'a folder cannot represent all of "{prompt.name}": {problem.what}',
                hint=f"promptctl show {prompt.name} --json",
            ) from None


def _explicit_settings(settings: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return a version's settings for prompt.yaml: without its request, which has a file of its own.

    They have the template style if the folder's default would replace a missing one.
    """
    if requests.decode(settings) is not None:
        settings = {key: value for key, value in settings.items() if key != "request"}
    if "template" in settings or defaults.get("template", templates.DEFAULT_STYLE) == templates.DEFAULT_STYLE:
        return settings
    return {**settings, "template": templates.DEFAULT_STYLE}


def _suffix(origin_path: str | None) -> str:
    """Return the suffix of the file that a version came from, `.txt` for a version that did not come from a file."""
    suffix = os.path.splitext(origin_path or "")[1]
    return suffix if suffix in listing.SUFFIXES else listing.SUFFIXES[0]


def _refuse_link_out_of(folder: str, path: str) -> None:
    """Raise Failed for a path that leads out of the folder through a link."""
    root = os.path.realpath(folder)
    if os.path.commonpath([root, os.path.realpath(path)]) != root:
        raise errors.Failed("cannot_save", f"{path} is a link out of the folder", hint=_HINT)


def _present_yaml(path: str) -> PromptYaml:
    """Return the prompt.yaml that an export would replace, an empty one if there is none.

    Raises Failed (`cannot_export`) if its plan of rollouts is invalid: without a plan, the next version would be
    activated at once.
    """
    problems: list[str] = []
    raw = _read_if_exists(path) or b""
    present = prompt_yaml.parse(raw, path, problems)
    if problems and present.rollout is None and _ROLLOUT_KEY in b"\n" + raw:
        problem = next((problem for problem in problems if ": rollout" in problem), problems[0])
        raise errors.Failed("cannot_export", problem, hint="correct that file, or export into another folder")
    return present


def _read_if_exists(path: str) -> bytes | None:
    try:
        return listing.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise errors.Failed(
            "cannot_read", f"cannot read {references.quoted(path)}: {problem.strerror}", hint=_HINT
        ) from None


def _is_same(path: str, current: bytes, content: bytes, prompt: ExportedPrompt, defaults: Mapping[str, Any]) -> bool:
    """Whether a sync would find no difference between two contents of a file. It does not compare authors."""
    if current == content:
        return True
    if listing.request_number_of(os.path.basename(path)) or os.path.basename(path).lower() in listing.TEST_NAMES:
        # A file that has the same request, or the same cases, is exported as it is.
        return False
    if os.path.basename(path).lower() not in listing.YAML_NAMES:
        try:
            return texts.normalise(current, path).encode() == content
        except errors.Usage:
            return False
    problems: list[str] = []
    old, new = prompt_yaml.parse(current, "", problems), prompt_yaml.parse(content, "", problems)
    # A prompt.yaml without `active` leaves the active version as it is, so it does not differ.
    if problems or old.active not in (None, new.active) or not same(old.route or [], new.route or []):
        return False
    numbers = {version.version for version in prompt.versions}
    return old.versions.keys() <= numbers and all(
        same({**defaults, **old.of(number).settings}, {**defaults, **new.of(number).settings})
        and same(old.of(number).metadata, new.of(number).metadata)
        for number in numbers
    )


def _write(folder: str, files: Sequence[tuple[str, bytes]], progress: Progress) -> None:
    try:
        if os.path.lexists(folder):
            _write_into(files, progress)
        else:
            _write_new_folder(folder, files, progress)
    except OSError as problem:
        raise errors.Failed(
            "cannot_save",
            f"cannot write {references.quoted(problem.filename or folder)}: {problem.strerror}",
            hint="promptctl export FOLDER, with a folder that can be written",
        ) from None


def _write_into(files: Sequence[tuple[str, bytes]], progress: Progress) -> None:
    for count, (path, content) in enumerate(files, 1):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        atomic_files.write(path, content)
        progress("writing", count, len(files))


def _write_new_folder(folder: str, files: Sequence[tuple[str, bytes]], progress: Progress) -> None:
    path = os.path.abspath(folder)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = tempfile.mkdtemp(prefix=".promptctl-", dir=os.path.dirname(path))
    try:
        new_folder = os.path.join(temporary, "prompts")
        os.mkdir(new_folder)
        for count, (file_path, content) in enumerate(files, 1):
            target = os.path.join(new_folder, os.path.relpath(file_path, folder))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(content)
            progress("writing", count, len(files))
        os.rename(new_folder, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
