"""Ids of uses are UUIDs of version 7 that sort by time and differ between processes."""

from __future__ import annotations

import time
import uuid

from promptctl.rules.use_ids import UseIds


def test_ids_are_uuids_of_version_7_with_the_time() -> None:
    use_id = uuid.UUID(UseIds().new(time.perf_counter()))
    assert (use_id.version, use_id.variant) == (7, uuid.RFC_4122)
    assert abs((use_id.int >> 80) / 1000 - time.time()) < 5


def test_ids_of_one_process_sort_by_time_then_number() -> None:
    ids = UseIds()
    began = time.perf_counter()
    series = [ids.id(began + milliseconds / 1000, number) for milliseconds in (1, 2, 5) for number in (1, 2, 2**32 - 1)]
    assert series == sorted(series)
    assert len(set(series)) == len(series)


def test_different_processes_make_different_ids() -> None:
    began = time.perf_counter()
    assert len({UseIds().id(began, 1) for _ in range(1000)}) == 1000
