"""The manual pages in man/ are those of the commands as they are now, and programs that read them accept them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from promptctl.cli import catalogue, man_pages
from promptctl.cli import parameters as p
from tests.conftest import ROOT

MAN = ROOT / "man"
PAGES = man_pages.pages()


def shown(name: str) -> str:
    """Return a page as `man` shows it on a terminal with 80 columns, without bold and italics."""
    if shutil.which("man") is None or (shutil.which("groff") is None and shutil.which("nroff") is None):
        pytest.skip("there is no man here")
    env = os.environ | {"MANWIDTH": "80", "LC_ALL": "C.UTF-8", "MANPAGER": "cat", "GROFF_NO_SGR": "1"}
    done = subprocess.run(["man", "-l", MAN / name], env=env, capture_output=True, text=True, check=True)
    return re.sub(r".\x08", "", done.stdout)


def test_the_pages_are_those_of_the_commands() -> None:
    if os.environ.get("UPDATE_SNAPSHOTS"):
        subprocess.run([sys.executable, "-m", "promptctl.cli.man_pages", MAN], cwd=ROOT, check=True)
    kept = {path.name: path.read_text(encoding="ascii") for path in MAN.iterdir()}
    assert kept == PAGES, "run with UPDATE_SNAPSHOTS=1 and read the difference"
    names = {f"promptctl-{name.replace(' ', '-')}.1" for name in (*catalogue.FAMILIES, *catalogue.COMMANDS)}
    assert PAGES.keys() == names | {"promptctl.1"}


def test_pages_of_removed_commands_are_removed(tmp_path: Path) -> None:
    (tmp_path / "promptctl-gone.1").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    subprocess.run([sys.executable, "-m", "promptctl.cli.man_pages", tmp_path], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {*PAGES, "notes.txt"}


def test_mandoc_accepts_every_page() -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("there is no mandoc here")
    files = sorted(MAN.iterdir())
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *files], capture_output=True, text=True, check=False
    )
    # A page has no date, because it changes with the commands.
    assert [line for line in done.stdout.splitlines() if 'missing date, using "": TH' not in line] == []


def test_man_formats_every_page_without_a_warning() -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("there is no man with groff here")
    for path in sorted(MAN.iterdir()):
        words = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path]
        done = subprocess.run(words, env=os.environ | {"MANWIDTH": "80"}, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), path.name


@pytest.mark.parametrize("name", ["", *catalogue.COMMANDS])
def test_a_page_has_every_option_example_and_exit_code_as_the_help_has_it(name: str) -> None:
    text = shown(f"promptctl{'-' * bool(name)}{name.replace(' ', '-')}.1")
    # Commands and tables are not broken. In the help, they have up to 80 columns.
    assert max(map(len, text.splitlines())) <= 85
    words = " ".join(text.split())
    parameters = [*p.SHARED, p.HELP, *(catalogue.COMMANDS[name].parameters if name else ())]
    for parameter in parameters:
        assert parameter.usage in words
        assert " ".join(parameter.help.split()) in words
    if not name:
        for command in catalogue.COMMANDS:
            assert f"promptctl-{command.replace(' ', '-')}(1)" in words
        for code in (*range(9), 70, 130, 141):
            assert re.search(rf"^ +{code} +\w", text, flags=re.M), code
        return
    from promptctl.cli import help

    examples = help.description(catalogue.COMMANDS[name]).partition("Examples:\n")[2].splitlines()
    # An example can be pasted: its hyphens and quotes are those of a shell.
    for line in examples:
        assert line.strip() in text
