"""Parse a file of test cases, `tests.yaml` or `tests/*.yaml`. docs/tests.md describes the keys.

The shape of a case is that of promptfoo, so that the `tests` of its configuration can be copied. No code of a folder is
run, and no other file is read, except a saved conversation.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, cast

from promptctl import errors
from promptctl.folder import strict_yaml, texts, written_assertions
from promptctl.folder.written_assertions import WrittenAssertion
from promptctl.folder.yaml_values import mapping, other_key, quoted, text
from promptctl.records import Record
from promptctl.rules import json_documents, margins, references, requests
from promptctl.rules.test_cases import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from promptctl.folder.yaml_values import Report

    # Returns the bytes of a file, by its path from the file of the cases. Raises OSError, or ValueError with a clause.
    ReadFile = Callable[[str], bytes]

LARGEST_FILE = 4_000_000
MOST_CASES = 10_000
# In bytes. The database has the same limits, of the size of a case and the number of cases.
LARGEST_CASE = 1_000_000
MOST_REPEATS = 100
_DEEPEST = 90

FILE_KEYS = ("tests", "judge", "repeat", "margin", "defaultTest")
CASE_KEYS = (
    "description", "vars", "assert", "threshold", "message", "messages", "conversation", "repeat", "critical", "group",
    "judge",
)  # fmt: skip
_INPUT_KEYS = ("message", "messages", "conversation")
_SETTINGS = "the model and its parameters are settings of a version"
# What to use in place of promptfoo's other keys.
_INSTEAD: Mapping[str, str] = {
    "prompts": "the texts are the versions of the prompt",
    "providers": _SETTINGS,
    "provider": _SETTINGS,
    "targets": _SETTINGS,
    "scenarios": "write each case under tests",
    "evaluateOptions": "use repeat",
    "options": "a case has none of promptfoo's options",
    "metadata": "use group for cases that belong together, and a comment for a remark",
    "tags": "use a comment",
    "assertScoringFunction": written_assertions.NO_CODE,
    "providerOutput": "Claude's own reply is tested",
    "assertionTemplates": "repeat the assertion in each case, or put it under defaultTest",
}
_MOST_PROBLEMS = 50
_LONGEST_START = 40


class TestFile(Record):
    """The cases of one or several files.

    The `judge` and the number `repeat` of a file are in each of its cases without one of its own. `margin` is how much
    worse a version may be, as a part of 1, None without one.
    """

    judge: str | None
    repeat: int | None
    margin: float | None
    cases: tuple[Case, ...]


def parse(raw: bytes, path: str, problems: list[str], read_file: ReadFile) -> TestFile:
    """Return the cases of a file. What is wrong is added to `problems`, with the path and the case.

    `read_file` reads a saved conversation.
    """
    earlier_problems = len(problems)
    parser = _FileParser(path, problems, read_file)
    parsed = parser.parse(raw)
    if len(problems) - earlier_problems > _MOST_PROBLEMS:
        more = len(problems) - earlier_problems - _MOST_PROBLEMS
        problems[earlier_problems + _MOST_PROBLEMS :] = [f"{path}: has {more} more problems"]
    return parsed


def combined(files: Mapping[str, TestFile], problems: list[str]) -> TestFile:
    """Return the cases of the files of one prompt, by path in their order, as those of one file.

    The judge and the number of replies are in the cases. What is wrong is added to `problems`: too many cases, two
    equal cases, different margins, a case that is too large.
    """
    margin: float | None = None
    paths: dict[str, str] = {}
    cases: list[Case] = []
    for path, file in files.items():
        if file.margin is not None and margin not in (None, file.margin):
            problems.append(f"{path}: has another margin than the files before it")
        margin = file.margin if margin is None else margin
        for count, case in enumerate(file.cases, 1):
            size = len(case.canonical_text.encode())
            if size > LARGEST_CASE:
                problems.append(f"{path}: case {count} has {size} bytes: at most {LARGEST_CASE} are allowed")
            place = paths.setdefault(case.hash, f"case {count} of {path}")
            if place != f"case {count} of {path}":
                problems.append(f"{path}: case {count} equals {place}: use repeat for more replies")
            cases.append(case)
    if len(cases) > MOST_CASES:
        path = list(files)[-1]
        problems.append(f"{path}: the prompt has {len(cases)} cases: at most {MOST_CASES} are allowed")
    return TestFile(None, None, margin, tuple(cases))


class _FileParser:
    """Parses one file."""

    def __init__(self, path: str, problems: list[str], read_file: ReadFile) -> None:
        self._path = path
        self._problems = problems
        self._read_file = read_file
        self._judge: str | None = None
        self._repeat: int | None = None
        self._margin: float | None = None
        self._defaults = _PartialCase({}, (), None)

    def parse(self, raw: bytes) -> TestFile:
        document = self._load(raw)
        cases: list[Case] = []
        if document is not None:
            items = self._items(document)
            for count, item in enumerate(items, 1):
                cases += self._cases(item, f"case {count}")
                if len(cases) > MOST_CASES:
                    self._report(f"has more than {MOST_CASES} cases")
                    break
        return TestFile(self._judge, self._repeat, self._margin, tuple(cases))

    def _report(self, problem: str) -> None:
        self._problems.append(f"{self._path}: {problem}")

    def _load(self, raw: bytes) -> object:
        """Return the document, None for an invalid one."""
        if len(raw) > LARGEST_FILE:
            self._report(f"has {len(raw)} bytes: at most {LARGEST_FILE} are allowed")
            return None
        if problem := texts.git_problem(raw.decode(errors="replace")):
            self._report(problem)
            return None
        try:
            document = strict_yaml.load_json(raw, _DEEPEST)
            if document is None:
                self._report("has no cases: write them under tests, or remove the file")
            if b"\\" in raw:
                # Only an escape can stand for a lone surrogate.
                json_documents.check_storable(document)
        except strict_yaml.Malformed as malformed:
            self._problems.append(f"{self._path}:{malformed.line}: {malformed.what}")
            return None
        except json_documents.InvalidDocument as invalid:
            self._report(invalid.reason)
            return None
        return document

    def _items(self, document: object) -> list[object]:
        """Return the entries of the list of cases, and set what the keys beside the list say."""
        keys = mapping(document)
        if keys is not None:
            for key, value in keys.items():
                if key == "judge":
                    self._judge = _judge(value, self._report)
                elif key == "repeat":
                    self._repeat = _repeat(value, self._report)
                elif key == "margin":
                    self._margin = _margin(value, self._report)
                elif key == "defaultTest":
                    self._defaults = self._default_case(value)
                elif key != "tests":
                    self._report(other_key(key, FILE_KEYS, _INSTEAD))
            document = keys.get("tests")
        if isinstance(document, str):
            self._report("tests must be a list of cases: the files that promptfoo would read are not read")
        elif not isinstance(document, list) or not document:
            self._report("has no list of cases: write them under tests")
        else:
            return cast("list[object]", document)
        return []

    def _default_case(self, value: object) -> _PartialCase:
        keys = mapping(value)
        if keys is None:
            self._report(f"defaultTest must be a mapping, not {quoted(value)}")
            return _PartialCase({}, (), None)

        def report(problem: str) -> None:
            self._report(f"defaultTest: {problem}")

        for key in keys:
            if key not in ("vars", "assert", "threshold"):
                report(other_key(key, ("vars", "assert", "threshold"), _INSTEAD))
        return _partial_case(keys, report)

    def _cases(self, item: object, where: str) -> Iterator[Case]:
        """Yield the cases of one entry of the list. Values that are lists make a case for each combination."""
        keys = mapping(item)
        description = keys.get("description") if keys is not None else None
        if isinstance(description, str) and description.strip():
            where += f" ({' '.join(description.split())[:60]})"

        def report(problem: str) -> None:
            self._report(f"{where}: {problem}")

        if keys is None:
            is_file = isinstance(item, str) and item.startswith(written_assertions.FILE_URL)
            report("the files that promptfoo would read are not read" if is_file else "must be a mapping")
            return
        earlier_problems = len(self._problems)
        own = _partial_case(keys, report)
        case = self._rest_of_case(keys, report)
        values = {**self._defaults.values, **own.values}
        written = (*self._defaults.assertions, *own.assertions)
        threshold = self._defaults.threshold if own.threshold is None else own.threshold
        combinations = math.prod(len(items) for items in values.values())
        if combinations > MOST_CASES:
            report(f"its values make more than {MOST_CASES} cases")
        if len(self._problems) > earlier_problems:
            return
        for chosen in itertools.product(*values.values()):
            case_values = dict(zip(values, chosen, strict=True))
            checked = [written_assertions.completed(one, case_values, report) for one in written]
            if len(self._problems) > earlier_problems:
                return
            complete = tuple(one for one in checked if one is not None)
            if threshold and complete and not any(one.weight for one in complete):
                report("the weights of its assertions are all 0, so no reply reaches its threshold")
                return
            yield Case(
                _description(case, {name: case_values[name] for name, items in values.items() if len(items) > 1}),
                case_values, case.messages, complete, threshold, case.repeat, case.is_critical, case.group, case.judge,
            )  # fmt: skip

    def _rest_of_case(self, keys: dict[object, object], report: Report) -> Case:
        """Return the case without its values, assertions and threshold."""
        for key, value in keys.items():
            if key == "options":
                _report_options(value, report)
            elif key not in CASE_KEYS:
                report(other_key(key, CASE_KEYS, _INSTEAD))
        inputs = [key for key in _INPUT_KEYS if key in keys]
        if len(inputs) > 1:
            report(f"has {' and '.join(inputs)}: keep one of them")
        is_critical = keys.get("critical", False)
        if not isinstance(is_critical, bool):
            report(f"critical must be true or false, not {quoted(is_critical)}")
        return Case(
            description=(text(keys["description"], "description", report) or "").strip()
            if "description" in keys
            else "",
            messages=self._messages(keys, report),
            repeat=_repeat(keys["repeat"], report) if "repeat" in keys else self._repeat,
            is_critical=bool(is_critical),
            group=text(keys["group"], "group", report) if "group" in keys else None,
            judge=_judge(keys["judge"], report) if "judge" in keys else self._judge,
        )

    def _messages(self, keys: dict[object, object], report: Report) -> tuple[Mapping[str, Any], ...]:
        if "message" in keys:
            content = text(keys["message"], "message", report)
            return ({"role": "user", "content": content},) if content is not None else ()
        messages: object = None
        if "messages" in keys:
            messages = keys["messages"]
        elif "conversation" in keys:
            name = text(keys["conversation"], "conversation", report)
            messages = self._conversation(name, report) if name is not None else None
            if messages is None:
                return ()
        else:
            return ()
        clauses = requests.problems({"messages": messages})
        for clause in clauses:
            report(clause)
        return () if clauses else tuple(cast("list[dict[str, Any]]", messages))

    def _conversation(self, name: str, report: Report) -> list[dict[str, Any]] | None:
        """Return the messages in a saved conversation up to the last one of the user, None for an invalid file."""
        try:
            document = json_documents.parse(self._read_file(name), unique_keys=True)
        except OSError as problem:
            report(f"conversation: {name}: {problem.strerror}")
            return None
        except json_documents.InvalidDocument as problem:
            line = f":{problem.line}" if problem.line is not None else ""
            report(f"conversation: {name}{line}: {problem.reason}")
            return None
        except ValueError as problem:
            report(f"conversation: {name} {problem}")
            return None
        keys = mapping(document)
        items = keys.get("messages") if keys is not None else None
        messages = [mapping(item) for item in cast("list[object]", items)] if isinstance(items, list) else []
        if not messages or not all(messages):
            report(f"conversation: {name} is not a saved conversation: it has no list of messages")
            return None
        # The details of a reply, such as its version and model, are not sent.
        sent = [{key: value for key in ("role", "content") if (value := (one or {}).get(key))} for one in messages]
        while sent and sent[-1].get("role") == "assistant":
            sent.pop()
        if not sent:
            report(f"conversation: {name} has no message of the user")
            return None
        return cast("list[dict[str, Any]]", sent)


class _PartialCase(Record):
    """What both a case and `defaultTest` have: the possible values of variables, assertions and a threshold."""

    values: dict[str, list[str]]
    assertions: tuple[WrittenAssertion, ...]
    threshold: float | None


def _partial_case(keys: dict[object, object], report: Report) -> _PartialCase:
    threshold = keys.get("threshold")
    if threshold is not None and not (_is_number(threshold) and 0 <= cast("float", threshold) <= 1):
        report(f"threshold must be a number from 0 to 1, not {quoted(threshold)}")
        threshold = None
    values = _values(keys["vars"], report) if "vars" in keys else {}
    written = written_assertions.read(keys["assert"], report) if keys.get("assert") is not None else ()
    return _PartialCase(values, written, None if threshold is None else float(cast("float", threshold)))


def _description(case: Case, chosen: Mapping[str, str]) -> str:
    """Return the description of one of several cases, with its own values: without them they would have one name."""
    if not chosen or not (case.description or case.messages):
        return case.description
    title = case.title
    # The title of the new case is cut, and must have the values.
    start = title if len(title) <= _LONGEST_START else title[: _LONGEST_START - 1] + "…"
    return f"{start} ({', '.join(f'{name}={value}' for name, value in chosen.items())})"


def _values(value: object, report: Report) -> dict[str, list[str]]:
    """Return the possible values of each variable."""
    keys = mapping(value)
    if keys is None:
        report(f"vars must be a mapping of variables to values, not {quoted(value)}")
        return {}
    values: dict[str, list[str]] = {}
    for name, item in keys.items():
        items = cast("list[object]", item) if isinstance(item, list) else [item]
        if not items:
            report(f"vars: {name} is an empty list")
        options: list[str] = []
        for option in items:
            if option is None:
                report(f'vars: {name} has no value: write "" for an empty text')
            elif isinstance(option, str) and option.startswith(written_assertions.FILE_URL):
                report(f"vars: {name}: {quoted(option)} is not read: write the text itself")
            else:
                options.append(_value_text(option))
        values[str(name)] = options
    return values


def _value_text(value: object) -> str:
    """Return the text of a value: a text as it is, anything else as JSON."""
    import json

    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _report_options(value: object, report: Report) -> None:
    for key in mapping(value) or {}:
        instead = written_assertions.INSTEAD.get(str(key)) or "write what it does into the case itself"
        report(f"options: {key} is not supported ({instead})")


def _judge(value: object, report: Report) -> str | None:
    reference = text(value, "judge", report)
    if reference is None:
        return None
    try:
        return str(references.parse(reference))
    except errors.Usage as problem:
        report(f"judge: {problem.message}")
        return None


def _repeat(value: object, report: Report) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST_REPEATS:
        return value
    report(f"repeat must be a number from 1 to {MOST_REPEATS}, not {quoted(value)}")
    return None


def _margin(value: object, report: Report) -> float | None:
    margin = margins.value_of("errors", value) if isinstance(value, str) else None
    if margin is None:
        report(f"margin must be percentage points such as 5pt, not {quoted(value)}")
    return margin


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
