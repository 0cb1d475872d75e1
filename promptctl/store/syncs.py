"""The statements of a sync: what it reads, and what it records as applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.records import Record
from promptctl.rules.targeting import RouteGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, LiteralString

    from promptctl.folder.provenance import Commit
    from promptctl.postgres.database import Database
    from promptctl.records import Timestamp

    Route = list[dict[str, Any]]

_PROMPTS_PER_STATEMENT = 1000


class StoredVersion(Record):
    """What the database has of one version. `sha256` is the hash of its text, in hexadecimal.

    `required_variables` are names joined by spaces. `source` is the source whose sync stored the version, None for a
    version that was created in another way.
    """

    sha256: str
    settings: dict[str, Any]
    metadata: dict[str, Any]
    is_archived: bool
    required_variables: str
    created_by: str
    source: str | None
    is_erased: bool = False


class LastMove(Record):
    """The last move of a prompt. `kind` is a kind of HistoryEvent, `undone_release` the release that it rolled back."""

    author: str
    kind: str
    changed_at: Timestamp
    reason: str | None
    undone_release: int | None

    def as_json(self) -> dict[str, Any]:
        """Return the move with the keys that docs/json.md lists."""
        return {
            "by": self.author,
            "how": self.kind,
            "at": self.changed_at,
            "why": self.reason,
            "undone": self.undone_release,
        }


class LastRollout(Record):
    """The last rollout of a prompt; `state` and `why` are as in rollouts.Rollout.

    `is_newest` is whether it has ended after the last move of the prompt, or not ended yet.
    """

    rollout: int
    candidate: int
    state: str
    why: str | None
    is_newest: bool

    @property
    def is_open(self) -> bool:
        """Whether it runs or is paused."""
        return self.state in ("running", "paused")


class Promotion(Record):
    """The last rollout that promoted the version which is active now, and its baseline."""

    rollout: int
    baseline: int


class StoredPrompt(Record):
    """What the database has of one prompt, its last move, and what the last sync applied.

    `applied_source` is the source of that sync, None if there was none. `applied_version` and `applied_route` are what
    its folder set, None if it set none. `has_applied_version` and `has_applied_route` are whether the folder of any
    sync ever set one. `candidate_version` is None if no split runs, and `basis_points` is its share of 10 000. An open
    rollout has a split too. `promotion` is None if no rollout promoted the active version. `case_hashes` are
    those of its test cases in their order, in hexadecimal. `margin` is that of its tests, None without one.
    """

    name: str
    active_version: int | None
    next_version: int
    epoch: int
    route: Route | None
    last_move: LastMove | None
    applied_source: str | None
    applied_version: int | None
    applied_route: Route | None
    has_applied_version: bool
    has_applied_route: bool
    applied_metadata: dict[str, dict[str, Any]]
    versions: dict[int, StoredVersion]
    candidate_version: int | None = None
    basis_points: int = 0
    is_archived: bool = False
    last_rollout: LastRollout | None = None
    promotion: Promotion | None = None
    case_hashes: tuple[str, ...] = ()
    margin: float | None = None

    @property
    def open_rollout(self) -> LastRollout | None:
        """The last rollout, if it runs or is paused."""
        return self.last_rollout if self.last_rollout is not None and self.last_rollout.is_open else None


class SourceState(Record):
    """What was applied of a source: its commit, if it had one, and its prompts.

    The keys of `digests` and `active_versions` are names of prompts. A digest is that of the prompt's files as they
    were applied. A prompt in `unsettled` is compared again even if its files are unchanged. `has_been_applied` is
    whether the source was ever applied.
    """

    commit: str | None
    committed_at: Timestamp | None
    digests: dict[str, str]
    unsettled: frozenset[str]
    active_versions: dict[str, int | None]
    has_been_applied: bool = True


class OtherSource(Record):
    """A source that has prompts. `repository` and `path` come from the origin of its last release, or are None."""

    source: str
    repository: str | None
    path: str | None


def lock(database: Database, notify: Callable[[str], None]) -> None:
    """Lock out other syncs of this database until the transaction ends.

    If another sync runs, calls `notify` with a line of text, and waits for that sync, at most a minute. Raises Refused
    (`locked`), which names the holder.
    """
    [(holder,)] = database.run("select promptctl.lock_out_other_syncs()")
    if holder is not None:
        notify(f"waiting for another sync in {database.label}: {holder}")
        try:
            database.run_all(
                ("select set_config('lock_timeout', '60s', true)", []),
                ("select promptctl.lock_out_other_syncs(waits => true)", []),
            )
        except errors.Refused:
            raise errors.Refused(
                "locked",
                f"another sync in {database.label} has held the lock for a minute: {holder}",
                hint="run it again",
            ) from None


def start_locking(database: Database, names: Sequence[str]) -> Callable[[], object]:
    """Start to lock the rows of these prompts, in the order of their names, and to insert those that do not exist yet.

    Returns a function that waits for the locks. Call it before the next statement. From then on, until the transaction
    ends, no other session can move one of the prompts. A name that differs from a stored one only in case is left out.
    The function raises Refused (`locked`), which names the holder.
    """
    return database.start(
        """
        select promptctl.lock_prompts_to_sync(array(
            select n from unnest($1::text[]) n
            where not exists (select from promptctl.served s where lower(s.name) = lower(n) and s.name <> n)))
        """,
        list(names),
    )


def source_state(database: Database, source: str) -> SourceState:
    """Return what was applied of a source.

    A prompt is unsettled if the last sync left something to report about it, or if it has changed since: it has another
    active version than the source set, or new versions, or a trigger recorded another change in `is_settled`.
    """
    commits, prompts = database.run_all(
        ("select s.commit, s.committed_at from promptctl.sources s where s.source = $1", [source]),
        (
            # One row with a line for each prompt: fetching ten thousand rows would take longer than finding them.
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
    active_versions: dict[str, int | None] = {}
    unsettled: list[str] = []
    lines: list[str] = prompts[0][0].split("\n") if prompts and prompts[0][0] else []
    for line in lines:
        name, active, digests[name], *words_left = line.split(" ")
        active_versions[name] = int(active) or None
        if words_left:  # "unsettled"
            unsettled.append(name)
    return SourceState(commit, committed_at, digests, frozenset(unsettled), active_versions, bool(commits))


def sources(database: Database) -> list[OtherSource]:
    """Return every source that has prompts."""
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


def sources_by_name(database: Database) -> dict[str, str]:
    """Return the source of each prompt that has one, by name."""
    return dict(database.run("select a.name, a.source from promptctl.applied a"))


def text_hashes(database: Database, names: Sequence[str]) -> dict[str, set[str]]:
    """Return the SHA-256 of the texts of these prompts, in hexadecimal, by name."""
    rows = database.run(
        """
        select v.name, string_agg(encode(v.sha256, 'hex'), ' ') from promptctl.versions v
        where v.name = any ($1) group by v.name
        """,
        list(names),
    )
    return {name: set(hashes.split()) for name, hashes in rows}


def unclaimed(database: Database) -> list[str]:
    """Return the names of the prompts that have a version in use and no source."""
    rows = database.run(
        """
        select s.name from promptctl.served s
        where not exists (select from promptctl.applied a where a.name = s.name) and s.archived_at is null
          and exists (select from promptctl.versions v where v.name = s.name and not v.is_retired)
        order by s.name
        """
    )
    return [row[0] for row in rows]


def stored_prompts(database: Database, names: Sequence[str]) -> dict[str, StoredPrompt]:
    """Return what the database has of these prompts, by their names in the database, whose case may differ."""
    prompts, versions = database.run_all(
        (
            """
            select s.name, s.active_version, s.next_version, s.epoch, s.route, p.source, p.active_version, p.route,
                   coalesce(p.has_applied_version, false), coalesce(p.has_applied_route, false), p.metadata,
                   s.candidate_version, s.basis_points, s.archived_at is not null, a.author, a.kind, a.changed_at,
                   a.reason, r.undoes, o.rollout, o.candidate, o.state, o.why,
                   coalesce(o.ended_at >= a.changed_at, true), m.rollout, m.baseline,
                   (select string_agg(encode(c.hash, 'hex'), ' ' order by c.place) from promptctl.prompt_cases c
                    where c.name = s.name),
                   (select t.margin from promptctl.prompt_tests t where t.name = s.name)
            from promptctl.served s
            left join lateral (
                select a.author, a.kind, a.changed_at, a.reason, a.release from promptctl.allocations a
                where a.name = s.name
                  and (a.version is distinct from a.previous_version or a.kind in ('archive', 'restore'))
                order by a.epoch desc limit 1
            ) a on true
            left join promptctl.releases r on r.release = a.release
            left join promptctl.applied p on p.name = s.name
            left join lateral (
                select o.rollout, o.candidate, o.state, o.why, o.ended_at from promptctl.rollouts o
                where o.name = s.name order by o.rollout desc limit 1
            ) o on true
            left join lateral (
                select m.rollout, m.baseline from promptctl.rollouts m
                where m.name = s.name and m.candidate = s.active_version and m.state = 'promoted'
                order by m.rollout desc limit 1
            ) m on true
            -- Without the empty rows that lock_prompts has just inserted.
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
    versions_by_name: dict[str, dict[int, StoredVersion]] = {}
    for name, number, *columns in versions:
        versions_by_name.setdefault(name, {})[number] = StoredVersion(*columns)
    stored: dict[str, StoredPrompt] = {}
    for row in prompts:
        # The groups of columns of the statement above.
        name, prompt, applied, metadata, split, move = row[0], row[:5], row[5:10], row[10], row[11:14], row[14:19]
        last_move = LastMove(*move) if move[0] is not None else None
        last_rollout = LastRollout(*row[19:24]) if row[19] is not None else None
        promotion = Promotion(*row[24:26]) if row[24] is not None else None
        case_hashes, margin = row[26:]
        fields: list[Any] = [
            *prompt, last_move, *applied, metadata or {}, versions_by_name.get(name, {}), *split, last_rollout,
            promotion, tuple((case_hashes or "").split()), margin,
        ]  # fmt: skip
        stored[name] = StoredPrompt(*fields)
    return stored


def route_graph(database: Database, names: Sequence[str]) -> RouteGraph:
    """Return the versions in use of these prompts, and the routes of all prompts that have one."""
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
    return RouteGraph({name: frozenset(map(int, numbers.split())) for name, numbers in versions}, dict(routes))


def open_release(database: Database, source: str, origin: Mapping[str, Any], *, author: str, reason: str) -> int:
    """Open the release of a sync in this transaction, and return its number."""
    return int(database.run("select promptctl.open_release($1, $2, $3, $4)", author, reason, source, origin)[0][0])


def record_source(database: Database, source: str, commit: Commit | None, *, author: str) -> None:
    """Record that this commit of a source was applied."""
    database.run(
        "select promptctl.record_source($1, $2, $3, $4)",
        source,
        commit.hash if commit else None,
        commit.committed_at if commit else None,
        author,
    )


def encode_applied(prompts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the arguments of `record_applied`. Each prompt is a mapping with the fields of changes.AppliedPrompt."""
    import json

    # In batches: one document of ten thousand prompts takes twice as long, because the server has to allocate memory.
    return [
        json.dumps(prompts[start : start + _PROMPTS_PER_STATEMENT], ensure_ascii=False)
        for start in range(0, len(prompts), _PROMPTS_PER_STATEMENT)
    ]


def record_applied(database: Database, source: str, documents: Sequence[str], *, author: str, adopts: bool) -> None:
    """Record what was applied of the prompts of a source, which `encode_applied` has encoded.

    Raises Refused for a prompt of another source, unless `adopts`.
    """
    statements: list[tuple[LiteralString, list[str | bool]]] = [
        ("select promptctl.record_applied($1, $2, $3, $4)", [source, document, author, adopts])
        for document in documents
    ]
    database.run_all(*statements)
