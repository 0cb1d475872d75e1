"""Step 1 of a sync: read the folder, its Git commit and the state of the database."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import defaults as folder_defaults
from promptctl.folder import listing, mistakes, prompt_files, provenance
from promptctl.folder.prompt_files import StoredContents
from promptctl.records import Record
from promptctl.rules import targeting
from promptctl.rules.targeting import RouteGraph
from promptctl.store import rollouts, syncs
from promptctl.sync import overlaps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from promptctl.folder.listing import ListedPrompt, ScannedPrompt
    from promptctl.folder.prompt_files import FolderPrompt
    from promptctl.folder.provenance import Checkout
    from promptctl.postgres.database import Database
    from promptctl.store.rollouts import Rollout
    from promptctl.store.syncs import SourceState, StoredPrompt

    # Reports progress: gets the activity, the number of prompts that are done, and the number of all.
    Progress = Callable[[str, int, int], None]

# With more changed prompts than this, `git log`, which takes a while, starts before the database is queried.
_MANY_PROMPTS = 100
_READ_AHEAD_BYTES = 1 << 23


def list_prompts(
    folder: str, template: str | None = None, *, command: str = "sync", is_default: bool = False
) -> list[ListedPrompt]:
    """Return the prompts of a folder. Raises Failed (`invalid_folder`) with every problem.

    `template` is the style of versions whose prompt.yaml sets none; it takes precedence over promptctl.yaml.
    `command` is the command that reads the folder. `is_default`: the user did not name the folder.
    """
    if failure := mistakes.failure(folder, command, is_default=is_default):
        raise failure
    problems: list[str] = []
    defaults = folder_defaults.read(folder, problems)
    if template is not None:
        defaults["template"] = template
    try:
        prompts = listing.list_prompts(folder, defaults)
    except listing.InvalidFolder as invalid:
        prompts = list(invalid.prompts)
        problems += invalid.problems
    else:
        if not prompts:
            raise mistakes.empty(folder)
    if not problems:
        return prompts
    # Parse the files too, so that one run reports every problem.
    for scanned in listing.scan(prompts, problems):
        prompt_files.read(scanned, problems)
    raise listing.InvalidFolder(problems)


class FolderReader:
    """Reads the files of a folder: hashes them first, then parses the prompts that may differ from the database.

    `candidates` are the prompts that may differ. If this source was never applied, every prompt of the folder is a
    candidate, and no file is hashed before its prompt is parsed.
    """

    def __init__(self, prompts: Sequence[ListedPrompt], state: SourceState, progress: Progress) -> None:
        self.listed_prompts = prompts
        self.candidates: list[ListedPrompt]
        self._scanned: Iterable[ScannedPrompt]
        self._applied_digests = state.digests
        self._problems: list[str] = []
        self._secrets: list[str] = []
        self._progress = progress
        if state.digests:
            changed = self._scan_for_changes(state)
            self.candidates, self._scanned = [scanned.prompt for scanned in changed], changed
        else:
            self.candidates, self._scanned = list(prompts), listing.scan(prompts, self._problems)

    @property
    def names(self) -> list[str]:
        """The names of the candidates."""
        return [prompt.name for prompt in self.candidates]

    @property
    def has_problems(self) -> bool:
        """Whether anything that was read so far makes the sync fail."""
        return bool(self._problems or self._secrets)

    def parse(
        self, stored: Mapping[str, StoredPrompt], activity: str, *, allow_secrets: bool
    ) -> Iterator[FolderPrompt]:
        """Parse the candidates, one after the other, and report progress as `activity`.

        Raises InvalidFolder or SecretFound after the last one, so that the error has every problem.
        """
        total = len(self.candidates)
        for count, scanned in enumerate(self._scanned, 1):
            yield self._parse_prompt(scanned, stored.get(scanned.prompt.name), allow_secrets=allow_secrets)
            self._progress(activity, count, total)
        if self._problems:
            raise listing.InvalidFolder(self._problems)
        if self._secrets:
            raise SecretFound(self._secrets)

    def read_ahead(self) -> None:
        """Read and hash the first candidates now, up to 8 MB, while the caller waits for the database."""
        scanned = iter(self._scanned)
        first: list[ScannedPrompt] = []
        size = 0
        while size < _READ_AHEAD_BYTES and (prompt := next(scanned, None)) is not None:
            first.append(prompt)
            size += sum(map(len, prompt.contents.values()))
        self._scanned = itertools.chain(first, scanned)

    def _scan_for_changes(self, state: SourceState) -> list[ScannedPrompt]:
        changed: list[ScannedPrompt] = []
        for count, scanned in enumerate(listing.scan(self.listed_prompts, self._problems), 1):
            name = scanned.prompt.name
            if state.digests.get(name) != scanned.digest or name in state.unsettled:
                changed.append(scanned)
            self._progress("reading", count, len(self.listed_prompts))
        return changed

    def _parse_prompt(
        self, scanned: ScannedPrompt, stored_prompt: StoredPrompt | None, *, allow_secrets: bool
    ) -> FolderPrompt:
        stored_versions = stored_prompt.versions if stored_prompt is not None else {}
        stored = StoredContents(
            {number: version.sha256 for number, version in stored_versions.items()},
            {
                number: version.settings["request"]
                for number, version in stored_versions.items()
                if "request" in version.settings
            },
        )
        # If exactly these files were applied before, their secrets were allowed then.
        is_allowed = allow_secrets or self._applied_digests.get(scanned.prompt.name) == scanned.digest
        return prompt_files.read(scanned, self._problems, None if is_allowed else self._secrets, stored)


class Reading(Record):
    """What a sync has read before it parses the changed prompts.

    `state` is what was applied of the folder last. `relation` is how the folder's commit relates to the commit that
    was applied last, a constant of `provenance`. `stored` is what the database has of the reader's candidates, by name.
    `missing_rollouts` are the open rollouts of prompts that are no longer in the folder, by name.
    """

    checkout: Checkout
    state: SourceState
    relation: str
    reader: FolderReader
    stored: dict[str, StoredPrompt]
    missing_rollouts: dict[str, Rollout]

    @property
    def lacks_applied_commit(self) -> bool:
        """Whether the folder's commit does not contain the commit that was applied last."""
        return self.relation in (provenance.OLDER, provenance.DIVERGED)

    @property
    def missing_prompts(self) -> dict[str, int | None]:
        """The prompts of this source that are no longer in the folder, with their active versions."""
        return _missing_prompts(self.reader.listed_prompts, self.state)


def read(
    database: Database,
    checkout: Checkout,
    prompts: Sequence[ListedPrompt],
    progress: Progress,
    *,
    force: bool,
    lock: bool,
) -> Reading:
    """Read everything but the contents of the changed prompts. `Reading.reader` parses those.

    `lock` locks the candidates in the database, so that they cannot change until the transaction ends. Raises Refused
    (`conflict`) for a folder that overlaps another source, unless `force` is set.
    """
    state = _source_state(database, checkout, prompts, force=force)
    reader = FolderReader(prompts, state, progress)
    names = reader.names
    if lock and len(names) > _MANY_PROMPTS:
        checkout.start_author_query()
    if lock and names:
        wait_for_locks = syncs.start_locking(database, names)
        reader.read_ahead()
        wait_for_locks()
    stored = syncs.stored_prompts(database, names) if names else {}
    missing = _missing_prompts(prompts, state)
    missing_rollouts = {one.name: one for one in rollouts.read_open(database) if one.name in missing} if missing else {}
    return Reading(checkout, state, _commit_relation(checkout, state), reader, stored, missing_rollouts)


def _missing_prompts(prompts: Sequence[ListedPrompt], state: SourceState) -> dict[str, int | None]:
    names = {prompt.name for prompt in prompts}
    return {name: active for name, active in state.active_versions.items() if name not in names}


def route_graph(database: Database, prompts: Iterable[FolderPrompt]) -> RouteGraph:
    """Return the versions and routes that the database has of the prompts to which the folder's routes lead."""
    names = {target.name for prompt in prompts for target in targeting.targets(prompt.route or ())}
    return syncs.route_graph(database, sorted(names)) if names else RouteGraph({}, {})


def _source_state(
    database: Database, checkout: Checkout, prompts: Sequence[ListedPrompt], *, force: bool
) -> SourceState:
    """Return what was applied of the folder last.

    If it was applied under an older name of its source, `checkout.source` is set to that name.
    """
    state = syncs.source_state(database, checkout.source)
    if state.has_been_applied:
        return state
    others = syncs.sources(database)
    if (older_name := overlaps.older_spelling(checkout, others)) is not None:
        checkout.source = older_name
        return syncs.source_state(database, older_name)
    if others and not force:
        overlaps.refuse(database, checkout, prompts, others)
    return state


def _commit_relation(checkout: Checkout, state: SourceState) -> str:
    """Return how the folder's commit relates to the commit that was applied last.

    Without an applied commit, any folder is newer. Otherwise, a folder without a commit is older. If Git cannot compare
    the commits, their times are compared.
    """
    if state.commit is None:
        return provenance.NEWER
    if checkout.commit is None:
        return provenance.OLDER
    relation = checkout.relation_to(state.commit)
    if relation != provenance.UNKNOWN:
        return relation
    return provenance.OLDER if checkout.is_older(state.committed_at) else provenance.NEWER


class SecretFound(errors.Refused):
    """Prompts contain what looks like keys. `others` has all messages but the first, which is the error's own."""

    def __init__(self, secrets: list[str]) -> None:
        more = f" (and {len(secrets) - 1} more)" if len(secrets) > 1 else ""
        # A message begins with `PATH:LINE: `, or with `PATH: `.
        place = secrets[0].partition(": ")[0]
        path, _, line = place.rpartition(":")
        path = path if line.isdigit() else place
        folder, _, file = path.rpartition("/")
        if file in listing.YAML_NAMES:
            allowed_key = file
        elif listing.number_of(file) or listing.request_number_of(file):
            # The entry of a version is for its text and for its request file.
            allowed_key = file.partition(".")[0]
        else:
            allowed_key = listing.TEST_NAMES[0]
            folder = folder.removesuffix(f"/{listing.TESTS_FOLDER}")
        super().__init__(
            "secret_found",
            secrets[0] + more,
            hint=f"remove it from {path}, and revoke it if it is real; if it is an example, give the reason in "
            f'{folder}/prompt.yaml: allow_secrets: {{{allowed_key}: "the reason"}}',
        )
        self.others = secrets[1:]
