"""What `db status` found, as people and programs read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import stream

if TYPE_CHECKING:
    from promptctl.store.administration import Installation


def show_installation(found: Installation, label: str, origin: str, cluster: str | None, form: str) -> None:
    """Show a database that answers; `cluster` is the folder of the embedded one."""
    state = (
        "grants missing"
        if found.open_to_everybody
        else "ready"
        if found.schema_version == found.expected_schema_version
        else "no schema"
        if found.schema_version is None
        else "another schema version"
    )
    _show(
        {
            "state": state,
            "database": label,
            "chosen_by": origin,
            "server_version": found.server_version,
            "schema_version": found.schema_version,
            "expected_schema_version": found.expected_schema_version,
            "open_to_everybody": found.open_to_everybody,
            "prompts": found.prompts,
            "versions": found.versions,
            "uses": found.uses,
            "uses_to_roll_up": found.uses_to_roll_up,
            "rolled_up_at": found.rolled_up_at,
            "folder": cluster,
        },
        form,
    )


def show_stopped(cluster: str, form: str) -> None:
    """Show an embedded server that is not running."""
    _show({"state": "stopped", "database": "the embedded database", "chosen_by": "embedded", "folder": cluster}, form)


def _show(status: dict[str, str | int | None], form: str) -> None:
    if form == "json":
        from promptctl.output import documents

        documents.show(status)
        return
    if form == "quiet":
        stream.write(f"{status['state']}\n")
        return
    for key, value in status.items():
        if value is None or (key == "open_to_everybody" and not value):
            continue
        if stream.to_terminal():
            if key == "expected_schema_version" and value == status["schema_version"]:
                continue
            from promptctl.output import times

            heading = f"{key.replace('_', ' ').removesuffix(' at'):<25}"
            text = times.ago(str(value)) if key.endswith("_at") else stream.one_line(str(value))
            stream.write(f"{stream.styled(heading, stream.DIM)}{text}\n")
        else:
            stream.write(f"{key}\t{stream.tsv_field(str(value))}\n")
