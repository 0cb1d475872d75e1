"""Programs that are forked from a process that has imported the SDK of Claude, which takes two seconds of a processor.

A test that starts many commands with calls of Claude would spend nearly all of its time on that import. Everything else
is as in a process of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
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

    def __init__(self) -> None:
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
                command = [sys.executable, "-m", "tests.preloaded", str(other.fileno())]
                self._process = subprocess.Popen(command, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL)
        request = {"module": module, "words": list(words), "env": dict(env), "folder": str(folder)}
        descriptors = [output, errors] if stdin is None else [output, errors, stdin]
        socket.send_fds(self._connection, [json.dumps(request).encode()], descriptors)
        return Forked(json.loads(self._connection.recv(_MOST_BYTES)), self._connection)

    def run(
        self, module: str, words: Sequence[str], env: Mapping[str, str], folder: Path, stdin: bytes, seconds: float
    ) -> tuple[int, bytes, bytes] | None:
        """Run a module as a program to its end, and return the exit code and what it writes.

        Returns None if another thread runs one: programs run one after the other. Raises TimeoutError.
        """
        if not self._lock.acquire(blocking=False):
            return None
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            reader, writer = os.pipe()
            try:
                forked = self.start(module, words, env, folder, output.fileno(), errors.fileno(), reader)
                os.close(reader)
                with contextlib.suppress(BrokenPipeError), open(writer, "wb") as pipe:
                    pipe.write(stdin)
                code = forked.wait(seconds)
            finally:
                self._lock.release()
            for file in (output, errors):
                file.seek(0)
            return code, output.read(), errors.read()


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


if __name__ == "__main__":
    import anthropic

    # This imports what the first call would.
    _ = anthropic.Anthropic(api_key="none").messages.batches
    _serve(socket.socket(fileno=int(sys.argv[1])))
