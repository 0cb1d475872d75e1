"""Keys and passwords in arguments and files: refused before anything is stored, and never printed."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from promptctl.cli import catalogue, parameters
from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl

# Split into two strings, so that secret scanners do not report this file.
KEY = "sk-ant-" + "api03-Zq8vT2mX7cLrW4nB9kHs3JdF6gYpA1eU5iQoR0tM"
URL = "postgresql://app:" + "hunter2pw@db.prod.internal/app"
MESSAGE = "looks like an Anthropic API key"


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["create", "x", f"Use {KEY}."], "the text"),
        (["create", "x", "-f", "key.txt"], "key.txt, line 2"),
        (["create", "x", "text", "--description", KEY], "--description"),
        (["create", "x", "text", "--meta", f"key={KEY}"], "--meta"),
        (["create", "x", "text", "--meta", f'a={{"b": ["{KEY}"]}}'], "--meta"),
        (["create", "x", "{a}", "--default", f"a={KEY}"], "--default"),
        (["create", "x", "text", "--activate", "--reason", f"for {KEY}"], "--reason"),
        (["activate", "default-system-prompt@3", "--reason", f"key={KEY}"], "--reason"),
        (["rollback", "default-system-prompt", "-r", f"{KEY}, INC-412"], "--reason"),
        (["delete", "default-system-prompt@1", "--reason", KEY], "--reason"),
        (["split", "default-system-prompt@3", "10%", "--reason", KEY], "--reason"),
        (["release", "rollback", "1", "--reason", KEY], "--reason"),
        (["route", "set", "default-system-prompt", "-f", "route.yaml"], "route.yaml"),
        (["route", "set", "default-system-prompt", "-f", "none.yaml", "--reason", KEY], "--reason"),
        (["route", "unset", "default-system-prompt", "--reason", KEY], "--reason"),
    ],
)
def test_a_key_is_refused_with_its_location_and_not_printed(
    demo: Promptctl, sql: psycopg.Connection[Any], words: list[str], where: str
) -> None:
    (demo.home / "key.txt").write_text(f"Be kind.\nUse {KEY}.\n")
    (demo.home / "route.yaml").write_text(f"- {{when: {{key: {KEY}}}, use: code_helper@1}}\n")
    (demo.home / "none.yaml").write_text("[]\n")
    state = "select (select count(*) from promptctl.versions), (select max(epoch) from promptctl.allocations)"
    before = sql.execute(state).fetchone()
    ended = check_failure(demo(*words), 5)
    assert f"error: {where}: sk-ant-… {MESSAGE}" in ended.err
    assert KEY[12:] not in ended.err
    assert "--allow-secrets" not in ended.err
    assert check_json_failure(demo(*words, "--json"), 5)["code"] == "secret_found"
    assert sql.execute(state).fetchone() == before


def test_allow_secrets_stores_a_key(demo: Promptctl) -> None:
    assert demo("create", "x", f"Use {KEY}.", "--meta", f"key={KEY}", "--reason", URL, "--allow-secrets").code == 0
    assert demo("activate", "default-system-prompt@3", "--reason", f"see {KEY}", "--allow-secrets").code == 0
    assert demo("rollback", "default-system-prompt", "--reason", URL, "--allow-secrets").code == 0


def test_a_url_with_a_password_is_refused_and_a_link_is_accepted(demo: Promptctl) -> None:
    ended = check_failure(demo("activate", "default-system-prompt@3", "--reason", f"moved to {URL}"), 5)
    assert "hunter2pw" not in ended.err
    reason = "https://tracker.internal/browse/INC-412?focusedCommentId=1234567890123456789"
    assert demo("activate", "default-system-prompt@3", "--reason", reason).code == 0


def test_every_command_with_a_reason_checks_it_for_secrets() -> None:
    """A command that stores a reason connects with Run.database_to_change, or calls Run.refuse_secrets itself."""
    names = [name for name, command in catalogue.COMMANDS.items() if parameters.REASON in command.parameters]
    assert {"activate", "rollback", "create", "delete", "split", "route set", "release rollback"} <= set(names)
    for name in names:
        module, function = catalogue.COMMANDS[name].locate()
        source = inspect.getsource(getattr(__import__(module, fromlist=[function]), function))
        assert "run.database_to_change(" in source or "run.refuse_secrets(" in source, name
        assert parameters.ALLOW_SECRETS in catalogue.COMMANDS[name].parameters, name


def test_a_reason_without_a_long_word_does_not_import_the_secret_check(
    demo: Promptctl, imports: Callable[..., set[str]]
) -> None:
    assert "promptctl.folder.secret_values" not in imports(
        "rollback", "default-system-prompt", "--reason", "INC-412, " * 20
    )
    assert "promptctl.folder.secret_values" in imports("activate", "default-system-prompt@3", "--reason", "x" * 40)


@pytest.fixture
def imports(
    demo: Promptctl, startup_code: Callable[[str], dict[str, str | None]], tmp_path: Any
) -> Callable[..., set[str]]:
    """Return a function that runs a command and returns the modules that it imported."""

    def run(*words: str) -> set[str]:
        modules = tmp_path / "modules"
        code = (
            "import os, sys\nleave = os._exit\ndef tell(code):\n"
            f"    open({str(modules)!r}, 'w').write(' '.join(sys.modules))\n    leave(code)\nos._exit = tell\n"
        )
        assert demo(*words, env=startup_code(code)).code == 0
        return set(modules.read_text().split())

    return run
