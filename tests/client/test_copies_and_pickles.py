"""A prompt can be copied, pickled and passed to another process, whose client records its uses."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import Prompts
from tests.client.support import count, run_program, uses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    Connection = psycopg.Connection[Any]

POOL_MODULE = """
import multiprocessing, os, sys
from promptctl import Prompts

prompts = Prompts(flush_seconds=1000)

def work(prompt):
    with prompt.use() as use:
        use.record(input_tokens=7)
    return use.id, str(prompt), prompt.bucket, prompt.render({"user.name": "Ada"}), prompt.epoch

if __name__ == "__main__":
    pool_prompts = [prompts.get("greeter", unit=f"user-{n}") for n in range(10)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        answers = pool.map(work, pool_prompts)
        # The processes of the pool exit by themselves and send the uses that wait.
        pool.close()
        pool.join()
    for prompt, answer in zip(pool_prompts, answers):
        assert answer[1:] == (str(prompt), prompt.bucket, prompt.render({"user.name": "Ada"}), prompt.epoch)
        print(answer[0])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_prompts_passed_to_a_process_pool_record_their_uses(
    sql: Connection, home: Path, env: dict[str, str], method: str
) -> None:
    (home / "pool.py").write_text(POOL_MODULE)
    result = run_program("import runpy, sys; sys.argv = ['pool.py', sys.argv[1]]; sys.path.insert(0, '.');"
                    "runpy.run_path('pool.py', run_name='__main__')", home, env, method)  # fmt: skip
    assert (result.code, result.err) == (0, ""), result.err
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(result.out.split())
    assert len(result.out.split()) == 10


def test_copying_returns_the_same_prompt_and_pickling_an_equal_one(prompts: Prompts, sql: Connection) -> None:
    for prompt in (
        prompts.get("greeter"),
        prompts.get("greeter@2"),
        prompts.get("greeter", unit="user-1"),
        prompts.get("nothing", default="A text {user.name}"),
    ):
        assert copy.copy(prompt) is copy.deepcopy(prompt) is prompt
        assert copy.deepcopy({"kept": [prompt]}) == {"kept": [prompt]}
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            other = pickle.loads(pickle.dumps(prompt, protocol))
            for name in ("name", "version", "epoch", "content", "settings", "metadata", "is_default", "bucket"):
                assert getattr(other, name) == getattr(prompt, name), name
            with other.use() as use:
                use.record(input_tokens=protocol)
    assert prompts.flush(20)
    # Three prompts by four protocols; uses of the default text are recorded separately.
    assert (count(sql), prompts.dropped_uses) == (12, 0)


def test_an_unpickled_prompt_without_a_client_drops_its_uses_and_logs_once(
    make_client: Callable[..., Prompts], database_url: str, logged: Callable[[str], int]
) -> None:
    prompts = make_client(database_url + "&password=secret-word")
    prompt = prompts.get("greeter")
    data = pickle.dumps(prompt)
    assert b"secret-word" not in data
    prompts.close()
    other = pickle.loads(data)
    for _ in range(3):
        with other.use() as use:
            use.record(input_tokens=1)
        use.score(0.5)
    assert (other.version, other.age_seconds) == (1, float("inf"))
    assert logged("uses of a prompt from another process are not recorded") == 1
