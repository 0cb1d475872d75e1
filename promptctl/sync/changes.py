"""The records of a plan: its changes, and what the database stores about the folder once the plan is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.records import Record

if TYPE_CHECKING:
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion
    from promptctl.folder.provenance import Commit
    from promptctl.rules.rollout_plans import RolloutPlan
    from promptctl.store.case_lists import CaseList
    from promptctl.store.syncs import LastMove

    Route = list[dict[str, Any]]

NEW, ACTIVATE, DESCRIBE, ROUTE = "new", "activate", "describe", "route"
ROLLOUT, STOP = "rollout", "stop"
TESTS = "tests"
HELD, CONFLICT, DATABASE_ONLY, NOTE = "held", "conflict", "stored", "note"
# The kinds that change the database when the plan is applied: a new version, an activation, metadata, a route, the
# start or the end of a rollout, test cases. The other kinds only inform: a hold, a conflict, a version or a prompt that
# only the database has, a note.
WRITING_KINDS = (NEW, ACTIVATE, DESCRIBE, ROUTE, ROLLOUT, STOP, TESTS)
# Those of them that belong to no release.
_WITHOUT_RELEASE = (STOP, TESTS)
# The version of a change that is about the prompt as a whole.
WHOLE_PROMPT = 0
KINDS = (*WRITING_KINDS, HELD, CONFLICT, DATABASE_ONLY, NOTE)


class PlanOptions(Record):
    """What a plan may contain.

    `adopt`: take over prompts of another source, and versions that were activated outside of Git.
    `allow_new_variables`: activate versions that need a variable which the active version does not need. `will_apply`:
    a prompt of another source is always a conflict. In a preview, it is a conflict only if it has changes.
    """

    adopt: bool = False
    allow_new_variables: bool = False
    will_apply: bool = True


class Change(Record):
    """One line of a plan; `message` describes it.

    `version` is the version that the change is about, or WHOLE_PROMPT. `previous_version` is the active
    version. A change of kind `describe` writes `metadata`, one of kind `route` writes `route`. `file` is the version
    file of a change of a version. `yaml_path` is the prompt.yaml that causes an activation, a rollout or a route,
    or the file that causes a change of test cases, which are `tests`.
    `hold` is the operator's move that prevents a held change. `hint` is a command or a sentence that resolves a
    conflict or ends a hold. `needs_new_variables` marks the conflict that `--allow-new-variables` resolves. `rollout`
    is the plan of a rollout to start. The version of a change of kind `stop` is the candidate of the rollout.
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
    rollout: RolloutPlan | None = None
    tests: CaseList | None = None

    @property
    def subject(self) -> str:
        """What the change is about: `NAME` or `NAME@VERSION`."""
        is_about_prompt = self.kind in (ACTIVATE, ROUTE, ROLLOUT, STOP, TESTS) or (
            self.kind == HELD and self.file is None
        )
        return self.name if is_about_prompt else self.reference

    @property
    def reference(self) -> str:
        """`NAME@VERSION`, or `NAME` for a change without a version."""
        return f"{self.name}@{self.version}" if self.version else self.name


class AppliedPrompt(Record):
    """A record of what was applied of one prompt. The next sync compares the folder and the database with it.

    `active`, `route` and `metadata` are those of the folder; `metadata` is by version number. `digest` is that of the
    files. If `is_settled` is False, the next sync compares the prompt again even if its files are unchanged. `is_held`:
    an operator's move kept the folder's active version from being applied, and no rollout of it is open.
    """

    name: str
    active: int | None
    route: Route | None
    metadata: dict[str, dict[str, Any]]
    digest: str | None
    is_settled: bool
    is_held: bool = False


class Plan(Record):
    """What a sync would do: its changes, and what it records about each prompt.

    `unchanged` counts the prompts without a change.
    """

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

    @property
    def needs_release(self) -> bool:
        """Whether applying the plan makes a release. The end of a rollout and test cases belong to none."""
        kinds = {change.kind for change in self.changes}
        return any(kind in kinds for kind in WRITING_KINDS if kind not in _WITHOUT_RELEASE)


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
