"""Prompts and versions as people and programs read them. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import messages, stream, tables
from promptctl.output.tables import Column
from promptctl.rules import shares, templates
from promptctl.rules.references import short_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.records import Timestamp
    from promptctl.store.prompts import Described, Overview, PromptSummary, Served, Standing, Text, Version
    from promptctl.store.versions import Created

_LEFT_OUT = "…"
_LONGEST_NAME = 40
_LONGEST_DESCRIPTION = 80
_TOLD_SETTINGS = ("model", "max_tokens", "template")
_STATS = ("total_uses", "errors", "avg_tokens", "avg_response_time_ms", "avg_score", "last_used_at")


def show_list(prompts: Sequence[PromptSummary], total: int, form: str) -> None:
    """Show prompts in a list, the first of a total; quiet: their bare names."""
    if form == "json":
        from promptctl.output import documents

        documents.show({"prompts": [prompt.as_dict() for prompt in prompts], "count": total})
    elif form == "quiet":
        stream.write("".join(f"{prompt.name}\n" for prompt in prompts))
    elif prompts or not stream.to_terminal():
        columns = [
            Column("NAME", "name"),
            Column("ACTIVE", "number"),
            Column("LATEST", "number"),
            Column("VERSIONS", "number"),
            Column("UPDATED", "time"),
            Column("SPLIT", "name"),
            Column("ROUTE", "number"),
            Column("HOLD", "name"),
        ]
        rows = [(*prompt[:5], _split(prompt), prompt.route_steps or None, _hold(prompt)) for prompt in prompts]
        if stream.to_terminal():
            # Of the last three a terminal has those that say something; for them it gives up the number of versions.
            kept = [*range(5), *(place for place in range(5, 8) if any(row[place] is not None for row in rows))]
            if len(kept) > len(columns) - 3:
                columns[3] = Column("VERSIONS", "extra")
            columns, rows = [columns[place] for place in kept], [[row[place] for place in kept] for row in rows]
        tables.show(columns, rows)
    note_more(total - len(prompts), form)


def note_more(number: int, form: str) -> None:
    """Say how many prompts are not in the list, if any: to people."""
    if number and form == "plain":
        messages.note(f"{number} more: --limit 0 shows all")


def show_overview(found: Overview, name: str, limit: int) -> None:
    """Show a prompt on a terminal: what is served, its newest `limit` versions and those served, the active text."""
    versions, total, active = found.versions, found.total, found.active
    stream.write(stream.one_line(_standing(name, found.standing, active.settings if active else None)) + "\n\n")
    columns = [
        Column("VERSION", "number"),
        Column("USES", "number"),
        Column("TOKENS", "number"),
        Column("TIME", "duration"),
        Column("CREATED", "time"),
        Column("BY", "person"),
        Column("DESCRIPTION", "text"),
    ]
    rows = [
        [v.version, v.uses, v.avg_tokens, v.avg_response_time_ms, v.created_at, v.created_by, v.description]
        for v in versions
    ]
    if any(version.basis_points is not None for version in versions):
        columns.insert(1, Column("SHARE", "number"))
        rows = [[row[0], _share(v.basis_points), *row[1:]] for row, v in zip(rows, versions, strict=True)]
    if any(version.commit for version in versions):
        columns.append(Column("COMMIT", "detail"))
        rows = [[*row, version.commit] for row, version in zip(rows, versions, strict=True)]
    marks = [version.is_active for version in versions]
    for place in range(len(rows) - 1, limit - 1 if limit else len(rows), -1):
        # Older than the newest, and shown because it is served: in between some are left out.
        if versions[place].version != versions[place - 1].version - 1:
            rows.insert(place, [_LEFT_OUT, *[tables.BLANK] * (len(columns) - 1)])
            marks.insert(place, False)
    tables.show(columns, rows, marked=lambda place: marks[place])
    if total > len(versions):
        messages.note(f"{total - len(versions)} older: --limit 0 shows all")
    stream.write("\n")
    if active is not None and active.variables:
        told = templates.describe(active.variables.split(), active.settings)
        stream.write(f"{stream.styled('variables', stream.DIM)}  {stream.one_line(told)}\n\n")
    if active is not None:
        stream.write_content(active.content)
    else:
        stream.write(stream.styled("no active version", stream.DIM) + "\n")


def note_archived(name: str, archived: tuple[Timestamp, str, str | None]) -> None:
    """Say since when a prompt is archived, by whom and why, and how it comes back."""
    from promptctl.output import times

    at, author, reason = archived
    messages.note(f"{name} was archived {times.ago(at)} by {author}{f': {reason}' if reason else ''}")
    messages.note(f"promptctl delete --undo {name} takes it back")


def note_standing(active: Text, standing: Standing) -> None:
    """Say what is served of a prompt whose active text is the answer."""
    messages.note(_standing(active.name, standing, active.settings))


def note_described(text: Text, described: Described) -> None:
    """Say what a version is whose text is the answer: active or not, archived, author, date, description, settings."""
    if described.is_active:
        state = "active"
    elif described.basis_points is not None:
        state = f"candidate, gets {shares.percent(described.basis_points)}"
    elif described.archived_at is not None:
        state = f"archived {_when(described.archived_at)}"
    else:
        state = "not active"
    parts = [
        f"{text.name}@{text.version}: {state}",
        f"created {_when(described.created_at)} by {_short(described.created_by)}",
    ]
    if described.description:
        parts.append(tables.cut(described.description, _LONGEST_DESCRIPTION))
    parts += [f"{key} {_short(str(text.settings[key]))}" for key in _TOLD_SETTINGS if text.settings.get(key)]
    messages.note("; ".join(parts))


def note_active_at(text: Text, moment: Timestamp) -> None:
    """Say which version it is that was active at a moment: RFC 3339, or `-2h`, so long ago."""
    when = f"{moment[1:]} ago" if moment.startswith("-") else f"at {moment}"
    messages.note(f"{text.name}@{text.version} was active {when}")


def _when(moment: Timestamp) -> str:
    """A moment as a person reads it, `2 hours ago`, or where no person does, `at 2026-11-12T09:30:00Z`."""
    if not stream.to_terminal():
        return f"at {moment[:19]}Z"
    from promptctl.output import times

    return times.ago(moment)


def _short(text: str) -> str:
    """A name of somebody or something that leaves room for what else stands in the line."""
    return tables.middle(text, _LONGEST_NAME)


def _standing(name: str, standing: Standing, settings: Mapping[str, Any] | None) -> str:
    """Return what is served of a prompt in words: version, since when, by whom, split, route, hold and model."""
    if standing.active_version is None:
        parts = [f"{name}: no version is active"]
    else:
        parts = [f"{name}: version {standing.active_version} is active"]
    if standing.changed_at is not None:
        moved = "deactivated" if standing.active_version is None else "activated"
        parts[0] += f", {moved} {_when(standing.changed_at)} by {_short(standing.author or '')}"
    if standing.candidate_version is not None:
        parts.append(f"version {standing.candidate_version} gets {shares.percent(standing.basis_points)}")
    if standing.route_steps:
        parts.append(f"a route of {standing.route_steps} step{'s' * (standing.route_steps != 1)}")
    if standing.source_version is not None:
        parts.append(f"held, the folder names {standing.source_version}")
    if settings and settings.get("model"):
        parts.append(f"model {_short(settings['model'])}")
    return "; ".join(parts)


def note_variables(variables: str, settings: Mapping[str, Any]) -> None:
    """Say which variables a version has, if it has any."""
    if variables:
        messages.note(f"variables: {templates.describe(variables.split(), settings)}")


def note_origin(origin: Mapping[str, Any] | None) -> None:
    """Say which file a version came from, if it came from one: `from prompts/greeter/v2.txt at 9f3c2ab by ada`."""
    if origin:
        author = f" by {origin['author']}" if origin.get("author") else ""
        messages.note(f"from {origin['path']}{at(origin)}{author}")


def at(origin: Mapping[str, Any] | None) -> str:
    """Return in words which commit something came from: ` at 9f3c2ab, not committed`; '' where nothing is known."""
    if not origin or not origin.get("commit"):
        return ""
    return f" at {short_hash(origin['commit'])}" + (", not committed" if origin.get("dirty") else "")


def version_document(version: Version) -> dict[str, Any]:
    """Return one version in JSON, with its name and id."""
    document = {
        "id": version.id,
        "name": version.name,
        **_version(version),
    }
    if version.retired_at is not None:
        document["archived_at"] = version.retired_at
    return document


def prompt_document(name: str, versions: Sequence[Version], standing: Standing, newest: int) -> dict[str, Any]:
    """Return a prompt in JSON, with the newest of its versions in use (0: all) and those served, newest first."""
    active = next((version for version in versions if version.is_active), None)
    candidate = next((version for version in versions if version.candidate_basis_points is not None), None)
    shown = [
        version
        for place, version in enumerate(versions)
        if not newest or place < newest or version.is_active or version is candidate
    ]
    archived_at = versions[0].prompt_archived_at if versions else None
    return {
        "name": name,
        **({"archived_at": archived_at} if archived_at else {}),
        "active_version": active and active.version,
        "changed_at": standing.changed_at,
        "author": standing.author,
        "candidate_version": candidate and candidate.version,
        "basis_points": candidate.candidate_basis_points if candidate else 0,
        "route_steps": standing.route_steps,
        "source_version": standing.source_version,
        "model": active and active.settings.get("model"),
        "versions": [_version(version) for version in shown],
    }


def size(content: str) -> str:
    """Return how large a text is, in UTF-8: `805 bytes`."""
    count = len(content.encode())
    return f"{count} byte{'s' * (count != 1)}"


def created_document(created: Created) -> dict[str, Any]:
    """Return a created version in JSON."""
    return {
        "id": created.id,
        "name": created.name,
        "version": created.version,
        "content": created.content,
        "bytes": len(created.content.encode()),
        "is_active": created.is_active,
        "created_at": created.created_at,
        "metadata": created.metadata,
        "settings": created.settings,
        "variables": _variables(created.variables, created.settings),
        "created": created.created,
    }


def rendered_document(served: Served, content: str, values: Mapping[str, str]) -> dict[str, Any]:
    """Return a rendered text in JSON, with the values that stand in it."""
    return {"name": served.name, "version": served.version, "content": content, "variables": dict(values)}


def _split(prompt: PromptSummary) -> str | None:
    if prompt.candidate_version is None:
        return None
    return f"{prompt.candidate_version} at {shares.percent(prompt.basis_points)}"


def _hold(prompt: PromptSummary) -> str | int | None:
    """Return the version that the folder names while another is held; a pipe has the number alone."""
    held = prompt.source_version
    return f"Git {held}" if held is not None and stream.to_terminal() else held


def _share(basis_points: int | None) -> str | None:
    return None if basis_points is None else shares.percent(basis_points)


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "content": version.content,
        "is_active": version.is_active,
        "created_at": version.created_at,
        "created_by": version.created_by,
        "metadata": version.metadata,
        "settings": version.settings,
        "variables": _variables(version.variables, version.settings),
        "origin": version.origin,
        "release": version.release,
        "stats": _stats(version.stats),
    }


def _variables(variables: str, settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    descriptions: Mapping[str, Mapping[str, Any]] = settings.get("variables", {})
    found: list[dict[str, Any]] = []
    for name in variables.split():
        said = descriptions.get(name, {})
        default: str | None = said.get("default")
        found.append({"name": name, "required": default is None and said.get("required", True), "default": default})
    return found


def _stats(stats: Mapping[str, Any]) -> dict[str, Any]:
    """Return statistics in one order and form, whoever computed them; without what is unknown."""
    told = {key: stats[key] for key in _STATS if stats.get(key) is not None}
    if "last_used_at" in told:
        told["last_used_at"] = str(told["last_used_at"]).replace("+00:00", "Z")
    for key in ("avg_tokens", "avg_response_time_ms"):
        if key in told:
            told[key] = int(told[key]) if told[key] == int(told[key]) else round(told[key], 2)
    return told
