"""An ASGI application under uvicorn, which ends by the signal that it received: each use is recorded once."""

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

prompts = Prompts(os.environ.get("NOBODY"), flush_seconds=1000, timeout_seconds=0.5, spool=os.environ.get("SPOOL"))

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
        open("begun", "w").close()
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


def serve(folder: Path, env: dict[str, str]) -> tuple[subprocess.Popen[str], str]:
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


def ask(url: str) -> None:
    with urllib.request.urlopen(url, timeout=60) as reply:
        assert json.load(reply) == {}


def test_every_use_is_recorded_when_a_signal_ends_the_server(sql: Connection, home: Path, env: dict[str, str]) -> None:
    process, url = serve(home, env)
    try:
        for _ in range(40):
            ask(url)
        # One that is being answered when the signal comes.
        slow = threading.Thread(target=ask, args=(f"{url}/slow",))
        slow.start()
        until((home / "begun").exists)
        process.terminate()
        slow.join()
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGTERM, err
    assert count(sql) == 42


def test_without_the_database_they_go_into_the_spool(home: Path, env: dict[str, str], nobody: str) -> None:
    process, url = serve(home, env | {"NOBODY": nobody, "SPOOL": str(home / "spool")})
    try:
        for _ in range(5):
            ask(url)
        process.terminate()
        process.communicate(timeout=60)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGTERM
    kept = [line for file in (home / "spool").iterdir() for line in file.read_text().splitlines()]
    assert len(kept) == 5


def test_a_lifespan_may_begin_again_and_leaves_the_client_open(serve: Callable[..., Prompts], sql: Connection) -> None:
    prompts = serve(flush_seconds=1000)

    async def live() -> None:
        async with prompts.lifespan():
            with prompts.get("greeter").use():
                pass

    for turn in range(1, 3):
        asyncio.run(live())
        assert count(sql) == turn


def test_the_previous_signal_handler_is_called_and_restored() -> None:
    heard: list[str] = []

    def own(number: int, frame: object) -> None:
        heard.append("own")

    before = signal.signal(signal.SIGTERM, own)
    try:
        with called_at_sigterm(lambda: heard.append("hurry")):
            signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert heard == ["hurry", "own", "own"]
        assert signal.getsignal(signal.SIGTERM) is own
        # What is set within stays; where nothing handles the signal, it goes on ending the process.
        with called_at_sigterm(lambda: None):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        with called_at_sigterm(lambda: None):
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_after_a_sigterm_uses_are_sent_at_once(serve: Callable[..., Prompts], sql: Connection) -> None:
    prompts = serve(flush_seconds=1000)

    def ignore(number: int, frame: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, ignore)

    async def live() -> None:
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
        asyncio.run(live())
    finally:
        signal.signal(signal.SIGTERM, before)
