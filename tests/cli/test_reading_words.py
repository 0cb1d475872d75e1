"""There are two ways to read a command line, a table and Typer. Where the table answers, Typer reads the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from promptctl import errors
from promptctl.cli import app, direct, program
from promptctl.cli.table import COMMANDS, SHARED

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
    for _, required, several in entry["arguments"]:
        least, most = (1 if required else 0), (3 if several else 1)
        parts += [[draw(PLAIN_VALUES)] for _ in range(draw(st.integers(least, most)))]
    for option, (_, kind) in draw(st.lists(st.sampled_from([*(entry["options"] | SHARED).items()]), max_size=4)):
        value = draw(st.sampled_from(["0", "20", "007"]) if kind == direct.INTEGER else PLAIN_VALUES)
        attached = [[f"{option}={value}"]] if option.startswith("--") else []
        parts.append([option] if kind == direct.FLAG else draw(st.sampled_from([[option, value], *attached])))
    for option in (spelling for spelling, (key, _) in entry["options"].items() if key in entry["required"]):
        parts.append([option, draw(PLAIN_VALUES)])
    if draw(st.integers(0, 3)) == 0:
        parts.append([draw(JUNK)])
    return [*name.split(" "), *(word for part in draw(st.permutations(parts)) for word in part)]


def by_typer(words: list[str], monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, Any]] | None:
    """What Typer reads; None: it refuses the words, or shows help."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def keep(name: str, values: dict[str, Any]) -> None:
        seen.append((name, values))

    with monkeypatch.context() as patched:
        patched.setattr(program, "execute", keep)
        try:
            app.invoke(words)
        except errors.Usage:
            return None
    return seen[0] if seen else None


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=command_lines())
@example(words=["db init"])
@example(words=["db", "grant", "app"])
@example(words=["show", "x", "--limit", "9" * 5000])
@example(words=["activate", "--", "-x", "--json"])
@example(words=["create", "x", "-", "--meta", "a=b", "--meta", "c"])
@example(words=["rollback", "a", "--to", "-", "b"])
@example(words=["split", "a@2", "--seed", "spring", "10"])
def test_what_the_table_reads_typer_reads_the_same(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = direct.read(words)
    if read is None:
        return
    assert by_typer(words, monkeypatch) == read


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
def test_the_table_reads_every_plain_command_line_itself(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    read = direct.read(words)
    assert read is not None
    assert by_typer(words, monkeypatch) == read


@pytest.mark.parametrize(
    "words",
    [["list", "--help"], ["show"], ["activate"], ["list", "--jso"], ["lst"], ["db"], [], ["list", "a", "b"],
     ["list", "-vq"], ["show", "x", "--limit", "x"], ["db", "grant", "app"], ["create", "x", "-fFILE"],
     ["rollback", "x", "--to"]],
    ids=" ".join,
)  # fmt: skip
def test_the_table_leaves_to_typer_what_is_not_plain(words: list[str]) -> None:
    assert direct.read(words) is None
