"""Request files, beside the text of a version or as the key `request` of prompt.yaml."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any

import anthropic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptctl.folder import defaults, listing, prompt_files, request_files, strict_yaml, yaml_settings
from promptctl.rules import requests
from tests.conftest import ROOT
from tests.folder.test_prompt_files import read, refusal, write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

YAML = """\
# As reviewed on Monday.
thinking: {type: adaptive}
tools:
  - name: weather
    description: |
      Returns the weather.
      Two lines.
    input_schema: {type: object, properties: {city: {type: string}}}
stop_sequences: ["END", "1.10"]
"""
REQUEST: dict[str, Any] = {
    "thinking": {"type": "adaptive"},
    "tools": [
        {
            "name": "weather",
            "description": "Returns the weather.\nTwo lines.\n",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        }
    ],
    "stop_sequences": ["END", "1.10"],
}
# Not a key: only its form is that of one.
SECRET = "sk-ant-" + "api03-Zq8vT2mX7cLrW4nB9kHs3JdF6gYpA1eU5iQoR0tM"


def settings(folder: str) -> dict[int, dict[str, Any]]:
    """Return the settings of each version of a folder's only prompt."""
    [prompt] = read(folder)
    return {version.number: version.settings for version in prompt.versions}


def secrets_of(folder: str) -> list[str]:
    """Return the messages about secrets in a folder without any other problem."""
    problems: list[str] = []
    secrets: list[str] = []
    for scanned in listing.scan(listing.list_prompts(folder), problems):
        prompt_files.read(scanned, problems, secrets)
    assert problems == []
    return [secret.removeprefix(f"{folder}/") for secret in secrets]


def test_a_request_file_belongs_to_its_version_and_keeps_the_order_of_keys(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a/v1.txt": "x", "a/v1.request.yaml": YAML, "a/v2.txt": "y", "a/v2.request.json": '{"b": 1.0, "a": 1e3}',
        "a/v3.md": "z",
    }  # fmt: skip
    folder = write(tmp_path, files)
    assert settings(folder) == {
        1: {"request": requests.encode(REQUEST)}, 2: {"request": '{"b": 1.0, "a": 1000.0}'}, 3: {},
    }  # fmt: skip
    [prompt] = read(folder)
    assert [version.request_path for version in prompt.versions] == [
        f"{folder}/a/v1.request.yaml", f"{folder}/a/v2.request.json", None,
    ]  # fmt: skip


def test_the_request_of_prompt_yaml_is_that_of_versions_without_a_file(tmp_path: Path) -> None:
    yaml = "request: {thinking: {type: adaptive}, speed: fast}\ncache: 1h\nversions: {2: {cache: 5m}}\n"
    files: dict[str, str | bytes] = {f"a/v{number}.txt": "x" for number in (1, 2, 3)}
    files |= {"a/prompt.yaml": yaml, "a/v2.request.yaml": "speed: standard\n", "a/v3.request.json": "{}"}
    shared = '{"thinking": {"type": "adaptive"}, "speed": "fast"}'
    assert settings(write(tmp_path, files)) == {
        1: {"cache": "1h", "request": shared},
        2: {"cache": "5m", "request": '{"speed": "standard"}'},
        # A file without keys: the version has no request.
        3: {"cache": "1h"},
    }


def test_variables_of_few_shot_messages_follow_those_of_the_text(tmp_path: Path) -> None:
    request = {
        "tools": [{"name": "a", "description": "{not.a.variable}"}],
        "messages": [
            {"role": "user", "content": "Hi {name}, {city}"},
            {"role": "assistant", "content": [{"type": "text", "text": "{tone}"}]},
        ],
    }
    yaml = "variables: {tone: {default: calm}}\n"
    folder = write(
        tmp_path, {"a/v1.txt": "{user} {city}", "a/v1.request.json": json.dumps(request), "a/prompt.yaml": yaml}
    )
    [prompt] = read(folder)
    assert prompt.versions[0].variables == ("user", "city", "name", "tone")
    assert prompt.versions[0].required == ("user", "city", "name")
    yaml = "template: mustache\n"
    [prompt] = read(write(tmp_path, {"a/v1.txt": "{{user}} {city}", "a/prompt.yaml": yaml}))
    assert prompt.versions[0].variables == ("user",)


def test_a_new_version_has_notes_about_its_messages(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    folder = write(tmp_path, {"a/v1.txt": "x", "a/v1.request.json": json.dumps({"messages": messages})})
    [prompt] = read(folder)
    assert prompt.notes == {1: requests.warnings({"messages": messages})}
    assert "do not alternate" in prompt.notes[1][0]


@pytest.mark.parametrize(
    ("file", "content", "complaint"),
    [
        ("v1.request.yaml", "- a", "v1.request.yaml: is a list, not an object"),
        ("v1.request.json", "7", "v1.request.json: is a number, not an object"),
        ("v1.request.yaml", "# nothing\n", "v1.request.yaml: is empty: write {} for no request"),
        ("v1.request.json", '{"a": NaN}', "v1.request.json:1: NaN is not a JSON number"),
        ("v1.request.json", '{"a": 1e999}', "is too large"),
        ("v1.request.yaml", "a: 1\nb: .inf", "v1.request.yaml:2: .inf is read as infinity or NaN"),
        ("v1.request.yaml", 'a: !!float ".nan"', "v1.request.yaml: a is not a finite number"),
        ("v1.request.json", '{"a": 1,\n"a": 2}', "v1.request.json:2: the key 'a' appears twice"),
        ("v1.request.yaml", "a: 1\nb: {c: 1, c: 2}", "v1.request.yaml:2: the key 'c' appears twice"),
        ("v1.request.yaml", "a: 1\nsince: 2026-01-01", ":2: 2026-01-01 is read as a date: write \"2026-01-01\" in"),
        ("v1.request.yaml", 'a: !!timestamp "2026-01-01"', ":1: the tag !!timestamp is not allowed"),
        ("v1.request.yaml", "strict: on", ":1: on is read as true"),
        ("v1.request.yaml", "on: x", ':1: a key must be a text: write "on" in quotes'),
        ("v1.request.yaml", "a: 1\n2: x", ':2: a key must be a text: write "2" in quotes'),
        ("v1.request.yaml", "? [a]\n: x", ":1: a key must be a text"),
        ("v1.request.yaml", "a: &x [1]\nb: *x", ":1: aliases are not allowed"),
        ("v1.request.yaml", "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", "aliases are not allowed"),
        ("v1.request.yaml", "<<: {a: 1}", 'a key must be a text: write "<<" in quotes'),
        ("v1.request.yaml", "a: !!set {x}", ":1: the tag !!set is not allowed"),
        ("v1.request.yaml", "a: 1\nb: !mine x", ":2: the tag !mine is not allowed"),
        ("v1.request.yaml", "a: !!python/object/apply:os.system [ls]", "is not allowed"),
        ("v1.request.yaml", "a: {", "v1.request.yaml:2: "),
        ("v1.request.json", "{'a': 1}", "v1.request.json:1: not JSON"),
        ("v1.request.json", b'{"a": "\xff"}', "v1.request.json:1: not UTF-8: byte 7"),
        ("v1.request.yaml", b"a: \xff", "v1.request.yaml:1: not UTF-8: byte 3"),
        ("v1.request.yaml", 'a: "x\\0y"', ":1: a text contains a NUL character"),
        ("v1.request.json", '{"a": "\\u0000"}', "a text has a NUL character"),
        ("v1.request.json", '{"a": "\\ud800"}', "a text has a lone surrogate"),
        ("v1.request.yaml", "a: " + "[" * 500 + "]" * 500, "nested more than 100 deep"),
        ("v1.request.yaml", "a: " + "[" * 200 + "]" * 200, "has more than 100 levels"),
        ("v1.request.json", '{"a": ' + "[" * 500 + "]" * 500 + "}", "nested more than 100 deep"),
        ("v1.request.json", '{"a": ' + "[" * 100_000, "nested more than 100 deep"),
        ("v1.request.json", json.dumps({"a": "x" * 2_000_000}), "v1.request.json: has more than 1 000 000 bytes"),
        ("v1.request.yaml", "a: " + "x" * 2_000_000, "v1.request.yaml: has more than 1 000 000 bytes"),
        ("v1.request.yaml", "#" * 4_000_001, "v1.request.yaml: has 4000001 bytes: at most 4000000 are allowed"),
        ("v1.request.yaml", "model: x\nsystem: y", "belongs in the setting model (and 1 more error)"),
        ("v1.request.yaml", "messages: []", "v1.request.yaml: messages is empty"),
        ("v1.request.yaml", "messages: [{role: system, content: x}]", "messages[0] has the role 'system'"),
        ("v1.request.yaml", "<<<<<<< a\nx: 1\n=======\nx: 2\n>>>>>>> b\n", "unresolved merge conflict, on line 1"),
        ("v1.request.json", "version https://git-lfs.github.com/spec/v1\noid sha256:ab\n", "is a Git LFS pointer"),
        ("prompt.yaml", "request: [1]", "prompt.yaml: request: is a list, not an object"),
        ("prompt.yaml", "request: {stream: true}", "request: stream belongs in the application's call"),
        ("prompt.yaml", "active: 1\nrequest: {1: x}", ':2: request: a key must be a text: write "1" in quotes'),
        ("prompt.yaml", "request:\n  a: !!set {x}", ":2: request: the tag !!set is not allowed"),
        ("prompt.yaml", "request: {a: !!binary eA==}", ":1: request: the tag !!binary is not allowed"),
        ("prompt.yaml", f"request: {{a: {'9' * 5000}}}", ":1: a number with too many digits"),
        ("prompt.yaml", f"request: {{a: 0x{'f' * 4200}}}", ":1: a number with too many digits"),
        ("v1.request.yaml", f"a:\n  {'9' * 5000}", ":2: a number with too many digits"),
        ("v1.request.json", f'{{"a":\n{"9" * 5000}}}', ":2: a number with too many digits"),
        ("v1.request.json", '{"a": [\n{"b": 1, "c": {"b": 2},\n"b": 3}]}', ":3: the key 'b' appears twice"),
        ("v1.request.json", '{"a": 1,\n\n"b": -Infinity}', ":3: -Infinity is not a JSON number"),
        ("v1.request.json", '{"NaN": 1,\n"b": NaN}', ":2: NaN is not a JSON number"),
        ("v1.request.json", '{"a": 1,\n"b": -1e400}', ":2: the number -1e400 is too large"),
        ("v1.request.json", '{"a": "\\" [",\n"b": "\\u0000"}', ":2: a text has a NUL character"),
        ("v1.request.json", '{"a": 1,\n"\\ud800": 1}', ":2: a text has a lone surrogate"),
        ("v1.request.json", '{"a":\n' + "[" * 101 + "]" * 101 + "}", ":2: nested more than 100 deep"),
        ("v1.request.json", '{"a":\n' + "[" * 200_000, ":2: nested more than 100 deep"),
        ("v1.request.json", "", "v1.request.json: is empty: write {} for no request"),
        ("v1.request.json", "\ufeff\n", "v1.request.json: is empty: write {} for no request"),
        ("v1.request.yaml", "", "v1.request.yaml: is empty: write {} for no request"),
        ("v1.request.yaml", "# thinking: {}\n", "v1.request.yaml: is empty: write {} for no request"),
        ("v1.request.yaml", "---\n", "v1.request.yaml: is empty: write {} for no request"),
        ("v1.request.yaml", "a: 1\n---\nb: 2\n", ":2: a second document begins here, and a file has one"),
        ("v1.request.yaml", "a:\n\tb: 1\n", ":2: not YAML: a tab, where only spaces can indent a line"),
        ("v1.request.yaml", "a: 1\nb: @x\n", ":2: not YAML: a value cannot begin with @ unless it is in quotes"),
        ("v1.request.yaml", "a: 1\nb: \x07\n", ":2: the character U+0007 is not allowed"),
        ("prompt.yaml", "cache: true", "cache must be 5m or 1h, not true"),
        ("prompt.yaml", "cache:", "cache must be 5m or 1h, not null"),
        ("prompt.yaml", "cache: [true, {a: null}]", "not [true, {'a': null}]"),
        ("prompt.yaml", "request: {a: 2026-01-01}", ":1: 2026-01-01 is read as a date"),
        ("prompt.yaml", "cache: 10m", "cache must be 5m or 1h, not '10m'"),
        ("prompt.yaml", "cache: [5m]", "cache must be 5m or 1h, not ['5m']"),
        ("prompt.yaml", "versions: {1: {request: {a: 1}}}", "version 1 belongs in v1.request.yaml, and metadata with"),
        ("prompt.yaml", "versions: {1: {cache: 1d}}", "cache must be 5m or 1h, not '1d'"),
    ],
)  # fmt: skip
def test_an_invalid_request_is_refused_by_file_and_line(
    tmp_path: Path, file: str, content: str | bytes, complaint: str
) -> None:
    message = refusal(tmp_path, {"a/v1.txt": "x", f"a/{file}": content})
    assert complaint in message
    assert message.startswith(f"{tmp_path}/a/{file}:")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (
            ("v1.txt", "v1.request.yaml", "v1.request.json"),
            "v1.request.yaml: the request of version 1 is also in v1.request.json",
        ),
        (("v1.txt", "v2.request.yaml"), "a/v2.request.yaml: there is no text beside it, in v2.txt or v2.md"),
        *(
            (("v1.txt", name), f"a/{name}: not the name of a request file, such as v1.request.yaml")
            for name in (
                "request.yaml", "request.yml", "Request.json", "prompt.request.yaml", "request.v1.yaml",
                "requests.json", "v1.txt.request.yaml", "v1.request.json.yaml", "v1.request.json.txt.yaml",
                "v1.tools.request.json", "request-1.json",
            )
        ),
        (("v1.request.json",), "a/v1.request.json: there is no text beside it, in v1.txt or v1.md"),
        *(
            (("v1.txt", "v3.txt", name), f"a/{name}: not the name of a request file, such as v1.request.yaml")
            for name in (
                "v03.request.yaml", "V3.request.json", "v3.request.yml", "v3.request.txt", "v3.Request.yaml",
                "v3.requests.json", "v3-request.yaml", "v3_request.json", "v3request.yaml",
                "v3.request.YAML", "v2147483648.request.yaml", "v3.request.yaml~", "v\uff13.request.json",
            )
        ),
    ],
)  # fmt: skip
def test_request_files_need_a_text_and_an_exact_name(tmp_path: Path, files: tuple[str, ...], complaint: str) -> None:
    assert complaint in refusal(tmp_path, {f"a/{name}": "{}" for name in files})


def test_files_with_other_names_are_no_requests(tmp_path: Path) -> None:
    names = (
        "example-request.json", "v1.request.yaml.orig", "v1-requested.md", "request.md", "requested.json",
        "request.schema.json",
    )  # fmt: skip
    folder = write(tmp_path, {"a/v1.txt": "x", **{f"a/{name}": "[" for name in names}})
    # Without a text beside it, it can be anything.
    write(tmp_path, {"schemas/request.json": "["})
    assert settings(folder) == {1: {}}


def test_a_request_file_changes_the_digest_and_other_folders_keep_theirs(tmp_path: Path) -> None:
    def digest(files: dict[str, str | bytes]) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        [scanned] = listing.scan(listing.list_prompts(write(folder, files)), [])
        return scanned.digest

    texts: dict[str, str | bytes] = {"a/v1.txt": "x", "a/v2.txt": "y", "a/prompt.yaml": "active: 1\n"}
    # The digest that databases have of such a folder.
    assert digest(texts) == "9b832e3b13a51f078e45cb76a6518e02783190e231617131b2d2ec4ded4adf87"
    files = (
        ("v1.request.yaml", "{}"),
        ("v1.request.json", "{}"),
        ("v2.request.json", "{}"),
        ("v1.request.json", "{ }"),
    )
    assert len({digest(texts), *(digest(texts | {f"a/{name}": content}) for name, content in files)}) == 5


def test_a_secret_in_a_request_is_refused_by_line_and_allowed_with_its_version(tmp_path: Path) -> None:
    texts: dict[str, str | bytes] = {"a/v1.txt": "x", "a/v2.txt": "y"}
    folder = write(
        tmp_path,
        {
            **texts,
            "a/v1.request.yaml": f"speed: fast\nextra_headers: {{x-key: {SECRET}}}\n",
            "a/v2.request.json": '{"url": "https:\\/\\/bob:Tr0ub4dor9x@db.internal.net"}',
        },
    )
    assert secrets_of(folder) == [
        "a/v1.request.yaml:2: sk-ant-… looks like an Anthropic API key",
        "a/v2.request.json: https://bob:…@db.internal.net looks like a password in a URL",
    ]
    write(tmp_path, {"a/prompt.yaml": "allow_secrets: {v1: an example, v2: another one}\n"})
    assert secrets_of(folder) == []
    [prompt] = read(folder)
    assert prompt.notes[1] == [
        "request: sk-ant-… looks like an Anthropic API key, which prompt.yaml allows: an example"
    ]


def test_the_secret_in_the_request_of_prompt_yaml_is_refused_by_line(tmp_path: Path) -> None:
    yaml = f"active: 1\nrequest:\n  extra_headers: {{x-key: {SECRET}}}\n"
    folder = write(tmp_path, {"a/v1.txt": "x", "a/prompt.yaml": yaml})
    assert secrets_of(folder) == ["a/prompt.yaml:3: sk-ant-… looks like an Anthropic API key"]


ESCAPED = SECRET.replace("s", "\\x73", 1)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("prompt.yaml", f'request: {{extra_headers: {{x-key: "{ESCAPED}"}}}}\n'),
        ("prompt.yaml", f'request: {{tools: [{{"{ESCAPED}": 1}}]}}\n'),
        ("prompt.yaml", f'versions: {{1: {{ticket: ["{ESCAPED}"]}}}}\n'),
        ("prompt.yaml", f'versions: {{1: {{model: "{ESCAPED}"}}}}\n'),
        ("prompt.yaml", f'variables: {{x: {{default: "{ESCAPED}"}}}}\n'),
        ("prompt.yaml", f'description: "{ESCAPED}"\n'),
        ("v1.request.yaml", f'extra_headers: {{x-key: "{ESCAPED}"}}\n'),
        ("v1.request.json", json.dumps({"x": SECRET}).replace("s", "\\u0073")),
        # In the text of the file, the letter of the escape comes directly before the key.
        ("v1.request.json", json.dumps({"x": f"The key:\n{SECRET}"})),
        ("v1.request.yaml", f'x: "The key:\\n{SECRET}"\n'),
    ],
)
def test_an_escape_hides_no_secret(tmp_path: Path, file: str, content: str) -> None:
    folder = write(tmp_path, {"a/v1.txt": "x", f"a/{file}": content})
    assert secrets_of(folder) == [f"a/{file}: sk-ant-… looks like an Anthropic API key"]
    allowed = file if file == "prompt.yaml" else "v1"
    yaml = content if file == "prompt.yaml" else ""
    write(tmp_path, {"a/prompt.yaml": f"{yaml}allow_secrets: {{{allowed}: an example}}\n"})
    assert secrets_of(folder) == []
    if allowed == "v1":
        assert read(folder)[0].notes[1] == [
            "request: sk-ant-… looks like an Anthropic API key, which prompt.yaml allows: an example"
        ]


def test_a_request_is_decoded_as_often_for_few_messages_as_for_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[str] = []
    decode = requests.decode

    def counted(settings: Mapping[str, Any]) -> dict[str, Any] | None:
        decoded.append(settings["request"])
        return decode(settings)

    monkeypatch.setattr(requests, "decode", counted)
    counts: list[int] = []
    for number in (1, 300):
        messages = [{"role": "user", "content": f"{{v{place}}}"} for place in range(number)]
        folder = tmp_path / str(number)
        decoded.clear()
        [prompt] = read(write(folder, {"a/v1.txt": "{x}", "a/v1.request.json": json.dumps({"messages": messages})}))
        assert prompt.versions[0].variables == ("x", *(f"v{place}" for place in range(number)))
        counts.append(len(decoded))
    assert counts[0] == counts[1] > 0


def test_a_stored_request_is_not_searched_again(tmp_path: Path) -> None:
    request = {"extra_headers": {"x-key": SECRET}}
    folder = write(tmp_path, {"a/v1.txt": "x", "a/v1.request.json": json.dumps(request)})
    secrets: list[str] = []
    for stored, count in (({1: requests.encode(request)}, 0), ({1: "{}"}, 1)):
        [scanned] = listing.scan(listing.list_prompts(folder), [])
        prompt_files.read(scanned, [], secrets, prompt_files.StoredContents({}, stored))
        assert len(secrets) == count


def test_every_parameter_of_the_sdk_is_a_setting_a_part_of_a_request_or_refused(tmp_path: Path) -> None:
    parameters = set(inspect.signature(anthropic.Anthropic(api_key="x").messages.create).parameters)
    older = {"temperature", "top_k", "top_p"}
    assert parameters - requests.REFUSED_KEYS.keys() == yaml_settings.REQUEST_PARAMETERS - older
    for key in sorted(yaml_settings.REQUEST_PARAMETERS):
        message = refusal(tmp_path, {"a/v1.txt": "x", "a/prompt.yaml": f"{key}: 1"})
        is_of_call = key == "timeout" or key.startswith("extra_")
        kind = "an argument of the SDK's call" if is_of_call else "a parameter of Claude's API"
        assert message.endswith(f"unknown key '{key}': {kind} belongs in request: {{{key}: …}}")
        message = refusal(tmp_path, {"a/v1.txt": "x", "a/prompt.yaml": f"versions: {{1: {{{key}: 1}}}}"})
        assert f"prompt.yaml: versions: 1: {key} is" in message
        assert message.endswith("which belongs in v1.request.yaml, and metadata with this key under metadata")


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("system: x", "unknown key 'system': system is the text of the version"),
        ("stream: true", "unknown key 'stream': stream belongs in the application's call"),
        ("metadata: {user_id: x}", "unknown key 'metadata': metadata belongs in the application's call"),
        ("effort: high", "unknown key 'effort': this belongs in request: {output_config: {effort: …}}"),
        ("stop: [END]", "unknown key 'stop': this belongs in request: {stop_sequences: […]}"),
        ("tool: []", "unknown key 'tool': a parameter of Claude's API belongs in request: {tools: …}"),
        ("modle: x", "unknown key 'modle': did you mean 'model'?"),
        ("versions: {1: {max_token: 3}}", "versions: 1: unknown key 'max_token': did you mean 'max_tokens'? Metadata"),
        ("versions: {1: {maxTokens: 3}}", "versions: 1: unknown key 'maxTokens': did you mean 'max_tokens'? Metadata"),
        ("versions: {1: {modle: x}}", "versions: 1: unknown key 'modle': did you mean 'model'? Metadata with this key"),
        ("versions: {1: {system: x}}", "versions: 1: system is the text of the version, and metadata with this key"),
        ("versions: {1: {stream: true}}", "versions: 1: stream belongs in the application's call, and metadata with"),
    ],
)
def test_a_key_that_belongs_elsewhere_is_refused_with_its_place(tmp_path: Path, yaml: str, complaint: str) -> None:
    assert complaint in refusal(tmp_path, {"a/v1.txt": "x", "a/prompt.yaml": yaml})


def test_other_keys_of_a_version_are_metadata_and_any_key_is_under_metadata(tmp_path: Path) -> None:
    metadata = {"ticket": "X-1", "team": "x", "effort": 3, "requester": "ada"}
    reserved = {"thinking": True, "system": "x", "max_token": 3, "model": "y", "metadata": 1}
    yaml = json.dumps({"versions": {"1": {**metadata, "metadata": reserved}}}).replace('"1"', "1")
    [prompt] = read(write(tmp_path, {"a/v1.txt": "x", "a/prompt.yaml": yaml}))
    assert prompt.versions[0].metadata == metadata | reserved


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("request: {}", "1: unknown key 'request': it belongs in the prompt.yaml of each prompt"),
        ("cache: 5m", "1: unknown key 'cache': it belongs in the prompt.yaml of each prompt"),
        ("thinking: {}", "1: unknown key 'thinking': in the prompt.yaml of each prompt, it belongs in request"),
        ("system: x", "1: unknown key 'system': system is the text of the version"),
        ("templat: none", "1: unknown key 'templat': did you mean 'template'?"),
    ],
)
def test_a_key_of_promptctl_yaml_that_belongs_elsewhere_is_refused_with_its_place(
    tmp_path: Path, yaml: str, complaint: str
) -> None:
    problems: list[str] = []
    defaults.read(write(tmp_path, {"promptctl.yaml": f"{yaml}\n"}), problems)
    assert problems == [f"{tmp_path}/promptctl.yaml:{complaint}"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(min_size=1), json_values, max_size=5))
def test_a_json_file_has_the_request_that_json_reads(request: dict[str, Any]) -> None:
    problems: list[str] = []
    parsed = request_files.parse(json.dumps(request).encode(), "v1.request.json", problems)
    if requests.problems(request):
        assert problems
    else:
        assert parsed is not None
        assert requests.encode(parsed) == requests.encode(request)


def test_json_is_read_alike_as_yaml_unless_yaml_misreads_it() -> None:
    raw = json.dumps(REQUEST, indent=2).encode()
    assert strict_yaml.load_json(raw, 100) == REQUEST
    with pytest.raises(strict_yaml.Malformed, match="1e3 is read as a text"):
        strict_yaml.load_json(b'{"a": 1e3}', 100)


def test_the_example_of_the_docs_is_a_valid_request(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
    example = page.partition("## Request files")[2].partition("```yaml\n")[2].partition("```")[0]
    [prompt] = read(write(tmp_path, {"a/v3.txt": "x", "a/v3.request.yaml": example}))
    assert prompt.versions[0].variables == ("city",)
    [note] = prompt.notes[3]
    assert note.startswith("messages end with the assistant")
