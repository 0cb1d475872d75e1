"""A prompt is copied, pickled, and given to another process, whose client records its uses."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import Prompts
from tests.client.support import count, program, uses

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    Connection = psycopg.Connection[Any]

MODULE = """
import multiprocessing, os, sys
from promptctl import Prompts

prompts = Prompts(flush_seconds=1000)

def work(prompt):
    with prompt.use() as use:
        use.record(input_tokens=7)
    return use.id, str(prompt), prompt.bucket, prompt.render({"user.name": "Ada"}), prompt.epoch

if __name__ == "__main__":
    given = [prompts.get("greeter", unit=f"user-{n}") for n in range(10)]
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        answers = pool.map(work, given)
        # They end by themselves, and send what waits.
        pool.close()
        pool.join()
    for prompt, answer in zip(given, answers):
        assert answer[1:] == (str(prompt), prompt.bucket, prompt.render({"user.name": "Ada"}), prompt.epoch)
        print(answer[0])
"""


@pytest.mark.parametrize("way", ["fork", "spawn", "forkserver"])
def test_a_pool_gets_prompts_and_its_processes_record_their_uses(
    sql: Connection, home: Path, env: dict[str, str], way: str
) -> None:
    (home / "pool.py").write_text(MODULE)
    ended = program("import runpy, sys; sys.argv = ['pool.py', sys.argv[1]]; sys.path.insert(0, '.');"
                    "runpy.run_path('pool.py', run_name='__main__')", home, env, way)  # fmt: skip
    assert (ended.code, ended.err) == (0, ""), ended.err
    assert sorted(row[0] for row in uses(sql, "id::text")) == sorted(ended.out.split())
    assert len(ended.out.split()) == 10


def test_a_copy_is_the_prompt_itself_and_a_pickle_an_equal_one(prompts: Prompts, sql: Connection) -> None:
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
    # Of four protocols; those of the application's own text are recorded apart.
    assert (count(sql), prompts.dropped_uses) == (12, 0)


def test_without_a_client_of_its_database_the_uses_are_dropped_and_that_is_logged_once(
    serve: Callable[..., Prompts], database_url: str, logged: Callable[[str], int]
) -> None:
    prompts = serve(database_url + "&password=secret-word")
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
