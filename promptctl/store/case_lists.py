"""The cases of prompts, as their folder has them now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from promptctl.records import Record
from promptctl.rules.test_cases import Case

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.postgres.database import Database


class CaseList(Record):
    """The cases of a prompt in their order, and its margin as a part of 1, None if its folder names none."""

    cases: tuple[Case, ...]
    margin: float | None


class CaseHashes(Record):
    """The hashes of the cases of a prompt in their order, in hexadecimal, and its margin as in CaseList."""

    hashes: tuple[str, ...]
    margin: float | None


def set_cases(database: Database, name: str, cases: Sequence[Case], margin: float | None, *, author: str) -> bool:
    """Replace the cases and the margin of a prompt, and return whether anything changed.

    Without cases and a margin, the prompt has no tests. Raises NotFound, Usage for more than 10 000 cases or a case of
    more than 1 MB, and Refused if another session is changing these cases.
    """
    definitions = [case.canonical_text for case in cases]
    [(is_changed,)] = database.run(
        "select promptctl.set_cases($1, $2::text[], $3, $4)", name, definitions, margin, author
    )
    return is_changed


def read_cases(database: Database, names: Sequence[str]) -> dict[str, CaseList]:
    """Return the cases of these prompts by name. A prompt without tests is left out."""
    rows = database.run(
        """
        select t.name, t.margin, array_to_json(array(
            select d.definition from promptctl.prompt_cases c join promptctl.test_cases d on d.hash = c.hash
            where c.name = t.name order by c.place))
        from promptctl.prompt_tests t where t.name = any ($1::text[]) order by t.name
        """,
        list(names),
    )
    return {
        name: CaseList(tuple(Case.from_document(json.loads(definition)) for definition in definitions), margin)
        for name, margin, definitions in rows
    }


def read_hashes(database: Database, names: Sequence[str]) -> dict[str, CaseHashes]:
    """Return the hashes of the cases of these prompts by name. A prompt without tests is left out."""
    rows = database.run(
        """
        select t.name, t.margin, array_to_json(array(
            select encode(c.hash, 'hex') from promptctl.prompt_cases c where c.name = t.name order by c.place))
        from promptctl.prompt_tests t where t.name = any ($1::text[]) order by t.name
        """,
        list(names),
    )
    return {name: CaseHashes(tuple(hashes), margin) for name, margin, hashes in rows}
