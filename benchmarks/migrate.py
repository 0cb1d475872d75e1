"""How long a read and a recording wait for a migration, with clients of the version before at work.

    python benchmarks/migrate.py [--uses N] [--texts N]

The kept dump of schema version 4 gets N uses, and N versions of 50 kB of LaTeX, whose variables the migration corrects.
Eight programs that speak the SQL of that version resolve and record while `promptctl db migrate` runs. Each call is
timed, every acknowledged use is looked up afterwards, and the clients that wait for a lock are counted.
"""

from __future__ import annotations

import argparse
import subprocess
import threading
import time

import psycopg
from measure import ROOT, Report, environment, parse_arguments, start_server

from tests.schema.version_4_client import Client

_CLIENTS = 8
_ROLES = ("schema_owner", "viewer_login", "application_login", "operator_login")
_USES = """
insert into promptctl.uses (id, name, version, epoch, recorded_at, bucket, model, input_tokens, output_tokens,
                            response_ms, recorded_in)
select lpad(to_hex(n), 32, '0')::uuid, 'support', 1 + n %% 3, 3, now() - (n %% 7776000) * interval '1 second',
       n %% 10000, 'claude-sonnet-4-5', n %% 4000, n %% 500, n %% 9000, pg_current_xact_id()::text::bigint
from generate_series(1::bigint, %s) n
"""
# Half of the braces are arguments of commands, which version 4 took for variables.
_TEXTS = """
insert into promptctl.versions (name, version, content, sha256, created_by, variables, required_variables)
select 'support', 1000 + n, t.content, sha256(convert_to(t.content, 'UTF8')), 'benchmark', array['item', 'name'],
       array['item', 'name']
from generate_series(1, %s) n
cross join lateral (select 'Text ' || n || '. ' || repeat(E'Write \\\\emph{item} to {name}. ', 1760) as content) t
"""
_LOCK_WAITS = """
select count(*) from pg_stat_activity
where datname = current_database() and wait_event_type = 'Lock' and application_name = 'promptctl client'
"""


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--uses", type=int, default=100_000, help="how many uses are recorded")
    options.add_argument("--texts", type=int, default=100, help="how many versions with a long text there are")
    options.add_argument(
        "--seconds", type=float, default=3.0, help="how long clients work before and after the migration"
    )
    arguments, own = parse_arguments(options)
    report = Report()
    with start_server(shared_buffers="1GB", max_wal_size="8GB") as server:
        dsn = server.dsn("migrate")
        with psycopg.connect(server.dsn(), autocommit=True) as connection:
            for role in _ROLES:
                connection.execute(f"create role {role} login".encode())
            connection.execute("create database migrate owner schema_owner")
        with psycopg.connect(server.dsn("migrate", user="schema_owner"), autocommit=True) as connection:
            connection.execute((ROOT / "tests/schema/dumps/version_4.sql").read_bytes())
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(_USES, [arguments.uses])
            connection.execute("set session_replication_role = replica")
            connection.execute(_TEXTS, [arguments.texts])
            connection.execute("checkpoint")
        report.heading(
            f"migrating {arguments.uses:,} uses and {arguments.texts:,} long texts, with {_CLIENTS} clients at work"
        )
        _measure(report, server.dsn("migrate", user="application_login"), dsn, own, arguments.seconds)
    return report.close()


def _measure(report: Report, application: str, dsn: str, own: str, seconds: float) -> None:
    clients = [Client(application) for _ in range(_CLIENTS)]
    ending = threading.Event()
    threads = [threading.Thread(target=client.work, args=[ending]) for client in clients]
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = _stored(connection)
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        idle_read, idle_record = _longest(clients)
        for client in clients:
            client.longest_read = client.longest_record = 0.0
        began = time.perf_counter()
        command = [own, "db", "migrate", "--database-url", dsn]
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
        waiting = 0
        while process.poll() is None:
            waiting = max(waiting, *connection.execute(_LOCK_WAITS).fetchone() or (0,))
            time.sleep(0.005)
        took = time.perf_counter() - began
        assert process.returncode == 0
        time.sleep(seconds)
        ending.set()
        for thread in threads:
            thread.join()
        read, record = _longest(clients)
        sent = {use_id for client in clients for use_id in client.recorded}
        stored = {str(use_id) for (use_id,) in connection.execute(
            "select id from promptctl.uses where id = any(%s::uuid[])", [list(sent)]
        )}  # fmt: skip
        doubled = _stored(connection) - before - len(stored)
    report.add("db migrate, the whole process", took * 1000, unit="ms")
    report.add("longest read", read * 1000, 1000, unit="ms", note=f"(before the migration {idle_read * 1000:.0f})")
    report.add("longest recording", record * 1000, 1000, unit="ms", note=f"(before {idle_record * 1000:.0f})")
    report.add("most clients that waited for a lock at once", waiting, unit="")
    report.add("calls sent again", sum(client.retries for client in clients), unit="")
    report.add("lost uses", len(sent - stored), 0, unit="", note=f"of {len(sent):,}")
    report.add("doubled uses", doubled, 0, unit="")
    report.add("clients that failed", sum(client.failure is not None for client in clients), 0, unit="")


def _longest(clients: list[Client]) -> tuple[float, float]:
    return max(client.longest_read for client in clients), max(client.longest_record for client in clients)


def _stored(connection: psycopg.Connection) -> int:
    [(count,)] = connection.execute("select count(*) from promptctl.uses").fetchall()
    return int(count)


if __name__ == "__main__":
    raise SystemExit(main())
