"""The active versions that a client has read: immutable, so that a reader needs no lock. Pure."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

from promptctl.client import processes
from promptctl.client.prompt import Prompt
from promptctl.client.served_version import ServedVersion
from promptctl.rules import buckets, targeting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from promptctl.client.link import Link
    from promptctl.store.following import FollowedPrompt, PinnedVersion

# A prompt holds its unit until its use is sent; of a longer one it holds the bucket.
_LONGEST_UNIT = 200
# A generator of our own: an application that seeds Python's for each request would always select the same side.
_random = random.Random().random  # noqa: S311 - not a secret


def _renew_random() -> None:
    global _random
    _random = random.Random().random  # noqa: S311 - not a secret


processes.renew_in_child(_renew_random)


class PromptState:
    """The active version, the split and the route of one prompt; `active` is None if no version is active."""

    __slots__ = ("active", "basis_points", "bucket_of", "candidate", "name", "route", "row", "seed")

    def __init__(self, row: FollowedPrompt, link: Link) -> None:
        self.row = row
        self.name = row.name
        self.route = row.route or None
        # As in SQL: without a split, the prompt's name is the seed.
        self.seed = row.seed or row.name
        self.bucket_of = buckets.for_seed(self.seed)
        self.basis_points = row.basis_points
        self.active = self._prompt(link, row.active_version, row.content, row.settings, row.metadata)
        self.candidate = self._prompt(
            link, row.candidate_version, row.candidate_content, row.candidate_settings, row.candidate_metadata
        )

    def _prompt(
        self,
        link: Link,
        version: int | None,
        content: str | None,
        settings: Mapping[str, Any] | None,
        metadata: Mapping[str, Any] | None,
    ) -> Prompt | None:
        if version is None or content is None:
            return None
        return Prompt(
            ServedVersion(link, self.name, version, self.row.epoch, content, settings or {}, metadata or {}, self.seed)
        )

    def choose(self, unit: str | None) -> Prompt | None:
        """Return the version for a unit. Without a unit, a running split selects a side at random for this call.

        Raises ValueError for a unit that PostgreSQL cannot store as text.
        """
        candidate = self.candidate
        if candidate is None:
            active = self.active
            if unit is None or active is None:
                return active
            # The bucket is calculated on demand, usually by the thread that records the use.
            if len(unit) <= _LONGEST_UNIT and unit.isascii() and "\0" not in unit:
                return Prompt(active.source, unit)
            return Prompt(active.source, None, self.bucket_of(unit))
        if unit is None:
            return candidate if _random() * buckets.BUCKETS < self.basis_points else self.active
        bucket = self.bucket_of(unit)
        chosen = candidate if bucket < self.basis_points else self.active
        return chosen and Prompt(chosen.source, None, bucket)


class State:
    """All prompts and pinned versions that a client has read, as they were at one time.

    `plain` answers most calls with one lookup: by name, the prompts that are the same for all units, and by reference,
    the pinned versions. `routed` has the versions that routes lead to, in the current epochs of their prompts; a pinned
    version keeps the epoch in which it was read.
    """

    __slots__ = ("pinned", "plain", "prompts", "routed")

    def __init__(
        self,
        prompts: Mapping[str, PromptState],
        pinned: Mapping[str, Prompt],
        previously_routed: Mapping[str, Prompt] | None = None,
    ) -> None:
        self.prompts = prompts
        self.pinned = pinned
        plain = dict(pinned)
        routed: dict[str, Prompt] = {}
        for name, prompt in prompts.items():
            if prompt.candidate is None and prompt.active is not None:
                plain[name] = prompt.active
            for step in prompt.route or ():
                use: str = step["use"]
                if use in pinned and use not in routed:
                    routed[use] = _in_epoch(use, prompts, pinned, previously_routed or {})
        self.plain = plain
        self.routed = routed

    def with_rows(self, rows: Iterable[FollowedPrompt], pinned: Iterable[PinnedVersion], link: Link) -> State:
        """Return the state with these changed prompts and new pinned versions; itself if nothing is different."""
        prompts = dict(self.prompts)
        for row in rows:
            previous = prompts.get(row.name)
            if previous is None or previous.row != row:
                # Literals of a program are interned, and a dict finds an identical object in half the time.
                prompts[sys.intern(row.name)] = PromptState(row, link)
        versions = dict(self.pinned)
        for row in pinned:
            version = ServedVersion(
                link, row.name, row.version, row.epoch, row.content, row.settings, row.metadata, row.name
            )
            versions.setdefault(sys.intern(str(version)), Prompt(version))
        if len(versions) == len(self.pinned) and prompts == self.prompts:
            return self
        return State(prompts, versions, self.routed)

    def without(self, references: Iterable[str]) -> State:
        """Return the state without these pinned versions; itself if it has none of them."""
        removed = set(references)
        if removed.isdisjoint(self.pinned):
            return self
        pinned = {reference: prompt for reference, prompt in self.pinned.items() if reference not in removed}
        return State(self.prompts, pinned, self.routed)

    def target(self, name: str, attributes: Mapping[str, Any]) -> str:
        """Return where the route of a prompt leads a request: a name, NAME@VERSION, or `name` itself."""
        prompt = self.prompts.get(name)
        if prompt is None or prompt.route is None:
            return name
        step = targeting.first_match(prompt.route, attributes)
        return name if step is None else step["use"]

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return which of these names and references, and of the targets of their routes, the state does not have."""
        needed: list[str] = []
        for name in names:
            needed.append(name)
            prompt = self.prompts.get(name)
            if prompt is not None:
                needed += targets(prompt)
        return [name for name in dict.fromkeys(needed) if name not in self.pinned and name not in self.prompts]


def for_unit(prompt: Prompt, unit: str) -> Prompt:
    """Return a version that does not depend on the unit. Raises ValueError for what PostgreSQL cannot store as text."""
    return Prompt(prompt.source, None, buckets.bucket(prompt.source.seed, unit))


def targets(prompt: PromptState) -> Iterator[str]:
    """Yield where the steps of a route lead, and for a pinned version also its prompt, which has the epoch."""
    for step in prompt.route or ():
        use: str = step["use"]
        yield use
        if "@" in use:
            yield use.partition("@")[0]


def _in_epoch(
    reference: str,
    prompts: Mapping[str, PromptState],
    pinned: Mapping[str, Prompt],
    previously_routed: Mapping[str, Prompt],
) -> Prompt:
    """Return a pinned version in its prompt's current epoch; the same object as before if the epoch is the same."""
    version = pinned[reference]
    prompt = prompts.get(version.name)
    for candidate in (version, previously_routed.get(reference)):
        if candidate is not None and (prompt is None or candidate.epoch == prompt.row.epoch):
            return candidate
    source = version.source
    return Prompt(
        ServedVersion(
            source.link, source.name, source.version, prompt.row.epoch if prompt else source.epoch, source.content,
            source.settings, source.metadata, source.seed,
        )
    )  # fmt: skip
