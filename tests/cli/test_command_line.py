"""Hints as command lines: they use the database of the command that failed, and show no password."""

from __future__ import annotations

import pytest

from promptctl.cli import command_line

MOVE = "promptctl show greeter@2 > v2.txt.stored && mv v2.txt v4.txt && mv v2.txt.stored v2.txt"


@pytest.mark.parametrize(
    ("hint", "words", "expected"),
    [
        ("promptctl db init", ["list"], "promptctl db init"),
        ("promptctl db init", ["list", "--database-url", "embedded:"], "promptctl --database-url embedded: db init"),
        ("promptctl list", ["--database-url=postgresql://db/x", "show", "a"],
         "promptctl --database-url postgresql://db/x list"),
        ("promptctl list", ["show", "a", "--database-url", "postgresql://u:secret@db/x"],
         "promptctl --database-url URL list"),
        (MOVE, ["sync", "--database-url", "embedded:"],
         MOVE.replace("promptctl", "promptctl --database-url embedded:")),
        ("promptctl show --database-url embedded: a", ["--database-url", "embedded:", "show"],
         "promptctl show --database-url embedded: a"),
        ("promptctl sync --help", ["sync", "--database-url", "embedded:"], "promptctl sync --help"),
        ("check --database-url", ["list", "--database-url", "x"], "check --database-url"),
        ("promptctl list", ["show", "--database-url"], "promptctl list"),
    ],
)  # fmt: skip
def test_a_hint_uses_the_database_of_the_command(hint: str, words: list[str], expected: str) -> None:
    assert command_line.on_same_database(hint, words) == expected
