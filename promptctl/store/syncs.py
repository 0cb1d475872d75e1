"""What a sync reads and remembers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.records import Record
from promptctl.rules.targeting import Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from promptctl.folder.provenance import Commit
    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp

    Route = list[dict[str, Any]]

_REMEMBERED_AT_A_TIME = 1000


class StoredVersion(Record):
    """What the database has of one version; `sha256` in hexadecimal, names of variables joined by spaces.

    `source` is the source whose sync stored it, None: it was created in another way.
    """

    __slots__ = ()
    sha256: str
    settings: dict[str, Any]
    metadata: dict[str, Any]
    is_retired: bool
    required_variables: str
    created_by: str
    source: str | None
    is_erased: bool = False


class Hold(Record):
    """Who moved what Git now finds otherwise, how (the history's word), when and why; `undone`: a release put back."""

    __slots__ = ()
    by: str
    how: str
    at: Timestamp
    why: str | None
    undone: int | None


class StoredPrompt(Record):
    """What the database has of one prompt, who moved it last, and what was applied last.

    `applied_source` None: nothing was ever applied; `applied_version` and `applied_route` None: it said nothing of it
    then; `has_said_version` and `has_said_route`: it did at some time. `candidate_version` has `basis_points` of 10 000
    while a split runs, None: none does. One that `is_archived` does not change.
    """

    __slots__ = ()
    name: str
    active_version: int | None
    next_version: int
    epoch: int
    route: Route | None
    moved: Hold | None
    applied_source: str | None
    applied_version: int | None
    applied_route: Route | None
    has_said_version: bool
    has_said_route: bool
    applied_metadata: dict[str, dict[str, Any]]
    versions: dict[int, StoredVersion]
    candidate_version: int | None = None
    basis_points: int = 0
    is_archived: bool = False


class SourceState(Record):
    """What was applied of a source: the commit, if there was one, and its prompts; `is_known`: it was ever applied.

    `digests` has by name the digest of the files as they were applied; `unsettled` are the prompts that are to be
    compared again even so; `live` is what is active of each, None: nothing.
    """

    __slots__ = ()
    commit: str | None
    committed_at: Timestamp | None
    digests: dict[str, str]
    unsettled: frozenset[str]
    live: dict[str, int | None]
    is_known: bool = True


class OtherSource(Record):
    """A source from which prompts come; `repository` and `path` are those of its last release, None: not known."""

    __slots__ = ()
    source: str
    repository: str | None
    path: str | None


def lock(database: Database, say: Callable[[str], None]) -> None:
    """Wait, for at most a minute, until no other sync runs here; the lock lasts until the transaction ends.

    `say` gets a line when there is something to wait for. Raises Refused, naming who has it in hand.
    """
    [(holder,)] = database.run("select promptctl.begin_sync_alone()")
    if holder is not None:
        say(f"waiting for another sync in {database.label}: {holder}")
        try:
            database.run_all(
                ("select set_config('lock_timeout', '60s', true)", []),
                ("select promptctl.begin_sync_alone(waits => true)", []),
            )
        except errors.Refused:
            raise errors.Refused(
                "locked", f"another sync has gone on for a minute in {database.label}: {holder}", hint="run it again"
            ) from None


def lock_prompts(database: Database, names: Sequence[str]) -> None:
    """Lock the rows of these prompts, in name order, and make those that are not there yet.

    From then on nobody moves one of them until the transaction ends. One that differs from another only in case is left
    out. Raises Refused, naming who holds one.
    """
    database.run(
        """
        select promptctl.begin_sync(array(
            select n from unnest($1::text[]) n
            where not exists (select from promptctl.served s where lower(s.name) = lower(n) and s.name <> n)))
        """,
        list(names),
    )


def source_state(database: Database, source: str) -> SourceState:
    """Return what was applied of a source.

    A prompt is to be compared again when it is not as it was left: another version is live than the source said, there
    are versions that the source does not know, or a correction or a route was made since.
    """
    commits, prompts = database.run_all(
        ("select s.commit, s.committed_at from promptctl.sources s where s.source = $1", [source]),
        (
            # One cell: ten thousand rows would take longer to be handed over than to be found.
            """
            select string_agg(concat_ws(' ', a.name, coalesce(s.active_version, 0),
                                        coalesce(encode(a.digest, 'hex'), '-'),
                                        case when not a.is_settled or a.next_version is distinct from s.next_version
                                                  or a.active_version <> coalesce(s.active_version, 0)
                                             then 'unsettled' end), chr(10))
            from promptctl.applied a
            join promptctl.served s on s.name = a.name
            where a.source = $1
            """,
            [source],
        ),
    )
    commit, committed_at = commits[0] if commits else (None, None)
    digests: dict[str, str] = {}
    live: dict[str, int | None] = {}
    unsettled: list[str] = []
    for line in prompts[0][0].split("\n") if prompts and prompts[0][0] else ():
        name, active, digests[name], *more = line.split(" ")
        live[name] = int(active) or None
        if more:
            unsettled.append(name)
    return SourceState(commit, committed_at, digests, frozenset(unsettled), live, bool(commits))


def sources(database: Database) -> list[OtherSource]:
    """Return every source from which prompts come."""
    rows = database.run(
        """
        select s.source, r.origin ->> 'repository', r.origin ->> 'path'
        from promptctl.sources s
        left join lateral (
            select x.origin from promptctl.releases x where x.source = s.source order by x.release desc limit 1
        ) r on true
        where exists (select from promptctl.applied a where a.source = s.source)
        order by s.source
        """
    )
    return [OtherSource(*row) for row in rows]


def applied_names(database: Database) -> dict[str, str]:
    """Return which source each prompt comes from, by name; prompts that come from none are left out."""
    return dict(database.run("select a.name, a.source from promptctl.applied a"))


def stored_hashes(database: Database, names: Sequence[str]) -> dict[str, set[str]]:
    """Return by name the SHA-256 of the texts of prompts, in hexadecimal."""
    rows = database.run(
        """
        select v.name, string_agg(encode(v.sha256, 'hex'), ' ') from promptctl.versions v
        where v.name = any ($1) group by v.name
        """,
        list(names),
    )
    return {name: set(hashes.split()) for name, hashes in rows}


def unclaimed(database: Database) -> list[str]:
    """Return the names of the prompts with a version in use that come from no source."""
    rows = database.run(
        """
        select s.name from promptctl.served s
        where not exists (select from promptctl.applied a where a.name = s.name) and s.archived_at is null
          and exists (select from promptctl.versions v where v.name = s.name and not v.is_retired)
        order by s.name
        """
    )
    return [row[0] for row in rows]


def stored(database: Database, names: Sequence[str]) -> tuple[dict[str, StoredPrompt], dict[str, str]]:
    """Return what the database has of these prompts, by name, and its spelling of each name, by lower case."""
    prompts, versions = database.run_all(
        (
            """
            select s.name, s.active_version, s.next_version, s.epoch, s.route, p.source, p.active_version, p.route,
                   coalesce(p.has_applied_version, false), coalesce(p.has_applied_route, false), p.metadata,
                   s.candidate_version, s.basis_points, s.archived_at is not null, a.author, a.kind, a.changed_at,
                   a.reason, r.undoes
            from promptctl.served s
            left join lateral (
                select a.author, a.kind, a.changed_at, a.reason, a.release from promptctl.allocations a
                where a.name = s.name
                  and (a.version is distinct from a.previous_version or a.kind in ('archive', 'restore'))
                order by a.epoch desc limit 1
            ) a on true
            left join promptctl.releases r on r.release = a.release
            left join promptctl.applied p on p.name = s.name
            -- Without those that this sync has just made room for: there is nothing to say of them.
            where lower(s.name) = any ($1) and s.next_version > 1
            """,
            [[name.lower() for name in names]],
        ),
        (
            """
            select v.name, v.version, encode(v.sha256, 'hex'), v.settings, v.metadata, v.is_retired,
                   array_to_string(v.required_variables, ' '), v.created_by, r.source, v.erased_at is not null
            from promptctl.versions v
            left join promptctl.releases r on r.release = v.release
            where v.name = any ($1)
            """,
            [list(names)],
        ),
    )
    by_name: dict[str, dict[int, StoredVersion]] = {}
    for name, number, *rest in versions:
        by_name.setdefault(name, {})[number] = StoredVersion(*rest)
    found: dict[str, StoredPrompt] = {}
    for name, active, following, epoch, route, source, version, said, *more in prompts:
        has_said_version, has_said_route, metadata, candidate, basis_points, is_archived, *moved = more
        hold = Hold(*moved) if moved[0] is not None else None
        found[name] = StoredPrompt(
            name, active, following, epoch, route, hold, source, version, said, has_said_version, has_said_route,
            metadata or {}, by_name.get(name, {}), candidate, basis_points, is_archived,
        )  # fmt: skip
    return found, {name.lower(): name for name in found}


def surroundings(database: Database, names: Sequence[str]) -> Surroundings:
    """Return what routes that lead to these prompts lead to: their versions in use, and every route there is."""
    versions, routes = database.run_all(
        (
            """
            select s.name, array_to_string(array(
                       select v.version from promptctl.versions v where v.name = s.name and not v.is_retired), ' ')
            from promptctl.served s where s.name = any ($1)
            """,
            [list(names)],
        ),
        ("select s.name, s.route from promptctl.served s where s.route is not null", []),
    )
    return Surroundings({name: frozenset(map(int, numbers.split())) for name, numbers in versions}, dict(routes))


def open_release(database: Database, source: str, origin: Mapping[str, Any], *, author: str, reason: str) -> int:
    """Begin the release of a sync, to which the transaction then adds; its number."""
    return int(database.run("select promptctl.open_release($1, $2, $3, $4)", author, reason, source, origin)[0][0])


def note_source(database: Database, source: str, commit: Commit | None, *, author: str) -> None:
    """Remember that this commit of a source was applied."""
    database.run(
        "select promptctl.note_source($1, $2, $3, $4)",
        source,
        commit.hash if commit else None,
        commit.committed_at if commit else None,
        author,
    )


def note_applied(
    database: Database, source: str, prompts: Sequence[Mapping[str, Any]], *, author: str, adopts: bool
) -> None:
    """Remember what a source said of prompts: mappings with the fields of changes.Applied.

    Raises Refused for a prompt of another source, unless it `adopts`.
    """
    import json

    # Some at a time: one document of ten thousand took as long again, for memory that the server had to ask for.
    for start in range(0, len(prompts), _REMEMBERED_AT_A_TIME):
        said = json.dumps(prompts[start : start + _REMEMBERED_AT_A_TIME], ensure_ascii=False)
        database.run("select promptctl.note_applied($1, $2, $3, $4)", source, said, author, adopts)
