"""Install the wheel and the source distribution without the repository, on each Python, and run the main job."""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptctl import __version__
from tests.packaging.conftest import Distributions
from tests.source_files import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    # Installs a package, the path of a file with an extra, for a Python; returns the command.
    Install = Callable[[str, str, Path, Path], Path]

BUILD = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
# Variables of this environment that would change which packages a new environment has.
_UNSET = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "PIP_REQUIRE_VIRTUALENV")


def find_python(version: str) -> str | None:
    """Return a Python of a minor version that makes virtual environments: this one, pyenv's, or one on PATH."""
    pyenv = Path.home() / ".pyenv" / "versions"
    candidates = [
        *([os.path.join(sys.base_prefix, "bin", f"python{version}")] if sys.version.startswith(f"{version}.") else []),
        *sorted(map(str, pyenv.glob(f"{version}.*/bin/python{version}"))),
        *(os.path.join(folder, f"python{version}") for folder in os.get_exec_path() if ".pyenv/shims" not in folder),
    ]
    for candidate in candidates:
        # Debian's Python without the package python3-venv has no ensurepip.
        if os.access(candidate, os.X_OK) and _run(candidate, "-c", "import ensurepip", check=False).returncode == 0:
            return candidate
    return None


def _run(
    *command: str | Path, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command outside of the repository, with this environment and `env`."""
    inherited = {name: value for name, value in os.environ.items() if name not in _UNSET}
    # The packages are used a few times only, and a module is compiled when it is first imported.
    inherited |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_COMPILE": "0", "UV_PYTHON_DOWNLOADS": "never"}
    done = subprocess.run(
        command, cwd="/", env={**inherited, **(env or {})},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}{done.stderr}"
    return done


def _tool(name: str) -> list[str]:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f'{name} is not installed: it comes with the extra "test"')
    return [sys.executable, "-m", name]


def with_pip(python: str, package: str, folder: Path, shared: Path) -> Path:
    """Install into a virtual environment, with the pip that comes with this Python; return the command."""
    environment = folder / "environment"
    _run(python, "-m", "venv", environment)
    if importlib.util.find_spec("uv") is None:
        _run(environment / "bin/pip", "install", "-q", package)
        return environment / "bin/promptctl"
    # uv installs the dependencies from its cache in a second. pip asks each index for each of them, for a minute.
    dependencies = ("-r", ROOT / "pyproject.toml", "--extra", "embedded", *BUILD["requires"])
    _run(*_tool("uv"), "pip", "install", "-q", "--python", environment / "bin/python", *dependencies)
    _run(environment / "bin/pip", "install", "-q", "--no-index", "--no-build-isolation", package)
    return environment / "bin/promptctl"


def with_pipx(python: str, package: str, folder: Path, shared: Path) -> Path:
    """Install as an application of pipx; return the command."""
    pipx = _tool("pipx")
    folders = {"PIPX_HOME": "home", "PIPX_BIN_DIR": "bin", "PIPX_MAN_DIR": "man"}
    env = {name: str(folder / place) for name, place in folders.items()} | {"PIPX_SHARED_LIBS": str(shared / "pipx")}
    # The first installation may make the environment that all of pipx's share.
    with (shared / "pipx-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _run(*pipx, "install", "--python", python, package, env=env)
    return folder / "bin/promptctl"


def with_uv(python: str, package: str, folder: Path, shared: Path) -> Path:
    """Install as a tool of uv; return the command."""
    env = {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    _run(*_tool("uv"), "tool", "install", "-q", "--python", python, package, env=env)
    return folder / "bin/promptctl"


@dataclass(frozen=True)
class Person:
    """Somebody in a home folder with an embedded database of their own."""

    home: Path
    database: Path

    def run(self, program: Path, *words: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
        """Run the installed command; return how it ended."""
        env = {"PATH": path, "HOME": str(self.home), "PROMPTCTL_HOME": str(self.database)}
        return subprocess.run(
            [program, *words], cwd=self.home, env=env | {"PROMPTCTL_AUTHOR": "ada@example.com"},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def do_the_main_job(self, program: Path) -> None:
        """Sync a folder to the embedded database, list, activate and roll back."""

        def output(*words: str) -> str:
            done = self.run(program, *words)
            assert done.returncode == 0, (words, done.stdout, done.stderr)
            return done.stdout

        try:
            assert output("--version") == f"promptctl {__version__}\n"
            assert "activate\tgreeter@1\tactivate 1 (none active)\n" in output("sync", "prompts")
            assert [line.split("\t")[:4] for line in output("list").splitlines()] == [["greeter", "1", "2", "2"]]
            output("activate", "greeter@2")
            assert output("show", "greeter") == "Be brief.\n"
            output("rollback", "greeter")
            assert output("show", "greeter") == "Be kind.\n"
        finally:
            self.run(program, "db", "stop")


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Person]:
    """A person whose folder has a prompt of two versions, and nothing of the repository."""
    home = tmp_path / "home"
    folder = home / "prompts" / "greeter"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_text("Be kind.\n")
    (folder / "v2.txt").write_text("Be brief.\n")
    (folder / "prompt.yaml").write_text("active: 1\n")
    # As root, the server runs as another user, who may not open pytest's folders.
    place = Path(tempfile.mkdtemp(prefix="installed-", dir="/tmp"))
    place.chmod(0o755)
    yield Person(home, place / "db")
    shutil.rmtree(place)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("kind", "install"),
    [("wheel", with_pip), ("wheel", with_pipx), ("wheel", with_uv), ("sdist", with_pip), ("sdist", with_uv)],
    ids=["wheel-pip", "wheel-pipx", "wheel-uv", "sdist-pip", "sdist-uv"],
)
def test_an_installation_without_the_repository_does_the_main_job(
    kind: str, install: Install, version: str, distributions: Distributions, shared_folder: Path, person: Person,
    tmp_path: Path,
) -> None:  # fmt: skip
    python = find_python(version)
    if python is None:
        pytest.skip(f"Python {version} is not installed here")
    program = install(python, f"{getattr(distributions, kind)}[embedded]", tmp_path, shared_folder)
    origin = program.resolve().parent
    done = _run(origin / "python", "-c", "import sys, promptctl; print(sys.version, promptctl.__file__)")
    assert done.stdout.startswith(f"{version}."), done.stdout
    assert str(ROOT) not in done.stdout
    person.do_the_main_job(program)
    # pytest keeps the folders of three runs.
    shutil.rmtree(origin.parent)


def test_an_installation_without_extras_has_the_client_and_its_hint_adds_the_rest(
    distributions: Distributions, person: Person, tmp_path: Path
) -> None:
    uv, python = _tool("uv"), tmp_path / "environment/bin/python"
    _run(*uv, "venv", "-q", "--python", sys.executable, tmp_path / "environment")
    _run(*uv, "pip", "install", "-q", "--python", python, distributions.wheel)
    listed = json.loads(_run(*uv, "pip", "list", "--format", "json", "--python", python).stdout)
    packages = {package["name"] for package in listed}
    assert packages - {"typing-extensions"} == {"promptctl-pg", "psycopg", "psycopg-binary"}
    assert _run(python, "-c", "from promptctl import Prompts; print(Prompts.__module__)").stdout == (
        "promptctl.client.prompts\n"
    )
    program = tmp_path / "environment/bin/promptctl"
    *_, hint = person.run(program, "sync", "prompts", "--dry-run", path=str(tmp_path)).stderr.splitlines()
    assert hint == 'hint:  install promptctl again, with its extra "cli"'
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    *_, error, hint = person.run(program, "sync", "prompts", "--dry-run", path=path).stderr.splitlines()
    assert error == 'error: the extra "cli" of promptctl is not installed: pyyaml is missing'
    assert hint.startswith(f"hint:  uv pip install --python {python} 'jsonschema>=")
    _run("sh", "-c", hint.removeprefix("hint:  "), env={"PATH": path})
    done = person.run(program, "sync", "prompts", "--dry-run")
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        0, f"there is no embedded database yet: sync creates it in {person.database}",
    )  # fmt: skip


def test_an_installation_for_one_user_finds_its_python(distributions: Distributions, tmp_path: Path) -> None:
    python = find_python(f"3.{sys.version_info.minor}")
    if python is None:
        pytest.skip("this Python has no ensurepip outside of a virtual environment")
    user = {"PYTHONUSERBASE": str(tmp_path)}
    install = ("-m", "pip", "install", "-q", "--user", "--no-index", "--no-deps", "--no-warn-script-location")
    _run(python, *install, "--break-system-packages", distributions.wheel, env=user)
    path = f"{Path(python).parent}:/usr/bin:/bin"
    assert (
        _run(tmp_path / "bin/promptctl", "--version", env=user | {"PATH": path}).stdout == f"promptctl {__version__}\n"
    )
