"""Runs of tests as Markdown, as JUnit XML and as a page for a browser: sizes, escapes and what they contain."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from markdown_it import MarkdownIt

from promptctl.evaluation.results import CaseReplies, CheckedReply, FailedCheck, ModelNames, ReplyFault
from promptctl.output import junit, test_markdown, test_page
from promptctl.rules.test_cases import Assertion, Case
from tests.output.run_examples import (
    BROKEN,
    NOT_WORSE,
    SLOWER,
    UNANSWERED,
    UNDECIDED,
    a_run,
    case,
    checked,
    reply,
)

HOSTILE = (
    "</script><script>alert(1)</script></details></code> ]]> & \" ' \x00\x1b\ufffe \ud800 (@everyone) | `x` ``` ````"
    " *b* [a](b) ![i](j) &lt; \\| <!-- -->"
)
LARGE = [
    case(
        f"Case {number}", (10, 10), (0, 10), is_changed=True, verdict="worse",
        failed_checks=[FailedCheck("equals", HOSTILE * 20, 10)],
        example_baseline=reply(f"old {number} " * 3000), example_new=reply(HOSTILE * 300),
    )
    for number in range(1000)
]  # fmt: skip
MODELS = [
    a_run(BROKEN),
    a_run(
        case("Refund after a month"), verdict=NOT_WORSE, id="43",
        models=ModelNames("claude-opus-5.1", ["claude-opus-5.1"]),
    ),
]  # fmt: skip


def test_markdown_has_the_verdict_the_cases_and_folded_replies() -> None:
    text = test_markdown.text([a_run(BROKEN, SLOWER, case("Hello"))], ["1 prompt has no test cases"])
    assert text.startswith("<!-- promptctl test -->\n### promptctl test\n")
    assert (
        "| ❌ **worse** | `support@3 against support@2` | claude-haiku-5-5 | -25.0 points (-40.0 to -10.0) | $0.0123 |"
    ) in text
    assert "| Refund after a month | 30/30 | 0/10 | worse |" in text
    assert "| **all 3 cases** | 68/70 | 9/23 | **worse** |" in text
    assert "Hello" not in text
    assert "\n-You can return the order within 30 days" in text
    assert "1 prompt has no test cases" in text


def test_markdown_is_below_60_kb_whatever_the_replies_are() -> None:
    text = test_markdown.text([a_run(*LARGE), a_run(*LARGE)])
    assert 40_000 < len(text.encode()) < 60_000
    assert text.count("… and 900 more cases that changed.") == 2
    assert re.search(r"\n\d+ more parts are left out because they are too long for this comment.\n$", text)
    # The verdicts and matrices of all runs come before any reply.
    assert text.count("#### ") == text.count("| **all 1,000 cases** |") == 2
    many = test_markdown.text([a_run(BROKEN, id=str(number)) for number in range(150)])
    assert len(many.encode()) < 60_000
    assert "\n… and 50 more runs.\n" in many


def test_markdown_has_texts_as_text() -> None:
    """A renderer finds no element of a reply, a description or a name, and shows them as they are."""
    title = "@me (@you) </details> a|b `c` *d* <i>e</i> a@b.c"
    hostile = case(title, (10, 10), (0, 10), is_changed=True, verdict="worse", example_new=reply(HOSTILE))
    runs = [a_run(hostile, BROKEN, models=ModelNames(model, [model])) for model in ("*m*", "n|n")]
    text = test_markdown.text(runs, [HOSTILE])
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    elements = _Elements(html)
    assert elements.open == []
    assert not {"script", "i", "em", "a", "img"} & set(elements.tags)
    assert elements.tags.count("details") == 4
    assert elements.tags.count("td") == 2 * 5 + 3 * 5
    without_marks = title.replace("@me", "@\u200bme").replace("@you", "@\u200byou")
    assert elements.texts.count(without_marks) == 1
    assert elements.texts.count(f"{title} (*m*)") == 1


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


def test_junit_distinguishes_models() -> None:
    root = ElementTree.fromstring(junit.text(MODELS))
    assert [suite.get("name") for suite in root] == [
        "support@3 against support@2, claude-haiku-5-5",
        "support@3 against support@2, claude-opus-5.1",
    ]
    assert {test.get("classname") for test in root.iter("testcase")} == {
        "support.claude-haiku-5-5",
        "support.claude-opus-5_1",
    }


def test_junit_without_runs_is_valid() -> None:
    assert ElementTree.fromstring(junit.text([])).get("tests") == "0"


class _Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_has_the_matrix_and_every_reply_with_its_checks_and_no_script() -> None:
    judged = CheckedReply(
        reply("Sure."),
        None,
        [ReplyFault("cost 0.1", "cost $1", counts=False)],
        ["llm-rubric (kind): no verdict of a judge is kept"],
        0.5,
    )
    definition = Case(
        HOSTILE, {"plan": HOSTILE}, ({"role": "user", "content": HOSTILE},), (Assertion("equals", value=HOSTILE),)
    )
    hostile = case("", (3, 3), (0, 3), is_changed=True, case=definition)
    run = a_run(case("Hello"), BROKEN, hostile)
    replies = [
        CaseReplies([checked("Yes.")], [checked("Yes."), judged]),
        CaseReplies(
            [checked("Within 30 days.")], [checked(HOSTILE, HOSTILE), checked("", "x", stop_reason="max_tokens")]
        ),
        CaseReplies([], [checked(HOSTILE)]),
    ]
    text = test_page.text([run], {"42": replies})
    elements = _Elements(text)
    assert elements.open == []
    assert not {"script", "img", "link"} & set(elements.tags)
    assert not [name for name, _ in elements.attributes if name in ("src", "onclick", "onload")]
    assert "url(" not in text
    assert "no text" in text
    assert "stop reason max_tokens" in text
    assert text.index("Refund after a month") < text.index("1 case as before") < text.index("Hello")
    assert '<th class="number">support@2</th><th class="number">support@3</th>' in text
    assert "\x1b" not in text
    for words in (
        "2 new replies, 1 of the baseline", "1 new reply", "New, reply 2: fails assertion 1",
        "New, reply 2: not decided",
        "assertion 1: x", "cost 0.1: cost $1 (weight 0: does not count)",
        "llm-rubric (kind): no verdict of a judge is kept", "mean score 0.5", "Input and assertions",
    ):  # fmt: skip
        assert words in elements.texts, words


def test_several_models_are_one_matrix() -> None:
    elements = _Elements(page := test_page.text(MODELS, {}))
    assert elements.tags.count("table") == 2
    assert [value for name, value in elements.attributes if name == "colspan"] == ["2", "2"]
    words = [text for text in elements.texts if text.strip()]
    row = words.index("Refund after a month")
    assert words[row : row + 7] == ["Refund after a month", "30/30", "0/10", "worse", "10/10", "3/3", "All 1 case"]
    assert "-25.0 points (-40.0 to -10.0)" in words
    assert 'data-label="claude-opus-5.1 baseline"' in page
    assert (
        "| case | claude-haiku-5-5<br>`support@2` | claude-haiku-5-5<br>`support@3` "
        "| claude-opus-5.1<br>`support@2` | claude-opus-5.1<br>`support@3` |\n"
        "|---|--:|--:|--:|--:|\n"
        "| Refund after a month | 30/30 | 0/10 worse | 10/10 | 3/3 |\n"
        "| **all 1 case** | 30/30 | 0/10 **worse** | 10/10 | 3/3 **not worse** |\n"
    ) in test_markdown.text(MODELS)


def test_many_models_have_a_row_each() -> None:
    runs = [a_run(BROKEN, id=str(number), models=ModelNames(f"model-{number}", [])) for number in range(5)]
    elements = _Elements(test_page.text(runs, {"0": [CaseReplies([checked("Yes.")], [checked("No.")])]}))
    assert elements.open == []
    assert [value for name, value in elements.attributes if name in ("rowspan", "colspan")] == ["5", "5", "5"]
    words = [text for text in elements.texts if text.strip()]
    row = words.index("Refund after a month")
    assert words[row : row + 6] == ["Refund after a month", "model-0", "30/30", "0/10", "worse", "model-1"]
    assert words[words.index("Case") : words.index("Case") + 5] == ["Case", "Model", "support@2", "support@3", "Result"]


def test_several_runs_are_linked_from_a_table() -> None:
    text = test_page.text(
        [a_run(BROKEN), a_run(case("a"), verdict=UNDECIDED, id="43")],
        {"42": [CaseReplies([checked("One two three.")], [checked("One two four.")])]},
    )
    for place in (1, 2):
        assert f'href="#run{place}"' in text
        assert f'id="run{place}"' in text
    assert "<mark>" in text
