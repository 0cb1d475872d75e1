"""`top`: the live screen on a terminal, through an outage and every way to end, and `--once` for scripts."""

from __future__ import annotations

import json
import re
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.client.wire import Wire
from tests.commands import check_failure
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Promptctl
    from tests.servers import Server

COST = """
select promptctl.record_use('default-system-prompt', 2, 2, 1000000, 0, 1200, model => 'claude-sonnet-5-5');
select promptctl.record_use('default-system-prompt', 1, 1, outcome => 'overloaded_error');
select promptctl.record_use('support/triage', 1, 1, 10, 1, model => 'unknown-model');
"""
ENTERED, LEFT, CURSOR_SHOWN = b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[?25h"


def screen_of(
    promptctl: Promptctl, *words: str, columns: int = 80, env: dict[str, str | None] | None = None
) -> Terminal:
    variables = promptctl.environment({"TERM": "xterm", **(env or {})})
    return Terminal(promptctl.command("top", *words), variables, promptctl.home, columns)


def check_left(terminal: Terminal, before: list[Any]) -> None:
    """Check that the terminal is as it was: its settings, its first screen, its cursor."""
    assert terminal.settings() == before
    raw = terminal.raw
    assert raw.rfind(LEFT) > raw.rfind(ENTERED)
    assert raw.rfind(CURSOR_SHOWN) > raw.rfind(b"\x1b[?25l")


def test_the_screen_follows_moves_and_uses_through_an_outage_and_leaves_the_terminal_as_it_was(
    demo: Promptctl, sql: psycopg.Connection[Any], server: Server, database_name: str
) -> None:
    with screen_of(demo, columns=120) as terminal, psycopg.connect(server.dsn(), autocommit=True) as other:
        before = terminal.settings()
        terminal.wait_for(re.compile(r"connected .*\n\s*\n?NAME +ACTIVE +SPLIT +USES", re.DOTALL))
        terminal.wait_for("? help")
        # The screen takes keys without echo, and Ctrl-C and Ctrl-Z remain signals.
        assert terminal.settings()[3] != before[3]
        # A move is shown by its notification, long before the next poll.
        began = time.monotonic()
        sql.execute("select promptctl.activate('{default-system-prompt}', '{3}', 'eve', E'a\\x1b[2Jb')")
        terminal.wait_for(re.compile(r"default-system-prompt +3 .* now +activate 2 → 3 +eve +a\\x1b\[2Jb"))
        assert time.monotonic() - began < 1.9
        sql.execute(COST)
        terminal.wait_for(re.compile(r"default-system-prompt +3 +- +2 +1 +1.2 s +\$\d+"))
        terminal.type("/tri\r")
        terminal.wait_for(re.compile(r"support/triage +1 +2 25% +1 +0 +- +n/a.*1 of 3 match tri", re.DOTALL))
        terminal.type("\x1b")
        terminal.wait_for("code_helper")
        terminal.type("e")
        terminal.wait_for(re.compile(r"default-system-prompt.*support/triage", re.DOTALL))
        terminal.type("\r")
        terminal.wait_for("default-system-prompt  version 3 is active")
        terminal.wait_for(re.compile(r"overloaded_error +1.*2 +1 +0 +1.2 s.*rollback 3 → 2.*too chatty", re.DOTALL))
        terminal.type("\x1b")
        terminal.resize(20, 6)
        assert "ACTIVE" not in terminal.wait_for(re.compile(r"NAME +USES +ERR↓.*quit", re.DOTALL))[-200:]
        terminal.resize(80, 24)
        terminal.wait_for("ACTIVE")
        # Nobody can stop the leader of a session, so Ctrl-Z leaves the screen and enters it again.
        terminal.type("\x1a")
        while terminal.raw.count(ENTERED) < 2:
            terminal.wait_for("COST/H")
        other.execute(f"alter database {database_name} allow_connections false".encode())
        sql.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and application_name = 'promptctl client'"
        )
        terminal.wait_for(re.compile(r"lost since \d\d:\d\d:\d\d, data \d+s old[^$]*hint:  promptctl db status"))
        terminal.type("?")
        terminal.wait_for("any key: back")
        terminal.type("?")
        other.execute(f"alter database {database_name} allow_connections true".encode())
        terminal.wait_for("connected")
        sql.execute("select promptctl.rollback('{default-system-prompt}')")
        terminal.wait_for(re.compile("default-system-prompt +2 "))
        terminal.type("q")
        assert terminal.end() == 0
        check_left(terminal, before)


def test_descriptors_above_1023_are_as_good_as_others(demo: Promptctl) -> None:
    """A process may inherit many open files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2000:
        pytest.skip("the system allows too few open files")
    opening = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (2000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
for _ in range(1100):
    os.set_inheritable(os.dup(0), True)
os.execvp(sys.argv[1], sys.argv[1:])
"""
    words = [sys.executable, "-c", opening, *demo.command("top")]
    with Terminal(words, demo.environment({"TERM": "xterm"}), demo.home) as terminal:
        terminal.wait_for(re.compile("default-system-prompt +2 .*quit", re.DOTALL))
        terminal.type("?")
        terminal.wait_for("any key: back")
        terminal.type("?q")
        assert terminal.end() == 0


def test_keys_react_while_the_database_does_not_answer_and_a_poll_finds_moves_without_notifications(
    demo: Promptctl, sql: psycopg.Connection[Any], server: Server, database_name: str,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    # As a standby does, and as PgBouncer in transaction mode.
    without_notifications = startup_code("import promptctl.cli.live.reader as r\nr._listen = lambda database: False")
    with Wire(server.socket_directory / f".s.PGSQL.{server.port}") as wire:
        env = without_notifications | {"DATABASE_URL": wire.url(database_name)}
        with screen_of(demo, "--sort", "name", env=env) as terminal:
            terminal.wait_for(re.compile("default-system-prompt +2 .*quit", re.DOTALL))
            sql.execute("select promptctl.activate('{default-system-prompt}', '{1}')")
            terminal.wait_for(re.compile("default-system-prompt +1 .*quit", re.DOTALL))
            wire.pause()
            terminal.wait_for(re.compile(r"data \d+s old"))
            began = time.monotonic()
            terminal.type("?")
            terminal.wait_for("any key: back")
            terminal.resize(40, 9)
            terminal.type("x\x1b[B\r")
            terminal.wait_for("default-system-prompt")
            terminal.wait_for("reading")
            assert time.monotonic() - began < 5
            wire.resume()
            terminal.wait_for(re.compile(r"connected.*version 1 is act.*now", re.DOTALL))
            terminal.type("\x1b[6~" * 4)
            terminal.wait_for("activate 2 → 1")
            terminal.type("q")
            assert terminal.end() == 0


@pytest.mark.parametrize("ending", ["Ctrl-C", "SIGTERM", "SIGHUP", "SIGUSR1", "a bug"])
def test_every_end_leaves_the_terminal_as_it_was(
    ending: str, demo: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    code = "import promptctl.output.live_frame as f\nf.footer = lambda *_: 1 / 0" if ending == "a bug" else ""
    env = startup_code(code) | {"NO_COLOR": "1", "LC_ALL": "C"}
    with screen_of(demo, "default-system-prompt", columns=120, env=env) as terminal:
        before = terminal.settings()
        if ending == "a bug":
            assert terminal.end() == 70
            assert "this is a bug in promptctl: ZeroDivisionError" in terminal.shown()
        else:
            terminal.wait_for(re.compile(r"default-system-prompt +2 +0 +0 .*rollback 3 > 2"))
            assert "\x1b[3" not in terminal.raw.decode("ascii")
            if ending == "Ctrl-C":
                terminal.type("\x03")
                assert terminal.end() == 130
            else:
                terminal.process.send_signal(getattr(signal, ending))
                assert terminal.end() == -getattr(signal, ending)
        check_left(terminal, before)


def test_once_prints_a_table_lines_or_json(
    demo: Promptctl, sql: psycopg.Connection[Any], snapshot: Callable[..., None]
) -> None:
    sql.execute(COST)
    # A use that is too old, and one that arrives late but ended in time.
    sql.execute(
        """
        set session_replication_role = replica;
        insert into promptctl.uses (id, name, version, epoch, recorded_at)
        select gen_random_uuid(), 'code_helper', 1, 0, now() - age
        from unnest('{301 seconds,290 seconds}'::interval[]) age;
        update promptctl.allocations set changed_at = now() - interval '2 hours 1 minute';
        reset session_replication_role
        """
    )
    answers = {
        words: demo.on_terminal(*words.split(), env={"TERM": "xterm"}).out if is_terminal else demo(*words.split()).out
        for words, is_terminal in (
            ("top --once", True), ("top --once --cost", True), ("top --once --cost --sort name", False),
            ("top --once default-system-prompt --minutes 60 --json", False), ("top --once -q --sort errors", False),
        )
    }  # fmt: skip
    shown = "".join(f"$ promptctl {words}\n{out}" for words, out in answers.items())
    snapshot(re.sub(r"\x1b\[\d*m", "", shown), "cli/top-once")
    costs = {
        prompt["name"]: prompt["cost_per_hour_usd"]
        for prompt in json.loads(demo("top", "--once", "--cost", "--json").out)["prompts"]
    }
    stats = json.loads(demo("stats", "default-system-prompt", "--since", "1h", "--json").out)["versions"]
    total = sum(version["stats"].get("cost_usd") or 0 for version in stats)
    assert costs == {"default-system-prompt": pytest.approx(total * 12), "support/triage": None, "code_helper": None}


def test_a_roll_up_changes_no_number(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sql.execute(COST)
    before = demo("top", "--once", "--cost")
    assert before.code == 0
    sql.execute("select promptctl.roll_up_uses()")
    assert demo("top", "--once", "--cost") == before


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--minutes", "61"], 2, "--minutes is a whole number from 1 to 60, not 61"),
        (["--minutes", "0", "--once"], 2, "--minutes is a whole number from 1 to 60, not 0"),
        (["--sort", "size"], 2, '--sort is one of uses, errors, p95, cost, moved, name, not "size"'),
        (["--sort", "cost", "--once"], 2, "--sort cost needs --cost"),
        (["nobody", "--once"], 4, 'no prompt "nobody" in '),
        ([], 2, "top needs a terminal, and standard output is not one\nhint:  promptctl top --once\n"),
    ],
)
def test_what_cannot_be_shown_is_refused(words: list[str], code: int, message: str, demo: Promptctl) -> None:
    assert check_failure(demo("top", *words), code).err.startswith(f"error: {message}")


def test_a_terminal_that_is_dumb_an_unknown_name_and_a_lost_database_are_errors_at_the_start(demo: Promptctl) -> None:
    dumb = demo.on_terminal("top")
    assert (dumb.code, "TERM is dumb" in dumb.out, "promptctl top --once" in dumb.out) == (2, True, True)
    unset = demo.on_terminal("top", env={"TERM": ""})
    assert (unset.code, "TERM is not set" in unset.out) == (2, True)
    unknown = demo.on_terminal("top", "defualt-system-prompt", env={"TERM": "xterm"})
    assert (unknown.code, "no prompt" in unknown.out, LEFT.decode() in unknown.out) == (4, True, False)
    unreachable = demo.on_terminal("top", env={"TERM": "xterm", "DATABASE_URL": "postgresql://127.0.0.1:1/x"})
    assert (unreachable.code, LEFT.decode() in unreachable.out) == (6, False)
    quiet = demo.on_terminal("top", "--quiet", env={"TERM": "xterm"})
    assert (quiet.code, "--quiet needs --once" in quiet.out) == (2, True)
    error = json.loads(demo("top", "--json").err)["error"]
    assert error["code"] == "no_terminal"
    assert error["hint"] == "promptctl top --once --json"
