"""What a prompt serves now, and the error for a prompt or version that does not exist."""

from __future__ import annotations

from promptctl import errors
from promptctl.records import Record
from promptctl.rules.references import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class PromptState(Record):
    """What a prompt serves. `changed_at` and `author` are those of its last move, or None.

    `candidate_version` is None if no split runs, and `basis_points` is its share of 10 000. `route_steps` is the number
    of steps of the route. `source_version` is the version that the folder in Git names, if an operator's move holds
    another one, else None. `rollout` is the number of the open rollout, or None, and `rollout_state` its state.
    """

    active_version: int | None
    candidate_version: int | None
    basis_points: int
    route_steps: int
    source_version: int | None
    changed_at: Timestamp | None
    author: str | None
    rollout: int | None
    rollout_state: str | None


# The column `source_version` of PromptState, from `served` s and `applied` p. A prompt without an active version is not
# held if no version of its folder was ever applied: the next sync activates one.
SOURCE_VERSION: LiteralString = """
           case when p.active_version is distinct from s.active_version
                     and (p.has_applied_version or s.active_version is not null) then p.active_version end
"""


PROMPT_STATE = f"""
    select s.active_version, s.candidate_version, s.basis_points,
           jsonb_array_length(coalesce(s.route, '[]')),
           {SOURCE_VERSION},
           a.changed_at, a.author, r.rollout, r.state
    from promptctl.served s
    left join promptctl.applied p on p.name = s.name
    left join promptctl.rollouts r on r.name = s.name and r.state in ('running', 'paused')
    left join lateral (
        select a.changed_at, a.author from promptctl.allocations a
        where a.name = s.name and a.version is distinct from a.previous_version
        order by a.epoch desc limit 1
    ) a on true
    where s.name = $1
"""  # noqa: S608 - of constants


def require_prompt(database: Database, name: str) -> None:
    """Raise NotFound if the prompt does not exist."""
    if not database.run("select from promptctl.served s where s.name = $1", name):
        raise not_found_error(database, Reference(name, None))


def not_found_error(database: Database, reference: Reference) -> errors.NotFound:
    """Return the error for a reference without a text. It names what is missing: prompt, version or text."""
    rows = database.run(
        """
        select (select max(v.version) from promptctl.versions v where v.name = s.name and not v.is_retired),
               s.archived_at is not null,
               exists (select from promptctl.versions v
                       where v.name = s.name and v.version = $2 and v.erased_at is not null)
        from promptctl.served s where s.name = $1
        """,
        reference.name,
        reference.version,
    )
    if not rows:
        return errors.NotFound(
            "prompt_not_found", f'no prompt "{reference.name}" in {database.label}', name=reference.name
        )
    latest, is_archived, is_erased = rows[0]
    if is_erased:
        return errors.NotFound(
            "version_erased",
            f"{reference} was erased in {database.label}",
            hint=f"promptctl history {reference.name}",
        )
    if reference.version is None and is_archived:
        return errors.NotFound(
            "no_active_version",
            f'"{reference.name}" is archived in {database.label}',
            hint=f"promptctl show {reference.name} --archived",
        )
    if reference.version is None:
        return errors.NotFound(
            "no_active_version",
            f'"{reference.name}" has no active version in {database.label}',
            hint=f"promptctl activate {reference.name}@{latest}" if latest else f"promptctl create {reference.name}",
        )
    return errors.NotFound(
        "version_not_found",
        f'"{reference.name}" has no version {reference.version} in {database.label}',
        hint=f"promptctl show {reference.name}",
    )
