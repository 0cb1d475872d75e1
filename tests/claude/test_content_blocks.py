"""The content blocks of a reply, assembled from the events of its stream."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl.claude import content_blocks
from promptctl.claude.content_blocks import ContentBlocks, Piece

Events = list[tuple[Any, ...]]
TEXT_START = {"type": "text", "text": ""}
CALL: dict[str, Any] = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}


def assembled(events: Events) -> tuple[list[dict[str, Any]], list[Piece]]:
    """Return the blocks and the pieces of events: `("start", 0, block)`, `("add", 0, delta)` or `("stop", 0)`."""
    content = ContentBlocks()
    pieces = [piece for name, *fields in events for piece in getattr(content, name)(*fields)]
    pieces += content.end()
    return content.so_far(), pieces


def text(piece: str) -> dict[str, str]:
    return {"type": "text_delta", "text": piece}


def test_blocks_of_every_kind_are_kept_with_all_their_fields() -> None:
    search = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": [{"url": "u", "page_age": None}]}
    blocks, pieces = assembled([
        ("start", 0, {"type": "thinking", "thinking": "", "signature": ""}),
        ("add", 0, {"type": "thinking_delta", "thinking": "Let me "}),
        ("add", 0, {"type": "thinking_delta", "thinking": "think."}),
        ("add", 0, {"type": "signature_delta", "signature": "c2ln"}),
        ("stop", 0),
        ("start", 1, search),
        ("stop", 1),
        ("start", 2, {**TEXT_START, "citations": None}),
        ("add", 2, text("Sun.")),
        ("add", 2, {"type": "citations_delta", "citation": {"url": "u"}}),
        ("stop", 2),
        ("start", 3, {**CALL, "caller": {"type": "direct"}}),
        ("add", 3, {"type": "input_json_delta", "partial_json": ""}),
        ("add", 3, {"type": "input_json_delta", "partial_json": '{"city": "Zo'}),
        ("add", 3, {"type": "input_json_delta", "partial_json": 'ë", "days": 1.5}'}),
        ("stop", 3),
    ])  # fmt: skip
    assert blocks == [
        {"type": "thinking", "thinking": "Let me think.", "signature": "c2ln"},
        search,
        {"type": "text", "text": "Sun.", "citations": [{"url": "u"}]},
        {**CALL, "caller": {"type": "direct"}, "input": {"city": "Zoë", "days": 1.5}},
    ]
    assert [(piece.kind, piece.text, piece.block is not None) for piece in pieces] == [
        ("thinking", "Let me ", False), ("thinking", "think.", False), ("thinking", "", True),
        ("web_search_tool_result", "", True), ("text", "Sun.", False), ("tool_use", "", False), ("tool_use", "", True),
    ]  # fmt: skip
    assert content_blocks.calls(blocks) == [blocks[3]]


def test_a_block_and_a_delta_of_unknown_kinds_are_merged() -> None:
    blocks, _ = assembled([
        ("start", 0, {"type": "hologram", "light": "gr", "layers": [1], "depth": 3}),
        ("add", 0, {"type": "hologram_delta", "light": "een", "layers": [2], "depth": 4, "new": {"a": None}}),
        ("stop", 0),
    ])  # fmt: skip
    assert blocks == [{"type": "hologram", "light": "green", "layers": [1, 2], "depth": 4, "new": {"a": None}}]


# What servers that only speak the protocol send, and the text that is read from it.
ODD_STREAMS: dict[str, tuple[Events, str]] = {
    "a text without a beginning": ([("add", 0, text("Hi"))], "Hi"),
    "a text in a block of another kind": ([("start", 0, CALL), ("add", 0, text("Hi")), ("stop", 0)], "Hi"),
    "arguments in a text": ([("start", 0, TEXT_START), ("add", 0, text("Hi")),
                             ("add", 0, {"type": "input_json_delta", "partial_json": "{}"})], "Hi"),
    "no end of a block": ([("start", 0, TEXT_START), ("add", 0, text("a")), ("start", 1, TEXT_START),
                           ("add", 1, text("b"))], "ab"),
    "an end without a beginning": ([("stop", 0)], ""),
    "a block that is no object": ([("start", 0, None), ("start", 1, "x"), ("add", 1, text("Hi"))], "Hi"),
    "a text that is a number": ([("start", 0, {"type": "text", "text": 5}), ("add", 0, text("Hi"))], "Hi"),
    "halves of a surrogate pair": ([("start", 0, TEXT_START), ("add", 0, text("\ud83d")), ("add", 0, text("\ude00"))],
                                   "😀"),
    "half of a surrogate pair": ([("start", 0, TEXT_START), ("add", 0, text("a\ud83d"))], "a?"),
}  # fmt: skip


@pytest.mark.parametrize("case", ODD_STREAMS)
def test_a_text_is_read_from_an_odd_stream(case: str) -> None:
    events, expected = ODD_STREAMS[case]
    blocks, pieces = assembled(events)
    assert "".join(piece.text for piece in pieces if piece.kind == "text") == expected
    assert "".join(block["text"] for block in blocks if block["type"] == "text") == expected


@pytest.mark.parametrize("arguments", ['{"city": "Par', '{"n": NaN}', '{"n": 1e999}', "[" * 50, "[]"])
def test_arguments_that_are_not_a_json_object_make_no_call(arguments: str) -> None:
    delta = {"type": "input_json_delta", "partial_json": arguments}
    blocks, _ = assembled([("start", 0, CALL), ("add", 0, delta), ("stop", 0)])
    assert blocks[0]["input"] == ([] if arguments == "[]" else arguments)
    assert content_blocks.calls(blocks) == []
    assert content_blocks.to_send_back(blocks) == []


def test_lone_surrogates_in_arguments_are_replaced() -> None:
    delta = {"type": "input_json_delta", "partial_json": '{"a\\ud83d": ["\\ud83d\\ude00 \\ud83d"]}'}
    [block], _ = assembled([("start", 0, CALL), ("add", 0, delta), ("stop", 0)])
    assert block["input"] == {"a?": ["😀 ?"]}


THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
WEATHER = {**CALL, "input": {"city": "Paris"}}
SENT_BACK: dict[str, tuple[list[dict[str, Any]], Any]] = {
    "a text": ([{"type": "text", "text": "Hi"}], "Hi"),
    "two texts": ([{"type": "text", "text": "a "}, {"type": "text", "text": "b"}], "a b"),
    "no word": ([{"type": "text", "text": " \n"}], ""),
    "nothing": ([], ""),
    "thinking alone": ([THINKING], []),
    "thinking and a text": ([THINKING, {"type": "text", "text": "Hi"}], [THINKING, {"type": "text", "text": "Hi"}]),
    "thinking at the end": ([{"type": "text", "text": "Hi"}, THINKING], [{"type": "text", "text": "Hi"}]),
    "a blank text and a call": ([THINKING, {"type": "text", "text": "\n"}, WEATHER], [THINKING, WEATHER]),
    "citations": ([{"type": "text", "text": "Hi", "citations": [{}]}],
                  [{"type": "text", "text": "Hi", "citations": [{}]}]),
    "an unknown kind": ([{"type": "hologram"}], [{"type": "hologram"}]),
}  # fmt: skip


@pytest.mark.parametrize("case", SENT_BACK)
def test_what_the_api_refuses_is_not_sent_back(case: str) -> None:
    blocks, expected = SENT_BACK[case]
    assert content_blocks.to_send_back(blocks) == expected


def test_whole_blocks_are_shown_as_they_arrived() -> None:
    blocks = [THINKING, {"type": "text", "text": "Hi"}, WEATHER]
    assert [(piece.kind, piece.text) for piece in content_blocks.pieces(blocks)] == [
        ("thinking", "Hm."), ("thinking", ""), ("text", "Hi"), ("tool_use", ""),
    ]  # fmt: skip
