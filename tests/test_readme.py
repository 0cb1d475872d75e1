"""The README's examples print what they say; UPDATE_SNAPSHOTS=1 writes what they print now."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import ROOT, Promptctl, stable, watched

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

README = ROOT / "README.md"
COLUMNS = 100


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), flags=re.M | re.S)


# Claude takes its time: the numbers that the README shows are put in the place of those of a server on this machine.
SLOWER = """
update promptctl.uses set response_ms = 950 + 400 * (version = 3)::integer, first_token_ms = 350 + 130 * version,
    input_tokens = 140 + 9 * version, output_tokens = 60 + 30 * version
"""
COST = re.compile(r"\$\d+\.\d+")
USAGE = re.compile(r"\d{3} ms, first \d{3} ms")


def test_the_examples_print_what_they_say(
    embedded_home: dict[str, str], home: Path, asking: Callable[..., dict[str, str]]
) -> None:
    shutil.copytree(ROOT / "prompts", home / "prompts")
    env = embedded_home | asking("ok", input_tokens=149, output_tokens=90, delay_ms=250)
    found = blocks("console")
    now: list[str] = []
    for block in found:
        lines: list[str] = []
        for command in re.findall(r"^\$ (.*)$", block, flags=re.M):
            if command.startswith("promptctl stats"):
                subprocess.run(["promptctl", "db", "shell", "-c", SLOWER], env=env, check=True, capture_output=True)
            seen = watched(["bash", "-c", command], env, home, COLUMNS)
            told = USAGE.sub("950 ms, first 480 ms", seen.out)
            lines += [f"$ {command}\n", told]
        now.append("".join(lines).replace(embedded_home["PROMPTCTL_HOME"], "/var/lib/promptctl"))
    if os.environ.get("UPDATE_SNAPSHOTS"):
        text = README.read_text(encoding="utf-8")
        for old, new in zip(found, now, strict=True):
            text = text.replace(f"```console\n{old}```", f"```console\n{stable(new)}```", 1)
        README.write_text(text, encoding="utf-8")
    # Prices change.
    assert [COST.sub("$0.01", stable(each)) for each in now] == [COST.sub("$0.01", each) for each in blocks("console")]


def test_the_python_example_books_a_use(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    [example] = blocks("python")
    promptctl("create", "default-system-prompt", "Be kind.", "--activate")
    done = subprocess.run(
        [sys.executable, "-c", example], env=promptctl.environment(), capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("used default-system-prompt@1\n", "")
    assert _used(sql) == ("1", "200")


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm here")
def test_the_javascript_example_books_a_use(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    [example] = blocks("javascript")
    promptctl("create", "default-system-prompt", "Be kind.", "--activate")
    installed = subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "pg@8"],
        cwd=promptctl.home, env={**os.environ, "HOME": os.environ["HOME"]}, capture_output=True, check=False,
    )  # fmt: skip
    if installed.returncode != 0:
        pytest.skip("pg cannot be installed from the registry")
    done = subprocess.run(
        ["node", "-e", example], cwd=promptctl.home, env=promptctl.environment(), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("used default-system-prompt@1\n", "")
    assert _used(sql) == ("1", "200")


def _used(sql: psycopg.Connection[Any]) -> Any:
    return sql.execute("select stats->>'total_uses', stats->>'avg_tokens' from promptctl.prompts").fetchone()
