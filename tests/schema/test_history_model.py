"""Any sequence of changes leaves in the database what it leaves in the model."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import psycopg
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.schema.model import Move, Prompt, Refused
from tests.schema.support import rows, run

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]

numbers = st.integers(1, 5)
changes = st.one_of(
    st.tuples(st.just("create"), st.sampled_from("abcdef"), st.none() | st.integers(1, 7), st.booleans()),
    st.tuples(st.just("activate"), numbers),
    st.tuples(st.just("activate"), numbers),
    st.tuples(st.just("roll_back"), st.none() | numbers, st.none() | numbers),
    st.tuples(st.just("roll_back"), st.none(), st.none()),
    st.tuples(st.just("set_active"), numbers, st.booleans()),
    st.tuples(st.just("split"), st.none() | numbers, st.sampled_from([0, 1, 5000, 10000])),
    st.tuples(st.just("retire"), numbers, st.booleans()),
)
STATEMENTS = {
    "create": "select promptctl.create_version(%(name)s, %(0)s, version => %(1)s, activated => %(2)s)",
    "activate": "select promptctl.activate(array[%(name)s], array[%(0)s]::integer[])",
    "roll_back": "select promptctl.rollback(array[%(name)s], %(0)s, %(1)s)",
    "set_active": "update promptctl.prompts set is_active = %(1)s where name = %(name)s and version = %(0)s",
    "split": "update promptctl.served set candidate_version = %(0)s, basis_points = %(1)s where name = %(name)s",
    "retire": "select promptctl.retire(%(name)s, %(0)s, %(1)s)",
}
_names = (f"prompt-{number}" for number in itertools.count())


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(changes, max_size=25))
def test_the_database_is_as_the_model(connect: Callable[..., Connection], sequence: list[tuple[Any, ...]]) -> None:
    with connect() as database, connect() as listener:
        listener.execute("listen promptctl")
        model = Prompt(next(_names))
        database.execute("insert into promptctl.prompts (name, content) values (%s, 'a')", [model.name])
        model.create("a", None, False)
        for operation, *arguments in sequence:
            assert changed(database, model.name, operation, arguments) == expected(model, operation, arguments)
            assert state(database, model.name) == (
                model.active, model.candidate, model.share, model.seed, model.position, model.epoch, model.next_version,
            )  # fmt: skip
        assert moves(database, model.name) == model.history
        assert [move.epoch for move in model.history] == list(range(1, model.epoch + 1))
        assert versions(database, model.name) == {v: (t, v in model.retired) for v, t in model.texts.items()}
        assert announced(database, listener) == [{"name": model.name, "epoch": move.epoch} for move in model.history]


def changed(database: Connection, name: str, operation: str, arguments: list[Any]) -> str | None:
    """Carry it out; the rule that refuses it."""
    given_ = {"name": name} | {str(place): argument for place, argument in enumerate(arguments)}
    try:
        run(database, STATEMENTS[operation], given_)
    except psycopg.Error as error:
        return error.diag.constraint_name or str(error)
    return None


def expected(model: Prompt, operation: str, arguments: list[Any]) -> str | None:
    """Carry it out in the model; the rule that refuses it."""
    try:
        getattr(model, operation)(*arguments)
    except Refused as refused:
        return str(refused)
    return None


def state(database: Connection, name: str) -> tuple[Any, ...]:
    """What is served."""
    [row] = rows(
        database,
        """
        select active_version, candidate_version, basis_points, seed, position, epoch, next_version
        from promptctl.served where name = %s
        """,
        name,
    )
    return row


def moves(database: Connection, name: str) -> list[Move]:
    """The history."""
    found = rows(
        database,
        """
        select epoch, kind, previous_version, version, candidate_version, basis_points, seed, parent, position
        from promptctl.allocations where name = %s order by epoch
        """,
        name,
    )
    return [Move(*row) for row in found]


def versions(database: Connection, name: str) -> dict[int, tuple[str, bool]]:
    """The versions: text, and whether it is retired."""
    found = rows(database, "select version, content, is_retired from promptctl.versions where name = %s", name)
    return {version: (content, retired) for version, content, retired in found}


def announced(database: Connection, listener: Connection) -> list[Any]:
    """What listeners were told until now."""
    database.execute("select pg_notify('promptctl', '\"the end\"')")
    told = [json.loads(notify.payload) for notify in listener.notifies(timeout=10, stop_after=1)]
    while told[-1] != "the end":
        told += [json.loads(notify.payload) for notify in listener.notifies(timeout=10, stop_after=1)]
    return told[:-1]
