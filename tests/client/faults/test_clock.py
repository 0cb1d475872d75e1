"""The clock of an application is set back or forward: ids, ages and recorded times stay right."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.client.faults.load import Load, activate_other_version, check_recorded_once, wait_until_recorded
from tests.schema.support import rows, value

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptctl import Prompts
    from tests.servers import Server

HOUR = 3600.0


@pytest.mark.parametrize("seconds", [-HOUR, HOUR], ids=["back", "forward"])
def test_setting_the_clock_does_not_change_ids_ages_or_times_of_uses(
    seconds: float, server: Server, database_name: str, application_url: str, make_client: Callable[..., Prompts],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    clock = time.time
    client = make_client(application_url, max_age_seconds=60)
    with psycopg.connect(server.dsn(database_name), autocommit=True) as sql:
        began = value(sql, "select clock_timestamp()")
        with Load(client, threads=1) as load:
            load.wait_for_uses()
            monkeypatch.setattr(time, "time", lambda: clock() + seconds)
            load.wait_for_uses()
            activate_other_version(sql, client, 0.5)
            assert 0 <= client.get("greeter").age_seconds < 60
            load.wait_for_uses()
        wait_until_recorded(client)
        check_recorded_once(sql, load.ids)
        # One thread recorded them, so ids and times are in the same order.
        assert load.ids == sorted(load.ids)
        times = [row[0] for row in rows(sql, "select recorded_at from promptctl.uses order by id")]
        assert began <= times[0] <= times[-1] <= value(sql, "select clock_timestamp()")
        slack = timedelta(seconds=0.5)
        assert all(later > earlier - slack for earlier, later in pairwise(times))
    assert all(uuid.UUID(use_id).version == 7 for use_id in load.ids)


def test_a_spooled_use_is_not_in_the_future_after_the_clock_is_set_back(
    server: Server, database_name: str, application_url: str, make_client: Callable[..., Prompts], tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    client = make_client(application_url, spool=tmp_path)
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
        with make_client(application_url, spool=tmp_path) as later:
            later.get("greeter")
            assert later.flush(20)
        [(use_id, is_past)] = rows(sql, "select id::text, recorded_at <= clock_timestamp() from promptctl.uses")
        assert (use_id, is_past) == (use.id, True)
