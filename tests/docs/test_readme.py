"""The README's examples print what they say in a clone; UPDATE_SNAPSHOTS=1 writes what they print now."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from promptctl import __version__
from tests.conftest import ROOT, SERVERS, environment, stable, watched
from tests.repositories import Repository
from tests.split_uses import uses_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Promptctl
    from tests.servers import Server

README = ROOT / "README.md"
SQL_PAGE = ROOT / "docs" / "sql.md"
APPLICATIONS = ROOT / "examples" / "applications"
COLUMNS = 100
# The logins that the README grants access to.
LOGINS = ("app", "ci")


# A commit that the README makes. Its hash is printed, so it is the same in every run.
COMMITS = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "ada"), ("EMAIL", "ada@example.com"), ("DATE", "2026-11-12T09:30:00Z"))
}


def blocks(language: str, page: Path = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # Other tests run these commands on every version of PostgreSQL.
    if "templated" in metafunc.fixturenames:
        versions = list(SERVERS)[-1:] or [pytest.param(None, marks=pytest.mark.skip("no server"))]
        metafunc.definition.add_marker(pytest.mark.parametrize("templated", versions, indirect=True, scope="session"))


@pytest.fixture
def logins(server: Server) -> Iterator[None]:
    """The login roles of the README, until the test has dropped its database."""
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        for login in LOGINS:
            connection.execute(f"create role {login} login".encode())
        yield
        for login in LOGINS:
            connection.execute(f"drop role {login}".encode())


def commands_of(block: str) -> list[str]:
    return re.findall(r"^\$ (.*)$", block, flags=re.M)


def keep(found: list[str], now: list[str]) -> None:
    """With UPDATE_SNAPSHOTS, write the output of the blocks into the README."""
    if os.environ.get("UPDATE_SNAPSHOTS"):
        text = README.read_text(encoding="utf-8")
        for old, new in zip(found, now, strict=True):
            text = text.replace(f"```console\n{old}```", f"```console\n{stable(new)}```", 1)
        README.write_text(text, encoding="utf-8")


def is_for_own_server(block: str) -> bool:
    return any(words in block for words in ("export DATABASE_URL", "promptctl db restore", "promptctl db migrate"))


# Claude takes its time: the numbers that the README shows are put in the place of those of a server on this machine,
# past the trigger that says uses never change.
SLOWER = """
set session_replication_role = replica;
update promptctl.uses set response_ms = 950 + 400 * (version = 3)::integer, first_token_ms = 350 + 130 * version,
    input_tokens = 140 + 9 * version, output_tokens = 60 + 30 * version
"""
# The split has run for some days, with uses of both versions.
SOME_DAYS = f"""
{uses_sql("default-system-prompt", slower=0.8, score="null")};
set session_replication_role = replica;
update promptctl.allocations set changed_at = changed_at - interval '55 hours' where kind = 'split'
"""
COST = re.compile(r"\$\d+\.\d+")
# The size of a dump depends on the version of PostgreSQL.
SIZE = re.compile(r"\(\d+ kB\)")
USAGE = re.compile(r"\d+ \+ \d+ tokens, \d{3} ms, first \d{3} ms")
# The time of a run of test cases.
RUN_TIME = re.compile(r"(, \$\d+\.\d+, )[\d.]+ m?s$", flags=re.M)
# The period of a report ends today.
PERIOD = re.compile(r"\d+ \w{3} \d{4} to \d+ \w{3} \d{4}")
# As `stats` shows them after SLOWER.
FIGURES = {"@1": "149 + 90 tokens, 950 ms, first 480 ms", "@3": "167 + 150 tokens, 1.35 s, first 740 ms"}


def test_the_examples_of_the_readme_print_their_documented_output(
    embedded_home: dict[str, str], home: Path, claude_env: Callable[..., dict[str, str]]
) -> None:
    # The reader has a clone, so the plan names its commit and the authors of the versions.
    clone = Repository(home, home)
    shutil.copytree(ROOT / "prompts", home / "prompts")
    clone.commit(author="grace")
    shutil.copytree(APPLICATIONS, home / "examples" / "applications")
    env = embedded_home | COMMITS | claude_env("ok", input_tokens=149, output_tokens=90, delay_ms=250)
    found = [block for block in blocks("console") if not is_for_own_server(block)]
    now: list[str] = []
    for block in found:
        lines: list[str] = []
        for command in commands_of(block):
            if command.startswith("promptctl stats"):
                subprocess.run(["promptctl", "db", "shell", "-c", SLOWER], env=env, check=True, capture_output=True)
            if command.startswith("promptctl compare"):
                subprocess.run(["promptctl", "db", "shell", "-c", SOME_DAYS], env=env, check=True, capture_output=True)
            seen = watched(["bash", "-c", command], env, home, COLUMNS)
            figures = iter([text for version, text in FIGURES.items() if version in seen.out])
            lines += [f"$ {command}\n", USAGE.sub(lambda _, figures=figures: next(figures), seen.out)]
        text = "".join(lines).replace(embedded_home["PROMPTCTL_HOME"], "/var/lib/promptctl")
        text = PERIOD.sub("24 Nov 2026 to 30 Nov 2026", SIZE.sub("(360 kB)", text))
        now.append(RUN_TIME.sub(r"\g<1>1.2 s", text))
    keep(found, now)
    expected = [block for block in blocks("console") if not is_for_own_server(block)]
    # Prices change.
    assert [COST.sub("$0.01", stable(each)) for each in now] == [COST.sub("$0.01", each) for each in expected]


def check_on_server(containing: str, home: Path, url: str) -> None:
    """Compare the block that has a command with what its commands print for a database of this server."""
    env = environment(home, DATABASE_URL=url, TERM="xterm", NO_COLOR="1")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    [block] = found = [block for block in blocks("console") if containing in block]
    lines: list[str] = []
    for command in commands_of(block):
        # The URL of the README is that of the test's database.
        seen = None if command.startswith("export") else watched(["bash", "-c", command], env, home, COLUMNS)
        lines += [f"$ {command}\n", seen.out if seen else ""]
    keep(found, ["".join(lines)])
    assert [stable("".join(lines))] == [block for block in blocks("console") if containing in block]


def test_the_commands_for_your_own_server_print_their_documented_output(
    home: Path, server: Server, logins: None, empty_database: str
) -> None:
    check_on_server("export DATABASE_URL", home, server.url(empty_database))


def test_the_commands_for_a_restore_print_their_documented_output(
    home: Path, server: Server, promptctl: Promptctl, empty_database: str
) -> None:
    shutil.copytree(ROOT / "prompts", home / "prompts")
    assert promptctl("sync", "prompts").code == 0
    assert promptctl("db", "dump", "prompts.dump").code == 0
    check_on_server("promptctl db restore", home, server.url(empty_database))


def test_the_commands_for_an_upgrade_print_their_documented_output(
    home: Path, server: Server, empty_database: str
) -> None:
    # The logins that have access to the dump's database do not exist here.
    dump = (ROOT / "tests" / "schema" / "dumps" / "version_4.sql").read_text(encoding="utf-8")
    with psycopg.connect(server.dsn(empty_database), autocommit=True) as connection:
        connection.execute(re.sub(r"^GRANT .*;$", "", dump, flags=re.M).encode())
    check_on_server("promptctl db migrate", home, server.url(empty_database))


def test_the_wheel_in_the_readme_has_the_current_version() -> None:
    [version] = re.findall(r"dist/promptctl_pg-(.*?)-py3-none-any\.whl", README.read_text(encoding="utf-8"))
    assert version == __version__


def test_the_programs_in_the_docs_equal_those_in_examples() -> None:
    for language, name, page in (("python", "answer.py", README), ("javascript", "answer.js", SQL_PAGE)):
        source = (APPLICATIONS / name).read_text(encoding="utf-8")
        assert any(source.endswith(f"\n{program}") for program in blocks(language, page))


def test_the_javascript_example_prints_its_documented_output(
    promptctl: Promptctl, claude_env: Callable[..., dict[str, str]], node_modules: Path
) -> None:
    shutil.copytree(ROOT / "prompts", promptctl.home / "prompts")
    promptctl("sync", "prompts")
    command = 'node answer.js ada "What is a pointer?"'
    env = promptctl.environment() | claude_env()
    seen = watched(["bash", "-c", command], env, node_modules, COLUMNS)
    assert f"$ {command}\n{seen.out}```" in SQL_PAGE.read_text(encoding="utf-8")
