"""An application under load: threads that get, use and record all the time, and know every use by its id."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

from tests.client.support import WAIT_SECONDS, until
from tests.schema.support import rows, value

if TYPE_CHECKING:
    import psycopg

    from promptctl import Prompts

# How much later than promised a busy machine may be.
SLACK_SECONDS = 2.0
_TURN_SECONDS = 0.002


class Load:
    """Threads that use one prompt; `ids` are those of all uses that have ended, `served` the epochs in their order."""

    def __init__(self, client: Prompts, name: str = "greeter", threads: int = 2) -> None:
        self.ids: list[str] = []
        self.failures: list[BaseException] = []
        self._client = client
        self._name = name
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join(WAIT_SECONDS)
        assert self.failures == []

    def goes_on(self, uses: int = 100) -> None:
        """Wait until so many more uses have ended."""
        goal = len(self.ids) + uses
        until(lambda: len(self.ids) >= goal or self.failures, failure="the application came to a halt")
        assert self.failures == []

    def _run(self, number: int) -> None:
        epoch = 0
        try:
            while not self._ends.is_set():
                prompt = self._client.get(self._name, unit=f"user-{number}")
                assert prompt.epoch is not None
                assert prompt.epoch >= epoch, "what was served went back"
                epoch = prompt.epoch
                with prompt.use() as use:
                    use.record(input_tokens=7, output_tokens=3)
                self.ids.append(use.id)
                self._ends.wait(_TURN_SECONDS)
        except BaseException as failure:  # noqa: BLE001 - the test reports it
            self.failures.append(failure)


def all_recorded(client: Prompts, seconds: float = WAIT_SECONDS) -> None:
    """Wait until nothing waits to be recorded."""
    until(lambda: client.waiting_uses == 0, f"{client.waiting_uses} uses wait", seconds)


def check_each_counted_once(sql: psycopg.Connection[Any], ids: list[str]) -> None:
    """Each use is in the database, by its id, once, and no other is; the statistics say the same."""
    found = [row[0] for row in rows(sql, "select id::text from promptctl.uses")]
    assert len(found) == len(set(found))
    missing, unknown = len(set(ids) - set(found)), len(set(found) - set(ids))
    assert (missing, unknown) == (0, 0), f"{missing} uses are missing, {unknown} are not known"
    assert value(sql, "select sum((stats ->> 'total_uses')::bigint) from promptctl.prompts") == len(set(ids))


def moves(sql: psycopg.Connection[Any], client: Prompts, seconds: float) -> None:
    """Activate the other version; the client must return it within this time."""
    version = value(sql, "select 3 - active_version from promptctl.served where name = 'greeter'")
    sql.execute("select promptctl.activate('{greeter}', array[%s::integer])", [version])
    until(
        lambda: client.get("greeter").version == version,
        f"version {version} was not served within {seconds:g} s",
        seconds + SLACK_SECONDS,
    )
