"""The docs say what is so: the pages of the commands, the error codes, the SQL."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

from promptctl.cli import catalogue
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.conftest import Promptctl

DOCS = ROOT / "docs"
ERRORS = {
    "PromptctlError": 1, "Failed": 1, "Usage": 2, "NotFound": 4, "Refused": 5, "Unreachable": 6, "ClaudeFailed": 7,
    "SchemaMismatch": 8, "_Interrupted": 130, "_Bug": 70,
}  # fmt: skip


def keep(path: Path, text: str) -> None:
    """Compare a page with what it should be; UPDATE_SNAPSHOTS=1 writes it."""
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text


def test_commands_md_is_the_help_of_every_command(unconfigured: Promptctl) -> None:
    pages = ["# Commands\n\nWhat `promptctl COMMAND --help` says.\n", f"```\n{unconfigured('--help').out}```\n"]
    for name in catalogue.COMMANDS:
        page = unconfigured(*name.split(), "--help").out
        own = page.partition("\n\nOptions of every command:")[0].rstrip()
        pages.append(f"## promptctl {name}\n\n```\n{own}\n```\n")
    keep(DOCS / "commands.md", "\n".join(pages))


def test_json_md_names_every_error_code_with_its_exit_code() -> None:
    path = DOCS / "json.md"
    rows = sorted((exit_code, code) for code, exit_code in codes().items())
    told: dict[int, list[str]] = {}
    for exit_code, code in rows:
        told.setdefault(exit_code, []).append(f"`{code}`")
    table = "\n".join(
        ["| exit code | codes |", "|---|---|", *(f"| {number} | {', '.join(each)} |" for number, each in told.items())]
    )
    text = path.read_text(encoding="utf-8")
    keep(path, re.sub(r"(stable:\n\n).*?(\n\n## The log)", lambda m: m[1] + table + m[2], text, flags=re.S))


def codes() -> dict[str, int]:
    """Every error code of the command line in the source, and the exit code of its class."""
    found: dict[str, int] = {}
    for path in sorted((ROOT / "promptctl").rglob("*.py")):
        # What an application meets is named in client.md, by its class.
        if "client" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                first = node.args[0]
                if name in ERRORS and isinstance(first, ast.Constant) and isinstance(first.value, str):
                    found[first.value] = ERRORS[name]
            if isinstance(node, ast.ClassDef):
                found |= _of_class(node)
    from promptctl.claude import refusals as claude_refusals
    from promptctl.postgres import refusals

    tables: list[dict[str, Any]] = [
        value for name, value in vars(refusals).items() if name.startswith(("_BY_", "_IN_OUR_WORDS"))
    ]
    for table in tables:
        for kind, code, *_ in table.values():
            if code != "schema_version":
                found[code] = kind.exit_code
    # The types of errors of Claude's API are our codes.
    return found | dict.fromkeys(claude_refusals.MESSAGES, ERRORS["ClaudeFailed"])


def _of_class(node: ast.ClassDef) -> dict[str, int]:
    """The code that an error class of our own gives to the class that it is derived from."""
    bases = [base.attr for base in node.bases if isinstance(base, ast.Attribute) and base.attr in ERRORS]
    return {
        call.args[0].value: ERRORS[bases[0]]
        for call in ast.walk(node)
        if bases and isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args
        if call.func.attr == "__init__" and isinstance(call.args[0], ast.Constant)
        if isinstance(call.args[0].value, str)
    }


def test_the_sql_of_the_docs_runs_as_written(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    shutil.copytree(ROOT / "prompts", promptctl.home / "prompts")
    assert promptctl("sync", "prompts").code == 0
    sql.execute("set search_path = promptctl")
    blocks = [
        block
        for page in (DOCS / "sql.md", ROOT / "README.md")
        for block in re.findall(r"^```sql\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    ]
    assert len(blocks) > 5
    for block in blocks:
        sql.execute(block.encode())


def test_links_between_pages_lead_to_existing_files() -> None:
    for page in [*ROOT.glob("*.md"), *DOCS.glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_schema_is_printed_and_installs_with_psql(
    unconfigured: Promptctl, server: Any, empty_database: str
) -> None:
    printed = unconfigured("db", "schema")
    assert printed.out == (ROOT / "schema.sql").read_text(encoding="utf-8")
    done = subprocess.run(
        [server.programs / "psql", "-q", "-v", "ON_ERROR_STOP=1", server.url(empty_database)],
        input=printed.out, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
