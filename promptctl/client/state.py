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

# Of a longer unit, a prompt keeps only the bucket, because it stays in memory until its use is sent.
_LONGEST_UNIT = 200
# A generator of our own. An application that seeds Python's generator for each request would always get the same side
# of a split.
_random = random.Random().random  # noqa: S311 - not a secret


def _renew_random() -> None:
    global _random
    _random = random.Random().random  # noqa: S311 - not a secret


processes.renew_in_child(_renew_random)


class PromptState:
    """What one prompt serves: its active version (None if no version is active), its split and its route."""

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
            link,
            row.candidate_version,
            row.candidate_content,
            row.candidate_settings,
            row.candidate_metadata,
            is_candidate=True,
        )

    def _prompt(
        self,
        link: Link,
        version: int | None,
        content: str | None,
        settings: Mapping[str, Any] | None,
        metadata: Mapping[str, Any] | None,
        *,
        is_candidate: bool = False,
    ) -> Prompt | None:
        if version is None or content is None:
            return None
        fields = (self.name, version, self.row.epoch, content, settings or {}, metadata or {}, self.seed, is_candidate)
        return Prompt(ServedVersion(link, *fields))

    def choose(self, unit: str | None) -> Prompt | None:
        """Return the version for a unit. Without a unit, a running split selects a side at random for this call.

        Raises ValueError for a unit that PostgreSQL cannot store as text.
        """
        candidate = self.candidate
        if candidate is None:
            active = self.active
            if unit is None or active is None:
                return active
            # Without a split, only the record of a use needs the bucket. Usually the recorder's thread calculates it
            # then. A unit for which that could raise an exception, or that is long, gets its bucket here.
            if len(unit) <= _LONGEST_UNIT and unit.isascii() and "\0" not in unit:
                return Prompt(active.served_version, unit)
            return Prompt(active.served_version, None, self.bucket_of(unit))
        if unit is None:
            return candidate if _random() * buckets.BUCKETS < self.basis_points else self.active
        bucket = self.bucket_of(unit)
        chosen = candidate if bucket < self.basis_points else self.active
        return None if chosen is None else Prompt(chosen.served_version, None, bucket)


class State:
    """All prompts and pinned versions that a client has read, as they were at one time.

    - `prompts`: by name.
    - `pinned`: the pinned versions, by reference (NAME@VERSION), in epoch 0, because no split chose them.
    - `plain`: what answers most calls with one lookup: the prompts that are the same for all units, and the pinned
      versions.
    """

    __slots__ = ("pinned", "plain", "prompts")

    def __init__(self, prompts: Mapping[str, PromptState], pinned: Mapping[str, Prompt]) -> None:
        self.prompts = prompts
        self.pinned = pinned
        plain = dict(pinned)
        for name, prompt in prompts.items():
            if prompt.candidate is None and prompt.active is not None:
                plain[name] = prompt.active
        self.plain = plain

    @property
    def is_empty(self) -> bool:
        """Whether the state has neither a prompt nor a pinned version."""
        return not self.prompts and not self.pinned

    def with_rows(self, rows: Iterable[FollowedPrompt], pinned: Iterable[PinnedVersion], link: Link) -> State:
        """Return the state with these changed prompts and new pinned versions: the same object if nothing differs."""
        prompts = dict(self.prompts)
        for row in rows:
            previous = prompts.get(row.name)
            if previous is None or previous.row != row:
                # An application's literals are interned. A dict finds a key that is the same object in half the time.
                prompts[sys.intern(row.name)] = PromptState(row, link)
        versions = dict(self.pinned)
        for row in pinned:
            # Not the epoch of the row: that of a snapshot of an earlier release is another one.
            version = ServedVersion(link, row.name, row.version, 0, row.content, row.settings, row.metadata, row.name)
            versions.setdefault(sys.intern(str(version)), Prompt(version))
        if len(versions) == len(self.pinned) and prompts == self.prompts:
            return self
        return State(prompts, versions)

    def without(self, references: Iterable[str]) -> State:
        """Return the state without these pinned versions: the same object if it has none of them."""
        removed = set(references)
        if removed.isdisjoint(self.pinned):
            return self
        pinned = {reference: prompt for reference, prompt in self.pinned.items() if reference not in removed}
        return State(self.prompts, pinned)

    def __contains__(self, reference: str) -> bool:
        """Return whether the state has a prompt, by its name, or a pinned version, by its reference."""
        return reference in self.prompts or reference in self.pinned

    def route_target(self, name: str, attributes: Mapping[str, Any]) -> str:
        """Return where the route of a prompt sends a request: another name, NAME@VERSION, or `name` itself."""
        prompt = self.prompts.get(name)
        if prompt is None or prompt.route is None:
            return name
        step = targeting.first_match(prompt.route, attributes)
        return name if step is None else step["use"]

    def not_loaded(self, names: Iterable[str]) -> list[str]:
        """Return these names and references, and the targets of their routes, without those that the state has."""
        needed: list[str] = []
        for name in names:
            needed.append(name)
            prompt = self.prompts.get(name)
            if prompt is not None:
                needed += _route_targets(prompt)
        return [name for name in dict.fromkeys(needed) if name not in self]


def with_bucket(prompt: Prompt, unit: str) -> Prompt:
    """Return a pinned version with the bucket of a unit, for the record of its uses.

    Raises ValueError for a unit that PostgreSQL cannot store as text.
    """
    return Prompt(prompt.served_version, None, buckets.bucket(prompt.served_version.seed, unit))


def _route_targets(prompt: PromptState) -> Iterator[str]:
    """Yield the targets of a route's steps."""
    for step in prompt.route or ():
        yield step["use"]
