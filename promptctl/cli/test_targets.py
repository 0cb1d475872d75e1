"""What `promptctl test` runs: versions, and the texts of a folder that a sync would store or activate."""

from __future__ import annotations

import hashlib
import os
import shlex
from typing import TYPE_CHECKING

from promptctl import errors, working_directory
from promptctl.cli import present_prices
from promptctl.evaluation.results import Subject
from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.rules.test_replies import canonical_json
from promptctl.store import case_lists, prompt_lists, prompt_states, version_texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from promptctl.folder.prompt_files import FileVersion
    from promptctl.postgres.database import Database
    from promptctl.rules.test_cases import Case
    from promptctl.store.case_lists import CaseList
    from promptctl.sync.changes import Change
    from promptctl.sync.synchronize import Outcome


class Target(Record):
    """A text to run, with its baseline and its cases.

    `title` names it: a reference, or the path of a version file. `against` is None if nothing is compared. `margin` is
    None if the tests of the prompt name none. `origin` is where a text of a folder came from, and `next_command` what
    makes it active; for the active version, what tests the newest one, '' if there is none.
    """

    title: str
    subject: Subject
    against: Subject | None
    cases: Sequence[Case]
    margin: float | None
    origin: Mapping[str, Any] | None
    next_command: str

    def with_cases(self, cases: Sequence[Case]) -> Target:
        """Return the target with these cases only."""
        return Target(self.title, self.subject, self.against, cases, self.margin, self.origin, self.next_command)


def is_folder(word: str) -> bool:
    """Whether a target is a path: by its slashes, which no name has there, or because it exists.

    A file with a suffix, such as tests.yaml, is one too: the error about it has the folder.
    """
    if word.endswith("/") or word.startswith((".", "/")):
        return True
    is_file = os.path.splitext(word)[1] in (".yaml", ".yml", ".json", ".txt", ".md") and os.path.isfile(word)
    return is_file or ("@" not in word and os.path.isdir(word))


def of_reference(database: Database, reference: Reference, against: Reference | None) -> Target:
    """Return a version, a bare name means the newest one, with the active version as its baseline.

    The active version itself has no baseline, unless `against` names one. Raises NotFound.
    """
    try:
        if reference.version is None:
            prompt_states.require_prompt(database, reference.name)
            newest = prompt_lists.version_numbers(database, reference.name, 1)
            if not newest:
                raise prompt_states.not_found_error(database, reference)
            reference = Reference(reference.name, newest[0])
        subject = version(database, reference)
    except errors.NotFound as problem:
        if (place := _file_here(reference)) is not None:
            path, folder = place
            problem.message += f": {path} is not stored yet, and is tested with its folder"
            problem.hint = f"promptctl test {shlex.quote(folder)}"
        raise
    active = _active(database, reference.name)
    is_active = active is not None and active.version == subject.version
    baseline = version(database, against) if against is not None else None if is_active else active
    stored = case_lists.read_cases(database, [reference.name]).get(reference.name)
    next_command = f"promptctl activate {subject.label}"
    if is_active:
        newest = prompt_lists.version_numbers(database, reference.name, 1)
        has_newer = bool(newest) and subject.version is not None and newest[0] > subject.version
        next_command = f"promptctl test {subject.name}@{newest[0]}" if has_newer else ""
    cases, margin = ((), None) if stored is None else (stored.cases, stored.margin)
    return Target(subject.label, subject, baseline, cases, margin, None, next_command)


class FolderTargets(Record):
    """What a folder has to test. `notes` are for a person.

    `untested` has the prompts without cases whose active version a sync would change.
    """

    targets: Sequence[Target]
    notes: Sequence[str]
    untested: Sequence[str]


def of_folder(database: Database, folder: str) -> FolderTargets:
    """Return the versions of a folder that a sync would activate, else the newest that it would store, by prompt.

    Raises Failed and Refused as a sync does.
    """
    from promptctl.folder.provenance import Checkout
    from promptctl.sync import changes, read, synchronize

    working_directory.require(folder)
    wait_for_checkout = Checkout.start(folder, None)
    prompts = read.list_prompts(folder, command="test")
    try:
        outcome = synchronize.preview(
            database, wait_for_checkout(), prompts, synchronize.SyncOptions(), _ignore, prices=present_prices.of_models
        )
    except errors.Refused as refusal:
        if (refusal.hint or "").startswith("promptctl sync "):
            # A hint of `test` must not activate what was not tested.
            refusal.hint = f"{refusal.hint} --dry-run"
        raise
    notes: list[str] = []
    if outcome.refusal is not None:
        notes.append(f"sync would refuse this: {outcome.refusal.message}")
    candidates: dict[str, Change] = {}
    for kind in (changes.NEW, changes.ROLLOUT, changes.ACTIVATE):
        for change in outcome.plan.of(kind):
            # The changes of a kind are in the order of the versions, so the last one is the newest.
            candidates[change.name] = change
    tests = {change.name: change.tests for change in outcome.plan.of(changes.TESTS) if change.tests is not None}
    stored = case_lists.read_cases(database, [name for name in candidates if name not in tests])
    command = f"promptctl sync {shlex.quote(folder)}"
    targets: list[Target] = []
    without: list[str] = []
    for name in sorted(candidates):
        cases = tests.get(name, stored.get(name))
        if cases is None or not cases.cases:
            without.append(name)
        else:
            targets.append(_of_change(database, outcome, candidates[name], cases, command))
    untested = [name for name in without if candidates[name].kind != changes.NEW]
    without = [name for name in without if name not in untested]
    if without:
        verb = "has" if len(without) == 1 else "have"
        notes.append(f"{', '.join(without[:5])}{' …' if len(without) > 5 else ''} {verb} no test cases")
    held = sorted({change.name for change in outcome.plan.of(changes.HELD)} - set(candidates))
    if held:
        names = f"{', '.join(held[:5])}{' …' if len(held) > 5 else ''}"
        notes.append(f"a sync would not move {names}, because somebody else did: {command} --dry-run")
    if unchanged := len(prompts) - len(candidates) - len(held):
        verb = "prompt has" if unchanged == 1 else "prompts have"
        notes.append(f"{unchanged} {verb} nothing that a sync would store, activate or roll out: no call")
    return FolderTargets(targets, notes, untested)


def without_tests(names: Sequence[str]) -> str:
    """Return the warning about prompts without cases whose active version a sync would change."""
    return f"the active version of {', '.join(names)} would change without a test: there are no test cases"


def version(database: Database, reference: Reference) -> Subject:
    """Return a stored version as a side of a run; a bare name means the active version. Raises NotFound."""
    text = version_texts.read_text(database, reference)
    return Subject(text.name, text.version, _hash(text.content, text.settings), text.content, text.settings)


def _of_change(database: Database, outcome: Outcome, change: Change, cases: CaseList, command: str) -> Target:
    name, number = change.name, change.version
    stored = outcome.stored.get(name)
    active = None if stored is None else stored.active_version
    against = None if active is None else version(database, Reference(name, active))
    file = _file(outcome, name, number)
    if file is None:
        subject = version(database, Reference(name, number))
        return Target(subject.label, subject, against, cases.cases, cases.margin, None, command)
    assert file.content is not None
    content = file.content.decode()
    subject = Subject(name, None, _hash(content, file.settings), content, file.settings)
    origin = file.origin(outcome.prepared.origins)
    return Target(file.path, subject, against, cases.cases, cases.margin, origin, command)


def _file_here(reference: Reference) -> tuple[str, str] | None:
    """Return the path of a version in a folder of prompts that is near, and the folder; None if it has no such file."""
    from promptctl.folder import listing, mistakes

    folder = mistakes.near_folder()
    if folder is None:
        return None
    directory = os.path.join(folder, *reference.name.split("/"))
    try:
        files = sorted(os.listdir(directory))
    except OSError:
        return None
    for file in files:
        if (number := listing.number_of(file)) and reference.version in (None, number):
            return os.path.join(directory, file), os.path.join(folder, "")
    return None


def _file(outcome: Outcome, name: str, number: int) -> FileVersion | None:
    """Return the file of a version that the sync would store, None for a version that is stored."""
    for change in outcome.plan.of("new"):
        if change.name == name and change.version == number:
            return change.file
    return None


def _active(database: Database, name: str) -> Subject | None:
    try:
        return version(database, Reference(name, None))
    except errors.NotFound:
        return None


def _hash(content: str, settings: Mapping[str, Any]) -> str:
    document = canonical_json({"content": content, "settings": dict(settings)})
    return hashlib.sha256(document.encode("utf-8", "surrogatepass")).hexdigest()


def _ignore(_: str, __: int, ___: int) -> None:
    pass
