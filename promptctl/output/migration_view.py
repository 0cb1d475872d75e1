"""Present the migrations that a database needs. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import stream
from promptctl.postgres import statement_locks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.postgres.migrating import PlannedMigration
    from promptctl.postgres.statement_locks import Effect


def show_plan(planned: Sequence[PlannedMigration], label: str, installed: int, form: str) -> None:
    """Print the SQL of the migrations as a script for psql, with what each statement does to tables as comments."""
    # A name with a newline would end the comment, and psql would run the rest of it.
    label = stream.one_line(label)
    if form == "json":
        stream.write_json({"schema_version": installed, "migrations": [_document(migration) for migration in planned]})
    elif form == "quiet":
        stream.write("".join(f"{migration.name}\n" for migration in planned))
    elif planned:
        stream.write("\n".join(_script(migration, label) for migration in planned))
    else:
        stream.write(f"-- {label} has schema version {installed}: nothing to migrate\n")


def _document(migration: PlannedMigration) -> dict[str, object]:
    return {
        "name": migration.name,
        "schema_version": migration.version,
        "statements": [
            {"sql": statement.sql, "effects": [_effect_document(effect) for effect in statement.effects]}
            for statement in migration.statements
        ],
    }


def _effect_document(effect: Effect) -> dict[str, object]:
    return {
        "table": effect.table,
        "lock": effect.mode,
        "blocks_reads": effect.who_waits == "reads and writes",
        "blocks_writes": effect.who_waits != "",
        "reads_table": statement_locks.READS in effect.works,
        "changes_rows": statement_locks.CHANGES_ROWS in effect.works,
        "rewrites_table": statement_locks.REWRITES in effect.works,
    }


def _script(migration: PlannedMigration, label: str) -> str:
    """Return the SQL of one migration. Its head says what all statements together do to each table."""
    effects = statement_locks.combined(effect for statement in migration.statements for effect in statement.effects)
    rewritten = sum(statement_locks.REWRITES in effect.works for effect in effects)
    lines = [
        f"-- {migration.name}: {label}, schema version {migration.start} to {migration.version}, in one transaction",
        "--",
        *(f"-- {_sentence(effect)}" for effect in sorted(effects)),
        f"-- {rewritten or 'no'} {'table is' if rewritten < 2 else 'tables are'} rewritten",
        "",
    ]
    for statement in migration.statements:
        lines += [f"-- {_sentence(effect)}" for effect in statement.effects if effect.who_waits or effect.works]
        lines += [statement.sql, ""]
    return "\n".join(lines)


def _sentence(effect: Effect) -> str:
    """Return, for example, `promptctl.uses: access exclusive lock, reads and writes wait`."""
    if effect.mode == statement_locks.UNKNOWN:
        return f"{effect.table or 'a statement that is not analysed'}: unknown lock, reads and writes may wait"
    parts = [f"{effect.mode} lock"]
    if effect.who_waits:
        parts.append(f"{effect.who_waits} wait")
    return f"{effect.table}: {', '.join([*parts, *effect.works])}"
