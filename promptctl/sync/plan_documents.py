"""The JSON document of a saved plan: write it from records, and parse it back.

The keys are a file format. They do not change when a field of a record is renamed.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import yaml_settings
from promptctl.folder.prompt_files import FileVersion
from promptctl.folder.provenance import Commit
from promptctl.rules import references, requests
from promptctl.rules.json_documents import Fields, InvalidDocument
from promptctl.rules.rollout_plans import RolloutPlan
from promptctl.rules.test_cases import Case
from promptctl.store.case_lists import CaseList
from promptctl.store.syncs import LastMove
from promptctl.sync.changes import (
    ACTIVATE,
    DESCRIBE,
    KINDS,
    NEW,
    ROLLOUT,
    ROUTE,
    STOP,
    TESTS,
    AppliedPrompt,
    Change,
    Plan,
    PreparedPlan,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def digest(document: Mapping[str, Any]) -> str:
    """Return a digest of everything in a document but the key `digest`. It detects damage and edits.

    The digest is no signature: anyone who can write the file can calculate it.
    """
    content = {key: value for key, value in document.items() if key != "digest"}
    # The digest must not depend on white space, on the order of keys, or on how a character is escaped.
    text = json.dumps(content, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def prepared_plan_as_json(prepared: PreparedPlan) -> dict[str, Any]:
    """Return a prepared plan as JSON values."""
    document = {
        "source": prepared.source,
        "commit": prepared.commit.as_dict() if prepared.commit else None,
        "origin": prepared.origin,
        "origins": prepared.origins,
        "plan": {
            "changes": [_change_as_json(change) for change in prepared.plan.changes],
            "applied": [prompt.as_dict() for prompt in prepared.plan.applied_prompts],
            "unchanged": prepared.plan.unchanged,
        },
        "adopts": prepared.adopt,
        "allow_new_variables": prepared.allow_new_variables,
        "is_known": prepared.is_already_recorded,
    }
    return _storable(document)


def _change_as_json(change: Change) -> dict[str, Any]:
    document = change.as_dict()
    document["why"] = document.pop("message")
    if change.file is not None:
        content = change.file.content.decode() if change.file.content is not None else None
        document["file"] = {**change.file.as_dict(), "content": content}
    if change.hold is not None:
        document["hold"] = change.hold.as_json()
    if change.rollout is not None:
        document["rollout"] = change.rollout.as_dict()
    if change.tests is not None:
        document["tests"] = {
            "cases": [case.document() for case in change.tests.cases],
            "margin": change.tests.margin,
        }
    return document


def _storable(value: Any) -> Any:
    """Return a JSON value in which every text is valid Unicode. A path may contain bytes that are not."""
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - any JSON
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value]  # pyright: ignore[reportUnknownVariableType] - any JSON
    if isinstance(value, str) and not value.isascii():
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return value


def parse_prepared_plan(fields: Fields) -> PreparedPlan:
    """Parse a prepared plan. Raises InvalidDocument."""
    plan = fields.fields("plan")
    commit = None if fields.is_none("commit") else fields.fields("commit")
    origins = fields.mapping("origins")
    for path, origin in origins.items():
        if not isinstance(origin, dict):
            raise InvalidDocument(f"origins: {path[:80]} is not an object")
    return PreparedPlan(
        fields.text("source"),
        commit and Commit(commit.text("hash"), commit.text("committed_at")),
        fields.mapping("origin"),
        origins,
        Plan(
            [_parse_change(Fields(item, f"change {count}")) for count, item in enumerate(plan.sequence("changes"), 1)],
            [
                _parse_applied_prompt(Fields(item, f"prompt {count}"))
                for count, item in enumerate(plan.sequence("applied"), 1)
            ],
            plan.integer("unchanged"),
        ),
        fields.boolean("adopts"),
        fields.boolean("allow_new_variables"),
        fields.boolean("is_known"),
    )


def _parse_change(fields: Fields) -> Change:
    kind = fields.text("kind")
    if kind not in KINDS:
        raise InvalidDocument(f"{fields.where}: unknown kind {references.quoted(kind)}")
    file = None if fields.is_none("file") else _parse_file(fields.fields("file"))
    is_complete = {
        NEW: file is not None and file.content is not None,
        ACTIVATE: fields.integer("version") > 0,
        DESCRIBE: not fields.is_none("metadata"),
        ROUTE: not fields.is_none("route"),
        ROLLOUT: fields.integer("version") > 0 and not fields.is_none("rollout"),
        STOP: fields.integer("version") > 0,
        TESTS: not fields.is_none("tests"),
    }
    if not is_complete.get(kind, True):
        raise InvalidDocument(f"{fields.where}: a change of kind {kind} is incomplete")
    return Change(
        kind,
        check_name(fields.text("name")),
        fields.integer("version"),
        fields.text("why"),
        fields.integer_or_none("previous_version"),
        None if fields.is_none("metadata") else fields.mapping("metadata"),
        _parse_route(fields),
        file,
        fields.text_or_none("yaml_path"),
        None if fields.is_none("hold") else _parse_last_move(fields.fields("hold")),
        fields.text_or_none("hint"),
        fields.boolean("needs_new_variables"),
        None if fields.is_none("rollout") else _parse_rollout(fields.fields("rollout")),
        None if fields.is_none("tests") else _parse_tests(fields.fields("tests")),
    )


def _parse_tests(fields: Fields) -> CaseList:
    margin = fields.everything.get("margin")
    if margin is not None and (isinstance(margin, bool) or not isinstance(margin, (int, float))):
        raise InvalidDocument(f"{fields.where}: margin is not a number")
    return CaseList(tuple(map(Case.from_document, fields.sequence("cases"))), margin)


def _parse_rollout(fields: Fields) -> RolloutPlan:
    steps = None if fields.is_none("steps") else fields.sequence("steps")
    if steps is not None and not all(type(share) is int for share in steps):
        raise InvalidDocument(f"{fields.where}: steps is not a list of whole numbers")
    guards = None if fields.is_none("guards") else fields.sequence("guards")
    if guards is not None and not all(isinstance(guard, dict) and "metric" in guard for guard in guards):
        raise InvalidDocument(f"{fields.where}: guards is not a list of metrics with tolerances")
    return RolloutPlan(
        steps,
        fields.integer_or_none("hold_seconds"),
        fields.integer_or_none("least_uses"),
        fields.integer_or_none("patience_seconds"),
        fields.text_or_none("in_doubt"),
        guards,
    )


def _parse_file(fields: Fields) -> FileVersion:
    content = fields.text_or_none("content")
    return FileVersion(
        fields.integer("number", 1),
        fields.text("path"),
        fields.text("sha256"),
        None if content is None else content.encode(),
        fields.integer("size"),
        fields.texts("variables"),
        fields.texts("required"),
        _parse_settings(fields.mapping("settings"), f"{fields.where}: settings"),
        fields.mapping("metadata"),
        fields.text_or_none("author"),
        fields.text_or_none("request_path"),
    )


def _parse_settings(settings: dict[str, Any], where: str) -> dict[str, Any]:
    """Return the settings of a version if a folder can have them, else raise InvalidDocument."""
    problems: list[str] = []
    for key, value in settings.items():
        if key not in yaml_settings.SETTINGS:
            problems.append(f"unknown key {references.quoted(key)}")
        elif key != "request":
            yaml_settings.is_valid(key, value, problems.append)
        elif not isinstance(value, str):
            problems.append("request is not a text with a JSON object")
        else:
            try:
                yaml_settings.is_valid(key, requests.parse_json(value), problems.append)
            except InvalidDocument as problem:
                problems.append(f"request: {problem.reason}")
    if problems:
        raise InvalidDocument(f"{where}: {problems[0]}")
    return settings


def _parse_last_move(fields: Fields) -> LastMove:
    return LastMove(
        fields.text("by"),
        fields.text("how"),
        fields.text("at"),
        fields.text_or_none("why"),
        fields.integer_or_none("undone"),
    )


def _parse_applied_prompt(fields: Fields) -> AppliedPrompt:
    metadata = fields.mapping("metadata")
    if not all(isinstance(version_metadata, dict) for version_metadata in metadata.values()):
        raise InvalidDocument(f"{fields.where}: metadata is not an object per version")
    return AppliedPrompt(
        check_name(fields.text("name")),
        fields.integer_or_none("active", 1),
        _parse_route(fields),
        metadata,
        fields.text_or_none("digest"),
        fields.boolean("is_settled"),
        fields.boolean("is_held"),
    )


def _parse_route(fields: Fields) -> list[dict[str, Any]] | None:
    if fields.is_none("route"):
        return None
    steps = fields.sequence("route")
    if not all(isinstance(step, dict) for step in steps):
        raise InvalidDocument(f"{fields.where}: route is not a list of objects")
    return steps


def check_name(name: str) -> str:
    """Return the name of a prompt if it is valid, else raise InvalidDocument."""
    try:
        references.check_name(name)
    except errors.Usage as problem:
        raise InvalidDocument(problem.message) from None
    return name
