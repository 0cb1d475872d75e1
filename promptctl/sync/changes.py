"""The records of a plan: its changes, and what the database stores about the folder once the plan is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion
    from promptctl.folder.provenance import Commit
    from promptctl.store.syncs import LastMove

    Route = list[dict[str, Any]]

NEW, ACTIVATE, DESCRIBE, ROUTE = "new", "activate", "describe", "route"
HELD, CONFLICT, DATABASE_ONLY, NOTE = "held", "conflict", "stored", "note"
# The kinds that change the database when the plan is applied. The other kinds only inform.
WRITING_KINDS = (NEW, ACTIVATE, DESCRIBE, ROUTE)
KINDS = (*WRITING_KINDS, HELD, CONFLICT, DATABASE_ONLY, NOTE)


class PlanOptions(Record):
    """What a plan may contain.

    `adopt`: take over prompts of another source, and versions that were activated outside of Git. With `will_apply`,
    a prompt of another source is always a conflict; in a preview it is one only if it has changes.
    """

    adopt: bool = False
    allow_new_variables: bool = False
    will_apply: bool = True


class Change(Record):
    """One line of a plan; `message` describes it.

    `version` is the version that it is about, 0 for the prompt as a whole; `previous_version` is the active version.
    `metadata` is what a `describe` writes, `route` what a `route` writes. `file` is the version file, `yaml_path` the
    prompt.yaml that causes the change. `hold` is the operator's move that a held change leaves in place. `hint` is a
    command or a sentence that resolves a conflict or ends a hold. `needs_new_variables` marks the conflict that
    `--allow-new-variables` resolves.
    """

    kind: str
    name: str
    version: int
    message: str
    previous_version: int | None = None
    metadata: dict[str, Any] | None = None
    route: Route | None = None
    file: FileVersion | None = None
    yaml_path: str | None = None
    hold: LastMove | None = None
    hint: str | None = None
    needs_new_variables: bool = False

    @property
    def subject(self) -> str:
        """What the change is about: `NAME` or `NAME@VERSION`."""
        is_about_prompt = self.kind in (ACTIVATE, ROUTE) or (self.kind == HELD and self.file is None)
        return self.name if is_about_prompt else self.reference

    @property
    def reference(self) -> str:
        """`NAME@VERSION`, or `NAME` for a change without a version."""
        return f"{self.name}@{self.version}" if self.version else self.name


class AppliedPrompt(Record):
    """What the database stores about a prompt of the folder when the plan is applied: the third side of the next sync.

    A prompt that is not settled (`is_settled`) is compared again at the next sync, even if its files are unchanged.
    `is_held`: a hold kept the folder's active version from being applied.
    """

    name: str
    active: int | None
    route: Route | None
    metadata: dict[str, dict[str, Any]]
    digest: str | None
    is_settled: bool
    is_held: bool = False


class Plan(Record):
    """What a sync would do. `unchanged` counts the prompts without a change."""

    changes: list[Change]
    applied_prompts: list[AppliedPrompt]
    unchanged: int

    def of(self, kind: str) -> list[Change]:
        """Return the changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    @property
    def would_change(self) -> bool:
        """Whether applying the plan changes a prompt; holds and notes do not."""
        return any(change.kind in WRITING_KINDS for change in self.changes)


class PreparedPlan(Record):
    """A plan with everything that applying it needs.

    `origin` is the origin of the folder, `origins` the origin of each file by path. `is_already_recorded`: the database
    already stores what this plan would store about the folder, so a plan without changes writes nothing.
    """

    source: str
    commit: Commit | None
    origin: dict[str, Any]
    origins: dict[str, dict[str, Any]]
    plan: Plan
    adopt: bool
    allow_new_variables: bool
    is_already_recorded: bool
