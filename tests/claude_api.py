"""A server on loopback that speaks the Messages API of Claude, in all the ways in which that goes well or wrong.

How it answers stands in the path of the URL that is asked of it, so it keeps nothing that tests could share:
`url("cut", after=2)`. Run as a program it serves until it is interrupted: `python -m tests.claude_api`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import struct
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self, cast
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from tests import claude_replies as scenarios
from tests.claude_crowd import Batch, Crowd

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-ant-test-0123456789abcdef"
# Nothing listens at this port.
_OTHER_HOST = "http://127.0.0.1:9/other"


@dataclass
class Request:
    """One request as it came in; times are of `time.monotonic`, None for what has not happened."""

    scenario: str
    headers: dict[str, str]
    body: dict[str, Any]
    began: float
    first_text: float | None = None
    ended: float | None = None
    cut: bool = False
    # The status of the answer, and its usage if it is a reply.
    status: int | None = None
    usage: dict[str, int] | None = None


@dataclass
class _State:
    requests: list[Request] = field(default_factory=list[Request])
    failed: Counter[str] = field(default_factory=Counter[str])
    counts: Counter[str] = field(default_factory=Counter[str])
    changed: threading.Condition = field(default_factory=threading.Condition)
    stopping: threading.Event = field(default_factory=threading.Event)
    crowds: dict[str, Crowd] = field(default_factory=dict[str, Crowd])
    batches: dict[str, Batch] = field(default_factory=dict[str, Batch])
    open: set[socket.socket] = field(default_factory=set[socket.socket])
    problems: list[Exception] = field(default_factory=list[Exception])


class ClaudeServer:
    """The server, on a free port of 127.0.0.1 unless told which; `KEY` is the one key that it accepts."""

    KEY = KEY

    def __init__(self, port: int = 0) -> None:
        self._state = _State()
        self._server = _Server(("127.0.0.1", port), _Handler, self._state)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._state.stopping.set()
        for connection in list(self._state.open):
            # Wakes a thread that waits for the client.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self._state.problems:
            raise ExceptionGroup("the server failed", self._state.problems)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._server.server_address[1]

    @property
    def requests(self) -> list[Request]:
        """Every request so far, in the order in which they came."""
        return list(self._state.requests)

    @property
    def batches(self) -> list[Batch]:
        """Every batch so far, in the order in which they came."""
        return list(self._state.batches.values())

    def url(self, scenario: str = "ok", **parameters: object) -> str:
        """The base URL for a client to which the server answers in the way of a scenario (`claude_replies`)."""
        assert scenario in scenarios.SCENARIOS, scenario
        given = urlencode({name: str(value) for name, value in parameters.items()}, quote_via=quote)
        return f"http://127.0.0.1:{self.port}/{scenario}/{given or '-'}"

    def wait_for(self, count: int, seconds: float = 30) -> None:
        """Wait until so many requests have come in."""
        with self._state.changed:
            assert self._state.changed.wait_for(lambda: len(self._state.requests) >= count, seconds)

    @staticmethod
    def refuse() -> str:
        """The URL of a port at which nobody listens."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{probe.getsockname()[1]}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler], state: _State) -> None:
        self.state = state
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - its signature is given
        """Keep what went wrong in here; a client that has gone is what some tests are about."""
        problem = sys.exc_info()[1]
        if isinstance(problem, Exception) and not isinstance(problem, OSError):
            self.state.problems.append(problem)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.state = cast("_Server", self.server).state
        self.state.open.add(self.connection)

    def finish(self) -> None:
        self.state.open.discard(self.connection)
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: tests read what clients say."""

    def do_GET(self) -> None:
        self._receive({})

    def do_POST(self) -> None:
        length = int(self.headers["content-length"])
        content = self.rfile.read(length)
        if len(content) < length:
            # A process that is killed leaves a part of its request.
            self.close_connection = True
            return
        self._receive(json.loads(content or "{}"))

    def _receive(self, body: dict[str, Any]) -> None:
        began = time.monotonic()
        parts = urlsplit(self.path).path.split("/")
        scenario, given = parts[1], dict(parse_qsl(parts[2] if parts[2] != "-" else "", keep_blank_values=True))
        self.base = "/".join(parts[:3])
        request = Request(scenario, {name.lower(): value for name, value in self.headers.items()}, body, began)
        with self.state.changed:
            self.state.requests.append(request)
            self.state.changed.notify_all()
        key = request.headers.get("x-api-key") or request.headers.get("authorization", "").removeprefix("Bearer ")
        try:
            if key != KEY:
                self._error(401, "authentication_error", "invalid x-api-key")
            elif scenario == "strict" and (unknown := [name for name in body if name not in scenarios.KNOWN]):
                self._error(400, "invalid_request_error", f"{unknown[0]}: Extra inputs are not permitted")
            else:
                self._answer(request, scenarios.Parameters(given, body, key))
        except OSError:
            request.cut = True
            self.close_connection = True
        finally:
            request.ended = time.monotonic()

    def _answer(self, request: Request, given: scenarios.Parameters) -> None:
        if request.scenario in ("status", "leak"):
            with self.state.changed:
                self.state.failed[self.path] += 1
                fails = self.state.failed[self.path] <= given.number("times", 1_000_000)
            if fails:
                self._status(request.scenario, given)
                return
        elif request.scenario in scenarios.WHOLE:
            status, form, text = scenarios.WHOLE[request.scenario]
            self._whole(status, form, text)
            return
        elif request.scenario == "hang":
            self._wait_for_the_end()
            return
        if "/batches" in self.path:
            self._batch(request, given)
        elif request.scenario == "crowd" and not urlsplit(self.path).path.endswith("/count_tokens"):
            self._crowd(request, given)
        elif urlsplit(self.path).path.endswith("/count_tokens"):
            self._count_tokens(request, given)
        elif request.body.get("stream"):
            self._stream(request, given)
        else:
            self._pause(given.number("delay_ms", 0) / 1000)
            headers = {"request-id": f"req_{len(self.state.requests):06}"}
            self._whole(200, "application/json", json.dumps(scenarios.message(request.scenario, given)), headers)

    def _count_tokens(self, request: Request, given: scenarios.Parameters) -> None:
        """Answer with a number of tokens, when as many counts have come in as the parameter `together` says."""
        with self.state.changed:
            self.state.counts[self.path] += 1
            self.state.changed.notify_all()
            together = given.number("together", 1)
            if not self.state.changed.wait_for(lambda: self.state.counts[self.path] >= together, timeout=10):
                self._error(500, "api_error", "the other counts did not come")
                return
        extra = sorted(scenarios.NOT_COUNTED & set(request.body))
        if extra:
            self._error(400, "invalid_request_error", f"{extra[0]}: Extra inputs are not permitted")
        elif not request.body["messages"]:
            self._error(400, "invalid_request_error", "messages: at least one message is required")
        else:
            document = {"input_tokens": scenarios.input_tokens(request.body)}
            self._whole(200, "application/json", json.dumps(document), {"request-id": "req_counted"})

    def _crowd(self, request: Request, given: scenarios.Parameters) -> None:
        """Answer as the scenario `crowd`: with a rate limit, an overloaded server now and then, and a judge."""
        crowd = self._crowd_of(given)
        with self.state.changed:
            status, retry_after = crowd.admit(request.began)
            number = crowd.count() if status == 200 else 0
        request.status = status
        if status != 200:
            headers = {} if retry_after is None else {"retry-after": f"{retry_after:.3f}"}
            self._error(status, *scenarios.ERRORS[status], headers)
            return
        model = str(request.body["model"])
        if model in given.text("missing_models").split(","):
            request.status = 404
            self._error(404, "not_found_error", f"model: {model}")
            return
        if "reject_text" in given and given.text("reject_text") in json.dumps(request.body):
            request.status = 400
            self._error(400, *scenarios.ERRORS[400])
            return
        self._pause(given.number("delay_ms", 0) / 1000)
        message = crowd.message(request.body, number)
        # Before the client has the reply, after which a test reads it.
        request.usage = message["usage"]
        self._send_stream(f"req_{len(self.state.requests):06}", scenarios.whole_message(message))

    def _crowd_of(self, given: scenarios.Parameters) -> Crowd:
        with self.state.changed:
            return self.state.crowds.setdefault(self.base, Crowd(given))

    def _batch(self, request: Request, given: scenarios.Parameters) -> None:
        """Answer the requests of the API of batches: create, retrieve, results and cancel."""
        crowd = self._crowd_of(given)
        batch_id, _, action = self.path.partition("/batches")[2].partition("?")[0].strip("/").partition("/")
        with self.state.changed:
            crowd.creations += not batch_id
            if not batch_id and crowd.creations <= given.number("rejected_batches", 0):
                self._error(429, *scenarios.ERRORS[429], {"retry-after": "0.01"})
                return
            if not batch_id:
                batch = Batch(f"msgbatch_{len(self.state.batches):06}", request.body["requests"], crowd)
                self.state.batches[batch.id] = batch
            elif (found := self.state.batches.get(batch_id)) is None:
                self._error(404, "not_found_error", f"batch: {batch_id}")
                return
            else:
                batch = found
        if action == "results" and batch.way == "moved":
            self._whole(307, "text/plain", "", {"location": _OTHER_HOST})
            return
        if action == "results":
            self._whole(200, "application/x-jsonl", batch.results())
            return
        if action == "cancel":
            batch.cancel()
        # A client that follows this address gives the API key to another host.
        document = batch.document(_OTHER_HOST, is_poll=bool(batch_id) and not action)
        self._whole(200, "application/json", json.dumps(document))

    def _status(self, scenario: str, given: scenarios.Parameters) -> None:
        status = 401 if scenario == "leak" else given.number("status", 500)
        kind, message = scenarios.ERRORS[status]
        if scenario == "leak":
            message = f"invalid key {given.key}"
        headers = {"retry-after": given.text("retry_after")} if "retry_after" in given else {}
        self._error(status, kind, message, headers)

    def _error(self, status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> None:
        document = {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_failed"}
        self._whole(status, "application/json", json.dumps(document), headers)

    def _whole(self, status: int, form: str, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"content-type": form, "request-id": "req_failed", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def _send_stream(self, request_id: str, content: bytes) -> None:
        """Send a whole stream at once, which takes less time than event by event."""
        self._whole(200, "text/event-stream; charset=utf-8", content.decode(), {"request-id": request_id})

    def _stream(self, request: Request, given: scenarios.Parameters) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("request-id", f"req_{len(self.state.requests):06}")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for step in scenarios.steps(request.scenario, given):
            if isinstance(step, (int, float)):
                self._pause(step)
            elif step is scenarios.Ending.RESET:
                # With nothing to linger for, closing sends a reset instead of an end.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
                return
            elif step is scenarios.Ending.CLOSE:
                self.close_connection = True
                return
            elif step is scenarios.Ending.SILENCE:
                self._wait_for_the_end()
                return
            else:
                if request.first_text is None and b'"text_delta"' in step:
                    request.first_text = time.monotonic()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(step), step))
        self.wfile.write(b"0\r\n\r\n")

    def _pause(self, seconds: float) -> None:
        if self.state.stopping.wait(seconds):
            raise ConnectionAbortedError

    def _wait_for_the_end(self) -> None:
        """Say nothing until the client has gone, or the server is stopped."""
        if not self.connection.recv(1):
            raise ConnectionResetError


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--scenario", default="ok")
    options.add_argument("--port", type=int, default=0)
    options.add_argument("parameters", nargs="*", metavar="NAME=VALUE")
    given = options.parse_args()
    with ClaudeServer(given.port) as server:
        pairs: Iterator[list[str]] = (pair.split("=", 1) for pair in given.parameters)
        url = server.url(given.scenario, **{pair[0]: pair[1] for pair in pairs})
        print(f"export ANTHROPIC_BASE_URL='{url}'\nexport ANTHROPIC_API_KEY={KEY}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
