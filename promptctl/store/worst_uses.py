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
      and u.recorded_at >= $2::timestamptz
"""
_FAILED: LiteralString = _USE + "and u.outcome <> 'ok' order by u.recorded_at desc, u.id limit $3"
_SLOWEST: LiteralString = (
    _USE + "and u.outcome = 'ok' and u.response_ms is not null order by u.response_ms desc, u.id limit $3"
)


# The time that is asked for, the time before which uses were dropped, and the later of both.
_BOUNDS: LiteralString = """
    select q.since, nullif(d.dropped_before, '-infinity'), greatest(q.since, d.dropped_before)
    from (select coalesce(now() + $1::interval, $2::timestamptz)) q (since)
    left join promptctl.roll_up d on true -- without a row before the first roll-up
"""


def read(database: Database, name: str | None, since: Timestamp, most: int) -> WorstUses:
    """Return at most so many failed and so many slow uses of a prompt or, without a name, of all.

    `since` is RFC 3339, or `-2h` for two hours ago by the server's clock. Raises NotFound. A first round trip reads the
    time from which uses are complete. The statements of the second one get it as a constant, so that the planner knows
    whether the index of times or that of prompts leads to fewer uses.
    """
    age, moment = (since, None) if since.startswith("-") else (None, since)
    [(began, kept_from, begin)] = database.run(_BOUNDS, age, moment)
    selection = [name, begin, most]
    _, _, failed, slowest, _ = database.run_all(
        ("begin isolation level repeatable read, read only", []),
        # The planner expects more rows than there are in a short time, and compiling takes longer than reading them.
        ("set local jit = off", []),
        (_FAILED, selection),
        (_SLOWEST, selection),
        ("commit", []),
    )
    if name is not None and not failed and not slowest:
        prompt_states.require_prompt(database, name)
    return WorstUses(began, kept_from, [WorstUse(*row) for row in failed], [WorstUse(*row) for row in slowest])
