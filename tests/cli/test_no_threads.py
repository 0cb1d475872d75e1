"""Commands where the system allows no thread but the first one, as in a container with a limit of processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from promptctl import errors, threads
from promptctl.cli.live.reader import Reader
from promptctl.postgres.settings import Target
from tests.cli.tested_prompt import support

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.tested_prompt import ClaudeEnv, Connection
    from tests.conftest import Promptctl

# pytest finds fixtures by the names in a module.
__all__ = ["support"]

# No system has the memory for such a stack.
NO_THREADS = "import _thread\n_thread.stack_size(1 << 46)\n"


@pytest.fixture
def env(claude_env: ClaudeEnv, startup_code: Callable[[str], dict[str, str | None]]) -> dict[str, str | None]:
    """The environment of such a command, with the test server."""
    return {**claude_env("crowd"), **startup_code(NO_THREADS)}


@pytest.fixture
def single(promptctl: Promptctl, support: None, env: dict[str, str | None]) -> Promptctl:
    """The command line without threads, on a database with a prompt `support`."""
    return type(promptctl)(promptctl.home, **promptctl.extra, **env)


def test_chat_against_makes_both_calls_one_after_the_other_and_records_them(single: Promptctl, sql: Connection) -> None:
    ended = single("chat", "support@1", "Hello", "--against", "support@4", "--json")
    assert (ended.code, ended.err) == (0, "")
    assert [reply["version"] for reply in json.loads(ended.out)["replies"]] == [1, 4]
    uses = sql.execute("select version, outcome from promptctl.uses order by version").fetchall()
    assert uses == [(1, "ok"), (4, "ok")]


def test_chat_shows_no_line_while_it_waits(single: Promptctl) -> None:
    screen = single.on_terminal("chat", "support", "Hello", env={"TERM": "xterm"})
    assert (screen.code, "Traceback" in screen.out, "waiting" in screen.out) == (0, False, False)
    assert screen.out.strip()


def test_tokens_are_counted_and_runs_are_estimated_and_made(single: Promptctl) -> None:
    assert single("tokens", "support@1").code == 0
    estimate = json.loads(single("test", "support@4", "--estimate", "--json").out)["estimates"][0]
    run = json.loads(single("test", "support@4", "--json").out)["runs"][0]
    assert run["calls"] == estimate["calls"] == 36


def test_costs_are_shown_without_the_thread_that_loads_prices(single: Promptctl, home: Path) -> None:
    assert single("chat", "support", "Hello").code == 0
    for words in (["stats"], ["report", "--html", "report.html", "--quiet"]):
        ended = single(*words)
        assert (ended.code, ended.err) == (0, ""), words
    assert "support" in (home / "report.html").read_text()


def test_top_needs_a_thread_and_says_so(single: Promptctl, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = single.on_terminal("top", env={"TERM": "xterm", "NO_COLOR": "1"})
    # The screen is closed before.
    error, hint = ended.out.rpartition("\x1b[?1049l")[2].splitlines()
    assert (ended.code, error, hint) == (
        1,
        "error: the system allows no further thread, which top reads in",
        "hint:  promptctl top --once",
    )
    assert single("top", "--once").code == 0

    def refuse(work: object) -> bool:
        assert work
        return False

    monkeypatch.setattr(threads, "start", refuse)
    with pytest.raises(errors.Failed) as failure:
        Reader(Target(None, False, "the test"), [], 5, "label", pytest.fail).start()
    assert failure.value.code == "no_thread"
