"""The variables of a version: the same as rules.templates finds, and compared at each activation."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from promptctl.rules.template_syntax import STYLES
from promptctl.rules.templates import Template
from tests.schema.support import active, refusal_error, rows, value
from tests.template_texts import TRICKY, texts

Connection = psycopg.Connection[Any]

FIND_VARIABLES = "select template_variables(%s, %s), required_variables(template_variables(%s, %s), %s)"
ACTIVATE_9 = "select activate('{greeter}', '{9}', allow_new_variables => true); "
descriptions = st.dictionaries(
    st.sampled_from(["a", "b", "a.b", "user.name", "_", "a b", ""]),
    st.fixed_dictionaries({}, optional={"required": st.booleans(), "default": st.sampled_from(["", "x", "{a}"])}),
    max_size=4,
)


@example("braces", "{a}{b}{a}", {"a": {}, "b": {"required": False}})
@example("mustache", "{{b}}{{ a }}", {"a": {"required": True, "default": "x"}})
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(style=st.sampled_from(STYLES), text=texts, described=descriptions)
def test_the_database_and_the_program_find_the_same_variables(
    database: Connection, style: str, text: str, described: dict[str, Any]
) -> None:
    version_settings = {"template": style, "variables": described}
    template = Template(text, version_settings)
    as_json = json.dumps(version_settings)
    variables = rows(database, FIND_VARIABLES, text, as_json, text, as_json, as_json)
    assert variables == [(list(template.variables), list(template.required))]


@pytest.mark.parametrize("style", STYLES)
def test_the_database_and_the_program_agree_on_difficult_texts(database: Connection, style: str) -> None:
    for text in TRICKY:
        template = Template(text, {"template": style})
        as_json = json.dumps({"template": style})
        assert value(database, "select template_variables(%s, %s)", text, as_json) == list(template.variables), text


def test_without_settings_the_template_style_is_braces(database: Connection) -> None:
    assert value(database, "select template_variables('{a} {{b}}', '{}')") == ["a"]
    assert value(database, "select variables from versions where name = 'greeter' and version = 1") == []


def test_an_insert_cannot_set_the_variables_of_a_version(database: Connection) -> None:
    database.execute(
        "insert into versions (name, version, content, variables, required_variables) "
        "values ('greeter', 9, '{a}', '{x}', '{}')"
    )
    variables = rows(
        database, "select variables, required_variables from versions where name = 'greeter' and version = 9"
    )
    assert variables == [(["a"], ["a"])]


def test_finding_the_variables_of_a_large_text_is_fast(database: Connection) -> None:
    database.execute("set local statement_timeout = '20s'")
    for text in (
        "{" * 1_000_000,
        "{a" * 500_000,
        "{a}" * 300_000,
        "{{ " * 300_000,
        "{a." * 300_000,
        "}" * 1_000_000,
        r"\ab{" * 200_000,
        r"\ab{a}" * 150_000,
        r"\ab{a}" + "{b}" * 200_000,
        "\\" + "[" * 500_000 + "]{a}",
    ):
        for style in STYLES:
            as_json = json.dumps({"template": style})
            variables = value(database, "select template_variables(%s, %s)", text, as_json)
            assert variables == list(Template(text, {"template": style}).variables)


def store_version_9(connection: Connection, content: str, version_settings: dict[str, Any] | None = None) -> None:
    """Store version 9 of `greeter`, whose active version has no variables."""
    connection.execute(
        "select create_version('greeter', %s, %s, version => 9)", [content, json.dumps(version_settings or {})]
    )


def test_the_refusal_of_a_version_names_its_new_variables(database: Connection) -> None:
    store_version_9(database, "Greet {user.name} as {role} in {place}.", {"variables": {"role": {"default": "guest"}}})
    error = refusal_error(database, "select activate('{greeter}', '{9}')")
    assert error.diag.message_primary == "greeter@9 needs user.name, place, which the active version 2 does not"
    assert error.diag.message_hint == "set promptctl.allow_new_variables = on, if the application passes it"
    assert active(database, "greeter") == 2


@pytest.mark.parametrize("described", [{"default": "you"}, {"default": ""}, {"required": False}])
def test_an_optional_new_variable_is_not_refused(database: Connection, described: dict[str, Any]) -> None:
    store_version_9(database, "Greet {user.name}.", {"variables": {"user.name": described}})
    database.execute("select activate('{greeter}', '{9}')")
    assert active(database, "greeter") == 9


def test_a_variable_with_a_default_in_the_active_version_counts_as_new(database: Connection) -> None:
    database.execute(
        """select create_version('greeter', 'Hello {name}', '{"variables": {"name": {"default": "you"}}}',
                                 activated => true)"""
    )
    store_version_9(database, "Hello, {name}!")
    error = refusal_error(database, "select activate('{greeter}', '{9}')")
    assert error.diag.constraint_name == "a_version_needs_no_new_variable"


@pytest.mark.parametrize(
    "statement",
    [
        "select activate('{greeter}', '{9}', allow_new_variables => true)",
        "select create_version('greeter', 'Greet {user}.', activated => true, allow_new_variables => true)",
        "set local promptctl.allow_new_variables = on; select activate('{greeter}', '{9}')",
        "set local promptctl.allow_new_variables = TRUE; update prompts set is_active = true where version = 9",
        "set local promptctl.allow_new_variables = on; update served set active_version = 9 where name = 'greeter'",
        # Without an active version, no variable is new.
        "update served set active_version = null where name = 'greeter'; select activate('{greeter}', '{9}')",
        # A variable of the active version is not new.
        ACTIVATE_9 + "select create_version('greeter', '{user} and {user}', activated => true)",
    ],
)
def test_a_new_variable_is_accepted_if_allowed(database: Connection, statement: str) -> None:
    store_version_9(database, "Greet {user}.")
    before = active(database, "greeter")
    database.execute(statement.encode())
    assert active(database, "greeter") != before
    assert value(database, "select current_setting('promptctl.argument_allow_new_variables', true)") in (None, "")


def test_a_rollback_with_a_new_variable_is_refused_unless_allowed(database: Connection) -> None:
    store_version_9(database, "Greet {user}.")
    database.execute("select activate('{greeter}', '{9}', allow_new_variables => true)")
    database.execute("select activate('{greeter}', '{2}')")
    error = refusal_error(database, "select rollback('{greeter}')")
    assert error.diag.message_primary == "greeter@9 needs user, which the active version 2 does not"
    database.execute("select rollback('{greeter}', allow_new_variables => true)")
    assert active(database, "greeter") == 9


def test_a_release_that_is_refused_for_one_prompt_moves_none(database: Connection) -> None:
    store_version_9(database, "Greet {user}.")
    database.execute("select create_version('other', 'Another thing.')")
    refusal_error(database, "select activate('{other,greeter}', '{2,9}')")
    assert (active(database, "other"), active(database, "greeter")) == (1, 2)
