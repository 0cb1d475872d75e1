"""The changes that a plan makes for the version files of a prompt: new versions, metadata, holds and conflicts."""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from promptctl.folder import request_files
from promptctl.rules import requests, templates
from promptctl.rules.json_values import same
from promptctl.sync import renaming
from promptctl.sync.changes import CONFLICT, DATABASE_ONLY, DESCRIBE, HELD, NEW, NOTE, Change

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion, FolderPrompt
    from promptctl.store.syncs import StoredPrompt, StoredVersion
    from promptctl.sync.changes import PlanOptions

# How many keys of a request a note names.
_MOST_KEYS = 4


def version_changes(
    source: str, prompt: FolderPrompt, stored: StoredPrompt | None, options: PlanOptions
) -> list[Change]:
    """Return the changes of a prompt's versions: those in the folder, then those that only the database has."""
    lacking = _lacking_requests(prompt, stored)
    if stored is None and not prompt.notes and not lacking:
        # The fast path of a first sync, which may have a hundred thousand files.
        return [_new_version(prompt, file, stored) for file in prompt.versions]
    changes: list[Change] = []
    numbers = {file.number for file in prompt.versions}
    # The message about an edited file proposes this number for it.
    free_number = max([stored.next_version if stored else 1, *(number + 1 for number in numbers)])
    for file in prompt.versions:
        file_changes = _file_changes(prompt, file, stored, options, free_number)
        if file.number in lacking and file_changes[0].kind == NEW:
            file_changes.append(Change(NOTE, prompt.name, file.number, lacking[file.number]))
        if any(change.kind == CONFLICT for change in file_changes):
            free_number += 1
        changes += file_changes
    if stored is not None:
        changes += [
            Change(DATABASE_ONLY, prompt.name, number, f"only in the database, created by {version.created_by}")
            for number, version in sorted(stored.versions.items())
            if number not in numbers and not version.is_archived and version.source != source
        ]
    return changes


def _lacking_requests(prompt: FolderPrompt, stored: StoredPrompt | None) -> dict[int, str]:
    """Return a note by version for new versions without a request, where the active or the previous version has one.

    A request file without keys says that this is meant.
    """
    lacking = [file for file in prompt.versions if "request" not in file.settings and file.request_path is None]
    if len(lacking) == len(prompt.versions) and stored is None:
        return {}
    settings = {file.number: file.settings for file in prompt.versions}
    if stored is not None:
        settings |= {number: version.settings for number, version in stored.versions.items()}
    notes: dict[int, str] = {}
    numbers = sorted(settings)
    for file in lacking:
        if stored is not None and file.number in stored.versions:
            continue
        place = bisect.bisect_left(numbers, file.number)
        previous = numbers[place - 1] if place else None
        active = stored.active_version if stored is not None else None
        for number, which in ((active, "the active version"), (previous, "the version before it")):
            if number is not None and (request := requests.decode(settings.get(number, {}))):
                keys = ", ".join(list(request)[:_MOST_KEYS]) + ", …" * (len(request) > _MOST_KEYS)
                notes[file.number] = (
                    f"has no request, and @{number}, {which}, has one: {keys}; "
                    f"if this is meant, write {{}} in v{file.number}.request.yaml"
                )
                break
    return notes


def _file_changes(
    prompt: FolderPrompt, file: FileVersion, stored: StoredPrompt | None, options: PlanOptions, free_number: int
) -> list[Change]:
    version = stored.versions.get(file.number) if stored else None
    if version is None:
        notes = prompt.notes.get(file.number, ())
        return [_new_version(prompt, file, stored), *(Change(NOTE, prompt.name, file.number, note) for note in notes)]
    assert stored is not None
    if version.is_erased:
        relation = "still contains its text" if version.sha256 == file.sha256 else "uses its number"
        message = f"was erased, and {file.path} {relation}: remove the file"
        return [Change(CONFLICT, prompt.name, file.number, message, hint=f"promptctl history {prompt.name}")]
    if version.sha256 != file.sha256:
        message = f"{file.path} differs from the stored version, which never changes: save it as v{free_number}"
        hint = _command_to_save_as(free_number, prompt.name, file, version)
        return [Change(CONFLICT, prompt.name, file.number, message, file=file, hint=hint)]
    has_same_request = request_files.same(file.settings, version.settings)
    if file.request_path is not None and not has_same_request:
        message = (
            f"{file.request_path} differs from the request of the stored version, which never changes: "
            if "request" in version.settings
            else f"{file.request_path} is new, and the stored version, which never changes, has no request: "
        )
        message += f"save it as v{free_number}"
        hint = _command_to_save_as(free_number, prompt.name, file, version, has_same_text=True)
        return [Change(CONFLICT, prompt.name, file.number, message, file=file, hint=hint)]
    changes = _metadata_changes(prompt, file, version, stored, options)
    folder_settings, stored_settings = _comparable(file.settings), _comparable(version.settings)
    keys = _differing_keys(folder_settings, stored_settings)
    if not has_same_request:
        keys = [*keys, "request"]
    if keys:
        message = f"settings differ from the stored ones, which never change: {', '.join(keys)}"
        changes.append(Change(NOTE, prompt.name, file.number, message))
    return changes


def _comparable(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without the request, and with a template style: their own, or the default style."""
    others = {key: value for key, value in settings.items() if key != "request"} if "request" in settings else settings
    return others if "template" in others else {"template": templates.DEFAULT_STYLE, **others}


def _command_to_save_as(
    number: int, name: str, file: FileVersion, version: StoredVersion, *, has_same_text: bool = False
) -> str:
    """Return the command that saves the edited files of a version under a free number and restores the stored ones.

    It reads what is stored first: if that fails, no file of the folder has changed.
    """
    reads: list[str] = []
    saves: list[str] = []
    restores: list[str] = []

    def restore(path: str, options: str, restored_path: str) -> None:
        temporary = renaming.operand(f"{path}.stored")
        reads.append(f"promptctl show {name}@{file.number}{options} > {temporary}")
        restores.append(f"mv {temporary} {renaming.operand(restored_path)}")

    if has_same_text:
        saves.append(renaming.copy(file.path, number))
    else:
        saves.append(renaming.move(file.path, number))
        restore(file.path, "", file.path)
    if file.request_path is not None:
        if request_files.same(file.settings, version.settings):
            saves.append(renaming.copy(file.request_path, number))
        else:
            saves.append(renaming.move(file.request_path, number))
            if (request := requests.decode(version.settings)) is not None:
                restore(file.request_path, " --request", _restored_request_path(file.request_path, request))
    return " && ".join([*reads, *saves, *restores])


def _restored_request_path(path: str, request: Mapping[str, Any]) -> str:
    """Return the path for a stored request, which is printed as JSON: not all JSON can be read as YAML."""
    problems: list[str] = []
    request_files.parse(requests.encode(request).encode(), path, problems)
    return path if not problems else path.removesuffix(".yaml") + ".json"


def _new_version(prompt: FolderPrompt, file: FileVersion, stored: StoredPrompt | None) -> Change:
    message = f"new, {file.size} bytes"
    active = None
    if stored is not None:
        active = stored.active_version
        same_text = {number: version for number, version in stored.versions.items() if version.sha256 == file.sha256}
        if erased := next((number for number, version in same_text.items() if version.is_erased), None):
            message = f"{file.path} contains the text of @{erased}, which was erased: remove the file"
            return Change(CONFLICT, prompt.name, file.number, message, hint=f"promptctl history {prompt.name}")
        if same_text:
            message += f", same text as @{max(same_text)}"
    if "request" in file.settings:
        message += f", request of {file.request_size} bytes"
    if file.variables:
        message += f"; variables: {templates.describe(file.variables, file.settings)}"
    # A record is made faster from all fields by position, and a folder may have a hundred thousand files.
    return Change(NEW, prompt.name, file.number, message, active, None, None, file, prompt.yaml_path, None, None, False)


def _metadata_changes(
    prompt: FolderPrompt, file: FileVersion, version: StoredVersion, stored: StoredPrompt, options: PlanOptions
) -> list[Change]:
    """Return the changes of a version's metadata.

    A value that changed in the folder is written. A value that was corrected in the database is held: it stays until
    the folder changes it. If no sync has applied the prompt yet, every stored value stays, unless `adopt` is set.
    """
    folder_metadata = file.metadata
    last_applied = stored.applied_metadata.get(str(file.number), {})
    is_first_sync = stored.applied_source is None and not options.adopt
    new_metadata = dict(version.metadata)
    held_keys: list[str] = []
    for key, value in folder_metadata.items():
        if key in version.metadata and same(version.metadata[key], value):
            continue
        is_unchanged_in_folder = key in last_applied and same(last_applied[key], value)
        if is_unchanged_in_folder or (is_first_sync and key in version.metadata):
            held_keys.append(key)
        else:
            new_metadata[key] = value
    for key in last_applied.keys() - folder_metadata.keys():
        if key in new_metadata and same(new_metadata[key], last_applied[key]):
            del new_metadata[key]
    changes: list[Change] = []
    if not same(new_metadata, version.metadata):
        keys = ", ".join(_differing_keys(new_metadata, version.metadata))
        changes.append(Change(DESCRIBE, prompt.name, file.number, keys, metadata=new_metadata))
    if held_keys:
        message = f"{', '.join(sorted(held_keys))}: the stored value stays until the folder changes it"
        changes.append(Change(HELD, prompt.name, file.number, message, file=file))
    return changes


def _differing_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    return [
        key
        for key in sorted(one.keys() | other.keys())
        if (key in one) != (key in other) or not same(one.get(key), other.get(key))
    ]
