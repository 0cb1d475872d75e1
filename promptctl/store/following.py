"""What the client of an application reads: what the prompts that it follows serve, and the versions that it pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.postgres.database import Database


class FollowedPrompt(Record):
    """What one prompt serves. `content`, `settings` and `metadata` are those of the active version, or None.

    `route` is a list of {"when": …, "use": …}. The fields of the candidate are None if no split runs.
    """

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


class PinnedVersion(Record):
    """One version for a client that pins it; `epoch` is 0, because no split chose the version."""

    name: str
    version: int
    epoch: int
    content: str
    settings: Mapping[str, Any]
    metadata: Mapping[str, Any]


def follow(database: Database, epochs: Mapping[str, int | None]) -> list[FollowedPrompt]:
    """Return the prompts that have changed, in one snapshot.

    `epochs` has, by name, the epoch at which the client read each prompt last. With None a prompt is always returned.
    """
    rows = database.run("select * from promptctl.follow($1, $2)", list(epochs), list(epochs.values()))
    return [FollowedPrompt(*row) for row in rows]


def read_versions(database: Database, references: Sequence[tuple[str, int]]) -> list[PinnedVersion]:
    """Return those of these versions that exist and were not erased."""
    rows = database.run(
        "select * from promptctl.read_versions($1, $2)",
        [name for name, _ in references],
        [version for _, version in references],
    )
    return [PinnedVersion(*row) for row in rows]


def list_erased_versions(database: Database, references: Sequence[tuple[str, int]]) -> list[str]:
    """Return the erased ones of these versions, as NAME@VERSION."""
    rows = database.run(
        "select * from promptctl.erased_versions($1, $2)",
        [name for name, _ in references],
        [version for _, version in references],
    )
    return [row[0] for row in rows]


def list_names(database: Database) -> list[str]:
    """Return the names of all prompts, at most 10 000."""
    return [row[0] for row in database.run("select * from promptctl.prompt_names()")]
