"""The examples that tick rollouts: each is checked by the tools of its format, and its command ticks a rollout."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml

from tests.commands import NEWEST
from tests.conftest import ROOT, Ended

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from tests.conftest import Promptctl
    from tests.servers import Server

EXAMPLES = ROOT / "examples"
FOLDER = EXAMPLES / "rollouts"
PROGRAMS = Path(sys.executable).parent


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # The examples meet promptctl, which meets every version of PostgreSQL in other tests: one is enough here.
    if "templated" in metafunc.fixturenames:
        metafunc.definition.add_marker(pytest.mark.parametrize("templated", NEWEST, indirect=True, scope="session"))


@pytest.fixture
def ticker_url(sql: psycopg.Connection[Any], server: Server, database_name: str) -> Iterator[str]:
    """The URL of a login with the access `ticker`, on a database with a rollout whose first step is due."""
    sql.execute("""
        select promptctl.create_version('support', 'One.');
        select promptctl.create_version('support', 'Two.');
        select promptctl.activate('{support}', '{1}');
        select promptctl.start_rollout('support', 2, '{4000}', '0', 3,
                                       guards => '[{"metric": "errors", "tolerance": 0.01}]');
        select promptctl.record_use('support', r.version, r.epoch, unit => i::text)
        from generate_series(1, 400) i, lateral promptctl.resolve('support', i::text) r;
    """)
    role = f"{database_name}_ticker"
    sql.execute(f"create role {role} login".encode())
    sql.execute("select promptctl.grant_access(%s, 'ticker')", [role])
    yield server.url(database_name, user=role)
    sql.execute(f"drop owned by {role}; drop role {role}".encode())


@pytest.fixture
def run(promptctl: Promptctl, ticker_url: str) -> Callable[..., Ended]:
    """Return a function that runs a command of an example with these variables, on that database."""

    def run_in_shell(command: str, **env: str) -> Ended:
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command],
            env=promptctl.environment() | env | {"DATABASE_URL": ticker_url, "PATH": f"{PROGRAMS}:/usr/bin:/bin"},
            cwd=promptctl.home, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return Ended(done.returncode, done.stdout, done.stderr)

    return run_in_shell


def check_ticks(run: Callable[..., Ended], sql: psycopg.Connection[Any], command: str, author: str, **env: str) -> None:
    """Check that a command activates the candidate, in the name of `author`, and that it then finds nothing to do."""
    ended = run(command, **env)
    assert (ended.code, ended.out.split("\t")[1:5]) == (0, ["support", "promote", "promoted", "100%"]), ended
    assert sql.execute("select active_version from promptctl.served").fetchone() == (2,)
    assert sql.execute("select author from promptctl.allocations order by epoch desc limit 1").fetchone() == (author,)
    assert run(command, **env) == Ended(0, "", "")


def test_the_cron_line_ticks_and_prints_nothing_afterwards(
    run: Callable[..., Ended], sql: psycopg.Connection[Any]
) -> None:
    lines = (FOLDER / "crontab").read_text(encoding="utf-8").splitlines()
    variables = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    assert set(variables) == {"MAILTO", "PATH", "PROMPTCTL_AUTHOR", "DATABASE_URL"}
    [entry] = [line for line in lines if line and line[0] in "*0123456789"]
    *times, user, command = entry.split(maxsplit=6)
    assert (times, user) == (["*/5", "*", "*", "*", "*"], "promptctl")
    check_ticks(run, sql, command, "cron", **variables)


def unit(name: str) -> dict[str, str]:
    """Return the settings of a unit of systemd."""
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


def test_the_service_of_systemd_ticks(run: Callable[..., Ended], sql: psycopg.Connection[Any]) -> None:
    service = unit("promptctl-rollouts.service")
    name, _, author = service["Environment"].partition("=")
    program, *words = shlex.split(service["ExecStart"])
    assert (program, service["Type"]) == ("/usr/local/bin/promptctl", "oneshot")
    check_ticks(run, sql, shlex.join([Path(program).name, *words]), author, **{name: author})


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
@pytest.mark.parametrize("name", ["promptctl-rollouts.timer", "promptctl-rollouts.service"])
def test_systemd_accepts_the_units(name: str, tmp_path: Path) -> None:
    for path in FOLDER.glob("promptctl-rollouts.*"):
        # systemd-analyze looks for the program.
        text = path.read_text(encoding="utf-8").replace("/usr/local/bin/promptctl", sys.executable)
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / name], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_job_of_kubernetes_ticks(run: Callable[..., Ended], sql: psycopg.Connection[Any]) -> None:
    document = yaml.safe_load((FOLDER / "cronjob.yaml").read_text(encoding="utf-8"))
    assert (document["apiVersion"], document["kind"]) == ("batch/v1", "CronJob")
    assert document["spec"]["schedule"] == "*/5 * * * *"
    job = document["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    # A retry would hide the exit code of a rollback.
    assert (job["backoffLimit"], pod["restartPolicy"]) == (0, "Never")
    [container] = pod["containers"]
    variables = {variable["name"]: variable for variable in container["env"]}
    assert variables["DATABASE_URL"]["valueFrom"] == {"secretKeyRef": {"name": "promptctl-ticker", "key": "url"}}
    assert container["args"] == ["rollout", "tick", "--verbose"]
    author = variables["PROMPTCTL_AUTHOR"]["value"]
    check_ticks(run, sql, shlex.join(["promptctl", *container["args"][:2]]), author, PROMPTCTL_AUTHOR=author)


def test_the_workflow_of_github_ticks(run: Callable[..., Ended], sql: psycopg.Connection[Any]) -> None:
    document = yaml.safe_load((EXAMPLES / "github" / "rollouts.yml").read_text(encoding="utf-8"))
    # YAML 1.1 reads a plain `on` as true.
    assert set(document[True]) == {"schedule", "workflow_dispatch"}
    assert document["permissions"] == {}
    [job] = cast("list[dict[str, Any]]", [*document["jobs"].values()])
    assert (job["environment"], job["concurrency"]["cancel-in-progress"]) == ("production", False)
    install, tick = job["steps"]
    assert install == {"uses": "OWNER/promptctl@COMMIT", "with": {"command": "install"}}
    assert "${{" not in tick["run"]
    assert tick["env"]["DATABASE_URL"] == "${{ secrets.PROMPTCTL_TICKER_URL }}"
    check_ticks(run, sql, tick["run"].removesuffix(" --verbose"), "rollouts", PROMPTCTL_AUTHOR=document["name"])


def test_the_statement_for_psql_ticks(run: Callable[..., Ended], server: Server, sql: psycopg.Connection[Any]) -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^\$ (psql .*promptctl\.tick_rollout.*)$", page, flags=re.M)
    psql = shlex.quote(str(server.programs / "psql"))
    ended = run(command.replace("psql", psql, 1))
    assert ended.code == 0, ended
    assert re.fullmatch(r"support\|promote\|\d+ uses, no guard worse than tolerated\n", ended.out)
    assert sql.execute("select active_version from promptctl.served").fetchone() == (2,)


def test_a_rollback_has_its_exit_code_in_each_job(run: Callable[..., Ended], sql: psycopg.Connection[Any]) -> None:
    sql.execute("""
        select promptctl.record_use('support', r.version, r.epoch, unit => i::text,
                                    outcome => case r.version when 2 then 'overloaded_error' else 'ok' end)
        from generate_series(1001, 1400) i, lateral promptctl.resolve('support', i::text) r;
    """)
    assert run("promptctl rollout tick").code == 3
    assert run("promptctl rollout tick") == Ended(0, "", "")


def test_the_page_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for path in [*FOLDER.iterdir(), EXAMPLES / "github" / "rollouts.yml"]:
        assert f"({path.relative_to(EXAMPLES)})" in text
    assert os.listdir(FOLDER)
