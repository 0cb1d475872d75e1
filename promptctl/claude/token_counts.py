"""Count the input tokens of calls with Claude's own count_tokens, and what each part of a call takes.

A part takes the difference between two counts: with the part and without it. The counts of all calls are made beside
each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import threads
from promptctl.claude import sdk_arguments
from promptctl.records import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.claude.api import Claude

    Keywords = Mapping[str, Any]

# Claude counts no call without a message.
_MESSAGE = {"role": "user", "content": "x"}
_TOOLS = ("tools", "tool_choice")
_PARTS = ("model", "max_tokens", "system", "messages", *_TOOLS, *sdk_arguments.OF_CALL)


class InputParts(Record):
    """The input tokens that a version adds to each call, by part: they do not include the caller's messages.

    `few_shot` are the messages of the version, `other` what its other parameters add, such as the schema of a
    structured output. `cacheable` are the tokens before the breakpoint, None without one.
    """

    tools: int
    system: int
    few_shot: int
    other: int
    cacheable: int | None

    @property
    def total(self) -> int:
        """The sum of the parts."""
        return self.tools + self.system + self.few_shot + self.other


def count_parts(claude: Claude, calls: Sequence[Keywords], report: Callable[[str], None]) -> list[InputParts]:
    """Return the parts of each call. A call is the keywords of `messages.create`, without messages of a caller.

    `report` gets a message before a count is repeated. Raises ClaudeFailed.
    """
    steps = [_steps(call) for call in calls]
    counts = [_Count(claude, keywords, report) for call_steps in steps for keywords in call_steps]
    _run(counts)
    tokens = [count.tokens for count in counts]
    parts: list[InputParts] = []
    for call, call_steps in zip(calls, steps, strict=True):
        own, tokens = tokens[: len(call_steps)], tokens[len(call_steps) :]
        parts.append(_parts(call, own))
    return parts


def _steps(call: Keywords) -> list[Keywords]:
    """Return the keywords of the counts of one call: with no part, then with one more part each.

    The order is that in which Claude caches the parts. At the end is the count up to the breakpoint, if there is one.
    """
    # Each count is made as the call would be: a header may name the API that knows a tool.
    of_call = {key: call[key] for key in sdk_arguments.OF_CALL if key in call}
    step: dict[str, Any] = {"model": call["model"], "messages": [_MESSAGE], **of_call}
    steps: list[Keywords] = [step]
    with_tools = step
    if "tools" in call:
        with_tools = step | {key: call[key] for key in _TOOLS if key in call}
        steps.append(with_tools)
    steps.append(with_tools | {"system": call["system"]})
    if call["messages"]:
        steps.append({**steps[-1], "messages": [*call["messages"], _MESSAGE]})
    if any(key not in _PARTS for key in call):
        steps.append({**call, "messages": [*call["messages"], _MESSAGE]})
    if _has_breakpoint(call):
        steps.append(with_tools | {"system": call["system"][:1]})
    return steps


def _parts(call: Keywords, counts: Sequence[int]) -> InputParts:
    """Return the parts of a call from the counts of its steps."""
    remaining = list(counts)
    base = last = remaining.pop(0)

    def difference(*, is_counted: bool) -> int:
        nonlocal last
        if not is_counted:
            return 0
        before, last = last, remaining.pop(0)
        return last - before

    tools = difference(is_counted="tools" in call)
    system = difference(is_counted=True)
    few_shot = difference(is_counted=bool(call["messages"]))
    other = difference(is_counted=any(key not in _PARTS for key in call))
    return InputParts(tools, system, few_shot, other, remaining.pop(0) - base if _has_breakpoint(call) else None)


def _has_breakpoint(call: Keywords) -> bool:
    return not isinstance(call["system"], str)


class _Count:
    """One count, which a thread makes. `problem` is the exception that ended it."""

    def __init__(self, claude: Claude, keywords: Keywords, report: Callable[[str], None]) -> None:
        self.tokens = 0
        self.problem: Exception | None = None
        self._claude = claude
        self._keywords = keywords
        self._report = report

    def run(self) -> None:
        try:
            self.tokens = self._claude.count_tokens(self._keywords, self._report)
        except Exception as problem:  # noqa: BLE001 - `_run` raises it
            self.problem = problem


def _run(counts: Sequence[_Count]) -> None:
    """Make all counts at the same time. Raises the first exception of them."""
    threads.run_all([count.run for count in counts])
    for count in counts:
        if count.problem is not None:
            raise count.problem
