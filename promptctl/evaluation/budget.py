"""What the calls of a run cost, and the limit that they must not exceed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from promptctl import errors
from promptctl.claude import prices
from promptctl.records import Record
from promptctl.rules.test_replies import canonical_json
from promptctl.rules.tokens import count, first_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from promptctl.records import Timestamp

# What is around the texts of a call, and the instructions that Claude adds for tools.
_FRAME_TOKENS = 1000


class TokensUsed(Record):
    """The tokens of one call. `input` is all of the input, with both cached parts."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0


class Budget:
    """The costs of a run so far, and the limit. `spent` is in US dollars, None once a call had no known price.

    A call that runs has its greatest possible cost reserved. So the costs never exceed the limit, whatever Claude
    returns. Results of tools that run at Claude, such as a web search, are not known beforehand and not counted.
    """

    def __init__(self, most: float | None, at: Timestamp, price_part: float = 1.0) -> None:
        """Allow costs up to `most` US dollars at the prices of the time `at`, any costs if it is None.

        `price_part` is the part of the price that each call costs, 0.5 in batches.
        """
        self.most = most
        self.spent: float | None = 0.0
        self.input_tokens = 0
        self.output_tokens = 0
        self.is_exhausted = False
        # The most that the last refused call could cost, None if that is not known, and its max_tokens.
        self.refused: tuple[float | None, int] = (None, 0)
        self._at = at
        self._price_part = price_part
        self._reserved = 0.0
        self._are_prices_installed = prices.are_installed()

    def check_models(self, models: Iterable[str]) -> None:
        """Raise Refused (`price_unknown`) if there is a limit and one of the models has no known price."""
        if self.most is None:
            return
        for model in models:
            if self.cost(model, TokensUsed(1, 1)) is None:
                raise errors.Refused(
                    "price_unknown",
                    f"the price of {model} is not known, so its calls cannot be limited to a cost",
                    hint="run the command without --max-cost, or choose another model with --model",
                )

    def check_requests(self, requests: Iterable[Mapping[str, Any]]) -> None:
        """Raise Refused (`price_unknown`) if there is a limit and a request names a document or an image to fetch."""
        if self.most is not None and any(map(has_referenced_media, requests)):
            raise errors.Refused(
                "price_unknown",
                "a document or an image that Claude fetches by a URL or a file_id has an unknown number of tokens, so "
                "its calls cannot be limited to a cost",
                hint="run the command without --max-cost, or put the data into the case in base64",
            )

    def cost(
        self, model: str, tokens: TokensUsed, *, writes_for_an_hour: bool = False, price_part: float | None = None
    ) -> float | None:
        """Return what a call costs in US dollars, None if the model has no known price.

        `price_part` replaces that of the budget, for a call that was made in another way.
        """
        if not self._are_prices_installed:
            return None
        total = prices.cost_usd(
            model, tokens.input, tokens.output, tokens.cache_read, tokens.cache_write, self._at,
            writes_for_an_hour=writes_for_an_hour,
        )  # fmt: skip
        return None if total is None else total * (self._price_part if price_part is None else price_part)

    def call_cost(
        self,
        keywords: Mapping[str, Any] | None,
        model: str,
        tokens: TokensUsed,
        *,
        usage: object = None,
        price_part: float | None = None,
    ) -> float | None:
        """Return what a call with these keywords of `messages.create` cost, None if the model has no known price.

        `usage` is Claude's own record. It says how long what was written to the cache lives, also where the keywords
        are not known.
        """
        details = first_field(usage, "cache_creation")
        for_an_hour = count(details, "ephemeral_1h_input_tokens")
        is_hour = bool(for_an_hour) if for_an_hour is not None else '"ttl":"1h"' in canonical_json(keywords)
        return self.cost(model, tokens, writes_for_an_hour=is_hour, price_part=price_part)

    def reserve(self, keywords: Mapping[str, Any]) -> float | None:
        """Reserve the most that a call can cost, and return it. None if that could exceed the limit.

        Without a limit the result is 0.0. With one, a reply of another model than the requested one, whose price is not
        known, is the last reply.
        """
        if self.most is None:
            return 0.0
        greatest = self.greatest_cost(keywords)
        if greatest is None or self.spent is None or self.spent + self._reserved + greatest > self.most:
            self.refused = greatest, int(keywords["max_tokens"])
            return None
        self._reserved += greatest
        return greatest

    def greatest_cost(self, keywords: Mapping[str, Any]) -> float | None:
        """Return the most that a call can cost: a token for each byte of the input, and all of `max_tokens`.

        None if it is not known: for a model without a price, and for a document or an image that Claude fetches.
        """
        if has_referenced_media(keywords):
            return None
        size = len(canonical_json(keywords).encode("utf-8", "surrogatepass")) + _FRAME_TOKENS
        writes = '"cache_control"' in canonical_json(keywords)
        tokens = TokensUsed(size, int(keywords["max_tokens"]), 0, size if writes else 0)
        return self.cost(str(keywords["model"]), tokens, writes_for_an_hour=writes)

    def settle(self, reserved: float, cost: float | None, tokens: TokensUsed) -> None:
        """Count a call that ended, with what it cost, in the place of what was reserved for it."""
        self._reserved -= reserved
        self.input_tokens += tokens.input
        self.output_tokens += tokens.output
        if cost is None:
            # A call that was rejected has no tokens and costs nothing, whatever the model.
            self.spent = self.spent if tokens == (0, 0, 0, 0) else None
        elif self.spent is not None:
            self.spent += cost


def has_referenced_media(keywords: Mapping[str, Any]) -> bool:
    """Return whether a request has a document or an image by its URL or its `file_id`, whose size is not known."""
    pending: list[Any] = [keywords.get("system"), keywords.get("messages")]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += cast("list[Any]", value)
        elif isinstance(value, dict):
            block = cast("dict[str, Any]", value)
            if block.get("type") in ("url", "file") or "file_id" in block:
                return True
            # What a model or a tool was given is data, not blocks.
            pending += [block.get("content"), block.get("source")]
    return False
