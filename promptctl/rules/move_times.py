"""The times of moves whose order is known, where a wrong clock gave some of them a wrong time. Pure."""

from __future__ import annotations

import bisect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def in_order(times: Sequence[float], end: float) -> tuple[list[float], int]:
    """Return the times of moves in ascending order, and how many of them were replaced because they are wrong.

    `times` are in the order in which the moves were made, in seconds since any moment, and so is `end`: a time after it
    is wrong. Of the others, as many as possible are kept: those of a longest ascending part. Each other one becomes the
    time nearest to its own that is not before the one in front of it, and not after the next one that is kept or,
    behind the last of these, after `end`.
    """
    kept = _longest_ascending(times, end)
    limits = [*(times[place] for place in kept), end]
    ordered: list[float] = []
    passed, latest = 0, float("-inf")
    for place, time in enumerate(times):
        latest = max(latest, min(time, limits[passed]))
        ordered.append(latest)
        passed += passed < len(kept) and kept[passed] == place
    return ordered, len(times) - len(kept)


def _longest_ascending(times: Sequence[float], end: float) -> list[int]:
    """Return the places of a longest ascending part of the times that are not after `end`."""
    # For each length, the least last time of an ascending part and its place; and the place before each in its part.
    last_times: list[float] = []
    last_places: list[int] = []
    before: list[int | None] = []
    for place, time in enumerate(times):
        length = bisect.bisect_right(last_times, time)
        before.append(last_places[length - 1] if length else None)
        if time <= end:
            last_times[length : length + 1] = [time]
            last_places[length : length + 1] = [place]
    part: list[int] = []
    place = last_places[-1] if last_places else None
    while place is not None:
        part.append(place)
        place = before[place]
    return part[::-1]
