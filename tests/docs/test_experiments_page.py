"""docs/experiments.md: its commands print what it shows, and its tables are calculated."""

from __future__ import annotations

import math
import os
import re
from typing import TYPE_CHECKING, Any

from promptctl.rules import experiments
from tests.conftest import ROOT, stable, watched
from tests.split_uses import TWO_DAYS_AGO, uses_sql

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

PAGE = ROOT / "docs" / "experiments.md"
SHARES = (0.1, 0.5)


def keep(text: str) -> None:
    """Compare the page with what it should be; UPDATE_SNAPSHOTS=1 writes it."""
    if os.environ.get("UPDATE_SNAPSHOTS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text


def test_the_commands_of_the_page_print_what_it_shows(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    for content in ("one", "two", "three"):
        sql.execute("select promptctl.create_version('support', %s, author => 'ada@example.com')", [content])
    sql.execute("select promptctl.activate('{support}', '{2}', 'ada@example.com')")
    for share in (1000, 5000):
        sql.execute("select promptctl.split('support', %s, 3, author => 'ada@example.com')", [share])
        sql.execute(uses_sql("support", units=2500, slower=1.2, score=0.5).encode())
    sql.execute(TWO_DAYS_AGO.encode())
    text = PAGE.read_text(encoding="utf-8")
    for block in re.findall(r"^```console\n(.*?)^```$", text, flags=re.M | re.S):
        lines: list[str] = []
        for command in re.findall(r"^\$ (.*)$", block, flags=re.M):
            env = promptctl.environment({"TERM": "xterm", "NO_COLOR": "1"})
            env["PATH"] = f"{ROOT / '.venv' / 'bin'}{os.pathsep}{env['PATH']}"
            lines += [f"$ {command}\n", watched(["bash", "-c", command], env, promptctl.home, 90).out]
        text = text.replace(block, stable("".join(lines)))
    keep(text)


def needed(variance: float, margin: float, share: float) -> float:
    """Return the uses of both versions at which half the width of the interval is the margin."""
    return variance * experiments.squared_ratio(experiments.LEVEL_OF_METRIC) / (margin**2 * share * (1 - share))


def table(columns: dict[str, float], margin: float) -> str:
    """Return a table of needed uses: a column for each variance of a use, a row for each share."""
    lines = [f"| share of the candidate | {' | '.join(columns)} |", f"|---{'|--:' * len(columns)}|"]
    for share in SHARES:
        cells = [rounded(needed(variance, margin, share)) for variance in columns.values()]
        lines.append(f"| {share:.0%} | {' | '.join(cells)} |")
    return "\n".join(lines)


def rounded(number: float) -> str:
    digits = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return f"{round(number / digits) * digits:,}"


def test_the_tables_of_needed_uses_are_calculated() -> None:
    rates = {f"{rate:.1%}".replace(".0%", "%"): rate * (1 - rate) for rate in (0.005, 0.01, 0.02, 0.05, 0.10)}
    spreads = {f"{spread:g}": spread**2 for spread in (0.25, 0.5, 1.0)}
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("<!-- ") == 2
    for mark, columns, margin in (("errors", rates, 0.01), ("time", spreads, math.log(1.1))):
        text = re.sub(
            rf"(<!-- {mark} -->\n\n)(\|.*?\n\n)?",
            lambda match, columns=columns, margin=margin: f"{match[1]}{table(columns, margin)}\n\n",
            text,
            flags=re.S,
        )
    keep(text)


def test_at_the_needed_uses_the_interval_is_as_wide_as_the_margin() -> None:
    uses = needed(0.02 * 0.98, 0.01, 0.5)
    variance = 0.02 * 0.98 * (2 / uses + 2 / uses)
    width = experiments.half_width(variance, 0.01, experiments.LEVEL_OF_METRIC)
    assert width is not None
    assert math.isclose(width, 0.01, rel_tol=1e-6)
