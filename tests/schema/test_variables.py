"""The variables of a version: found as rules.templates finds them, and the contract when one becomes active."""

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

FOUND = "select template_variables(%s, %s), required_variables(template_variables(%s, %s), %s)"
ALLOWED = "select activate('{greeter}', '{9}', allow_new_variables => true); "
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
    given_settings = {"template": style, "variables": described}
    template = Template(text, given_settings)
    as_json = json.dumps(given_settings)
    found = rows(database, FOUND, text, as_json, text, as_json, as_json)
    assert found == [(list(template.variables), list(template.required))]


@pytest.mark.parametrize("style", STYLES)
def test_they_agree_on_texts_that_are_hard_to_read(database: Connection, style: str) -> None:
    for text in TRICKY:
        template = Template(text, {"template": style})
        as_json = json.dumps({"template": style})
        assert value(database, "select template_variables(%s, %s)", text, as_json) == list(template.variables), text


def test_without_settings_a_text_is_in_braces(database: Connection) -> None:
    assert value(database, "select template_variables('{a} {{b}}', '{}')") == ["a"]
    assert value(database, "select variables from versions where name = 'greeter' and version = 1") == []


def test_whoever_stores_a_version_cannot_say_what_its_variables_are(database: Connection) -> None:
    database.execute(
        "insert into versions (name, version, content, variables, required_variables) "
        "values ('greeter', 9, '{a}', '{x}', '{}')"
    )
    found = rows(database, "select variables, required_variables from versions where name = 'greeter' and version = 9")
    assert found == [(["a"], ["a"])]


def test_a_large_text_is_read_in_time_that_grows_with_it(database: Connection) -> None:
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
            found = value(database, "select template_variables(%s, %s)", text, as_json)
            assert found == list(Template(text, {"template": style}).variables)


def needy(connection: Connection, content: str, given_settings: dict[str, Any] | None = None) -> None:
    """Store a version 9 of `greeter`, whose active version needs nothing."""
    connection.execute(
        "select create_version('greeter', %s, %s, version => 9)", [content, json.dumps(given_settings or {})]
    )


def test_a_version_that_needs_a_new_variable_is_refused_in_words(database: Connection) -> None:
    needy(database, "Greet {user.name} as {role} in {place}.", {"variables": {"role": {"default": "guest"}}})
    error = refusal_error(database, "select activate('{greeter}', '{9}')")
    assert error.diag.message_primary == "greeter@9 needs user.name, place, which the active version 2 does not"
    assert error.diag.message_hint == "set promptctl.allow_new_variables = on, if the application passes it"
    assert active(database, "greeter") == 2


@pytest.mark.parametrize("described", [{"default": "you"}, {"default": ""}, {"required": False}])
def test_a_variable_that_need_not_be_given_is_no_reason_to_refuse(
    database: Connection, described: dict[str, Any]
) -> None:
    needy(database, "Greet {user.name}.", {"variables": {"user.name": described}})
    database.execute("select activate('{greeter}', '{9}')")
    assert active(database, "greeter") == 9


def test_a_default_in_the_active_version_does_not_say_that_the_variable_is_given(database: Connection) -> None:
    database.execute(
        """select create_version('greeter', 'Hello {name}', '{"variables": {"name": {"default": "you"}}}',
                                 activated => true)"""
    )
    needy(database, "Hello, {name}!")
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
        # Nothing is active that an application could be written for.
        "update served set active_version = null where name = 'greeter'; select activate('{greeter}', '{9}')",
        # The same variable in another text is nothing new.
        ALLOWED + "select create_version('greeter', '{user} and {user}', activated => true)",
    ],
)
def test_who_says_that_the_application_gives_it_may(database: Connection, statement: str) -> None:
    needy(database, "Greet {user}.")
    before = active(database, "greeter")
    database.execute(statement.encode())
    assert active(database, "greeter") != before
    assert value(database, "select current_setting('promptctl.argument_allow_new_variables', true)") in (None, "")


def test_a_rollback_is_held_to_it_and_can_be_allowed(database: Connection) -> None:
    needy(database, "Greet {user}.")
    database.execute("select activate('{greeter}', '{9}', allow_new_variables => true)")
    database.execute("select activate('{greeter}', '{2}')")
    error = refusal_error(database, "select rollback('{greeter}')")
    assert error.diag.message_primary == "greeter@9 needs user, which the active version 2 does not"
    database.execute("select rollback('{greeter}', allow_new_variables => true)")
    assert active(database, "greeter") == 9


def test_a_release_that_is_refused_for_one_prompt_moves_none(database: Connection) -> None:
    needy(database, "Greet {user}.")
    database.execute("select create_version('other', 'Another thing.')")
    refusal_error(database, "select activate('{other,greeter}', '{2,9}')")
    assert (active(database, "other"), active(database, "greeter")) == (1, 2)
