"""The program that is installed: how it finds its Python, and that it imports nothing for its own start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptctl import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
LAUNCHER = ROOT / "scripts" / "promptctl"
VERSION = f"promptctl {__version__}\n"
NAME = f"python3.{sys.version_info.minor}"


def _run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), **env}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment, in a folder with a blank and a quote in its name, with the program and its packages."""
    folder = tmp_path_factory.mktemp("an 'environment' of") / "a person"
    venv.create(folder, symlinks=True, with_pip=False)
    [packages] = folder.glob("lib/python3.*/site-packages")
    (packages / "here.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    shutil.copy(LAUNCHER, folder / "bin")
    return folder


def test_the_program_runs_by_its_path_by_links_and_by_name(environment: Path, tmp_path: Path) -> None:
    program = environment / "bin" / "promptctl"
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "one").symlink_to(os.path.relpath(program, tmp_path / "apps"))
    (tmp_path / "two").symlink_to("apps/one")
    (tmp_path / "folder").symlink_to(environment / "bin")
    for words in ([program], ["./two"], [tmp_path / "apps/one"], ["folder/promptctl"], ["sh", program]):
        ended = _run(*words, "--version", cwd=tmp_path)
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, VERSION, ""), words
    ended = _run("sh", "-c", "two --version", cwd=tmp_path, PATH=f"{tmp_path}:/usr/bin:/bin")
    assert ended.stdout == VERSION, ended
    ended = _run("sh", "promptctl", "--version", cwd=program.parent)
    assert ended.stdout == VERSION, ended
    for python in ("python", "python3"):
        ended = _run(program.with_name(python), "-Es", program, "--version", cwd=tmp_path)
        assert ended.stdout == VERSION, ended


def test_arguments_standard_input_and_exit_codes_pass_through(environment: Path, tmp_path: Path) -> None:
    program = environment / "bin" / "promptctl"
    ended = _run(program, "show", "a b'c\nd\"$(id)", cwd=tmp_path)
    assert ended.returncode == 2
    assert "$(id)" in ended.stderr
    assert "uid=" not in ended.stderr


def test_the_program_imports_no_regular_expressions(environment: Path, tmp_path: Path) -> None:
    ended = _run(environment / "bin" / "promptctl", "--version", cwd=tmp_path, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert "promptctl.__main__" in imported
    assert imported & {"re", "typing", "enum", "functools", "typer", "importlib.metadata"} == set()


@pytest.fixture
def outside(tmp_path: Path) -> Callable[[str, str], Path]:
    """Makes an installation without a virtual environment: the program, its packages, and a Python somewhere."""

    def make(packages: str, python: str) -> Path:
        prefix = tmp_path / "prefix"
        (prefix / packages / "promptctl_pg-1.0.dist-info").mkdir(parents=True)
        (prefix / "bin").mkdir()
        shutil.copy(LAUNCHER, prefix / "bin")
        stand_in = tmp_path / python
        stand_in.parent.mkdir(exist_ok=True)
        stand_in.write_text('#!/bin/sh\n[ "$1" = -Pc ] || echo "$0 $*"\n')
        stand_in.chmod(0o755)
        return prefix / "bin" / "promptctl"

    return make


@pytest.mark.parametrize(
    ("packages", "python"),
    [
        ("lib/python3.77/site-packages", "prefix/bin/python3.77"),
        ("local/lib/elsewhere", "prefix/bin/python3"),
        ("lib/python3.78/dist-packages", "path/python3"),
        ("lib/python/site-packages", "path/python3.11"),
    ],
)
def test_outside_a_virtual_environment_the_python_of_the_packages_runs_it(
    packages: str, python: str, outside: Callable[[str, str], Path], tmp_path: Path
) -> None:
    program = outside(packages, python)
    for tool in ("readlink", "sh"):
        if not (tmp_path / "tools" / tool).exists():
            (tmp_path / "tools").mkdir(exist_ok=True)
            (tmp_path / "tools" / tool).symlink_to(shutil.which(tool) or "")
    ended = _run(program, "list", "a b", cwd=tmp_path, PATH=f"{tmp_path}/path:{tmp_path}/tools")
    assert ended.returncode == 0, ended
    assert Path(ended.stdout.split(" ")[0]).resolve() == tmp_path / python
    assert ended.stdout.endswith(f"{program} list a b\n")


def test_a_virtual_environment_whose_python_cannot_be_run_says_so(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "pyvenv.cfg").touch()
    (tmp_path / "lib" / NAME / "site-packages" / "promptctl_pg-0.1.0.dist-info").mkdir(parents=True)
    (tmp_path / "bin" / "python").symlink_to(tmp_path / "nothing")
    shutil.copy(LAUNCHER, tmp_path / "bin")
    ended = _run(tmp_path / "bin" / "promptctl", "list", cwd=tmp_path)
    assert (ended.returncode, ended.stdout) == (1, "")
    python = tmp_path / "bin" / "python"
    assert ended.stderr == (
        f"error: this user cannot run {python}, the Python of this virtual environment\n"
        "hint:  create the virtual environment with a Python that this user can run\n"
    )


def test_without_any_python_the_program_says_so(outside: Callable[[str, str], Path], tmp_path: Path) -> None:
    program = outside("lib/python3.77/site-packages", "unused/python")
    # A Python that does not find promptctl, and a package of that name in the working directory, are passed over.
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "python3").symlink_to(sys.executable)
    (tmp_path / "promptctl").mkdir()
    (tmp_path / "promptctl" / "__init__.py").write_text("raise SystemExit(0)\n")
    ended = _run(program, "list", cwd=tmp_path, PATH=f"{tmp_path}/path", PYTHONNOUSERSITE="1", PYTHONHOME="/nowhere")
    assert ended.returncode == 1
    assert ended.stderr == (
        f"error: no Python 3.11 or newer that has promptctl is beside {program} or on PATH\n"
        "hint:  install promptctl again, in a virtual environment\n"
    )


def test_the_wheel_installs_this_program_and_no_entry_point() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-scripts"] == {
        "scripts/promptctl": "promptctl"
    }
    assert "scripts" not in settings["project"]
    assert os.access(LAUNCHER, os.X_OK)
    installed = Path(sysconfig.get_path("scripts")) / "promptctl"
    if installed.exists():
        assert installed.read_bytes() == LAUNCHER.read_bytes(), "run: pip install -e '.[check]'"
