"""Any sequence of changes has the same result in the database and in the model."""

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
def test_any_sequence_of_changes_has_the_same_result_as_in_the_model(
    connect: Callable[..., Connection], sequence: list[tuple[Any, ...]]
) -> None:
    with connect() as database, connect() as listener:
        listener.execute("listen promptctl")
        model = Prompt(next(_names))
        database.execute("insert into promptctl.prompts (name, content) values (%s, 'a')", [model.name])
        model.create("a", None, False)
        for operation, *arguments in sequence:
            assert apply_to_database(database, model.name, operation, arguments) == apply_to_model(
                model, operation, arguments
            )
            assert state(database, model.name) == (
                model.active, model.candidate, model.share, model.seed, model.position, model.epoch, model.next_version,
            )  # fmt: skip
        assert history(database, model.name) == model.history
        assert [move.epoch for move in model.history] == list(range(1, model.epoch + 1))
        assert versions(database, model.name) == {
            number: (text, number in model.archived) for number, text in model.texts.items()
        }
        assert notifications(database, listener) == [
            {"name": model.name, "epoch": move.epoch} for move in model.history
        ]


def apply_to_database(database: Connection, name: str, operation: str, arguments: list[Any]) -> str | None:
    """Apply a change to the database, and return the name of the rule that refuses it."""
    parameters = {"name": name} | {str(index): argument for index, argument in enumerate(arguments)}
    try:
        run(database, STATEMENTS[operation], parameters)
    except psycopg.Error as error:
        return error.diag.constraint_name or str(error)
    return None


def apply_to_model(model: Prompt, operation: str, arguments: list[Any]) -> str | None:
    """Apply a change to the model, and return the name of the rule that refuses it."""
    try:
        getattr(model, operation)(*arguments)
    except Refused as refusal:
        return str(refusal)
    return None


def state(database: Connection, name: str) -> tuple[Any, ...]:
    """Return what a prompt serves."""
    [row] = rows(
        database,
        """
        select active_version, candidate_version, basis_points, seed, position, epoch, next_version
        from promptctl.served where name = %s
        """,
        name,
    )
    return row


def history(database: Connection, name: str) -> list[Move]:
    """Return the history of a prompt."""
    allocations = rows(
        database,
        """
        select epoch, kind, previous_version, version, candidate_version, basis_points, seed, parent, position
        from promptctl.allocations where name = %s order by epoch
        """,
        name,
    )
    return [Move(*row) for row in allocations]


def versions(database: Connection, name: str) -> dict[int, tuple[str, bool]]:
    """Return the versions of a prompt: each text, and whether it is archived."""
    result = rows(database, "select version, content, is_retired from promptctl.versions where name = %s", name)
    return {version: (content, is_archived) for version, content, is_archived in result}


def notifications(database: Connection, listener: Connection) -> list[Any]:
    """Return the notifications that were sent until now."""
    database.execute("select pg_notify('promptctl', '\"the end\"')")
    payloads = [json.loads(notify.payload) for notify in listener.notifies(timeout=10, stop_after=1)]
    while payloads[-1] != "the end":
        payloads += [json.loads(notify.payload) for notify in listener.notifies(timeout=10, stop_after=1)]
    return payloads[:-1]
