"""The failed uses and the slowest ones of a time, one by one, with their traces."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.store import prompt_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class WorstUse(Record):
    """A use as it was recorded. A field is None if it was not reported. `trace_id` has 32 hexadecimal digits."""

    id: str
    recorded_at: Timestamp
    name: str
    version: int
    epoch: int
    outcome: str
    response_ms: float | None
    first_token_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    model: str | None
    trace_id: str | None
    request_id: str | None


class WorstUses(Record):
    """The worst uses since a time: those that failed, newest first, and the slowest of the others, slowest first.

    `kept_from` is the time before which single uses were dropped, None if they never were.
    """

    since: Timestamp
    kept_from: Timestamp | None
    failed: list[WorstUse]
    slowest: list[WorstUse]


# The columns of a WorstUse.
_USE = """
    select u.id::text, u.recorded_at, u.name, u.version, u.epoch, u.outcome::text, u.response_ms, u.first_token_ms,
           u.input_tokens, u.output_tokens, u.model::text, replace(u.trace_id::text, '-', ''), u.request_id::text
    from promptctl.uses u
    where ($1::text is null or u.name = $1)
      -- Uses before this time may be deleted at any time.
      and u.recorded_at >= greatest(coalesce(now() + $2::interval, $3::timestamptz),
                                    (select r.dropped_before from promptctl.roll_up r))
"""
_FAILED: LiteralString = _USE + "and u.outcome <> 'ok' order by u.recorded_at desc, u.id limit $4"
_SLOWEST: LiteralString = (
    _USE + "and u.outcome = 'ok' and u.response_ms is not null order by u.response_ms desc, u.id limit $4"
)


def read(database: Database, name: str | None, since: Timestamp, most: int) -> WorstUses:
    """Return at most so many failed and so many slow uses of a prompt or, without a name, of all, in one round trip.

    `since` is RFC 3339, or `-2h` for two hours ago by the server's clock. Raises NotFound.
    """
    age, moment = (since, None) if since.startswith("-") else (None, since)
    selection = [name, age, moment, most]
    _, _, [(began, kept_from)], failed, slowest, _ = database.run_all(
        ("begin isolation level repeatable read, read only", []),
        # The planner expects more rows than there are in a short time, and compiling takes longer than reading them.
        ("set local jit = off", []),
        (
            """
            select coalesce(now() + $1::interval, $2::timestamptz),
                   (select nullif(r.dropped_before, '-infinity') from promptctl.roll_up r)
            """,
            [age, moment],
        ),
        (_FAILED, selection),
        (_SLOWEST, selection),
        ("commit", []),
    )
    if name is not None and not failed and not slowest:
        prompt_states.require_prompt(database, name)
    return WorstUses(began, kept_from, [WorstUse(*row) for row in failed], [WorstUse(*row) for row in slowest])
