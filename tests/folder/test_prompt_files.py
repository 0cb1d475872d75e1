"""Reading a folder of prompts: which files are read, and why a folder is invalid."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from promptctl import errors
from promptctl.folder import listing, prompt_files

if TYPE_CHECKING:
    from pathlib import Path

    from promptctl.folder.prompt_files import FolderPrompt


def read(folder: str) -> list[FolderPrompt]:
    """Read every prompt of a folder, with an empty database."""
    problems: list[str] = []
    folders = listing.scan(listing.list_prompts(folder), problems)
    prompts = [prompt_files.read(scanned, problems) for scanned in folders]
    if problems:
        raise listing.InvalidFolder(problems)
    return prompts


def write(folder: Path, files: dict[str, str | bytes]) -> str:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(folder)


def refusal(folder: Path, files: dict[str, str | bytes]) -> str:
    with pytest.raises(errors.Failed) as caught:
        read(write(folder, files))
    assert caught.value.code == "invalid_folder"
    return caught.value.message


def test_a_folder_path_is_a_name_with_slashes(tmp_path: Path) -> None:
    folder = write(tmp_path, {"support/triage/v1.md": "a", "support/v1.txt": "b", "z/v2.txt": "c", "z/v10.txt": "d"})
    found = read(folder)
    assert [prompt.name for prompt in found] == ["support", "support/triage", "z"]
    assert [version.number for version in found[2].versions] == [2, 10]


def test_content_is_unchanged_except_for_the_byte_order_mark_and_line_ends(tmp_path: Path) -> None:
    folder = write(
        tmp_path, {"a/v1.txt": b"\xef\xbb\xbfone\r\ntwo\rthree \n\n", "a/v2.txt": "---\nfront: matter\n---\n"}
    )
    [prompt] = read(folder)
    assert [version.content for version in prompt.versions] == [b"one\ntwo\rthree \n\n", b"---\nfront: matter\n---\n"]


def test_hidden_and_other_files_are_ignored(tmp_path: Path) -> None:
    folder = write(
        tmp_path,
        {"a/v1.txt": "x", "a/README.md": "about", "a/.v2.txt": "no", ".git/v1.txt": "no", "a/vision.txt": "no"},
    )
    [prompt] = read(folder)
    assert [version.number for version in prompt.versions] == [1]


def test_prompt_yaml_has_everything_but_the_text(tmp_path: Path) -> None:
    yaml = """\
description: For all
active: 2
template: mustache
variables: {user.name: {required: true}, task.type: {default: general questions}}
model: claude-sonnet-5-5
max_tokens: 4096
versions:
  2: {description: Concise, author: user@example.com, experiment: conciseness_test, since: "2026-11-12", max_tokens: 99}
"""
    [prompt] = read(write(tmp_path, {"a/v1.txt": "x", "a/v2.txt": "y", "a/prompt.yaml": yaml}))
    first, second = prompt.versions
    shared = {
        "template": "mustache",
        "variables": {"user.name": {"required": True}, "task.type": {"default": "general questions"}},
        "model": "claude-sonnet-5-5",
    }
    assert prompt.active == 2
    assert (first.metadata, first.author, first.settings) == (
        {"description": "For all"},
        None,
        {**shared, "max_tokens": 4096},
    )
    assert second.metadata == {"description": "Concise", "experiment": "conciseness_test", "since": "2026-11-12"}
    assert (second.author, second.settings) == ("user@example.com", {**shared, "max_tokens": 99})


def test_an_empty_prompt_yaml_sets_nothing(tmp_path: Path) -> None:
    [prompt] = read(write(tmp_path, {"a/v1.txt": "x", "a/prompt.yaml": "# nothing\n"}))
    assert (prompt.active, prompt.versions[0].metadata, prompt.versions[0].settings) == (None, {}, {})


@pytest.mark.parametrize(
    ("yaml", "complaint"),
    [
        ("activ: 2", "unknown key 'activ': did you mean 'active'?"),
        ("zzz: 2", "unknown key 'zzz'"),
        ("active: two", "active: a version is a number from 1 to 2147483647, not 'two'"),
        ("active: 0", "active: a version is"),
        ("active: true", "active: a version is"),
        ("active: 010", ':1: 010 is read as 8: write "010" in quotes, or 8 without quotes'),
        ("model: x\nactive: 0x10", ':2: 0x10 is read as 16: write "0x10" in quotes'),
        ("max_tokens: 1:30", ':1: 1:30 is read as 90: write "1:30" in quotes'),
        ('description: "a\\0b"', ":1: a text contains a NUL character"),
        ("active: 1.0", "active: a version is"),
        ("description: 3", "description must be a text, not 3"),
        ("description: ''", "description must be a text"),
        ("template: jinja", "template must be one of braces, mustache, none, not 'jinja'"),
        ("max_tokens: -1", "max_tokens must be a number from 1"),
        ("model: [a]", "model must be a text"),
        ("variables: [a]", "variables must be a mapping"),
        ("variables: {'a b': {}}", "'a b' must be identifiers joined by dots"),
        ("variables: {a: {needed: true}}", "a must be a mapping with required or default"),
        ("variables: {a: {required: 1}}", "required must be true or false"),
        ("variables: {a: {required: true, default: x}}", "a is required and has a default: remove one of them"),
        ("variables: {größe: {}}", "'größe' must be identifiers joined by dots"),
        ("variables: {a.: {}}", "'a.' must be identifiers joined by dots"),
        ("max_tokens: 1000000000", "max_tokens must be a number from 1 to 999999999"),
        ("versions: [1]", "versions must be a mapping of version numbers"),
        ("versions: {one: {}}", "versions: a version is"),
        ("versions: {1: text}", "versions: 1 must be a mapping"),
        ("versions: {1: {2: x}}", "versions: 1: the key 2 must be a text"),
        ("versions: {1: {author: 7}}", "versions: 1: author must be a text"),
        ("versions: {1: {template: x}}", "template must be one of"),
        ("versions: {7: {description: x}}", "versions names 7, which has no file"),
        ("- a\n- b", "not a mapping"),
        ("a: [", ":2: "),
        ("model: x\nmodel: y", ":2: the key 'model' appears twice"),
        ("versions: &v {1: {}}\nvariables: *v", "aliases are not allowed"),
        ("a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", "aliases are not allowed"),
        ("model: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("model: \x01", "prompt.yaml:1: "),
        (b"model: \xff", ":1: not UTF-8: byte 7"),
        ("a: " + "[" * 100_000, "nested more than 50 deep"),
        ("- " * 100_000, "nested more than 50 deep"),
    ],
)
def test_an_invalid_prompt_yaml_is_refused_by_file_and_key(tmp_path: Path, yaml: str | bytes, complaint: str) -> None:
    message = refusal(tmp_path, {"a/v1.txt": "x", "a/prompt.yaml": yaml})
    assert complaint in message
    assert os.path.join("a", "prompt.yaml") in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        ({"a/v1.txt": "x", "a/v1.md": "y"}, "version 1 is also in v1.md"),
        ({"a/v01.txt": "x"}, "v01.txt: not the name of a version file"),
        ({"a/V1.txt": "x"}, "V1.txt: not the name of a version file"),
        ({"a/v1.TXT": "x"}, "v1.TXT: not the name of a version file"),
        ({"a/v0.txt": "x"}, "v0.txt: not the name of a version file"),
        ({"a/v2147483648.txt": "x"}, "not the name of a version file"),
        ({"a/v1.doc": "x"}, "v1.doc: not the name of a version file"),
        ({"a/v1.txt": ""}, "v1.txt is empty"),
        ({"a/v1.txt": " \n\t"}, "v1.txt is empty"),
        ({"a/v1.txt": b"a\0b"}, "v1.txt has a NUL character: byte 1"),
        ({"a/v1.txt": b"caf\xe9"}, "v1.txt is not UTF-8: byte 3 is 0xe9"),
        ({"v1.txt": "x"}, "a version file must be in a folder that has the name of its prompt"),
        ({"a b/v1.txt": "x"}, '"a b" cannot name a prompt'),
        ({"42/v1.txt": "x"}, "a number is a version"),
        ({"a/prompt.yaml": "active: 1"}, "there is no version file beside it"),
        ({"a/v1.txt": "x", "a/prompt.yaml": "", "a/prompt.yml": ""}, "has both prompt.yaml and prompt.yml"),
        ({"Aa/v1.txt": "x", "aA/v1.txt": "y"}, "only in case"),
        ({"a/v1.txt": "", "b/v1.txt": "", "c/v1.txt": ""}, "(and 2 more errors)"),
    ],
)
def test_an_invalid_folder_is_refused(tmp_path: Path, files: dict[str, str | bytes], complaint: str) -> None:
    assert complaint in refusal(tmp_path, files)


def test_a_missing_folder_and_a_file_are_refused(tmp_path: Path) -> None:
    for name, complaint in (("missing", "is not a folder"), ("file", "is not a folder")):
        (tmp_path / "file").write_text("x")
        with pytest.raises(errors.Failed, match=complaint):
            read(str(tmp_path / name))


def test_links_within_the_folder_are_followed_and_all_others_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    write(outside, {"secret": "x"})
    write(inside, {"a/v1.txt": "x"})
    for name in ("b", "c"):
        (inside / name).symlink_to("a")
    for name in ("v2.txt", "v3.txt"):
        (inside / "a" / name).symlink_to("v1.txt")
    found = read(str(inside))
    assert [(prompt.name, len(prompt.versions)) for prompt in found] == [("a", 3), ("b", 3), ("c", 3)]
    for target, complaint in (
        (inside, "that contains it"),
        ("loop", "a broken link"),
        ("gone", "a broken link"),
    ):
        (inside / "loop").symlink_to(target)
        assert complaint in refusal(inside, {})
        (inside / "loop").unlink()
    (inside / "a" / "v4.txt").symlink_to(outside / "secret")
    assert "a link out of the folder" in refusal(inside, {})


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/caf\xe9"
    os.mkdir(folder)
    with open(folder + b"/v1.txt", "wb") as file:
        file.write(b"x")
    assert "cannot name a prompt" in refusal(tmp_path, {})
