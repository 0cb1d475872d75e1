"""Write a file of test cases that `test_files` parses to the same cases, in a layout that people can edit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from promptctl.folder import test_files, written_assertions
from promptctl.folder.yaml_dumper import dump

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.rules.test_cases import Assertion, Case


def text(cases: Sequence[Case], margin: float | None) -> str | None:
    """Return a file with exactly these cases and this margin, None if no file can represent them.

    A conversation is written as messages. A judge or a number of replies that all cases have stands above them.
    """
    document: dict[str, Any] = {}
    judges, repeats = {case.judge for case in cases}, {case.repeat for case in cases}
    shared_judge = next(iter(judges)) if len(judges) == 1 else None
    shared_repeat = next(iter(repeats)) if len(repeats) == 1 else None
    if shared_judge is not None:
        document["judge"] = shared_judge
    if shared_repeat is not None:
        document["repeat"] = shared_repeat
    if margin is not None:
        document["margin"] = f"{margin * 100:.12g}pt"
    document["tests"] = [_case(case, shared_judge, shared_repeat) for case in cases]
    try:
        yaml = dump(document)
    except (RecursionError, ValueError):
        return None
    problems: list[str] = []
    parsed = test_files.parse(yaml.encode(), "", problems, _no_file)
    hashes = [case.hash for case in parsed.cases]
    is_same = not problems and parsed.margin == margin and hashes == [case.hash for case in cases]
    return yaml if is_same else None


def case_document(case: Case) -> dict[str, Any]:
    """Return a case as a file has it, for the YAML writer."""
    return _case(case, None, None)


def _case(case: Case, shared_judge: str | None, shared_repeat: int | None) -> dict[str, Any]:
    """Return a case as a file has it, without what all cases share."""
    document = case.document()
    if shared_judge is not None:
        del document["judge"]
    if shared_repeat is not None:
        del document["repeat"]
    if "threshold" in document:
        document["threshold"] = _number(document["threshold"])
    if case.assertions:
        document["assert"] = [_assertion(assertion) for assertion in case.assertions]
    if len(case.messages) == 1 and set(case.messages[0]) == {"role", "content"}:
        role, content = case.messages[0]["role"], case.messages[0]["content"]
        if role == "user" and isinstance(content, str) and content.strip():
            # In the place of `messages`, which is the order of a person.
            document = {("message" if key == "messages" else key): value for key, value in document.items()}
            document["message"] = content
    return document


def _assertion(assertion: Assertion) -> dict[str, Any]:
    """Return an assertion in the short form, `contains: 30 days`."""
    document = assertion.document()
    del document["type"]
    if assertion.kind in ("latency", "cost"):
        value = _number(document.pop("threshold"))
    else:
        value = written_assertions.unfilled(document.pop("value", None))
    numbers = {key: _number(document[key]) for key in ("threshold", "weight") if key in document}
    return {assertion.type: value, **document, **numbers}


def _number(value: float) -> float:
    """Return a whole number without a point."""
    return int(value) if value.is_integer() else value


def _no_file(name: str) -> bytes:
    raise ValueError(f"{name} is not read")
