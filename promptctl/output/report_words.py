"""The words and numbers of a report of prompts: dates, amounts, moves and versions. Pure.

Dates are in UTC and have English names of months in every locale, so the same data give the same report.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from promptctl.output import stream, table_layout, time_text
from promptctl.rules import report_periods, shares
from promptctl.rules.references import short_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from promptctl.rules.report_periods import ReportPeriod
    from promptctl.store.report_states import ReportMove, ReportState

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_FIRST = datetime(1970, 1, 1, tzinfo=timezone.utc)
# A reason has up to 2 000 characters.
_MOST_CHARACTERS = 300
_TICKS = {
    report_periods.HOUR: (1, 2, 3, 6, 12, 24),
    report_periods.DAY: (1, 2, 7, 14, 28),
    report_periods.WEEK: (1, 2, 4, 8, 13, 26, 52, 104),
}
_MOST_TICKS = 7
_DAYS_FROM_MONDAY = 3


def date(moment: int, *, year: bool = False) -> str:
    """Return the day of seconds since 1970: `24 Nov`, or `24 Nov 2026`."""
    day = _FIRST + timedelta(seconds=moment)
    return f"{day.day} {_MONTHS[day.month - 1]}{f' {day.year}' if year else ''}"


def minute(time: str) -> str:
    """Return RFC 3339 as `2026-11-24 10:30`."""
    return f"{time[:10]} {time[11:16]}"


def on(time: str) -> str:
    """Return RFC 3339 as `on 2026-11-24 at 10:30 UTC`."""
    return f"on {time[:10]} at {time[11:16]} UTC"


def span(period: ReportPeriod) -> str:
    """Return a period: `1 Nov to 30 Nov 2026`; one that does not begin and end with a day has times."""
    begin, end = period.begin, period.end
    if period.is_running and period.step != report_periods.HOUR:
        # The running week ends in the future.
        end = min(end, -(-period.recent_end // report_periods.DAY) * report_periods.DAY)
    if begin % report_periods.DAY or end % report_periods.DAY:
        return f"{date(begin, year=True)} {_clock(begin)} to {date(end, year=True)} {_clock(end)} UTC"
    return f"{date(begin, year=True)} to {date(end - 1, year=True)}, UTC"


def step(period: ReportPeriod, place: int) -> str:
    """Return a step of a period: `on 24 Nov`, `on 24 Nov at 13:00`, `in the week from 24 Nov`."""
    moment = period.begin + place * period.step
    if period.step == report_periods.HOUR:
        return f"on {date(moment)} at {_clock(moment)}"
    return f"on {date(moment)}" if period.step == report_periods.DAY else f"in the week from {date(moment, year=True)}"


def last_day(period: ReportPeriod) -> str:
    """Return the last 24 hours in words. Those of a period in the past are not the last ones of the reader."""
    return "the last 24 hours" if period.is_running else f"the 24 hours until {end_of_last_day(period)}"


def end_of_last_day(period: ReportPeriod) -> str:
    """Return the end of the last 24 hours: `30 Nov, 15:00 UTC`."""
    return f"{date(period.recent_end)}, {period.recent_end // 3600 % 24:02}:00 UTC"


def needs_prices() -> str:
    """Return the sentence about costs where no prices are installed."""
    from promptctl import requirements

    install = requirements.install_extra("chat")
    return f'costs need the extra "chat" of promptctl, which is not installed: {install}'


def ticks(period: ReportPeriod) -> list[tuple[float, str]]:
    """Return the labels of the time axis, at most eight, with their places from 0 to 1."""
    steps = period.steps
    every = next((one for one in _TICKS[period.step] if steps / one <= _MOST_TICKS), _TICKS[period.step][-1])
    offset = period.begin // period.step
    if period.step == report_periods.DAY:
        offset += _DAYS_FROM_MONDAY
    if period.step == report_periods.WEEK:
        offset = (period.begin // report_periods.DAY + _DAYS_FROM_MONDAY) // 7
    labels: list[tuple[float, str]] = []
    for place in range(steps):
        if (place + offset) % every == 0:
            moment = period.begin + place * period.step
            is_time = period.step == report_periods.HOUR and moment % report_periods.DAY
            label = _clock(moment) if is_time else date(moment, year=period.step == report_periods.WEEK)
            labels.append((place / steps, label))
    return labels


def count(number: float) -> str:
    """Return a number of uses or tokens: `12,040`, `2.4`."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:,.3g}M" if number < 1_000_000_000 else f"{number / 1_000_000_000:,.3g}G"
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.2g}"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: `1 move`, `1,200 moves`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent(part: float) -> str:
    """Return a part of 1: `0.04%`, `2.5%`, `12%`, `100%`."""
    value = 100 * part
    if value >= 9.95 or value == 0:
        return f"{value:.1f}".removesuffix(".0") + "%" if value < 99.95 else "100%"
    return f"{value:.2g}%"


def money(dollars: float) -> str:
    """Return an amount in US dollars with two digits or more, small ones too: `$12.40`, `$0.0042`, `$0.000013`."""
    if 0 < dollars < 0.0001:
        return f"${dollars:.7f}".rstrip("0") if dollars >= 1e-7 else "<$0.0000001"
    return table_layout.money(dollars)


def score(number: float) -> str:
    """Return a score with three digits: `0.812`, `4.21`."""
    return f"{number:.3f}" if abs(number) < 10 else f"{number:.1f}"


duration = time_text.brief


def commit(origin: Mapping[str, Any] | None) -> str:
    """Return the commit of an origin: `9f3c2ab`, `9f3c2ab, not committed`; '' without one."""
    if not origin or not origin.get("commit"):
        return ""
    return short_hash(str(origin["commit"])) + (", not committed" if origin.get("dirty") else "")


def cut(text: str, most: int = _MOST_CHARACTERS) -> str:
    """Return a text on one line without control characters, cut at some characters."""
    return stream.one_line(text if len(text) <= most else text[: most - 1] + "…")


def what(move: ReportMove) -> str:
    """Return what a move did, in a few words."""
    if move.kind == "split":
        share = shares.percent(move.basis_points)
        return f"split, {share} to {move.candidate_version} and the rest to {move.version}"
    if move.kind == "unsplit":
        return f"unsplit, {move.version} alone"
    if move.kind == "route":
        return f"route of {counted(move.route_steps, 'step')}" if move.route_steps else "no route"
    return f"{move.kind} {move.previous_version or 'none'} → {move.version or 'none'}"


def why(move: ReportMove, most: int = _MOST_CHARACTERS) -> str:
    """Return why a move was made: its release, its reason, cut at some characters, and its commit; '' without them."""
    parts = ["" if move.release is None else f"release {move.release}", cut(move.reason or "", most)]
    source = commit(move.origin)
    # The reason of a sync names it already.
    parts.append(f"commit {source}" if source and source not in (move.reason or "") else "")
    return ", ".join(part for part in parts if part)


def served(state: ReportState) -> str:
    """Return what a prompt served at the end of the period: `@3`, `@3 | @4 10%`, `none`, `archived`."""
    if state.archived_at is not None:
        return "archived"
    if state.active_version is None:
        return "none"
    if state.candidate_version is None:
        return f"@{state.active_version}"
    return f"@{state.active_version} | @{state.candidate_version} {shares.percent(state.basis_points)}"


def live(state: ReportState, *, is_running: bool) -> str:
    """Return what a prompt served at the end of the period, as a sentence. `is_running` is whether that is now."""
    has = "has" if is_running else "had"
    if state.created_at is not None:
        return f"The prompt was created after this period, {on(state.created_at)}."
    if state.archived_at is not None:
        by = "" if state.changed_by is None else f" by {stream.one_line(state.changed_by)}"
        return f"Archived {on(state.archived_at)}{by}. It serves nothing."
    if state.active_version is None:
        if state.moved_at is None:
            return f"No version {has} been active yet."
        return f"No version {has} been active{_since(state)}."
    sentence = f"Version {state.active_version} {has} been active{_since(state)}"
    if commit(state.origin):
        sentence += f", from commit {commit(state.origin)}"
    extra = ["" if state.release is None else f"release {state.release}", cut(state.reason or "")]
    reason = ", ".join(part for part in extra if part)
    sentence += f" ({reason})." if reason else "."
    if state.candidate_version is not None:
        since = "" if state.changed_at is None else f" since {minute(state.changed_at)} UTC"
        share = shares.percent(state.basis_points)
        sentence += f" Version {state.candidate_version} {has} been getting {share} of the units{since}."
    if state.route_steps:
        sentence += f" A route of {counted(state.route_steps, 'step')} {'is' if is_running else 'was'} tried first."
    return sentence


def _since(state: ReportState) -> str:
    if state.moved_at is None:
        return ""
    return f" since {minute(state.moved_at)} UTC, by {stream.one_line(state.author or '')}"


def _clock(moment: int) -> str:
    return f"{moment // 3600 % 24:02}:{moment // 60 % 60:02}"
