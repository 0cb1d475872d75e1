"""promptctl db verify."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import verify_view as output
from promptctl.store import verification

if TYPE_CHECKING:
    from promptctl.cli.run import Run

# The exit code if there are problems.
PROBLEMS_FOUND = 1


def verify(run: Run) -> int:
    """Check that the data in the database is consistent.

    Compares each text with its SHA-256, what each prompt serves with its history,
    and totals with the uses that are in them. Checks references between tables,
    numbers that are given next, and that every constraint, trigger, index and
    function of the schema exists and is enabled. Changes nothing.

    The rules of the schema prevent all of these problems. A damaged disk or a
    superuser who switches triggers off can cause them. Prints one line per problem,
    at most a hundred of each check. The exit code is 1 if there are problems.
    """
    with run.database() as database:
        problems = verification.find_problems(database)
        output.show(problems, database.label, run.form)
    return PROBLEMS_FOUND if problems else 0
