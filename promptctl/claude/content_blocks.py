"""Assemble the content blocks of a reply from the events of its stream. Pure.

Blocks of every kind are kept as Claude sent them, because a conversation sends them back: a thinking block with its
signature, a call of a tool with its id. https://docs.claude.com/en/api/messages-streaming has the events.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

from promptctl.records import Record
from promptctl.rules import json_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

TEXT, THINKING, REDACTED_THINKING, CALL = "text", "thinking", "redacted_thinking", "tool_use"
# The field of a block that the deltas of this kind continue.
_CONTINUED = {"text_delta": "text", "thinking_delta": "thinking"}
_INPUT_DELTA = "input_json_delta"
# A file of a conversation has a block on its fifth level, and is read up to this depth of the whole document.
_MOST_LEVELS = json_documents.DEEPEST - 4


class InvalidBlock(ValueError):
    """A block cannot be kept. The text of the exception says why."""


class Piece(Record):
    """A piece of a reply, to show while it arrives.

    `kind` is the type of its block. `text` is the next part of a text or of thinking. `block` is the whole block, at
    the end of any block that is not a text. A piece with neither is the beginning of a call.
    """

    kind: str
    text: str
    block: dict[str, Any] | None = None


class ContentBlocks:
    """The content blocks of a reply, built from the events of its stream.

    The methods raise InvalidBlock for a block that no file of a conversation can contain: it is nested too deeply, or
    has a number that is not finite. NUL characters and lone surrogates become question marks.
    """

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._by_index: dict[int | None, _Block] = {}

    def start(self, index: int | None, content: object) -> Iterator[Piece]:
        """Begin the block of an event `content_block_start`. Yield its first text, or that a call begins."""
        if not isinstance(content, dict):
            return
        # The end of a block is its event `content_block_stop`, but some servers leave that out.
        yield from self.end()
        block = _Block({**cast("dict[str, Any]", content)})
        self._blocks.append(block)
        self._by_index[index] = block
        field = kind_of(block.content)
        if field in (TEXT, THINKING):
            first, block.content[field] = block.content.get(field), ""
            yield from block.add_text(field, first)
        elif field == CALL:
            yield Piece(CALL, "")

    def add(self, index: int | None, delta: Mapping[str, Any]) -> Iterator[Piece]:
        """Add an event `content_block_delta` to its block, and yield its text."""
        kind = delta.get("type")
        field = _CONTINUED.get(kind) if isinstance(kind, str) else None
        block = self._by_index.get(index)
        if block is None or (field is not None and block.content.get("type") != field):
            if field is None:
                return
            # Some servers send no event for the beginning of a text.
            yield from self.start(index, {"type": field, field: ""})
            block = self._by_index[index]
        if field is not None:
            yield from block.add_text(field, delta.get(field))
        elif kind == _INPUT_DELTA:
            block.add_input(delta.get("partial_json"))
        elif kind == "citations_delta":
            block.add_citation(delta.get("citation"))
        else:
            block.merge(delta)

    def stop(self, index: int | None) -> Iterator[Piece]:
        """End the block of an event `content_block_stop`, and yield the piece for it."""
        if (block := self._by_index.pop(index, None)) is not None:
            yield from block.end()

    def end(self) -> Iterator[Piece]:
        """End every block that has not ended, at the end of the reply."""
        for index in [*self._by_index]:
            yield from self.stop(index)

    def so_far(self) -> list[dict[str, Any]]:
        """Return the blocks in order: those that have ended, and the texts that have not."""
        return [block.so_far() for block in self._blocks if block.has_ended or block.content.get("type") == TEXT]


class _Block:
    """A block while it arrives. `content` is the block as Claude sent it, with what was added to it."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content
        self.has_ended = False
        # The parts of a text, or of the arguments of a call. Joined at the end, because that takes linear time.
        self._parts: list[str] = []
        # The first half of a surrogate pair, until the next text brings the other half.
        self._high_surrogate = ""

    def add_text(self, field: str, text: object) -> Iterator[Piece]:
        """Add a part of the block's text, and yield it. A value that is not a text is ignored."""
        if text and isinstance(text, str):
            clean, self._high_surrogate = _storable(self._high_surrogate + text)
            if clean:
                self._parts.append(clean)
                yield Piece(field, clean)

    def add_input(self, partial_json: object) -> None:
        """Add a part of the arguments of a call, which arrive as JSON text."""
        if isinstance(partial_json, str) and self.content.get("type") not in (TEXT, THINKING):
            self._parts.append(partial_json)

    def add_citation(self, citation: object) -> None:
        """Add a source of the text."""
        before = self.content.get("citations")
        self.content["citations"] = [*(cast("list[Any]", before) if isinstance(before, list) else ()), citation]

    def merge(self, delta: Mapping[str, Any]) -> None:
        """Add a delta of a kind that we do not know: texts and lists become longer, other values are replaced."""
        kind = kind_of(self.content)
        for name, value in delta.items():
            before = self.content.get(name)
            # A text has its own deltas.
            if name == "type" or (name == kind and kind in (TEXT, THINKING)):
                continue
            # There is one signature, and its last report is the whole of it.
            if isinstance(value, str) and isinstance(before, str) and name != "signature":
                self.content[name] = before + value
            elif isinstance(value, list) and isinstance(before, list):
                self.content[name] = [*cast("list[Any]", before), *cast("list[Any]", value)]
            else:
                self.content[name] = value

    def so_far(self) -> dict[str, Any]:
        """Return the block with what has arrived of it."""
        text = "".join(self._parts)
        kind = kind_of(self.content)
        if kind in (TEXT, THINKING):
            return {**self.content, kind: self.content[kind] + text}
        return {**self.content, "input": _parsed_input(text)} if text.strip() else self.content

    def end(self) -> Iterator[Piece]:
        """End the block. Yield the half of a surrogate pair that is left, or the whole block if it is not a text."""
        kind = kind_of(self.content)
        if self._high_surrogate and kind in (TEXT, THINKING):
            self._high_surrogate = ""
            self._parts.append("?")
            yield Piece(kind, "?")
        self.content = _clean(self.so_far(), 1)
        self._parts.clear()
        self.has_ended = True
        if kind != TEXT:
            yield Piece(kind, "", self.content)


def kind_of(block: Mapping[str, Any]) -> str:
    """Return the type of a block; '' for one without a type, or whose type is not a text."""
    kind = block.get("type")
    return kind if isinstance(kind, str) else ""


def pieces(blocks: Sequence[dict[str, Any]]) -> Iterator[Piece]:
    """Yield the pieces of whole blocks, for a reply that is shown at its end."""
    for block in blocks:
        kind = kind_of(block)
        if kind in (TEXT, THINKING) and block.get(kind):
            yield Piece(kind, block[kind])
        if kind != TEXT:
            yield Piece(kind, "", block)


def calls(blocks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the calls of tools among blocks that wait for a result, without those that were cut in their arguments."""
    return [block for block in blocks if block.get("type") == CALL and is_whole_call(block)]


def incomplete_calls(blocks: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the calls of tools among blocks that are not whole, because the reply was cut. They are not sent back."""
    return [block for block in blocks if block.get("type") == CALL and not is_whole_call(block)]


def without_calls(blocks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the blocks that are no calls of tools."""
    return [block for block in blocks if block.get("type") != CALL]


def is_whole_call(block: Mapping[str, Any]) -> bool:
    """Whether a call has an id, a name and an object with its arguments, so that it can have a result."""
    has_names = isinstance(block.get("id"), str) and isinstance(block.get("name"), str)
    return has_names and isinstance(block.get("input"), dict)


def to_send_back(blocks: Sequence[Mapping[str, Any]]) -> str | list[dict[str, Any]]:
    """Return the content of a reply for the next request: its text, or its blocks if it has more than a text.

    Claude's API refuses texts without a word, thinking at the end and calls without arguments, so these are left out.
    The result is '' or [] if nothing is left.
    """
    if all(block.get("type") == TEXT and not block.get("citations") for block in blocks):
        text = "".join(block["text"] for block in blocks)
        return text if text.strip() else ""
    kept = [dict(block) for block in blocks if _can_be_sent_back(block)]
    while kept and kept[-1].get("type") in (THINKING, REDACTED_THINKING):
        kept.pop()
    return kept


def _can_be_sent_back(block: Mapping[str, Any]) -> bool:
    kind = block.get("type")
    if kind == TEXT:
        return isinstance(block.get("text"), str) and bool(block["text"].strip())
    return is_whole_call(block) if kind == CALL else bool(kind_of(block))


def _storable(text: str) -> tuple[str, str]:
    """Return a text with "?" for each NUL and lone surrogate, and separately a high surrogate at its end, else ''.

    A JSON escape can be one half of a surrogate pair. The other half of a pair may be in the next event.
    """
    text = text.replace("\0", "?")
    if text.isascii():
        return text, ""
    half = text[-1] if "\ud800" <= text[-1] <= "\udbff" else ""
    # A round trip through UTF-16 joins the two halves of a pair. UTF-8 cannot encode the halves that are still alone.
    joined = text.removesuffix(half).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    return joined.encode("utf-8", "replace").decode(), half


def _parsed_input(text: str) -> Any:
    """Return the arguments of a call; the text itself if it is not JSON, for example because the reply was cut.

    Raises InvalidBlock.
    """
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except ValueError:
        return text
    except RecursionError:
        raise too_deep() from None


def too_deep() -> InvalidBlock:
    """Return the error for a block that is nested too deeply."""
    return InvalidBlock(f"a block is nested more than {_MOST_LEVELS} deep")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(digits)
    return value


def _clean(value: Any, level: int) -> Any:
    """Return a JSON value without NUL and lone surrogates, which no request and no file can contain.

    `level` is that of an object or a list. Raises InvalidBlock.
    """
    if isinstance(value, str):
        text, half = _storable(value) if value else ("", "")
        return text + ("?" if half else "")
    if isinstance(value, (dict, list)) and level > _MOST_LEVELS:
        raise too_deep()
    if isinstance(value, dict):
        return {_clean(key, level): _clean(item, level + 1) for key, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return [_clean(item, level + 1) for item in cast("list[Any]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidBlock("a block has a number that is not finite")
    return value
