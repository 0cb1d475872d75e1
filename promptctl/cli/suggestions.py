"""The name that was probably meant."""

from __future__ import annotations

import difflib

from promptctl import errors
from promptctl.store import prompts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.database import Database


def hint(database: Database, name: str) -> str:
    """Return a command to run instead: for the nearest name that exists, else the list of all."""
    try:
        known = prompts.names(database, limit=20_000)
    except errors.PromptctlError:
        return "promptctl list"
    by_case = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), by_case, n=1)
    return f"promptctl show {by_case[near[0]]}" if near else "promptctl list"
