"""The cases of prompts, as their folder has them now."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from promptctl.records import Record
from promptctl.rules.test_cases import Case

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import LiteralString

    from promptctl.postgres.database import Database

_CHARACTERS_PER_STATEMENT = 4_000_000


class CaseList(Record):
    """The cases of a prompt in their order, and its margin as a part of 1, None if its folder names none."""

    cases: tuple[Case, ...]
    margin: float | None


class CaseHashes(Record):
    """The hashes of the cases of a prompt in their order, in hexadecimal, and its margin as in CaseList."""

    hashes: tuple[str, ...]
    margin: float | None


def set_cases(database: Database, name: str, cases: Sequence[Case], margin: float | None, *, author: str) -> bool:
    """Replace the cases and the margin of one prompt as `set_lists` does, and return whether anything changed."""
    return set_lists(database, {name: CaseList(tuple(cases), margin)}, author=author)[0]


def set_lists(database: Database, lists: Mapping[str, CaseList], *, author: str) -> list[bool]:
    """Replace the cases and the margins of prompts by name, and return for each whether anything changed.

    Without cases and a margin, a prompt has no tests. Raises NotFound, Usage for more than 10 000 cases of a prompt or
    a case of more than 1 MB, and Refused if another session is changing the cases of one of the prompts.
    """
    statements: list[tuple[LiteralString, list[str]]] = [
        (
            """
            select promptctl.set_cases(l ->> 'name', array(select json_array_elements_text(l -> 'cases')),
                                       (l ->> 'margin')::double precision, $2)
            from json_array_elements($1::json) l
            """,
            [document, author],
        )
        for document in _documents(lists)
    ]
    return [is_changed for rows in database.run_all(*statements) for (is_changed,) in rows]


def _documents(lists: Mapping[str, CaseList]) -> Iterator[str]:
    """Yield the lists as JSON arrays. No array is much larger than a statement should be."""
    parts: list[str] = []
    size = 0
    for name, one in lists.items():
        cases = [case.canonical_text for case in one.cases]
        parts.append(json.dumps({"name": name, "cases": cases, "margin": one.margin}, ensure_ascii=False))
        size += len(parts[-1])
        if size > _CHARACTERS_PER_STATEMENT:
            yield f"[{','.join(parts)}]"
            parts, size = [], 0
    if parts:
        yield f"[{','.join(parts)}]"


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
