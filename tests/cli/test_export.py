"""Export: the folder written back, byte for byte, never over a file that says something else."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from promptctl import atomic_files
from tests.repositories import Repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import psycopg

    from tests.conftest import Ended, Promptctl

TEXTS = {
    "plain": b"You are kind.\n",
    "without-newline": "Grüße an {name} 😀".encode(),
    "many-newlines": b"\n\n a\n\n\n",
    "tricky": 'tab\t, feed\x0c, cr\r alone, nel\x85, sep\u2028, {"a": 1}, $$, \\N, \'; drop'.encode(),
    "front-matter": b"---\nnot: ours\n---\n",
    "large": b"0123456789abcdef" * 40_000,
}


@pytest.fixture
def demo(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> Promptctl:
    """Prompts as several people made them: by hand, with variables, settings and routes, one retired, one unused."""
    for name, content in TEXTS.items():
        sql.execute(
            "select promptctl.create_version(%s, %s, '{\"template\": \"none\"}', %s, 'ada@example.com')",
            [f"texts/{name}", content.decode(), json.dumps({"description": f"The {name} one"})],
        )
    promptctl("create", "greeter", "Greet {user.name} in {language}.", "--default", "language=English", "--activate")
    promptctl("create", "greeter", "Greet {user.name}.", "--meta", "model=not a setting", "--meta", "tags=[1, null]")
    promptctl("create", "greeter", "Retired.")
    promptctl("delete", "greeter@3")
    promptctl("create", "gone", "All of it is retired.")
    promptctl("delete", "gone@1")
    sql.execute(
        "select promptctl.create_version('sparse', 'seven', '{\"model\": \"m\", \"max_tokens\": 9}', version => 7)"
    )
    route = '[[{"when": {"plan": "enterprise", "seats": 5, "beta": true}, "use": "sparse@7"}]]'
    sql.execute("select promptctl.set_routes('{greeter}', %s)", [route])
    return promptctl


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def checked(promptctl: Promptctl, folder: str = "out") -> None:
    """A sync of the folder has nothing to do."""
    ended = promptctl("sync", folder, "--check")
    assert ended.code == 0, ended.out + ended.err
    assert "no changes" in ended.err


def test_export_then_sync_finds_nothing(demo: Promptctl) -> None:
    assert demo("export", "out").code == 0
    found = files(demo.home / "out")
    for name, content in TEXTS.items():
        assert found[f"texts/{name}/v1.txt"] == content
    assert {name for name in found if "/" not in name.removeprefix("texts/") or name.startswith(("greeter", "sparse"))}
    assert "greeter/v3.txt" not in found
    assert not any(name.startswith("gone") for name in found)
    checked(demo)
    # And makes the same anew elsewhere.
    assert demo("sync", "out").code == 0


def test_what_is_written(demo: Promptctl, snapshot: Callable[..., None]) -> None:
    demo("export", "out", "--only", "greeter")
    found = files(demo.home / "out")
    assert sorted(found) == ["greeter/prompt.yaml", "greeter/v1.txt", "greeter/v2.txt"]
    snapshot(found["greeter/prompt.yaml"].decode(), "cli/export-yaml")


def test_a_folder_that_was_synced_comes_back_as_it_was(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    repository = Repository(promptctl.home / "repository", promptctl.home)
    said = {
        "prompts/a/v1.md": "one\n", "prompts/a/v2.txt": "two\n", "prompts/b/c/v10.md": "ten",
        "prompts/a/prompt.yaml": "# why\nactive: 2\nversions:\n  1: {description: First, team: core}\n",
    }  # fmt: skip
    repository.commit(said)
    promptctl("sync", "repository/prompts")
    assert promptctl("export", "out").code == 0
    found = files(promptctl.home / "out")
    assert sorted(found) == ["a/prompt.yaml", "a/v1.md", "a/v2.txt", "b/c/prompt.yaml", "b/c/v10.md"]
    # Into the folder itself: nothing is to be written, and the comment stays.
    before = files(repository.path)
    ended = promptctl("export", "repository/prompts", "--json")
    written = json.loads(ended.out)
    assert (ended.code, written["written"]) == (0, ["repository/prompts/b/c/prompt.yaml"])
    after = files(repository.path)
    assert {name: after[name] for name in said} == {name: before[name] for name in said}
    checked(promptctl, "repository/prompts")


def test_a_file_that_says_something_else_is_not_replaced_without_force(demo: Promptctl) -> None:
    demo("export", "out")
    out = demo.home / "out"
    (out / "greeter" / "v1.txt").write_text("mine")
    (out / "greeter" / "prompt.yaml").write_text("active: 2\n")
    (out / "sparse" / "v7.txt").unlink()
    before = files(out)
    check_failure = demo("export", "out")
    assert check_failure.code == 5
    assert "error: out/greeter/v1.txt differs from the database (and 1 more); nothing was written" in check_failure.err
    assert "out/greeter/prompt.yaml differs from the database" in check_failure.err
    assert check_failure.err.splitlines()[-1] == "hint:  promptctl export out-1"
    assert json.loads(demo("export", "out", "--json").err.splitlines()[-1])["error"]["code"] == "files_differ"
    assert files(out) == before
    forced = demo("export", "out", "--force", "--quiet")
    assert (forced.code, sorted(forced.out.split())) == (
        0, ["out/greeter/prompt.yaml", "out/greeter/v1.txt", "out/sparse/v7.txt"],
    )  # fmt: skip
    checked(demo)


def test_what_a_person_has_beside_it_is_left_alone(demo: Promptctl) -> None:
    out = demo.home / "out"
    (out / "greeter").mkdir(parents=True)
    (out / "greeter" / "README.md").write_text("mine")
    (out / "greeter" / "v1.md").write_text("Greet {user.name} in {language}.")
    assert demo("export", "out").code == 0
    found = files(out)
    assert found["greeter/README.md"] == b"mine"
    assert "greeter/v1.txt" not in found
    checked(demo)


def test_only_some(demo: Promptctl) -> None:
    assert demo("export", "out", "--only", "texts/*").code == 0
    assert {path.name for path in (demo.home / "out").iterdir()} == {"texts"}
    missing = demo("export", "out", "--only", "nobody*")
    assert (missing.code, "no prompt matches" in missing.err) == (4, True)


def test_every_form(demo: Promptctl, snapshot: Callable[..., None]) -> None:
    told = ["$ promptctl export out  # terminal", demo.on_terminal("export", "out").out]
    for words in ((), ("--quiet",), ("--json",)):
        ended = demo("export", f"out-{len(told)}", "--only", "greeter", *words)
        told.append(f"$ promptctl export {' '.join(words)}\n{ended.out}---\n{ended.err}")
    again = demo("export", "out")
    told.append(f"$ promptctl export out  # again\n{again.out}---\n{again.err}")
    snapshot("\n".join(told), "cli/export")


def test_an_empty_database_makes_an_empty_folder(promptctl: Promptctl) -> None:
    ended = promptctl("export", "out")
    assert (ended.code, ended.out) == (0, "")
    assert "0 prompts from" in ended.err


def check_failure(ended: Ended, code: int) -> str:
    assert ended.code == code, ended.err
    found: str = json.loads(ended.err.splitlines()[-1])["error"]["code"]
    return found


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_left(demo: Promptctl) -> None:
    (demo.home / "file").write_text("x")
    assert check_failure(demo("export", "file", "--json"), 1) == "cannot_save"
    assert check_failure(demo("export", "file/below", "--json"), 1) == "cannot_save"
    assert demo("export", "").code == 2
    (demo.home / "out" / "greeter").mkdir(parents=True)
    (demo.home / "out" / "greeter" / "v1.txt").mkdir()
    assert check_failure(demo("export", "out", "--json"), 1) == "cannot_read"


def test_a_link_out_of_the_folder_is_not_followed(demo: Promptctl) -> None:
    (demo.home / "elsewhere").mkdir()
    (demo.home / "out").mkdir()
    (demo.home / "out" / "greeter").symlink_to(demo.home / "elsewhere")
    assert check_failure(demo("export", "out", "--json"), 1) == "cannot_save"
    assert os.listdir(demo.home / "elsewhere") == []
    (demo.home / "out" / "greeter").unlink()
    (demo.home / "out" / "greeter").mkdir()
    (demo.home / "outside").write_text("mine")
    (demo.home / "out" / "greeter" / "v1.txt").symlink_to(demo.home / "outside")
    assert check_failure(demo("export", "out", "--force", "--json"), 1) == "cannot_save"
    assert (demo.home / "outside").read_text() == "mine"


def test_a_file_that_sync_takes_for_the_same_is_the_same(promptctl: Promptctl) -> None:
    promptctl("create", "a", "one\ntwo\n")
    place = promptctl.home / "out" / "a"
    place.mkdir(parents=True)
    (place / "v1.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert promptctl("export", "out", "--only", "a").code == 0
    assert (place / "v1.txt").read_bytes().endswith(b"\r\n")


def test_what_prompt_yaml_cannot_say_is_named(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    sql.execute("select promptctl.create_version('odd', 'x', '{\"temperature\": 1}')")
    ended = promptctl("export", "out")
    assert ended.code == 1
    assert 'a folder cannot represent all of "odd": settings of @1: temperature' in ended.err
    assert not (promptctl.home / "out").exists()
    assert check_failure(promptctl("export", "out", "--json"), 1) == "cannot_export"


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    atomic_files.write(str(path), b"before")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"before", 0o666 & ~0o022)
    path.chmod(0o640)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        atomic_files.write(str(path), b"after")
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"before", ["file"])
    monkeypatch.undo()
    atomic_files.write(str(path), b"after")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"after", 0o640)
    private = tmp_path / "private"
    atomic_files.write(str(private), b"x", private=True)
    assert private.stat().st_mode & 0o777 == 0o600
    (tmp_path / "link").symlink_to(path)
    atomic_files.write(str(tmp_path / "link"), b"through")
    assert (path.read_bytes(), (tmp_path / "link").is_symlink()) == (b"through", True)
