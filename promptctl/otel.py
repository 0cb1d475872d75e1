"""OpenTelemetry: the spans of calls of a model carry the prompt that was used, and a use the id of its trace.

    provider.add_span_processor(promptctl.otel.PromptAttributes())

It needs the extra `otel` of promptctl. No other module imports opentelemetry. An application that does not make a
PromptAttributes pays nothing: making one replaces the class of uses by a subclass.
"""

from __future__ import annotations

import threading
import time
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from promptctl import requirements
from promptctl.client import prompt
from promptctl.client.use import Use
from promptctl.rules import prompt_fields

try:
    from opentelemetry import context, trace
    from opentelemetry.attributes import BoundedAttributes
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import SpanProcessor
except ModuleNotFoundError as missing:
    raise ImportError(
        f"promptctl.otel needs OpenTelemetry's SDK, which is not installed: {requirements.install_extra('otel')}",
        name=missing.name,
    ) from None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self

    from opentelemetry.sdk.trace import Span
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext

__all__ = ["PromptAttributes"]

# The key of the current use in OpenTelemetry's context, which instrumentations of threads and queues pass on.
_KEY = context.create_key("promptctl-use")
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
# More than the fields of a prompt.
_MOST_FIELDS = 10
_now = time.perf_counter
_AGE_SECONDS, _USE_ID = prompt_fields.AGE_SECONDS, prompt_fields.USE_ID


class PromptAttributes(SpanProcessor):
    """A span processor that adds the prompt of `with prompt.use()` to the spans of calls of a model in that block.

    The attributes are `gen_ai.prompt.name` and `gen_ai.prompt.version` (a string, by the semantic conventions),
    `promptctl.epoch`, `promptctl.is_candidate`, `promptctl.is_default`, `promptctl.age_seconds` and `promptctl.use_id`.
    Stamped are spans of Anthropic's SDK, OpenInference and OpenLLMetry, and those that start with an attribute of
    `gen_ai` or `llm` and name no prompt themselves. Any other span stays as it is.

    The trace of the current span when the block begins, or else of the first stamped span, is recorded with the use.
    """

    def __init__(self, scopes: Iterable[str] = ()) -> None:
        """`scopes` are further instrumentation scopes whose spans are stamped: names, or their beginnings up to a dot.

        Raises TypeError for a single string, and for anything but strings.
        """
        if isinstance(scopes, str):
            raise TypeError(f"scopes must be a list of names, not the string {scopes!r}")
        names = (*_SCOPES, *scopes)
        if not all(isinstance(name, str) for name in names):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError("scopes must be a list of strings")
        self._scopes = names
        self._is_of_scope: dict[str, bool] = {}
        # The last one that was listed.
        self._last_scope: object = self
        self._is_shut_down = False
        _processors.add(self)
        _choose_use_class()
        # For one that is dropped without `shutdown`.
        weakref.finalize(self, _choose_use_class).atexit = False

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamp a span that starts in the block of a use. OpenTelemetry calls this."""
        use: Any = None if parent_context is None else parent_context.get(_KEY)
        if use is None or use.ended:
            use = (use and use.open_use) or _current().get(_KEY)
            if use is None or (use.ended and (use := use.open_use) is None):
                return
        if self._is_shut_down:
            return
        scope = span.instrumentation_scope
        # Most applications have one instrumentation, whose spans have one object as their scope.
        if scope is self._last_scope or self._is_listed(scope) or _starts_like_a_call(span.attributes or ()):
            version = use.prompt.served_version
            fields = version.known_fields or version.fields
            age_seconds, use_id = version.link.age_seconds, use._id or use.id
            attributes: Any = getattr(span, "_attributes", None)
            if (
                attributes.__class__ is _FAST_ATTRIBUTES
                and attributes.max_value_len is None
                and ((most := attributes.maxlen) is None or len(attributes._dict) + _MOST_FIELDS <= most)
            ):
                values = attributes._dict
                values.update(fields)
                values[_AGE_SECONDS] = age_seconds
                values[_USE_ID] = use_id
            else:
                span.set_attributes({**fields, _AGE_SECONDS: age_seconds, _USE_ID: use_id})
            span_context = use.span_context
            if span_context is None or not span_context.is_valid:
                use.span_context = span.get_span_context()

    def shutdown(self) -> None:
        """Stamp no further span. After the last processor was shut down or dropped, uses are made as without one."""
        self._is_shut_down = True
        _processors.discard(self)
        _choose_use_class()

    def force_flush(self, timeout_millis: int = 30000) -> bool:  # noqa: ARG002 - OpenTelemetry's signature
        """Return True: this processor keeps no span."""
        return True

    def _is_listed(self, scope: InstrumentationScope | None) -> bool:
        if scope is None:
            return False
        name = scope.name
        is_listed = self._is_of_scope.get(name)
        if is_listed is None:
            is_listed = any(name == listed or name.startswith(f"{listed}.") for listed in self._scopes)
            if len(self._is_of_scope) < _MOST_SCOPES:
                self._is_of_scope[name] = is_listed
        if is_listed:
            self._last_scope = scope
        return is_listed


def _starts_like_a_call(attributes: Iterable[str]) -> bool:
    """Return whether some attributes are those of a call of a model, and name no prompt themselves."""
    names = list(attributes)
    return any(name.startswith(_ATTRIBUTES) for name in names) and prompt_fields.NAME not in names


def _fast_attributes() -> type[BoundedAttributes] | None:
    """Return the class of spans' attributes, if our fields can be put into their dictionary.

    OpenTelemetry's own method takes 4 µs, because it checks that each value is a string, a number or a boolean.
    """
    kept = getattr(BoundedAttributes(attributes={"a": 1}), "_dict", None)
    return BoundedAttributes if isinstance(kept, dict) and kept == {"a": 1} else None


_FAST_ATTRIBUTES = _fast_attributes()
# The processors that are not shut down. A lock for `use_class`, reentrant because the garbage collector may interrupt.
_processors: weakref.WeakSet[PromptAttributes] = weakref.WeakSet()
_lock = threading.RLock()


def _choose_use_class() -> None:
    with _lock:
        prompt.use_class = TracedUse if any(_processors) else Use


class TracedUse(Use):
    """A use that is in OpenTelemetry's context during its block.

    The end of the block leaves the context as it is, because it may be another one than at the beginning, as in a
    generator that another task closes. Instead, a use that has ended stamps nothing.
    """

    span_context: SpanContext | None = None
    _enclosing: TracedUse | None = None

    @property
    def trace_id(self) -> int:
        """The trace of the current span when the block began, or else of the first stamped span; 0: none."""
        span_context = self.span_context
        return span_context.trace_id if span_context is not None and span_context.is_valid else 0

    def __enter__(self) -> Self:
        # Applications wait for this, so it calls nothing that it can do itself.
        if self.began:
            return super().__enter__()
        current: Any = _current()
        span = current.get(_SPAN_KEY)
        if span is not None:
            self.span_context = span.get_span_context()
        enclosing = current.get(_KEY)
        if enclosing is not None:
            # Not one that has ended, or uses would form an endless chain.
            if not enclosing.ended:
                self._enclosing = enclosing
            elif enclosing._enclosing is not None:
                self._enclosing = enclosing.open_use
        values = current.copy()
        values[_KEY] = self
        _attach(Context(values))
        self.began = _now()
        return self

    @property
    def open_use(self) -> TracedUse | None:
        """The innermost use that has not ended: itself during its block, afterwards a use around it, or None."""
        use: TracedUse | None = self
        while use is not None and use.ended:
            use = use._enclosing
        return use


def _context_functions() -> tuple[Callable[[], Context], Callable[[Context], object]]:
    """Return the functions that return and replace the current context.

    OpenTelemetry keeps it in a ContextVar, unless it is configured otherwise. Its own functions take longer.
    """
    token = context.attach(context.get_current())
    variable: Any = getattr(token, "var", None)
    context.detach(token)
    if isinstance(variable, ContextVar):
        current_context: ContextVar[Context] = token.var
        return current_context.get, current_context.set
    return context.get_current, context.attach


_current, _attach = _context_functions()
# OpenTelemetry's key of the current span in a context.
[_SPAN_KEY] = trace.set_span_in_context(trace.INVALID_SPAN, Context())
