"""A version as a client serves it, with its text and the epoch of its prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from promptctl.rules import message_requests, prompt_fields, templates
from promptctl.rules.read_only import read_only

if TYPE_CHECKING:
    from collections.abc import Mapping

    from promptctl.client.link import Link


class ServedVersion:
    """One version in one epoch: the part of a Prompt that is the same for all units, so that they share it.

    `version` and `epoch` are None for an application's own text. `is_candidate` is true for the candidate of a split.
    In `settings`, the request is still the text that is stored. It is parsed by the first call that needs it, because
    most changes of a prompt are read by processes that do not call Claude before the next one. Applications get
    `visible_settings` and `visible_metadata`, which they cannot change: a change would be one for every later call in
    the process.
    """

    __slots__ = (
        "_fields",
        "_request_template",
        "_template",
        "_visible_metadata",
        "_visible_settings",
        "content",
        "epoch",
        "is_candidate",
        "link",
        "metadata",
        "name",
        "seed",
        "settings",
        "version",
    )

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
        is_candidate: bool = False,
    ) -> None:
        self.link = link
        self.name = name
        self.version = version
        self.epoch = epoch
        self.content = content
        self.settings = settings
        self.metadata = metadata
        self.seed = seed
        self.is_candidate = is_candidate
        self._fields: prompt_fields.Fields | None = None
        self._template: templates.Template | None = None
        self._request_template: message_requests.RequestTemplate | None = None
        self._visible_settings: Mapping[str, Any] | None = None
        self._visible_metadata: Mapping[str, Any] | None = None

    @property
    def template(self) -> templates.Template:
        """The parsed content."""
        # Without a lock: if two threads parse it at the same time, the result is the same.
        template = self._template
        if template is None:
            template = self._template = templates.Template(self.content, self.settings)
        return template

    @property
    def request_template(self) -> message_requests.RequestTemplate:
        """The parsed content and request."""
        template = self._request_template
        if template is None:
            template = self._request_template = message_requests.RequestTemplate(self.content, self.settings)
        return template

    @property
    def visible_settings(self) -> Mapping[str, Any]:
        """The settings with the request as an object. They cannot be changed."""
        settings = self._visible_settings
        if settings is None:
            settings = self.settings
            if "request" in settings and (request := self.request_template.request) is not None:
                settings = {**settings, "request": request}
            settings = self._visible_settings = read_only(settings)
        return settings

    @property
    def visible_metadata(self) -> Mapping[str, Any]:
        """The metadata. They cannot be changed."""
        metadata = self._visible_metadata
        if metadata is None:
            metadata = self._visible_metadata = read_only(self.metadata)
        return metadata

    @property
    def fields(self) -> prompt_fields.Fields:
        """The fields by which traces name this version. They are shared: copy them before a change."""
        fields = self._fields
        if fields is None:
            fields = prompt_fields.of_version(self.name, self.version, self.epoch)
            fields[prompt_fields.IS_CANDIDATE] = self.is_candidate
            self._fields = fields
        return fields

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
