"""Shapes of promptfoo's `tests`: each is imported as it is, or each thing that is not supported is named.

The shapes are those that promptfoo documents; the texts are our own.
"""

# ruff: noqa: E501 - a shape is a line

from __future__ import annotations

import pytest

from promptctl.folder import test_files

# The yaml, and the number of cases that it makes, or what the problems name.
SHAPES: list[tuple[str, int | tuple[str, ...]]] = [
    ("- vars: {name: Ada}", 1),
    ("- vars: {name: Ada}\n- vars: {name: Bob}", 2),
    ("tests:\n- vars: {name: Ada}\n  assert:\n  - type: equals\n    value: Hello Ada", 1),
    ("- description: greets\n  vars: {name: Ada}\n  assert: [{type: contains, value: Ada}]", 1),
    ("- vars: {q: hi}\n  assert:\n  - {type: icontains, value: HELLO}\n  - {type: not-icontains, value: sorry}", 1),
    ("- vars: {q: hi}\n  assert: [{type: not-contains, value: As an AI}]", 1),
    ("- vars: {q: hi}\n  assert: [{type: contains-any, value: [hi, hello]}]", 1),
    ("- vars: {q: hi}\n  assert:\n  - type: contains-all\n    value:\n    - hi\n    - there", 1),
    ("- vars: {q: hi}\n  assert: [{type: contains-any, value: 'hi, hello'}]", 1),
    ("- vars: {q: hi}\n  assert: [{type: starts-with, value: Dear}]", 1),
    ("- vars: {q: hi}\n  assert: [{type: regex, value: '\\d{4}-\\d{2}'}]", 1),
    ("- vars: {q: hi}\n  assert: [{type: not-regex, value: '^sorry'}]", 1),
    ("- vars: {q: hi}\n  assert: [{type: is-json}]", 1),
    ("- assert:\n  - type: is-json\n    value:\n      type: object\n      required: [a]\n      properties: {a: {type: number}}", 1),
    ("- assert:\n  - type: is-json\n    value: |\n      {\"type\": \"object\", \"required\": [\"a\"]}", 1),
    ("- assert:\n  - type: is-json\n    value: |\n      type: object\n      required: [a]", 1),
    ("- assert: [{type: not-is-json}]", 1),
    ("- assert: [{type: latency, threshold: 5000}]", 1),
    ("- assert: [{type: cost, threshold: 0.002}]", 1),
    ("- assert: [{type: not-cost, threshold: 1}]", 1),
    ("- assert: [{type: llm-rubric, value: is polite and names a day}]", 1),
    ("- assert: [{type: llm-rubric, value: is polite, threshold: 0.8}]", 1),
    ("- threshold: 0.5\n  assert:\n  - {type: contains, value: a, weight: 2}\n  - {type: contains, value: b, weight: 1}", 1),
    ("- assert: [{type: contains, value: a, metric: Names}]", 1),
    ("- vars: {language: [French, German], word: [dog, cat, cow]}", 6),
    ("- vars:\n    language:\n    - French\n    - German\n  assert:\n  - {type: contains, value: '{{language}}'}", 2),
    ("defaultTest:\n  assert: [{type: not-contains, value: AI}]\ntests:\n- vars: {q: a}\n- vars: {q: b}", 2),
    ("defaultTest:\n  vars: {tone: kind}\ntests:\n- vars: {q: a}\n- vars: {q: b, tone: curt}", 2),
    ("defaultTest: {threshold: 0.7}\ntests:\n- assert: [{type: contains, value: a}]", 1),
    ("- vars: {a: 1, b: true, c: {d: [1, 2]}}", 1),
    ("- vars:\n    text: |\n      two\n      lines", 1),
    ("- vars: {q: a}\n  assert: [{type: equals, value: {answer: 42}}]", 1),
    ("- vars: {expected: Paris}\n  assert: [{type: contains, value: '{{ expected }}'}]", 1),
    ("- vars: {q: a}\n  assert: []", 1),
    ("- vars: {q: a}\n  options: {}", 1),
    # Not supported, and named.
    ("- assert: [{type: javascript, value: output.length < 10}]", ("javascript",)),
    ("- assert: [{type: python, value: len(output) < 10}, {type: ruby, value: 'true'}]", ("python", "ruby")),
    ("- assert: [{type: similar, value: a, threshold: 0.8}]", ("similar",)),
    ("- assert: [{type: factuality, value: a}, {type: model-graded-closedqa, value: b}]", ("factuality", "model-graded-closedqa")),
    ("- assert: [{type: answer-relevance, threshold: 0.9}]", ("answer-relevance",)),
    ("- assert: [{type: contains-json}, {type: is-xml}, {type: is-sql}]", ("contains-json", "is-xml", "is-sql")),
    ("- assert: [{type: icontains-all, value: [a]}, {type: icontains-any, value: [a]}]", ("icontains-all", "icontains-any")),
    ("- assert: [{type: rouge-n, value: a}, {type: levenshtein, value: a}, {type: bleu, value: a}]", ("rouge-n", "levenshtein", "bleu")),
    ("- assert: [{type: webhook, value: 'https://checks.example'}]", ("webhook",)),
    ("- assert: [{type: is-valid-openai-tools-call}, {type: not-is-refusal}]", ("is-valid-openai-tools-call", "is-refusal")),
    ("- assert: [{type: select-best, value: shortest}, {type: moderation}]", ("select-best", "moderation")),
    ("- assert: [{type: assert-set, assert: [{type: contains, value: a}]}]", ("assert-set",)),
    ("- assert: [{type: llm-rubric, value: a, provider: 'anthropic:messages:x'}]", ("provider",)),
    ("- assert: [{type: llm-rubric, value: a, rubricPrompt: b}]", ("rubricPrompt",)),
    ("- assert: [{type: contains, value: a, transform: output.trim()}]", ("transform",)),
    ("- assert: [{type: contains, value: 'file://expected.txt'}]", ("file://expected.txt",)),
    ("- assert: [{type: is-json, value: 'file://schema.json'}]", ("file://schema.json",)),
    ("- vars: {article: 'file://article.txt'}", ("file://article.txt",)),
    ("- vars: file://vars.yaml", ("file://vars.yaml",)),
    ("tests: file://cases.csv", ("tests must be a list of cases",)),
    ("- file://more.yaml", ("files that promptfoo would read",)),
    ("- assert: file://checks.yaml", ("assert must be a list",)),
    ("- vars: {q: a}\n  options: {transform: output.trim(), prefix: a}", ("transform", "prefix")),
    ("- vars: {q: a}\n  metadata: {team: x}\n  provider: y", ("metadata", "provider")),
    ("- vars: {q: a}\n  assertScoringFunction: file://s.js", ("assertScoringFunction",)),
    ("prompts: [a]\nproviders: [b]\ntests:\n- vars: {q: a}", ("prompts", "providers")),
    ("scenarios:\n- config: []\ntests:\n- vars: {q: a}", ("scenarios",)),
    ("- assert: [{type: contains, value: '{{ name | upper }}'}]", ("{{ name | upper }}",)),
    ("- assert: [{type: contains, value: '{% if a %}b{% endif %}'}]", ("{% if a %}",)),
    ("assertionTemplates:\n  polite: {type: llm-rubric, value: is polite}\ntests:\n- assert:\n  - $ref: '#/assertionTemplates/polite'", ("assertionTemplates", "$ref")),
    ("- assert:\n  - type: javascript\n    value: |\n      const words = output.split(' ');\n      return words.length < 9;", ("javascript", "no code is run")),
    ("defaultTest:\n  options: {provider: 'anthropic:messages:x'}\ntests:\n- vars: {q: a}", ("defaultTest: options",)),
    ("defaultTest: file://default.yaml\ntests:\n- vars: {q: a}", ("file://default.yaml",)),
    ("evaluateOptions: {maxConcurrency: 2}\nenv: {A: b}\ntests:\n- vars: {q: a}", ("evaluateOptions", "'env'")),
    ("tests:\n- file://a.yaml\n- vars: {q: a}", ("case 1: the files that promptfoo would read",)),
    ("- assert: [{type: word-count, value: {max: 9}}, {type: finish-reason, value: stop}]", ("word-count", "finish-reason")),
    ("- assert: [{type: context-recall, value: a, threshold: 0.9}, {type: g-eval, value: is kind}]", ("context-recall", "g-eval")),
]  # fmt: skip


def test_there_are_at_least_50_shapes() -> None:
    assert len({yaml for yaml, _ in SHAPES}) >= 50
    assert len([count for _, count in SHAPES if isinstance(count, int)]) >= 30


@pytest.mark.parametrize(("yaml", "expected"), SHAPES, ids=range(len(SHAPES)))
def test_a_shape_is_imported_or_named(yaml: str, expected: int | tuple[str, ...]) -> None:
    problems: list[str] = []
    file = test_files.parse(yaml.encode(), "p/tests.yaml", problems, _no_file)
    if isinstance(expected, int):
        assert (problems, len(file.cases)) == ([], expected)
    else:
        for name in expected:
            assert [problem for problem in problems if name in problem] != []


def _no_file(name: str) -> bytes:
    raise AssertionError(f"{name} was read")
