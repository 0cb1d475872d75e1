"""Reading prompts: which there are, their versions, their texts, and what was live at a moment."""

from __future__ import annotations

from promptctl import errors
from promptctl.records import Record
from promptctl.rules.references import Reference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any, LiteralString

    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp


class PromptSummary(Record):
    """A prompt in a list. `versions` counts those in use; `updated_at` is its last new version or move.

    `candidate_version` has `basis_points` of 10 000 while a split runs, None: none does. `route_steps` is the length of
    its route. `source_version` is the version that the folder in Git names, where an operator's move holds another.
    """

    __slots__ = ()
    name: str
    active_version: int | None
    latest_version: int | None
    versions: int
    updated_at: Timestamp
    candidate_version: int | None
    basis_points: int
    route_steps: int
    source_version: int | None


class Version(Record):
    """One version, whole. `stats` has the keys that docs/sql.md gives for the view `prompts`.

    `origin` is where it came from, as docs/json.md has it, and `release` the release that stored it. `variables` are
    the names in the template, in the order of their first places, joined by spaces. `candidate_basis_points` is its
    share of 10 000 as the candidate of a split, None: it is none. `prompt_archived_at` None: the prompt is in use.
    """

    __slots__ = ()
    name: str
    version: int
    id: str
    content: str
    is_active: bool
    created_at: Timestamp
    created_by: str
    metadata: dict[str, Any]
    settings: dict[str, Any]
    variables: str
    stats: dict[str, Any]
    retired_at: Timestamp | None
    origin: dict[str, Any] | None
    release: int | None
    candidate_basis_points: int | None
    prompt_archived_at: Timestamp | None


class VersionSummary(Record):
    """One version in a list, without its content. Averages are None when no use reported the number.

    `commit` is the one that it came from, as people write it, `9f3c2ab-dirty` when it was not in it; None: from none.
    `basis_points` is its share while a split runs, the active one's or the candidate's, of 10 000.
    """

    __slots__ = ()
    name: str
    version: int
    is_active: bool
    created_at: Timestamp
    created_by: str
    description: str | None
    uses: int
    errors: int
    avg_tokens: float | None
    avg_response_time_ms: float | None
    last_used_at: Timestamp | None
    commit: str | None
    basis_points: int | None


class Text(Record):
    """What a reference stands for: the content of one version, what is to be known of it as a template, its origin."""

    __slots__ = ()
    name: str
    version: int
    content: str
    settings: dict[str, Any]
    variables: str
    id: str
    origin: dict[str, Any] | None


class Served(Record):
    """A version to use now and the epoch to record its uses in. `is_active`: it is the active version.

    `seed` decides a unit's bucket.
    """

    __slots__ = ()
    id: str
    name: str
    version: int
    epoch: int
    content: str
    settings: dict[str, Any]
    is_active: bool
    retired_at: Timestamp | None
    seed: str


class Standing(Record):
    """What is served of a prompt, since when and by whom; None: nothing, nobody yet.

    `basis_points` is the candidate's share of 10 000, `route_steps` the length of its route. `source_version` is the
    version that the folder in Git names, where an operator's move holds another.
    """

    __slots__ = ()
    active_version: int | None
    candidate_version: int | None
    basis_points: int
    route_steps: int
    source_version: int | None
    changed_at: Timestamp | None
    author: str | None


class Described(Record):
    """What is to be known of one version beside its text. `basis_points` is a candidate's share of 10 000.

    None: no candidate, not archived, no description.
    """

    __slots__ = ()
    is_active: bool
    basis_points: int | None
    archived_at: Timestamp | None
    created_at: Timestamp
    created_by: str
    description: str | None


class Overview(Record):
    """A prompt at a glance: its newest versions, the active one and the candidate, and how many there are in all.

    `active` is the active text, None: there is none. `archived` says since when the prompt is archived, by whom and
    why; None: it is in use.
    """

    __slots__ = ()
    versions: list[VersionSummary]
    total: int
    active: Text | None
    archived: tuple[Timestamp, str, str | None] | None
    standing: Standing


# The version that the folder in Git names while an operator's move holds another, of `served` s and `applied` p; else
# null. Where nothing is active, the next sync activates what a folder names that was never applied: that is no hold.
HELD_VERSION: LiteralString = """
           case when p.active_version is distinct from s.active_version
                     and (p.has_applied_version or s.active_version is not null) then p.active_version end
"""

_STANDING = f"""
    select s.active_version, s.candidate_version, s.basis_points,
           jsonb_array_length(coalesce(s.route, '[]')),
           {HELD_VERSION},
           a.changed_at, a.author
    from promptctl.served s
    left join promptctl.applied p on p.name = s.name
    left join lateral (
        select a.changed_at, a.author from promptctl.allocations a
        where a.name = s.name and a.version is distinct from a.previous_version
        order by a.epoch desc limit 1
    ) a on true
    where s.name = $1
"""  # noqa: S608 - of constants

_SUMMARIES = f"""
    select s.name, s.active_version, v.latest_version, coalesce(v.versions, 0)::integer, s.updated_at,
           s.candidate_version, s.basis_points, jsonb_array_length(coalesce(s.route, '[]')),
           {HELD_VERSION}
    from promptctl.served s
    left join promptctl.applied p on p.name = s.name
    left join (
        select v.name, max(v.version) as latest_version, count(*) as versions
        from promptctl.versions v where not v.is_retired
        group by v.name
    ) v on v.name = s.name
    where s.archived_at is null and ($1::text is null or s.name like $1)
    order by s.name
"""  # noqa: S608 - of constants


_VERSIONS = """
    select v.name, v.version, v.id, v.content, coalesce(v.version = s.active_version, false), v.created_at,
           v.created_by, v.metadata, v.settings, array_to_string(v.variables, ' '),
           (select t.stats from promptctl.version_stats t where t.name = v.name and t.version = v.version),
           v.retired_at, v.origin, v.release,
           case when v.version = s.candidate_version then s.basis_points end, s.archived_at
    from promptctl.served s
    join promptctl.versions v on v.name = s.name
    where s.name = $1
      and ($2::integer is null or v.version = $2) and (not $3 or v.version = s.active_version)
      and ($2::integer is not null or not v.is_retired) and v.erased_at is null
    order by v.version desc
"""


def list_prompts(database: Database, pattern: str | None = None) -> list[PromptSummary]:
    """Return the prompts in use by name; `pattern` is a glob (`*`, `?`), without one a part of the name."""
    return [PromptSummary(*row) for row in database.run(_SUMMARIES, like(pattern))]


def first_prompts(database: Database, pattern: str | None, limit: int) -> tuple[list[PromptSummary], int]:
    """Return the first `limit` of what `list_prompts` returns, and how many that would be."""
    wanted = like(pattern)
    rows, total = database.run_all(
        (f"{_SUMMARIES} limit $2", [wanted, limit]),
        (
            """
            select count(*) from promptctl.served s
            where s.archived_at is null and ($1::text is null or s.name like $1)
            """,
            [wanted],
        ),
    )
    return [PromptSummary(*row) for row in rows], total[0][0]


def names(database: Database, prefix: str = "", limit: int = 1000) -> list[str]:
    """Return the names that begin with `prefix`, at most `limit` of them."""
    rows = database.run(
        """
        select s.name from promptctl.served s
        where s.archived_at is null and starts_with(s.name, $1) order by s.name limit $2
        """,
        prefix,
        limit,
    )
    return [row[0] for row in rows]


def version_numbers(database: Database, name: str, limit: int = 1000) -> list[int]:
    """Return the numbers of a prompt's versions in use, newest first, at most `limit` of them; none: no such prompt."""
    rows = database.run(
        """
        select v.version from promptctl.versions v
        where v.name = $1 and not v.is_retired order by v.version desc limit $2
        """,
        name,
        limit,
    )
    return [row[0] for row in rows]


def text(database: Database, reference: Reference) -> Text:
    """Return what a reference stands for; a bare name is its active version. Raises NotFound."""
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
        raise missing(database, reference)
    return Text(*rows[0])


def active_text(database: Database, name: str) -> tuple[Text, Standing]:
    """Return the active text of a prompt, and what else is served of it. Raises NotFound."""
    rows, standing = database.run_all(
        (
            """
            select v.name, v.version, v.content, v.settings, array_to_string(v.variables, ' '), v.id, v.origin
            from promptctl.served s
            join promptctl.versions v on v.name = s.name and v.version = s.active_version
            where s.name = $1
            """,
            [name],
        ),
        (_STANDING, [name]),
    )
    if not rows:
        raise missing(database, Reference(name, None))
    return Text(*rows[0]), Standing(*standing[0])


def described_text(database: Database, reference: Reference) -> tuple[Text, Described]:
    """Return the text of the version that is named, an archived one too, and what is to be known of it.

    Raises NotFound.
    """
    rows = database.run(
        """
        select v.name, v.version, v.content, v.settings, array_to_string(v.variables, ' '), v.id, v.origin,
               coalesce(v.version = s.active_version, false),
               case when v.version = s.candidate_version then s.basis_points end,
               coalesce(v.retired_at, s.archived_at), v.created_at, v.created_by, v.metadata ->> 'description'
        from promptctl.served s
        join promptctl.versions v on v.name = s.name
        where s.name = $1 and v.version = $2 and v.erased_at is null
        """,
        reference.name,
        reference.version,
    )
    if not rows:
        raise missing(database, reference)
    return Text(*rows[0][:7]), Described(*rows[0][7:])


def texts(database: Database, references: Collection[Reference]) -> dict[tuple[str, int], str]:
    """Return the contents of versions, by name and number; each reference has its version."""
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


def served(database: Database, reference: Reference, unit: str | None = None) -> Served:
    """Return the version to use now: the one that is named, else the active one, else what `unit` is given.

    An archived version can be named. Raises NotFound.
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
            select v.id, v.name, v.version, s.epoch, v.content, v.settings,
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
        raise missing(database, reference)
    return Served(*rows[0])


def text_at(database: Database, name: str, moment: Timestamp) -> Text:
    """Return what was the active version of a prompt at a moment: RFC 3339, or `-2h`, so long ago. Raises NotFound."""
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
        moment,
    )
    if rows and rows[0][0] is not None:
        if rows[0][1] is None:
            raise missing(database, Reference(name, rows[0][0]))
        return Text(name, *rows[0])
    if not rows:
        found = database.run("select from promptctl.served s where s.name = $1", name)
        if not found:
            raise missing(database, Reference(name, None))
    when = f"{moment[1:]} ago" if moment.startswith("-") else f"at {moment}"
    raise errors.NotFound(
        "no_active_version",
        f'"{name}" had no active version {when} in {database.label}',
        hint=f"promptctl history {name}",
    )


def version(database: Database, reference: Reference) -> Version:
    """Return one version, whole, an archived one too; a bare name is its active version. Raises NotFound."""
    rows = database.run(_VERSIONS, reference.name, reference.version, reference.version is None)
    if not rows:
        raise missing(database, reference)
    return Version(*rows[0])


def versions(database: Database, name: str) -> tuple[list[Version], Standing]:
    """Return the versions of a prompt in use, whole, newest first, and what is served of it. Raises NotFound."""
    rows, standing = database.run_all((_VERSIONS, [name, None, False]), (_STANDING, [name]))
    if not standing:
        raise missing(database, Reference(name, None))
    return [Version(*row) for row in rows], Standing(*standing[0])


def overview(database: Database, name: str, limit: int) -> Overview:
    """Return the newest `limit` versions of a prompt (0: all) and what is served of it. Raises NotFound."""
    summaries, total, active, archived, standing = database.run_all(
        (
            """
            select v.name, v.version, coalesce(v.version = s.active_version, false), v.created_at, v.created_by,
                   v.metadata ->> 'description', (u.stats -> 'total_uses')::bigint, (u.stats -> 'errors')::bigint,
                   (u.stats -> 'avg_tokens')::float8, (u.stats -> 'avg_response_time_ms')::float8,
                   (u.stats ->> 'last_used_at')::timestamptz,
                   left(v.origin ->> 'commit', 7) || case when v.origin -> 'dirty' = 'true' then '-dirty' else '' end,
                   case when s.candidate_version is not null then
                       case v.version when s.candidate_version then s.basis_points
                                      when s.active_version then 10000 - s.basis_points end
                   end
            from promptctl.served s
            join promptctl.versions v on v.name = s.name and not v.is_retired
            -- Without the offset each of the five would compute it anew.
            cross join lateral (
                select t.stats from promptctl.version_stats t where t.name = v.name and t.version = v.version offset 0
            ) u
            where s.name = $1
              and ($2::integer = 0 or v.version in (s.active_version, s.candidate_version)
                   or v.version >= (select min(newest.version)
                                    from (select w.version from promptctl.versions w
                                          where w.name = $1 and not w.is_retired
                                          order by w.version desc limit $2::integer) newest))
            order by v.version desc
            """,
            [name, limit],
        ),
        ("select count(*) from promptctl.versions v where v.name = $1 and not v.is_retired", [name]),
        (
            """
            select v.name, v.version, v.content, v.settings, array_to_string(v.variables, ' '), v.id, v.origin
            from promptctl.served s
            join promptctl.versions v on v.name = s.name and v.version = s.active_version where s.name = $1
            """,
            [name],
        ),
        (
            """
            select s.archived_at, a.author, a.reason
            from promptctl.served s
            join promptctl.allocations a on a.name = s.name and a.epoch = s.epoch
            where s.name = $1 and s.archived_at is not null
            """,
            [name],
        ),
        (_STANDING, [name]),
    )
    if not standing:
        raise missing(database, Reference(name, None))
    return Overview(
        [VersionSummary(*row) for row in summaries],
        total[0][0],
        Text(*active[0]) if active else None,
        archived[0] if archived else None,
        Standing(*standing[0]),
    )


def missing(database: Database, reference: Reference) -> errors.NotFound:
    """Return the error that says which part of a reference is not there."""
    rows = database.run(
        """
        select (select max(v.version) from promptctl.versions v where v.name = s.name and not v.is_retired),
               s.archived_at is not null,
               exists (select from promptctl.versions v
                       where v.name = s.name and v.version = $2 and v.erased_at is not null)
        from promptctl.served s where s.name = $1
        """,
        reference.name,
        reference.version,
    )
    if not rows:
        return errors.NotFound(
            "prompt_not_found", f'no prompt "{reference.name}" in {database.label}', name=reference.name
        )
    latest, is_archived, is_erased = rows[0]
    if is_erased:
        return errors.NotFound(
            "version_erased",
            f"{reference} was erased in {database.label}",
            hint=f"promptctl history {reference.name}",
        )
    if reference.version is None and is_archived:
        return errors.NotFound(
            "no_active_version",
            f'"{reference.name}" is archived in {database.label}',
            hint=f"promptctl delete --undo {reference.name}",
        )
    if reference.version is None:
        return errors.NotFound(
            "no_active_version",
            f'"{reference.name}" has no active version in {database.label}',
            hint=f"promptctl activate {reference.name}@{latest}" if latest else f"promptctl create {reference.name}",
        )
    return errors.NotFound(
        "version_not_found",
        f'"{reference.name}" has no version {reference.version} in {database.label}',
        hint=f"promptctl show {reference.name}",
    )


def raise_if_unknown(database: Database, name: str) -> None:
    """Raise NotFound if there is no such prompt."""
    if not database.run("select from promptctl.served s where s.name = $1", name):
        raise missing(database, Reference(name, None))


def like(pattern: str | None) -> str | None:
    """Return a glob (`*`, `?`), or a part of a name, as LIKE has it."""
    if pattern is None:
        return None
    escaped = pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    if "*" not in pattern and "?" not in pattern:
        return f"%{escaped}%"
    return escaped.replace("*", "%").replace("?", "_")
