"""Bug reports, incomplete installations, `diff`, `sync`, and the commands of the embedded server."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptctl import __version__, requirements
from tests.cli.conftest import NO_LIBPQ
from tests.commands import check_failure, check_json_failure
from tests.conftest import Promptctl, stable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Python code after which schema.sql cannot be opened.
NO_SCHEMA_FILE = """
import builtins
opened = builtins.open

def without_schema_file(path, *arguments, **options):
    if str(path).endswith("schema.sql"):
        raise FileNotFoundError(path)
    return opened(path, *arguments, **options)

builtins.open = without_schema_file
"""
BUG = """
from promptctl.store import prompt_lists
def broken(*_):
    raise KeyError("first line\\nsecond \\x1b[31mline")
prompt_lists.list_prompts = broken
"""


def test_a_bug_is_a_one_line_error_with_exit_code_70(
    promptctl: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    ended = check_failure(promptctl("list", env=startup_code(BUG)), 70)
    [path] = (promptctl.home / ".local/state/promptctl").iterdir()
    message = "error: this is a bug in promptctl: KeyError in promptctl/cli/commands/list_.py, line "
    assert re.fullmatch(f"{re.escape(message)}[0-9]+\nhint:  report it with the output of: cat {path}\n", ended.err)
    error = check_json_failure(promptctl("list", "--json", env=startup_code(BUG)), 70)
    assert error["code"] == "bug"
    assert Path(error["hint"].rpartition(" ")[2]).read_text().startswith(f"promptctl {__version__}\n")


def test_a_variable_makes_a_bug_print_its_traceback(
    promptctl: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    ended = promptctl("list", env={**startup_code(BUG), "PROMPTCTL_TRACEBACK": "1"})
    assert ended.code == 70
    assert ended.err.startswith("Traceback (most recent call last):\n")
    assert ended.err.splitlines()[-1].startswith("hint:  ")


SECRET = "hunter2-xyzzy"
LEAKING = """
from promptctl.store import versions
def broken(*given, **named):
    kept = [given, named]
    try:
        {}["hunter2-xyzzy"]
    except KeyError as error:
        error.add_note("hunter2-xyzzy")
        raise ValueError("hunter2-xyzzy", kept) from error
versions.create = broken
"""


def test_a_bug_report_contains_no_arguments_or_content(
    promptctl: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    url = promptctl.extra["DATABASE_URL"]
    assert url is not None
    url = url.replace("postgresql://postgres@", f"postgresql://postgres:{SECRET}@")
    assert SECRET in url
    (promptctl.home / f"{SECRET}.txt").write_text(SECRET)
    env = startup_code(LEAKING) | {
        "ANTHROPIC_API_KEY": SECRET,
        "PROMPTCTL_AUTHOR": SECRET,
        "XDG_STATE_HOME": "relative",
    }
    options = ("--description", SECRET, f"--meta=a={SECRET}", "--reason", SECRET, "--activate", "--database-url", url)
    output = ""
    for words in (("-f", f"{SECRET}.txt"), ("--", SECRET), ("--text", SECRET)):
        for form in ((), ("--json",), ("-v",)):
            ended = promptctl("create", SECRET, *options, *form, *words, env=env)
            assert (ended.code, ended.out) == (70, ""), ended
            output += ended.err
    reports = [*(promptctl.home / ".local/state/promptctl").iterdir()]
    assert len(reports) == 9
    assert {report_path.stat().st_mode & 0o777 for report_path in reports} == {0o600}
    report = reports[0].read_text()
    for report_path in reports:
        output += report_path.read_text()
    assert SECRET not in output
    assert "command: promptctl create … --description … --meta=… --reason … --activate --database-url … " in report
    for part in ("KeyError\nthe cause of:\n", "ValueError\n", "  sitecustomize.py, line 9, in broken\n", "\nlibpq: ",
                 "\nPython 3.", "\npsycopg 3.", "promptctl/cli/endings.py, line ", "DATABASE_URL, "):  # fmt: skip
        assert part in report, report
    assert str(promptctl.home) not in report


def test_a_bug_report_is_printed_if_its_folder_is_unusable(
    promptctl: Promptctl, startup_code: Callable[[str], dict[str, str | None]], tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "promptctl").symlink_to(elsewhere)
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (tmp_path / "file").write_text("")
    for state in ("linked", "open", "file", "file/below", "open/below"):
        ended = promptctl("list", env={**startup_code(BUG), "XDG_STATE_HOME": str(tmp_path / state)})
        assert ended.code == 70
        assert ended.err.startswith(f"promptctl {__version__}\n"), state
        assert ended.err.splitlines()[-1] == "hint:  report it with the lines above"
        assert "command: promptctl list\n" in ended.err
    assert [*elsewhere.iterdir(), *open_to_all.iterdir()] == []


def test_the_newest_ten_bug_reports_are_kept_even_of_concurrent_commands(
    promptctl: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    folder = promptctl.home / ".local/state/promptctl"
    folder.mkdir(parents=True)
    older = [f"bug-20260101T0000{n:02}.000000Z-1.log" for n in range(12)]
    for name in (*older, "notes.txt"):
        (folder / name).write_text("kept")
    processes = [promptctl.start("list", env=startup_code(BUG)) for _ in range(2)]
    for process in processes:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 70
        assert Path(err.decode().split()[-1]).exists()
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 11
    assert names[:8] == older[4:]
    assert names[-1] == "notes.txt"


def test_memory_and_recursion_errors_are_reported_like_bugs(
    promptctl: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    for fault in ("MemoryError()", "RecursionError('deep')", "SystemError('x')"):
        env = startup_code(BUG.replace('KeyError("first line\\nsecond \\x1b[31mline")', fault))
        assert check_failure(promptctl("list", env=env), 70).err.startswith("error: this is a bug in promptctl: ")


@pytest.mark.parametrize(
    ("fault", "words", "code", "message", "hint"),
    [
        (
            NO_SCHEMA_FILE,
            ["db", "schema"],
            "installation_damaged",
            "schema.sql is missing from this installation of promptctl",
            "install promptctl again, from where it was installed",
        ),
        (
            f"{NO_LIBPQ}\nimport sys\nsys.modules['psycopg'] = None",
            ["list"],
            "libpq_missing",
            "libpq, PostgreSQL's client library, is not installed",
            requirements.install_command("psycopg"),
        ),
    ],
)
def test_an_incomplete_installation_names_the_missing_part(
    fault: str, words: list[str], code: str, message: str, hint: str, promptctl: Promptctl,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:  # fmt: skip
    assert check_failure(promptctl(*words, env=startup_code(fault)), 1).err == f"error: {message}\nhint:  {hint}\n"
    assert check_json_failure(promptctl(*words, "--json", env=startup_code(fault)), 1) == {
        "code": code, "message": message, "hint": hint,
    }  # fmt: skip


def test_diff_exit_code_is_3_if_versions_differ(demo: Promptctl) -> None:
    one, two = "default-system-prompt@1", "default-system-prompt@2"
    assert [demo("diff", one, two).code, demo("diff", one, two, "--exit-code").code] == [0, 3]
    assert demo("diff", one, two, "--exit-code", "--json").code == 3
    assert demo("diff", one, two, "--exit-code", "-q").out == f"{one} {two}\n"
    same = demo("diff", one, one, "--exit-code")
    assert (same.code, same.out, same.err) == (0, "", "")


def test_patch_can_apply_a_diff(promptctl: Promptctl) -> None:
    if shutil.which("patch") is None:
        pytest.skip("patch is not on this machine")
    texts = ["one\ntwo\nthree\n\x0cfour\u2028\nfive", "one\n2\nthree\n\x0cfour\u2028\nfive\nsix\n"]
    for text in texts:
        assert promptctl("create", "x", stdin=text).code == 0
    (promptctl.home / "file").write_text(texts[0])
    difference = promptctl("diff", "x@1", "x@2").out
    subprocess.run(["patch", "file"], input=difference, text=True, cwd=promptctl.home, check=True, capture_output=True)
    assert (promptctl.home / "file").read_text() == texts[1]


@pytest.fixture
def folder(promptctl: Promptctl) -> Path:
    """A folder with one prompt."""
    path = promptctl.home / "prompts" / "greeter"
    path.mkdir(parents=True)
    (path / "v1.txt").write_text("Be kind.\n")
    (path / "prompt.yaml").write_text("active: 1\n")
    return path


def test_the_output_of_sync_in_every_form(folder: Path, promptctl: Promptctl, snapshot: Callable[..., None]) -> None:
    outputs: list[str] = []
    for words in (["--dry-run"], ["--check"], ["--check", "--json"], [], ["--check"], ["--json"], ["-q"]):
        ended = promptctl("sync", "prompts", "--source", "tests", *words)
        outputs.append(f"$ promptctl sync prompts {' '.join(words)}  # piped: {ended.code}\n{ended.out}{ended.err}")
    (folder / "v2.txt").write_text("Be brief.\n")
    (folder / "v1.txt").write_text("Be mean.\n")
    for form in ([], ["--json"]):
        conflict = promptctl("sync", "prompts", "--source", "tests", *form)
        outputs.append(
            f"$ promptctl sync prompts {' '.join(form)}  # piped: {conflict.code}\n{conflict.out}{conflict.err}"
        )
    screen = promptctl.on_terminal("sync", "prompts", "--source", "tests")
    outputs.append(f"$ promptctl sync prompts  # terminal: {screen.code}\n{screen.out}")
    snapshot("\n".join(outputs), "cli/sync")
    assert promptctl("show", "greeter").out == "Be kind.\n"


def test_sync_in_a_broken_git_repository_needs_a_source(folder: Path, promptctl: Promptctl) -> None:
    (promptctl.home / ".git").mkdir()
    error = check_json_failure(promptctl("sync", "prompts", "--json"), 1)
    assert error["code"] == "git_failed"
    assert error["message"].startswith(f"git fails in the repository {promptctl.home}: ")
    assert error["hint"] == "git -C prompts status"
    assert promptctl("sync", "prompts", "--source", "tests").code == 0


@pytest.fixture
def embedded() -> Iterator[Promptctl]:
    """The command line with an embedded server of its own, where the server's user can reach it."""
    home = Path(tempfile.mkdtemp(prefix="promptctl-", dir="/tmp"))
    home.chmod(0o755)
    promptctl = Promptctl(home)
    try:
        yield promptctl
    finally:
        promptctl("db", "stop")
        shutil.rmtree(home)


def test_the_output_of_the_commands_of_the_embedded_server(embedded: Promptctl, snapshot: Callable[..., None]) -> None:
    outputs: list[str] = []
    for line in (
        "db start", "db start --json", "db status", "db status --json", "create greeter kind --activate",
        "list -q", "db shell -c \\dn", "db stop", "db stop --json", "db status", "db status --json", "db status -q",
        "show greeter",
    ):  # fmt: skip
        ended = embedded(*line.split())
        outputs.append(f"$ promptctl {line}  # piped: {ended.code}\n{ended.out}{ended.err}")
    screen = embedded.on_terminal("db", "status", columns=200)
    outputs.append(f"$ promptctl db status  # terminal: {screen.code}\n{screen.out}")
    text = "\n".join(outputs).replace(str(embedded.home), "/home/ada")
    snapshot(
        re.sub(r"(server.version\W+)1\d\.\d+", r"\g<1>18.6", re.sub(r"/pg1\d", "/pg18", stable(text))), "cli/embedded"
    )


FAILING_INITDB = """
import subprocess
class Popen(subprocess.Popen):
    def __init__(self, words, *arguments, **named):
        initdb = str(words[0]).endswith("initdb") and "--version" not in words
        super().__init__([*words, *["--no-such-option"] * initdb], *arguments, **named)
subprocess.Popen = Popen
"""


def test_a_failed_initdb_leaves_nothing_that_prevents_the_next_start(
    embedded: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    error = check_json_failure(embedded("db", "start", "--json", env=startup_code(FAILING_INITDB)), 1)
    assert error["code"] == "embedded_initdb_failed"
    assert error["message"].startswith(f"PostgreSQL's initdb failed in '{embedded.home}/promptctl': initdb: ")
    assert embedded("db", "start").code == 0
