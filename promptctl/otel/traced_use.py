"""Uses that the spans in their blocks can find, and that know their trace."""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanContext

from promptctl.client.use import Use
from promptctl.rules import prompt_fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

_now = time.perf_counter
# The use that began last in the running code, whether it has ended or not. A copy of the context inherits it.
_last_use: ContextVar[TracedUse | None] = ContextVar("promptctl-use", default=None)
last_use, _set_last_use = _last_use.get, _last_use.set
# The key of a use in OpenTelemetry's context, and that of the current span.
_USE_KEY = context.create_key("promptctl-use")
[_SPAN_KEY] = trace.set_span_in_context(trace.INVALID_SPAN, Context())


class TracedUse(Use):
    """A use that spans can find during its block.

    The end of the block leaves the context as it is, because it may be another one than at the beginning, as in a
    generator that another task closes. Instead, a use that has ended stamps nothing.
    """

    # A block that begins sets these on the instance, which is faster to read.
    # Those of the current span then, which may be invalid, and of the first stamped span. Not the spans: they are big.
    _around: SpanContext | None = None
    stamped: SpanContext | None = None
    enclosing: TracedUse | None = None

    @property
    def trace_id(self) -> int:
        """The trace of the current span when the block began, or else of the first stamped span; 0: none."""
        for span_context in (self._around, self.stamped):
            if span_context is not None and span_context.is_valid:
                return span_context.trace_id
        return 0

    @property
    def span_attributes(self) -> dict[str, Any]:
        """The attributes of a span of this use. The age is that at which the block began, if it is known."""
        age = vars(self).get("_age_seconds")
        if age is None:
            began = time.monotonic() - (_now() - self.began)
            # The same for all spans of the use, whichever threads read them.
            age = vars(self).setdefault("_age_seconds", self.prompt.link.age_seconds_at(began))
        ages = {} if age is None else {prompt_fields.AGE_SECONDS: age}
        return {**self.prompt.served_version.fields, **ages, prompt_fields.USE_ID: self.id}

    def __enter__(self) -> Self:
        # Applications wait for this, so it calls nothing that it can do itself.
        if self.began:
            return super().__enter__()
        span = _current_context().get(_SPAN_KEY)
        around = None
        if span is not None:
            around = getattr(span, "_context", None)
            # Spans of other implementations have no such field, or something else there.
            if type(around) is not SpanContext:
                around = span.get_span_context()
        self._around = around
        self.stamped = None
        enclosing = last_use()
        if enclosing is not None:
            if enclosing.enclosing is not None:
                enclosing = enclosing.pruned_open_use
            elif enclosing.ended:
                enclosing = None
        self.enclosing = enclosing
        _set_last_use(self)
        self.began = _now()
        return self

    @property
    def open_use(self) -> TracedUse | None:
        """The innermost use that has not ended: itself during its block, afterwards a use around it, or None."""
        use: TracedUse | None = self
        while use is not None and use.ended:
            use = use.enclosing
        return use

    @property
    def pruned_open_use(self) -> TracedUse | None:
        """`open_use`, with no ended use around it: blocks that overlap would form an endless chain."""
        use = self.open_use
        if use is not None and use.enclosing is not None:
            use.enclosing = use.enclosing.open_use
        return use


class ContextUse(TracedUse):
    """A traced use that is in OpenTelemetry's context too, which instrumentations pass on to threads."""

    def __enter__(self) -> Self:
        use = super().__enter__()
        if self.enclosing is None and (passed := context.get_value(_USE_KEY)) is not None:
            enclosing: Any = passed
            self.enclosing = enclosing.pruned_open_use
        context.attach(context.set_value(_USE_KEY, self))
        return use


def use_in_context(parent_context: Context | None) -> TracedUse | None:
    """Return the innermost open use in this context of OpenTelemetry, or else in the current one."""
    for otel_context in (parent_context, context.get_current()):
        use: Any = None if otel_context is None else otel_context.get(_USE_KEY)
        if use is not None and (open_use := use.open_use) is not None:
            return open_use
    return None


def _context_getter() -> Callable[[], Any]:
    """Return the function that returns OpenTelemetry's current context.

    OpenTelemetry keeps it in a ContextVar, unless it is configured otherwise. Its own function takes longer.
    """
    token: Any = context.attach(context.get_current())
    context.detach(token)
    try:
        getter: Callable[[], Any] = token.var.get
    except AttributeError:
        return context.get_current
    return getter


_current_context = _context_getter()


def _make_ids() -> None:
    """Make the ids of the uses in whose blocks the process forks. The child would give its spans other ones."""
    use = last_use()
    while use is not None:
        if not use.ended:
            _ = use.id
        use = use.enclosing


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_make_ids)
