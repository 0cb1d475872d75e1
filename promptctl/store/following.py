"""What an application's client reads: what is served of the prompts that it uses, and versions that it pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.postgres.database import Database


class Followed(Record):
    """What is served of one prompt; `content`, `settings` and `metadata` are the active version's, or None.

    `route` is a list of {"when": …, "use": …}; the candidate's texts are None when no split runs.
    """

    __slots__ = ()
    name: str
    epoch: int
    active_version: int | None
    candidate_version: int | None
    basis_points: int
    seed: str | None
    route: Sequence[Mapping[str, Any]] | None
    content: str | None
    settings: Mapping[str, Any] | None
    metadata: Mapping[str, Any] | None
    candidate_content: str | None
    candidate_settings: Mapping[str, Any] | None
    candidate_metadata: Mapping[str, Any] | None


class Pinned(Record):
    """One version as whoever pins it needs it; `epoch` is the prompt's when it was read."""

    __slots__ = ()
    name: str
    version: int
    epoch: int
    content: str
    settings: Mapping[str, Any]
    metadata: Mapping[str, Any]


def follow(database: Database, known: Mapping[str, int | None]) -> list[Followed]:
    """Return what is served of prompts, all at one moment: those whose epoch is not the known one, None being none."""
    rows = database.run("select * from promptctl.follow($1, $2)", list(known), list(known.values()))
    return [Followed(*row) for row in rows]


def read_versions(database: Database, references: Sequence[tuple[str, int]]) -> list[Pinned]:
    """Return these versions; one that is not there is left out."""
    rows = database.run(
        "select * from promptctl.read_versions($1, $2)",
        [name for name, _ in references],
        [version for _, version in references],
    )
    return [Pinned(*row) for row in rows]


def erased(database: Database, references: Sequence[tuple[str, int]]) -> list[str]:
    """Return which of these versions were erased, as NAME@VERSION."""
    rows = database.run(
        "select * from promptctl.erased_versions($1, $2)",
        [name for name, _ in references],
        [version for _, version in references],
    )
    return [row[0] for row in rows]


def names(database: Database) -> list[str]:
    """Return the prompts there are, at most 10 000."""
    return [row[0] for row in database.run("select * from promptctl.prompt_names()")]
