"""Explain why a command finds no prompts at a path, and suggest the command that was probably meant.

A hint names the command that was run: `promptctl sync` in place of `promptctl test` would activate versions.
"""

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


def failure(folder: str, command: str = "sync", *, is_default: bool = False) -> errors.Failed | None:
    """Return why a path is not a folder of prompts, None if it is.

    `command` is the command that reads the folder. `is_default`: the user did not name the folder.
    """
    if not os.path.lexists(folder):
        return _missing(folder, command, is_default=is_default)
    if not os.path.isdir(folder):
        return _not_a_folder(folder, command)
    version_files = [file for file in _files(folder) if listing.number_of(file) is not None]
    if version_files and not _has_prompts(folder):
        return _folder_of_one_prompt(folder, version_files[0], command)
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
    hint = _command("sync", parents.pop()) if len(parents) == 1 else "promptctl sync FOLDER"
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


def _missing(folder: str, command: str, *, is_default: bool) -> errors.Failed:
    quoted_path = references.quoted(folder)
    if is_default:
        path = _similar_folder()
        if path is not None:
            return _failed(f"there is no folder {quoted_path} here", _command(command, path))
        return _failed(
            f"there is no folder {quoted_path} here",
            f"write {_DEFAULT_FOLDER}/NAME/v1.txt, or promptctl {command} FOLDER",
        )
    parent = os.path.dirname(folder.rstrip("/")) or "."
    if os.path.islink(folder.rstrip("/")):
        return _failed(f"the folder {quoted_path} is a broken link", f"ls -l {shlex.quote(folder)}")
    if "://" in folder or folder.startswith("git@"):
        return _failed(f"{quoted_path} is a URL: {command} reads a folder of a checkout", f"promptctl {command} FOLDER")
    existing = parent if os.path.isdir(parent) else "."
    if os.path.basename(folder.rstrip("/")) + "s" == _DEFAULT_FOLDER and os.path.isdir(folder.rstrip("/") + "s"):
        return _failed(f"the folder {quoted_path} does not exist", _command(command, folder.rstrip("/") + "s"))
    return _failed(f"the folder {quoted_path} does not exist", f"ls {shlex.quote(existing)}")


def near_folder() -> str | None:
    """Return the relative path of the folder of prompts that the user works with: `prompts` here, or one near it."""
    return _DEFAULT_FOLDER if os.path.isdir(_DEFAULT_FOLDER) else _similar_folder()


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


def _not_a_folder(path: str, command: str) -> errors.Failed:
    quoted_path = references.quoted(path)
    if not os.path.isfile(path):
        return _failed(f"{quoted_path} is not a folder", f"promptctl {command} FOLDER")
    folder, file = os.path.split(path)
    folder = folder or "."
    if listing.number_of(file) or listing.request_number_of(file) or _is_yaml_of_prompt(folder, file):
        return _failed(
            f"{quoted_path} is a file of one prompt: {command} accepts the folder of all prompts",
            _command(command, _parent(_prompt_folder(folder))),
        )
    name = os.path.splitext(file)[0]
    if file.lower().endswith(listing.SUFFIXES) and _is_name(name):
        expected = "a folder that contains a folder per prompt, with v1.txt in it"
        message = f"{quoted_path} is a file: {command} accepts {expected}"
        return _failed(message, _move_command(folder, file) or _command(command, folder))
    return _failed(f"{quoted_path} is a file: {command} accepts a folder", f"promptctl {command} FOLDER")


def _folder_of_one_prompt(folder: str, file: str, command: str) -> errors.Failed:
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
        f"{path}: {quoted_path} is the folder of one prompt, {name}: {command} accepts the folder above it",
        _command(command, _parent(folder)),
    )


def _parent(folder: str) -> str:
    """Return the path of the folder that contains this one; a relative path for a relative one."""
    trimmed = folder.rstrip("/") or folder
    if os.path.basename(trimmed) in ("", ".", ".."):
        return os.path.normpath(os.path.join(folder, ".."))
    return os.path.dirname(trimmed) or "."


def _is_yaml_of_prompt(folder: str, file: str) -> bool:
    """Whether a file is prompt.yaml, or has test cases of a prompt."""
    if file.lower() in (*listing.YAML_NAMES, *listing.TEST_NAMES):
        return True
    return _prompt_folder(folder) != folder and file.lower().endswith((".yaml", ".yml"))


def _prompt_folder(folder: str) -> str:
    """Return the folder of the prompt whose files are in a folder: the one above it for its folder `tests`."""
    if os.path.basename(os.path.realpath(folder)) != listing.TESTS_FOLDER or _has_versions(folder):
        return folder
    parent = _parent(folder)
    return parent if _has_versions(parent) else folder


def _has_versions(folder: str) -> bool:
    return any(map(listing.number_of, _files(folder)))


def _command(command: str, folder: str) -> str:
    if command == "test" and "@" in folder:
        # Without a slash this would be a version.
        folder = os.path.join(folder, "")
    return f"promptctl {command} {shlex.quote(folder)}"


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
