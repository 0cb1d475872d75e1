"""What two sequences have in common, in order, in a time that does not grow with the square of their length. Pure.

Myers' algorithm (An O(ND) Difference Algorithm and Its Variations, 1986) finds the shortest difference, and is quick
where there are few. Beyond that the sequences are cut at anchors: the n-th occurrence of an item on one side goes with
its n-th occurrence on the other, for as many items as stand in the same order on both.
"""

from __future__ import annotations

from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    # From and to on the old side, from and to on the new one. Where `equal`, both are equally long, and the same.
    Segment = tuple[bool, int, int, int, int]

# The search takes about the square of this many steps, of which there are some millions in a second.
_MOST_DIFFERENCES = 400
_MOST_DIFFERENCES_BETWEEN_ANCHORS = 16


def segments(old: Sequence[str], new: Sequence[str]) -> list[Segment]:
    """Return both sequences as segments that are alternately equal and different, from the beginning to the end."""
    first, last_old, last_new = _ends(old, new)
    runs = [(0, 0, first)]
    for at, to in _matches(old[first:last_old], new[first:last_new]):
        a, b, length = runs[-1]
        if (a + length, b + length) == (first + at, first + to):
            runs[-1] = (a, b, length + 1)
        else:
            runs.append((first + at, first + to, 1))
    found: list[Segment] = []
    a = b = 0
    for at, to, length in [*runs, (last_old, last_new, len(old) - last_old)]:
        if at > a or to > b:
            found.append((False, a, at, b, to))
        a, b = at + length, to + length
        if length and found and found[-1][0]:
            found[-1] = (True, found[-1][1], a, found[-1][3], b)
        elif length:
            found.append((True, at, a, to, b))
    return found


def hunks(found: Sequence[Segment], context: int) -> list[list[Segment]]:
    """Return the segments that differ, in groups, each with up to `context` equal items before, between and after."""
    groups: list[list[Segment]] = []
    for position, segment in enumerate(found):
        equal, a, b, c, d = segment
        is_last = position == len(found) - 1
        if not equal:
            if not groups:
                groups.append([])
            groups[-1].append(segment)
        elif groups and not is_last and b - a <= 2 * context:
            groups[-1].append(segment)
        else:
            kept = min(context, b - a)
            if groups and kept:
                groups[-1].append((True, a, a + kept, c, c + kept))
            if not is_last:
                groups.append([(True, b - kept, b, d - kept, d)] if kept else [])
    return groups


def _matches(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of positions of equal items, rising on both sides."""
    if not old or not new:
        return []
    found = _shortest(old, new, _MOST_DIFFERENCES)
    return _anchored(old, new) if found is None else found


def _ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int, int]:
    """Return how many items are equal at the beginning, and where those begin that are equal at the end."""
    first = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        first += 1
    last_old, last_new = len(old), len(new)
    while last_old > first and last_new > first and old[last_old - 1] == new[last_new - 1]:
        last_old -= 1
        last_new -= 1
    return first, last_old, last_new


def _shortest(old: Sequence[str], new: Sequence[str], most: int) -> list[tuple[int, int]] | None:
    """Return the pairs of a longest common subsequence; None: there are more than `most` differences."""
    n, m = len(old), len(new)
    if abs(n - m) > most:
        return None
    # By diagonal, how far on the old side the farthest path with so many differences comes.
    reach = {1: 0}
    trace: list[dict[int, int]] = []
    for differences in range(min(most, n + m) + 1):
        trace.append(dict(reach))
        for k in range(-differences, differences + 1, 2):
            if k < -m or k > n:
                continue
            down = k == -differences or (k != differences and reach.get(k - 1, -1) < reach.get(k + 1, -1))
            x = reach.get(k + 1, -1) if down else reach.get(k - 1, -1) + 1
            y = x - k
            if x < 0 or y < 0 or x > n or y > m:
                continue
            while x < n and y < m and old[x] == new[y]:
                x += 1
                y += 1
            reach[k] = x
            if x == n and y == m:
                return _walked_back(trace, n, m)
    return None


def _walked_back(trace: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for differences in range(len(trace) - 1, -1, -1):
        reach, k = trace[differences], x - y
        down = k == -differences or (k != differences and reach.get(k - 1, -1) < reach.get(k + 1, -1))
        before = k + 1 if down else k - 1
        start = reach.get(before, 0)
        while x > max(0, start) and y > max(0, start - before) and x > start + (not down):
            x -= 1
            y -= 1
            found.append((x, y))
        if differences:
            x, y = start, start - before
    found.reverse()
    return found


def _anchored(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    places: dict[tuple[str, int], int] = {}
    counts: dict[str, int] = {}
    for position, item in enumerate(new):
        count = counts[item] = counts.get(item, 0) + 1
        places[item, count] = position
    counts.clear()
    pairs: list[tuple[int, int]] = []
    for position, item in enumerate(old):
        count = counts[item] = counts.get(item, 0) + 1
        place = places.get((item, count))
        if place is not None:
            pairs.append((position, place))
    anchors = _rising(pairs)
    found: list[tuple[int, int]] = []
    a = b = 0
    for at, to in [*anchors, (len(old), len(new))]:
        if at > a and to > b:
            between = _shortest(old[a:at], new[b:to], _MOST_DIFFERENCES_BETWEEN_ANCHORS)
            found += [(a + x, b + y) for x, y in between or ()]
        found.append((at, to))
        a, b = at + 1, to + 1
    return found[:-1]


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of pairs, whose first members rise, in which the second ones rise too."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for position, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        before.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(place)
            last.append(position)
        else:
            ends[length] = place
            last[length] = position
    found: list[tuple[int, int]] = []
    position = last[-1] if last else -1
    while position >= 0:
        found.append(pairs[position])
        position = before[position]
    found.reverse()
    return found
