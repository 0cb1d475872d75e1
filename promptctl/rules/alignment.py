"""Align two sequences: find which items are equal, in order, and which differ. Pure.

Myers' algorithm (An O(ND) Difference Algorithm and Its Variations, 1986) finds the shortest difference. It is fast if
the difference is small. Larger differences are cut into parts at anchors, so that the time does not grow with the
square of the length. The anchors are found in two steps: the n-th occurrence of an item in the old sequence is paired
with its n-th occurrence in the new one, and the longest series of pairs in ascending order in both sequences is kept.
"""

from __future__ import annotations

from bisect import bisect_left

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    # Whether the items are equal, then start and end in the old sequence, then start and end in the new one.
    Segment = tuple[bool, int, int, int, int]

# A search takes about the square of this number in steps, and Python does a few million steps a second.
_MOST_DIFFERENCES = 400
_MOST_DIFFERENCES_BETWEEN_ANCHORS = 16


def segments(old: Sequence[str], new: Sequence[str]) -> list[Segment]:
    """Return both sequences as segments that are alternately equal and different, in order and without gaps."""
    prefix_length, end_old, end_new = _common_ends(old, new)
    # Runs of equal items: start in old, start in new, length. The first is the common beginning.
    runs = [(0, 0, prefix_length)]
    for offset_old, offset_new in _matching_pairs(old[prefix_length:end_old], new[prefix_length:end_new]):
        at_old, at_new = prefix_length + offset_old, prefix_length + offset_new
        start_old, start_new, length = runs[-1]
        if (start_old + length, start_new + length) == (at_old, at_new):
            runs[-1] = (start_old, start_new, length + 1)
        else:
            runs.append((at_old, at_new, 1))
    runs.append((end_old, end_new, len(old) - end_old))
    result: list[Segment] = []
    # Where the last segment ends in each sequence.
    last_old = last_new = 0
    for start_old, start_new, length in runs:
        if start_old > last_old or start_new > last_new:
            result.append((False, last_old, start_old, last_new, start_new))
        last_old, last_new = start_old + length, start_new + length
        if length and result and result[-1][0]:
            # Two adjacent runs are one segment.
            result[-1] = (True, result[-1][1], last_old, result[-1][3], last_new)
        elif length:
            result.append((True, start_old, last_old, start_new, last_new))
    return result


def hunks(aligned: Sequence[Segment], context: int) -> list[list[Segment]]:
    """Group the segments that differ. A group has up to `context` equal items before and after its differences.

    Two differences are in one group if at most `2 * context` equal items are between them.
    """
    groups: list[list[Segment]] = []
    for position, segment in enumerate(aligned):
        is_equal, start_old, end_old, start_new, end_new = segment
        is_last = position == len(aligned) - 1
        if not is_equal:
            if not groups:
                groups.append([])
            groups[-1].append(segment)
        elif groups and not is_last and end_old - start_old <= 2 * context:
            groups[-1].append(segment)
        else:
            # Equal items before, between or after groups: the nearest `context` of them go into each group.
            length = min(context, end_old - start_old)
            if groups and length:
                groups[-1].append((True, start_old, start_old + length, start_new, start_new + length))
            if not is_last:
                groups.append([(True, end_old - length, end_old, end_new - length, end_new)] if length else [])
    return groups


def _matching_pairs(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Return the positions of equal items, each in `old` and in `new`, ascending in both."""
    if not old or not new:
        return []
    pairs = _shortest_difference(old, new, _MOST_DIFFERENCES)
    return _pairs_by_anchors(old, new) if pairs is None else pairs


def _common_ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int, int]:
    """Return the length of the common beginning, and the position in each sequence where the common end begins."""
    prefix_length = 0
    for old_item, new_item in zip(old, new, strict=False):
        if old_item != new_item:
            break
        prefix_length += 1
    end_old, end_new = len(old), len(new)
    while end_old > prefix_length and end_new > prefix_length and old[end_old - 1] == new[end_new - 1]:
        end_old -= 1
        end_new -= 1
    return prefix_length, end_old, end_new


def _shortest_difference(old: Sequence[str], new: Sequence[str], limit: int) -> list[tuple[int, int]] | None:
    """Return the pairs of a longest common subsequence by Myers' search, None for more than `limit` differences.

    The names are the paper's: n and m are the lengths, x is a position in `old`, y one in `new`, and k = x - y is a
    diagonal. A step to the right leaves out an item of `old`, a step down adds an item of `new`.
    """
    n, m = len(old), len(new)
    if abs(n - m) > limit:
        return None
    # By diagonal, the largest x that a path with the current number of differences reaches.
    reach = {1: 0}
    trace: list[dict[int, int]] = []
    for differences in range(min(limit, n + m) + 1):
        trace.append(dict(reach))
        for k in range(-differences, differences + 1, 2):
            if k < -m or k > n:
                continue
            # Extend the neighbouring path that has come further.
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
    """Follow the search back from its end (x, y), and return the pairs of equal items on the path.

    `trace` has the reach before each round of the search.
    """
    pairs: list[tuple[int, int]] = []
    for differences in range(len(trace) - 1, -1, -1):
        reach, k = trace[differences], x - y
        down = k == -differences or (k != differences and reach.get(k - 1, -1) < reach.get(k + 1, -1))
        previous_k = k + 1 if down else k - 1
        previous_x = reach.get(previous_k, 0)
        # After the step of this round, the path has followed equal items.
        after_step = previous_x if down else previous_x + 1
        while x > after_step:
            x -= 1
            y -= 1
            pairs.append((x, y))
        if differences:
            x, y = previous_x, previous_x - previous_k
    pairs.reverse()
    return pairs


def _pairs_by_anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Return the pairs of equal items: the anchors, and the pairs between two anchors if few items differ there."""
    position_in_new: dict[tuple[str, int], int] = {}
    counts: dict[str, int] = {}
    for position, item in enumerate(new):
        count = counts[item] = counts.get(item, 0) + 1
        position_in_new[item, count] = position
    counts.clear()
    candidates: list[tuple[int, int]] = []
    for position, item in enumerate(old):
        count = counts[item] = counts.get(item, 0) + 1
        if (item, count) in position_in_new:
            candidates.append((position, position_in_new[item, count]))
    pairs: list[tuple[int, int]] = []
    start_old = start_new = 0
    # The end of both sequences serves as the last anchor.
    for at_old, at_new in [*_longest_increasing(candidates), (len(old), len(new))]:
        if at_old > start_old and at_new > start_new:
            between = (old[start_old:at_old], new[start_new:at_new])
            inner_pairs = _shortest_difference(*between, _MOST_DIFFERENCES_BETWEEN_ANCHORS) or []
            pairs += [(start_old + x, start_new + y) for x, y in inner_pairs]
        pairs.append((at_old, at_new))
        start_old, start_new = at_old + 1, at_new + 1
    return pairs[:-1]


def _longest_increasing(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest subsequence in which the second members ascend; the first members ascend already."""
    # At index n - 1: the smallest second member with which a subsequence of n pairs can end, and the position of the
    # pair that has it.
    ends: list[int] = []
    end_positions: list[int] = []
    # For each pair: the position of the pair that precedes it in the longest subsequence that ends with it; -1: none.
    previous: list[int] = []
    for position, (_, second) in enumerate(pairs):
        length_before = bisect_left(ends, second)
        previous.append(end_positions[length_before - 1] if length_before else -1)
        if length_before == len(ends):
            ends.append(second)
            end_positions.append(position)
        else:
            ends[length_before] = second
            end_positions[length_before] = position
    result: list[tuple[int, int]] = []
    position = end_positions[-1] if end_positions else -1
    while position >= 0:
        result.append(pairs[position])
        position = previous[position]
    result.reverse()
    return result
