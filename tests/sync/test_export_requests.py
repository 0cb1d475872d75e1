"""Requests that go from a folder to the database and back: export writes them, and a sync finds nothing to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.folder.test_prompt_files import write
from tests.folder.test_request_file_writer import NUMBERS, TEXTS

if TYPE_CHECKING:
    import psycopg

    from tests.conftest import Promptctl

# Not a key: only its form is that of one.
SECRET = "sk-ant-" + "api03-Zq8vT2mX7cLrW4nB9kHs3JdF6gYpA1eU5iQoR0tM"


def prompts(promptctl: Promptctl, files: dict[str, str | bytes]) -> None:
    write(promptctl.home / "prompts", files)


def test_requests_survive_the_way_to_the_database_and_back(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    requests: dict[int, dict[str, Any]] = {
        1: NUMBERS, 2: TEXTS, 3: {"b": 1, "a": {"d": [1, [2]], "c": None}}, 4: {"long": ["x" * 1000] * 200},
    }  # fmt: skip
    files: dict[str, str | bytes] = {f"a/v{number}.txt": f"{number}" for number in (*requests, 5)}
    files |= {f"a/v{number}.request.json": json.dumps(request) for number, request in requests.items()}
    prompts(promptctl, files | {"a/prompt.yaml": "cache: 1h\n"})
    assert promptctl("sync", "prompts", "--allow-secrets").code == 0
    exported = promptctl("export", "other")
    assert exported.code == 0, exported.err
    names = sorted(path.name for path in (promptctl.home / "other/a").iterdir())
    assert [name for name in names if "request" in name] == [
        "v1.request.yaml", "v2.request.yaml", "v3.request.yaml", "v4.request.json",
    ]  # fmt: skip
    for folder in ("other", "prompts"):
        check = promptctl("sync", folder, "--check", "--source", "other", "--adopt")
        assert (check.code, check.out.count("conflict"), check.out.count("settings differ")) == (0, 0, 0), check
    # What is there already has the same content, so nothing is written.
    again = promptctl("export", "prompts")
    assert (again.code, again.out) == (0, ""), again
    # The order of keys has survived as well.
    sql.execute("delete from promptctl.applied")
    assert promptctl("sync", "other").code == 0
    assert (promptctl.home / "other/a/v3.request.yaml").read_text().startswith("b: 1\na:\n")


def test_an_object_that_sql_has_stored_is_exported_and_compared(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    text = json.dumps({"speed": "fast", "top": [1, 2]}, separators=(",", ":"))
    sql.execute(
        "select promptctl.create_version('a', 'x', settings => %s::jsonb, author => 'ada')",
        [json.dumps({"request": text})],
    )
    assert promptctl("export", "prompts").code == 0
    assert (promptctl.home / "prompts/a/v1.request.yaml").read_text() == "speed: fast\ntop:\n  - 1\n  - 2\n"
    check = promptctl("sync", "prompts", "--check")
    assert (check.code, check.out) == (0, "")


def test_export_keeps_the_default_request_and_replaces_other_requests(promptctl: Promptctl) -> None:
    yaml = "active: 1\nrequest: {speed: fast}  # reviewed\n"
    prompts(
        promptctl,
        {
            "a/v1.txt": "x", "a/v2.txt": "y", "a/v3.txt": "z", "a/v2.request.json": '{"speed": "slow"}',
            "a/v3.request.yaml": "{}", "a/prompt.yaml": yaml,
        },
    )  # fmt: skip
    promptctl("sync", "prompts")
    assert promptctl("export", "prompts").out == ""
    promptctl("activate", "a@2")
    (promptctl.home / "prompts/a/v3.request.yaml").unlink()
    prompts(promptctl, {"a/v2.request.json": '{"speed": "other"}'})
    refused = promptctl("export", "prompts")
    assert (refused.code, "prompts/a/v2.request.json differs from the database" in refused.err) == (5, True)
    assert promptctl("export", "prompts", "--force").code == 0
    folder = promptctl.home / "prompts/a"
    assert json.loads((folder / "v2.request.json").read_text()) == {"speed": "slow"}
    # Without this file, version 3 would have the request of prompt.yaml.
    assert (folder / "v3.request.yaml").read_text() == "{}\n"
    assert (folder / "prompt.yaml").read_text().endswith("\nrequest: {speed: fast}\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        "prompt.yaml", "v1.txt", "v2.request.json", "v2.txt", "v3.request.yaml", "v3.txt",
    ]  # fmt: skip
    check = promptctl("sync", "prompts", "--check")
    assert (check.code, check.out) == (0, ""), check


def test_a_secret_in_an_exported_request_is_allowed_with_its_version(promptctl: Promptctl) -> None:
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.yaml": f"extra_headers: {{x-key: {SECRET}}}\n"})
    promptctl("sync", "prompts", "--allow-secrets")
    exported = promptctl("export", "other")
    assert "other/a/v1.request.yaml:1: sk-ant-… looks like an Anthropic API key" in exported.err
    assert "v1: it was in the database when this was exported" in (promptctl.home / "other/a/prompt.yaml").read_text()


def test_an_escape_hides_no_secret_from_an_export(promptctl: Promptctl) -> None:
    request = json.dumps({"x": f"The key:\n{SECRET}"})
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.json": request})
    assert promptctl("sync", "prompts", "--allow-secrets").code == 0
    exported = promptctl("export", "prompts")
    assert "prompts/a/v1.request.json: sk-ant-… looks like an Anthropic API key" in exported.err
    assert "v1: it was in the database when this was exported" in (promptctl.home / "prompts/a/prompt.yaml").read_text()


def test_a_request_that_yaml_cannot_represent_is_an_error_beside_a_yaml_file(promptctl: Promptctl) -> None:
    deep: Any = list(range(22_000))
    for _ in range(97):
        deep = [deep]
    prompts(promptctl, {"a/v1.txt": "x", "a/v1.request.json": json.dumps({"deep": deep})})
    promptctl("sync", "prompts")
    folder = promptctl.home / "prompts/a"
    (folder / "v1.request.json").rename(folder / "v1.request.yaml")
    # JSON is YAML, with the same request.
    assert promptctl("export", "prompts").out == "prompts/a/prompt.yaml\n"
    (folder / "v1.request.yaml").write_text("speed: fast\n")
    refused = promptctl("export", "prompts", "--force")
    assert refused.code == 1
    assert "YAML cannot represent the request of a@1" in refused.err
    assert "hint:  mv prompts/a/v1.request.yaml prompts/a/v1.request.json" in refused.err
