"""An ASGI application under uvicorn that SIGTERM ends: each use is recorded once."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.client.sigterm import called_at_sigterm
from tests.client.support import count, until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from promptctl import Prompts

    Connection = psycopg.Connection[Any]

pytest.importorskip("uvicorn")

APPLICATION = """
import asyncio, os
from promptctl import Prompts

url, spool = os.environ.get("REFUSING_URL"), os.environ.get("SPOOL")
prompts = Prompts(url, flush_seconds=1000, timeout_seconds=0.5, spool=spool)

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        async with prompts.lifespan(application):
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    with prompts.get("greeter", default="x").use() as use:
        use.record(input_tokens=7)
    if scope["path"] == "/slow":
        open("in-progress", "w").close()
        await asyncio.sleep(0.3)
        with prompts.get("greeter", default="x").use() as use:
            use.record(input_tokens=7)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})
"""
# The system chooses the port, and the server prints it.
SERVER = """
import sys, uvicorn
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
Server(uvicorn.Config("application:application", port=0, log_level="error")).run()
"""


def start_server(folder: Path, env: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
    (folder / "application.py").write_text(APPLICATION)
    command = [sys.executable, "-c", SERVER]
    process = subprocess.Popen(
        command, env=env | {"PYTHONPATH": str(folder)}, cwd=folder, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    if not port:
        raise AssertionError(process.communicate()[1])
    return process, f"http://127.0.0.1:{port}"


def request(url: str) -> None:
    with urllib.request.urlopen(url, timeout=60) as reply:
        assert json.load(reply) == {}


def test_every_use_is_recorded_when_a_signal_ends_the_server(sql: Connection, home: Path, env: dict[str, str]) -> None:
    process, url = start_server(home, env)
    try:
        for _ in range(40):
            request(url)
        # A request that is in progress when the signal arrives.
        slow = threading.Thread(target=request, args=(f"{url}/slow",))
        slow.start()
        until((home / "in-progress").exists)
        process.terminate()
        slow.join()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGTERM, err
    assert count(sql) == 42


def test_uses_are_spooled_while_the_database_is_down(home: Path, env: dict[str, str], refusing_url: str) -> None:
    process, url = start_server(home, env | {"REFUSING_URL": refusing_url, "SPOOL": str(home / "spool")})
    try:
        for _ in range(5):
            request(url)
        process.terminate()
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGTERM
    spooled = [line for file in (home / "spool").iterdir() for line in file.read_text().splitlines()]
    assert len(spooled) == 5


def test_a_lifespan_sends_its_uses_and_can_run_again_on_the_same_client(
    make_client: Callable[..., Prompts], sql: Connection
) -> None:
    prompts = make_client(flush_seconds=1000)

    async def run_lifespan() -> None:
        async with prompts.lifespan():
            with prompts.get("greeter").use():
                pass

    for turn in range(1, 3):
        asyncio.run(run_lifespan())
        assert count(sql) == turn


def test_the_previous_signal_handler_is_called_and_restored() -> None:
    calls: list[str] = []

    def handler(number: int, frame: object) -> None:
        calls.append("application")

    before = signal.signal(signal.SIGTERM, handler)
    try:
        with called_at_sigterm(lambda: calls.append("promptctl")):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert calls == ["promptctl", "application", "application"]
        assert signal.getsignal(signal.SIGTERM) is handler
        # A handler that is set inside the block stays. Without a handler the signal still ends the process.
        with called_at_sigterm(lambda: None):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        with called_at_sigterm(lambda: None):
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_after_a_sigterm_uses_are_sent_at_once(make_client: Callable[..., Prompts], sql: Connection) -> None:
    prompts = make_client(flush_seconds=1000)

    def ignore(number: int, frame: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, ignore)

    async def run_lifespan() -> None:
        async with prompts.lifespan():
            for turn in range(1, 4):
                if turn == 2:
                    assert count(sql) == 0
                    signal.raise_signal(signal.SIGTERM)
                with prompts.get("greeter").use():
                    pass
                if turn > 1:
                    await asyncio.to_thread(until, lambda turn=turn: count(sql) == turn)

    try:
        asyncio.run(run_lifespan())
    finally:
        signal.signal(signal.SIGTERM, before)
