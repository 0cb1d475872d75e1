"""Splits between a candidate and the active version."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.store import prompt_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class SplitChange(Record):
    """A split now and before. `version` is the active version, and the shares are in basis points.

    `candidate_version` is None if no split runs now, and `previous_candidate` if none ran before. `changed` is False if
    nothing changed. `rollout` is the number of the rollout that this change paused or stopped, or None, and
    `rollout_state` its state now.
    """

    name: str
    version: int | None
    candidate_version: int | None
    previous_candidate: int | None
    basis_points: int
    previous_basis_points: int
    seed: str | None
    changed: bool
    epoch: int
    rollout: int | None
    rollout_state: str | None


class Split(Record):
    """The split of a prompt, and who changed it last, when and why.

    `candidate_version` and the fields of the last change are None if no split runs. `description` is that of the active
    version.
    """

    name: str
    active_version: int | None
    description: str | None
    candidate_version: int | None
    candidate_description: str | None
    basis_points: int
    seed: str | None
    epoch: int
    changed_at: Timestamp | None
    author: str | None
    reason: str | None


# The rollout whose state this transaction has changed.
_CHANGED_ROLLOUT: LiteralString = """
    select e.rollout, r.state
    from promptctl.rollout_events e join promptctl.rollouts r on r.rollout = e.rollout
    where r.name = $1 and e.happened_at >= now()
    order by e.rollout desc, e.place desc limit 1
"""


def set_split(
    database: Database,
    name: str,
    basis_points: int,
    *,
    author: str,
    candidate: int | None = None,
    seed: str | None = None,
    reason: str | None = None,
    allow_new_variables: bool = False,
) -> SplitChange:
    """Serve `candidate` to a share of the units, in basis points. Without `candidate`, change the running split.

    The seed, by default `<name>.<epoch>`, stays while the share changes. Raises NotFound. Raises Refused if there is no
    split to change, if the candidate is the active version, is archived, or needs a variable which the active version
    does not need, and if another session has locked the prompt.
    """
    [change], rollouts = database.run_all(
        (
            """
            select s.name, s.version, s.candidate_version, s.previous_candidate, s.basis_points,
                   s.previous_basis_points, s.seed, s.changed, s.epoch
            from promptctl.split($1, $2, $3, $4, $5, $6, $7) s
            """,
            [name, basis_points, candidate, seed, author, reason, allow_new_variables],
        ),
        (_CHANGED_ROLLOUT, [name]),
    )
    return SplitChange(*change, *(rollouts[0] if rollouts else (None, None)))


def end_split(database: Database, name: str, *, author: str, reason: str | None = None) -> SplitChange:
    """Serve the active version to all units again. Raises NotFound, and Refused if another session has locked it."""
    [change], rollouts = database.run_all(
        (
            """
            select s.name, s.version, s.candidate_version, s.previous_candidate, s.basis_points,
                   s.previous_basis_points, s.seed, s.changed, s.epoch
            from promptctl.end_split($1, $2, $3) s
            """,
            [name, author, reason],
        ),
        (_CHANGED_ROLLOUT, [name]),
    )
    return SplitChange(*change, *(rollouts[0] if rollouts else (None, None)))


def read_split(database: Database, name: str) -> Split:
    """Return the split of a prompt. Raises NotFound."""
    rows = database.run(
        """
        select s.name, s.active_version, v.metadata ->> 'description', s.candidate_version,
               c.metadata ->> 'description', s.basis_points, s.seed, s.epoch, a.changed_at, a.author, a.reason
        from promptctl.served s
        left join promptctl.versions v on v.name = s.name and v.version = s.active_version
        left join promptctl.versions c on c.name = s.name and c.version = s.candidate_version
        left join lateral (
            select l.changed_at, l.author, l.reason
            from promptctl.allocations l
            where l.name = s.name and l.kind = 'split' and s.candidate_version is not null
            order by l.epoch desc limit 1
        ) a on true
        where s.name = $1
        """,
        name,
    )
    if not rows:
        raise prompt_states.not_found_error(database, Reference(name, None))
    return Split(*rows[0])
