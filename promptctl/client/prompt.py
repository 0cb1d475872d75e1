"""A prompt as an application holds it: one version for one unit, with the link that its uses are recorded by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptctl.client import processes
from promptctl.client.exceptions import MissingVariables
from promptctl.client.served_version import ServedVersion
from promptctl.client.use import Use
from promptctl.rules import buckets, templates

if TYPE_CHECKING:
    from collections.abc import Mapping


class Prompt:
    """A version to use now. It does not change: call `Prompts.get` again for the version that is active later."""

    __slots__ = ("_bucket", "_unit", "link", "source")

    def __init__(self, version: ServedVersion, unit: str | None = None, bucket: int | None = None) -> None:
        self.link = version.link
        self.source = version
        self._unit = unit
        self._bucket = bucket

    @property
    def name(self) -> str:
        """The name of the prompt: the requested one, or the one that its route leads to."""
        return self.source.name

    @property
    def version(self) -> int | None:
        """The number of the version; None for the application's own text."""
        return self.source.version

    @property
    def epoch(self) -> int | None:
        """The number of the allocation in which the version was served; None for the application's own text."""
        return self.source.epoch

    @property
    def content(self) -> str:
        """The text, with its variables not filled in."""
        return self.source.content

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the version: template, variables, model, max_tokens."""
        return self.source.settings

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The description and other metadata of the version, as they were when it was read."""
        return self.source.metadata

    @property
    def is_default(self) -> bool:
        """Whether this is the text that the application passed as `default`, because no version was available."""
        return self.source.version is None

    @property
    def bucket(self) -> int | None:
        """The unit's bucket, 0 to 9999, which decides its side of a split; None without a unit."""
        if self._bucket is None and self._unit is not None:
            self._bucket = buckets.bucket(self.source.seed, self._unit)
        return self._bucket

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the active versions: a few, or more during an outage."""
        return self.link.age_seconds

    def render(self, values: Mapping[str, str] | None = None) -> str:
        """Return the text with its variables filled in.

        Values without a variable are ignored, because after a rollback the application still passes them. Raises
        MissingVariables, which names all missing variables, and TypeError for a value that is not a string.
        """
        try:
            return self.source.template.render(values or {})
        except templates.MissingValues as missing:
            raise MissingVariables(str(self.source), missing.names) from None
        except TypeError:
            for name in self.source.template.variables:
                if values and name in values and not isinstance(values[name], str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers are not all checked
                    kind = type(values[name]).__name__
                    raise TypeError(f'{self.source} needs a string for "{name}", not {kind}') from None
            raise

    def use(self) -> Use:
        """Return a block that times one call of a model and records it for this version, also when it fails."""
        return Use(self)

    def __copy__(self) -> Prompt:
        return self

    def __deepcopy__(self, memo: object) -> Prompt:
        # It does not change, and its client must not be copied.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        source = self.source
        values = (source.name, source.version, source.epoch, source.content, source.settings, source.metadata)
        return _unpickled, (self.link.database, *values, source.seed, self._unit, self._bucket)

    def __str__(self) -> str:
        return str(self.source)

    def __repr__(self) -> str:
        return f"<Prompt {self.source}>"


def _unpickled(database: str, *values: Any) -> Prompt:
    """Return a pickled prompt, whose uses this process's client of the same database records."""
    *version, unit, bucket = values
    return Prompt(ServedVersion(processes.link_of(database), *version), unit, bucket)
