"""promptctl db init and schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import schema
from promptctl.output import answers, stream
from promptctl.store import administration

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def init(run: Run) -> None:
    """Create the schema in the database.

    Everything is created in one schema, promptctl. To remove it, run in psql:
    drop schema promptctl cascade. If no database is configured, init creates the
    embedded database.

    You can run init again at any time. Run it after a restore without grants, for
    example of a dump made by pg_dump --no-acl: until then, the schema refuses every
    login except its owner. Then run db grant for each login.
    """
    with run.database(creates=True) as opened:
        before = administration.read_installation(opened)
        opened.install()
    if before.schema_version is None:
        sentence = f"created schema version {schema.VERSION} in {opened.label}"
    elif before.open_to_everybody:
        sentence = f"revoked the access of every login in {opened.label}; promptctl db grant grants it again"
    else:
        sentence = f"{opened.label} has schema version {schema.VERSION} already"
    _answer(run, sentence, opened.name, before.schema_version is None or bool(before.open_to_everybody))


def print_schema(run: Run) -> None:
    """Print schema.sql, the schema as SQL.

    Examples:
      promptctl db schema | psql -v ON_ERROR_STOP=1 "$DATABASE_URL"
    """
    stream.write(schema.read_sql())


def _answer(run: Run, sentence: str, name: str, changed: bool) -> None:
    document = {"database": name, "schema_version": schema.VERSION, "changed": changed}
    answers.show_sentences([sentence], document, run.form, quiet=f"{name}\n")
