"""The time of a command from its start to its end, against the import of its libraries and against other tools.

python benchmarks/start.py [--turns N] [--llm PATH] [--mlflow PATH] [--instructions]
"""

from __future__ import annotations

import argparse
import statistics
from typing import TYPE_CHECKING

import psycopg
from measure import (
    INTERPRETER,
    Command,
    Report,
    environment,
    fill,
    install,
    instructions,
    parse_arguments,
    program,
    psql,
    ratio,
    run_in_turn,
    start_server,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.servers import Server

_TYPER, _BOTH, _PASS = "import typer", "import typer, psycopg", "pass"
_PEERS = (("llm --help", 0.5), ("mlflow --help", 0.1))


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--turns", type=int, default=25, help="how often each command is run")
    options.add_argument("--llm", help="the path of llm, for comparison (found on PATH)")
    options.add_argument("--mlflow", help="the path of mlflow, for comparison (found on PATH)")
    options.add_argument("--instructions", action="store_true", help="count instructions, too, with valgrind")
    arguments, own = parse_arguments(options)
    # Like a real server, it waits for the disk before it acknowledges a commit.
    with start_server(fsync="on", synchronous_commit="on", full_page_writes="on") as server:
        dsn = install(server, "start")
        fill(dsn, 10, 3)
        _make_history(dsn, 4 * (arguments.turns + 10))
        _make_tests(dsn)
        help_, database = _commands(own, server)
        tests = _test_commands(own, server)
        peers = _peers(arguments.llm, arguments.mlflow)
        baselines = _baselines(server)
        variables = environment()
        everything = [*baselines.values(), *help_, *database, *tests, *peers]
        run_in_turn(everything, arguments.turns, variables)

        report = Report()
        report.heading("Medians in milliseconds: elapsed, and processor time")
        for command in everything:
            processor = statistics.median(command.cpu.values())
            report.add(command.name, statistics.median(command.wall.values()), unit="ms", note=f"{processor:.1f} ms")
        _times(report, baselines, help_, database, peers)
        report.heading('Time of test, against python -c "import typer, psycopg"')
        for command in tests:
            value, note = ratio(command.wall, baselines[_BOTH].wall)
            report.add(command.name, value, note=note)
        if arguments.instructions:
            _instructions(report, baselines, help_, database, tests, peers, variables)
        return report.close()


def _baselines(server: Server) -> dict[str, Command]:
    """Return the commands that promptctl is compared with."""
    commands = {code: Command(f'python -c "{code}"', [INTERPRETER, "-c", code]) for code in (_PASS, _TYPER, _BOTH)}
    if path := psql(server):
        for way, tcp in (("socket", False), ("TCP", True)):
            words = [path, "-XAtc", "select 1", server.dsn("start", tcp=tcp)]
            commands[way] = Command(f"psql -XAtc 'select 1', {way}", words)
    return commands


def _commands(own: str, server: Server) -> tuple[list[Command], list[Command]]:
    """Return the commands that need no database, and those that do, by socket and by TCP."""
    help_ = [Command(word, [own, word]) for word in ("--help", "--version")]
    database: list[Command] = []
    for way, tcp in (("socket", False), ("TCP", True)):
        # By the option, because all measured commands have the same environment.
        url = ["--database-url", server.dsn("start", tcp=tcp)]
        to_activate, to_roll_back = ("p00001", "p00003") if tcp else ("p00002", "p00004")

        # The version changes each turn, so that there is a move to make.
        def activate_words(turn: int, url: Sequence[str] = url, name: str = to_activate) -> list[str]:
            return [own, "activate", f"{name}@{1 + turn % 2}", *url]

        database += [
            Command(f"rollback, {way}", [own, "rollback", to_roll_back, *url]),
            Command(f"activate, {way}", activate_words),
            Command(f"list, {way}", [own, "list", *url]),
            Command(f"show, {way}", [own, "show", "p00005", *url]),
        ]
    return help_, database


def _test_commands(own: str, server: Server) -> list[Command]:
    """Return the commands that test a version, without a call of Claude."""
    url = ["--database-url", server.dsn("start")]
    return [
        Command("test list", [own, "test", "list", *url]),
        Command("test of an unchanged text, --replay", [own, "test", "p00006@4", "--replay", *url]),
    ]


def _peers(llm: str | None, mlflow: str | None) -> list[Command]:
    commands: list[Command] = []
    for name, path in (("llm", program("llm", llm)), ("mlflow", program("mlflow", mlflow))):
        if path is None:
            print(f"{name} is not installed: not compared (install it in an environment of its own)")
        else:
            commands.append(Command(f"{name} --help", [path, "--help"], every=5))
    return commands


def _make_history(dsn: str, moves: int) -> None:
    """Make enough moves for all the rollbacks that are measured."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for move in range(moves):
            connection.execute(
                "update promptctl.served set active_version = %s where name in ('p00003', 'p00004')", [1 + move % 2]
            )


def _make_tests(dsn: str) -> None:
    """Give a prompt a case, and a version that has the text and the settings of the active one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        case = '{"messages":[{"content":"Hello","role":"user"}]}'
        connection.execute("select promptctl.set_cases('p00006', array[%s])", [case])
        connection.execute(
            """
            insert into promptctl.versions (name, version, content, created_by)
            select v.name, 4, v.content, 'benchmark' from promptctl.versions v where v.name = 'p00006' and v.version = 3
            """
        )


def _times(
    report: Report, baselines: dict[str, Command], help_: list[Command], database: list[Command], peers: list[Command]
) -> None:
    report.heading('Time, against python -c "import typer"')
    for command in help_:
        value, note = ratio(command.wall, baselines[_TYPER].wall)
        report.add(command.name, value, 1.3, note=note)
    report.heading('Time, against python -c "import typer, psycopg"')
    for command in database:
        value, note = ratio(command.wall, baselines[_BOTH].wall)
        report.add(command.name, value, 1.2, note=note)
    for peer in peers:
        report.heading(f"Time, against {peer.name}")
        limit = dict(_PEERS)[peer.name]
        for command in (*help_, *database):
            value, note = ratio(command.wall, peer.wall)
            report.add(command.name, value, limit, note=note)
    report.heading("Time, against psql -XAtc 'select 1' by the same way")
    for command in database:
        way = command.name.rpartition(", ")[2]
        if way in baselines:
            value, note = ratio(command.wall, baselines[way].wall)
            report.add(command.name, value, note=note)
    report.heading('Time, against python -c "pass"')
    for command in (*help_, *database):
        value, note = ratio(command.wall, baselines[_PASS].wall)
        report.add(command.name, value, note=note)


def _instructions(
    report: Report,
    baselines: dict[str, Command],
    help_: list[Command],
    database: list[Command],
    tests: list[Command],
    peers: list[Command],
    variables: Mapping[str, str],
) -> None:
    """Compare by instructions, which do not depend on other processes or the server."""
    counts: dict[str, int] = {}
    for place, command in enumerate((*baselines.values(), *help_, *database, *tests, *peers)):
        count = instructions(command.at(place), variables)
        if count is None:
            print("\nvalgrind is not installed: no instructions")
            return
        counts[command.name] = count
    report.heading("Instructions, in millions")
    for name, count in counts.items():
        report.add(name, count / 1e6, unit="M")
    report.heading("Instructions, as ratios")
    for commands, baseline, limit in ((help_, baselines[_TYPER], 1.3), (database, baselines[_BOTH], 1.2)):
        for command in commands:
            report.add(f"{command.name} / {baseline.name}", counts[command.name] / counts[baseline.name], limit)
    for peer in peers:
        for command in (*help_, *database):
            share = counts[command.name] / counts[peer.name]
            report.add(f"{command.name} / {peer.name}", share, dict(_PEERS)[peer.name])
    for command in (*help_, *database):
        report.add(f'{command.name} / python -c "pass"', counts[command.name] / counts[baselines[_PASS].name])


if __name__ == "__main__":
    raise SystemExit(main())
