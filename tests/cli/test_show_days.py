"""The uses of the last 14 days in `show NAME`: on a wide terminal, the same as those of `stats`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len

from promptctl.output import sparklines, text_width

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

NAME = "default-system-prompt"


def days(screen: str) -> list[str]:
    """Return the sparklines on a screen, top first."""
    return re.findall(r"[▁-█][▁-█ ]*[▁-█]|[▁-█]", screen)


def test_show_has_the_days_of_stats(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sql.execute(
        "select promptctl.record_use('default-system-prompt', v, 2, 300, 150, 1100) from generate_series(2, 3) v,"
        " generate_series(1, 20)"
    )
    sql.execute("set session_replication_role = replica")
    sql.execute(
        "update promptctl.uses set recorded_at = date_trunc('day', now(), 'UTC') - version * interval '1 day' where"
        " recorded_at > now() - interval '1 hour'"
    )
    sql.execute("update promptctl.uses set recorded_at = now() - interval '14 days' where outcome <> 'ok'")
    tail = demo.on_terminal("show", NAME, columns=120).out
    assert "  14 DAYS  " in tail
    assert days(tail)[0].startswith("█")
    # Of the three prompts' versions, two have uses, and their scale is the same.
    assert len(days(tail)) == 2
    assert demo("db", "maintain").code == 0
    for columns in (100, 120):
        assert days(demo.on_terminal("show", NAME, columns=columns).out) == days(tail)
    heading, *stats = demo.on_terminal("stats", NAME, columns=200).out.splitlines()
    assert [line[heading.index("14 DAYS") :].strip() for line in stats[:2]] == days(tail)
    for screen in (
        demo.on_terminal("show", NAME, columns=79).out,
        demo("show", NAME, "--format", "markdown").out,
        demo.on_terminal("show", "code_helper", columns=120).out,
    ):
        assert "14 DAYS" not in screen
    # Without descriptions, 80 columns have room.
    sql.execute("reset session_replication_role")
    sql.execute("select promptctl.create_version('bare', 'x')")
    sql.execute("select promptctl.record_use('bare', 1, 1)")
    bare = demo.on_terminal("show", "bare").out
    assert ("14 DAYS" in bare, "DESCRIPTION" in bare, len(days(bare))) == (True, False, 1)


def test_days_of_versions_have_one_scale() -> None:
    assert sparklines.of_days(["0 8,13 1,14 99,-1 99", None, "1 4"]) == ["▁            █", "", "            ▄ "]
    assert sparklines.of_days([]) == []


def test_our_own_signs_take_one_column() -> None:
    signs = "…→▁▂▃▄▅▆▇█▏▎▍▌▋▊▉"
    assert text_width.columns_of(signs) == len(signs) == cell_len(signs)
