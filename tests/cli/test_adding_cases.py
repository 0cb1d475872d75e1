"""`test add` and `test judge`: a case from a saved conversation, and the agreement of a judge with people."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import errors
from promptctl.folder import test_appending, test_files
from promptctl.rules.test_cases import Assertion, Case
from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.conftest import Promptctl

    ClaudeEnv = Callable[..., dict[str, str | None]]

NEW = Case(messages=({"role": "user", "content": "Can I return it?"},), assertions=(Assertion("contains", value="30"),))
CONVERSATION = {
    "messages": [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi", "model": "claude-haiku-5-5"},
        {"role": "user", "content": "Can I return it?"},
        {"role": "assistant", "content": "Yes"},
    ]
}
BLOCK = """\
# Cases of support.
judge: judges/helpful@3
tests:
  # The first one.
  - message: |
      Two
      lines

    assert: [{contains: good}]  # a remark

# What a version may lose.
margin: 2pt
"""
LIST = """\
- message: One  # a remark
  critical: true
# The end.
"""
COMPACT = "tests:\n- message: One\n- description: Two\n  message: Two"
FLOW = "tests: [{message: One}]\n"


def no_file(name: str) -> bytes:
    raise AssertionError(name)


@pytest.mark.parametrize("text", [BLOCK, LIST, COMPACT])
def test_a_case_is_appended_and_every_line_stays(text: str) -> None:
    content = test_appending.appended(text.encode(), "tests.yaml", NEW, no_file).decode()
    lines = text.splitlines()
    assert [line for line in content.splitlines() if line in lines] == lines
    problems: list[str] = []
    before = test_files.parse(text.encode(), "tests.yaml", problems, no_file)
    after = test_files.parse(content.encode(), "tests.yaml", problems, no_file)
    assert problems == []
    assert after.cases[:-1] == before.cases
    assert after.margin == before.margin
    assert after.cases[-1].messages == NEW.messages
    assert after.cases[-1].assertions == NEW.assertions


def test_a_new_file_has_the_case() -> None:
    assert test_appending.appended(None, "tests.yaml", NEW, no_file).decode() == (
        'tests:\n  - message: Can I return it?\n    assert:\n      - contains: "30"\n'
    )


def test_a_layout_without_a_line_for_each_case_is_refused_with_the_case_to_paste() -> None:
    with pytest.raises(errors.Refused) as refused:
        test_appending.appended(FLOW.encode(), "tests.yaml", NEW, no_file)
    assert refused.value.code == "cannot_append"
    assert "- message: Can I return it?" in refused.value.others


def test_a_case_is_added_once(promptctl: Promptctl, home: Path) -> None:
    folder = home / "prompts" / "support"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_text("You are calm.")
    (home / "chat.json").write_text(json.dumps(CONVERSATION))
    words = ["test", "add", "support", "--from", "chat.json", "--contains", "30 days", "-d", "Returns"]
    ended = promptctl(*words)
    assert (ended.code, ended.out) == (0, 'added "Returns" to prompts/support/tests.yaml\n')
    assert ended.err == ("next: promptctl sync prompts --dry-run; a test runs the cases that the last sync stored\n")
    assert (folder / "tests.yaml").read_text() == (
        "tests:\n"
        "  - description: Returns\n"
        "    messages:\n"
        "      - role: user\n"
        "        content: Hello\n"
        "      - role: assistant\n"
        "        content: Hi\n"
        "      - role: user\n"
        "        content: Can I return it?\n"
        "    assert:\n"
        "      - contains: 30 days\n"
    )
    assert check_json_failure(promptctl(*words, "--json"), 5)["code"] == "case_exists"
    assert promptctl("sync", "prompts", "--check", "--offline").code == 0
    without = promptctl("test", "add", "support", "--from", "chat.json")
    assert "the case has no assertion" in without.err
    document = json.loads(promptctl("test", "add", "support", "--from", "chat.json", "--rubric", "Kind", "--json").out)
    assert document["case"]["assert"] == [{"type": "llm-rubric", "value": "Kind"}]


@pytest.mark.parametrize(("error", "hint"), [("ENOSPC", "free some space"), ("EROFS", "ls -ld prompts/support")])
def test_a_file_that_cannot_be_written_stays_and_the_hint_says_what_to_do(
    error: str, hint: str, promptctl: Promptctl, home: Path, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    folder = home / "prompts" / "support"
    folder.mkdir(parents=True)
    (folder / "tests.yaml").write_text(COMPACT)
    (home / "chat.json").write_text(json.dumps(CONVERSATION))
    env = startup_code(
        f"import errno, os\n\ndef fail(*_):\n    raise OSError(errno.{error}, os.strerror(errno.{error}))\n\n"
        "os.fsync = fail\n"
    )
    failure = check_json_failure(promptctl("test", "add", "support", "--from", "chat.json", "--json", env=env), 1)
    assert (failure["code"], failure["hint"]) == ("cannot_write", hint)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"tests.yaml": COMPACT}


def test_a_case_goes_to_the_last_file_of_a_folder_of_tests(promptctl: Promptctl, home: Path) -> None:
    folder = home / "prompts" / "support" / "tests"
    folder.mkdir(parents=True)
    for name in ("a.yaml", "b.yaml"):
        (folder / name).write_text(f"tests:\n  - message: {name}\n")
    (home / "chat.json").write_text(json.dumps(CONVERSATION))
    assert promptctl("test", "add", "support", "--from", "chat.json", "-q").out == "support\n"
    assert "Can I return it?" in (folder / "b.yaml").read_text()


@pytest.mark.parametrize("beginning", ["judge: judges/helpful@3", "repeat: 2", "defaultTest: {assert: [contains: Hi]}"])
def test_a_case_that_gets_something_from_its_file_is_added_once(beginning: str) -> None:
    text = f"{beginning}\ntests:\n- message: One\n"
    once = test_appending.appended(text.encode(), "tests.yaml", NEW, no_file)
    with pytest.raises(errors.Refused, match="the prompt has this case already"):
        test_appending.appended(once, "tests.yaml", NEW, no_file)


def test_a_case_of_another_file_is_not_added_again(promptctl: Promptctl, home: Path) -> None:
    folder = home / "prompts" / "support"
    (folder / "tests").mkdir(parents=True)
    (folder / "v1.txt").write_text("You are calm.")
    (home / "chat.json").write_text(json.dumps(CONVERSATION))
    words = ["test", "add", "support", "--from", "chat.json"]
    assert promptctl(*words).code == 0
    (folder / "tests/tests.yaml").rename(folder / "tests/a.yaml")
    (folder / "tests/b.yaml").write_text("tests:\n  - message: Other\n")
    assert check_json_failure(promptctl(*words, "--json"), 5)["code"] == "case_exists"
    assert (folder / "tests/b.yaml").read_text() == "tests:\n  - message: Other\n"


def test_a_case_has_the_values_of_the_conversation(
    promptctl: Promptctl, claude_env: ClaudeEnv, home: Path, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("select promptctl.create_version('greet', 'Greet {name}.', activated => true)")
    (home / "prompts/greet").mkdir(parents=True)
    (home / "prompts/greet/v1.txt").write_text("Greet {name}.")
    chat = promptctl("chat", "greet", "hello", "--var", "name=Ada", "--save", "g.json", env=claude_env("ok"))
    assert chat.code == 0
    add = ["test", "add", "greet", "--from", "g.json"]
    assert json.loads(promptctl(*add, "--json").out)["case"]["vars"] == {"name": "Ada"}
    replaced = json.loads(promptctl(*add, "--json", "--var", "name=Bo").out)
    assert replaced["case"]["vars"] == {"name": "Bo"}
    wrong = check_json_failure(promptctl(*add, "--json", "--var", "nmae=Bo"), 2)
    assert (wrong["code"], wrong["hint"].endswith("--var name=Bo")) == ("variable_unknown", True)

    # An older file has no values, and a newer version may need others.
    (home / "old.json").write_text(json.dumps(CONVERSATION))
    failure = check_json_failure(promptctl("test", "add", "greet", "--from", "old.json", "--json"), 2)
    assert failure["code"] == "variable_missing"
    assert failure["hint"] == "promptctl test add greet --from old.json --json --var name=VALUE"
    (home / "prompts/greet/v2.txt").write_text("Greet.")
    later = promptctl(*add)
    assert "name left out: prompts/greet/v2.txt has no such variable" in later.err
    (home / "prompts/greet/v2.txt").unlink()
    assert promptctl("test", "add", "gret", "--from", "g.json").err.splitlines() == [
        'error: "prompts/gret" is not a folder: did you mean greet?', "hint:  promptctl test add greet --from g.json",
    ]  # fmt: skip


def test_wrong_files_are_refused(promptctl: Promptctl, home: Path) -> None:
    (home / "chat.json").write_text(json.dumps(CONVERSATION))
    (home / "text.json").write_text("[]")
    for file in ("absent.json", "text.json"):
        failure = check_failure(promptctl("test", "add", "support", "--from", file), 1).err
        assert "hint:  pass a file that chat --save has written to --from" in failure
    assert check_json_failure(promptctl("test", "add", "support", "--from", "chat.json", "--json"), 4)["code"] == (
        "folder_not_found"
    )
    folder = home / "prompts" / "support"
    folder.mkdir(parents=True)
    (folder / "tests.yaml").write_text("tests: [{message: One, unknown: 1}]\n")
    failure = check_json_failure(promptctl("test", "add", "support", "--from", "chat.json", "--json"), 1)
    assert failure["code"] == "invalid_folder"


def test_a_secret_is_refused(promptctl: Promptctl, home: Path) -> None:
    (home / "prompts" / "support").mkdir(parents=True)
    key = "AKIA" + "IOSFODNN7EXAMPLZ"
    (home / "chat.json").write_text(
        json.dumps({"messages": [{"role": "user", "content": f"Use {key}"}, {"role": "assistant", "content": "No"}]})
    )
    failure = check_json_failure(promptctl("test", "add", "support", "--from", "chat.json", "--json"), 5)
    assert failure["code"] == "secret_found"


LABELS: list[dict[str, Any]] = [
    {"rubric": "It is good", "message": f"q{number}", "reply": f"a {word} reply {number}", "passes": passes}
    for number, (word, passes) in enumerate(
        [
            ("good", [True, True]),
            ("good", [True, False]),
            ("poor", False),
            ("poor", [False, False]),
            ("poor", [True, True]),
        ]
    )
]


def test_a_judge_is_compared_with_people(promptctl: Promptctl, claude_env: ClaudeEnv, home: Path) -> None:
    (home / "labels.json").write_text(json.dumps(LABELS))
    words = ["test", "judge", "built-in", "--labels", "labels.json"]
    document = json.loads(promptctl(*words, "--json", env=claude_env("crowd")).out)
    assert [one["verdict"] for one in document["replies"]] == [True, True, False, False, False]
    assert document["with_people"]["replies"] == 5
    assert document["with_people"]["lower"] <= document["with_people"]["alpha"] <= document["with_people"]["upper"]
    # A verdict that fails a reply needs two calls.
    assert document["calls"] == 8
    ended = promptctl(*words, env=claude_env("crowd"))
    assert ended.out == "fails\tpasses\tIt is good\ta poor reply 4\n"
    assert ended.err.startswith("built-in with people: alpha 0.")
    assert "1 verdict of 5 differs from that of most people\n" in ended.err


def test_a_judge_of_a_prompt_is_asked(
    promptctl: Promptctl, claude_env: ClaudeEnv, home: Path, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("select promptctl.create_version('judges/kind', 'Judge it.', activated => true)")
    (home / "labels.yaml").write_text(json.dumps(LABELS))
    ended = promptctl("test", "judge", "judges/kind", "--labels", "labels.yaml", "--json", env=claude_env("crowd"))
    assert json.loads(ended.out)["judge"] == "judges/kind@1"


def test_a_judge_that_answers_nonsense_is_an_error(promptctl: Promptctl, claude_env: ClaudeEnv, home: Path) -> None:
    (home / "labels.json").write_text(json.dumps(LABELS))
    env = claude_env("crowd", judge="nonsense")
    failed = promptctl("test", "judge", "built-in", "--labels", "labels.json", "--json", env=env)
    assert failed.code == 7
    assert "no usable answer" in failed.err


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "has no list of labelled replies"),
        ("[]", "has no list of labelled replies"),
        ("- 1", "label 1 is not a mapping"),
        ("- {rubric: a, message: b, reply: c}", "label 1 needs passes: true or false"),
        ("- {rubric: a, message: b, passes: true}", "label 1 has no text reply"),
        ("- {rubric: a, message: b, reply: c, passes: true, x: 1}", "label 1 has the unknown key x"),
        ("- {rubric: a, message: b, reply: c, passes: true, system: 1}", "label 1 has a system that is not a text"),
        ("- [", "labels.yaml:"),
    ],
)
def test_labels_that_are_invalid_are_refused(promptctl: Promptctl, home: Path, text: str, problem: str) -> None:
    (home / "labels.yaml").write_text(text)
    failure = check_json_failure(promptctl("test", "judge", "built-in", "--labels", "labels.yaml", "--json"), 1)
    assert failure["code"] == "invalid_labels"
    assert problem in failure["message"]
