"""docs/rollouts.md: its commands run, and its defaults are those of the database."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

from promptctl.cli.catalogue import COMMANDS
from promptctl.rules import shares
from tests.conftest import ROOT

if TYPE_CHECKING:
    from tests.conftest import Promptctl

PAGE = (ROOT / "docs" / "rollouts.md").read_text(encoding="utf-8")


def test_the_commands_of_the_page_run(promptctl: Promptctl) -> None:
    for text in ("One.", "Two.", "Three."):
        promptctl("create", "support", text)
    promptctl("activate", "support@2")
    lines = re.findall(r"^\$ promptctl (.*)$", PAGE, flags=re.M)
    assert len(lines) == 3
    for line in lines:
        ended = promptctl(*shlex.split(line))
        assert ended.code == 0, ended


def test_the_defaults_of_the_page_are_those_of_the_database(promptctl: Promptctl) -> None:
    for text in ("One.", "Two."):
        promptctl("create", "support", text)
    promptctl("activate", "support@1")
    plan = json.loads(promptctl("rollout", "start", "support@2", "--dry-run", "--json").out)
    defaults = dict(re.findall(r"^\| `(--[a-z-]+)` \| `([^`]+)` \|", PAGE, flags=re.M))
    assert defaults == {
        "--steps": ",".join(map(shares.percent, plan["steps"])),
        "--hold": f"{plan['hold_seconds'] / 3600:.0f}h",
        "--uses": str(plan["least_uses"]),
        "--patience": f"{plan['patience_seconds'] / 86400:.0f}d",
        "--in-doubt": plan["in_doubt"],
    }
    tolerances = {guard["metric"]: guard["tolerance"] for guard in plan["guards"]}
    assert "errors +1 point; time +15%" in " ".join(PAGE.split())
    assert (tolerances["errors"], round(tolerances["time"], 4)) == (0.01, 0.15)
    named = set(re.findall(r"^\| `(--[a-z-]+)` \|", PAGE, flags=re.M))
    options = COMMANDS["rollout start"].own_options
    assert named == {option for option in options if option.startswith("--")} & named
    assert named >= {"--steps", "--hold", "--uses", "--guard", "--patience", "--in-doubt"}
