"""Sentences about the rollback of a release that need no database."""

from __future__ import annotations

import pytest

from promptctl.output import release_view, stream
from promptctl.store.releases import ReleaseReversal


@pytest.mark.parametrize(
    ("split_ended", "route_changed", "done", "planned"),
    [
        (True, False, "ended the split of bot in prod: all units get version 1",
         "would end the split of bot in prod: all units would get version 1"),
        (True, True, "ended the split of bot in prod: all units get version 1; restored its route",
         "would end the split of bot in prod: all units would get version 1; would also restore its route"),
        (False, True, "restored the route of bot in prod", "would restore the route of bot in prod"),
    ],
)  # fmt: skip
def test_a_rollback_without_a_move_says_what_it_changed(
    monkeypatch: pytest.MonkeyPatch, split_ended: bool, route_changed: bool, done: str, planned: str
) -> None:
    written: list[str] = []
    monkeypatch.setattr(stream, "write", written.append)
    change = ReleaseReversal("bot", 1, 1, True, False, split_ended, route_changed, 5, 7)
    for dry_run in (False, True):
        release_view.show_rollback([change], 4, "prod", "json", dry_run=dry_run)
    assert [f'"message": "{sentence}"' in text for sentence, text in zip((done, planned), written, strict=True)] == [
        True,
        True,
    ], written
