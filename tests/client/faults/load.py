"""An application under load: threads that get prompts and record uses all the time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from tests.client.support import WAIT_SECONDS, until
from tests.schema.support import rows, value

if TYPE_CHECKING:
    import psycopg

    from promptctl import Prompts

# How much longer than documented a busy machine may take.
SLACK_SECONDS = 2.0
_TURN_SECONDS = 0.002


class Load:
    """Threads that use one prompt. `ids` has the ids of all uses that have ended."""

    def __init__(self, client: Prompts, name: str = "greeter", threads: int = 2) -> None:
        self.ids: list[str] = []
        self.failures: list[BaseException] = []
        self._client = client
        self._name = name
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)
        assert self.failures == []

    def wait_for_uses(self, uses: int = 100) -> None:
        """Wait until a number of further uses have ended."""
        goal = len(self.ids) + uses
        until(lambda: len(self.ids) >= goal or self.failures, failure="the application stopped recording uses")
        assert self.failures == []

    def _run(self, number: int) -> None:
        epoch = 0
        try:
            while not self._stop.is_set():
                prompt = self._client.get(self._name, unit=f"user-{number}")
                assert prompt.epoch is not None
                assert prompt.epoch >= epoch, "the epoch decreased"
                epoch = prompt.epoch
                with prompt.use() as use:
                    use.record(input_tokens=7, output_tokens=3)
                self.ids.append(use.id)
                self._stop.wait(_TURN_SECONDS)
        except BaseException as failure:  # noqa: BLE001 - the test reports it
            self.failures.append(failure)


def wait_until_recorded(client: Prompts, seconds: float = WAIT_SECONDS) -> None:
    """Wait until the client has no waiting uses."""
    until(lambda: client.waiting_uses == 0, f"{client.waiting_uses} uses wait", seconds)


def check_recorded_once(sql: psycopg.Connection[Any], ids: list[str]) -> None:
    """Check that exactly these uses are in the database and in the statistics, each once."""
    recorded = [row[0] for row in rows(sql, "select id::text from promptctl.uses")]
    assert len(recorded) == len(set(recorded))
    missing, unknown = len(set(ids) - set(recorded)), len(set(recorded) - set(ids))
    assert (missing, unknown) == (0, 0), f"{missing} uses are missing, {unknown} are unknown"
    assert value(sql, "select sum((stats ->> 'total_uses')::bigint) from promptctl.prompts") == len(set(ids))


def activate_other_version(sql: psycopg.Connection[Any], client: Prompts, seconds: float) -> None:
    """Activate the version that is not active, and check that the client returns it within a time limit."""
    version = value(sql, "select 3 - active_version from promptctl.served where name = 'greeter'")
    sql.execute("select promptctl.activate('{greeter}', array[%s::integer])", [version])
    until(
        lambda: client.get("greeter").version == version,
        f"version {version} was not returned within {seconds:g} s",
        seconds + SLACK_SECONDS,
    )
