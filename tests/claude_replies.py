"""What the server of `claude_api` sends, event by event; https://docs.claude.com/en/api/messages-streaming."""

from __future__ import annotations

import enum
import json
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Ending(enum.Enum):
    """How an answer ends that does not come to its end: a connection cut or closed; nothing is said any more."""

    RESET = enum.auto()
    CLOSE = enum.auto()
    SILENCE = enum.auto()


# What to send, or a pause in seconds, or an end.
Step = bytes | float | Ending

SCENARIOS = frozenset((
    "ok", "echo", "thinking", "unknown_event", "max_tokens", "refusal", "context_window", "cut", "close", "early_end",
    "error_event", "garbage", "html", "html_error", "empty", "not_sse", "status", "leak", "hang", "stall", "slow_first",
    "big", "escapes", "markup", "wide", "odd_event", "zeros", "corrected", "halves", "blocks", "strict",
    "crowd",
))  # fmt: skip

WHOLE = {
    "html": (200, "text/html; charset=utf-8", "<!doctype html><title>Welcome</title>"),
    "html_error": (502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"),
    "not_sse": (200, "application/json", '{"object": "chat.completion", "choices": []}'),
    "empty": (200, "text/event-stream", ""),
}
ERRORS = {
    400: ("invalid_request_error", "max_tokens: must be positive"),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "your credit balance is too low"),
    403: ("permission_error", "your key cannot use this model"),
    404: ("not_found_error", "model: claude-nope"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "you are sending too fast"),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
# The parameters in the body that the scenario `strict` knows. It refuses any other one, as the API does.
KNOWN = frozenset((
    "cache_control", "container", "diagnostics", "inference_geo", "max_tokens", "messages", "metadata", "model",
    "output_config", "service_tier", "speed", "stop_sequences", "stream", "system", "thinking", "tool_choice", "tools",
))  # fmt: skip
_STOPS = {"max_tokens": "max_tokens", "refusal": "refusal", "context_window": "model_context_window_exceeded"}

CALM = "A pointer is a value that says where another value is. Take your time with it."
ENTHUSIASTIC = "Oh, pointers! A pointer says where a value lives, and following one is like opening a treasure map!"
CONCISE = "A value that says where another value is."

_ESCAPES = (
    "\x1b[2J\x1b[1;31mred\x1b[0m \x1b]52;c;cm0gLXJm\x07 \x1b]8;;https://example.org\x07link\x1b]8;;\x07 \x9b31m "
    "\u202eesrever\u202c \r over \x08\x08 \x07 \x00 end"
)
_MARKUP = "[bold]x[/bold] [/INST] :smile: **strong** `code` <b>"
_WIDE = "日本語の文章です。 👩‍💻 e\u0301 zoë 한국어"


class Parameters:
    """The parameters in the URL, the request's body, and the key that it came with."""

    def __init__(self, given: Mapping[str, str], body: Mapping[str, Any], key: str) -> None:
        self._given = given
        self.body = body
        self.key = key

    def __contains__(self, name: str) -> bool:
        return name in self._given

    def number(self, name: str, otherwise: int) -> int:
        """A number, or what it is when it is not given."""
        return int(self._given.get(name, otherwise))

    def text(self, name: str, otherwise: str = "") -> str:
        """A text, or what it is when it is not given."""
        return self._given.get(name, otherwise)


def steps(scenario: str, given: Parameters) -> Iterator[Step]:
    """What to send for a scenario, piece by piece."""
    yield _event("message_start", message=_message(given))
    yield _event("ping")
    if scenario == "blocks" and not _is_continued(given.body["messages"][-1], given):
        yield from _blocks(json.loads(given.text("blocks")), given)
        return
    before = {"thinking": _THINKING, "unknown_event": _UNKNOWN, "odd_event": [b"event: message_delta\ndata: 5\n\n"]}
    yield from before.get(scenario, [])
    index = 1 if scenario in before else 0
    yield _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
    yield given.number("delay_ms", 0) / 1000
    sent = 0
    for piece in _pieces(scenario, given):
        if scenario in _ENDINGS and sent >= given.number("after", 1):
            break
        if sent:
            yield given.number("chunk_delay_ms", 0) / 1000
        yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
        sent += 1
    if scenario in _ENDINGS:
        yield from _ENDINGS[scenario]
        return
    yield _event("content_block_stop", index=index)
    yield _event(
        "message_delta",
        delta={"stop_reason": _STOPS.get(scenario, "end_turn"), "stop_sequence": None},
        # Running totals: what was reported before comes again, and is not to be added.
        usage=_usage(given) | {"output_tokens": given.number("output_tokens", max(1, sent))} | _LAST.get(scenario, {}),
    )
    yield _event("message_stop")


def _blocks(blocks: list[dict[str, Any]], given: Parameters) -> Iterator[Step]:
    """The blocks in the parameter `blocks`, each in the events in which the API sends it; the last one may be cut."""
    for index, block in enumerate(blocks):
        deltas: list[dict[str, Any]] = []
        first = dict(block)
        if block["type"] == "text":
            deltas = [{"type": "text_delta", "text": part} for part in _halves(block["text"])]
            first["text"] = ""
        elif block["type"] == "thinking":
            deltas = [{"type": "thinking_delta", "thinking": part} for part in _halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
            first |= {"thinking": "", "signature": ""}
        elif block["type"] in ("tool_use", "server_tool_use"):
            # Arguments that are a text are sent as they are, also if they are no JSON.
            arguments = block["input"] if isinstance(block["input"], str) else json.dumps(block["input"])
            deltas = [{"type": "input_json_delta", "partial_json": part} for part in ("", *_halves(arguments))]
            first["input"] = {}
        yield _event("content_block_start", index=index, content_block=first)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
            yield given.number("chunk_delay_ms", 0) / 1000
        if index == len(blocks) - 1 and "ending" in given:
            yield from _ENDINGS[given.text("ending")]
            return
        yield _event("content_block_stop", index=index)
    has_call = any(block["type"] == "tool_use" for block in blocks)
    reason = given.text("stop_reason", "tool_use" if has_call else "end_turn")
    usage = _usage(given) | {"output_tokens": given.number("output_tokens", 20)}
    yield _event("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)
    yield _event("message_stop")


def _halves(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    return text[:middle], text[middle:]


def _is_continued(last: Mapping[str, Any], given: Parameters) -> bool:
    """Whether a message answers a call of a tool, or has the paused reply. `pauses` is for a reply that never ends."""
    if last["role"] == "assistant":
        return "pauses" not in given
    content: Any = last["content"]
    if isinstance(content, str):
        return False
    blocks: list[dict[str, Any]] = content
    return any(block.get("type") == "tool_result" for block in blocks)


def message(scenario: str, given: Parameters) -> dict[str, Any]:
    """The reply at once, as for whoever does not ask for a stream."""
    pieces = list(_pieces(scenario, given))
    return _message(given) | {
        "content": [{"type": "text", "text": "".join(pieces)}],
        "stop_reason": _STOPS.get(scenario, "end_turn"),
        "usage": _usage(given) | {"output_tokens": given.number("output_tokens", max(1, len(pieces)))},
    }


# Parameters of a call that a count of its tokens does not accept.
NOT_COUNTED = frozenset({"max_tokens", "metadata", "service_tier", "stop_sequences", "stream"})
# What is around the texts of a call.
FRAME_TOKENS = 7


def input_tokens(body: Mapping[str, Any]) -> int:
    """The tokens of a call by this server's measure: one for each word of a text, and the frame."""

    def words(node: Any) -> int:
        if isinstance(node, dict):
            fields = cast("dict[str, Any]", node)
            return sum(words(value) for key, value in fields.items() if key not in ("type", "role", "cache_control"))
        if isinstance(node, list):
            return sum(map(words, cast("list[Any]", node)))
        return len(node.split()) if isinstance(node, str) else 0

    return FRAME_TOKENS + words({key: value for key, value in body.items() if key != "model"})


def whole_message(message: Mapping[str, Any]) -> bytes:
    """The events of a message that has only texts, each text in one event."""
    events = [_event("message_start", message={**message, "content": [], "stop_reason": None})]
    for index, block in enumerate(message["content"]):
        events += [
            _event("content_block_start", index=index, content_block={**block, "text": ""}),
            _event("content_block_delta", index=index, delta={"type": "text_delta", "text": block["text"]}),
            _event("content_block_stop", index=index),
        ]
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    events += [_event("message_delta", delta=delta, usage=message["usage"]), _event("message_stop")]
    return b"".join(events)


def _event(kind: str, **fields: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


_ENDINGS: dict[str, list[Step]] = {
    # What was sent before a reset may be lost with it: let it arrive.
    "cut": [0.2, Ending.RESET],
    "close": [Ending.CLOSE],
    "early_end": [],
    "error_event": [_event("error", error={"type": "overloaded_error", "message": "Overloaded"})],
    "garbage": [b"event: content_block_delta\ndata: {this is no JSON\n\n"],
    "stall": [Ending.SILENCE],
}
_THINKING = [
    _event("content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}),
    _event("content_block_delta", index=0, delta={"type": "thinking_delta", "thinking": "Let me think."}),
    _event("content_block_delta", index=0, delta={"type": "signature_delta", "signature": "c2ln"}),
    _event("content_block_stop", index=0),
]
_UNKNOWN = [
    _event("weather_report", sky="clear"),
    _event("content_block_start", index=0, content_block={"type": "hologram", "depth": 3}),
    _event("content_block_delta", index=0, delta={"type": "hologram_delta", "light": "green"}),
    _event("content_block_stop", index=0),
]


# Parts of the last report of tokens, as servers that only speak the API's protocol have them.
_LAST: dict[str, dict[str, int]] = {
    "zeros": {
        "input_tokens": 0, "output_tokens": 0, "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
    },
    "corrected": {"input_tokens": 0, "cache_read_input_tokens": 90},
}  # fmt: skip


def _message(given: Parameters) -> dict[str, Any]:
    return {
        "id": "msg_1", "type": "message", "role": "assistant", "model": given.body.get("model"), "content": [],
        "stop_reason": None, "stop_sequence": None,
        "usage": _usage(given),
    }  # fmt: skip


def _usage(given: Parameters) -> dict[str, int]:
    return {
        "input_tokens": given.number("input_tokens", 12),
        "output_tokens": 1,
        "cache_read_input_tokens": given.number("cache_read_tokens", 0),
        "cache_creation_input_tokens": given.number("cache_write_tokens", 0),
    }


def _pieces(scenario: str, given: Parameters) -> Iterator[str]:
    """The reply in the pieces in which it is sent: words, unless it is large."""
    if scenario == "big":
        piece = ("A line of a long reply.\n" * 400)[: given.number("chunk", 4096)]
        for _ in range(given.number("megabytes", 10) * 1_000_000 // len(piece) + 1):
            yield piece
        return
    if scenario == "halves":
        yield from ("Good \ud83d", "\ude00 day\ud83d", "!", "\ud83d")
        return
    whole = {"escapes": _ESCAPES, "markup": _MARKUP, "wide": _WIDE}.get(scenario) or given.text("text") or _reply(given)
    if scenario == "echo":
        whole = json.dumps({name: given.body.get(name) for name in ("system", "messages", "model", "max_tokens")})
    for place, word in enumerate(whole.split(" ")):
        yield word if place == 0 else f" {word}"


def _reply(given: Parameters) -> str:
    """A reply by which the prompts can be told apart."""
    system = given.body.get("system", "")
    text = system if isinstance(system, str) else " ".join(str(block.get("text")) for block in system)
    for mark, reply in (("enthusiastic", ENTHUSIASTIC), ("concise", CONCISE), ("calm", CALM)):
        if mark in text:
            return reply
    return f"You said: {given.body['messages'][-1]['content']}"[:200]
