"""The application's clock is set back: ids, ages and order stay sensible, and times are the server's."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.client.faults.load import Load, all_recorded, check_each_counted_once, moves
from tests.schema.support import rows, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl import Prompts
    from tests.servers import Server

HOUR = 3600.0


@pytest.mark.parametrize("seconds", [-HOUR, HOUR], ids=["back", "forward"])
def test_setting_the_clock_changes_no_id_no_age_and_no_time_of_a_use(
    seconds: float, server: Server, database_name: str, application_url: str, serve: Callable[..., Prompts],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    clock = time.time
    client = serve(application_url, max_age_seconds=60)
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        began = value(sql, "select clock_timestamp()")
        with Load(client, threads=1) as load:
            load.goes_on()
            monkeypatch.setattr(time, "time", lambda: clock() + seconds)
            load.goes_on()
            moves(sql, client, 0.5)
            assert 0 <= client.get("greeter").age_seconds < 60
            load.goes_on()
        all_recorded(client)
        check_each_counted_once(sql, load.ids)
        # Made one after the other by one thread, and so ordered as ids and as times.
        assert load.ids == sorted(load.ids)
        times = [row[0] for row in rows(sql, "select recorded_at from promptctl.uses order by id")]
        assert began <= times[0] <= times[-1] <= value(sql, "select clock_timestamp()")
        slack = timedelta(seconds=0.5)
        assert all(later > earlier - slack for earlier, later in pairwise(times))
    assert all(uuid.UUID(each).version == 7 for each in load.ids)


def test_a_spooled_use_is_not_from_the_future_where_the_clock_was_set_back_in_between(
    server: Server, database_name: str, application_url: str, serve: Callable[..., Prompts], tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    client = serve(application_url, spool=tmp_path)
    client.get("greeter")
    server.stop(keep=True)
    with client.get("greeter").use() as use:
        pass
    client.close(0.1)
    assert client.dropped_uses == 0
    server.restart()
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() - HOUR)
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        with serve(application_url, spool=tmp_path) as later:
            later.get("greeter")
            assert later.flush(20)
        [(found, in_time)] = rows(sql, "select id::text, recorded_at <= clock_timestamp() from promptctl.uses")
        assert (found, in_time) == (use.id, True)
