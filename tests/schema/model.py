"""A model of one prompt in Python: the specification that the tests compare schema.sql with."""

from __future__ import annotations

from dataclasses import dataclass, field


class Refused(Exception):
    """A refusal, with the name of the rule."""


@dataclass
class Move:
    """One row of the history."""

    epoch: int
    kind: str
    previous: int | None
    version: int | None
    candidate: int | None
    share: int
    seed: str | None
    parent: int | None
    position: int | None


@dataclass
class Prompt:
    """One prompt: the texts of its versions, the archived ones, what it serves, and its history."""

    name: str
    texts: dict[int, str] = field(default_factory=dict[int, str])
    archived: set[int] = field(default_factory=set[int])
    next_version: int = 1
    active: int | None = None
    candidate: int | None = None
    share: int = 0
    seed: str | None = None
    position: int | None = None
    epoch: int = 0
    history: list[Move] = field(default_factory=list[Move])

    def create(self, text: str, number: int | None, activate: bool) -> None:
        duplicates = [
            version
            for version, stored_text in self.texts.items()
            if stored_text == text and version not in self.archived
        ]
        if number is None and duplicates:
            number = max(duplicates)
        else:
            number = number or self.next_version
            if number in self.texts:
                raise Refused("a_number_is_used_once_in_a_prompt")
            self.texts[number] = text
            self.next_version = max(self.next_version, number + 1)
        if activate and (number != self.active or self.candidate):
            self._serve(number)

    def activate(self, version: int) -> None:
        self._require_in_use(version)
        if version != self.active or self.candidate:
            self._serve(version)

    def roll_back(self, to: int | None, expect: int | None) -> None:
        if to is not None:
            self._require_in_use(to)
            if to == self.active and not self.candidate:
                return
        if expect is not None and expect != self.active:
            raise Refused("the_active_version_is_as_expected")
        if self.candidate and to in (None, self.active):
            self._serve(self.active)
            return
        node = self._move_at(self.position)
        while node := self._move_at(node.parent if node else None):
            is_skipped = node.version is None or node.version == self.active or node.version in self.archived
            if not is_skipped and to in (None, node.version):
                self._serve(node.version, position=node.epoch)
                return
        raise Refused("a_rollback_goes_to_an_earlier_active_version")

    def set_active(self, version: int, on: bool) -> None:
        if version not in self.texts or version in self.archived:
            return  # not in the view
        if on and version != self.active:
            self._serve(version)
        if not on and version == self.active:
            self._serve(None)

    def split(self, candidate: int | None, share: int) -> None:
        if candidate is None:
            share = 0
        elif candidate == self.active:
            raise Refused("a_candidate_is_not_the_active_version")
        elif self.active is None:
            raise Refused("a_split_needs_an_active_version")
        else:
            self._require_in_use(candidate)
        if (candidate, share) != (self.candidate, self.share):
            self._change(self.active, candidate, share, self.position)

    def retire(self, version: int, undo: bool) -> None:
        if version not in self.texts:
            raise Refused("version_exists")
        if undo:
            self.archived.discard(version)
        elif version in (self.active, self.candidate):
            raise Refused("a_served_version_is_not_archived")
        else:
            self.archived.add(version)

    def _require_in_use(self, version: int) -> None:
        if version not in self.texts:
            raise Refused("version_exists")
        if version in self.archived:
            raise Refused("an_archived_version_is_not_served")

    def _move_at(self, epoch: int | None) -> Move | None:
        return next((move for move in self.history if move.epoch == epoch), None)

    def _serve(self, version: int | None, position: int | None = None) -> None:
        if version == self.active:
            position = self.position
        self._change(version, None, 0, position or self.epoch + 1)

    def _change(self, version: int | None, candidate: int | None, share: int, position: int | None) -> None:
        self.epoch += 1
        if version == self.active:
            kind = "split" if candidate else "unsplit"
        elif position != self.epoch:
            kind = "rollback"
        else:
            kind = "activate" if version else "deactivate"
        seed = (self.seed or f"{self.name}.{self.epoch}") if candidate else None
        parent = self.position if kind in ("activate", "deactivate") else None
        self.history.append(Move(self.epoch, kind, self.active, version, candidate, share, seed, parent, position))
        self.active, self.candidate, self.share, self.seed, self.position = version, candidate, share, seed, position
