"""Creating versions: the editor, standard input, who did it, what is logged."""

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
    """The environment with an editor that does this to the file "$1"."""

    def make(script: str) -> dict[str, str | None]:
        path = tmp_path / "my editor"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return {"EDITOR": f"'{path}' --wait", "VISUAL": None}

    return make


SAVE = "shift; printf '%s' '{}' > \"$1\""


def test_the_editor_opens_on_the_active_text_and_what_is_saved_becomes_a_version(
    demo: Promptctl, editor: Callable[[str], dict[str, str | None]], tmp_path: Path
) -> None:
    env = editor(f'shift; cp "$1" {tmp_path}/seen; echo "$1" > {tmp_path}/path; printf \'Be brief.\\r\\n\' > "$1"')
    seen = demo.on_terminal("create", "default-system-prompt", env=env)
    assert seen.code == 0
    assert stable(seen.out) == (
        "created default-system-prompt@4 in llm_app at db.prod, 10 bytes, not active\n"
        "promptctl activate default-system-prompt@4 makes it active\n"
    )
    assert (tmp_path / "seen").read_text() == "You are a concise assistant.\n"
    assert demo("show", "default-system-prompt@4").out == "Be brief.\n"
    path = Path((tmp_path / "path").read_text().strip())
    assert path.name.startswith("default-system-prompt-")
    assert not path.exists()


@pytest.mark.parametrize("name", ["new", "code_helper", "team/new"])
def test_the_editor_opens_empty_where_nothing_is_active(
    name: str, demo: Promptctl, editor: Callable[[str], dict[str, str | None]], tmp_path: Path
) -> None:
    env = editor(f'shift; wc -c < "$1" > {tmp_path}/seen; {SAVE.removeprefix("shift; ").format("text")}')
    assert demo.on_terminal("create", name, "--activate", "-d", "by hand", env=env).code == 0
    assert (tmp_path / "seen").read_text().strip() == "0"
    assert demo("show", name).out == "text"


def test_an_editor_that_saves_what_has_no_end_creates_nothing(
    promptctl: Promptctl, editor: Callable[[str], dict[str, str | None]], tmp_path: Path
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for script, code, told in (
        ('shift; truncate -s 101M "$1"', 2, "error: the text has more than 104857600 bytes"),
        ('shift; ln -sf /dev/zero "$1"', 1, "error: cannot read the text: is not a regular file"),
    ):
        seen = promptctl.on_terminal("create", "new", columns=200, env=editor(script) | {"TMPDIR": str(temporary)})
        kept = max(temporary.iterdir(), key=lambda path: path.lstat().st_ctime_ns)
        assert (seen.code, seen.out) == (code, f"{told}\nhint:  the text is saved in {kept}\n")


@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        ("true", 2, "error: the text was not changed: nothing was created\nhint:  promptctl create --help\n"),
        (SAVE.format(""), 2, "error: the text is empty\nhint:  promptctl create --help\n"),
        ("exit 3", 1, "error: the editor {} ended with 3: nothing was created\nhint:  set EDITOR\n"),
        ("kill -9 $$", 1, "error: the editor {} ended with -9: nothing was created\nhint:  set EDITOR\n"),
        ('shift; : > "$1"', 2, "error: the text is empty\nhint:  promptctl create --help\n"),
    ],
)
def test_an_editor_that_saves_nothing_usable_creates_nothing(
    script: str, code: int, told: str, demo: Promptctl, editor: Callable[[str], dict[str, str | None]]
) -> None:
    env = editor(script)
    seen = demo.on_terminal("create", "default-system-prompt", env=env)
    assert (seen.code, seen.out) == (code, told.format(env["EDITOR"]))
    assert demo("list", "default-system-prompt").out.split("\t")[3] == "3"


@pytest.mark.parametrize(
    ("name", "text", "code", "told"),
    [
        ("Code_helper", "an hour of work", 5, '"Code_helper" differs from "code_helper" only in case'),
        ("new", "an hour of work\\000", 2, "the text has a NUL character: byte 15"),
        ("new", "\\377 an hour of work", 2, "the text is not UTF-8: byte 0 is 0xff"),
    ],
)
def test_what_somebody_wrote_is_kept_when_it_cannot_be_stored(
    name: str, text: str, code: int, told: str, demo: Promptctl, editor: Callable[[str], dict[str, str | None]]
) -> None:
    seen = demo.on_terminal("create", name, env=editor(f"shift; printf '{text}' > \"$1\""), columns=500)
    assert seen.code == code
    error, hint, _ = seen.out.split("\n")
    assert error == f"error: {told}"
    path = Path(hint.removeprefix("hint:  the text is saved in "))
    assert b"an hour of work" in path.read_bytes()
    path.unlink()


@pytest.mark.parametrize("setting", ["/nowhere/editor", "", "'unbalanced"])
def test_an_editor_that_cannot_be_started_is_told(setting: str, demo: Promptctl) -> None:
    seen = demo.on_terminal("create", "new", env={"EDITOR": setting, "VISUAL": None, "PATH": "/nowhere"})
    assert seen.code == 1
    assert seen.out.startswith("error: cannot start the editor ")
    assert seen.out.endswith("\nhint:  set EDITOR\n")
    failed = demo.on_terminal("create", "new", "--json", env={"EDITOR": "false", "VISUAL": None})
    assert json.loads(failed.out)["error"]["code"] == "editor_failed"


def test_visual_outranks_editor(demo: Promptctl, editor: Callable[[str], dict[str, str | None]]) -> None:
    env = editor(SAVE.format("by visual"))
    assert demo.on_terminal("create", "new", env={"VISUAL": env["EDITOR"], "EDITOR": "false"}).code == 0
    assert demo("show", "new@1").out == "by visual"


def test_an_unchanged_text_has_a_code(demo: Promptctl) -> None:
    seen = demo.on_terminal("create", "default-system-prompt", "--json", env={"EDITOR": "true", "VISUAL": None})
    assert json.loads(seen.out)["error"]["code"] == "unchanged"


def test_standard_input_is_left_alone_unless_it_is_asked_for(promptctl: Promptctl) -> None:
    assert promptctl("create", "a", "text", stdin="not this").code == 0
    assert promptctl("show", "a@1").out == "text"
    (promptctl.home / "file").write_text("of the file")
    assert promptctl("create", "b", "-f", "file", stdin="not this").code == 0
    assert promptctl("show", "b@1").out == "of the file"
    assert promptctl("create", "c", "-f", "-", stdin="this").code == 0
    assert promptctl("create", "d", stdin="this too").code == 0
    assert promptctl("show", "c@1").out + promptctl("show", "d@1").out == "thisthis too"
    assert check_failure(promptctl("create", "e", "text", "-f", "-", stdin="this"), 2)


def test_a_person_can_type_the_text_on_a_terminal(promptctl: Promptctl) -> None:
    seen = promptctl.on_terminal("create", "typed", "-f", "-", typed=b"Be kind.\n\x04")
    assert seen.code == 0
    assert promptctl("show", "typed@1").out == "Be kind.\n"


def test_a_pipe_and_a_device_are_files_too(promptctl: Promptctl) -> None:
    script = f"{' '.join(promptctl.command())} create x -f <(printf text)"
    subprocess.run(["bash", "-c", script], env=promptctl.environment(), check=True, capture_output=True)
    assert promptctl("show", "x@1").out == "text"
    assert check_json_failure(promptctl("create", "y", "-f", "/dev/null", "--json"), 2)["code"] == "empty_content"


def test_a_text_that_a_version_has_returns_that_version(demo: Promptctl) -> None:
    again = json.loads(demo("create", "default-system-prompt", "You are a helpful assistant.\n", "--json").out)
    assert (again["version"], again["created"], again["is_active"]) == (1, False, False)
    other = json.loads(demo("create", "default-system-prompt", "You are a helpful assistant.", "--json").out)
    assert (other["version"], other["created"]) == (4, True)
    live = json.loads(
        demo("create", "default-system-prompt", "You are a helpful assistant.\n", "--activate", "--json").out
    )
    assert (live["version"], live["created"], live["is_active"]) == (1, False, True)
    same = demo("create", "default-system-prompt", "You are a helpful assistant.\n", "-d", "Original")
    assert stable(same.err) == "default-system-prompt@1 has this text already in llm_app at db.prod, 29 bytes, active\n"


def test_the_author_is_found_in_order(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
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


def test_every_change_says_who_did_it(demo: Promptctl) -> None:
    for words in (
        ["activate", "default-system-prompt@3"], ["rollback", "default-system-prompt"],
        ["delete", "default-system-prompt@1"], ["delete", "--undo", "default-system-prompt@1"],
    ):  # fmt: skip
        assert demo(*words, "--author", "me@example.com", "--reason", "so").code == 0
        event = json.loads(demo("history", "default-system-prompt", "--json", "-n", "1").out)["events"][0]
        assert (event["author"], event["database_user"], event["reason"]) == ("me@example.com", "postgres", "so")


LOGGED = {
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


@pytest.mark.parametrize("line", LOGGED)
def test_the_log_is_one_object_a_line_and_leaves_the_answer_alone(line: str, demo: Promptctl) -> None:
    ended = demo(*line.split(), "-q", "--log-format", "json")
    assert ended.code == 0
    assert "{" not in ended.out
    objects = [json.loads(each) for each in ended.err.splitlines()]
    for each in objects:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", each.pop("time"))
        if "promptId" in each:
            assert len(each["promptId"]) == 36
            each["promptId"] = "ID"
    assert objects == [{"level": "info", "message": message, **fields} for message, fields in LOGGED[line]]


def test_the_log_in_words(demo: Promptctl) -> None:
    ended = demo("activate", "code_helper@1", "-v", "-q")
    told = re.sub(r"[0-9a-f-]{36}", "ID", ended.err)
    assert told == f"Prompt activated  name=code_helper  version=1  promptId=ID  author={AUTHOR}\n"
    assert demo("activate", "code_helper@1", "-q", "--log-format", "text").err == ""
    failed = check_failure(demo("activate", "code_helper@9", "-v"), 4)
    assert failed.err.startswith("error: ")


def test_a_script_that_retries_names_its_goal(demo: Promptctl) -> None:
    first = json.loads(demo("rollback", "default-system-prompt", "--to", "1", "--json").out)
    again = json.loads(demo("rollback", "default-system-prompt", "--to", "1", "--json").out)
    assert (first["changed"], again["changed"]) == (True, False)
    assert json.loads(demo("history", "default-system-prompt", "--json").out)["count"] == 5
    late = demo("rollback", "default-system-prompt", "--to", "1", "--expect", "2")
    assert (late.code, late.out) == (0, "default-system-prompt\t1\t1\n")


def test_rollback_walks_back_and_never_toggles(promptctl: Promptctl) -> None:
    for number in (1, 2, 3):
        promptctl("create", "x", f"text {number}", "--activate")
    assert promptctl("rollback", "x", "-q").out == "x@2\n"
    assert promptctl("rollback", "x", "-q").out == "x@1\n"
    assert check_failure(promptctl("rollback", "x"), 5)


def test_characters_that_nobody_sees_are_noted_and_shown(promptctl: Promptctl) -> None:
    hidden = "Be kind.\U000e0069\U000e0067\u200b\n"
    made = promptctl("create", "hidden", hidden)
    assert "hidden@1 contains 3 invisible characters (U+E0069 U+E0067 U+200B)" in made.err
    assert "invisible" not in promptctl("create", "emoji", "👩‍👩‍👧 ❤️").err
    assert promptctl("show", "hidden@1").out == hidden
    assert "Be kind.\\U000e0069\\U000e0067\\u200b\n" in promptctl.on_terminal("show", "hidden@1").out
    promptctl("create", "hidden", "Be kind.\u202e\n")
    seen = promptctl.on_terminal("diff", "hidden@1", "hidden@2").out
    assert "\\U000e0067" in seen
    assert "\\u202e" in seen
    assert "\U000e0067" not in promptctl("show", "hidden@1", "--json").out


def test_fields_in_a_pipe_have_no_control_characters(promptctl: Promptctl) -> None:
    promptctl("create", "x", "y", "--activate", "--reason", "red \x1b[31m, bell \x07, \x9b tab\t")
    assert promptctl("history", "x").out.endswith("\tred \\x1b[31m, bell \\x07, \\xc2\\x9b tab\\t\n")
