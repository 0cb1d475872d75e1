"""Dump the schema with its data into a file, in the custom format of pg_dump."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.postgres import dump_files, programs
from promptctl.postgres.embedded import binaries
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from promptctl.postgres.database import Database
    from promptctl.postgres.settings import Target

_POLL_SECONDS = 0.1
# A migration holds its locks for seconds. A dump that waits longer would make every later statement wait behind it.
_LOCK_TIMEOUT = "30s"


def dump(
    database: Database,
    target: Target,
    path: str,
    *,
    overwrite: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> int:
    """Dump the schema `promptctl` of a database with its data and its grants, and return the size in bytes.

    `target` is the target of `database`, whose connection is used to read the server's version. The dump has one
    snapshot: that of the moment when it begins. The schema may have any version, and must exist.

    `path` is the file, or `-` for standard output. The dump is written to a temporary file beside it, which is renamed
    when it is complete, so a failure or a signal leaves no part of it. An existing regular file is replaced only with
    `overwrite`; a pipe or a device is written to directly. `report` is called with the number of megabytes so far.

    Raises SchemaMismatch (`schema_missing`), Refused (`not_the_owner`, `locked`), Unreachable (`connection_lost`),
    Usage (`invalid_database_url`, `empty_setting`), Failed (`file_exists`, `cannot_write`, `disk_full`,
    `pg_dump_missing`, `dump_failed`), and BrokenPipeError if the reader of standard output has closed the pipe.
    """
    [(is_installed,)] = database.run_unchecked("select to_regclass('promptctl.installation') is not null")
    if not is_installed:
        message = f"{database.label} has no promptctl schema"
        raise errors.SchemaMismatch("schema_missing", message, hint="promptctl db init")
    sslmode = database.required_sslmode()
    server_major = int(database.server_version.partition(".")[0])
    program = programs.pg_dump(target, server_major, needs_tls=sslmode is not None)
    arguments, environment = programs.connection(target, sslmode)
    command = [
        program, "--format=custom", "--schema=promptctl", "--no-password", f"--lock-wait-timeout={_LOCK_TIMEOUT}",
        *arguments,
    ]  # fmt: skip
    if path == dump_files.STANDARD_STREAM:
        sys.stdout.flush()
        return _run(command, environment, sys.stdout.fileno(), "standard output", database.label, report)
    with _failures(path):
        if not _is_replaceable(path):
            with open(path, "wb") as device:
                return _run(command, environment, device.fileno(), path, database.label, report)
        return _write(path, overwrite, lambda file: _run(command, environment, file, path, database.label, report))


def check_new(path: str, *, overwrite: bool) -> None:
    """Raise Failed if a dump could not be written to `path`: `file_exists` without `overwrite`, or `cannot_write`."""
    if path == dump_files.STANDARD_STREAM:
        return
    with _failures(path):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            status = None
        if status is not None and stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if status is not None and stat.S_ISREG(status.st_mode) and not overwrite:
            raise _file_exists(path)
        os.stat(os.path.dirname(os.path.realpath(path)))


def _is_replaceable(path: str) -> bool:
    """Return whether a file can be renamed to `path`: there is no pipe and no device."""
    return not os.path.exists(path) or os.path.isfile(path)


def _write(path: str, overwrite: bool, fill: Callable[[str], int]) -> int:
    """Call `fill` with the path of a file that is then renamed to `path`, and return what it returns."""
    check_new(path, overwrite=overwrite)
    # Of a symbolic link, the target is replaced, and the link remains.
    place = os.path.realpath(path)
    try:
        mode = stat.S_IMODE(os.stat(place).st_mode)
    except FileNotFoundError:
        mode = 0o600  # it has the texts of all prompts
    handle, temporary = tempfile.mkstemp(prefix=".promptctl-", dir=os.path.dirname(place))
    os.close(handle)
    try:
        size = fill(temporary)
        os.chmod(temporary, mode)
        binaries.flush(temporary)
        if overwrite:
            os.replace(temporary, place)
        else:
            _rename_new(temporary, place, path)
        binaries.flush(os.path.dirname(place))
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
    return size


def _rename_new(temporary: str, place: str, path: str) -> None:
    """Rename a file, but not over a file that was created meanwhile."""
    try:
        os.link(temporary, place)
    except FileExistsError:
        raise _file_exists(path) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(place):
            raise _file_exists(path) from None
        os.rename(temporary, place)


def _run(
    command: list[str],
    environment: dict[str, str],
    output: int | str,
    name: str,
    label: str,
    report: Callable[[int], None],
) -> int:
    """Run pg_dump with a descriptor or a path as its output, and return the size of the dump.

    A path must be absolute. pg_dump appends to a descriptor, and could not add the offsets of the data to its start.
    """
    environment["LC_ALL"] = "C"
    stream: int | None = output if isinstance(output, int) else None
    if stream is None:
        command = [*command, f"--file={output}"]
    # The messages are kept in memory, because the disk of a temporary file may be full.
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=stream, stderr=subprocess.PIPE, env=environment, cwd="/"
    ) as process:
        try:
            while True:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    _, messages = process.communicate(timeout=_POLL_SECONDS)
                    break
                report(os.stat(output).st_size // dump_files.MEGABYTE)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if process.returncode == 0:
        return os.stat(output).st_size
    if process.returncode == -signal.SIGPIPE:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    raise _failure(messages.decode(errors="replace"), process.returncode, name, label)


def _failure(text: str, code: int, name: str, label: str) -> errors.PromptctlError:
    """Return the error for what pg_dump printed before it ended with `code`."""
    lines = [line.removeprefix("pg_dump: ").strip() for line in text.splitlines()]
    problems = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    if code < 0:
        return errors.Failed("dump_failed", f"pg_dump was killed by signal {-code}", hint="run it again")
    reason = problems[0] if problems else f"pg_dump ended with {code}"
    server = next((line.partition("ERROR:")[2].strip() for line in lines if "ERROR:" in line), reason)
    if os.strerror(errno.ENOSPC) in text:
        return errors.Failed("disk_full", f"the disk of {references.quoted(name)} is full", hint="free some space")
    if "could not write to" in text or "could not close output file" in text:
        reason = reason.rpartition(": ")[2]
        return errors.Failed(
            "cannot_write", f"cannot write {references.quoted(name)}: {reason}", hint="use another FILE"
        )
    if "permission denied" in text:
        hint = "run it as the owner of the schema, whom this shows: promptctl db shell --command '\\dn promptctl'"
        return errors.Refused("not_the_owner", f"{label}: {server}", hint=hint)
    if "due to statement timeout" in text:  # which is how pg_dump limits its wait for a lock
        message = f"another session has locked a table of {label} for {_LOCK_TIMEOUT}"
        return errors.Refused("locked", message, hint="run it again when that session has ended")
    if "connection" in text:
        message = f"pg_dump lost or got no connection to {label}: {reason}"
        return errors.Unreachable("connection_lost", message, hint="promptctl db status")
    return errors.Failed("dump_failed", f"pg_dump failed in {label}: {reason}", hint="promptctl db status")


def _file_exists(path: str) -> errors.Failed:
    failure = errors.Failed("file_exists", f"{references.quoted(path)} exists")
    failure.hint = "use another FILE, or --force to replace it"
    return failure


@contextlib.contextmanager
def _failures(path: str) -> Generator[None]:
    """Convert an OSError of the file to Failed."""
    try:
        yield
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"the disk of {references.quoted(path)} is full"
            raise errors.Failed("disk_full", message, hint="free some space") from None
        message = f"cannot write {references.quoted(path)}: {problem.strerror}"
        raise errors.Failed("cannot_write", message, hint="use another FILE") from None
