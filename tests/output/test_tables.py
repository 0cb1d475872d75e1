"""Tables on a terminal: which cells are cut or shortened, and that long cells are cheap to print."""

from __future__ import annotations

import sys

import pytest
from rich.cells import cell_len

from promptctl.output import stream, tables, text_width
from promptctl.output.table_columns import Column

HISTORY = [
    Column("WHEN", "time"), Column("NAME", "name"), Column("WHAT", "name"), Column("VERSION", "name"),
    Column("BY", "person"), Column("WHY", "text"),
]  # fmt: skip
STATS = [
    Column("NAME", "name"), Column("VERSION", "number"), Column("SHARE", "extra"), Column("USES", "number"),
    Column("ERRORS", "number"), Column("SCORE", "extra"), Column("TOKENS", "number"), Column("TIME", "duration"),
    Column("", "graphic"), Column("P50", "spare"), Column("P95", "brief"), Column("COST", "money"),
    Column("LAST USED", "recent"),
]  # fmt: skip
NAMES = [
    "support/eu/enterprise/very/long/path/to/the/prompt/that/answers/triage",
    "support/eu/enterprise/very/long/path/to/the/prompt/that/answers/billing",
    "x" * 200, "x" * 199 + "y", "a/b", "/".join("a" * 100),
]  # fmt: skip
TEXTS = ["short", "日本語" * 60, "👩‍👩‍👧 " * 40, "e\u0301" * 300, "tab\there\nand \x1b[31mred", "word " * 200, None]


@pytest.fixture
def terminal_output(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pieces that are written to a terminal, as a list that grows; without this fixture the output is a pipe."""
    pieces: list[str] = []
    monkeypatch.setattr(stream, "to_terminal", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(stream, "write", pieces.append)
    return pieces


def history_rows() -> list[tuple[str | None, ...]]:
    return [
        ("2026-01-03T00:00:00Z", name, "activate", "none → 1", "somebody.with.a.name@example.com", text)
        for name, text in zip(NAMES * 2, TEXTS * 2, strict=False)
    ]


def stats_rows() -> list[tuple[str | int | float | None, ...]]:
    return [
        (name, 12, "25%", 123_456, 12, "0.823", 1234.0, 1234.5, "████", 1200.0, 2300.0, 12.5, "2026-01-03T00:00:00Z")
        for name in NAMES
    ]


@pytest.mark.parametrize("columns", [80, 120, 170])
def test_each_row_fits_on_one_line_from_80_columns_on(
    columns: int, terminal_output: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for table, rows in ((HISTORY, history_rows()), (STATS, stats_rows())):
        terminal_output.clear()
        tables.show(table, rows)
        lines = "".join(terminal_output).splitlines()
        assert len(lines) == 1 + len(rows)
        assert all(cell_len(line) <= columns for line in lines)
        assert "\x1b" not in "".join(lines)
        # The columns are aligned with their headings, and the names stay distinguishable.
        assert "NAME" in lines[0]
        start = lines[0].index("NAME")
        assert len({line[start:].split("  ")[0] for line in lines[1:] if cell_len(line) == len(line)}) > 1


def test_shortened_names_stay_distinguishable(terminal_output: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    tables.show(STATS, stats_rows())
    names = {line.split()[0] for line in "".join(terminal_output).splitlines()[1:]}
    assert len(names) == len(NAMES)
    assert "support/…/answers/triage" in "".join(terminal_output)


@pytest.mark.parametrize(
    ("name", "width", "short"),
    [
        ("support/triage", 14, "support/triage"),
        ("support/eu/triage", 16, "support/…/triage"),
        ("support/eu/very/long", 19, "support/…/very/long"),
        ("support/eu/very/long", 18, "support/…/long"),
        ("a-rather-long-folder/x", 10, "…/x"),
        ("default-system-prompt", 16, "default-…-prompt"),
        ("abcdef", 3, "a…f"),
    ],
)
def test_a_name_is_shortened_in_the_middle(name: str, width: int, short: str) -> None:
    assert text_width.cut_middle(name, width) == short
    assert text_width.columns_of(short) <= width


def test_a_narrow_terminal_wraps_rows_and_cuts_very_long_cells(
    terminal_output: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    tables.show(HISTORY, [("2026-01-03T00:00:00Z", "a", "activate", "1", "ada", "x" * 1_000_000)])
    assert len("".join(terminal_output)) < 500


@pytest.mark.parametrize("text", ["x", "日", "e\u0301", "👩‍👩‍👧", "\x1b", "\u200b", "\u0301"])
@pytest.mark.parametrize("columns", [40, 80])
def test_the_cost_of_a_long_cell_does_not_grow_with_its_length(
    text: str, columns: int, terminal_output: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))

    def calls_for(length: int) -> int:
        """Return how many functions, of Python and of C, a table with a cell of `length` calls."""
        count = 0

        def count_call(*_: object) -> None:
            nonlocal count
            count += 1

        row = ("2026-01-03T00:00:00Z", "a", "activate", "1", "ada", text * length)
        sys.setprofile(count_call)
        try:
            tables.show(HISTORY, [row])
        finally:
            sys.setprofile(None)
        return count

    calls_for(10)
    assert calls_for(1_000_000) <= 2 * calls_for(10_000)
