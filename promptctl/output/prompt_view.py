"""Present prompts and versions as tables and sentences. `form` is plain, quiet or json."""

from __future__ import annotations

from promptctl.output import answers, messages, stream, table_columns, tables
from promptctl.output.table_columns import Column
from promptctl.rules import shares, templates
from promptctl.rules.references import short_hash

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.records import Timestamp
    from promptctl.store.prompt_lists import PromptSummary
    from promptctl.store.prompt_states import PromptState
    from promptctl.store.version_details import Overview
    from promptctl.store.version_texts import VersionStatus, VersionText

# Marks a gap between versions in a table.
_OMITTED = "…"
_LONGEST_NAME = 40
_COLUMNS_FOR_DAYS = 80
_LONGEST_DESCRIPTION = 80
_NOTED_SETTINGS = ("model", "max_tokens", "template", "cache")


def show_list(prompts: Sequence[PromptSummary], total: int, form: str) -> None:
    """Show prompts, the first of `total`; quiet: their names."""
    if form == "json":
        stream.write_json({"prompts": [prompt.as_dict() for prompt in prompts], "count": total})
    elif form == "quiet":
        answers.write_references([(prompt.name, None) for prompt in prompts])
    elif prompts or not stream.to_terminal():
        columns = table_columns.columns(
            NAME="name", ACTIVE="number", LATEST="number", VERSIONS="number", UPDATED="time", SPLIT="name",
            ROUTE="number", HOLD="name",
        )  # fmt: skip
        rows = [(*prompt[:5], _split(prompt), prompt.route_steps or None, _hold(prompt)) for prompt in prompts]
        if stream.for_people():
            # SPLIT, ROUTE and HOLD are shown if a prompt has one. A narrow terminal leaves out VERSIONS to make room.
            optional_places = [place for place in (5, 6, 7) if any(row[place] is not None for row in rows)]
            if optional_places:
                columns[3] = Column("VERSIONS", "extra")
            places = [*range(5), *optional_places]
            columns, rows = [columns[place] for place in places], [[row[place] for place in places] for row in rows]
        tables.show(columns, rows)
    if form == "plain":
        answers.note_omitted(total - len(prompts), "more")


def shows_days() -> bool:
    """Whether an overview has the uses of each day: on a terminal with room for them."""
    return stream.to_terminal() and stream.width() >= _COLUMNS_FOR_DAYS


def show_overview(overview: Overview, name: str, limit: int) -> None:
    """Show a prompt to people: its state, its newest `limit` versions (0 for all), and the active text."""
    versions, total, active = overview.versions, overview.total, overview.active
    answers.write_line(_state_sentence(name, overview.state, active.settings if active else None))
    stream.write("\n")
    columns = table_columns.columns(
        VERSION="number", USES="number", TOKENS="number", TIME="duration", CREATED="time", BY="person"
    )
    rows: list[list[Any]] = [
        [v.version, v.uses, v.avg_tokens, v.avg_response_time_ms, v.created_at, v.created_by] for v in versions
    ]
    # A column of dashes would take the room of the others.
    if any(version.description for version in versions):
        columns.append(Column("DESCRIPTION", "text"))
        rows = [[*row, version.description] for row, version in zip(rows, versions, strict=True)]
    if any(version.days for version in versions):
        from promptctl.output import sparklines

        columns.insert(2, Column("14 DAYS", "trend"))
        trends = sparklines.of_days([version.days for version in versions])
        rows = [[*row[:2], trend or table_columns.BLANK, *row[2:]] for row, trend in zip(rows, trends, strict=True)]
    if any(version.basis_points is not None for version in versions):
        columns.insert(1, Column("SHARE", "number"))
        rows = [[row[0], _share(v.basis_points), *row[1:]] for row, v in zip(rows, versions, strict=True)]
    if any(version.commit for version in versions):
        columns.append(Column("COMMIT", "detail"))
        rows = [[*row, version.commit] for row, version in zip(rows, versions, strict=True)]
    has_star = [version.is_active for version in versions]
    # After the newest versions come the active one and the candidate, if they are older. Mark the gap before each of
    # them. The last one comes first, so that an inserted row does not shift the others.
    for place in reversed(range(limit or len(rows), len(rows))):
        if versions[place].version != versions[place - 1].version - 1:
            rows.insert(place, [_OMITTED, *[table_columns.BLANK] * (len(columns) - 1)])
            has_star.insert(place, False)
    tables.show(columns, rows, marked=lambda place: has_star[place])
    answers.note_omitted(total - len(versions), "older")
    stream.write("\n")
    if active is not None and active.variables:
        variables = templates.describe(active.variables.split(), active.settings)
        answers.write_fact("variables", variables)
        stream.write("\n")
    if active is not None and "request" in active.settings:
        from promptctl.output import request_view

        lines = request_view.lines(active.settings, f"{name}@{active.version}")
        for line in lines:
            answers.write_line(line)
        stream.write("\n")
    if active is not None and (sentences := _caching_sentences(active.content, active.settings)):
        for line in stream.wrapped(sentences):
            answers.write_line(line, stream.DIM)
        stream.write("\n")
    if active is not None:
        answers.write_content(active.content)
    else:
        answers.write_line("no active version", stream.DIM)


def note_archived(name: str, archived: tuple[Timestamp, str, str | None]) -> None:
    """Report when a prompt was archived, by whom and why, and the command that restores it."""
    from promptctl.output import time_text

    archived_at, author, reason = archived
    answers.note_or_write_line(
        f"{name} was archived {time_text.moment(archived_at)} by {author}{f': {reason}' if reason else ''}"
    )
    messages.note(f"promptctl delete --undo {name} restores it")


def note_state(active: VersionText, state: PromptState) -> None:
    """Report the state of a prompt whose active text is the answer."""
    answers.note_or_write_line(_state_sentence(active.name, state, active.settings))


def note_version(text: VersionText, status: VersionStatus) -> None:
    """Report the state, origin, description and settings of a version whose text is the answer."""
    from promptctl.output import text_width

    if status.is_active:
        version_state = "active"
    elif status.basis_points is not None:
        version_state = f"candidate, gets {shares.percent(status.basis_points)}"
    elif status.archived_at is not None:
        version_state = f"archived {_when(status.archived_at)}"
    else:
        version_state = "not active"
    parts = [
        f"{text.name}@{text.version}: {version_state}",
        f"created {_when(status.created_at)} by {_short(status.created_by)}",
    ]
    if status.description:
        parts.append(text_width.cut(status.description, _LONGEST_DESCRIPTION))
    answers.note_or_write_line("; ".join([*parts, *_noted_settings(text.settings)]))
    if status.last_test is not None:
        answers.note_or_write_line(test_sentence(status.last_test))


def _noted_settings(settings: Mapping[str, Any]) -> list[str]:
    """Return the settings that the first line about a version names, in a pipe with the keys of its request."""
    parts = [f"{key} {_short(str(settings[key]))}" for key in _NOTED_SETTINGS if settings.get(key)]
    if "request" in settings and not stream.to_terminal():
        from promptctl.output import request_view

        if keys := request_view.keys(settings):
            parts.append(f"request with {_short(keys)}")
    return parts


def test_sentence(test: Mapping[str, Any]) -> str:
    """Return the verdict of the last test: `test: not worse than support@2, 2 hours ago, run 7`."""
    against = test["against_name"]
    if against is not None and test["against_version"] is not None:
        against = f"{against}@{test['against_version']}"
    verdict = test["verdict"]
    if against is not None:
        verdict += f", against {against}" if verdict == "undecided" else f" than {against}"
    return f"test: {verdict}, {_when(test['ended_at'])}, run {test['run']}"


def note_active_at(text: VersionText, time: Timestamp) -> None:
    """Report which version was active at a time: RFC 3339, or `-2h` for two hours ago."""
    when = f"{time[1:]} ago" if time.startswith("-") else f"at {time}"
    answers.note_or_write_line(f"{text.name}@{text.version} was active {when}")


def _when(time: Timestamp) -> str:
    """Return a time as `2 hours ago` on a terminal, as `at 2026-11-12T09:30:00Z` in a pipe."""
    if not stream.to_terminal():
        return f"at {time[:19]}Z"
    from promptctl.output import time_text

    return time_text.ago(time)


def _short(text: str) -> str:
    """Shorten a name in the middle, to leave room on the line."""
    from promptctl.output import text_width

    return text_width.cut_middle(text, _LONGEST_NAME)


def _state_sentence(name: str, state: PromptState, settings: Mapping[str, Any] | None) -> str:
    """Return the state of a prompt: active version, when and by whom it was activated, split, route, hold and model."""
    if state.active_version is None:
        parts = [f"{name}: no version is active"]
    else:
        parts = [f"{name}: version {state.active_version} is active"]
    if state.changed_at is not None:
        moved = "deactivated" if state.active_version is None else "activated"
        parts[0] += f", {moved} {_when(state.changed_at)} by {_short(state.author or '')}"
    if state.candidate_version is not None:
        rollout = f" in rollout {state.rollout}, {state.rollout_state}" if state.rollout is not None else ""
        parts.append(f"version {state.candidate_version} gets {shares.percent(state.basis_points)}{rollout}")
    if state.route_steps:
        parts.append(f"a route of {state.route_steps} step{'s' * (state.route_steps != 1)}")
    if state.source_version is not None:
        parts.append(f"held, the folder names {state.source_version}")
    return "; ".join([*parts, *_noted_settings(settings or {})])


def note_variables(variables: str, settings: Mapping[str, Any]) -> None:
    """Report the variables of a version, if it has any."""
    if variables:
        messages.note(f"variables: {templates.describe(variables.split(), settings)}")


def note_request(settings: Mapping[str, Any], reference: str) -> None:
    """Report the keys of the request of a version, if it has one: `request: thinking, tools (get_weather, search)`."""
    if "request" not in settings:
        return
    from promptctl.output import request_view

    for line in request_view.lines(settings, reference):
        messages.note(line)


def note_caching(content: str, settings: Mapping[str, Any]) -> None:
    """Report how much of a version Claude can cache, if it has the setting `cache`."""
    for line in stream.wrapped(_caching_sentences(content, settings)):
        messages.note(line)


def _caching_sentences(content: str, settings: Mapping[str, Any]) -> list[str]:
    if "cache" not in settings:
        return []
    from promptctl.rules import caching

    return caching.notes(content, settings)


def note_origin(origin: Mapping[str, Any] | None) -> None:
    """Report the file that a version came from, if any: `from prompts/greeter/v2.txt at 9f3c2ab by ada`."""
    if origin:
        author = f" by {origin['author']}" if origin.get("author") else ""
        messages.note(f"from {origin['path']}{commit_clause(origin)}{author}")


def commit_clause(origin: Mapping[str, Any] | None) -> str:
    """Return the commit of an origin as ` at 9f3c2ab, not committed`; '' without a commit."""
    if not origin or not origin.get("commit"):
        return ""
    return f" at {short_hash(origin['commit'])}" + (", not committed" if origin.get("dirty") else "")


def size(content: str) -> str:
    """Return the size of a text in UTF-8: `805 bytes`."""
    count = len(content.encode())
    return f"{count} byte{'s' * (count != 1)}"


def _split(prompt: PromptSummary) -> str | None:
    if prompt.candidate_version is None:
        return None
    return f"{prompt.candidate_version} at {shares.percent(prompt.basis_points)}"


def _hold(prompt: PromptSummary) -> str | int | None:
    """Return the version that the folder names while a hold keeps another one active. A pipe has the number alone."""
    folder_version = prompt.source_version
    return f"folder {folder_version}" if folder_version is not None and stream.for_people() else folder_version


def _share(basis_points: int | None) -> str | None:
    return None if basis_points is None else shares.percent(basis_points)
