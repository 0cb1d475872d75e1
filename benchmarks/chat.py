"""The time that chat adds to Claude's, the cost of importing its SDK, and the memory of a conversation.

    python benchmarks/chat.py [--turns N]

A local server replaces Claude. A turn lasts from Enter to the first text of the reply on the terminal, minus the
server's own time from the request to its first text.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from measure import (
    INTERPRETER,
    Command,
    Report,
    environment,
    fill,
    install,
    parse_arguments,
    ratio,
    run_in_turn,
    start_server,
)

from tests.claude_api import ClaudeServer
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

_DELAY_MS = 40
_REPLY = "Zen-and-steady"
_PROMPT = "p00001@3> "
_SDK = """
import anthropic, os, sys, time
client = anthropic.Anthropic(max_retries=0)
for turn in range(int(sys.argv[1])):
    began = time.monotonic()
    with client.messages.stream(model="m", max_tokens=9, system="x", messages=[{"role": "user", "content": "x"}]) as s:
        first = None
        for event in s:
            if event.type == "text" and first is None:
                first = (time.monotonic() - began) * 1000
        print(first)
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=50, help="how many turns a conversation has")
    arguments, own = parse_arguments(options)
    report = Report()
    with start_server() as server, ClaudeServer() as claude:
        dsn = install(server, "chat")
        fill(dsn, 3, 3)
        url = ["--database-url", dsn]

        def variables(scenario: str = "ok", **parameters: object) -> dict[str, str]:
            return environment(
                ANTHROPIC_API_KEY=claude.KEY,
                ANTHROPIC_BASE_URL=claude.url(scenario, **parameters),
                PROMPTCTL_CHAT_HISTORY="",
                TERM="xterm",
            )

        _conversation(
            report,
            [own, "chat", "p00001", *url],
            variables("ok", delay_ms=_DELAY_MS, text=_REPLY),
            claude,
            arguments.turns,
        )
        _sdk(report, variables("ok", delay_ms=_DELAY_MS, text=_REPLY), arguments.turns)
        _whole_processes(report, own, url, variables("ok", text=_REPLY))
        _memory(report, own, url, variables("ok", text=_REPLY), variables("big", megabytes=10))
    return report.close()


def _conversation(
    report: Report, words: list[str], variables: Mapping[str, str], claude: ClaudeServer, turns: int
) -> None:
    with Terminal(words, variables) as terminal:
        terminal.wait_for(_PROMPT)
        report.heading("A conversation")
        report.add("from the start to the first prompt", (time.monotonic() - terminal.began) * 1000, 250, unit="ms")
        # A person takes this long to type a short message, and the SDK loads meanwhile.
        time.sleep(3)
        added: list[float] = []
        for turn in range(turns):
            count = len(claude.requests)
            entered = terminal.type(f"turn {turn}\r")
            terminal.wait_for(f"turn {turn}\n")
            terminal.wait_for(_REPLY[0])
            answered_at = time.monotonic()
            terminal.wait_for(_PROMPT)
            request = claude.requests[count]
            assert request.first_text is not None
            added.append(((answered_at - entered) - (request.first_text - request.began)) * 1000)
        terminal.type("\x04")
        terminal.end()
    report.add("added to Claude's first token, the first turn, with its connection", added[0], unit="ms")
    report.add("added to Claude's first token, median", statistics.median(added), 5, unit="ms")
    report.add("added to Claude's first token, 90 % of turns", statistics.quantiles(added, n=10)[-1], unit="ms")
    report.add(f"peak memory after {turns} turns", terminal.peak_memory_kib / 1024, 120, unit="MB")


def _sdk(report: Report, variables: Mapping[str, str], turns: int) -> None:
    process = subprocess.run(
        [INTERPRETER, "-c", _SDK, str(turns)], env=dict(variables), capture_output=True, text=True, check=True
    )
    added = [float(line) - _DELAY_MS for line in process.stdout.split()]
    report.add("the SDK alone, of its own first token, median", statistics.median(added), unit="ms")


def _whole_processes(report: Report, own: str, url: list[str], variables: Mapping[str, str]) -> None:
    chat = Command("chat NAME MESSAGE", [own, "chat", "p00001", "Hello", *url])
    importing = Command("import anthropic", [INTERPRETER, "-c", "import anthropic"])
    show = Command("show NAME", [own, "show", "p00001", *url])
    render = Command("render NAME", [own, "render", "p00001", *url])
    run_in_turn([chat, importing, show, render], 10, variables)
    report.heading('A whole process, against python -c "import anthropic"')
    for command, limit in ((chat, 1.5), (show, None), (render, None)):
        value, note = ratio(command.wall, importing.wall)
        report.add(command.name, value, limit, note=note)


def _memory(report: Report, own: str, url: list[str], variables: Mapping[str, str], large: Mapping[str, str]) -> None:
    report.heading("Peak memory")
    for label, variables_of_process, limit in (("a reply", variables, 120), ("a reply of 10 MB", large, None)):
        process = subprocess.Popen(
            [own, "chat", "p00001", "Hello", *url],
            env=dict(variables_of_process),
            stdout=subprocess.DEVNULL,
            stderr=sys.stderr,
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = status
        if status:
            raise RuntimeError(f"failed ({status})")
        report.add(label, used.ru_maxrss / 1024, limit, unit="MB")


if __name__ == "__main__":
    raise SystemExit(main())
