"""A version as a client serves it, with its text and the epoch of its prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from promptctl.rules import templates

if TYPE_CHECKING:
    from collections.abc import Mapping

    from promptctl.client.link import Link


class ServedVersion:
    """One version in one epoch: the part of a Prompt that is the same for all units, so that they share it.

    `version` and `epoch` are None for an application's own text.
    """

    __slots__ = ("_template", "content", "epoch", "link", "metadata", "name", "seed", "settings", "version")

    def __init__(
        self,
        link: Link,
        name: str,
        version: int | None,
        epoch: int | None,
        content: str,
        settings: Mapping[str, Any],
        metadata: Mapping[str, Any],
        seed: str,
    ) -> None:
        self.link = link
        self.name = name
        self.version = version
        self.epoch = epoch
        self.content = content
        self.settings = settings
        self.metadata = metadata
        self.seed = seed
        self._template: templates.Template | None = None

    @property
    def template(self) -> templates.Template:
        """The parsed content."""
        # Without a lock: if two threads parse it at the same time, the result is the same.
        template = self._template
        if template is None:
            template = self._template = templates.Template(self.content, self.settings)
        return template

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


class PromptOfUse(Protocol):
    """What a use needs of its prompt. It is a type of its own, because the module of Prompt imports that of Use."""

    link: Link
    served_version: ServedVersion

    @property
    def bucket(self) -> int | None:
        """The unit's bucket."""
        ...
