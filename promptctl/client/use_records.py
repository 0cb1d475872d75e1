"""What is recorded of a use, read from the application's objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptctl.rules import tokens
from promptctl.store.uses import FallbackRecord, ScoreRecord, UseRecord

if TYPE_CHECKING:
    from promptctl.client.use import Use

    QueuedRecord = UseRecord | FallbackRecord | ScoreRecord

_LONGEST_TEXT = 200


def from_use(use: Use) -> UseRecord | FallbackRecord:
    """Return the record of a use that has ended. Passes on any exception that the application's objects raise."""
    source = use.prompt.source
    input_tokens, output_tokens = use.input_tokens, use.output_tokens
    cache_read = cache_write = None
    if use.usage is not None:
        counts = tokens.total((*use.earlier_usages, use.usage))
        input_tokens = counts.input if input_tokens is None else input_tokens
        output_tokens = counts.output if output_tokens is None else output_tokens
        # The application's own count may be smaller than the cached parts that its reply reports.
        if input_tokens is not None and (counts.cache_read or 0) + (counts.cache_write or 0) <= input_tokens:
            cache_read, cache_write = counts.cache_read, counts.cache_write
    model, outcome = _text(use.model), _text(use.outcome) or "failed"
    response_ms = max(0.0, (use.ended - use.began) * 1000)
    if source.version is None or source.epoch is None:
        return FallbackRecord(use.id, source.name, use.ended, model, input_tokens, output_tokens, response_ms, outcome)
    first = use.first_token_at
    first_token_ms = None if first is None else max(0.0, (first - use.began) * 1000)
    # Without the checks of Record's constructor, which would take a tenth of what a use costs the sender's thread.
    fields = (
        use.id, source.name, use.ended, source.version, source.epoch, use.prompt.bucket, model, input_tokens,
        output_tokens, cache_read, cache_write, response_ms, first_token_ms, outcome, use.early_score,
        _text(use.request_id),
    )  # fmt: skip
    return tuple.__new__(UseRecord, fields)  # pyright: ignore[reportUnknownMemberType] - a generic of typeshed


def _text(value: Any) -> str | None:
    """Return a name from a reply or an exception in a form that the database can store."""
    if value is None or value == "ok":
        return value
    if value.__class__ is str and value.isascii() and value.isprintable() and len(value) <= _LONGEST_TEXT:
        return value
    return str(value).replace("\0", "")[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
