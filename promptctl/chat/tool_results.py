"""Collect the results of the tools that a reply calls, and make the message that answers all calls. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CANCELLED = "The user cancelled this call."


class ToolResults:
    """The results for the calls of one reply. Claude expects all of them in the next message, by the ids of the calls.

    `is_cancelled` is whether a message takes the place of results.
    """

    def __init__(self, calls: Sequence[Mapping[str, Any]]) -> None:
        self._calls = calls
        self._results: list[dict[str, Any]] = []
        self.is_cancelled = False

    @property
    def waiting(self) -> Mapping[str, Any] | None:
        """The first call that has no result yet, None if all have one."""
        return self._calls[len(self._results)] if len(self._results) < len(self._calls) else None

    @property
    def position(self) -> str:
        """Which of the calls is waiting, `2/3`; '' if there is only one call."""
        return f"{len(self._results) + 1}/{len(self._calls)}" if len(self._calls) > 1 else ""

    def add(self, text: str, *, is_error: bool = False) -> None:
        """Add the result of the waiting call, which may be the message of an error."""
        assert self.waiting is not None
        self._results.append(result(self.waiting, text, is_error=is_error))

    def cancel(self) -> None:
        """Cancel the calls without a result."""
        while self.waiting is not None:
            self.add(_CANCELLED, is_error=True)
        self.is_cancelled = True

    def content(self, message: str = "") -> list[dict[str, Any]]:
        """Return the content of the next message: the results, then `message` if it is not empty."""
        return [*self._results, {"type": "text", "text": message}] if message else self._results


def result(call: Mapping[str, Any], text: str, *, is_error: bool = False) -> dict[str, Any]:
    """Return the block with the result of a call. An empty text is a result without content."""
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": call["id"]}
    if text:
        block["content"] = text
    if is_error:
        block["is_error"] = True
    return block
