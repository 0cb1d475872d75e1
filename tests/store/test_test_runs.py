"""Cases, runs, replies and judgements, stored and read again."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.postgres import connecting
from promptctl.rules.test_cases import Assertion, Case, cases_hash
from promptctl.rules.test_replies import FailedCheck, Judgement, Reply
from promptctl.store import case_lists, test_runs
from tests.schema.support import rows, run, value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from promptctl.postgres.database import Database

    Connection = psycopg.Connection[Any]

CASES = (
    Case(description="Refund", values={"user": "{Ada}"}, assertions=(Assertion("contains", value="30 days"),)),
    Case(description='A "quoted" \\ text, é 😀', is_critical=True, group="g"),
)
NEW, OLD = "Be brief.", "Be kind."
HASHES = [f"{number:064x}" for number in range(10)]


@pytest.fixture
def database(database_url: str, sql: Connection) -> Iterator[Database]:
    """A connection to a database with two versions of greeter, of which the first is active."""
    run(sql, "select promptctl.create_version('greeter', 'Be kind.', activated => true)")
    run(sql, """select promptctl.create_version('greeter', 'Be brief.', '{"model": "m", "max_tokens": 5}')""")
    with connecting.connect(database_url) as connected:
        yield connected


def new_run(**changes: Any) -> test_runs.NewRun:
    """Return a run of version 2 against version 1."""
    fields: dict[str, Any] = {
        "subject": test_runs.Side("greeter", 2, test_runs.text_hash(NEW), {}),
        "against": test_runs.Side("greeter", 1, test_runs.text_hash(OLD), {}),
        "cases_sha256": cases_hash(CASES),
        "judge": "judges/helpful@3",
        "judge_sha256": HASHES[9],
        "requested_model": "claude-sonnet-4-5",
        "margin": 0.05,
        "origin": {"commit": "9f3c2ab"},
    }
    return test_runs.NewRun(**fields | changes)


def reply(request_hash: str, text: str = "Hi.", **changes: Any) -> Reply:
    """Return a reply to the first case."""
    fields: dict[str, Any] = {
        "case_hash": CASES[0].hash, "request_hash": request_hash, "model": "claude-sonnet-4-5-20250929",
        "blocks": [{"type": "text", "text": text}], "text": text, "stop_reason": "end_turn", "input_tokens": 30,
        "output_tokens": 4, "cache_read_tokens": 5, "cache_write_tokens": 6, "response_ms": 7.5, "cost": 0.001,
        "created_at": "", "id": str(uuid.uuid4()),
    }  # fmt: skip
    return Reply(**fields | changes)


def outcome(**changes: Any) -> test_runs.RunOutcome:
    """Return the outcome of a run that found the new version worse."""
    fields: dict[str, Any] = {
        "verdict": "worse", "failure": None, "why": "a case broke", "change": -0.5, "lower": -0.75, "upper": -0.25,
        "p": 0.001, "needed_cases": None, "needed_repeats": 4, "new_calls": 6, "kept_replies": 3, "judge_calls": 2,
        "errors": 1, "input_tokens": 300, "output_tokens": 40, "cost": 0.01, "is_stale": True,
        "notes": ["another model replies"], "returned_models": ["claude-sonnet-4-5-20250929"],
    }  # fmt: skip
    return test_runs.RunOutcome(**fields | changes)


def result(place: int, **changes: Any) -> test_runs.CaseOutcome:
    """Return the result of a case whose replies all failed."""
    fields: dict[str, Any] = {
        "place": place, "baseline_passes": 3, "baseline_replies": 3, "new_passes": 0, "new_replies": 3, "errors": 1,
        "is_changed": True, "verdict": "worse", "p": 0.01, "baseline_ids": [str(uuid.uuid4())],
        "new_ids": [str(uuid.uuid4()), str(uuid.uuid4())],
        "failures": [FailedCheck('contains "30 days"', "not in the reply", 3)],
    }  # fmt: skip
    return test_runs.CaseOutcome(**fields | changes)


def test_cases_and_the_margin_of_a_prompt_are_read_as_they_were_set(database: Database, sql: Connection) -> None:
    assert case_lists.read_cases(database, ["greeter", "nothing"]) == {}
    assert case_lists.set_cases(database, "greeter", CASES, 0.1, author="ada")
    assert not case_lists.set_cases(database, "greeter", CASES, 0.1, author="bob")
    assert case_lists.read_cases(database, ["greeter"]) == {"greeter": case_lists.CaseList(CASES, 0.1)}
    hashes = tuple(case.hash for case in CASES)
    assert case_lists.read_hashes(database, ["greeter"]) == {"greeter": case_lists.CaseHashes(hashes, 0.1)}
    assert rows(sql, "select author, database_user from promptctl.prompt_tests") == [("ada", "postgres")]
    # Another order, the same case twice, another margin, no margin, no case.
    for cases, margin in ((CASES[::-1], 0.1), (CASES * 2, 0.1), (CASES * 2, 0.2), (CASES, None), ((), 0.1)):
        assert case_lists.set_cases(database, "greeter", cases, margin, author="bob")
        assert case_lists.read_cases(database, ["greeter"]) == {"greeter": case_lists.CaseList(cases, margin)}
    assert case_lists.set_cases(database, "greeter", (), None, author="bob")
    assert not case_lists.set_cases(database, "greeter", (), None, author="bob")
    assert value(sql, "select count(*) from promptctl.prompt_tests") == 0
    assert value(sql, "select count(*) from promptctl.test_cases") == 2
    with pytest.raises(errors.NotFound, match='no prompt "nothing"'):
        case_lists.set_cases(database, "nothing", CASES, None, author="ada")


def test_the_cases_of_many_prompts_are_set_together_in_statements_of_a_limited_size(
    database: Database, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"p{number}" for number in range(5)]
    run(sql, f"select promptctl.create_version(n, 'x') from unnest('{{{','.join(names)}}}'::text[]) n")
    odd = Case(description="a NUL \0, a smile \U0001f600, and\u2028 a line", values={"a": "'{\"x\": null}'"})
    lists = {name: case_lists.CaseList((odd, *CASES), None if name == "p1" else 0.1) for name in names}
    lists["p4"] = case_lists.CaseList((), None)
    sent: list[int] = []
    run_all = database.run_all

    def count(*statements: Any) -> Any:
        sent.append(len(statements))
        return run_all(*statements)

    monkeypatch.setattr(database, "run_all", count)
    assert case_lists.set_lists(database, lists, author="ada") == [True, True, True, True, False]
    monkeypatch.setattr(case_lists, "_CHARACTERS_PER_STATEMENT", 500)
    assert case_lists.set_lists(database, lists, author="ada") == [False] * 5
    assert sent == [1, 3]
    del lists["p4"]
    assert case_lists.read_cases(database, names) == lists


def test_the_cases_of_a_prompt_are_found_without_reading_those_of_all_prompts(sql: Connection) -> None:
    # The plans of a first sync are made for tables that are known to be empty.
    sql.execute("vacuum (analyze) promptctl.test_cases, promptctl.prompt_tests, promptctl.prompt_cases")
    with sql.transaction():
        run(sql, "select promptctl.create_version('p' || n, 'x') from generate_series(1, 20) n")
        run(
            sql,
            """
            select promptctl.set_cases('p' || n, array[format('{"a":%s}', n), format('{"b":%s}', n)])
            from generate_series(1, 20) n
            """,
        )
        tables = "('test_cases', 'prompt_tests', 'prompt_cases')"
        read = f"select sum(seq_tup_read) from pg_stat_xact_user_tables where relname in {tables}"
        assert value(sql, read) == 0


def test_too_many_and_too_large_cases_are_refused(database: Database) -> None:
    with pytest.raises(errors.Usage, match="10001 cases are too many") as too_many:
        case_lists.set_cases(database, "greeter", CASES[:1] * 10_001, None, author="ada")
    assert too_many.value.code == "too_many_cases"
    with pytest.raises(errors.Usage, match="a case is larger than 1 MB") as too_large:
        case_lists.set_cases(database, "greeter", [Case(description="x" * 1_000_000)], None, author="ada")
    assert too_large.value.code == "value_too_large"
    assert case_lists.set_cases(database, "greeter", CASES[:1] * 10_000, None, author="ada")


def test_a_run_is_read_with_its_outcome_and_its_results(database: Database) -> None:
    number = test_runs.begin_run(database, new_run(), CASES, author="ada")
    open_run = test_runs.read_run(database, number)
    assert (open_run.verdict, open_run.failure, open_run.ended_at, open_run.cases) == (None, None, None, 2)
    results = [result(1), result(2, verdict=None, p=None, failures=[], is_changed=False)]
    test_runs.end_run(database, number, outcome(), results)
    ended = test_runs.read_run(database, number)
    assert tuple(ended)[: len(test_runs.RunOutcome.fields)] == tuple(outcome())
    assert (ended.run, ended.name, ended.version, ended.sha256) == (number, "greeter", 2, test_runs.text_hash(NEW))
    assert (ended.against_name, ended.against_version, ended.cases, ended.judge) == (
        "greeter",
        1,
        2,
        "judges/helpful@3",
    )
    assert (ended.requested_model, ended.margin, ended.author) == ("claude-sonnet-4-5", 0.05, "ada")
    assert ended.ended_at is not None
    assert ended.ended_at >= ended.began_at
    assert 0 <= ended.seconds < 60
    assert test_runs.read_results(database, number) == list(zip(CASES, results, strict=True))
    assert test_runs.read_runs(database, None, 10) == test_runs.read_runs(database, "greeter", 10) == [ended]
    assert test_runs.read_runs(database, "other", 10) == []
    with pytest.raises(errors.NotFound, match="no run 77 in") as missing:
        test_runs.read_run(database, 77)
    assert missing.value.code == "run_not_found"


def test_a_run_that_has_ended_takes_nothing_more(database: Database) -> None:
    number = test_runs.begin_run(database, new_run(against=None), CASES, author="ada")
    stored = reply(HASHES[1])
    assert test_runs.record_replies(database, number, test_runs.text_hash(NEW), [stored]) == 1
    assert test_runs.record_replies(database, number, test_runs.text_hash(NEW), [stored]) == 0
    test_runs.end_run(database, number, outcome(verdict=None, failure="no_replies"), [])
    attempts = (
        lambda: test_runs.end_run(database, number, outcome(), []),
        lambda: test_runs.record_replies(database, number, test_runs.text_hash(NEW), [reply(HASHES[1])]),
        lambda: test_runs.record_batch(database, number, "msgbatch_1", {}),
    )
    for attempt in attempts:
        with pytest.raises(errors.Refused, match=f"run {number} has ended") as refused:
            attempt()
        assert refused.value.code == "run_ended"
    with pytest.raises(errors.NotFound, match="no run 77") as missing:
        test_runs.record_replies(database, 77, test_runs.text_hash(NEW), [])
    assert missing.value.code == "run_not_found"


def test_equal_requests_share_their_replies_and_the_newest_are_kept(database: Database) -> None:
    first = test_runs.begin_run(database, new_run(), CASES, author="ada")
    second = test_runs.begin_run(database, new_run(), CASES, author="bob")
    sent = [reply(HASHES[1], f"reply {number}") for number in range(4)]
    other = reply(HASHES[2], "other")
    test_runs.record_replies(database, first, test_runs.text_hash(OLD), sent[:1])
    test_runs.record_replies(database, second, test_runs.text_hash(OLD), sent[1:2])
    test_runs.record_replies(database, first, test_runs.text_hash(OLD), [*sent[2:], other])
    kept = test_runs.kept_replies(database, [HASHES[2], HASHES[3], HASHES[1]], 3)
    assert kept[0].as_dict() | {"created_at": ""} == other.as_dict()
    assert kept[0].created_at > "2026"
    # The last two were recorded at almost the same time: in one statement.
    assert {kept_reply.id for kept_reply in kept[1:]} == {sent_reply.id for sent_reply in sent[1:]}
    assert kept[1].id == sent[1].id
    assert [found.id for found in test_runs.read_replies(database, [other.id, str(uuid.uuid4())])] == [other.id]


def test_a_reply_keeps_its_text_except_what_postgresql_cannot_store(database: Database) -> None:
    number = test_runs.begin_run(database, new_run(), CASES, author="ada")
    texts = {"plain \\u0000 😀 {x}": None, "nul \0 and \ud800 alone": "nul \ufffd and \ufffd alone"}
    for text, stored in texts.items():
        sent = reply(HASHES[1], text, stop_reason=None, input_tokens=None, cost=None, response_ms=None)
        test_runs.record_replies(database, number, test_runs.text_hash(NEW), [sent])
        [kept] = test_runs.read_replies(database, [sent.id])
        assert kept.text == (text if stored is None else stored)
        assert kept.blocks == [{"type": "text", "text": kept.text}]
        assert (kept.stop_reason, kept.input_tokens, kept.cost, kept.response_ms) == (None, None, None, None)


def test_values_among_the_blocks_that_another_program_stored_are_left_out(database: Database) -> None:
    number = test_runs.begin_run(database, new_run(), CASES, author="ada")
    odd: Any = [5, None, {"type": "text", "text": 7}, {"type": "text", "text": "Hi."}]
    sent = reply(HASHES[1], blocks=odd)
    test_runs.record_replies(database, number, test_runs.text_hash(NEW), [sent])
    [kept] = test_runs.read_replies(database, [sent.id])
    assert (kept.text, kept.blocks) == ("Hi.", odd[2:])


def test_replies_are_to_a_text_of_the_run_and_not_too_large(database: Database) -> None:
    number = test_runs.begin_run(database, new_run(), CASES, author="ada")
    with pytest.raises(errors.Refused, match="does not test a text with this hash") as refused:
        test_runs.record_replies(database, number, HASHES[5], [reply(HASHES[1])])
    assert refused.value.code == "other_text"
    with pytest.raises(errors.Usage, match="a reply is larger than 10 MB") as too_large:
        test_runs.record_replies(database, number, test_runs.text_hash(NEW), [reply(HASHES[1], "x" * 10_000_001)])
    assert too_large.value.code == "value_too_large"
    assert test_runs.kept_replies(database, [HASHES[1]], 3) == []


def test_judgements_are_found_by_reply_and_key(database: Database) -> None:
    number = test_runs.begin_run(database, new_run(), CASES, author="ada")
    stored = reply(HASHES[1])
    test_runs.record_replies(database, number, test_runs.text_hash(NEW), [stored])
    judgement = Judgement(
        stored.id,
        HASHES[2],
        passed=False,
        score=0.25,
        reason="too long",
        calls=3,
        cost=None,
        model="claude-a",
        created_at="",
    )
    dropped = Judgement(
        str(uuid.uuid4()),
        HASHES[2],
        passed=True,
        score=1.0,
        reason="",
        calls=1,
        cost=0.5,
        model="claude-a",
        created_at="",
    )
    other = Judgement(stored.id, HASHES[2], True, 1.0, "", 1, None, "claude-b", "")
    assert test_runs.record_judgements(database, HASHES[9], [judgement, dropped]) == 1
    assert test_runs.record_judgements(database, HASHES[9], [judgement]) == 0
    # Each model has a judgement of its own.
    assert test_runs.record_judgements(database, HASHES[9], [other]) == 1
    kept = test_runs.kept_judgements(database, [stored.id, dropped.reply_id], [HASHES[2], HASHES[3]])
    assert [one[:-1] for one in kept] == [judgement[:-1], other[:-1]]
    assert kept[0].created_at < kept[1].created_at
    assert test_runs.kept_judgements(database, [stored.id], [HASHES[3]]) == []


def test_a_batch_is_open_until_its_replies_are_stored(database: Database, sql: Connection) -> None:
    number = test_runs.begin_run(database, new_run(), CASES, author="ada")
    requests = {"c1-1": {"request": HASHES[1], "case": CASES[0].hash}}
    test_runs.record_batch(database, number, "msgbatch_1", requests)
    test_runs.record_batch(database, number, "msgbatch_1", requests)
    test_runs.record_batch(database, number, "msgbatch_2", {})
    assert test_runs.open_batches(database, "greeter") == [
        test_runs.OpenBatch("msgbatch_1", number, requests),
        test_runs.OpenBatch("msgbatch_2", number, {}),
    ]
    assert test_runs.open_batches(database, "other") == []
    assert test_runs.end_batch(database, "msgbatch_1")
    assert not test_runs.end_batch(database, "msgbatch_1")
    assert [batch.id for batch in test_runs.open_batches(database, "greeter")] == ["msgbatch_2"]
    # Claude has dropped the replies.
    sql.execute("set session_replication_role = replica")
    sql.execute("update promptctl.test_batches set began_at = now() - interval '29 days'")
    assert test_runs.open_batches(database, "greeter") == []
    sql.execute("update promptctl.test_batches set began_at = now() - interval '28 days'")
    assert [batch.id for batch in test_runs.open_batches(database, "greeter")] == ["msgbatch_2"]
    test_runs.end_run(database, number, outcome(), [])
    assert test_runs.open_batches(database, "greeter") == []


def test_the_last_verdict_of_a_version_counts_also_from_before_it_was_stored(
    database: Database, sql: Connection
) -> None:
    def verdict_of(subject: test_runs.Side, verdict: str, cases: Sequence[Case] = CASES) -> int:
        number = test_runs.begin_run(database, new_run(subject=subject), cases, author="ada")
        test_runs.end_run(database, number, outcome(verdict=verdict), [])
        return number

    settings: dict[str, Any] = {
        "model": "m",
        "max_tokens": 500,
        "request": {"thinking": {"type": "adaptive"}, "tools": []},
    }
    verdict_of(test_runs.Side("greeter", 2, test_runs.text_hash(NEW), {}), "worse")
    second = verdict_of(test_runs.Side("greeter", 2, test_runs.text_hash(NEW), {}), "undecided")
    # A run that has not ended changes nothing.
    test_runs.begin_run(database, new_run(), CASES, author="ada")
    unstored = verdict_of(test_runs.Side("greeter", None, test_runs.text_hash("Be loud."), settings), "better")
    verdict_of(test_runs.Side("greeter", None, test_runs.text_hash("Be loud."), {}), "worse")
    assert [tuple(verdict)[:4] for verdict in test_runs.last_verdicts(database, ["greeter"])] == [
        ("greeter", 2, second, "undecided")
    ]
    # A run of some of the cases does not replace one of all. Where none has all, the latest counts.
    verdict_of(test_runs.Side("greeter", 2, test_runs.text_hash(NEW), {}), "better", CASES[:1])
    case_lists.set_cases(database, "greeter", CASES, None, author="ada")
    assert test_runs.last_verdicts(database, ["greeter"])[0].run == second
    case_lists.set_cases(database, "greeter", (*CASES, Case.from_document({"message": "new"})), None, author="ada")
    assert test_runs.last_verdicts(database, ["greeter"])[0].verdict == "better"
    run(sql, "select promptctl.create_version('greeter', 'Be loud.', %s)", [json.dumps(settings)])
    [_, last] = test_runs.last_verdicts(database, ["greeter", "other"])
    assert tuple(last)[:9] == ("greeter", 3, unstored, "better", "greeter", 1, -0.5, -0.75, -0.25)


def test_a_run_names_a_version_that_exists_and_is_not_erased(database: Database, sql: Connection) -> None:
    with pytest.raises(errors.NotFound, match='"greeter" has no version 9'):
        test_runs.begin_run(database, new_run(subject=test_runs.Side("greeter", 9, HASHES[1], {})), CASES, author="ada")
    with pytest.raises(errors.NotFound, match='no prompt "nothing"'):
        test_runs.begin_run(database, new_run(against=test_runs.Side("nothing", 1, HASHES[1], {})), CASES, author="ada")
    begun = test_runs.begin_run(database, new_run(), CASES, author="ada")
    run(sql, "select promptctl.retire('greeter', 2); select promptctl.erase('greeter', 2, 'ada', 'a key in it')")
    with pytest.raises(errors.NotFound, match="greeter@2 was erased"):
        test_runs.begin_run(database, new_run(), CASES, author="ada")
    with pytest.raises(errors.Refused, match=f"the text that run {begun} tests was erased") as erased:
        test_runs.record_replies(database, begun, test_runs.text_hash(NEW), [reply(HASHES[1])])
    assert erased.value.code == "text_erased"
