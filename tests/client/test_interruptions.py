"""A signal handler may interrupt the client at any point, use it, and raise an exception."""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptctl import Prompts, errors
from promptctl.client import backlog as client_backlog
from promptctl.client import use_records
from promptctl.client.backlog import Backlog
from promptctl.client.spool import Spool
from promptctl.client.use_counts import UseCounts
from promptctl.store.uses import ScoreRecord
from tests.client.support import lines_of_spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    MakeClient = Callable[..., Prompts]

_USES = 6
_LONGEST_WAIT = 40.0
_FILES = {client_backlog.__file__, use_records.__file__, sys.modules[Spool.__module__].__file__}


class Interrupted(BaseException):
    """What the handler raises, as SystemExit."""


class Interruption:
    """Calls a handler once in a `with` block, at the checkpoint with a number in the code that is tested.

    Python calls signal handlers when a function begins, after a call of a function in C, and before a loop goes on. The
    profiler reports the first two.
    """

    def __init__(self, number: int, handler: Callable[[], None]) -> None:
        self._left = number
        self._handler = handler

    @property
    def has_happened(self) -> bool:
        """Whether the block had so many checkpoints."""
        return self._left == 0

    def __enter__(self) -> None:
        sys.setprofile(self._count)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, _: object) -> None:
        if self._left and event in ("call", "c_return") and frame.f_code.co_filename in _FILES:
            self._left -= 1
            if self._left == 0:
                self._handler()


def spill(backlog: Backlog) -> None:
    """Move the oldest uses of a full queue into the spool, as the end of a use does."""
    backlog.shorten_queue()


def spool_all(backlog: Backlog) -> None:
    """Move everything into the spool, as the end of the client does."""
    backlog.move_to_spool()


def send(backlog: Backlog) -> None:
    """Begin to send two batches, as the recorder does."""
    first = backlog.next_batch(skip=0)
    backlog.next_batch(skip=len(first))


def retry_scores(backlog: Backlog) -> None:
    """Add the refused scores to the records again, as the recorder does."""
    backlog.retry_scores(is_ending=False)


@pytest.mark.parametrize("raises", [True, False], ids=["raises", "returns"])
@pytest.mark.parametrize("does_the_same", [True, False], ids=["spools", "idle"])
@pytest.mark.parametrize("work", [spill, spool_all, send, retry_scores])
def test_a_signal_handler_loses_no_item_wherever_it_runs(
    make_client: MakeClient,
    refusing_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[Backlog], None],
    does_the_same: bool,
    raises: bool,
) -> None:
    monkeypatch.setattr(client_backlog, "_DISK_SECONDS", _LONGEST_WAIT)
    prompt = make_client(refusing_url, flush_seconds=1000).get("greeter", default="x")
    number = 0
    while True:
        number += 1
        place = f"{work.__name__}, checkpoint {number}"
        directory = tmp_path / "spool"
        # The queue is small, so that it is full, or that its batches are.
        files = Spool(str(directory), 1_000_000)
        backlog = Backlog(deque(), 3 if work is spill else 8, files)
        backlog.counts = UseCounts()
        for _ in range(_USES):
            with prompt.use() as use:
                pass
            backlog.queue.append(use)
        ids = [use.id for use in backlog.queue]
        scored_ids = ids[:2] if work is not spill else []
        for use_id in scored_ids:
            if work is retry_scores:
                backlog.refuse(ScoreRecord(use_id, 0.5), errors.Refused("no_such_use", "no such use"), is_ending=False)
            else:
                backlog.add_score(use_id, 0.5)

        def handle(backlog: Backlog = backlog) -> None:
            if does_the_same:
                backlog.move_to_spool()
            if raises:
                raise Interrupted

        interruption = Interruption(number, handle)
        with contextlib.suppress(Interrupted), interruption:
            work(backlog)
        # Another thread finds no lock held, and moves what is left without waiting.
        other = threading.Thread(target=work, args=(backlog,))
        other.start()
        other.join(_LONGEST_WAIT / 2)
        assert not other.is_alive(), place
        # As the end of the client does.
        backlog.retry_scores(is_ending=True)
        backlog.move_to_spool()
        stored = lines_of_spool(directory)
        # All of it is sent, not only after the end of the process.
        assert set(files.files()) >= {str(path) for path in directory.iterdir() if path.stat().st_size}, place
        assert {line[1] for line in stored if line[0] == "fallback"} == set(ids), place
        assert {line[1] for line in stored if line[0] == "score"} == set(scored_ids), place
        assert (len(backlog), backlog.losses.dropped_uses) == (0, 0), place
        # A use that is counted is counted once. The count is missing if the exception was raised before it.
        assert _USES - 1 <= sum(backlog.counts.fallbacks.values()) <= _USES, place
        files.close()
        shutil.rmtree(directory)
        if not interruption.has_happened:
            break
    assert number > 5
