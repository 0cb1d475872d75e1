"""Output to pipes, terminals and files: closed, full, narrow, without colors."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.cli import hints
from promptctl.cli.invocation import Invocation
from promptctl.output import stream
from tests.commands import check_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl

CANNOT_WRITE = "error: cannot write the answer: {}\n"
# A command makes its change before it writes its output.
CHANGES_HINT = "promptctl history shows what was changed"


def shell(promptctl: Promptctl, line: str, **env: str | None) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which `promptctl` is the command line under test."""
    function = f'promptctl() {{ {shlex.join(promptctl.command())} "$@"; }}\n'
    return subprocess.run(
        ["bash", "-c", function + line], check=False, env=promptctl.environment(env), cwd=promptctl.home,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [
        "list", "show default-system-prompt", "history --json", "db schema", "--help", "report --html -",
        "stats --format prometheus", "render default-system-prompt@1",
    ],
)  # fmt: skip
def test_output_to_a_full_disk_is_an_error(words: str, demo: Promptctl) -> None:
    ended = shell(demo, f"promptctl {words} >/dev/full")
    assert ended.returncode == 1
    message = "cannot write the answer: No space left on device"
    if "--json" in words:
        error = json.loads(ended.stderr)["error"]
        assert (error["code"], error["message"], error["hint"]) == ("cannot_write", message, None)
    else:
        assert ended.stderr.endswith(CANNOT_WRITE.format("No space left on device"))


def test_a_change_is_made_even_if_its_output_cannot_be_written(demo: Promptctl) -> None:
    ended = shell(demo, "promptctl activate code_helper@1 >/dev/full")
    error = CANNOT_WRITE.format("No space left on device")
    assert ended.returncode == 1
    assert ended.stderr.endswith(f"{error}hint:  {CHANGES_HINT}\n")
    assert demo("show", "code_helper", "-q").out == "code_helper@1\n"
    ended = shell(demo, "promptctl deactivate code_helper --json >/dev/full")
    assert (ended.returncode, json.loads(ended.stderr.splitlines()[-1])["error"]["hint"]) == (1, CHANGES_HINT)
    assert json.loads(demo("history", "code_helper", "--json").out)["events"][0]["kind"] == "deactivate"


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("create", CHANGES_HINT), ("sync", CHANGES_HINT), ("route set", CHANGES_HINT), ("rollout tick", CHANGES_HINT),
        ("release rollback", CHANGES_HINT), ("erase", CHANGES_HINT), ("chat", None), ("render", None),
        ("rollout status", None), ("test list", None), (None, None),
        # It changes nothing, but the run is stored.
        ("test", "promptctl test list"),
    ],
)  # fmt: skip
def test_the_hint_of_a_missing_answer_depends_on_the_command(command: str | None, hint: str | None) -> None:
    invocation = Invocation([*(command or "--help").split()])
    invocation.command = command
    failure = stream.write_error(OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(failure, errors.Failed)
    assert hints.explained(failure, invocation).hint == hint


@pytest.mark.parametrize("words", ["list", "activate code_helper@1", "show code_helper@1", "--version", "db status"])
def test_closed_standard_output_is_an_error(words: str, demo: Promptctl) -> None:
    ended = shell(demo, f"promptctl {words} >&-")
    assert (ended.returncode, ended.stdout) == (1, "")
    hint = f"hint:  {CHANGES_HINT}\n" if words.startswith("activate") else ""
    assert ended.stderr.endswith(CANNOT_WRITE.format("Bad file descriptor") + hint)


def test_errors_keep_their_exit_code_if_standard_error_is_closed(demo: Promptctl) -> None:
    for redirection in ("2>&-", "2>/dev/full", ">&- 2>&-", ">&- 2>&- <&-"):
        for form in ("", "--json"):
            ended = shell(demo, f"promptctl show nothing_like_it {form} {redirection}")
            assert (ended.returncode, ended.stdout, ended.stderr) == (4, "", "")


@pytest.mark.parametrize("redirection", ["2>&-", "2>/dev/full", "<&-", "<&- 2>&-"])
def test_a_command_succeeds_without_standard_input_and_standard_error(redirection: str, demo: Promptctl) -> None:
    for line in ("activate code_helper@1 -v", "create code_helper another -v", "show code_helper -q -v"):
        assert shell(demo, f"promptctl {line} {redirection}").returncode == 0
    assert demo("list", "code_helper").out.startswith("code_helper\t1\t2\t2\t")


def test_the_author_from_git_is_used_with_every_stream_closed(demo: Promptctl) -> None:
    ended = shell(
        demo,
        "git config --global user.email git@example.com; promptctl activate code_helper@1 <&- >&- 2>&-; echo $?",
        PROMPTCTL_AUTHOR=None,
    )  # fmt: skip
    assert ended.stdout == "1\n"
    assert json.loads(demo("history", "code_helper", "--json").out)["events"][0]["author"] == "git@example.com"


def test_create_without_text_and_with_closed_input_is_a_usage_error(demo: Promptctl) -> None:
    ended = shell(demo, "promptctl create code_helper <&-")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "error: no text: standard input is closed\nhint:  promptctl create NAME -f FILE\n"


@pytest.mark.parametrize("words", ["show big@1", "list", "history", "db schema", "show big@1 --json", "--help"])
def test_a_closed_pipe_ends_a_command_without_an_error_message(words: str, demo: Promptctl) -> None:
    demo("create", "big", "-f", "-", stdin="line\n" * 200_000)
    process = shell(demo, f"promptctl {words} | head -c 1 >/dev/null; echo ${{PIPESTATUS[0]}}")
    assert not any(word in process.stderr for word in ("error", "Traceback"))
    # A command whose whole output fits into the pipe ends with 0.
    assert process.stdout in ("0\n", "141\n")


def test_a_closed_pipe_gives_exit_code_141(demo: Promptctl) -> None:
    demo("create", "big", "-f", "-", stdin="line\n" * 200_000)
    completed = shell(demo, "promptctl show big@1 2>/dev/null | head -1; echo ${PIPESTATUS[0]}")
    assert (completed.stdout, completed.stderr) == ("line\n141\n", "")
    reading, writing = os.pipe()
    os.close(reading)
    process = demo.start("list", stdout=writing)
    os.close(writing)
    _, err = process.communicate()
    assert (process.returncode, err) == (141, b"")


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "nonsense", ""])
def test_output_does_not_depend_on_the_locale(locale: str, promptctl: Promptctl) -> None:
    env: dict[str, str | None] = {"LC_ALL": locale, "LANG": None, "PYTHONIOENCODING": "ascii"}
    ended = promptctl("create", "x", "日本 é", "--activate", "-r", "wegen ü", env=env)
    assert ended.code == 0
    assert promptctl("show", "x", env=env).out == "日本 é"
    assert "\t日本\t" not in promptctl("history", "x", env=env).out
    assert promptctl("history", "x", env=env).out.endswith("\twegen ü\n")
    assert "none → 1" in promptctl("history", "x", env=env).out
    assert json.loads(promptctl("show", "x@1", "--json", env=env).out)["content"] == "日本 é"
    assert check_failure(promptctl("show", "ü", env=env), 2).err.startswith('error: "ü" cannot name a prompt')


def has_colors(promptctl: Promptctl, **env: str | None) -> bool:
    seen = promptctl.on_terminal("show", "default-system-prompt", env=env).out
    failed = promptctl.on_terminal("show", "nothing_like_it", env=env).out
    assert ("\x1b[" in seen) == ("\x1b[" in failed)
    return "\x1b[" in seen


def test_colors_depend_on_term_and_no_color(demo: Promptctl) -> None:
    assert has_colors(demo, TERM="xterm-256color")
    assert not has_colors(demo, TERM="xterm-256color", NO_COLOR="1")
    assert has_colors(demo, TERM="xterm-256color", NO_COLOR="")
    assert not has_colors(demo, TERM="dumb")
    assert not has_colors(demo, TERM="")
    assert not has_colors(demo, TERM=None)
    assert "\x1b" not in demo("show", "nothing_like_it", env={"TERM": "xterm-256color"}).err


def test_changed_words_are_highlighted_in_a_diff_on_a_terminal(demo: Promptctl) -> None:
    seen = demo.on_terminal("diff", "default-system-prompt@1", "default-system-prompt@2", env={"TERM": "xterm"}).out
    assert "\x1b[1;7;31mhelpful\x1b[0m" in seen
    assert "\x1b[1;7;32mconcise\x1b[0m" in seen


NARROW = [
    ["list"], ["show", "default-system-prompt"], ["history"], ["history", "default-system-prompt"], ["stats"],
    ["stats", "default-system-prompt"], ["diff", "default-system-prompt"], ["show", "defualt-system-prompt"],
    ["db", "status"],
]  # fmt: skip


@pytest.mark.parametrize("columns", [60, 40, 20])
def test_a_narrow_terminal_shows_everything(columns: int, demo: Promptctl, snapshot: Callable[..., None]) -> None:
    outputs: list[str] = []
    for words in NARROW:
        screen = demo.on_terminal(*words, columns=columns)
        outputs.append(f"$ promptctl {shlex.join(words)}\n{screen.out}")
    snapshot("\n".join(outputs), f"cli/narrow-{columns}")


def test_long_names_and_wide_characters_stay_in_their_columns(
    promptctl: Promptctl, sql: psycopg.Connection[Any], snapshot: Callable[..., None]
) -> None:
    for name, description, author in (
        ("a" * 60, "日本語の説明、とても長いので一行には入りません。", "田中@example.com"),
        ("b", "e\u0301 combining, and a family: \U0001f468\u200d\U0001f469\u200d\U0001f467", "x" * 100),
        ("c/d", "short", "y"),
    ):
        assert promptctl("create", name, "x", "-d", description, "--author", author, "--activate").code == 0
    sql.execute(
        "set session_replication_role = replica; update promptctl.served set updated_at = '2026-01-03';"
        "update promptctl.versions set created_at = '2026-01-03';"
        "update promptctl.allocations set changed_at = '2026-01-03'"
    )
    told = [
        f"$ promptctl {shlex.join(words)}  # {columns} columns\n{promptctl.on_terminal(*words, columns=columns).out}"
        for columns in (120, 80)
        for words in (["list"], ["history"], ["show", "a" * 60], ["show", "b"])
    ]
    snapshot("\n".join(told), "cli/wide")


@pytest.mark.parametrize("setting", ["junk", "0", "-5", "", "99999999999999999999", "1e3", "12.5"])
def test_an_invalid_terminal_width_is_ignored(setting: str, demo: Promptctl) -> None:
    screen = demo.on_terminal("list", env={"COLUMNS": setting})
    headings = "NAME                   ACTIVE  LATEST  VERSIONS  UPDATED      SPLIT"
    assert (screen.code, screen.out.splitlines()[0]) == (0, headings)


def test_the_variable_columns_overrides_the_width_of_the_terminal(demo: Promptctl) -> None:
    assert demo.on_terminal("list", env={"COLUMNS": "20"}).out.startswith("code_helper\n  latest 1")


def test_commands_on_an_empty_database_print_how_to_begin(promptctl: Promptctl, snapshot: Callable[..., None]) -> None:
    outputs = [
        f"$ promptctl {words}\n{promptctl.on_terminal(*words.split()).out}"
        for words in ("list", "list x", "history", "stats", "db status")
    ]
    snapshot("\n".join(outputs), "cli/empty")
    for words in ("list", "history", "stats"):
        assert promptctl(words) == promptctl(words, "--quiet")
        assert json.loads(promptctl(words, "--json").out)["count"] == 0


def test_commands_work_in_a_deleted_working_directory(demo: Promptctl) -> None:
    line = "mkdir gone; cd gone; rmdir ../gone; promptctl {}"
    assert shell(demo, line.format("list -q")).stdout.startswith("code_helper\n")
    assert shell(demo, line.format("activate code_helper@1 -q"), PROMPTCTL_AUTHOR=None).stdout == "code_helper@1\n"
    failure = shell(demo, line.format("sync"))
    assert (failure.returncode, failure.stdout) == (1, "")
    assert failure.stderr.startswith("error: the working directory does not exist any more")
    assert shell(demo, line.format("create x -f y")).returncode == 1
    relative = shell(demo, line.format("list"), DATABASE_URL=None, PROMPTCTL_HOME="data")
    assert (relative.returncode, relative.stdout) == (1, "")
    assert "error: the working directory does not exist any more" in relative.stderr


def test_a_user_without_a_home_directory_gets_an_error_and_no_folder(
    unconfigured: Promptctl, demo: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    nameless = startup_code("import os\nos.geteuid = os.getuid = lambda: 54321\n") | {"PROMPTCTL_HOME": None}
    expected = (
        "error: there is no home directory for the embedded database\n"
        "hint:  set PROMPTCTL_HOME to the path of a directory, or set DATABASE_URL\n"
    )
    before = sorted(unconfigured.home.iterdir())
    for home in ({"HOME": None}, {"HOME": "relative"}, {"HOME": "~"}):
        for words in (["list"], ["create", "x", "text"], ["db", "status"], ["db", "start"], ["db", "stop"]):
            assert check_failure(unconfigured(*words, env=nameless | home), 1).err == expected, (home, words)
        # With a database that is configured, no home directory is needed.
        assert demo("list", "-q", env=nameless | home).out.startswith("code_helper\n")
        assert demo("sync", "nowhere", env=nameless | home).code == 1
    assert sorted(unconfigured.home.iterdir()) == before


def test_a_terminal_shows_the_newest_twenty_rows_and_a_pipe_all(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute(
        "select promptctl.create_version('x', 'text ' || n, author => 'me', activated => true) "
        "from generate_series(1, 22) n order by n"
    )
    assert promptctl.on_terminal("history", "x").out.count(" → ") == 20
    assert promptctl.on_terminal("history", "x").out.endswith("\n2 older: --limit 0 shows all\n")
    assert promptctl.on_terminal("history", "x", "--limit", "0").out.count(" → ") == 22
    assert promptctl("history", "x").out.count(" → ") == 22
    assert "2 older: --limit 0 shows all" in promptctl.on_terminal("show", "x").out
    assert "older" not in promptctl.on_terminal("show", "x", "-n", "0").out
    assert len(json.loads(promptctl("show", "x", "--json").out)["versions"]) == 22
    newest = json.loads(promptctl("show", "x", "--json", "--limit", "2").out)
    assert [version["version"] for version in newest["versions"]] == [22, 21]


def test_show_includes_the_active_version_behind_many_newer_ones(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute(
        "select promptctl.create_version('many', 'text ' || n, '{\"model\": \"m-1\"}', '{}', 'ada', "
        "activated => n = 2) from generate_series(1, 40) n"
    )
    sql.execute("select promptctl.split('many', 2500, 5, null, 'bob')")
    seen = promptctl.on_terminal("show", "many", columns=100).out
    lines = seen.splitlines()
    assert lines[0].startswith("many: version 2 is active, activated ")
    assert lines[0].endswith(" by ada; version 5 gets 25%; model m-1")
    numbers = [line.removeprefix("*").split()[0] for line in lines[3:26]]
    assert numbers == [*(str(n) for n in range(40, 20, -1)), "…", "5", "…"]
    assert lines[26].startswith("*       2 ")
    assert "18 older: --limit 0 shows all" in seen
    assert "…" not in promptctl.on_terminal("show", "many", "--limit", "0", columns=100).out
    held = [each["version"] for each in json.loads(promptctl("show", "many", "--json", "--limit", "1").out)["versions"]]
    assert held == [40, 5, 2]
    assert promptctl.on_terminal("show", "code_helper").code == 4


def test_a_version_active_before_the_first_sync_is_shown_as_held(promptctl: Promptctl) -> None:
    """Such a folder was never applied, but show, list and stats name the version in it."""
    folder = promptctl.home / "prompts" / "held"
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"v{number}.txt").write_text(f"text {number}\n")
        assert promptctl("create", "held", "-f", f"prompts/held/v{number}.txt").code == 0
    (folder / "prompt.yaml").write_text("active: 2\n")
    assert promptctl("activate", "held@1").code == 0
    for _ in range(2):
        assert "held at 1, the folder names 2" in promptctl("sync", "prompts").out
        assert json.loads(promptctl("show", "held", "--json").out)["source_version"] == 2
    assert promptctl("show", "held").err.endswith("; held, the folder names 2\n")
    assert promptctl("list").out.split("\t")[7] == "2\n"
    assert promptctl("stats").err == "held is held, the folder names 2\n"
    # Where nothing is active, nothing is held: the next sync activates what the folder names.
    assert promptctl("deactivate", "held").code == 0
    assert json.loads(promptctl("show", "held", "--json").out)["source_version"] is None
    assert "the folder names" not in promptctl("list").out + promptctl("stats").err
    assert "activate 2 (none active)" in promptctl("sync", "prompts", "--dry-run").out
    assert promptctl("activate", "held@1").code == 0
    # The operator activates the version that the folder names, which ends the hold.
    assert promptctl("activate", "held@2").code == 0
    assert "no changes" in promptctl("sync", "prompts").err
    assert json.loads(promptctl("show", "held", "--json").out)["source_version"] is None


def test_the_first_line_of_show_names_a_route_and_a_hold_in_every_form(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    (promptctl.home / "prompts" / "held").mkdir(parents=True)
    for number in (1, 2):
        (promptctl.home / "prompts" / "held" / f"v{number}.txt").write_text(f"text {number}\n")
    (promptctl.home / "prompts" / "held" / "prompt.yaml").write_text("active: 2\n")
    assert promptctl("sync", "prompts", "--force").code == 0
    assert promptctl("activate", "held@1").code == 0
    sql.execute(
        'select promptctl.set_routes(\'{held}\', \'[[{"when": {"plan": "x"}, "use": "held@2"}]]\', \'ada\', null)'
    )
    ending = "; a route of 1 step; held, the folder names 2"
    assert promptctl.on_terminal("show", "held", columns=120).out.splitlines()[0].endswith(ending)
    piped = promptctl("show", "held")
    assert piped.out == "text 1\n"
    assert piped.err.startswith("held: version 1 is active, activated at 20")
    assert piped.err.endswith(ending + "\n")
    document = json.loads(promptctl("show", "held", "--json").out)
    assert (document["active_version"], document["route_steps"], document["source_version"]) == (1, 1, 2)
    assert promptctl("list").out.split("\t")[6:] == ["1", "2\n"]
    said = "held has a route of 1 step: promptctl route show held\nheld is held, the folder names 2\n"
    for words in (["stats"], ["stats", "held"]):
        assert promptctl(*words).err == said
        assert promptctl.on_terminal(*words, columns=120).out.endswith(said)
    # The statistics of all prompts omit a version that was never used, unless it is active.
    assert [version["version"] for version in json.loads(promptctl("stats", "--json").out)["versions"]] == [1]
    assert "\n1 version was never used: --all shows them\n" in promptctl.on_terminal("stats").out
    for words in (["stats", "--all"], ["stats", "held"]):
        assert [version["version"] for version in json.loads(promptctl(*words, "--json").out)["versions"]] == [2, 1]
    assert promptctl.on_terminal("list", columns=80).out.splitlines()[1].endswith("      1  folder 2")
    inactive = promptctl("show", "held@2")
    assert inactive.out == "text 2\n"
    assert inactive.err.startswith("held@2: not active; created at 20")
    assert promptctl("show", "held@2", "-q").err == promptctl("show", "held@2", "--json").err == ""
    sql.execute("select promptctl.create_version('long', 't', '{}', '{}', repeat('a', 300), activated => true)")
    assert len(promptctl.on_terminal("show", "long", columns=200).out.splitlines()[0]) < 110
