"""docs/environment.md has every environment variable that the code reads, and no other."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

import pytest

from promptctl.postgres import drivers
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PAGE = ROOT / "docs" / "environment.md"
MODULES = sorted((ROOT / "promptctl").rglob("*.py"))
SCRIPTS = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())
# The page names a variable whose name ends in any number as `NAME_*`.
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*_?")
# A variable is recognized by its prefix in a module that gets the environment from its caller.
PREFIXED = re.compile(r"(?:PROMPTCTL|ANTHROPIC|GIT|XDG|SSL|GITHUB)_[A-Z_]+|PG[A-Z_]{2,}")
# Constants that look like variables, in the modules that use the environment, and what they are.
OTHERS = {
    "ANTHROPIC_": "a prefix", "PG": "a prefix", "PROMPTCTL_": "a prefix",
    "DATABASE": "PGDATABASE without PG", "HOST": "PGHOST without PG", "PORT": "PGPORT without PG",
    "REQUIREPEER": "PGREQUIREPEER without PG",
    "C": "a locale", "ISO": "a date style", "UTC": "a time zone", "UTF8": "an encoding", "FRX": "options of less",
    "R": "marks a rollback in a graph", "GIT_OPTIONAL_LOCKS": "set for Git", "GIT_TERMINAL_PROMPT": "set for Git",
}  # fmt: skip
# The standard library reads these for us.
BY_FUNCTION = {"astimezone": "TZ", "mkstemp": "TMPDIR", "expanduser": "HOME", "get_exec_path": "PATH"}


def rows() -> dict[str, tuple[str, str, str]]:
    """Return the effect, the default and the readers of each variable on the page."""
    table: dict[str, tuple[str, str, str]] = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if not line.startswith("| `"):
            continue
        names, effect, default, readers = (cell.strip() for cell in line.strip("|").split("|"))
        for name in re.findall(r"`([A-Z][A-Z0-9_]*)\*?`", names):
            assert name not in table, f"{name} has two rows"
            table[name] = (effect, default, readers)
    return table


def uses_environment(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") for node in ast.walk(tree))


def read_by_module(source: str) -> set[str]:
    """Return the variables in a module: its constants with such a name, and what the standard library reads for it."""
    tree = ast.parse(source)
    pattern = VARIABLE if uses_environment(tree) else PREFIXED
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.fullmatch(node.value):
            names.add(node.value)
        elif isinstance(node, ast.Attribute) and node.attr in BY_FUNCTION:
            names.add(BY_FUNCTION[node.attr])
    return names


def read_by_script(source: str) -> set[str]:
    """Return the variables that a shell script, or Python in it, reads and that neither it nor action.yml sets."""
    read = set(re.findall(r"\$\{?([A-Z][A-Z0-9_]*)", source)) | set(
        re.findall(r"""environ(?:\.get\(|\[)["']([A-Z][A-Z0-9_]*)""", source)
    )
    # `export NAME=${NAME:-default}` reads what it sets.
    ours = re.findall(r"^\s*(?:local |export |readonly )?([A-Z][A-Z0-9_]*)=(?!\$\{\1\b)", source, flags=re.MULTILINE)
    return read - set(ours) - inputs_of_action()


def inputs_of_action() -> set[str]:
    """Return the variables by which action.yml passes its inputs to its script. action.yml documents the inputs."""
    action = ROOT / "action.yml"
    text = action.read_text(encoding="utf-8") if action.exists() else ""
    return set(re.findall(r"^ +([A-Z][A-Z0-9_]*): \$\{\{ inputs\.", text, flags=re.MULTILINE))


def variables(paths: Iterable[Path]) -> dict[str, list[str]]:
    """Return each variable in the code, with the files that read it."""
    found: dict[str, list[str]] = {}
    for path in paths:
        source = path.read_text(encoding="utf-8")
        names = read_by_module(source) if path.suffix == ".py" else read_by_script(source)
        for name in names - set(OTHERS):
            found.setdefault(name, []).append(str(path.relative_to(ROOT)))
    return found


def test_the_page_has_every_variable_that_the_code_reads() -> None:
    table = rows()
    code = variables([*MODULES, *SCRIPTS])
    assert len(code) > 50
    assert {name: files for name, files in code.items() if name not in table} == {}


def test_the_code_reads_every_variable_on_the_page() -> None:
    code = variables([*MODULES, *SCRIPTS])
    # libpq reads the environment itself, and lists what it reads.
    libpq = set(drivers.for_command().variables())
    assert [name for name in rows() if name not in code and name not in libpq] == []


def test_each_variable_has_an_effect_a_default_and_a_reader() -> None:
    ineffective = {name for name, (effect, *_) in rows().items() if effect.startswith("none")}
    assert ineffective == {"PGTZ", "PGDATESTYLE"}
    for name, (_, default, readers) in rows().items():
        if name not in ineffective:
            assert default, name
            assert set(readers.split(", ")) <= {"command", "client", "chat", "action"}, name


def test_the_help_names_only_variables_on_the_page() -> None:
    from promptctl.cli import help as help_pages

    text = help_pages.overview(None)
    named = {name for name in re.findall(r"\b[A-Z][A-Z_]{3,}\b", text) if PREFIXED.fullmatch(name) or "COLOR" in name}
    assert named > {"PROMPTCTL_AUTHOR", "NO_COLOR"}
    assert named - set(rows()) == set()


def test_constants_that_are_no_variables_are_still_in_the_code() -> None:
    constants = {name for path in MODULES for name in read_by_module(path.read_text(encoding="utf-8"))}
    assert set(OTHERS) - constants == set()


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("import os\nos.environ.get('SPEED')", {"SPEED"}),
        ("import os\nfor name in ('A_B', 'C2'): print(os.environ[name])", {"A_B", "C2"}),
        ("import os\nprint('SPEED' in os.environ, 'not SPEED_2')", {"SPEED"}),
        ("def f(environment): return environment['PROMPTCTL_SPEED'], environment['OTHER']", {"PROMPTCTL_SPEED"}),
        ("import os\nos.path.expanduser('~')", {"HOME"}),
    ],
)
def test_the_search_finds_a_variable_in_a_module(source: str, names: set[str]) -> None:
    assert read_by_module(source) == names


def test_the_search_finds_a_variable_in_a_script() -> None:
    script = """A=1\n    B=$A\nexport C=${C:-2}\necho "$B ${SPEED:-1} $HOME ${lower} $1"\nos.environ["PLACE"]\n"""
    assert read_by_script(script) == {"SPEED", "HOME", "C", "PLACE"}
