"""An erased, archived or deactivated version: the client removes it from its memory and its snapshot."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl import NoActiveVersion, Prompts, VersionNotFound
from tests.client.support import until
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.Connection[Any]
    MakeClient = Callable[..., Prompts]

NEVER = 3600
ERASE = "select promptctl.erase('greeter', 2, 'ada', 'a key in it')"


def is_gone(prompts: Prompts) -> bool:
    try:
        prompts.get("greeter@2")
    except VersionNotFound:
        return True
    return False


def test_a_notification_removes_an_erased_version_from_memory(
    make_client: MakeClient, sql: Connection, tmp_path: Path
) -> None:
    path = tmp_path / "snapshot.json"
    prompts = make_client(poll_seconds=NEVER, snapshot=path)
    assert prompts.get("greeter@2").content.startswith("Be brief")
    until(lambda: path.exists() and "Be brief" in path.read_text(encoding="utf-8"))
    other = prompts.get("greeter@1").content
    run(sql, ERASE)
    until(lambda: is_gone(prompts))
    until(lambda: "Be brief" not in path.read_text(encoding="utf-8"))
    assert prompts.get("greeter@1").content == other
    assert prompts.get("greeter@2", default="mine").is_default


def test_a_poll_removes_an_erased_version_from_memory(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client(poll_seconds=0.2)
    assert prompts.get("greeter@2").version == 2
    # With this setting no trigger runs, so no notification is sent.
    run(sql, "set session_replication_role = replica")
    run(
        sql,
        "update promptctl.versions set erased_at = now(), retired_at = now(), content = '', settings = '{}', "
        "metadata = '{}', variables = '{}', required_variables = '{}' where name = 'greeter' and version = 2",
    )
    run(sql, "reset session_replication_role")
    until(lambda: is_gone(prompts))


def test_a_deactivated_or_archived_prompt_is_not_returned(make_client: MakeClient, sql: Connection) -> None:
    prompts = make_client(poll_seconds=NEVER)
    for deactivation, reversal in (
        ("deactivate('{greeter}')", "rollback('{greeter}')"),
        ("archive('{greeter}', '{null}')", "archive('{greeter}', '{null}', true)"),
    ):
        assert prompts.get("greeter").version == 1
        run(sql, f"select promptctl.{deactivation}")
        until(lambda: prompts.get("greeter", default="").is_default)
        with pytest.raises(NoActiveVersion):
            prompts.get("greeter")
        run(sql, f"select promptctl.{reversal}")
        until(lambda: not prompts.get("greeter", default="").is_default)
