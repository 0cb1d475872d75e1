"""`prompts.metrics()`: what a process exports for Prometheus, and that it counts each use once."""

from __future__ import annotations

import time
import types
from typing import TYPE_CHECKING, Any, cast

import pytest
from prometheus_client import CollectorRegistry

from promptctl.claude import prices
from promptctl.client import use_counts
from promptctl.client.use_counts import UseCounts
from promptctl.store.uses import FallbackRecord, UseRecord
from tests.client.support import activate, run_program, until
from tests.schema.support import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from promptctl import Prompts
    from promptctl.client.metrics import Metrics

    Connection = psycopg.Connection[Any]

KNOWN, UNKNOWN = "claude-sonnet-4-5", "m" * 250


def samples(*collectors: Metrics) -> dict[str, float]:
    """Return what a registry with these collectors exports, by name and labels, without empty labels."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    page: dict[str, float] = {}
    for metric in registry.collect():
        for sample in metric.samples:
            labels = ",".join(f'{name}="{text}"' for name, text in sample.labels.items() if name != "client" or text)
            series = sample.name.removeprefix("promptctl_client_") + f"{{{labels}}}" * bool(labels)
            assert series not in page, "a series appears twice"
            page[series] = sample.value
    return page


def test_a_process_exports_its_uses_and_what_it_serves(
    make_client: Callable[..., Prompts], sql: Connection, logged: Callable[[str], int]
) -> None:
    prompts = make_client()
    metrics = prompts.metrics()
    # Before the first `get`, nothing is connected or stale.
    assert samples(metrics) == {"dropped_uses_total": 0, "waiting_uses": 0}
    prompt = prompts.get("greeter")
    usage = types.SimpleNamespace(
        input_tokens=900, output_tokens=500, cache_read_input_tokens=100, cache_creation_input_tokens=None
    )
    with prompt.use() as use:
        use.first_token()
        use.record(types.SimpleNamespace(usage=usage, model=KNOWN))
    with pytest.raises(ZeroDivisionError), prompt.use():
        raise ZeroDivisionError
    for model in (UNKNOWN, None):
        with prompt.use() as use:
            use.record(output_tokens=7, model=model)
    with prompts.get("nothing", default="text").use():
        pass
    assert prompts.flush()
    page = samples(metrics)
    one = '{prompt="greeter",version="1"'
    assert page[f'uses_total{one},outcome="ok"}}'] == 3
    assert page[f'uses_total{one},outcome="error"}}'] == 1
    assert page[f'input_tokens_total{one},model="{KNOWN}"}}'] == 1000
    assert page[f'output_tokens_total{one},model="{KNOWN}"}}'] == 500
    assert page[f'cache_read_tokens_total{one},model="{KNOWN}"}}'] == 100
    assert page[f'cost_usd_total{one},model="{KNOWN}"}}'] == pytest.approx(0.0027 + 0.00003 + 0.0075)
    assert {name: number for name, number in page.items() if "unpriced" in name} == {
        f'unpriced_uses_total{one},model="{KNOWN}"}}': 0,
        f'unpriced_uses_total{one},model="{UNKNOWN[:200]}"}}': 1,
        f'unpriced_uses_total{one},model=""}}': 1,
    }
    assert sum("cost_usd" in name for name in page) == 1, "a cost that is not known is absent and not zero"
    assert page[f'response_seconds_bucket{one},le="0.032"}}'] == page[f"response_seconds_count{one}}}"] == 3
    assert page[f"first_token_seconds_count{one}}}"] == 1
    assert page['fallbacks_total{prompt="nothing"}'] == 1
    assert (page["connected"], page["waiting_uses"]) == (1, 0)
    assert page["age_seconds"] < 60
    assert page[f"active_version_info{one}}}"] == page['active_version{prompt="greeter"}'] == 1
    # Another version is followed, and a split.
    activate(sql, "greeter", 2)
    run(sql, "select promptctl.split('greeter', 5000, 1)")
    until(lambda: 'candidate_version_info{prompt="greeter",version="1"}' in samples(metrics))
    assert samples(metrics)['active_version{prompt="greeter"}'] == 2
    # A second collector of the client has the same numbers. Costs are not added twice.
    again = samples(prompts.metrics())
    assert [name for name in page if name.endswith("_total") and again[name] != page[name]] == []
    # After the client has ended, the counters stay and nothing is stale.
    prompts.close()
    ended = samples(metrics)
    assert ended[f'uses_total{one},outcome="ok"}}'] == 3
    assert not any(name.startswith(("age", "connected", "active")) for name in ended)
    assert logged("not recorded") == 0


def test_several_clients_have_a_label(make_client: Callable[..., Prompts]) -> None:
    first, second = make_client(), make_client()
    both = first.metrics("first") + second.metrics("second")
    first.preload(["greeter"])
    page = samples(both)
    assert page['connected{client="first"}'] == 1
    assert 'connected{client="second"}' not in page
    assert page['waiting_uses{client="second"}'] == 0
    with pytest.raises(ValueError, match="client='first'"):
        _ = both + second.metrics("first")
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        samples(first.metrics(), second.metrics())
    for name, problem in ((None, TypeError), (5, TypeError), ("\ud800", ValueError), ("a\nb", ValueError)):
        with pytest.raises(problem, match="client must be"):
            first.metrics(cast("Any", name))


def test_a_child_counts_its_own_uses_and_a_missing_package_is_named(home: Path, env: dict[str, str]) -> None:
    code = """
import os, sys
from promptctl import Prompts, errors
sys.modules["prometheus_client"] = None
try:
    Prompts().metrics()
except errors.Failed as failure:
    assert failure.message == 'the extra "metrics" of promptctl is not installed: prometheus-client is missing'
    assert "prometheus-client>=" in failure.hint
del sys.modules["prometheus_client"]
from prometheus_client import REGISTRY
prompts = Prompts(flush_seconds=0.02)
REGISTRY.register(prompts.metrics())
def use(number):
    for _ in range(number):
        with prompts.get("greeter").use():
            pass
    assert prompts.flush()
    return REGISTRY.get_sample_value(
        "promptctl_client_uses_total", {"client": "", "prompt": "greeter", "version": "1", "outcome": "ok"})
assert use(3) == 3
child = os.fork()
if not child:
    assert REGISTRY.get_sample_value("promptctl_client_connected", {"client": ""}) is None
    assert use(2) == 2
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert use(1) == 4
assert "genai_prices" not in sys.modules, "no use had tokens"
"""
    ended = run_program(code, home, env)
    assert (ended.code, ended.err) == (0, ""), ended.err


def record(name: str = "x", version: int = 1, model: str | None = None, tokens: int | None = None) -> UseRecord:
    fields: dict[str, Any] = dict.fromkeys(UseRecord.fields)
    fields |= {"name": name, "version": version, "model": model, "input_tokens": tokens, "outcome": "ok"}
    fields["ended_at"] = time.perf_counter()
    return UseRecord(**fields)


def test_the_numbers_of_prompts_versions_and_models_are_bounded() -> None:
    counts = UseCounts()
    for number in range(use_counts.MOST_PROMPTS + 50):
        counts.add(record(f"prompt{number}"))
        counts.add(FallbackRecord("id", f"typed{number}", 0.0, None, None, None, 1.0, "ok"))
    assert len(counts.prompts) == len(counts.fallbacks) == use_counts.MOST_PROMPTS + 1
    assert counts.prompts[use_counts.OTHER_PROMPTS][1].succeeded == counts.fallbacks[use_counts.OTHER_PROMPTS] == 50
    for version in range(1, 13):
        for _ in range(100):
            counts.add(record("prompt0", version))
    # No use is lost, also not of versions beyond the limit: version 1 has one use from above.
    versions = counts.prompts["prompt0"]
    assert [*versions] == [*range(1, 11), use_counts.OTHER_VERSIONS]
    assert [one.succeeded for one in versions.values()] == [101, *[100] * 9, 200]
    # One that was not used for a day gives its place to a new one.
    versions[2].last_ended_at -= 90_000
    counts.add(record("prompt0", 13))
    counts.add(record("prompt0", 2))
    assert [*versions] == [1, *range(3, 11), use_counts.OTHER_VERSIONS, 13]
    assert (versions[13].succeeded, versions[use_counts.OTHER_VERSIONS].succeeded) == (1, 201)
    for number in range(use_counts.MOST_MODELS + 5):
        counts.add(record("prompt1", model=f"m{number}", tokens=1))
    models = counts.prompts["prompt1"][1].models
    assert len(models) == use_counts.MOST_MODELS + 1
    assert models[use_counts.OTHER_MODELS].input == 5


def test_costs_are_those_of_each_use_at_its_price_tier() -> None:
    sizes = [10, 100_000, 100_001, 200_001, 1_000_000, 150_000]
    at = "2026-11-20T00:00:00Z"

    def price(model: str, *tokens: float) -> float | None:
        input_tokens, output_tokens, cache_read, cache_write = tokens
        return prices.cost_usd(model, input_tokens, output_tokens, cache_read, cache_write, at)

    counts = UseCounts()
    for size in sizes:
        counts.add(record(model=KNOWN, tokens=size))
        if size != 100_000:  # a scrape in between changes nothing
            counts.settle(price)
    counts.settle(price)
    costs = [prices.cost_usd(KNOWN, size, 0, 0, 0, at) or 0 for size in sizes]
    assert counts.prompts["x"][1].models[KNOWN].cost_usd == pytest.approx(sum(costs))
    # Without genai-prices, all are unpriced.
    counts.add(record(model=KNOWN, tokens=1))
    counts.settle(None)
    assert counts.prompts["x"][1].models[KNOWN].unpriced == 1
