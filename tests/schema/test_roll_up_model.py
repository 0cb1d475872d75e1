"""After any sequence of uses, scores, roll-ups and drops by several sessions, statistics match the model."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.schema.support import create, record, refusal, rows, run, value
from tests.schema.uses_model import Sum, Use, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connection = psycopg.Connection[Any]

HOUR_MS = 3_600_000.0
SESSIONS = 3
# Numbers that add up without rounding; no response time is the lower bound of a bucket.
scores = st.sampled_from([0.0, 0.25, 0.5, 1.0, -3.0])
uses = st.fixed_dictionaries(
    {
        "ages_ms": st.sampled_from([0.0, HOUR_MS, 5 * HOUR_MS, 30 * HOUR_MS, 31 * HOUR_MS, 60 * HOUR_MS]),
        "models": st.sampled_from([None, "m", "n"]),
        "outcomes": st.sampled_from(["ok", "ok", "timeout"]),
        "buckets": st.none() | st.integers(0, 9999),
        "input_tokens": st.sampled_from([None, 0, 7, 100_000, 100_001, 250_000]),
        "output_tokens": st.sampled_from([None, 0, 3, 500]),
        "response_ms": st.none() | st.integers(0, 4000).map(lambda n: n * 0.5 + 1.25),
        "first_token_ms": st.none() | st.integers(0, 900).map(lambda n: n * 0.25),
        "scores": st.none() | scores,
    }
)
sessions = st.integers(0, SESSIONS - 1)
steps = st.one_of(
    st.tuples(st.just("record"), sessions, st.lists(uses, min_size=1, max_size=4), st.booleans()),
    st.tuples(st.just("record"), sessions, st.lists(uses, min_size=1, max_size=4), st.booleans()),
    st.tuples(st.just("begin"), sessions),
    st.tuples(st.just("commit"), sessions),
    st.tuples(st.just("rollback"), sessions),
    st.tuples(st.just("score"), st.integers(0, 30), scores),
    st.tuples(st.just("score"), st.integers(0, 30), scores),
    st.tuples(st.just("roll_up"), st.sampled_from([1, 2, 5, 1000])),
    st.tuples(st.just("roll_up"), st.sampled_from([1, 2, 5, 1000])),
    st.tuples(st.just("drop"), st.sampled_from([2, 24, 48])),
)
_names = (f"prompt-{number}" for number in itertools.count())

COUNTS = (
    "uses", "without_unit", "with_tokens", "with_both", "with_input", "with_output", "with_response",
    "with_first_token", "with_score",
)  # fmt: skip
SUMS = ("tokens", "input_tokens", "output_tokens", "cache_read_tokens", "response_ms", "first_token_ms", "score")


class Sessions:
    """Connections, some with an open transaction, and the committed uses."""

    def __init__(self, connections: list[Connection], observer: Connection, name: str) -> None:
        self.name = name
        self.connections = connections
        self.observer = observer
        self.pending: list[list[Use] | None] = [None] * SESSIONS
        self.committed: list[Use] = []
        self.dropped_before: dt.datetime | None = None
        create(observer, name, 1)
        with observer.transaction():  # earlier examples dropped uses of other prompts
            run(observer, "select set_config('promptctl.writing_transaction', pg_current_xact_id()::text, true)")
            run(observer, "update promptctl.roll_up set dropped_before = null")

    def record(self, session: int, reported: list[dict[str, Any]], resend_first: bool) -> None:
        """Record uses; with `resend_first`, the first one twice."""
        connection = self.connections[session]
        sent: list[dict[str, Any]] = [{"ids": uuid.uuid4(), "names": self.name, **use} for use in reported]
        repeated = [use for use in sent[:1] if resend_first]
        now = dt.datetime.now(dt.timezone.utc)
        retained_since = self.dropped_before or dt.datetime.min.replace(tzinfo=dt.timezone.utc)
        late = [now - dt.timedelta(milliseconds=use["ages_ms"]) < retained_since for use in sent + repeated]
        counts = record(connection, sent + repeated)
        assert counts == (len(sent) - sum(late[: len(sent)]), len(repeated) - sum(late[len(sent) :]), sum(late))
        times = dict(
            rows(
                connection,
                "select id, recorded_at from promptctl.uses where id = any (%s)",
                [use["ids"] for use in sent],
            )
        )
        stored = [
            Use(
                use["ids"], times[use["ids"]].astimezone(dt.timezone.utc), use["models"], use["outcomes"],
                use["buckets"], use["input_tokens"], use["output_tokens"], None, use["response_ms"],
                use["first_token_ms"], use["scores"],
            )
            for use in sent
            if use["ids"] in times
        ]  # fmt: skip
        pending = self.pending[session]
        (self.committed if pending is None else pending).extend(stored)

    def begin(self, session: int) -> None:
        """Begin a transaction, unless one is open."""
        if self.pending[session] is None:
            self.connections[session].execute("begin")
            self.pending[session] = []

    def commit(self, session: int) -> None:
        """End the transaction, if one is open."""
        self.connections[session].execute("commit" if self.pending[session] is not None else "select")
        self.committed.extend(self.pending[session] or [])
        self.pending[session] = None

    def rollback(self, session: int) -> None:
        """Roll the transaction back, if one is open."""
        self.connections[session].execute("rollback" if self.pending[session] is not None else "select")
        self.pending[session] = None

    def score(self, place: int, score: float) -> None:
        """Score one of the committed uses; expect a refusal if it was dropped."""
        if not self.committed:
            return
        use = self.committed[place % len(self.committed)]
        statement = "select promptctl.score_use(%s, %s)"
        if self.dropped_before is not None and use.recorded_at < self.dropped_before:
            assert refusal(self.observer, statement, use.id, score) == ("P0002", "use_exists")
        else:
            assert value(self.observer, statement, use.id, score) is (use.score != score)
            use.score = score

    def roll_up(self, at_most: int) -> None:
        """Roll up a limited number of uses."""
        assert value(self.observer, "select promptctl.roll_up_uses(%s)", at_most) is not None

    def drop(self, hours: int) -> None:
        """Drop uses older than some hours."""
        run(self.observer, "select promptctl.drop_uses(now() - make_interval(hours => %s), 0, 100000)", [hours])
        self.dropped_before = value(self.observer, "select dropped_before from promptctl.roll_up")

    def end(self) -> None:
        """Roll back open transactions, and roll up the rest."""
        for session in range(SESSIONS):
            self.rollback(session)
        run(self.observer, "select promptctl.roll_up_uses()")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(steps, max_size=30))
def test_totals_and_single_uses_match_the_model(
    connect: Callable[..., Connection], sequence: list[tuple[Any, ...]]
) -> None:
    with connect() as first, connect() as second, connect() as third, connect() as observer:
        state = Sessions([first, second, third], observer, next(_names))
        for operation, *arguments in [*sequence, ("end",)]:
            getattr(state, operation)(*arguments)
            for grain in ("hour", "day", "all"):
                assert stored_totals(observer, state.name, grain) == totals_of(state.committed, grain), grain
            assert stats(observer, state.name) == expected_stats(state.committed)
        assert value(observer, "select count(*) from promptctl.uses where recorded_in >= promptctl.rolled_below()") == 0


def stored_totals(connection: Connection, name: str, grain: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Merge totals of one grain with the uses and scores beyond the watermark, in the form of the model."""
    columns = ", ".join((*COUNTS, *SUMS))
    starts_at = {"hour": "date_trunc('hour', {}, 'UTC')", "day": "date_trunc('day', {}, 'UTC')", "all": "null"}[grain]
    merged: dict[tuple[Any, ...], Sum] = {}
    for at, model, is_ok, size, fastest, slowest, buckets, counts, last, *numbers in rows(
        connection,
        f"""
        select case when grain <> 'all' then starts_at end, model, is_ok, size, fastest_ms, slowest_ms,
               (response_times).buckets, (response_times).counts, last_used_at, {columns}
        from promptctl.totals where name = %s and grain = %s
        union all
        select {starts_at.format("recorded_at")}, model, outcome = 'ok', promptctl.price_tier(input_tokens),
               response_ms, response_ms,
               case when response_ms is not null then array[promptctl.histogram_bucket(response_ms)] end,
               array[1], recorded_at, 1, (bucket is null)::integer, num_nonnulls(coalesce(input_tokens, output_tokens)),
               num_nonnulls(input_tokens + output_tokens), num_nonnulls(input_tokens), num_nonnulls(output_tokens),
               num_nonnulls(response_ms), num_nonnulls(first_token_ms), num_nonnulls(score),
               input_tokens + output_tokens, input_tokens, output_tokens, cache_read_tokens, response_ms,
               first_token_ms, score
        from promptctl.uses where name = %s and recorded_in >= promptctl.rolled_below()
        union all
        select {starts_at.format("used_at")}, model, is_ok, size, null, null, null, null, null, 0, 0, 0, 0, 0, 0, 0, 0,
               (previous is null)::integer, null, null, null, null, null, null, score - coalesce(previous, 0)
        from promptctl.scores where name = %s and recorded_in >= promptctl.rolled_below()
        """,
        name, grain, name, name,
    ):  # fmt: skip
        total = merged.setdefault((at and at.astimezone(dt.timezone.utc), model, is_ok, size), Sum())
        total.counts.update(dict(zip(COUNTS, numbers, strict=False)))
        for key, number in zip(SUMS, numbers[len(COUNTS) :], strict=True):
            if number is not None:
                total.sums[key] = total.sums.get(key, 0) + float(number)
        total.buckets.update(Counter(dict(zip(buckets or [], counts or [], strict=False))))
        total.fastest = min((n for n in (total.fastest, fastest) if n is not None), default=None)
        total.slowest = max((n for n in (total.slowest, slowest) if n is not None), default=None)
        total.last = max((m.astimezone(dt.timezone.utc) for m in (total.last, last) if m is not None), default=None)
    return {key: total.as_tuple() for key, total in merged.items()}


def stats(connection: Connection, name: str) -> dict[str, Any]:
    """Read the stats of a prompt from the view."""
    stats = dict(value(connection, "select stats from promptctl.prompts where name = %s", name))
    if "last_used_at" in stats:
        stats["last_used_at"] = dt.datetime.fromisoformat(stats["last_used_at"]).astimezone(dt.timezone.utc)
    return stats


def expected_stats(committed: list[Use]) -> dict[str, Any]:
    """Calculate the stats from the committed uses."""
    successful = [use for use in committed if use.outcome == "ok"]
    tokens = [use.input_tokens + use.output_tokens for use in successful
              if use.input_tokens is not None and use.output_tokens is not None]  # fmt: skip
    averages = {
        "avg_tokens": (tokens, 0.01),
        "avg_response_time_ms": ([use.response_ms for use in successful if use.response_ms is not None], 0.01),
        "avg_score": ([use.score for use in committed if use.score is not None], 0.0001),
    }
    stats: dict[str, Any] = {"total_uses": len(committed), "errors": len(committed) - len(successful)}
    if committed:
        stats["last_used_at"] = max(use.recorded_at for use in committed)
    for name, (numbers, step) in averages.items():
        if numbers:
            stats[name] = pytest.approx(sum(numbers) / len(numbers), abs=0.500001 * step)  # pyright: ignore[reportUnknownMemberType]
    return stats
