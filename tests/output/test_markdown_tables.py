"""Tables in Markdown: valid GFM with the same cells, whatever the texts contain."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from promptctl.output import markdown, markdown_table, stream
from promptctl.output.table_columns import BLANK, Column

# Markdown with tables, and with HTML as GitHub reads it.
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
COLUMNS = [Column("VERSION", "number"), Column("", "graphic"), Column("WHEN", "time"), Column("WHY", "text")]


def cells(text: str) -> list[list[str]]:
    """Return the texts of the cells of a table, the heading first. Fails for other blocks, HTML and links."""
    tokens = PARSER.parse(text)
    assert [token.type for token in tokens if token.level == 0] == ["table_open", "table_close"]
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            parts = token.children or []
            assert {part.type for part in parts} <= {"text", "text_special", "strong_open", "strong_close"}, (
                token.content
            )
            rows[-1].append("".join(part.content for part in parts))
    return rows


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=40))
@example("a | b `c` ``` <b>d</b> *e* _f_ [g](http://h) ~~i~~ # j @ada &amp; \\| \\")
@example("two\nlines\r\n\x1b[31mred\x1b[0m \u202eright \u200d zero $a$ ![x](y)")
@example("---")
@example("https://evil.example HTTP://e/x.png ftp://e www.evil.example _www.e \u2028 \u2029")
def test_a_cell_keeps_its_text_and_is_never_markup(text: str) -> None:
    table = markdown_table.text(COLUMNS, [[1, "▍", None, text], [2, "", "2026-11-12T09:30:05.5Z", "x"]])
    assert not re.search(r"(?i)(https?|ftp)://|www\.|[\u2028\u2029]", table)
    heading, first, second = cells(table)
    assert heading == ["VERSION", "WHEN", "WHY"]
    assert second == ["2", "2026-11-12 09:30:05 UTC", "x"]
    written = stream.one_line(text) if text else "-"
    assert first[:2] == ["1", "-"]
    assert first[2].replace("\u200b", "").split() == written.replace("\u200b", "").split()


def test_numbers_are_aligned_right_and_marked_rows_are_bold() -> None:
    columns = [*COLUMNS, Column("TIME", "duration"), Column("COST", "money"), Column("14 DAYS", "trend")]
    rows = [
        [3, "", "2026-11-12T09:30:05Z", "why", 1350.0, 0.0042, "▂▃"],
        ["…", BLANK, BLANK, BLANK, BLANK, BLANK, BLANK],
        [1, "", None, "x" * 3000, 90.0, 12.5, ""],
    ]
    table = markdown_table.text(columns, rows, lambda place: place == 0, "active")
    assert table.splitlines()[:4] == [
        "| VERSION | WHEN | WHY | TIME | COST |",
        "| --: | --- | --- | --: | --: |",
        "| **3** (active) | 2026-11-12 09:30:05 UTC | why | 1.35 s | $0.0042 |",
        "| … |  |  |  |  |",
    ]
    assert cells(table)[3] == ["1", "-", "x" * 3000, "90 ms", "$12.50"]


def test_a_text_cannot_end_its_block_of_code() -> None:
    block = markdown.fenced("a\n````\n<b>\x1b", "diff")
    [token] = PARSER.parse(block)
    assert (token.type, token.info, token.content) == ("fence", "diff", "a\n````\n<b>\\x1b\n")
