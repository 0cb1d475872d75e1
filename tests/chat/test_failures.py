"""Failed calls of Claude: message, exit code 7, error code, and the use that is recorded."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from promptctl.output import stream
from tests.claude_api import ClaudeServer
from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Promptctl
    from tests.servers import Server

    ClaudeEnv = Callable[..., dict[str, str | None]]
    Connection = psycopg.Connection[Any]

FIRST = ("chat", "persona", "Hello")


def recorded_uses(sql: Connection) -> list[tuple[Any, ...]]:
    return sql.execute(
        "select outcome, input_tokens, output_tokens from promptctl.uses order by recorded_at, id"
    ).fetchall()


Billed = tuple[int | None, int | None]
UNKNOWN, STARTED = (None, None), (20, 1)
NO_WAIT, AFTER_1, AFTER_2 = {"retry_after": 0}, {"after": 1, "input_tokens": 20}, {"after": 2, "input_tokens": 20}
CUT, INCOMPLETE, INVALID, SILENT = (
    "lost the connection to Claude: ", "the reply ended before it was complete",
    "the reply is not from Claude's API: ", "Claude sent nothing before the timeout",
)  # fmt: skip
# Scenario, its parameters, error code, start of the message, number of calls, billed tokens.
FAILURES: dict[str, tuple[str, dict[str, int], str, str, int, Billed]] = {
    "a wrong key": ("status", {"status": 401}, "authentication_error", "Claude rejected the API key: ", 1, UNKNOWN),
    "no permission": (
        "status",
        {"status": 403},
        "permission_error",
        "the API key does not have permission: ",
        1,
        UNKNOWN,
    ),
    "no money": (
        "status",
        {"status": 402},
        "billing_error",
        "Claude reports a billing problem",
        1,
        UNKNOWN,
    ),
    "an unknown model": (
        "status",
        {"status": 404},
        "not_found_error",
        "Claude does not have the model claude-sonnet-5-5",
        1,
        UNKNOWN,
    ),
    "too large": (
        "status",
        {"status": 413},
        "request_too_large",
        "the request is too large for Claude",
        1,
        UNKNOWN,
    ),
    "a bad request": (
        "status",
        {"status": 400},
        "invalid_request_error",
        "Claude rejected the request: ",
        1,
        UNKNOWN,
    ),
    "too many requests": (
        "status",
        NO_WAIT | {"status": 429},
        "rate_limit_error",
        "the API key has reached its rate limit: ",
        3,
        UNKNOWN,
    ),
    "its own time": (
        "status",
        NO_WAIT | {"status": 504},
        "timeout_error",
        "Claude timed out",
        3,
        UNKNOWN,
    ),
    "overloaded": ("status", NO_WAIT | {"status": 529}, "overloaded_error", "Claude is overloaded", 3, UNKNOWN),
    "its own fault": ("status", NO_WAIT | {"status": 500}, "api_error", "Claude had an internal error", 3, UNKNOWN),
    "a page of a proxy": ("html_error", {}, "api_error", "Claude had an internal error (status 502)", 3, UNKNOWN),
    "a page": (
        "html",
        {},
        "reply_invalid",
        f"{INVALID}its content type is text/html",
        1,
        UNKNOWN,
    ),
    "another API": (
        "not_sse",
        {},
        "reply_invalid",
        f"{INVALID}its content type is application/json",
        1,
        UNKNOWN,
    ),
    "nothing": ("empty", {}, "reply_incomplete", INCOMPLETE, 1, UNKNOWN),
    "garbage": ("garbage", AFTER_1, "reply_invalid", INVALID, 1, STARTED),
    "an event of no kind": ("odd_event", {"input_tokens": 20}, "reply_invalid", INVALID, 1, STARTED),
    "cut before the first text": ("cut", {"after": 0, "input_tokens": 20}, "reply_cut", CUT, 3, STARTED),
    "cut in the middle": ("cut", AFTER_2, "reply_cut", CUT, 1, STARTED),
    "closed in the middle": ("close", AFTER_2, "reply_cut", CUT, 1, STARTED),
    "an early end": ("early_end", AFTER_2, "reply_incomplete", INCOMPLETE, 1, STARTED),
    "an error in the stream": ("error_event", AFTER_2, "overloaded_error", "Claude is overloaded: ", 1, STARTED),
    "a refusal": (
        "refusal",
        {"input_tokens": 20, "output_tokens": 5},
        "reply_refused",
        "Claude refused to continue the reply",
        1,
        (20, 5),
    ),
    "silence": ("hang", {}, "claude_timed_out", SILENT, 1, UNKNOWN),
    "silence in the middle": ("stall", AFTER_2, "claude_timed_out", SILENT, 1, STARTED),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failed_call_has_an_error_code_and_is_recorded_with_the_billed_tokens(
    case: str, persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    scenario, parameters, code, message, calls, billed = FAILURES[case]
    ended = persona(*FIRST, "--timeout", "2", env=claude_env(scenario, **parameters))
    assert ended.code == 7, ended
    lines = ended.err.splitlines()
    assert lines[-2].startswith(f"error: {message}"), ended.err
    assert lines[-1].startswith("hint:  ")
    assert len(lines) == 2 + (calls - 1)
    assert recorded_uses(sql) == [(code, *billed)] * calls


def test_a_failed_call_with_json_prints_an_error_code_and_no_reply(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    ended = persona(*FIRST, "--json", env=claude_env("error_event", after=1))
    assert check_json_failure(ended, 7)["code"] == "overloaded_error"


def test_the_part_of_a_reply_before_a_failure_is_printed(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    ended = persona(*FIRST, env=claude_env("cut", after=2, text="One two three four"))
    assert ended.out.startswith("One")
    assert ended.out.endswith("\n")


def test_a_retry_is_reported_and_both_attempts_are_recorded(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    ended = persona(
        *FIRST, env=claude_env("status", status=529, times=1, text="Here.", input_tokens=20, output_tokens=80)
    )
    assert (ended.code, ended.out) == (0, "Here.\n")
    assert ended.err.startswith("Claude is overloaded")
    assert ended.err.endswith("; retrying in 1 s\n")
    assert recorded_uses(sql) == [("overloaded_error", None, None), ("ok", 20, 80)]


def test_a_retry_after_of_an_hour_is_reported_and_not_waited_for(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    ended = persona(*FIRST, env=claude_env("status", status=429, retry_after=3600, times=1, text="Here."))
    assert (ended.code, ended.out) == (7, "")
    assert ended.err.endswith("; Claude asks to wait 1 hour\nhint:  run the command again in 1 hour\n")
    assert [outcome for outcome, _, _ in recorded_uses(sql)] == ["rate_limit_error"]


@pytest.mark.parametrize(("scenario", "tokens"), [("zeros", (100, 1)), ("corrected", (90, 3))])
def test_reported_zeros_keep_the_token_counts_and_corrections_replace_them(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection, scenario: str, tokens: tuple[int, int]
) -> None:
    assert persona(*FIRST, env=claude_env(scenario, text="One two three", input_tokens=100)).code == 0
    assert recorded_uses(sql) == [("ok", *tokens)]


def test_a_character_split_between_two_events_is_joined(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    ended = persona(*FIRST, env=claude_env("halves"))
    assert (ended.code, ended.out) == (0, "Good 😀 day?!?\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_sigterm_and_sighup_end_the_process_after_the_use_is_recorded(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection, number: signal.Signals
) -> None:
    process = persona.start(*FIRST, env=claude_env("stall", after=2, text="One two three", input_tokens=20))
    assert process.stdout is not None
    assert process.stdout.read(3) == b"One"
    process.send_signal(number)
    _, err = process.communicate()
    assert (process.returncode, err) == (-number, b"")
    assert recorded_uses(sql) == [("interrupted", 20, 1)]


def test_sigterm_during_recording_ends_the_process_after_the_use_is_recorded(
    persona: Promptctl, claude_env: ClaudeEnv, connect: Callable[..., Connection], sql: Connection
) -> None:
    blocker = connect(autocommit=False)
    blocker.execute("lock table promptctl.uses in access exclusive mode")
    process = persona.start(*FIRST, env=claude_env("ok", text="Here."))
    _wait_for_blocked_session(sql)
    process.send_signal(signal.SIGTERM)
    blocker.rollback()
    out, _ = process.communicate()
    assert (process.returncode, out) == (-signal.SIGTERM, b"Here.\n")
    assert recorded_uses(sql)[0][0] == "ok"


def test_a_call_is_not_retried_after_the_first_text(persona: Promptctl, claude_env: ClaudeEnv, sql: Connection) -> None:
    assert persona(*FIRST, env=claude_env("error_event", after=1)).code == 7
    assert len(recorded_uses(sql)) == 1


NO_URL, NO_KEY = "ANTHROPIC_BASE_URL is not the URL of a server", "ANTHROPIC_API_KEY is not a key: "
SETTINGS: dict[str, tuple[dict[str, str | None], str, str]] = {
    "no key": ({"ANTHROPIC_API_KEY": None}, "no_api_key", "no API key for Claude"),
    "an empty key": (
        {"ANTHROPIC_API_KEY": " \n"},
        "no_api_key",
        "no API key for Claude (ANTHROPIC_API_KEY is set but empty)",
    ),
    "two lines": ({"ANTHROPIC_API_KEY": "sk-ant\nx: y"}, "invalid_api_key", NO_KEY),
    "a space": ({"ANTHROPIC_API_KEY": "sk ant"}, "invalid_api_key", NO_KEY),
    "not ASCII": ({"ANTHROPIC_API_KEY": "sk-ant-é"}, "invalid_api_key", NO_KEY),
    "a token of two lines": (
        {"ANTHROPIC_API_KEY": None, "ANTHROPIC_AUTH_TOKEN": "a\nb"},
        "invalid_api_key",
        "ANTHROPIC_AUTH_TOKEN is not a key: ",
    ),
    "no URL": ({"ANTHROPIC_BASE_URL": "claude"}, "invalid_base_url", NO_URL),
    "another scheme": ({"ANTHROPIC_BASE_URL": "ftp://h"}, "invalid_base_url", NO_URL),
    "no host": ({"ANTHROPIC_BASE_URL": "http://"}, "invalid_base_url", NO_URL),
    "no port": ({"ANTHROPIC_BASE_URL": "http://h:x"}, "invalid_base_url", NO_URL),
    "an empty URL": ({"ANTHROPIC_BASE_URL": ""}, "invalid_base_url", "ANTHROPIC_BASE_URL is set but empty"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_an_unusable_setting_is_reported_before_any_request_is_sent(
    case: str, persona: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer, sql: Connection
) -> None:
    settings, code, message = SETTINGS[case]
    count = len(claude.requests)
    ended = check_failure(persona(*FIRST, env=claude_env() | settings), 7)
    assert ended.err.startswith(f"error: {message}")
    assert check_json_failure(persona(*FIRST, "--json", env=claude_env() | settings), 7)["code"] == code
    assert len(claude.requests) == count
    assert recorded_uses(sql) == []


def test_an_unusable_proxy_or_certificate_variable_is_named(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    for name, value, problem in (
        ("ALL_PROXY", "socks5://127.0.0.1:9", "names a SOCKS proxy, which needs the package socksio"),
        ("HTTPS_PROXY", "ftp://x", "is not the URL of a proxy"),
        ("http_proxy", "http://me:sesame@h:x", "is not the URL of a proxy"),
        ("NO_PROXY", "localhost,[::1]:80", "has an entry that is neither a host nor an address"),
        ("no_proxy", "fe80::/10", "has an entry that is neither a host nor an address"),
        ("SSL_CERT_FILE", "/nowhere/ca.pem", "does not name a readable file"),
        ("SSL_CERT_DIR", "/nowhere", "does not name a readable folder"),
        ("SSL_CERT_FILE", __file__, "contains no certificates"),
    ):
        error = check_json_failure(persona(*FIRST, "--json", env=claude_env() | {name: value}), 7)
        assert (error["code"], error["message"]) == ("invalid_network_setting", f"{name} {problem}")
        assert "sesame" not in str(error)
    assert recorded_uses(sql) == []
    # A valid host name that does not exist fails only when it is resolved.
    ended = check_failure(persona(*FIRST, env=claude_env() | {"HTTP_PROXY": "garbage.invalid", "NO_PROXY": ""}), 7)
    assert " through the proxy in HTTP_PROXY: " in ended.err
    assert ended.err.endswith("hint:  check the proxy in HTTP_PROXY\n")
    for no_proxy in ("::1,localhost,127.0.0.1", "fe80::1, 10.0.0.0/8,.example.com:80,127.0.0.1"):
        assert persona(*FIRST, env=claude_env() | {"NO_PROXY": no_proxy, "HTTP_PROXY": "garbage.invalid"}).code == 0, (
            no_proxy
        )


def test_a_refused_connection_to_claude_is_reported_and_recorded(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    env = claude_env() | {"ANTHROPIC_BASE_URL": ClaudeServer.refuse()}
    ended = check_failure(persona(*FIRST, env=env), 7)
    assert ended.err.startswith("error: cannot connect to Claude at http://")
    assert check_json_failure(persona(*FIRST, "--json", env=env), 7)["code"] == "claude_unreachable"
    assert recorded_uses(sql) == [("claude_unreachable", None, None)] * 2


def test_a_key_with_a_line_end_and_a_token_are_accepted(
    persona: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    assert persona(*FIRST, env=claude_env() | {"ANTHROPIC_API_KEY": f"{claude.KEY}\n"}).code == 0
    assert (
        persona(*FIRST, env=claude_env() | {"ANTHROPIC_API_KEY": None, "ANTHROPIC_AUTH_TOKEN": f" {claude.KEY}"}).code
        == 0
    )


def test_a_missing_or_empty_sdk_profile_is_reported_as_a_missing_key(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    env = claude_env() | {"ANTHROPIC_API_KEY": None, "ANTHROPIC_PROFILE": "nobody"}
    assert check_json_failure(persona(*FIRST, "--json", env=env), 7)["code"] == "no_api_key"
    (persona.home / ".config" / "anthropic").mkdir(parents=True)
    env = claude_env() | {"ANTHROPIC_API_KEY": None}
    assert check_json_failure(persona(*FIRST, "--json", env=env), 7)["code"] == "no_api_key"


def test_a_comparison_without_an_api_key_fails_like_a_single_call(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    env = claude_env() | {"ANTHROPIC_API_KEY": None, "ANTHROPIC_CONFIG_DIR": str(persona.home)}
    ended = persona(*FIRST, "--against", "persona@1", "--json", env=env)
    assert check_json_failure(ended, 7)["code"] == "no_api_key"
    assert recorded_uses(sql) == []


def test_the_api_key_is_neither_printed_nor_stored(
    persona: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer, sql: Connection
) -> None:
    for scenario in ("leak", "ok", "cut"):
        for words in (("-v",), ("--log-format", "json"), ("--json",)):
            env = claude_env(scenario) | {"ANTHROPIC_LOG": "debug", "PROMPTCTL_TRACEBACK": "1"}
            ended = persona(*FIRST, *words, env=env)
            assert claude.KEY not in ended.out + ended.err
    row = sql.execute("select string_agg(u::text, ' ') from promptctl.uses u").fetchone()
    assert row is not None
    assert claude.KEY not in row[0]


def test_a_reply_cut_at_a_token_limit_prints_a_warning(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    ended = persona(*FIRST, "--max-tokens", "9", env=claude_env("max_tokens", text="And so"))
    assert (ended.code, ended.out) == (0, "And so\n")
    assert ended.err == "warning: the reply was cut at 9 tokens; --max-tokens sets the limit\n"
    full = persona(*FIRST, env=claude_env("context_window", text="And so"))
    assert full.err == "warning: the reply was cut because the context window of claude-sonnet-5-5 is full\n"
    assert [outcome for outcome, _, _ in recorded_uses(sql)] == ["ok", "ok"]


def test_an_empty_reply_prints_a_warning_and_is_not_saved(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    ended = persona(*FIRST, "--save", "talk.json", env=claude_env("ok", text=" "))
    assert (ended.code, ended.err) == (0, "warning: the reply is empty, and is not part of a conversation\n")
    assert not (persona.home / "talk.json").exists()


def test_thinking_and_unknown_events_are_ignored(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    for scenario in ("thinking", "unknown_event"):
        ended = persona(*FIRST, env=claude_env(scenario, text="Here."))
        assert (ended.code, ended.out, ended.err) == (0, "Here.\n", "")


def test_control_characters_and_markup_in_a_reply_are_escaped_on_a_terminal(
    persona: Promptctl, claude_env: ClaudeEnv
) -> None:
    screen = persona.on_terminal(*FIRST, env=claude_env("escapes"))
    assert not {chr(code) for code in stream.CONTROLS if code not in (9, 10, 13)} & set(screen.out)
    assert "\\x1b" in screen.out
    piped = persona(*FIRST, env=claude_env("escapes"))
    assert "\x1b" in piped.out
    markup = persona.on_terminal(*FIRST, env=claude_env("markup"))
    for literal in ("[bold]", "[/INST]", ":smile:"):
        assert literal in markup.out


def test_a_reply_of_ten_megabytes_is_printed_completely(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    ended = persona(*FIRST, env=claude_env("big", megabytes=10))
    assert ended.code == 0
    assert len(ended.out) >= 10_000_000


def test_a_narrow_terminal_shows_every_word(persona: Promptctl, claude_env: ClaudeEnv) -> None:
    text = "An answer in whole sentences, with an extraordinarily-long-compound-word in it."
    screen = persona.on_terminal(*FIRST, columns=20, env=claude_env("ok", text=text) | {"TERM": "xterm"})
    for word in text.split():
        if len(word) < 20:
            assert word in screen.out


def test_a_reply_whose_output_is_closed_is_recorded_as_interrupted(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    env = claude_env("ok", text="word " * 50, chunk_delay_ms=20, input_tokens=20)
    process = persona.start(*FIRST, env=env)
    assert process.stdout is not None
    process.stdout.read(5)
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate()
    assert (process.returncode, err) == (141, b"")
    assert recorded_uses(sql) == [("interrupted", 20, 1)]


@pytest.mark.parametrize(
    ("scenario", "parameters", "billed"),
    [("hang", {}, (None, None)), ("slow_first", {"delay_ms": 60_000, "input_tokens": 20}, (20, 1))],
)
def test_ctrl_c_before_the_first_text_is_recorded_as_interrupted(
    scenario: str, parameters: dict[str, int], billed: tuple[int | None, int | None], persona: Promptctl,
    claude_env: ClaudeEnv, claude: ClaudeServer, sql: Connection,
) -> None:  # fmt: skip
    count = len(claude.requests)
    process = persona.start(*FIRST, env=claude_env(scenario, **parameters))
    claude.wait_for(count + 1)
    # The first events need some time to arrive.
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"error: interrupted\n")
    assert recorded_uses(sql) == [("interrupted", *billed)]


def test_ctrl_c_during_a_reply_keeps_its_text_and_is_recorded_as_interrupted(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    process = persona.start(*FIRST, env=claude_env("stall", after=2, text="One two three", input_tokens=20))
    assert process.stdout is not None
    assert process.stdout.read(3) == b"One"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, b"error: interrupted\n")
    assert recorded_uses(sql) == [("interrupted", 20, 1)]


def test_ctrl_c_during_recording_ends_the_command_after_the_use_is_recorded(
    persona: Promptctl, claude_env: ClaudeEnv, connect: Callable[..., Connection], sql: Connection
) -> None:
    blocker = connect(autocommit=False)
    blocker.execute("lock table promptctl.uses in access exclusive mode")
    process = persona.start(*FIRST, env=claude_env("ok", text="Here."))
    _wait_for_blocked_session(sql)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    assert process.poll() is None
    blocker.rollback()
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"Here.\n", b"error: interrupted\n")
    assert recorded_uses(sql)[0][0] == "ok"


def test_a_second_ctrl_c_abandons_recording_and_prints_a_warning(
    persona: Promptctl, claude_env: ClaudeEnv, connect: Callable[..., Connection], sql: Connection
) -> None:
    blocker = connect(autocommit=False)
    blocker.execute("lock table promptctl.uses in access exclusive mode")
    process = persona.start(*FIRST, env=claude_env("ok", text="Here."))
    _wait_for_blocked_session(sql)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err == b"warning: the use is not recorded: interrupted\nerror: interrupted\n"
    blocker.rollback()
    assert recorded_uses(sql) == []


def _wait_for_blocked_session(sql: Connection) -> None:
    deadline = time.monotonic() + 60
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    while sql.execute(waiting).fetchone() == (0,):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_database_connection_lost_during_the_reply_is_reopened_to_record(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection
) -> None:
    process = persona.start(*FIRST, env=claude_env("ok", text="One two three four", chunk_delay_ms=200))
    assert process.stdout is not None
    process.stdout.read(3)
    sql.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
        "where datname = current_database() and application_name = 'promptctl'"
    )
    _, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert [outcome for outcome, _, _ in recorded_uses(sql)] == ["ok"]


def test_an_unreachable_database_after_the_reply_prints_a_warning_and_the_reply(
    separate_database: None, persona: Promptctl, claude_env: ClaudeEnv, server: Server, database_name: str
) -> None:
    process = persona.start(*FIRST, env=claude_env("ok", text="One two three four", chunk_delay_ms=200))
    assert process.stdout is not None
    first = process.stdout.read(3)
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(f"alter database {database_name} with allow_connections false".encode())
        admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", [database_name]
        )
        out, err = process.communicate()
        assert (process.returncode, first + out) == (0, b"One two three four\n")
        assert err.startswith(b"warning: the use is not recorded: cannot reach the database of DATABASE_URL: ")
        admin.execute(f"alter database {database_name} with allow_connections true".encode())


def test_a_role_without_the_right_to_record_gets_the_reply_and_a_warning(
    persona: Promptctl, claude_env: ClaudeEnv, sql: Connection, server: Server, database_name: str
) -> None:
    sql.execute("select promptctl.grant_access('app', 'viewer')")
    env = claude_env("ok", text="Here.") | {"DATABASE_URL": server.url(database_name, user="app")}
    ended = persona(*FIRST, env=env)
    assert (ended.code, ended.out) == (0, "Here.\n")
    assert ended.err.startswith("warning: the use is not recorded: ")
    assert "permission denied" in ended.err


def test_a_missing_key_is_reported_without_importing_the_sdk(
    persona: Promptctl, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    env = startup_code("import sys\nsys.modules['anthropic'] = None") | {"ANTHROPIC_API_KEY": None}
    assert check_json_failure(persona(*FIRST, "--json", env=env), 7)["code"] == "no_api_key"


def test_a_missing_sdk_is_reported(
    persona: Promptctl, claude_env: ClaudeEnv, startup_code: Callable[[str], dict[str, str | None]]
) -> None:
    env = claude_env() | startup_code("import sys\nsys.modules['anthropic'] = None")
    message = 'the extra "chat" of promptctl is not installed: anthropic is missing'
    assert check_failure(persona(*FIRST, env=env), 1).err.startswith(f"error: {message}\nhint:  ")
    assert check_json_failure(persona(*FIRST, "--json", env=env), 1)["code"] == "extra_missing"
