"""Completion: the words that are offered, and the scripts for bash, zsh and fish."""

from __future__ import annotations

import os
import pty
import re
import shlex
import shutil
import socket
import subprocess
import time
from multiprocessing import connection
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Promptctl
    from tests.servers import Server

NAMES = ["code_helper", "default-system-prompt", "support/triage"]
SHARED = ["--color", "--database-url", "--json", "--log-format", "--no-pager", "--quiet", "--verbose"]


def completions(promptctl: Promptctl, *words: str) -> list[str]:
    ended = promptctl("__complete", *words)
    assert (ended.code, ended.err) == (0, "")
    return ended.out.splitlines()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["s"], ["show", "split", "stats", "sync"]),
        (["db", "s"], ["schema", "shell", "start", "status", "stop"]),
        (["db"], ["db"]),
        (["nothing", "x"], []),
        (["show", ""], NAMES),
        (["show", "d"], ["default-system-prompt"]),
        (["show", "support/"], ["support/triage"]),
        (["show", "default-system-prompt@"], [f"default-system-prompt@{number}" for number in (3, 2, 1)]),
        (["show", "default-system-prompt@3"], ["default-system-prompt@3"]),
        (["show", "nothing@"], []),
        (["show", "default-system-prompt", ""], []),
        (["activate", "d"], ["default-system-prompt@"]),
        (["activate", "default-system-prompt@3", "c"], ["code_helper@"]),
        (["activate", "--reason", "because", "c"], ["code_helper@"]),
        (["activate", "--reason", ""], []),
        (["rollback", "support/triage", "d"], ["default-system-prompt"]),
        (["diff", "code_helper@1", "code_helper@"], ["code_helper@1"]),
        (["delete", "c"], ["code_helper@"]),
        (["top", "support/triage", "d"], ["default-system-prompt"]),
        (["top", "--sort", "m"], ["moved"]),
        (["history", "--l"], ["--limit", "--log-format"]),
        (["completion", "-"], SHARED),
        (["list", "--log-format", ""], ["text", "json"]),
        (["list", "--color", ""], ["auto", "always", "never"]),
        (["db", "grant", "app", "--as", "o"], ["operator"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["create", "code_helper", ""], []),
        (["create", "code_helper", "--template", "m"], ["mustache"]),
        (["stats", "--by", "d"], ["day"]),
        (["chat", "c"], ["code_helper"]),
        (["chat", "code_helper@1", "--against", "support/triage@"], ["support/triage@2", "support/triage@1"]),
        (["chat", "code_helper@1", "--model", ""], []),
        (["sync", ""], [":folders"]),
        (["sync", "prom"], [":folders"]),
        (["sync", "prompts", ""], []),
        (["export", ""], [":folders"]),
        (["sync", "--format", "m"], ["markdown"]),
        (["create", "x", "-f", ""], [":files"]),
        (["create", "x", "--file=no", ""], []),
        (["create", "x", "--file=no"], [":files"]),
        (["route", "set", "x", "--file", "a"], [":files"]),
        (["sync", "--apply-plan", ""], [":files"]),
        (["chat", "code_helper", "--continue", ""], [":files"]),
        (["render", "code_helper", "--vars-file", ""], [":files"]),
        (["rollback", "default-system-prompt", "--to", ""], ["3", "2", "1"]),
        (["rollback", "default-system-prompt", "--to=2"], ["--to=2"]),
        (["rollback", "--to", ""], []),
        (["release", "show", ""], []),
        (["split", "default-system-prompt@2", ""], []),
        (["rollout", "st"], ["start", "status", "stop"]),
        (["rollout", "start", "c"], ["code_helper@"]),
        (["rollout", "start", "code_helper@1", "--in-doubt", ""], ["pause", "rollback"]),
        (["rollout", "tick", "support/triage", "c"], ["code_helper"]),
        (["rollout", "watch", "c"], ["code_helper"]),
        (["help", "ro"], ["rollback", "rollout", "route"]),
        (["help", "route", "s"], ["set", "show"]),
        (["help", "show", ""], []),
    ],
)
def test_completion_offers_the_words_that_can_follow(words: list[str], expected: list[str], demo: Promptctl) -> None:
    assert completions(demo, *words) == expected


def test_completion_uses_the_database_of_the_command_line(
    demo: Promptctl, unconfigured: Promptctl, database_url: str
) -> None:
    assert completions(unconfigured, "show", "--database-url", database_url, "d") == ["default-system-prompt"]
    assert completions(unconfigured, "show", f"--database-url='{database_url}'", "d") == ["default-system-prompt"]


def test_completion_starts_no_server_and_prints_no_error(
    unconfigured: Promptctl, promptctl_on: object, empty_database: str, server: Server
) -> None:
    assert completions(unconfigured, "show", "") == []
    assert not (unconfigured.home / "promptctl").exists()
    for url in ("postgresql://127.0.0.1:1/x", "", "junk", server.url(empty_database), server.url("nowhere")):
        assert completions(unconfigured, "show", "--database-url", url, "") == []


def test_completion_gives_up_on_a_server_that_does_not_answer(unconfigured: Promptctl) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        started = time.monotonic()
        assert (
            completions(unconfigured, "show", "--database-url", f"host=127.0.0.1 port={listening.getsockname()[1]}", "")
            == []
        )
        assert time.monotonic() - started < 8


@pytest.fixture
def path(demo: Promptctl, tmp_path: Path) -> str:
    """A PATH on which `promptctl` is the command line under test."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "promptctl").write_text(f'#!/bin/sh\nexec {shlex.join(demo.command())} "$@"\n')
    (folder / "promptctl").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


BASH = """
source <(promptctl completion bash)
compopt() { echo "compopt $*"; }
COMP_LINE=$1 COMP_POINT=${#1}
_promptctl promptctl "$2"
printf '%s\n' "${COMPREPLY[@]}"
"""


@pytest.mark.parametrize(
    ("line", "replaced", "expected"),
    [
        ("promptctl rollb", "rollb", "rollback"),
        ("promptctl db st", "st", "compopt -o nosort start status stop"),
        ("promptctl show ", "", "compopt -o nosort code_helper default-system-prompt support/triage"),
        # Bash breaks the word before the @ and replaces what follows.
        ("promptctl activate default-system-prompt@", "@", "compopt -o nosort @3 @2 @1"),
        ("promptctl activate default-system-prompt@2", "@2", "@2"),
        # It does not if COMP_WORDBREAKS has no @.
        ("promptctl show code_helper@", "code_helper@", "code_helper@1"),
        ("promptctl activate cod", "cod", "compopt -o nospace code_helper@"),
        ("promptctl list --js", "--js", "--json"),
        ("promptctl list --log-format=", "", "compopt -o nosort text json"),
        ("promptctl create x -f ", "", "compopt -o default"),
        ("promptctl sync prom", "prom", "compopt -o dirnames"),
        ("promptctl release show ", "", ""),
        ("promptctl  show   supp", "supp", "support/triage"),
    ],
)
def test_bash_completions_replace_the_text_after_the_last_word_break(
    line: str, replaced: str, expected: str, demo: Promptctl, path: str
) -> None:
    process = subprocess.run(
        ["bash", "--norc", "-c", BASH, "bash", line, replaced], env=demo.environment({"PATH": path}),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (process.stdout.split(), process.stderr) == (expected.split(), "")


class Shell:
    """A shell on a terminal, into which a test types."""

    def __init__(self, command: list[str], env: dict[str, str], folder: Path) -> None:
        self._leader, follower = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=follower, stdout=follower, stderr=follower, env=env, cwd=folder, start_new_session=True
        )
        os.close(follower)
        self.output = ""

    def type(self, text: str, until: str) -> None:
        """Type a line, wait for a text and then for the shell prompt, after which the shell reads again."""
        position = len(self.output)
        os.write(self._leader, text.encode())
        deadline = time.monotonic() + 20
        for text_to_find in (until, "READY> "):
            while (place := self.output.find(text_to_find, position)) < 0:
                ready = connection.wait([self._leader], max(0.0, deadline - time.monotonic()))
                assert ready, self.output
                self.output += os.read(self._leader, 65536).decode(errors="replace")
            position = place + len(text_to_find)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._leader)


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "PS1='READY> '; source <(promptctl completion bash)"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "PS1='READY> '; autoload -U compinit; compinit -u -D; source <(promptctl completion zsh)",
    ),
}


@pytest.fixture
def shell(request: pytest.FixtureRequest, demo: Promptctl, path: str) -> Iterator[Shell]:
    """A shell that has loaded its completion script."""
    command, setup = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on this machine")
    env = demo.environment({"PATH": path, "TERM": "vt100", "PROMPT_EOL_MARK": "", "INPUTRC": "/dev/null"})
    shell_process = Shell(command, env, demo.home)
    try:
        shell_process.type(f"{setup}; echo rea''dy\n", "ready\r\n")
        yield shell_process
    finally:
        shell_process.end()


@pytest.mark.parametrize("shell", SHELLS, indirect=True)
def test_tab_completes_commands_names_and_versions_in_a_shell(shell: Shell) -> None:
    shell.type("promptctl sho\tsupp\t\n", "Sort tickets.")
    shell.type("promptctl show code_helper@\t\n", "You help with {language}")
    shell.type("promptctl activate cod\t1 --quie\t\n", "code_helper@1")
    shell.type("promptctl history code\t --lim\t1 -q\n", "code_helper@1")


@pytest.mark.parametrize("shell", SHELLS, indirect=True)
def test_file_names_are_offered_only_for_arguments_that_are_files(shell: Shell, demo: Promptctl) -> None:
    (demo.home / "notes.txt").write_text("x")
    (demo.home / "nested").mkdir()
    for line, completed in (
        ("promptctl create x -f not\t -q; echo don''e\n", "notes.txt"),
        ("promptctl sync n\t --check -q; echo don''e\n", "nested/"),
    ):
        shell.type(line, completed)
    for line in (
        "release show n",
        "split default-system-prompt@2 n",
        "rollback default-system-prompt --to n",
        "help n",
    ):
        before = len(shell.output)
        shell.type(f"promptctl {line}\t\t; echo don''e\n", "done\r\n")
        assert not {"notes.txt", "nested"} & set(shell.output[before:].split()), line


@pytest.mark.parametrize(("shell", "keys"), [("bash", "\t\t"), ("zsh", "\t")], indirect=["shell"])
def test_versions_are_shown_newest_first(shell: Shell, keys: str) -> None:
    before = len(shell.output)
    shell.type(f"promptctl show default-system-prompt@{keys}1 -q\n", "default-system-prompt@1\r\n")
    output = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", shell.output[before:])
    numbers = re.findall(r"@(\d)(?=\s)", output)
    assert numbers[:3] == ["3", "2", "1"], output


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not on this machine")
def test_fish_completes_commands_names_versions_and_files(demo: Promptctl, path: str) -> None:
    (demo.home / "a_file").write_text("x")
    (demo.home / "a_folder").mkdir()
    for line, expected in (
        ("promptctl rollb", ["rollback"]),
        ("promptctl show ", NAMES),
        ("promptctl activate default-system-prompt@", [f"default-system-prompt@{number}" for number in (3, 2, 1)]),
        ("promptctl list --js", ["--json"]),
        ("promptctl create x -f a_fi", ["a_file"]),
        ("promptctl create x --file=a_fi", ["--file=a_file"]),
        ("promptctl sync a", ["a_folder/"]),
        ("promptctl release show a", []),
        ("promptctl split code_helper@1 a", []),
        ("promptctl help a", ["activate"]),
    ):
        script = f"promptctl completion fish | source; complete -C {shlex.quote(line)}"
        process = subprocess.run(
            ["fish", "--no-config", "-c", script], env=demo.environment({"PATH": path}), cwd=demo.home,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert [line_of_output.partition("\t")[0] for line_of_output in process.stdout.splitlines()] == expected, line


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_the_same_in_a_pipe_and_on_a_terminal(shell: str, unconfigured: Promptctl) -> None:
    printed = unconfigured("completion", shell)
    assert (printed.code, printed.err) == (0, "")
    assert "__complete" in printed.out
    assert unconfigured.on_terminal("completion", shell).out.replace("\t", "        ") == printed.out
