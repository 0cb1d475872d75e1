"""Attributes of a span that get those of a prompt when they are read.

An application waits for what happens when a span starts. Seven attributes and the id of a use take some 3 µs, so there
the use is only noted.
"""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan

from promptctl.rules import prompt_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from promptctl.otel.traced_use import TracedUse

# More than the attributes of a prompt.
MOST_ATTRIBUTES = 10


class StampedAttributes(BoundedAttributes):
    """Attributes to which those of `promptctl_use` are added by the first reader, usually the thread that exports.

    To stamp a span is to set `promptctl_use` and this class on its attributes. The first reader changes the class back.
    Setting further attributes does not read them.
    """

    promptctl_use: TracedUse

    def __getitem__(self, key: str) -> Any:
        return _completed(self)[key]

    def __delitem__(self, key: str) -> None:
        del _completed(self)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(_completed(self))

    def __len__(self) -> int:
        return len(_completed(self))

    def __repr__(self) -> str:
        return repr(_completed(self))

    def __deepcopy__(self, memo: dict[int, Any]) -> BoundedAttributes:
        return copy.deepcopy(_completed(self), memo)

    def copy(self) -> MutableMapping[str, Any]:
        """Return a dictionary of them."""
        return _completed(self).copy()


def _completed(attributes: StampedAttributes) -> BoundedAttributes:
    """Add the attributes of the prompt, unless another thread has done so or the span names a prompt itself."""
    any_attributes: Any = attributes
    use: TracedUse | None = vars(attributes).get("promptctl_use")
    added = {} if use is None else use.span_attributes
    with any_attributes._lock:
        # An interrupted reader leaves the use, so that the next one adds the attributes.
        if "promptctl_use" in vars(attributes) and prompt_fields.NAME not in any_attributes._dict:
            _add(any_attributes, added)
        vars(attributes).pop("promptctl_use", None)
        # Last, because readers of the other class do not wait for the lock.
        any_attributes.__class__ = BoundedAttributes
    return attributes


def _add(attributes: Any, added: dict[str, Any]) -> None:
    """Add attributes that a span does not have. If there are too many, the oldest go, as by OpenTelemetry's methods."""
    kept = attributes._dict
    missing = {name: value for name, value in added.items() if name not in kept}
    if attributes.maxlen is not None:
        for oldest in list(kept)[: max(0, len(kept) + len(missing) - attributes.maxlen)]:
            del kept[oldest]
            attributes.dropped += 1
    kept.update(missing)


def _is_possible() -> bool:
    """Try it with a span. It needs private fields, which another release of OpenTelemetry may not have."""
    try:
        attributes: Any = BoundedAttributes(maxlen=128, attributes={"a": 1}, immutable=False)
        span: Any = ReadableSpan("", resource=Resource({}), attributes=attributes)
        if span._attributes is not attributes or attributes.max_value_len is not None or attributes.maxlen != 128:
            return False
        _ = span._instrumentation_scope, span._context
        attributes.promptctl_use = SimpleNamespace(span_attributes={"b": 2})
        attributes.__class__ = StampedAttributes
        attributes["c"] = 3
        is_deferred = "promptctl_use" in vars(attributes)
        printed = json.loads(span.to_json())["attributes"]
        return is_deferred and printed == dict(span.attributes) == {"a": 1, "b": 2, "c": 3}
    except Exception:  # noqa: BLE001 - whatever the release does, spans can still be stamped at once
        return False


IS_POSSIBLE = _is_possible()
