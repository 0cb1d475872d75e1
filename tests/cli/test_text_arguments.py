"""Where a text comes from: `-` is standard input, and an argument that names a file is not stored as a text."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.commands import check_failure, check_json_failure
from tests.conftest import stable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Promptctl


def test_a_dash_reads_standard_input_and_is_a_text_after_the_option_text(promptctl: Promptctl) -> None:
    assert promptctl("create", "a", "-", stdin="of the pipe").code == 0
    assert promptctl("show", "a@1").out == "of the pipe"
    assert promptctl("create", "a", "--", "-", stdin="after the dashes").code == 0
    assert promptctl("show", "a@2").out == "after the dashes"
    assert promptctl("create", "a", "--text", "-", stdin="not this").code == 0
    assert promptctl("show", "a@3").out == "-"
    for words in (("a", "-", "-f", "-"), ("a", "-", "-f", "x"), ("a", "-", "--text", "x"), ("a", "x", "--text", "x"),
                  ("a", "--text", "x", "-f", "-")):  # fmt: skip
        assert "the text is set twice" in check_failure(promptctl("create", *words, stdin="x"), 2).err
    assert "standard input is empty" in check_failure(promptctl("create", "a", "-"), 2).err


def test_reading_from_a_terminal_prints_how_to_end_the_text(promptctl: Promptctl) -> None:
    screen = promptctl.on_terminal("create", "typed", "-", typed=b"Be kind.\n\x04")
    assert screen.code == 0
    assert "reading from the terminal: press Ctrl-D on an empty line to end the text\n" in screen.out
    assert promptctl("show", "typed@1").out == "Be kind.\n"


def split_line(words: str) -> list[str]:
    return shlex.split(words)


# Command line: the problem with the argument, and the command in the hint.
REFUSED = {
    "create a sys.txt": ("is a file: use -f to read it", "promptctl create a -f sys.txt"),
    "create a ./sys.txt --activate": ("is a file: use -f to read it", "promptctl create a --activate -f ./sys.txt"),
    "create a link.txt": ("is a file: use -f to read it", "promptctl create a -f link.txt"),
    "create a dangling.txt": ("is a file: use -f to read it", "promptctl create a -f dangling.txt"),
    "create a unreadable": ("is a file: use -f to read it", "promptctl create a -f unreadable"),
    "create a pipe": ("is a file: use -f to read it", "promptctl create a -f pipe"),
    "create a /dev/stdin": ("is a file: use -f to read it", "promptctl create a -f /dev/stdin"),
    "create a 'two words.txt'": ("is a file: use -f to read it", "promptctl create a -f 'two words.txt'"),
    "create a file://sys.txt": ("is a file: use -f to read it", "promptctl create a -f sys.txt"),
    "create a -- sys.txt": ("is a file: use -f to read it", "promptctl create a -f sys.txt"),
    "create a folder": ("is a folder: use --text", "promptctl create a --text folder"),
    "create a ./folder/": ("is a folder: use --text", "promptctl create a --text ./folder/"),
    "create a .": ("is a folder: use --text", "promptctl create a --text ."),
    "create a @sys.txt": ("starts with @: use -f to read a file", "promptctl create a -f sys.txt"),
    "create a @nothing": ("starts with @: use -f to read a file", "promptctl create a -f nothing"),
    "create a '@bob be kind'": ("starts with @: use -f to read a file", "promptctl create a --text '@bob be kind'"),
    "create a @": ("starts with @: use -f to read a file", "promptctl create a --text @"),
    "create a sys.tx": None,
    "create a sy.txt": ("but no such file exists", "promptctl create a --text sy.txt"),
    "create a ../prompts/x": ("but no such file exists", "promptctl create a --text ../prompts/x"),
    "create a /nowhere": ("but no such file exists", "promptctl create a --text /nowhere"),
    "create a v1.MD": ("but no such file exists", "promptctl create a --text v1.MD"),
    "create a 'Read sys.txt'": None,
    "create a 'Read\nsys.txt'": None,
    "create a '@bob\nbe kind'": None,
    "create a --text sys.txt": None,
    "create a --text @sys.txt": None,
    "create a sys": None,
    "chat a sys.txt": ("is a file: use -f to read it", "promptctl chat a -f sys.txt"),
    "chat a sys.txt --usage": ("is a file: use -f to read it", "promptctl chat a --usage -f sys.txt"),
    "chat a @sys.txt": ("starts with @: use -f to read a file", "promptctl chat a -f sys.txt"),
    "chat a folder": ("is a folder: use --text", "promptctl chat a --text folder"),
    "chat a sy.txt": ("but no such file exists", "promptctl chat a --text sy.txt"),
}


def test_an_argument_that_names_a_file_is_refused_as_a_text(promptctl: Promptctl) -> None:
    folder = promptctl.home
    (folder / "sys.txt").write_text("of the file")
    (folder / "two words.txt").write_text("of the other file")
    (folder / "link.txt").symlink_to("sys.txt")
    (folder / "dangling.txt").symlink_to("nowhere")
    (folder / "unreadable").write_text("secret")
    (folder / "unreadable").chmod(0)
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    stored = 0
    for line, expected in REFUSED.items():
        words = split_line(line)
        ended = promptctl(*words)
        if expected is None:
            assert ended.code == 0, (line, ended)
            stored += 1
            assert promptctl("show", f"a@{stored}").out == words[-1]
            continue
        told = check_failure(ended, 2).err
        message, hint = expected
        assert message in told, line
        assert told.endswith(f"\nhint:  {hint}\n"), (line, told)
    assert check_json_failure(promptctl("create", "a", "sys.txt", "--json"), 2)["code"] == "text_is_a_file"
    # The command of the hint succeeds.
    assert promptctl("create", "a", "-f", "sys.txt").code == 0
    assert promptctl("show", f"a@{stored + 1}").out == "of the file"


def test_chat_reads_its_message_from_standard_input(
    demo: Promptctl, claude_env: Callable[..., dict[str, str | None]]
) -> None:
    for words in (("-",), ("-f", "-"), ()):
        ended = demo("chat", "default-system-prompt", *words, "--json", stdin="Hello?", env=claude_env())
        assert (ended.code, json.loads(ended.out)["outcome"]) == (0, "ok"), ended
    assert demo("chat", "default-system-prompt", "--text", "-", "-q", env=claude_env()).code == 0
    both = demo("chat", "default-system-prompt", "-", "--vars-file", "-", stdin="x", env=claude_env())
    assert "standard input cannot be both the message and the file" in check_failure(both, 2).err


@pytest.mark.parametrize(("text", "size"), [("x", "1 byte"), ("Grüße, 日本.", "16 bytes")])
def test_create_prints_the_size_of_the_text(text: str, size: str, promptctl: Promptctl) -> None:
    for done in ("created a@1", "a@1 has this text already"):
        ended = promptctl("create", "a", text)
        assert stable(ended.err) == f"{done} in llm_app at db.prod, {size}, not active\n"
    assert size in promptctl.on_terminal("create", "a", text).out
    assert json.loads(promptctl("create", "a", text, "--json").out)["bytes"] == len(text.encode())


def test_a_reason_that_is_not_recorded_is_reported(promptctl: Promptctl) -> None:
    assert "the reason is not recorded" in promptctl("create", "a", "text", "-m", "first try").err
    assert "the reason" not in promptctl("create", "a", "other", "--activate", "-m", "first try").err
    assert json.loads(promptctl("history", "a", "--json").out)["events"][0]["reason"] == "first try"


def test_the_shell_reads_statements_from_a_file_and_from_standard_input(demo: Promptctl) -> None:
    (demo.home / "count.sql").write_text("select count(*) from prompts where is_active\n;")
    for words, stdin in ((("-f", "count.sql"), ""), (("--file", "-"), "select 2;"), ((), "select 2;")):
        ended = demo("db", "shell", *words, stdin=stdin)
        assert (ended.code, ended.out.split("\n")[2].strip()) == (0, "2"), ended
    (demo.home / "wrong.sql").write_text("selec;")
    assert demo("db", "shell", "-f", "wrong.sql").code == 3
    assert check_json_failure(demo("db", "shell", "-f", "nothing.sql", "--json"), 1)["code"] == "cannot_read"
    assert (
        "use only one of --command and --file" in check_failure(demo("db", "shell", "-f", "-", "-c", "select 1"), 2).err
    )


def test_a_hint_with_a_file_name_is_quoted_for_the_shell(promptctl: Promptctl) -> None:
    name = "it's $HOME `x`.txt"
    (promptctl.home / name).write_text("of a file with a name")
    hint = check_failure(promptctl("create", "a", name), 2).err.split("hint:  ")[1].strip()
    script = hint.replace("promptctl", shlex.join(promptctl.command()), 1)
    subprocess.run(
        ["sh", "-c", script], check=True, env=promptctl.environment(), cwd=promptctl.home, capture_output=True
    )
    assert promptctl("show", "a@1").out == "of a file with a name"
