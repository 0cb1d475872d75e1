"""Answers of resolve: consistent, the same as explain_resolve, and random where there is no unit."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.schema.support import create, move, refusal, rows, run, value

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connection = psycopg.Connection[Any]
    Connect = Callable[..., Connection]

NAMES = ("a", "b", "c")
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
scalars = st.sampled_from(["x", "y", "1", 1, 1.0, 2.5, True, False])
keys = st.sampled_from(["plan", "beta"])
attributes = st.dictionaries(keys, scalars, max_size=2)
conditions = st.dictionaries(keys, scalars, min_size=1, max_size=2)
# Without cycles: a leads to b and c, b to c.
steps = {
    "a": st.sampled_from(["b", "c", "b@2", "a@2", "c@1"]),
    "b": st.sampled_from(["c", "c@2", "b@1"]),
}
routes = st.fixed_dictionaries(
    {
        name: st.lists(st.fixed_dictionaries({"when": conditions, "use": use}), max_size=3)
        for name, use in steps.items()
    }
)  # fmt: skip
splits = st.dictionaries(st.sampled_from(NAMES), st.integers(0, 10000))


@pytest.fixture
def prompts(database: Connection) -> Connection:
    """Prompts a, b and c with versions 1 and 2, of which 1 is active."""
    for name in NAMES:
        create(database, name, 2, activate=1)
    return database


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(routes=routes, splits=splits, requests=st.lists(st.tuples(texts, attributes), min_size=1, max_size=8))
def test_resolve_and_explain_resolve_agree_with_the_model(
    prompts: Connection,
    routes: dict[str, list[dict[str, Any]]],
    splits: dict[str, int],
    requests: list[tuple[str, dict[str, Any]]],
) -> None:
    with prompts.transaction(force_rollback=True):
        prompts.execute(
            "select promptctl.set_routes(%s, %s)", [list(routes), json.dumps([*routes.values()])]
        )  # fmt: skip
        for name, share in splits.items():
            prompts.execute("select promptctl.split(%s, %s, 2)", [name, share])
        answers = rows(
            prompts,
            """
            select n.name, q.unit, q.attributes, to_jsonb(r.*), to_jsonb(e.*)
            from unnest(%s::text[]) n (name)
            cross join unnest(%s::text[], %s::jsonb[]) q (unit, attributes)
            cross join lateral promptctl.resolve(n.name, q.unit, q.attributes) r
            cross join lateral promptctl.explain_resolve(n.name, q.unit, q.attributes) e
            """,
            list(NAMES),
            [unit for unit, _ in requests],
            [json.dumps(attributes) for _, attributes in requests],
        )
        for name, unit, attributes, answer, explanation in answers:
            assert {key: explanation[key] for key in answer} == answer
            target, version = _model_resolve(name, unit, attributes, routes, splits, explanation["seed"])
            assert (answer["name"], answer["version"]) == (target, version)
            assert answer["content"] == f"text {version}"
            assert explanation["asked_for"] == name


def _model_resolve(
    name: str,
    unit: str,
    attributes: dict[str, Any],
    routes: dict[str, list[dict[str, Any]]],
    splits: dict[str, int],
    seed: str | None,
) -> tuple[str, int]:
    """Resolve a prompt in Python: its name and version."""
    for step in routes.get(name, []):
        if all(key in attributes and _equal_json(attributes[key], expected) for key, expected in step["when"].items()):
            target, _, version = step["use"].partition("@")
            if version:
                return target, int(version)
            name = target
            break
    if name not in splits:
        return name, 1
    # Epoch 1 is the activation, and a route was set before the split.
    assert seed == f"{name}.{3 if routes.get(name) else 2}"
    bucket = int.from_bytes(hashlib.sha256(f"{seed}.{unit}".encode()).digest()[:8], "big") % 10_000
    return name, 2 if bucket < splits[name] else 1


def _equal_json(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def test_without_a_unit_a_split_assigns_each_call_at_random(prompts: Connection) -> None:
    prompts.execute("select promptctl.split('a', 2500, 2)")
    for function in ("resolve", "explain_resolve"):
        # The argument depends on the row, so that each row is a call of its own.
        statement = f"select to_jsonb(r) from generate_series(1, 2000) g, promptctl.{function}(left('a', g)) r"
        answers: list[dict[str, Any]] = [row for (row,) in rows(prompts, statement)]
        assert {(row["version"], row["content"]) for row in answers} == {(1, "text 1"), (2, "text 2")}
        assert 400 < sum(row["version"] == 2 for row in answers) < 600
        if function == "explain_resolve":
            assert all((row["bucket"] < 2500) == (row["version"] == 2) == row["is_candidate"] for row in answers)
            assert len({row["bucket"] for row in answers}) > 1500


def test_without_a_unit_a_share_of_0_or_100_percent_is_not_random(prompts: Connection) -> None:
    for share, version in ((0, 1), (10000, 2)):
        prompts.execute("select promptctl.split('a', %s, 2)", [share])
        statement = "select distinct r.version from generate_series(1, 200) g, promptctl.resolve(left('a', g)) r"
        versions = rows(prompts, statement)
        assert versions == [(version,)]


def test_a_unit_can_be_any_text(prompts: Connection) -> None:
    prompts.execute("select promptctl.split('a', 5000, 2)")
    for unit in ("", " ", "zoë@example.org", "ユーザー😀", "x" * 1_000_000):
        [(version, bucket)] = rows(prompts, "select version, bucket from promptctl.explain_resolve('a', %s)", unit)
        assert version == (2 if bucket < 5000 else 1)


def test_resolve_matches_names_exactly(prompts: Connection) -> None:
    for name in ("a@1", "%", "A", "", " a", "a\n", "x" * 1000):
        for function in ("resolve", "explain_resolve"):
            assert refusal(prompts, f"select promptctl.{function}(%s)", name) == ("P0002", "prompt_exists")


def test_one_statement_reads_several_prompts_consistently(connect: Connect, sql: Connection) -> None:
    names = [f"p{number}" for number in range(8)]
    for name in names:
        create(sql, name, 2, activate=1)
    done = threading.Event()
    inconsistent: list[list[tuple[Any, ...]]] = []
    reads = 0

    def read(connection: Connection, statement: str) -> None:
        nonlocal reads
        while not done.is_set():
            answers = rows(connection, statement, names)
            reads += 1
            if len(set(answers)) != 1:
                inconsistent.append(answers)

    statements = (
        "select r.version, r.content from unnest(%s::text[]) n cross join lateral promptctl.resolve(n) r",
        "select r.version, r.content from unnest(%s::text[]) n cross join lateral promptctl.explain_resolve(n) r",
        "select f.active_version, f.content from promptctl.follow(%s::text[]) f",
    )
    readers = [threading.Thread(target=read, args=[connect(), statement]) for statement in statements]
    for reader in readers:
        reader.start()
    try:
        for turn in range(60):
            move(sql, dict.fromkeys(names, 2 - turn % 2))
    finally:
        done.set()
        for reader in readers:
            reader.join(20)
    assert (inconsistent, reads > 60) == ([], True)


def test_an_activation_is_visible_to_the_next_resolve(connect: Connect, sql: Connection) -> None:
    # PostgreSQL caches the plan of a repeated statement, and must not cache its result.
    create(sql, "p", 2, activate=1)
    reader = connect()
    for turn in range(20):
        version = 2 - turn % 2
        move(sql, {"p": version})
        assert rows(reader, "select version, content, epoch from promptctl.resolve('p', 'u')") == [
            (version, f"text {version}", turn + 2)
        ]


def test_follow_omits_prompts_whose_epoch_the_caller_has(prompts: Connection) -> None:
    statement = "select name, epoch, content, candidate_content from promptctl.follow(%s::text[], %s::integer[])"
    prompts.execute("select promptctl.split('b', 100, 2)")
    names = ["a", "b", "nobody", "idle"]
    assert rows(prompts, statement, names, None) == [
        ("a", 1, "text 1", None),
        ("b", 2, "text 1", "text 2"),
        ("idle", 0, None, None),
    ]
    assert rows(prompts, statement, names, [1, 1, None, None]) == [
        ("b", 2, "text 1", "text 2"),
        ("idle", 0, None, None),
    ]
    assert rows(prompts, statement, names, [1, 2, 0, 0]) == []
    assert rows(prompts, statement, [], []) == []


def test_read_versions_returns_archived_versions(prompts: Connection) -> None:
    prompts.execute("select promptctl.retire('a', 2)")
    versions = rows(
        prompts,
        "select name, version, epoch, content from promptctl.read_versions(%s::text[], %s::integer[])",
        ["a", "a", "b", "nobody", "idle"],
        [2, 9, 1, 1, 1],
    )
    assert sorted(versions) == [("a", 2, 0, "text 2"), ("b", 1, 0, "text 1"), ("idle", 1, 0, "Wait.")]


def test_prompt_names_are_sorted(database: Connection) -> None:
    assert rows(database, "select promptctl.prompt_names()") == [("greeter",), ("idle",), ("other",)]


# How a program may pass a unit, and the text that decides its bucket.
UNITS = {
    "42": "42", "42::bigint": "42", "42::smallint": "42", "42::numeric": "42", "-7": "-7", "'42'": "42",
    "'42'::varchar": "42", "'42'::name": "42", "'42'::char(2)": "42", "12345678901234567890": "12345678901234567890",
    "'6BA7B810-9dad-11d1-80b4-00c04fd430c8'::uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "5::information_schema.cardinal_number": "5", "null": None, "null::integer": None,
}  # fmt: skip


def test_a_unit_can_be_a_text_an_integer_or_a_uuid(database: psycopg.Connection[Any]) -> None:
    database.execute("select promptctl.split('greeter', 5000, 1)")
    for unit, text in UNITS.items():
        expected = value(database, "select promptctl.bucket('greeter.3', %s)", text)
        explained_bucket = value(database, f"select (promptctl.explain_resolve('greeter', {unit})).bucket")
        use_id = value(database, f"select promptctl.record_use('greeter', 1, 3, unit => {unit})")
        assert value(database, "select bucket from promptctl.uses where id = %s", use_id) == expected, unit
        version = value(database, f"select version from promptctl.resolve('greeter', {unit})")
        if text is not None:
            assert explained_bucket == expected, unit
            assert version == (1 if expected < 5000 else 2), unit
    for call in ("'greeter'", "name => 'greeter'", "'greeter', attributes => '{}'", "'greeter', null, '{}'"):
        assert value(database, f"select version from promptctl.resolve({call})") in (1, 2)


def test_resolve_and_record_use_accept_parameters_of_any_type(database: psycopg.Connection[Any]) -> None:
    # A driver leaves the type of a parameter open, or names it.
    for types, unit in (("", "'42'"), ("", "null"), ("text, text", "'42'"), ("varchar, varchar", "'42'"),
                        ("text, integer", "42"), ("text, bigint", "42"),
                        ("text, uuid", "gen_random_uuid()")):  # fmt: skip
        parameter_types = f"({types})" if types else ""
        run(database, f"prepare resolving{parameter_types} as select version from promptctl.resolve($1, $2)")
        assert rows(database, f"execute resolving('greeter', {unit})") == [(2,)]
        run(database, "deallocate resolving")
    run(database, "prepare recording as select promptctl.record_use($1, $2, $3, $4, $5, $6, $7, $8)")
    use_id = value(database, "execute recording('greeter', 1, 1, 17, 120, 80, 'm', '42')")
    assert rows(database, "select bucket, input_tokens, model from promptctl.uses where id = %s", use_id) == [
        (value(database, "select promptctl.bucket('greeter', '42')"), 17, "m")
    ]
