"""What `Prompts.get` returns: one version for one unit. It composes what Claude is sent, and records the uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptctl.client import argument_checks, processes
from promptctl.client.exceptions import MissingVariables
from promptctl.client.served_version import ServedVersion
from promptctl.client.use import Use
from promptctl.rules import buckets, templates

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


# The class of uses. promptctl.otel replaces it by a subclass: an application without traces pays for no check.
use_class: type[Use] = Use


class Prompt:
    """A version to use now. It does not change: call `Prompts.get` again for the version that is active later."""

    __slots__ = ("_bucket", "_unit", "link", "served_version")

    def __init__(self, version: ServedVersion, unit: str | None = None, bucket: int | None = None) -> None:
        self.link = version.link
        self.served_version = version
        self._unit = unit
        self._bucket = bucket

    @property
    def name(self) -> str:
        """The name of the prompt: the requested one, or the one that its route leads to."""
        return self.served_version.name

    @property
    def version(self) -> int | None:
        """The number of the version; None for the application's own text."""
        return self.served_version.version

    @property
    def epoch(self) -> int | None:
        """The number of the allocation in which the version was served; None for the application's own text."""
        return self.served_version.epoch

    @property
    def content(self) -> str:
        """The text, with its variables not filled in."""
        return self.served_version.content

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of the version: template, variables, model, max_tokens, request, cache.

        They cannot be changed: an attempt raises TypeError. `copy.deepcopy` makes an ordinary dictionary of them.
        """
        return self.served_version.visible_settings

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The description and other metadata of the version, as they were when it was read. They cannot be changed."""
        return self.served_version.visible_metadata

    @property
    def is_default(self) -> bool:
        """Whether this is the text that the application passed as `default`, because no version was available."""
        return self.served_version.version is None

    @property
    def bucket(self) -> int | None:
        """The unit's bucket, 0 to 9999, which selects its side of a split; None without a unit."""
        if self._bucket is None and self._unit is not None:
            self._bucket = buckets.bucket(self.served_version.seed, self._unit)
        return self._bucket

    @property
    def age_seconds(self) -> float:
        """Seconds since the database confirmed the active versions: a few, or more during an outage."""
        return self.link.age_seconds

    def render(self, values: Mapping[str, str] | None = None) -> str:
        """Return the text with its variables filled in.

        A value for which the text has no variable is ignored: after a rollback, an application still passes the values
        that the newer version needs. Raises MissingVariables, which names all missing variables, and TypeError for a
        value that is not a string.
        """
        try:
            return self.served_version.template.render(values or {})
        except templates.MissingValues as missing:
            raise MissingVariables(str(self.served_version), missing.names) from None
        except TypeError:
            self._check_types(self.served_version.template.variables, values)
            raise

    def request(
        self,
        values: Mapping[str, str] | None = None,
        messages: Iterable[Mapping[str, Any]] | None = (),
        **keywords: Any,
    ) -> dict[str, Any]:
        """Return the keywords for `messages.create` of Anthropic's SDK: everything that Claude is sent.

        These are the model and max_tokens of the version, its text as `system`, its request, and `messages` after those
        of the request. One of `keywords` wins over what the version has, also `system`, `tools` and `max_tokens`.

        `values` fills in the variables of the text and of the messages of the version. The dictionary, and the objects
        and lists in it, are the caller's. A tool, or a message without a variable, is shared with other calls, and an
        attempt to change it raises TypeError. `copy.deepcopy` makes ordinary dictionaries and lists of it. `messages`
        stay the caller's.

        Raises MissingVariables and TypeError as `render` does, and TypeError for `messages` that are no list of
        mappings.
        """
        if values.__class__ is not dict:
            argument_checks.check_values(values)
        own = messages if isinstance(messages, list) else argument_checks.message_list(messages)
        for message in own:
            if message.__class__ is not dict:
                argument_checks.check_message(message)
        try:
            request = self.served_version.request_template.keywords(values or {}, own)
        except templates.MissingValues as missing:
            raise MissingVariables(str(self.served_version), missing.names) from None
        except TypeError:
            self._check_types(self.served_version.request_template.variables, values)
            raise
        if keywords:
            request.update(keywords)
        return request

    def _check_types(self, variables: Sequence[str], values: Mapping[str, Any] | None) -> None:
        """Raise TypeError with the first variable whose value is not a string."""
        for name in variables:
            if values and name in values and not isinstance(values[name], str):
                kind = type(values[name]).__name__
                raise TypeError(f'{self.served_version} needs a string for "{name}", not {kind}') from None

    def use(self) -> Use:
        """Return a `with` block that times one call of a model and records it for this version, also if it fails."""
        return use_class(self)

    def __copy__(self) -> Prompt:
        return self

    def __deepcopy__(self, memo: object) -> Prompt:
        # A prompt does not change, so it needs no copy, and a copy would include its client.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # The client is not pickled. The identity of its database is, and selects a client in the other process.
        version = self.served_version
        values = (version.name, version.version, version.epoch, version.content, version.settings, version.metadata)
        values = (*values, version.seed, version.is_candidate)
        return _unpickled, (self.link.database_identity, *values, self._unit, self._bucket)

    def __str__(self) -> str:
        return str(self.served_version)

    def __repr__(self) -> str:
        return f"<Prompt {self.served_version}>"


def _unpickled(database_identity: str, *values: Any) -> Prompt:
    """Return the prompt with these values, from `__reduce__`. Its uses are recorded by this process's client."""
    *version_values, unit, bucket = values
    return Prompt(ServedVersion(processes.link_of(database_identity), *version_values), unit, bucket)
