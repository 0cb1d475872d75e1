"""A stream of odd events ends as a reply or as an error in words, and what is saved of it can be continued."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptctl.chat import transcripts
from promptctl.chat.turns import Turn
from promptctl.claude import content_blocks
from promptctl.claude.api import Claude
from promptctl.output import block_view, reply_pieces
from promptctl.rules import json_documents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REQUEST: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}


class Stand:
    """Claude with a client of the SDK that gets `events` in place of a reply."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import anthropic
        import httpx2

        monkeypatch.setenv("ANTHROPIC_API_KEY", "x")
        # A repeated call waits.
        monkeypatch.setattr("promptctl.claude.retries.MOST_ATTEMPTS", 1)
        self.events: list[dict[str, Any]] = []
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=_SSE, content=self._body()))
        self.claude = Claude()
        # Loading would replace the client.
        getattr(self.claude, "_wait_for_client")()  # noqa: B009 - it is private
        client = anthropic.Anthropic(api_key="x", http_client=httpx2.Client(transport=transport), max_retries=0)
        monkeypatch.setattr(self.claude, "_client", client)

    def _body(self) -> bytes:
        lines = (f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in self.events)
        return "".join(lines).encode("utf-8", "surrogatepass")

    def turn(self, *events: dict[str, Any]) -> Turn:
        """Return the turn that the events have ended."""
        self.events = [*events]
        turn = Turn(self.claude, None, REQUEST["messages"], REQUEST, lambda _: None)  # type: ignore[arg-type]
        writer = reply_pieces.PieceWriter(shows_thinking=True)
        for piece in turn.send():
            writer.write(piece)
        writer.end(is_whole=turn.failure is None)
        return turn


_SSE = {"content-type": "text/event-stream"}


@pytest.fixture(scope="module")
def stand() -> Any:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield Stand(monkeypatch)


def start(block: Any, index: Any = 0) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def add(delta: Any, index: Any = 0) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": delta}


def end(reason: Any) -> dict[str, Any]:
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 1}}


def _typed(kind: Any, fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "type": kind}


def _event(kind: str, *names: str) -> Callable[..., dict[str, Any]]:
    def event(*values: Any) -> dict[str, Any]:
        return {"type": kind, **dict(zip(names, values, strict=True))}

    return event


SCALARS: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=4),
    st.sampled_from(["\0", "a\0b", "\ud83d", "\ude00", "text", "tool_use", "end_turn", float("nan"), float("inf")]),
)  # fmt: skip
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip
TYPES = st.sampled_from(["text", "thinking", "tool_use", "hologram", "redacted_thinking"]) | VALUES
FIELDS = ("text", "thinking", "signature", "citations", "citation", "partial_json", "input", "id", "name", "index")
OBJECTS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4)
BLOCKS = st.builds(_typed, TYPES, OBJECTS) | VALUES
DELTA_TYPES = st.sampled_from(
    ["text_delta", "thinking_delta", "input_json_delta", "citations_delta", "signature_delta", "hologram_delta"]
)
DELTAS = st.builds(_typed, DELTA_TYPES | VALUES, OBJECTS) | VALUES
INDEXES = st.integers(0, 2) | VALUES
EVENTS = st.one_of(
    st.builds(start, BLOCKS, INDEXES),
    st.builds(add, DELTAS, INDEXES),
    st.builds(_event("content_block_stop", "index"), INDEXES),
    st.builds(end, VALUES),
    st.builds(_event("message_start", "message"), VALUES),
    st.builds(_event("message_delta", "delta", "usage"), VALUES, VALUES),
    st.builds(_event("error", "error"), VALUES),
    st.sampled_from([{"type": f"content_block_{part}"} for part in ("start", "delta", "stop")]),
    st.sampled_from([{"type": f"message_{part}"} for part in ("start", "delta", "stop")]),
)


def check(turn: Turn, folder: Path) -> None:
    """Check that a failure has words of ours, and that what a file keeps of the reply is read as it was."""
    if turn.failure is not None:
        assert re.search(r"Error|Exception|unhashable|object has no|must be", turn.failure.message) is None
    assert turn.is_empty in (True, False)
    for width in (None, 80):
        block_view.reply_text(turn.blocks, width, shows_thinking=True)
    content = content_blocks.to_send_back(turn.blocks)
    if turn.failure is not None or not content:
        return
    path = folder / "talk.json"
    transcript = transcripts.Transcript(str(path))
    transcript.add("Hello", content)
    transcript.save()
    assert transcripts.load(str(path)).messages == transcript.messages


@settings(max_examples=150, deadline=None)
@given(events=st.lists(EVENTS, max_size=6))
def test_any_events_end_as_a_reply_or_as_an_error_in_words(
    events: list[dict[str, Any]], stand: Stand, tmp_path_factory: pytest.TempPathFactory
) -> None:
    turn = stand.turn(*events, end("end_turn"), {"type": "message_stop"})
    check(turn, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("block", [
    {"type": ["text"], "text": "x"}, {"type": {}, "a": 1}, {"a": 1}, {"type": "text", "text": "a", "citations": 5},
])  # fmt: skip
@pytest.mark.parametrize("index", [0, [], {}, "x", None, float("nan")])
def test_a_block_or_an_index_of_another_type_is_no_error(
    block: dict[str, Any], index: Any, stand: Stand, tmp_path: Path
) -> None:
    delta = {"type": "citations_delta", "citation": {"url": "u"}}
    turn = stand.turn(start(block, index), add(delta, index), end("end_turn"))
    assert turn.failure is None
    check(turn, tmp_path)


@pytest.mark.parametrize("levels", [5, 90, 94, 95, 96, 99, 101, 300, 700, 5000])
@pytest.mark.parametrize("way", ["an object", "a text"])
def test_a_call_nested_too_deeply_for_a_file_is_refused_however_it_is_sent(
    levels: int, way: str, stand: Stand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call: dict[str, Any] = {"type": "tool_use", "id": "t", "name": "get", "input": {}}
    if way == "a text":
        text = '{"a": ' + "[" * levels + "]" * levels + "}"
        turn = stand.turn(start(call), add({"type": "input_json_delta", "partial_json": text}), end("tool_use"))
    else:
        body = f'{{"type": "content_block_start", "index": 0, "content_block": {json.dumps(call)}}}'
        body = body.replace('"input": {}', '"input": {"a": ' + "[" * levels + "]" * levels + "}")
        data = (
            f"event: content_block_start\ndata: {body}\n\nevent: message_delta\ndata: {json.dumps(end('tool_use'))}\n\n"
        )
        monkeypatch.setattr(stand, "_body", data.encode)
        turn = stand.turn()
    check(turn, tmp_path)
    if levels <= json_documents.DEEPEST - 6:
        assert turn.failure is None
        assert len(turn.calls) == 1
    else:
        assert turn.failure is not None
        assert turn.failure.message.endswith(("a block is nested more than 96 deep", "it is nested too deeply"))


def test_a_nul_in_a_text_or_in_arguments_becomes_a_question_mark(stand: Stand, tmp_path: Path) -> None:
    call: dict[str, Any] = {"type": "tool_use", "id": "t", "name": "get", "input": {}}
    turn = stand.turn(
        start({"type": "text", "text": ""}), add({"type": "text_delta", "text": "a\0b"}),
        start(call, 1), add({"type": "input_json_delta", "partial_json": '{"k\\u0000": "\\u0000"}'}, 1),
        end("tool_use"),
    )  # fmt: skip
    assert (turn.text, turn.calls) == ("a?b", [{**call, "input": {"k?": "?"}}])
    check(turn, tmp_path)


def test_a_number_that_is_not_finite_is_refused(stand: Stand) -> None:
    turn = stand.turn(start({"type": "hologram", "depth": float("nan")}), end("end_turn"))
    assert turn.failure is not None
    assert turn.failure.message.endswith("a block has a number that is not finite")
