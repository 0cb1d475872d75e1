"""Resolve a prompt in the database, with the reasons for the result."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from promptctl.postgres.database import Database


class Resolution(Record):
    """The version of a prompt to use now, and the reasons.

    `asked_for` is the requested prompt, and `name` the prompt that its route leads to. `route_step` (from 1) and
    `route_when` are the step that matched, None if no step did.

    The split is that of `name`. `bucket` (0 to 9999) is the bucket of the unit. Without a unit it is random while a
    split runs, else None. `is_candidate` is whether the bucket is below `basis_points`, None if no split runs.
    """

    name: str
    version: int
    epoch: int
    content: str
    settings: dict[str, Any]
    metadata: dict[str, Any]
    asked_for: str
    route_step: int | None
    route_when: dict[str, Any] | None
    active_version: int | None
    candidate_version: int | None
    basis_points: int
    seed: str | None
    bucket: int | None
    is_candidate: bool | None


def resolve(database: Database, name: str, unit: str | None, attributes: Mapping[str, Any]) -> Resolution:
    """Return the version that a unit with these attributes gets. Raises NotFound if there is no version to serve.

    The login needs no other right than to resolve.
    """
    # An empty mapping is passed as text, which spares the import of json.
    rows = database.run(
        """
        select e.name, e.version, e.epoch, e.content, e.settings, e.metadata, e.asked_for, e.route_step, e.route_when,
               e.active_version, e.candidate_version, e.basis_points, e.seed, e.bucket, e.is_candidate
        from promptctl.explain_resolve($1, $2, $3) e
        """,
        name,
        unit,
        attributes or "{}",
    )
    return Resolution(*rows[0])
