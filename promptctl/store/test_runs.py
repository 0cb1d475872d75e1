"""Runs of tests with their results, and the replies and judgements that later runs use again."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, cast

from promptctl import errors
from promptctl.records import Record
from promptctl.rules.test_cases import Case
from promptctl.rules.test_replies import FailedCheck, Judgement, Reply, readable_blocks, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class Side(Record):
    """One side of a run: a version, or a text that is not stored, whose `version` is None.

    `sha256` is the hash of the text alone (`text_hash`). For a version, the database reads it and the settings itself.
    """

    name: str
    version: int | None
    sha256: str
    settings: Mapping[str, Any]


class NewRun(Record):
    """What a run tests. `against` is None without a baseline.

    `judge` is the reference of the judge, "built-in", or None if no case has a rubric; `judge_sha256` is the hash of
    its text, None if there are several. `margin` is a part of 1. `origin` is where the tested text came from, as in
    provenance, None if not from a folder.
    """

    subject: Side
    against: Side | None
    cases_sha256: str
    judge: str | None
    judge_sha256: str | None
    requested_model: str
    margin: float
    origin: Mapping[str, Any] | None = None


class CaseOutcome(Record):
    """The result of one case of a run.

    `place` is its position in the run, from 1. `errors` is how many replies are missing, which are in no other number.
    `verdict` is "worse" or None, and `p` the p-value of the case, None without one. `baseline_ids` and
    `new_ids` are the replies of each side, the one to show first. `failures` is None if the login may not read them.
    """

    place: int
    baseline_passes: int
    baseline_replies: int
    new_passes: int
    new_replies: int
    errors: int
    is_changed: bool
    verdict: str | None
    p: float | None
    baseline_ids: Sequence[str]
    new_ids: Sequence[str]
    failures: Sequence[FailedCheck] | None


class RunOutcome(Record):
    """How a run ended: with a verdict, or with the code of a failure and no verdict.

    `verdict` is "better", "not worse", "undecided" or "worse". `change`, `lower` and `upper` are the change of the pass
    rate with its interval, from -1 to 1, and `p` is its p-value; None if they are not known. `why` is the reason in
    words. `needed_cases` and `needed_repeats` are how many more could decide. `errors` is how many replies are
    missing. `cost` is in US dollars, None if a price is not known.
    """

    verdict: str | None
    failure: str | None
    why: str | None
    change: float | None
    lower: float | None
    upper: float | None
    p: float | None
    needed_cases: int | None
    needed_repeats: int | None
    new_calls: int
    kept_replies: int
    judge_calls: int
    errors: int
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    is_stale: bool
    notes: Sequence[str]
    returned_models: Sequence[str]


class RunRecord(RunOutcome):
    """A stored run: its outcome, then what it tested, who began it and when.

    A run that has not ended has no verdict, no failure and no `ended_at`. `sha256` is the hash of the tested text.
    `cases` is the number of its cases. `seconds` is its duration up to its end or until now.
    """

    run: int
    name: str
    version: int | None
    sha256: str
    against_name: str | None
    against_version: int | None
    cases: int
    judge: str | None
    requested_model: str | None
    margin: float
    author: str
    began_at: Timestamp
    ended_at: Timestamp | None
    seconds: float


class VersionVerdict(Record):
    """The last verdict of a version. The fields are those of RunRecord."""

    name: str
    version: int
    run: int
    verdict: str
    against_name: str | None
    against_version: int | None
    change: float | None
    lower: float | None
    upper: float | None
    ended_at: Timestamp


class OpenBatch(Record):
    """A batch of messages whose replies are not stored: its id, its run, and its `requests` by custom_id."""

    id: str
    run: int
    requests: dict[str, Any]


# The columns of RunRecord, from `test_runs` r.
_RUN: LiteralString = """
    r.verdict, r.failure, r.why, r.change, r.lower, r.upper, r.p, r.needed_cases, r.needed_repeats, r.new_calls,
    r.kept_replies, r.judge_calls, r.errors, r.input_tokens, r.output_tokens, r.cost, r.is_stale, to_jsonb(r.notes),
    to_jsonb(r.returned_models), r.run, r.name, r.version, encode(r.sha256, 'hex'), r.against_name, r.against_version,
    (select count(*) from promptctl.test_run_cases c where c.run = r.run), r.judge, r.requested_model, r.margin,
    r.author, r.began_at, r.ended_at,
    greatest(0, extract(epoch from coalesce(r.ended_at, clock_timestamp()) - r.began_at))::float8
"""
_READ_RUNS = f"""
    select {_RUN} from promptctl.test_runs r where $1::text is null or r.name = $1 order by r.run desc limit $2
"""  # noqa: S608 - of constants
_READ_LAST_RUNS = f"""
    select {_RUN} from promptctl.test_runs r
    where r.run = any (array(
        select max(l.run) from promptctl.test_runs l
        where l.name = any ($1::text[]) and l.verdict is not null and l.ended_at < $2::timestamptz group by l.name))
    order by r.name
"""  # noqa: S608 - of constants
# The latest run of the same texts and cases, if it has used every reply to these requests that others made since it
# began. Of its own replies it may have left some, where several cases send one request.
_STANDING_RUN = """
    with latest as (
        select r.run, r.began_at
        from promptctl.test_runs r, jsonb_to_record($1) as n (
            name text, version integer, sha256 text, against_name text, against_version integer, against_sha256 text,
            cases_sha256 text, judge text, judge_sha256 text, requested_model text, margin double precision)
        where r.name = n.name and r.verdict is not null and r.errors = 0 and r.margin = n.margin
          and r.cases_sha256 = decode(n.cases_sha256, 'hex')
          and (r.version, encode(r.sha256, 'hex'), r.against_name, r.against_version, encode(r.against_sha256, 'hex'),
               r.judge, encode(r.judge_sha256, 'hex'), r.requested_model)
              is not distinct from
              (n.version, n.sha256, n.against_name, n.against_version, n.against_sha256, n.judge, n.judge_sha256,
               n.requested_model)
        order by r.run desc limit 1
    ),
    used as materialized (
        select u.id
        from latest l join promptctl.test_run_cases c on c.run = l.run
        cross join unnest(c.new_ids || c.baseline_ids) u (id)
    ),
    requests as materialized (select decode(h, 'hex') as hash from unnest($2::text[]) h)
    select l.run from latest l
    where not exists (
            select from promptctl.test_run_cases c where c.run = l.run and c.new_replies < ($3::integer[])[c.place])
      and not exists (
            select from used u left join promptctl.test_replies t on t.id = u.id
            where t.id is null or t.request_hash not in (select q.hash from requests q))
      and not exists (
            select from promptctl.test_replies t
            where t.request_hash in (select q.hash from requests q) and t.recorded_at >= l.began_at
              and t.run <> l.run and t.id not in (select u.id from used u))
"""
_READ_RUN = f"select {_RUN} from promptctl.test_runs r where r.run = $1"  # noqa: S608 - of constants
# The columns of Reply, from `test_replies` t. The text and the failure are added by _reply.
_REPLY: LiteralString = """
    encode(t.case_hash, 'hex'), encode(t.request_hash, 'hex'), t.model, t.blocks, t.stop_reason, t.input_tokens,
    t.output_tokens, t.cache_read_tokens, t.cache_write_tokens, t.response_ms, t.cost, t.recorded_at, t.id
"""
_KEPT_REPLIES = f"""
    select {_REPLY}
    from unnest($1::text[]) with ordinality h (hash, place)
    cross join lateral (
        select r.* from promptctl.test_replies r where r.request_hash = decode(h.hash, 'hex')
        order by r.recorded_at desc, r.id desc limit $2
    ) t
    order by h.place, t.recorded_at, t.id
"""  # noqa: S608 - of constants
_READ_REPLIES = f"""
    select {_REPLY} from promptctl.test_replies t where t.id = any ($1::uuid[]) order by t.recorded_at, t.id
"""  # noqa: S608 - of constants


def text_hash(content: str) -> str:
    """Return the SHA-256 of a text in hexadecimal, as the versions have it."""
    return hashlib.sha256(content.encode()).hexdigest()


def begin_run(database: Database, new: NewRun, cases: Sequence[Case], *, author: str) -> int:
    """Store the cases of a run and begin it. Return its number.

    Raises NotFound for a version that does not exist or was erased, and Usage as `case_lists.set_cases` does.
    """
    subject, against = new.subject, new.against
    run: dict[str, Any] = {
        "name": subject.name,
        "version": subject.version,
        "sha256": subject.sha256,
        "settings": dict(subject.settings),
        "cases_sha256": new.cases_sha256,
        "judge": new.judge,
        "judge_sha256": new.judge_sha256,
        "requested_model": new.requested_model,
        "margin": new.margin,
        "origin": None if new.origin is None else dict(new.origin),
    }
    if against is not None:
        run |= {
            "against_name": against.name,
            "against_version": against.version,
            "against_sha256": against.sha256,
            "against_settings": dict(against.settings),
        }
    definitions = [case.canonical_text for case in cases]
    [(number,)] = database.run("select promptctl.begin_test_run($1, $2::text[], $3)", run, definitions, author)
    return number


def standing_run(database: Database, new: NewRun, request_hashes: Sequence[str], repeats: Sequence[int]) -> int | None:
    """Return the run whose verdict a run of the same would only repeat, None if there is none.

    It has the same sides, cases, judge, model and margin, no missing replies, and at least `repeats` new replies to
    each case, in order. No other run has made a reply since to the requests of both sides that it has not used.
    """
    subject, against = new.subject, new.against
    same: dict[str, Any] = {
        "name": subject.name,
        "version": subject.version,
        "sha256": subject.sha256,
        "against_name": None if against is None else against.name,
        "against_version": None if against is None else against.version,
        "against_sha256": None if against is None else against.sha256,
        "cases_sha256": new.cases_sha256,
        "judge": new.judge,
        "judge_sha256": new.judge_sha256,
        "requested_model": new.requested_model,
        "margin": new.margin,
    }
    rows = database.run(_STANDING_RUN, same, list(request_hashes), list(repeats))
    return rows[0][0] if rows else None


def record_batch(database: Database, run: int, batch_id: str, requests: Mapping[str, Any]) -> None:
    """Store the id of a batch of messages, and what its replies need, by custom_id. Raises as `record_replies` does."""
    database.run("select promptctl.record_test_batch($1, $2, $3)", run, batch_id, dict(requests))


def open_batches(database: Database, name: str) -> list[OpenBatch]:
    """Return the batches of runs of a prompt whose replies are not stored, oldest first.

    Claude keeps the replies of a batch for 29 days. Older batches are left out.
    """
    rows = database.run(
        """
        select b.id, b.run, b.requests
        from promptctl.test_batches b join promptctl.test_runs r on r.run = b.run
        where r.name = $1 and b.ended_at is null and r.ended_at is null
          and b.began_at > now() - interval '29 days'
        order by b.began_at, b.id
        """,
        name,
    )
    return [OpenBatch(*row) for row in rows]


def has_batches(database: Database, run: int) -> bool:
    """Return whether a run has made calls in batches. Those that have ended count too."""
    [(is_there,)] = database.run("select exists (select from promptctl.test_batches b where b.run = $1)", run)
    return is_there


def end_batch(database: Database, batch_id: str) -> bool:
    """Mark a batch as ended, because its replies are stored. Return False if it had ended."""
    [(is_ended,)] = database.run("select promptctl.end_test_batch($1)", batch_id)
    return is_ended


def record_replies(database: Database, run: int, sha256: str, replies: Iterable[Reply]) -> int:
    """Store replies to a text of a run, and return how many of them were not stored before.

    `sha256` is the hash of the text alone. Times of the replies are those at which the database stores them. Raises
    NotFound for a number that no run has, Refused for a run that has ended and for a text that was erased or is not of
    the run, and Usage for a reply of more than 10 MB.
    """
    rows = [
        {
            "id": reply.id,
            "case_hash": reply.case_hash,
            "request_hash": reply.request_hash,
            "model": reply.model,
            "blocks": reply.blocks,
            "stop_reason": reply.stop_reason,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "cache_read_tokens": reply.cache_read_tokens,
            "cache_write_tokens": reply.cache_write_tokens,
            "response_ms": reply.response_ms,
            "cost": reply.cost,
        }
        for reply in replies
    ]
    [(added,)] = database.run("select promptctl.record_test_replies($1, $2, $3::jsonb)", run, sha256, _json(rows))
    return added


def record_judgements(database: Database, judge_sha256: str, judgements: Iterable[Judgement]) -> int:
    """Store the judgements of stored replies by one judge, and return how many of them were not stored before.

    `judge_sha256` is the hash of the judge's text alone. A judgement of a reply that was dropped is left out.
    """
    rows = [judgement.as_dict() for judgement in judgements]
    [(added,)] = database.run("select promptctl.record_test_judgements($1, $2::jsonb)", judge_sha256, _json(rows))
    return added


def end_run(database: Database, run: int, outcome: RunOutcome, results: Iterable[CaseOutcome]) -> None:
    """End a run with its outcome and the results of its cases. Raises as `record_replies` does."""
    cases = [
        result.as_dict() | {"failures": [failure.as_dict() for failure in result.failures or ()]} for result in results
    ]
    database.run("select promptctl.end_test_run($1, $2::jsonb, $3::jsonb)", run, _json(outcome.as_dict()), _json(cases))


def kept_replies(database: Database, request_hashes: Sequence[str], most: int) -> list[Reply]:
    """Return the newest `most` replies to each request, in the order of the requests, oldest first."""
    return [_reply(row) for row in database.run(_KEPT_REPLIES, list(request_hashes), most)]


def read_replies(database: Database, ids: Sequence[str]) -> list[Reply]:
    """Return replies by their ids, oldest first. A reply that was dropped is left out."""
    return [_reply(row) for row in database.run(_READ_REPLIES, list(ids))]


def kept_judgements(database: Database, reply_ids: Sequence[str], judging_keys: Sequence[str]) -> list[Judgement]:
    """Return the judgements of these replies with these keys by each model, oldest first."""
    rows = database.run(
        """
        select j.reply_id, encode(j.judging_key, 'hex'), j.passed, j.score, j.reason, j.calls, j.cost,
               j.model, j.recorded_at
        from promptctl.test_judgements j
        where j.reply_id = any ($1::uuid[])
          and j.judging_key = any (array(select decode(k, 'hex') from unnest($2::text[]) k))
        order by j.recorded_at, j.reply_id, j.judging_key, j.model
        """,
        list(reply_ids),
        list(judging_keys),
    )
    return [Judgement(*row) for row in rows]


def read_runs(database: Database, name: str | None, limit: int) -> list[RunRecord]:
    """Return the last runs of a prompt, or of all prompts, newest first."""
    return [RunRecord(*row) for row in database.run(_READ_RUNS, name, limit)]


def read_run(database: Database, run: int) -> RunRecord:
    """Return one run. Raises NotFound (`run_not_found`)."""
    rows = database.run(_READ_RUN, run)
    if not rows:
        raise errors.NotFound("run_not_found", f"no run {run} in {database.label}", hint="promptctl test list")
    return RunRecord(*rows[0])


def read_last_runs(database: Database, names: Sequence[str], until: Timestamp) -> list[RunRecord]:
    """Return the last run of each of these prompts that ended with a verdict before a time, by name."""
    return [RunRecord(*row) for row in database.run(_READ_LAST_RUNS, list(names), until)]


def read_results(database: Database, run: int) -> list[tuple[Case, CaseOutcome]]:
    """Return the cases of a run with their results, in order. The numbers of a run that has not ended are 0."""
    rows, [(may_read_failures,)] = database.run_all(
        (
            """
            select d.definition, c.place, c.baseline_passes, c.baseline_replies, c.new_passes, c.new_replies, c.errors,
                   c.is_changed, c.verdict, c.p, to_jsonb(c.baseline_ids), to_jsonb(c.new_ids)
            from promptctl.test_run_cases c join promptctl.test_cases d on d.hash = c.case_hash
            where c.run = $1 order by c.place
            """,
            [run],
        ),
        ("select has_table_privilege('promptctl.test_failures', 'select')", []),
    )
    failures: dict[int, list[FailedCheck]] | None = None
    if may_read_failures:
        failures = {}
        for place, *fields in database.run(
            """
            select f.place, f.label, f.reason, f.times from promptctl.test_failures f
            where f.run = $1 order by f.place, f.failure_place
            """,
            run,
        ):
            failures.setdefault(place, []).append(FailedCheck(*fields))
    return [
        (
            Case.from_document(json.loads(definition)),
            CaseOutcome(*numbers, failures=None if failures is None else failures.get(numbers[0], [])),
        )
        for definition, *numbers in rows
    ]


def last_verdicts(database: Database, names: Sequence[str]) -> list[VersionVerdict]:
    """Return the last verdict of each version of these prompts that was tested, by name and version."""
    rows = database.run(
        """
        select v.name, v.version, v.run, v.verdict, v.against_name, v.against_version, v.change, v.lower, v.upper,
               v.ended_at
        from promptctl.version_verdicts v where v.name = any ($1::text[]) order by v.name, v.version
        """,
        list(names),
    )
    return [VersionVerdict(*row) for row in rows]


def _reply(row: Sequence[Any]) -> Reply:
    case_hash, request_hash, model, stored, *rest = row
    blocks = readable_blocks(stored)
    fields: list[Any] = [case_hash, request_hash, model, blocks, text_of(blocks), *rest]
    return Reply(*fields)


def _json(value: object) -> str:
    """Return a value as JSON that PostgreSQL can store: U+FFFD replaces NUL and lone surrogates in texts."""
    text = json.dumps(value)
    # Such a text has one of these escapes. A text with an escaped backslash may have one too, and is then not changed.
    if "\\u0000" in text or "\\ud" in text:
        text = json.dumps(_storable(value))
    return text


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in cast("list[Any]", value)]
    return value
