"""Claude's API through its SDK, which takes a second to import: only this module imports it, in a thread of its own."""

from __future__ import annotations

import _thread
import time
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.claude import network, refusals
from promptctl.claude import settings as claude_settings
from promptctl.records import Record
from promptctl.rules import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

CONNECT_TIMEOUT_SECONDS = 10.0
SILENCE_SECONDS = 120
_USAGE_FIELDS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_LONGEST_NAME = 200
OK, INTERRUPTED = "ok", "interrupted"


class Message(Record):
    """One message of a conversation. `role` is user or assistant."""

    __slots__ = ()
    role: str
    content: str

    @property
    def sent(self) -> dict[str, str]:
        """The message as the API takes it."""
        return {"role": self.role, "content": self.content}


class Call(Record):
    """What Claude is asked."""

    __slots__ = ()
    system: str
    messages: Sequence[Message]
    model: str
    max_tokens: int


class Attempt:
    """One call of Claude, and what came of it so far; None: not known.

    `input_tokens` is all of the input, which includes the cached parts. `began_at` and `ended_at` are times of
    time.perf_counter; the other times are in milliseconds since the request was sent. `outcome` is "ok", "interrupted"
    or the code of `failure`. `retry_after_seconds` is set when a failed call is worth a retry.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self.model = call.model
        self.is_sent = False
        self.began_at = self.ended_at = 0.0
        self.outcome = INTERRUPTED
        self.failure: errors.ClaudeFailed | None = None
        self.retry_after_seconds: float | None = None
        self.stop_reason: str | None = None
        self.request_id: str | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self.cache_read_tokens: int | None = None
        self.cache_write_tokens: int | None = None
        self.first_token_ms: float | None = None
        self.response_ms: float | None = None
        self._usage: dict[str, int] = {}

    def take(self, usage: object) -> None:
        """Add a report of tokens; a later one has running totals, and may leave some out.

        Zeros do not replace a count: some servers end a reply with a report of nothing but zeros.
        """
        report = {name: count for name in _USAGE_FIELDS if (count := tokens.count(usage, name)) is not None}
        output = report.pop("output_tokens", None)
        if output or (output is not None and not self.output_tokens):
            self._usage["output_tokens"] = output
        if not self.input_tokens or any(report.values()):
            self._usage |= report
        self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens = tokens.read(
            self._usage
        )

    def fail(self, problem: Exception, secrets: Sequence[str]) -> None:
        """Say of a failed call what it means."""
        self.failure, self.retry_after_seconds = refusals.translated(problem, self.call.model, secrets)
        self.outcome = self.failure.code
        self.request_id = getattr(problem, "request_id", None) or self.request_id


class Claude:
    """A client of the API. Making one checks the settings and begins to load the SDK; calls wait for it.

    Raises ClaudeFailed where there is no key, where a key or the API's address cannot be one, or where a variable for
    proxies or certificates cannot be used.
    """

    def __init__(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        """Begin; a call is given up when nothing arrives for `silence_seconds`."""
        self._settings = claude_settings.read()
        network.check()
        self._silence_seconds = silence_seconds
        self._client: Any = None
        self._problem: Exception | None = None
        self._loading = _thread.allocate_lock()
        self._loading.acquire()
        _thread.start_new_thread(self._load, ())

    def call(self, attempt: Attempt) -> Iterator[str]:
        """Make a call and yield the text of the reply, piece by piece. It does not raise: `attempt` says how it went.

        An interruption passes through, and leaves in `attempt` what was known until then.
        """
        client = self._ready()
        began = attempt.began_at = attempt.ended_at = time.perf_counter()
        attempt.is_sent = True
        try:
            with client.messages.create(
                model=attempt.call.model,
                max_tokens=attempt.call.max_tokens,
                system=attempt.call.system,
                messages=[message.sent for message in attempt.call.messages],
                stream=True,
            ) as stream:
                attempt.request_id = stream.response.headers.get("request-id")
                _check_form(stream.response)
                yield from _texts(stream, attempt, began)
            _check_end(attempt)
            attempt.outcome = OK
        except errors.ClaudeFailed as failure:
            attempt.failure, attempt.outcome = failure, failure.code
        except Exception as problem:  # noqa: BLE001 - whatever a server sends, what was billed is to be booked
            attempt.fail(problem, self._settings.secrets)
        finally:
            attempt.ended_at = time.perf_counter()
            attempt.response_ms = (attempt.ended_at - began) * 1000

    def _load(self) -> None:
        try:
            import anthropic

            settings = self._settings
            client: Any = anthropic.Anthropic(
                # Where both are None, it looks for a profile.
                api_key=settings.api_key,
                auth_token=settings.auth_token,
                base_url=settings.base_url,
                # The SDK would sleep in silence for as long as a server says.
                max_retries=0,
                timeout=anthropic.Timeout(self._silence_seconds, connect=CONNECT_TIMEOUT_SECONDS),
            )
            _rehearse()
            if client.api_key is None and client.auth_token is None and client.credentials is None:
                self._problem = claude_settings.no_key()
            else:
                self._client = client
        except Exception as problem:  # noqa: BLE001 - raised where it is waited for
            self._problem = problem
        finally:
            self._loading.release()

    def _ready(self) -> Any:
        """Return the SDK's client, when it is loaded; Ctrl-C is heard while that is waited for."""
        if self._client is None:
            self._loading.acquire()
            self._loading.release()
        if isinstance(self._problem, errors.PromptctlError):
            raise self._problem
        if isinstance(self._problem, ImportError):
            raise errors.Failed(
                "sdk_missing",
                f"Claude's SDK cannot be loaded: {self._problem}",
                hint="pip install 'anthropic>=2.10,<3'",
            ) from None
        if self._problem is not None:
            failure, _ = refusals.translated(self._problem, "", self._settings.secrets)
            if failure.code == "reply_invalid":  # nothing was sent
                failure = network.unusable(self._problem)
            raise failure from self._problem
        return self._client


def _rehearse() -> None:
    """Make a call that stays in this process: what the SDK builds at its first one is there for the person's."""
    import anthropic
    import httpx2

    events = (
        b'{"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1}}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}',
        b'{"type":"message_stop"}',
    )
    body = b"".join(b"event: %s\ndata: %s\n\n" % (event.split(b'"')[3], event) for event in events)
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: answer)) as nowhere:
        rehearsing = anthropic.Anthropic(api_key="none", base_url="http://localhost", http_client=nowhere)
        attempt = Attempt(Call("x", [Message("user", "x")], "x", 1))
        with rehearsing.messages.create(
            model="x", max_tokens=1, system="x", messages=[{"role": "user", "content": "x"}], stream=True
        ) as stream:
            for _ in _texts(stream, attempt, time.perf_counter()):
                pass


def _texts(stream: Any, attempt: Attempt, began: float) -> Iterator[str]:
    """Yield the texts of a stream's events and note in `attempt` what they tell; unknown events are passed over."""
    half = ""
    for event in stream:
        kind = getattr(event, "type", None)
        text = None
        if kind == "content_block_delta":
            if getattr(event.delta, "type", None) == "text_delta":
                text = event.delta.text
        elif kind == "content_block_start":
            if getattr(event.content_block, "type", None) == "text":
                text = event.content_block.text
        elif kind == "message_start":
            attempt.model = _name(getattr(event.message, "model", None)) or attempt.model
            attempt.take(getattr(event.message, "usage", None))
        elif kind == "message_delta":
            attempt.take(getattr(event, "usage", None))
            attempt.stop_reason = getattr(event.delta, "stop_reason", None) or attempt.stop_reason
        elif kind == "message_stop":
            attempt.stop_reason = attempt.stop_reason or "unknown"
        elif kind is None:
            raise refusals.invalid_reply("an event without a type")
        if text and isinstance(text, str):
            if attempt.first_token_ms is None:
                attempt.first_token_ms = (time.perf_counter() - began) * 1000
            text, half = _whole(half + text)
            if text:
                yield text
    if half:
        yield "?"


def _check_form(response: Any) -> None:
    form = str(response.headers.get("content-type", ""))
    if not form.startswith("text/event-stream"):
        raise refusals.invalid_reply(form.partition(";")[0] or "something without a content type")


def _check_end(attempt: Attempt) -> None:
    # A connection that is closed in good order before the last event raises nothing.
    if attempt.stop_reason is None:
        raise refusals.incomplete_reply()
    if attempt.stop_reason == "refusal":
        raise refusals.refused_reply()


def _whole(text: str) -> tuple[str, str]:
    """Return a text without halves of surrogate pairs, and the half at its end that the next piece may complete.

    A JSON escape can write half a character, which no encoding has; the other half may come in the next event.
    """
    if text.isascii():
        return text, ""
    half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    joined = text[: len(text) - len(half)].encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return joined.encode("utf-8", "replace").decode(), half


def _name(of: object) -> str | None:
    """Return what can name a model; None for anything else, which would be booked for ever."""
    return of if isinstance(of, str) and of.isprintable() and len(of) <= _LONGEST_NAME else None
