"""The style of a folder's texts: its default, what outranks that, notes about double braces; keys that are allowed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.folder import prompt_yaml

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.conftest import Ended, Promptctl

# Put together here, so that no scanner of this repository finds it.
KEY = "AKI" + "AQ7RZ2MKD4WPXB3TH"
MUSTACHE = "{{name}} is a variable in the template style mustache only"


def write(home: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = home / "prompts" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def changed(ended: Ended) -> list[str]:
    """The lines of a plan in a pipe, without who wrote what."""
    return [line.replace("\t", " ").partition("; by ")[0] for line in ended.out.splitlines()]


def styles(sql: psycopg.Connection[Any]) -> dict[str, str | None]:
    rows = sql.execute("select name, settings ->> 'template' from promptctl.versions order by name").fetchall()
    return dict(rows)


def test_double_braces_are_noted_where_a_text_is_stored(promptctl: Promptctl) -> None:
    write(
        promptctl.home,
        {
            "langfuse/v1.txt": "Hello {{name}} of {{ city }}, {{name}}",
            "formatted/v1.txt": 'Say {name},\nas {{"a": 1}}',
            "single/v1.txt": "Hello {name}",
            "nested/v1.txt": '{"a": {"b": {}}}',
            "meant/v1.txt": "Hello {{name}}",
            "meant/prompt.yaml": "template: braces\n",
            "right/v1.txt": "Hello {{name}}",
            "right/prompt.yaml": "template: mustache\n",
        },
    )
    lines = changed(promptctl("sync", "prompts", "--dry-run"))
    assert [line for line in lines if line.startswith("note ")] == [
        "note formatted@1 line 2: double braces around other text stay double; only {{name}} becomes {name}",
        f"note langfuse@1 {{{{name}}}} and 1 more are text, not variables: {MUSTACHE}",
    ]
    assert promptctl("sync", "prompts").code == 0
    assert changed(promptctl("sync", "prompts")) == []
    ended = promptctl("create", "greeter", "Hello {{ name }}")
    assert ended.out == "greeter@1\n"
    assert ended.err.splitlines()[-1] == f"{{{{ name }}}} is text, not a variable: {MUSTACHE}"
    assert "mustache makes" not in promptctl("create", "greeter", "Hi {{ name }}", "--template", "mustache").err
    assert promptctl("show", "langfuse@1").out == "Hello {{name}} of {{ city }}, {{name}}"


def test_a_folder_has_a_default_style_that_the_command_line_and_a_prompt_outrank(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    write(
        promptctl.home,
        {
            "promptctl.yaml": "template: none  # our texts have braces\n",
            "a/v1.txt": "{x}",
            "b/v1.txt": "{{x}}",
            "b/prompt.yaml": "template: mustache\n",
            "c/v1.txt": "{x}",
            "c/v2.txt": "{y}",
            "c/prompt.yaml": "versions:\n  2: {template: braces}\n",
        },
    )
    assert [line for line in changed(promptctl("sync", "prompts", "--dry-run")) if "variables" in line] == [
        "new b@1 new, 5 bytes; variables: x",
        "new c@2 new, 3 bytes; variables: y",
    ]
    by_option = promptctl("sync", "prompts", "--dry-run", "--template", "braces")
    assert "new a@1 new, 3 bytes; variables: x" in changed(by_option)
    assert "new b@1 new, 5 bytes; variables: x" in changed(by_option)
    assert promptctl("sync", "prompts").code == 0
    rows = sql.execute("select name || '@' || version, settings ->> 'template' from promptctl.versions").fetchall()
    assert dict(rows) == {"a@1": "none", "b@1": "mustache", "c@1": "none", "c@2": "braces"}
    # The default is part of what a folder says: another one is noticed, and no stored version changes.
    write(promptctl.home, {"promptctl.yaml": ""})
    assert changed(promptctl("sync", "prompts")) == [
        "note a@1 settings differ from the stored ones, which never change: template",
        "note c@1 settings differ from the stored ones, which never change: template",
    ]
    assert changed(promptctl("sync", "prompts")) == []


def test_an_export_into_a_folder_with_a_default_style_has_nothing_to_sync(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    write(promptctl.home, {"promptctl.yaml": "template: none\n", "a/v1.txt": "{x}", "a/prompt.yaml": "active: 1\n"})
    promptctl("sync", "prompts")
    promptctl("create", "b", "{x}", "--activate")
    assert promptctl("export", "prompts").code == 0
    assert (promptctl.home / "prompts" / "a" / "prompt.yaml").read_text() == "active: 1\n"
    assert "template: braces" in (promptctl.home / "prompts" / "b" / "prompt.yaml").read_text()
    ended = promptctl("sync", "prompts", "--check")
    assert (ended.code, ended.out) == (0, "")
    assert promptctl("export", "other").code == 0
    ended = promptctl("sync", "other", "--source", "other", "--dry-run")
    assert "settings differ" not in ended.out
    assert styles(sql) == {"a": "none", "b": None}


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            "a: 1\ntemplte: none\n",
            ["promptctl.yaml:1: unknown key 'a'", "promptctl.yaml:2: unknown key 'templte': did"],
        ),
        ("template: jinja\n", ["promptctl.yaml:1: template must be one of braces, mustache, none, not 'jinja'"]),
        ("- none\n", ["promptctl.yaml: not a mapping"]),
        ("template: [\n", ["promptctl.yaml:2: "]),
        (
            "<<<<<<< HEAD\ntemplate: none\n=======\ntemplate: braces\n>>>>>>> b\n",
            ["promptctl.yaml: has an unresolved merge conflict, on line 1"],
        ),
    ],
)
def test_a_wrong_default_makes_the_folder_invalid(promptctl: Promptctl, text: str, messages: list[str]) -> None:
    write(promptctl.home, {"promptctl.yaml": text, "a/v1.txt": "{x}", "a/prompt.yaml": "actve: 1\n"})
    ended = promptctl("sync", "prompts")
    assert ended.code == 1
    for message in (*messages, "a/prompt.yaml"):
        assert message in ended.err


def test_a_default_below_the_folder_is_refused(promptctl: Promptctl) -> None:
    write(promptctl.home, {"team/promptctl.yaml": "template: none\n", "team/a/v1.txt": "{x}"})
    ended = promptctl("sync", "prompts")
    message = "prompts/team/promptctl.yaml: has no effect here: sync reads only prompts/promptctl.yaml"
    assert (ended.code, message in ended.err) == (1, True)
    assert promptctl("sync", "prompts/team").code == 0


def test_the_option_accepts_only_known_styles(promptctl: Promptctl) -> None:
    write(promptctl.home, {"a/v1.txt": "{x}"})
    assert promptctl("sync", "prompts", "--template", "jinja").code == 2
    assert promptctl("sync", "--apply-plan", "x.json", "--template", "none").code == 2


def test_the_conflict_about_new_variables_names_the_style_before_the_flag(promptctl: Promptctl) -> None:
    write(promptctl.home, {"a/v1.txt": "Hello", "a/prompt.yaml": "active: 1\n"})
    promptctl("sync", "prompts")
    write(promptctl.home, {"a/v2.txt": "{x} {y}", "a/prompt.yaml": "active: 2\n"})
    ended = promptctl("sync", "prompts")
    assert ended.code == 5
    assert ended.err.splitlines()[-1] == (
        "hint:  if braces are text, set template: none in prompts/a/prompt.yaml; or set a default for x there; "
        "else promptctl sync prompts --allow-new-variables"
    )
    promptctl("create", "b", "Hello", "--activate")
    ended = promptctl("create", "b", "{x}", "--activate")
    assert ended.code == 5
    assert ended.err.splitlines()[-1] == (
        "hint:  if the braces are text: --template none; or --default NAME=TEXT; else "
        "promptctl create b '{x}' --activate --allow-new-variables"
    )


@pytest.mark.parametrize("form", ["[v2]", "[2]", "{2: the key of a tutorial}", "{v2: the key of a tutorial}"])
def test_a_key_is_acknowledged_for_one_version(promptctl: Promptctl, form: str) -> None:
    write(promptctl.home, {"a/v1.txt": "Hello", "a/v2.txt": f"Sign\nwith {KEY}"})
    refused = promptctl("sync", "prompts")
    assert refused.code == 5
    assert KEY not in refused.err
    assert refused.err.splitlines()[-1] == (
        "hint:  remove it from prompts/a/v2.txt, and revoke it if it is real; if it is an example, give the reason in "
        'prompts/a/prompt.yaml: allow_secrets: {v2: "the reason"}'
    )
    write(promptctl.home, {"a/prompt.yaml": f"allow_secrets: {form}\n"})
    lines = changed(promptctl("sync", "prompts", "--dry-run"))
    reason = ": the key of a tutorial" if ":" in form else ""
    note = f"note a@2 line 2: AKIA… looks like an AWS access key id, which prompt.yaml allows{reason}"
    assert lines == ["new a@1 new, 5 bytes", f"new a@2 new, {len(KEY) + 10} bytes", note]
    assert promptctl("sync", "prompts").code == 0
    # A key in another version or in prompt.yaml is still refused.
    write(promptctl.home, {"a/v3.txt": f"Also {KEY}"})
    assert "prompts/a/v3.txt:1" in promptctl("sync", "prompts").err
    (promptctl.home / "prompts" / "a" / "v3.txt").unlink()
    write(promptctl.home, {"a/prompt.yaml": f"description: {KEY}\nallow_secrets: {form}\n"})
    refused = promptctl("sync", "prompts")
    assert (refused.code, "prompts/a/prompt.yaml:1" in refused.err) == (5, True)
    assert "allow_secrets: {prompt.yaml: " in refused.err
    write(promptctl.home, {"a/prompt.yaml": f"description: {KEY}\nallow_secrets: {{prompt.yaml: an example}}\n"})
    assert promptctl("sync", "prompts").code == 0


def test_an_export_acknowledges_what_was_stored_and_warns(promptctl: Promptctl) -> None:
    write(
        promptctl.home,
        {
            "a/v1.txt": KEY,
            "a/v2.txt": f"Two: {KEY}",
            "a/prompt.yaml": f"description: {KEY}\nallow_secrets: {{v1: from the docs, v2: x, prompt.yaml: y}}\n",
        },
    )
    promptctl("sync", "prompts", "--source", "s")
    ended = promptctl("export", "out")
    assert KEY not in ended.err
    assert "warning: out/a/v1.txt:1: AKIA… looks like an AWS access key id" in ended.err
    written = (promptctl.home / "out" / "a" / "prompt.yaml").read_text()
    assert prompt_yaml.parse(written.encode(), "", []).allowed_secrets.keys() == {0, 1, 2}
    ended = promptctl("sync", "out", "--source", "s", "--check")
    assert (ended.code, ended.out) == (0, "")
    # The exported reasons are accepted for a new prompt too.
    (promptctl.home / "out" / "a").rename(promptctl.home / "out" / "b")
    assert promptctl("sync", "out", "--source", "t").code == 0
    # An export over an existing folder keeps the reasons.
    write(promptctl.home, {"a/prompt.yaml": f"description: other {KEY}\nallow_secrets: {{v1: from the docs}}\n"})
    promptctl("export", "prompts", "--force")
    allowed_secrets = prompt_yaml.parse(
        (promptctl.home / "prompts" / "a" / "prompt.yaml").read_bytes(), "", []
    ).allowed_secrets
    assert allowed_secrets[1] == "from the docs"
    assert promptctl("sync", "prompts", "--source", "s", "--check").code == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("v1", "allow_secrets must be a mapping of versions to reasons, or a list of versions, not 'v1'"),
        ("[v0]", "allow_secrets: a version is a number from 1 to 2147483647, not 'v0'"),
        ("{v1: ''}", "allow_secrets: the reason for v1 must be a text, not ''"),
        ("{v1: x, 1: y}", "allow_secrets names 1 twice"),
        ("[v9]", "allow_secrets names 9, which has no file"),
        ("[v1.txt]", "allow_secrets: a version is a number from 1 to 2147483647, not 'v1.txt'"),
        ("[[1]]", "allow_secrets: a version is a number from 1 to 2147483647, not '[1]'"),
    ],
)
def test_an_invalid_allow_secrets_is_refused(promptctl: Promptctl, value: str, message: str) -> None:
    write(promptctl.home, {"a/v1.txt": "Hello", "a/prompt.yaml": f"allow_secrets: {value}\n"})
    ended = promptctl("sync", "prompts", "--json")
    error = json.loads(ended.err.splitlines()[-1])["error"]
    assert error["message"] == f"prompts/a/prompt.yaml: {message}"
