"""The output does not depend on the settings of the database or the role."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg

from promptctl import Prompts
from tests.conftest import Ended, Promptctl, copied_database, stable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import Server

    On = Callable[..., Promptctl]
    ClaudeEnv = Callable[..., dict[str, str | None]]

# Every setting that changes how a statement, a value or an answer is read or written, or when a statement is ended.
SETTINGS = {
    "array_nulls": "off",
    "backslash_quote": "off",
    "bytea_output": "escape",
    "check_function_bodies": "off",
    "client_encoding": "LATIN1",
    "client_min_messages": "debug1",
    "datestyle": "'German, DMY'",
    "default_tablespace": "pg_default",
    "default_text_search_config": "'pg_catalog.german'",
    "default_toast_compression": "pglz",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "enable_hashjoin": "off",
    "enable_indexscan": "off",
    "escape_string_warning": "on",
    "extra_float_digits": "'-15'",
    "from_collapse_limit": "1",
    "idle_in_transaction_session_timeout": "'20s'",
    "intervalstyle": "sql_standard",
    "jit": "on",
    "jit_above_cost": "0",
    "lc_messages": "'C'",
    "lc_monetary": "'C'",
    "lock_timeout": "'5s'",
    "plan_cache_mode": "force_generic_plan",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "search_path": "hostile, pg_catalog, public",
    "standard_conforming_strings": "off",
    "statement_timeout": "'50s'",
    "synchronize_seqscans": "off",
    "temp_tablespaces": "pg_default",
    "timezone": "'Asia/Kathmandu'",
    "transform_null_equals": "on",
    "work_mem": "'64kB'",
    "xmloption": "document",
}
# Names that a statement without a schema would find before PostgreSQL's own.
HOSTILE = """
create schema hostile;
create function hostile.now() returns timestamptz language sql as $$ select '1999-01-01'::timestamptz $$;
create function hostile.coalesce_(text) returns text language sql as $$ select 'hostile' $$;
create function hostile.length(text) returns integer language sql as $$ select -1 $$;
create function hostile.array_agg(text) returns text[] language sql as $$ select '{hostile}'::text[] $$;
create function hostile.jsonb_build_object(text, text) returns jsonb language sql as $$ select '{}'::jsonb $$;
create table hostile.versions (name text);
create table hostile.served (name text);
create view hostile.prompts as select 'hostile'::text as name;
"""
TEXTS = {
    "support/triage": "Sort \\textbf{tickets} of {customer} \\n{x}: {{ \\ }} 'a' \"b\" NULL\n",
    "greeter": "Be kind, {user.name}. ${HOME}\n",
}


def answers(command: Promptctl, url: str, folder: Path, claude_env: ClaudeEnv) -> list[tuple[str, Any]]:
    """Run what people and applications do; what each answers, with times and ids left out."""
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "v1.md").write_text(text, encoding="utf-8")
        (folder / name / "v2.md").write_text(f"{text}Second.\n", encoding="utf-8")
    plain = folder.parent / f"{folder.name}.txt"
    plain.write_text("A {mood} \\frac{a}{b} text, b\u00fccher \u2603.\n", encoding="utf-8")
    seen: list[tuple[str, Any]] = []

    def run(*words: str, env: dict[str, str | None] | None = None) -> None:
        ended: Ended = command(*words, env=env)
        out, err = (stable(text.replace(str(folder), "FOLDER")) for text in (ended.out, ended.err))
        out = re.sub(r'"database_user": "\w+"', '"database_user": ""', out)
        # How long this test's own calls took.
        out = re.sub(r'("\w*ms\w*": )[\d.]+', r"\g<1>0", out) if "stats support/triage" not in " ".join(words) else out
        seen.append((" ".join(words).replace(str(folder), "FOLDER"), (ended.code, out, err)))

    run("db", "init")
    run("db", "init")
    run("sync", str(folder), "--source", "here")
    run("create", "made", "-f", str(plain), "--meta", "share=0.1234567890123456", "--activate", "--reason", "b\\'s")
    run("create", "made", "A {mood} 'text' \\ \"of\" its own")
    run("activate", "made@2", "greeter@1", "--reason", "a \\ b")
    run("split", "greeter@2", "12.5%")
    run("rollback", "made")
    run("chat", "made", "Hello", "--var", "mood=calm", env=claude_env("ok", text="Good day."))
    with Prompts(url, poll_seconds=60) as prompts:
        for score in (None, 0.123456789):
            with prompts.get("greeter", unit="u-1").use() as use:
                use.record(input_tokens=3)
                if score is not None:
                    use.score(score)
        with prompts.get("nowhere", default="Own.").use() as use:
            use.record(model='m "\\ NULL')
        seen.append(("get", (str(prompts.get("greeter", unit="u-1")), prompts.get("made").version)))
        seen.append(("recorded", prompts.flush()))
        seen.append(("dropped", prompts.dropped_uses))
    with psycopg.connect(url, autocommit=True) as connection:
        for milliseconds in (1234.5678901, 1111.1111111):
            connection.execute(
                "select promptctl.record_use('support/triage', 1, 0, response_ms => %s, score => %s)",
                [milliseconds, milliseconds / 7777],
            )
    run("db", "maintain")
    run("show", "made", "--json")
    run("show", "support/triage@1")
    run("list", "--json")
    run("history", "--json")
    run("stats", "greeter", "--json")
    run("stats", "support/triage", "--json")
    run("diff", "made@1", "made@2")
    run("export", str(folder.parent / f"{folder.name}-export"))
    run("sync", str(folder), "--source", "here")
    run("db", "status", "--json")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set extra_float_digits = 1")
        found = connection.execute(
            'select name, version, outcome, score, input_tokens from promptctl.uses order by name collate "C", score'
        )
        seen.append(("uses", found.fetchall()))
    return seen


def test_settings_of_a_database_or_role_do_not_change_the_output(
    promptctl_on: On, server: Server, tmp_path: Path, claude_env: ClaudeEnv
) -> None:
    with copied_database(server, "template1") as plain, copied_database(server, "template1") as odd:
        role = f"{odd}_role"
        expected = answers(promptctl_on(plain), server.url(plain), tmp_path / "plain", claude_env)
        assert [words for words, answer in expected if isinstance(answer, tuple) and answer[0] in (1, 2, 4, 5)] == []
        with psycopg.connect(server.dsn(odd), autocommit=True) as connection:
            connection.execute(f"create role {role} superuser login".encode())
            connection.execute(HOSTILE)
            for number, (name, value) in enumerate(SETTINGS.items()):
                whose = f"role {role}" if number % 2 else f"database {odd}"
                connection.execute(f"alter {whose} set {name} = {value}".encode())
        try:
            found = answers(promptctl_on(odd, role), server.url(odd, user=role), tmp_path / "odd", claude_env)
            for (words, answer), (_, wanted) in zip(found, expected, strict=True):
                assert answer == wanted, words
        finally:
            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                connection.execute(f"drop database {odd} with (force)".encode())
                connection.execute(f"drop role {role}".encode())
