"""The cost of rendering a template, against str.format of the same text with the same values.

python benchmarks/templates.py [--turns N]
"""

from __future__ import annotations

import argparse
import timeit
from typing import TYPE_CHECKING

from measure import Report, ratio

from promptctl.rules.templates import Template

if TYPE_CHECKING:
    from collections.abc import Callable

_CHARACTERS = 2000
_WORDS = "Answer the question that was asked, first and in plain words. Then add what the person needs. "


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=21, help="how often each is measured")
    arguments = options.parse_args()
    report = Report()
    report.heading(f"A text of {_CHARACTERS} characters, against str.format")
    for count in (0, 1, 5, 20):
        text = _text(count)
        values = {f"name_{place}": "Ada Lovelace" for place in range(count)}
        template = Template(text)

        def ours(template: Template = template, values: dict[str, str] = values) -> object:
            return template.render(values)

        def formatted(text: str = text, values: dict[str, str] = values) -> object:
            return text.format(**values)

        assert ours() == formatted()
        one, other = _time_in_turn(ours, formatted, arguments.turns)
        value, note = ratio(one, other)
        report.add(f"render with {count} variables / str.format", value, 1.5, note=note)
        report.add(f"render with {count} variables", min(one.values()) * 1e9, unit="ns")
    five = _text(5)
    defaults = dict.fromkeys(_names(5), "Ada Lovelace")
    by_default = Template(five, {"variables": {name: {"default": value} for name, value in defaults.items()}})
    value, note = ratio(*_time_in_turn(lambda: by_default.render({}), lambda: five.format(**defaults), arguments.turns))
    report.add("render with 5 variables, all by default / str.format", value, 1.5, note=note)
    parsing, formatting = _time_in_turn(
        lambda: Template(five), lambda: five.format(**dict.fromkeys(_names(5), "x")), arguments.turns
    )
    value, note = ratio(parsing, formatting)
    report.add("parsing one with 5 variables, once / str.format", value, note=note)
    return report.close()


def _names(count: int) -> list[str]:
    return [f"name_{place}" for place in range(count)]


def _text(count: int) -> str:
    """Return a text with a number of variables, evenly spread."""
    whole = (_WORDS * (_CHARACTERS // len(_WORDS) + 1))[:_CHARACTERS]
    if count == 0:
        return whole
    step = len(whole) // count
    return "".join(f"{whole[place * step : (place + 1) * step]}{{name_{place}}}" for place in range(count))


def _time_in_turn(
    one: Callable[[], object], other: Callable[[], object], turns: int
) -> tuple[dict[int, float], dict[int, float]]:
    """Return the seconds per call of both, measured in turn."""
    number = 5000
    first: dict[int, float] = {}
    second: dict[int, float] = {}
    for turn in range(turns):
        first[turn] = timeit.timeit(one, number=number) / number
        second[turn] = timeit.timeit(other, number=number) / number
    return first, second


if __name__ == "__main__":
    raise SystemExit(main())
