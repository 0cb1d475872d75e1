"""`history --since` and `--graph`, on a terminal, in a pipe and in Markdown."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.commands import check_failure

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

NAME = "default-system-prompt"
UTF8: dict[str, str | None] = {"LC_ALL": "C.UTF-8", "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": None}


def test_the_graph_is_above_the_table_and_alone_in_a_pipe(demo: Promptctl) -> None:
    screen = demo.on_terminal("history", NAME, "--graph", env=UTF8).out
    graph, _, table = screen.partition("\n\n")
    # Three versions were activated on 3 January. The rollback was two hours ago.
    assert graph.splitlines()[0].startswith("3 │╋━━━━━━━━")
    assert graph.splitlines()[1].startswith("2 │╋ ")
    assert graph.splitlines()[1].endswith("R")
    legend, _, table = table.partition("\n\n")
    assert legend.replace("\n", "  ") == "━ active  R rollback  ╋ several changes  times in UTC"
    assert table == demo.on_terminal("history", NAME, env=UTF8).out
    piped = demo("history", NAME, "--graph", env={"LC_ALL": "C.UTF-8"})
    assert piped.out.splitlines()[:5] == graph.splitlines()
    assert piped.out.splitlines()[-1] == legend.splitlines()[-1]
    assert demo("history", NAME, "--graph", env={"LC_ALL": "C"}).out.isascii()
    assert demo.on_terminal("history", NAME, "--graph", env=UTF8 | {"TERM": "dumb"}).out.splitlines()[0][:3] == "3 |"
    narrow = demo.on_terminal("history", NAME, "--graph", columns=20, env=UTF8).out.partition("WHEN")[0]
    assert all(len(line) <= 20 for line in narrow.partition("\n\n")[0].splitlines())
    markdown = demo("history", NAME, "--graph", "--format", "markdown", env={"LC_ALL": "C.UTF-8"}).out
    assert markdown.startswith("```text\n3 │╋━")
    assert "\n```\n\n| WHEN | WHAT |" in markdown
    for form in ("--json", "--quiet"):
        assert demo("history", NAME, "--graph", form).out == demo("history", NAME, form).out
    # The split begins in a pipe too, with its share.
    split = demo("history", "support/triage", "--graph", "--since", "3600d", env={"LC_ALL": "C.UTF-8"}).out
    assert "░▒▓ candidate, by its share" in split


def test_since_leaves_out_earlier_changes(demo: Promptctl) -> None:
    assert demo("history", NAME, "--since", "3h").out.count("\n") == 1
    assert demo("history", "--since", "3h", "--json").out == demo("history", "--since", "4h", "--json").out
    counted = json.loads(demo("history", "--since", "3h", "--json").out)
    assert (counted["count"], [event["kind"] for event in counted["events"]]) == (1, ["rollback"])
    limited = demo("history", NAME, "--since", "2026-01-01", "--limit", "1")
    assert limited.err == "3 older: --limit 0 shows all\n"
    screen = demo.on_terminal("history", NAME, "--since", "1h", "--graph", env=UTF8).out
    assert screen.startswith("2 │━━━━━━━━")
    assert f"\n{NAME} has not moved in the last 1h in " in screen


def test_a_graph_needs_a_name_and_a_prompt_that_moved(demo: Promptctl) -> None:
    ended = check_failure(demo("history", "--graph"), 2)
    assert ended.err == "error: --graph draws one prompt: add its NAME\nhint:  promptctl history NAME --graph\n"
    check_failure(demo("history", "missing", "--graph"), 4)
    check_failure(demo("history", NAME, "--since", "yesterday"), 2)
    future = check_failure(demo("history", NAME, "--since", "2100-01-01", "--graph"), 2)
    assert future.err.startswith("error: --since 2100-01-01 is in the future\n")
    assert demo("history", "code_helper", "--graph").out == ""
    assert "code_helper has not moved yet" in demo.on_terminal("history", "code_helper", "--graph").out


def test_a_graph_of_very_many_changes_says_where_it_begins(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sql.execute("set session_replication_role = replica")
    sql.execute(
        "insert into promptctl.allocations (name, epoch, kind, previous_version, version, basis_points, author,"
        " database_user, changed_at) select a.name, 10 + g, 'activate', 2, 1 + g % 3, 0, a.author, a.database_user,"
        " '2026-02-01 00:00:00+00'::timestamptz + g * interval '1 minute'"
        " from promptctl.allocations a, generate_series(1, 10000) g"
        " where a.name = 'default-system-prompt' and a.epoch = 2"
    )
    ended = demo("history", NAME, "--graph")
    assert ended.err == "the graph begins with the newest 10,000 changes\n"
    assert len(ended.out.splitlines()) < 10


def test_the_graph_ends_now_although_a_change_is_in_the_future(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    before = demo("history", NAME, "--graph", env={"LC_ALL": "C.UTF-8"}).out.splitlines()
    sql.execute("set session_replication_role = replica")
    sql.execute(
        "update promptctl.allocations set changed_at = now() + interval '365 days' where name = %s"
        " and epoch = (select max(epoch) from promptctl.allocations where name = %s)",
        [NAME, NAME],
    )
    after = demo("history", NAME, "--graph", env={"LC_ALL": "C.UTF-8"}).out.splitlines()
    # The axis and its labels are the same. The rollback, which was two hours ago, is in the last column.
    assert after[:5] == before[:5]
    assert after[-2] == "1 change has a time that is out of order, because a clock was wrong: drawn in"
