"""`export` writes prompts as a folder, byte for byte, and never replaces a different file without --force."""

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
    """The command line on a database with prompts that have variables, settings, routes and archived versions."""
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


def check_no_changes(promptctl: Promptctl, folder: str = "out") -> None:
    """Check that a sync of the folder has no changes."""
    ended = promptctl("sync", folder, "--check")
    assert ended.code == 0, ended.out + ended.err
    assert "no changes" in ended.err


def test_a_sync_of_an_export_has_no_changes(demo: Promptctl) -> None:
    assert demo("export", "out").code == 0
    exported = files(demo.home / "out")
    for name, content in TEXTS.items():
        assert exported[f"texts/{name}/v1.txt"] == content
    assert {
        name for name in exported if "/" not in name.removeprefix("texts/") or name.startswith(("greeter", "sparse"))
    }
    assert "greeter/v3.txt" not in exported
    assert not any(name.startswith("gone") for name in exported)
    check_no_changes(demo)
    # The folder can be synced.
    assert demo("sync", "out").code == 0


def test_export_writes_version_files_and_prompt_yaml(demo: Promptctl, snapshot: Callable[..., None]) -> None:
    demo("export", "out", "--only", "greeter")
    exported = files(demo.home / "out")
    assert sorted(exported) == ["greeter/prompt.yaml", "greeter/v1.txt", "greeter/v2.txt"]
    snapshot(exported["greeter/prompt.yaml"].decode(), "cli/export-yaml")


def test_export_reproduces_the_folder_that_was_synced(promptctl: Promptctl, sql: psycopg.Connection[Any]) -> None:
    repository = Repository(promptctl.home / "repository", promptctl.home)
    texts = {
        "prompts/a/v1.md": "one\n", "prompts/a/v2.txt": "two\n", "prompts/b/c/v10.md": "ten",
        "prompts/a/prompt.yaml": "# why\nactive: 2\nversions:\n  1: {description: First, team: core}\n",
    }  # fmt: skip
    repository.commit(texts)
    promptctl("sync", "repository/prompts")
    assert promptctl("export", "out").code == 0
    exported = files(promptctl.home / "out")
    assert sorted(exported) == ["a/prompt.yaml", "a/v1.md", "a/v2.txt", "b/c/prompt.yaml", "b/c/v10.md"]
    # An export into the synced folder changes no existing file, so the comment stays.
    before = files(repository.path)
    ended = promptctl("export", "repository/prompts", "--json")
    written = json.loads(ended.out)
    assert (ended.code, written["written"]) == (0, ["repository/prompts/b/c/prompt.yaml"])
    after = files(repository.path)
    assert {name: after[name] for name in texts} == {name: before[name] for name in texts}
    check_no_changes(promptctl, "repository/prompts")


def test_export_replaces_a_different_file_only_with_force(demo: Promptctl) -> None:
    demo("export", "out")
    out = demo.home / "out"
    (out / "greeter" / "v1.txt").write_text("mine")
    (out / "greeter" / "prompt.yaml").write_text("active: 2\n")
    (out / "sparse" / "v7.txt").unlink()
    before = files(out)
    refusal = demo("export", "out")
    assert refusal.code == 5
    assert "error: out/greeter/v1.txt differs from the database (and 1 more); nothing was written" in refusal.err
    assert "out/greeter/prompt.yaml differs from the database" in refusal.err
    assert refusal.err.splitlines()[-1] == "hint:  promptctl export out-1"
    assert json.loads(demo("export", "out", "--json").err.splitlines()[-1])["error"]["code"] == "files_differ"
    assert files(out) == before
    forced = demo("export", "out", "--force", "--quiet")
    assert (forced.code, sorted(forced.out.split())) == (
        0, ["out/greeter/prompt.yaml", "out/greeter/v1.txt", "out/sparse/v7.txt"],
    )  # fmt: skip
    check_no_changes(demo)


def test_export_leaves_other_files_in_the_folder_alone(demo: Promptctl) -> None:
    out = demo.home / "out"
    (out / "greeter").mkdir(parents=True)
    (out / "greeter" / "README.md").write_text("mine")
    (out / "greeter" / "v1.md").write_text("Greet {user.name} in {language}.")
    assert demo("export", "out").code == 0
    exported = files(out)
    assert exported["greeter/README.md"] == b"mine"
    assert "greeter/v1.txt" not in exported
    check_no_changes(demo)


def test_only_exports_the_prompts_that_match(demo: Promptctl) -> None:
    assert demo("export", "out", "--only", "texts/*").code == 0
    assert {path.name for path in (demo.home / "out").iterdir()} == {"texts"}
    missing = demo("export", "out", "--only", "nobody*")
    assert (missing.code, "no prompt matches" in missing.err) == (4, True)


def test_the_output_of_export_in_every_form(demo: Promptctl, snapshot: Callable[..., None]) -> None:
    outputs = ["$ promptctl export out  # terminal", demo.on_terminal("export", "out").out]
    for words in ((), ("--quiet",), ("--json",)):
        ended = demo("export", f"out-{len(outputs)}", "--only", "greeter", *words)
        outputs.append(f"$ promptctl export {' '.join(words)}\n{ended.out}---\n{ended.err}")
    again = demo("export", "out")
    outputs.append(f"$ promptctl export out  # again\n{again.out}---\n{again.err}")
    snapshot("\n".join(outputs), "cli/export")


def test_export_of_an_empty_database_succeeds(promptctl: Promptctl) -> None:
    ended = promptctl("export", "out")
    assert (ended.code, ended.out) == (0, "")
    assert "0 prompts from" in ended.err


def failure_code(ended: Ended, exit_code: int) -> str:
    assert ended.code == exit_code, ended.err
    code: str = json.loads(ended.err.splitlines()[-1])["error"]["code"]
    return code


def test_export_to_an_unwritable_folder_fails(demo: Promptctl) -> None:
    (demo.home / "file").write_text("x")
    assert failure_code(demo("export", "file", "--json"), 1) == "cannot_save"
    assert failure_code(demo("export", "file/below", "--json"), 1) == "cannot_save"
    assert demo("export", "").code == 2
    (demo.home / "out" / "greeter").mkdir(parents=True)
    (demo.home / "out" / "greeter" / "v1.txt").mkdir()
    assert failure_code(demo("export", "out", "--json"), 1) == "cannot_read"


def test_export_does_not_follow_links_out_of_the_folder(demo: Promptctl) -> None:
    (demo.home / "elsewhere").mkdir()
    (demo.home / "out").mkdir()
    (demo.home / "out" / "greeter").symlink_to(demo.home / "elsewhere")
    assert failure_code(demo("export", "out", "--json"), 1) == "cannot_save"
    assert os.listdir(demo.home / "elsewhere") == []
    (demo.home / "out" / "greeter").unlink()
    (demo.home / "out" / "greeter").mkdir()
    (demo.home / "outside").write_text("mine")
    (demo.home / "out" / "greeter" / "v1.txt").symlink_to(demo.home / "outside")
    assert failure_code(demo("export", "out", "--force", "--json"), 1) == "cannot_save"
    assert (demo.home / "outside").read_text() == "mine"


def test_export_keeps_a_file_that_sync_considers_equal(promptctl: Promptctl) -> None:
    promptctl("create", "a", "one\ntwo\n")
    folder = promptctl.home / "out" / "a"
    folder.mkdir(parents=True)
    (folder / "v1.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert promptctl("export", "out", "--only", "a").code == 0
    assert (folder / "v1.txt").read_bytes().endswith(b"\r\n")


def test_export_names_settings_that_prompt_yaml_cannot_represent(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    sql.execute("select promptctl.create_version('odd', 'x', '{\"temperature\": 1}')")
    ended = promptctl("export", "out")
    assert ended.code == 1
    assert 'a folder cannot represent all of "odd": settings of @1: temperature' in ended.err
    assert not (promptctl.home / "out").exists()
    assert failure_code(promptctl("export", "out", "--json"), 1) == "cannot_export"


def test_a_file_is_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
