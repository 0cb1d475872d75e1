"""`tokens`: the input tokens of versions by part, what they cost, and failures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.claude_api import ClaudeServer
    from tests.conftest import Promptctl

    ClaudeEnv = Callable[..., dict[str, str | None]]
    Connection = psycopg.Connection[Any]

# Of claude-sonnet-5-5: plain input, a write for five minutes and for an hour, and a read, in dollars a token.
INPUT, WRITE, HOUR_WRITE, READ = 2e-6, 2.5e-6, 4e-6, 0.1e-6
REQUEST = {
    "tools": [{"name": "search", "description": "Search the web", "input_schema": {"type": "object"}}],
    "messages": [{"role": "user", "content": "Hello from {city}"}, {"role": "assistant", "content": "Hello"}],
    "stop_sequences": ["END"],
}


def create(sql: Connection, content: str, **settings: Any) -> None:
    request = settings.pop("request", None)
    if request is not None:
        settings["request"] = json.dumps(request)
    sql.execute(
        "select promptctl.create_version('support', %s, settings => %s::jsonb, author => 'me')",
        [content, json.dumps(settings)],
    )


def read(promptctl: Promptctl, env: dict[str, str | None], *words: str) -> list[dict[str, Any]]:
    ended = promptctl("tokens", *words, "--json", env=env)
    assert (ended.code, ended.err) == (0, "")
    return json.loads(ended.out)["versions"]


def test_a_text_alone_has_its_tokens_and_their_cost(
    promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv
) -> None:
    create(sql, "You are calm.")
    [version] = read(promptctl, claude_env(), "support@1")
    assert version == {
        "name": "support", "version": 1, "model": "claude-sonnet-5-5", "input_tokens": 3, "tools_tokens": 0,
        "system_tokens": 3, "few_shot_tokens": 0, "other_tokens": 0, "cacheable_tokens": None,
        "cost_usd": 3 * INPUT, "cost_usd_of_write": None, "cost_usd_of_read": None, "warnings": [],
    }  # fmt: skip
    assert promptctl("tokens", "support@1", "--format", "markdown", env=claude_env()).out.splitlines() == [
        "|  | support@1 |", "| --- | --: |", "| model | claude-sonnet-5-5 |", "| system | 3 |", "| input | 3 |",
        "| cost | &lt;$0.0001 |",
    ]  # fmt: skip


def test_each_part_of_a_version_is_counted_with_its_values(
    promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    create(sql, "You are {mood}.", request=REQUEST, model="claude-sonnet-5-5", max_tokens=100)
    before = len(claude.requests)
    [version] = read(promptctl, claude_env(), "support@1", "--var", "mood=very calm", "--var", "city=New York")
    assert (version["tools_tokens"], version["system_tokens"], version["few_shot_tokens"]) == (4, 4, 5)
    assert (version["input_tokens"], version["cost_usd"]) == (13, round(13 * INPUT, 6))
    # The counts come in any order, and one has stop_sequences left out.
    bodies = sorted((request.body for request in claude.requests[before:]), key=lambda body: len(body["messages"]))
    assert len(bodies) == 5
    assert bodies[-1]["messages"][0] == {"role": "user", "content": "Hello from New York"}


@pytest.mark.parametrize(("cache", "write"), [("5m", WRITE), ("1h", HOUR_WRITE)])
def test_what_is_cached_has_the_cost_of_a_write_and_of_a_read(
    cache: str, write: float, promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv
) -> None:
    create(sql, "word " * 600 + "{now} then", cache=cache)
    [version] = read(promptctl, claude_env(), "support@1", "--var", "now=noon")
    assert (version["input_tokens"], version["cacheable_tokens"]) == (602, 600)
    assert version["cost_usd_of_write"] == pytest.approx(600 * write + 2 * INPUT, abs=1e-6)
    assert version["cost_usd_of_read"] == pytest.approx(600 * READ + 2 * INPUT, abs=1e-6)


def test_too_few_tokens_to_cache_give_a_warning(promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv) -> None:
    create(sql, "word " * 511, cache="5m")
    ended = promptctl("tokens", "support@1", env=claude_env())
    assert ended.err == (
        "warning: support@1: nothing is cached: claude-sonnet-5-5 caches only 512 tokens or more, not 511\n"
    )
    [version] = json.loads(promptctl("tokens", "support@1", "--json", env=claude_env()).out)["versions"]
    assert (version["cacheable_tokens"], version["cost_usd_of_write"], len(version["warnings"])) == (511, None, 1)
    # There is no warning about a model whose minimum is not known.
    ended = promptctl("tokens", "support@1", "--model", "llama-of-ours", env=claude_env())
    assert (ended.code, ended.err) == (0, "")


def test_two_versions_are_shown_beside_each_other(
    promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv, snapshot: Callable[..., None]
) -> None:
    create(sql, "word " * 1000 + "{mood}", cache="5m")
    create(sql, "word " * 1200, request=REQUEST, cache="5m", model="claude-haiku-5-5")
    words = ["tokens", "support@1", "support@2", "--var", "mood=calm", "--var", "city=Rome"]
    screen = promptctl.on_terminal(*words, env=claude_env())
    piped = promptctl(*words, env=claude_env())
    assert piped.err == ""
    alone = promptctl.on_terminal("tokens", "support@1", "--var", "mood=calm", env=claude_env())
    snapshot(f"{screen.out}\n{alone.out}\n{piped.out}", "cli/tokens")
    assert promptctl(*words, "-q", env=claude_env()).out == "support@1\nsupport@2\n"


def test_the_version_of_a_unit_and_the_active_version_are_counted(
    promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv
) -> None:
    create(sql, "one")
    create(sql, "one two")
    sql.execute("select promptctl.activate('{support}', '{1}', 'me')")
    sql.execute("select promptctl.split('support', 10000, 2, 'me')")
    assert [version["version"] for version in read(promptctl, claude_env(), "support")] == [1]
    assert [version["version"] for version in read(promptctl, claude_env(), "support", "--unit", "ada")] == [2]
    ended = check_failure(promptctl("tokens", "support@1", "--unit", "ada", env=claude_env()), 2)
    assert "--unit selects the version" in ended.err


def test_missing_and_unknown_values_are_errors_before_anything_is_counted(
    promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    create(sql, "You are {mood}.", request=REQUEST)
    create(sql, "You are calm in {city}.")
    before = len(claude.requests)
    ended = check_failure(promptctl("tokens", "support@1", env=claude_env()), 2)
    assert ended.err == (
        "error: support@1 needs mood, city\nhint:  promptctl tokens support@1 --var mood=VALUE --var city=VALUE\n"
    )
    ended = check_failure(promptctl("tokens", "support@2", "--var", "cty=Rome", env=claude_env()), 2)
    assert "support@2 has no variable cty (did you mean city?)" in ended.err
    # The first version alone has the variable mood.
    words = ("support@1", "support@2", "--var", "mood=calm", "--var", "city=Rome")
    assert len(claude.requests) == before
    assert len(read(promptctl, claude_env(), *words)) == 2


def test_failures_of_claude_end_with_its_exit_code(
    promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv, claude: ClaudeServer
) -> None:
    create(sql, "You are calm.")
    env = claude_env("status", status=400)
    assert check_failure(promptctl("tokens", "support@1", env=env), 7).err == (
        "error: Claude rejected the request: max_tokens: must be positive\nhint:  promptctl show support@1\n"
    )
    ended = promptctl("tokens", "support@1", env=claude_env() | {"ANTHROPIC_API_KEY": None})
    assert check_failure(ended, 7).err.startswith("error: no API key")
    ended = promptctl("tokens", "support@1", env=claude_env() | {"ANTHROPIC_BASE_URL": claude.refuse()})
    assert check_failure(ended, 7).err.startswith("error: cannot connect to Claude")
    # The hint has all words of the line.
    ended = promptctl("tokens", "suport@1", "support@1", "--var", "a=b c", env=claude_env())
    assert check_failure(ended, 4).err.endswith("hint:  promptctl tokens support@1 support@1 --var 'a=b c'\n")
    ended = promptctl("tokens", "support@9", env=claude_env())
    assert check_failure(ended, 4).err.startswith('error: "support" has no version 9')


def test_create_says_how_much_of_a_text_is_cached(promptctl: Promptctl) -> None:
    words = ("create", "support", "You are calm. It is {now}.", "--cache", "1h", "--model")
    ended = promptctl(*words, "a-model-of-tomorrow")
    assert "cached: 77% of the text, 20 of 26 bytes, for 1 hour\n" in ended.err
    assert "23% of this text comes after {now} and is never cached\n" in ended.err
    ended = promptctl(*words, "claude-sonnet-5-5")
    assert [line for line in ended.err.splitlines() if "cache" in line] == [
        "23% of this text comes after {now} and is never cached",
        "nothing is cached: the text before {now} has about 6 tokens, and claude-sonnet-5-5 caches only 512 or more",
    ]
    assert "cached" not in promptctl("create", "support", "You are calm. It is {now}!").err


def test_json_says_how_much_of_a_text_is_cached(promptctl: Promptctl) -> None:
    words = ("create", "support", "You are calm. It is {now}.", "--cache", "1h", "--model", "new", "--json")
    expected = {
        "lifetime": "1h", "text_bytes": 26, "cacheable_bytes": 20, "first_variable": "{now}",
        "warnings": ["23% of this text comes after {now} and is never cached"],
    }  # fmt: skip
    assert json.loads(promptctl(*words).out)["caching"] == expected
    assert json.loads(promptctl("create", "support", "Be kind.", "--json").out)["caching"] is None
    assert json.loads(promptctl("show", "support@1", "--json").out)["caching"] == expected
    versions = json.loads(promptctl("show", "support", "--json").out)["versions"]
    assert [version["caching"] for version in versions] == [None, expected]


def test_show_and_sync_say_how_much_of_a_text_is_cached(promptctl: Promptctl, sql: Connection, tmp_path: Path) -> None:
    create(sql, "x" * 20 + "{now}" + "y" * 975, cache="5m", model="new")
    sql.execute("select promptctl.activate('{support}', '{1}', 'me')")
    summary = "cached: 2% of the text, 20 of 1,000 bytes, for 5 minutes"
    warning = "98% of this text comes after {now} and is never cached"
    for reference in ("support@1", "support"):
        screen = promptctl.on_terminal("show", reference, columns=120).out
        assert summary in screen
        assert warning in screen
    (tmp_path / "triage").mkdir()
    (tmp_path / "triage" / "v1.txt").write_text("x" * 20 + "{now}" + "y" * 975)
    (tmp_path / "triage" / "prompt.yaml").write_text("cache: 5m\nmodel: new\n")
    ended = promptctl("sync", str(tmp_path), "--dry-run", "--source", "demo", "--json")
    whys = [change["why"] for change in json.loads(ended.out)["changes"]]
    assert any(summary in why for why in whys)
    assert any(warning in why for why in whys)


def test_a_parameter_that_is_not_counted_is_named(promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv) -> None:
    create(sql, "You are calm.", request={"output_confg": {}, "temperature": 1, "stop_sequences": ["a"], "tols": []})
    create(sql, "You are calm.", request={"output_config": {"effort": "low"}, "extra_body": {}})
    first, second = read(promptctl, claude_env(), "support@1", "support@2")
    no_parameter = "not counted: no parameter that Claude counts tokens of has this name"
    assert first["warnings"] == [f"output_confg, tols are {no_parameter}"]
    assert second["warnings"] == [f"extra_body is {no_parameter}"]


def test_without_the_extra_chat_the_error_names_it(
    promptctl: Promptctl,
    sql: Connection,
    claude_env: ClaudeEnv,
    startup_code: Callable[[str], dict[str, str | None]],
) -> None:
    create(sql, "You are calm.")
    env = claude_env() | startup_code("import sys\nsys.modules['anthropic'] = None")
    failure = check_json_failure(promptctl("tokens", "support@1", "--json", env=env), 1)
    message = 'the extra "chat" of promptctl is not installed: anthropic is missing'
    assert (failure["code"], failure["message"]) == ("extra_missing", message)


def test_nothing_is_recorded(promptctl: Promptctl, sql: Connection, claude_env: ClaudeEnv) -> None:
    create(sql, "You are calm.")
    read(promptctl, claude_env(), "support@1")
    assert sql.execute("select count(*) from promptctl.uses").fetchall() == [(0,)]
