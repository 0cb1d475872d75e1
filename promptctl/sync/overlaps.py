"""Refuse a folder whose prompts another source has applied: they would be stored again under other names."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import listing, texts
from promptctl.store import syncs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.folder.listing import ListedPrompt
    from promptctl.folder.provenance import Checkout
    from promptctl.postgres.database import Database
    from promptctl.store.syncs import OtherSource

# How many prompts are compared by their texts, to decide whether a folder is a copy.
_COMPARED_PROMPTS = 50


def older_spelling(checkout: Checkout, others: Sequence[OtherSource]) -> str | None:
    """Return the older name of this folder's source, None if the database has none.

    The name of a source contains the URL of its repository. Older releases kept different spellings of a URL apart.
    """
    if checkout.is_named:
        return None
    return next((other.source for other in others if checkout.path_of_source(other.source) == checkout.path), None)


def refuse(
    database: Database, checkout: Checkout, prompts: Sequence[ListedPrompt], others: Sequence[OtherSource]
) -> None:
    """Raise Refused (`conflict`) if this folder, which was never applied, overlaps one of the `others`.

    Folders overlap when one contains the other, and when this one is a copy: its prompts have names and texts of
    another source's prompts. The names may differ in the folders at their beginning: `checkout` and `shop/checkout`.
    """
    for other in others:
        other_path = checkout.path_of_source(other.source, other.repository, other.path)
        if other_path is None or other_path == checkout.path:
            continue
        if _is_inside(checkout.path, other_path):
            raise _overlap(checkout, other.source, other_path, "is inside")
        if _is_inside(other_path, checkout.path):
            inner = os.path.relpath(other_path, checkout.path)
            if any(prompt.name == inner or prompt.name.startswith(f"{inner}/") for prompt in prompts):
                raise _overlap(checkout, other.source, other_path, "contains")
    _refuse_copy(database, checkout, prompts)


def _is_inside(path: str, folder: str) -> bool:
    return path != folder and path.startswith(folder.rstrip("/") + "/")


def _overlap(checkout: Checkout, source: str, source_path: str, relation: str) -> errors.Refused:
    import shlex

    path = _relative_path(source_path)
    words = ["promptctl", "sync", path]
    if checkout.path_of_source(source) is None:
        # The path alone does not select a source whose name the user chose.
        words += ["--source", source]
    return errors.Refused(
        "conflict",
        f"the folder {relation} {path}, which was applied as another source, {source}: its prompts would be stored "
        "again under other names",
        hint=shlex.join(words),
    )


def _refuse_copy(database: Database, checkout: Checkout, prompts: Sequence[ListedPrompt]) -> None:
    """Raise Refused if half of the prompts are named like another source's, and half of those have the same text."""
    for source, pairs in _similar_names(prompts, syncs.sources_by_name(database)):
        if 2 * len(pairs) < len(prompts):
            continue
        sample = pairs[:_COMPARED_PROMPTS]
        hashes = syncs.text_hashes(database, [name for _, name in sample])
        same_text = [(prompt, name) for prompt, name in sample if hashes.get(name, set()) & _file_hashes(prompt)]
        if 2 * len(same_text) >= len(sample):
            prompt, name = same_text[0]
            source_path = checkout.path_of_source(source)
            raise errors.Refused(
                "conflict",
                f'"{prompt.name}" has the text of "{name}", which comes from another source, {source}: the same '
                "prompts would be stored again under other names",
                hint=_sync_command(source_path) if source_path is not None else f"promptctl show {name}",
            )


def _similar_names(
    prompts: Sequence[ListedPrompt], sources_by_name: dict[str, str]
) -> list[tuple[str, list[tuple[ListedPrompt, str]]]]:
    """Return pairs of a prompt of the folder and the name of a stored prompt, in groups, with the source of each group.

    One name of a pair ends with the other: `checkout` and `shop/checkout`. The pairs of a group have the same source
    and the same difference of names.
    """
    names_by_suffix: dict[str, list[str]] = {}
    for name in sources_by_name:
        for suffix in _suffixes(name):
            names_by_suffix.setdefault(suffix, []).append(name)
    groups: dict[tuple[str, str], list[tuple[ListedPrompt, str]]] = {}
    for prompt in prompts:
        if prompt.name in sources_by_name:
            continue
        stored_suffixes = [suffix for suffix in _suffixes(prompt.name) if suffix in sources_by_name]
        for name in (*stored_suffixes, *names_by_suffix.get(prompt.name, ())):
            longer, shorter = (prompt.name, name) if prompt.name.endswith(name) else (name, prompt.name)
            difference = longer.removesuffix(shorter)
            groups.setdefault((sources_by_name[name], difference), []).append((prompt, name))
    return [(source, pairs) for (source, _), pairs in groups.items()]


def _sync_command(path: str) -> str:
    import shlex

    return f"promptctl sync {shlex.quote(_relative_path(path))}"


def _suffixes(name: str) -> list[str]:
    """Return what follows each slash of a name: `b/c` and `c` for `a/b/c`."""
    segments = name.split("/")
    return ["/".join(segments[start:]) for start in range(1, len(segments))]


def _file_hashes(prompt: ListedPrompt) -> set[str]:
    """Return the hashes of a prompt's texts, without those that cannot be read."""
    hashes: set[str] = set()
    for number in prompt.files:
        try:
            text = texts.normalise(listing.read_bytes(prompt.version_path(number)), "")
        except (OSError, errors.PromptctlError):
            continue
        hashes.add(hashlib.sha256(text.encode()).hexdigest())
    return hashes


def _relative_path(path: str) -> str:
    """Return a path as the user would write it in the working directory."""
    try:
        return os.path.relpath(path)
    except FileNotFoundError:
        # The working directory was deleted.
        return path
