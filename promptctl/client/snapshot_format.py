"""The JSON document of a snapshot. It is made from a state, and each of its fields is checked when it is read."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from promptctl.records import Record
from promptctl.rules import json_documents, references
from promptctl.store.following import FollowedPrompt, PinnedVersion

if TYPE_CHECKING:
    from promptctl.client.state import State

_FORMAT = 1
# A document may be this much in the future, because the clock may have been set back since it was written.
_CLOCK_STEP_SECONDS = 1.0

_NUMBER, _TEXT, _OBJECT, _NONE = int, str, Mapping, type(None)
# The types that each field of a FollowedPrompt, and of a PinnedVersion, may have.
_FOLLOWED: dict[str, tuple[type, ...]] = {
    "name": (_TEXT,), "epoch": (_NUMBER,), "active_version": (_NUMBER, _NONE), "candidate_version": (_NUMBER, _NONE),
    "basis_points": (_NUMBER,), "seed": (_TEXT, _NONE), "route": (list, _NONE), "content": (_TEXT, _NONE),
    "settings": (_OBJECT, _NONE), "metadata": (_OBJECT, _NONE), "candidate_content": (_TEXT, _NONE),
    "candidate_settings": (_OBJECT, _NONE), "candidate_metadata": (_OBJECT, _NONE),
}  # fmt: skip
_PINNED: dict[str, tuple[type, ...]] = {
    "name": (_TEXT,), "version": (_NUMBER,), "epoch": (_NUMBER,), "content": (_TEXT,), "settings": (_OBJECT,),
    "metadata": (_OBJECT,),
}  # fmt: skip


class Contents(Record):
    """The contents of a snapshot, and how long ago the database confirmed them."""

    prompts: Sequence[FollowedPrompt]
    versions: Sequence[PinnedVersion]
    age_seconds: float

    @property
    def names(self) -> list[str]:
        """The names of the prompts and the references of the pinned versions."""
        return [row.name for row in self.prompts] + [f"{row.name}@{row.version}" for row in self.versions]


def encode(database_identity: str, state: State, age_seconds: float, others: Contents | None) -> bytes:
    """Return the document of a state, to which the entries of `others` are added that the state does not have."""
    prompts = [prompt.row for prompt in state.prompts.values()]
    versions = [{name: getattr(prompt.served_version, name) for name in _PINNED} for prompt in state.pinned.values()]
    if others is not None:
        # The document has one age, so it is that of the older entries.
        age_seconds = max(age_seconds, others.age_seconds)
        prompts += [row for row in others.prompts if row.name not in state.prompts]
        versions += [row.as_dict() for row in others.versions if f"{row.name}@{row.version}" not in state.pinned]
    document = {
        "form": _FORMAT,
        "database": database_identity,
        "confirmed_at": time.time() - age_seconds,
        "prompts": [row.as_dict() for row in prompts],
        "versions": versions,
    }
    return json.dumps(document, ensure_ascii=False).encode()


def decode(raw: bytes, database_identity: str) -> Contents:
    """Return the contents of a document.

    Raises ValueError, LookupError, TypeError, AttributeError, RecursionError or errors.Usage for anything that is not a
    snapshot of this database.
    """
    document: Any = json_documents.parse(raw)
    if document["form"] != _FORMAT:
        raise ValueError(f"its format is {document['form']!r}, and this version reads format {_FORMAT}")
    if document["database"] != database_identity:
        raise ValueError(f"it is of another database ({document['database']})")
    prompts = [FollowedPrompt(**_checked(row, _FOLLOWED)) for row in document["prompts"]]
    versions = [PinnedVersion(**_checked(row, _PINNED)) for row in document["versions"]]
    contents = Contents(prompts, versions, _age(document["confirmed_at"]))
    _check_names(contents)
    return contents


def _age(confirmed_at: object) -> float:
    """Return how many seconds ago `confirmed_at` was, which is in seconds since 1970.

    Raises ValueError for a time in the future: with `max_age_seconds`, the file would be accepted for too long.
    """
    if isinstance(confirmed_at, bool) or not isinstance(confirmed_at, (int, float)):
        raise ValueError("confirmed_at is not a number")  # noqa: TRY004 - every invalid document is a ValueError
    age = time.time() - confirmed_at
    if not -_CLOCK_STEP_SECONDS <= age < float("inf"):
        raise ValueError("its time is in the future")
    return max(0.0, age)


def _checked(row: dict[str, Any], types: Mapping[str, tuple[type, ...]]) -> dict[str, Any]:
    """Return a row whose fields have these types. Raises ValueError for a wrong type, KeyError for a wrong name."""
    for name, value in row.items():
        if not isinstance(value, types[name]) or isinstance(value, bool):
            raise ValueError(f"{name} is of the type {type(value).__name__}")  # noqa: TRY004 - as above
    return row


def _check_names(contents: Contents) -> None:
    """Raise errors.Usage for an invalid name, and ValueError for a route to what the snapshot does not have."""
    names = set(contents.names)
    for name in names:
        references.parse(name)
    for prompt in contents.prompts:
        for step in prompt.route or ():
            if not isinstance(step["when"], Mapping) or step["use"] not in names:
                raise ValueError(f"the route of {prompt.name} leads to a prompt that it does not have")
