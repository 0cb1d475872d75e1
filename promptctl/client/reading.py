"""Reading what is served: the statements by which a state follows the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.rules import references
from promptctl.store import following

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.client.prompt import Link
    from promptctl.client.serving import State
    from promptctl.postgres.database import Database


def without_erased(database: Database, state: State) -> State:
    """Return the state without pinned versions that were erased; itself when none was."""
    if not state.pinned:
        return state
    pinned = [(each.source.name, each.source.version or 0) for each in state.pinned.values()]
    return state.without(following.erased(database, pinned))


def read(database: Database, state: State, wanted: Sequence[str], link: Link, *, anew: bool) -> State:
    """Return the state of now, with what is wanted of names and pinned references, as far as that is there.

    What a prompt's route leads to is in it too. All that moves is read in one statement, so it is of one moment. It is
    `state` itself when nothing has changed. Prompts whose epoch is the known one are not read again, unless `anew`.
    """
    known: dict[str, int | None] = {name: None if anew else each.row.epoch for name, each in state.prompts.items()}
    asked: set[str] = set()
    while True:
        pinned: Sequence[following.Pinned] = ()
        versions: Sequence[references.Reference] = ()
        if wanted:
            asked.update(wanted)
            versions = [references.parse(each) for each in wanted if "@" in each and each not in state.pinned]
            known |= {name: None for name in wanted if "@" not in name and name not in known}
        # Of nothing, too: that the database can be read is to be seen.
        rows = following.follow(database, known)
        if versions:
            pinned = following.read_versions(database, [(each.name, each.version or 0) for each in versions])
        if not rows and not pinned:
            return state
        state = state.with_rows(rows, pinned, link)
        # Where new routes lead has to be known before they are followed; then all is looked at once more.
        routed = [row.name for row in rows if row.route]
        wanted = [name for name in state.missing(routed) if name not in asked] if routed else ()
        if not wanted:
            return state
        known |= {row.name: row.epoch for row in rows}
