"""OpenTelemetry: the spans of calls of a model carry the prompt that was used, and a use the id of its trace.

    provider.add_span_processor(promptctl.otel.PromptAttributes())

It needs the extra `otel` of promptctl. No other package imports opentelemetry. An application that does not make a
PromptAttributes pays nothing: making one replaces the class of uses by a subclass.
"""

from __future__ import annotations

from promptctl import requirements

try:
    import opentelemetry.sdk.trace  # noqa: F401  # pyright: ignore[reportUnusedImport] - only to see if it is there
except ModuleNotFoundError as missing:
    raise ImportError(
        f"promptctl.otel needs OpenTelemetry's SDK, which is not installed: {requirements.install_extra('otel')}",
        name=missing.name,
    ) from None

from promptctl.otel.prompt_attributes import PromptAttributes

__all__ = ["PromptAttributes"]
