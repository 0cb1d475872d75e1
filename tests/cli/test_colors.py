"""Colors: the option, the environment variables, and whether each stream is a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.cli import catalogue
from tests.commands import check_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.conftest import Promptctl

DIFF = ("diff", "default-system-prompt@1", "default-system-prompt@2")
# Variables and words: whether there are colors in a pipe, and on a terminal.
RULES: list[tuple[Mapping[str, str | None], str, bool, bool]] = [
    ({}, "", False, True),
    ({}, "--color auto", False, True),
    ({}, "--color=always", True, True),
    ({}, "--color never", False, False),
    ({"NO_COLOR": "1"}, "", False, False),
    ({"NO_COLOR": "0"}, "", False, False),
    ({"NO_COLOR": ""}, "", False, True),
    ({"NO_COLOR": "1"}, "--color always", True, True),
    ({"NO_COLOR": "1", "FORCE_COLOR": "1", "CLICOLOR_FORCE": "1"}, "", False, False),
    ({"FORCE_COLOR": "1"}, "", True, True),
    ({"FORCE_COLOR": "3"}, "", True, True),
    ({"FORCE_COLOR": ""}, "", False, True),
    ({"FORCE_COLOR": "0"}, "", False, False),
    ({"FORCE_COLOR": "false"}, "", False, False),
    ({"FORCE_COLOR": "0", "CLICOLOR_FORCE": "1"}, "", False, False),
    ({"FORCE_COLOR": "1"}, "--color never", False, False),
    ({"FORCE_COLOR": "0"}, "--color always", True, True),
    ({"CLICOLOR_FORCE": "1"}, "", True, True),
    ({"CLICOLOR_FORCE": "0"}, "", False, True),
    ({"CLICOLOR_FORCE": ""}, "", False, True),
    ({"CLICOLOR_FORCE": "1", "CLICOLOR": "0", "TERM": "dumb"}, "", True, True),
    ({"CLICOLOR": "0"}, "", False, False),
    ({"CLICOLOR": "1"}, "", False, True),
    ({"CLICOLOR": "1", "TERM": "dumb"}, "", False, False),
    ({"TERM": "dumb"}, "", False, False),
    ({"TERM": "dumb"}, "--color always", True, True),
    ({"TERM": None}, "", False, False),
]


def test_the_color_option_overrides_variables_which_override_the_terminal(demo: Promptctl) -> None:
    for variables, option, in_pipe, on_terminal in RULES:
        env = {"TERM": "xterm-256color", **variables}
        words = (*DIFF, *option.split())
        assert ("\x1b[" in demo(*words, env=env).out) == in_pipe, (variables, option)
        assert ("\x1b[" in demo.on_terminal(*words, env=env).out) == on_terminal, (variables, option)


def test_the_color_option_applies_to_errors_and_to_invalid_command_lines(demo: Promptctl) -> None:
    for words in (["show", "nothing_like_it"], ["list", "--everything"], ["show"]):
        assert demo(*words, "--color", "always").err.startswith("\x1b[31merror:\x1b[0m ")
        assert "\x1b" not in demo.on_terminal(*words, "--color=never", env={"TERM": "xterm"}).out
    assert "\x1b" not in demo("show", "nothing_like_it", "--json", "--color", "always").err


def test_output_for_programs_has_no_colors(demo: Promptctl) -> None:
    for words in (
        "list", "show default-system-prompt", "show default-system-prompt@1", "history", "stats", "db status",
        "resolve support/triage --unit u", "split support/triage", "route show support/triage", "list --json",
        "list -q", "stats --csv", "release list", "diff default-system-prompt@1 default-system-prompt@2 --json",
    ):  # fmt: skip
        plain = demo(*words.split())
        assert demo(*words.split(), "--color", "always").out == plain.out, words
        assert demo(*words.split(), env={"FORCE_COLOR": "1"}).out == plain.out, words


def test_every_command_has_the_color_option_and_refuses_other_values(demo: Promptctl) -> None:
    for name in catalogue.COMMANDS:
        spellings = set(catalogue.COMMANDS[name].options)
        assert {"--color", "--no-pager"} <= spellings
    ended = check_failure(demo("list", "--color", "sometimes"), 2)
    assert ended.err.startswith('error: invalid color "sometimes": use auto, always or never\n')
