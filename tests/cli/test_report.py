"""`report`: what the page has, how it fails, and how it looks in a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.cli import html_files
from tests import browsers
from tests.commands import check_failure, check_json_failure
from tests.report_data import fill_sql
from tests.split_uses import uses_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import psycopg

    from tests.conftest import Promptctl

    Connection = psycopg.Connection[Any]

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=y>\x1b[31m\u202eevil & \t"
# Five days of one prompt: version 1 until noon of the third day, then 2 with a split, a rollback, and two days without
# uses before the last one. All times are fixed, so the page is the same in every run.
FIXED = r"""
select promptctl.create_version('support/triage', v, author => 'ada@example.com') from (values ('one'), ('two')) t (v);
select promptctl.activate('{support/triage}', '{1}', 'ada@example.com', null);
select promptctl.activate('{support/triage}', '{2}', 'bob@example.com', 'shorter, INC-7');
select promptctl.split('support/triage', 2500, 1, author => 'ada@example.com');
select promptctl.rollback('{support/triage}', null, null, 'eve@example.com', 'INC-412');
select promptctl.create_version('unused', 'nothing', author => 'ada@example.com');
select promptctl.record_use('support/triage', v, 0, 100 * v, 50, 1000 * v + i,
                            outcome => case when i = 3 then 'overloaded_error' else 'ok' end, score => i / 10.0,
                            model => case when d < 5 then 'claude-sonnet-4-5' else 'no-such-model' end)
from (values (1, 1), (2, 1), (3, 2), (6, 1)) t (d, v), generate_series(0, 9) i;
set session_replication_role = replica;
update promptctl.served set created_at = '2026-01-01';
update promptctl.versions set created_at = '2026-01-01', origin = '{"commit": "9f3c2ab0", "path": "v.txt"}';
update promptctl.allocations set changed_at = case epoch
    when 1 then '2026-02-01 08:00:00Z'::timestamptz when 2 then '2026-02-03 12:00:00Z'
    when 3 then '2026-02-03 12:30:00Z' else '2026-02-06 10:00:00Z' end;
update promptctl.uses set recorded_at = '2026-02-01 13:00:00Z'::timestamptz
    + interval '1 day' * (case when version = 2 then 2 when model = 'no-such-model' then 5 else 0 end);
reset session_replication_role;
"""
TESTED = {
    "tests.yaml": "tests:\n  - description: Refund <b>now</b>\n    message: Hello\n    assert: [{contains: good}]\n",
    "v1.txt": "You are calm.",
    "v2.txt": "You are broken.",
    "prompt.yaml": "active: 1\n",
}
FIXED_PERIOD = ("--since", "2026-02-01T00:00:00Z", "--until", "2026-02-07T00:00:00Z")


class Elements(HTMLParser):
    """The names of the elements of a page, its texts, and whether all that are open are closed again."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.handlers: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.handlers |= {name for name, _ in attrs if name.startswith("on") or name in ("src", "srcset")}
        if tag not in ("meta", "path", "rect", "br", "circle", "line", "polygon"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "rect", "circle", "line", "polygon"):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_page_of_fixed_data(promptctl: Promptctl, sql: Connection, snapshot: Callable[..., None]) -> None:
    sql.execute(FIXED.encode())
    ended = promptctl("report", "--html", "page.html", *FIXED_PERIOD)
    assert (ended.code, ended.out) == (0, "page.html\n")
    assert "2 prompts from" in ended.err
    assert "in page.html: 1 Feb 2026 to 6 Feb 2026, UTC\n" in ended.err
    page = (promptctl.home / "page.html").read_text(encoding="utf-8")
    elements = Elements(page)
    assert elements.open == []
    # Without the style and the version.
    body = page[page.index("<h1>") :].replace("><", ">\n<")
    snapshot(body, "cli/report-page")
    # The same page, also after the uses are rolled up, and on standard output.
    assert promptctl("db", "maintain", "--quiet").code == 0
    assert promptctl("report", "--html", "-", *FIXED_PERIOD).out == page
    answer = json.loads(promptctl("report", "support/triage", "--html", "b.html", *FIXED_PERIOD, "--json").out)
    assert answer["message"].startswith("1 prompt from ")
    del answer["message"]
    assert answer == {
        "file": "b.html", "bytes": (promptctl.home / "b.html").stat().st_size, "since": "2026-02-01T00:00:00Z",
        "until": "2026-02-07T00:00:00Z", "step": "day", "prompts": 1, "sections": 1, "moves": 1, "worse": [],
        "tested": {"errors": 0, "time": 0, "cost": 0, "score": 0},
    }  # fmt: skip
    # A period of a day begins with the split that was there before, and lasts no longer than its comparison. A prompt
    # that was made later is not part of it.
    sql.execute("""
        set session_replication_role = replica;
        update promptctl.served set created_at = '2026-02-06' where name = 'unused';
        reset session_replication_role;
    """)
    day = ("--since", "2026-02-05T00:00:00Z", "--until", "2026-02-06T00:00:00Z")
    ended = promptctl("report", "--html", "-", *day)
    assert "unused" not in ended.out
    ended = promptctl("report", "unused", "support/triage", "--html", "-", *day)
    assert 'aria-label="active over time: @2 | @1 25%; 0 moves in the period"' in ended.out
    assert "with the week before them, because" in ended.out
    assert "What changed in the 24 hours until 6 Feb, 00:00 UTC" in ended.out
    assert '<span class="k">@2 | @1 25%</span></td><td><span class="k">2026-02-03 12:30</span>' in ended.out
    assert "Version 2 had been active since 2026-02-03 12:00 UTC, by bob@example.com, from commit" in ended.out
    assert "Version 1 had been getting 25% of the units since 2026-02-03 12:30 UTC." in ended.out
    assert "The prompt was created after this period, on 2026-02-06 at 00:00 UTC." in ended.out
    # The numbers are those of stats.
    [first] = [
        version["stats"]
        for version in json.loads(promptctl("stats", "support/triage", "--json").out)["versions"]
        if version["version"] == 1
    ]
    assert (first["total_uses"], first["errors"]) == (30, 3)
    assert "<td>@1</td>\n<td>30</td>\n<td>3 (10%)</td>" in body
    assert first["p95_response_time_ms"] == pytest.approx(1009, rel=0.011)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browsers.Browser | None]:
    """A browser, None where Chromium is not installed."""
    if browsers.PROGRAM is None:
        yield None
        return
    with browsers.Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def check_in_browser(browser: browsers.Browser | None, page: Path) -> None:
    """Open a page in both color schemes and at two widths: it loads nothing, says nothing, and does not overflow."""
    if browser is None:
        return
    address = page.as_uri()
    for width in (400, 1400):
        backgrounds: set[str] = set()
        for scheme in ("light", "dark"):
            opened = browser.open(address, width=width, scheme=scheme)
            assert (opened.messages, opened.requests) == ([], [address])
            assert (opened.width, opened.scroll_width) == (width, width), page
            backgrounds.add(opened.background)
        assert len(backgrounds) == 2
        assert browser.evaluate(_OVERLAPS) == []


def test_a_viewer_gets_a_page_of_hostile_texts(
    promptctl: Promptctl, sql: Connection, promptctl_on: Callable[..., Promptctl], database_name: str,
    browser: browsers.Browser | None, claude_env: Callable[..., dict[str, str | None]],
) -> None:  # fmt: skip
    """The page has a split, a rollout, a test and fallbacks, no live HTML, no request and no control character."""
    long = "x" * 200
    hostile = HOSTILE.replace("\t", " ")
    for name in ("support", "rolled", long):
        for content in ("one", "two"):
            sql.execute("select promptctl.create_version(%s, %s)", [name, content])
        sql.execute(
            "select promptctl.activate(array[%s], '{1}', %s, %s)", [name, f"{hostile}@x", f"{hostile} {'y' * 1000}"]
        )
    sql.execute("select promptctl.split('support', 5000, 2)")
    sql.execute(uses_sql("support", slower=1.5).encode())
    sql.execute("select promptctl.start_rollout('rolled', 2, '{4000}', '1h', 3)")
    sql.execute("select promptctl.record_use('rolled', r.version, r.epoch, unit => i::text, model => %s) from"
                " generate_series(1, 300) i, lateral promptctl.resolve('rolled', i::text) r", [hostile])  # fmt: skip
    sql.execute(
        "insert into promptctl.fallbacks (id, name) select gen_random_uuid(), 'support' from generate_series(1, 2)"
    )
    folder = promptctl.home / "prompts" / "tested"
    folder.mkdir(parents=True)
    for file, content in TESTED.items():
        (folder / file).write_text(content)
    assert promptctl("sync", "prompts").code == 0
    assert promptctl("test", "tested@2", env=claude_env("crowd")).code == 3
    sql.execute("select promptctl.grant_access('app', 'viewer')")
    try:
        viewer = promptctl_on(database_name, "app")
        ended = viewer("report", "--html", "page.html")
        assert ended.code == 0, ended.err
        page = (viewer.home / "page.html").read_text(encoding="utf-8")
        assert viewer("report", "support", "--html", "one.html", "--since", "2h", "--quiet").out == "one.html\n"
    finally:
        sql.execute("drop owned by app")
    elements = Elements(page)
    assert elements.names.isdisjoint({"script", "img", "link", "iframe"})
    assert elements.handlers == set()
    assert elements.open == []
    assert "<script>alert(1)</script>" in elements.text
    assert "\\x1b[31m\\u202eevil" in elements.text
    assert not [character for character in page if not character.isprintable() and character != "\n"]
    assert "Version 2 is worse: it is" in elements.text
    assert "Rollout 1 from version 1 to 2 is running at 40%" in elements.text
    assert "Last test: tested@2 against tested@1" in elements.text
    assert "Refund <b>now</b>10/100/10worse" in elements.text
    assert "You are broken" not in elements.text
    assert "2 calls used the application's own text" in elements.text
    assert long in elements.text
    assert re.search(r"y{100,}…", elements.text)
    assert "Nothing was" not in elements.text
    for forbidden in ("http://", "https://", "url(", "@import"):
        assert forbidden not in page
    check_in_browser(browser, promptctl.home / "page.html")


@pytest.mark.parametrize(
    ("words", "code", "error", "message"),
    [
        ([], 2, "usage", "report needs --html FILE"),
        (["--html", ""], 2, "usage", "report needs --html FILE"),
        (["--html", "-", "--open"], 2, "usage", "--open needs the name of a file, not -"),
        (["x@1", "--html", "a"], 2, "usage", "report needs a name without a version: x"),
        (["a b", "--html", "a"], 2, "invalid_name", "cannot name a prompt"),
        (["--html", "/nowhere/a.html"], 1, "cannot_write", 'cannot write "/nowhere/a.html": No such file'),
        (["--html", "."], 1, "cannot_write", 'cannot write ".": Is a directory'),
        (["--html", "/dev/full"], 1, "cannot_write", 'cannot write "/dev/full": No space left'),
        (["--html", "a", "--since", "soon"], 2, "invalid_time", '"soon" is not a time'),
        (["--html", "a", "--since", "2999-01-01T00:00:00Z"], 2, "invalid_time", "the report ends before it begins"),
        (["--html", "a", "--since", "0d"], 2, "invalid_time", "the report ends before it begins"),
        (["--html", "a", "--since", "9000d"], 2, "invalid_time", "a report covers at most 400 weeks"),
        (["--html", "a", "--until", "3000w"], 0, "", ""),
        (["--html", "a", "--until", "900000d"], 2, "invalid_time", "is out of range"),
        (["defaultsystem-prompt", "--html", "a"], 4, "prompt_not_found", 'no prompt "defaultsystem-prompt"'),
    ],
)
def test_a_report_that_cannot_be_made(demo: Promptctl, words: list[str], code: int, error: str, message: str) -> None:
    if code == 0:
        assert demo("report", *words, "--quiet").code == 0
        return
    failure = check_json_failure(demo("report", *words, "--json"), code)
    assert failure["code"] == error
    assert message in failure["message"]
    assert not (demo.home / "a").exists()
    if code == 4:
        assert "default-system-prompt" in failure["hint"]


def test_the_old_file_stays_if_the_disk_is_full(demo: Promptctl) -> None:
    disk = demo.home / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", disk], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("a disk cannot be mounted here")
    try:
        (disk / "page.html").write_text("old")
        ended = check_failure(demo("report", "--html", "disk/page.html"), 1)
        assert 'error: cannot write "disk/page.html": No space left on device\n' in ended.err
        assert [path.name for path in disk.iterdir()] == ["page.html"]
        assert (disk / "page.html").read_text() == "old"
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        ended = check_failure(demo("report", "--html", "disk/page.html"), 1)
        assert 'error: cannot write "disk/page.html": Read-only file system\n' in ended.err
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_during_the_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    def interrupted(_: int) -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr("os.fsync", interrupted)
    before = signal.getsignal(number)
    with pytest.raises(errors.Terminated):
        html_files.write(str(tmp_path / "page.html"), "page")
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) == before


def test_open_calls_the_browser(demo: Promptctl, tmp_path: Path) -> None:
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > {tmp_path}/opened\n')
    browser.chmod(0o755)
    none = {"DISPLAY": None, "WAYLAND_DISPLAY": None, "WSL_DISTRO_NAME": None}
    words = ("report", "--html", "a page.html", "--open", "--quiet")
    assert demo(*words, env={**none, "BROWSER": f"{browser} %s"}).code == 0
    assert (tmp_path / "opened").read_text() == f"file://{demo.home}/a%20page.html"
    (demo.home / "a page.html").unlink()
    if sys.platform.startswith("linux"):
        ended = demo(*words, env={**none, "BROWSER": None})
        assert (ended.code, ended.out) == (1, "a page.html\n")
        assert 'error: cannot open a browser: there is no display; "a page.html" was written\n' in ended.err
        assert (demo.home / "a page.html").exists()
    ended = demo(*words, env={**none, "BROWSER": "/bin/false"})
    assert 'error: cannot open a browser: "/bin/false" of the variable BROWSER failed; "a page.html" was' in ended.err
    ended = demo(*words[:-1], "--json", env={**none, "BROWSER": str(tmp_path / "none")})
    assert (ended.code, json.loads(ended.err)["error"]["code"]) == (1, "no_browser")


def test_an_empty_database_has_a_page(promptctl: Promptctl) -> None:
    page = promptctl("report", "--html", "-").out
    assert "There is no prompt yet." in page
    assert "Not known: no prompt had enough uses" in page


def test_large_pages(promptctl: Promptctl, sql: Connection, browser: browsers.Browser | None) -> None:
    """A page of 20 prompts and 90 days, then one of 520 prompts with 1 000 moves in a day and a clock set back."""
    sql.execute(fill_sql("2026-07-01", buckets=10, moves=50).encode())
    # Long reasons do not make the page larger than it may be.
    sql.execute("set session_replication_role = replica; update promptctl.allocations set"
                " reason = repeat('because ', 250); reset session_replication_role")  # fmt: skip
    period = ("--since", "90d", "--until", "2026-07-01T00:00:00Z")
    assert promptctl("report", "--html", "page.html", *period, "--quiet").code == 0
    page = (promptctl.home / "page.html").read_bytes()
    assert 150_000 < len(page) < 300_000
    assert promptctl("report", "--html", "-", *period).out.encode() == page
    text = Elements(page.decode()).text
    assert "20 prompts had enough uses. Tested: failed uses of 20 prompts, P95 of 20 prompts, cost of" in text
    # Without days before, two numbers cannot be tested, and the page says so.
    hours = promptctl("report", "--html", "-", "--since", "3d", "--until", "2026-07-01T00:00:00Z").out
    text = Elements(hours).text
    assert (
        "Tested: failed uses of 20 prompts, P95 of 20 prompts, cost of a use of 0 prompts, score of 0 prompts." in text
    )
    assert "Cost and score need 20 uses that have them, and 5 whole days before with so many each." in text
    sql.execute("""
        set session_replication_role = replica;
        insert into promptctl.served (name, created_at)
        select 'quiet-' || i || repeat('x', 190), '2020-01-01' from generate_series(101, 600) i;
        insert into promptctl.allocations (name, epoch, kind, previous_version, version, basis_points, author, reason,
                                           changed_at)
        select 'team/prompt-01', 50 + i, 'activate', case when i = 1 then 4 else 1 + i % 3 end, 1 + (i + 1) % 3, 0,
               'bot', repeat('because ', 40),
               '2026-06-29 12:00:00Z'::timestamptz
                   + case when i = 990 then interval '-3 hours' else i * interval '40 s' end
        from generate_series(1, 1000) i;
        update promptctl.served set archived_at = '2026-06-30 23:00:00Z', active_version = null
        where name = 'team/prompt-20';
        reset session_replication_role;
    """)
    assert promptctl("report", "--html", "large.html", *period, "--quiet").code == 0
    text = Elements((promptctl.home / "large.html").read_text(encoding="utf-8")).text
    assert "500 prompts had neither uses nor moves, and have no section." in text
    assert "1,044 older moves of the period" in text
    assert "At least 2 moves have times that are out of order, because a clock was wrong. The chart has them" in text
    assert "has a time outside it" not in text
    assert "Archived on 2026-06-30 at 23:00 UTC. It serves nothing." in text
    for file in ("page.html", "large.html"):
        check_in_browser(browser, promptctl.home / file)


# The labels of marks that overlap, of all that are displayed.
_OVERLAPS = """
[...document.querySelectorAll('.lane')].flatMap(lane => {
  const boxes = [...lane.querySelectorAll('text.mark')].map(text => [text.textContent, text.getBoundingClientRect()])
    .filter(([_, box]) => box.width > 0).sort((a, b) => a[1].left - b[1].left)
  return boxes.slice(1).filter(([_, box], place) => box.left < boxes[place][1].right).map(([label]) => label)
})
"""


def test_no_more_is_imported_than_needed(demo: Promptctl) -> None:
    """Neither Rich nor the SDK nor the modules of tests are loaded for a page that needs none of them."""
    code = (
        "import sys\nfrom promptctl.cli.run import Run\nfrom promptctl.cli.commands import report\n"
        "report.report(Run(quiet=True), html='page.html')\n"
        "print(sorted({'rich', 'anthropic', 'psycopg', 'typer', 'yaml', 'promptctl.evaluation',"
        " 'promptctl.output.test_page', 'promptctl.output.comparison_page'} & set(sys.modules)))"
    )
    env = demo.environment({"BROWSER": None})
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=demo.home, capture_output=True, text=True, check=True
    )
    assert done.stdout == "page.html\n[]\n"


def test_costs_without_prices_say_what_is_missing(promptctl: Promptctl, sql: Connection) -> None:
    sql.execute(FIXED.encode())
    code = (
        "import sys\nsys.modules['genai_prices'] = None\nfrom promptctl.cli.run import Run\n"
        "from promptctl.cli.commands import report\n"
        f"report.report(Run(), html='page.html', since={FIXED_PERIOD[1]!r}, until={FIXED_PERIOD[3]!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=promptctl.environment({}), cwd=promptctl.home, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    missing = 'costs need the extra "chat" of promptctl, which is not installed: '
    assert missing in done.stderr
    text = Elements((promptctl.home / "page.html").read_text(encoding="utf-8")).text
    assert f"n/a is a cost that is not known: {missing}" in text
    assert f" C{missing[1:]}" in text
    assert "there is no price" not in text


# Every kind of move, and a release with its rollback.
EVERY_KIND = """
select promptctl.create_version('support', v) from (values ('one'), ('two'), ('three')) t (v);
select promptctl.create_version('other', 'one', activated => true);
select promptctl.activate('{support}', '{1}');
select promptctl.split('support', 1000, 2);
select promptctl.split('support', 5000, 2);
select promptctl.end_split('support');
select promptctl.split('support', 1000, 2);
select promptctl.activate('{support}', '{2}');
select promptctl.set_routes('{support}', '[[{"when": {"a": 1}, "use": "other"}]]');
select promptctl.rollback('{support}');
select promptctl.activate('{support}', '{3}', release => promptctl.open_release());
select promptctl.rollback_release((select max(release) from promptctl.allocations where name = 'support'));
select promptctl.set_routes('{support}', '[null]');
select promptctl.deactivate('{support}');
select promptctl.rollback('{support}');
select promptctl.archive('{support}', '{null}');
select promptctl.archive('{support}', '{null}', undo => true);
select promptctl.activate('{support}', '{3}');
"""


def set_times(sql: Connection, **ages: str) -> None:
    """Give the moves of `support` times: `e1="3 days"` is three days ago for the first one. Negative is the future."""
    for epoch, age in ages.items():
        sql.execute("set session_replication_role = replica")
        sql.execute(
            "update promptctl.allocations set changed_at = now() - %s::interval where name = 'support' and epoch = %s",
            [age, int(epoch[1:])],
        )
        sql.execute("reset session_replication_role")


def test_moves_of_every_kind_follow_from_each_other(promptctl: Promptctl, sql: Connection) -> None:
    sql.execute(EVERY_KIND.encode())
    rows = sql.execute(
        "select kind, previous_version, version from promptctl.allocations where name = 'support' order by epoch"
    ).fetchall()
    assert {row[0] for row in rows} == {
        "activate", "deactivate", "rollback", "split", "unsplit", "route", "archive", "restore",
    }  # fmt: skip
    assert [row[1] for row in rows] == [None, *(row[2] for row in rows[:-1])]
    page = promptctl("report", "--html", "-").out
    assert "because a clock was wrong" not in page
    assert f"; {len(rows)} moves in the period" in page


@pytest.mark.parametrize(
    ("ages", "note"),
    [
        # The newest move, and one before it, are in the future.
        ({"e1": "9 days", "e2": "4 days", "e3": "-365 days"}, "1 move has a time that is out of order"),
        ({"e1": "9 days", "e2": "-365 days", "e3": "4 days"}, "1 move has a time that is out of order"),
        # One has a time before the period.
        ({"e1": "9 days", "e2": "400 days", "e3": "4 days"}, "has a time outside it"),
        ({"e1": "9 days", "e2": "8 days", "e3": "400 days"}, "has a time outside it"),
    ],
)
def test_a_wrong_clock_does_not_hide_what_is_active(
    ages: dict[str, str], note: str, promptctl: Promptctl, sql: Connection
) -> None:
    sql.execute("""
        select promptctl.create_version('support', v) from (values ('one'), ('two'), ('three')) t (v);
        select promptctl.activate('{support}', '{1}'); select promptctl.activate('{support}', '{2}');
        select promptctl.activate('{support}', '{3}');
    """)
    set_times(sql, **ages)
    page = promptctl("report", "support", "--html", "-").out
    [warning] = re.findall(r'<p class="warning">(.*?)</p>', page)
    assert note in warning
    assert ("promptctl history support" in warning) == ("outside" in note)
    assert "Version 3 has been active since" in page
    [lane] = re.findall(r'aria-label="active over time: (.*?);', page)
    assert lane.endswith("@3")
