"""Templates: which braces are variables, and that values are inserted without being expanded again."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptctl.rules import template_syntax, templates
from promptctl.rules.templates import MissingValues, Template
from tests.template_texts import TRICKY, texts

# The grammar of docs/files.md as regular expressions, independent of the code.
PATH = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
BRACES = re.compile(rf"\{{\{{(?P<literal>{PATH})\}}\}}|(?<![$@#%^])\{{(?P<name>{PATH})\}}")
MUSTACHE = re.compile(rf"\{{\{{\{{[ \t]*(?P<raw>{PATH})[ \t]*\}}\}}\}}|\{{\{{[ \t]*(?P<name>{PATH})[ \t]*\}}\}}")
COMMAND = re.compile(r"\\[A-Za-z]{2,}\*?(\[[^][{}]*\])?\Z")
OPTIONAL = re.compile(r"(\[[^][{}]*\])?\Z")

values = st.dictionaries(st.sampled_from(["a", "b", "a.b", "user.name", "_", "A1_"]), texts, max_size=6)


def render_by_grammar(text: str, style: str, values: dict[str, str]) -> str:
    if style == "braces":
        arguments = latex_arguments(text)

        def replacement(match: re.Match[str]) -> str:
            if match["literal"]:
                return f"{{{match['literal']}}}"
            return match[0] if match.start() in arguments else values[match["name"]]

        return BRACES.sub(replacement, text)
    if style == "mustache":
        return MUSTACHE.sub(lambda m: values[m["raw"] or m["name"]], text)
    return text


def latex_arguments(text: str) -> set[int]:
    """Return the positions of the braces that open an argument of a LaTeX command."""
    arguments: set[int] = set()
    ends: set[int] = set()
    open_braces: list[int] = []
    for position, character in enumerate(text):
        if character == "}" and open_braces and open_braces.pop() in arguments:
            ends.add(position + 1)
        elif character == "{":
            open_braces.append(position)
            optional = OPTIONAL.search(text[:position])
            if COMMAND.search(text[:position]) or (optional and optional.start() in ends):
                arguments.add(position)
    return arguments


@pytest.mark.parametrize("style", template_syntax.STYLES)
@given(text=texts)
@example(text="{{{a}}}{{b}}{a.b}")
def test_a_random_text_is_rendered_according_to_the_grammar(style: str, text: str) -> None:
    template = Template(text, {"template": style})
    marked = {name: f"<{name}>" for name in template.variables}
    assert template.render(marked) == render_by_grammar(text, style, marked)


@pytest.mark.parametrize("style", template_syntax.STYLES)
def test_tricky_texts_are_rendered_according_to_the_grammar(style: str) -> None:
    for text in TRICKY:
        template = Template(text, {"template": style})
        marked = {name: f"<{name}>" for name in template.variables}
        assert template.render(marked) == render_by_grammar(text, style, marked), text


@pytest.mark.parametrize("style", template_syntax.STYLES)
@given(text=texts)
def test_a_text_without_variables_is_rendered_unchanged(style: str, text: str) -> None:
    # In the style `braces`, {{path}} is an escape and changes although it is not a variable.
    if re.search({"braces": r"\{" + PATH + r"\}", "mustache": r"\{\{[ \t]*" + PATH, "none": "(?!)"}[style], text):
        return
    assert Template(text, {"template": style}).render({"a": "x"}) == text


@given(text=texts, some_values=values)
def test_braces_in_a_value_are_not_expanded(text: str, some_values: dict[str, str]) -> None:
    for style in ("braces", "mustache"):
        template = Template(text, {"template": style})
        all_values = {name: some_values.get(name, "{a}{{b}}") for name in template.variables}
        # Insert the values by position into a rendering with markers: the result must be the same text.
        marks = {name: f"\0{number}\0" for number, name in enumerate(template.variables)}
        expected = template.render(marks)
        for name, mark in marks.items():
            expected = "".join(all_values[name] if part == mark else part for part in re.split(f"({mark})", expected))
        if not any("\0" in value for value in all_values.values()):
            assert template.render(all_values) == expected


def test_braces_around_anything_but_a_path_are_text() -> None:
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
def test_braces_of_shell_git_and_latex_syntax_are_text(text: str) -> None:
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


def test_double_braces_are_an_escape_after_any_character() -> None:
    assert Template(r"${{a}} \boxed{{b}} #{{c}}").render({}) == r"${a} \boxed{b} #{c}"


@given(text=texts)
def test_the_fast_parser_finds_the_same_variables(text: str) -> None:
    assert templates.variables(text, {}) == Template(text).variables


def test_double_braces_are_rendered_as_single_braces() -> None:
    assert Template("{{user.name}} is {user.name}").render({"user.name": "Ada"}) == "{user.name} is Ada"


def test_mustache_never_escapes_for_html() -> None:
    template = Template("{{a}} {{{a}}} {{ a }} {a} {{#a}}", {"template": "mustache"})
    assert template.render({"a": "<&>"}) == "<&> <&> <&> {a} {{#a}}"


def test_all_missing_values_are_named_in_order() -> None:
    template = Template("{c} {a} {b} {a} {d}", {"variables": {"b": {"default": "B"}, "d": {"required": False}}})
    assert (template.variables, template.required) == (("c", "a", "b", "d"), ("c", "a"))
    with pytest.raises(MissingValues) as missing:
        template.render({"b": "x"})
    assert missing.value.names == ("c", "a")
    assert template.render({"a": "1", "c": "2"}) == "2 1 B 1 "


def test_a_default_is_inserted_like_any_other_value() -> None:
    template = Template("{a}{b}", {"variables": {"a": {"default": "{b}{{a}}"}}})
    assert template.render({"b": "x"}) == "{b}{{a}}x"
    assert template.render({"a": "", "b": ""}) == ""


def test_values_without_a_variable_are_ignored() -> None:
    assert Template("text").render({"gone": "x"}) == "text"
    assert Template("{a}", {"variables": {"b": {"default": "x"}}}).accepted == {"a", "b"}


def test_an_unknown_template_style_is_refused() -> None:
    with pytest.raises(ValueError, match="no template style 'jinja'"):
        Template("x", {"template": "jinja"})


def test_variables_are_described_on_one_line() -> None:
    variables = {
        "b": {"default": "in, two"},
        "c": {"default": ""},
        "d": {"default": "x" * 200},
        "e": {"required": False},
    }
    description = templates.describe(["a", "b", "c", "d", "e"], {"variables": variables})
    assert description.startswith('a, b = "in, two", c = "", d = xxx')
    assert description.endswith('…, e = ""')
    assert len(description) < 120
