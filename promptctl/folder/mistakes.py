"""Explain why sync finds no prompts at a path, and suggest the command that was probably meant."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import listing
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_DEFAULT_FOLDER = "prompts"
# How many commands a hint joins.
_MOST_COMMANDS = 3


def failure(folder: str, *, is_default: bool = False) -> errors.Failed | None:
    """Return why a path is not a folder of prompts, None if it is. `is_default`: the user did not name the folder."""
    if not os.path.lexists(folder):
        return _missing(folder, is_default=is_default)
    if not os.path.isdir(folder):
        return _not_a_folder(folder)
    version_files = [file for file in _files(folder) if listing.number_of(file) is not None]
    if version_files and not _has_prompts(folder):
        return _folder_of_one_prompt(folder, version_files[0])
    return None


def several_paths(words: Sequence[str]) -> errors.Usage:
    """Return the error for a sync of several files or folders. `words` are the arguments of `sync`, with options."""
    paths = [word for word in words if os.path.lexists(word)]
    files = [path for path in paths if os.path.isfile(path)]
    if files:
        commands: list[str] = []
        for path in files:
            folder, file = os.path.split(path)
            if listing.number_of(file) is None and (command := _move_command(folder or ".", file)):
                commands.append(command)
        message = "sync accepts one folder, which contains a folder per prompt with v1.txt in it, and no files"
        return errors.Usage("usage", message, hint=" && ".join(commands[:_MOST_COMMANDS]) or "promptctl sync FOLDER")
    parents = {_parent(path) for path in paths}
    hint = _sync_command(parents.pop()) if len(parents) == 1 else "promptctl sync FOLDER"
    return errors.Usage("usage", "sync accepts one folder: the one that contains the folders of the prompts", hint=hint)


def empty(folder: str) -> errors.Failed:
    """Return the error for a folder without prompts."""
    quoted_path = references.quoted(folder)
    texts = [file for file in _files(folder) if file.lower().endswith(listing.SUFFIXES)]
    for file in texts:
        if command := _move_command(folder, file):
            more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
            return _failed(
                f"no version file in {quoted_path}: {file}{more} can be version 1 of a prompt in a folder of its own",
                command,
            )
    return _failed(f"no version file in {quoted_path}", f"write {shlex.quote(os.path.join(folder, 'NAME', 'v1.txt'))}")


def _missing(folder: str, *, is_default: bool) -> errors.Failed:
    quoted_path = references.quoted(folder)
    if is_default:
        path = _similar_folder()
        if path is not None:
            return _failed(f"there is no folder {quoted_path} here", f"promptctl sync {shlex.quote(path)}")
        return _failed(
            f"there is no folder {quoted_path} here", f"write {_DEFAULT_FOLDER}/NAME/v1.txt, or promptctl sync FOLDER"
        )
    parent = os.path.dirname(folder.rstrip("/")) or "."
    if os.path.islink(folder.rstrip("/")):
        return _failed(f"the folder {quoted_path} is a broken link", f"ls -l {shlex.quote(folder)}")
    if "://" in folder or folder.startswith("git@"):
        return _failed(f"{quoted_path} is a URL: sync reads a folder of a checkout", "promptctl sync FOLDER")
    existing = parent if os.path.isdir(parent) else "."
    return _failed(f"the folder {quoted_path} does not exist", f"ls {shlex.quote(existing)}")


def _similar_folder() -> str | None:
    """Return the relative path of a folder of prompts that the user may have meant, None if none is near.

    The search goes up from the working directory to the root of the repository. It ends at a folder with the name
    `prompts`, or at a folder that contains one. If there is none, the working directory is the answer if it has
    prompts.
    """
    try:
        working_directory = os.getcwd()
    except OSError:
        return None
    path = working_directory
    upward: list[str] = []
    while True:
        if os.path.basename(path) == _DEFAULT_FOLDER and os.path.isdir(path):
            return os.path.join(*upward) if upward else "."
        if upward and os.path.isdir(os.path.join(path, _DEFAULT_FOLDER)):
            return os.path.join(*upward, _DEFAULT_FOLDER)
        if os.path.exists(os.path.join(path, ".git")) or os.path.dirname(path) == path:
            break
        path = os.path.dirname(path)
        upward.append("..")
    return "." if _has_prompts(working_directory) else None


def _has_prompts(folder: str) -> bool:
    """Whether a folder directly in this one has a version file."""
    return any(listing.number_of(file) for name in _folders(folder) for file in _files(os.path.join(folder, name)))


def _not_a_folder(path: str) -> errors.Failed:
    quoted_path = references.quoted(path)
    if not os.path.isfile(path):
        return _failed(f"{quoted_path} is not a folder", "promptctl sync FOLDER")
    folder, file = os.path.split(path)
    folder = folder or "."
    if listing.number_of(file) or listing.request_number_of(file) or file.lower() in listing.YAML_NAMES:
        return _failed(
            f"{quoted_path} is a file of one prompt: sync accepts the folder of all prompts",
            _sync_command(_parent(folder)),
        )
    name = os.path.splitext(file)[0]
    if file.lower().endswith(listing.SUFFIXES) and _is_name(name):
        message = f"{quoted_path} is a file: sync accepts a folder that contains a folder per prompt, with v1.txt in it"
        return _failed(message, _move_command(folder, file) or _sync_command(folder))
    return _failed(f"{quoted_path} is a file: sync accepts a folder", "promptctl sync FOLDER")


def _folder_of_one_prompt(folder: str, file: str) -> errors.Failed:
    quoted_path = references.quoted(folder)
    path = os.path.join(folder, file)
    name = os.path.basename(os.path.realpath(folder))
    if name == _DEFAULT_FOLDER:
        prompt_folder = os.path.join(folder, "NAME")
        return _failed(
            f"{path}: a version file must be in a folder that is named like its prompt",
            f"mkdir {shlex.quote(prompt_folder)} && mv {shlex.quote(path)} "
            f"{shlex.quote(os.path.join(prompt_folder, file))}",
        )
    return _failed(
        f"{path}: {quoted_path} is the folder of one prompt, {name}: sync accepts the folder above it",
        _sync_command(_parent(folder)),
    )


def _parent(folder: str) -> str:
    """Return the path of the folder that contains this one; a relative path for a relative one."""
    trimmed = folder.rstrip("/") or folder
    if os.path.basename(trimmed) in ("", ".", ".."):
        return os.path.normpath(os.path.join(folder, ".."))
    return os.path.dirname(trimmed) or "."


def _sync_command(folder: str) -> str:
    return f"promptctl sync {shlex.quote(folder)}"


def _move_command(folder: str, file: str) -> str | None:
    """Return the command that makes a text version 1 of a new prompt, named like the file; None if it cannot be one."""
    name, suffix = os.path.splitext(file)
    prompt_folder = os.path.join(folder, name)
    if suffix.lower() not in listing.SUFFIXES or not _is_name(name) or os.path.lexists(prompt_folder):
        return None
    paths = (os.path.join(folder, file), prompt_folder, os.path.join(prompt_folder, f"v1{suffix.lower()}"))
    # A path that begins with a hyphen would be an option.
    old, directory, new = (shlex.quote(path if not path.startswith("-") else f"./{path}") for path in paths)
    return f"mkdir {directory} && mv {old} {new}"


def _is_name(name: str) -> bool:
    try:
        references.check_name(name)
    except errors.Usage:
        return False
    return True


def _files(folder: str) -> list[str]:
    return _names(folder, lambda entry: entry.is_file())


def _folders(folder: str) -> list[str]:
    return _names(folder, lambda entry: entry.is_dir())


def _names(folder: str, is_included: Callable[[os.DirEntry[str]], bool]) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and is_included(entry))
    except OSError:
        return []


def _failed(message: str, hint: str | None) -> errors.Failed:
    return errors.Failed("invalid_folder", message, hint=hint)
