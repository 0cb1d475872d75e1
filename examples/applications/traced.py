"""python traced.py USER QUESTION: Claude's answer, and on standard error the spans, which name the prompt."""

import sys

import anthropic
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

from promptctl import Prompts
from promptctl.otel import PromptAttributes

provider = TracerProvider()
provider.add_span_processor(PromptAttributes())
# In production: BatchSpanProcessor(OTLPSpanExporter()), of the package opentelemetry-exporter-otlp.
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
trace.set_tracer_provider(provider)  # Anthropic's SDK makes its spans with it

prompts = Prompts()
claude = anthropic.Anthropic()
user, question = sys.argv[1:]

with trace.get_tracer("traced.py").start_as_current_span("answer"):  # as a web framework does for each request
    prompt = prompts.get("default-system-prompt", unit=user)
    with prompt.use() as use:  # the use has the trace of this span: promptctl stats NAME --worst 10
        request = {"max_tokens": 1024} | prompt.request(messages=[{"role": "user", "content": question}])
        reply = claude.messages.create(**request)
        use.record(reply)
text = "".join(block.text for block in reply.content if block.type == "text")
print(f"{prompt}: {text}")
