"""What a sync knows of the database, and what it finds to do: the records of a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion
    from promptctl.store.syncs import Hold

    Route = list[dict[str, Any]]

NEW, ACTIVATE, DESCRIBE, ROUTE = "new", "activate", "describe", "route"
HELD, CONFLICT, STORED, NOTE = "held", "conflict", "stored", "note"
# What applying a plan does to the database; the other kinds are only said.
DOING = (NEW, ACTIVATE, DESCRIBE, ROUTE)
KINDS = (*DOING, HELD, CONFLICT, STORED, NOTE)


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
