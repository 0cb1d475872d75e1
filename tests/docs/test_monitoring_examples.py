"""The examples for Prometheus and Grafana: a real Prometheus loads them, and each of their queries finds its series."""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import dashboard as grafana
from prometheus_client import CollectorRegistry, generate_latest

from promptctl import Prompts
from tests.commands import NEWEST
from tests.conftest import ROOT, SNAPSHOTS, environment
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import psycopg

    Query = Callable[[str], list[dict[str, Any]]]

FOLDER = ROOT / "examples" / "monitoring"
PROGRAMS = Path(sys.executable).parent
DASHBOARD: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
with_prometheus = pytest.mark.skipif(shutil.which("promtool") is None, reason="Prometheus is not installed")
# What Prometheus's own annotations and queries have beside the fields of Grafana's types.
OF_PROMETHEUS = {"step", "titleFormat", "useValueForTime", "definition"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    # One version of PostgreSQL is enough here.
    if "templated" in metafunc.fixturenames:
        metafunc.definition.add_marker(pytest.mark.parametrize("templated", NEWEST, indirect=True, scope="session"))


def test_grafana_knows_every_field_of_the_dashboard() -> None:
    register_default_plugins()
    read = json.loads(JSONEncoder().encode(grafana.Dashboard.from_json(DASHBOARD)))
    assert set(unknown_fields(DASHBOARD, read)) == OF_PROMETHEUS


def unknown_fields(written: Any, read: Any) -> Iterator[str]:
    """Yield the names of the fields that were written and not read."""
    if isinstance(written, dict):
        fields = cast("dict[str, Any]", written)
        for name, value in fields.items():
            if name in read:
                yield from unknown_fields(value, read[name])
            else:
                yield name
    elif isinstance(written, list):
        members = cast("list[Any]", written)
        for one, other in zip(members, read, strict=True):
            yield from unknown_fields(one, other)
    else:
        assert written == read


def test_panels_are_complete_and_do_not_overlap() -> None:
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        area = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & area, panel["title"]
        cells |= area
    for panel in PANELS:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert {source["uid"] for source in sources} == {"${datasource}"}, panel["title"]


@with_prometheus
def test_promtool_accepts_the_rules_and_they_fire_when_they_should() -> None:
    for words in (["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]):
        checked = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    alerts = {rule["alert"] for rule in rules() if "alert" in rule}
    tests = yaml.safe_load((FOLDER / "alerts_test.yml").read_text(encoding="utf-8"))["tests"]
    fired = {rule["alertname"] for test in tests for rule in test["alert_rule_test"] if rule["exp_alerts"]}
    assert alerts == fired


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_docs_have_every_metric_and_queries_name_no_other() -> None:
    page = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`(promptctl_\w+)`", page))
    of_client = {
        family.name + "_total" * (family.type == "counter")
        for family in Prompts("postgresql://localhost/x").metrics().describe()
    }
    of_database = set(re.findall(r"# TYPE (\w+)", (SNAPSHOTS / "stats-prometheus.txt").read_text(encoding="utf-8")))
    # What the snapshot lacks.
    of_database |= {"promptctl_roll_up_timestamp_seconds", "promptctl_cache_write_tokens_total"}
    assert documented == of_client | of_database
    queries = [target["expr"] for panel in PANELS for target in panel["targets"]] + [rule["expr"] for rule in rules()]
    names = {name for query in queries for name in re.findall(r"(?<!:)\bpromptctl_\w+", query)}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in names} <= documented


def test_each_worker_of_gunicorn_has_a_page() -> None:
    """A worker takes the first free port, also of one that has ended. No worker stays without a page in silence."""
    free = free_port()
    code = f"""
import logging, os, runpy, types, urllib.request
config = runpy.run_path({str(FOLDER / "gunicorn.conf.py")!r})
post_fork = config["post_fork"]
post_fork.__globals__.update(METRICS_PORT={free}, workers=1)
logging.basicConfig(level="INFO", format="%(message)s")
def work(number):
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        post_fork(types.SimpleNamespace(log=logging), types.SimpleNamespace(pid=number))
        os.write(write_end, b".")
        os.read(stop, 1)
        os._exit(0)
    os.read(read_end, 1)
    return child
stop, stopping = os.pipe()
children = [work(number) for number in range(3)]
urllib.request.urlopen("http://127.0.0.1:{free}/metrics", timeout=10).read()
os.write(stopping, b"...")
for child in children:
    os.waitpid(child, 0)
os.waitpid(work(3), os.WNOHANG)
os.write(stopping, b".")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.replace(str(free), "FIRST").replace(str(free + 1), "SECOND").splitlines() == [
        "metrics of worker 0 on port FIRST",
        "metrics of worker 1 on port SECOND",
        "no port is free for the metrics of worker 2",
        "metrics of worker 3 on port FIRST",
    ]


@pytest.fixture
def page_of_database(home: Path, database_url: str, tmp_path: Path) -> Callable[[], str]:
    """Return a function that runs the example's script, and returns the page that it has written."""
    folder = tmp_path / "textfiles"
    folder.mkdir()

    def write() -> str:
        env = environment(home, DATABASE_URL=database_url, PATH=f"{PROGRAMS}:{os.environ['PATH']}")
        script = FOLDER / "promptctl-page.sh"
        subprocess.run([script, folder], env=env, check=True, capture_output=True, timeout=60)
        assert [path.name for path in folder.iterdir()] == ["promptctl.prom"]
        return (folder / "promptctl.prom").read_text(encoding="utf-8")

    return write


@with_prometheus
def test_every_query_finds_its_series(
    sql: psycopg.Connection[Any], database_url: str, page_of_database: Callable[[], str], tmp_path: Path
) -> None:
    for content in ("One.", "Two."):
        sql.execute("select promptctl.create_version('support', %s)", [content])
    sql.execute("select promptctl.activate('{support}', '{1}')")
    sql.execute("select promptctl.record_use('support', 1, 1, score => 0.5)")
    sql.execute("select promptctl.roll_up_uses()")
    sql.execute("select promptctl.split('support', 5000, 2)")
    registry = CollectorRegistry()
    with Prompts(database_url, flush_seconds=0.02) as prompts, pages() as (addresses, contents):
        registry.register(prompts.metrics())
        contents["application"] = lambda: generate_latest(registry)
        record_uses(prompts)
        contents["node"] = page_of_database().encode
        with prometheus(tmp_path, addresses) as query:
            until_finds(query, "promptctl_score_count == 1")
            until_finds(query, 'promptctl_client_uses_total{outcome="error"} > 0')
            # Rates need a change between two scrapes.
            record_uses(prompts)
            sql.execute("select promptctl.record_use('support', 1, 1, score => 0.9)")
            contents["node"] = page_of_database().encode
            until_finds(query, "promptctl_score_count > 1")
            until_finds(query, 'sum(promptctl_client_uses_total{outcome="error"}) > 1')
            for panel in PANELS:
                for target in panel["targets"]:
                    expression = target["expr"].replace("$__rate_interval", "1m").replace("$prompt", ".*")
                    found = query(expression)
                    assert found, (panel["title"], expression)
                    assert any(math.isfinite(float(series["value"][1])) for series in found), (panel["title"], found)
                    labels = re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
                    missing = {label for label in labels if not any(label in series["metric"] for series in found)}
                    assert missing <= {"client"}, (panel["title"], missing)
            for annotation in DASHBOARD["annotations"]["list"]:
                [moved] = query(annotation["expr"].replace("$prompt", ".*"))
                assert abs(float(moved["value"][1]) / 1000 - time.time()) < 600
            for rule in rules():
                query(rule["expr"])
            assert query("up == 0") == []
            assert query("promptctl_client_active_version == on (prompt) group_left () promptctl_active_version")


def record_uses(prompts: Prompts) -> None:
    """Record uses of both versions, so that each panel has something to show."""
    usage = SimpleNamespace(
        input_tokens=900, output_tokens=50, cache_read_input_tokens=100, cache_creation_input_tokens=0
    )
    for number in range(40):
        with prompts.get("support", f"user-{number}").use() as use:
            use.first_token()
            model = "claude-sonnet-4-5" if number % 2 else "model-of-ours"
            use.record(SimpleNamespace(usage=usage, model=model))
            if number % 10 == 0:
                use.failed("overloaded_error")
    with prompts.get("typo", default="Be kind.").use():
        pass
    assert prompts.flush()


@contextlib.contextmanager
def pages() -> Generator[tuple[dict[str, str], dict[str, Callable[[], bytes]]]]:
    """Serve the pages `application` and `node`, each at an address of its own.

    Yield the addresses, and the functions that make the pages, which can be replaced.
    """
    contents: dict[str, Callable[[], bytes]] = {"application": lambda: b"", "node": lambda: b""}
    servers: list[ThreadingHTTPServer] = []
    for name in contents:

        class Handler(BaseHTTPRequestHandler):
            page = name

            def do_GET(self) -> None:
                body = contents[self.page]()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
    try:
        yield (
            {name: f"127.0.0.1:{server.server_port}" for name, server in zip(contents, servers, strict=True)},
            contents,
        )
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@contextlib.contextmanager
def prometheus(folder: Path, addresses: dict[str, str]) -> Generator[Query]:
    """Run Prometheus with the example's configuration, which scrapes these addresses every tenth of a second.

    Yield a function that returns what an expression finds.
    """
    config = (FOLDER / "prometheus.yml").read_text(encoding="utf-8")
    config = config.replace("localhost:9801", addresses["application"]).replace("localhost:9100", addresses["node"])
    config = re.sub(r"(scrape|evaluation)_interval: \w+", r"\1_interval: 100ms", config)
    (folder / "prometheus.yml").write_text(config, encoding="utf-8")
    shutil.copy(FOLDER / "alerts.yml", folder)
    address = f"127.0.0.1:{free_port()}"

    def query(expression: str) -> list[dict[str, Any]]:
        words = urllib.parse.urlencode({"query": expression})
        with urllib.request.urlopen(f"http://{address}/api/v1/query?{words}", timeout=10) as answer:
            document = json.load(answer)
        assert document["status"] == "success", document
        return document["data"]["result"]

    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], cwd=folder, stdout=log, stderr=log)
    try:
        yield query
    finally:
        process.kill()
        process.wait()


def until_finds(query: Query, expression: str, seconds: float = 60) -> None:
    """Wait until Prometheus answers and the expression finds something."""
    until = time.monotonic() + seconds
    while True:
        try:
            if query(expression):
                return
        except OSError:
            pass
        assert time.monotonic() < until, expression
        time.sleep(0.05)
