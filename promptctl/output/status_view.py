"""Present the state of a database. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import stream, time_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from promptctl.store.administration import Installation


def show_installation(
    installation: Installation, label: str, origin: str, cluster: str | None, address: str | None, form: str
) -> None:
    """Show a database that accepts connections.

    `cluster` is the folder of the embedded database, and `address` the TCP address of its server.
    """
    _show(
        {
            "state": _state(installation),
            "database": label,
            "chosen_by": origin,
            "server_version": installation.server_version,
            "schema_version": installation.schema_version,
            "expected_schema_version": installation.expected_schema_version,
            "open_to_everybody": installation.open_to_everybody,
            "prompts": installation.prompts,
            "versions": installation.versions,
            "uses": installation.uses,
            "uses_to_roll_up": installation.uses_to_roll_up,
            "rolled_up_at": installation.rolled_up_at,
            "test_runs": installation.test_runs,
            "folder": cluster,
            "address": address,
        },
        form,
    )


def _state(installation: Installation) -> str:
    if installation.open_to_everybody:
        return "grants missing"
    if installation.schema_version is None:
        return "no schema"
    return "ready" if installation.is_usable else "another schema version"


def show_stopped(cluster: str, address: str | None, form: str) -> None:
    """Show an embedded server that is not running. `address` is the TCP address that it has when it runs."""
    _show(
        {
            "state": "stopped",
            "database": "the embedded database",
            "chosen_by": "embedded",
            "folder": cluster,
            "address": address,
        },
        form,
    )


def _show(status: dict[str, str | int | None], form: str) -> None:
    if form == "json":
        stream.write_json(status)
        return
    if form == "quiet":
        stream.write(f"{status['state']}\n")
        return
    visible = {key: value for key, value in status.items() if _is_shown(status, key)}
    if stream.is_markdown():
        from promptctl.output import table_columns, tables

        rows = [
            (_heading(key), time_text.utc(str(value)) if key.endswith("_at") else value)
            for key, value in visible.items()
        ]
        tables.show(table_columns.columns(WHAT="name", VALUE="text"), rows)
        return
    for key, value in visible.items():
        if stream.to_terminal():
            text = time_text.ago(str(value)) if key.endswith("_at") else stream.one_line(str(value))
            stream.write(f"{stream.styled(f'{_heading(key):<25}', stream.DIM)}{text}\n")
        else:
            stream.write(f"{key}\t{stream.tsv_field(str(value))}\n")


def _is_shown(status: Mapping[str, str | int | None], key: str) -> bool:
    """Whether a value says something. People do not need the expected version of the schema if it is the same."""
    value = status[key]
    if value is None or (key == "open_to_everybody" and not value):
        return False
    return not (stream.for_people() and key == "expected_schema_version" and value == status["schema_version"])


def _heading(key: str) -> str:
    return key.replace("_", " ").removesuffix(" at")
