"""The record of a use that has ended, made by the recorder's thread from the objects that the application passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptctl.rules import prompt_fields, tokens
from promptctl.store.uses import FallbackRecord, ScoreRecord, UseRecord

if TYPE_CHECKING:
    from promptctl.client.use import Use
    from promptctl.rules.prompt_fields import Fields

    QueuedRecord = UseRecord | FallbackRecord | ScoreRecord

_LONGEST_TEXT = 200


def from_use(use: Use) -> UseRecord | FallbackRecord:
    """Return the record of a use that has ended. Raises any exception that the application's objects raise."""
    version = use.prompt.served_version
    input_tokens, output_tokens = use.input_tokens, use.output_tokens
    cache_read = cache_write = None
    if use.usage is not None:
        counts = tokens.total((*use.earlier_usages, use.usage))
        input_tokens = counts.input if input_tokens is None else input_tokens
        output_tokens = counts.output if output_tokens is None else output_tokens
        # Drop the cached parts if they are more than all of the input, as when the application passed a smaller number.
        # The database would refuse the record.
        if input_tokens is not None and (counts.cache_read or 0) + (counts.cache_write or 0) <= input_tokens:
            cache_read, cache_write = counts.cache_read, counts.cache_write
    model, outcome = _text(use.model), _text(use.outcome) or "failed"
    response_ms = max(0.0, (use.ended - use.began) * 1000)
    if version.version is None or version.epoch is None:
        return FallbackRecord(use.id, version.name, use.ended, model, input_tokens, output_tokens, response_ms, outcome)
    first_token_at = use.first_token_at
    first_token_ms = None if first_token_at is None else max(0.0, (first_token_at - use.began) * 1000)
    # Not `UseRecord(…)`, whose checks would take a tenth of the time that the recorder's thread needs for a use.
    fields = (
        use.id, version.name, use.ended, version.version, version.epoch, use.prompt.bucket, model, input_tokens,
        output_tokens, cache_read, cache_write, response_ms, first_token_ms, outcome, use.early_score,
        _text(use.request_id), f"{use.trace_id:032x}" if use.trace_id else None,
    )  # fmt: skip
    return tuple.__new__(UseRecord, fields)  # pyright: ignore[reportUnknownMemberType] - a generic of typeshed


def fields(record: UseRecord | FallbackRecord) -> Fields:
    """Return the fields by which a log record names the prompt of a record, and the use."""
    version, epoch = (record.version, record.epoch) if isinstance(record, UseRecord) else (None, None)
    return prompt_fields.of_version(record.name, version, epoch) | {prompt_fields.USE_ID: record.id}


def _text(value: Any) -> str | None:
    """Return a model, an outcome or a request id as text that the database can store."""
    if value is None or value == "ok":
        return value
    if value.__class__ is str and value.isascii() and value.isprintable() and len(value) <= _LONGEST_TEXT:
        return value
    return str(value).replace("\0", "")[:_LONGEST_TEXT].encode("utf-8", "replace").decode()
