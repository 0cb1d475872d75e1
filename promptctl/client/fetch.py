"""Queries that bring a state up to date with the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.rules import references
from promptctl.store import following

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.client.link import Link
    from promptctl.client.state import State
    from promptctl.postgres.database import Database


def without_erased(database: Database, state: State) -> State:
    """Return the state without pinned versions that were erased; itself if none was."""
    if not state.pinned:
        return state
    pinned = [(prompt.source.name, prompt.source.version or 0) for prompt in state.pinned.values()]
    return state.without(following.list_erased_versions(database, pinned))


def changes(database: Database, state: State, names: Sequence[str], link: Link, *, anew: bool) -> State:
    """Return the current state, with these names and pinned references as far as they exist; itself if it is current.

    It includes the targets of the prompts' routes. One statement reads everything that can change, so the state is that
    of one time. Prompts whose epoch has not changed are not read again, unless `anew`.
    """
    epochs: dict[str, int | None] = {name: None if anew else prompt.row.epoch for name, prompt in state.prompts.items()}
    requested: set[str] = set()
    while True:
        pinned: Sequence[following.PinnedVersion] = ()
        versions: Sequence[references.Reference] = ()
        if names:
            requested.update(names)
            versions = [references.parse(name) for name in names if "@" in name and name not in state.pinned]
            epochs |= {name: None for name in names if "@" not in name and name not in epochs}
        # Without any name as well, to check that the database can be read.
        rows = following.follow(database, epochs)
        if versions:
            pinned = following.read_versions(
                database, [(version.name, version.version or 0) for version in versions]
            )  # fmt: skip
        if not rows and not pinned:
            return state
        state = state.with_rows(rows, pinned, link)
        # The targets of new routes are read next; then everything is checked once more.
        routed = [row.name for row in rows if row.route]
        names = [name for name in state.missing(routed) if name not in requested] if routed else ()
        if not names:
            return state
        epochs |= {row.name: row.epoch for row in rows}
