"""The image of the Dockerfile: built by docker or podman where one runs, else its steps run in a chroot.

The chroot has the programs of this machine in place of those of the base image: /usr, and the Python of the tests. Of
the steps, only the installation of Debian's packages is not run: their programs must be on this machine.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from promptctl import __version__
from tests.conftest import ROOT, SERVERS, Ended, Promptctl
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable

DOCKERFILE = ROOT / "Dockerfile"
_INSTRUCTION = re.compile(r"([A-Z]+)\s+(.*)", re.DOTALL)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # The image meets one version of PostgreSQL: promptctl meets the others in other tests.
    if "templated" in metafunc.fixturenames:
        versions = list(SERVERS)[:1] or [pytest.param(None, marks=pytest.mark.skip("no server"))]
        metafunc.definition.add_marker(pytest.mark.parametrize("templated", versions, indirect=True, scope="session"))


def instructions() -> list[tuple[str, str]]:
    """Return the instructions of the Dockerfile, without comments and with joined lines."""
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    text = "\n".join(lines).replace("\\\n", " ")
    matches = (_INSTRUCTION.fullmatch(line.strip()) for line in text.splitlines() if line.strip())
    return [(match[1], match[2]) for match in matches if match]


class Stage:
    """One stage of the Dockerfile: the folder that becomes its root, and its settings."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env: dict[str, str] = {}
        self.arguments: dict[str, str] = {}
        self.folder = "/"
        self.user = "0:0"
        self.health: list[str] = []
        self.entry: list[str] = []
        self.default_words: list[str] = []


class Chroot:
    """The steps of the Dockerfile as a shell script for a mount namespace of its own, and the final stage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = ["set -eu"]
        self._stages: dict[str, Stage] = {}
        # Variables for pip: its index and its certificates.
        self._pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        for name, value in instructions():
            getattr(self, f"_{name.lower()}")(value)

    def _arg(self, value: str) -> None:
        name, _, default = value.partition("=")
        if self._stages:
            self.final.arguments[name] = default

    def _from(self, value: str) -> None:
        root = self.folder / f"stage{len(self._stages)}"
        name = value.partition(" AS ")[2] or root.name
        self.final = self._stages[name] = Stage(root)
        self.lines.append(f"mount --bind {shlex.quote(str(root))} {shlex.quote(str(root))}")
        for path in ("usr", "etc", "proc", "dev", "tmp", "opt"):
            (root / path).mkdir(parents=True)
        for path in ("bin", "sbin", "lib", "lib64", "lib32"):
            if Path("/", path).is_symlink():
                (root / path).symlink_to(f"usr/{path}")
            elif Path("/", path).is_dir():
                (root / path).mkdir()
                self._bind(Path("/", path), path)
        for path in ("/usr", "/etc", "/proc", "/dev"):
            self._bind(Path(path), path.lstrip("/"))
        # The base image has its Python under another path. The packages of this one's user are not visible.
        python = Path(sys.base_prefix)
        if not python.is_relative_to("/usr"):
            (root / python.relative_to("/")).mkdir(parents=True)
            self._bind(python, str(python.relative_to("/")))

    def _bind(self, source: Path, path: str) -> None:
        target = shlex.quote(str(self.final.root / path))
        self.lines.append(f"mount --rbind {shlex.quote(str(source))} {target} && mount -o remount,bind,ro {target}")

    def _workdir(self, value: str) -> None:
        self.final.folder = value
        (self.final.root / value.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def _copy(self, value: str) -> None:
        *sources, target = value.split()
        origin, base = ROOT, self.final.folder
        if sources[0].startswith("--from="):
            origin = self._stages[sources.pop(0).removeprefix("--from=")].root
        place = self.final.root / os.path.join(base, target).lstrip("/")
        for source in sources:
            path = (origin / source.lstrip("/")) if origin != ROOT else ROOT / source
            copy = place / path.name if target.endswith("/") else place
            self.lines.append(f"mkdir -p {shlex.quote(str(copy.parent))} && cp -R {path} {shlex.quote(str(copy))}")

    def _run(self, value: str) -> None:
        if value.startswith("apt-get "):
            packages = value.partition(" install ")[2].partition(" && ")[0].split()
            assert [package for package in packages if not package.startswith("-")] == ["git"]
            self.lines.append(self._in(self.final, "git --version >/dev/null"))
        else:
            self.lines.append(self._in(self.final, value))

    def _env(self, value: str) -> None:
        self.final.env |= dict(word.split("=", 1) for word in shlex.split(value))

    def _user(self, value: str) -> None:
        self.final.user = value

    def _healthcheck(self, value: str) -> None:
        self.final.health = json.loads(value.partition("CMD ")[2])

    def _entrypoint(self, value: str) -> None:
        self.final.entry = json.loads(value)

    def _cmd(self, value: str) -> None:
        self.final.default_words = json.loads(value)

    def _in(self, stage: Stage, command: str) -> str:
        """Return the line that runs a command of RUN: as root, with `python` of the base image."""
        bin_folder = f"{sys.base_prefix}/bin"
        env = {"PATH": f"{bin_folder}:/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp"} | self._pip | stage.arguments
        assignments = " ".join(shlex.quote(f"{name}={value}") for name, value in env.items())
        script = f"cd {stage.folder} && {command}"
        chroot = f"{shutil.which('chroot')} {shlex.quote(str(stage.root))}"
        return f"env -i {assignments} {chroot} /bin/sh -euc {shlex.quote(script)} >&2"

    def run(self, name: str, words: list[str], *, env: dict[str, str] | None = None, first: bool = False) -> None:
        """Add a run of a container to the script: as its user, without HOME, with a read-only root.

        `first`: it is the first process of a process namespace, and gets SIGTERM while it waits.
        """
        stage = self.final
        assignments = " ".join(shlex.quote(f"{key}={value}") for key, value in (stage.env | (env or {})).items())
        user = f"--userspec={stage.user} --groups="
        command = f"chroot {user} {shlex.quote(str(stage.root))} /usr/bin/env -i -C {stage.folder} {assignments} "
        command += shlex.join(words)
        out = self.folder / name
        if first:
            # The standard input stays open, so that the command waits. It is ready once it handles SIGTERM.
            self.lines += [
                f"sleep 30 2>/dev/null | unshare --pid --fork {command} >{out}.out 2>{out}.err & parent=$!",
                "for _ in $(seq 400); do",
                "    process=$(pgrep -P $parent || true)",
                "    ! grep -qsE '^SigCgt:.*[4-7c-f][0-9a-f]{3}$' /proc/$process/status || break",
                "    sleep 0.05",
                "done",
                f"kill -TERM $process; code=0; wait $parent || code=$?; echo $code >{out}.code",
            ]
        else:
            self.lines.append(f"code=0; {command} </dev/null >{out}.out 2>{out}.err || code=$?; echo $code >{out}.code")

    def execute(self) -> None:
        script = "\n".join(self.lines) + "\n"
        words = ["unshare", "--mount", "--propagation", "private", "bash", "-c", script]
        done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr + script

    def ended(self, name: str) -> Ended:
        texts = [(self.folder / f"{name}.{kind}").read_text() for kind in ("code", "out", "err")]
        return Ended(int(texts[0]), texts[1], texts[2])


def engine() -> str | None:
    """Return the program that can build and run an image here, None without one."""
    for program in ("docker", "podman"):
        if shutil.which(program) is not None:
            done = subprocess.run([program, "info"], capture_output=True, timeout=60, check=False)
            if done.returncode == 0:
                return program
    return None


@pytest.fixture
def containers(
    promptctl: Promptctl, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, tuple[list[str], dict[str, str]]], Path], dict[str, Ended]]:
    """Return a function that builds the image, and runs containers with a folder mounted as their working directory.

    Each container has a name, the words of its command (None in place of words stands for the health check) and
    variables of its environment.
    """
    del promptctl
    program = engine()
    if program is not None:
        return lambda cases, folder: in_engine(program, cases, folder)
    usable = os.geteuid() == 0 and all(map(shutil.which, ("unshare", "chroot", "git")))
    if not usable or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("neither docker nor podman runs here, and a chroot needs root, unshare, chroot and git")
    path = tmp_path_factory.mktemp("image")
    # pytest's folders are closed to the user of the container.
    for parent in (path, *path.parents):
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    return lambda cases, folder: in_chroot(path, cases, folder)


def socket_folders(cases: dict[str, tuple[list[str], dict[str, str]]]) -> set[str]:
    """Return the folders with the sockets of the databases."""
    urls = [env["DATABASE_URL"] for _, env in cases.values() if "DATABASE_URL" in env]
    return {folder for url in urls for folder in re.findall(r"[?&]host=(/[^&]+)", url)}


def in_engine(program: str, cases: dict[str, tuple[list[str], dict[str, str]]], folder: Path) -> dict[str, Ended]:
    health = next(value for name, value in instructions() if name == "HEALTHCHECK").partition("CMD ")[2]
    tag = f"promptctl-test-{os.getpid()}"
    subprocess.run([program, "build", "-q", "-t", tag, ROOT], check=True, capture_output=True, timeout=600)
    try:
        ended: dict[str, Ended] = {}
        sockets = [word for socket in socket_folders(cases) for word in ("-v", f"{socket}:{socket}")]
        for name, (words, env) in cases.items():
            variables = [word for pair in env.items() for word in ("-e", "=".join(pair))]
            command = json.loads(health)[1:] if words == ["HEALTHCHECK"] else words
            done = subprocess.run(
                [program, "run", "--rm", "--read-only", "--network", "host", "-v", f"{folder}:/work:ro", *sockets,
                 *variables, tag, *command],
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            ended[name] = Ended(done.returncode, done.stdout, done.stderr)
        return ended
    finally:
        subprocess.run([program, "image", "rm", "-f", tag], capture_output=True, check=False)


def in_chroot(path: Path, cases: dict[str, tuple[list[str], dict[str, str]]], folder: Path) -> dict[str, Ended]:
    chroot = Chroot(path)
    stage = chroot.final
    for source, target in ((folder, stage.folder), *((socket, socket) for socket in socket_folders(cases))):
        place = stage.root / str(target).lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        chroot.lines.append(f"mount --bind {shlex.quote(str(source))} {shlex.quote(str(place))}")
    chroot.lines.append(f"mount -o remount,bind,ro {shlex.quote(str(stage.root))}")
    for name, (words, env) in cases.items():
        command = stage.health if words == ["HEALTHCHECK"] else [*stage.entry, *(words or stage.default_words)]
        chroot.run(name, command, env=env)
    chroot.run("terminated", [*stage.entry, "create", "x", "-"], env={"DATABASE_URL": "embedded:"}, first=True)
    chroot.execute()
    return {name: chroot.ended(name) for name in (*cases, "terminated")}


def test_the_image_works_without_root_a_home_or_a_writable_root(
    promptctl: Promptctl,
    containers: Callable[[dict[str, tuple[list[str], dict[str, str]]], Path], dict[str, Ended]],
) -> None:
    repository = Repository(promptctl.home / "repository", promptctl.home)
    repository.commit({"prompts/greeter/v1.txt": "Be kind.\n", "prompts/greeter/prompt.yaml": "active: 1\n"})
    database = {"DATABASE_URL": str(promptctl.extra["DATABASE_URL"])}
    nowhere = {"DATABASE_URL": "postgresql://127.0.0.1:1/nowhere"}
    ended = containers(
        {
            "version": (["--version"], {}),
            "help": ([], {}),
            "offline": (["sync", "--check", "--offline"], {}),
            "sync": (["sync", "prompts/"], database),
            "list": (["list"], database),
            "healthy": (["HEALTHCHECK"], database),
            "unhealthy": (["HEALTHCHECK"], nowhere),
            "unconfigured": (["list"], {}),
            "chat": (["chat", "greeter", "Hello"], database | {"ANTHROPIC_API_KEY": "sk-ant-key"}),
        },
        repository.path,
    )
    assert (ended["version"].code, ended["version"].out) == (0, f"promptctl {__version__}\n"), ended["version"]
    assert ended["help"].out.startswith("Manage system prompts in PostgreSQL")
    commit = repository.git("rev-parse", "HEAD")
    assert f"at {commit[:7]}, compared with HEAD" in ended["offline"].err, ended["offline"]
    assert (ended["sync"].code, "applied as release 1" in ended["sync"].err) == (0, True), ended["sync"]
    # Git is found, although the repository belongs to another user.
    [version] = json.loads(promptctl("show", "greeter", "--json").out)["versions"]
    assert (version["created_by"], version["origin"]["commit"]) == ("ada@example.com", commit)
    assert ended["list"].out.startswith("greeter\t1\t"), ended["list"]
    assert (ended["healthy"].code, ended["unhealthy"].code != 0) == (0, True), ended
    assert ended["unconfigured"].code != 0
    # The image has neither pip nor uv.
    assert ended["chat"].err.startswith('error: the extra "chat" of promptctl is not installed: '), ended["chat"]
    assert ended["chat"].err.endswith("\nhint:  build the image again, with --build-arg EXTRAS=chat\n"), ended["chat"]
    assert "Traceback" not in "".join(one.err for one in ended.values())
    if "terminated" in ended:
        assert ended["terminated"].code == 128 + signal.SIGTERM, ended["terminated"]


def test_the_image_has_a_user_a_health_check_and_no_shell_between_docker_and_the_command() -> None:
    settings = dict(instructions())
    assert settings["USER"].split(":")[0].isdigit()
    assert settings["USER"] != "0:0"
    assert json.loads(settings["ENTRYPOINT"]) == ["promptctl"]
    assert json.loads(settings["HEALTHCHECK"].partition("CMD ")[2])[0] == "promptctl"


def test_the_build_gets_every_file_that_it_copies_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    included = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = {
        word
        for name, value in instructions()
        if name == "COPY" and not value.startswith("--from")
        for word in value.split()[:-1]
    }
    assert copied == included
