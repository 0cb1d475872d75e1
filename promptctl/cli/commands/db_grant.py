"""promptctl db grant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.output import answers
from promptctl.rules import references
from promptctl.store import administration

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def grant(run: Run, login: str, access: str) -> None:
    """Grant a login role access to prompts.

    The role must exist. The grant replaces any access that the role has in this
    schema.

    Examples:
      promptctl db grant app --as application
      promptctl db grant ci --as operator
      promptctl db grant cron --as ticker
    """
    if access not in ("viewer", "reviewer", "application", "ticker", "operator"):
        raise errors.Usage(
            "usage",
            f"invalid access {references.quoted(access)}: use viewer, reviewer, application, ticker or operator",
        )
    with run.database() as database:
        try:
            administration.grant_access(database, login, access)
        except errors.NotFound as missing:
            if login.isidentifier() and login.islower():
                missing.hint = f"promptctl db shell --command 'create role {login} login'"
            raise
    sentence = f"{login} is {access} in {database.label}"
    answers.show_sentences([sentence], {"login": login, "access": access}, run.form, quiet=f"{login}\n")
