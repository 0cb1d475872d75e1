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
    from pathlib import Path

    import psycopg

README = ROOT / "README.md"
COLUMNS = 100


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), flags=re.M | re.S)


def test_the_examples_print_what_they_say(embedded_home: dict[str, str], home: Path) -> None:
    shutil.copytree(ROOT / "prompts", home / "prompts")
    found = blocks("console")
    now: list[str] = []
    for block in found:
        lines: list[str] = []
        for command in re.findall(r"^\$ (.*)$", block, flags=re.M):
            seen = watched(["bash", "-c", command], embedded_home, home, COLUMNS)
            lines += [f"$ {command}\n", seen.out]
        now.append("".join(lines).replace(embedded_home["PROMPTCTL_HOME"], "/var/lib/promptctl"))
    if os.environ.get("UPDATE_SNAPSHOTS"):
        text = README.read_text(encoding="utf-8")
        for old, new in zip(found, now, strict=True):
            text = text.replace(f"```console\n{old}```", f"```console\n{stable(new)}```", 1)
        README.write_text(text, encoding="utf-8")
    assert [stable(each) for each in now] == blocks("console")


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
