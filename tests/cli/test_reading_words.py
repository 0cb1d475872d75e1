"""Two readers of command lines, our fast one and Typer. Where the fast reader answers, Typer reads the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from promptctl import errors
from promptctl.cli import fast_reader, typer_reader
from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.parameters import FLAG, NUMBER, TEXTS

PLAIN_VALUES = st.sampled_from(
    ["a", "x@1", "2", "0", "007", "-", "", " ", "=", "a=b", "٣", "\udcff", "日本", "*", "%PATH%"]
)
JUNK = st.sampled_from(
    ["-1", "--", "--json", "-q", "-r", "-n5", "-vq", "--help", "--to", "9999999999", "1e3", "-h", "--no-json", "--js",
     "--limit=3", "--meta=a=b", "--author=", "--quiet=1", "-f", "-fx", "-f=x", "db", "init", "help", "@file", "~"]
)  # fmt: skip


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command's words: its arguments and options in any order, most often well formed, now and then with junk."""
    name = draw(st.sampled_from(list(COMMANDS)))
    entry = COMMANDS[name]
    parts: list[list[str]] = []
    for argument in entry.arguments:
        least, most = (1 if argument.is_required else 0), (3 if argument.kind == TEXTS else 1)
        parts += [[draw(PLAIN_VALUES)] for _ in range(draw(st.integers(least, most)))]
    for spelling, option in draw(st.lists(st.sampled_from([*entry.options.items()]), max_size=4)):
        value = draw(st.sampled_from(["0", "20", "007"]) if option.kind == NUMBER else PLAIN_VALUES)
        attached = [[f"{spelling}={value}"]] if spelling.startswith("--") else []
        parts.append([spelling] if option.kind == FLAG else draw(st.sampled_from([[spelling, value], *attached])))
    for spelling in (spelling for spelling, option in entry.own_options.items() if option.is_required):
        parts.append([spelling, draw(PLAIN_VALUES)])
    if draw(st.integers(0, 3)) == 0:
        parts.append([draw(JUNK)])
    return [*name.split(" "), *(word for part in draw(st.permutations(parts)) for word in part)]


def read_by_typer(words: list[str]) -> tuple[str, dict[str, Any]] | None:
    """Return what Typer reads, None where it refuses the words."""
    name, rest = fast_reader.command(words)
    if name is None:
        return None
    try:
        return name, typer_reader.read(name, rest)
    except errors.Usage:
        return None


@settings(max_examples=600, deadline=None)
@given(words=command_lines())
@example(words=["db init"])
@example(words=["db", "grant", "app"])
@example(words=["show", "x", "--limit", "9" * 5000])
@example(words=["activate", "--", "-x", "--json"])
@example(words=["create", "x", "-", "--meta", "a=b", "--meta", "c"])
@example(words=["rollback", "a", "--to", "-", "b"])
@example(words=["split", "a@2", "--seed", "spring", "10"])
def test_typer_reads_the_same_as_the_fast_reader(words: list[str]) -> None:
    read = fast_reader.read(words)
    if read is None:
        return
    if "help" in read[1]:
        # Typer reads help before anything else, and only that.
        assert read_by_typer(words) == (read[0], {"help": True})
    else:
        assert read_by_typer(words) == read


PLAIN = [
    ["list"], ["list", "-n", "5"], ["list", "support/*", "--json"], ["show", "x"], ["show", "x@1", "-q"],
    ["show", "x", "--at=2h"],
    ["activate", "a@1", "b@2", "-r", "why", "--author", "me", "-v"], ["rollback", "x"],
    ["rollback", "--to", "2", "x", "--expect=3"], ["diff", "a", "b@1", "--exit-code"], ["history", "-n", "5"],
    ["stats", "--database-url", "postgresql://h/x"], ["create", "x", "text", "--meta", "a=1", "--meta", "b=2"],
    ["create", "x", "-f", "-"], ["delete", "--undo", "x@1"], ["sync", "--dry-run"], ["db", "status", "--json"],
    ["db", "grant", "app", "--as", "viewer"], ["completion", "bash"], ["show", "--", "x"],
    ["show", "x", "--log-format", "json"],
]  # fmt: skip


@pytest.mark.parametrize("words", PLAIN, ids=" ".join)
def test_the_fast_reader_reads_plain_command_lines(words: list[str]) -> None:
    read = fast_reader.read(words)
    assert read is not None
    assert read_by_typer(words) == read


@pytest.mark.parametrize(
    "words",
    [["list", "-vh"], ["show"], ["activate"], ["list", "--jso"], ["lst"], ["db"], [], ["list", "a", "b"],
     ["list", "-vq"], ["show", "x", "--limit", "x"], ["db", "grant", "app"], ["create", "x", "-fFILE"],
     ["rollback", "x", "--to"]],
    ids=" ".join,
)  # fmt: skip
def test_the_fast_reader_leaves_other_command_lines_to_typer(words: list[str]) -> None:
    assert fast_reader.read(words) is None
