"""The span processor that stamps spans with the prompt of the use in whose block they start."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import SpanProcessor

from promptctl.client import prompt
from promptctl.client.use import Use
from promptctl.otel import stamped_attributes
from promptctl.otel.stamped_attributes import StampedAttributes
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

    The trace of the first stamped span, or else of the current span when the block begins, is recorded with the use.
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
        # The scope of the last span that was stamped, if all of its spans are stamped with the block's use.
        self._last_scope: object = None
        with _lock:
            _processors.add(self)
            for processor in _processors:
                processor._last_scope = None
            _choose_use_class()
            stamped_attributes.create_for_spans()
        # For one that is dropped without `shutdown`.
        weakref.finalize(self, _choose_use_class).atexit = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp a span that starts in the block of a use. OpenTelemetry calls this."""
        # Applications wait for this, so it calls nothing that it can do itself. Most have one instrumentation, whose
        # spans have one object as their scope.
        use: Any = last_use()
        any_span: Any = span
        if (
            use is not None
            and not use.ended
            # Other releases of OpenTelemetry may not have the private fields below. Then there is no last scope.
            and self._last_scope is not None
            and any_span._instrumentation_scope is self._last_scope
            and type(any_span._attributes) is StampedAttributes
        ):
            # As in `stamped_attributes.note`.
            any_span._attributes.promptctl_use = use
            if not use.noted_trace:
                use.noted_trace = any_span._context[0]
        elif use is not None or self.is_in_context:
            self._stamp(span, use, parent_context)

    def _stamp(self, span: Span, last: TracedUse | None, parent_context: Context | None) -> None:
        """Stamp a span with the innermost open use.

        That is one in OpenTelemetry's contexts, if one may be there, or else that of the code which runs.
        """
        use = use_in_context(parent_context) if self.is_in_context else None
        if use is None and last is not None:
            use = last.open_use
        if use is None:
            return
        scope = span.instrumentation_scope
        is_listed = scope is not None and self._is_listed(scope.name)
        if not is_listed and not _is_of_call(span):
            return
        if stamped_attributes.note(span, use):
            if is_listed and not self.is_in_context and len(_processors) == 1:
                self._last_scope = scope
        elif prompt_fields.NAME not in (span.attributes or ()):
            span.set_attributes(use.span_attributes)
        if not use.noted_trace:
            use.noted_trace = span.get_span_context().trace_id

    def shutdown(self) -> None:
        """Stamp no further span. After the last processor was shut down or dropped, uses are made as without one."""
        self.on_start = _leave_alone
        with _lock:
            _processors.discard(self)
            _choose_use_class()

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - OpenTelemetry's signature
        """Return True: this processor keeps no span."""
        return True

    def _is_listed(self, name: str) -> bool:
        is_listed = self._is_of_scope.get(name)
        if is_listed is None:
            is_listed = any(name == listed or name.startswith(f"{listed}.") for listed in self._scopes)
            if len(self._is_of_scope) < _MOST_SCOPES:
                self._is_of_scope[name] = is_listed
        return is_listed


def _leave_alone(span: Span, parent_context: Context | None = None) -> None:
    """Do not stamp a span: what a processor that was shut down does when one starts."""


def _is_of_call(span: Span) -> bool:
    """Return whether a span is about a call of a model, by its first attributes, and names no prompt."""
    names = list(span.attributes or ())
    return any(name.startswith(_ATTRIBUTES) for name in names) and prompt_fields.NAME not in names


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
