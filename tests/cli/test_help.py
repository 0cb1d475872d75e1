"""Help, the version, and errors in command lines."""

from __future__ import annotations

import importlib
import inspect
import re
import shlex
from typing import TYPE_CHECKING

import pytest

from promptctl import __version__
from promptctl.cli import catalogue, fast_reader, help
from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.parameters import OF_RUN
from tests.commands import check_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Promptctl


@pytest.mark.parametrize("command", ["", "db", *COMMANDS])
def test_help_of_every_command_matches_its_snapshot(
    command: str, unconfigured: Promptctl, snapshot: Callable[..., None]
) -> None:
    ended = unconfigured(*command.split(), "--help")
    assert (ended.code, ended.err) == (0, "")
    assert all(len(line) <= 80 for line in ended.out.splitlines())
    snapshot(ended.out, f"cli/help{'-' * bool(command)}{command.replace(' ', '-')}")


@pytest.mark.parametrize("words", [[], ["help"], ["-h"]])
def test_the_overview_is_shown_without_arguments_and_for_help(words: list[str], unconfigured: Promptctl) -> None:
    assert unconfigured(*words) == unconfigured("--help")


@pytest.mark.parametrize(
    "words", [["help", "activate"], ["activate", "-h"], ["activate", "a@1", "--help"], ["activate", "--help", "--json"]]
)
def test_every_way_to_ask_for_the_help_of_a_command_prints_it(words: list[str], unconfigured: Promptctl) -> None:
    assert unconfigured(*words) == unconfigured("activate", "--help")


@pytest.mark.parametrize("words", [["db"], ["help", "db"], ["db", "-h"]])
def test_every_way_to_ask_for_the_help_of_a_command_group_prints_it(words: list[str], unconfigured: Promptctl) -> None:
    assert unconfigured(*words) == unconfigured("db", "--help")


def test_help_is_plain_text_on_a_terminal(unconfigured: Promptctl) -> None:
    screen = unconfigured.on_terminal("activate", "--help", env={"TERM": "xterm-256color"})
    assert screen.out == unconfigured("activate", "--help").out


def test_the_overview_lists_every_command_once(unconfigured: Promptctl) -> None:
    lines = [line.split("  ")[1] for line in unconfigured("--help").out.splitlines() if line.startswith("  ")]
    for command in catalogue.COMMANDS:
        assert lines.count(command) == 1


def test_the_examples_in_help_are_valid_command_lines() -> None:
    examples = [
        (command, line.strip())
        for command in COMMANDS
        for line in help.page(command).splitlines()
        if line.startswith("  promptctl ")
    ]
    assert len(examples) > 20
    for command, example in examples:
        words = shlex.split(re.split(r" (?:\||>|&&) ", example)[0])
        parsed = fast_reader.read(words[1:])
        assert parsed is not None, example
        assert parsed[0] == command


def test_version_is_printed(unconfigured: Promptctl) -> None:
    assert unconfigured("--version").out == f"promptctl {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_function_has_the_declared_parameters_and_summary(name: str) -> None:
    command = COMMANDS[name]
    module, function_name = command.locate()
    function = getattr(importlib.import_module(module), function_name)
    types = {"flag": "bool", "text": "str", "texts": "list[str]", "number": "int"}
    _, *parameters = inspect.signature(function).parameters.values()
    # `Run` has the values of the options in OF_RUN.
    declared_parameters = [parameter for parameter in command.parameters if parameter not in OF_RUN]
    assert [(parameter.name, parameter.annotation) for parameter in parameters] == [
        (parameter.name, types[parameter.kind] + " | None" * (not parameter.is_required and parameter.kind != "flag"))
        for parameter in declared_parameters
    ]
    assert all(
        declared.is_required or parameter.default == declared.default
        for parameter, declared in zip(parameters, declared_parameters, strict=True)
    )
    assert function.__doc__.partition("\n")[0] == command.summary


LIMIT = "--limit is a whole number from 0 to 2147483647"
MAX_TOKENS = "--max-tokens is a whole number from 1 to 999999999"
TIMEOUT = "--timeout is a whole number of seconds from 1 to 999999999"

INVALID: dict[tuple[str, ...], tuple[str, str]] = {
    ("lst",): ('promptctl has no command "lst"', "promptctl list"),
    ("init",): ('promptctl has no command "init"', "promptctl db init"),
    ("deploy",): ('promptctl has no command "deploy"', "promptctl activate --help"),
    ("db init",): ('promptctl has no command "db init"', "promptctl db init"),
    ("",): ('promptctl has no command ""', "promptctl --help"),
    ("\x1b[31m",): ('promptctl has no command "\\x1b[31m"', "promptctl --help"),
    ("help", "rolback"): ('promptctl has no command "rolback"', "promptctl rollback --help"),
    ("db", "shel"): ('promptctl db has no command "shel"', "promptctl db shell"),
    ("db", "list"): ('promptctl db has no command "list"', "promptctl list"),
    ("activate",): ("promptctl activate needs NAME@VERSION...", "promptctl activate --help"),
    ("show",): ("promptctl show needs NAME[@VERSION]", "promptctl show --help"),
    ("db", "grant", "app"): (
        "promptctl db grant needs --as ACCESS: viewer, reviewer, application, ticker or operator",
        "promptctl db grant app --as application",
    ),
    ("db", "grant", "app", "--as"): ("--as needs a value", "promptctl db grant app --as application"),
    ("show", "a", "--limit"): ("--limit needs a value", "promptctl show --help"),
    ("show", "a", "--limit", "x"): (f'{LIMIT}, not "x"', "promptctl show --help"),
    ("show", "a", "--limit", ""): (f'{LIMIT}, not ""', "promptctl show --help"),
    ("show", "a", "-n1.5"): (f'{LIMIT}, not "1.5"', "promptctl show --help"),
    ("show", "a", "--limit=1e3"): (f'{LIMIT}, not "1e3"', "promptctl show --help"),
    ("show", "a", "--limit", "9" * 5000): (f'{LIMIT}, not "{"9" * 79}…"', "promptctl show --help"),
    ("show", "a", "--limit", "-1"): (f"{LIMIT}, not -1", "promptctl show --help"),
    ("history", "-n", "99999999999"): (f"{LIMIT}, not 99999999999", "promptctl history --help"),
    ("release", "list", "--limit", "all"): (f'{LIMIT}, not "all"', "promptctl release list --help"),
    ("create", "a", "x", "--max-tokens", "abc"): (f'{MAX_TOKENS}, not "abc"', "promptctl create --help"),
    ("create", "a", "x", "--max-tokens", "0"): (f"{MAX_TOKENS}, not 0", "promptctl create --help"),
    ("create", "a", "x", "--max-tokens", "1000000000"): (f"{MAX_TOKENS}, not 1000000000", "promptctl create --help"),
    ("chat", "a", "x", "--max-tokens", "8k"): (f'{MAX_TOKENS}, not "8k"', "promptctl chat --help"),
    ("chat", "a", "x", "--max-tokens=-5"): (f"{MAX_TOKENS}, not -5", "promptctl chat --help"),
    ("chat", "a", "x", "--timeout", "1.5"): (f'{TIMEOUT}, not "1.5"', "promptctl chat --help"),
    ("chat", "a", "x", "--timeout", "0"): (f"{TIMEOUT}, not 0", "promptctl chat --help"),
    ("chat", "a", "x", "--timeout", "2m"): (f'{TIMEOUT}, not "2m"', "promptctl chat --help"),
    ("list", "--jsn"): ('promptctl list has no option "--jsn": did you mean --json?', "promptctl list --help"),
    ("list", "--everything"): ('promptctl list has no option "--everything"', "promptctl list --help"),
    ("list", "-x"): ('promptctl list has no option "-x"', "promptctl list --help"),
    ("render", "a", "--model", "m"): ('promptctl render has no option "--model"', "promptctl render --help"),
    ("create", "a", "x", "--tools", "t.json"): (
        'promptctl create has no option "--tools": tools is part of the request, which --request FILE reads',
        "promptctl create --help",
    ),
    ("create", "a", "x", "--request-set", "a=[1,"): (
        '--request-set "a": the value begins as JSON, and is not JSON: Expecting value',
        "promptctl create --help",
    ),
    ("list", "--json=yes"): ("--json takes no value", "promptctl list --help"),
    ("list", "a", "b"): ("too many arguments: b", "promptctl list --help"),
    ("list", "a", "b", "c"): ("too many arguments: b c", "promptctl list --help"),
    ("create", "a", "b", "c"): ("the text is one argument: put it in quotes", "promptctl create a 'b c'"),
    ("--quiet", "lst"): ("--quiet belongs after the command: promptctl COMMAND --quiet", "promptctl list --quiet"),
    ("-v", "show"): ("-v belongs after the command: promptctl COMMAND -v", "promptctl --help"),
    ("--frobnicate",): ('promptctl has no option "--frobnicate"', "promptctl --help"),
    ("list", "--json", "--quiet"): ("use only one of --json and --quiet", "promptctl list --help"),
    ("list", "--log-format", "xml"): ('invalid log format "xml": use text or json', "promptctl list --help"),
    ("completion", "tcsh"): ('invalid shell "tcsh": use bash, zsh or fish', "promptctl completion --help"),
    ("db", "grant", "app", "--as", "root"): (
        'invalid access "root": use viewer, reviewer, application, ticker or operator',
        "promptctl db grant --help",
    ),
}


@pytest.mark.parametrize("words", INVALID, ids=lambda words: " ".join(words)[:40])
def test_an_invalid_command_line_prints_the_problem_and_a_hint(words: tuple[str, ...], unconfigured: Promptctl) -> None:
    message, hint = INVALID[words]
    ended = unconfigured(*words)
    if "--json" in words:
        assert ended.code == 2
        assert f'"message": "{message}"' in ended.err
        return
    assert check_failure(ended, 2).err == f"error: {message}\nhint:  {hint}\n"
    if hint.endswith("--help"):
        assert unconfigured(*hint.split()[1:]).code == 0
