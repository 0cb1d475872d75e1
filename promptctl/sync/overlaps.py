"""Folders that overlap: the same files, applied as two sources, would be stored under two names."""

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

# So many prompts of a folder are compared with stored ones by their texts.
_MOST_COMPARED = 50


def known_as(checkout: Checkout, others: Sequence[OtherSource]) -> str | None:
    """Return the source as which this very folder was applied under an older spelling of its repository, if it was."""
    if checkout.is_named:
        return None
    return next((other.source for other in others if checkout.place_of(other.source) == checkout.path), None)


def refuse(
    database: Database, checkout: Checkout, folder: Sequence[ListedPrompt], others: Sequence[OtherSource]
) -> None:
    """Raise Refused (`conflict`) for a folder that was not applied yet and overlaps one that was, as one of `others`.

    It overlaps when one of the two lies in the other; and when most of its prompts have the names and texts of
    another source's prompts below one common folder, which is a copy.
    """
    for other in others:
        place = checkout.place_of(other.source, other.repository, other.path)
        if place is None or place == checkout.path:
            continue
        if _is_inside(checkout.path, place):
            raise _overlap(checkout, other.source, place, "lies in")
        if _is_inside(place, checkout.path):
            inner = os.path.relpath(place, checkout.path)
            if any(prompt.name == inner or prompt.name.startswith(f"{inner}/") for prompt in folder):
                raise _overlap(checkout, other.source, place, "contains")
    _refuse_copy(database, checkout, folder)


def _is_inside(path: str, folder: str) -> bool:
    return path != folder and path.startswith(folder.rstrip("/") + "/")


def _overlap(checkout: Checkout, source: str, place: str, how: str) -> errors.Refused:
    import shlex

    shown = _from_here(place)
    words = ["promptctl", "sync", shown]
    if checkout.place_of(source) is None:
        words += ["--source", source]
    return errors.Refused(
        "conflict",
        f"the folder {how} {shown}, which was applied as another source, {source}: its prompts would be stored again "
        "under other names",
        hint=shlex.join(words),
    )


def _refuse_copy(database: Database, checkout: Checkout, folder: Sequence[ListedPrompt]) -> None:
    applied = syncs.applied_names(database)
    shorter: dict[str, list[str]] = {}
    for name in applied:
        for tail in _tails(name):
            shorter.setdefault(tail, []).append(name)
    candidates: dict[tuple[str, str], list[tuple[ListedPrompt, str]]] = {}
    for prompt in folder:
        if prompt.name in applied:
            continue
        longer = [tail for tail in _tails(prompt.name) if tail in applied]
        for name in (*longer, *shorter.get(prompt.name, ())):
            difference = prompt.name.removesuffix(name) or name.removesuffix(prompt.name)
            candidates.setdefault((applied[name], difference), []).append((prompt, name))
    for (source, _), pairs in candidates.items():
        if 2 * len(pairs) < len(folder):
            continue
        looked_at = pairs[:_MOST_COMPARED]
        stored = syncs.stored_hashes(database, [name for _, name in looked_at])
        same = [(prompt, name) for prompt, name in looked_at if stored.get(name, set()) & _hashes(prompt)]
        if 2 * len(same) >= len(looked_at):
            prompt, name = same[0]
            place = checkout.place_of(source)
            raise errors.Refused(
                "conflict",
                f'"{prompt.name}" has the text of "{name}", which comes from another source, {source}: the same '
                "prompts would be stored again under other names",
                hint=_command(place) if place is not None else f"promptctl show {name}",
            )


def _command(place: str) -> str:
    import shlex

    return f"promptctl sync {shlex.quote(_from_here(place))}"


def _tails(name: str) -> list[str]:
    """Return what a name ends with after each of its slashes."""
    parts = name.split("/")
    return ["/".join(parts[place:]) for place in range(1, len(parts))]


def _hashes(prompt: ListedPrompt) -> set[str]:
    hashes: set[str] = set()
    for number in prompt.files:
        try:
            text = texts.normalised(listing.read_bytes(prompt.version_path(number)), "")
        except (OSError, errors.PromptctlError):
            continue
        hashes.add(hashlib.sha256(text.encode()).hexdigest())
    return hashes


def _from_here(path: str) -> str:
    """Return a path as a command would name it in the working directory."""
    try:
        return os.path.relpath(path)
    except FileNotFoundError:
        # The working directory was deleted.
        return path
