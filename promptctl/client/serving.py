"""What is served, as a client knows it: immutable, so that a reader sees one moment without a lock. Pure."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any

from promptctl.client.prompt import Prompt, Version
from promptctl.rules import buckets, targeting

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from promptctl.client.prompt import Link
    from promptctl.store.following import Followed, Pinned

# A longer one is not kept until its use is sent.
_LONGEST_UNIT = 200
# Of our own: an application that seeds the interpreter's generator for each request would draw the same ever again.
_draw = random.Random().random  # noqa: S311 - nothing secret


def renew_draws() -> None:
    """Draw anew, in a child process."""
    global _draw
    _draw = random.Random().random  # noqa: S311 - nothing secret


class Serving:
    """What is served of one prompt; `active` is None when nothing is."""

    __slots__ = ("active", "basis_points", "bucket_of", "candidate", "name", "route", "row", "seed")

    def __init__(self, row: Followed, link: Link) -> None:
        self.row = row
        self.name = row.name
        self.route = row.route or None
        # As SQL has it: where no split runs a unit's bucket is drawn by the prompt's name.
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
            Version(link, self.name, version, self.row.epoch, content, settings or {}, metadata or {}, self.seed)
        )

    def choose(self, unit: str | None) -> Prompt | None:
        """Return what a unit is served; without one a bucket is drawn for this call, which is not booked.

        Raises ValueError for what is no text that PostgreSQL could hold.
        """
        candidate = self.candidate
        if candidate is None:
            active = self.active
            if unit is None or active is None:
                return active
            # The bucket is reckoned when it is asked for, mostly by the thread that books the use.
            if len(unit) <= _LONGEST_UNIT and unit.isascii() and "\0" not in unit:
                return Prompt(active.source, unit)
            return Prompt(active.source, None, self.bucket_of(unit))
        if unit is None:
            return candidate if _draw() * buckets.BUCKETS < self.basis_points else self.active
        bucket = self.bucket_of(unit)
        chosen = candidate if bucket < self.basis_points else self.active
        return chosen and Prompt(chosen.source, None, bucket)


class State:
    """Everything that a client knows at one moment.

    `plain` has what is served alike to all who give neither unit nor attributes, by name, and pinned versions by
    reference: the one look-up of most calls. `routed` has the versions that routes lead to, in the prompts' epochs of
    this moment; a pinned version keeps the epoch in which it was read.
    """

    __slots__ = ("pinned", "plain", "prompts", "routed")

    def __init__(
        self, prompts: Mapping[str, Serving], pinned: Mapping[str, Prompt], before: Mapping[str, Prompt] | None = None
    ) -> None:
        self.prompts = prompts
        self.pinned = pinned
        plain = dict(pinned)
        routed: dict[str, Prompt] = {}
        for name, serving in prompts.items():
            if serving.candidate is None and serving.active is not None:
                plain[name] = serving.active
            if serving.route is not None:
                for step in serving.route:
                    use: str = step["use"]
                    if use in pinned and use not in routed:
                        routed[use] = _in_epoch(use, prompts, pinned, before or {})
        self.plain = plain
        self.routed = routed

    def with_rows(self, rows: Iterable[Followed], pinned: Iterable[Pinned], link: Link) -> State:
        """Return the state after these prompts have changed and these versions were read; itself when nothing did."""
        prompts = dict(self.prompts)
        for row in rows:
            before = prompts.get(row.name)
            if before is None or before.row != row:
                # As a program's own literals are: a name that is the same object is found in half the time.
                prompts[sys.intern(row.name)] = Serving(row, link)
        versions = dict(self.pinned)
        for each in pinned:
            version = Version(
                link, each.name, each.version, each.epoch, each.content, each.settings, each.metadata, each.name
            )
            versions.setdefault(sys.intern(str(version)), Prompt(version))
        if len(versions) == len(self.pinned) and prompts == self.prompts:
            return self
        return State(prompts, versions, self.routed)

    def without(self, references: Iterable[str]) -> State:
        """Return the state without these pinned references; itself when it has none of them."""
        gone = set(references)
        if gone.isdisjoint(self.pinned):
            return self
        return State(self.prompts, {name: each for name, each in self.pinned.items() if name not in gone}, self.routed)

    def target(self, name: str, attributes: Mapping[str, Any]) -> str:
        """Return where a prompt's route leads whoever has these attributes: a name, NAME@VERSION, or `name` itself."""
        serving = self.prompts.get(name)
        if serving is None or serving.route is None:
            return name
        step = targeting.first_match(serving.route, attributes)
        return name if step is None else step["use"]

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return which of these names and pinned references are not known yet, and what their routes lead to."""
        wanted: list[str] = []
        for name in names:
            wanted.append(name)
            serving = self.prompts.get(name)
            if serving is not None:
                wanted += targets(serving)
        return [name for name in dict.fromkeys(wanted) if name not in self.pinned and name not in self.prompts]


def for_unit(prompt: Prompt, unit: str) -> Prompt:
    """Return a version that is served whatever the unit. Raises ValueError for what PostgreSQL could not hold."""
    return Prompt(prompt.source, None, buckets.bucket(prompt.source.seed, unit))


def targets(serving: Serving) -> Iterator[str]:
    """Return what the steps of a prompt's route use; of a certain version the prompt as well, which has the epoch."""
    for step in serving.route or ():
        use: str = step["use"]
        yield use
        if "@" in use:
            yield use.partition("@")[0]


def _in_epoch(
    reference: str, prompts: Mapping[str, Serving], pinned: Mapping[str, Prompt], before: Mapping[str, Prompt]
) -> Prompt:
    """Return a pinned version in its prompt's present epoch; the one of before where that is still so."""
    known = pinned[reference]
    serving = prompts.get(known.name)
    for prompt in (known, before.get(reference)):
        if prompt is not None and (serving is None or prompt.epoch == serving.row.epoch):
            return prompt
    source = known.source
    return Prompt(
        Version(
            source.link, source.name, source.version, serving.row.epoch if serving else source.epoch, source.content,
            source.settings, source.metadata, source.seed,
        )
    )  # fmt: skip
