"""What the store returns: each field of each record has the type that the record declares."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.postgres import connecting
from promptctl.records import Record
from promptctl.rules.references import Reference
from promptctl.store import (
    administration,
    archiving,
    exports,
    following,
    history_events,
    maintenance,
    moves,
    prompt_lists,
    releases,
    resolving,
    routes,
    splits,
    uses,
    version_details,
    version_texts,
    versions,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from promptctl.postgres.database import Database

AUTHOR = "ada@example.com"
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
TYPES: dict[str, Any] = {"str": str, "int": int, "float": (int, float), "bool": bool, "None": type(None)}


def mismatches(value: object) -> list[str]:
    """Return the fields of the records in a value whose content is not of the declared type."""
    if isinstance(value, Record):
        fields: dict[str, str] = {}
        for kind in reversed(type(value).__mro__):
            fields |= vars(kind).get("__annotations__", {})
        return [
            f"{type(value).__name__}.{field}: {content!r} is not {fields[field]}"
            for field, content in value.as_dict().items()
            if not any(has_type(content, kind.strip()) for kind in re.split(r"\|(?![^\[]*\])", fields[field]))
        ] + [mismatch for content in value for mismatch in mismatches(content)]
    if isinstance(value, (list, tuple)):
        return [mismatch for item in value for mismatch in mismatches(item)]  # pyright: ignore - any value
    return []


def has_type(content: object, kind: str) -> bool:
    if kind == "Timestamp":
        return isinstance(content, str) and TIMESTAMP.fullmatch(content) is not None
    if kind in TYPES:
        return isinstance(content, TYPES[kind]) and (kind == "bool" or not isinstance(content, bool))
    name = kind.partition("[")[0].rpartition(".")[2]
    builtin = {"dict": dict, "Mapping": dict, "list": list, "Sequence": (list, tuple), "tuple": tuple, "Route": list}
    if name in builtin:
        return isinstance(content, builtin[name])
    return type(content).__name__ == name


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with connecting.connect(database_url) as connection:
        yield connection


@pytest.fixture
def samples(database: Database) -> Database:
    """A split prompt with uses, a routed one, one that was never active, an archived version and an archived prompt."""
    for name, count in (("split", 3), ("routed", 2), ("never-active", 1), ("old", 1)):
        for number in range(1, count + 1):
            versions.create(
                database, name, f"Be kind to {{user}}, {number}.", author=AUTHOR, reason=None,
                metadata={"description": f"number {number}"}, settings={"model": "claude-sonnet-5-5"}, activate=False,
                allow_new_variables=True,
            )  # fmt: skip
    moves.activate(database, [Reference("split", 1), Reference("routed", 1)], author=AUTHOR, reason="first")
    moves.activate(database, [Reference("split", 2)], author=AUTHOR, allow_new_variables=True)
    splits.set_split(database, "split", 2500, candidate=3, author=AUTHOR)
    routes.set_route(database, "routed", [{"when": {"plan": "free"}, "use": "split"}], author=AUTHOR)
    archiving.archive(database, [Reference("routed", 2)], undo=False, author=AUTHOR)
    archiving.archive(database, [Reference("old", None)], undo=False, author=AUTHOR, reason="not used")
    return database


def use_record(version: int) -> uses.UseRecord:
    return uses.UseRecord(
        f"0190f000-0000-7000-8000-00000000000{version}", "split", time.perf_counter(), version, 3, 17,
        "claude-sonnet-5-5", 120, 80, None, None, 950.5, None, "ok", None, "req_1", "4bf92f3577b34da6a3ce929d0e0e4736",
    )  # fmt: skip


def test_every_record_has_the_types_that_it_declares(samples: Database) -> None:
    database = samples
    release = moves.activate(
        database, [Reference("routed", 1), Reference("never-active", 1)], author=AUTHOR, allow_new_variables=True
    )
    answers: dict[str, object] = {
        "activate": release,
        "rollback": moves.rollback(database, ["never-active"], author=AUTHOR, to_version=1),
        "deactivate": moves.deactivate(database, ["never-active"], author=AUTHOR, reason="off"),
        "record": uses.record(database, [use_record(2), use_record(3)], time.perf_counter()),
        "list": prompt_lists.list_prompts(database),
        "first": prompt_lists.list_first_prompts(database, "*", 2),
        "names": prompt_lists.prompt_names(database),
        "numbers": prompt_lists.version_numbers(database, "split"),
        "text": version_texts.read_text(database, Reference("split", None)),
        "active text": version_texts.read_active_text(database, "routed"),
        "text and status": version_texts.read_text_and_status(database, Reference("split", 3)),
        "served": version_texts.read_served_version(database, Reference("split", None), "user-42"),
        "detail": version_details.read_version(database, Reference("split", 3)),
        "details": version_details.read_versions(database, "split"),
        "overview": version_details.read_overview(database, "split", 10),
        "overview without an active version": version_details.read_overview(database, "never-active", 10),
        "history": history_events.read_history(database, None, 100),
        "archived prompts": archiving.list_archived_prompts(database, None),
        "archived versions": archiving.list_archived_versions(database, "routed"),
        "erased": archiving.erase(database, Reference("routed", 2), author=AUTHOR, reason="a name"),
        "restored": archiving.archive(database, [Reference("old", None)], undo=True, author=AUTHOR),
        "split": splits.read_split(database, "split"),
        "no split": splits.end_split(database, "split", author=AUTHOR),
        "route": routes.read_route(database, "routed"),
        "no route": routes.set_route(database, "routed", [], author=AUTHOR),
        "resolved": resolving.resolve(database, "split", "user-42", {"plan": "free"}),
        "followed": following.follow(database, {"split": None, "routed": 1}),
        "pinned": following.read_versions(database, [("split", 1), ("split", 3)]),
        "exported": exports.read_prompts(database, None),
        "releases": releases.list_releases(database, 10),
        "release": releases.read_release(database, 1),
        "installation": administration.read_installation(database),
        "rolled up": maintenance.roll_up(database),
    }
    assert {name: mismatches(answer) for name, answer in answers.items()} == {name: [] for name in answers}


def test_the_type_check_finds_a_swapped_column() -> None:
    move = moves.Move("split", 1, None, changed=True, split_ended=False, release=None, epoch=2, id=None)
    assert mismatches([move]) == []
    assert mismatches([moves.Move(1, "split", *move[2:])]) != []  # pyright: ignore[reportArgumentType]


def test_a_use_that_is_sent_twice_is_recorded_once(samples: Database) -> None:
    batch = [use_record(2), use_record(3)]
    assert uses.record(samples, batch, time.perf_counter()) == (2, 0, 0)
    assert uses.record(samples, batch, time.perf_counter()) == (0, 2, 0)
    [stored] = samples.run("select name, version, bucket, model, input_tokens, request_id from promptctl.uses limit 1")
    assert stored == ("split", 2, 17, "claude-sonnet-5-5", 120, "req_1")


def test_a_batch_with_an_unknown_version_records_nothing(samples: Database) -> None:
    with pytest.raises(errors.NotFound, match="no version 9"):
        uses.record(samples, [use_record(2), use_record(9)], time.perf_counter())
    assert samples.run("select count(*) from promptctl.uses") == [(0,)]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [(None, {"split", "routed", "never-active"}), ("*t*", {"split", "routed", "never-active"}), ("s*", {"split"}),
     ("r?uted", {"routed"}), ("_plit", set[str]()), ("%", set[str]())],
)  # fmt: skip
def test_list_prompts_matches_a_glob_and_not_a_like_pattern(
    samples: Database, pattern: str | None, names: set[str]
) -> None:
    assert {summary.name for summary in prompt_lists.list_prompts(samples, pattern)} == names


@pytest.mark.parametrize(
    ("reference", "code"),
    [(Reference("nobody", None), "prompt_not_found"), (Reference("split", 9), "version_not_found"),
     (Reference("never-active", None), "no_active_version"), (Reference("old", None), "no_active_version")],
)  # fmt: skip
def test_reading_a_missing_or_inactive_text_raises_its_error_code(
    samples: Database, reference: Reference, code: str
) -> None:
    with pytest.raises(errors.PromptctlError) as caught:
        version_texts.read_text(samples, reference)
    assert caught.value.code == code
