"""Write runs of tests as JUnit XML, which the test reports of CI systems read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax import saxutils

from promptctl.output import test_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.evaluation.results import CaseResult
    from promptctl.output.test_words import Tested

# The characters that XML 1.0 allows (section 2.2) are all but these.
_INVALID = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
# In characters. A report with whole replies could have many megabytes.
_LONGEST_TEXT = 4_000


def text(tests: Sequence[Tested]) -> str:
    """Return one suite for each run, with a test for each case and one for the verdict.

    The suites of one text with several models have the model in their names and in those of their classes.

    A case fails if it is proven worse or is a critical one with a reply that fails, and without a baseline if a reply
    fails. A case without a reply has an error. The test of the verdict fails if the run is worse, and is skipped if it
    is undecided.
    """
    suites = [_suite(tested, has_models=len(group) > 1) for group in test_words.groups(tests) for tested in group]
    totals = [sum(counts) for counts in zip(*[counts for _, counts in suites], strict=True)] or [0, 0, 0, 0]
    seconds = sum(tested.result.seconds for tested in tests)
    body = "".join(suite for suite, _ in suites)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="promptctl test" {_counts(totals)} time="{seconds:.3f}">\n{body}</testsuites>\n'
    )


def _suite(tested: Tested, *, has_models: bool) -> tuple[str, tuple[int, int, int, int]]:
    """Return a suite, and the number of its tests, failures, errors and skipped tests."""
    result = tested.result
    model = result.models.requested if has_models else ""
    class_name = _attribute(result.subject.name.replace("/", ".") + (f".{model.replace('.', '_')}" if model else ""))
    suite_name = _attribute(test_words.heading(tested) + (f", {model}" if model else ""))
    lines: list[str] = []
    failures = errors = skipped = 0
    for case in result.cases:
        problem = _problem(case) if result.id else ""
        failures += problem.startswith("<failure")
        errors += problem.startswith("<error")
        lines.append(_test(class_name, case.case.title, problem))
    word = test_words.verdict_word(result)
    sentence = _attribute(result.verdict.reason)
    verdict = ""
    rates = "\n".join(filter(None, (test_words.pass_rates(result), test_words.change(result))))
    if word == "worse":
        verdict = f'<failure type="worse" message="{sentence}">{_content(rates)}</failure>'
        failures += 1
    elif word == "undecided":
        verdict = f'<skipped message="{sentence}"/>'
        skipped += 1
    lines.append(_test(class_name, "verdict", verdict))
    counts = len(lines), failures, errors, skipped
    output = "\n".join([test_words.verdict(result), *result.notes, rates, test_words.effort(result)])
    suite = (
        f'<testsuite name="{suite_name}" {_counts(counts)} time="{result.seconds:.3f}" '
        f'timestamp="{_attribute(result.started_at[:19])}">\n{"".join(lines)}'
        f"<system-out>{_content(output)}</system-out>\n</testsuite>\n"
    )
    return suite, counts


def _test(class_name: str, name: str, problem: str) -> str:
    return f'<testcase classname="{class_name}" name="{_attribute(name)}">{problem}</testcase>\n'


def _problem(case: CaseResult) -> str:
    """Return the failure or the error of a case, '' if it has none."""
    passes = f"{test_words.share(case.new_passes, case.new_replies)} replies pass"
    if not case.new_replies:
        message = _attribute(f"{test_words.counted(case.errors, 'reply')} missing")
        return f'<error type="{test_words.outcome(case)}" message="{message}"/>' if case.errors else ""
    has_failed = case.new_passes < case.new_replies
    fails = case.verdict == "worse" or (has_failed and (case.case.is_critical or not case.baseline_replies))
    if not fails:
        return ""
    if case.baseline_replies:
        passes += f", of the baseline {test_words.share(case.baseline_passes, case.baseline_replies)}"
    details = [test_words.failed_check(check) for check in case.failed_checks]
    if case.example_new is not None:
        details.append(f"a new reply:\n{case.example_new.text}")
    return (
        f'<failure type="{_attribute(test_words.outcome(case))}" message="{_attribute(passes)}">'
        f"{_content(chr(10).join(details))}</failure>"
    )


def _counts(counts: Sequence[int]) -> str:
    tests, failures, errors, skipped = counts
    return f'tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}"'


def _attribute(text: str) -> str:
    """Return a text for an attribute in double quotes."""
    return saxutils.escape(_valid(text), {'"': "&quot;", "\n": "&#10;", "\t": "&#9;", "\r": "&#13;"})


def _content(text: str) -> str:
    return saxutils.escape(_valid(text), {"\r": "&#13;"})


def _valid(text: str) -> str:
    """Return a text with U+FFFD for each character that XML does not allow, shortened."""
    short = text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"
    return _INVALID.sub("\ufffd", short)
