"""What resolve answers: of one moment, as explain_resolve explains it, and by chance where there is no unit."""

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
# One-way: a leads to b and c, b to c.
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
@given(routes=routes, splits=splits, asked=st.lists(st.tuples(texts, attributes), min_size=1, max_size=8))
def test_resolve_answers_what_explain_resolve_explains(
    prompts: Connection,
    routes: dict[str, list[dict[str, Any]]],
    splits: dict[str, int],
    asked: list[tuple[str, dict[str, Any]]],
) -> None:
    with prompts.transaction(force_rollback=True):
        prompts.execute(
            "select promptctl.set_routes(%s, %s)", [list(routes), json.dumps([*routes.values()])]
        )  # fmt: skip
        for name, share in splits.items():
            prompts.execute("select promptctl.split(%s, %s, 2)", [name, share])
        found = rows(
            prompts,
            """
            select n.name, q.unit, q.attributes, to_jsonb(r.*), to_jsonb(e.*)
            from unnest(%s::text[]) n (name)
            cross join unnest(%s::text[], %s::jsonb[]) q (unit, attributes)
            cross join lateral promptctl.resolve(n.name, q.unit, q.attributes) r
            cross join lateral promptctl.explain_resolve(n.name, q.unit, q.attributes) e
            """,
            list(NAMES),
            [unit for unit, _ in asked],
            [json.dumps(given) for _, given in asked],
        )
        for name, unit, given_attributes, answer, explained in found:
            assert {key: explained[key] for key in answer} == answer
            target, version = _model(name, unit, given_attributes, routes, splits, explained["seed"])
            assert (answer["name"], answer["version"]) == (target, version)
            assert answer["content"] == f"text {version}"
            assert explained["asked_for"] == name


def _model(
    name: str,
    unit: str,
    given: dict[str, Any],
    routes: dict[str, list[dict[str, Any]]],
    splits: dict[str, int],
    seed: str | None,
) -> tuple[str, int]:
    """What a unit is served, in Python."""
    for step in routes.get(name, []):
        if all(key in given and _same(given[key], wanted) for key, wanted in step["when"].items()):
            target, _, version = step["use"].partition("@")
            if version:
                return target, int(version)
            name = target
            break
    if name not in splits:
        return name, 1
    assert seed == f"{name}.{3 if routes.get(name) else 2}"  # epoch 1 activated, the route came before the split
    bucket = int.from_bytes(hashlib.sha256(f"{seed}.{unit}".encode()).digest()[:8], "big") % 10_000
    return name, 2 if bucket < splits[name] else 1


def _same(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def test_without_a_unit_a_split_is_by_chance_and_each_answer_is_of_one_version(prompts: Connection) -> None:
    prompts.execute("select promptctl.split('a', 2500, 2)")
    for function in ("resolve", "explain_resolve"):
        # One call for each row: it depends on the row.
        statement = f"select to_jsonb(r) from generate_series(1, 2000) g, promptctl.{function}(left('a', g)) r"
        found: list[dict[str, Any]] = [row for (row,) in rows(prompts, statement)]
        assert {(row["version"], row["content"]) for row in found} == {(1, "text 1"), (2, "text 2")}
        assert 400 < sum(row["version"] == 2 for row in found) < 600
        if function == "explain_resolve":
            assert all((row["bucket"] < 2500) == (row["version"] == 2) == row["is_candidate"] for row in found)
            assert len({row["bucket"] for row in found}) > 1500


def test_without_a_unit_a_share_of_all_or_nothing_is_no_chance(prompts: Connection) -> None:
    for share, version in ((0, 1), (10000, 2)):
        prompts.execute("select promptctl.split('a', %s, 2)", [share])
        statement = "select distinct r.version from generate_series(1, 200) g, promptctl.resolve(left('a', g)) r"
        found = rows(prompts, statement)
        assert found == [(version,)]


def test_a_unit_may_be_anything(prompts: Connection) -> None:
    prompts.execute("select promptctl.split('a', 5000, 2)")
    for unit in ("", " ", "zoë@example.org", "ユーザー😀", "x" * 1_000_000):
        [(version, bucket)] = rows(prompts, "select version, bucket from promptctl.explain_resolve('a', %s)", unit)
        assert version == (2 if bucket < 5000 else 1)


def test_a_name_is_not_a_pattern_nor_a_reference(prompts: Connection) -> None:
    for name in ("a@1", "%", "A", "", " a", "a\n", "x" * 1000):
        for function in ("resolve", "explain_resolve"):
            assert refusal(prompts, f"select promptctl.{function}(%s)", name) == ("P0002", "prompt_exists")


def test_several_prompts_in_one_statement_are_of_one_moment(connect: Connect, sql: Connection) -> None:
    names = [f"p{number}" for number in range(8)]
    for name in names:
        create(sql, name, 2, activate=1)
    done = threading.Event()
    torn: list[list[tuple[Any, ...]]] = []
    reads = 0

    def read(connection: Connection, statement: str) -> None:
        nonlocal reads
        while not done.is_set():
            found = rows(connection, statement, names)
            reads += 1
            if len(set(found)) != 1:
                torn.append(found)

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
    assert (torn, reads > 60) == ([], True)


def test_an_activation_is_served_to_whoever_asks_after_it(connect: Connect, sql: Connection) -> None:
    # A session that has asked often has a plan of its own, which must not remember an answer.
    create(sql, "p", 2, activate=1)
    reader = connect()
    for turn in range(20):
        version = 2 - turn % 2
        move(sql, {"p": version})
        assert rows(reader, "select version, content, epoch from promptctl.resolve('p', 'u')") == [
            (version, f"text {version}", turn + 2)
        ]


def test_follow_leaves_out_what_the_caller_has(prompts: Connection) -> None:
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


def test_versions_that_are_pinned_are_read_even_when_retired(prompts: Connection) -> None:
    prompts.execute("select promptctl.retire('a', 2)")
    found = rows(
        prompts,
        "select name, version, epoch, content from promptctl.read_versions(%s::text[], %s::integer[])",
        ["a", "a", "b", "nobody", "idle"],
        [2, 9, 1, 1, 1],
    )
    assert sorted(found) == [("a", 2, 1, "text 2"), ("b", 1, 1, "text 1"), ("idle", 1, 0, "Wait.")]


def test_names_are_told_in_order(database: Connection) -> None:
    assert rows(database, "select promptctl.prompt_names()") == [("greeter",), ("idle",), ("other",)]


# How a program may pass a unit, and the text that decides its bucket.
UNITS = {
    "42": "42", "42::bigint": "42", "42::smallint": "42", "42::numeric": "42", "-7": "-7", "'42'": "42",
    "'42'::varchar": "42", "'42'::name": "42", "'42'::char(2)": "42", "12345678901234567890": "12345678901234567890",
    "'6BA7B810-9dad-11d1-80b4-00c04fd430c8'::uuid": "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "5::information_schema.cardinal_number": "5", "null": None, "null::integer": None,
}  # fmt: skip


def test_a_unit_is_a_text_an_integer_or_a_uuid(database: psycopg.Connection[Any]) -> None:
    database.execute("select promptctl.split('greeter', 5000, 1)")
    for unit, text in UNITS.items():
        expected = value(database, "select promptctl.bucket('greeter.3', %s)", text)
        explained = value(database, f"select (promptctl.explain_resolve('greeter', {unit})).bucket")
        recorded = value(database, f"select promptctl.record_use('greeter', 1, 3, unit => {unit})")
        assert value(database, "select bucket from promptctl.uses where id = %s", recorded) == expected, unit
        version = value(database, f"select version from promptctl.resolve('greeter', {unit})")
        if text is not None:
            assert explained == expected, unit
            assert version == (1 if expected < 5000 else 2), unit
    for call in ("'greeter'", "name => 'greeter'", "'greeter', attributes => '{}'", "'greeter', null, '{}'"):
        assert value(database, f"select version from promptctl.resolve({call})") in (1, 2)


def test_parameters_of_any_type_find_the_one_function(database: psycopg.Connection[Any]) -> None:
    # A driver leaves the type of a parameter open, or names it.
    for types, unit in (("", "'42'"), ("", "null"), ("text, text", "'42'"), ("varchar, varchar", "'42'"),
                        ("text, integer", "42"), ("text, bigint", "42"),
                        ("text, uuid", "gen_random_uuid()")):  # fmt: skip
        named = f"({types})" if types else ""
        run(database, f"prepare resolving{named} as select version from promptctl.resolve($1, $2)")
        assert rows(database, f"execute resolving('greeter', {unit})") == [(2,)]
        run(database, "deallocate resolving")
    run(database, "prepare recording as select promptctl.record_use($1, $2, $3, $4, $5, $6, $7, $8)")
    recorded = value(database, "execute recording('greeter', 1, 1, 17, 120, 80, 'm', '42')")
    assert rows(database, "select bucket, input_tokens, model from promptctl.uses where id = %s", recorded) == [
        (value(database, "select promptctl.bucket('greeter', '42')"), 17, "m")
    ]
