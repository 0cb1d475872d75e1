"""The prompt on the spans of calls of a model, and the trace of a use."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import importlib
import logging
import re
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from promptctl.client import prompt as prompt_module
from promptctl.client.use import Use
from promptctl.otel import PromptAttributes
from tests.claude_api import KEY, ClaudeServer
from tests.client.support import until, uses
from tests.conftest import ROOT
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
    from pathlib import Path

    import psycopg
    from opentelemetry.sdk.trace import ReadableSpan

    from promptctl import Prompts

    Connection = psycopg.Connection[Any]

NAME, VERSION, USE_ID = "gen_ai.prompt.name", "gen_ai.prompt.version", "promptctl.use_id"
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


def test_the_innermost_open_use_is_stamped_in_tasks_threads_and_generators(
    prompts: Prompts, tracing: Tracing, caplog: pytest.LogCaptureFixture
) -> None:
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
        thread = threading.Thread(target=tracing.call, args=("other thread",))
        thread.start()
        thread.join()
        tracing.call("a root span", of=context.Context())
    tracing.call("after")
    copied.run(tracing.call, "after in a copy")
    tracing.call("after by an explicit context", of=passed_on)

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
    assert tracing.stamps == {
        "inner": "other@1", "outer again": "greeter@1", "outer in the context of the inner one": "greeter@1",
        "outer by an explicit context": "greeter@1", "thread": "greeter@1", "attached": "greeter@1",
        "other thread": None, "a root span": "greeter@1", "after": None, "after in a copy": None,
        "after by an explicit context": None, "task 1": "greeter@1", "task 2": "other@1", "stream": None,
        "after the stream": None, "generator of other": "other@1", "generator of greeter": "other@1",
        "between the generators": "other@1", "after the generators": None,
    }  # fmt: skip
    assert [record for record in caplog.records if record.name.startswith("opentelemetry")] == []


def test_a_use_has_the_trace_of_the_span_around_it_or_of_the_first_call_or_none(
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
    with prompts.get("nobody", default="Be kind.").use():
        tracing.call("default")
    assert prompts.flush()
    stored = dict(uses(sql, f"id::text, {TRACES}"))
    assert [stored[use_id] for use_id in ids] == [
        tracing.trace_id("request"), tracing.trace_id("first"), None, tracing.trace_id("after an invalid span"),
    ]  # fmt: skip
    attributes = dict(tracing.span("default").attributes or {})
    assert (attributes[NAME], attributes["promptctl.is_default"]) == ("nobody", True)
    assert not {VERSION, "promptctl.epoch"} & attributes.keys()


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
    processor.shutdown()


FORK = """
import os
from promptctl import Prompts
tracer = provider.get_tracer("com.anthropic.sdk.python")
prompts = Prompts()
def call():
    span = tracer.start_span("call")
    print(span.attributes.get("gen_ai.prompt.name"), flush=True)
    return f"{span.context.trace_id:032x}"
with prompts.get("greeter").use():
    call()
    if os.fork() == 0:
        call()
        with prompts.get("other").use():
            print(call(), flush=True)
        prompts.close()
        os._exit(0)
    os.wait()
call()
prompts.close()
"""


def test_a_child_process_stamps_its_own_uses_after_the_lines_of_the_page(env: dict[str, str], sql: Connection) -> None:
    page = (ROOT / "docs" / "observability.md").read_text()
    [setup] = re.findall(r"## Traces.*?```python\n(.*?)```", page, re.S)
    ended = subprocess.run([sys.executable, "-c", setup + FORK], env=env, capture_output=True, text=True, check=True)
    *names, trace_id, last = ended.stdout.split()
    assert (names, last) == (["greeter", "greeter", "other"], "None")
    assert [(name, stored) for name, stored in uses(sql, f"name, {TRACES}") if stored == trace_id] == [
        ("other", trace_id)
    ]


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
