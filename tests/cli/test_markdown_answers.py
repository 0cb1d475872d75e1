"""Every command with a table has `--format markdown`, and its answer is valid Markdown whatever the texts contain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from markdown_it import MarkdownIt

from promptctl.cli.catalogue import COMMANDS
from tests.commands import check_failure, check_json_failure
from tests.schema.run_attempts import BEGUN, end

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl

PARSER = MarkdownIt("commonmark").enable("table")
HOSTILE = "a | b `c` <b>d</b> @ada *e* [f](http://g) \x1b[31m\nnext"
AUTHOR = "eve <e@x.org> *_*"
OUTCOME = '{"verdict": "worse", "change": -0.25, "lower": -0.5, "upper": 0}'
# Without the commands of tests, comparisons and syncs, whose own tests have their Markdown.
LINES = {
    "list": "list",
    "show": "show support",
    "diff": "diff support@1 support@3",
    "history": "history",
    "stats": "stats --all",
    "top": "top --once",
    "test list": "test list",
    "activate": "activate support@1 --dry-run",
    "deactivate": "deactivate support --dry-run",
    "rollback": "rollback support --dry-run",
    "split": "split support",
    "route show": "route show support",
    "route unset": "route unset greeter",
    "resolve": "resolve support --unit u",
    "rollout start": "rollout start greeter@2",
    "rollout status": "rollout status greeter",
    "rollout pause": "rollout pause greeter",
    "rollout resume": "rollout resume greeter",
    "rollout stop": "rollout stop greeter",
    "release list": "release list",
    "release show": "release show 1",
    "release rollback": "release rollback 1 --skip-moved --dry-run",
    "db status": "db status",
    "db verify": "db verify",
}
# They show a table as one of the lines above, after a change or a call, so these tests do not run them.
LIKE_ANOTHER = {"tokens", "test judge", "route set", "rollout tick", "rollout watch"}
OWN_MARKDOWN = {"sync", "compare", "test", "test show"}
# They have no table: sentences, a text, a file, a conversation.
WITHOUT_TABLE = {
    "render", "report", "chat", "test add", "create", "delete", "erase", "export", "completion", "db init",
    "db migrate", "db schema", "db maintain", "db grant", "db dump", "db restore", "db url", "db shell", "db start",
    "db stop",
}  # fmt: skip


def test_a_command_has_a_format_if_it_has_a_table() -> None:
    with_format = {name for name, command in COMMANDS.items() if "--format" in command.own_options}
    assert with_format == LINES.keys() | LIKE_ANOTHER | OWN_MARKDOWN
    assert COMMANDS.keys() - with_format == WITHOUT_TABLE


def test_answers_in_markdown(promptctl: Promptctl, sql: psycopg.Connection[Any], snapshot: Callable[..., None]) -> None:
    make_prompts(sql)
    answers: list[str] = []
    for name, line in LINES.items():
        ended = promptctl(*line.split(), "--format", "markdown")
        assert ended.code == 0, (line, ended.err)
        tokens = PARSER.parse(ended.out)
        blocks = [token.type for token in tokens if token.level == 0]
        assert set(blocks) <= {"table_open", "table_close", "paragraph_open", "inline", "paragraph_close", "fence"}
        assert "table_open" in blocks or name == "db verify", line
        for token in tokens:
            types = {part.type for part in token.children or []}
            assert types <= {"text", "text_special", "hardbreak", "strong_open", "strong_close"}, (line, token.content)
        assert "@ada" not in re.sub(r"(?s)```.*?```", "", ended.out), line
        answers.append(f"promptctl {line} --format markdown\n{ended.out}")
    snapshot(stable("\n".join(answers)), "cli/markdown-answers")
    # It is the same on a terminal, without colors.
    screen = promptctl.on_terminal("list", "--format", "markdown", "--color", "always")
    assert screen.out == promptctl("list", "--format", "markdown").out
    shown = promptctl("show", "support@1", "--format", "markdown")
    assert shown.out.endswith("\n\n```\ntext 1 a | b `c` <b>d</b> @ada *e* [f](http://g) \\x1b[31m\nnext\n```\n")
    assert shown.err == ""
    assert promptctl("show", "support", "--request", "--format", "markdown").out == "```json\n{}\n```\n"
    assert promptctl("stats", "--format", "csv").out == promptctl("stats", "--csv").out
    failed = check_json_failure(promptctl("list", "--format", "markdown", "--json"), 2)
    assert failed["message"] == "use only one of --format markdown and --json"
    for words in (["list"], ["stats"]):
        assert promptctl(*words, "--format", "json").out == promptctl(*words, "--json").out
        assert promptctl(*words, "--format", "text").out == promptctl(*words).out


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("show support --format markdown --quiet", "use only one of --format markdown and --quiet"),
        ("list --format Markdwon", 'invalid format "Markdwon": did you mean markdown? Use text, markdown or json'),
        ("history --format md", 'invalid format "md": did you mean markdown? Use text, markdown or json'),
        ("list --format name", 'invalid format "name": did you mean --quiet? Use text, markdown or json'),
        ("stats --csv --format markdown", "use only one of --format markdown and --csv"),
    ],
)
def test_formats_that_are_refused(unconfigured: Promptctl, line: str, problem: str) -> None:
    assert check_failure(unconfigured(*line.split()), 2).err.startswith(f"error: {problem}\n")


def stable(text: str) -> str:
    """Return a text without the times and the databases that differ from run to run."""
    text = re.sub(r"20\d\d-\d\d-\d\d([ T])\d\d:\d\d:\d\d( UTC|Z)", r"2026-01-03\g<1>09:30:00\2", text)
    text = re.sub(r"(schema|server) version \| [0-9.]+", r"\1 version | N", text)
    return re.sub(r"test\\_\d+\\_\d+[^ |\n]*( on [^ |\n]+)?", "DATABASE", text)


def make_prompts(sql: psycopg.Connection[Any]) -> None:
    """Make two prompts with a split, a route, a release, uses and a test, and hostile texts everywhere."""
    for version in (1, 2, 3):
        sql.execute(
            "select promptctl.create_version('support', %s, %s, %s, %s)",
            [f"text {version} {HOSTILE}", f'{{"model": "m{version}"}}', '{"description": "x | <b>y</b>"}', AUTHOR],
        )
    sql.execute("select promptctl.create_version('greeter', 'Hi.'), promptctl.create_version('greeter', 'Hello.')")
    for version in (1, 2):
        sql.execute(
            "select promptctl.activate(array['support', 'greeter'], array[%s, 1], %s, %s)", [version, AUTHOR, HOSTILE]
        )
    sql.execute("select set_config('promptctl.author', %s, false)", [AUTHOR])
    sql.execute("select set_config('promptctl.reason', %s, false)", [HOSTILE])
    sql.execute("update promptctl.served set candidate_version = 3, basis_points = 2500 where name = 'support'")
    route = '[{"when": {"plan": "a | <b>"}, "use": "greeter@1"}]'
    sql.execute("update promptctl.served set route = %s where name = 'support'", [route])
    sql.execute("select promptctl.record_use('support', 2, 2, 300, 150, 1100), promptctl.record_use('support', 3, 3)")
    sql.execute(BEGUN.encode())
    sql.execute(end(OUTCOME).encode())
    sql.execute("set session_replication_role = replica")
    sql.execute("update promptctl.uses set recorded_at = '2026-01-03 09:30:00+00'")


def test_an_empty_table_is_a_note(promptctl: Promptctl) -> None:
    assert promptctl("create", "greeter", "Hi.").code == 0
    answers = {
        "list zzz": 'no prompt matches "zzz"', "list --archived": "no archived prompt", "history": "nothing has moved",
        "history greeter --since 1d": "greeter has not moved in the last 1d", "release list": "no release yet",
        "route show greeter": "greeter has no route", "show greeter --archived": "no version of greeter is archived",
        "stats --worst 3": "no use in the last 24h failed",
    }  # fmt: skip
    for line, note in answers.items():
        ended = promptctl(*line.split(), "--format", "markdown")
        assert (ended.code, ended.out, ended.err.startswith(note)) == (0, "", True), (line, ended)
