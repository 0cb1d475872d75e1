"""`chat` with a version that has a request: what is sent, and replies with thinking, calls and other blocks."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from promptctl.cli import chat_session, content, line_editor
from promptctl.cli.chat_answers import Display
from tests.commands import check_failure, check_json_failure
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.claude_api import ClaudeServer
    from tests.conftest import Promptctl

    ClaudeEnv = Callable[..., dict[str, str | None]]
    Connection = psycopg.Connection[Any]
    StartChat = Callable[..., Terminal]

TOOL = {"name": "get_weather", "description": "The weather of {city}.", "input_schema": {"type": "object"}}
FEW_SHOT = [{"role": "user", "content": "Hello, {name}"}, {"role": "assistant", "content": "Good day."}]
REQUEST = {"thinking": {"type": "adaptive"}, "tools": [TOOL], "messages": FEW_SHOT}

THINKING = {"type": "thinking", "thinking": "Is it cold?\nI must look.", "signature": "c2ln"}
TEXT = {"type": "text", "text": "Let me look."}
PARIS = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Paris", "days": 2}}
ROME = {"type": "tool_use", "id": "toolu_2", "name": "get_weather", "input": {"city": "Rome", "days": 1}}
SEARCH = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "x"}}
FOUND: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}

AT_1, WAITS = "\nweather@1> ", "\nget_weather> "
LEAVE = "\x04"


@pytest.fixture
def weather(promptctl: Promptctl, sql: Connection) -> Promptctl:
    """The command line on a database with a prompt `weather` that has a request."""
    settings = {"request": json.dumps(REQUEST), "max_tokens": 500}
    sql.execute(
        "select promptctl.create_version('weather', 'Speak to {name}.', %s, author => 'ada@example.com')",
        [json.dumps(settings)],
    )
    sql.execute("select promptctl.activate('{weather}', '{1}', 'ada@example.com')")
    return promptctl


@pytest.fixture
def blocks_env(claude_env: ClaudeEnv) -> Callable[..., dict[str, str | None]]:
    """Return a function that returns an environment in which Claude replies with these blocks, and then with a text."""

    def env(*blocks: dict[str, Any], **parameters: Any) -> dict[str, str | None]:
        return claude_env("blocks", blocks=json.dumps(blocks), **{"text": "Mild.", **parameters})

    return env


@pytest.fixture
def start_chat(weather: Promptctl, blocks_env: ClaudeEnv) -> StartChat:
    """Return a function that starts a conversation on a terminal, in which Claude replies with these blocks first."""

    def start(*blocks: dict[str, Any], words: tuple[str, ...] = (), **parameters: Any) -> Terminal:
        settings = blocks_env(*blocks, **parameters) | {"TERM": "xterm", "NO_COLOR": "1"}
        command = weather.command("chat", "weather", "--var", "name=Ada", *words)
        return Terminal(command, weather.environment(settings), weather.home, 80)

    return start


def ask(weather: Promptctl, *words: str, env: dict[str, str | None]) -> Any:
    return weather("chat", "weather", "Cold?", "--var", "name=Ada", *words, env=env)


def test_everything_of_a_version_is_sent_and_options_win(
    weather: Promptctl, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    count = len(claude.requests)
    assert ask(weather, env=claude_env()).code == 0
    assert ask(weather, "--model", "m", "--max-tokens", "7", env=claude_env()).code == 0
    first, second = (request.body for request in claude.requests[count:])
    assert first == {
        "model": "claude-sonnet-5-5", "max_tokens": 500, "system": "Speak to Ada.", "stream": True,
        "thinking": {"type": "adaptive"}, "tools": [TOOL],
        "messages": [
            {"role": "user", "content": "Hello, Ada"}, {"role": "assistant", "content": "Good day."},
            {"role": "user", "content": "Cold?"},
        ],
    }  # fmt: skip
    assert (second["model"], second["max_tokens"]) == ("m", 7)


def test_a_version_with_a_cache_is_sent_in_blocks(
    promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    sql.execute("""select promptctl.create_version('x', 'Be kind. {now}', '{"cache": "1h"}', author => 'a')""")
    assert promptctl("chat", "x@1", "Hello", "--var", "now=noon", env=claude_env()).code == 0
    assert claude.requests[-1].body["system"] == [
        {"type": "text", "text": "Be kind. ", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        {"type": "text", "text": "noon"},
    ]


def test_a_variable_of_a_few_shot_message_needs_a_value(
    weather: Promptctl, sql: Connection, claude_env: ClaudeEnv
) -> None:
    request = json.dumps({"messages": [{"role": "user", "content": "{city}"}, FEW_SHOT[1]]})
    sql.execute("select promptctl.create_version('x', 'text', %s, author => 'a')", [json.dumps({"request": request})])
    missing = check_json_failure(weather("chat", "x@1", "Hello", "--json", env=claude_env()), 2)
    assert (missing["code"], missing["message"]) == ("variable_missing", "x@1 needs city")
    assert weather("chat", "x@1", "Hello", "--var", "city=Rome", env=claude_env()).code == 0


def test_claude_refuses_a_request_in_its_own_words(weather: Promptctl, sql: Connection, claude_env: ClaudeEnv) -> None:
    settings = json.dumps({"request": json.dumps({"temperature": 0.2})})
    sql.execute("select promptctl.create_version('x', 'text', %s, author => 'a')", [settings])
    failed = check_failure(weather("chat", "x@1", "Hello", env=claude_env("strict")), 7)
    assert failed.err.startswith("error: Claude rejected the request: temperature: Extra inputs are not permitted\n")


def test_a_call_is_the_answer_to_one_message(
    weather: Promptctl, blocks_env: ClaudeEnv, sql: Connection, snapshot: Callable[..., None]
) -> None:
    call = PARIS | {
        "input": {
            "city": "Paris", "days": 2, "when": "2", "empty": "",
            "note": "one line\n\x1b[2Jand another, long enough to be broken on a terminal of 80 columns\n",
            "hours": list(range(6, 36)), "options": {"unit": "celsius"},
            "stations": [{"id": place, "name": "Paris-Montsouris"} for place in range(2)],
        }
    }  # fmt: skip
    env = blocks_env(THINKING, TEXT, SEARCH, FOUND, call)
    outputs: list[str] = []
    for columns in (80, 40):
        screen = weather.on_terminal("chat", "weather", "Cold?", "--var", "name=Ada", columns=columns, env=env)
        assert screen.code == 0
        outputs.append(f"$ promptctl chat weather Cold? --var name=Ada  # {columns} columns\n{screen.out}")
    piped = ask(weather, env=env)
    assert (piped.code, piped.err) == (0, "")
    outputs.append(f"# piped\n{piped.out}")
    snapshot("\n".join(outputs), "cli/chat-call")
    assert "\x1b" not in "".join(outputs)
    assert ask(weather, "--no-stream", env=env).out == piped.out
    name, _, arguments = piped.out.splitlines()[1].partition(" ")
    assert (name, json.loads(arguments)) == ("get_weather", call["input"])
    assert sql.execute("select distinct outcome, first_token_ms is not null from promptctl.uses").fetchall() == [
        ("ok", True)
    ]


def test_json_has_all_blocks_as_claude_sent_them(weather: Promptctl, blocks_env: ClaudeEnv) -> None:
    blocks = [THINKING, TEXT, SEARCH, FOUND, {"type": "hologram", "depth": 3}, PARIS]
    document = json.loads(ask(weather, "--json", env=blocks_env(*blocks)).out)
    assert (document["reply"], document["outcome"], document["stop_reason"]) == ("Let me look.", "ok", "tool_use")
    assert document["blocks"] == blocks


def test_a_text_after_another_block_begins_a_line(weather: Promptctl, blocks_env: ClaudeEnv) -> None:
    env = blocks_env(TEXT, SEARCH, FOUND, {"type": "text", "text": "It is mild."})
    assert ask(weather, env=env).out == "Let me look.\nIt is mild.\n"
    assert json.loads(ask(weather, "--json", env=env).out)["reply"] == "Let me look.\nIt is mild."


def test_thinking_is_one_line_unless_it_is_asked_for(weather: Promptctl, blocks_env: ClaudeEnv) -> None:
    escaping = THINKING | {"thinking": "Cold\x1b[2J?\nI must look."}
    redacted = {"type": "redacted_thinking", "data": "eA=="}
    env = blocks_env(escaping, redacted, THINKING | {"thinking": ""}, TEXT)
    screen = weather.on_terminal("chat", "weather", "Cold?", "--var", "name=Ada", env=env)
    lines = ["thinking, 4 words", "thinking, encrypted", "thinking, without a text", "Let me look."]
    assert screen.out.splitlines()[1:] == lines
    for streaming in ((), ("--no-stream",)):
        ended = ask(weather, "--thinking", *streaming, env=env)
        assert (ended.out, ended.err) == ("Let me look.\n", "Cold\\x1b[2J?\nI must look.\n")


def test_a_reply_of_thinking_alone_is_empty(weather: Promptctl, blocks_env: ClaudeEnv) -> None:
    ended = ask(weather, "--save", "talk.json", env=blocks_env(THINKING, stop_reason="max_tokens"))
    assert ended.code == 0
    assert "warning: the reply is empty, and is not part of a conversation" in ended.err
    assert "warning: the reply was cut at 500 tokens" in ended.err
    assert not (weather.home / "talk.json").exists()


def test_a_paused_reply_is_continued(
    weather: Promptctl, blocks_env: ClaudeEnv, claude: ClaudeServer, sql: Connection
) -> None:
    ended = ask(weather, "--save", "talk.json", env=blocks_env(TEXT, SEARCH, FOUND, stop_reason="pause_turn"))
    assert (ended.code, ended.out, ended.err) == (0, "Let me look.\nMild.\n", "")
    assert claude.requests[-1].body["messages"][2:] == [
        {"role": "user", "content": "Cold?"}, {"role": "assistant", "content": [TEXT, SEARCH, FOUND]},
    ]  # fmt: skip
    [_, reply] = json.loads((weather.home / "talk.json").read_text())["messages"]
    assert reply["content"] == [TEXT, SEARCH, FOUND, {"type": "text", "text": "Mild."}]
    assert sql.execute("select outcome from promptctl.uses").fetchall() == [("ok",)] * 2


def test_a_reply_that_pauses_again_and_again_ends_with_a_warning(
    weather: Promptctl, blocks_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    count = len(claude.requests)
    ended = ask(weather, env=blocks_env(TEXT, SEARCH, stop_reason="pause_turn", pauses="always"))
    assert (ended.code, ended.out) == (0, "Let me look.\n" * 6)
    assert ended.err.startswith("warning: Claude paused the reply")
    assert len(claude.requests) == count + 6


def test_a_call_that_was_cut_in_its_arguments_is_shown_but_not_kept(weather: Promptctl, blocks_env: ClaudeEnv) -> None:
    cut = PARIS | {"input": '{"city": "Par'}
    ended = ask(weather, "--save", "talk.json", env=blocks_env(TEXT, cut, stop_reason="max_tokens"))
    assert ended.code == 0
    # A program that reads the pipe must not take it for a call.
    assert ended.out == "Let me look.\n"
    assert "warning: the call of get_weather is incomplete, so it is not kept and cannot have a result\n" in ended.err
    [_, reply] = json.loads((weather.home / "talk.json").read_text())["messages"]
    assert reply["content"] == [TEXT]
    alone = ask(weather, "--save", "alone.json", env=blocks_env(cut, stop_reason="max_tokens"))
    assert (alone.code, alone.out) == (0, "")
    assert alone.err.endswith(
        'warning: nothing is saved in "alone.json": the reply has nothing that a conversation can keep\n'
    )
    assert not (weather.home / "alone.json").exists()
    screen = weather.on_terminal("chat", "weather", "x", "--var", "name=Ada", env=blocks_env(cut))
    assert 'calls get_weather\n  arguments that are not JSON: {"city": "Par\n' in screen.out


def test_a_call_that_fails_in_the_middle_of_another_block_is_recorded(
    weather: Promptctl, blocks_env: ClaudeEnv, sql: Connection
) -> None:
    # Until something of the reply is shown, a failed call is repeated: thinking is no part of it, nor is half a call.
    assert ask(weather, env=blocks_env(THINKING, PARIS, ending="error_event")).code == 7
    assert ask(weather, env=blocks_env(TEXT, PARIS, ending="cut")).code == 7
    assert sql.execute("select outcome, count(*) from promptctl.uses group by outcome order by outcome").fetchall() == [
        ("overloaded_error", 3), ("reply_cut", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("streams", [(), ("--no-stream",)])
@pytest.mark.parametrize("parameters", [{"ending": "close"}, {"ending": "cut"}, {"stop_reason": "refusal"}])
def test_a_pipe_gets_no_call_of_a_reply_that_failed(
    weather: Promptctl, blocks_env: ClaudeEnv, streams: tuple[str, ...], parameters: dict[str, str]
) -> None:
    ended = ask(weather, *streams, env=blocks_env(TEXT, ROME, PARIS, **parameters))
    assert (ended.code, ended.out) == (7, "Let me look.\n")


def test_a_pipe_gets_a_note_for_a_reply_that_it_does_not_show(weather: Promptctl, blocks_env: ClaudeEnv) -> None:
    ended = ask(weather, env=blocks_env({"type": "hologram"}, THINKING))
    note = "the reply has no text and no call, only hologram, thinking; --json prints its blocks\n"
    assert (ended.code, ended.out, ended.err) == (0, "", note)


def test_against_shows_the_calls_of_both_versions(weather: Promptctl, blocks_env: ClaudeEnv, sql: Connection) -> None:
    sql.execute("select promptctl.create_version('weather', 'Be kind to {name}.', '{}', author => 'a')")
    env = blocks_env(THINKING, TEXT, PARIS)
    words = ["chat", "weather@1", "Cold?", "--against", "weather@2", "--var", "name=Ada"]
    screen = weather.on_terminal(*words, env=env)
    lines = [line.split() for line in screen.out.splitlines()]
    assert ["thinking,", "6", "words"] * 2 in lines
    assert ["calls", "get_weather"] * 2 in lines
    assert ["city:", "Paris"] * 2 in lines
    assert "Is it cold?" in weather.on_terminal(*words, "--thinking", env=env).out
    piped = weather(*words, env=env)
    assert {line.split("\t")[6] for line in piped.out.splitlines()} == {
        'Let me look.\\nget_weather {"city": "Paris", "days": 2}\\n'
    }


def test_results_are_typed_or_come_from_files_and_the_conversation_goes_on(
    start_chat: StartChat, weather: Promptctl, claude: ClaudeServer, sql: Connection
) -> None:
    (weather.home / "rome.txt").write_text("rain\n")
    os.mkfifo(weather.home / "pipe")
    count = len(claude.requests)
    with start_chat(THINKING, TEXT, PARIS, ROME, words=("--save", "talk.json")) as terminal:
        terminal.wait_for(AT_1)
        terminal.type("/result rome.txt\r")
        assert "error: no call of a tool waits for a result" in terminal.wait_for(AT_1)
        terminal.type("Cold?\r")
        screen_text = terminal.wait_for("\nget_weather 1/2> ")
        assert "thinking, 6 words\nLet me look.\ncalls get_weather\n  city: Paris\n  days: 2\n" in screen_text
        assert "\ntype the result of each call, or /result FILE; /cancel sends a message instead\n" in screen_text
        terminal.type("17 degrees\r")
        terminal.wait_for("\nget_weather 2/2> ")
        for words, message in (
            ("/result", "/result needs the name of a file"),
            ("/error", "/error needs the message"),
            ("/result nowhere", 'cannot read "nowhere": No such file or directory\nhint:  /result FILE sends'),
            ("/result pipe", 'cannot read "pipe": is not a regular file'),
            ("/result /dev/zero", 'cannot read "/dev/zero": is not a regular file'),
            ("/result .", 'cannot read ".": is a folder'),
        ):
            terminal.type(f"{words}\r")
            assert f"error: {message}" in terminal.wait_for("\nget_weather 2/2> ")
        terminal.type("/result rome.txt\r")
        assert "Mild.\n" in terminal.wait_for(AT_1)
        terminal.type("/retry\r")
        assert "Mild.\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    bodies = [request.body["messages"][2:] for request in claude.requests[count:]]
    reply = {"role": "assistant", "content": [THINKING, TEXT, PARIS, ROME]}
    results = {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "17 degrees"},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": "rain"},
        ],
    }
    question = {"role": "user", "content": "Cold?"}
    assert bodies == [[question], [question, reply, results], [question, reply, results]]
    saved = json.loads((weather.home / "talk.json").read_text())["messages"]
    assert [message["content"] for message in saved] == ["Cold?", reply["content"], results["content"], "Mild."]
    assert sql.execute("select outcome from promptctl.uses").fetchall() == [("ok",)] * 3


def test_calls_are_cancelled_by_a_message_or_answered_with_an_error(
    start_chat: StartChat, claude: ClaudeServer
) -> None:
    count = len(claude.requests)
    with start_chat(PARIS, text="Mild.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("Cold?\r")
        terminal.wait_for(WAITS)
        terminal.type("/retry\r")
        terminal.wait_for(WAITS)
        terminal.type("/cancel\r")
        assert "cancelled: the next message is sent in place of the results" in terminal.wait_for(AT_1)
        terminal.type("Never mind.\r")
        assert "Mild.\n" in terminal.wait_for(AT_1)
        terminal.type("Cold?\r")
        terminal.wait_for(WAITS)
        terminal.type("/error the service is down\r")
        assert "Mild.\n" in terminal.wait_for(AT_1)
        terminal.type("/help\r")
        assert "  /result FILE " in terminal.wait_for(AT_1)
        terminal.type("/show request\r")
        shown = json.loads("{" + terminal.wait_for(AT_1).replace("\r", "").partition("{")[2].rpartition("}")[0] + "}")
        sent = claude.requests[-1].body
        assert shown == {key: value for key, value in sent.items() if key != "stream"} | {
            "messages": sent["messages"][:2]
        }
        assert (shown["model"], shown["max_tokens"]) == ("claude-sonnet-5-5", 500)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    bodies = [request.body["messages"][2:] for request in claude.requests[count:]]
    assert [len(messages) for messages in bodies] == [1, 1, 3, 5, 7]
    assert bodies[2][-1]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "The user cancelled this call.", "is_error": True},
        {"type": "text", "text": "Never mind."},
    ]
    assert bodies[4][-1]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "the service is down", "is_error": True}
    ]


def test_results_that_cannot_be_sent_are_kept_for_a_retry(
    start_chat: StartChat, weather: Promptctl, sql: Connection, claude: ClaudeServer
) -> None:
    with start_chat(PARIS) as terminal:
        terminal.wait_for(AT_1)
        terminal.type("Cold?\r")
        terminal.wait_for(WAITS)
        request = {**REQUEST, "messages": [{"role": "user", "content": "{city}"}, FEW_SHOT[1]]}
        settings = json.dumps({"request": json.dumps(request)})
        sql.execute("select promptctl.create_version('weather', 'text', %s, author => 'a')", [settings])
        weather("activate", "weather@2", "--allow-new-variables")
        terminal.type("17 degrees\r")
        screen_text = terminal.wait_for(WAITS)
        assert "hint:  /var city=VALUE, then /retry\n" in screen_text
        assert "/retry sends the same results; to send others, type them now\n" in screen_text
        terminal.type("/var city=Rome\r")
        terminal.wait_for(WAITS)
        terminal.type("/retry\r")
        assert "Mild.\n" in terminal.wait_for("\nweather@2> ")
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert claude.requests[-1].body["messages"][-1]["content"] == [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": "17 degrees"}
    ]


def test_cancelled_calls_stay_cancelled_if_the_message_is_not_sent(start_chat: StartChat, weather: Promptctl) -> None:
    with start_chat(PARIS) as terminal:
        terminal.wait_for(AT_1)
        terminal.type("Cold?\r")
        terminal.wait_for(WAITS)
        terminal.type("/cancel\r")
        terminal.wait_for(AT_1)
        weather("deactivate", "weather")
        terminal.type("Never mind.\r")
        assert "/retry sends the same results" not in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0


def test_ctrl_c_while_a_file_is_read_returns_to_the_prompt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = Mock(messages=[{"role": "user", "content": "Cold?"}, {"role": "assistant", "content": [PARIS]}])
    conversation.calls.return_value, conversation.unrecorded = [PARIS], 0
    editor = Mock()
    editor.read.side_effect = ["/result big.txt", EOFError]
    monkeypatch.setattr(line_editor, "LineEditor", Mock(return_value=editor))
    monkeypatch.setattr(content, "regular_file", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr(chat_session.Session, "_banner", Mock())
    display = Display(streams=True, thinking=False, usage=False)
    chat_session.Session(Mock(), conversation, None, display).converse("database")
    assert capsys.readouterr().err.endswith("\nstopped\n")
    assert [call.args[0] for call in editor.read.call_args_list] == ["get_weather> "] * 2


def test_a_reply_that_is_stopped_in_a_call_is_kept_as_its_text(start_chat: StartChat, claude: ClaudeServer) -> None:
    with start_chat(THINKING, TEXT, PARIS, ending="stall") as terminal:
        terminal.wait_for(AT_1)
        for message in ("Cold?", "Go on."):
            terminal.type(f"{message}\r")
            terminal.wait_for("Let me look.")
            terminal.type("\x03")
            assert "stopped\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert claude.requests[-1].body["messages"][2:] == [
        {"role": "user", "content": "Cold?"}, {"role": "assistant", "content": "Let me look."},
        {"role": "user", "content": "Go on."},
    ]  # fmt: skip


def test_a_conversation_goes_on_from_a_file_where_a_call_waits(
    start_chat: StartChat, weather: Promptctl, blocks_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    assert ask(weather, "--save", "talk.json", env=blocks_env(THINKING, PARIS)).code == 0
    saved = (weather.home / "talk.json").read_text()
    with start_chat(PARIS, words=("--continue", "talk.json")) as terminal:
        screen_text = terminal.wait_for(WAITS)
        sentence = "type the result of the call, or /result FILE; /cancel sends a message instead\n"
        assert "calls get_weather\n  city: Paris\n  days: 2\n" + sentence in screen_text
        terminal.type("17 degrees\r")
        assert "Mild.\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    expected = [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "17 degrees"}]
    assert claude.requests[-1].body["messages"][-1]["content"] == expected
    (weather.home / "talk.json").write_text(saved)
    words = ["chat", "weather", "17 degrees", "--var", "name=Ada", "--continue", "talk.json"]
    ended = weather(*words, env=blocks_env(PARIS))
    assert (ended.out, ended.err) == ("Mild.\n", "the message is sent as the result of get_weather\n")
    assert claude.requests[-1].body["messages"][-1]["content"] == expected


def test_one_message_cannot_be_the_result_of_two_calls(
    weather: Promptctl, blocks_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    assert ask(weather, "--save", "talk.json", env=blocks_env(PARIS, ROME)).code == 0
    count = len(claude.requests)
    failed = check_json_failure(ask(weather, "--continue", "talk.json", "--json", env=blocks_env(PARIS)), 2)
    assert failed["code"] == "several_calls"
    assert failed["message"] == 'the last reply in "talk.json" calls 2 tools: get_weather, get_weather'
    assert len(claude.requests) == count
