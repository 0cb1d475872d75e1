"""What the store returns and the output shows: immutable records.

Times are RFC 3339 in UTC (`2026-11-12T09:30:00.5Z`), as text: most of them are only passed on.
"""

from __future__ import annotations

from _operator import itemgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, dataclass_transform
else:

    def dataclass_transform(**_):
        """Typing's decorator has no effect at run time, and importing typing has a cost."""
        return lambda cls: cls


Timestamp = str


@dataclass_transform(frozen_default=True)
class Record(tuple["Any", ...]):
    """A named tuple whose class is made without `dataclasses` or `typing`, whose import every command would pay for.

    Fields are the class's annotations, in the order of a query's columns: `Move(*row)`. The last may have defaults.
    """

    __slots__ = ()
    fields: tuple[str, ...] = ()

    if not TYPE_CHECKING:
        defaults = {}

        def __init_subclass__(cls):
            cls.fields = tuple(cls.__annotations__)
            cls.defaults = {name: vars(cls)[name] for name in cls.fields if name in vars(cls)}
            for position, name in enumerate(cls.fields):
                setattr(cls, name, property(itemgetter(position)))

        def __new__(cls, *values, **named):
            """Make a record of its fields' values, by position or by name."""
            if named or len(values) != len(cls.fields):
                named = cls.defaults | named if cls.defaults else named
                values += tuple(named[name] for name in cls.fields[len(values) :])
                if len(values) != len(cls.fields) or named.keys() - set(cls.fields):
                    raise TypeError(f"{cls.__name__} takes {', '.join(cls.fields)}")
            return tuple.__new__(cls, values)

        def __repr__(self):
            return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in zip(self.fields, self, strict=True))})"

    def as_dict(self) -> dict[str, Any]:
        """Field names and values, in order."""
        return dict(zip(self.fields, self, strict=True))


def short_hash(commit: str) -> str:
    """Return a commit's hash as people write it."""
    return commit[:7]


class Reference(Record):
    """`NAME@VERSION`, or a bare `NAME`, which means its active version."""

    __slots__ = ()
    name: str
    version: int | None

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


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
    """A version to be used now, with what its use is booked on. `is_active`: it is the one served by default."""

    __slots__ = ()
    id: str
    name: str
    version: int
    epoch: int
    content: str
    settings: dict[str, Any]
    is_active: bool
    retired_at: Timestamp | None


class Use(Record):
    """One call of a model with a version, as it is booked; None: not known.

    `use_id` is a UUID of the caller's, so that it counts once however often it is sent. `input_tokens` is all of the
    input, of which the cached ones are parts; times are in milliseconds; `outcome` is "ok" or the name of an error.
    """

    __slots__ = ()
    use_id: str
    name: str
    version: int
    epoch: int
    model: str | None
    unit: str | None
    input_tokens: int | None
    output_tokens: int | None
    cache_read_tokens: int | None
    cache_write_tokens: int | None
    first_token_ms: float | None
    response_ms: float | None
    outcome: str
    request_id: str | None


class Move(Record):
    """What activate, deactivate or rollback did to one prompt, `id` the version's; None: no version is active now.

    `changed` is False when it was so already.
    """

    __slots__ = ()
    name: str
    version: int | None
    previous_version: int | None
    changed: bool
    split_ended: bool
    release: int | None
    epoch: int
    id: str | None


class Archival(Record):
    """What delete did to a version or, where `version` is None, to a whole prompt; with `undo` it is in use again.

    `active_version` is active now, `previous_version` was before. `route_changed`: its route was taken away or put
    back. `changed` is False when it was so already.
    """

    __slots__ = ()
    name: str
    version: int | None
    changed: bool
    active_version: int | None
    previous_version: int | None
    split_ended: bool
    route_changed: bool


class Erasure(Record):
    """What erase took away of a version: `size` in bytes of the text, the keys of its settings and metadata.

    `changed` is False when it was erased already.
    """

    __slots__ = ()
    name: str
    version: int
    changed: bool
    size: int
    settings: str
    metadata: str


class ArchivedPrompt(Record):
    """An archived prompt in a list: how many versions it has, and who archived it, when and why."""

    __slots__ = ()
    name: str
    versions: int
    archived_at: Timestamp
    author: str | None
    reason: str | None


class ArchivedVersion(Record):
    """An archived version in a list, and who archived or erased it last, when and why.

    `erased_at` None: its text is there. `sha256` is that of the text, in hexadecimal.
    """

    __slots__ = ()
    name: str
    version: int
    description: str | None
    sha256: str
    created_at: Timestamp
    created_by: str
    archived_at: Timestamp
    erased_at: Timestamp | None
    author: str | None
    reason: str | None


class Created(Record):
    """The version that holds a text. `created` is False when the text was there already."""

    __slots__ = ()
    id: str
    name: str
    version: int
    content: str
    is_active: bool
    created_at: Timestamp
    created_by: str
    metadata: dict[str, Any]
    created: bool
    previous_version: int | None
    settings: dict[str, Any]
    variables: str


class Event(Record):
    """One line of a prompt's history: a change of who gets what, or of a version's metadata, archiving or erasure.

    `kind` is activate, deactivate, rollback, split, unsplit, route, archive, restore, describe or erase. For describe
    and erase `version` is the version that was changed, and so for archive and restore of a version, which has no
    `previous_version` and no change of `epoch`; for the others it is the active version afterwards. `of_version` tells
    the two apart. `origin` says which
    commit of which file it came from, as docs/json.md has it; None: from no folder. `route` is what a change of kind
    route made it, None for the others.
    """

    __slots__ = ()
    name: str
    epoch: int
    kind: str
    previous_version: int | None
    version: int | None
    candidate_version: int | None
    basis_points: int
    release: int | None
    author: str
    database_user: str
    reason: str | None
    changed_at: Timestamp
    origin: dict[str, Any] | None
    route: list[dict[str, Any]] | None
    of_version: bool = False


class ReleaseSummary(Record):
    """A release in a list: what made it, and how much it did.

    `kind` is activate, rollback, sync or release rollback; `undoes` the release that the last put back, `undone_by` the
    newest one that put this back. `moves`, `versions` and `corrections` count what it moved, stored and corrected.
    """

    __slots__ = ()
    release: int
    kind: str
    author: str
    database_user: str
    reason: str | None
    source: str | None
    origin: dict[str, Any] | None
    undoes: int | None
    undone_by: int | None
    released_at: Timestamp
    moves: int
    versions: int
    corrections: int


class ReleaseMove(Record):
    """One thing that a release did to a prompt, and whether the prompt has moved since.

    `kind` is one of history's, or new for a version that it stored.
    """

    __slots__ = ()
    name: str
    kind: str
    previous_version: int | None
    version: int | None
    epoch: int | None
    moved_since: bool
    origin: dict[str, Any] | None


class Undone(Record):
    """What a release's rollback did to one prompt: `version` is live now (None: none), `previous_version` was before.

    `skipped`: it had moved since the release, and was left where it is. `route_changed`: its route was put back.
    """

    __slots__ = ()
    name: str
    version: int | None
    previous_version: int | None
    changed: bool
    skipped: bool
    split_ended: bool
    route_changed: bool
    release: int | None
    epoch: int


class Installation(Record):
    """What `db status` found in a database; `uses_to_roll_up` are the uses that are in no totals yet.

    `open_to_everybody` counts the functions and tables of the schema that every login may use: 0, unless a restore lost
    the grants.
    """

    __slots__ = ()
    database: str
    server_version: str
    schema_version: int | None
    expected_schema_version: int
    open_to_everybody: int | None
    prompts: int | None
    versions: int | None
    uses: int | None
    uses_to_roll_up: int | None
    rolled_up_at: Timestamp | None
