"""Present the version that a request resolves to, and why. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import answers, stream, table_columns, tables
from promptctl.rules import attributes, requests, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from promptctl.store.resolving import Resolution


def show(resolved: Resolution, unit: str | None, request_attributes: Mapping[str, Any], form: str) -> None:
    """Show the version that a request with this unit and these attributes gets, and on a terminal the reasons.

    A pipe has name, version, epoch, step of the route, bucket and share of the candidate. Quiet: the reference.
    """
    if form == "json":
        stream.write_json(_document(resolved, unit))
    elif form == "quiet":
        stream.write(f"{resolved.name}@{resolved.version}\n")
    elif stream.is_markdown():
        answers.write_line(f"{resolved.name}@{resolved.version}")
        stream.write("\n")
        tables.show(table_columns.columns(WHAT="name", WHY="text"), _reasons(resolved, unit, request_attributes))
    elif stream.to_terminal():
        stream.write(f"{stream.styled(f'{resolved.name}@{resolved.version}', stream.BOLD)}\n")
        for heading, reason in _reasons(resolved, unit, request_attributes):
            stream.write(f"{stream.styled(f'{heading:<5}', stream.DIM)}  {stream.one_line(reason)}\n")
    else:
        columns = table_columns.columns(
            NAME="name", VERSION="number", EPOCH="number", STEP="number", BUCKET="number", SHARE="name"
        )
        share = None if resolved.candidate_version is None else shares.percent(resolved.basis_points)
        row = (resolved.name, resolved.version, resolved.epoch, resolved.route_step, resolved.bucket, share)
        tables.show(columns, [row])


def _reasons(resolved: Resolution, unit: str | None, request_attributes: Mapping[str, Any]) -> list[tuple[str, str]]:
    reasons: list[tuple[str, str]] = []
    if resolved.route_step is not None:
        when = attributes.format_line(resolved.route_when or {})
        reasons.append(
            ("route", f"step {resolved.route_step} of {resolved.asked_for} ({when}) leads to {resolved.name}")
        )
    elif request_attributes:
        reasons.append(("route", f"none: no step matches {attributes.format_line(request_attributes)}"))
    else:
        reasons.append(("route", "none: no --attribute was passed"))
    if resolved.candidate_version is not None:
        reasons.append(("split", _split_reason(resolved)))
        if unit is None:
            reasons.append(("unit", "none: the bucket is random for this call"))
        reasons.append(("seed", str(resolved.seed)))
    elif resolved.version != resolved.active_version:
        reasons.append(("split", f"none: the route step names version {resolved.version}"))
    elif resolved.route_step is not None:
        reasons.append(("split", "none"))
    else:
        reasons.append(("split", f"none: all units get version {resolved.version}"))
    return [*reasons, ("epoch", str(resolved.epoch))]


def _split_reason(resolved: Resolution) -> str:
    share = (
        f"{resolved.basis_points} ({shares.percent(resolved.basis_points)} for version {resolved.candidate_version})"
    )
    if resolved.is_candidate:
        return f"bucket {resolved.bucket} is below {share}: candidate"
    return f"bucket {resolved.bucket} is not below {share}: active version"


def _document(resolved: Resolution, unit: str | None) -> dict[str, Any]:
    return {
        "name": resolved.name,
        "version": resolved.version,
        "epoch": resolved.epoch,
        "content": resolved.content,
        "settings": requests.visible_settings(resolved.settings),
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
