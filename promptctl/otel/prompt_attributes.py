"""The span processor that stamps spans with the prompt of the use in whose block they start."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import SpanProcessor

from promptctl.client import prompt
from promptctl.client.use import Use
from promptctl.otel import stamped_attributes
from promptctl.otel.stamped_attributes import MOST_ATTRIBUTES, StampedAttributes
from promptctl.otel.traced_use import ContextUse, TracedUse, last_use, use_in_context
from promptctl.rules import prompt_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Span

# Instrumentation scopes whose spans are about calls of a model, with those that continue their names after a dot:
# Anthropic's SDK, OpenInference and OpenLLMetry. Spans of other scopes are recognised by their first attributes.
_SCOPES = (
    "com.anthropic.sdk",
    "openinference.instrumentation",
    "opentelemetry.instrumentation.anthropic",
)
_ATTRIBUTES = ("gen_ai.", "llm.", "openinference.", "traceloop.")
# Applications have few scopes. The limit is for one that makes their names from data.
_MOST_SCOPES = 1000


class PromptAttributes(SpanProcessor):
    """A span processor that adds the prompt of `with prompt.use()` to the spans of calls of a model in that block.

    The attributes are `gen_ai.prompt.name` and `gen_ai.prompt.version` (a string, by the semantic conventions),
    `promptctl.epoch`, `promptctl.is_candidate`, `promptctl.is_default`, `promptctl.age_seconds` and `promptctl.use_id`.
    Stamped are spans of Anthropic's SDK, OpenInference and OpenLLMetry, and those that start with an attribute of
    `gen_ai`, `llm`, `openinference` or `traceloop`. A span that names a prompt itself, and any other, stays as it is.

    The trace of the current span when the block begins, or else of the first stamped span, is recorded with the use.
    """

    def __init__(self, scopes: Iterable[str] = (), *, in_context: bool = False) -> None:
        """`scopes` are further instrumentation scopes whose spans are stamped: names, or their beginnings up to a dot.

        Code that runs in a copy of the block's context has its use, as tasks of asyncio do, and other threads have not.
        With `in_context`, the use is in OpenTelemetry's context as well, which some instrumentations pass to threads.

        Raises TypeError for a single string, and for anything but strings.
        """
        if isinstance(scopes, str):
            raise TypeError(f"scopes must be a list of names, not the string {scopes!r}")
        names = (*_SCOPES, *scopes)
        if not all(isinstance(name, str) for name in names):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError("scopes must be a list of strings")
        self.is_in_context = in_context
        self._scopes = names
        self._is_of_scope: dict[str, bool] = {}
        # The listed scope of the last span.
        self._last_scope = object()
        self._defers = stamped_attributes.IS_POSSIBLE
        # Whether the use of a span is the last one that began, unless that has ended.
        self._is_simple = self._defers and not in_context
        with _lock:
            _processors.add(self)
            _choose_use_class()
        # For one that is dropped without `shutdown`.
        weakref.finalize(self, _choose_use_class).atexit = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp a span that starts in the block of a use. OpenTelemetry calls this."""
        # Applications wait for this, so it calls nothing that it can do itself.
        use: Any = last_use()
        if use is None or use.ended or not self._is_simple:
            use = self._find_use(parent_context)
            if use is None:
                return
            if not self._defers:
                self._stamp_at_once(span, use)
                return
        any_span: Any = span
        # Most applications have one instrumentation, whose spans have one object as their scope.
        if any_span._instrumentation_scope is self._last_scope or self._is_of_call(span):
            attributes = any_span._attributes
            if (
                type(attributes) is BoundedAttributes
                and attributes.max_value_len is None
                and ((most := attributes.maxlen) is None or most >= MOST_ATTRIBUTES)
            ):
                noted: Any = attributes
                noted.promptctl_use = use
                noted.__class__ = StampedAttributes
            elif type(attributes) is not StampedAttributes:
                _set_attributes(span, use)
            if use.stamped is None:
                use.stamped = any_span._context

    def _find_use(self, parent_context: Context | None) -> TracedUse | None:
        """Return the innermost open use in OpenTelemetry's contexts, if one may be there, or else where this runs."""
        use = use_in_context(parent_context) if self.is_in_context else None
        last = last_use()
        return last.open_use if use is None and last is not None else use

    def _stamp_at_once(self, span: Span, use: TracedUse) -> None:
        """Stamp a span by OpenTelemetry's public methods."""
        if self._is_of_call(span):
            _set_attributes(span, use)
            if use.stamped is None:
                use.stamped = span.get_span_context()

    def shutdown(self) -> None:
        """Stamp no further span. After the last processor was shut down or dropped, uses are made as without one."""
        self.on_start = _leave_alone
        with _lock:
            _processors.discard(self)
            _choose_use_class()

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - OpenTelemetry's signature
        """Return True: this processor keeps no span."""
        return True

    def _is_of_call(self, span: Span) -> bool:
        """Return whether a span is about a call of a model, by its scope or by its first attributes."""
        scope = span.instrumentation_scope
        if scope is not None and self._is_listed(scope.name):
            self._last_scope = scope
            return True
        names = list(span.attributes or ())
        return any(name.startswith(_ATTRIBUTES) for name in names) and prompt_fields.NAME not in names

    def _is_listed(self, name: str) -> bool:
        is_listed = self._is_of_scope.get(name)
        if is_listed is None:
            is_listed = any(name == listed or name.startswith(f"{listed}.") for listed in self._scopes)
            if len(self._is_of_scope) < _MOST_SCOPES:
                self._is_of_scope[name] = is_listed
        return is_listed


def _leave_alone(span: Span, parent_context: Context | None = None) -> None:
    """Do not stamp a span: what a processor that was shut down does when one starts."""


def _set_attributes(span: Span, use: TracedUse) -> None:
    if prompt_fields.NAME not in (span.attributes or ()):
        span.set_attributes(use.span_attributes)


# The processors that are not shut down. A lock for `use_class`, reentrant because the garbage collector may interrupt.
_processors: weakref.WeakSet[PromptAttributes] = weakref.WeakSet()
_lock = threading.RLock()


def _choose_use_class() -> None:
    with _lock:
        are_in_context = [processor.is_in_context for processor in _processors]
        if not are_in_context:
            prompt.use_class = Use
        else:
            prompt.use_class = ContextUse if any(are_in_context) else TracedUse
