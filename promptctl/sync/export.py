"""Export: the folder of prompts, written back from the database."""

from __future__ import annotations

import os
import shutil
import tempfile
from typing import TYPE_CHECKING

from promptctl import atomic_files, errors
from promptctl.folder import defaults as folder_defaults
from promptctl.folder import listing, prompt_yaml, prompt_yaml_writer, secret_values, texts
from promptctl.folder.prompt_yaml import VersionYaml
from promptctl.records import Record
from promptctl.rules import references, templates
from promptctl.rules.json_values import same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.store.exports import WholePrompt

    Progress = Callable[[str, int, int], None]

# Why what looks like a key in an exported folder is allowed, where nobody has said.
_EXPORTED = "it was in the database when this was exported"


class Exported(Record):
    """What was written: paths of files, and how many there were already, saying the same.

    `secrets` has a sentence about each thing in them that looks like a key.
    """

    __slots__ = ()
    written: list[str]
    unchanged: int
    secrets: list[str]


class FilesDiffer(errors.Refused):
    """Files that say something else than the database; the way out writes beside them and replaces none."""

    def __init__(self, paths: list[str]) -> None:
        more = f" (and {len(paths) - 1} more)" if len(paths) > 1 else ""
        super().__init__("files_differ", f"{paths[0]} says something else{more}; nothing was written")
        self.others = [f"{path} says something else" for path in paths[1:]]


def free_folder(folder: str) -> str:
    """Return the path of a folder beside this one that does not exist."""
    base = folder.rstrip("/") or folder
    number = 1
    while os.path.lexists(f"{base}-{number}"):
        number += 1
    return f"{base}-{number}"


def export(folder: str, prompts: Sequence[WholePrompt], progress: Progress, *, overwrites: bool = False) -> Exported:
    """Write prompts into a folder, so that a sync of it finds nothing to do.

    A file that says the same already is left as it is, comments and all; one that says something else is replaced only
    if the export `overwrites`. Nothing is ever removed. A folder that is not there yet appears when it is whole; in one
    that is there, each file is whole or not written. Raises Refused (`files_differ`), Failed (`cannot_export` for what
    a folder cannot say, `cannot_save`).
    """
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise errors.Failed("cannot_save", f"{references.quoted(folder)} is a file", hint="promptctl export FOLDER")
    defaults = folder_defaults.read(folder, problems := [])
    if problems:
        raise errors.Failed("cannot_export", problems[0], hint="correct that file, or export into another folder")
    files: list[tuple[str, bytes]] = []
    unchanged = 0
    secrets: list[str] = []
    differing: list[str] = []
    for place, prompt in enumerate(prompts):
        for path, data in _files(folder, prompt, defaults, secrets):
            if os.path.islink(path):
                _refuse_links(folder, path)
            if (there := _there(path)) is None:
                files.append((path, data))
            elif there == data or _says_the_same(path, there, data, prompt, defaults):
                unchanged += 1
            else:
                differing.append(path)
                files.append((path, data))
        progress("comparing", place + 1, len(prompts))
    if differing and not overwrites:
        raise FilesDiffer(differing)
    try:
        if os.path.lexists(folder):
            _write_into(files, progress)
        else:
            _write_anew(folder, files, progress)
    except OSError as problem:
        raise errors.Failed(
            "cannot_save",
            f"cannot write {references.quoted(problem.filename or folder)}: {problem.strerror}",
            hint="promptctl export FOLDER, with a folder that can be written",
        ) from None
    return Exported([path for path, _ in files], unchanged, secrets)


def _files(
    folder: str, prompt: WholePrompt, defaults: Mapping[str, Any], secrets: list[str]
) -> list[tuple[str, bytes]]:
    """The files of one prompt, with what should be in them; the names that a folder has already are kept.

    `defaults` are the folder's settings for all prompts: a version that lacks one says so. What looks like a key is
    added to `secrets` and acknowledged in the prompt.yaml, so that another database takes the folder.
    """
    place = os.path.join(folder, *prompt.name.split("/"))
    _refuse_links(folder, place)
    there: dict[int, str] = {}
    yaml = listing.YAML_NAMES[0]
    if os.path.isdir(place):
        for file in sorted(os.listdir(place)):
            if (number := listing.number_of(file)) is not None:
                there.setdefault(number, file)
            elif file.lower() in listing.YAML_NAMES:
                yaml = file
    found = [
        (
            os.path.join(place, there.get(each.version, f"v{each.version}{_suffix(each.origin_path)}")),
            each.content.encode(),
        )
        for each in prompt.versions
    ]
    allowed: dict[int, str] = {}
    for each, (path, _) in zip(prompt.versions, found, strict=True):
        if kept := secret_values.find(each.content):
            secrets += [f"{path}:{secret.line}: {secret.shown} looks like {secret.kind}" for secret in kept]
            allowed[each.version] = _EXPORTED
    versions = {
        each.version: VersionYaml(each.created_by, _told(each.settings, defaults), each.metadata)
        for each in prompt.versions
    }
    yaml_path = os.path.join(place, yaml)
    try:
        text = prompt_yaml_writer.text(versions, active=prompt.active_version, route=prompt.route)
        if kept := secret_values.find(text):
            secrets += [f"{yaml_path}: {secret.shown} looks like {secret.kind}" for secret in kept]
            allowed[0] = _EXPORTED
        if allowed:
            said = prompt_yaml.parse(_there(yaml_path) or b"", yaml_path, []).allowed_secrets
            allowed = {number: said.get(number) or why for number, why in allowed.items()}
            text = prompt_yaml_writer.text(
                versions, active=prompt.active_version, route=prompt.route, allowed_secrets=allowed
            )
    except prompt_yaml_writer.Inexpressible as problem:
        raise errors.Failed(
            "cannot_export",
            f'a folder cannot say everything of "{prompt.name}": {problem.what}',
            hint=f"promptctl show {prompt.name} --json",
        ) from None
    return [*found, (yaml_path, text.encode())] if text else found


def _told(settings: dict[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    if "template" in settings or defaults.get("template", templates.DEFAULT_STYLE) == templates.DEFAULT_STYLE:
        return settings
    return {**settings, "template": templates.DEFAULT_STYLE}


def _suffix(origin_path: str | None) -> str:
    suffix = os.path.splitext(origin_path or "")[1]
    return suffix if suffix in listing.SUFFIXES else listing.SUFFIXES[0]


def _refuse_links(folder: str, place: str) -> None:
    root = os.path.realpath(folder)
    if os.path.commonpath([root, os.path.realpath(place)]) != root:
        raise errors.Failed("cannot_save", f"{place} is a link out of the folder", hint="promptctl export FOLDER")


def _there(path: str) -> bytes | None:
    """What is in a file; None: it is not there."""
    try:
        return listing.read_bytes(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as problem:
        raise errors.Failed(
            "cannot_read", f"cannot read {references.quoted(path)}: {problem.strerror}", hint="promptctl export FOLDER"
        ) from None


def _is_yaml(path: str) -> bool:
    return os.path.basename(path).lower() in listing.YAML_NAMES


def _says_the_same(path: str, there: bytes, wanted: bytes, prompt: WholePrompt, defaults: Mapping[str, Any]) -> bool:
    """Whether a sync would find no difference between two files; who wrote a version is not asked again."""
    if not _is_yaml(path):
        try:
            return texts.normalised(there, path).encode() == wanted
        except errors.Usage:
            return False
    problems: list[str] = []
    one, other = prompt_yaml.parse(there, "", problems), prompt_yaml.parse(wanted, "", problems)
    if problems or one.active not in (None, other.active) or not same(one.route or [], other.route or []):
        return False
    stored = {each.version for each in prompt.versions}
    return one.versions.keys() <= stored and all(
        same({**defaults, **one.of(number).settings}, {**defaults, **other.of(number).settings})
        and same(one.of(number).metadata, other.of(number).metadata)
        for number in stored
    )


def _write_into(files: Sequence[tuple[str, bytes]], progress: Progress) -> None:
    for place, (path, data) in enumerate(files):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        atomic_files.write(path, data)
        progress("writing", place + 1, len(files))


def _write_anew(folder: str, files: Sequence[tuple[str, bytes]], progress: Progress) -> None:
    whole = os.path.abspath(folder)
    os.makedirs(os.path.dirname(whole), exist_ok=True)
    beside = tempfile.mkdtemp(prefix=".promptctl-", dir=os.path.dirname(whole))
    try:
        made = os.path.join(beside, "prompts")
        os.mkdir(made)
        for place, (path, data) in enumerate(files):
            target = os.path.join(made, os.path.relpath(path, folder))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)
            progress("writing", place + 1, len(files))
        os.rename(made, whole)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
