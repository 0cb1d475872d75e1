"""A prompt as an application holds it: one version, for one unit, and where its uses are booked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptctl.client.failures import MissingVariables
from promptctl.client.use import Use
from promptctl.rules import buckets, templates

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Mapping
    from typing import Protocol

    from promptctl.client.fork_page import ForkPage

    class Link(Protocol):
        """What a prompt and its uses need of the client that served it."""

        queue: deque[Use]
        page: ForkPage

        # Which database it is of, without a password.
        database: str

        @property
        def age_seconds(self) -> float:
            """How long ago the database confirmed what is served."""
            ...

        def begin_in_child(self) -> int:
            """Begin anew in a child process that was forked unnoticed, and return the queue's limit in it."""
            ...

        def relieve(self) -> None:
            """Have the queue emptied: it is full."""
            ...

        def score(self, use_id: str, score: float) -> None:
            """Attach a score to a use."""
            ...


class Version:
    """What all who are served one version in one epoch share; `version` is None for an application's own text."""

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
        """The content, read once."""
        # Two threads may both read it, to the same end.
        template = self._template
        if template is None:
            template = self._template = templates.Template(self.content, self.settings)
        return template

    def __str__(self) -> str:
        return self.name if self.version is None else f"{self.name}@{self.version}"


class Prompt:
    """The version to use now. It does not change: whoever wants to know what is live asks `Prompts.get` again."""

    __slots__ = ("_bucket", "_unit", "link", "source")

    def __init__(self, version: Version, unit: str | None = None, bucket: int | None = None) -> None:
        self.link = version.link
        self.source = version
        self._unit = unit
        self._bucket = bucket

    @property
    def name(self) -> str:
        """The name of the prompt that is served: of the one that was asked for, or where its route leads."""
        return self.source.name

    @property
    def version(self) -> int | None:
        """The version's number; None: it is the application's own text."""
        return self.source.version

    @property
    def epoch(self) -> int | None:
        """The epoch in which it was served: every change of who gets what has its own. None: no version was served."""
        return self.source.epoch

    @property
    def content(self) -> str:
        """The text, its variables not filled in."""
        return self.source.content

    @property
    def settings(self) -> Mapping[str, Any]:
        """What belongs to the version beside its content: template, variables, model, max_tokens."""
        return self.source.settings

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its description and whatever else was said of it, as it was when it was read."""
        return self.source.metadata

    @property
    def is_default(self) -> bool:
        """Whether it is the text that the application gave as `default`, because no version could be served."""
        return self.source.version is None

    @property
    def bucket(self) -> int | None:
        """The unit's bucket, 0 to 9999, by which a split chose; None: no unit was given."""
        if self._bucket is None and self._unit is not None:
            self._bucket = buckets.bucket(self.source.seed, self._unit)
        return self._bucket

    @property
    def age_seconds(self) -> float:
        """How long ago the database confirmed what is served: a few seconds, more during an outage."""
        return self.link.age_seconds

    def render(self, values: Mapping[str, str] | None = None) -> str:
        """Return the text with its variables filled in.

        Values that the text does not name are ignored: after a rollback the application gives them all the same.
        Raises MissingVariables, which names all that are missing, TypeError for a value that is no text.
        """
        try:
            return self.source.template.render(values or {})
        except templates.MissingValues as missing:
            raise MissingVariables(str(self.source), missing.names) from None
        except TypeError:
            for name in self.source.template.variables:
                if values and name in values and not isinstance(values[name], str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are not all checked
                    kind = type(values[name]).__name__
                    raise TypeError(f'{self.source} is given a text for "{name}", not {kind}') from None
            raise

    def use(self) -> Use:
        """Return a block that times one call of a model and books it, a failure too, on this version."""
        return Use(self)

    def __copy__(self) -> Prompt:
        return self

    def __deepcopy__(self, memo: object) -> Prompt:
        # It does not change, and a copy of the client that it belongs to would be another one.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        source = self.source
        values = (source.name, source.version, source.epoch, source.content, source.settings, source.metadata)
        return _restored, (self.link.database, *values, source.seed, self._unit, self._bucket)

    def __str__(self) -> str:
        return str(self.source)

    def __repr__(self) -> str:
        return f"<Prompt {self.source}>"


def _restored(
    database: str,
    name: str,
    version: int | None,
    epoch: int | None,
    content: str,
    settings: Mapping[str, Any],
    metadata: Mapping[str, Any],
    seed: str,
    unit: str | None,
    bucket: int | None,
) -> Prompt:
    """Return a prompt that was pickled; its uses are recorded by this process's client of the same database."""
    from promptctl.client.processes import link_of

    source = Version(link_of(database), name, version, epoch, content, settings, metadata, seed)
    return Prompt(source, unit, bucket)
