"""Refusals: message, exit code, error code and hint."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.commands import check_failure, check_json_failure
from tests.conftest import stable

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

LABEL = "llm_app at db.prod"
NAMES = "names are letters, digits, dot, dash and underscore, in segments joined by /"
URL = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE"


class Case(NamedTuple):
    words: str
    exit_code: int
    code: str
    message: str
    hint: str | None
    before: str = ""


def failing_insert(state: str) -> str:
    """Return SQL that makes every insert of a version fail with an SQLSTATE."""
    return (
        "create function trouble() returns trigger language plpgsql as "
        f"$$ begin raise exception using errcode = '{state}', message = 'trouble'; end $$;"
        "create trigger trouble before insert on promptctl.versions for each row execute function trouble()"
    )


UNKNOWN = f'no prompt "defualt-system-prompt" in {LABEL}', "promptctl show default-system-prompt"
NO_VERSION = f'"code_helper" has no version 99 in {LABEL}', "promptctl show code_helper"
ARCHIVED = "select promptctl.archive('{code_helper}', '{null}')"
ERASED = "select promptctl.erase('default-system-prompt', 1, 'ada', 'a key in it')"
ROUTED = (
    "select promptctl.activate('{code_helper}', '{1}');"
    """select promptctl.set_routes('{default-system-prompt}', '[[{"when": {"a": 1}, "use": "code_helper"}]]')"""
)
DIGITS = "versions are 1 to 2147483647"
CASES = [
    # Not found.
    *(
        Case(f"{command} defualt-system-prompt{version}", 4, "prompt_not_found", *UNKNOWN)
        for command, version in [
            ("show", ""), ("show", "@2"), ("diff", ""), ("history", ""), ("stats", ""), ("activate", "@1"),
            ("rollback", ""), ("delete", "@1"), ("show --at 1h", ""),
        ]
    ),
    Case("activate code_helper@1 defualt-system-prompt@2", 4, "prompt_not_found", *UNKNOWN),
    Case("show zzz", 4, "prompt_not_found", f'no prompt "zzz" in {LABEL}', "promptctl list"),
    Case("show CODE_HELPER", 4, "prompt_not_found", f'no prompt "CODE_HELPER" in {LABEL}',
         "promptctl show code_helper"),
    *(
        Case(words, 4, "version_not_found", *NO_VERSION)
        for words in (
            "show code_helper@99", "activate code_helper@99", "delete code_helper@99", "rollback code_helper --to 99",
            "diff code_helper@99 code_helper@1",
        )
    ),
    Case(
        "diff code_helper", 4, "no_active_version", f'"code_helper" has no active version in {LABEL}',
        "promptctl activate code_helper@1",
    ),
    Case(
        "show default-system-prompt --at 2020-01-01T00:00:00Z", 4, "no_active_version",
        f'"default-system-prompt" had no active version at 2020-01-01T00:00:00Z in {LABEL}',
        "promptctl history default-system-prompt",
    ),
    Case(
        "db grant nobody_here --as viewer", 4, "role_not_found", f'no role "nobody_here" in {LABEL}',
        "promptctl db shell --command 'create role nobody_here login'",
    ),
    Case("db grant 'No Body' --as viewer", 4, "role_not_found", f'no role "No Body" in {LABEL}', None),
    # Refused by a rule.
    Case(
        "rollback code_helper", 5, "nothing_to_roll_back", '"code_helper" has nothing to roll back to',
        "promptctl history code_helper",
    ),
    Case(
        "rollback default-system-prompt --to 3", 5, "nothing_to_roll_back",
        '"default-system-prompt" has no earlier move to version 3',
        "promptctl activate default-system-prompt@3",
    ),
    Case(
        "rollback default-system-prompt --expect 3", 5, "active_version_moved",
        'the active version of "default-system-prompt" is 2, not 3', "promptctl history default-system-prompt",
    ),
    Case(
        "rollback code_helper --expect 3", 5, "active_version_moved",
        'the active version of "code_helper" is none, not 3',
        "promptctl history code_helper",
    ),
    Case(
        "delete default-system-prompt@2", 5, "version_active",
        'default-system-prompt@2 is active, and "default-system-prompt" would have no active version without it',
        "promptctl deactivate default-system-prompt --expect 2",
    ),
    Case("delete support/triage@2", 5, "version_active", "support/triage@2 is a candidate",
         "promptctl split support/triage"),
    Case("rollback code_helper", 5, "nothing_to_roll_back", '"code_helper" has nothing to roll back to',
         "promptctl deactivate code_helper --expect 1", "select promptctl.activate('{code_helper}', '{1}')"),
    Case("deactivate code_helper --expect 2", 5, "active_version_moved",
         'the active version of "code_helper" is 1, not 2',
         "promptctl history code_helper", "select promptctl.activate('{code_helper}', '{1}')"),
    Case("deactivate code_helper support/triage", 5, "route_leads_here",
         '"code_helper" is a target of the route of "default-system-prompt"',
         "promptctl route show default-system-prompt", ROUTED),
    Case("delete code_helper", 5, "route_leads_here",
         '"code_helper" is a target of the route of "default-system-prompt"',
         "promptctl route show default-system-prompt", ROUTED),
    *(
        Case(words, 5, "prompt_archived", '"code_helper" is archived', "promptctl delete --undo code_helper", ARCHIVED)
        for words in ("create code_helper x", "activate code_helper@1", "rollback code_helper",
                      "split code_helper@1 10%", "activate code_helper@1 --dry-run")
    ),
    *(
        Case(words, 4, "no_active_version", f'"code_helper" is archived in {LABEL}',
             "promptctl show code_helper --archived", ARCHIVED)
        for words in ("render code_helper", "resolve code_helper",
                      "diff code_helper")
    ),
    *(
        Case(words, 4, "version_erased", f"default-system-prompt@1 was erased in {LABEL}",
             "promptctl history default-system-prompt", ERASED)
        for words in (
            "show default-system-prompt@1", "render default-system-prompt@1",
            "show default-system-prompt --at 2026-01-03T09:31:30Z", "diff default-system-prompt@1",
            "diff default-system-prompt@2 default-system-prompt@1", "activate default-system-prompt@1",
            "rollback default-system-prompt --to 1", "split default-system-prompt@1 10%",
            "delete --undo default-system-prompt@1",
        )
    ),
    Case("create greeter Taken.", 5, "text_erased",
         "the text of greeter@1 is the text of default-system-prompt@4, which was erased",
         "promptctl history default-system-prompt",
         "select promptctl.create_version('default-system-prompt', 'Taken.');"
         "select promptctl.erase('default-system-prompt', 4, 'ada', 'a key in it')"),
    Case("erase default-system-prompt@1", 2, "reason_missing",
         "erasing default-system-prompt@1 needs a reason: the history keeps it instead of the text",
         'promptctl erase default-system-prompt@1 --reason "why" --dry-run'),
    Case("erase default-system-prompt@2 -r x", 5, "version_active", "default-system-prompt@2 is active",
         "promptctl show default-system-prompt"),
    Case("erase support/triage@2 -r x --dry-run", 5, "version_active", "support/triage@2 is a candidate",
         "promptctl show support/triage"),
    Case(
        "activate default-system-prompt@3", 5, "version_archived", "default-system-prompt@3 is archived",
        "promptctl delete --undo default-system-prompt@3", "select promptctl.retire('default-system-prompt', 3)",
    ),
    Case(
        "create Code_Helper x", 5, "name_differs_only_in_case", '"Code_Helper" differs from "code_helper" only in case',
        "promptctl list",
    ),
    Case(
        "create code_helper another", 5, "no_number_left", '"code_helper" has no version number left',
        "promptctl create under another name",
        "update promptctl.served set next_version = 2147483648 where name = 'code_helper'",
    ),
    Case(
        "db grant postgres --as viewer", 5, "owner_has_every_access",
        '"postgres" owns the schema and has every right already', None,
    ),
    # Usage that a command checks for itself.
    Case("activate code_helper", 2, "version_missing", "activate needs a version: code_helper@VERSION",
         "promptctl show code_helper"),
    Case("activate code_helper 1", 2, "version_missing", "activate needs a version: code_helper@VERSION",
         "promptctl activate code_helper@1"),
    Case("activate code_helper one", 2, "version_missing", "activate needs a version: code_helper@VERSION",
         "promptctl show code_helper"),
    Case("delete code_helper 1", 2, "version_missing", "1 is a version: code_helper@1",
         "promptctl delete code_helper@1"),
    Case("deactivate code_helper@1", 2, "usage", "deactivate needs a name without a version: code_helper",
         "promptctl deactivate code_helper --expect 1"),
    Case("show code_helper@1 --archived", 2, "usage", "--archived lists versions: use the name without @VERSION",
         "promptctl show code_helper --archived"),
    Case("rollback code_helper@1", 2, "usage", "rollback needs a name without a version: code_helper",
         "promptctl rollback code_helper --to 1"),
    Case("rollback code_helper@", 2, "usage", "rollback needs a name without a version: code_helper",
         "promptctl rollback code_helper"),
    Case("rollback code_helper support/triage --to 1", 2, "usage", "--to is for one prompt",
         "promptctl rollback --help"),
    Case("rollback code_helper support/triage --expect 1", 2, "usage", "--expect is for one prompt",
         "promptctl rollback --help"),
    Case("activate code_helper@1 code_helper@1", 2, "named_twice", '"code_helper" is named twice',
         "promptctl activate --help"),
    Case("rollback code_helper code_helper", 2, "named_twice", '"code_helper" is named twice',
         "promptctl rollback --help"),
    *(
        Case(f"show code_helper@{text}", 2, "invalid_version", f'"{shown}" is not a version: {DIGITS}',
             {"-1": "promptctl history code_helper", "01": "promptctl show code_helper@1",
              "'1 '": "promptctl show code_helper@1"}.get(text, "promptctl show code_helper"))
        for text, shown in [
            ("0", "0"), ("-1", "-1"), ("01", "01"), ("2147483648", "2147483648"), ("1e3", "1e3"), ("''", ""),
            ("'1 '", "1 "), ("+1", "+1"), ("1_0", "1_0"), ("٣", "٣"), ("²", "²"), ("1@2", "1@2"), ("0x1", "0x1"),
        ]
    ),
    Case("rollback code_helper --to 1.0", 2, "invalid_version", f'"1.0" is not a version: {DIGITS}',
         "promptctl history code_helper"),
    Case("rollback code_helper --expect none", 2, "invalid_version", f'"none" is not a version: {DIGITS}',
         "promptctl history code_helper"),
    *(
        Case(f"create {name} x", 2, "invalid_name", message, hint)
        for name, message, hint in [
            ("''", "the name is empty", "promptctl create --help"),
            ("'two words'", '"two words" cannot name a prompt: it has " "', NAMES),
            ("n\u0430me", '"n\u0430me" cannot name a prompt: it has "\u0430" (U+0430)', NAMES),
            ("a@1", '"a@1" cannot name a prompt: it has "@"', "promptctl create a x"),
            ("a/", '"a/" cannot name a prompt: a segment is empty or begins with a dot or a dash', NAMES),
            ("/a", '"/a" cannot name a prompt: a segment is empty or begins with a dot or a dash', NAMES),
            ("a//b", '"a//b" cannot name a prompt: a segment is empty or begins with a dot or a dash', NAMES),
            ("../etc", '"../etc" cannot name a prompt: a segment is empty or begins with a dot or a dash', NAMES),
            (".a", '".a" cannot name a prompt: a segment is empty or begins with a dot or a dash', NAMES),
            ("42", '"42" cannot name a prompt: a number is a version', "promptctl create --help"),
            ("v3.txt", '"v3.txt" cannot name a prompt: v3.txt is the name of a file', "promptctl create --help"),
            ("a/V12.md", '"a/V12.md" cannot name a prompt: V12.md is the name of a file', "promptctl create --help"),
            ("a/prompt.yml", '"a/prompt.yml" cannot name a prompt: prompt.yml is the name of a file',
             "promptctl create --help"),
            ("'[bold]x'", '"[bold]x" cannot name a prompt: it has "["', NAMES),
            ("'a\x1b[31mb'", '"a\\x1b[31mb" cannot name a prompt: it has "\\x1b"', NAMES),
            ("'a\u202eb'", '"a\\u202eb" cannot name a prompt: it has "\\u202e"', NAMES),
            ("'a\nb'", '"a\\nb" cannot name a prompt: it has "\\n"', NAMES),
            ("x" * 300, f'the name "{"x" * 79}…" has 300 characters: at most 200 are allowed',
             "promptctl create --help"),
        ]
    ),
    Case("create a x --meta b", 2, "usage", '--meta needs KEY=VALUE, not "b"', "promptctl create --help"),
    Case("create a x --meta =b", 2, "usage", '--meta needs KEY=VALUE, not "=b"', "promptctl create --help"),
    Case("create a x --file y", 2, "usage", "the text is set twice: as an argument and with --file",
         "promptctl create --help"),
    Case("create a --file ''", 2, "usage", "--file is empty", "promptctl create --help"),
    Case("create a x --author ' '", 2, "usage", "--author is empty", "promptctl create --help"),
    Case("create a ''", 2, "empty_content", "the text is empty", "promptctl create --help"),
    Case("create a ' \n\t'", 2, "empty_content", "the text is empty", "promptctl create --help"),
    Case("create a -f /nowhere/at/all", 1, "cannot_read", 'cannot read "/nowhere/at/all": No such file or directory',
         "pass -f a readable file, or - for standard input"),
    Case("create a -f /", 1, "cannot_read", 'cannot read "/": Is a directory',
         "pass -f a readable file, or - for standard input"),
    Case("show code_helper@1 --at 2h", 2, "usage", "--at selects the version by time: use the name without @VERSION",
         "promptctl show code_helper@1"),
    *(
        Case(f"show code_helper --at {text}", 2, "invalid_time", message, hint)
        for text, message, hint in [
            ("soon", '"soon" is not a time', "write 2h, 2026-11-12T09:30:00Z, or 2026-11-12 09:30 for local time"),
            ("''", '"" is not a time', "write 2h, 2026-11-12T09:30:00Z, or 2026-11-12 09:30 for local time"),
            ("-1h", '"-1h" is not a time', "write 2h, 2026-11-12T09:30:00Z, or 2026-11-12 09:30 for local time"),
            ("99999999999d", '"99999999999d" is out of range', "promptctl show --help"),
            ("0001-01-01T00:00:00+14:00", '"0001-01-01T00:00:00+14:00" is out of range', "promptctl show --help"),
        ]
    ),
    Case("sync nowhere", 1, "invalid_folder", 'the folder "nowhere" does not exist', "ls ."),
]  # fmt: skip
TROUBLES = [
    Case("create a x", 1, "disk_full", f"{LABEL}: trouble", "free space on the server's disk", failing_insert("53100")),
    Case("create a x", 5, "conflict", f"{LABEL}: trouble", "run it again", failing_insert("40001")),
    Case("create a x", 5, "conflict", f"{LABEL}: trouble", "run it again", failing_insert("40P01")),
    Case("create a x", 1, "canceled", f"{LABEL}: trouble", "run it again", failing_insert("57014")),
    Case("create a x", 1, "database_error", f"{LABEL}: trouble", "promptctl db status", failing_insert("XX000")),
    Case("create a x", 6, "connection_lost",
         f"{LABEL} ended the connection: trouble; promptctl history shows whether it was made",
         "promptctl db status", failing_insert("57P01")),
]  # fmt: skip


def check(case: Case, promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    """Check both forms of a refusal, and that it changed nothing."""
    if case.before:
        sql.execute(case.before.encode())
    contents = (
        "select * from promptctl.served s left join promptctl.versions v on v.name = s.name order by 1, v.version"
    )
    before = sql.execute(contents).fetchall()
    words = shlex.split(case.words)
    error_text = stable(check_failure(promptctl(*words), case.exit_code).err)
    assert error_text == f"error: {stable(case.message)}\n" + (f"hint:  {case.hint}\n" if case.hint else "")
    document = check_json_failure(promptctl(*words, "--json"), case.exit_code)
    # A corrected command line keeps all its options.
    assert (document["code"], (document["hint"] or "").removesuffix(" --json") or None) == (case.code, case.hint)
    assert stable(document["message"]) == stable(case.message)
    assert sql.execute(contents).fetchall() == before


def case_id(case: Case) -> str:
    return f"{case.code}: {case.words[:40]!r}"


@pytest.mark.parametrize("case", CASES, ids=case_id)
def test_a_refusal_has_a_message_a_code_and_a_hint_as_text_and_json(
    case: Case, demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    check(case, demo, sql)


@pytest.mark.parametrize("case", TROUBLES, ids=case_id)
def test_a_server_error_has_a_message_a_code_and_a_hint_as_text_and_json(
    case: Case, separate_database: None, demo: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    check(case, demo, sql)


def test_a_command_on_several_prompts_is_refused_completely(demo: Promptctl, sql: psycopg.Connection[Any]) -> None:
    before = sql.execute("select * from promptctl.served order by name").fetchall()
    check_failure(demo("activate", "code_helper@1", "default-system-prompt@99"), 4)
    check_failure(demo("rollback", "default-system-prompt", "code_helper"), 5)
    assert sql.execute("select * from promptctl.served order by name").fetchall() == before
    assert sql.execute("select count(*) from promptctl.releases").fetchone() == (1,)


@pytest.mark.parametrize(
    "hinted",
    ["activate default-system-prompt 3", "rollback default-system-prompt@1", "show defualt-system-prompt",
     "delete default-system-prompt@2", "rollback default-system-prompt --to 3", "diff code_helper"],
)  # fmt: skip
def test_a_hint_that_is_a_command_succeeds(hinted: str, demo: Promptctl) -> None:
    hint = demo(*hinted.split()).err.splitlines()[1].removeprefix("hint:  promptctl ")
    assert demo(*shlex.split(hint)).code == 0
