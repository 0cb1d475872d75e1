"""Writing prompt.yaml: readable, and parsed back to exactly the same values, or refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from promptctl.folder import prompt_yaml, prompt_yaml_writer
from promptctl.folder.prompt_yaml import VersionYaml
from promptctl.folder.prompt_yaml_writer import Inexpressible

if TYPE_CHECKING:
    from collections.abc import Mapping


def version_with_metadata(**metadata: Any) -> dict[int, VersionYaml]:
    return {1: VersionYaml(None, {}, metadata)}


def write_and_parse(
    versions: Mapping[int, VersionYaml], active: int | None = None, route: list[dict[str, Any]] | None = None
) -> str:
    """Write prompt.yaml and check that it is parsed back to the same values."""
    text = prompt_yaml_writer.text(versions, active=active, route=route)
    problems: list[str] = []
    prompt = prompt_yaml.parse(text.encode(), "p", problems)
    assert problems == []
    assert as_json([prompt.active, prompt.route]) == as_json([active, route])
    assert prompt.versions.keys() <= versions.keys()
    for number, version in versions.items():
        assert as_json(list(prompt.of(number))) == as_json(list(version)), number
    return text


def as_json(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def refusal(
    versions: Mapping[int, VersionYaml], active: int | None = None, route: list[dict[str, Any]] | None = None
) -> str:
    with pytest.raises(Inexpressible) as caught:
        prompt_yaml_writer.text(versions, active=active, route=route)
    assert str(caught.value) == caught.value.what
    return caught.value.what


def test_an_empty_content_is_an_empty_text() -> None:
    nothing = VersionYaml(None, {}, {})
    assert write_and_parse({}) == write_and_parse({1: nothing, 7: nothing}) == ""


def test_a_prompt_is_written_in_readable_yaml() -> None:
    variables = {"user.name": {"required": True}, "task.type": {"default": "general questions"}}
    shared = {"max_tokens": 4096, "variables": variables, "template": "braces"}
    versions = {
        2: VersionYaml(
            "user@example.com",
            {**shared, "model": "claude-sonnet-5-5"},
            {"experiment": "conciseness_test", "description": "More concise"},
        ),
        1: VersionYaml(None, {**shared, "model": "claude-3"}, {"description": "Erster Entwurf für Käthe 😀"}),
        10: VersionYaml(None, {**shared, "model": "claude-sonnet-5-5"}, {}),
    }
    route = [
        {"use": "enterprise_assistant", "when": {"plan": "enterprise"}},
        {"use": "support/triage@3", "when": {"seats": 12, "beta": True, "name": "yes"}},
    ]
    assert (
        write_and_parse(versions, 2, route)
        == """\
active: 2
template: braces
variables:
  task.type: {default: general questions}
  user.name: {required: true}
model: claude-sonnet-5-5
max_tokens: 4096
versions:
  1: {description: Erster Entwurf für Käthe 😀, model: claude-3}
  2: {description: More concise, author: user@example.com, experiment: conciseness_test}
route:
  - {when: {plan: enterprise}, use: enterprise_assistant}
  - {when: {beta: true, name: 'yes', seats: 12}, use: support/triage@3}
"""
    )


def test_long_texts_and_texts_of_several_lines_have_lines_of_their_own() -> None:
    versions = {
        1: VersionYaml(
            "me",
            {"variables": {"a": {"default": "one\n\n\ttwo: 😀\n"}, "b": {"required": False}}},
            {"description": "It says:\n\n- a\n- b", "z": ["a", {"c": "d\ne\n\n"}], "y": {"b": [], "a": {}}},
        ),
        2: VersionYaml(None, {}, {"description": "long " * 20 + "text"}),
        3: VersionYaml(None, {}, {"description": "x" * 80}),
        4: VersionYaml(None, {}, {"description": "x" * 81}),
    }
    assert (
        write_and_parse(versions, route=[])
        == f"""\
versions:
  1:
    description: |-
      It says:

      - a
      - b
    author: me
    variables:
      a:
        default: |
          one

          \ttwo: 😀
      b: {{required: false}}
    y:
      a: {{}}
      b: []
    z:
      - a
      - c: |+
          d
          e

  2:
    description: {"long " * 20}text
  3: {{description: {"x" * 80}}}
  4:
    description: {"x" * 81}
route: []
"""
    )


def test_shared_keys_are_written_once() -> None:
    one = VersionYaml(None, {"model": "m"}, {"description": "Same"})
    two = VersionYaml(None, {"model": "m", "max_tokens": 2}, {"description": "Same"})
    assert write_and_parse({1: one, 2: two}) == "description: Same\nmodel: m\nversions:\n  2: {max_tokens: 2}\n"
    # One version's description is not that of the next one.
    assert write_and_parse({1: one}) == "model: m\nversions:\n  1: {description: Same}\n"
    without = VersionYaml(None, {}, {})
    assert write_and_parse({1: two, 2: without}) == "versions:\n  1: {description: Same, model: m, max_tokens: 2}\n"
    assert write_and_parse({1: without}, 1) == "active: 1\n"


def test_metadata_with_reserved_keys_is_written_apart() -> None:
    metadata = {"author": "them", "model": {"a": None}, "metadata": [1], "max_tokens": 1.0, "team": "x", "route": 1}
    assert write_and_parse({1: VersionYaml("me", {}, {**metadata, "description": 3})}) == (
        "versions:\n"
        "  1:\n"
        "    author: me\n"
        "    route: 1\n"
        "    team: x\n"
        "    metadata:\n"
        "      author: them\n"
        "      description: 3\n"
        "      max_tokens: 1.0\n"
        "      metadata:\n"
        "        - 1\n"
        "      model:\n"
        "        a: null\n"
    )
    for description in (None, "", " \n", True, ["x"]):
        assert "metadata:" in write_and_parse(version_with_metadata(description=description))


def test_the_order_of_the_input_does_not_matter() -> None:
    one, two = version_with_metadata(a=1, b={"c": 1, "d": 2})[1], VersionYaml(None, {"model": "m", "max_tokens": 1}, {})
    again, once_more = (
        version_with_metadata(b={"d": 2, "c": 1}, a=1)[1],
        VersionYaml(None, {"max_tokens": 1, "model": "m"}, {}),
    )
    assert write_and_parse({1: one, 2: two}) == write_and_parse({2: once_more, 1: again})


TRICKY = [
    "", " ", "\n", "\n\n", " a", "a ", "a\n", "\na", " a\nb", "a\n b", "a \nb", "a\t\nb", "\ta\nb", "a\n\tb", "a\n\n",
    "a\n ", "\n a\n", "a\rb", "a\r\nb", "\r", "a\x85b", "a\u2028b\n", "\u2029", "\ufeff", "\ufeffa\nb", "\x01",
    "\x1b[0m", "\x7f", "\x9f", "\ufffe", "\uffff", "\U0010ffff", "😀\n😀", "yes", "No", "on", "y", "null", "~", "true",
    "1", "010", "0x1F", "1_000", "1:30", "1e5", "1.5", ".inf", ".nan", "-", "- a", "?", "? a", ":", "a:", "a: b",
    "a #b", "#", "<<", "=", "!", "!!str", "&a", "*a", "|", ">", "%a", "@", "`", "{", "}", "{}", "[", "]", ",",
    "a, b", "'", '"', "\\", "\\n", "a\\nb", "---", "...", "--- a\n...\n", "#a\n#b", "2026-11-12",
    "2026-11-12T10:00:00Z", "a" * 127, "a" * 128, "a" * 200, "a b " * 100, "author", "model", "template", "variables",
    "max_tokens", "metadata", "description", "versions", "route", "active", "\u00a0", "\u00a0a\nb", "\u3000", "größe",
]  # fmt: skip


@pytest.mark.parametrize("loader", ["C", "Python"])
def test_difficult_texts_are_parsed_back_in_every_place(loader: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if loader == "Python":
        monkeypatch.delattr(yaml, "CSafeLoader", raising=False)
    for text in TRICKY:
        write_and_parse(version_with_metadata(k=text))
        write_and_parse(version_with_metadata(**{text: text}))
        write_and_parse(version_with_metadata(k={text: [text, {text: text}]}))
        write_and_parse(version_with_metadata(description=text, **{"a" * 90: 1}))
        write_and_parse({1: VersionYaml(None, {"variables": {"a": {"default": text}}}, {})})
        write_and_parse({}, route=[{"when": {text: text}, "use": "a"}])
        if text.strip():
            write_and_parse({1: VersionYaml(text, {"model": text}, {})})
    write_and_parse(version_with_metadata(**{text: text for text in TRICKY}))


characters = st.one_of(
    st.sampled_from("\t\n\r \x01\x1b\x7f\x85\xa0\u2028\u2029\ufeff\ufffe\U0010ffff:#-?{}[],&*!|>'\"%@`\\=<~01aé😀"),
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]),
)
texts = st.one_of(st.sampled_from(TRICKY), st.text(characters, max_size=20))
words = texts.filter(lambda text: bool(text.strip()))
scalars = (
    texts
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**40), max_value=10**40)
    | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
paths = st.lists(st.sampled_from(["a", "b_1", "user", "null", "yes", "_"]), min_size=1, max_size=3).map(".".join)
variables = st.dictionaries(
    paths,
    st.fixed_dictionaries({"required": st.booleans()})
    | st.fixed_dictionaries({}, optional={"default": texts, "required": st.just(value=False)}),
    max_size=3,
)
some_settings = st.fixed_dictionaries(
    {},
    optional={
        "template": st.sampled_from(["braces", "mustache", "none"]),
        "variables": variables,
        "model": words,
        "max_tokens": st.integers(1, 999_999_999),
    },
)
metadata = st.dictionaries(texts, values, max_size=4)
some_versions = st.dictionaries(
    st.integers(1, 12) | st.integers(1, 2147483647),
    st.builds(VersionYaml, st.none() | words, some_settings, metadata),
    max_size=4,
)
routes = st.none() | st.lists(
    st.fixed_dictionaries(
        {
            "when": st.dictionaries(texts, scalars, min_size=1, max_size=3),
            "use": st.sampled_from(["a", "support/triage@3", "a.b-c", "0x10", "1.5", "null", "1e5@1"]),
        }
    ),
    max_size=3,
)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(some_versions, st.none() | st.integers(1, 2147483647), routes)
@example({1: VersionYaml(None, {}, {"a": -0.0, "b": 1e16, "c": 5e-324, "d": 10**400, "e": 1, "f": True})}, None, None)
def test_every_expressible_content_is_parsed_back_exactly(
    versions: dict[int, VersionYaml], active: int | None, route: list[dict[str, Any]] | None
) -> None:
    text = write_and_parse(versions, active, route)
    assert text == prompt_yaml_writer.text(dict(reversed(versions.items())), active=active, route=route)
    assert text == "" or text.endswith("\n")


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("author", "own", "metadata", "what"),
    [
        (" ", {}, {}, "author of @1"),
        ("a\0b", {}, {}, "author of @1"),
        (None, {"temperature": 0.5}, {}, "settings of @1: temperature"),
        (None, {"temperature": 0.5}, {"temperature": 0.5}, "settings of @1: temperature"),
        (None, {"model": "m", "a b": 1}, {}, "settings of @1: a b"),
        (None, {"\x1b": 1}, {}, 'settings of @1: "\\x1b"'),
        (None, {"description": "x"}, {}, "settings of @1: description"),
        (None, {"author": "x"}, {}, "settings of @1: author"),
        (None, {"metadata": {}}, {}, "settings of @1: metadata"),
        (None, {"active": 1}, {}, "settings of @1: active"),
        (None, {"route": []}, {}, "settings of @1: route"),
        (None, {"model": ""}, {}, "settings of @1: model"),
        (None, {"model": None}, {}, "settings of @1: model"),
        (None, {"max_tokens": True}, {}, "settings of @1: max_tokens"),
        (None, {"max_tokens": 1.0}, {}, "settings of @1: max_tokens"),
        (None, {"template": "jinja"}, {}, "settings of @1: template"),
        (None, {"variables": []}, {}, "settings of @1: variables"),
        (None, {"variables": {"a b": {}}}, {}, "settings of @1: variables"),
        (None, {"variables": {"a": {"required": True, "default": ""}}}, {}, "settings of @1: variables"),
        (None, {"variables": {"a": {"default": 1}}}, {}, "settings of @1: variables"),
        (None, {"variables": {"a": 1}}, {}, "settings of @1: variables"),
        (None, {}, {"fine": 1, "x": float("inf")}, "metadata of @1: x"),
        (None, {}, {"x": float("nan")}, "metadata of @1: x"),
        (None, {}, {"x": ["\0"]}, "metadata of @1: x"),
        (None, {}, {"x\0": 1}, 'metadata of @1: "x\\x00"'),
        (None, {}, {"x": "\ud800"}, "metadata of @1: x"),
        (None, {}, {"x": "\ud83d\ude00"}, "metadata of @1: x"),
        (None, {}, {"x": nested(48)}, "metadata of @1: x"),
        (None, {}, {"model": nested(47)}, "metadata of @1: model"),
        (None, {}, {"x": nested(5000)}, "metadata of @1: x"),
        (None, {}, {"x": 10**5000}, "metadata of @1: x"),
        (None, {}, {"x": object()}, "metadata of @1: x"),
    ],
)
def test_an_inexpressible_value_is_named(
    author: str | None, own: dict[str, Any], metadata: dict[str, Any], what: str
) -> None:
    version = VersionYaml(author, own, metadata)
    assert refusal({1: version}) == what
    fine = VersionYaml("me", {"model": "m"}, {"description": "x"})
    assert refusal({2: version, 1: fine}, 1) == what.replace("@1", "@2")


def test_the_deepest_allowed_nesting_can_be_written() -> None:
    write_and_parse(version_with_metadata(x=nested(47), model=nested(46)))


IMPOSSIBLE: list[tuple[int | None, list[dict[str, Any]] | None, str]] = [
    (0, None, "active: 0"),
    (True, None, "active: True"),
    (2147483648, None, "active: 2147483648"),
    (None, [{"when": {"a": 1}, "use": "b"}, {"when": {}, "use": "b"}], "route: entry 2"),
    (None, [{"when": {"a": 1}, "use": "b c"}], "route: entry 1"),
    (None, [{"when": {"a": 1}, "use": "b", "weight": 1}], "route: entry 1"),
    (None, [{"when": {"a": 1}}], "route: entry 1"),
    (None, [{"when": {"a": None}, "use": "b"}], "route: entry 1"),
    (None, [{"when": {"a": 1}, "use": "b"}] * 101, "route"),
]


@pytest.mark.parametrize(("active", "route", "what"), IMPOSSIBLE)
def test_an_inexpressible_activation_or_route_is_named(
    active: int | None, route: list[dict[str, Any]] | None, what: str
) -> None:
    assert refusal(version_with_metadata(description="x"), active, route) == what


# Texts and values. PostgreSQL cannot store some of them.
odd_texts = st.sampled_from(["a", "\0", "a\0b", "\ud800", "b\n", " "])
odd_values = st.recursive(
    odd_texts | st.floats(width=16) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(odd_texts, inner, max_size=2),
    max_leaves=4,
)


def is_valid_jsonb(value: Any) -> bool:
    text = json.dumps(value)
    return not any(sign in text for sign in ("\\u0000", "\\ud800", "NaN", "Infinity"))


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(odd_texts, odd_values, max_size=3), st.none() | odd_texts)
def test_writing_is_refused_exactly_if_a_value_is_inexpressible(metadata: dict[str, Any], author: str | None) -> None:
    versions = {3: VersionYaml(author, {}, metadata)}
    is_author_valid = author is None or (is_valid_jsonb(author) and author != " ")
    invalid_keys = [key for key, value in metadata.items() if not is_valid_jsonb([key, value])]
    if is_author_valid and not invalid_keys:
        write_and_parse(versions)
    elif not is_author_valid:
        assert refusal(versions) == "author of @3"
    else:
        assert refusal(versions).startswith("metadata of @3: ")
