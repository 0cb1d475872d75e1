"""A conversation at a terminal, as a person has it."""

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
    Talk = Callable[..., Terminal]

AT_1, AT_3 = "\npersona@1> ", "\npersona@3> "
LEAVE, STOP = "\x04", "\x03"


@pytest.fixture
def talk(persona: Promptctl, claude_env: ClaudeEnv) -> Talk:
    """Starts a conversation on a terminal."""

    def start(*words: str, columns: int = 80, env: dict[str, str | None] | None = None, **scenario: Any) -> Terminal:
        settings = (
            claude_env(scenario.pop("scenario", "ok"), **scenario) | {"TERM": "xterm", "NO_COLOR": "1"} | (env or {})
        )
        command = persona.command("chat", *(words or ("persona",)))
        return Terminal(command, persona.environment(settings), persona.home, columns)

    return start


def booked(sql: Connection) -> list[tuple[Any, ...]]:
    return sql.execute("select version, outcome from promptctl.uses order by recorded_at, id").fetchall()


def test_turn_follows_turn_until_the_end_of_the_input(talk: Talk, claude: ClaudeServer, sql: Connection) -> None:
    count = len(claude.requests)
    with talk(text="Yes.") as terminal:
        banner = terminal.wait_for(AT_1)
        assert banner.startswith("persona@1, claude-sonnet-5-5, test_")
        assert "each message is sent with the active version; Ctrl-D leaves, /help lists commands" in banner
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
    assert booked(sql) == [(1, "ok"), (1, "ok")]


def test_a_change_of_the_live_version_takes_effect_at_the_next_turn_and_is_announced(
    talk: Talk, persona: Promptctl, claude: ClaudeServer, sql: Connection
) -> None:
    count = len(claude.requests)
    with talk(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        persona("activate", "persona@3", "--author", "bob@example.com", "--reason", "more energy")
        terminal.type("Hello\r")
        shown = terminal.wait_for(AT_3).replace("\r", "")
        assert "persona: 1 → 3 is active now (bob@example.com activated it, more energy)" in shown
        persona("rollback", "persona", "--author", "eve@example.com")
        terminal.type("Hello\r")
        assert "persona: 3 → 1 is active now (eve@example.com rolled back)" in terminal.wait_for(AT_1)
        terminal.type("/quit\r")
        assert terminal.end() == 0
    assert [request.body["system"] for request in claude.requests[count:]] == [ENTHUSIASTIC, CALM]
    assert booked(sql) == [(3, "ok"), (1, "ok")]


def test_a_version_that_is_named_stays_and_its_retirement_is_told(
    talk: Talk, persona: Promptctl, sql: Connection
) -> None:
    with talk("persona@3", text="Yes.") as terminal:
        assert "persona@3 (not active)" in terminal.wait_for(AT_3)
        persona("activate", "persona@2")
        persona("delete", "persona@3")
        terminal.type("Hello\r")
        assert "warning: persona@3 was archived" in terminal.wait_for(AT_3)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert booked(sql) == [(3, "ok")]


def test_with_nothing_live_any_more_a_turn_is_refused_and_the_conversation_stays(
    talk: Talk, persona: Promptctl, sql: Connection
) -> None:
    with talk(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        sql.execute("update promptctl.prompts set is_active = false where name = 'persona' and version = 1")
        terminal.type("Hello\r")
        shown = terminal.wait_for(AT_1)
        assert 'error: "persona" has no active version' in shown
        assert "hint:  promptctl activate persona@3" in shown
        persona("activate", "persona@3")
        terminal.type("/retry\r")
        assert "Yes.\n" in terminal.wait_for(AT_3)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert booked(sql) == [(3, "ok")]


def test_a_database_that_went_away_is_asked_again_at_the_next_turn(talk: Talk, sql: Connection) -> None:
    with talk(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        sql.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity "
            "where datname = current_database() and application_name = 'promptctl'"
        )
        terminal.type("Hello\r")
        assert "Yes.\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert booked(sql) == [(1, "ok")]


def test_ctrl_c_stops_the_reply_and_not_the_conversation(talk: Talk, claude: ClaudeServer, sql: Connection) -> None:
    count = len(claude.requests)
    with talk(scenario="stall", after=2, text="One two three") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("Hello\r")
        terminal.wait_for("One")
        terminal.type(STOP)
        assert "stopped\n" in terminal.wait_for(AT_1)
        # What there is of it stays.
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
    assert booked(sql) == [(1, "interrupted"), (1, "interrupted")]


def test_a_failed_turn_is_forgotten_and_can_be_sent_again(talk: Talk, claude: ClaudeServer, sql: Connection) -> None:
    count = len(claude.requests)
    with talk(scenario="status", status=400, times=1, text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("/retry\r")
        assert "no message was sent yet" in terminal.wait_for(AT_1)
        terminal.type("Hello\r")
        shown = terminal.wait_for(AT_1)
        assert "error: Claude rejected the request" in shown
        assert "this message is not part of the conversation; /retry sends it again" in shown
        for _ in range(2):
            # The second time it replaces the reply that did not please.
            terminal.type("/retry\r")
            assert "Yes.\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert [len(request.body["messages"]) for request in claude.requests[count:]] == [1, 1, 1]
    assert booked(sql) == [(1, "invalid_request_error"), (1, "ok"), (1, "ok")]


def test_nothing_is_sent_before_the_time_that_claude_asks_to_wait(
    talk: Talk, claude: ClaudeServer, sql: Connection
) -> None:
    count = len(claude.requests)
    with talk(scenario="status", status=429, retry_after=3600, times=1, text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("Hello\r")
        assert "Claude asks to wait 1 hour" in terminal.wait_for(AT_1)
        for typed in ("/retry\r", "Hello again\r"):
            terminal.type(typed)
            shown = terminal.wait_for(AT_1)
            assert "error: nothing was sent: Claude asks to wait" in shown
            assert "hint:  /retry sends it after that" in shown
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert len(claude.requests) == count + 1
    assert booked(sql) == [(1, "rate_limit_error")]


def test_a_reply_is_replaced_only_when_there_is_another_one(talk: Talk, persona: Promptctl, sql: Connection) -> None:
    path = persona.home / "talk.json"
    with talk("persona", "--save", "talk.json", text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("go on\r")
        terminal.wait_for(AT_1)
        # Nothing is live for a moment: neither a message nor another try at it is answered.
        for typed in ("go on\r", "/retry\r"):
            sql.execute("update promptctl.prompts set is_active = false where name = 'persona' and version = 1")
            terminal.type(typed)
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


def test_a_message_may_have_several_lines(talk: Talk, claude: ClaudeServer) -> None:
    count = len(claude.requests)
    with talk(text="Yes.") as terminal:
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
    sent = [request.body["messages"][-1]["content"] for request in claude.requests[count:]]
    assert sent == ["one \ntwo", "three\nfour", "five\nsix", " /no command"]


def test_a_message_can_be_written_in_the_editor(talk: Talk, persona: Promptctl, claude: ClaudeServer) -> None:
    editor = persona.home / "editor"
    editor.write_text('#!/bin/sh\ncp "$1" seen\nprintf "written here\\nin two lines\\n" > "$1"\n')
    editor.chmod(0o755)
    count = len(claude.requests)
    with talk(env={"EDITOR": str(editor)}, text="Yes.") as terminal:
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
    sent = [request.body["messages"][-1]["content"] for request in claude.requests[count:]]
    assert sent == ["written here\nin two lines"] * 2


def test_what_was_typed_is_remembered_for_its_owner(talk: Talk, persona: Promptctl) -> None:
    path = persona.home / "state" / "history"
    for turn in ("first", "second"):
        with talk(env={"PROMPTCTL_CHAT_HISTORY": str(path)}, text="Yes.") as terminal:
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


def test_the_conversation_is_saved_after_each_reply_and_gone_on_from(
    talk: Talk, persona: Promptctl, claude: ClaudeServer
) -> None:
    path = persona.home / "talk.json"
    with talk(text="Yes.") as terminal:
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
    with talk("persona", "--continue", "talk.json", text="Yes.") as terminal:
        assert "continuing after 3 replies" in terminal.wait_for(AT_1)
        terminal.type("Fourth\r")
        terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert len(claude.requests[count].body["messages"]) == 7


def test_a_variable_that_a_new_version_needs_is_asked_for(talk: Talk, persona: Promptctl, claude: ClaudeServer) -> None:
    persona("create", "persona", "Be kind to {user.name}.")
    with talk(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        persona("activate", "persona@4", "--allow-new-variables")
        terminal.type("Hello\r")
        at_4 = "\npersona@4> "
        shown = terminal.wait_for(at_4)
        assert "user.name" in shown
        assert "/var user.name=" in shown
        terminal.type("/var nonsense\r")
        assert "error: --var needs NAME=VALUE" in terminal.wait_for(at_4)
        terminal.type("/var user.name=Ada Lovelace\r")
        terminal.wait_for(at_4)
        terminal.type("/show\r")
        assert "Be kind to Ada Lovelace." in terminal.wait_for(at_4)
        terminal.type("/retry\r")
        assert "Yes.\n" in terminal.wait_for(at_4)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert claude.requests[-1].body["system"] == "Be kind to Ada Lovelace."


def test_the_commands_are_listed_and_completed_and_others_refused(talk: Talk, snapshot: Callable[..., None]) -> None:
    with talk(text="Yes.") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("/help\r")
        shown = terminal.wait_for(AT_1).replace("\r", "")
        snapshot(shown, "cli/chat-help")
        terminal.type("/frob\r")
        assert "error: no command /frob\nhint:  /help" in terminal.wait_for(AT_1).replace("\r", "")
        terminal.type("/us\t\r")
        assert "tokens and times are on" in terminal.wait_for(AT_1)
        terminal.type("Hello\r")
        assert " tokens, " in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0


def test_a_narrow_terminal_has_a_short_prompt_and_whole_words(talk: Talk) -> None:
    text = "An answer in whole sentences."
    with talk(columns=20, text=text) as terminal:
        terminal.wait_for("\n@1> ")
        terminal.type("Hello\r")
        shown = terminal.wait_for("\n@1> ")
        for word in text.split():
            assert word in shown
        terminal.type(LEAVE)
        assert terminal.end() == 0


def test_what_could_not_be_booked_is_booked_after_the_next_reply(
    separate_database: None, talk: Talk, sql: Connection, server: Any, database_name: str
) -> None:
    import psycopg

    with (
        talk(text="One two three", chunk_delay_ms=300) as terminal,
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
        shown = terminal.wait_for(AT_1).replace("\r", "")
        assert "three\n" in shown
        assert "warning: this use is not recorded; promptctl retries after the next reply: " in shown
        terminal.type("Again\r")
        assert "error: cannot reach the database" in terminal.wait_for(AT_1)
        admin.execute(f"alter database {database_name} with allow_connections true".encode())
        terminal.type("/retry\r")
        assert "three\n" in terminal.wait_for(AT_1)
        terminal.type(LEAVE)
        assert terminal.end() == 0
    assert booked(sql) == [(1, "ok"), (1, "ok")]


@pytest.mark.parametrize("word", ["exit", "quit"])
def test_a_word_that_leaves_elsewhere_leaves_and_is_sent_behind_a_space(
    talk: Talk, claude: ClaudeServer, word: str
) -> None:
    with talk(text="Yes.") as terminal:
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


def test_a_terminal_that_hangs_up_leaves_a_record(talk: Talk, sql: Connection) -> None:
    with talk(scenario="stall", after=2, text="One two three") as terminal:
        terminal.wait_for(AT_1)
        terminal.type("Count.\r")
        terminal.wait_for("two")
        terminal.process.send_signal(signal.SIGHUP)
        assert terminal.end() == -signal.SIGHUP
    assert booked(sql) == [(1, "interrupted")]


def test_something_moves_until_the_first_token_and_is_gone_before_it(talk: Talk) -> None:
    with talk(text="Here.", delay_ms=1500) as terminal:
        terminal.wait_for(AT_1)
        terminal.type("One?\r")
        assert "\r| waiting for claude-sonnet-5-5" in terminal.wait_for("/ waiting for claude-sonnet-5-5")
        terminal.wait_for("Here.")
        shown = terminal.raw.decode()
        assert shown.index("\r\x1b[KHere.") > shown.rindex("waiting for")
    with talk(text="Here.", delay_ms=900, env={"TERM": "dumb"}) as terminal:
        terminal.wait_for(AT_1)
        terminal.type("One?\r")
        assert "waiting for" not in terminal.wait_for("Here.")


def test_the_help_fits_a_screen(talk: Talk) -> None:
    with talk() as terminal:
        terminal.wait_for(AT_1)
        terminal.type("/help\r")
        terminal.wait_for("/help")
        lines = terminal.wait_for("start it with a space.").splitlines()
        assert max(map(len, lines)) < 80
