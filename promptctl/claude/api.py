"""Call Claude through its SDK. A thread imports the SDK, because this takes a second."""

from __future__ import annotations

import _thread
import itertools
import time
import weakref
from typing import TYPE_CHECKING, TypeVar, cast

from promptctl import errors, threads
from promptctl.claude import network, refusals, retries, sdk_arguments
from promptctl.claude import settings as claude_settings
from promptctl.claude.content_blocks import CALL, TEXT, ContentBlocks, InvalidBlock, too_deep
from promptctl.rules import tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from promptctl.claude.content_blocks import Piece

CONNECT_TIMEOUT_SECONDS = 10.0
SILENCE_SECONDS = 120
_USAGE_FIELDS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_LONGEST_NAME = 200
# Parameters of older models, which newer SDKs do not have. They take no tokens.
_SAMPLING = frozenset({"temperature", "top_k", "top_p"})
OK, INTERRUPTED = "ok", "interrupted"

_Result = TypeVar("_Result")


class Attempt:
    """One call of Claude and its result so far. A number is None if Claude has not reported it.

    `request` has the keywords of the SDK's `messages.create`, `model` and `max_tokens` among them.

    `input_tokens` counts all of the input, with the cached parts. `began_at` and `ended_at` are times of
    time.perf_counter; the other times are in milliseconds since the request was sent. `outcome` is "ok", "interrupted"
    or the code of `failure`. `retry_after_seconds` is set when a failed call is worth a retry.
    """

    def __init__(self, request: Mapping[str, Any]) -> None:
        self.request = request
        self.model: str = request["model"]
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
        self._content = ContentBlocks()

    @property
    def blocks(self) -> list[dict[str, Any]]:
        """The content blocks of the reply so far, as Claude sent them. Only a text may be incomplete."""
        return self._content.so_far()

    def add_event(self, event: Any) -> Iterator[Piece]:
        """Store what an event of the stream reports, and yield the pieces of the reply in it. Ignore unknown events."""
        kind = getattr(event, "type", None)
        if kind == "content_block_delta":
            # Texts have by far the most events, so their conversion is as short as possible.
            delta = getattr(event, "delta", None)
            is_text = getattr(delta, "type", None) == "text_delta"
            plain = {"type": "text_delta", "text": getattr(delta, "text", None)} if is_text else _plain(delta)
            yield from self._content.add(_index(event), plain)
        elif kind == "content_block_start":
            yield from self._content.start(_index(event), _plain(getattr(event, "content_block", None)))
        elif kind == "content_block_stop":
            yield from self._content.stop(_index(event))
        elif kind == "message_start":
            message = getattr(event, "message", None)
            self.model = _model_name(getattr(message, "model", None)) or self.model
            self.add_usage(getattr(message, "usage", None))
        elif kind == "message_delta":
            self.add_usage(getattr(event, "usage", None))
            stop_reason = getattr(getattr(event, "delta", None), "stop_reason", None)
            self.stop_reason = stop_reason if stop_reason and isinstance(stop_reason, str) else self.stop_reason
        elif kind == "message_stop":
            # Without a stop reason, `_check_end` would report the reply as incomplete.
            self.stop_reason = self.stop_reason or "unknown"
        elif kind is None:
            raise refusals.invalid_reply("it has an event without a type")

    def end_reply(self) -> Iterator[Piece]:
        """End the blocks that have not ended, after the last event, and yield the pieces for them."""
        yield from self._content.end()

    def add_usage(self, usage: object) -> None:
        """Update the counts of tokens from a report. Each report has totals so far, and may leave some out.

        Some servers end a reply with a report that has only zeros, which must not replace counts. The three counts of
        the input belong together, so they are replaced together unless all are zero. The output is judged alone.
        """
        report = {name: count for name in _USAGE_FIELDS if (count := tokens.count(usage, name)) is not None}
        output = report.pop("output_tokens", None)
        if output is not None and (output > 0 or not self.output_tokens):
            self._usage["output_tokens"] = output
        # The rest of the report is about the input.
        if not self.input_tokens or any(report.values()):
            self._usage |= report
        self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens = tokens.read(
            self._usage
        )

    def fail(self, problem: Exception, secrets: Sequence[str]) -> None:
        """Store the failure for an exception of the SDK. `secrets` are masked in its message."""
        self.failure, self.retry_after_seconds = refusals.translate(problem, self.request["model"], secrets)
        self.outcome = self.failure.code
        self.request_id = getattr(problem, "request_id", None) or self.request_id


class Claude:
    """A client of the API. The constructor checks the settings and starts to load the SDK; calls wait for it.

    Raises ClaudeFailed for a missing or malformed key, a malformed URL of the API, or an invalid setting for proxies or
    certificates.
    """

    def __init__(self, silence_seconds: float = SILENCE_SECONDS) -> None:
        """Start to load the SDK. A call times out if nothing arrives for `silence_seconds`."""
        self._settings = claude_settings.read()
        network.check_environment()
        self._silence_seconds = silence_seconds
        self._client: Any = None
        self._problem: Exception | None = None
        # `_load` releases this lock when it ends.
        self._loading = _thread.allocate_lock()
        self._loading.acquire()
        if not threads.start(self._load):
            self._load()

    def call(self, attempt: Attempt) -> Iterator[Piece]:
        """Make a call and yield the reply, piece by piece.

        The result is stored in `attempt`, and so is a failure of the call. Raises an error that prevents the call, for
        example a missing SDK. After a KeyboardInterrupt `attempt` has the result so far.
        """
        client = self._wait_for_client()
        began = attempt.began_at = attempt.ended_at = time.perf_counter()
        attempt.is_sent = True
        try:
            with client.messages.create(**sdk_arguments.for_request(client, attempt.request), stream=True) as stream:
                attempt.request_id = stream.response.headers.get("request-id")
                _check_content_type(stream.response)
                yield from _pieces(stream, attempt, began)
            _check_end(attempt)
            attempt.outcome = OK
        except errors.ClaudeFailed as failure:
            attempt.failure, attempt.outcome = failure, failure.code
        except InvalidBlock as problem:
            attempt.failure = refusals.invalid_reply(str(problem))
            attempt.outcome = attempt.failure.code
        except Exception as problem:  # noqa: BLE001 - after any failure the billed tokens are recorded
            attempt.fail(problem, self._settings.secrets)
        finally:
            attempt.ended_at = time.perf_counter()
            attempt.response_ms = (attempt.ended_at - began) * 1000

    def count_tokens(self, keywords: Mapping[str, Any], report: Callable[[str], None]) -> int:
        """Return how many input tokens Claude counts for the keywords of `messages.create`. It makes no reply.

        Keywords that the SDK's `messages.count_tokens` does not have are left out, because they take no tokens, and so
        is `extra_body`, which may have anything in it. A count that fails for a moment is made again, and `report` gets
        a message before. Raises ClaudeFailed.
        """
        import inspect

        client = self._wait_for_client()
        accepted = inspect.signature(client.messages.count_tokens).parameters
        parameters = {
            key: value for key, value in keywords.items() if key in accepted and key != sdk_arguments.EXTRA_BODY
        }
        arguments = sdk_arguments.for_request(client, parameters)
        for attempts in itertools.count(1):
            try:
                tokens_counted = tokens.count(client.messages.count_tokens(**arguments), "input_tokens")
            except Exception as problem:
                failure, delay = refusals.translate(problem, str(keywords["model"]), self._settings.secrets)
                if not retries.wait(failure, delay, attempts, report):
                    raise failure from problem
                continue
            if tokens_counted is None:
                raise refusals.invalid_reply("it has no number of tokens")
            return tokens_counted
        raise AssertionError("an attempt returns or raises")

    def unknown_parameters(self, keywords: Mapping[str, Any]) -> list[str]:
        """Return the keywords that `count_tokens` leaves out although they may take tokens.

        These are those that the SDK's `messages.create` does not have, and those that may have anything in them.
        Raises ClaudeFailed.
        """
        import inspect

        messages = self._wait_for_client().messages
        signatures = (inspect.signature(method) for method in (messages.create, messages.count_tokens))
        in_signatures = {name for signature in signatures for name in signature.parameters}
        return [key for key in keywords if key == sdk_arguments.EXTRA_BODY or key not in (*in_signatures, *_SAMPLING)]

    def use(self, call: Callable[[Any], _Result], model: str = "") -> _Result:
        """Return what `call` returns for the SDK's client. Raises ClaudeFailed for an exception of the SDK or of HTTP.

        The failure has `wait_seconds` above 0 if a repetition of the call may succeed.
        """
        client = self._wait_for_client()
        try:
            return call(client)
        except errors.PromptctlError:
            raise
        except Exception as problem:
            failure, delay = refusals.translate(problem, model, self._settings.secrets)
            if delay is not None:
                failure.wait_seconds = max(failure.wait_seconds, delay, 0.1)
            raise failure from problem

    def _load(self) -> None:
        try:
            import anthropic

            settings = self._settings
            http_client = anthropic.DefaultHttpxClient(event_hooks={"response": [network.refuse_other_origin]})
            client: Any = anthropic.Anthropic(
                # If both are None, the SDK looks for a profile.
                api_key=settings.api_key,
                auth_token=settings.auth_token,
                base_url=settings.base_url,
                # The SDK would sleep, without a message, for as long as the server asks.
                max_retries=0,
                timeout=anthropic.Timeout(self._silence_seconds, connect=CONNECT_TIMEOUT_SECONDS),
                http_client=http_client,
            )
            # The SDK closes only a client for HTTP that it has made itself.
            weakref.finalize(client, http_client.close).atexit = False
            _warm_up()
            if client.api_key is None and client.auth_token is None and client.credentials is None:
                self._problem = claude_settings.no_key()
            else:
                self._client = client
        except Exception as problem:  # noqa: BLE001 - `_wait_for_client` raises it
            self._problem = problem
        finally:
            self._loading.release()

    def _wait_for_client(self) -> Any:
        """Wait for the SDK and return its client. Ctrl-C interrupts the wait."""
        if self._client is None:
            self._loading.acquire()
            self._loading.release()
        if isinstance(self._problem, errors.PromptctlError):
            raise self._problem
        if isinstance(self._problem, ImportError):
            from promptctl import requirements

            if missing := requirements.missing_extra(self._problem):
                raise missing from None
            message = f"Claude's SDK cannot be loaded: {self._problem}"
            install = requirements.install_command("anthropic")
            raise errors.Failed("installation_damaged", message, hint=install) from None
        if self._problem is not None:
            failure, _ = refusals.translate(self._problem, "", self._settings.secrets)
            if failure.code == "reply_invalid":
                # This is the code for an unknown exception, but no request was sent, so there is no reply.
                failure = network.setup_error(self._problem)
            raise failure from self._problem
        return self._client


def _warm_up() -> None:
    """Make a call that is answered in this process, so that the SDK builds its lazy parts before a real call."""
    import anthropic
    import httpx2

    events = (
        b'{"type":"message_start","message":{"usage":{"input_tokens":1,"output_tokens":1}}}',
        b'{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}',
        b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}',
        b'{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":1}}',
        b'{"type":"message_stop"}',
    )
    # The type of an event is the text between its third and its fourth quote.
    body = b"".join(b"event: %s\ndata: %s\n\n" % (event.split(b'"')[3], event) for event in events)
    response = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=body)
    with httpx2.Client(transport=httpx2.MockTransport(lambda _: response)) as http_client:
        client = anthropic.Anthropic(api_key="none", base_url="http://localhost", http_client=http_client)
        request = {"model": "x", "max_tokens": 1, "system": "x", "messages": [{"role": "user", "content": "x"}]}
        with client.messages.create(**sdk_arguments.for_request(client, request), stream=True) as stream:
            for _ in _pieces(stream, Attempt(request), time.perf_counter()):
                pass


def _pieces(stream: Any, attempt: Attempt, began: float) -> Iterator[Piece]:
    """Yield the pieces of a stream's events and store the other data in `attempt`."""
    for event in stream:
        for piece in attempt.add_event(event):
            if attempt.first_token_ms is None and piece.kind in (TEXT, CALL):
                attempt.first_token_ms = (time.perf_counter() - began) * 1000
            yield piece
    yield from attempt.end_reply()


def _plain(model: Any) -> dict[str, Any]:
    """Return an object of the SDK as the JSON object that Claude sent; {} for anything else."""
    if isinstance(model, dict):
        return cast("dict[str, Any]", model)
    try:
        # Python's own values, because the conversion to JSON's refuses lone surrogates.
        return model.to_dict(mode="python", warnings=False) if hasattr(model, "to_dict") else {}
    except (RecursionError, ValueError):
        # Of a deep object, Pydantic says that it contains itself, which no JSON does.
        raise too_deep() from None


def _index(event: object) -> int | None:
    """Return the index of the block that an event is about, None if it is not an integer."""
    index = getattr(event, "index", None)
    return index if isinstance(index, int) else None


def _check_content_type(response: Any) -> None:
    content_type = str(response.headers.get("content-type", ""))
    if not content_type.startswith("text/event-stream"):
        media_type = content_type.partition(";")[0]
        raise refusals.invalid_reply(f"its content type is {media_type}" if media_type else "it has no content type")


def _check_end(attempt: Attempt) -> None:
    # The SDK raises nothing if the connection is closed normally before the last event.
    if attempt.stop_reason is None:
        raise refusals.incomplete_reply()
    if attempt.stop_reason == "refusal":
        raise refusals.refused_reply()


def _model_name(value: object) -> str | None:
    """Return the reported name of a model; None for a value that is not a plausible name."""
    # The name is recorded and cannot be corrected later.
    return value if isinstance(value, str) and value.isprintable() and len(value) <= _LONGEST_NAME else None
