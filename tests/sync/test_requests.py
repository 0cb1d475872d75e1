"""Request files in a sync: stored with their versions, compared, and never changed."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.sync import plan_documents
from tests.folder.test_prompt_files import write
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl

REQUEST = "thinking: {type: adaptive}\nspeed: fast\n"
SETTING = '{"thinking": {"type": "adaptive"}, "speed": "fast"}'
# Not a key: only its form is that of one.
SECRET = "sk-ant-" + "api03-Zq8vT2mX7cLrW4nB9kHs3JdF6gYpA1eU5iQoR0tM"


def stored_settings(sql: psycopg.Connection[Any]) -> dict[int, dict[str, Any]]:
    return dict(sql.execute("select version, settings from promptctl.versions order by version").fetchall())


def prompts(promptctl: Promptctl, files: dict[str, str | bytes]) -> None:
    write(promptctl.home / "prompts", files)


def test_a_request_is_stored_with_its_version_and_a_second_sync_changes_nothing(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    messages = '{"messages": [{"role": "user", "content": "{city}"}, {"role": "assistant", "content": "Rain."}]}'
    prompts(
        promptctl,
        {
            "a/v1.txt": "Hi {name}.\n", "a/v1.request.yaml": REQUEST, "a/v2.txt": "Hi {name}.\n",
            "a/v2.request.json": messages, "a/prompt.yaml": "cache: 5m\n",
        },
    )  # fmt: skip
    first = promptctl("sync", "prompts")
    assert first.code == 0, first.err
    assert [line for line in first.out.splitlines() if line.startswith("new")] == [
        "new\ta@1\tnew, 11 bytes, request of 51 bytes; variables: name",
        f"new\ta@2\tnew, 11 bytes, request of {len(messages)} bytes; variables: name, city",
    ]
    assert stored_settings(sql) == {
        1: {"cache": "5m", "request": SETTING},
        2: {"cache": "5m", "request": messages},
    }
    for words in (("--check",), ()):
        again = promptctl("sync", "prompts", *words)
        assert (again.code, again.out) == (0, ""), again
        assert "no changes" in again.err


def test_a_changed_request_file_of_a_stored_version_is_a_conflict(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.yaml": REQUEST, "a/v2.txt": "y"})
    promptctl("sync", "prompts")
    prompts(promptctl, {"a/v1.request.yaml": REQUEST.replace("fast", "standard")})
    hint = ""
    for words in ((), ("--check",), ("--dry-run",)):
        refused = promptctl("sync", "prompts", *words)
        assert refused.code == 5
        assert (
            "a@1: prompts/a/v1.request.yaml differs from the request of the stored version, which never changes: "
            "save it as v3" in refused.err
        )
        hint = (
            "promptctl show a@1 --request > prompts/a/v1.request.yaml.stored && cp prompts/a/v1.txt prompts/a/v3.txt"
            " && mv prompts/a/v1.request.yaml prompts/a/v3.request.yaml"
            " && mv prompts/a/v1.request.yaml.stored prompts/a/v1.request.yaml"
        )
        assert f"hint:  {hint}\n" in refused.err
        # The text is not edited, so only the requests are compared.
        assert refused.err.count("--- ") == 1
        assert "--- a@1 request\n+++ prompts/a/v1.request.yaml\n" in refused.err
        assert "-speed: fast\n+speed: standard\n" in refused.err
    assert stored_settings(sql) == {1: {"request": SETTING}, 2: {}}
    run_hint(promptctl, hint)
    after = promptctl("sync", "prompts")
    assert after.code == 0, after.err
    assert stored_settings(sql)[3] == {"request": SETTING.replace("fast", "standard")}
    assert "settings differ" not in after.out
    assert promptctl("sync", "prompts", "--check").code == 0


def run_hint(promptctl: Promptctl, command: str) -> None:
    """Run a hint in a shell that finds this promptctl."""
    program = promptctl.home / "bin" / "promptctl"
    program.parent.mkdir(exist_ok=True)
    program.write_text(f'#!/bin/sh\nexec {shlex.join(promptctl.command())} "$@"\n')
    program.chmod(0o755)
    environment = promptctl.environment() | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    subprocess.run(["sh", "-ec", command], cwd=promptctl.home, env=environment, check=True)


@pytest.mark.parametrize(
    ("request_file", "stored", "edited", "is_text_edited", "restored_file"),
    [
        ("v1.request.yaml", REQUEST, "speed: slow\n", True, "v1.request.yaml"),
        ("v1.request.json", '{"b": 1, "a": [1e16]}', '{"a": 2}', False, "v1.request.json"),
        ("v1.request.json", '{"b": 1}', '{"a": 2}', True, "v1.request.json"),
        ("v1.request.json", '{"b": 1}', '{"b": 1}', True, "v1.request.json"),
        # YAML 1.1 reads the number 1e+16 of the restored JSON as a text.
        ("v1.request.yaml", "a: 1.0e+16\n", "a: 2\n", False, "v1.request.json"),
    ],
)
def test_the_hint_for_edited_files_saves_the_edit_and_restores_what_is_stored(
    promptctl: Promptctl,
    sql: psycopg.Connection[Any],
    request_file: str,
    stored: str,
    edited: str,
    is_text_edited: bool,
    restored_file: str,
) -> None:
    prompts(promptctl, {"a b/c/v1.txt": "x", f"a b/c/{request_file}": stored})
    assert promptctl("sync", "prompts/a b").code == 0
    [first] = stored_settings(sql).values()
    prompts(promptctl, {"a b/c/v1.txt": "y" if is_text_edited else "x", f"a b/c/{request_file}": edited})
    refused = promptctl("sync", "prompts/a b")
    assert refused.code == 5
    run_hint(promptctl, refused.err.splitlines()[-1].removeprefix("hint:").strip())
    assert sorted(path.name for path in (promptctl.home / "prompts/a b/c").iterdir()) == [
        restored_file, "v1.txt", request_file.replace("v1", "v2"), "v2.txt",
    ]  # fmt: skip
    after = promptctl("sync", "prompts/a b")
    assert (after.code, "settings differ" in after.out) == (0, False), after
    assert stored_settings(sql)[1] == first
    assert "request" in stored_settings(sql)[2]
    text = sql.execute("select content from promptctl.versions where version = 2").fetchone()
    assert text == ("y" if is_text_edited else "x",)


@pytest.mark.parametrize("file", ["a/v1.request.json", "a/v1.request.yaml"])
def test_a_request_file_that_is_added_to_a_stored_version_is_a_conflict(promptctl: Promptctl, file: str) -> None:
    prompts(promptctl, {"a/v1.txt": "x"})
    promptctl("sync", "prompts")
    prompts(promptctl, {file: '{"speed": "fast"}'})
    refused = promptctl("sync", "prompts")
    assert refused.code == 5
    assert f"prompts/{file} is new, and the stored version, which never changes, has no request: save it" in refused.err
    # A file without keys stands for no request.
    prompts(promptctl, {file: "{}"})
    assert promptctl("sync", "prompts", "--check").code == 0


def test_the_same_request_in_another_notation_is_no_difference(promptctl: Promptctl) -> None:
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.yaml": REQUEST})
    promptctl("sync", "prompts")
    (promptctl.home / "prompts/a/v1.request.yaml").unlink()
    prompts(promptctl, {"a/v1.request.json": json.dumps(json.loads(SETTING), indent=4)})
    assert promptctl("sync", "prompts", "--check").code == 0
    # The order of keys is a part of a request, because Claude is sent it.
    prompts(promptctl, {"a/v1.request.json": '{"speed": "fast", "thinking": {"type": "adaptive"}}'})
    assert promptctl("sync", "prompts", "--check").code == 5


def test_another_default_is_a_note_about_stored_versions(promptctl: Promptctl) -> None:
    prompts(promptctl, {"a/v1.txt": "x", "a/prompt.yaml": "request: {speed: fast}\n"})
    promptctl("sync", "prompts")
    prompts(promptctl, {"a/prompt.yaml": "request: {speed: standard}\ncache: 1h\n"})
    changed = promptctl("sync", "prompts")
    assert changed.code == 0
    assert changed.out == "note\ta@1\tsettings differ from the stored ones, which never change: cache, request\n"


def test_a_secret_in_a_request_is_refused_with_the_key_that_allows_it(promptctl: Promptctl) -> None:
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.yaml": f"speed: fast\nextra_headers: {{x-key: {SECRET}}}\n"})
    refused = promptctl("sync", "prompts")
    assert refused.code == 5
    assert "prompts/a/v1.request.yaml:2: sk-ant-… looks like an Anthropic API key" in refused.err
    assert 'in prompts/a/prompt.yaml: allow_secrets: {v1: "the reason"}' in refused.err
    prompts(promptctl, {"a/prompt.yaml": 'allow_secrets: {v1: "an example"}\n'})
    allowed = promptctl("sync", "prompts")
    assert allowed.code == 0
    assert "request: sk-ant-… looks like an Anthropic API key, which prompt.yaml allows: an example" in allowed.out


def test_a_new_version_without_the_request_of_the_version_before_it_has_a_note(promptctl: Promptctl) -> None:
    note = "note\ta@{}\thas no request, and @1, {}, has one: thinking, speed; if this is meant, write {{}} in v{}"
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.yaml": REQUEST, "a/v2.txt": "y", "b/v1.txt": "x"})
    # Nothing is stored yet.
    first = promptctl("sync", "prompts")
    assert note.format(2, "the version before it", 2) in first.out
    assert first.out.count("note\t") == 1
    prompts(promptctl, {"a/v3.txt": "z", "a/prompt.yaml": "active: 1\n"})
    # The version before it has no request either, but the active one has.
    assert promptctl("activate", "a@1").code == 0
    for words in (("--dry-run",), ()):
        third = promptctl("sync", "prompts", *words)
        assert note.format(3, "the active version", 3) + ".request.yaml\n" in third.out
        assert third.out.count("note\t") == 1
    prompts(promptctl, {"a/v4.txt": "z", "a/v4.request.yaml": "{}\n"})
    assert "note\t" not in promptctl("sync", "prompts").out


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"request": [1]}, "settings: request is not a text with a JSON object"),
        ({"request": 5}, "settings: request is not a text with a JSON object"),
        ({"request": "not json"}, "settings: request: not JSON"),
        ({"request": "[]"}, "settings: request: is a list, not an object"),
        ({"request": '{"model": "x"}'}, "settings: request: model belongs in"),
        ({"request": '{"a": 1, "a": 2}'}, "settings: request: the key 'a' appears twice"),
        ({"cache": 5}, "settings: cache must be 5m or 1h, not 5"),
        ({"max_tokens": "x"}, "settings: max_tokens must be a number"),
        ({"variables": [1]}, "settings: variables must be a mapping of names"),
        ({"other": 1}, 'settings: unknown key "other"'),
    ],
)
def test_a_saved_plan_with_settings_that_no_folder_can_have_is_invalid(
    promptctl: Promptctl, settings: dict[str, Any], complaint: str
) -> None:
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.yaml": REQUEST})
    assert promptctl("sync", "prompts", "--save-plan", "plan.json").code == 0
    path = promptctl.home / "plan.json"
    plan = json.loads(path.read_text())
    plan["work"]["plan"]["changes"][0]["file"]["settings"] = settings
    path.write_text(json.dumps(plan | {"digest": plan_documents.digest(plan)}))
    refused = promptctl("sync", "--apply-plan", "plan.json")
    assert (refused.code, f"is not a saved plan: change 1: file: {complaint}" in refused.err) == (1, True), refused.err
    assert "invalid_plan" in promptctl("sync", "--apply-plan", "plan.json", "--json").err


def test_a_saved_plan_has_the_requests(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.yaml": REQUEST})
    assert promptctl("sync", "prompts", "--save-plan", "plan.json").code == 0
    (promptctl.home / "prompts/a/v1.request.yaml").write_text("speed: standard\n")
    assert promptctl("sync", "--apply-plan", "plan.json").code == 0
    assert stored_settings(sql) == {1: {"request": SETTING}}


def test_a_version_is_not_all_committed_if_its_request_file_is_not(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    repository = Repository(promptctl.home / "repository", promptctl.home)
    repository.commit({"prompts/a/v1.txt": "x", "prompts/b/v1.txt": "y", "prompts/b/v1.request.yaml": REQUEST})
    repository.write({"prompts/a/v1.request.yaml": REQUEST})
    synced = promptctl("sync", "repository/prompts")
    assert "new\ta@1\tnew, 1 bytes, request of 51 bytes; by ada@example.com; not committed\n" in synced.out
    assert "new\tb@1\tnew, 1 bytes, request of 51 bytes; by ada@example.com\n" in synced.out
    rows = sql.execute("select name, origin ->> 'dirty', origin ->> 'path' from promptctl.versions order by name")
    assert rows.fetchall() == [("a", "true", "prompts/a/v1.txt"), ("b", "false", "prompts/b/v1.txt")]


def test_warnings_about_messages_are_notes_of_a_new_version(promptctl: Promptctl) -> None:
    repository = Repository(promptctl.home / "repository", promptctl.home)
    repository.commit({"prompts/b/v1.txt": "x"})
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    repository.write({"prompts/a/v1.txt": "x", "prompts/a/v1.request.json": json.dumps({"messages": messages})})
    for words in (("--check",), ("--check", "--offline"), ()):
        ended = promptctl("sync", "repository/prompts", *words)
        assert "note\ta@1\tmessages do not alternate: messages[0] and messages[1]" in ended.out, ended


def test_an_invalid_request_ends_a_sync_before_anything_is_stored(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.yaml": "model: x\n", "a/prompt.yaml": "temperature: 1\n"})
    refused = promptctl("sync", "prompts", "--json")
    assert refused.code == 1
    error = json.loads(refused.out)["error"] if refused.out else json.loads(refused.err)["error"]
    assert error["message"].endswith(
        "unknown key 'temperature': a parameter of Claude's API belongs in request: {temperature: …} (and 1 more error)"
    )
    assert stored_settings(sql) == {}


def test_a_plan_compares_the_requests_of_the_new_and_the_active_version(
    promptctl: Promptctl, snapshot: Callable[..., None]
) -> None:
    prompts(promptctl, {"a/v1.txt": "Hi {name}.\n", "a/v1.request.yaml": REQUEST, "a/prompt.yaml": "active: 1\n"})
    promptctl("sync", "prompts")
    tools = "tools:\n  - name: weather\n    description: |\n      Returns the weather.\n      In one line.\n"
    prompts(
        promptctl,
        {
            "a/v2.txt": "Hi {name}.\n", "a/v2.request.yaml": REQUEST.replace("fast", "standard") + tools,
            "a/v3.txt": "Hello {name}.\n", "a/v3.request.yaml": REQUEST + tools, "a/v4.txt": "Hello {name}.\n",
        },
    )  # fmt: skip
    snapshot(promptctl.on_terminal("sync", "prompts", "--dry-run").out, "sync-requests-terminal")
    snapshot(promptctl("sync", "prompts", "--dry-run", "--format", "markdown").out, "sync-requests-markdown")
    plan = json.loads(promptctl("sync", "prompts", "--dry-run", "--json").out)
    diffs = {change["version"]: change["diff"] for change in plan["changes"] if change["kind"] == "new"}
    # Equal texts are not compared. The difference of a text comes before that of the request.
    assert diffs[2].startswith("--- a@1 request\n+++ a@2 request\n")
    assert diffs[3].startswith("--- a@1\n+++ a@3\n")
    assert "\n--- a@1 request\n+++ a@3 request\n" in diffs[3]
    assert "-thinking: {type: adaptive}\n-speed: fast\n" in diffs[4]
