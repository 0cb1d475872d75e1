"""Count the calls of a run that failed, and say why in the words of Claude."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.evaluation.calls import Call

# A report names at most so many reasons.
_MOST_REASONS = 3


class FailedCalls:
    """The calls for replies that failed. `sentences` has the reason of each failed request, by its hash."""

    def __init__(self) -> None:
        self.sentences: dict[str, str] = {}
        self._missing: Counter[str] = Counter()

    def add(self, calls: Sequence[Call], replies: Mapping[str, int], failures: Mapping[str, str]) -> None:
        """Count calls. `replies` is how many replies came to each request, `failures` why requests failed, by hash."""
        self.sentences |= failures
        for request_hash, number in Counter(call.request_hash for call in calls).items():
            if request_hash in failures:
                self._missing[failures[request_hash]] += number - replies.get(request_hash, 0)

    def notes(self, judge_errors: Sequence[str]) -> list[str]:
        """Return a sentence for each reason why replies, or verdicts of judges, are missing, the most frequent first.

        `judge_errors` has the reason of each missing verdict.
        """
        calls = [
            f"{number} {'reply is' if number == 1 else 'replies are'} missing: {reason}"
            for reason, number in self._missing.most_common()
            if number
        ]
        verdicts = [
            f"{number} {'reply has' if number == 1 else 'replies have'} no verdict: {reason}"
            for reason, number in Counter(judge_errors).most_common()
        ]
        return _first(calls, "replies are missing") + _first(verdicts, "verdicts are missing")


def _first(notes: Sequence[str], what: str) -> list[str]:
    more = len(notes) - _MOST_REASONS
    return [*notes[:_MOST_REASONS], *([f"{more} more reasons why {what}"] if more > 0 else [])]
