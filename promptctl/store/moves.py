"""Moves of the active version."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.rules.references import Reference

_ACTIVATE = """
select m.name, m.version, m.previous_version, m.changed, m.split_ended, m.release, m.epoch,
       (select v.id from promptctl.versions v where v.name = m.name and v.version = m.version)
from promptctl.activate($1, $2, $3, $4, $5, $6, $7) m
"""


class Move(Record):
    """The effect of activate, deactivate or rollback on one prompt.

    `version` is the active version now, or None. `id` is the id of the active version, or of the version that was
    deactivated. `changed` is False if nothing changed.
    """

    name: str
    version: int | None
    previous_version: int | None
    changed: bool
    split_ended: bool
    release: int | None
    epoch: int
    id: str | None


def activate(
    database: Database,
    references: Sequence[Reference],
    *,
    author: str,
    reason: str | None = None,
    allow_new_variables: bool = False,
) -> list[Move]:
    """Make each version the active one, all or none; several references make a release.

    Each reference must have a version. Raises NotFound. Raises Refused for an archived version, for one that needs a
    variable which the active version does not need, and if another session has locked one of the prompts.
    """
    names, versions = _columns(references)
    rows = database.run(_ACTIVATE, names, versions, author, reason, allow_new_variables, None, None)
    return [Move(*row) for row in rows]


def start_activating(
    database: Database,
    references: Sequence[Reference],
    *,
    author: str,
    reason: str,
    allow_new_variables: bool,
    release: int,
    origins: Mapping[str, Mapping[str, Any]],
) -> Callable[[], list[Move]]:
    """Start what `activate` does, in the open transaction, and return a function that waits for the moves.

    Call that function before the next statement; it raises what `activate` raises. The moves are added to `release`,
    which this transaction has opened. `origins` has the origin of each activation, by name.
    """
    names, versions = _columns(references)
    wait = database.start(_ACTIVATE, names, versions, author, reason, allow_new_variables, release, origins)
    return lambda: [Move(*row) for row in wait()]


def _columns(references: Sequence[Reference]) -> tuple[list[str], list[int | None]]:
    return [reference.name for reference in references], [reference.version for reference in references]


def deactivate(
    database: Database,
    names: Sequence[str],
    *,
    author: str,
    expected_version: int | None = None,
    reason: str | None = None,
) -> list[Move]:
    """Leave each prompt without an active version, all or none; several prompts make a release.

    Raises NotFound. Raises Refused if a route of another prompt leads to one of them, if the active version is not
    `expected_version`, and if another session has locked a prompt.
    """
    rows = database.run(
        """
        select m.name, m.version, m.previous_version, m.changed, m.split_ended, m.release, m.epoch,
               (select v.id from promptctl.versions v where v.name = m.name and v.version = m.previous_version)
        from promptctl.deactivate($1, $2, $3, $4) m
        """,
        list(names),
        expected_version,
        author,
        reason,
    )
    return [Move(*row) for row in rows]


def rollback(
    database: Database,
    names: Sequence[str],
    *,
    author: str,
    to_version: int | None = None,
    expected_version: int | None = None,
    reason: str | None = None,
    allow_new_variables: bool = False,
) -> list[Move]:
    """Roll each prompt back to `to_version`, else to the version that was active before; all prompts or none.

    promptctl.rollback in schema.sql defines which version was active before. Raises NotFound. Raises Refused if there
    is no earlier version, if the active version is not `expected_version`, if the target needs a variable which the
    active version does not need, and if another session has locked a prompt.
    """
    rows = database.run(
        """
        select m.name, m.version, m.previous_version, m.changed, m.split_ended, m.release, m.epoch,
               (select v.id from promptctl.versions v where v.name = m.name and v.version = m.version)
        from promptctl.rollback($1, $2, $3, $4, $5, $6) m
        """,
        list(names),
        to_version,
        expected_version,
        author,
        reason,
        allow_new_variables,
    )
    return [Move(*row) for row in rows]
