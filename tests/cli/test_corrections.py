"""Command lines in the style of other tools: unambiguous ones are executed, others get a hint to paste."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from promptctl.cli import catalogue, fast_reader
from promptctl.cli.catalogue import COMMANDS
from promptctl.cli.correction import lines, synonyms
from tests.commands import check_failure

if TYPE_CHECKING:
    from tests.conftest import Promptctl

# A command line, and the one that is printed as a hint.
HINTS: dict[str, str | None] = {
    # Commands.
    **{f"{word} D": "show D" for word in ["get", "cat", "view", "print", "describe", "versions", "status", "version"]},
    **{f"{word} D@3": "activate D@3" for word in ["use", "set", "promote", "deploy", "publish", "switch", "checkout"]},
    **{f"{word} D": "rollback D" for word in ["revert", "undo"]},
    **{f"{word} D@2": "delete D@2" for word in ["rm", "remove", "archive", "purge"]},
    "restore D@2": "delete D@2 --undo",
    "log D": "history D",
    "log": "history",
    "ls": "list",
    "search support": "list support",
    **{f"{word} D 'Be kind.'": "create D 'Be kind.'" for word in ["add", "new", "edit", "update", "commit"]},
    "edit D": "create D",
    **{f"{word} prompts/": "sync prompts/" for word in ["push", "apply", "import"]},
    "plan": "sync --dry-run",
    "plan prompts/": "sync prompts/ --dry-run",
    "check": "sync --check",
    "pull": "export",
    "experiment D@3 10%": "split D@3 10%",
    "canary D@3 10%": "split D@3 10%",
    "metrics D": "stats D",
    "live": "top",
    "ask D 'Why?'": "chat D 'Why?'",
    "run D": "chat D",
    "versus D": "compare D",
    "version": "--version",
    "status": "db status",
    "whoami": "db status",
    "login": "db status",
    "config": "db status",
    "init": "db init",
    "migrate": "db migrate",
    "upgrade": "db migrate",
    "serve": "db start",
    "psql": "db shell",
    "grant app --as viewer": "db grant app --as viewer",
    "db list": "list",
    "db psql": "db shell",
    "db upgrade": "db migrate",
    "db shel": "db shell",
    "release undo 12": "release rollback 12",
    "release ls": "release list",
    "route list D": "route show D",
    "route edit D -f r.yaml": "route set D -f r.yaml",
    **{f"route {word} D": "route unset D" for word in ["rm", "remove", "delete", "clear", "off"]},
    "rolback D": "rollback D",
    "rm --help": "delete --help",
    # Options.
    "show D --version 3": "show D@3",
    "activate D --version=3 -r why": "activate D@3 -r why",
    "rollback D --version 2": "rollback D --to 2",
    "split D@3 --share 10%": "split D@3 10%",
    "split D@3 --percent 10": "split D@3 10%",
    "stats D --days 7": "stats D --since 7d",
    "stats --hours 3": "stats --since 3h",
    "db maintain --days 30": "db maintain --keep 30d",
    "db url --format json": "db url --json",
    "list -o json": "list --json",
    "show D --output=json": "show D --json",
    "stats --output csv": "stats --csv",
    "activate D@3 -y": "activate D@3",
    "rollback D --yes --no-input": "rollback D",
    "history D --all": "history D --limit 0",
    "history --max 5": "history --limit 5",
    "list --debug": "list --verbose",
    "create D --content 'Be kind.'": "create D --text 'Be kind.'",
    "create D Hi --temperature 0.5": "create D Hi --request-set temperature=0.5",
    "create D Hi --thinking adaptive": "create D Hi --request-set thinking.type=adaptive",
    "create D Hi --effort=low": "create D Hi --request-set output_config.effort=low",
    """create D Hi --tool-choice '{"type": "any"}'""": """create D Hi --request-set 'tool_choice={"type": "any"}'""",
    "create D --input sys.txt": "create D --file sys.txt",
    "chat D --message 'Why?'": "chat D 'Why?'",
    "resolve D --user u1": "resolve D --unit u1",
    "export --output out": "export out",
    "sync --dir prompts": "sync prompts",
    "list --dry-run": "list",
    # References.
    "show D:2": "show D@2",
    "show D:v2": "show D@2",
    "show D#2": "show D@2",
    "show D@": "show D",
    "show D@02": "show D@2",
    "activate D 3": "activate D@3",
    "activate D v3": "activate D@3",
    "activate A 3 B 4": "activate A@3 B@4",
    "delete D@#2": "delete D@2",
    "split D 3 10%": "split D@3 10%",
    "split D off": "split D --off",
    "diff D 2": "diff D@2",
    "rollback D 1": "rollback D --to 1",
    "stats D@2": "stats D",
    "deactivate D@2": "deactivate D --expect 2",
    "history D@2": "history D",
    "create D@3 'Be kind.'": "create D 'Be kind.'",
    "resolve D u1": "resolve D --unit u1",
    "render D name=Bob": "render D --var name=Bob",
    "route set D r.yaml": "route set D --file r.yaml",
    "route set D -": "route set D --file -",
    "db grant app viewer": "db grant app --as viewer",
    "db grant app": "db grant app --as application",
    "db grant app --as": "db grant app --as application",
    "db grant app --as readonly": "db grant app --as viewer",
    "db grant app --as cron": "db grant app --as ticker",
    "show 'D @2'": "show D@2",
    "show 'D@2 '": "show D@2",
    "show D@2.0": "show D@2",
    "show prompts/a/D/v2.txt": "show a/D@2",
    "delete D@1 2": "delete D@1 D@2",
    "delete D v1": "delete D@1",
    "deactivate D 2": "deactivate D --expect 2",
    "rollback D v1": "rollback D --to 1",
    "rollback D --to-revision=1": "rollback D --to 1",
    "rollback D --to previous": "rollback D",
    **{f"activate D {option} 3": "activate D@3" for option in synonyms.VERSION_OPTIONS},
    "activate --name D --version 3": "activate D@3",
    "diff D 1..2": "diff D@1 D@2",
    "diff D@1..2": "diff D@1 D@2",
    "diff D@1..D@2": "diff D@1 D@2",
    "split D@3:10": "split D@3 10%",
    "split D@3=10%": "split D@3 10%",
    "split D@3 10 percent": "split D@3 10%",
    "split D@3 50/50": "split D@3 50%",
    "split D --stop": "split D --off",
    "chat D 2 hi": "chat D@2 hi",
    'render D --vars \'{"user": "x"}\'': "render D --var user=x",
    "route set D []": "route unset D",
    "route D": "route show D",
    "route D r.yaml": "route set D --file r.yaml",
    "route list": "list",
    "release 3": "release show 3",
    "release rollback v3": "release rollback 3",
    "db grant app admin": "db grant --help",
    # Kinds of things, and verbs.
    "get prompts": "list",
    "get prompt D": "show D",
    "prompt list": "list",
    "prompts list": "list",
    "prompt create D 'Be kind.'": "create D 'Be kind.'",
    "versions list D": "show D",
    "rollout undo D": "rollback D",
    "rollout history D": "history D",
    "rollout D@3": "rollout start D@3",
    "rollout D": "rollout status D",
    "rollout show D": "rollout status D",
    "rollout ls": "rollout status",
    "rollout abort D": "rollout stop D",
    "rollout continue D": "rollout resume D",
    "rollout strat D@3": "rollout start D@3",
    "rollouts": "rollout status",
    "ramp D@3": "rollout start D@3",
    "pause D": "rollout pause D",
    "config view": "db status",
    "depoly D@2": "activate D@2",
    "log --oneline": "history --help",
    "pull origin main": "export --help",
    # Options of other tools that say nothing of their own here, or what ours say.
    **{f"activate D@1 {option}": "activate D@1 --dry-run" for option in ["-n", "--dry", "--what-if", "--check"]},
    "sync -n": "sync --dry-run",
    "history -5": "history --limit 5",
    "log -5": "history --limit 5",
    "list --filter D": "list D",
    "list -l": "list",
    "show D --raw": "show D",
    "show D -o wide": "show D",
    "show D -o yaml": "show D --json",
    "show D --no-color": "show D --color never",
    "stats D 7d": "stats D --since 7d",
    "stats D --since '7 days'": "stats D --since 7d",
    "stats D --group-by day": "stats D --by day",
    "stats D --daily": "stats D --by day",
    # Texts without quotes.
    "rollback D --reason too concise": "rollback D --reason 'too concise'",
    "rollback D --reason=too concise -q": "rollback D --reason 'too concise' -q",
    "activate D@3 --reason too concise": "activate D@3 --reason 'too concise'",
    "chat D what is this": "chat D 'what is this'",
    "create D You are kind": "create D 'You are kind'",
    "create D -d first draft": "create D -d 'first draft'",
    "activate --reason too concise D@3": "activate D@3 --reason 'too concise'",
    "activate -m not safe yet A@3 B@2 -q": "activate A@3 B@2 -m 'not safe yet' -q",
    "erase --reason leaked key D@3": "erase D@3 --reason 'leaked key'",
    "split --reason does it help D@3 10%": "split D@3 10% --reason 'does it help'",
    "split D@3 10% --reason does it help": "split D@3 10% --reason 'does it help'",
    # There is no safe correction of these.
    "activate D": None,
    "activate D@latest": None,
    "split D@3 10% --dry-run": None,
    "create D text --frobnicate": None,
    "list --json=yes": None,
    "frobnicate D": None,
}
# A command line, and the unambiguous one that is executed instead.
ACCEPTED = {
    "show D@v2": "show D@2",
    "show D 2": "show D@2",
    "show D v2 --json": "show D@2 --json",
    "show D @2": "show D@2",
    "show D@active": "show D",
    "render D 2": "render D@2",
    "activate D@v3": "activate D@3",
    "diff D 1 2": "diff D@1 D@2",
    "diff D@1 2": "diff D@1 D@2",
    "diff D@1 @2": "diff D@1 D@2",
    "chat D@1 hi --against @2": "chat D@1 hi --against D@2",
    "rollback D --to v1": "rollback D --to 1",
    "rollback D --to D@1": "rollback D --to 1",
    "rollback D --expect v3": "rollback D --expect 3",
    "--json list": "list --json",
    "-v --database-url postgresql://h/x show D": "show D -v --database-url postgresql://h/x",
}


def split_line(line: str) -> list[str]:
    return shlex.split(line)


def test_commands_of_other_tools_get_the_expected_hint() -> None:
    for line, expected in HINTS.items():
        words = split_line(line)
        corrected = lines.likely_correction(words)
        if expected is None:
            assert corrected is None, (line, corrected)
            continue
        assert corrected is not None, line
        assert shlex.join(corrected) == shlex.join(split_line(expected)) or corrected == split_line(expected), (
            line,
            corrected,
        )
        # The hint is a valid command line, and it disables no check.
        assert fast_reader.read(corrected) is not None or corrected[-1] in ("--help", "--version"), line
        assert not {"--force", "--adopt", "--allow-secrets", "--allow-new-variables"} & set(corrected), line
        assert lines.certain_correction(words) is None, line


def test_unambiguous_variants_are_accepted() -> None:
    for line, expected in ACCEPTED.items():
        assert lines.certain_correction(split_line(line)) == split_line(expected), line


def test_a_valid_command_line_is_not_corrected() -> None:
    for line in ("show D@2", "activate D@3 --reason 'too concise'", "rollback A B --reason why", "list -v",
                 "rollback --reason why A B", "activate --reason why A@1 B@2", "split -r why D@3 10%",
                 "delete --reason why A@1 B", "deactivate -r why A B", "activate A@1 --reason why B@2",
                 "create D -d one 'You are kind.'",
                 "split D@3 --reason why 10%", "chat D 2", "render D --var a=b"):  # fmt: skip
        words = shlex.split(line)
        assert fast_reader.read(words) is not None, line
        assert lines.likely_correction(words) is None, line


def test_synonyms_are_not_commands_and_map_to_commands() -> None:
    for (family, word), target in synonyms.COMMANDS.items():
        assert f"{family} {word}".strip() not in COMMANDS, word
        name = target.partition(" --")[0]
        assert name in COMMANDS or target.startswith("--"), target
    for option in synonyms.OPTIONS.values():
        shared = {"--json", "--verbose", "--quiet", "--color", "--no-pager", "--database-url"}
        assert not option or option in shared or any(option in command.own_options for command in COMMANDS.values()), (
            option
        )
    assert not {word for _, word in synonyms.COMMANDS} & set(catalogue.FAMILIES)


PRINTED_HINTS: dict[tuple[str, ...], tuple[str, str]] = {
    ("rename", "A", "B"): ("a prompt cannot be renamed", "promptctl show A | promptctl create B -f -"),
    ("mv", "A"): ("a prompt cannot be renamed", "promptctl show A | promptctl create NEW -f -"),
    ("cp", "it's", "B"): ("a copy is a new prompt", "promptctl show 'it'\"'\"'s' | promptctl create B -f -"),
    ("db", "reset"): ("promptctl does not empty databases", "promptctl db status"),
    ("tag", "D@2", "prod"): ("a version has no labels", "promptctl create --help"),
    ("redo", "D"): ("to move forward, activate a version", "promptctl history D"),
    ("get", "D"): ('promptctl has no command "get"', "promptctl show D"),
    ("show", "D:2"): ('"D:2" cannot name a prompt', "promptctl show D@2"),
    ("rollback", "D", "--reason", "too", "concise"): (
        "put it in quotes",
        "promptctl rollback D --reason 'too concise'",
    ),
    ("chat", "D", "what", "is", "this"): ("put it in quotes", "promptctl chat D 'what is this'"),
    ("create", "D", "You", "are"): ("put it in quotes", "promptctl create D 'You are'"),
    ("show", "D", "--version", "3"): ('no option "--version"\n', "promptctl show D@3"),
    ("create", "D", "text", "--dry-run"): (
        "release rollback, delete, erase, sync, db migrate have it",
        "promptctl create --help",
    ),
    ("list", "--dry-run"): ("it changes nothing", "promptctl list"),
    ("db", "backup", "x.dump"): ('promptctl db has no command "backup"', "promptctl db dump x.dump"),
    ("db", "load", "x.dump"): ('promptctl db has no command "load"', "promptctl db restore x.dump"),
    ("split", "D@3", "0.1"): ("is either 0.1% or, as a fraction, 10%", "promptctl split D@3 10%"),
    ("split", "D@3", "0,25"): ("is either 0.25% or, as a fraction, 25%", "promptctl split D@3 25%"),
}


@pytest.mark.parametrize("words", PRINTED_HINTS, ids=" ".join)
def test_a_corrected_command_line_is_printed_as_a_hint(words: tuple[str, ...], unconfigured: Promptctl) -> None:
    message, hint = PRINTED_HINTS[words]
    error_text = check_failure(unconfigured(*words), 2).err
    assert message in error_text
    assert error_text.endswith(f"\nhint:  {hint}\n"), error_text


def test_accepted_variants_are_executed(demo: Promptctl) -> None:
    text = demo("show", "default-system-prompt@2").out
    for words in (["show", "default-system-prompt@v2"], ["show", "default-system-prompt", "2"]):
        assert demo(*words).out == text
    assert (
        demo("diff", "default-system-prompt", "1", "2").out
        == demo("diff", "default-system-prompt@1", "default-system-prompt@2").out
    )
    assert demo("--quiet", "list").out == demo("list", "--quiet").out
    assert demo("activate", "default-system-prompt@v3", "-m", "why", "-q").out == "default-system-prompt@3\n"
    # A prompt whose name is a word of the reason is not rolled back.
    demo("create", "concise", "text", "--activate")
    check_failure(demo("rollback", "default-system-prompt", "--reason", "too", "concise"), 2)
    assert demo("show", "concise").out == "text"
    assert demo("show", "default-system-prompt", "-q").out == "default-system-prompt@3\n"


def test_an_unquoted_reason_before_the_names_changes_nothing(demo: Promptctl) -> None:
    """Words that are names of prompts are names, and other words belong to the reason."""
    name, other = "default-system-prompt", "support/triage"
    for line, hint in (
        (f"rollback --reason too concise {name}", f"rollback --reason 'too concise' {name}"),
        (f"rollback -q -r it was too rude {name} {other}", f"rollback -q -r 'it was too rude' {name} {other}"),
        (f"deactivate -m unsafe for minors {name}", f"deactivate -m 'unsafe for minors' {name}"),
        (f"delete --reason code_helper replaced code_helper@1 {name}", None),
        (f"delete --reason not used {name}@1", f"delete --reason 'not used' {name}@1"),
    ):
        result = demo(*shlex.split(line))
        if hint is None:
            assert result.code != 0, line
            continue
        assert check_failure(result, 2).err == (
            f"error: a text of several words is one argument: put it in quotes\nhint:  promptctl {hint}\n"
        )
    assert demo("list", "-q").out.split() == ["code_helper", name, other]
    assert demo("show", name, "-q").out == f"{name}@2\n"
    # A mistyped name is not taken as part of the reason.
    result = check_failure(demo("rollback", "--reason", "why", name, "support/triag"), 4)
    assert result.err.endswith(f"hint:  promptctl show {other}\n")
    assert demo("rollback", "--reason", "why", name, other, "-q").code == 0


def test_a_version_such_as_latest_gets_a_hint_with_its_number(demo: Promptctl, unconfigured: Promptctl) -> None:
    name = "default-system-prompt"
    for words, hint in (
        (("activate", f"{name}@latest", "-q"), f"activate {name}@3 -q"),
        (("show", f"{name}@HEAD"), f"show {name}@3"),
        (("show", f"{name}@-1"), f"history {name}"),
        (("diff", f"{name}@1", f"{name}@newest"), f"diff {name}@1 {name}@3"),
        (("activate", "nothing@latest"), "show nothing"),
        (("activate", f"{name}@prev"), f"history {name}"),
        (("show", f"{name}@production"), f"show {name}"),
        (("rollback", name, "--to", "latest"), f"history {name}"),
    ):
        assert check_failure(demo(*words), 2).err.endswith(f"\nhint:  promptctl {hint}\n"), words
    assert check_failure(unconfigured("activate", "D@latest"), 2).err.endswith("\nhint:  promptctl show D\n")
    for line, hint in (
        (f"show {name}/2", f"show {name}@2"),
        (f"show {name}-v2", f"show {name}@2"),
        (f"show {name}.2", f"show {name}@2"),
        (f"show prompts/{name}", f"show {name}"),
        (f"rollback {name} v1", f"rollback {name} --to 1"),
        (f"diff {name} 1..2", f"diff {name}@1 {name}@2"),
    ):
        assert check_failure(demo(*line.split()), 4).err.endswith(f"\nhint:  promptctl {hint}\n"), line
    error_text = check_failure(demo("split", f"{name}@3", "10%", "--dry-run"), 2).err
    assert error_text == (
        'error: promptctl split has no option "--dry-run": '
        "activate, deactivate, rollback, rollout start, release rollback, delete, erase, sync, db migrate have it\n"
        "hint:  promptctl split --help\n"
    )


def test_a_dash_is_refused_as_the_name_of_a_file_or_folder(demo: Promptctl) -> None:
    for words, message, hint in (
        (["export", "-"], "export writes a folder, not standard output", "export prompts/"),
        (["sync", "-"], "sync reads a folder, not standard input", "sync prompts/"),
        (["sync", "--save-plan", "-"], "--save-plan needs the name of a file", "sync --save-plan plan.json"),
        (["chat", "D", "x", "--save", "-"], "--save needs the name of a file", "chat D --save chat.json"),
        (["chat", "D", "x", "--continue", "-"], "--continue needs the name of a file", "chat D --continue chat.json"),
    ):
        error_text = check_failure(demo(*words), 2).err
        assert error_text == f"error: {message}\nhint:  promptctl {hint}\n"
        assert not (demo.home / "-").exists()


def test_sync_of_several_files_or_folders_gets_a_hint_with_one_folder(unconfigured: Promptctl) -> None:
    for path in ("flat/a.txt", "flat/b.md", "prompts/D/v1.txt", "prompts/E/v1.txt"):
        (unconfigured.home / path).parent.mkdir(parents=True, exist_ok=True)
        (unconfigured.home / path).write_text("text\n")
    error_text = check_failure(unconfigured("sync", "flat/a.txt", "flat/b.md"), 2).err
    assert error_text.endswith(
        "\nhint:  mkdir flat/a && mv flat/a.txt flat/a/v1.txt && mkdir flat/b && mv flat/b.md flat/b/v1.md\n"
    )
    error_text = check_failure(unconfigured("sync", "prompts/D", "prompts/E/", "--dry-run"), 2).err
    assert error_text == (
        "error: sync accepts one folder: "
        "the one that contains the folders of the prompts\nhint:  promptctl sync prompts\n"
    )
