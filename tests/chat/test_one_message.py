"""`chat` with one message: the request, the output, and the use that is recorded."""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.chat.conftest import CALM, ENTHUSIASTIC
from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.claude_api import ClaudeServer
    from tests.conftest import Promptctl

    ClaudeEnv = Callable[..., dict[str, str | None]]
    Connection = psycopg.Connection[Any]

USES = """
select version, epoch, model, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, outcome, request_id
from promptctl.uses order by recorded_at, id
"""


def request_bodies(claude: ClaudeServer, since: int) -> list[dict[str, Any]]:
    return [request.body for request in claude.requests[since:]]


def test_the_active_version_is_sent_and_the_reply_is_printed(
    persona: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    count = len(claude.requests)
    ended = persona("chat", "persona", "Hello", env=claude_env("ok", text="Good day."))
    assert (ended.code, ended.out, ended.err) == (0, "Good day.\n", "")
    [body] = request_bodies(claude, count)
    assert body["system"] == CALM
    assert body["messages"] == [{"role": "user", "content": "Hello"}]
    assert (body["model"], body["max_tokens"], body["stream"]) == ("claude-sonnet-5-5", 8192, True)


def test_activation_and_rollback_change_the_version_that_is_sent(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    replies = [persona("chat", "persona", "Hello", env=claude_env()).out]
    for words in (("activate", "persona@3"), ("rollback", "persona")):
        assert persona(*words).code == 0
        replies.append(persona("chat", "persona", "Hello", env=claude_env()).out)
    assert replies[0] == replies[2] != replies[1]


def test_a_call_is_recorded_with_its_tokens_times_and_request_id(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    env = claude_env("ok", input_tokens=20, cache_read_tokens=100, cache_write_tokens=7, output_tokens=80, delay_ms=120)
    assert persona("chat", "persona@2", "Hello", env=env).code == 0
    [row] = sql.execute(USES).fetchall()
    # The input is reported in three parts.
    assert row[:8] == (2, 0, "claude-sonnet-5-5", 127, 80, 100, 7, "ok")
    assert row[8].startswith("req_")
    [(first, whole, bucket)] = sql.execute("select first_token_ms, response_ms, bucket from promptctl.uses").fetchall()
    assert 120 <= first <= whole
    assert bucket is None


def test_a_version_that_is_not_active_is_used_by_its_number(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    screen = persona.on_terminal("chat", "persona@3", "Hello", env=claude_env("ok", text="Hey!"))
    assert screen.out == "persona@3 (not active), claude-sonnet-5-5\nHey!\n"
    assert sql.execute(
        "select version, active_version from promptctl.uses join promptctl.served using (name)"
    ).fetchall() == [(3, 1)]
    persona("delete", "persona@3")
    screen = persona.on_terminal("chat", "persona@3", "Hello", env=claude_env("ok", text="Hey!"))
    assert screen.out.startswith("persona@3 (archived), claude-sonnet-5-5\n")


def test_only_a_version_that_the_split_chose_is_recorded_in_its_epoch(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    assert persona("chat", "persona", "Hello", env=claude_env()).code == 0
    assert persona("split", "persona@3", "100%").code == 0
    for words in (["persona", "--unit", "ada"], ["persona"], ["persona@3"]):
        assert persona("chat", *words, "Hello", env=claude_env()).code == 0
    [*recorded] = sql.execute("select version, epoch from promptctl.uses order by recorded_at, id").fetchall()
    assert recorded == [(1, 1), (3, 2), (1, 0), (3, 0)]


def test_options_override_the_model_and_max_tokens_of_the_version(
    promptctl: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    created = promptctl("create", "x", "text", "--model", "claude-haiku-5-5", "--max-tokens", "99", "--activate")
    assert created.code == 0
    count = len(claude.requests)
    promptctl("chat", "x", "Hello", env=claude_env())
    promptctl("chat", "x", "Hello", "--model", "m", "--max-tokens", "7", env=claude_env())
    assert [(body["model"], body["max_tokens"]) for body in request_bodies(claude, count)] == [
        ("claude-haiku-5-5", 99),
        ("m", 7),
    ]


def test_a_message_comes_from_an_argument_a_file_standard_input_or_two_of_them(
    persona: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    (persona.home / "change.diff").write_text("+ a line\n")
    count = len(claude.requests)
    assert persona("chat", "persona", "-f", "change.diff", env=claude_env()).code == 0
    assert persona("chat", "persona", "Review this.", "-f", "change.diff", env=claude_env()).code == 0
    assert persona("chat", "persona", stdin="from a pipe\n", env=claude_env()).code == 0
    assert persona("chat", "persona", "Review this.", "-f", "-", stdin="zoë\r\n", env=claude_env()).code == 0
    conflict = "<<<<<<< a\nb\n=======\nc\n>>>>>>> d"
    assert persona("chat", "persona", conflict, env=claude_env()).code == 0
    # Standard input is not read, so that a shell loop keeps its input.
    assert persona("chat", "persona", "Hello", stdin="not for us", env=claude_env()).code == 0
    assert [body["messages"][0]["content"] for body in request_bodies(claude, count)] == [
        "+ a line", "Review this.\n\n+ a line", "from a pipe", "Review this.\n\nzoë", conflict, "Hello",
    ]  # fmt: skip


def test_an_empty_binary_or_unreadable_message_is_refused(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    env = claude_env()
    assert check_failure(persona("chat", "persona", "", env=env), 2).err.startswith("error: the text is empty\n")
    nul = check_failure(persona("chat", "persona", stdin=b"a\0b", env=env), 2)
    assert nul.err.startswith("error: standard input has a NUL character")
    assert check_failure(persona("chat", "persona", stdin=b"\xff", env=env), 2).err.startswith(
        "error: standard input is not UTF-8"
    )
    assert check_failure(persona("chat", "persona", "-f", "nowhere", env=env), 1).err.startswith(
        'error: cannot read "nowhere"'
    )


def test_a_message_of_five_megabytes_is_sent_completely(
    persona: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    message = "twenty characters …\n" * 250_000
    count = len(claude.requests)
    assert persona("chat", "persona", "-f", "-", stdin=message, env=claude_env()).code == 0
    [body] = request_bodies(claude, count)
    assert body["messages"][0]["content"] == message.rstrip("\n")


def test_variables_are_substituted_once_and_their_values_are_not_templates(
    promptctl: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    promptctl("create", "x", 'Talk to {user.name} like {"a": 1}.', "--activate")
    count = len(claude.requests)
    assert promptctl("chat", "x", "Hello", "--var", "user.name={user.name}", env=claude_env()).code == 0
    assert [body["system"] for body in request_bodies(claude, count)] == ['Talk to {user.name} like {"a": 1}.']
    missing = check_json_failure(promptctl("chat", "x", "Hello", "--json", env=claude_env()), 2)
    assert missing["code"] == "variable_missing"
    assert "user.name" in missing["message"]
    unknown = promptctl("chat", "x", "Hello", "--var", "user.nam=Ada", "--json", env=claude_env())
    assert check_json_failure(unknown, 2)["code"] == "variable_unknown"
    assert len(claude.requests) == count + 1


def test_a_unit_is_recorded_as_its_bucket(persona: Promptctl, claude_env: ClaudeEnv, sql: Connection) -> None:
    assert persona("chat", "persona", "Hello", "--unit", "user-42", env=claude_env()).code == 0
    [(bucket,)] = sql.execute("select bucket from promptctl.uses").fetchall()
    assert 0 <= bucket < 10_000
    ended = persona("chat", "persona@1", "Hello", "--unit", "user-42", env=claude_env())
    assert check_failure(ended, 2).err.startswith("error: --unit selects the version")


def test_a_reply_is_printed_as_it_arrives_or_at_its_end_with_no_stream(
    persona: Promptctl, claude_env: ClaudeEnv
) -> None:
    for option, early in ((), True), (("--no-stream",), False):
        env = claude_env("ok", text="Good day to you.", chunk_delay_ms=300)
        process = persona.start("chat", "persona", "Hello", *option, env=env)
        assert process.stdout is not None
        first = process.stdout.read(1)
        arrived = time.monotonic()
        rest = process.stdout.read()
        waited = time.monotonic() - arrived
        assert (first + rest, process.wait()) == (b"Good day to you.\n", 0)
        process.communicate()
        assert (waited > 0.25) is early


def test_usage_prints_tokens_and_times_to_standard_error(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    env = claude_env("ok", text="Yes.", input_tokens=1200, cache_read_tokens=300, output_tokens=80)
    ended = persona("chat", "persona", "Hello", "--usage", env=env)
    assert ended.out == "Yes.\n"
    assert re.fullmatch(r"1,500 \+ 80 tokens \(300 cached\), \d+ ms, first \d+ ms\n", ended.err)


def test_json_prints_the_whole_call_and_quiet_only_the_reference(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    env = claude_env("ok", text="Yes.", input_tokens=20, output_tokens=80)
    ended = persona("chat", "persona", "Hello", "--json", env=env)
    document = json.loads(ended.out)
    assert 0 <= document.pop("first_token_ms") <= document.pop("response_time_ms")
    assert document.pop("request_id").startswith("req_")
    assert document == {
        "name": "persona", "version": 1, "is_active": True, "model": "claude-sonnet-5-5", "reply": "Yes.",
        "blocks": [{"type": "text", "text": "Yes."}],
        "outcome": "ok", "stop_reason": "end_turn", "input_tokens": 20, "output_tokens": 80, "cache_read_tokens": 0,
        "cache_write_tokens": 0, "attempts": 1,
    }  # fmt: skip
    assert ended.err == ""
    assert persona("chat", "persona", "Hello", "-q", env=env).out == "persona@1\n"


def test_calls_and_failures_are_logged_as_json(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    env = claude_env("ok", text="Yes.", input_tokens=20, output_tokens=80)
    ended = persona("chat", "persona", "Hello", "--log-format", "json", env=env)
    events = [json.loads(line) for line in ended.err.splitlines()]
    assert [(event["level"], event["message"]) for event in events] == [
        ("info", "Using prompt"), ("info", "Claude request completed"),
    ]  # fmt: skip
    for event in events:
        assert (event["name"], event["version"]) == ("persona", 1)
        assert re.fullmatch(r"[0-9a-f-]{36}", event["promptId"])
    assert events[1]["totalTokens"] == 100
    assert events[1]["responseTimeMs"] >= 0
    failed = persona("chat", "persona", "Hello", "--log-format", "json", env=claude_env("status", status=400))
    event = json.loads(failed.err.splitlines()[1])
    assert (event["level"], event["message"]) == ("error", "Claude request failed")
    assert event["outcome"] == "invalid_request_error"


def test_against_sends_a_message_to_two_versions_and_shows_both_replies(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection, snapshot: Callable[..., None]
) -> None:
    words = ["chat", "persona@1", "Hello", "--against", "persona@3"]
    # The delay gives every time three digits, also on a busy machine.
    env = claude_env("ok", input_tokens=20, output_tokens=80, delay_ms=200)
    outputs: list[str] = []
    for columns in (80, 40, 20):
        screen = persona.on_terminal(*words, columns=columns, env=env)
        outputs.append(f"$ promptctl chat persona@1 Hello --against persona@3  # {columns} columns\n{screen.out}")
    piped = persona(*words, env=env)
    outputs.append(f"# piped\n{piped.out}")
    text = re.sub(r"\d{3} ms", "212 ms", "\n".join(outputs))
    snapshot(re.sub(r"\t[\d.]+\t[\d.]+\tok", "\t12\t12\tok", text), "cli/chat-against")
    document = json.loads(persona(*words, "--json", env=env).out)
    assert [(reply["version"], reply["outcome"]) for reply in document["replies"]] == [(1, "ok"), (3, "ok")]
    counted = sql.execute("select version, count(*) from promptctl.uses group by version order by version").fetchall()
    assert counted == [(1, 5), (3, 5)]
    screen = persona.on_terminal("chat", "persona@1", "--against", "persona@3")
    assert "--against needs one message, and no --save or --continue" in screen.out


def test_against_accepts_a_variable_that_only_one_version_has(
    persona: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    persona("create", "persona", "Be kind to {name}.")
    words = ["chat", "persona@1", "Hello", "--against", "persona@4"]
    count = len(claude.requests)
    assert persona(*words, "--var", "name=Ada", env=claude_env()).code == 0
    assert {body["system"] for body in request_bodies(claude, count)} == {CALM, "Be kind to Ada."}
    assert check_failure(persona(*words, env=claude_env()), 2).err.startswith("error: persona@4 needs name\n")
    unknown = check_failure(persona(*words, "--var", "name=Ada", "--var", "city=Rom", env=claude_env()), 2)
    assert unknown.err.startswith("error: persona@1 has no variable city")


def test_against_lists_failed_replies_with_their_errors(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    words = ["chat", "persona@1", "Hello", "--against", "persona@3"]
    ended = persona(*words, env=claude_env("cut", after=1))
    assert ended.code == 7
    assert [line.split("\t")[5] for line in ended.out.splitlines()] == ["reply_cut", "reply_cut"]
    assert "error: lost the connection to Claude" in ended.err
    assert sql.execute("select version, outcome from promptctl.uses order by version").fetchall() == [
        (1, "reply_cut"), (3, "reply_cut"),
    ]  # fmt: skip


def test_a_conversation_is_saved_and_continued_with_another_version(
    persona: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    path = persona.home / "talk.json"
    assert persona("chat", "persona", "First", "--save", "talk.json", env=claude_env("ok", text="One.")).code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    count = len(claude.requests)
    continued = persona("chat", "persona@3", "Second", "--continue", "talk.json", env=claude_env("ok", text="Two."))
    assert continued.out == "Two.\n"
    [body] = request_bodies(claude, count)
    assert body["system"] == ENTHUSIASTIC
    assert body["messages"] == [
        {"role": "user", "content": "First"}, {"role": "assistant", "content": "One."},
        {"role": "user", "content": "Second"},
    ]  # fmt: skip
    saved = json.loads(path.read_text())["messages"]
    assert [(message["content"], message.get("version")) for message in saved] == [
        ("First", None), ("One.", 1), ("Second", None), ("Two.", 3),
    ]  # fmt: skip
    error = check_json_failure(persona("chat", "persona", "x", "--save", "talk.json", "--json", env=claude_env()), 1)
    assert error["code"] == "file_exists"


def test_a_failed_reply_is_not_saved(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    assert persona("chat", "persona", "First", "--save", "talk.json", env=claude_env("cut", after=1)).code == 7
    assert not (persona.home / "talk.json").exists()


INVALID_FILES = {
    "not JSON": ("nonsense", "invalid_conversation"),
    "no messages": ("[]", "invalid_conversation"),
    "a list of something else": ('{"messages": [1]}', "invalid_conversation"),
    "two in a row": (
        '{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}', "invalid_conversation"
    ),
    "a block without a type": ('{"messages": [{"role": "user", "content": [{"text": "a"}]}]}', "invalid_conversation"),
    "no blocks": ('{"messages": [{"role": "user", "content": []}]}', "invalid_conversation"),
    "no reply": ('{"messages": [{"role": "user", "content": "a"}]}', "invalid_conversation"),
    "deep": ("[" * 100_000, "invalid_conversation"),
    "not there": (None, "cannot_read"),
}  # fmt: skip


@pytest.mark.parametrize("case", INVALID_FILES)
def test_continue_refuses_a_file_that_is_not_a_conversation(
    case: str, persona: Promptctl, claude_env: ClaudeEnv
) -> None:
    text, code = INVALID_FILES[case]
    if text is not None:
        (persona.home / "talk.json").write_text(text)
    ended = persona("chat", "persona", "x", "--continue", "talk.json", "--json", env=claude_env())
    assert check_json_failure(ended, 1)["code"] == code
    if text is not None:
        assert (persona.home / "talk.json").read_text() == text


def test_an_unwritable_conversation_file_is_reported_after_the_reply(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    ended = persona("chat", "persona", "x", "--save", "nowhere/talk.json", env=claude_env("ok", text="One."))
    assert (ended.code, ended.out) == (1, "One.\n")
    assert ended.err.startswith('error: cannot save the conversation in "nowhere/talk.json": No such file or directory')
    ended = persona("chat", "persona", "x", "--save", "/proc/talk.json", "--json", env=claude_env())
    assert json.loads(ended.err)["error"]["code"] == "cannot_save"


USAGE = [
    (["--max-tokens", "0"], "--max-tokens is a whole number from 1 to 999999999, not 0"),
    (["--timeout", "0"], "--timeout is a whole number of seconds from 1 to 999999999, not 0"),
    (["--save", "a", "--continue", "b"], "--continue saves in the file that it continues"),
    (["--save", ""], "--save is empty"),
    (["--against", "persona@1", "--save", "a"], "--against needs one message, and no --save or --continue"),
    (["--against", "a b"], '"a b" cannot name a prompt'),
]


@pytest.mark.parametrize(("words", "message"), USAGE)
def test_invalid_options_are_refused_before_any_request_is_sent(
    words: list[str], message: str, persona: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    count = len(claude.requests)
    ended = check_failure(persona("chat", "persona", "Hello", *words, env=claude_env()), 2)
    assert ended.err.startswith(f"error: {message}")
    assert len(claude.requests) == count


def test_a_conversation_needs_a_terminal(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    for words in (["--json"], ["-q"]):
        screen = persona.on_terminal("chat", "persona", *words, env=claude_env())
        assert screen.code == 2
        assert "a conversation needs a terminal: pass a message" in screen.out
    line = f"{' '.join(persona.command('chat', 'persona'))} </dev/null"
    process = subprocess.run(
        ["bash", "-c", line], env=persona.environment(claude_env()), cwd=persona.home, capture_output=True, check=False
    )
    assert (process.returncode, process.stderr.splitlines()[0]) == (2, b"error: standard input is empty")


def test_an_unknown_prompt_and_one_without_an_active_version_are_not_found(
    persona: Promptctl, claude_env: ClaudeEnv
) -> None:
    ended = check_failure(persona("chat", "persnoa", "Hello", env=claude_env()), 4)
    assert ended.err.endswith("hint:  promptctl chat persona Hello\n")
    assert (
        check_json_failure(persona("chat", "persona@9", "Hello", "--json", env=claude_env()), 4)["code"]
        == "version_not_found"
    )
    persona("create", "idle", "text")
    assert (
        check_json_failure(persona("chat", "idle", "x", "--json", env=claude_env()), 4)["code"] == "no_active_version"
    )


def test_concurrent_calls_are_all_recorded(persona: Promptctl, claude_env: ClaudeEnv, sql: Connection) -> None:
    running = [persona.start("chat", "persona", "Hello", env=claude_env("ok", delay_ms=200)) for _ in range(4)]
    assert [(process.communicate()[1], process.returncode) for process in running] == [(b"", 0)] * 4
    assert sql.execute("select count(*), count(distinct id) from promptctl.uses").fetchone() == (4, 4)
