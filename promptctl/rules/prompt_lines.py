"""The prompts as `promptctl top` lists them: what each serves, its uses of the last minutes, and the order. Pure."""

from __future__ import annotations

from promptctl.records import Record
from promptctl.rules.use_window import Tally, UseCounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from promptctl.records import Timestamp
    from promptctl.rules.use_window import Prices, TokensRow

SORT_KEYS = ("uses", "errors", "p95", "cost", "moved", "name")


class ServedPrompt(Record):
    """What a prompt serves, and its last move. The fields `move_…`, `moved_…` are None if it never moved.

    `candidate_version` is None if no split runs, and `basis_points` is its share of 10 000. `rollout` is the number of
    the open rollout, or None, and `rollout_state` is running or paused. `move_kind` is a kind of `HistoryEvent`.
    """

    name: str
    active_version: int | None
    candidate_version: int | None
    basis_points: int
    route_steps: int
    rollout: int | None
    rollout_state: str | None
    move_kind: str | None
    move_from: int | None
    move_to: int | None
    move_candidate: int | None
    move_basis_points: int | None
    moved_at: Timestamp | None
    moved_by: str | None
    move_reason: str | None


class PromptLine(Record):
    """A prompt with its uses of the last minutes.

    `p95_response_time_ms` is None if no successful use reported its time. `with_tokens` counts the uses that reported
    tokens. `cost_per_hour_usd` is None without such uses, and if the price of any of them is not known.
    """

    prompt: ServedPrompt
    uses: int
    errors: int
    p95_response_time_ms: float | None
    with_tokens: int
    cost_per_hour_usd: float | None


def lines(
    prompts: Iterable[ServedPrompt], totals: Mapping[str, Tally], prices: Prices, seconds: float
) -> list[PromptLine]:
    """Return a line for each prompt. `seconds` is the length of the window, for the cost of an hour."""
    nothing = Tally()
    return [
        _line(prompt, tally, tally.uses, tally.errors, tally.p95_ms(), prices, seconds)
        for prompt in prompts
        for tally in [totals.get(prompt.name, nothing)]
    ]


def lines_of_counts(
    prompts: Iterable[ServedPrompt],
    counts: Iterable[UseCounts],
    tokens: Iterable[TokensRow],
    prices: Prices,
    seconds: float,
) -> list[PromptLine]:
    """Return a line for each prompt, as `lines`, from counts and tokens that the database has added up."""
    by_name = {count.name: count for count in counts}
    spent: dict[str, Tally] = {}
    for row in tokens:
        if row.name not in spent:
            spent[row.name] = Tally()
        spent[row.name].add_tokens(row)
    nothing = Tally()
    return [
        _line(prompt, spent.get(prompt.name, nothing), count.uses, count.errors, count.p95_response_time_ms, prices,
              seconds)
        for prompt in prompts
        for count in [by_name.get(prompt.name) or UseCounts(prompt.name, 0, 0, None)]
    ]  # fmt: skip


def _line(
    prompt: ServedPrompt, spent: Tally, uses: int, errors: int, p95: float | None, prices: Prices, seconds: float
) -> PromptLine:
    cost = spent.cost_usd(prices)
    return PromptLine(prompt, uses, errors, p95, spent.with_tokens, None if cost is None else cost / seconds * 3600)


def ordered(unordered: Sequence[PromptLine], key: str, *, is_reversed: bool = False) -> list[PromptLine]:
    """Return the lines in the order of one of SORT_KEYS, and by name where they are equal.

    Names ascend, everything else descends, so that what needs attention is first. A value that is missing is last, in
    both directions.
    """
    by_name = sorted(unordered, key=lambda line: line.prompt.name)
    if key == "name":
        return by_name[::-1] if is_reversed else by_name
    present = [line for line in by_name if _sorted_value(line, key) is not None]
    missing = [line for line in by_name if _sorted_value(line, key) is None]
    present.sort(key=lambda line: _sorted_value(line, key), reverse=not is_reversed)
    return present + missing


def _sorted_value(line: PromptLine, key: str) -> Any:
    if key == "moved":
        # Without the Z, the order of texts is that of times.
        return None if line.prompt.moved_at is None else line.prompt.moved_at.removesuffix("Z")
    return {
        "uses": line.uses, "errors": line.errors, "p95": line.p95_response_time_ms, "cost": line.cost_per_hour_usd,
    }[key]  # fmt: skip
