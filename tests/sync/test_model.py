"""Any sequence of edits, syncs, activations and rollbacks: Git moves only what Git changed its mind of.

Held against a model of one prompt in a few lines; after every step the folder that export writes has nothing to sync.
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
# Three versions in the folder; whether they are stored, by whom, and what is live is for the steps to say.
FIRST = [("file", 1, "a"), ("file", 2, "b"), ("file", 3, "c")]
_folders = (f"p{number}" for number in itertools.count())


@dataclass
class Model:
    """What the folder says, what is stored and live, and what was applied of both."""

    files: dict[int, str] = field(default_factory=dict[int, str])
    active: int | None = None
    described: dict[int, str] = field(default_factory=dict[int, str])
    stored: dict[int, str] = field(default_factory=dict[int, str])
    live: int | None = None
    applied: int | None = None
    has_said: bool = False
    # What rollback goes back along: each move's version, and where the prompt stands in it.
    stack: list[int] = field(default_factory=list[int])

    def go(self, version: int) -> None:
        """An activation: another step on the way."""
        if version != self.live:
            self.stack.append(version)
            self.live = version

    def back(self) -> bool:
        """A rollback: to the step before, past those that are the same."""
        while len(self.stack) > 1:
            self.stack.pop()
            if self.stack[-1] != self.live:
                self.live = self.stack[-1]
                return True
        return False

    def sync(self, *, adopts: bool) -> bool:
        """Whether a sync is applied; what it does then."""
        if not self.files:
            return False
        if any(self.stored.get(number, text) != text for number, text in self.files.items()):
            return False
        known = self.stored | self.files
        if self.active is not None and self.active not in known:
            return False
        if any(number not in self.files for number in self.described):
            return False
        self.stored = known
        held = False
        if self.active is not None and self.active != self.live:
            never_applied = not self.has_said and self.live is not None and not adopts
            held = never_applied or self.applied == self.active
            if not held:
                self.go(self.active)
        self.applied = self.applied if held else self.active
        self.has_said = self.has_said or self.applied is not None
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
                live = connection.run("select s.active_version from promptctl.served s where s.name = $1", name)
                assert live == [(model.live,)]
                found = {each.version: each.content for each in version_details.read_versions(connection, name)[0]}
                assert found == model.stored
                assert_export_is_in_step(connection, tmp_path / "export", name)
    shutil.rmtree(tmp_path / name)


def step(connection: Database, folder: Path, name: str, model: Model, operation: str, arguments: list[Any]) -> None:
    """One step, in the database and in the model."""
    place = folder / name
    if operation == "file":
        number, text = arguments
        place.mkdir(exist_ok=True)
        (place / f"v{number}.txt").write_text(text)
        model.files[number] = text
        say(place, model)
    elif operation == "say":
        model.active = arguments[0]
        say(place, model)
    elif operation == "describe":
        number, words = arguments
        model.described.pop(number, None)
        if words is not None:
            model.described[number] = words
        say(place, model)
    elif operation == "sync":
        expected = model.sync(adopts=arguments[0])
        outcome = run(connection, folder, adopts=arguments[0])
        assert (outcome is not None and outcome.refusal is None) == expected
        if outcome is not None and outcome.refusal is None:
            again = run(connection, folder, adopts=False)
            assert again is not None
            assert not again.plan.would_change
    elif operation == "activate" and arguments[0] in model.stored:
        moves.activate(connection, [Reference(name, arguments[0])], author=AUTHOR)
        model.go(arguments[0])
    elif operation == "roll_back" and model.stored:
        refusal = None
        try:
            moves.rollback(connection, [name], author=AUTHOR)
        except errors.Refused as refused:
            refusal = refused.code
        assert refusal == (None if model.back() else "nothing_to_roll_back")
    elif operation == "create":
        text = arguments[0]
        created = versions.create(connection, name, text, author=AUTHOR, metadata={})
        model.stored[created.version] = text


def say(place: Path, model: Model) -> None:
    """Write what prompt.yaml says."""
    if place.exists():
        said = [f"active: {model.active}"] if model.active is not None else []
        if model.described:
            said.append("versions:")
            said += [f"  {number}: {{description: {words}}}" for number, words in model.described.items()]
        (place / "prompt.yaml").write_text("\n".join(said) + "\n")


def run(connection: Database, folder: Path, *, adopts: bool) -> Outcome | None:
    """A sync; None: the folder is not valid."""
    try:
        prompts_there = read.list_prompts(str(folder))
        checkout = Checkout.start(str(folder))()
        options = synchronize.SyncOptions(adopt=adopts)
        return synchronize.apply(
            connection, checkout, prompts_there, options, quiet, author=AUTHOR, notify=lambda _: None
        )
    except errors.Failed:
        return None


def assert_export_is_in_step(connection: Database, folder: Path, name: str) -> None:
    """The folder that export writes has nothing to sync."""
    shutil.rmtree(folder, ignore_errors=True)
    export.export(str(folder), exports.read_prompts(connection, name), quiet)
    outcome = synchronize.preview(
        connection, Checkout.start(str(folder))(), read.list_prompts(str(folder)), synchronize.SyncOptions(), quiet
    )
    assert outcome.refusal is None
    assert not outcome.plan.would_change
    assert not outcome.plan.of(changes.HELD)


def quiet(what: str, done: int, total: int) -> None:
    """Nobody watches."""
