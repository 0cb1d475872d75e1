"""Splits: a candidate's share of what the active version serves."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.store import prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class SplitChange(Record):
    """What a split is now and was before; `version` is the active one, shares are in basis points.

    `candidate_version` and `previous_candidate` None: none runs, or ran. `changed` is False when it was so already.
    """

    __slots__ = ()
    name: str
    version: int | None
    candidate_version: int | None
    previous_candidate: int | None
    basis_points: int
    previous_basis_points: int
    seed: str | None
    changed: bool
    epoch: int


class Split(Record):
    """How a prompt is split now; the last fields say who made it so, when and why, None without a split.

    `candidate_version` None: it is not. `description` is the active version's.
    """

    __slots__ = ()
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


def change(
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
    """Give a candidate a share in basis points, or, with None, the one that runs another share.

    The seed, `<name>.<epoch>` unless given, stays while the share changes. Raises NotFound, and Refused without a split
    to change, for the active version as a candidate, an archived one, one that needs a variable which the active one
    does not, or a lock held by another.
    """
    rows = database.run(
        """
        select s.name, s.version, s.candidate_version, s.previous_candidate, s.basis_points, s.previous_basis_points,
               s.seed, s.changed, s.epoch
        from promptctl.split($1, $2, $3, $4, $5, $6, $7) s
        """,
        name,
        basis_points,
        candidate,
        seed,
        author,
        reason,
        allow_new_variables,
    )
    return SplitChange(*rows[0])


def end(database: Database, name: str, *, author: str, reason: str | None = None) -> SplitChange:
    """Serve the active version to everybody again. Raises NotFound, and Refused for a lock held by another."""
    rows = database.run(
        """
        select s.name, s.version, s.candidate_version, s.previous_candidate, s.basis_points, s.previous_basis_points,
               s.seed, s.changed, s.epoch
        from promptctl.end_split($1, $2, $3) s
        """,
        name,
        author,
        reason,
    )
    return SplitChange(*rows[0])


def running(database: Database, name: str) -> Split:
    """Return how a prompt is split. Raises NotFound."""
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
        raise prompts.missing(database, Reference(name, None))
    return Split(*rows[0])
