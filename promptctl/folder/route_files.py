"""Parse a route from a file of its own, YAML or JSON: the same list as under `route` in a prompt.yaml."""

from __future__ import annotations

from typing import Any, cast

from promptctl import errors
from promptctl.folder import route_steps, strict_yaml, texts
from promptctl.rules import json_documents

_HINT = "write a list of {when: {ATTRIBUTE: VALUE}, use: NAME}; [] removes the route"


def parse(text: str, source: str) -> list[dict[str, Any]]:
    """Return the steps of a route. The text is a list of steps, or a mapping with `route` as its only key.

    `source` names the file in messages. Raises Usage (`malformed_route`), which names the line or the entry.
    """
    if problem := texts.git_problem(text):
        raise _malformed(f"{source} {problem}")
    document = _load(text, source)
    if document is None:
        raise _malformed(f"{source} is empty")
    problems: list[str] = []
    if isinstance(document, dict) and "route" in document:
        keys = cast("dict[object, object]", document)
        problems += [f"{source}: unknown key {key!r} beside route" for key in keys if key != "route"]
        document = keys["route"]
    value = cast("object", document)
    entries = route_steps.entries(value, lambda problem: problems.append(f"{source}: {problem}")) or []
    lines = _entry_lines(text)
    steps: list[dict[str, Any]] = []
    for index, entry in enumerate(entries):
        place = f"{source}:{lines[index]}" if len(lines) == len(entries) else source
        where = f"{place}: entry {index + 1}"
        step = route_steps.step(entry, where, problems.append)
        if step is not None:
            problems += [f"{where}: when: {problem}" for problem in _unstorable_conditions(step["when"])]
            steps.append(step)
    if problems:
        raise _malformed(*problems)
    return steps


def _malformed(problem: str, *others: str) -> errors.Usage:
    error = errors.Usage("malformed_route", problem, hint=_HINT)
    error.others = others
    return error


def _load(text: str, source: str) -> object:
    """Return the document of a text, JSON or YAML. JSON is tried first: in YAML, its number 1e3 would be a text."""
    json_problem = None
    if text.lstrip()[:1] in ("[", "{"):
        try:
            return json_documents.parse(text, unique_keys=True)
        except json_documents.NotJson as problem:
            # YAML can begin with a bracket too.
            json_problem = problem
        except json_documents.InvalidDocument as problem:
            raise _malformed(f"{source}: {problem.reason}") from None
    try:
        return strict_yaml.load(text.encode())
    except strict_yaml.Malformed as problem:
        if json_problem is not None and source.lower().endswith(".json"):
            raise _malformed(f"{source}:{json_problem.line}: {json_problem.reason}") from None
        raise _malformed(f"{source}:{problem.line}: {problem.what}") from None


def _unstorable_conditions(when: dict[str, Any]) -> list[str]:
    """Return a message about each condition that PostgreSQL cannot store."""
    return [
        f"{key!r} has {problem}"
        for key, value in when.items()
        if (problem := json_documents.storage_problem(f"{key}{value}"))
    ]


def _entry_lines(text: str) -> list[int]:
    """Return the lines on which the entries begin; empty for a text that YAML cannot parse, such as JSON with tabs."""
    try:
        root = strict_yaml.nodes(text.encode())
    except strict_yaml.Malformed:
        return []
    if root is not None and root.id == "mapping":
        root = next((value for key, value in root.value if key.value == "route"), None)
    if root is None or root.id != "sequence":
        return []
    return [int(node.start_mark.line) + 1 for node in root.value]
