"""Uses: recording calls of a model."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from promptctl.database import Database
    from promptctl.records import Use


def record(database: Database, uses: Sequence[Use]) -> None:
    """Book uses, all or none, in one round trip; one that is there already counts once."""
    statements: list[tuple[LiteralString, Sequence[str | float | None]]] = [
        (
            """
            select promptctl.record_use(
                name => $1, version => $2, epoch => $3, input_tokens => $4, output_tokens => $5, response_ms => $6,
                model => $7, unit => $8, outcome => $9, use_id => $10, cache_read_tokens => $11,
                cache_write_tokens => $12, first_token_ms => $13, request_id => $14)
            """,
            [
                use.name, use.version, use.epoch, use.input_tokens, use.output_tokens, use.response_ms, use.model,
                use.unit, use.outcome, use.use_id, use.cache_read_tokens, use.cache_write_tokens, use.first_token_ms,
                use.request_id,
            ],
        )
        for use in uses
    ]  # fmt: skip
    database.run_all(*statements)
