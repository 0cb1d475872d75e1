"""`render`: the text of a version with the values of its variables, and invalid values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl

TEXT = 'Greet {user.name} from {city}, in {language}: {"json": {}} {{literal}}\n'
RENDERED = 'Greet Ada from Rom, in English: {"json": {}} {literal}\n'
VALUES = ("--var", "user.name=Ada", "--var", "city=Rom")


@pytest.fixture
def greeter(promptctl: Promptctl) -> Promptctl:
    """The command line on a database with a prompt of three variables, one with a default; version 1 is active."""
    created = promptctl("create", "greeter", "-f", "-", "--default", "language=English", "--activate", stdin=TEXT)
    assert created.code == 0
    assert "\nvariables: user.name, city, language = English\n" in created.err
    promptctl("create", "greeter", "Hello {user.name}.")
    return promptctl


def test_render_prints_the_active_or_the_named_version_byte_for_byte(greeter: Promptctl) -> None:
    ended = greeter("render", "greeter", *VALUES)
    assert (ended.code, ended.out, ended.err) == (0, RENDERED, "")
    assert greeter("render", "greeter@2", "--var", "user.name=Ada").out == "Hello Ada."
    assert greeter("render", "greeter", *VALUES, "--var", "language=").out == RENDERED.replace("English", "")
    assert greeter("render", "greeter", *VALUES, "--unit", "user-42").out == RENDERED


def test_the_last_var_takes_precedence_over_earlier_ones_and_over_a_file(greeter: Promptctl) -> None:
    (greeter.home / "values.yaml").write_text("user: {name: Bob}\ncity: Rom\n")
    assert greeter("render", "greeter", "--vars-file", "values.yaml", "--var", "user.name=Ada").out == RENDERED
    assert greeter("render", "greeter", *VALUES, "--var", "user.name=Eve").out == RENDERED.replace("Ada", "Eve")


def test_values_are_inserted_unchanged_and_escaped_on_a_terminal(greeter: Promptctl) -> None:
    for value in ("{city}", "{{city}}", "", " ", "=", "a=b", "日本\n\t\x1b[31m", "$(rm -rf /)", "[bold]", "%s"):
        out = greeter("render", "greeter@2", "--var", f"user.name={value}").out
        assert out == f"Hello {value}."
    large = "x{city}" * 700_000
    (greeter.home / "large.json").write_text(json.dumps({"user.name": large}))
    assert greeter("render", "greeter@2", "--vars-file", "large.json").out == f"Hello {large}."
    screen_text = greeter.on_terminal("render", "greeter@2", "--var", "user.name=\x1b[2J").out
    assert screen_text == "Hello \\x1b[2J.\n"


def test_json_output_contains_the_values_that_were_used(greeter: Promptctl) -> None:
    document = json.loads(greeter("render", "greeter", *VALUES, "--json").out)
    assert document == {
        "name": "greeter", "version": 1, "content": RENDERED,
        "variables": {"user.name": "Ada", "city": "Rom", "language": "English"},
    }  # fmt: skip
    assert greeter("render", "greeter", *VALUES, "-q").out == "greeter@1\n"


def test_missing_variables_are_named_and_added_to_the_command_in_the_hint(greeter: Promptctl) -> None:
    ended = check_failure(greeter("render", "greeter", "--var", "language=x y"), 2)
    assert ended.err == (
        "error: greeter@1 needs user.name, city\n"
        "hint:  promptctl render greeter --var 'language=x y' --var user.name=VALUE --var city=VALUE\n"
    )
    assert check_json_failure(greeter("render", "greeter", "--json"), 2)["code"] == "variable_missing"


def test_an_unknown_variable_is_named_with_a_suggestion(greeter: Promptctl) -> None:
    ended = check_failure(greeter("render", "greeter", *VALUES, "--var", "user.nam=Bob"), 2)
    assert ended.err.startswith("error: greeter@1 has no variable user.nam")
    assert "user.name" in ended.err
    error = check_json_failure(greeter("render", "greeter", *VALUES, "--var", "zip=1", "--json"), 2)
    assert error["code"] == "variable_unknown"
    # The hint is the whole line.
    words = ("render", "greeter", "--request", "--message", "a b", "--var=ctiy=R m", "--var", "user.nme=x")
    corrected = "promptctl render greeter --request --message 'a b' '--var=city=R m' --var user.name=x"
    assert check_failure(greeter(*words), 2).err.splitlines()[-1] == f"hint:  {corrected}"
    # A version without variables has its own error.
    assert greeter("create", "x", "no variables").code == 0
    assert check_json_failure(greeter("render", "x@1", "--var", "a=1", "--json"), 2)["code"] == "variable_unknown"


FILES: dict[str, tuple[str, dict[str, str]]] = {
    "v.yaml": ("user:\n  name: Ada\ncity: 'Rom'\n", {"user.name": "Ada", "city": "Rom"}),
    "v.yml": ("user.name: yes\ncity: 010\n", {"user.name": "yes", "city": "010"}),
    "v": ("user.name: 1.50\ncity: 2026-11-24\n", {"user.name": "1.50", "city": "2026-11-24"}),
    "v.json": ('{"user": {"name": true}, "city": 1.50}', {"user.name": "true", "city": "1.50"}),
    "v.txt": ('{"user.name": 1e400, "city": ""}', {"user.name": "1e400", "city": ""}),
    "flow": ("{user.name: Ada, city: Rom}", {"user.name": "Ada", "city": "Rom"}),
    "block": ("user.name: |\n  two\n  lines\ncity: Rom", {"user.name": "two\nlines\n", "city": "Rom"}),
}


@pytest.mark.parametrize("name", FILES)
def test_values_in_a_file_are_used_as_they_are_written(name: str, greeter: Promptctl) -> None:
    text, expected = FILES[name]
    (greeter.home / name).write_text(text)
    document = json.loads(greeter("render", "greeter", "--vars-file", name, "--json").out)
    assert document["variables"] == expected | {"language": "English"}
    assert json.loads(greeter("render", "greeter", "--vars-file", "-", "--json", stdin=text).out) == document


INVALID_FILES: dict[str, tuple[bytes, str]] = {
    "null.yaml": (b"city: Rom\nuser.name:\n", "null.yaml:2: user.name has no value"),
    "null.json": (b'{"user.name": null}', "null.json: user.name has no value"),
    "list.yaml": (b"user.name: [a]\n", "list.yaml:1: user.name is a list"),
    "twice.yaml": (b"city: a\ncity: b\n", "twice.yaml:2: the key 'city' appears twice"),
    "twice.json": (b'{"user": {"name": "a"}, "user.name": "b"}', "twice.json: user.name appears twice"),
    "key.json": (b'{"user": {"name": "a"}, "user": {"age": "b"}}', 'key.json: the key "user" appears twice'),
    "tag.yaml": (b"city: !env HOME\n", "tag.yaml:1: the tag !env is not allowed"),
    "merge.yaml": (b"<<: {city: a}\n", 'merge.yaml:1: "<<" is not a name of a variable'),
    "key.yaml": (b"? [a]\n: b\n", "key.yaml:1: a key must be a name"),
    "two.yaml": (b"city: a\n---\ncity: b\n", "two.yaml:2: "),
    "nul.yaml": (b'city: Rom\nuser.name: "a\\0b"\n', "nul.yaml:2: a text contains a NUL"),
    "list.json": (b'["city"]', "list.json:1: not a mapping of names to values"),
    "alias.yaml": (b"a: &x y\nb: *x\n", "alias.yaml:"),
    "deep.json": (b'{"a":' * 100_000, "deep.json"),
    "deep.yaml": (b"{a: " * 3000, "deep.yaml"),
    "broken.json": (b'{"a": 1,}', "broken.json:1: not JSON"),
    "broken.yaml": (b"a: [\n", "broken.yaml:"),
    "latin.yaml": (b"city: caf\xe9\n", "latin.yaml:1: not UTF-8"),
    "nul.json": (b'{"city": "a\\u0000b"}', "nul.json:1: a text has a NUL character"),
    "half.json": (b'{"city": "\\ud800"}', "half.json:1: a text has a lone surrogate"),
    "text.yaml": (b"just text\n", "text.yaml:1: not a mapping of names to values"),
    "name.yaml": (b"9a: x\n", 'name.yaml:1: "9a" is not a name of a variable'),
    "nan.json": (b'{"city": NaN}', "nan.json:1: NaN is not a JSON number"),
}


@pytest.mark.parametrize("name", INVALID_FILES)
def test_an_invalid_file_of_values_is_refused_with_its_line(name: str, greeter: Promptctl) -> None:
    raw, message = INVALID_FILES[name]
    (greeter.home / name).write_bytes(raw)
    ended = check_failure(greeter("render", "greeter", "--vars-file", name), 2)
    assert ended.err.startswith(f"error: {message}"), ended.err
    assert (
        check_json_failure(greeter("render", "greeter", "--vars-file", name, "--json"), 2)["code"]
        == "invalid_variables"
    )


def test_an_unreadable_file_and_an_invalid_var_are_refused(greeter: Promptctl) -> None:
    assert check_failure(greeter("render", "greeter", "--vars-file", "nowhere"), 1).err.startswith(
        'error: cannot read "nowhere"'
    )
    assert check_failure(greeter("render", "greeter", "--vars-file", ""), 2).err.startswith(
        "error: --vars-file is empty"
    )
    for pair in ("user.name", "=x", "9=x", "a b=x", ""):
        assert check_failure(greeter("render", "greeter", "--var", pair), 2).err.startswith(
            "error: --var needs NAME=VALUE, not"
        )
    assert check_json_failure(greeter("render", "greeter", "--var", "city=\udcff", "--json"), 2)["code"] == "not_utf8"
    assert check_failure(greeter("render", "greeter", "--vars-file", "."), 1).err.startswith('error: cannot read "."')
    pinned = check_failure(greeter("render", "greeter@1", "--unit", "u", *VALUES), 2)
    assert pinned.err.startswith("error: --unit selects the version")


def test_an_unknown_prompt_is_not_found(greeter: Promptctl) -> None:
    assert check_failure(greeter("render", "greter"), 4).err.endswith("hint:  promptctl render greeter\n")
    assert check_json_failure(greeter("render", "greeter@9", "--json"), 4)["code"] == "version_not_found"


def test_a_version_with_new_variables_is_activated_only_with_an_option(greeter: Promptctl) -> None:
    greeter("create", "greeter", "Hello {user.name} of {planet}.")
    ended = check_failure(greeter("activate", "greeter@3", "-r", "a b"), 5)
    assert ended.err == (
        "error: greeter@3 needs planet, which the active version 1 does not; "
        "if every application gives it, add --allow-new-variables\n"
        "hint:  promptctl diff greeter@1 greeter@3\n"
    )
    assert check_json_failure(greeter("activate", "greeter@3", "--json"), 5)["code"] == "new_variables"
    # Activating a version with fewer variables is allowed; rolling back to one with more is refused.
    assert greeter("activate", "greeter@2").code == 0
    assert check_json_failure(greeter("rollback", "greeter", "--json"), 5)["code"] == "new_variables"
    assert greeter("show", "greeter", "-q").out == "greeter@2\n"
    assert greeter("rollback", "greeter", "--allow-new-variables", "-q").out == "greeter@1\n"
    assert greeter("activate", "greeter@3", "--allow-new-variables", "-q").out == "greeter@3\n"
    created = greeter("create", "greeter", "{a}{b}", "--activate", "--json")
    assert check_json_failure(created, 5)["code"] == "new_variables"
    # The command is atomic: the version was not stored either.
    assert len(json.loads(greeter("show", "greeter", "--json").out)["versions"]) == 3
    assert greeter("create", "greeter", "{a}{b}", "--activate", "--allow-new-variables").code == 0


def test_text_from_the_editor_is_saved_if_its_new_variables_are_refused(greeter: Promptctl) -> None:
    script = greeter.home / "editor.sh"
    script.write_text('#!/bin/sh\necho "Hello {planet}." > "$1"\n')
    script.chmod(0o755)
    screen_text = greeter.on_terminal("create", "greeter", "--activate", env={"EDITOR": str(script)}).out
    assert "error: greeter@3 needs planet, which the active version 1 does not" in screen_text
    path = re.findall(r"hint:  the text is saved in (\S+)\n", screen_text)[0]
    assert Path(path).read_text() == "Hello {planet}.\n"
    Path(path).unlink()


def test_the_hint_does_not_contain_the_password_of_the_url(greeter: Promptctl) -> None:
    greeter("create", "greeter", "Hello {planet}.")
    url = greeter.extra["DATABASE_URL"]
    assert url is not None
    with_password = url.replace("postgres@", "postgres:geheim@", 1)
    for words in (["--database-url", with_password], [f"--database-url={with_password}"]):
        ended = greeter("activate", "greeter@3", *words, env={"DATABASE_URL": None})
        assert ended.code == 5
        assert "geheim" not in ended.err


def test_activation_of_several_prompts_is_atomic(greeter: Promptctl) -> None:
    greeter("create", "other", "one", "--activate")
    greeter("create", "other", "two {x}")
    # Arguments after -- are not options.
    ended = check_failure(greeter("activate", "--", "other@2"), 5)
    assert ended.err.endswith("hint:  promptctl diff other@1 other@2\n")
    assert check_failure(greeter("activate", "greeter@2", "other@2"), 5).err.startswith("error: other@2 needs x, which")
    assert greeter("show", "greeter", "-q").out == "greeter@1\n"


def test_sync_reports_new_variables_as_a_conflict(promptctl: Promptctl) -> None:
    folder = promptctl.home / "prompts" / "greeter"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_text("Hello.\n")
    (folder / "v2.txt").write_text("Hello {user.name}.\n")
    (folder / "prompt.yaml").write_text("active: 1\n")
    assert promptctl("sync", "prompts").code == 0
    (folder / "prompt.yaml").write_text("active: 2\n")
    for words in (("--dry-run",), ("--check",), ()):
        ended = promptctl("sync", "prompts", *words)
        assert ended.code == 5
        assert "needs user.name, which the active version 1 does not" in ended.out
        # Both versions are stored, so what changed can be looked at first.
        assert ended.err.endswith("\nhint:  promptctl diff greeter@1 greeter@2\n")
        assert "--allow-new-variables" in ended.err
    assert check_json_failure(promptctl("sync", "prompts", "--json"), 5)["code"] == "new_variables"
    assert promptctl("show", "greeter", "-q").out == "greeter@1\n"
    assert promptctl("sync", "prompts", "--allow-new-variables").code == 0
    assert promptctl("show", "greeter", "-q").out == "greeter@2\n"


def test_show_prints_the_variables_of_a_version(greeter: Promptctl, snapshot: Callable[..., None]) -> None:
    screen_text = greeter.on_terminal("show", "greeter").out + greeter.on_terminal("show", "greeter@2").out
    assert "variables  user.name, city, language = English\n" in screen_text
    assert screen_text.endswith("Hello {user.name}.\nvariables: user.name\n")
    [_, one] = json.loads(greeter("show", "greeter", "--json").out)["versions"]
    assert one["settings"] == {"variables": {"language": {"default": "English"}}}
    assert one["variables"] == [
        {"name": "user.name", "required": True, "default": None}, {"name": "city", "required": True, "default": None},
        {"name": "language", "required": False, "default": "English"},
    ]  # fmt: skip


CREATE: list[tuple[list[str], str]] = [
    (["--template", "jinja"], 'invalid template style "jinja": use braces, mustache, none'),
    (["--default", "x"], "--default needs NAME=TEXT, not "),
    (["--default", "nme=x"], "--default: the text has no variable nme: did you mean name?"),
    (["--model", " "], "--model is empty"),
    (["--max-tokens", "0"], "--max-tokens is a whole number from 1 to 999999999, not 0"),
]


@pytest.mark.parametrize(("words", "message"), CREATE)
def test_create_refuses_invalid_settings(words: list[str], message: str, promptctl: Promptctl) -> None:
    assert check_failure(promptctl("create", "x", "Hello {name}.", *words), 2).err.startswith(f"error: {message}")
    assert promptctl("list").out == ""


def test_settings_are_stored_with_the_version(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    words = ["--template", "mustache", "--default", "a=b", "--model", "m", "--max-tokens", "9"]
    document = json.loads(promptctl("create", "x", "{{a}} {b}", *words, "--json").out)
    assert document["settings"] == {
        "template": "mustache", "variables": {"a": {"default": "b"}}, "model": "m", "max_tokens": 9
    }  # fmt: skip
    assert document["variables"] == [{"name": "a", "required": False, "default": "b"}]
    # The same text with other settings is another version.
    assert json.loads(promptctl("create", "x", "{{a}} {b}", "--json").out)["version"] == 2
    assert promptctl("render", "x@1").out == "b {b}"
    assert promptctl("render", "x@2", "--var", "b=c").out == "{a} c"


REQUEST = {
    "tools": [{"name": "find", "description": "Finds {nothing}.", "input_schema": {"type": "object"}}],
    "thinking": {"type": "adaptive"},
    "messages": [{"role": "user", "content": "I am {user.name}"}, {"role": "assistant", "content": "Hello \u202e"}],
}


@pytest.fixture
def requester(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> Promptctl:
    """The command line on a database with a prompt whose version 1 has a request, a model and a cache."""
    settings = {"model": "claude-haiku-5-5", "max_tokens": 50, "cache": "5m", "request": json.dumps(REQUEST)}
    sql.execute("select promptctl.create_version('x', 'Be kind in {city}.', %s, author => 'a')", [json.dumps(settings)])
    sql.execute("select promptctl.create_version('x', 'plain', '{}', author => 'a')")
    return promptctl


def test_render_prints_the_json_that_is_sent(requester: Promptctl) -> None:
    words = ("render", "x@1", *VALUES, "--request")
    expected: dict[str, Any] = {
        "model": "claude-haiku-5-5", "max_tokens": 50,
        "system": [
            {"type": "text", "text": "Be kind in ", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Rom."},
        ],
        "tools": REQUEST["tools"], "thinking": {"type": "adaptive"},
        "messages": [{"role": "user", "content": "I am Ada"}, {"role": "assistant", "content": "Hello \u202e"}],
    }  # fmt: skip
    ended = requester(*words)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == json.dumps(expected, indent=2, ensure_ascii=False).replace("\u202e", "\\u202e") + "\n"
    assert requester.on_terminal(*words).out == ended.out
    with_message = json.loads(requester(*words, "--message", "Where is {city}?").out)
    assert with_message["messages"] == [*expected["messages"], {"role": "user", "content": "Where is {city}?"}]
    assert json.loads(requester(*words, "--json").out) == {
        "name": "x", "version": 1, "request": expected, "variables": {"city": "Rom", "user.name": "Ada"},
    }  # fmt: skip
    assert requester(*words, "-q").out == "x@1\n"
    # Without --request, only the variables of the text need a value.
    assert requester("render", "x@1", "--var", "city=Rom").out == "Be kind in Rom."
    # Those of the messages may have one too, so that one file serves all commands.
    assert requester("render", "x@1", *VALUES).out == "Be kind in Rom."
    assert json.loads(requester("render", "x@1", *VALUES, "--json").out)["variables"] == {"city": "Rom"}


def test_a_version_without_a_request_renders_its_text_as_the_system_prompt(requester: Promptctl) -> None:
    assert json.loads(requester("render", "x@2", "--request").out) == {"system": "plain", "messages": []}


def test_a_variable_of_a_message_needs_a_value_in_a_request(requester: Promptctl) -> None:
    missing = requester("render", "x@1", "--request", "--var", "city=Rom", "--json")
    error = check_json_failure(missing, 2)
    assert (error["code"], error["message"]) == ("variable_missing", "x@1 needs user.name")
    unknown = check_failure(requester("render", "x@1", *VALUES, "--request", "--var", "nothing=x"), 2)
    assert unknown.err.startswith("error: x@1 has no variable nothing")


def test_a_message_needs_a_request(requester: Promptctl) -> None:
    refused = check_failure(requester("render", "x@1", *VALUES, "--message", "Hello"), 2)
    assert refused.err == (
        "error: --message is part of a request: add --request\nhint:  promptctl render x@1 --request --message TEXT\n"
    )
    assert check_failure(requester("render", "x@1", "--request", "--message", ""), 2).err.startswith(
        "error: the text is"
    )
