"""Threads, and what happens where the system allows no further one."""

from __future__ import annotations

import threading

import pytest

from promptctl import threads


def test_functions_run_beside_each_other() -> None:
    together = threading.Barrier(3, timeout=30)
    threads.run_all([together.wait] * 3)
    assert not together.broken


def test_functions_without_a_thread_run_in_the_present_one_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    start, allowed = threading.Thread.start, [True, False, False]

    def start_if_allowed(thread: threading.Thread) -> None:
        if not allowed.pop(0):
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_if_allowed)
    together = threading.Barrier(2, timeout=30)
    ran: list[tuple[str, bool]] = []

    def work(name: str, *, waits: bool = True) -> None:
        if waits:
            together.wait()
        ran.append((name, threading.current_thread() is threading.main_thread()))

    threads.run_all([lambda: work("one"), lambda: work("two"), lambda: work("three", waits=False)])
    assert sorted(ran) == [("one", False), ("three", True), ("two", True)]


def test_a_thread_that_the_system_does_not_allow_is_reported_and_its_function_not_called() -> None:
    former = threading.stack_size(1 << 46)
    try:
        assert not threads.start(pytest.fail)
    finally:
        threading.stack_size(former)
    has_run = threading.Event()
    assert threads.start(has_run.set)
    assert has_run.wait(30)
