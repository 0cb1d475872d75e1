"""Texts of versions: of a named version, of the active one, of the one that a unit gets, and of an earlier time."""

from __future__ import annotations

from promptctl import errors
from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.store import prompt_states

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class VersionText(Record):
    """The text of one version, with what is needed to render it, and its origin.

    `variables` are the names in the text, joined by spaces.
    """

    name: str
    version: int
    content: str
    settings: dict[str, Any]
    variables: str
    id: str
    origin: dict[str, Any] | None


class ServedVersion(Record):
    """A version to use now, and the epoch to record its uses in. `is_active` is whether it is the active version.

    `epoch` is 0 if the caller chose the version, or got the active one without a unit during a split.
    `seed` is hashed with a unit to select the unit's bucket.
    """

    id: str
    name: str
    version: int
    epoch: int
    content: str
    settings: dict[str, Any]
    is_active: bool
    retired_at: Timestamp | None
    seed: str


class VersionStatus(Record):
    """The status of one version. `archived_at` is None for a version in use.

    `basis_points` is its share of 10 000 if it is the candidate of a split, else None. `last_test` is its last verdict,
    with the keys that docs/json.md lists, None if it was not tested.
    """

    is_active: bool
    basis_points: int | None
    archived_at: Timestamp | None
    created_at: Timestamp
    created_by: str
    description: str | None
    last_test: dict[str, Any] | None


# The last verdict of a version v as JSON, null if it was not tested.
LAST_TEST = """
    (select jsonb_build_object(
        'run', t.run, 'verdict', t.verdict, 'against_name', t.against_name, 'against_version', t.against_version,
        'change', t.change, 'lower', t.lower, 'upper', t.upper,
        'ended_at', to_char(t.ended_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
     from promptctl.version_verdicts t where t.name = v.name and t.version = v.version)
"""
_TEXT_AND_STATUS = f"""
    select v.name, v.version, v.content, v.settings, array_to_string(v.variables, ' '), v.id, v.origin,
           coalesce(v.version = s.active_version, false),
           case when v.version = s.candidate_version then s.basis_points end,
           coalesce(v.retired_at, s.archived_at), v.created_at, v.created_by, v.metadata ->> 'description', {LAST_TEST}
    from promptctl.served s
    join promptctl.versions v on v.name = s.name
    where s.name = $1 and v.version = $2 and v.erased_at is null
"""  # noqa: S608 - of constants
ACTIVE_TEXT = """
    select v.name, v.version, v.content, v.settings, array_to_string(v.variables, ' '), v.id, v.origin
    from promptctl.served s
    join promptctl.versions v on v.name = s.name and v.version = s.active_version
    where s.name = $1
"""


def read_text(database: Database, reference: Reference) -> VersionText:
    """Return the text of a version; a bare name means the active version. Raises NotFound."""
    rows = database.run(
        """
        select v.name, v.version, v.content, v.settings, array_to_string(v.variables, ' '), v.id, v.origin
        from promptctl.versions v
        where v.name = $1
          and v.version = coalesce($2::integer,
                                   (select s.active_version from promptctl.served s where s.name = $1))
          and v.erased_at is null
        """,
        reference.name,
        reference.version,
    )
    if not rows:
        raise prompt_states.not_found_error(database, reference)
    return VersionText(*rows[0])


def read_active_text(database: Database, name: str) -> tuple[VersionText, prompt_states.PromptState]:
    """Return the active text of a prompt, and the state of the prompt. Raises NotFound."""
    rows, state = database.run_all((ACTIVE_TEXT, [name]), (prompt_states.PROMPT_STATE, [name]))
    if not rows:
        raise prompt_states.not_found_error(database, Reference(name, None))
    return VersionText(*rows[0]), prompt_states.PromptState(*state[0])


def read_text_and_status(database: Database, reference: Reference) -> tuple[VersionText, VersionStatus]:
    """Return the text and the status of a version, which may be archived. Raises NotFound."""
    rows = database.run(_TEXT_AND_STATUS, reference.name, reference.version)
    if not rows:
        raise prompt_states.not_found_error(database, reference)
    return VersionText(*rows[0][:7]), VersionStatus(*rows[0][7:])


def read_contents(database: Database, references: Collection[Reference]) -> dict[tuple[str, int], str]:
    """Return the contents of versions, by name and number; each reference must have a version."""
    rows = database.run(
        """
        select v.name, v.version, v.content
        from unnest($1::text[], $2::integer[]) r (name, version)
        join promptctl.versions v on v.name = r.name and v.version = r.version
        """,
        [reference.name for reference in references],
        [reference.version for reference in references],
    )
    return {(name, number): content for name, number, content in rows}


def read_served_version(database: Database, reference: Reference, unit: str | None = None) -> ServedVersion:
    """Return the version to use now: the named version, else the one that `unit` gets, else the active version.

    A named version may be archived. Raises NotFound.
    """
    if reference.version is None and unit is not None:
        rows = database.run(
            """
            select v.id, r.name, r.version, r.epoch, r.content, r.settings,
                   coalesce(s.active_version = r.version, false), v.retired_at,
                   coalesce(s.seed, s.name)
            from promptctl.resolve($1, $2) r
            join promptctl.versions v on v.name = r.name and v.version = r.version
            join promptctl.served s on s.name = r.name
            """,
            reference.name,
            unit,
        )
    else:
        rows = database.run(
            """
            select v.id, v.name, v.version,
                   case when $2::integer is null and s.candidate_version is null then s.epoch else 0 end,
                   v.content, v.settings,
                   coalesce(s.active_version = v.version, false), v.retired_at,
                   coalesce(s.seed, s.name)
            from promptctl.served s
            join promptctl.versions v on v.name = s.name and v.version = coalesce($2::integer, s.active_version)
            where s.name = $1 and v.erased_at is null
            """,
            reference.name,
            reference.version,
        )
    if not rows:
        raise prompt_states.not_found_error(database, reference)
    return ServedVersion(*rows[0])


def read_text_at(database: Database, name: str, time: Timestamp) -> VersionText:
    """Return the text that was active at a time: RFC 3339, or `-2h` for two hours ago. Raises NotFound."""
    rows = database.run(
        """
        select a.version, v.content, v.settings, array_to_string(v.variables, ' '), v.id, v.origin
        from promptctl.allocations a
        left join promptctl.versions v on v.name = a.name and v.version = a.version and v.erased_at is null
        where a.name = $1
          and a.changed_at <= case when $2 like '-%' then now() + $2::interval else $2::timestamptz end
        order by a.epoch desc limit 1
        """,
        name,
        time,
    )
    version, content = rows[0][:2] if rows else (None, None)
    if version is not None and content is None:  # erased since then
        raise prompt_states.not_found_error(database, Reference(name, version))
    if version is not None:
        return VersionText(name, *rows[0])
    if not rows:
        prompt_states.require_prompt(database, name)
    when = f"{time[1:]} ago" if time.startswith("-") else f"at {time}"
    raise errors.NotFound(
        "no_active_version",
        f'"{name}" had no active version {when} in {database.label}',
        hint=f"promptctl history {name}",
    )
