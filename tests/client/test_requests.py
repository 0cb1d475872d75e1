"""`prompt.request`: the keywords for `messages.create`, from the version, the values and the call."""

from __future__ import annotations

import copy
import inspect
import json
import pickle
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
import yaml

from promptctl import MissingVariables, Prompts
from promptctl.client import served_version
from promptctl.rules import requests
from tests.client.support import activate, until
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.claude_api import ClaudeServer

    Connection = psycopg.Connection[Any]

REQUEST = {
    "tools": [{"name": "look_up", "input_schema": {"type": "object", "properties": {"id": {"type": "string"}}}}],
    "thinking": {"type": "adaptive"},
    "messages": [
        {"role": "user", "content": "Say {word}."},
        {"role": "assistant", "content": [{"type": "text", "text": "{word}, {user.name}."}]},
    ],
}
QUESTION = {"role": "user", "content": "And {this}?"}
VALUES = {"user.name": "Ada", "word": "{yes}"}


def create(sql: Connection, name: str, content: str, request: Any = None, **settings: Any) -> None:
    """Create a version with a request, and activate it."""
    if request is not None:
        settings["request"] = requests.encode(request)
    run(sql, "select promptctl.create_version(%s, %s, %s, activated => true)", [name, content, json.dumps(settings)])


@pytest.fixture
def composed(sql: Connection) -> None:
    """The prompt `composed`, with everything that a version can have."""
    create(sql, "composed", "Be kind, {user.name}.", REQUEST, model="m-1", max_tokens=1024, cache="5m")


@pytest.mark.usefixtures("composed")
def test_a_request_has_everything_that_claude_is_sent(prompts: Prompts) -> None:
    prompt = prompts.get("composed")
    request = prompt.request(VALUES, messages=[QUESTION])
    assert list(request.items()) == [
        ("model", "m-1"),
        ("max_tokens", 1024),
        ("system", [
            {"type": "text", "text": "Be kind, ", "cache_control": {"type": "ephemeral"}},
            {"type": "text", "text": "Ada."},
        ]),
        ("tools", REQUEST["tools"]),
        ("thinking", {"type": "adaptive"}),
        ("messages", [
            {"role": "user", "content": "Say {yes}."},
            {"role": "assistant", "content": [{"type": "text", "text": "{yes}, Ada."}]},
            QUESTION,
        ]),
    ]  # fmt: skip
    # A text alone needs its own variables only.
    assert prompt.render({"user.name": "Ada"}) == "Be kind, Ada."
    assert prompt.settings["request"] == REQUEST
    assert list(prompt.settings["request"]) == list(REQUEST)
    assert prompt.settings == {"model": "m-1", "max_tokens": 1024, "cache": "5m", "request": REQUEST}


@pytest.mark.usefixtures("composed")
def test_a_keyword_wins_over_the_version(prompts: Prompts) -> None:
    prompt = prompts.get("composed")
    own: dict[str, Any] = {"model": "m-2", "max_tokens": 5, "system": "Be brief.", "tools": [], "stream": True}
    request = prompt.request(VALUES, [QUESTION], **own, metadata={"user_id": "u"})
    assert {name: request[name] for name in own} == own
    assert (request["metadata"], request["thinking"]) == ({"user_id": "u"}, {"type": "adaptive"})
    assert len(request["messages"]) == 3
    assert prompt.request(VALUES)["max_tokens"] == 1024


def test_a_version_without_a_request_has_its_text_only(prompts: Prompts) -> None:
    prompt = prompts.get("greeter")
    assert prompt.request({"user.name": "Ada"}, [QUESTION]) == {
        "model": "m-1",
        "system": "Be kind, Ada.",
        "messages": [QUESTION],
    }
    assert prompt.settings == {"model": "m-1"}


def test_a_default_text_is_composed_too(prompts: Prompts) -> None:
    prompt = prompts.get("nothing", default="Be kind, {user.name}.")
    assert prompt.request({"user.name": "Ada"}, (QUESTION,), model="m-3", max_tokens=10) == {
        "system": "Be kind, Ada.",
        "messages": [QUESTION],
        "model": "m-3",
        "max_tokens": 10,
    }
    with pytest.raises(MissingVariables, match=r"nothing needs user\.name"):
        prompt.request()


@pytest.mark.usefixtures("composed")
def test_what_a_call_needs_and_does_not_get_is_an_error(prompts: Prompts) -> None:
    prompt = prompts.get("composed")
    with pytest.raises(MissingVariables, match=r"composed@1 needs user\.name, word") as missing:
        prompt.request(messages=[QUESTION])
    assert missing.value.names == ("user.name", "word")
    with pytest.raises(TypeError, match='composed@1 needs a string for "word", not int'):
        prompt.request({"user.name": "Ada", "word": 7})  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="values must be a mapping from variables to strings, not list"):
        prompt.request([QUESTION])  # pyright: ignore[reportArgumentType]
    for messages in ("Hello", QUESTION):
        with pytest.raises(TypeError, match="messages must be a list, for example"):
            prompt.request(VALUES, messages=messages)  # pyright: ignore[reportArgumentType]
    for messages in (["hi"], (None,), iter([QUESTION, 5]), {"a"}):
        with pytest.raises(TypeError, match=r'a message must be a mapping, for example \{"role": "user"'):
            prompt.request(VALUES, messages=messages)  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match=r"messages must be a list, for example .*, not int"):
        prompt.request(VALUES, messages=5)  # pyright: ignore[reportArgumentType]
    assert len(prompt.request(VALUES, iter([MappingProxyType(QUESTION)]))["messages"]) == 3
    assert prompt.request(VALUES, None) == prompt.request(VALUES)


@pytest.mark.usefixtures("composed")
def test_a_caller_can_add_to_a_request_but_not_change_the_version(prompts: Prompts, sql: Connection) -> None:
    plain = [*REQUEST["messages"], {"role": "user", "content": "Why?"}]
    plain += [{"role": "assistant", "content": [{"type": "text", "text": "So."}]}]
    create(sql, "mixed", "Be kind, {user.name}.", {**REQUEST, "messages": plain}, cache="1h")
    prompt = prompts.get("mixed")
    before = json.dumps(prompt.request(VALUES))
    question = {**QUESTION}
    request = prompt.request(VALUES, [question])
    # A tool, and a message without a variable, are shared with other calls.
    shared: list[Any] = [request["tools"][0], *(message for message in request["messages"] if message in plain[-2:])]
    assert len(shared) == 3
    for item in shared:
        with pytest.raises(TypeError, match="a version, which does not change"):
            item.update(text="x")
    with pytest.raises(TypeError, match="a version, which does not change"):
        shared[-1]["content"].append({})
    # What has a variable is made for each call.
    request["system"][1]["text"] = request["messages"][0]["content"] = "x"
    assert yaml.safe_load(yaml.safe_dump(copy.deepcopy(request))) == request
    request["messages"][-1]["content"] = "Mine."
    request["tools"].append({"name": "mine"})
    request["thinking"]["type"] = "enabled"
    request["messages"].clear()
    assert question["content"] == "Mine."
    assert json.dumps(prompt.request(VALUES)) == before


@pytest.mark.parametrize("name", ["composed", "plain"])
@pytest.mark.usefixtures("composed")
def test_what_a_version_shows_cannot_be_changed(name: str, prompts: Prompts, sql: Connection) -> None:
    variables = {"user.name": {"default": "Ada"}, "word": {"default": "yes"}}
    settings = json.dumps({"model": "m-1", "variables": variables})
    metadata = json.dumps({"labels": ["calm"]})
    run(sql, "select promptctl.create_version('plain', 'Be.', %s, %s, activated => true)", [settings, metadata])
    prompt = prompts.get(name)
    before = json.dumps(prompt.request(VALUES))
    settings, metadata = copy.deepcopy(prompt.settings), copy.deepcopy(prompt.metadata)
    own = prompts.get("nothing", default="Be kind.")
    shown: list[Any] = [prompt.settings, prompt.metadata, own.settings, own.metadata]
    inner: list[Any] = [value for part in shown for value in part.values() if not isinstance(value, (str, int))]
    assert len(inner) == {"composed": 1, "plain": 2}[name]
    for part in (*shown, *inner):
        with pytest.raises(TypeError, match="a version, which does not change"):
            part.clear()
    assert (prompt.settings, prompt.metadata) == (settings, metadata)
    assert type(settings) is dict
    assert json.dumps(prompts.get(name).request(VALUES)) == before


@pytest.mark.usefixtures("composed")
def test_a_pickled_prompt_composes_the_same_request(prompts: Prompts) -> None:
    prompt = prompts.get("composed", unit="user-1")
    before = pickle.dumps(prompt)
    request = prompt.request(VALUES, [QUESTION])
    for data in (before, pickle.dumps(prompt)):
        assert pickle.loads(data).request(VALUES, [QUESTION]) == request
        assert pickle.loads(data).settings == prompt.settings
    assert pickle.loads(pickle.dumps(request)) == request


@pytest.mark.usefixtures("composed")
def test_a_snapshot_keeps_the_request(make_client: Callable[..., Prompts], refusing_url: str, home: Path) -> None:
    path = str(home / "snapshot")
    first = make_client(snapshot=path)
    request = first.get("composed").request(VALUES)
    until((home / "snapshot").exists)
    document = json.loads((home / "snapshot").read_text(encoding="utf-8"))
    [row] = document["prompts"]
    assert row["settings"]["request"] == requests.encode(REQUEST)
    document["database"] = make_client(refusing_url).get("x", default="x").link.database_identity
    (home / "snapshot").write_text(json.dumps(document), encoding="utf-8")
    assert make_client(refusing_url, snapshot=path).get("composed").request(VALUES) == request


def test_only_a_call_that_needs_the_request_parses_it(
    prompts: Prompts, sql: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(sql, "big", "Be kind.", {"stop_sequences": ["x" * 900_000]})
    create(sql, "big", "Be brief.", {"stop_sequences": ["y" * 900_000]})
    with monkeypatch.context() as patched:
        patched.setattr(served_version.message_requests, "RequestTemplate", None)
        assert prompts.get("big").render() == "Be brief."
        run(sql, "select promptctl.split('big', 5000, 1)")
        until(lambda: {prompts.get("big", unit=n).version for n in range(50)} == {1, 2})
        run(sql, "select promptctl.split('big', 0)")
        activate(sql, "big", 1)
        until(lambda: {prompts.get("big", unit=n).version for n in range(50)} == {1})
    assert prompts.get("big").request()["stop_sequences"] == ["x" * 900_000]


# Claude's own types of these parameters; a parameter that is not here gets OTHER.
SAMPLES: dict[str, Any] = {
    "tools": REQUEST["tools"],
    "stop_sequences": ["END"],
    "thinking": {"type": "adaptive"},
    "tool_choice": {"type": "auto"},
    "inference_geo": "us",
    "service_tier": "auto",
    "speed": "fast",
    "user_profile_id": "profile_1",
    "workspace_id": "workspace_1",
    "timeout": 7.5,
    "extra_headers": {"x-own": "header"},
    "extra_query": {"own": "query"},
}
OTHER = {"type": "ephemeral", "unknown": [1, 2.5, None, True, {"größe": "{x}"}]}


def test_every_parameter_of_the_installed_sdk_reaches_claude_unchanged(
    prompts: Prompts, sql: Connection, claude: ClaudeServer
) -> None:
    client = anthropic.Anthropic(api_key=claude.KEY, base_url=claude.url(), max_retries=0)
    parameters = set(inspect.signature(client.messages.create).parameters) - {"self"}
    assert parameters >= {*requests.REFUSED_KEYS, "messages", "tools", "thinking"}
    own = {name: SAMPLES.get(name, OTHER) for name in sorted(parameters - {*requests.REFUSED_KEYS, "messages"})}
    create(sql, "whole", "Be kind.", own, model="m-1", max_tokens=10)
    call: dict[str, Any] = prompts.get("whole").request(messages=[QUESTION])
    client.messages.create(**call)
    client.messages.create(model="m-1", max_tokens=10, system="Be kind.", messages=[QUESTION], **own)  # pyright: ignore[reportArgumentType, reportUnknownMemberType, reportCallIssue]
    sent, expected = claude.requests[-2:]
    assert json.dumps(sent.body) == json.dumps(expected.body)
    assert sent.headers == expected.headers
    for name in {"tools", "stop_sequences", "thinking", "output_config"} & own.keys():
        assert sent.body[name] == own[name], name
    assert sent.headers["x-own"] == "header"
