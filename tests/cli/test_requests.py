"""create, show, diff and resolve with requests."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    from tests.conftest import Promptctl

TOOL = {"name": "get_weather", "description": "Get the weather of a city.", "input_schema": {"type": "object"}}
REQUEST: dict[str, Any] = {
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tools": [TOOL],
    "messages": [{"role": "user", "content": "In {city}"}, {"role": "assistant", "content": "ä"}],
}
YAML = """
thinking: {type: enabled, budget_tokens: 1024}
tools:
  - name: get_weather
    description: Get the weather of a city.
    input_schema: {type: object}
messages:
  - {role: user, content: "In {city}"}
  - {role: assistant, content: ä}
"""


@pytest.fixture
def request_file(tmp_path: Path) -> Path:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(REQUEST), encoding="utf-8")
    return path


def settings_of(promptctl: Promptctl, reference: str) -> dict[str, Any]:
    settings: dict[str, Any] = json.loads(promptctl("show", reference, "--json").out)["settings"]
    return settings


def test_a_request_is_stored_and_shown_with_the_order_of_its_keys(promptctl: Promptctl, request_file: Path) -> None:
    created = json.loads(
        promptctl(
            "create", "guide", "Guide.", "--request", str(request_file), "--cache", "1h", "--activate", "--json"
        ).out
    )
    assert json.dumps(created["settings"]["request"]) == json.dumps(REQUEST)
    assert created["settings"]["cache"] == "1h"
    assert [variable["name"] for variable in created["variables"]] == ["city"]
    assert json.dumps(settings_of(promptctl, "guide@1")["request"]) == json.dumps(REQUEST)
    for words in (("resolve", "guide"), ("show", "guide")):
        document = json.loads(promptctl(*words, "--json").out)
        shown = document["versions"][0] if "versions" in document else document
        assert json.dumps(shown["settings"]["request"]) == json.dumps(REQUEST)
    # The same request from YAML, by a pipe, is the same version.
    again = promptctl("create", "guide", "Guide.", "--request", "-", "--cache", "1h", "--json", stdin=YAML)
    assert json.loads(again.out)["created"] is False


def test_single_values_are_set_over_a_file(promptctl: Promptctl, request_file: Path) -> None:
    assert promptctl(
        "create", "guide", "Guide.", "--request", str(request_file), "--request-set", "thinking.type=adaptive",
        "--request-set", "top_k=5",
    ).code == 0  # fmt: skip
    request = settings_of(promptctl, "guide@1")["request"]
    assert request == {**REQUEST, "thinking": {"type": "adaptive", "budget_tokens": 1024}, "top_k": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "the request in standard input is a list, not an object"),
        ("7", "the request in standard input is a number, not an object"),
        ("", "the request in standard input is empty: write {} for no request"),
        ("# tools: []\n", "the request in standard input is empty: write {} for no request"),
        ('{"a": NaN}', "standard input, line 1: NaN is not a JSON number"),
        ('{\n"a": 1,\n"a": 2}', "standard input, line 3: the key 'a' appears twice"),
        ('{"a": }', "standard input, line 1: not JSON: Expecting value"),
        ('{"a": "' + "x" * 2_000_000 + '"}', "the request in standard input has more than 1 000 000 bytes"),
        ('{"a": ' + "[" * 500 + "]" * 500 + "}", "standard input, line 1: nested more than 100 deep"),
        ('{"a": ' + "[" * 100 + "]" * 100 + "}", "the request in standard input has more than 100 levels"),
        ("on: true", 'standard input, line 1: a key must be a text: write "on" in quotes'),
        ("a: 2026-01-01", 'standard input, line 1: 2026-01-01 is read as a date: write "2026-01-01" in quotes'),
        ("a: &x {}\nb: *x", "standard input, line 1: aliases are not allowed"),
        ('{"model": "m"}', "the request in standard input: model belongs in --model"),
        ('{"messages": []}', "the request in standard input: messages is empty: leave it out"),
    ],
)
def test_what_is_not_a_request_is_refused_in_one_line(promptctl: Promptctl, text: str, message: str) -> None:
    failure = check_json_failure(promptctl("create", "guide", "Guide.", "--request", "-", "--json", stdin=text), 2)
    assert (failure["code"], failure["message"]) == ("invalid_request", message)
    assert promptctl("show", "guide").code != 0


@pytest.mark.parametrize(
    ("words", "exit_code", "code", "message"),
    [
        (("--request-set", "thinking"), 2, "invalid_request", '--request-set "thinking": is not KEY=VALUE'),
        (
            ("--request-set", "model=m"),
            2,
            "invalid_request",
            "the request in --request-set: model belongs in --model",
        ),
        (("--request", "-", "-f", "-"), 2, "usage", "the text and the request cannot both come from standard input"),
        (("--request", "no-such-file.json"), 1, "cannot_read", "no-such-file.json"),
        (("--request", ""), 2, "usage", "--request is empty"),
        (("--request", '{"a": 1}'), 2, "invalid_request", "--request is the name of a file, and not the request"),
        (
            ("--request-set", "a.b=1", "--request-set", "a=2"),
            2,
            "invalid_request",
            '--request-set "a.b=1": a later --request-set has another value',
        ),
        (("--cache", "2h"), 2, "usage", '--cache is 5m or 1h, not "2h"'),
    ],
)
def test_a_wrong_option_is_refused(
    promptctl: Promptctl, words: tuple[str, ...], exit_code: int, code: str, message: str
) -> None:
    text = () if "-f" in words else ("Guide.",)
    failure = check_json_failure(promptctl("create", "guide", *text, *words, "--json", stdin="{}"), exit_code)
    assert failure["code"] == code
    assert message in failure["message"]


def test_each_refused_key_has_a_line_in_the_words_of_the_command_line(promptctl: Promptctl) -> None:
    call = '{"model": "m", "max_tokens": 5, "system": "s", "stream": true, "top_k": 1}'
    failure = promptctl("create", "guide", "Guide.", "--request", "-", stdin=call)
    assert (failure.code, failure.out) == (2, "")
    assert failure.err.splitlines() == [
        "the request in standard input: max_tokens belongs in --max-tokens",
        "the request in standard input: system is the argument TEXT",
        "the request in standard input: stream belongs in the application's call",
        "error: the request in standard input: model belongs in --model",
        "hint:  promptctl create --help",
    ]


def test_json_in_place_of_a_file_has_a_hint_that_stores_the_same(promptctl: Promptctl) -> None:
    request = {"thinking": {"type": "adaptive"}, "stop_sequences": ["it's", "5"], "service_tier": "5"}
    failure = check_failure(promptctl("create", "guide", "Guide.", "--request", json.dumps(request)), 2)
    hint = failure.err.splitlines()[-1].removeprefix("hint:  instead of --request, pass ")
    assert promptctl("create", "guide", "Guide.", *shlex.split(hint)).code == 0
    assert settings_of(promptctl, "guide@1")["request"] == request


@pytest.mark.parametrize("text", ['{"model": "x"}', '{"a.b": 1}', '{"a=b": 1}', "{}", '{"a": 1'])
def test_a_request_that_no_option_sets_has_no_option_in_the_hint(text: str, promptctl: Promptctl) -> None:
    failure = check_failure(promptctl("create", "guide", "Guide.", "--request", text), 2)
    assert failure.err.splitlines()[-1].startswith(
        "hint:  pass a file, - for standard input, or single values such as "
    )


def test_what_looks_like_a_key_in_a_request_is_refused_with_its_path(promptctl: Promptctl) -> None:
    secret = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    words = ("create", "guide", "Guide.", "--request-set", f'tools=[{{"name": "x", "headers": "{secret}"}}]')
    failure = check_failure(promptctl(*words), 5)
    assert "request.tools[0].headers: ghp_… looks like a GitHub token" in failure.err
    assert promptctl(*words, "--allow-secrets").code == 0


def test_messages_that_claude_reads_otherwise_are_noted(promptctl: Promptctl) -> None:
    messages = '[{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]'
    created = promptctl("create", "guide", "Guide.", "--request-set", f"messages={messages}")
    assert created.code == 0
    assert "messages do not alternate: messages[0] and messages[1] are both from the user" in created.err


def test_show_describes_the_request_on_a_terminal(promptctl: Promptctl, request_file: Path) -> None:
    assert promptctl("create", "guide", "Guide.", "--request", str(request_file), "--activate").code == 0
    shown = promptctl.on_terminal("show", "guide").out
    assert 'request: thinking: {"type": "enabled", "budget_tokens": 1024}' in shown
    assert "promptctl show guide@1 --request prints all of it" in shown
    assert "request: tool get_weather: Get the weather of a city." in shown
    assert "request: messages: 2 few-shot messages" in shown
    assert promptctl("show", "guide").out == "Guide."


def test_diff_compares_settings_by_key_and_tools_by_name(promptctl: Promptctl, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    new = tmp_path / "new.json"
    long_text = "Get the weather of a city, in degrees, with the wind and the chance of rain."
    old.write_text(json.dumps({**REQUEST, "tools": [{**TOOL, "description": long_text}, {"name": "search"}]}))
    new.write_text(
        json.dumps({**REQUEST, "thinking": {"type": "adaptive"}, "tools": [
            {"name": "book", "description": "Book a room."}, {**TOOL, "description": long_text.replace("rain", "snow")},
        ]})
    )  # fmt: skip
    assert promptctl("create", "guide", "Guide.", "--request", str(old), "--model", "m").code == 0
    assert promptctl("create", "guide", "Guide.", "--request", str(new), "--cache", "5m").code == 0
    answer = promptctl("diff", "guide@1", "guide@2", "--exit-code")
    assert answer.code == 3
    assert answer.out.splitlines() == [
        "model: removed m",
        "request.thinking.type: enabled -> adaptive",
        "request.thinking.budget_tokens: removed 1024",
        "request.tools[get_weather].description:",
        "--- guide@1 request.tools[get_weather].description",
        "+++ guide@2 request.tools[get_weather].description",
        "@@ -1 +1 @@",
        f"-{long_text}",
        f"+{long_text.replace('rain', 'snow')}",
        'request.tools[search]: removed {"name": "search"}',
        "request.tools[book]: added Book a room.",
        "cache: added 5m",
    ]
    document = json.loads(promptctl("diff", "guide@1", "guide@2", "--json").out)
    assert document["differs"] is True
    assert document["settings"][1] == {
        "path": "request.thinking.type", "kind": "changed", "old": "enabled", "new": "adaptive",
    }  # fmt: skip
    assert promptctl("diff", "guide@1", "guide@1", "--exit-code").code == 0


def test_show_prints_the_request_alone_for_the_next_version(promptctl: Promptctl, request_file: Path) -> None:
    assert promptctl("create", "guide", "Guide.", "--request", str(request_file), "--activate").code == 0
    assert promptctl("create", "guide", "Other.").code == 0
    shown = promptctl("show", "guide", "--request")
    assert (shown.out, shown.err) == (json.dumps(REQUEST, indent=2, ensure_ascii=False) + "\n", "")
    assert promptctl.on_terminal("show", "guide@1", "--request").out == shown.out
    assert promptctl("show", "guide@2", "--request").out == "{}\n"
    # What it prints is the same request again, so the version exists already.
    for reference, text in (("guide@1", "Guide."), ("guide@2", "Other.")):
        printed = promptctl("show", reference, "--request").out
        assert promptctl("create", "guide", text, "--request", "-", "-q", stdin=printed).out == f"{reference}\n"
    assert json.loads(promptctl("show", "guide@1", "--request", "--json").out) == {
        "name": "guide", "version": 1, "request": REQUEST,
    }  # fmt: skip
    assert json.loads(promptctl("show", "guide@2", "--request", "--json").out)["request"] is None
    assert promptctl("show", "guide", "--request", "-q").out == "guide@1\n"
    refused = check_failure(promptctl("show", "guide", "--request", "--archived"), 2)
    assert refused.err.startswith("error: use only one of --archived and --request\n")


def test_the_request_of_the_active_version_is_not_lost_without_a_note(promptctl: Promptctl, request_file: Path) -> None:
    words = ("create", "guide", "It's a guide.", "--request-set", "thinking.type=adaptive")
    assert promptctl("create", "guide", "Guide.", "--request", str(request_file), "--activate").code == 0
    noted = promptctl(*words).err.splitlines()
    assert "the request of guide@1, which is active, also has tools, messages" in noted
    [command] = [line.partition(": ")[2] for line in noted if line.startswith("to keep that: ")]
    show, create = (shlex.split(part)[1:] for part in command.split(" | "))
    assert promptctl(*create, stdin=promptctl(*show).out).code == 0
    assert settings_of(promptctl, "guide@3")["request"] == {
        **REQUEST, "thinking": {"type": "adaptive", "budget_tokens": 1024},
    }  # fmt: skip
    # Without a text in the words, the command cannot read the request from the pipe.
    piped = promptctl("create", "guide", "-", "--request-set", "a=1", stdin="Text")
    assert "to keep that: promptctl show guide@1 --request > request.json, then add --request" in piped.err
    for complete in (("--request", str(request_file)), ("--request-set", "a=2", "--json")):
        assert "to keep that" not in promptctl("create", "guide", "Again.", *complete).err
    assert promptctl("create", "guide", "Plain.", "--activate").code == 0
    assert "to keep that" not in promptctl(*words, "--description", "x").err


def test_double_braces_and_invisible_characters_in_few_shot_messages_are_noted(
    promptctl: Promptctl, tmp_path: Path
) -> None:
    messages = json.dumps([{"role": "user", "content": [{"type": "text", "text": "I am {{name}}\u200b"}]}])
    braces = "in a few-shot message, {{name}} is text, not a variable"
    created = promptctl("create", "guide", "Guide.", "--request-set", f"messages={messages}")
    assert braces in created.err
    assert "in its few-shot messages, guide@1 contains 1 invisible character (U+200B)" in created.err
    mustache = promptctl("create", "guide", "G.", "--request-set", f"messages={messages}", "--template", "mustache")
    assert "double" not in mustache.err
    assert braces not in mustache.err
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "v1.txt").write_text("Other.")
    (tmp_path / "other" / "v1.request.json").write_text(f'{{"messages": {messages}}}')
    planned = promptctl("sync", str(tmp_path), "--dry-run", "--source", "demo", "--json")
    assert any(braces in change["why"] for change in json.loads(planned.out)["changes"])


def test_a_line_in_a_pipe_names_the_settings_and_the_keys_of_the_request(
    promptctl: Promptctl, request_file: Path
) -> None:
    options = ("--request", str(request_file), "--max-tokens", "7", "--cache", "5m", "--model", "m")
    assert promptctl("create", "guide", "Guide.", *options, "--activate").code == 0
    for reference in ("guide", "guide@1"):
        assert (
            "; model m; max_tokens 7; cache 5m; request with thinking, tools, messages"
            in promptctl("show", reference).err
        )


def test_lines_about_a_request_are_as_wide_as_the_terminal(promptctl: Promptctl) -> None:
    tool = {"name": "find", "description": "Find a parcel. " * 20}
    words = ("--request-set", f"tools={json.dumps([tool])}", "--request-set", f'stop_sequences=["{"END" * 50}"]')
    assert promptctl("create", "guide", "Guide.", *words, "--cache", "5m", "--activate").code == 0
    for reference in ("guide", "guide@1"):
        lines = promptctl.on_terminal("show", reference, columns=60).out.splitlines()
        shown = [line for line in lines if line.startswith("request: ")]
        assert [len(line) for line in shown] == [60, 60]
        assert all(line.endswith("…") for line in shown)
        start = next(place for place, line in enumerate(lines) if line.startswith("nothing is cached: the tools and"))
        assert max(map(len, lines[start : start + 3])) <= 60
        sentence = " ".join(lines[start : start + 3])
        assert "the tools and the text have about 113 tokens, and every model needs 512 or more" in sentence


def test_a_new_order_of_keys_is_a_difference_of_its_own(promptctl: Promptctl) -> None:
    for request in ('{"x": {"order": 1, "cents": 2}}', '{"x": {"cents": 2, "order": 1}}'):
        assert promptctl("create", "guide", "Guide.", "--request", "-", stdin=request).code == 0
    assert promptctl("diff", "guide@1", "guide@2").out == "request.x: reordered (order, cents) -> (cents, order)\n"
