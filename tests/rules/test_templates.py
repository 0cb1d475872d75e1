"""Templates: what is a variable, what is text, and that nothing that was put in is looked at again."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptctl.rules import template_syntax, templates
from promptctl.rules.templates import MissingValues, Template
from tests.template_texts import TRICKY, texts

# The grammar once more, as docs/files.md has it, in another notation than the code's.
PATH = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
BRACES = re.compile(rf"\{{\{{(?P<literal>{PATH})\}}\}}|(?<![$@#%^])\{{(?P<name>{PATH})\}}")
MUSTACHE = re.compile(rf"\{{\{{\{{[ \t]*(?P<raw>{PATH})[ \t]*\}}\}}\}}|\{{\{{[ \t]*(?P<name>{PATH})[ \t]*\}}\}}")
COMMAND = re.compile(r"\\[A-Za-z]{2,}\*?(\[[^][{}]*\])?\Z")
OPTIONAL = re.compile(r"(\[[^][{}]*\])?\Z")

values = st.dictionaries(st.sampled_from(["a", "b", "a.b", "user.name", "_", "A1_"]), texts, max_size=6)


def by_the_grammar(text: str, style: str, given: dict[str, str]) -> str:
    if style == "braces":
        arguments = latex_arguments(text)

        def replaced(match: re.Match[str]) -> str:
            if match["literal"]:
                return f"{{{match['literal']}}}"
            return match[0] if match.start() in arguments else given[match["name"]]

        return BRACES.sub(replaced, text)
    if style == "mustache":
        return MUSTACHE.sub(lambda m: given[m["raw"] or m["name"]], text)
    return text


def latex_arguments(text: str) -> set[int]:
    """The places of the braces that open an argument of a LaTeX command: one after it, or after another argument."""
    found: set[int] = set()
    ends: set[int] = set()
    opened: list[int] = []
    for place, character in enumerate(text):
        if character == "}" and opened and opened.pop() in found:
            ends.add(place + 1)
        elif character == "{":
            opened.append(place)
            before = OPTIONAL.search(text[:place])
            if COMMAND.search(text[:place]) or (before and before.start() in ends):
                found.add(place)
    return found


@pytest.mark.parametrize("style", template_syntax.STYLES)
@given(text=texts)
@example(text="{{{a}}}{{b}}{a.b}")
def test_a_text_is_read_as_the_grammar_has_it(style: str, text: str) -> None:
    template = Template(text, {"template": style})
    marked = {name: f"<{name}>" for name in template.variables}
    assert template.render(marked) == by_the_grammar(text, style, marked)


@pytest.mark.parametrize("style", template_syntax.STYLES)
def test_texts_that_are_hard_to_read_are_read_as_the_grammar_has_it(style: str) -> None:
    for text in TRICKY:
        template = Template(text, {"template": style})
        marked = {name: f"<{name}>" for name in template.variables}
        assert template.render(marked) == by_the_grammar(text, style, marked), text


@pytest.mark.parametrize("style", template_syntax.STYLES)
@given(text=texts)
def test_a_text_without_variables_passes_byte_for_byte(style: str, text: str) -> None:
    # In braces {{path}} is the one thing that is neither.
    if re.search({"braces": r"\{" + PATH + r"\}", "mustache": r"\{\{[ \t]*" + PATH, "none": "(?!)"}[style], text):
        return
    assert Template(text, {"template": style}).render({"a": "x"}) == text


@given(text=texts, given_values=values)
def test_no_value_is_ever_looked_at_again(text: str, given_values: dict[str, str]) -> None:
    for style in ("braces", "mustache"):
        template = Template(text, {"template": style})
        whole = {name: given_values.get(name, "{a}{{b}}") for name in template.variables}
        # Values stand in the result as they are: put in one by one by place, they make the same text.
        marks = {name: f"\0{place}\0" for place, name in enumerate(template.variables)}
        expected = template.render(marks)
        for name, mark in marks.items():
            expected = "".join(whole[name] if part == mark else part for part in re.split(f"({mark})", expected))
        if not any("\0" in value for value in whole.values()):
            assert template.render(whole) == expected


def test_everything_else_is_text() -> None:
    text = '{} {"a": 1} { x } ${x:1} {x!r} {0} {a-b} {größe} \\frac{1}{2} {{ x }} {{#each}} }{'
    template = Template(text)
    assert template.variables == ()
    assert template.render({}) == text


@pytest.mark.parametrize(
    "text",
    [
        "echo ${HOME} $HOME ${a.b}", "#{user} in Ruby", "git stash drop stash@{n}", "%{count} items", "x^{n}, e^{x}",
        r"\frac{a}{b}", r"\\boxed{answer}", r"\section*{intro}", r"\sqrt[3]{x}", r"\frac{\sqrt{a}}{b}",
        r"\newcommand{x}[2]{y}",
    ],
)  # fmt: skip
def test_braces_of_shells_of_git_and_of_latex_are_text(text: str) -> None:
    template = Template(f"{{name}}: {text}")
    assert template.variables == ("name",)
    assert template.render({"name": "Ada"}) == f"Ada: {text}"
    assert templates.variables(f"{{name}}: {text}", {}) == ("name",)


@pytest.mark.parametrize(
    "text",
    [
        r"Q: {q}\n{c}",
        r"\t{q}{c}",
        "{q}{c}",
        "({q})[{c}]",
        "<{q}>:{c}",
        "'{q}'-{c}",
        r"C:\{q}\{c}",
        "{q}%{c }{c}",
        "{q}[1]{c}",
    ],
)
def test_braces_of_format_strings_are_variables(text: str) -> None:
    assert Template(text).variables == ("q", "c")
    assert templates.variables(text, {}) == ("q", "c")


def test_double_braces_are_an_escape_after_every_character() -> None:
    assert Template(r"${{a}} \boxed{{b}} #{{c}}").render({}) == r"${a} \boxed{b} #{c}"


@given(text=texts)
def test_the_fast_reading_finds_the_same_variables(text: str) -> None:
    assert templates.variables(text, {}) == Template(text).variables


def test_double_braces_stand_for_braces() -> None:
    assert Template("{{user.name}} is {user.name}").render({"user.name": "Ada"}) == "{user.name} is Ada"


def test_mustache_never_escapes_for_html() -> None:
    template = Template("{{a}} {{{a}}} {{ a }} {a} {{#a}}", {"template": "mustache"})
    assert template.render({"a": "<&>"}) == "<&> <&> <&> {a} {{#a}}"


def test_what_is_missing_is_named_all_of_it_in_order() -> None:
    template = Template("{c} {a} {b} {a} {d}", {"variables": {"b": {"default": "B"}, "d": {"required": False}}})
    assert (template.variables, template.required) == (("c", "a", "b", "d"), ("c", "a"))
    with pytest.raises(MissingValues) as missing:
        template.render({"b": "x"})
    assert missing.value.names == ("c", "a")
    assert template.render({"a": "1", "c": "2"}) == "2 1 B 1 "


def test_a_default_is_a_value_like_any_other() -> None:
    template = Template("{a}{b}", {"variables": {"a": {"default": "{b}{{a}}"}}})
    assert template.render({"b": "x"}) == "{b}{{a}}x"
    assert template.render({"a": "", "b": ""}) == ""


def test_values_that_have_no_place_are_passed_over() -> None:
    assert Template("text").render({"gone": "x"}) == "text"
    assert Template("{a}", {"variables": {"b": {"default": "x"}}}).accepted == {"a", "b"}


def test_another_style_is_no_style() -> None:
    with pytest.raises(ValueError, match="no template style 'jinja'"):
        Template("x", {"template": "jinja"})


def test_variables_are_told_in_a_line() -> None:
    described = {
        "b": {"default": "in, two"},
        "c": {"default": ""},
        "d": {"default": "x" * 200},
        "e": {"required": False},
    }
    told = templates.describe(["a", "b", "c", "d", "e"], {"variables": described})
    assert told.startswith('a, b = "in, two", c = "", d = xxx')
    assert told.endswith('…, e = ""')
    assert len(told) < 120
