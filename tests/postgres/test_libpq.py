"""The C library through ctypes: what is allocated for an attempt is freed, whether it succeeds or not."""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

import pytest

from promptctl.postgres import libpq, libpq_library

if TYPE_CHECKING:
    from pathlib import Path


def peak_kilobytes() -> int:
    """How much memory the process has had at most, in units of 1024 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def test_attempts_to_connect_during_an_outage_leave_nothing_behind(tmp_path: Path) -> None:
    """10.6 kB each were 240 MB in a day of outage."""
    url = f"postgresql://app:secret@/llm_app?host={tmp_path}&connect_timeout=2&application_name={'x' * 500}"

    def attempt(times: int) -> None:
        for _ in range(times):
            assert libpq.keywords(url)["user"] == "app"
            assert libpq.variables()["PGHOST"] == "host"
            with pytest.raises(libpq.ConnectionFailed):
                libpq.Connection({"dbname": url})

    attempt(200)
    before = peak_kilobytes()
    attempt(2000)
    # A leak of one kilobyte in an attempt would be 2 000.
    assert peak_kilobytes() - before < 1000


def test_a_library_is_loaded_once() -> None:
    assert libpq_library.load() is libpq_library.load()
    assert libpq_library.load(light=True) is libpq_library.load(light=True)


def test_what_cannot_be_read_is_refused_and_frees_nothing() -> None:
    for wrong in ("postgresql://u@h:port/x%zz", "host='open", "nonsense"):
        with pytest.raises(libpq.ConnectionFailed):
            libpq.keywords(wrong)
