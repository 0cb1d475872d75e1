"""`chat` on a terminal: turns, slash commands, interruptions, saved conversations."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.chat.conftest import CALM, ENTHUSIASTIC
from tests.terminals import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.claude_api import ClaudeServer
    from tests.conftest import Promptctl

    ClaudeEnv = Callable[..., dict[str, str | None]]
    Connection = psycopg.Connection[Any]
    StartChat = Callable[..., Terminal]

AT_1, AT_3 = "\npersona@1> ", "\npersona@3> "
LEAVE, STOP = "\x04", "\x03"


@pytest.fixture
def start_chat(persona: Promptctl, claude_env: ClaudeEnv) -> StartChat:
    """Return a function that starts a conversation on a terminal."""

    def start(*words: str, columns: int = 80, env: dict[str, str | None] | None = None, **scenario: Any) -> Terminal:
        settings = (
            claude_env(scenario.pop("scenario", "ok"), **scenario) | {"TERM": "xterm", "NO_COLOR": "1"} | (env or {})
        )
        command = persona.command("chat", *(words or ("persona",)))
        return Terminal(command, persona.environment(settings), persona.home, columns)

    return start


def recorded_uses(sql: Connection) -> list[tuple[Any, ...]]:
    return sql.execute("select version, outcome from promptctl.uses order by recorded_at, id").fetchall()


def test_a_conversation_sends_all_turns_and_ends_at_end_of_input(
    start_chat: StartChat, claude: ClaudeServer, sql: Connection
) -> None:
    count = len(claude.requests)
    with start_chat(text="Yes.") as terminal:
        banner = terminal.wait_for(AT_1)
        assert banner.startswith("persona@1, claude-sonnet-5-5, test_")
        assert "\neach message uses the active version; Ctrl-D leaves, /help lists commands\n" in banner
        for message in ("One?", "Two?"):
            terminal.type(f"{message}\r")
            assert "Yes.\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
        assert terminal.rest().strip().startswith("2 replies, ")
    bodies = [request.body["messages"] for request in claude.requests[count:]]
    assert [[message["content"] for message in messages] for messages in bodies] == [
        ["One?"], ["One?", "Yes.", "Two?"],
    ]  # fmt: skip
    assert recorded_uses(sql) == [(1, "ok"), (1, "ok")]


def test_a_new_active_version_is_reported_and_used_at_the_next_turn(
    start_chat: StartChat, persona: Promptctl, claude: ClaudeServer, sql: Connection
) -> None:
    count = len(claude.requests)
    with start_chat(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        persona("activate", "persona@3", "--author", "bob@example.com", "--reason", "more energy")
        terminal.type("Hello\r")
        screen_text = terminal.wait_for(AT_3).replace("\r", "")
        assert "persona: 1 → 3 is active now (bob@example.com activated it, more energy)" in screen_text
        persona("rollback", "persona", "--author", "eve@example.com")
        terminal.type("Hello\r")
        assert "persona: 3 → 1 is active now (eve@example.com rolled back)" in terminal.wait_for(AT_1)
        terminal.type("/quit\r")
        assert terminal.end() == 0
    assert [request.body["system"] for request in claude.requests[count:]] == [ENTHUSIASTIC, CALM]
    assert recorded_uses(sql) == [(3, "ok"), (1, "ok")]


def test_a_version_named_on_the_command_line_is_kept_and_its_archiving_is_reported(
    start_chat: StartChat, persona: Promptctl, sql: Connection
) -> None:
    with start_chat("persona@3", text="Yes.") as terminal:
        assert "persona@3 (not active)" in terminal.wait_for(AT_3)
        persona("activate", "persona@2")
        persona("delete", "persona@3")
        terminal.type("Hello\r")
        assert "warning: persona@3 was archived" in terminal.wait_for(AT_3)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert recorded_uses(sql) == [(3, "ok")]


def test_a_turn_without_an_active_version_fails_and_the_conversation_continues(
    start_chat: StartChat, persona: Promptctl, sql: Connection
) -> None:
    with start_chat(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        sql.execute("update promptctl.prompts set is_active = false where name = 'persona' and version = 1")
        terminal.type("Hello\r")
        screen_text = terminal.wait_for(AT_1)
        assert 'error: "persona" has no active version' in screen_text
        assert "hint:  promptctl activate persona@3" in screen_text
        persona("activate", "persona@3")
        terminal.type("/retry\r")
        assert "Yes.\n" in terminal.wait_for(AT_3)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert recorded_uses(sql) == [(3, "ok")]


def test_a_lost_database_connection_is_reopened_at_the_next_turn(start_chat: StartChat, sql: Connection) -> None:
    with start_chat(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        sql.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and application_name = 'promptctl'"
        )
        terminal.type("Hello\r")
        assert "Yes.\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert recorded_uses(sql) == [(1, "ok")]


def test_ctrl_c_stops_the_reply_but_not_the_conversation(
    start_chat: StartChat, claude: ClaudeServer, sql: Connection
) -> None:
    count = len(claude.requests)
    with start_chat(scenario="stall", after=2, text="One two three") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("Hello\r")
        terminal.wait_for("One")
        terminal.type(STOP)
        assert "stopped\n" in terminal.wait_for(AT_1)
        # The part of the reply that arrived stays in the conversation.
        terminal.type("Go on\r")
        terminal.wait_for("One")
        terminal.type(STOP)
        terminal.wait_for(AT_1)
        terminal.type("half a li" + STOP)
        assert "Ctrl-D leaves\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    messages = claude.requests[count + 1].body["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert messages[1]["content"].startswith("One")
    assert recorded_uses(sql) == [(1, "interrupted"), (1, "interrupted")]


def test_a_failed_message_leaves_the_conversation_and_retry_sends_it_again(
    start_chat: StartChat, claude: ClaudeServer, sql: Connection
) -> None:
    count = len(claude.requests)
    with start_chat(scenario="status", status=400, times=1, text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("/retry\r")
        assert "no message was sent yet" in terminal.wait_for(AT_1)
        terminal.type("Hello\r")
        screen_text = terminal.wait_for(AT_1)
        assert "error: Claude rejected the request" in screen_text
        assert "this message is not part of the conversation; /retry sends it again" in screen_text
        for _ in range(2):
            # The second /retry replaces the reply to the first.
            terminal.type("/retry\r")
            assert "Yes.\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert [len(request.body["messages"]) for request in claude.requests[count:]] == [1, 1, 1]
    assert recorded_uses(sql) == [(1, "invalid_request_error"), (1, "ok"), (1, "ok")]


def test_no_request_is_sent_during_the_wait_that_claude_asks_for(
    start_chat: StartChat, claude: ClaudeServer, sql: Connection
) -> None:
    count = len(claude.requests)
    with start_chat(scenario="status", status=429, retry_after=3600, times=1, text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("Hello\r")
        assert "Claude asks to wait 1 hour" in terminal.wait_for(AT_1)
        for keys in ("/retry\r", "Hello again\r"):
            terminal.type(keys)
            screen_text = terminal.wait_for(AT_1)
            assert "error: nothing was sent: Claude asks to wait" in screen_text
            assert "hint:  /retry sends it after that" in screen_text
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert len(claude.requests) == count + 1
    assert recorded_uses(sql) == [(1, "rate_limit_error")]


def test_retry_replaces_a_reply_only_after_a_new_reply_arrives(
    start_chat: StartChat, persona: Promptctl, sql: Connection
) -> None:
    path = persona.home / "talk.json"
    with start_chat("persona", "--save", "talk.json", text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("go on\r")
        terminal.wait_for(AT_1)
        # Without an active version, neither a message nor its retry gets a reply.
        for keys in ("go on\r", "/retry\r"):
            sql.execute("update promptctl.prompts set is_active = false where name = 'persona' and version = 1")
            terminal.type(keys)
            assert "has no active version" in terminal.wait_for(AT_1)
        persona("activate", "persona@1")
        terminal.type("/retry\r")
        assert "Yes.\n" in terminal.wait_for(AT_1)
        assert len(json.loads(path.read_text())["messages"]) == 4
        terminal.type("/retry\r")
        terminal.wait_for(AT_1)
        assert len(json.loads(path.read_text())["messages"]) == 4
        terminal.type(LEAVE)
        assert terminal.end() == 0


def test_a_message_may_have_several_lines(start_chat: StartChat, claude: ClaudeServer) -> None:
    count = len(claude.requests)
    with start_chat(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("one \\\r")
        terminal.wait_for("… ")
        terminal.type("two\r")
        terminal.wait_for(AT_1)
        terminal.type("three\x1b\rfour\r")
        terminal.wait_for(AT_1)
        terminal.type("\x1b[200~five\nsix\x1b[201~\r")
        terminal.wait_for(AT_1)
        terminal.type(" /no command\r")
        terminal.wait_for(AT_1)
        terminal.type("   \r")
        terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    messages = [request.body["messages"][-1]["content"] for request in claude.requests[count:]]
    assert messages == ["one \ntwo", "three\nfour", "five\nsix", " /no command"]


def test_a_message_can_be_written_in_the_editor(
    start_chat: StartChat, persona: Promptctl, claude: ClaudeServer
) -> None:
    editor = persona.home / "editor"
    editor.write_text('#!/bin/sh\ncp "$1" seen\nprintf "written here\\nin two lines\\n" > "$1"\n')
    editor.chmod(0o755)
    count = len(claude.requests)
    with start_chat(env={"EDITOR": str(editor)}, text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("/edit as begun\r")
        terminal.wait_for("Yes.")
        terminal.wait_for(AT_1)
        assert (persona.home / "seen").read_text() == "as begun"
        terminal.type("typed\x18\x05")
        terminal.wait_for("Yes.")
        terminal.wait_for(AT_1)
        assert (persona.home / "seen").read_text() == "typed"
        editor.write_text('#!/bin/sh\n: > "$1"\n')
        terminal.type("/edit\r")
        assert "error: the message is empty" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    messages = [request.body["messages"][-1]["content"] for request in claude.requests[count:]]
    assert messages == ["written here\nin two lines"] * 2


def test_typed_messages_are_saved_in_a_history_file_readable_by_its_owner_only(
    start_chat: StartChat, persona: Promptctl
) -> None:
    path = persona.home / "state" / "history"
    for turn in ("first", "second"):
        with start_chat(env={"PROMPTCTL_CHAT_HISTORY": str(path)}, text="Yes.") as terminal:
            terminal.wait_for(AT_1)
            if turn == "second":
                terminal.type("\x1b[A")
                terminal.wait_for("remember me")
                terminal.type("\x15")
            terminal.type("remember me\r")
            terminal.wait_for("Yes.")
            terminal.wait_for(AT_1)
            terminal.type(LEAVE)
            assert terminal.end() == 0
    assert path.read_text().count("remember me") == 1
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_conversation_is_saved_after_each_reply_and_can_be_continued(
    start_chat: StartChat, persona: Promptctl, claude: ClaudeServer
) -> None:
    path = persona.home / "talk.json"
    with start_chat(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("First\r")
        terminal.wait_for(AT_1)
        terminal.type("/save\r")
        assert "error: /save needs a file" in terminal.wait_for(AT_1)
        terminal.type("/save talk.json\r")
        assert "saved in talk.json" in terminal.wait_for(AT_1)
        assert len(json.loads(path.read_text())["messages"]) == 2
        terminal.type("Second\r")
        terminal.wait_for(AT_1)
        assert len(json.loads(path.read_text())["messages"]) == 4
        path.unlink()
        path.mkdir()
        terminal.type("Third\r")
        assert "error: cannot save the conversation" in terminal.wait_for(AT_1)
        path.rmdir()
        terminal.type(LEAVE)
        assert terminal.end() == 0
        assert "3 replies, " in terminal.rest()
    assert len(json.loads(path.read_text())["messages"]) == 6
    count = len(claude.requests)
    with start_chat("persona", "--continue", "talk.json", text="Yes.") as terminal:
        assert "continuing after 3 replies" in terminal.wait_for(AT_1)
        terminal.type("/retry\r")
        terminal.wait_for(AT_1)
        terminal.type("Fourth\r")
        terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    # The /retry sends the last message of the file again and replaces its reply.
    bodies = [request.body["messages"] for request in claude.requests[count:]]
    assert [(len(messages), messages[-1]["content"]) for messages in bodies] == [(5, "Third"), (7, "Fourth")]
    assert len(json.loads(path.read_text())["messages"]) == 8


def test_var_sets_a_variable_that_a_new_active_version_needs(
    start_chat: StartChat, persona: Promptctl, claude: ClaudeServer
) -> None:
    persona("create", "persona", "Be kind to {user.name} in {city}.")
    with start_chat(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        persona("activate", "persona@4", "--allow-new-variables")
        terminal.type("Hello\r")
        at_4 = "\npersona@4> "
        screen_text = terminal.wait_for(at_4)
        assert "error: persona@4 needs user.name, city\n" in screen_text
        assert "hint:  /var user.name=VALUE, /var city=VALUE, then /retry\n" in screen_text
        for words, message in (
            ("/var nonsense", '/var needs NAME=VALUE, not "nonsense"\n'),
            ("/var cty=Rome", "persona@4 has no variable cty (did you mean city?)\nhint:  /var city=Rome\n"),
            ("/var x=1", "persona@4 has no variable x: it has city, user.name\n\n"),
        ):
            terminal.type(f"{words}\r")
            assert f"error: {message}" in terminal.wait_for(at_4)
        terminal.type("/var city=Rome\r")
        terminal.wait_for(at_4)
        terminal.type("/show request\r")
        assert "hint:  /var user.name=VALUE, then /show request\n" in terminal.wait_for(at_4)
        terminal.type("/var user.name=Ada Lovelace\r")
        terminal.wait_for(at_4)
        terminal.type("/show\r")
        assert "Be kind to Ada Lovelace in Rome." in terminal.wait_for(at_4)
        terminal.type("/retry\r")
        assert "Yes.\n" in terminal.wait_for(at_4)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert claude.requests[-1].body["system"] == "Be kind to Ada Lovelace in Rome."


def test_slash_commands_are_listed_and_completed_and_unknown_ones_are_refused(
    start_chat: StartChat, snapshot: Callable[..., None]
) -> None:
    with start_chat(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("/help\r")
        screen_text = terminal.wait_for(AT_1).replace("\r", "")
        assert max(map(len, screen_text.splitlines())) < 80
        snapshot(screen_text, "cli/chat-help")
        terminal.type("/frob\r")
        assert "error: no command /frob\nhint:  /help" in terminal.wait_for(AT_1).replace("\r", "")
        terminal.type("/us\t\r")
        assert "tokens and times are on" in terminal.wait_for(AT_1)
        terminal.type("Hello\r")
        assert " tokens, " in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0


def test_a_narrow_terminal_has_a_short_input_prompt_and_no_split_words(start_chat: StartChat) -> None:
    text = "An answer in whole sentences."
    with start_chat(columns=20, text=text) as terminal:
        terminal.wait_for("\n@1> ")
        terminal.type("Hello\r")
        screen_text = terminal.wait_for("\n@1> ")
        for word in text.split():
            assert word in screen_text
        terminal.type(LEAVE)
        assert terminal.end() == 0


def test_a_use_that_could_not_be_recorded_is_recorded_after_the_next_reply(
    separate_database: None, start_chat: StartChat, sql: Connection, server: Any, database_name: str
) -> None:
    import psycopg

    with (
        start_chat(text="One two three", chunk_delay_ms=300) as terminal,
        psycopg.connect(server.dsn(), autocommit=True) as admin,
    ):
        terminal.wait_for(AT_1)
        terminal.type("Hello\r")
        terminal.wait_for("One")
        admin.execute(f"alter database {database_name} with allow_connections false".encode())
        admin.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = %s and application_name = 'promptctl'", [database_name],
        )  # fmt: skip
        screen_text = terminal.wait_for(AT_1).replace("\r", "")
        assert "three\n" in screen_text
        assert "warning: this use is not recorded; promptctl retries after the next reply: " in screen_text
        terminal.type("Again\r")
        assert "error: cannot reach the database" in terminal.wait_for(AT_1)
        admin.execute(f"alter database {database_name} with allow_connections true".encode())
        terminal.type("/retry\r")
        assert "three\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert recorded_uses(sql) == [(1, "ok"), (1, "ok")]


@pytest.mark.parametrize("word", ["exit", "quit"])
def test_exit_and_quit_end_the_conversation_unless_a_space_precedes_them(
    start_chat: StartChat, claude: ClaudeServer, word: str
) -> None:
    with start_chat(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        count = len(claude.requests)
        terminal.type(f" {word}\r")
        terminal.wait_for("Yes.")
        terminal.wait_for(AT_1)
        assert len(claude.requests) == count + 1
        terminal.type(f"{word}\r")
        assert terminal.end() == 0
        assert f'to send "{word}" to Claude, write a space before it' in terminal.rest()
        assert len(claude.requests) == count + 1


def test_a_reply_interrupted_by_a_hangup_is_recorded(start_chat: StartChat, sql: Connection) -> None:
    with start_chat(scenario="stall", after=2, text="One two three") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("Count.\r")
        terminal.wait_for("two")
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.end() == -signal.SIGHUP
    assert recorded_uses(sql) == [(1, "interrupted")]


def test_a_waiting_animation_is_shown_until_the_first_token_and_then_erased(start_chat: StartChat) -> None:
    with start_chat(text="Here.", delay_ms=1500) as terminal:
        terminal.wait_for(AT_1)
        terminal.type("One?\r")
        assert "\r| waiting for claude-sonnet-5-5" in terminal.wait_for("/ waiting for claude-sonnet-5-5")
        terminal.wait_for("Here.")
        screen_text = terminal.raw.decode()
        assert screen_text.index("\r\x1b[KHere.") > screen_text.rindex("waiting for")
    with start_chat(text="Here.", delay_ms=900, env={"TERM": "dumb"}) as terminal:
        terminal.wait_for(AT_1)
        terminal.type("One?\r")
        assert "waiting for" not in terminal.wait_for("Here.")


def test_lines_of_the_help_fit_into_80_columns(start_chat: StartChat) -> None:
    with start_chat() as terminal:
        terminal.wait_for(AT_1)
        terminal.type("/help\r")
        terminal.wait_for("/help")
        lines = terminal.wait_for("start it with a space.").splitlines()
        assert max(map(len, lines)) < 80
