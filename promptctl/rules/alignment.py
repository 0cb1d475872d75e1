"""Align two sequences: which items are equal, in order, and which differ. Pure.

Myers' algorithm (An O(ND) Difference Algorithm and Its Variations, 1986) finds the shortest difference. It is fast
where the difference is small. Larger differences are cut at anchors: the n-th occurrence of an item in the old sequence
is paired with its n-th occurrence in the new one, and the longest run of pairs that rises on both sides is kept. So the
time does not grow with the square of the length.
"""

from __future__ import annotations

from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    # Whether both sides are equal; start and end in the old sequence, start and end in the new one.
    Segment = tuple[bool, int, int, int, int]

# The search takes about the square of this many steps. Python does a few million steps a second.
_MOST_DIFFERENCES = 400
_MOST_DIFFERENCES_BETWEEN_ANCHORS = 16


def segments(old: Sequence[str], new: Sequence[str]) -> list[Segment]:
    """Return both sequences as segments that are alternately equal and different, in order and without gaps."""
    first, end_old, end_new = _common_ends(old, new)
    # Runs of equal items: start in old, start in new, length.
    runs = [(0, 0, first)]
    for at_old, at_new in _matching_pairs(old[first:end_old], new[first:end_new]):
        start_old, start_new, length = runs[-1]
        if (start_old + length, start_new + length) == (first + at_old, first + at_new):
            runs[-1] = (start_old, start_new, length + 1)
        else:
            runs.append((first + at_old, first + at_new, 1))
    result: list[Segment] = []
    a = b = 0
    for at_old, at_new, length in [*runs, (end_old, end_new, len(old) - end_old)]:
        if at_old > a or at_new > b:
            result.append((False, a, at_old, b, at_new))
        a, b = at_old + length, at_new + length
        if length and result and result[-1][0]:
            result[-1] = (True, result[-1][1], a, result[-1][3], b)
        elif length:
            result.append((True, at_old, a, at_new, b))
    return result


def hunks(aligned: Sequence[Segment], context: int) -> list[list[Segment]]:
    """Group the segments that differ, each group with up to `context` equal items before, between and after them."""
    groups: list[list[Segment]] = []
    for position, segment in enumerate(aligned):
        equal, a, b, c, d = segment
        is_last = position == len(aligned) - 1
        if not equal:
            if not groups:
                groups.append([])
            groups[-1].append(segment)
        elif groups and not is_last and b - a <= 2 * context:
            groups[-1].append(segment)
        else:
            length = min(context, b - a)
            if groups and length:
                groups[-1].append((True, a, a + length, c, c + length))
            if not is_last:
                groups.append([(True, b - length, b, d - length, d)] if length else [])
    return groups


def _matching_pairs(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of positions of equal items, ascending on both sides."""
    if not old or not new:
        return []
    pairs = _shortest_difference(old, new, _MOST_DIFFERENCES)
    return _pairs_by_anchors(old, new) if pairs is None else pairs


def _common_ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int, int]:
    """Return the length of the common beginning, and the position in each sequence where the common end begins."""
    first = 0
    for one, other in zip(old, new, strict=False):
        if one != other:
            break
        first += 1
    end_old, end_new = len(old), len(new)
    while end_old > first and end_new > first and old[end_old - 1] == new[end_new - 1]:
        end_old -= 1
        end_new -= 1
    return first, end_old, end_new


def _shortest_difference(old: Sequence[str], new: Sequence[str], most: int) -> list[tuple[int, int]] | None:
    """Return the pairs of a longest common subsequence by Myers' search; None for more than `most` differences.

    The names are the paper's: n and m are the lengths, x and y positions, k = x - y a diagonal.
    """
    n, m = len(old), len(new)
    if abs(n - m) > most:
        return None
    # By diagonal, the largest x that a path with this many differences reaches.
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
                return _backtrack(trace, n, m)
    return None


def _backtrack(trace: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int]]:
    """Follow the search from its end to its start, and return the pairs of equal items on the path."""
    pairs: list[tuple[int, int]] = []
    for differences in range(len(trace) - 1, -1, -1):
        reach, k = trace[differences], x - y
        down = k == -differences or (k != differences and reach.get(k - 1, -1) < reach.get(k + 1, -1))
        previous_k = k + 1 if down else k - 1
        start = reach.get(previous_k, 0)
        while x > max(0, start) and y > max(0, start - previous_k) and x > start + (not down):
            x -= 1
            y -= 1
            pairs.append((x, y))
        if differences:
            x, y = start, start - previous_k
    pairs.reverse()
    return pairs


def _pairs_by_anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Return pairs of equal items: anchors, and between two anchors the shortest difference where it is small."""
    position_in_new: dict[tuple[str, int], int] = {}
    counts: dict[str, int] = {}
    for position, item in enumerate(new):
        count = counts[item] = counts.get(item, 0) + 1
        position_in_new[item, count] = position
    counts.clear()
    candidates: list[tuple[int, int]] = []
    for position, item in enumerate(old):
        count = counts[item] = counts.get(item, 0) + 1
        other = position_in_new.get((item, count))
        if other is not None:
            candidates.append((position, other))
    pairs: list[tuple[int, int]] = []
    a = b = 0
    for at_old, at_new in [*_longest_increasing(candidates), (len(old), len(new))]:
        if at_old > a and at_new > b:
            between = _shortest_difference(old[a:at_old], new[b:at_new], _MOST_DIFFERENCES_BETWEEN_ANCHORS)
            pairs += [(a + x, b + y) for x, y in between or ()]
        pairs.append((at_old, at_new))
        a, b = at_old + 1, at_new + 1
    return pairs[:-1]


def _longest_increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest subsequence in which the second members ascend; the first members ascend already."""
    # By length, the smallest second member that a subsequence of that length ends with, and the position of its pair.
    ends: list[int] = []
    last: list[int] = []
    previous: list[int] = []
    for position, (_, place) in enumerate(pairs):
        length = bisect_left(ends, place)
        previous.append(last[length - 1] if length else -1)
        if length == len(ends):
            ends.append(place)
            last.append(position)
        else:
            ends[length] = place
            last[length] = position
    result: list[tuple[int, int]] = []
    position = last[-1] if last else -1
    while position >= 0:
        result.append(pairs[position])
        position = previous[position]
    result.reverse()
    return result
