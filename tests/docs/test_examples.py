"""The scripts under examples/ do what they say, on the embedded database and on one that is configured."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.claude_replies import CALM, ENTHUSIASTIC
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EXAMPLES = ROOT / "examples"


def test_the_walkthrough_on_the_embedded_database(
    embedded_home: dict[str, str], home: Path, claude_env: Callable[..., dict[str, str]]
) -> None:
    walk(embedded_home | claude_env(), home, "the embedded database")


def test_the_walkthrough_on_a_configured_database(
    embedded_home: dict[str, str], home: Path, database_url: str, database_name: str,
    claude_env: Callable[..., dict[str, str]],
) -> None:  # fmt: skip
    walk(embedded_home | claude_env() | {"DATABASE_URL": database_url}, home, f"{database_name} at localhost")


def test_the_walkthrough_without_a_key_sends_no_request(embedded_home: dict[str, str], home: Path) -> None:
    shutil.copytree(ROOT / "prompts", home / "prompts")
    done = subprocess.run(
        [EXAMPLES / "walkthrough.sh"], env=embedded_home, cwd=home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "promptctl chat" in done.stdout) == (0, False), done.stderr


def walk(env: dict[str, str], home: Path, where: str) -> None:
    """Run the walkthrough and read what it printed: from nothing to a rollback."""
    shutil.copytree(ROOT / "prompts", home / "prompts")
    done = subprocess.run([EXAMPLES / "walkthrough.sh"], env=env, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = {words.split("\n", 1)[0]: words.split("\n", 1)[1] for words in done.stdout.split("\n$ promptctl ")[1:]}
    assert steps["rollback default-system-prompt --expect 4 --reason too\\ chatty\\,\\ INC-412"].startswith(
        "default-system-prompt\t1\t4\n"
    )
    texts = done.stdout.split("\n$ promptctl show default-system-prompt\n")[1:]
    first = [text.splitlines()[0] for text in texts]
    assert first == [
        "You are a calm, careful assistant.",
        "You are an enthusiastic assistant! Answer with energy, and keep every fact straight.",
        "You are a calm, careful assistant.",
    ]
    moves = [line.split("\t")[1:] for line in steps["history default-system-prompt"].splitlines() if "\t" in line]
    assert moves == [
        ["rollback", "4 → 1", "ada@example.com", "too chatty, INC-412"],
        ["activate", "1 → 4", "ada@example.com", "try more energy"],
        ["activate", "none → 1", "ada@example.com", "release 1, sync"],
    ]
    assert "default-system-prompt |       2 |     4" in steps["db shell"]
    assert " recorded \n----------\n t" in steps["db shell"]
    replies = [text.splitlines()[1] for text in done.stdout.split("What\\ is\\ a\\ pointer\\?")[1:]]
    assert replies[0] == replies[3] == CALM
    assert replies[1].startswith("default-system-prompt@1\t")
    assert replies[2] == ENTHUSIASTIC
    assert f"in {where}" in done.stderr
