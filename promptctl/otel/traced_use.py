"""Uses that the spans in their blocks can find, and that know their trace."""

from __future__ import annotations

import os
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import context, trace

from promptctl.client.use import Use
from promptctl.rules import prompt_fields

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from opentelemetry.context import Context

_now = time.perf_counter
# The use that began last in the running code, whether it has ended or not. A copy of the context inherits it.
_last_use: ContextVar[TracedUse | None] = ContextVar("promptctl-use", default=None)
last_use, _set_last_use = _last_use.get, _last_use.set
# The key of a use in OpenTelemetry's context.
_USE_KEY = context.create_key("promptctl-use")


class TracedUse(Use):
    """A use that spans can find during its block.

    The end of the block leaves the context as it is, because it may be another one than at the beginning, as in a
    generator that another task closes. Instead, a use that has ended stamps nothing.
    """

    # A block that begins sets these on the instance, which is faster to read.
    # The trace of the first stamped span, or after the end of the block that of the span around it; 0: none.
    noted_trace: int = 0
    enclosing: TracedUse | None = None
    # OpenTelemetry's context when the block began, until it ends: a use that waits must not keep a span.
    _context: Any = None

    @property
    def trace_id(self) -> int:
        """The trace of the first stamped span, or else of the current span when the block began; 0: none."""
        return self.noted_trace or (0 if self._context is None else _current_trace(self._context))

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
        self.noted_trace = 0
        self._context = _current_context()
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

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # As in Use, whose method would take 0.2 µs to call. A test compares the two.
        self.ended = _now()
        if not self.noted_trace:
            self.noted_trace = _current_trace(self._context)
        self._context = None
        if kind is not None and self.outcome == "ok":
            self.outcome = kind.__name__
        link = self.prompt.link
        try:
            wake_length = link.process_local.wake_length
        except AttributeError:  # this is a new child process
            wake_length = link.restart_in_child()
        queue = link.queue
        queue.append(self)
        if len(queue) >= wake_length:
            link.on_wake_length()

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


def _current_trace(otel_context: Context) -> int:
    """Return the trace of the current span of a context of OpenTelemetry, or 0."""
    try:
        span_context = trace.get_current_span(otel_context).get_span_context()
        return span_context.trace_id if span_context.is_valid else 0
    except Exception:  # noqa: BLE001 - the span may be of any implementation, and the call of the model must go on
        return 0


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


def _context_getter() -> Callable[[], Context]:
    """Return the function that returns OpenTelemetry's current context.

    OpenTelemetry keeps it in a ContextVar, unless it is configured otherwise. Its own function takes longer.
    """
    token: Any = context.attach(context.get_current())
    context.detach(token)
    try:
        getter: Callable[[], Context] = token.var.get
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
