"""The report of a rollout for a browser."""

from __future__ import annotations

from promptctl.output import rollout_page
from promptctl.store.rollouts import RolloutEvent


def test_a_pause_is_no_change_of_the_share() -> None:
    events = [
        RolloutEvent(kind, share, None, "ada@example.com", f"2026-11-26T01:{minute:02}:00Z")
        for minute, (kind, share) in enumerate(
            [("start", 1000), ("pause", 1000), ("resume", 1000), ("advance", 2500), ("pause", 4000)]
        )
    ]
    assert rollout_page.share_changes(events) == [
        ("2026-11-26T01:00:00Z", "10%"), ("2026-11-26T01:03:00Z", "25%"), ("2026-11-26T01:04:00Z", "40%"),
    ]  # fmt: skip
