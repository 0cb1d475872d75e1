"""Programs that are forked from a process that has imported what they need. Everything else is as in a new process.

Imports are three quarters of the time of a command, and nearly all of one that calls Claude. Tests that start a command
in another way, on a terminal or in a shell, meet the imports of a new process.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MOST_BYTES = 100_000


@dataclass
class Forked:
    """A program that runs. Its number is `pid`."""

    pid: int
    _connection: socket.socket

    def wait(self, seconds: float | None = None) -> int:
        """Wait for the end, and return the exit code, or the negative number of the signal that ended it.

        Raises TimeoutError after so many seconds, and kills the program.
        """
        self._connection.settimeout(seconds)
        try:
            return json.loads(self._connection.recv(_MOST_BYTES))
        except TimeoutError:
            os.kill(self.pid, signal.SIGKILL)
            self._connection.settimeout(None)
            self._connection.recv(_MOST_BYTES)
            raise
        finally:
            self._connection.settimeout(None)


class Preloaded:
    """The process from which programs are forked, one after the other."""

    def __init__(self, *, calls_claude: bool) -> None:
        """With `calls_claude` the SDK of Claude is imported, otherwise what the other commands need."""
        self._imports = "claude" if calls_claude else "commands"
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None and self._process is not None:
            self._connection.close()
            self._process.wait()

    def start(
        self,
        module: str,
        words: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        output: int,
        errors: int,
        stdin: int | None = None,
    ) -> Forked:
        """Run a module as a program. `output` and `errors` are descriptors for what it writes."""
        if self._connection is None:
            self._connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with other:
                command = [sys.executable, "-m", "tests.preloaded", str(other.fileno()), self._imports]
                self._process = subprocess.Popen(command, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL)
        request = {"module": module, "words": list(words), "env": dict(env), "folder": str(folder)}
        descriptors = [output, errors] if stdin is None else [output, errors, stdin]
        socket.send_fds(self._connection, [json.dumps(request).encode()], descriptors)
        return Forked(json.loads(self._connection.recv(_MOST_BYTES)), self._connection)

    def run(
        self, module: str, words: Sequence[str], env: Mapping[str, str], folder: Path, stdin: bytes, seconds: float
    ) -> tuple[int, bytes, bytes] | None:
        """Run a module as a program to its end, and return the exit code and what it writes.

        Returns None if another thread runs one, because programs run one after the other, or if the words and variables
        are too long for a message.
        Raises TimeoutError.
        """
        # JSON has up to twelve bytes for a character.
        if sum(map(len, (*words, *env.values()))) > _MOST_BYTES // 20 or not self._lock.acquire(blocking=False):
            return None
        pipes = [os.pipe() for _ in range(3)]
        (stdin_reader, stdin_writer), (output, output_writer), (errors, errors_writer) = pipes
        try:
            forked = self.start(module, words, env, folder, output_writer, errors_writer, stdin_reader)
            for descriptor in (stdin_reader, output_writer, errors_writer):
                os.close(descriptor)
            with ThreadPoolExecutor(2) as pool:
                written = [pool.submit(_read, descriptor) for descriptor in (output, errors)]
                with contextlib.suppress(BrokenPipeError), open(stdin_writer, "wb") as pipe:
                    pipe.write(stdin)
                code = forked.wait(seconds)
                return code, written[0].result(), written[1].result()
        finally:
            self._lock.release()


def _read(descriptor: int) -> bytes:
    with open(descriptor, "rb") as pipe:
        return pipe.read()


def _serve(connection: socket.socket) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 3)
        if not message:
            return
        pid = os.fork()
        if pid == 0:
            connection.close()
            _run(json.loads(message), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        connection.send(json.dumps(pid).encode())
        connection.send(json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _run(request: dict[str, Any], descriptors: Sequence[int]) -> None:
    """Become the program, and end with it."""
    for place, descriptor in zip((1, 2, 0), descriptors, strict=False):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["folder"])
    sys.argv = [request["module"], *request["words"]]
    code = 1
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - it is printed, as Python does at the end of a program
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _import_commands() -> None:
    """Import what the commands that do not call Claude import when they run."""
    for package in ("cli", "output", "postgres", "store", "sync"):
        modules = importlib.import_module(f"promptctl.{package}")
        for module in pkgutil.walk_packages(modules.__path__, f"{modules.__name__}."):
            importlib.import_module(module.name)
    importlib.import_module("yaml")


def _import_claude() -> None:
    """Import what the first call of Claude would."""
    import anthropic

    _ = anthropic.Anthropic(api_key="none").messages.batches


if __name__ == "__main__":
    _import_claude() if sys.argv[2] == "claude" else _import_commands()
    # The children share the memory of what is here.
    gc.collect()
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
