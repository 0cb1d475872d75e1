"""What a sync knows of the database, and what it finds to do: the records of a plan."""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from promptctl.prompt_files import FileVersion
    from promptctl.records import Timestamp

    Route = list[dict[str, Any]]

NEW, ACTIVATE, DESCRIBE, ROUTE = "new", "activate", "describe", "route"
HELD, CONFLICT, STORED, NOTE = "held", "conflict", "stored", "note"
# What applying a plan does to the database; the other kinds are only said.
DOING = (NEW, ACTIVATE, DESCRIBE, ROUTE)
KINDS = (*DOING, HELD, CONFLICT, STORED, NOTE)


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


class Change(Record):
    """One line of a plan; `why` is in words.

    `kind` is new, activate, describe, route, held, conflict, stored (only in the database) or note. `version` is what
    it is about, 0: the prompt; `previous_version` what is active now. `metadata` is what describe would write, `route`
    what route would; `file` is the file that it is about, `yaml_path` the prompt.yaml that says so. `hold` says who
    outranks Git, `hint` is a command that resolves a conflict or ends a hold. `needs_new_variables`: the
    conflict is that a version needs a variable which the active one does not.
    """

    __slots__ = ()
    kind: str
    name: str
    version: int
    why: str
    previous_version: int | None = None
    metadata: dict[str, Any] | None = None
    route: Route | None = None
    file: FileVersion | None = None
    yaml_path: str | None = None
    hold: Hold | None = None
    hint: str | None = None
    needs_new_variables: bool = False

    @property
    def subject(self) -> str:
        """What it is about, `NAME` or `NAME@VERSION`."""
        of_the_prompt = self.kind in (ACTIVATE, ROUTE) or (self.kind == HELD and self.file is None)
        return f"{self.name}@{self.version}" if self.version and not of_the_prompt else self.name


class Applied(Record):
    """What to remember of a prompt as applied; unless it `is_settled`, it is compared again at the next sync.

    `is_held`: another version than `active` is held, so that nothing was applied of it.
    """

    __slots__ = ()
    name: str
    active: int | None
    route: Route | None
    metadata: dict[str, dict[str, Any]]
    digest: str | None
    is_settled: bool
    is_held: bool = False


class Plan(Record):
    """What a sync would do, and what to remember then. `unchanged` counts prompts with nothing to say of them."""

    __slots__ = ()
    changes: list[Change]
    applied: list[Applied]
    unchanged: int

    def of(self, kind: str) -> list[Change]:
        """Return the changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    @property
    def would_change(self) -> bool:
        """Whether applying it changes the database; what is only held back or noted does not."""
        return any(change.kind in DOING for change in self.changes)
