"""Files of test cases: keys, values, conversations, and files that are refused."""

# ruff: noqa: E501 - a file of a table is a line

from __future__ import annotations

import errno
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.folder import test_files, written_assertions
from promptctl.rules.test_cases import Assertion, Case


def read_nothing(name: str) -> bytes:
    raise FileNotFoundError(errno.ENOENT, "No such file or directory", name)


def parse(yaml: str, **files: str) -> Any:
    problems: list[str] = []

    def read(name: str) -> bytes:
        return files[name.removesuffix(".json")].encode()

    parsed = test_files.parse(yaml.encode(), "p/tests.yaml", problems, read)
    assert problems == []
    return parsed


def parse_problems(yaml: str | bytes) -> list[str]:
    problems: list[str] = []
    test_files.parse(yaml.encode() if isinstance(yaml, str) else yaml, "p/tests.yaml", problems, read_nothing)
    assert problems
    assert all("\n" not in problem and problem.startswith("p/tests.yaml:") for problem in problems)
    return [problem.removeprefix("p/tests.yaml").removeprefix(": ") for problem in problems]


def test_a_whole_file() -> None:
    file = parse("""\
judge: judges/helpful@3
repeat: 5
margin: 3pt
tests:
- description: Refund
  vars: {plan: pro, text: "{not} {{a}} variable"}
  message: Can I have {my} money back?
  threshold: 0.75
  repeat: 7
  critical: true
  group: refunds
  judge: judges/strict
  assert:
  - contains: 30 days
  - not-icontains: sorry
    weight: 0.5
    metric: tone
  - latency: 800
  - {cost: 0.01}
  - is-json:
  - type: regex
    value: '[0-9]+'
- messages:
  - {role: user, content: Hi}
  - {role: assistant, content: Hello}
  - {role: user, content: [{type: text, text: Bye}]}
""")
    assert (file.judge, file.repeat, file.margin) == ("judges/helpful@3", 5, 0.03)
    first, second = file.cases
    assert first == Case(
        "Refund",
        {"plan": "pro", "text": "{not} {{a}} variable"},
        ({"role": "user", "content": "Can I have {my} money back?"},),
        (
            Assertion("contains", value="30 days"),
            Assertion("icontains", is_negated=True, value="sorry", weight=0.5, metric="tone"),
            Assertion("latency", threshold=800.0),
            Assertion("cost", threshold=0.01),
            Assertion("is-json"),
            Assertion("regex", value="[0-9]+"),
        ),
        0.75,
        7,
        True,
        "refunds",
        "judges/strict",
    )
    assert (second.repeat, second.judge, len(second.messages)) == (5, "judges/helpful@3", 3)


def test_a_list_of_cases_is_a_file() -> None:
    file = parse("- message: a\n- message: b\n")
    assert (file.judge, file.repeat, file.margin) == (None, None, None)
    assert [case.messages[0]["content"] for case in file.cases] == ["a", "b"]


def test_values_are_texts() -> None:
    [case] = parse('- vars: {a: 1, b: 1.5, c: false, d: {x: [1, "é"]}, e: "", f: " x "}\n').cases
    assert case.values == {"a": "1", "b": "1.5", "c": "false", "d": '{"x":[1,"é"]}', "e": "", "f": " x "}


def test_lists_of_values_make_a_case_for_each_combination() -> None:
    cases = parse('- vars: {a: [x, "1"], b: [y, z], c: w}\n  assert: [contains: "{{a}}-{{ b }}"]').cases
    assert [(case.values, case.assertions[0].value) for case in cases] == [
        ({"a": "x", "b": "y", "c": "w"}, "x-y"),
        ({"a": "x", "b": "z", "c": "w"}, "x-z"),
        ({"a": "1", "b": "y", "c": "w"}, "1-y"),
        ({"a": "1", "b": "z", "c": "w"}, "1-z"),
    ]


def test_the_cases_of_a_list_of_values_have_their_values_in_their_names() -> None:
    [short, _, long, other] = parse(
        """
- {description: Refund, message: hello, vars: {plan: [free, team], city: Rome}}
- {message: %s, vars: {plan: [free, team]}}
"""
        % ("long " * 30)
    ).cases
    assert (short.title, short.messages) == ("Refund (plan=free)", ({"role": "user", "content": "hello"},))
    assert long.title.endswith("… (plan=free)")
    assert long.title != other.title


def test_what_every_case_has() -> None:
    first, second = parse("""\
defaultTest:
  vars: {tone: kind, name: Ada}
  threshold: 0.5
  assert: [contains: "{{name}}"]
tests:
- vars: {name: Bob}
- threshold: 0
  assert: [contains: b]
""").cases
    assert (first.values, first.threshold) == ({"tone": "kind", "name": "Bob"}, 0.5)
    assert [one.value for one in first.assertions] == ["Bob"]
    assert (second.values, second.threshold) == ({"tone": "kind", "name": "Ada"}, 0.0)
    assert [one.value for one in second.assertions] == ["Ada", "b"]


def test_a_value_is_inserted_once() -> None:
    [case] = parse(
        "- vars: {a: '{{b}}', b: c}\n  assert: [{contains-any: ['{{a}}', '{% raw %}{{b}}{% endraw %}']}]"
    ).cases
    assert case.assertions[0].value == ["{{b}}", "{{b}}"]


@given(st.text(st.sampled_from("{}% ab\nrw"), max_size=12))
def test_any_text_can_be_written_as_the_value_of_an_assertion(value: str) -> None:
    assert written_assertions.filled(written_assertions.unfilled(value), {}) == value


# promptfoo's expressions, as far as they are recognised.
EXPRESSION = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}|\{%.*?%\}", re.DOTALL)


@given(st.text(st.sampled_from("{}%- ab"), max_size=20))
def test_expressions_are_found_as_the_pattern_of_their_syntax_finds_them(value: str) -> None:
    found = [match.span() for match in EXPRESSION.finditer(value)]
    assert list(written_assertions.expressions(value)) == found
    values = {match[1]: "x" for match in EXPRESSION.finditer(value) if match[1] is not None}
    if "{%" not in value:
        assert written_assertions.filled(value, values) == EXPRESSION.sub("x", value)


@pytest.mark.parametrize("part", ["{{ ", "{%", "{{" + " " * 1000, "{{%}} {%"])
def test_a_long_value_of_braces_is_read_at_once(part: str) -> None:
    value = part * (1_000_000 // len(part))
    assert sum(1 for _ in written_assertions.expressions(value)) < 200_000


CONVERSATION = """{"messages": [
  {"role": "user", "content": "Hi {a}"},
  {"role": "assistant", "content": "Hello", "version": "support@3", "model": "m"},
  {"role": "user", "content": [{"type": "text", "text": "Bye"}]},
  {"role": "assistant", "content": "Bye"}
]}"""


def test_a_saved_conversation_is_sent_up_to_the_last_message_of_the_user() -> None:
    [case] = parse("- conversation: a.json", a=CONVERSATION).cases
    assert case.messages == (
        {"role": "user", "content": "Hi {a}"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": [{"type": "text", "text": "Bye"}]},
    )


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "conversation: a.json:1: not JSON: Expecting property name enclosed in double quotes"),
        ("[]", "conversation: a.json is not a saved conversation: it has no list of messages"),
        ('{"messages": []}', "conversation: a.json is not a saved conversation: it has no list of messages"),
        ('{"messages": ["a"]}', "conversation: a.json is not a saved conversation: it has no list of messages"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "conversation: a.json has no message of the user"),
        ('{"messages": [{"role": "system", "content": "a"}]}', "messages[0] has the role 'system': use user or assistant"),
        ('{"messages": [{"role": "user"}]}', "messages[0] has no content"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_a_saved_conversation(content: str, reason: str) -> None:
    problems: list[str] = []
    test_files.parse(b"- conversation: a.json", "p/tests.yaml", problems, lambda _: content.encode())
    assert problems == [f"p/tests.yaml: case 1: {reason}"]


def test_a_conversation_that_cannot_be_read() -> None:
    assert parse_problems("- conversation: a.json") == ["case 1: conversation: a.json: No such file or directory"]


# An integer that no float can be.
HUGE = "1" + "0" * 400
INVALID: list[tuple[str, str]] = [
    ("", "has no cases: write them under tests, or remove the file"),
    ("# a comment\n", "has no cases: write them under tests, or remove the file"),
    ("[]", "has no list of cases: write them under tests"),
    ("judge: a", "has no list of cases: write them under tests"),
    ("tests: []", "has no list of cases: write them under tests"),
    ("a text", "tests must be a list of cases: the files that promptfoo would read are not read"),
    ("- a", "case 1: must be a mapping"),
    ("- {message: a, message: b}", ":1: the key 'message' appears twice"),
    ("- &a {message: a}\n- *a", ":1: aliases are not allowed"),
    ("- message: 1.10", ":1: 1.10 is read as 1.1: write \"1.10\" in quotes, or 1.1 without quotes"),
    ("- message: [", ":2: "),
    ("- message: !!binary aGk=", ":1: the tag !!binary is not allowed"),
    ("- {mesage: a}", "case 1: unknown key 'mesage': did you mean 'message'? The keys are description, vars, assert, "),
    ("test: []", "unknown key 'test': did you mean 'tests'? The keys are tests, judge, repeat, margin, defaultTest"),
    ("- {message: ''}", "case 1: message must be a text, not ''"),
    ("- {message: a, conversation: b}", "case 1: has message and conversation: keep one of them"),
    ("- {messages: a}", "case 1: messages is a text, not a list"),
    ("- {messages: [{role: system, content: a}]}", "case 1: messages[0] has the role 'system': use user or assistant"),
    ("- {threshold: 1.5}", "case 1: threshold must be a number from 0 to 1, not 1.5"),
    ("- {threshold: !!float '.nan'}", "case 1: threshold must be a number from 0 to 1, not nan"),
    ("- {threshold: .nan}", ":1: .nan is read as infinity or NaN: write \".nan\" in quotes"),
    (f"- {{threshold: {HUGE}}}", "case 1: threshold must be a number from 0 to 1, not 1000"),
    (f"- {{assert: [{{contains: a, weight: {HUGE}}}]}}", "case 1: assert 1: weight must be a number from 0, not 1000"),
    (f"- {{assert: [{{latency: {HUGE}}}]}}", "case 1: assert 1: threshold must be a number from 0, not 1000"),
    ("- {threshold: true}", "case 1: threshold must be a number from 0 to 1, not true"),
    ("- {repeat: 0}", "case 1: repeat must be a number from 1 to 100, not 0"),
    ("- {repeat: 2.5}", "case 1: repeat must be a number from 1 to 100, not 2.5"),
    ("- {critical: 'yes'}", "case 1: critical must be true or false, not 'yes'"),
    ("- {group: ''}", "case 1: group must be a text, not ''"),
    ("- {judge: a b}", 'case 1: judge: "a b" cannot name a prompt'),
    ("- {judge: a@0}", "case 1: judge: "),
    ("{margin: 5, tests: [{}]}", "margin must be percentage points such as 5pt, not 5"),
    ("{margin: 0pt, tests: [{}]}", "margin must be percentage points such as 5pt, not '0pt'"),
    ("- {vars: [a]}", "case 1: vars must be a mapping of variables to values, not ['a']"),
    ("- {vars: {a: null}}", 'case 1: vars: a has no value: write "" for an empty text'),
    ("- {vars: {a: []}}", "case 1: vars: a is an empty list"),
    ("- {vars: {1: a}}", ':1: a key must be a text: write "1" in quotes'),
    ("- {description: 'two\n\n    lines', repeat: 0}", "case 1 (two lines): repeat must be"),
    ("- {assert: [contains]}", "case 1: assert 1 must be a mapping such as contains: 30 days, not 'contains'"),
    ("- {assert: {contains: a}}", "case 1: assert must be a list of assertions, not {'contains': 'a'}"),
    ("- {assert: [{value: a}]}", "case 1: assert 1 has no type: the types are equals, contains, "),
    ("- {assert: [{contains: a, icontains: b}]}", "case 1: assert 1 has no type: the types are equals, contains, "),
    ("- {assert: [{type: 1}]}", "case 1: assert 1: type must be a text, not 1"),
    ("- {assert: [{type: contains, value: a, wieght: 1}]}", "case 1: assert 1: unknown key 'wieght': did you mean 'weight'?"),
    ("- {assert: [{contains: a, weight: -1}]}", "case 1: assert 1: weight must be a number from 0, not -1"),
    ("- {assert: [{contains: a, weight: !!float '.inf'}]}", "case 1: assert 1: weight must be a number from 0, not inf"),
    ("- {threshold: 0.5, assert: [{contains: a, weight: 0}]}", "case 1: the weights of its assertions are all 0, so no"),
    ("- {assert: [{regex: '('}]}", "case 1: assert 1: the pattern '(' is not a regular expression"),
    ("- {assert: [{is-json: {$ref: 'http://a'}}]}", "case 1: assert 1: the schema refers to another document, which is"),
    ("- {assert: [{is-json: '{a: ['}]}", "case 1: assert 1: the schema is neither JSON nor YAML: line 2: "),
    ("- {assert: [{contains: '{{a}}'}]}", "case 1: assert 1: '{{a}}' is no variable under vars: only a name in {{ }} is"),
    ("{defaultTest: a, tests: [{}]}", "defaultTest must be a mapping, not 'a'"),
    ("{defaultTest: {options: {}}, tests: [{}]}", "defaultTest: options is not supported"),
    ('- {message: "\\ud800"}', ":1: "),
    ('- {message: "\\0"}', ":1: "),
    ("<<<<<<< a\n- {message: a}\n=======\n>>>>>>> b", "has an unresolved merge conflict, on line 1"),
]  # fmt: skip


@pytest.mark.parametrize(("yaml", "reason"), INVALID)
def test_an_invalid_file(yaml: str, reason: str) -> None:
    assert [problem for problem in parse_problems(yaml) if problem.startswith(reason)] != []


def test_bytes_that_are_not_utf_8() -> None:
    assert parse_problems(b"- message: \xff") == [":1: not UTF-8: byte 11"]


def test_a_file_of_10_mb_is_refused_before_it_is_parsed() -> None:
    began = time.monotonic()
    assert parse_problems("- message: a\n" * 800_000) == ["has 10400000 bytes: at most 4000000 are allowed"]
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(
    "yaml", ["- vars: " + "[" * 5000, "- vars:\n" + "".join(" " * n + "a:\n" for n in range(2, 300))]
)
def test_deep_nesting(yaml: str) -> None:
    assert parse_problems(yaml)[0].endswith(": nested more than 90 deep")


def test_too_many_cases() -> None:
    assert parse_problems("- {}\n" * 10_001) == ["has more than 10000 cases"]
    values = ", ".join(map(str, range(101)))
    assert parse_problems(f"- vars: {{a: [{values}], b: [{values}]}}") == [
        "case 1: its values make more than 10000 cases"
    ]


def test_every_problem_is_reported_up_to_50() -> None:
    problems = parse_problems("- {repeat: 0}\n" * 60)
    assert problems[:2] == [f"case {n}: repeat must be a number from 1 to 100, not 0" for n in (1, 2)]
    assert problems[49:] == ["case 50: repeat must be a number from 1 to 100, not 0", "has 10 more problems"]


def combine(*files: str) -> tuple[Any, list[str]]:
    problems: list[str] = []
    parsed = {f"p/tests/{n}.yaml": parse(yaml) for n, yaml in enumerate(files, 1)}
    return test_files.combined(parsed, problems), problems


def test_files_are_combined() -> None:
    file, problems = combine("margin: 5pt\ntests: [{message: a}]", "- message: b", "margin: 5pt\ntests: [{message: c}]")
    assert problems == []
    assert (file.margin, [case.title for case in file.cases]) == (0.05, ["a", "b", "c"])


def test_files_that_cannot_be_combined() -> None:
    assert combine("margin: 5pt\ntests: [{message: a}]", "margin: 4pt\ntests: [{message: b}]")[1] == [
        "p/tests/2.yaml: has another margin than the files before it"
    ]
    assert combine("- message: a\n- message: b", "- message: b")[1] == [
        "p/tests/2.yaml: case 1 equals case 2 of p/tests/1.yaml: use repeat for more replies"
    ]
    # The judge makes them different cases.
    assert combine("- message: a", "judge: b\ntests: [{message: a}]")[1] == []
