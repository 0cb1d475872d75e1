"""Which model Claude returns for each requested name, which may be another one some day: that of the newest reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.evaluation.sides import Side


class ReturnedModels:
    """The current model of each requested name, and the models that it has replaced in this run.

    A model that was replaced stays so. A name that returns several models by turns therefore moves once to each.
    """

    def __init__(self) -> None:
        self._current: dict[str, str] = {}
        self._replaced: set[tuple[str, str]] = set()

    def add(self, name: str, model: str) -> bool:
        """Count a model that Claude returned for a name now. Return whether it replaces another one."""
        former = self._current.get(name)
        if model == former or (name, model) in self._replaced:
            return False
        self._current[name] = model
        if former is None:
            return False
        self._replaced.add((name, former))
        return True

    def start(self, name: str, model: str) -> bool:
        """Take the model of the newest kept result as the current one, unless one was replaced in this run.

        Return whether it is another one than before.
        """
        former = self._current.get(name)
        if model == former or any(replaced == name for replaced, _ in self._replaced):
            return False
        self._current[name] = model
        return former is not None

    def current(self, name: str) -> str | None:
        """Return the model that Claude returns for a name, None if that is not known."""
        return self._current.get(name)

    def add_kept(self, sides: Sequence[Side]) -> None:
        """Take the model of the newest kept reply of all sides with the same requested name as the current one."""
        for name in {side.model for side in sides}:
            kept = [reply for side in sides if side.model == name for group in side.replies.values() for reply in group]
            if kept:
                # Without the last letter, a time without a fraction of a second is before one with it.
                newest = max(kept, key=lambda reply: (reply.created_at.rstrip("Z"), reply.id))
                self.start(name, newest.model)

    def drop_others(self, side: Side) -> list[str]:
        """Drop the replies of a side from other models than its name returns now. Return these models, sorted."""
        current = self.current(side.model)
        return [] if current is None else side.drop_other_models(current)
