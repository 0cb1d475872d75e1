"""YAML that means what it looks like: what YAML 1.1 reads otherwise, without quotes, is refused by line."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from yaml.events import CollectionEndEvent, CollectionStartEvent

from promptctl.folder import strict_yaml

# What is written, and what YAML 1.1 makes of it.
MISREAD = {
    **dict.fromkeys(("NO", "no", "No", "off", "Off", "OFF", "FALSE", "False"), "false"),
    **dict.fromkeys(("on", "On", "ON", "yes", "Yes", "YES", "True", "TRUE"), "true"),
    **dict.fromkeys(("~", "Null", "NULL"), "null"),
    **dict.fromkeys(("2026-01-01", "2026-01-01 10:00:00", "2026-01-01T10:00:00Z"), "a date"),
    **dict.fromkeys(("1e3", "1E3", "1e+22", "12e03", "08", "0o17", "-.5", "+.5e3"), "a text"),
    **dict.fromkeys((".inf", "-.INF", ".nan", ".NaN"), "infinity or NaN"),
    "1.10": "1.1", "0.50": "0.5", ".5": "0.5", "09.5": "9.5", "1.": "1.0", "1_000.5": "1000.5", "1.0e+3": "1000.0",
    "190:20:30.15": "685230.15", "010": "8", "0x1F": "31", "0b11": "3", "1_000": "1000", "12:30": "750", "+5": "5",
    "-0": "0",
}  # fmt: skip
PLAIN = {
    "true": True, "false": False, "null": None, "0": 0, "42": 42, "-5": -5, "1.1": 1.1, "-2.5": -2.5, "1.0": 1.0,
    "1.0e+22": 1e22, "y": "y", "n": "n", "none": "none", "1.2.3": "1.2.3", "v2": "v2", "10 %": "10 %",
    "2026-01": "2026-01", "+49 30 123": "+49 30 123", "1,000": "1,000", "e3": "e3", "nan": "nan", "": None,
    "!!str 010": "010", "!!str NO": "NO", '!!float "1.10"': 1.1,
}  # fmt: skip


@pytest.mark.parametrize("place", ["a: b\nx: {}\n", "- a\n- {}\n", "a: b\nx: [{}, 1]\n", "a: b\n{}: x\n"])
def test_a_misleading_value_is_refused_by_line_with_the_quoted_form(place: str) -> None:
    for written, read_as in MISREAD.items():
        with pytest.raises(strict_yaml.Malformed) as caught:
            strict_yaml.load(place.replace("{}", written).encode())
        assert caught.value.line == 2
        assert caught.value.what.startswith(f'{written} is read as {read_as}: write "{written}" in quotes')
        for quoted in (f'"{written}"', f"'{written}'"):
            strict_yaml.load(place.replace("{}", quoted).encode())


def test_an_unambiguous_value_is_accepted() -> None:
    for written, value in PLAIN.items():
        assert strict_yaml.load(f"x: {written}".encode()) == {"x": value}
    # And the other form that the message names is the value that was read.
    for written, read_as in MISREAD.items():
        with pytest.raises(strict_yaml.Malformed) as caught:
            strict_yaml.load(f"x: {written}".encode())
        _, comma, other = caught.value.what.partition(", or ")
        if comma:
            found = strict_yaml.load(f"x: {other.removesuffix(' without quotes')}".encode())["x"]
            assert isinstance(found, (bool, int, float))
            assert read_as in ("a text", str(found).lower())


@pytest.mark.parametrize("written", ["=", "<<"])
def test_special_values_of_yaml_are_refused(written: str) -> None:
    with pytest.raises(
        strict_yaml.Malformed, match=f'1: {written} has a special meaning in YAML: write "{written}" in quotes'
    ):
        strict_yaml.load(f"- {written}".encode())


def test_a_long_number_is_shortened_in_the_message() -> None:
    with pytest.raises(strict_yaml.Malformed) as caught:
        strict_yaml.load(b"x: 0" + b"1" * 1000)
    assert len(caught.value.what) < 200


# Pieces of YAML, with all line ends.
PIECES = (
    "- ", "a: ", "? ", "\n", "\n ", "\n  ", "b", "[", "]", "{", "}", ",", "!!seq ", "&x ", "-\n", "a:\n", ": ", "\r",
    "\t", "\x85", "\u2028", "\ufeff", "'", '"', "|\n", "---\n", "- - ", "a:\n- ",
)  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=25))
def test_the_levels_of_a_text_are_never_underestimated(pieces: list[str]) -> None:
    text = "".join(pieces)
    levels = deepest = 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
            levels += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            deepest = max(deepest, levels)
    except yaml.YAMLError:
        pass
    assert deepest <= strict_yaml.most_levels(text)


@pytest.mark.parametrize("start", ["", "a: 1\n", "a: 1\r", "a: 1\x85", "# x\u2028", "\ufeff", "a:\n  - b\n  "])
@pytest.mark.parametrize("level", ["- ", "? ", "[", "{a: "])
def test_deep_nesting_is_refused_after_any_line_end(start: str, level: str) -> None:
    with pytest.raises(strict_yaml.Malformed):
        strict_yaml.load((start + level * 100_000).encode())
