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

# Of a folder that may be a copy, the texts of this many prompts are compared.
_COMPARED_PROMPTS = 50


def older_spelling(checkout: Checkout, others: Sequence[OtherSource]) -> str | None:
    """Return the source as which this folder was applied under an older spelling of its repository, None if none."""
    if checkout.is_named:
        return None
    return next((other.source for other in others if checkout.place_of(other.source) == checkout.path), None)


def refuse(
    database: Database, checkout: Checkout, prompts: Sequence[ListedPrompt], others: Sequence[OtherSource]
) -> None:
    """Raise Refused (`conflict`) for a folder that was never applied and overlaps one of the `others`.

    Folders overlap when one contains the other, and when one is a copy: most of its prompts have the names, below one
    common folder, and the texts of another source's prompts.
    """
    for other in others:
        place = checkout.place_of(other.source, other.repository, other.path)
        if place is None or place == checkout.path:
            continue
        if _is_inside(checkout.path, place):
            raise _overlap(checkout, other.source, place, "is inside")
        if _is_inside(place, checkout.path):
            inner = os.path.relpath(place, checkout.path)
            if any(prompt.name == inner or prompt.name.startswith(f"{inner}/") for prompt in prompts):
                raise _overlap(checkout, other.source, place, "contains")
    _refuse_copy(database, checkout, prompts)


def _is_inside(path: str, folder: str) -> bool:
    return path != folder and path.startswith(folder.rstrip("/") + "/")


def _overlap(checkout: Checkout, source: str, place: str, relation: str) -> errors.Refused:
    import shlex

    path = _relative_path(place)
    words = ["promptctl", "sync", path]
    if checkout.place_of(source) is None:
        words += ["--source", source]
    return errors.Refused(
        "conflict",
        f"the folder {relation} {path}, which was applied as another source, {source}: its prompts would be stored "
        "again under other names",
        hint=shlex.join(words),
    )


def _refuse_copy(database: Database, checkout: Checkout, prompts: Sequence[ListedPrompt]) -> None:
    sources = syncs.sources_by_name(database)
    for source, pairs in _similar_names(prompts, sources):
        if 2 * len(pairs) < len(prompts):
            continue
        sample = pairs[:_COMPARED_PROMPTS]
        hashes = syncs.text_hashes(database, [name for _, name in sample])
        same_text = [(prompt, name) for prompt, name in sample if hashes.get(name, set()) & _file_hashes(prompt)]
        if 2 * len(same_text) >= len(sample):
            prompt, name = same_text[0]
            place = checkout.place_of(source)
            raise errors.Refused(
                "conflict",
                f'"{prompt.name}" has the text of "{name}", which comes from another source, {source}: the same '
                "prompts would be stored again under other names",
                hint=_sync_command(place) if place is not None else f"promptctl show {name}",
            )


def _similar_names(
    prompts: Sequence[ListedPrompt], sources: dict[str, str]
) -> list[tuple[str, list[tuple[ListedPrompt, str]]]]:
    """Return pairs of a prompt of the folder and a stored name where one name ends with the other.

    The pairs are grouped by the stored prompt's source and by the part in which the names differ.
    """
    names_by_suffix: dict[str, list[str]] = {}
    for name in sources:
        for suffix in _suffixes(name):
            names_by_suffix.setdefault(suffix, []).append(name)
    groups: dict[tuple[str, str], list[tuple[ListedPrompt, str]]] = {}
    for prompt in prompts:
        if prompt.name in sources:
            continue
        stored_suffixes = [suffix for suffix in _suffixes(prompt.name) if suffix in sources]
        for name in (*stored_suffixes, *names_by_suffix.get(prompt.name, ())):
            difference = prompt.name.removesuffix(name) or name.removesuffix(prompt.name)
            groups.setdefault((sources[name], difference), []).append((prompt, name))
    return [(source, pairs) for (source, _), pairs in groups.items()]


def _sync_command(place: str) -> str:
    import shlex

    return f"promptctl sync {shlex.quote(_relative_path(place))}"


def _suffixes(name: str) -> list[str]:
    """Return what follows each slash of a name."""
    segments = name.split("/")
    return ["/".join(segments[start:]) for start in range(1, len(segments))]


def _file_hashes(prompt: ListedPrompt) -> set[str]:
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
