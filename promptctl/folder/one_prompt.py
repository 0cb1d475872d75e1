"""Read one prompt of a folder, without the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import defaults as folder_defaults
from promptctl.folder import listing, prompt_files

if TYPE_CHECKING:
    from promptctl.folder.listing import ListedPrompt
    from promptctl.folder.prompt_files import FolderPrompt


def read(folder: str, name: str) -> FolderPrompt | None:
    """Return a prompt of a folder, None if the folder has no version of it. What is wrong with it is left out."""
    problems: list[str] = []
    settings = folder_defaults.read(folder, problems)
    listed = [prompt for prompt in _listed(folder, settings) if prompt.name == name]
    scanned = next(listing.scan(listed, problems), None)
    return None if scanned is None else prompt_files.read(scanned, problems)


def names(folder: str) -> list[str]:
    """Return the names of the prompts in a folder; an empty list if it is not a folder."""
    return [prompt.name for prompt in _listed(folder, {})]


def _listed(folder: str, settings: dict[str, object]) -> list[ListedPrompt]:
    try:
        return listing.list_prompts(folder, settings)
    except listing.InvalidFolder as invalid:
        return list(invalid.prompts)
    except errors.Failed:
        return []
