"""`stats --format prometheus`: what the page of metrics has, and that its counters never become smaller."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.output import prometheus_text
from tests.commands import check_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl

    Connection = psycopg.Connection[Any]
    Page = dict[str, float]

INSERT = """
insert into promptctl.uses (id, name, version, epoch, model, input_tokens, output_tokens, cache_read_tokens,
                            response_ms, first_token_ms, outcome, score, recorded_at)
values (gen_random_uuid(), 'x', %s, 1, %s, %s, %s, %s, %s, %s, %s, %s, now() - make_interval(days => %s))
"""
KNOWN, UNKNOWN = "claude-sonnet-4-5", "m" * 200
# version, model, tokens in, out, cached, ms, first ms, outcome, score, days ago
USES: list[tuple[Any, ...]] = [
    (1, KNOWN, 1000, 500, 100, 100, 10, "ok", 0.5, 40),
    (1, KNOWN, 2000, None, None, 70_000, None, "ok", None, 40),
    (1, UNKNOWN, 10, 20, None, 63.9, 30, "ok", 1, 0),
    (1, None, None, None, None, 4000, None, "overloaded_error", None, 0),
    (2, None, None, None, None, 1e9, None, "ok", None, 0),
    (3, None, None, None, None, 1, None, "ok", None, 2),
]


def read(promptctl: Promptctl, *words: str) -> Page:
    """Return the samples of the page by name and labels."""
    page = promptctl("stats", *words, "--format", "prometheus")
    assert (page.code, page.err) == (0, "")
    samples = [line.rsplit(" ", 1) for line in page.out.splitlines() if not line.startswith("#")]
    assert len(dict(samples)) == len(samples), "a series appears twice"
    return {series: float(value) for series, value in samples}


def check_with_promtool(page: str) -> None:
    """Have promtool check a page, where it is installed."""
    if promtool := shutil.which("promtool"):
        checked = subprocess.run(
            [promtool, "check", "metrics"], input=page, capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


def create(sql: Connection, name: str = "x", versions: int = 3) -> None:
    for number in range(versions):
        sql.execute("select promptctl.create_version(%s, %s, author => 'me')", [name, f"text {number}"])
    sql.execute("select promptctl.activate(array[%s], '{1}', 'me')", [name])


def test_the_page_has_the_sums_of_all_time(
    promptctl: Promptctl,
    sql: Connection,
    promptctl_on: Callable[..., Promptctl],
    database_name: str,
    snapshot: Callable[..., None],
) -> None:
    create(sql)
    sql.execute("select promptctl.split('x', 1000, 2)")
    for use in USES:
        sql.execute(INSERT, use)
    for name in ("x", "typo"):
        sql.execute("insert into promptctl.fallbacks (id, name, outcome) values (gen_random_uuid(), %s, 'ok')", [name])
    ended = promptctl("stats", "--format", "prometheus")
    check_with_promtool(ended.out)
    snapshot(re.sub(r"(?m)^(promptctl_\w+_timestamp_seconds\S*) .*", r"\1 TIME", ended.out), "stats-prometheus")
    page = read(promptctl, "x")
    one = '{prompt="x",version="1"}'
    # 900 tokens at 3 dollars a million, 100 from the cache at 0.30, 500 out at 15; and 2000 in.
    assert page[f"promptctl_cost_usd_total{one}"] == pytest.approx(0.0027 + 0.00003 + 0.0075 + 0.006)
    assert page[f"promptctl_unpriced_uses_total{one}"] == 1
    assert page['promptctl_response_seconds_bucket{prompt="x",version="1",le="0.064"}'] == 1
    assert page['promptctl_response_seconds_bucket{prompt="x",version="1",le="0.128"}'] == 2
    assert not any('version="3"' in series for series in page), "version 3 was used two days ago"
    assert not any("other prompts" in series for series in page)
    sql.execute("select promptctl.grant_access('app', 'viewer')")
    try:
        assert read(promptctl_on(database_name, "app"), "x").keys() == page.keys()
    finally:
        sql.execute("drop owned by app")


def test_counters_never_become_smaller(promptctl: Promptctl, sql: Connection) -> None:
    create(sql)
    before: Page = {}
    steps: list[Callable[[], object]] = [
        *[lambda use=use: sql.execute(INSERT, use) for use in USES],
        lambda: sql.execute("select promptctl.roll_up_uses()"),
        lambda: [sql.execute(INSERT, use) for use in USES],
        lambda: promptctl("db", "maintain", "--keep", "30d"),
        lambda: sql.execute("select promptctl.activate('{x}', '{3}', 'me')"),
        lambda: promptctl("archive", "x@1"),
        lambda: promptctl("erase", "x@1", "--yes"),
    ]
    for step in steps:
        step()
        page = read(promptctl)
        counters = {
            series: value
            for series, value in page.items()
            if re.match(r"promptctl_\w+_(total|bucket|sum|count)\{", series) and 'version="3"' not in series
        }
        assert {series: value for series, value in before.items() if counters.get(series, -1) < value} == {}
        before = counters
    assert before['promptctl_uses_total{prompt="x",version="1",outcome="ok"}'] == 6


def test_an_empty_database_and_one_without_uses_have_a_page(promptctl: Promptctl, sql: Connection) -> None:
    assert set(read(promptctl)) == {"promptctl_statistics_timestamp_seconds", "promptctl_uses_to_roll_up"}
    name = "n" * 200
    create(sql, name, 1)
    page = read(promptctl)
    assert page[f'promptctl_uses_total{{prompt="{name}",version="1",outcome="error"}}'] == 0
    assert not any("cost" in series for series in page), "an unknown cost is absent and not zero"


def test_other_options_are_refused(unconfigured: Promptctl) -> None:
    for words, problem in (
        ("--format xml", 'invalid format "xml"'),
        ("--format prometheus --quiet", "use only one of --format prometheus and --quiet"),
        ("--format prometheus --csv", "use only one of --format prometheus and --csv"),
        ("--format prometheus --since 1d", "leave out --since"),
        ("--format prometheus --by day", "leave out --by"),
        ("--format prometheus --all", "leave out --all"),
    ):
        assert problem in check_failure(unconfigured("stats", *words.split()), 2).err


def test_an_unknown_prompt_is_not_found(promptctl: Promptctl) -> None:
    check_failure(promptctl("stats", "nobody", "--format", "prometheus"), 4)


def test_labels_are_escaped() -> None:
    family = prometheus_text.Family("a", "gauge", 'back\\slash "\n', [("", {"b": 'back\\slash "\n'}, 1.5), ("", {}, 1)])
    empty = prometheus_text.Family("c", "gauge", "nothing", [])
    page = prometheus_text.text([family, empty])
    assert page == '# HELP a back\\\\slash "\\n\n# TYPE a gauge\na{b="back\\\\slash \\"\\n"} 1.5\na 1\n'
    check_with_promtool(page.replace("# HELP a", "# HELP a "))
