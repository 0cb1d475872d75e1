"""Present prompts and versions as JSON documents."""

from __future__ import annotations

from promptctl.rules import requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.store.prompt_states import PromptState
    from promptctl.store.version_details import VersionDetail
    from promptctl.store.version_texts import ServedVersion
    from promptctl.store.versions import CreatedVersion

_STATS = ("total_uses", "errors", "avg_tokens", "avg_response_time_ms", "avg_score", "last_used_at")


def version_document(version: VersionDetail) -> dict[str, Any]:
    """Return one version, with its name and id."""
    document = {"id": version.id, "name": version.name, **_version(version)}
    if version.retired_at is not None:
        document["archived_at"] = version.retired_at
    return document


def prompt_document(name: str, versions: Sequence[VersionDetail], state: PromptState, limit: int) -> dict[str, Any]:
    """Return a prompt with its newest `limit` versions (0 for all), the active version and the candidate.

    `versions` has the newest first.
    """
    active = next((version for version in versions if version.is_active), None)
    candidate = next((version for version in versions if version.candidate_basis_points is not None), None)
    included = [
        version
        for place, version in enumerate(versions)
        if not limit or place < limit or version.is_active or version is candidate
    ]
    archived_at = versions[0].prompt_archived_at if versions else None
    return {
        "name": name,
        **({"archived_at": archived_at} if archived_at else {}),
        "active_version": active.version if active else None,
        "changed_at": state.changed_at,
        "author": state.author,
        "candidate_version": candidate.version if candidate else None,
        "basis_points": candidate.candidate_basis_points if candidate else 0,
        "rollout": state.rollout,
        "rollout_state": state.rollout_state,
        "route_steps": state.route_steps,
        "source_version": state.source_version,
        "model": active.settings.get("model") if active else None,
        "versions": [_version(version) for version in included],
    }


def created_document(created: CreatedVersion) -> dict[str, Any]:
    """Return a created version."""
    return {
        "id": created.id,
        "name": created.name,
        "version": created.version,
        "content": created.content,
        "bytes": len(created.content.encode()),
        "is_active": created.is_active,
        "created_at": created.created_at,
        "metadata": created.metadata,
        "settings": requests.visible_settings(created.settings),
        "variables": _variables(created.variables, created.settings),
        "caching": _caching(created.content, created.settings),
        "created": created.created,
    }


def rendered_document(served: ServedVersion, content: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Return a rendered text, with the values that it contains."""
    return {"name": served.name, "version": served.version, "content": content, "variables": dict(values)}


def _version(version: VersionDetail) -> dict[str, Any]:
    return {
        "version": version.version,
        "content": version.content,
        "is_active": version.is_active,
        "created_at": version.created_at,
        "created_by": version.created_by,
        "metadata": version.metadata,
        "settings": requests.visible_settings(version.settings),
        "variables": _variables(version.variables, version.settings),
        "caching": _caching(version.content, version.settings),
        "origin": version.origin,
        "release": version.release,
        "stats": _stats(version.stats),
        "last_test": version.last_test,
    }


def _variables(variables: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    descriptions: Mapping[str, Mapping[str, Any]] = settings.get("variables", {})
    variable_documents: list[dict[str, Any]] = []
    for name in variables.split():
        description = descriptions.get(name, {})
        default: str | None = description.get("default")
        is_required = default is None and description.get("required", True)
        variable_documents.append({"name": name, "required": is_required, "default": default})
    return variable_documents


def _caching(content: str, settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how much of a version Claude can cache, None without the setting `cache`."""
    if "cache" not in settings:
        return None
    from promptctl.rules import caching

    described = caching.describe(content, settings)
    if described is None:
        return None
    return {
        "lifetime": described.lifetime,
        "text_bytes": described.text_bytes,
        "cacheable_bytes": described.cacheable_bytes,
        "first_variable": described.first_variable,
        "warnings": list(described.warnings),
    }


def _stats(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return statistics in a fixed order and form, without the numbers that are not known."""
    numbers = {key: stats[key] for key in _STATS if stats.get(key) is not None}
    if "last_used_at" in numbers:
        numbers["last_used_at"] = str(numbers["last_used_at"]).replace("+00:00", "Z")
    for key in ("avg_tokens", "avg_response_time_ms"):
        if key in numbers:
            numbers[key] = int(numbers[key]) if numbers[key] == int(numbers[key]) else round(numbers[key], 2)
    return numbers
