"""A prompt with versions and cases, and runs of them against the test server, for the tests of `test`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.conftest import Ended, Promptctl

    ClaudeEnv = Callable[..., dict[str, str | None]]
    Connection = psycopg.Connection[Any]

CASES = [
    {
        "description": f"Question {number}",
        "messages": [{"role": "user", "content": f"question {number}"}],
        "assert": [{"type": "contains", "value": "good"}],
    }
    for number in range(1, 7)
]
SETTINGS = '{"model": "claude-haiku-5-5", "max_tokens": 500}'


@pytest.fixture
def support(sql: Connection) -> None:
    """A prompt with an active version, an equal one, a broken one and another good one, and six cases."""
    for text, active in (
        ("You are calm.", True), ("You are calm.\n", False), ("You are broken.", False), ("You are kind.", False),
    ):  # fmt: skip
        sql.execute(
            "select promptctl.create_version('support', %s, settings => %s::jsonb, activated => %s, author => 'me')",
            [text, SETTINGS, active],
        )
    sql.execute(
        "select promptctl.set_cases('support', %s::text[], null, 'me')",
        [[json.dumps(case, sort_keys=True, separators=(",", ":"), ensure_ascii=False) for case in CASES]],
    )


@pytest.fixture
def run(promptctl: Promptctl, claude_env: ClaudeEnv, support: None) -> Callable[..., Ended]:
    """Return a function that runs `test` against the test server."""

    def run_test(*words: str, scenario: str = "crowd", **options: Any) -> Ended:
        extra = {name: options.pop(name) for name in list(options) if name.isupper()}
        return promptctl("test", *words, env={**claude_env(scenario, **options), **extra})

    return run_test
