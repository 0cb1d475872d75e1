"""Draw which versions a prompt served over time: a step line of characters, as wide as the terminal."""

from __future__ import annotations

import os
import sys
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from promptctl.output import stream
from promptctl.records import Record
from promptctl.rules import move_times, shares

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from promptctl.store.history_events import ServedChange

# Versions that have a row of their own. The others share one.
_MOST_VERSIONS = 12
_FEWEST_COLUMNS = 8
_MARKDOWN_COLUMNS = 80
_LABEL_GAP = 3
_MINUTE, _DAY = 60, 86_400
_NOW = "now"
_NO_BREAK = "\N{NO-BREAK SPACE}"
_NONE, _OTHERS = "none", "others"


class Signs(Record):
    """The characters of a graph. `shades` are three, for a candidate with a growing share."""

    line: str
    upright: str
    up_from: str
    up_to: str
    down_from: str
    down_to: str
    crossing: str
    shades: str
    gap: str
    axis: str
    corner: str
    tick: str


UNICODE = Signs("━", "┃", "┛", "┏", "┓", "┗", "╋", "░▒▓", "·", "─", "└", "┴")
ASCII = Signs("=", "|", "+", "+", "+", "+", "#", ".:%", ".", "-", "+", "+")
_ROLLBACK = "R"


class _Segment(Record):
    """What a prompt serves from one change to the next one: times in seconds since 1970, places of versions."""

    begin: float
    end: float
    active: int | None
    candidate: int | None
    basis_points: int
    kind: str


def has_unicode() -> bool:
    """Whether the terminal and the locale can show more than ASCII. A pipe has no terminal, so the locale decides."""
    if stream.to_terminal() and os.environ.get("TERM") == "dumb":
        return False
    if sys.platform == "win32":
        return True
    locale = next((os.environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if os.environ.get(name)), "")
    return "utf-8" in locale.lower() or "utf8" in locale.lower()


def show(changes: Sequence[ServedChange], begin: str | None, end: str) -> None:
    """Write the graph of these changes, and a blank line if people read the answer. `lines` has the parameters."""
    signs = UNICODE if has_unicode() else ASCII
    # Markdown is the same on every terminal.
    width = _MARKDOWN_COLUMNS if stream.is_markdown() else stream.width()
    text = "".join(f"{line}\n" for line in lines(changes, begin, end, width, signs, is_local=stream.to_terminal()))
    if stream.is_markdown():
        from promptctl.output import markdown

        text = markdown.fenced(text, "text")
    stream.write(text + ("\n" if stream.for_people() else ""))


def lines(
    changes: Sequence[ServedChange], begin: str | None, end: str, width: int, signs: Signs, *, is_local: bool
) -> list[str]:
    """Return the graph as lines of at most `width` columns, with a legend that explains the signs it has.

    `changes` are in the order in which they were made. `begin` and `end` are RFC 3339; without `begin`, it begins with
    the first change. A change before `begin` says what was served then. A time that a wrong clock gave to a change
    is corrected as in `rules.move_times`: none is after `end`. With `is_local`, times are local, else UTC.
    """
    segments, replaced = _segments(changes, begin, end)
    first, last = segments[0].begin, segments[-1].end
    labels, row_of, shared = _rows(segments)
    margin = max(map(len, labels)) + 1
    count = max(width - margin - 1, _FEWEST_COLUMNS)

    def column(time: float) -> int:
        return min(count - 1, int((time - first) / (last - first) * count))

    grid = [[" "] * count for _ in labels]
    _draw_candidates(grid, segments, row_of, column, signs)
    has_several = _draw_line(grid, segments, row_of, column, signs)
    upright = "|" if signs is ASCII else "│"
    drawn = [f"{label:>{margin - 1}} {upright}{''.join(row).rstrip()}" for label, row in zip(labels, grid, strict=True)]
    axis, times, zone = _axis(first, last, count, signs, is_local=is_local)
    drawn += [f"{'':{margin}}{axis}", f"{'':{margin + 1}}{times}".rstrip(), ""]
    legend = _legend(segments, zone, signs, grid, has_several=has_several, shared=shared, replaced=replaced)
    return [*drawn, *(line for sentence in legend for line in _wrapped(sentence, width))]


def _segments(changes: Sequence[ServedChange], begin: str | None, end: str) -> tuple[list[_Segment], int]:
    """Return what was served from each change on, and how many changes have a wrong time."""
    now = _seconds(end)
    times, replaced = move_times.in_order([_seconds(change.changed_at) for change in changes], now)
    first = times[0] if begin is None else _seconds(begin)
    times = [max(time, first) for time in times]
    last = max(now, first + 1)
    segments = [
        _Segment(time, following, change.version, change.candidate_version, change.basis_points, change.kind)
        for change, time, following in zip(changes, times, [*times[1:], last], strict=True)
    ]
    if segments[0].begin > first:
        segments.insert(0, _Segment(first, segments[0].begin, None, None, 0, ""))
    return segments, replaced


def _seconds(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp()


def _rows(segments: Sequence[_Segment]) -> tuple[list[str], dict[int | None, int], int]:
    """Return the labels of the rows, the row of each version (None: of no version), and how many versions share one.

    The newest version is on top. Of many versions, those that were served for the longest time have rows of their own.
    """
    seconds: dict[int, float] = {}
    for segment in segments:
        for version in (segment.active, segment.candidate):
            if version is not None:
                seconds[version] = seconds.get(version, 0) + segment.end - segment.begin
    present = {segments[-1].active, segments[-1].candidate}
    ranked = sorted(seconds, key=lambda version: (version not in present, -seconds[version], -version))
    own = sorted(ranked[:_MOST_VERSIONS], reverse=True)
    others = ranked[_MOST_VERSIONS:]
    if len(others) == 1:
        own, others = sorted(ranked, reverse=True), []
    labels = [str(version) for version in own]
    rows: dict[int | None, int] = {version: row for row, version in enumerate(own)}
    if others:
        rows |= dict.fromkeys(others, len(labels))
        labels.append(_OTHERS)
    if any(segment.active is None for segment in segments):
        rows[None] = len(labels)
        labels.append(_NONE)
    return labels, rows, len(others)


def _draw_candidates(
    grid: list[list[str]],
    segments: Sequence[_Segment],
    row_of: dict[int | None, int],
    column: Callable[[float], int],
    signs: Signs,
) -> None:
    """Draw the candidates of splits as shades, with the share where it has room."""
    for segment in segments:
        if segment.candidate is None:
            continue
        row = grid[row_of[segment.candidate]]
        begin, end = column(segment.begin), column(segment.end)
        shade = signs.shades[min(2, segment.basis_points * 3 // shares.ALL)]
        row[begin : end + 1] = shade * (end + 1 - begin)
        share = shares.percent(segment.basis_points)
        if end - begin > len(share) + 1:
            row[begin + 1 : begin + 1 + len(share)] = share


def _draw_line(
    grid: list[list[str]],
    segments: Sequence[_Segment],
    row_of: dict[int | None, int],
    column: Callable[[float], int],
    signs: Signs,
) -> bool:
    """Draw the active version, and return whether a column has several changes of it."""
    moves: dict[int, list[tuple[int, int, str]]] = {}
    before: _Segment | None = None
    for segment in segments:
        row, begin = row_of[segment.active], column(segment.begin)
        grid[row][begin : column(segment.end) + 1] = _level(segment, signs) * (column(segment.end) + 1 - begin)
        if before is not None and before.active != segment.active:
            moves.setdefault(begin, []).append((row_of[before.active], row, segment.kind))
        before = segment
    for place, steps in moves.items():
        touched = {row for source, target, _ in steps for row in (source, target)}
        top, bottom = min(touched), max(touched)
        for row in range(top, bottom + 1):
            grid[row][place] = signs.crossing if row in touched else signs.upright
        if len(steps) == 1 and top < bottom:
            is_up = steps[0][1] == top
            grid[top][place] = signs.up_to if is_up else signs.down_from
            grid[bottom][place] = signs.up_from if is_up else signs.down_to
        for _, target, kind in steps:
            if kind == "rollback":
                grid[target][place] = _ROLLBACK
    return any(len(steps) > 1 for steps in moves.values())


def _level(segment: _Segment, signs: Signs) -> str:
    return signs.gap if segment.active is None else signs.line


def _axis(first: float, last: float, count: int, signs: Signs, *, is_local: bool) -> tuple[str, str, str]:
    """Return the time axis, its labels, and the zone of the labels. The last label is `now`."""
    zone = None if is_local else timezone.utc
    begin, end = datetime.fromtimestamp(first, zone), datetime.fromtimestamp(last, zone)
    form, labels = _labels(begin, end, count)
    length = len(begin.strftime(form))
    axis, times = list(signs.axis * count), [" "] * count
    for number in range(labels):
        place = number * (count - len(_NOW) - 1) // labels
        text = datetime.fromtimestamp(first + (last - first) * place / count, zone).strftime(form)
        if place + length + 1 <= count - len(_NOW):
            axis[place] = signs.tick
            times[place : place + length] = text
    times[-len(_NOW) :] = _NOW
    return signs.corner + "".join(axis), "".join(times), begin.astimezone().tzname() or "" if is_local else "UTC"


def _labels(begin: datetime, end: datetime, count: int) -> tuple[str, int]:
    """Return the format of the labels, and how many fit into this many columns: dates, else times of the day."""
    seconds = (end - begin).total_seconds()
    for form, least in (("%d %b" if begin.year == end.year else "%d %b %Y", _DAY), ("%d %b %H:%M", _MINUTE)):
        labels = max(1, (count - len(_NOW) - 1) // (len(begin.strftime(form)) + _LABEL_GAP))
        if seconds >= least * labels:
            return form, labels
    return "%H:%M:%S", max(1, (count - len(_NOW) - 1) // (len("00:00:00") + _LABEL_GAP))


def _legend(
    segments: Sequence[_Segment],
    zone: str,
    signs: Signs,
    grid: Sequence[Sequence[str]],
    *,
    has_several: bool,
    shared: int,
    replaced: int,
) -> list[str]:
    """Return the meaning of each sign of the graph, and what it leaves out."""
    drawn = {sign for row in grid for sign in row}
    # A blank inside an entry does not break a line.
    entries = [f"{signs.line} active"]
    if _ROLLBACK in drawn:
        entries.append(f"{_ROLLBACK} rollback")
    if any(segment.candidate is not None for segment in segments):
        entries.append(f"{signs.shades} candidate, by its share")
    if any(segment.active is None for segment in segments):
        entries.append(f"{signs.gap} nothing active")
    if signs.crossing in drawn:
        # A single change from one of the others to another one has no other sign.
        meaning = "several changes" if has_several else f"change within {_OTHERS}"
        entries.append(f"{signs.crossing} {meaning}")
    entries.append(f"times in {zone}")
    sentences = [" ".join(entry.replace(" ", _NO_BREAK) + _NO_BREAK for entry in entries)]
    if shared:
        sentences.append(f"others: {shared} versions that were served for a shorter time")
    if replaced:
        changes = "1 change has a time that is" if replaced == 1 else f"{replaced:,} changes have times that are"
        drawn_in = "drawn in the order in which the changes were made"
        sentences.append(f"{changes} out of order, because a clock was wrong: {drawn_in}")
    return sentences


def _wrapped(sentence: str, width: int) -> list[str]:
    import textwrap

    wrapped = textwrap.wrap(sentence, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace(_NO_BREAK, " ").rstrip() for line in wrapped]
