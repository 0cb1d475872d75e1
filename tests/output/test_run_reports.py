"""Runs of tests as Markdown, as JUnit XML and as a page for a browser: sizes, escapes and what they contain."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from promptctl.evaluation.results import FailedCheck
from promptctl.output import junit, test_markdown, test_page
from promptctl.output.test_page import CaseReplies
from promptctl.rules.test_cases import Case
from tests.output.run_examples import BROKEN, SLOWER, UNANSWERED, UNDECIDED, a_run, case, reply

HOSTILE = "</script><script>alert(1)</script> ]]> & \" ' \x00\x1b\ufffe \ud800 @everyone | `x` ``` ````"
LARGE = [
    case(
        f"Case {number}", (10, 10), (0, 10), is_changed=True, verdict="worse",
        failed_checks=[FailedCheck("equals", HOSTILE * 20, 10)],
        example_baseline=reply(f"old {number} " * 3000), example_new=reply(HOSTILE * 300),
    )
    for number in range(300)
]  # fmt: skip


def test_markdown_has_the_verdict_the_cases_and_folded_replies() -> None:
    text = test_markdown.text([a_run(BROKEN, SLOWER, case("Hello"))], ["1 prompt has no test cases"])
    assert text.startswith("<!-- promptctl test -->\n### promptctl test\n")
    assert "| ❌ **worse** | `support@3 against support@2` | claude-haiku-5-5 | -25.0 | $0.0123 |" in text
    assert "| Refund after a month | 30/30 | 0/10 | worse |" in text
    assert "Hello" not in text
    assert "\n-You can return the order within 30 days" in text
    assert "1 prompt has no test cases" in text


def test_markdown_is_below_60_kb_whatever_the_replies_are() -> None:
    hostile = list(LARGE)
    text = test_markdown.text([a_run(*hostile), a_run(*hostile)])
    assert len(text.encode("utf-8", "surrogatepass")) < 60_000
    assert re.search(r"\d+ more parts are left out", text)
    assert "<script>" not in re.sub(r"(`{3,})diff.*?\1", "", text, flags=re.DOTALL)


def test_junit_counts_failures_errors_and_skipped_tests() -> None:
    critical = case("Critical", (10, 10), (2, 3), case=Case("Critical", is_critical=True))
    text = junit.text(
        [a_run(BROKEN, SLOWER, UNANSWERED, critical), a_run(case("a", (0, 0), (2, 3)), verdict=UNDECIDED)]
    )
    root = ElementTree.fromstring(text)
    first, second = root.findall("testsuite")
    assert [first.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["5", "3", "1", "0"]
    assert [second.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["2", "1", "0", "1"]
    assert [root.get(key) for key in ("tests", "failures", "errors", "skipped")] == ["7", "4", "1", "1"]
    for suite in (first, second):
        for tag in ("failure", "error", "skipped"):
            plural = tag if tag == "skipped" else f"{tag}s"
            assert len(suite.findall(f"testcase/{tag}")) == int(suite.get(plural) or "0")
    [failure] = first.findall("testcase[@name='Refund after a month']/failure")
    assert failure.get("message") == "0/10 replies pass, of the baseline 30/30"
    assert 'contains "30 days"' in (failure.text or "")


def test_junit_is_valid_for_any_characters_and_sizes() -> None:
    hostile = case(HOSTILE, (10, 10), (0, 10), verdict="worse", example_new=reply(HOSTILE * 100_000))
    text = junit.text([a_run(hostile, notes=(HOSTILE,))])
    assert len(text) < 60_000
    root = ElementTree.fromstring(text.encode("utf-8"))
    [failure] = root.findall("testsuite/testcase/failure[@type='worse']")[:1]
    assert "</script>" in (failure.text or "")
    assert "\x1b" not in text


def test_junit_without_runs_is_valid() -> None:
    assert ElementTree.fromstring(junit.text([])).get("tests") == "0"


class _Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_has_the_matrix_and_every_reply_and_no_script() -> None:
    run = a_run(case("Hello"), BROKEN)
    replies = [
        CaseReplies([reply("Yes.")], [reply("Yes."), reply("Sure.")]),
        CaseReplies([reply("Within 30 days.")], [reply(HOSTILE), reply("", stop_reason="max_tokens")]),
    ]
    text = test_page.text([run], {"42": replies})
    elements = _Elements(text)
    assert elements.open == []
    assert "script" not in elements.tags
    assert not [name for name, _ in elements.attributes if name in ("src", "onclick", "onload")]
    assert elements.tags.count("details") == 4
    assert "no text" in text
    assert "stop reason max_tokens" in text
    assert text.index("Refund after a month") < text.index("Hello")
    assert '<th class="number">support@2</th><th class="number">support@3</th>' in text
    assert "\x1b" not in text


def test_several_runs_are_linked_from_a_table() -> None:
    text = test_page.text([a_run(BROKEN), a_run(case("a"), verdict=UNDECIDED, id="43")], {})
    for place in (1, 2):
        assert f'href="#run{place}"' in text
        assert f'id="run{place}"' in text
    assert "<mark>" in text
