"""The cases of a prompt: inputs with assertions about the reply, and their canonical documents and hashes. Pure.

`rules.assertions` has the types of assertions, `folder.test_files` reads cases from files.
"""

from __future__ import annotations

import hashlib
import json
from types import MappingProxyType

from promptctl.records import Record
from promptctl.rules import json_documents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import Any

_LONGEST_TITLE = 60
_NEGATION = "not-"


class Assertion(Record):
    """One assertion about a reply.

    `kind` is the type without `not-`, and `is_negated` whether the type has it. `value` is JSON, None without a value.
    `threshold` is in the unit of the kind: milliseconds for `latency`, dollars for `cost`, a score from 0 to 1 for
    `llm-rubric`. An assertion of weight 0 is checked, and never makes a reply fail. `metric` is a name to show in place
    of the value.
    """

    kind: str
    is_negated: bool = False
    value: Any = None
    threshold: float | None = None
    weight: float = 1.0
    metric: str | None = None

    @property
    def type(self) -> str:
        """The type as a file has it: `not-contains`."""
        return _NEGATION + self.kind if self.is_negated else self.kind

    @property
    def label(self) -> str:
        """The type with the metric, or with the beginning of the value, on one line: `contains "30 days"`."""
        if self.metric is not None:
            return f"{self.type} ({_shortened(self.metric)})"
        if self.kind == "is-json":
            return f"{self.type} with a schema" if self.value is not None else self.type
        if self.value is None:
            return self.type if self.threshold is None else f"{self.type} {self.threshold:.15g}"
        return f"{self.type} {_shortened(json.dumps(self.value, ensure_ascii=False))}"

    def document(self) -> dict[str, Any]:
        """Return the assertion as JSON has it, without the keys that have their defaults."""
        document: dict[str, Any] = {"type": self.type}
        if self.value is not None:
            document["value"] = self.value
        if self.threshold is not None:
            document["threshold"] = self.threshold
        if self.weight != 1:
            document["weight"] = self.weight
        if self.metric is not None:
            document["metric"] = self.metric
        return document

    @classmethod
    def from_document(cls, document: object) -> Assertion:
        """Return the assertion that `document` describes. Raises json_documents.InvalidDocument."""
        fields = json_documents.Fields(document, "an assertion")
        kind, is_negated = split_type(fields.text("type"))
        keys = fields.everything
        return cls(
            kind, is_negated, keys.get("value"), _number(fields, "threshold"), _number(fields, "weight", 1.0),
            _text(fields, "metric"),
        )  # fmt: skip


class Case(Record):
    """One input of a prompt with assertions about the reply.

    `values` has a value for each variable: it is inserted as it is, so braces in it are text. `messages` are the
    messages that Claude is sent after the few-shot messages of the version. A reply passes if the weighted mean of its
    scores reaches `threshold`, without one if every assertion holds. `repeat` is the number of replies of a run.
    A critical case must pass every time. Cases of one `group` belong together. `judge` is the reference of the prompt
    that judges the assertions of type `llm-rubric`, None for the built-in one.
    """

    description: str = ""
    values: Mapping[str, str] = MappingProxyType({})
    messages: tuple[Mapping[str, Any], ...] = ()
    assertions: tuple[Assertion, ...] = ()
    threshold: float | None = None
    repeat: int | None = None
    is_critical: bool = False
    group: str | None = None
    judge: str | None = None

    @property
    def title(self) -> str:
        """What names the case on one line: its description, else its last message, its values, or its hash."""
        if self.description:
            return _shortened(self.description)
        for message in reversed(self.messages):
            if isinstance(message.get("content"), str):
                return _shortened(message["content"])
        if self.values:
            return _shortened(", ".join(f"{name}={value}" for name, value in self.values.items()))
        return self.hash[:12]

    def document(self) -> dict[str, Any]:
        """Return the case as JSON has it, with the keys of a test file, without those that have their defaults."""
        document: dict[str, Any] = {}
        if self.description:
            document["description"] = self.description
        if self.values:
            document["vars"] = dict(self.values)
        if self.messages:
            document["messages"] = [dict(message) for message in self.messages]
        if self.assertions:
            document["assert"] = [assertion.document() for assertion in self.assertions]
        if self.threshold is not None:
            document["threshold"] = self.threshold
        if self.repeat is not None:
            document["repeat"] = self.repeat
        if self.is_critical:
            document["critical"] = True
        if self.group is not None:
            document["group"] = self.group
        if self.judge is not None:
            document["judge"] = self.judge
        return document

    @classmethod
    def from_document(cls, document: object) -> Case:
        """Return the case that `document` describes. Raises json_documents.InvalidDocument."""
        fields = json_documents.Fields(document, "a case")
        keys = fields.everything
        values = fields.mapping("vars") if "vars" in keys else {}
        if not all(isinstance(value, str) for value in values.values()):
            raise json_documents.InvalidDocument("a case: vars is not an object of texts")
        messages = fields.sequence("messages") if "messages" in keys else []
        if not all(isinstance(message, dict) for message in messages):
            raise json_documents.InvalidDocument("a case: messages is not a list of objects")
        return cls(
            description=_text(fields, "description") or "",
            values=values,
            messages=tuple(messages),
            assertions=tuple(map(Assertion.from_document, fields.sequence("assert") if "assert" in keys else ())),
            threshold=_number(fields, "threshold"),
            repeat=fields.integer("repeat", 1) if "repeat" in keys else None,
            is_critical=fields.boolean("critical") if "critical" in keys else False,
            group=_text(fields, "group"),
            judge=_text(fields, "judge"),
        )

    @property
    def canonical_text(self) -> str:
        """The JSON text that `hash` covers: sorted keys, no blanks between them, characters as they are."""
        return json.dumps(self.document(), ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))

    @property
    def hash(self) -> str:
        """The SHA-256 of the canonical text in UTF-8, in hexadecimal."""
        return hashlib.sha256(self.canonical_text.encode()).hexdigest()


def cases_hash(cases: Iterable[Case]) -> str:
    """Return the SHA-256, in hexadecimal, of the sorted hashes of cases. Their order does not change it."""
    return hashlib.sha256("\n".join(sorted(case.hash for case in cases)).encode()).hexdigest()


def split_type(written: str) -> tuple[str, bool]:
    """Return the kind of an assertion and whether it is negated, from the type that a file has: `not-contains`."""
    return written.removeprefix(_NEGATION), written.startswith(_NEGATION)


def case_problems(
    case: Case, variables: Collection[str], required: Collection[str], *, has_few_shot_messages: bool = False
) -> list[str]:
    """Return why a case cannot be run with a version, as sentences without a subject. The list is empty if it can.

    `variables` are the variables that the version accepts, `required` those of them that have no default. A value that
    an assertion contains is used there, and needs no variable.
    """
    problems = [
        _unknown_value(name, variables)
        for name, value in case.values.items()
        if name not in variables and not _is_in_assertion(case, value)
    ]
    missing = [name for name in required if name not in case.values]
    if missing:
        plural = "s" if len(missing) > 1 else ""
        problems.append(f"has no value for the variable{plural} {', '.join(missing)}: add vars")
    if not case.messages and not has_few_shot_messages:
        problems.append("has no message, and the version has no few-shot messages: add message")
    return problems


def _is_in_assertion(case: Case, value: str) -> bool:
    """Whether a value of `vars` is in an assertion, where a file has `{{name}}`."""
    written = json.dumps(value, ensure_ascii=False)[1:-1]
    return any(written in json.dumps(assertion.value, ensure_ascii=False) for assertion in case.assertions)


def _unknown_value(name: str, variables: Collection[str]) -> str:
    import difflib

    similar = difflib.get_close_matches(name, variables, n=1)
    hint = f": did you mean {similar[0]}?" if similar else ""
    return f"has a value for {_shortened(name)}, which is not a variable of the version{hint}"


def _number(fields: json_documents.Fields, name: str, default: float | None = None) -> Any:
    value = fields.everything.get(name, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise json_documents.InvalidDocument(f"{fields.where}: {name} is not a number")
    return float(value)


def _text(fields: json_documents.Fields, name: str) -> str | None:
    return fields.text(name) if name in fields.everything else None


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "…"
