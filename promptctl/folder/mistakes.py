"""What is the matter with a folder that holds no prompts as sync reads them, and the command that was meant."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import listing
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Sequence

_USUAL = "prompts"
_MOST_MOVES = 3


def failure(folder: str, *, is_default: bool = False) -> errors.Failed | None:
    """Return why nothing can be read from a folder; None: it has prompts. `is_default`: nobody named it."""
    if not os.path.lexists(folder):
        return _missing(folder, is_default=is_default)
    if not os.path.isdir(folder):
        return _not_a_folder(folder)
    files = _files(folder)
    versions = [file for file in files if listing.number_of(file) is not None]
    if versions and not _has_prompts(folder):
        return _one_prompt(folder, versions[0])
    return None


def several(words: Sequence[str]) -> errors.Usage:
    """Return the failure of a sync of several files or folders: it takes the one folder above them.

    `words` are those behind `sync`, with options.
    """
    places = [word for word in words if os.path.lexists(word)]
    files = [place for place in places if os.path.isfile(place)]
    if files:
        moves = [
            _moving(os.path.dirname(each) or ".", os.path.basename(each), name)
            for each in files
            if each.lower().endswith(listing.SUFFIXES)
            and listing.number_of(os.path.basename(each)) is None
            and _is_name(name := os.path.splitext(os.path.basename(each))[0])
            and not os.path.lexists(os.path.splitext(each)[0])
        ]
        told = "sync takes one folder, that has a folder per prompt with v1.txt in it, and no files"
        return errors.Usage("usage", told, hint=" && ".join(moves[:_MOST_MOVES]) or "promptctl sync FOLDER")
    told = "sync takes one folder, the one above the folders of the prompts"
    above = {_above(place) for place in places}
    return errors.Usage("usage", told, hint=_sync(above.pop()) if len(above) == 1 else "promptctl sync FOLDER")


def empty(folder: str) -> errors.Failed:
    """Return the failure of a folder in which no prompt was found."""
    shown = references.quoted(folder)
    texts = [file for file in _files(folder) if file.lower().endswith(listing.SUFFIXES)]
    for file in texts:
        name = os.path.splitext(file)[0]
        if _is_name(name) and not os.path.lexists(os.path.join(folder, name)):
            more = f" and {len(texts) - 1} more" if len(texts) > 1 else ""
            return _failed(
                f"no version file in {shown}: {file}{more} would each be version 1 of a prompt in a folder of its own",
                _moving(folder, file, name),
            )
    return _failed(f"no version file in {shown}", f"write {shlex.quote(os.path.join(folder, 'NAME', 'v1.txt'))}")


def _missing(folder: str, *, is_default: bool) -> errors.Failed:
    shown = references.quoted(folder)
    if is_default:
        place = _near()
        if place is not None:
            return _failed(f"there is no folder {shown} here", f"promptctl sync {shlex.quote(place)}")
        return _failed(f"there is no folder {shown} here", f"write {_USUAL}/NAME/v1.txt, or promptctl sync FOLDER")
    parent = os.path.dirname(folder.rstrip("/")) or "."
    if os.path.islink(folder.rstrip("/")):
        return _failed(f"the folder {shown} is a link to nothing", f"ls -l {shlex.quote(folder)}")
    if "://" in folder or folder.startswith("git@"):
        return _failed(f"{shown} is a URL: sync reads a folder of a checkout", "promptctl sync FOLDER")
    near = parent if os.path.isdir(parent) else "."
    return _failed(f"the folder {shown} does not exist", f"ls {shlex.quote(near)}")


def _near() -> str | None:
    """The folder that was meant: a folder above with that name, one beside, or this one."""
    try:
        here = os.getcwd()
    except OSError:
        return None
    path = here
    steps: list[str] = []
    while True:
        if os.path.basename(path) == _USUAL and os.path.isdir(path):
            return os.path.join(*steps) if steps else "."
        if steps and os.path.isdir(os.path.join(path, _USUAL)):
            return os.path.join(*steps, _USUAL)
        if os.path.exists(os.path.join(path, ".git")) or os.path.dirname(path) == path:
            break
        path = os.path.dirname(path)
        steps.append("..")
    return "." if _has_prompts(here) else None


def _has_prompts(folder: str) -> bool:
    return any(listing.number_of(file) for name in _folders(folder) for file in _files(os.path.join(folder, name)))


def _not_a_folder(path: str) -> errors.Failed:
    shown = references.quoted(path)
    if not os.path.isfile(path):
        return _failed(f"{shown} is no folder", "promptctl sync FOLDER")
    folder, file = os.path.split(path)
    folder = folder or "."
    if listing.number_of(file) or file.lower() in listing.YAML_NAMES:
        above = _above(folder)
        return _failed(f"{shown} is a file of one prompt: sync takes the folder of all prompts", _sync(above))
    name = os.path.splitext(file)[0]
    if file.lower().endswith(listing.SUFFIXES) and _is_name(name):
        told = f"{shown} is a file: sync takes a folder that has a folder per prompt, with v1.txt in it"
        if not os.path.lexists(os.path.join(folder, name)):
            return _failed(told, _moving(folder, file, name))
        return _failed(told, _sync(folder))
    return _failed(f"{shown} is a file: sync takes a folder", "promptctl sync FOLDER")


def _one_prompt(folder: str, file: str) -> errors.Failed:
    shown = references.quoted(folder)
    real = os.path.realpath(folder)
    if os.path.basename(real) == _USUAL:
        place = shlex.quote(os.path.join(folder, file))
        return _failed(
            f"{os.path.join(folder, file)}: a version file lies in a folder that is named like its prompt",
            f"mkdir {shlex.quote(os.path.join(folder, 'NAME'))} && mv {place} "
            f"{shlex.quote(os.path.join(folder, 'NAME', file))}",
        )
    return _failed(
        f"{os.path.join(folder, file)}: {shown} is the folder of one prompt, {os.path.basename(real)}: "
        "sync takes the folder above it",
        _sync(_above(folder)),
    )


def _above(folder: str) -> str:
    """The folder that a prompt's folder lies in, as the command names it."""
    trimmed = folder.rstrip("/") or folder
    if os.path.basename(trimmed) in ("", ".", ".."):
        return os.path.normpath(os.path.join(folder, ".."))
    return os.path.dirname(trimmed) or "."


def _sync(folder: str) -> str:
    return f"promptctl sync {shlex.quote(folder)}"


def _moving(folder: str, file: str, name: str) -> str:
    place = os.path.join(folder, name)
    suffix = os.path.splitext(file)[1].lower()
    old, made, new = (
        shlex.quote(each if not each.startswith("-") else f"./{each}")
        for each in (os.path.join(folder, file), place, os.path.join(place, f"v1{suffix}"))
    )
    return f"mkdir {made} && mv {old} {new}"


def _is_name(name: str) -> bool:
    try:
        references.check_name(name)
    except errors.Usage:
        return False
    return True


def _files(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_file())
    except OSError:
        return []


def _folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    except OSError:
        return []


def _failed(told: str, hint: str | None) -> errors.Failed:
    return errors.Failed("invalid_folder", told, hint=hint)
