"""`db verify` finds each kind of damage that the rules of the schema prevent, and names the rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import FILL
from tests.schema.run_attempts import ENDED

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

MORE = """
select promptctl.set_routes('{support/triage}', '[[{"when": {"plan": "x"}, "use": "code_helper"}]]', 'a', 'b');
select promptctl.activate('{code_helper,default-system-prompt}', '{1,3}', 'ada@example.com', 'two');
update promptctl.versions set metadata = '{"description": "Better"}' where name = 'code_helper';
select promptctl.record_use('support/triage', 2, 2, 10, 20, 30);
select promptctl.record_use('support/triage', 1, 2, score => 1);
"""
TESTED = """
select promptctl.create_version('greeter', 'Be kind.');
select promptctl.create_version('greeter', 'Be brief.', activated => true);
"""
# Damage by name: the SQL, and the check and the rows that are reported.
DAMAGE = {
    "text": (
        "update promptctl.versions set content = 'forged' where name = 'code_helper'",
        [("texts", "code_helper@1")],
    ),
    "hash": (
        "update promptctl.versions set sha256 = sha256('x') where name = 'support/triage' and version = 2",
        [("texts", "support/triage@2")],
    ),
    "active version": (
        "update promptctl.served set active_version = 1 where name = 'default-system-prompt'",
        [("active versions", "default-system-prompt")],
    ),
    "split": (
        "update promptctl.served set basis_points = 2501 where name = 'support/triage'",
        [("active versions", "support/triage")],
    ),
    "epoch": (
        (
            "update promptctl.served set epoch = 1 where name = 'code_helper' and epoch <> 1; "
            "update promptctl.served set epoch = 9 where name = 'default-system-prompt'"
        ),
        [("active versions", "default-system-prompt")],
    ),
    "history row": (
        "delete from promptctl.allocations where name = 'default-system-prompt' and epoch = 2",
        [("history", "default-system-prompt, epoch 3")],
    ),
    "history version": (
        "update promptctl.allocations set previous_version = 3 where name = 'default-system-prompt' and epoch = 2",
        [("history", "default-system-prompt, epoch 2")],
    ),
    "version": (
        "delete from promptctl.versions where name = 'code_helper'",
        [
            ("references", "code_helper"),
            ("references", "code_helper, epoch 1"),
            ("references", "correction 1"),
        ],
    ),
    "prompt": (
        "delete from promptctl.served where name = 'code_helper'",
        [
            ("references", "code_helper, epoch 1"),
            ("references", "code_helper@1"),
            ("references", "support/triage"),
        ],
    ),
    "candidate": (
        "delete from promptctl.versions where name = 'support/triage' and version = 2",
        [("references", "support/triage")],
    ),
    "release": (
        "delete from promptctl.releases",
        [("references", "code_helper, epoch 1"), ("references", "default-system-prompt, epoch")],
    ),
    "next version": (
        "update promptctl.served set next_version = 3 where name = 'default-system-prompt'",
        [("numbers", "default-system-prompt")],
    ),
    "sequence": (
        (
            "alter table promptctl.corrections alter id restart with 1; "
            "insert into promptctl.corrections (id, name, version, epoch, kind, author) overriding system value "
            "values (77, 'code_helper', 1, 1, 'describe', 'x')"
        ),
        [("numbers", "sequence corrections_id_seq")],
    ),
    "lost use": (
        "delete from promptctl.uses where version = 3",
        [("totals", "default-system-prompt@3, hour")],
    ),
    "forged use": (
        "update promptctl.uses set input_tokens = input_tokens + 1 where version = 3",
        [("totals", "default-system-prompt@3, hour")],
    ),
    "total": (
        "update promptctl.totals set uses = uses + 1 where grain = 'day' and version = 3",
        [("totals", "default-system-prompt@3, total of")],
    ),
    "histogram": (
        "update promptctl.totals set response_times = null where grain = 'all' and version = 3",
        [("totals", "default-system-prompt@3, total of all time")],
    ),
    "comparison": (
        "update promptctl.bucket_totals set uses = uses + 1 where version = 2",
        [("totals", "support/triage@2, epoch 2")],
    ),
    "score in a comparison": (
        "update promptctl.bucket_totals set score = score + 1 where version = 1",
        [("totals", "support/triage@1, epoch 2")],
    ),
    "lost comparison": (
        "delete from promptctl.bucket_totals",
        [("totals", "support/triage@1, epoch 2"), ("totals", "support/triage@2, epoch 2")],
    ),
    "watermark": (
        "update promptctl.roll_up set rolled_below = 1",
        [("totals", "default-system-prompt@2, hour"), ("totals", "default-system-prompt@3, hour")],
    ),
    "use of nothing": (
        "insert into promptctl.uses (id, name, version, epoch) values (gen_random_uuid(), 'ghost', 1, 1)",
        [("uses", "uses of ghost@1")],
    ),
    "trigger": (
        "alter table promptctl.versions disable trigger a_version_never_changes",
        [("schema", "trigger a_version_never_changes")],
    ),
    "foreign key trigger": (
        "alter table promptctl.applied disable trigger all",
        [
            ("schema", "trigger an_applied_state_belongs_to_a_prompt"),
            ("schema", "trigger an_applied_state_belongs_to_a_source"),
        ],
    ),
    "dropped trigger": (
        "drop trigger uses_are_append_only on promptctl.uses",
        [("schema", "trigger uses_are_append_only")],
    ),
    "constraint": (
        "alter table promptctl.uses drop constraint tokens_are_not_negative",
        [("schema", "constraint tokens_are_not_negative")],
    ),
    "unchecked constraint": (
        (
            "alter table promptctl.uses drop constraint tokens_are_not_negative; "
            "alter table promptctl.uses add constraint tokens_are_not_negative check (input_tokens >= 0) not valid"
        ),
        [("schema", "constraint tokens_are_not_negative")],
    ),
    "index": ("drop index promptctl.uses_by_version", [("schema", "index uses_by_version")]),
    "invalid index": (
        "update pg_index set indisvalid = false where indexrelid = 'promptctl.uses_by_version'::regclass",
        [("schema", "index promptctl.uses_by_version")],
    ),
    "function": (
        "drop function promptctl.new_use_id",
        [("schema", "function new_use_id")],
    ),
    "function body": (
        (
            "do $do$ begin execute replace(pg_get_functiondef('promptctl.template_variables'::regproc), "
            "'begin', 'begin '); end $do$"
        ),
        [("schema", "function template_variables")],
    ),
    "grants": (
        "grant select on promptctl.versions to public",
        [("grants", "table promptctl.versions")],
    ),
    "case": ("update promptctl.test_cases set definition = '{}'", [("tests", "case ")]),
    "case of a prompt": (
        "delete from promptctl.test_cases where definition like '%b%'",
        [
            ("tests", "case 2 of greeter"),
            ("tests", "run 1, case 2"),
        ],
    ),
    "list of cases": ("delete from promptctl.prompt_tests", [("tests", "case 1 of greeter")]),
    "prompt of cases": ("update promptctl.prompt_tests set name = 'gone'", [("tests", "tests of gone")]),
    "version of a run": ("update promptctl.test_runs set against_version = 9", [("tests", "run 1")]),
    "run": (
        "delete from promptctl.test_runs",
        [
            ("tests", "run 1, case 1"),
            ("tests", "batch b1"),
            ("tests", "reply "),
        ],
    ),
    "result": ("delete from promptctl.test_run_cases where place = 1", [("tests", "run 1, case 1")]),
    "reply": ("delete from promptctl.test_replies", [("tests", "judgement of reply ")]),
    "reply to an erased text": (
        """
        reset session_replication_role;
        select promptctl.erase('greeter', 1, 'me', 'a key');
        set session_replication_role = replica;
        update promptctl.test_replies set sha256 = sha256('Be kind.');
        """,
        [("tests", "reply ")],
    ),
}


@pytest.fixture
def damaged(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> psycopg.Connection[Any]:
    """A connection to a filled database whose uses are rolled up, as a superuser who passes every trigger."""
    sql.execute(FILL.encode())
    sql.execute(MORE.encode())
    sql.execute(TESTED.encode())
    sql.execute(ENDED.encode())
    assert promptctl("db", "maintain").code == 0
    # One more use, above the watermark.
    sql.execute("select promptctl.record_use('code_helper', 1, 1)")
    sql.execute("set session_replication_role = replica")
    return sql


def problems(promptctl: Promptctl) -> list[dict[str, str]]:
    """Return the problems that `db verify --json` prints, whose exit code must fit."""
    ended = promptctl("db", "verify", "--json")
    document = json.loads(ended.out)
    assert list(document) == ["message", "problems"]
    assert ended.code == (1 if document["problems"] else 0), ended
    assert ended.err == ""
    return document["problems"]


def test_a_sound_database_has_no_problems(promptctl: Promptctl, damaged: psycopg.Connection[Any]) -> None:
    assert problems(promptctl) == []
    database = damaged.info.dbname
    plain = promptctl("db", "verify")
    assert (plain.code, plain.out) == (0, "")
    assert plain.err.startswith(f"no problems found in {database} at localhost")
    # Single uses that were dropped are in totals only.
    damaged.execute("update promptctl.uses set recorded_at = recorded_at - interval '50 days'")
    damaged.execute("truncate promptctl.totals; update promptctl.roll_up set rolled_below = 0")
    assert promptctl("db", "maintain").code == 0
    assert promptctl("db", "maintain", "--keep", "30d").code == 0
    assert damaged.execute("select count(*) from promptctl.uses").fetchone() == (0,)
    assert problems(promptctl) == []


@pytest.mark.parametrize("kind", DAMAGE)
def test_each_kind_of_damage_is_found(kind: str, promptctl: Promptctl, damaged: psycopg.Connection[Any]) -> None:
    statement, expected = DAMAGE[kind]
    damaged.execute(statement.encode())
    reported = [(problem["check"], problem["rows"]) for problem in problems(promptctl)]
    for check, rows in expected:
        assert any(check == c and r.startswith(rows) for c, r in reported), reported
    # No check reports what another one is for.
    assert {check for check, _ in reported} <= {check for check, _ in expected} | (
        {"references", "active versions", "uses", "history"} if kind in ("version", "prompt", "candidate") else set()
    ), reported


def test_problems_are_printed_one_by_line(promptctl: Promptctl, damaged: psycopg.Connection[Any]) -> None:
    damaged.execute("update promptctl.versions set content = 'forged' where name = 'support/triage'")
    ended = promptctl("db", "verify")
    assert ended.code == 1
    assert ended.out == (
        "texts\tsupport/triage@1\tthe text does not have the stored SHA-256\n"
        "texts\tsupport/triage@2\tthe text does not have the stored SHA-256\n"
    )
    assert ended.err.startswith("2 problems found in ")
    assert promptctl("db", "verify", "-q").out == "support/triage@1\nsupport/triage@2\n"
    screen = promptctl.on_terminal("db", "verify")
    assert screen.out.splitlines()[0].split() == ["CHECK", "ROWS", "PROBLEM"]
    assert len(screen.out.splitlines()) == 4
