"""docs/tests.md: the tables of verdicts are made from the figures of benchmarks/verdicts.py."""

from __future__ import annotations

import json
import math
import os
import re
from typing import Any

from promptctl.rules import test_verdicts
from tests.conftest import ROOT
from tests.rules.simulated_runs import LOOKED_AT, LOOKS

PAGE = ROOT / "docs" / "tests.md"
TABLE: dict[str, Any] = json.loads((ROOT / "benchmarks" / "verdicts.json").read_text(encoding="utf-8"))
IS_CHANGED_BY_CASE = "change by up to"


def keep(text: str) -> None:
    """Compare the page with what it should be; UPDATE_SNAPSHOTS=1 writes it."""
    if os.environ.get("UPDATE_SNAPSHOTS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text


def percent(rate: float) -> str:
    return f"{rate * 100:.1f}%"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return (
        "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        .replace("| --- | --: ", "|---|--:")
        .replace("| --: ", "|--:")
    )


def verdicts() -> str:
    words = ["worse", "not worse", "undecided", "better"]
    rows = [
        [name, *(percent(row[word]) for word in words), f"{row['calls']:.1f}"]
        for name, row in TABLE["scenarios"].items()
        if IS_CHANGED_BY_CASE not in name
    ]
    return table(["", *words, "calls"], rows)


def intervals() -> str:
    names = ["same text, 50 cases", "10 points worse, 50 cases"]
    names += [name for name in TABLE["scenarios"] if IS_CHANGED_BY_CASE in name]
    names += ["same text, 50 cases, days of 1 point", "same text, 50 cases, days of 2 points"]
    rows = [
        [name, percent(1 - TABLE["scenarios"][name]["interval"]), percent(1 - TABLE["scenarios"][name]["lower end"])]
        for name in names
    ]
    return table(["", "outside", "below"], rows)


def looks() -> str:
    rows = [
        [f"{name}: {LOOKED_AT[name]}", *(percent(rate) for rate in rates)]
        for name, rates in TABLE["looks"]["wrong"].items()
    ]
    return table(["", *map(str, LOOKS)], rows)


def simpler_rules() -> str:
    rows = [[name, percent(false), percent(found)] for name, (false, found) in TABLE["simpler rules"].items()]
    return table(["a run fails with", "the same text", "one case from 98% to 2%"], rows)


def test_the_tables_of_the_page_have_the_measured_figures() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for mark, rows in (
        ("verdicts", verdicts()),
        ("intervals", intervals()),
        ("looks", looks()),
        ("simpler rules", simpler_rules()),
    ):
        assert text.count(f"<!-- {mark} -->") == 1
        place = re.compile(rf"(<!-- {mark} -->\n\n)(\|.*?\n\n)?", flags=re.S)
        text = place.sub(lambda match, rows=rows: f"{match[1]}{rows}\n\n", text)
    text = re.sub(r"Each row has (RUNS|[\d ]+) runs", f"Each row has {TABLE['runs']:,} runs".replace(",", " "), text)
    errors = [f"{100 * math.sqrt(rate * (1 - rate) / TABLE['runs']):.1f}" for rate in (0.5, 0.015)]
    text = re.sub(
        r"error of a rate is at most [\d.]+ points, and that of 1.5% is [\d.]+ points",
        f"error of a rate is at most {errors[0]} points, and that of 1.5% is {errors[1]} points",
        text,
    )
    assert f"and that of 1.5% is {errors[1]} points" in text
    highest = max(rate for rates in TABLE["looks"]["wrong"].values() for rate in rates)
    error = 100 * math.sqrt(highest * (1 - highest) / TABLE["looks"]["runs"])
    text = re.sub(
        r"in (\d+) runs of each row, with a standard error of at most [\d.]+ points",
        f"in {TABLE['looks']['runs']} runs of each row, with a standard error of at most {error:.1f} points",
        text,
    )
    keep(text)


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    first, second = test_verdicts.SUSPICIOUS
    assert f"p-value is at most {first} after the first stage" in text
    assert f"with at most {second} it gets twenty more" in text
    shares = test_verdicts.STAGE_SHARES
    assert f"divided by {shares[0]}, {shares[1]} and {shares[2]}" in text
    assert f"at most {test_verdicts.SUSPICIOUS_IN_ALL} without the case" in text
    assert test_verdicts.LOOK_SHARES == (0.4, 0.4)
    assert "Each of the two looks has an error of 1%" in text
    assert (test_verdicts.FIRST_STAGE, test_verdicts.SECOND_STAGE, test_verdicts.THIRD_STAGE) == (3, 7, 20)
    assert (test_verdicts.ERROR, test_verdicts.DEFAULT_MARGIN, test_verdicts.INTERVAL_ERROR) == (0.05, 0.05, 0.05)
