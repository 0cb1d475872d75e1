"""A route in a file of its own, YAML or JSON: the list that stands under `route` in a prompt.yaml."""

from __future__ import annotations

from typing import Any, cast

from promptctl import errors
from promptctl.folder import prompt_yaml, strict_yaml, texts
from promptctl.rules import json_documents

_HINT = "write a list of {when: {ATTRIBUTE: VALUE}, use: NAME}; [] is no route"


def parse(text: str, what: str) -> list[dict[str, Any]]:
    """Return the steps that a file's text writes: a list, or a mapping with nothing but `route`.

    `what` names the file in messages. Raises Usage (`malformed_route`), naming line or entry.
    """
    problems: list[str] = []
    if unfinished := texts.unfinished(text):
        raise _refused(f"{what} {unfinished}")
    said = _document(text, what)
    if said is None:
        raise _refused(f"{what} says nothing")
    if isinstance(said, dict) and "route" in said:
        mapping = cast("dict[object, object]", said)
        problems += [f"{what}: unknown key {key!r} beside route" for key in mapping if key != "route"]
        said = mapping["route"]
    written = cast("object", said)
    entries = prompt_yaml.route_entries(written, lambda problem: problems.append(f"{what}: {problem}")) or []
    lines = _lines(text)
    steps: list[dict[str, Any]] = []
    for place, entry in enumerate(entries, 1):
        where = f"{what}:{lines[place - 1]}" if len(lines) == len(entries) else what
        step = prompt_yaml.route_step(entry, f"{where}: entry {place}", problems.append)
        if step is not None:
            problems += [f"{where}: entry {place}: when: {key!r} has {odd}" for key, odd in _odd(step["when"])]
            steps.append(step)
    if problems:
        raise _refused(*problems)
    return steps


def _refused(problem: str, *others: str) -> errors.Usage:
    refused = errors.Usage("malformed_route", problem, hint=_HINT)
    refused.others = others
    return refused


def _document(text: str, what: str) -> object:
    """Return what a text says as JSON if it is that, else as YAML, of which 1e3 would be a text."""
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return json_documents.parse(text, once=True)
        except json_documents.NotJson as problem:
            malformed = problem
        except json_documents.InvalidDocument as problem:
            raise _refused(f"{what}: {problem.reason}") from None
        try:
            # YAML has brackets too.
            return strict_yaml.load(text.encode())
        except strict_yaml.Malformed as problem:
            if what.lower().endswith(".json"):
                raise _refused(f"{what}:{malformed.line}: {malformed.reason}") from None
            raise _refused(f"{what}:{problem.line}: {problem.what}") from None
    try:
        return strict_yaml.load(text.encode())
    except strict_yaml.Malformed as problem:
        raise _refused(f"{what}:{problem.line}: {problem.what}") from None


def _odd(when: dict[str, Any]) -> list[tuple[str, str]]:
    """What PostgreSQL cannot hold, by key."""
    found: list[tuple[str, str]] = []
    for key, value in when.items():
        if problem := json_documents.storage_problem(f"{key}{value}"):
            found.append((key, problem))
    return found


def _lines(text: str) -> list[int]:
    """The lines on which the entries begin; none where that is not known, as in JSON with tabs."""
    try:
        root = strict_yaml.nodes(text.encode())
    except strict_yaml.Malformed:
        return []
    if root is not None and root.id == "mapping":
        root = next((value for key, value in root.value if key.value == "route"), None)
    if root is None or root.id != "sequence":
        return []
    return [int(node.start_mark.line) + 1 for node in root.value]
