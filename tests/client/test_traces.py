"""The prompt on the spans of calls of a model, and the trace of a use."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import gc
import importlib
import inspect
import logging
import re
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from opentelemetry import context, trace
from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from promptctl import Prompts
from promptctl.client import prompt as prompt_module
from promptctl.client.use import Use
from promptctl.otel import PromptAttributes, stamped_attributes, traced_use
from tests.claude_api import KEY, ClaudeServer
from tests.client.support import until, uses
from tests.conftest import ROOT
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
    from pathlib import Path

    import psycopg
    from opentelemetry.sdk.trace import ReadableSpan

    Connection = psycopg.Connection[Any]

NAME, VERSION, USE_ID = "gen_ai.prompt.name", "gen_ai.prompt.version", "promptctl.use_id"
AGE = "promptctl.age_seconds"
SDK = "com.anthropic.sdk.python"
TRACES = "replace(trace_id::text, '-', '')"


class Tracing:
    """A tracer provider with our processor, and the spans that have ended."""

    def __init__(self, *processors: PromptAttributes) -> None:
        self.provider = TracerProvider()
        self.exporter = InMemorySpanExporter()
        self.processors = processors or (PromptAttributes(),)
        for processor in self.processors:
            self.provider.add_span_processor(processor)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))

    def call(
        self,
        name: str = "call",
        *,
        scope: str = SDK,
        of: context.Context | None = None,
        attributes: Mapping[str, str] | None = None,
    ) -> None:
        """Make a span as an instrumentation makes it."""
        with self.provider.get_tracer(scope).start_as_current_span(name, of, attributes=attributes):
            pass

    @property
    def stamps(self) -> dict[str, str | None]:
        """The prompt of each span, by the span's name: NAME@VERSION."""
        stamps: dict[str, str | None] = {}
        for span in self.exporter.get_finished_spans():
            found = dict(span.attributes or {})
            stamps[span.name] = f"{found[NAME]}@{found.get(VERSION)}" if NAME in found else None
        return stamps

    def span(self, name: str) -> ReadableSpan:
        [span] = [span for span in self.exporter.get_finished_spans() if span.name == name]
        return span

    def trace_id(self, name: str) -> str:
        return trace_id_of(self.span(name))


def trace_id_of(span: ReadableSpan) -> str:
    span_context = span.get_span_context()
    assert span_context is not None
    return f"{span_context.trace_id:032x}"


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    made = Tracing()
    yield made
    made.provider.shutdown()


def test_the_spans_of_three_instrumentations_carry_the_prompt_and_the_use_has_their_trace(
    prompts: Prompts, sql: Connection, tracing: Tracing
) -> None:
    run(sql, "select promptctl.split('greeter', 10000, 2)")
    until(lambda: prompts.get("greeter", unit="u").version == 2)
    instrumentors: list[Any] = []
    for module in ("openinference.instrumentation.anthropic", "opentelemetry.instrumentation.anthropic"):
        with contextlib.suppress(ModuleNotFoundError):
            instrumentors.append(importlib.import_module(module).AnthropicInstrumentor())
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(ClaudeServer())
        for instrumentor in instrumentors:
            instrumentor.instrument(tracer_provider=tracing.provider)
            stack.callback(instrumentor.uninstrument)
        client: Any = stack.enter_context(
            anthropic.Anthropic(
                api_key=KEY, base_url=server.url(), open_telemetry={"tracer_provider": tracing.provider}
            )
        )
        prompt = prompts.get("greeter", unit="u")
        with prompt.use() as use:
            reply = client.messages.create(
                **prompt.request({"user.name": "Ada"}, [{"role": "user", "content": "Hi"}], model="m", max_tokens=9)
            )
            use.record(reply)
        client.messages.create(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}])
    spans = tracing.exporter.get_finished_spans()
    assert len(spans) == 2 * (1 + len(instrumentors))
    stamped = [span for span in spans if NAME in (span.attributes or {})]
    assert len({span.instrumentation_scope.name for span in stamped if span.instrumentation_scope}) == len(spans) / 2
    expected = {
        NAME: "greeter", VERSION: "2", "promptctl.epoch": prompt.epoch, "promptctl.is_candidate": True,
        "promptctl.is_default": False, USE_ID: use.id,
    }  # fmt: skip
    for span in stamped:
        attributes = dict(span.attributes or {})
        assert {name: attributes.get(name) for name in expected} == expected
        age = attributes["promptctl.age_seconds"]
        assert isinstance(age, float)
        assert 0 <= age < 60
    assert prompts.flush()
    first = min(stamped, key=lambda span: span.start_time or 0)
    assert uses(sql, f"id::text, {TRACES}") == [(use.id, trace_id_of(first))]


def test_only_spans_of_calls_of_a_model_are_stamped(prompts: Prompts) -> None:
    tracing = Tracing(PromptAttributes(["in.house", "other.client"]))
    with prompts.get("greeter").use():
        tracing.call("http", scope="opentelemetry.instrumentation.httpx", attributes={"http.request.method": "POST"})
        tracing.call("sql", scope="opentelemetry.instrumentation.psycopg", attributes={"db.system.name": "postgresql"})
        tracing.call("like ours", scope="in.houses")
        tracing.call("names its own", scope="mcp", attributes={NAME: "theirs", "gen_ai.operation.name": "chat"})
        for number, scope in enumerate(("in.house", "in.house.llm", "other.client", f"{SDK}.bedrock",
                                        "openinference.instrumentation.langchain")):  # fmt: skip
            tracing.call(f"listed {number}", scope=scope)
        for key in ("gen_ai.request.model", "llm.request.type", "openinference.span.kind", "traceloop.span.kind"):
            tracing.call(key, scope="app", attributes={key: "x"})
    tracing.provider.shutdown()
    plain = {"http": None, "sql": None, "like ours": None, "names its own": "theirs@None"}
    assert {name: stamp for name, stamp in tracing.stamps.items() if stamp != "greeter@1"} == plain
    assert len(tracing.stamps) == len(plain) + 9
    for scopes in ("in.house", [1]):
        with pytest.raises(TypeError, match="scopes must be a list of"):
            PromptAttributes(scopes)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("in_context", [False, True])
def test_the_innermost_open_use_is_stamped_in_tasks_threads_and_generators(
    prompts: Prompts, caplog: pytest.LogCaptureFixture, in_context: bool
) -> None:
    tracing = Tracing(PromptAttributes(in_context=in_context))
    outer, inner = prompts.get("greeter"), prompts.get("other")
    with outer.use() as first:
        copied, explicit = contextvars.copy_context(), context.get_current()
        with contextlib.suppress(KeyError), inner.use():
            tracing.call("inner")
            copied, explicit = contextvars.copy_context(), context.get_current()
            raise KeyError
        tracing.call("outer again")
        copied.run(tracing.call, "outer in the context of the inner one")
        tracing.call("outer by an explicit context", of=explicit)
        with pytest.raises(RuntimeError, match="a use is for one call"):
            first.__enter__()
        thread = threading.Thread(target=contextvars.copy_context().run, args=(tracing.call, "thread"))
        thread.start()
        thread.join()
        passed_on = context.get_current()
        thread = threading.Thread(target=lambda: (context.attach(passed_on), tracing.call("attached")))
        thread.start()
        thread.join()
        thread = threading.Thread(target=tracing.call, args=("explicit in a thread",), kwargs={"of": passed_on})
        thread.start()
        thread.join()

        def nested() -> None:
            context.attach(passed_on)
            with inner.use():
                tracing.call("nested in a thread")
                tracing.call("explicit in a nested one", of=passed_on)
            tracing.call("after the nested one")

        thread = threading.Thread(target=nested)
        thread.start()
        thread.join()
        thread = threading.Thread(target=tracing.call, args=("other thread",))
        thread.start()
        thread.join()
        tracing.call("a root span", of=context.Context())
    tracing.call("after")
    copied.run(tracing.call, "after in a copy")
    tracing.call("after by an explicit context", of=passed_on)
    thread = threading.Thread(target=lambda: (context.attach(passed_on), tracing.call("attached too late")))
    thread.start()
    thread.join()

    async def answer(name: str, prompt: Any, started: asyncio.Barrier) -> None:
        with prompt.use():
            await started.wait()
            tracing.call(name)
            await started.wait()

    async def stream() -> AsyncGenerator[int]:
        with inner.use():
            yield 1
            tracing.call("stream")
            yield 2

    async def close_elsewhere() -> None:
        started = asyncio.Barrier(2)
        await asyncio.gather(answer("task 1", outer, started), answer("task 2", inner, started))
        iterator = stream()
        await asyncio.create_task(anext(iterator))
        await asyncio.create_task(anext(iterator))
        await asyncio.create_task(iterator.aclose())
        tracing.call("after the stream")

    asyncio.run(close_elsewhere())

    def crossing(prompt: Any) -> Generator[None]:
        with prompt.use():
            yield
            tracing.call(f"generator of {prompt.name}")
            yield

    one, two = crossing(outer), crossing(inner)
    for generator in (one, two, two, one):
        next(generator)
    one.close()
    tracing.call("between the generators")
    two.close()
    tracing.call("after the generators")
    tracing.provider.shutdown()
    passed = "greeter@1" if in_context else None
    assert tracing.stamps == {
        "inner": "other@1", "outer again": "greeter@1", "outer in the context of the inner one": "greeter@1",
        "outer by an explicit context": "greeter@1", "thread": "greeter@1", "attached": passed,
        "explicit in a thread": passed, "nested in a thread": "other@1",
        "explicit in a nested one": passed or "other@1", "after the nested one": passed, "attached too late": None,
        "other thread": None,
        "a root span": "greeter@1", "after": None, "after in a copy": None,
        "after by an explicit context": None,
        "task 1": "greeter@1", "task 2": "other@1", "stream": None,
        "after the stream": None, "generator of other": "other@1", "generator of greeter": "other@1",
        "between the generators": "other@1", "after the generators": None,
    }  # fmt: skip
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


class Broken(trace.NonRecordingSpan):
    """A span that has no context."""

    def get_span_context(self) -> trace.SpanContext:
        raise ZeroDivisionError


def test_a_use_has_the_trace_of_the_first_call_or_of_the_span_around_it_or_none(
    prompts: Prompts, sql: Connection, tracing: Tracing
) -> None:
    ids: list[str] = []
    greeter = prompts.get("greeter")
    with tracing.provider.get_tracer("app").start_as_current_span("request"), greeter.use() as use:
        tracing.call("in the request")
    ids.append(use.id)
    with greeter.use() as use:
        tracing.call("plain", scope="app")
        tracing.call("first")
        tracing.call("second")
    ids.append(use.id)
    with greeter.use() as use, trace.use_span(trace.INVALID_SPAN):
        pass
    ids.append(use.id)
    # An instrumentation that is disabled makes an invalid span the current one.
    with trace.use_span(trace.INVALID_SPAN), greeter.use() as use:
        tracing.call("after an invalid span")
    ids.append(use.id)
    # A span that is not recorded, because its trace is not sampled or another service made it, has a trace.
    context_of_request = tracing.span("request").get_span_context()
    assert context_of_request is not None
    with trace.use_span(trace.NonRecordingSpan(context_of_request)), greeter.use() as use:
        during = use.trace_id
    ids.append(use.id)
    assert f"{during:032x}" == tracing.trace_id("request")
    # A block within another one, and one that ends in another context, after the span, or in another span.
    with tracing.provider.get_tracer("app").start_as_current_span("nested"), greeter.use() as use:
        ids.append(use.id)
        with greeter.use() as inner:
            ids.append(inner.id)

    def stream() -> Generator[str]:
        with greeter.use() as use:
            yield use.id

    streams = [stream() for _ in range(3)]
    with tracing.provider.get_tracer("app").start_as_current_span("streams"):
        ids += [contextvars.copy_context().run(next, streams[0]), next(streams[1]), next(streams[2])]
        contextvars.copy_context().run(streams[0].close)
    streams[1].close()
    with tracing.provider.get_tracer("app").start_as_current_span("another request"):
        streams[2].close()
        # A span of another implementation may be anything. The call of the model goes on.
        nothing: Any = None
        for broken in (trace.NonRecordingSpan(nothing), Broken(trace.INVALID_SPAN_CONTEXT)):
            with trace.use_span(broken), greeter.use() as use:
                pass
            ids.append(use.id)
            assert use.trace_id == 0
    with prompts.get("nobody", default="Be kind.").use():
        tracing.call("default")
    assert prompts.flush()
    stored = dict(uses(sql, f"id::text, {TRACES}"))
    assert [stored[use_id] for use_id in ids] == [
        tracing.trace_id("request"), tracing.trace_id("first"), None, tracing.trace_id("after an invalid span"),
        tracing.trace_id("request"), *[tracing.trace_id("nested")] * 2,
        *[tracing.trace_id("streams")] * 3, None, None,
    ]  # fmt: skip
    attributes = dict(tracing.span("default").attributes or {})
    assert (attributes[NAME], attributes["promptctl.is_default"]) == ("nobody", True)
    assert not {VERSION, "promptctl.epoch"} & attributes.keys()


def test_the_end_of_a_traced_use_does_what_that_of_any_use_does() -> None:
    """TracedUse repeats the method, because a call of it takes longer than its own part."""

    def statements(use_class: type[Use]) -> list[str]:
        return [line.strip() for line in inspect.getsource(use_class.__exit__).splitlines()]

    traced = iter(statements(traced_use.TracedUse))
    assert [line for line in statements(Use) if line not in traced] == []


def test_two_processors_stamp_alike_and_after_the_last_one_uses_are_as_without_any(prompts: Prompts) -> None:
    assert prompt_module.use_class is Use
    first, second = PromptAttributes(), PromptAttributes(["in.house"])
    tracing = Tracing(first, second)
    with prompts.get("greeter").use():
        tracing.call("both")
        first.shutdown()
        tracing.call("by the other", scope="in.house")
        assert second.force_flush()
        second.shutdown()
        second.shutdown()
        tracing.call("none")
        assert prompt_module.use_class is Use
    with prompts.get("greeter").use() as use:
        assert type(use) is Use
        tracing.call("also none")
    # So it is after one that was dropped.
    dropped = PromptAttributes()
    assert issubclass(prompt_module.use_class, Use)
    assert prompt_module.use_class is not Use
    del dropped
    gc.collect()
    assert prompt_module.use_class is Use
    assert tracing.stamps == {"both": "greeter@1", "by the other": "greeter@1", "none": None, "also none": None}


@pytest.mark.parametrize("first_in_context", [True, False])
def test_the_first_of_two_processors_of_different_kinds_stamps_a_span(
    prompts: Prompts, tracing: Tracing, first_in_context: bool
) -> None:
    with prompts.get("greeter").use():
        tracing.call("alone")
    both = Tracing(*(PromptAttributes(in_context=kind) for kind in (first_in_context, not first_in_context)))
    with prompts.get("greeter").use():
        outer = context.get_current()
        with prompts.get("other").use():
            for name in ("one", "two"):
                both.call(name, of=outer)
    both.provider.shutdown()
    stamp = "greeter@1" if first_in_context else "other@1"
    assert both.stamps == {"one": stamp, "two": stamp}


def test_a_span_with_limits_is_stamped_within_them(prompts: Prompts) -> None:
    processor = PromptAttributes()
    for limits in (SpanLimits(max_span_attributes=3), SpanLimits(max_span_attribute_length=5)):
        provider = TracerProvider(span_limits=limits)
        provider.add_span_processor(processor)
        with prompts.get("greeter").use() as use:
            span: Any = provider.get_tracer(SDK).start_span("call")
        found = dict(span.attributes)
        assert found[USE_ID] == use.id[: limits.max_span_attribute_length]
        assert len(found) <= (limits.max_span_attributes or 0)
    # Further attributes may fill a span later. Then the oldest go.
    provider = TracerProvider(span_limits=SpanLimits(max_span_attributes=12))
    provider.add_span_processor(processor)
    with prompts.get("greeter").use() as use:
        span = provider.get_tracer(SDK).start_span("call", attributes={f"{number:02}": "x" for number in range(9)})
        span.set_attributes({f"{number:02}": "x" for number in range(9, 12)})
        span.end()
    assert list(span.attributes)[:6] == ["07", "08", "09", "10", "11", NAME]
    assert (len(span.attributes), span.attributes[USE_ID], span.dropped_attributes) == (12, use.id, 7)
    processor.shutdown()


def test_the_attributes_are_made_by_the_first_reader_whatever_it_reads(prompts: Prompts) -> None:
    tracing = Tracing()
    readers: list[Callable[[Any], object]] = [
        len, list, dict, repr, copy.deepcopy, lambda found: found.copy(), lambda found: found[NAME],
        lambda found: NAME in found, lambda found: found.get(USE_ID), lambda found: dict(found.items()),
        lambda found: found == {}, lambda found: found.pop("a"),
    ]  # fmt: skip
    spans: list[Any] = []
    answers: list[object] = []
    with prompts.get("greeter").use() as use:
        for _ in readers:
            span: Any = tracing.provider.get_tracer(SDK).start_span("call", attributes={"a": 1, "b": 1})
            span.set_attribute("b", 2)
            assert span._attributes.promptctl_use is use
            spans.append(span)
        expected = dict(spans[0].attributes)
        assert expected.items() >= {"a": 1, "b": 2, NAME: "greeter", VERSION: "1", USE_ID: use.id}.items()
        for read, span in zip(readers, spans, strict=True):
            answers.append(read(span._attributes))
            assert span._attributes.promptctl_use is None
            assert {"a": 1} | dict(span.attributes) == expected
    assert answers == [
        9, list(expected), expected, repr(expected), expected, expected, "greeter", True, use.id, expected, False, 1,
    ]  # fmt: skip
    tracing.provider.shutdown()


def test_a_span_that_names_a_prompt_later_keeps_its_name(prompts: Prompts) -> None:
    tracing = Tracing()
    with prompts.get("greeter").use():
        span: Any = tracing.provider.get_tracer(SDK).start_span("call")
        span.set_attribute(NAME, "theirs")
        span.end()
        tracing.call("from the start", attributes={NAME: "theirs"})
    tracing.provider.shutdown()
    assert dict(span.attributes) == {NAME: "theirs"}
    assert tracing.stamps == {"call": "theirs@None", "from the start": "theirs@None"}


def test_spans_of_a_release_with_other_fields_are_stamped_at_once(
    prompts: Prompts, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stamped_attributes, "IS_POSSIBLE", False)
    monkeypatch.setattr("opentelemetry.sdk.trace.BoundedAttributes", BoundedAttributes)
    tracing = Tracing()
    with prompts.get("greeter").use() as use:
        span: Any = tracing.provider.get_tracer(SDK).start_span("call")
        assert "promptctl_use" not in vars(span._attributes)
        span.end()
        tracing.call("other", scope="app")
    tracing.call("after")
    tracing.provider.shutdown()
    assert span.attributes[USE_ID] == use.id
    assert tracing.stamps == {"call": "greeter@1", "other": None, "after": None}
    assert prompts.flush()
    assert uses(sql, f"id::text, {TRACES}") == [(use.id, tracing.trace_id("call"))]


def test_the_age_is_that_at_which_the_use_began(prompts: Prompts) -> None:
    tracing = Tracing()
    memory: Any = vars(prompts)["_memory"]
    prompt = prompts.get("greeter")
    memory.confirm(time.monotonic() - 3600)
    with prompt.use():
        span: Any = tracing.provider.get_tracer(SDK).start_span("open")
        memory.confirm(time.monotonic())
        assert 3600 <= span.attributes[AGE] < 3660
        # It is the same on all spans of the use.
        tracing.call()
    assert dict(tracing.span("call").attributes or {})[AGE] == span.attributes[AGE]
    with prompt.use():
        span = tracing.provider.get_tracer(SDK).start_span("open")
        for _ in range(2000):
            memory.confirm(time.monotonic())
        # So long ago that it is not known any more.
        assert AGE not in span.attributes
        assert span.attributes[NAME] == "greeter"
    tracing.provider.shutdown()


def test_a_use_that_waits_keeps_no_span_and_no_use_that_has_ended(make_client: Callable[..., Prompts]) -> None:
    client = make_client(flush_seconds=3600.0)
    prompt = client.get("greeter")
    waiting: deque[Any] = vars(client)["_memory"].queue
    for in_context in (False, True):
        tracing = Tracing(PromptAttributes(in_context=in_context))
        tracer = tracing.provider.get_tracer("app")
        spans: list[weakref.ref[Any]] = []
        for _ in range(3):
            with tracer.start_as_current_span("request") as span, prompt.use():
                spans.append(weakref.ref(span))
            del span
        gc.collect()
        assert [span() for span in spans] == [None] * 3
        uses = weakref.WeakSet[Any]()
        for _ in range(50):
            use = prompt.use()
            uses.add(use)
            with use:
                del use
            waiting.clear()
        gc.collect()
        assert len(uses) == 1
        # Each block begins before the one before it ends.

        def stream(uses: weakref.WeakSet[Any] = uses) -> Generator[None]:
            with prompt.use() as use:
                uses.add(use)
                yield

        current = stream()
        next(current)
        for _ in range(50):
            following = stream()
            next(following)
            current.close()
            current = following
            waiting.clear()
        gc.collect()
        assert len(uses) < 5
        current.close()
        tracing.provider.shutdown()


def test_an_interrupted_reader_leaves_the_attributes_to_the_next_one(
    prompts: Prompts, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracing = Tracing()
    with prompts.get("greeter").use() as use:
        span: Any = tracing.provider.get_tracer(SDK).start_span("call")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for place, name in ((traced_use.TracedUse, "span_attributes"), (stamped_attributes, "_add")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, property(interrupt) if name == "span_attributes" else interrupt)
            with pytest.raises(KeyboardInterrupt):
                dict(span.attributes)
    assert span.attributes[USE_ID] == use.id
    tracing.provider.shutdown()


def test_a_reader_waits_for_the_one_that_adds_the_attributes(prompts: Prompts, monkeypatch: pytest.MonkeyPatch) -> None:
    tracing = Tracing()
    with prompts.get("greeter").use():
        span: Any = tracing.provider.get_tracer(SDK).start_span("call")
    span.end()
    is_adding, may_add = threading.Event(), threading.Event()
    add = vars(stamped_attributes)["_add"]

    def slow(*arguments: Any) -> None:
        if not is_adding.is_set():
            is_adding.set()
            assert may_add.wait(30)
        add(*arguments)

    def read() -> dict[str, Any]:
        return dict(span.attributes)

    monkeypatch.setattr(stamped_attributes, "_add", slow)
    monkeypatch.setattr(stamped_attributes, "_LOCK_SECONDS", 30)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(read)
        assert is_adding.wait(30)
        second = pool.submit(read)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        may_add.set()
        assert second.result(30) == first.result(30)
    assert NAME in span.attributes
    tracing.provider.shutdown()


def test_a_reader_that_interrupts_a_writer_of_its_own_thread_does_not_wait_for_it(
    prompts: Prompts, tracing: Tracing
) -> None:
    """The SDK logs that a span is full while it holds the lock, and a filter may read the current span."""
    logger = logging.getLogger("opentelemetry.attributes")
    read: list[Any] = []

    def keep(_: logging.LogRecord) -> bool:
        span: Any = trace.get_current_span()
        read.append((span.attributes.get(NAME), len(span.attributes)))
        return True

    logger.addFilter(keep)
    try:
        with (
            prompts.get("greeter").use(),
            tracing.provider.get_tracer(SDK).start_as_current_span("full") as span,
        ):
            span.set_attributes({f"{number}": "x" for number in range(130)})
    finally:
        logger.removeFilter(keep)
    assert read[0] == ("greeter", 128)
    assert len(tracing.span("full").attributes or {}) == 128


def test_a_release_with_other_fields_is_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stamped_attributes.IS_POSSIBLE

    def unreadable(*_: object) -> None:
        raise AttributeError

    def items(attributes: Any) -> Any:
        return attributes._dict.items()

    for name, other in (("__getitem__", unreadable), ("__iter__", items), ("__deepcopy__", None)):
        with monkeypatch.context() as patch:
            if other is None:
                patch.delattr(BoundedAttributes, name)
            else:
                patch.setattr(BoundedAttributes, name, other)
            assert not vars(stamped_attributes)["_is_possible"]()


PATCHED = """
import opentelemetry.sdk.trace as sdk, promptctl.otel
from opentelemetry.attributes import BoundedAttributes
provider = sdk.TracerProvider()
def kind():
    return type(provider.get_tracer("app").start_span("call", attributes={"a": 1})._attributes)
assert kind() is BoundedAttributes
from promptctl.otel import stamped_attributes
stamped_attributes.IS_POSSIBLE = False
promptctl.otel.PromptAttributes()
assert kind() is BoundedAttributes
stamped_attributes.IS_POSSIBLE = True
promptctl.otel.PromptAttributes()
promptctl.otel.PromptAttributes()
assert kind() is stamped_attributes.StampedAttributes
# Another library has put its own class there.
class Own(BoundedAttributes):
    pass
sdk.BoundedAttributes = Own
promptctl.otel.PromptAttributes()
assert kind() is Own
"""


def test_opentelemetry_is_left_alone_without_a_processor_and_where_it_is_not_as_expected() -> None:
    subprocess.run([sys.executable, "-c", PATCHED], check=True)


def test_a_span_that_began_with_other_attributes_is_stamped_at_once(prompts: Prompts) -> None:
    tracing = Tracing()
    with prompts.get("greeter").use() as use:
        tracing.call("first")
        span: Any = tracing.provider.get_tracer(SDK).start_span("call")
    for attributes in (BoundedAttributes(immutable=False), BoundedAttributes(maxlen=128, immutable=False)):
        span._attributes = attributes
        with prompts.get("greeter").use() as use:
            tracing.processors[0].on_start(span)
        assert dict(attributes)[USE_ID] == use.id
    tracing.provider.shutdown()


FORK = """
import os
from promptctl import Prompts
tracer = provider.get_tracer("com.anthropic.sdk.python")
prompts = Prompts()
def call():
    span = tracer.start_span("call")
    print(span.attributes.get("gen_ai.prompt.name"), span.attributes.get("promptctl.use_id"), flush=True)
    return f"{span.context.trace_id:032x}"
with prompts.get("greeter").use():
    if os.fork() == 0:
        call()
        with prompts.get("other").use():
            print(call(), flush=True)
        prompts.close()
        os._exit(0)
    os.wait()
    call()
call()
prompts.close()
"""


def test_a_child_process_stamps_its_own_uses_after_the_lines_of_the_page(env: dict[str, str], sql: Connection) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    [setup] = re.findall(r"## Traces.*?```python\n(.*?)```", page, re.S)
    ended = subprocess.run([sys.executable, "-c", setup + FORK], env=env, capture_output=True, text=True, check=True)
    child, own, trace_id, parent, after = ended.stdout.splitlines()
    # The call in the child belongs to the use of the parent, which the parent records.
    assert child == parent
    assert after == "None None"
    stored = {f"{name} {use_id}": trace for name, use_id, trace in uses(sql, f"name, id::text, {TRACES}")}
    assert stored.keys() == {parent, own}
    assert stored[own] == trace_id


def test_without_the_sdk_the_error_says_how_to_install_it(home: Path) -> None:
    code = "import sys; sys.modules['opentelemetry'] = None; import promptctl.otel"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "ImportError: promptctl.otel needs OpenTelemetry's SDK, which is not installed" in ended.stderr
    assert "opentelemetry-sdk>=1.20,<2" in ended.stderr
    # The client itself does not import it.
    code = "import sys, promptctl; promptctl.Prompts; print([m for m in sys.modules if m.startswith('opentel')])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


class Unreadable:
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_log_records_about_a_prompt_carry_its_fields(
    prompts: Prompts, sql: Connection, caplog: pytest.LogCaptureFixture, logged: Callable[[str], int]
) -> None:
    def fields(text: str) -> list[dict[str, Any]]:
        return [
            {key: value for key, value in vars(record).items() if key.startswith(("gen_ai.", "promptctl."))}
            for record in caplog.records
            if text in record.getMessage()
        ]

    caplog.set_level(logging.INFO, "promptctl")
    prompts.get("nobody", default="Be kind.")
    assert fields("using the default text") == [{NAME: "nobody", "promptctl.is_default": True}]
    with prompts.get("greeter").use() as use:
        pass
    unreadable: Any = Unreadable()
    with prompts.get("greeter").use() as use:
        use.outcome = unreadable
    prompts.flush()
    until(lambda: logged("were not recorded") == 1)
    greeter = {NAME: "greeter", VERSION: "1", "promptctl.epoch": 1, "promptctl.is_candidate": False}
    assert fields("were not recorded") == [greeter | {"promptctl.is_default": False, USE_ID: use.id}]
