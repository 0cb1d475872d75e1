"""After any sequence of edits, syncs, activations and rollbacks, sync moves only what changed in Git.

One prompt is compared with a model, and after every step an exported folder has nothing to sync.
"""

from __future__ import annotations

import itertools
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptctl import errors
from promptctl.folder.provenance import Checkout
from promptctl.postgres import connecting
from promptctl.rules.references import Reference
from promptctl.store import exports, moves, version_details, versions
from promptctl.sync import changes, export, read, synchronize

if TYPE_CHECKING:
    from pathlib import Path

    from promptctl.postgres.database import Database
    from promptctl.sync.synchronize import Outcome

AUTHOR = "ada@example.com"
numbers = st.integers(1, 3)
steps = st.one_of(
    st.tuples(st.just("say"), numbers),
    st.tuples(st.just("say"), st.none() | st.integers(1, 5)),
    *[st.tuples(st.just("sync"), st.just(False))] * 3,
    st.tuples(st.just("activate"), numbers),
    *[st.tuples(st.just("roll_back"))] * 2,
    st.one_of(
        st.tuples(st.just("sync"), st.just(True)),
        st.tuples(st.just("file"), st.integers(1, 5), st.sampled_from("abc")),
        st.tuples(st.just("describe"), numbers, st.none() | st.sampled_from(["one", "two"])),
        st.tuples(st.just("create"), st.sampled_from("abcd")),
    ),
)
# Three versions in the folder, none stored yet.
FIRST = [("file", 1, "a"), ("file", 2, "b"), ("file", 3, "c")]
_folders = (f"p{number}" for number in itertools.count())


@dataclass
class Model:
    """The state of the folder and the database, and what was applied last."""

    files: dict[int, str] = field(default_factory=dict[int, str])
    set_active: int | None = None
    descriptions: dict[int, str] = field(default_factory=dict[int, str])
    stored: dict[int, str] = field(default_factory=dict[int, str])
    active: int | None = None
    applied: int | None = None
    was_ever_applied: bool = False
    # The versions that a rollback returns to, and the active one at the end.
    stack: list[int] = field(default_factory=list[int])

    def activate(self, version: int) -> None:
        """Activate a version."""
        if version != self.active:
            self.stack.append(version)
            self.active = version

    def roll_back(self) -> bool:
        """Roll back to the last version that differs from the active one; whether there is one."""
        while len(self.stack) > 1:
            self.stack.pop()
            if self.stack[-1] != self.active:
                self.active = self.stack[-1]
                return True
        return False

    def sync(self, *, adopts: bool) -> bool:
        """Sync the folder; whether the plan is applied."""
        if not self.files:
            return False
        if any(self.stored.get(number, text) != text for number, text in self.files.items()):
            return False
        versions = self.stored | self.files
        if self.set_active is not None and self.set_active not in versions:
            return False
        if any(number not in self.files for number in self.descriptions):
            return False
        self.stored = versions
        held = False
        if self.set_active is not None and self.set_active != self.active:
            never_applied = not self.was_ever_applied and self.active is not None and not adopts
            held = never_applied or self.applied == self.set_active
            if not held:
                self.activate(self.set_active)
        self.applied = self.applied if held else self.set_active
        self.was_ever_applied = self.was_ever_applied or self.applied is not None
        return True


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sequence=st.lists(steps, max_size=25))
def test_sync_moves_only_what_changed_in_the_folder(
    database_url: str, tmp_path: Path, sequence: list[tuple[Any, ...]]
) -> None:
    name = next(_folders)
    folder = tmp_path / name / "prompts"
    folder.mkdir(parents=True)
    model = Model()
    with connecting.connect(database_url) as connection:
        for operation, *arguments in [*FIRST, *sequence]:
            step(connection, folder, name, model, operation, arguments)
            if model.stored:
                active = connection.run("select s.active_version from promptctl.served s where s.name = $1", name)
                assert active == [(model.active,)]
                texts = {
                    version.version: version.content for version in version_details.read_versions(connection, name)[0]
                }
                assert texts == model.stored
                assert_export_is_in_step(connection, tmp_path / "export", name)
    shutil.rmtree(tmp_path / name)


def step(connection: Database, folder: Path, name: str, model: Model, operation: str, arguments: list[Any]) -> None:
    """Make one step in the database and in the model."""
    place = folder / name
    if operation == "file":
        number, text = arguments
        place.mkdir(exist_ok=True)
        (place / f"v{number}.txt").write_text(text)
        model.files[number] = text
        write_prompt_yaml(place, model)
    elif operation == "say":
        model.set_active = arguments[0]
        write_prompt_yaml(place, model)
    elif operation == "describe":
        number, description = arguments
        model.descriptions.pop(number, None)
        if description is not None:
            model.descriptions[number] = description
        write_prompt_yaml(place, model)
    elif operation == "sync":
        expected = model.sync(adopts=arguments[0])
        outcome = run(connection, folder, adopts=arguments[0])
        assert (outcome is not None and outcome.refusal is None) == expected
        if outcome is not None and outcome.refusal is None:
            second = run(connection, folder, adopts=False)
            assert second is not None
            assert not second.plan.would_change
    elif operation == "activate" and arguments[0] in model.stored:
        moves.activate(connection, [Reference(name, arguments[0])], author=AUTHOR)
        model.activate(arguments[0])
    elif operation == "roll_back" and model.stored:
        refusal = None
        try:
            moves.rollback(connection, [name], author=AUTHOR)
        except errors.Refused as refused:
            refusal = refused.code
        assert refusal == (None if model.roll_back() else "nothing_to_roll_back")
    elif operation == "create":
        text = arguments[0]
        created = versions.create(connection, name, text, author=AUTHOR, metadata={})
        model.stored[created.version] = text


def write_prompt_yaml(place: Path, model: Model) -> None:
    """Write prompt.yaml from the model."""
    if place.exists():
        lines = [f"active: {model.set_active}"] if model.set_active is not None else []
        if model.descriptions:
            lines.append("versions:")
            lines += [
                f"  {number}: {{description: {description}}}" for number, description in model.descriptions.items()
            ]
        (place / "prompt.yaml").write_text("\n".join(lines) + "\n")


def run(connection: Database, folder: Path, *, adopts: bool) -> Outcome | None:
    """Sync the folder, or return None if it is invalid."""
    try:
        prompts = read.list_prompts(str(folder))
        checkout = Checkout.start(str(folder))()
        options = synchronize.SyncOptions(adopt=adopts)
        return synchronize.apply(
            connection, checkout, prompts, options, quiet, author=AUTHOR, notify=lambda _: None, prices=lambda _: []
        )
    except errors.Failed:
        return None


def assert_export_is_in_step(connection: Database, folder: Path, name: str) -> None:
    """Check that a sync of an exported folder changes nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    export.export(str(folder), exports.read_prompts(connection, name), quiet)
    outcome = synchronize.preview(
        connection,
        Checkout.start(str(folder))(),
        read.list_prompts(str(folder)),
        synchronize.SyncOptions(),
        quiet,
        prices=lambda _: [],
    )
    assert outcome.refusal is None
    assert not outcome.plan.would_change
    assert not outcome.plan.of(changes.HELD)


def quiet(what: str, done: int, total: int) -> None:
    """Ignore the progress."""
