"""Long output on a terminal goes through the pager; other output does not."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.output.pager import fits
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.conftest import Promptctl

# More than the 50 lines of the tests' terminals.
LINES = "".join(f"line {number}\n" for number in range(200))
PLAIN = LINES.replace("line", "\x1b[2Jline")
ESCAPED = LINES.replace("line", "\\x1b[2Jline")


@pytest.fixture
def promptctl_with_long_prompt(demo: Promptctl, sql: psycopg.Connection[Any]) -> Promptctl:
    """The command line with a prompt that is longer than a terminal, and so old that its age is printed the same."""
    assert demo("create", "long", "-f", "-", "--activate", stdin=PLAIN).code == 0
    sql.execute(
        """
        set session_replication_role = replica;
        update promptctl.versions set created_at = now() - interval '2 days 1 hour' where name = 'long';
        update promptctl.allocations set changed_at = now() - interval '2 days 1 hour' where name = 'long';
        reset session_replication_role
        """
    )
    return demo


@pytest.fixture
def pager(tmp_path: Path) -> Callable[..., str]:
    """Makes a pager that keeps what it is given in `kept`, its arguments in `arguments`; returns its command line."""

    def make(script: str = 'cat >"$KEPT"; echo PAGED', name: str = "my pager") -> str:
        path = tmp_path / name
        start = f"#!/bin/sh\nKEPT={shlex.quote(str(tmp_path / 'kept'))}\n"
        path.write_text(f"{start}printf '%s\\n' \"$@\" >{shlex.quote(str(tmp_path / 'arguments'))}\n{script}\n")
        path.chmod(0o755)
        return shlex.quote(str(path))

    return make


def test_long_output_goes_through_the_pager_with_its_arguments(
    promptctl_with_long_prompt: Promptctl, pager: Callable[..., str], tmp_path: Path
) -> None:
    for variables in ({"PAGER": "{} -S 'a b'"}, {"PROMPTCTL_PAGER": "{} -S 'a b'", "PAGER": "false"}):
        env: dict[str, str | None] = {"TERM": "xterm"}
        env.update({name: value.format(pager()) for name, value in variables.items()})
        screen = promptctl_with_long_prompt.on_terminal("show", "long@1", env=env)
        assert screen.code == 0
        assert screen.out == "PAGED\n"
        # Control characters of the text are escaped.
        assert (tmp_path / "kept").read_text().endswith(ESCAPED)
        assert "\x1b" not in (tmp_path / "kept").read_text().removesuffix(ESCAPED)
        assert (tmp_path / "arguments").read_text() == "-S\na b\n"


def test_the_pager_gets_notes_in_their_place_and_colors(
    promptctl_with_long_prompt: Promptctl, pager: Callable[..., str], tmp_path: Path
) -> None:
    for number in range(25):
        assert promptctl_with_long_prompt("create", "long", f"text {number}").code == 0
    screen = promptctl_with_long_prompt.on_terminal("show", "long", env={"TERM": "xterm", "PAGER": pager()})
    assert screen.out == "PAGED\n"
    kept = (tmp_path / "kept").read_text()
    assert "\x1b[32m* \x1b[0m" in kept
    assert kept.index("--limit 0 shows all") < kept.index("line 0\n")
    # With standard error redirected, the note goes there.
    words = shlex.join(promptctl_with_long_prompt.command("show", "long"))
    env = promptctl_with_long_prompt.environment({"TERM": "xterm", "PAGER": pager()})
    with Terminal(["sh", "-c", f"{words} 2>said"], env, promptctl_with_long_prompt.home) as terminal:
        assert terminal.end() == 0
    assert "--limit 0 shows all" in (promptctl_with_long_prompt.home / "said").read_text()
    assert "--limit 0 shows all" not in (tmp_path / "kept").read_text()


def test_commands_that_only_read_and_help_use_the_pager(
    promptctl_with_long_prompt: Promptctl, pager: Callable[..., str]
) -> None:
    for number in range(60):
        assert promptctl_with_long_prompt("create", f"p{number}", "text", "--activate").code == 0
    env: dict[str, str | None] = {"TERM": "xterm", "PAGER": pager()}
    for words in (
        "list", "history --limit 0", "show long", "diff default-system-prompt long", "--help", "help", "sync --help",
    ):  # fmt: skip
        assert promptctl_with_long_prompt.on_terminal(*words.split(), env=env).out == "PAGED\n", words


def test_output_is_unchanged_if_the_pager_is_turned_off(
    promptctl_with_long_prompt: Promptctl, pager: Callable[..., str]
) -> None:
    env: dict[str, str | None] = {"TERM": "xterm", "NO_COLOR": "1", "PAGER": pager()}
    plain = promptctl_with_long_prompt.on_terminal("show", "long@1", env={"NO_COLOR": "1"}).out
    assert plain.endswith(ESCAPED)
    off: list[dict[str, str | None]] = [
        {"TERM": "dumb"}, {"TERM": None}, {"CI": "true"}, {"PAGER": ""}, {"PAGER": "cat"}, {"PAGER": " "},
        {"PROMPTCTL_PAGER": ""}, {"PROMPTCTL_PAGER": "cat"},
    ]  # fmt: skip
    for variables in off:
        assert promptctl_with_long_prompt.on_terminal("show", "long@1", env=env | variables).out == plain, variables
    assert promptctl_with_long_prompt.on_terminal("show", "long@1", "--no-pager", env=env).out == plain
    for words in ("show long@1 --json", "--help --no-pager", "sync --no-pager --help", "db schema", "list"):
        assert "PAGED" not in promptctl_with_long_prompt.on_terminal(*words.split(), env=env).out, words
    assert promptctl_with_long_prompt("show", "long@1", env=env).out == PLAIN


def test_only_output_with_more_screen_lines_than_the_terminal_uses_the_pager(
    demo: Promptctl, pager: Callable[..., str]
) -> None:
    env: dict[str, str | None] = {"TERM": "xterm", "PAGER": pager()}
    for text, is_paged in {"a\n" * 40: False, "a\n" * 60: True, "x" * 80 * 40: False, "x" * 80 * 60: True}.items():
        demo("create", "t", "-f", "-", "--activate", stdin=text)
        screen = demo.on_terminal("diff", "code_helper@1", "t", env=env).out
        assert (screen == "PAGED\n") == is_paged
    # One of the fifty lines of the terminal is left for the shell prompt.
    red = "\x1b[31m{}\x1b[0m\n"
    for line, most in {
        "a\n": 49,
        "x" * 80 + "\n": 49,
        "x" * 81 + "\n": 24,
        "漢" * 40 + "\n": 49,
        "漢" * 41 + "\n": 24,
        "\t" * 10 + "\n": 49,
        "\t" * 10 + "a\n": 24,
        red.format("x" * 80): 49,
        "\n": 49,
    }.items():
        assert fits(line * most, 80, 50), line
        assert not fits(line * (most + 1), 80, 50), line


def test_the_exit_code_does_not_depend_on_the_end_of_the_pager(
    promptctl_with_long_prompt: Promptctl, pager: Callable[..., str]
) -> None:
    env: dict[str, str | None] = {"TERM": "xterm", "NO_COLOR": "1"}
    big = "x" * 79 + "\n"
    assert promptctl_with_long_prompt("create", "big", "-f", "-", stdin=big * 20_000).code == 0
    screen = promptctl_with_long_prompt.on_terminal("show", "big@1", env=env | {"PAGER": pager("head -n 2")})
    assert (screen.code, screen.out.count(big)) == (0, 1)
    differ = ("diff", "default-system-prompt@1", "long@1", "--exit-code")
    screen = promptctl_with_long_prompt.on_terminal(*differ, env=env | {"PAGER": pager()})
    assert (screen.code, screen.out) == (3, "PAGED\n")
    screen = promptctl_with_long_prompt.on_terminal(
        "show", "long@1", env=env | {"PAGER": pager("exit 9", name="broken")}
    )
    assert screen.code == 0
    assert screen.out.endswith("broken exited with code 9: --no-pager shows the answer without a pager\n")
    # It runs no builtin that waits: a shell that gets a signal just before `read` waits on.
    waits = pager("trap 'echo STOPPED; exit 1' INT; echo READY; while :; do sleep 0.05; done")
    words = promptctl_with_long_prompt.command("show", "long@1")
    with Terminal(
        words, promptctl_with_long_prompt.environment(env | {"PAGER": waits}), promptctl_with_long_prompt.home
    ) as terminal:
        terminal.wait_for("READY")
        terminal.type("\x03")
        assert terminal.end() == 0
        assert terminal.rest().endswith("STOPPED\n")


def test_output_is_printed_with_a_warning_if_the_pager_does_not_start(promptctl_with_long_prompt: Promptctl) -> None:
    env: dict[str, str | None] = {"TERM": "xterm", "NO_COLOR": "1"}
    for text, why in {
        "nothing-like-it -S": "cannot start the pager nothing-like-it (PAGER): No such file or directory\n",
        "/dev/null": "cannot start the pager /dev/null (PAGER): Permission denied\n",
        "less 'a": "cannot start the pager: PAGER has an unclosed quote\n",
    }.items():
        screen = promptctl_with_long_prompt.on_terminal("show", "long@1", env=env | {"PAGER": text})
        assert screen.code == 0
        assert screen.out.startswith(why)
        assert screen.out.endswith(ESCAPED)
    # A missing default pager causes no warning.
    nowhere = promptctl_with_long_prompt.on_terminal("show", "long@1", env=env | {"PATH": "/nowhere"})
    assert "cannot start the pager" not in nowhere.out
    assert nowhere.out.endswith(ESCAPED)


def test_less_is_the_default_pager_and_leaves_output_on_the_screen(
    promptctl_with_long_prompt: Promptctl, tmp_path: Path
) -> None:
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "less").write_text('#!/bin/sh\n/bin/cat >/dev/null; echo "LESS=$LESS $LESSCHARSET"\n')
    (folder / "less").chmod(0o755)
    env: dict[str, str | None] = {"TERM": "xterm", "PATH": str(folder)}
    assert promptctl_with_long_prompt.on_terminal("show", "long@1", env=env).out.endswith("LESS=FRX utf-8\n")
    assert promptctl_with_long_prompt.on_terminal("show", "long@1", env=env | {"LESS": "-S"}).out.endswith(
        "LESS=-S utf-8\n"
    )
