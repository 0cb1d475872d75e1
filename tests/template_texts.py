"""Texts that are hard to parse as a template."""

from __future__ import annotations

from hypothesis import strategies as st

# Characters that look like ASCII letters, digits or blanks: \u0131 is a dotless i, \u212a the sign of Kelvin.
_LOOK_ALIKES = ["\u0131", "\u017f", "\u212a", "\u00aa", "\u0661", "\u00b7", "\u00a0", "\u2028", "\u200b", "\uff21", "é"]

# Parts of templates, and near misses, are frequent.
_pieces = st.sampled_from(
    [
        "{", "}", "{{", "}}", "{{{", "}}}", ".", "..", " ", "\t", "\n", "\r", "a", "b", "_", "9", "a.b", "user.name",
        "A1_", *_LOOK_ALIKES, "😀", "$", "#", "%", "\\", '"', ":", "-", "{a}", "{{a}}", "{ a }", "{{ a }}", "{{{a}}}",
        "{a.b}", "{a.}", "{.a}", "{1}", "{a-b}", "{a!r}", "{a:>9}", '{"a": 1}', "{}", "{#if a}", "${a}",
        "@", "^", "*", "[", "]", "[2]", r"\n", r"\textbf", r"\frac{a}", r"\sqrt[3]", r"\section*",
    ]
)  # fmt: skip
_characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
texts = st.lists(_pieces | st.text(_characters, max_size=4)).map("".join)

TRICKY = [
    "", " ", "{", "}", "{}", "{{", "}}", "{{}}", "{a", "a}", "{a}", "{{a}}", "{{{a}}}", "{{{{a}}}}", "{{{{{a}}}}}",
    "{{a}", "{a}}", "{{{a}}", "{{a}}}", "{a}{b}", "{{a}{b}}", "{{a}}{b}}", "{{a}}{{b}}", "{a}}{{b}", "{{{a}}{b}}}",
    "{ a }", "{a }", "{{ a }}", "{{\ta\t}}", "{{\na}}", "{{a b}}", "{{ {{a}} }}", "{{a} }}{{b}}", "{{a b{{{c}}",
    "{{}}}{{a}}", "{{{ a }}}", "{{{a }}", "{a.b.c}", "{a..b}", "{.a}", "{a.}", "{.}", "{9}", "{a9}", "{9a}", "{a.9}",
    "{_}", "{__a__}", "{a\n}", "{a}{a}{b}{a}", "{b}{a}", "${a}", "${x:1}", '{"a": {"b": "{c}"}}', "{a:b}", "{a!r}",
    "{a[0]}", "{#each a}", "{{#each a}}{{/each}}", "{{> a}}", "{{! a }}", "{{&a}}", "\\{a\\}", r"\frac{a}{b}",
    r"\textbf{a}", r"\\boxed{a}", r"\n{a}", r"\{a}", r"\c{a}",
    r"\frac{1}{b}{c}d{e}", r"\frac{\sqrt{a}}{b}", r"\frac{a_{b}}{c}",
    r"\frac{a} {b}", r"\frac{a}}{b}", r"\frac{{a}}{{b}}", r"\text{x {a}}{b}", r"\section*{a}{b}",
    r"\a*{a}", r"\sqrt[3]{a}",
    r"\sqrt[3]x{a}", r"\sqrt[[3]]{a}", r"\sqrt]{a}", r"\sqrt[{a}]{b}", r"\begin{a}[t]{b}", r"{a}[t]{b}", r"[t]{a} \n",
    r"\größe{a}", r"\frac9{a}", r"\x_y{a}", r"}{a}\x", r"}}}{\ab{a}}{b}", "stash@{a}", "#{a}",
    "%{a}", "x^{a}", "@@{a}", "$ {a}",
    "${{a}}", "${{{a}}}", "${{a}", "$${a}${b}{c}", "\uff04{a}", "#{a}{b}", "{a}${a}",
    "{a},{b}", "{class}", "{None}", "{True}", "{A}{a}", "{a}\u2028{b}", "{{\u00a0a}}",
    *(f"{{{character}}} {{a{character}}} {{{character}a}}" for character in _LOOK_ALIKES),
]  # fmt: skip
