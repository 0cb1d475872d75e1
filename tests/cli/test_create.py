"""`create`: the editor, standard input, the author, and the log."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import check_failure, check_json_failure
from tests.conftest import AUTHOR, stable

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl


@pytest.fixture
def editor(tmp_path: Path) -> Callable[[str], dict[str, str | None]]:
    """Return a function that returns an environment whose editor runs a script on the file "$1"."""

    def make(script: str) -> dict[str, str | None]:
        path = tmp_path / "my editor"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return {"EDITOR": f"'{path}' --wait", "VISUAL": None}

    return make


SAVE = "shift; printf '%s' '{}' > \"$1\""


def test_the_editor_starts_with_the_active_text_and_its_result_is_stored(
    demo: Promptctl, editor: Callable[[str], dict[str, str | None]], tmp_path: Path
) -> None:
    env = editor(f'shift; cp "$1" {tmp_path}/seen; echo "$1" > {tmp_path}/path; printf \'Be brief.\\r\\n\' > "$1"')
    screen = demo.on_terminal("create", "default-system-prompt", env=env)
    assert screen.code == 0
    assert stable(screen.out) == (
        "created default-system-prompt@4 in llm_app at db.prod, 10 bytes, not active\n"
        "promptctl activate default-system-prompt@4 makes it active\n"
    )
    assert (tmp_path / "seen").read_text() == "You are a concise assistant.\n"
    assert demo("show", "default-system-prompt@4").out == "Be brief.\n"
    path = Path((tmp_path / "path").read_text().strip())
    assert path.name.startswith("default-system-prompt-")
    assert not path.exists()


@pytest.mark.parametrize("name", ["new", "code_helper", "team/new"])
def test_the_editor_starts_empty_without_an_active_version(
    name: str, demo: Promptctl, editor: Callable[[str], dict[str, str | None]], tmp_path: Path
) -> None:
    env = editor(f'shift; wc -c < "$1" > {tmp_path}/seen; {SAVE.removeprefix("shift; ").format("text")}')
    assert demo.on_terminal("create", name, "--activate", "-d", "by hand", env=env).code == 0
    assert (tmp_path / "seen").read_text().strip() == "0"
    assert demo("show", name).out == "text"


def test_an_editor_that_saves_an_endless_file_creates_no_version(
    promptctl: Promptctl, editor: Callable[[str], dict[str, str | None]], tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for script, code, message in (
        ('shift; truncate -s 101M "$1"', 2, "error: the text has more than 104857600 bytes"),
        ('shift; ln -sf /dev/zero "$1"', 1, "error: cannot read the text: is not a regular file"),
    ):
        screen = promptctl.on_terminal("create", "new", columns=200, env=editor(script) | {"TMPDIR": str(temporary)})
        saved_path = max(temporary.iterdir(), key=lambda path: path.lstat().st_ctime_ns)
        assert (screen.code, screen.out) == (code, f"{message}\nhint:  the text is saved in {saved_path}\n")


@pytest.mark.parametrize(
    ("script", "code", "message"),
    [
        ("true", 2, "error: the text was not changed: nothing was created\nhint:  promptctl create --help\n"),
        (SAVE.format(""), 2, "error: the text is empty\nhint:  promptctl create --help\n"),
        ("exit 3", 1, "error: the editor {} ended with 3: nothing was created\nhint:  set EDITOR\n"),
        ("kill -9 $$", 1, "error: the editor {} ended with -9: nothing was created\nhint:  set EDITOR\n"),
        ('shift; : > "$1"', 2, "error: the text is empty\nhint:  promptctl create --help\n"),
    ],
)
def test_an_editor_that_fails_or_saves_no_new_text_creates_no_version(
    script: str, code: int, message: str, demo: Promptctl, editor: Callable[[str], dict[str, str | None]]
) -> None:
    env = editor(script)
    screen = demo.on_terminal("create", "default-system-prompt", env=env)
    assert (screen.code, screen.out) == (code, message.format(env["EDITOR"]))
    assert demo("list", "default-system-prompt").out.split("\t")[3] == "3"


@pytest.mark.parametrize(
    ("name", "text", "code", "message"),
    [
        ("Code_helper", "an hour of work", 5, '"Code_helper" differs from "code_helper" only in case'),
        ("new", "an hour of work\\000", 2, "the text has a NUL character: byte 15"),
        ("new", "\\377 an hour of work", 2, "the text is not UTF-8: byte 0 is 0xff"),
    ],
)
def test_text_from_the_editor_is_saved_in_a_file_if_it_cannot_be_stored(
    name: str, text: str, code: int, message: str, demo: Promptctl, editor: Callable[[str], dict[str, str | None]]
) -> None:
    screen = demo.on_terminal("create", name, env=editor(f"shift; printf '{text}' > \"$1\""), columns=500)
    assert screen.code == code
    error, hint, _ = screen.out.split("\n")
    assert error == f"error: {message}"
    path = Path(hint.removeprefix("hint:  the text is saved in "))
    assert b"an hour of work" in path.read_bytes()
    path.unlink()


@pytest.mark.parametrize("setting", ["/nowhere/editor", "", "'unbalanced"])
def test_an_editor_that_does_not_start_or_fails_is_reported(setting: str, demo: Promptctl) -> None:
    screen = demo.on_terminal("create", "new", env={"EDITOR": setting, "VISUAL": None, "PATH": "/nowhere"})
    assert screen.code == 1
    assert screen.out.startswith("error: cannot start the editor ")
    assert screen.out.endswith("\nhint:  set EDITOR\n")
    failed = demo.on_terminal("create", "new", "--json", env={"EDITOR": "false", "VISUAL": None})
    assert json.loads(failed.out)["error"]["code"] == "editor_failed"


def test_visual_takes_precedence_over_editor(demo: Promptctl, editor: Callable[[str], dict[str, str | None]]) -> None:
    env = editor(SAVE.format("by visual"))
    assert demo.on_terminal("create", "new", env={"VISUAL": env["EDITOR"], "EDITOR": "false"}).code == 0
    assert demo("show", "new@1").out == "by visual"


def test_an_unchanged_text_in_the_editor_has_an_error_code(demo: Promptctl) -> None:
    screen = demo.on_terminal("create", "default-system-prompt", "--json", env={"EDITOR": "true", "VISUAL": None})
    assert json.loads(screen.out)["error"]["code"] == "unchanged"


def test_create_reads_standard_input_only_without_another_text(promptctl: Promptctl) -> None:
    assert promptctl("create", "a", "text", stdin="not this").code == 0
    assert promptctl("show", "a@1").out == "text"
    (promptctl.home / "file").write_text("of the file")
    assert promptctl("create", "b", "-f", "file", stdin="not this").code == 0
    assert promptctl("show", "b@1").out == "of the file"
    assert promptctl("create", "c", "-f", "-", stdin="this").code == 0
    assert promptctl("create", "d", stdin="this too").code == 0
    assert promptctl("show", "c@1").out + promptctl("show", "d@1").out == "thisthis too"
    assert check_failure(promptctl("create", "e", "text", "-f", "-", stdin="this"), 2)


def test_a_text_can_be_typed_on_a_terminal(promptctl: Promptctl) -> None:
    screen = promptctl.on_terminal("create", "typed", "-f", "-", typed=b"Be kind.\n\x04")
    assert screen.code == 0
    assert promptctl("show", "typed@1").out == "Be kind.\n"


def test_create_reads_a_text_from_a_pipe_and_a_device(promptctl: Promptctl) -> None:
    script = f"{' '.join(promptctl.command())} create x -f <(printf text)"
    subprocess.run(["bash", "-c", script], env=promptctl.environment(), check=True, capture_output=True)
    assert promptctl("show", "x@1").out == "text"
    assert check_json_failure(promptctl("create", "y", "-f", "/dev/null", "--json"), 2)["code"] == "empty_content"


def test_create_returns_the_existing_version_with_the_same_text(demo: Promptctl) -> None:
    existing = json.loads(demo("create", "default-system-prompt", "You are a helpful assistant.\n", "--json").out)
    assert (existing["version"], existing["created"], existing["is_active"]) == (1, False, False)
    other = json.loads(demo("create", "default-system-prompt", "You are a helpful assistant.", "--json").out)
    assert (other["version"], other["created"]) == (4, True)
    active = json.loads(
        demo("create", "default-system-prompt", "You are a helpful assistant.\n", "--activate", "--json").out
    )
    assert (active["version"], active["created"], active["is_active"]) == (1, False, True)
    same = demo("create", "default-system-prompt", "You are a helpful assistant.\n", "-d", "Original")
    assert stable(same.err) == "default-system-prompt@1 has this text already in llm_app at db.prod, 29 bytes, active\n"


def test_author_settings_have_an_order_of_precedence(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    git: dict[str, str | None] = {"PROMPTCTL_AUTHOR": None, "GIT_CONFIG_NOSYSTEM": "1"}

    def author(*words: str, **env: str | None) -> str:
        text = f"text {author.turn}"  # pyright: ignore - an attribute of the function itself
        author.turn += 1  # pyright: ignore
        ended = promptctl("create", "x", text, *words, env={**git, **env})
        assert ended.code == 0, ended
        [(who,)] = sql.execute("select created_by from promptctl.versions order by version desc limit 1").fetchall()
        return str(who)

    author.turn = 0  # pyright: ignore
    system = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    assert author() == system
    assert author(PATH="/nowhere") == system
    (promptctl.home / ".gitconfig").write_text("[user]\n\temail = git@example.com\n")
    assert author() == "git@example.com"
    assert author(PATH="/nowhere") == system
    assert author(PROMPTCTL_AUTHOR="  ") == "git@example.com"
    assert author(PROMPTCTL_AUTHOR="env@example.com") == "env@example.com"
    assert author("--author", "option@example.com", PROMPTCTL_AUTHOR="env@example.com") == "option@example.com"
    (promptctl.home / ".gitconfig").write_text("[user\nthis is no configuration\n")
    assert author() == system


def test_every_change_records_author_database_user_and_reason(demo: Promptctl) -> None:
    for words in (
        ["activate", "default-system-prompt@3"], ["rollback", "default-system-prompt"],
        ["delete", "default-system-prompt@1"], ["delete", "--undo", "default-system-prompt@1"],
    ):  # fmt: skip
        assert demo(*words, "--author", "me@example.com", "--reason", "so").code == 0
        event = json.loads(demo("history", "default-system-prompt", "--json", "-n", "1").out)["events"][0]
        assert (event["author"], event["database_user"], event["reason"]) == ("me@example.com", "postgres", "so")


LOG_ENTRIES = {
    "show code_helper@1": [("Using prompt", {"name": "code_helper", "version": 1, "promptId": "ID"})],
    "activate code_helper@1": [
        ("Prompt activated", {"name": "code_helper", "version": 1, "promptId": "ID", "author": AUTHOR})
    ],
    "activate default-system-prompt@2": [],
    "rollback default-system-prompt": [
        ("Prompt rolled back", {"name": "default-system-prompt", "version": 1, "promptId": "ID", "author": AUTHOR})
    ],
    "create new text --activate": [
        ("Version created", {"name": "new", "version": 1, "promptId": "ID", "author": AUTHOR}),
        ("Prompt activated", {"name": "new", "version": 1, "promptId": "ID", "author": AUTHOR}),
    ],
    "delete default-system-prompt@1": [
        ("Version archived", {"name": "default-system-prompt", "version": 1, "author": AUTHOR})
    ],
    "list": [],
}


@pytest.mark.parametrize("line", LOG_ENTRIES)
def test_the_json_log_has_one_object_a_line_on_standard_error(line: str, demo: Promptctl) -> None:
    ended = demo(*line.split(), "-q", "--log-format", "json")
    assert ended.code == 0
    assert "{" not in ended.out
    objects = [json.loads(entry) for entry in ended.err.splitlines()]
    for entry in objects:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
        if "promptId" in entry:
            assert len(entry["promptId"]) == 36
            entry["promptId"] = "ID"
    assert objects == [{"level": "info", "message": message, **fields} for message, fields in LOG_ENTRIES[line]]


def test_verbose_prints_the_log_as_text(demo: Promptctl) -> None:
    ended = demo("activate", "code_helper@1", "-v", "-q")
    message = re.sub(r"[0-9a-f-]{36}", "ID", ended.err)
    assert message == f"Prompt activated  name=code_helper  version=1  promptId=ID  author={AUTHOR}\n"
    assert demo("activate", "code_helper@1", "-q", "--log-format", "text").err == ""
    failed = check_failure(demo("activate", "code_helper@9", "-v"), 4)
    assert failed.err.startswith("error: ")


def test_a_repeated_rollback_to_the_same_version_changes_nothing(demo: Promptctl) -> None:
    first = json.loads(demo("rollback", "default-system-prompt", "--to", "1", "--json").out)
    again = json.loads(demo("rollback", "default-system-prompt", "--to", "1", "--json").out)
    assert (first["changed"], again["changed"]) == (True, False)
    assert json.loads(demo("history", "default-system-prompt", "--json").out)["count"] == 5
    late = demo("rollback", "default-system-prompt", "--to", "1", "--expect", "2")
    assert (late.code, late.out) == (0, "default-system-prompt\t1\t1\n")


def test_repeated_rollbacks_walk_back_along_the_history(promptctl: Promptctl) -> None:
    for number in (1, 2, 3):
        promptctl("create", "x", f"text {number}", "--activate")
    assert promptctl("rollback", "x", "-q").out == "x@2\n"
    assert promptctl("rollback", "x", "-q").out == "x@1\n"
    assert check_failure(promptctl("rollback", "x"), 5)


def test_invisible_characters_are_reported_and_escaped_on_a_terminal(promptctl: Promptctl) -> None:
    hidden = "Be kind.\U000e0069\U000e0067\u200b\n"
    created = promptctl("create", "hidden", hidden)
    assert "hidden@1 contains 3 invisible characters (U+E0069 U+E0067 U+200B)" in created.err
    assert "invisible" not in promptctl("create", "emoji", "👩‍👩‍👧 ❤️").err
    assert promptctl("show", "hidden@1").out == hidden
    assert "Be kind.\\U000e0069\\U000e0067\\u200b\n" in promptctl.on_terminal("show", "hidden@1").out
    promptctl("create", "hidden", "Be kind.\u202e\n")
    screen_text = promptctl.on_terminal("diff", "hidden@1", "hidden@2").out
    assert "\\U000e0067" in screen_text
    assert "\\u202e" in screen_text
    assert "\U000e0067" not in promptctl("show", "hidden@1", "--json").out


def test_control_characters_in_piped_fields_are_escaped(promptctl: Promptctl) -> None:
    promptctl("create", "x", "y", "--activate", "--reason", "red \x1b[31m, bell \x07, \x9b tab\t")
    assert promptctl("history", "x").out.endswith("\tred \\x1b[31m, bell \\x07, \\xc2\\x9b tab\\t\n")
