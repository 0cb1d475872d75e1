"""Sync: make a plan from the folder and the database, and apply it in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import defaults as folder_defaults
from promptctl.folder import listing, mistakes, prompt_files, provenance
from promptctl.postgres import refusals
from promptctl.records import Record
from promptctl.rules.references import short_hash
from promptctl.store import syncs
from promptctl.sync import applying, overlaps, plan
from promptctl.sync.changes import ACTIVATE, CONFLICT, DOING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from promptctl.folder.listing import ListedPrompt, ScannedPrompt
    from promptctl.folder.prompt_files import FolderPrompt
    from promptctl.folder.provenance import Checkout
    from promptctl.postgres.database import Database
    from promptctl.store.moves import Move
    from promptctl.store.syncs import SourceState, StoredPrompt
    from promptctl.sync.changes import Change, Plan

    Progress = Callable[[str, int, int], None]

# So many prompts have changed that asking Git for their authors takes a while.
_MANY = 100
# Of so many live prompts a plan may move a third without being forced.
_FEW_LIVE = 10


class Options(Record):
    """What a sync may do beyond the usual; sync's help says what each allows, and what `template` is."""

    __slots__ = ()
    adopts: bool = False
    allow_new_variables: bool = False
    allow_secrets: bool = False
    forced: bool = False
    template: str | None = None


class Outcome(Record):
    """A plan, why it is refused (None: it is not), whether it was applied, and what became of it.

    `stored` is what the database had of its prompts, `applied_commit` the commit that had been applied before.
    """

    __slots__ = ()
    work: applying.Work
    refusal: errors.Refused | None
    stored: dict[str, StoredPrompt]
    applied_commit: str | None
    applied: bool = False
    release: int | None = None
    moves: tuple[Move, ...] = ()

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.work.plan

    def carried_out(self, release: int | None, moves: Sequence[Move]) -> Outcome:
        """Return what it is once the plan was applied."""
        return Outcome(self.work, None, self.stored, self.applied_commit, self.plan.would_change, release, tuple(moves))


def listed(folder: str, template: str | None = None, *, is_default: bool = False) -> list[ListedPrompt]:
    """Return the prompts of a folder. Raises Failed for one whose prompts cannot be told, with all that is wrong.

    `template` is the style of versions for which no prompt.yaml has one; it outranks the folder's promptctl.yaml.
    `is_default`: nobody named the folder.
    """
    if mistake := mistakes.failure(folder, is_default=is_default):
        raise mistake
    problems: list[str] = []
    defaults = folder_defaults.read(folder, problems)
    if template is not None:
        defaults["template"] = template
    try:
        prompts = listing.listed(folder, defaults)
        if not prompts:
            raise mistakes.empty(folder)
    except listing.InvalidFolder as invalid:
        prompts = list(invalid.prompts)
        problems += invalid.problems
    if not problems:
        return prompts
    for scanned in listing.scanned(prompts, problems):
        prompt_files.read(scanned, {}, problems)
    raise listing.InvalidFolder(problems)


def look(
    database: Database,
    checkout: Checkout,
    folder: Sequence[ListedPrompt],
    options: Options,
    progress: Progress,
    *,
    claims: bool = False,
) -> Outcome:
    """Return what a sync would do now, and change nothing; `claims`: it is about to be applied, as a saved plan."""
    with database.transaction(read_only=True):
        state = _state(database, checkout, folder, options)
        return _prepare(database, checkout, folder, state, options, progress, claims=claims)


def apply(
    database: Database,
    checkout: Checkout,
    folder: Sequence[ListedPrompt],
    options: Options,
    progress: Progress,
    *,
    author: str,
    say: Callable[[str], None],
) -> Outcome:
    """Plan and apply, whole or not at all; a plan that is refused is not applied.

    Planned under the locks of the prompts that it may change, so that it is true until it is applied. `say` gets a line
    when there is something to wait for. Raises Failed for a folder that is not valid.
    """
    try:
        with database.transaction():
            syncs.lock(database, say)
            state = _state(database, checkout, folder, options)
            # Texts are stored while the next are read: what turns out later to be refused is taken back as a whole.
            storing = applying.Storing(database, checkout.source, checkout.commit, checkout.origin, author)
            try:
                found = _prepare(database, checkout, folder, state, options, progress, claims=True, storing=storing)
                _end_if_refused(found)
                storing.finish()
            except errors.PromptctlError:
                storing.abandon()
                raise
            release, moved = applying.carry_out(database, found.work, storing, author=author)
    except _NotApplied as refused:
        return refused.outcome
    return found.carried_out(release, moved)


def _end_if_refused(outcome: Outcome) -> None:
    if outcome.refusal is not None:
        raise _NotApplied(outcome)


class _NotApplied(errors.PromptctlError):
    """Ends the transaction; never told to anybody."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__("conflict", "the plan is refused")
        self.outcome = outcome


def _state(database: Database, checkout: Checkout, folder: Sequence[ListedPrompt], options: Options) -> SourceState:
    """What was applied of the folder; raises Refused where it overlaps one that was applied as another source."""
    state = syncs.source_state(database, checkout.source)
    if state.is_known:
        return state
    others = syncs.sources(database)
    if (known := overlaps.known_as(checkout, others)) is not None:
        checkout.source = known
        return syncs.source_state(database, known)
    if others and not options.forced:
        overlaps.refuse(database, checkout, folder, others)
    return state


def _prepare(
    database: Database,
    checkout: Checkout,
    folder: Sequence[ListedPrompt],
    state: SourceState,
    options: Options,
    progress: Progress,
    *,
    claims: bool,
    storing: applying.Storing | None = None,
) -> Outcome:
    origins: dict[str, dict[str, Any]] = {}

    def origins_of(paths: Sequence[str]) -> dict[str, dict[str, Any]]:
        if unknown := [path for path in paths if path not in origins]:
            origins.update(checkout.origins(unknown))
        return origins

    problems: list[str] = []
    changed, candidates = _changed(folder, state, problems, progress)
    names = [prompt.name for prompt in changed]
    if storing is not None and len(names) > _MANY:
        # While the database looks for them, Git looks for who wrote them.
        checkout.ask_for_authors()
    if storing is not None and names:
        syncs.lock_prompts(database, names)
    stored, by_case = syncs.stored(database, names) if names else ({}, {})
    standing = _standing(checkout, state)
    leads_back = standing in (provenance.BEFORE, provenance.BESIDE)

    def origins_of_texts() -> dict[str, dict[str, Any]]:
        return origins or origins_of(_new_texts(changed, stored))

    stores = None if leads_back and not options.forced else storing
    understanding = Understanding(stored, by_case, state.digests, options.allow_secrets)
    understood = _understood(candidates, len(changed), understanding, problems, progress, origins_of_texts, stores)
    around = plan.NOWHERE
    if targets := sorted({target.name for prompt in understood for target in plan.route_targets(prompt)}):
        if storing is not None:
            storing.wait()
        around = syncs.surroundings(database, targets)
    present = {prompt.name for prompt in folder}
    made = plan.make(
        checkout.source,
        understood,
        stored,
        by_case,
        plan.Terms(options.adopts, options.allow_new_variables, claims),
        gone={name: live for name, live in state.live.items() if name not in present},
        around=around,
        unchanged=len(folder) - len(changed),
    )
    work = applying.Work(
        checkout.source,
        checkout.commit,
        checkout.origin() if made.would_change else {},
        origins_of(_paths(made)),
        made,
        options.adopts,
        options.allow_new_variables,
        # An older commit that changes nothing is not remembered. One beside it is: after a squash merge the commit that
        # was applied lies on a branch that is gone, and the one on main has the same files.
        standing == provenance.BEFORE
        or (not made.applied and state.commit == (checkout.commit.hash if checkout.commit else None)),
    )
    refusal = _refusal(made, checkout, state, stored, options, standing=standing)
    return Outcome(work, refusal, stored, state.commit)


def _standing(checkout: Checkout, state: SourceState) -> str:
    """How the folder's commit stands to the one that was applied last; where history does not tell, the time does."""
    if state.commit is None:
        return provenance.AFTER
    if checkout.commit is None:
        return provenance.BEFORE
    standing = checkout.stands_to(state.commit)
    if standing != provenance.UNKNOWN:
        return standing
    return provenance.BEFORE if checkout.is_older(state.committed_at) else provenance.AFTER


def _changed(
    folder: Sequence[ListedPrompt], state: SourceState, problems: list[str], progress: Progress
) -> tuple[list[ListedPrompt], Iterable[ScannedPrompt]]:
    """The prompts that are to be compared, and what is in them.

    Where nothing was applied before that is all of them: they are read while those before are stored.
    """
    scanned = listing.scanned(folder, problems)
    if not state.digests:
        return list(folder), scanned
    found: list[ScannedPrompt] = []
    for place, each in enumerate(scanned):
        name = each.prompt.name
        if state.digests.get(name) != each.digest or name in state.unsettled:
            found.append(each)
        progress("reading", place + 1, len(folder))
    return [each.prompt for each in found], found


def _new_texts(changed: Sequence[ListedPrompt], stored: dict[str, StoredPrompt]) -> list[str]:
    """Paths of the texts whose number is free."""
    paths: list[str] = []
    for prompt in changed:
        known = stored[prompt.name].versions if prompt.name in stored else {}
        paths += [prompt.version_path(number) for number in prompt.files if number not in known]
    return paths


def _paths(made: Plan) -> list[str]:
    """Paths of the files that say what is to be done."""
    paths = {
        path
        for change in made.changes
        if change.kind in DOING
        for path in (change.file.path if change.file else None, change.yaml_path if change.file is None else None)
        if path
    }
    return sorted(paths)


class Understanding(Record):
    """What is to be known to understand a folder: what is stored, and the digests of files that were applied before.

    In those, and with `allows_secrets` in all, what looks like a key has been allowed.
    """

    __slots__ = ()
    stored: dict[str, StoredPrompt]
    names_by_case: dict[str, str]
    digests: dict[str, str]
    allows_secrets: bool


def _understood(
    candidates: Iterable[ScannedPrompt],
    total: int,
    known: Understanding,
    problems: list[str],
    progress: Progress,
    origins: Callable[[], dict[str, dict[str, Any]]],
    storing: applying.Storing | None,
) -> list[FolderPrompt]:
    """Understand the prompts that may have changed; with `storing`, texts that are not stored are on their way."""
    secrets: list[str] = []
    folder: list[FolderPrompt] = []
    for place, scanned in enumerate(candidates):
        name = scanned.prompt.name
        there = known.stored.get(name)
        versions_there = there.versions if there is not None else {}
        texts = {number: version.sha256 for number, version in versions_there.items()}
        are_allowed = known.allows_secrets or known.digests.get(name) == scanned.digest
        prompt = prompt_files.read(scanned, texts, problems, None if are_allowed else secrets)
        # One whose name is another's in other case is a conflict, which the plan tells.
        is_alone = known.names_by_case.get(name.lower(), name) == name
        is_in_use = there is None or not there.is_archived
        if storing is not None and is_alone and is_in_use and not problems and not secrets:
            # A text that was erased is a conflict as well.
            not_stored = {each.sha256 for each in versions_there.values() if each.is_erased}
            kept = [
                file if file.number in texts or file.sha256 in not_stored else storing.add(name, file, origins)
                for file in prompt.versions
            ]
            prompt = prompt.with_versions(kept)
        folder.append(prompt)
        progress("comparing" if storing is None else "storing", place + 1, total)
    if problems:
        raise listing.InvalidFolder(problems)
    if secrets:
        raise SecretFound(secrets)
    return folder


class SecretFound(errors.Refused):
    """What looks like a key in a prompt; `others` are those beside the one in the message."""

    def __init__(self, found: list[str]) -> None:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        path = found[0].partition(": ")[0].rpartition(":")[0]
        folder, _, file = path.rpartition("/")
        subject = file if file in listing.YAML_NAMES else file.rpartition(".")[0]
        super().__init__(
            "secret_found",
            found[0] + more,
            hint=f"take it out of {path}, and revoke it if it is real; if it is an example, say why in "
            f'{folder}/prompt.yaml: allow_secrets: {{{subject}: "the reason"}}',
        )
        self.others = found[1:]


def _refusal(
    made: Plan,
    checkout: Checkout,
    state: SourceState,
    stored: dict[str, StoredPrompt],
    options: Options,
    *,
    standing: str,
) -> errors.Refused | None:
    """Return why this plan must not be applied, None: it may be."""
    if conflicts := made.of(CONFLICT):
        return _conflict(conflicts)
    if options.forced or not made.would_change:
        return None
    if standing in (provenance.BEFORE, provenance.BESIDE):
        assert state.commit is not None
        return _older(checkout, state.commit, standing)
    moved = sum(1 for change in made.of(ACTIVATE) if change.previous_version is not None)
    others = [known for name, known in stored.items() if name not in state.live]
    live = sum(1 for each in state.live.values() if each) + sum(1 for known in others if known.active_version)
    if live >= _FEW_LIVE and moved * 3 > live:
        refused = errors.Refused(
            "too_many_moves", f"the plan moves {moved} of {live} live prompts at once, which is more than a third"
        )
        refused.again = ("--dry-run",)
        return refused
    return None


def _older(checkout: Checkout, commit: str, standing: str) -> errors.Refused:
    applied = short_hash(commit)
    if checkout.commit is None:
        told, hint = f"a folder without a commit does not come after {applied}, which was applied last", None
        hint = f"run it in a Git checkout that contains {applied}"
    else:
        told = f"{checkout.commit.short} does not come after {applied}, which was applied last"
        hint = f"git merge --ff-only {applied}"
        if checkout.is_shallow:
            told += ", as far as this shallow clone shows"
            hint = "git fetch --unshallow, or fetch-depth: 0 for actions/checkout"
        elif standing == provenance.BESIDE:
            hint = f"merge main into the branch: git merge {applied}"
        elif not checkout.has(commit):
            hint = "git fetch --all"
    return errors.Refused("older_commit", f"{told}: it would move prompts back", hint=hint)


def _conflict(conflicts: Sequence[Change]) -> errors.Refused:
    # What a word more would allow comes last: whoever repeats the command with it meets the others then.
    first = min(conflicts, key=lambda conflict: conflict.needs_new_variables)
    subject = f"{first.name}@{first.version}" if first.version else first.name
    more = f" (and {len(conflicts) - 1} more)" if len(conflicts) > 1 else ""
    told = f"{subject}: {first.why}{more}; nothing was applied"
    if first.needs_new_variables:
        hint = first.hint or ""
        if not hint.endswith(plan.ALLOWING_NEW_VARIABLES):
            return errors.Refused("new_variables", f"{told}; {refusals.ALLOWED_BY}", hint=hint)
        refused = errors.Refused("new_variables", told)
        refused.before_again = hint.removesuffix(plan.ALLOWING_NEW_VARIABLES)
        refused.again = ("--allow-new-variables",)
        return refused
    return errors.Refused("conflict", told, hint=first.hint)
