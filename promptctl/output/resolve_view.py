"""What was resolved, and why, as people and programs read it. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import stream, tables
from promptctl.output.tables import Column
from promptctl.rules import attributes, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from promptctl.store.serving import Resolved


def show(resolved: Resolved, unit: str | None, given: Mapping[str, Any], form: str) -> None:
    """Show which version it is, and on a terminal why, in words; `unit` and `given` are what was asked with.

    Quiet: the reference. In a pipe name, version, epoch, the step of the route, the bucket and the candidate's share.
    """
    if form == "json":
        from promptctl.output import documents

        documents.show(_document(resolved, unit))
    elif form == "quiet":
        stream.write(f"{resolved.name}@{resolved.version}\n")
    elif stream.to_terminal():
        stream.write(f"{stream.styled(f'{resolved.name}@{resolved.version}', stream.BOLD)}\n")
        for heading, told in _why(resolved, unit, given):
            stream.write(f"{stream.styled(f'{heading:<5}', stream.DIM)}  {stream.one_line(told)}\n")
    else:
        columns = [
            Column("NAME", "name"),
            Column("VERSION", "number"),
            Column("EPOCH", "number"),
            Column("STEP", "number"),
            Column("BUCKET", "number"),
            Column("SHARE", "name"),
        ]
        share = None if resolved.candidate_version is None else shares.percent(resolved.basis_points)
        row = (resolved.name, resolved.version, resolved.epoch, resolved.route_step, resolved.bucket, share)
        tables.show(columns, [row])


def _why(resolved: Resolved, unit: str | None, given: Mapping[str, Any]) -> list[tuple[str, str]]:
    told: list[tuple[str, str]] = []
    if resolved.route_step is not None:
        when = attributes.format_line(resolved.route_when or {})
        told.append(("route", f"step {resolved.route_step} of {resolved.asked_for}, {when}, leads to {resolved.name}"))
    elif given:
        told.append(("route", f"none: no step matches {attributes.format_line(given)}"))
    else:
        told.append(("route", "none: there is no --attribute"))
    if resolved.candidate_version is not None:
        told.append(("split", _bucket(resolved)))
        if unit is None:
            told.append(("unit", "none: the bucket was drawn for this call"))
        told.append(("seed", str(resolved.seed)))
    elif resolved.version != resolved.active_version:
        told.append(("split", f"none: the step names version {resolved.version}"))
    elif resolved.route_step is not None:
        told.append(("split", "none"))
    else:
        told.append(("split", f"none: version {resolved.version} is for everybody"))
    return [*told, ("epoch", str(resolved.epoch))]


def _bucket(resolved: Resolved) -> str:
    share = (
        f"{resolved.basis_points} ({shares.percent(resolved.basis_points)} for version {resolved.candidate_version})"
    )
    if resolved.is_candidate:
        return f"bucket {resolved.bucket}, below {share}: the candidate"
    return f"bucket {resolved.bucket}, not below {share}: the active version"


def _document(resolved: Resolved, unit: str | None) -> dict[str, Any]:
    return {
        "name": resolved.name,
        "version": resolved.version,
        "epoch": resolved.epoch,
        "content": resolved.content,
        "settings": resolved.settings,
        "metadata": resolved.metadata,
        "why": {
            "asked_for": resolved.asked_for,
            "route_step": resolved.route_step,
            "route_when": resolved.route_when,
            "active_version": resolved.active_version,
            "candidate_version": resolved.candidate_version,
            "basis_points": resolved.basis_points,
            "seed": resolved.seed,
            "bucket": resolved.bucket,
            "is_candidate": bool(resolved.is_candidate),
            "is_drawn": resolved.bucket is not None and unit is None,
        },
    }
