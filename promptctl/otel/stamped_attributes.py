"""Attributes of a span that get those of a prompt when they are read.

An application waits for what happens when a span starts. Seven attributes and the id of a use take some 3 µs, so there
the use is only noted.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import opentelemetry.sdk.trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext

from promptctl.rules import prompt_fields

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from promptctl.otel.traced_use import TracedUse

# More than the attributes of a prompt.
_MOST_ATTRIBUTES = 10
# Setting an attribute takes a microsecond.
_LOCK_SECONDS = 0.1


class StampedAttributes(BoundedAttributes):
    """Attributes to which those of `promptctl_use` are added by the first reader, usually the thread that exports.

    To stamp a span is to set `promptctl_use`. Setting further attributes does not read them.
    """

    # None: not stamped, or the attributes were added.
    promptctl_use: TracedUse | None = None

    def __getitem__(self, key: str) -> Any:
        return BoundedAttributes.__getitem__(_completed(self), key)

    def __delitem__(self, key: str) -> None:
        BoundedAttributes.__delitem__(_completed(self), key)

    def __iter__(self) -> Iterator[str]:
        return BoundedAttributes.__iter__(_completed(self))

    def __len__(self) -> int:
        return BoundedAttributes.__len__(_completed(self))

    def __repr__(self) -> str:
        return BoundedAttributes.__repr__(_completed(self))

    # Since OpenTelemetry 1.41.
    if hasattr(BoundedAttributes, "__deepcopy__"):

        def __deepcopy__(self, memo: dict[int, Any]) -> BoundedAttributes:
            return BoundedAttributes.__deepcopy__(_completed(self), memo)

    def copy(self) -> MutableMapping[str, Any]:
        """Return a dictionary of them."""
        return BoundedAttributes.copy(_completed(self))


def create_for_spans() -> None:
    """Have OpenTelemetry's SDK create the attributes of spans as StampedAttributes from now on, if that is possible.

    There is no hook for this. To change the class of some attributes instead takes 2 µs for a span with twelve, because
    the SDK's methods then meet two classes.
    """
    sdk: Any = opentelemetry.sdk.trace
    if IS_POSSIBLE and sdk.BoundedAttributes is BoundedAttributes:
        sdk.BoundedAttributes = StampedAttributes


def note(span: Any, use: TracedUse) -> bool:
    """Note the use whose attributes the first reader of a span's attributes adds.

    Returns False if that cannot be: the span is of another release of OpenTelemetry or began before `create_for_spans`,
    or its limits are low.
    """
    attributes = getattr(span, "_attributes", None)
    if type(attributes) is not StampedAttributes or attributes.max_value_len is not None:
        return False
    if attributes.maxlen is not None and attributes.maxlen < _MOST_ATTRIBUTES:
        return False
    # If another processor has stamped the span, it stays as it is.
    if attributes.promptctl_use is None:
        attributes.promptctl_use = use
    return True


def _completed(attributes: StampedAttributes) -> StampedAttributes:
    """Add the attributes of the prompt, unless they were added or the span names a prompt itself."""
    use = attributes.promptctl_use
    if use is not None:
        added = use.span_attributes
        any_attributes: Any = attributes
        # The reader may be a handler of signals or of log records that has interrupted code of this thread that holds
        # the lock. To add the attributes twice, or beside a further one, does no harm.
        is_locked = any_attributes._lock.acquire(timeout=_LOCK_SECONDS)
        try:
            # An interrupted reader leaves the use, so that the next one adds the attributes.
            if attributes.promptctl_use is not None and prompt_fields.NAME not in any_attributes._dict:
                _add(any_attributes, added)
            # Last, because readers that find none do not wait for the lock.
            attributes.promptctl_use = None
        finally:
            if is_locked:
                any_attributes._lock.release()
    return attributes


def _add(attributes: Any, added: dict[str, Any]) -> None:
    """Add attributes that a span does not have. If there are too many, the oldest go, as by OpenTelemetry's methods."""
    kept = attributes._dict
    missing = {name: value for name, value in added.items() if name not in kept}
    if attributes.maxlen is not None:
        for oldest in list(kept)[: max(0, len(kept) + len(missing) - attributes.maxlen)]:
            kept.pop(oldest, None)
            attributes.dropped += 1
    kept.update(missing)


def _is_possible() -> bool:
    """Try it with a span. It needs private fields, which another release of OpenTelemetry may not have."""
    try:
        overridden = [name for name, value in vars(StampedAttributes).items() if callable(value)]
        if not all(hasattr(BoundedAttributes, name) for name in overridden):
            return False
        attributes: Any = StampedAttributes(maxlen=128, attributes={"a": 1}, immutable=False)
        context = SpanContext(1, 2, is_remote=False)
        span: Any = ReadableSpan("", context=context, resource=Resource({}), attributes=attributes)
        use: Any = SimpleNamespace(span_attributes={"b": 2})
        _ = span._instrumentation_scope
        is_noted = note(span, use) and span._context[0] == context.trace_id
        attributes["c"] = 3
        is_deferred = attributes.promptctl_use is use
        printed = json.loads(span.to_json())["attributes"]
        return is_noted and is_deferred and printed == dict(span.attributes) == {"a": 1, "b": 2, "c": 3}
    except Exception:  # noqa: BLE001 - whatever the release does, spans can still be stamped at once
        return False


IS_POSSIBLE = _is_possible()
