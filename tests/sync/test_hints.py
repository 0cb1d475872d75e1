"""Hints of sync and export: each is the right command, and loses neither edits nor moves."""

from __future__ import annotations

import os
import shlex
import subprocess
from typing import TYPE_CHECKING

import pytest

from promptctl import errors
from promptctl.cli import test_targets
from promptctl.sync import read

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Promptctl


def write(home: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def hint(err: str) -> str:
    return err.splitlines()[-1].removeprefix("hint:").strip()


def test_the_hint_for_an_edited_version_saves_the_edit_and_restores_the_text(
    promptctl: Promptctl,
) -> None:
    folder = "it's my prompts"
    write(promptctl.home, {f"{folder}/a/v1.txt": "one\n", f"{folder}/a/v2.md": "two", f"{folder}/b/v1.txt": "b"})
    assert promptctl("sync", folder).code == 0
    # v5 exists and is not committed; two files were edited.
    write(
        promptctl.home,
        {f"{folder}/a/v1.txt": "one, edited\n", f"{folder}/a/v2.md": "two, edited", f"{folder}/a/v5.txt": "five"},
    )
    for _ in range(2):
        refused = promptctl("sync", folder)
        assert refused.code == 5
        # Run the hint in a shell, with this promptctl on the PATH.
        program = promptctl.home / "bin" / "promptctl"
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\nexec {shlex.join(promptctl.command())} "$@"\n')
        program.chmod(0o755)
        process = subprocess.run(
            ["sh", "-ec", hint(refused.err)],
            cwd=promptctl.home,
            env=promptctl.environment() | {"PATH": f"{program.parent}:{os.environ['PATH']}"},
            check=False,
            capture_output=True,
            text=True,
        )
        assert process.returncode == 0, process.stderr
    texts = {path.name: path.read_text() for path in (promptctl.home / folder / "a").iterdir()}
    assert (texts["v1.txt"], texts["v2.md"], texts["v5.txt"]) == ("one\n", "two", "five")
    assert sorted(text for name, text in texts.items() if name[1] not in "125") == ["one, edited\n", "two, edited"]
    assert promptctl("sync", folder).code == 0


def test_the_hint_of_an_export_that_would_replace_files_uses_another_folder(promptctl: Promptctl) -> None:
    promptctl("create", "a", "one")
    write(promptctl.home, {"prompts/a/v1.txt": "mine", "prompts-1/x": ""})
    refused = promptctl("export", "prompts", "--only", "a*")
    assert (refused.code, hint(refused.err)) == (5, "promptctl export prompts-2 --only 'a*'")
    assert (promptctl.home / "prompts/a/v1.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("files", "working_directory", "folder", "message", "hint"),
    [
        ({"prompts/a/v1.txt": "x"}, ".", "prompts/a", "is the folder of one prompt, a", "promptctl sync prompts"),
        ({"prompts/a/v1.txt": "x"}, "prompts/a", ".", "is the folder of one prompt, a", "promptctl sync .."),
        ({"prompts/a/v1.txt": "x"}, ".", "prompts/a/v1.txt", "is a file of one prompt", "promptctl sync prompts"),
        ({"prompts/a/v1.txt": "x"}, "prompts/a", None, 'no folder "prompts" here', "promptctl sync .."),
        ({"prompts/a/v1.txt": "x"}, "prompts", None, 'no folder "prompts" here', "promptctl sync ."),
        ({"prompts/a/v1.txt": "x", "s/m.py": ""}, "s", None, 'no folder "prompts" here', "promptctl sync ../prompts"),
        ({"mine/a/v1.txt": "x"}, "mine", None, 'no folder "prompts" here', "promptctl sync ."),
        ({"x": ""}, ".", None, 'no folder "prompts" here', "write prompts/NAME/v1.txt, or promptctl sync FOLDER"),
        (
            {"prompts/hello.txt": "x", "prompts/bye.md": "y"}, ".", "prompts", "no version file in",
            "mkdir prompts/bye && mv prompts/bye.md prompts/bye/v1.md",
        ),
        (
            {"my prompts/hello.txt": "x"}, ".", "my prompts", "no version file in",
            "mkdir 'my prompts/hello' && mv 'my prompts/hello.txt' 'my prompts/hello/v1.txt'",
        ),
        (
            {"prompts/hello.txt": "x"}, ".", "prompts/hello.txt", "is a file",
            "mkdir prompts/hello && mv prompts/hello.txt prompts/hello/v1.txt",
        ),
        (
            {"prompts/v1.txt": "x"}, ".", "prompts", "named like its prompt",
            "mkdir prompts/NAME && mv prompts/v1.txt prompts/NAME/v1.txt",
        ),
        ({"prompts/.keep": ""}, ".", "prompts", "no version file in", "write prompts/NAME/v1.txt"),
        ({"x": ""}, ".", "nowhere", "does not exist", "ls ."),
    ],
)  # fmt: skip
def test_a_wrong_path_is_explained_and_the_hint_is_the_right_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    files: dict[str, str],
    working_directory: str,
    folder: str | None,
    message: str,
    hint: str,
) -> None:
    (tmp_path / ".git").mkdir()
    write(tmp_path, files)
    monkeypatch.chdir(tmp_path / working_directory)
    with pytest.raises(errors.Failed) as caught:
        read.list_prompts(folder or "prompts", is_default=folder is None)
    assert message in caught.value.message
    assert (caught.value.code, caught.value.hint) == ("invalid_folder", hint)


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("p/one", "test accepts the folder above it", "promptctl test p"),
        ("p/one/v1.txt", "test accepts the folder of all prompts", "promptctl test p"),
        ("p/one/tests.yaml", "test accepts the folder of all prompts", "promptctl test p"),
        ("p/two/tests/a.yaml", "test accepts the folder of all prompts", "promptctl test p"),
        ("p@1/one", "test accepts the folder above it", "promptctl test p@1/"),
        ("notes.txt", "test accepts a folder", "mkdir ./notes && mv ./notes.txt ./notes/v1.txt"),
        ("notes.json", "test accepts a folder", "promptctl test FOLDER"),
        ("prompt/", "does not exist", "promptctl test prompts"),
        ("https://example.org/", "test reads a folder", "promptctl test FOLDER"),
    ],
)
def test_a_hint_of_test_never_activates_what_was_not_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, message: str, hint: str
) -> None:
    tests = "tests: [{message: Hi}]\n"
    files = {f"{folder}/one/v1.txt": "x" for folder in ("p", "p@1", "prompts")}
    files |= {"p/one/tests.yaml": tests, "p/two/v1.txt": "x", "p/two/tests/a.yaml": tests}
    write(tmp_path, files | {"notes.txt": "x", "notes.json": "{}"})
    monkeypatch.chdir(tmp_path)
    assert path == "p@1/one" or "://" in path or test_targets.is_folder(path)
    with pytest.raises(errors.Failed) as caught:
        read.list_prompts(path, command="test")
    assert message in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize("file", ["test.yaml", "test.yml", "Test-Cases.yaml"])
def test_a_file_of_cases_with_another_name_is_refused(tmp_path: Path, file: str) -> None:
    write(tmp_path, {"a/v1.txt": "x", f"a/{file}": "tests: [{message: Hi}]\n"})
    with pytest.raises(errors.Failed, match=r"did you mean tests\.yaml\?"):
        read.list_prompts(str(tmp_path))


def test_a_hint_of_test_for_another_source_only_shows_the_plan(promptctl: Promptctl) -> None:
    write(promptctl.home, {f"p/{name}/v1.txt": name for name in ("a/one", "a/two")})
    for words in (("git", "init", "-q"), ("git", "add", ".")):
        subprocess.run(words, cwd=promptctl.home, check=True)
    assert promptctl("sync", "p").code == 0
    refused = promptctl("test", "p/a")
    assert (refused.code, hint(refused.err)) == (5, "promptctl sync p --dry-run")


def test_a_deleted_working_directory_is_reported(promptctl: Promptctl) -> None:
    directory = promptctl.home / "gone"
    for arguments in (("sync",), ("sync", "."), ("export",), ("export", "out")):
        directory.mkdir()
        process = subprocess.run(
            ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *promptctl.command(*arguments)],
            cwd=directory, env=promptctl.environment(), check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert process.returncode == 1
        assert "the working directory does not exist any more" in process.stderr
