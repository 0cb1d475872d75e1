"""The lines of the live screen at every width, without a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptctl.output import live_cells, live_view
from promptctl.output.text_width import columns_of
from promptctl.rules.prompt_lines import PromptLine, ServedPrompt
from promptctl.rules.use_window import Tally
from promptctl.store.recent_uses import Move

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from promptctl.output.live_table import Line

# 2026-11-30T10:00:00Z.
NOW = 1796032800.0
ESCAPES = "\x1b[31mmallory\x07\n\u202e"


def prompt(name: str, **fields: Any) -> ServedPrompt:
    known: dict[str, Any] = {
        "name": name, "active_version": 4, "candidate_version": None, "basis_points": 0, "route_steps": 0,
        "rollout": None, "rollout_state": None, "move_kind": "activate", "move_from": 3, "move_to": 4,
        "move_candidate": None, "move_basis_points": 0, "moved_at": "2026-11-30T09:55:00.5Z",
        "moved_by": "ada@example.com", "move_reason": None,
    }  # fmt: skip
    return ServedPrompt(**(known | fields))


LINES = [
    PromptLine(
        prompt("support/triage", candidate_version=7, basis_points=1000, rollout=3, rollout_state="paused"),
        12345, 67, 1234.5, 12000, 12.5,
    ),
    PromptLine(
        prompt(
            "x" * 199 + "y", move_kind="rollback", moved_at="2026-11-28T09:55:00Z", moved_by=ESCAPES,
            move_reason=f"INC-412 {ESCAPES}",
        ),
        20, 0, 350.0, 3, None,
    ),
    PromptLine(
        prompt("unused", active_version=None, move_kind=None, moved_at=None, moved_by=None), 0, 0, None, 0, None
    ),
]  # fmt: skip


def view(**fields: Any) -> live_cells.View:
    known: dict[str, Any] = {
        "label": "llm_app at db.prod", "minutes": 5, "now": NOW, "age_seconds": 1.0, "is_loaded": True,
        "lost_at": None, "problem": "", "hint": "", "cost_state": "known", "lines": LINES, "total": 3, "selected": 0,
        "first": 0,
        "sort": "uses", "is_reversed": False, "pattern": "", "is_typing": False, "shows_help": False, "opened": None,
        "offset": 0, "detail": None,
    }  # fmt: skip
    return live_cells.View(**(known | fields))


def text(lines: list[Line]) -> str:
    return "".join("".join(piece for piece, _ in line).rstrip() + "\n" for line in lines)


def detail() -> live_cells.Detail:
    tally = Tally()
    tally.uses, tally.errors, tally.with_tokens = 30, 3, 27
    tally.outcomes = {"overloaded_error": 2, f"odd{ESCAPES}": 1}
    tally.counts, tally.fastest_ms, tally.slowest_ms = {320: 27}, 900.0, 1100.0
    moves = [
        Move("split", 4, 4, 7, 1000, "2026-11-30T09:00:00Z", "ada@example.com", None),
        Move("activate", 3, 4, None, 0, "2026-11-29T09:00:00Z", ESCAPES, f"because {ESCAPES} " + "long " * 60),
    ]
    course = [0] * 27 + [1, 9, 20]
    return live_cells.Detail(
        "support/triage", moves, [7, 6, 5, 4, 3, 2, 1], {4: tally}, {4: 0.25}, tally, course, [0] * 29 + [3]
    )


def test_every_screen_matches_its_snapshot(snapshot: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    lost = {
        "lost_at": NOW - 70,
        "age_seconds": 72.0,
        "problem": "the connection to llm_app was lost",
        "hint": "promptctl db status",
    }
    stopped = lost | {
        "problem": f"the server in '/{'x' * 50}' was stopped; only a command starts it",
        "hint": "promptctl db start",
    }
    views = {
        "80 columns": (view(), 80), "160 columns": (view(), 160), "50 columns": (view(selected=1), 50),
        "40 columns": (view(), 40), "20 columns": (view(), 20), "prices are loading": (view(cost_state="loading"), 80),
        "lost": (view(**lost), 80), "lost, 20 columns": (view(**lost), 20),
        "lost before it was loaded": (view(**lost, is_loaded=False, lines=[], total=0), 80),
        "lost, a long reason": (view(**stopped), 80),
        "old data": (view(age_seconds=12.0), 80), "not loaded": (view(is_loaded=False, lines=[], total=0), 80),
        "no prompt": (view(lines=[], total=0), 80),
        "a filter": (view(lines=LINES[:1], pattern="tri"), 80),
        "another order": (view(sort="cost", is_reversed=True), 20), "the last move": (view(sort="moved"), 80),
        "no prices": (view(cost_state="missing"), 50),
        "a filter is typed": (view(lines=[], pattern="zzz", is_typing=True), 80),
        "help": (view(shows_help=True), 80), "help, 40 columns": (view(shows_help=True), 40),
        "one prompt": (view(opened="support/triage", detail=detail()), 80),
        "one prompt, 40 columns": (view(opened="support/triage", detail=detail()), 40),
        "one prompt, 30 columns": (view(opened="support/triage", detail=detail()), 30),
        "one prompt, scrolled": (view(opened="support/triage", detail=detail(), offset=16), 80),
        "one prompt that is not read": (view(opened="support/triage", **lost), 80),
    }  # fmt: skip
    shown = {name: text(live_view.screen(made, width, 22)) for name, (made, width) in views.items()}
    snapshot("".join(f"--- {name}\n{screen.rstrip()}\n" for name, screen in shown.items()), "cli/top-screens")
    assert not any(control in "".join(shown.values()) for control in "\x1b\x07\u202e")


def test_no_line_is_wider_or_taller_than_the_terminal() -> None:
    lost = view(lost_at=NOW, problem="why " * 40, hint="promptctl db start", cost_state="missing")
    for made in (
        view(),
        lost,
        view(shows_help=True),
        view(opened="support/triage", detail=detail()),
        view(pattern="x" * 99),
    ):
        for width in range(1, 130):
            lines = live_view.screen(made, width, 9)
            assert len(lines) == 9
            assert max(columns_of("".join(piece for piece, _ in line) or " ") for line in lines) <= width
    assert [len(live_view.screen(lost, 80, height)) for height in range(5)] == [0, 1, 2, 3, 4]
    # The table has as many rows as the loop of the screen counts, so that the selected one is among them.
    many = view(lines=LINES * 20, first=10, lost_at=NOW, problem="why " * 40, hint="promptctl db start")
    for height in range(9, 30):
        shown = text(live_view.screen(many, 40, height))
        assert shown.count("  67\n") + shown.count("  0\n") == live_view.rows(many, 40, height)


def test_a_long_time_keeps_its_unit() -> None:
    shown = [live_cells.milliseconds(value) for value in (None, 1.0, 125_000.0, 5_999_000.0, 1e12)]
    assert shown == ["-", "1 ms", "2 min 5 s", "2 h", "277778 h"]


def test_the_screen_says_why_it_has_no_prices() -> None:
    for width in (40, 80):
        shown = " ".join(text(live_view.screen(view(cost_state="missing", shows_help=True), width, 24)).split())
        assert 'costs need the extra "chat" of promptctl, which is not installed: ' in shown
