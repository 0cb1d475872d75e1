"""The output of every command: on a terminal, in a pipe, as JSON, and with --quiet."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.commands import check_failure, fill, start_server
from tests.conftest import SERVERS, Promptctl, Templated, copied_database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMANDS = {
    "list": ("list",),
    "list-pattern": ("list", "support/*"),
    "list-first": ("list", "--limit", "2"),
    "list-nothing": ("list", "nothing-like-it"),
    "show": ("show", "default-system-prompt"),
    "show-newest": ("show", "default-system-prompt", "--limit", "1"),
    "show-none-active": ("show", "code_helper"),
    "show-version": ("show", "default-system-prompt@1"),
    "show-at": ("show", "default-system-prompt", "--at", "2026-01-03T09:31:30Z"),
    "diff": ("diff", "default-system-prompt"),
    "diff-versions": ("diff", "default-system-prompt@1", "default-system-prompt@2"),
    "diff-itself": ("diff", "support/triage@1"),
    "history": ("history",),
    "history-of-one": ("history", "default-system-prompt"),
    "history-newest": ("history", "default-system-prompt", "--limit", "1"),
    "history-of-nothing": ("history", "code_helper"),
    "stats": ("stats",),
    "stats-of-one": ("stats", "default-system-prompt"),
    "top": ("top", "--once"),
    "activate": ("activate", "default-system-prompt@3", "--reason", "again"),
    "activate-first": ("activate", "code_helper@1"),
    "activate-already": ("activate", "default-system-prompt@2"),
    "activate-release": ("activate", "default-system-prompt@3", "support/triage@2", "code_helper@1"),
    "activate-dry-run": ("activate", "default-system-prompt@3", "support/triage@2", "--dry-run"),
    "deactivate": ("deactivate", "default-system-prompt", "support/triage", "--reason", "unsafe"),
    "deactivate-already": ("deactivate", "code_helper"),
    "deactivate-dry-run": ("deactivate", "support/triage", "--expect", "1", "--dry-run"),
    "rollback": ("rollback", "default-system-prompt"),
    "rollback-dry-run": ("rollback", "default-system-prompt", "--dry-run"),
    "rollback-split": ("rollback", "support/triage"),
    "rollback-to": ("rollback", "default-system-prompt", "--to", "1", "--expect", "2"),
    "rollback-already": ("rollback", "default-system-prompt", "--to", "2"),
    "show-split": ("show", "support/triage"),
    "history-split": ("history", "support/triage"),
    "split": ("split", "default-system-prompt@3", "10%", "--reason", "does it help?"),
    "split-share": ("split", "support/triage", "50%"),
    "split-already": ("split", "support/triage@2", "25%"),
    "split-drawn-anew": ("split", "support/triage", "25%", "--seed", "another"),
    "split-off": ("split", "support/triage", "--off"),
    "split-off-already": ("split", "default-system-prompt", "--off"),
    "split-shown": ("split", "support/triage"),
    "split-none": ("split", "default-system-prompt"),
    "split-none-active": ("split", "code_helper"),
    "route-show-none": ("route", "show", "code_helper"),
    "resolve": ("resolve", "default-system-prompt", "--attribute", "plan=free"),
    "resolve-split": ("resolve", "support/triage", "--unit", "user-7"),
    "create": ("create", "greeter", "Be kind.", "--description", "The first", "--meta", "a=1", "--meta", "b=c"),
    "create-active": ("create", "greeter", "Be kind.", "--activate", "--reason", "new"),
    "create-same": ("create", "code_helper", 'You help with {language} code: {"a": 1}', "--description", "Other"),
    "create-variables": (
        "create",
        "greeter",
        "Greet {{user.name}}, {{tone}}.",
        "--template",
        "mustache",
        "--default",
        "tone=kindly",
        "--model",
        "claude-sonnet-5-5",
        "--max-tokens",
        "1024",
    ),
    "delete": ("delete", "default-system-prompt@3", "--reason", "never worked"),
    "delete-several": ("delete", "support/triage", "code_helper", "default-system-prompt@1"),
    "delete-dry-run": ("delete", "default-system-prompt", "--dry-run"),
    "erase": ("erase", "default-system-prompt@1", "--reason", "a key in it"),
    "erase-dry-run": ("erase", "default-system-prompt@3", "--reason", "a key in it", "--dry-run"),
    "list-archived": ("list", "--archived"),
    "show-archived": ("show", "default-system-prompt", "--archived"),
    "delete-undo": ("delete", "--undo", "default-system-prompt@3"),
    "db-init": ("db", "init"),
    "db-migrate": ("db", "migrate"),
    "db-status": ("db", "status"),
    "db-maintain": ("db", "maintain"),
    "db-grant": ("db", "grant", "app", "--as", "application"),
}


@pytest.fixture(scope="session", params=list(SERVERS) or [pytest.param(None, marks=pytest.mark.skip("no server"))])
def templated(request: pytest.FixtureRequest) -> Iterator[Templated]:
    """A server of each version."""
    yield from start_server(request.param)


@pytest.fixture(scope="module")
def database(templated: Templated) -> Iterator[str]:
    """The name of one database for the whole module: every answer is of what `fill` put there."""
    with copied_database(templated.server, templated.template) as name:
        yield name


CHANGING = ("activate", "deactivate", "rollback", "create", "delete", "erase", "split")

# On a prompt whose versions have variables, beside the others.
TEMPLATE_COMMANDS = {
    "show-variables": ("show", "support/reply"),
    "show-variables-of-version": ("show", "support/reply@2"),
    "render": ("render", "support/reply", "--var", "customer.name=Zoë"),
    "render-missing": ("render", "support/reply@2"),
    "render-unknown": ("render", "support/reply", "--var", "customer.nam=Zoë"),
    "activate-new-variables": ("activate", "support/reply@2", "--reason", "the tone of the house"),
}
REPLY = r"""
select promptctl.create_version('support/reply', E'Write to {customer.name}, {tone}.\n',
                                '{"model": "claude-sonnet-5-5", "variables": {"tone": {"default": "kindly"}}}',
                                '{}', 'ada@example.com', activated => true);
select promptctl.create_version('support/reply', E'Write to {customer.name} in {customer.language}, {tone}.\n',
                                '{"variables": {"tone": {"required": false}}}', '{}', 'ada@example.com');
"""

# On a prompt whose route leads to two others, beside the others.
ROUTE_COMMANDS = {
    "route-show": ("route", "show", "support/triage"),
    "route-history": ("history", "support/triage"),
    "resolve-route": ("resolve", "support/triage", "--unit", "user-7", "--attribute", "plan=enterprise"),
    "resolve-version": ("resolve", "support/triage", "--attribute", "seats=50.0", "--attribute", "paid=true"),
}
ROUTE = """
select promptctl.set_routes('{support/triage}', '[[
    {"when": {"plan": "enterprise"}, "use": "default-system-prompt"},
    {"when": {"paid": true, "seats": 50, "code": "5"}, "use": "code_helper@1"},
    {"when": {"paid": true, "seats": 50}, "use": "default-system-prompt@3"}]]', 'ada@example.com', 'the contract');
"""


@pytest.mark.parametrize("case", COMMANDS)
def test_the_output_of_every_command_in_every_form(
    case: str, templated: Templated, database: str, home: Path, snapshot: Callable[..., None]
) -> None:
    answer(case, COMMANDS[case], templated, database, home, snapshot)


def test_a_limited_list_prints_the_number_of_omitted_rows(demo: Promptctl) -> None:
    everything = demo("list")
    assert (len(everything.out.splitlines()), everything.err) == (3, "")
    for words in (("-n", "0"), ("--limit", "3"), ("-n", "99")):
        assert demo("list", *words) == everything
    first = demo("list", "-n", "1")
    assert (first.out, first.err) == (everything.out.splitlines(keepends=True)[0], "2 more: --limit 0 shows all\n")
    assert demo("list", "support/*", "-n", "1").err == ""
    assert demo("list", "support/*", "-n", "1", "-q").out == "support/triage\n"
    found = json.loads(demo("list", "-n", "1", "--json").out)
    assert ([each["name"] for each in found["prompts"]], found["count"]) == (["code_helper"], 3)
    for words in (("-n", "-1"), ("-n", "x"), ("--limit=1.5",)):
        assert "--limit is a whole number from 0" in check_failure(demo("list", *words), 2).err
    assert demo("delete", "code_helper", "default-system-prompt", "-q").code == 0
    archived = demo("list", "--archived", "--limit", "1")
    assert (archived.out.partition("\t")[0], archived.err) == ("code_helper", "1 more: --limit 0 shows all\n")
    assert json.loads(demo("list", "--archived", "-n", "1", "--json").out)["count"] == 2


@pytest.mark.parametrize("case", TEMPLATE_COMMANDS)
def test_the_output_of_commands_on_a_template_in_every_form(
    case: str, templated: Templated, database: str, home: Path, snapshot: Callable[..., None]
) -> None:
    answer(case, TEMPLATE_COMMANDS[case], templated, database, home, snapshot, REPLY)
    # The other tests of this module are about three prompts.
    fill(templated.server.dsn(database))


@pytest.mark.parametrize("case", ROUTE_COMMANDS)
def test_the_output_of_commands_on_a_route_in_every_form(
    case: str, templated: Templated, database: str, home: Path, snapshot: Callable[..., None]
) -> None:
    answer(case, ROUTE_COMMANDS[case], templated, database, home, snapshot, ROUTE)
    fill(templated.server.dsn(database))


def answer(
    case: str,
    words: tuple[str, ...],
    templated: Templated,
    database: str,
    home: Path,
    snapshot: Callable[..., None],
    further: str = "",
) -> None:
    """Compare what a command says in each form with what is kept; `further` is SQL that adds to what is there."""
    promptctl = Promptctl(home, DATABASE_URL=templated.server.url(database))
    told: list[str] = []
    for form in ("terminal", "piped", "json", "quiet"):
        if form == "terminal" or words[0] in CHANGING:
            fill(templated.server.dsn(database))
            if further:
                with psycopg.connect(templated.server.dsn(database), autocommit=True) as connection:
                    connection.execute(further.encode())
        if form == "terminal":
            ended = promptctl.on_terminal(*words)
        else:
            ended = promptctl(*words, *([] if form == "piped" else [f"--{form}"]))
        out = "".join(map(_indented, ended.out.splitlines(True))) if form == "json" else ended.out
        told.append(f"$ promptctl {shlex.join(words)}  # {form}: {ended.code}\n{out}")
        told += [f"(on standard error:)\n{ended.err}"] if ended.err else []
    snapshot(re.sub(r"(server.version\W+)1\d\.\d+", r"\g<1>18.6", "\n".join(told)), f"cli/{case}")


def _indented(line: str) -> str:
    """A line of JSON, for people to read in a snapshot; what is no JSON fails here."""
    assert line.endswith("}\n")
    return json.dumps(json.loads(line), ensure_ascii=False, indent=2) + "\n"
