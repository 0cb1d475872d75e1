"""Programs that are forked from a process that has imported the SDK of Claude, which takes two seconds of a processor.

A test that starts many commands with calls of Claude would spend nearly all of its time on that import. Everything else
is as in a process of its own.
"""

from __future__ import annotations

import json
import os
import runpy
import socket
import subprocess
import sys
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

    def wait(self) -> int:
        """Wait for the end, and return the exit code, or the negative number of the signal that ended it."""
        return json.loads(self._connection.recv(_MOST_BYTES))


class Preloaded:
    """The process from which programs are forked, one after the other."""

    def __init__(self) -> None:
        self._connection, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, "-m", "tests.preloaded", str(other.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[other.fileno()], stdin=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.wait()

    def start(
        self, module: str, words: Sequence[str], env: Mapping[str, str], folder: Path, output: int, errors: int
    ) -> Forked:
        """Run a module as a program. `output` and `errors` are descriptors for what it writes."""
        request = {"module": module, "words": list(words), "env": dict(env), "folder": str(folder)}
        socket.send_fds(self._connection, [json.dumps(request).encode()], [output, errors])
        return Forked(json.loads(self._connection.recv(_MOST_BYTES)), self._connection)


def _serve(connection: socket.socket) -> None:
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 2)
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
    for place, descriptor in enumerate(descriptors, 1):
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
