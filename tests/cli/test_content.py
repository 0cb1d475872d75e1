"""Content and other text of users: stored unchanged, escaped on a terminal, refused if invalid."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.commands import check_failure, check_json_failure

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from tests.conftest import Promptctl

WILD = (
    "tab\there \\back \\n lone\rreturn \x1b[31mred\x1b]0;title\x07 \x9bcsi [/INST] [bold]b[/bold] :smile: {a} {{b}} "
    "%VAR% $HOME `id` * \u202eright to left\u202c \u0627\u0644 日本語 e\u0301 \U0001f600 \ufeff \x0c\x0b\x85\u2028 "
    "'q' \"q\""
)
TEXTS = {
    "without a line end": "You are kind.",
    "with line ends": "a\n\n b \n\n\n",
    "wild": WILD,
    "wild lines": f"{WILD}\n{WILD}\n",
    "white space around": "  \n x \n  ",
    "a dash": "-",
    "an option": "--json",
    "braces": '{"a": [1, 2]} {} {x} {{x}}',
    "long lines": "word " * 20_000,
}


def create(promptctl: Promptctl, *words: str, stdin: bytes = b"") -> None:
    ended = promptctl("create", *words, stdin=stdin)
    assert ended.code == 0, ended


def show(promptctl: Promptctl, reference: str) -> bytes:
    process = subprocess.run(
        promptctl.command("show", reference), env=promptctl.environment(), capture_output=True, check=True
    )
    return process.stdout


@pytest.mark.parametrize("name", TEXTS)
def test_content_is_stored_byte_for_byte_from_files_pipes_and_arguments(name: str, promptctl: Promptctl) -> None:
    text = TEXTS[name].encode()
    (promptctl.home / "text").write_bytes(text)
    create(promptctl, "from/file", "-f", "text")
    create(promptctl, "from/stdin", "-f", "-", stdin=text)
    create(promptctl, "from/pipe", stdin=text)
    create(promptctl, "from/argument", *(["--text=-"] if TEXTS[name] == "-" else ["--", TEXTS[name]]))
    for way in ("file", "stdin", "pipe", "argument"):
        assert show(promptctl, f"from/{way}@1") == text
    assert json.loads(promptctl("show", "from/file@1", "--json").out)["content"] == TEXTS[name]


def test_content_of_ten_megabytes_is_stored_byte_for_byte(promptctl: Promptctl) -> None:
    text = os.urandom(5_000_000).hex().encode()
    (promptctl.home / "text").write_bytes(text)
    create(promptctl, "big", "-f", "text")
    assert show(promptctl, "big@1") == text


@pytest.mark.parametrize(
    ("content", "stored"),
    [
        (b"\xef\xbb\xbfmark", b"mark"),
        (b"\xef\xbb\xbf\xef\xbb\xbftwo marks", b"two marks"),
        (b"dos\r\nlines\r\n", b"dos\nlines\n"),
        (b"old mac\rlines\r", b"old mac\rlines\r"),
        (b"cr cr lf\r\r\nend\r", b"cr cr lf\nend\r"),
        (b"\r" * 1_000_000 + b"\nx", b"\nx"),
    ],
)
def test_byte_order_marks_are_removed_and_crlf_becomes_lf(content: bytes, stored: bytes, promptctl: Promptctl) -> None:
    assert promptctl("create", "x", stdin=content).code == 0
    assert show(promptctl, "x@1") == stored


INVALID_CONTENT = {
    b"": ("empty_content", "is empty"),
    b" \n\t ": ("empty_content", "is empty"),
    b"\xef\xbb\xbf": ("empty_content", "is empty"),
    b"a\0b": ("nul_in_text", "has a NUL character: byte 1"),
    b"ab\xff": ("not_utf8", "is not UTF-8: byte 2 is 0xff"),
    b"\xed\xa0\x80": ("not_utf8", "is not UTF-8: byte 0 is 0xed"),
    "ü".encode("latin-1"): ("not_utf8", "is not UTF-8: byte 0 is 0xfc"),
    "a".encode("utf-16"): ("not_utf8", "is not UTF-8: byte 0 is 0xff"),
}


@pytest.mark.parametrize("content", INVALID_CONTENT, ids=repr)
def test_empty_or_binary_content_is_refused_with_the_offset(content: bytes, promptctl: Promptctl) -> None:
    code, problem = INVALID_CONTENT[content]
    (promptctl.home / "text").write_bytes(content)
    hint = "hint:  promptctl create --help\n"
    assert check_failure(promptctl("create", "x", "-f", "text"), 2).err == f'error: "text" {problem}\n{hint}'
    assert (
        check_failure(promptctl("create", "x", "-f", "-", stdin=content), 2).err
        == f"error: standard input {problem}\n{hint}"
    )
    assert check_json_failure(promptctl("create", "x", "--json", stdin=content), 2)["code"] == code
    assert promptctl("list").out == ""


def test_content_over_the_size_limit_is_refused(promptctl: Promptctl) -> None:
    with (promptctl.home / "text").open("wb") as file:
        file.truncate(100 * 1024 * 1024 + 1)
    error = check_json_failure(promptctl("create", "x", "-f", "text", "--json"), 2)
    assert error["code"] == "too_large"
    assert error["message"] == '"text" has more than 104857600 bytes'


@pytest.mark.parametrize(
    "words",
    [
        ["create", "x", b"\xff"],
        ["create", b"\xff", "x"],
        ["create", "x", "x", "--description", b"\xff"],
        ["create", "x", "x", "--meta", b"\xff=1"],
        ["create", "x", "x", "--meta", b"k=\xff"],
        ["create", "x", "x", "--author", b"\xff"],
        ["activate", "x@1", "--reason", b"\xff"],
        ["list", b"\xff"],
        ["show", b"x@\xff"],
        ["show", "x", "--at", b"\xff"],
        ["db", "grant", b"\xff", "--as", "viewer"],
        [b"\xff"],
        ["list", b"--\xff"],
    ],
    ids=repr,
)
def test_an_argument_that_is_not_utf8_is_refused(words: list[str | bytes], promptctl: Promptctl) -> None:
    process = subprocess.run(
        [*promptctl.command(), *words],
        check=False,
        env=promptctl.environment(),
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert (process.returncode, process.stdout) == (2, b"")
    error_text = process.stderr.decode()
    assert error_text.startswith("error: ")
    assert "Traceback" not in error_text


def test_a_file_whose_name_is_not_utf8_is_read(promptctl: Promptctl) -> None:
    path = os.fsencode(promptctl.home) + b"/\xff.txt"
    with open(path, "wb") as file:
        file.write(b"text")
    process = subprocess.run(
        [*promptctl.command("create", "x", "-f"), path], check=False, env=promptctl.environment(), capture_output=True
    )
    assert process.returncode == 0, process.stderr


def unescape(cell: str) -> str:
    """Decode a field of output in a pipe, by the rules of COPY."""
    single = {b"t": b"\t", b"r": b"\r", b"n": b"\n", b"b": b"\b", b"f": b"\f", b"v": b"\v", b"\\": b"\\"}

    def character(escape: re.Match[bytes]) -> bytes:
        return bytes([int(escape[1][1:], 16)]) if escape[1][:1] == b"x" else single[escape[1]]

    return re.sub(rb"\\(x[0-9a-f]{2}|.)", character, cell.encode()).decode()


def test_user_text_is_stored_unchanged_and_escaped_on_a_terminal(
    promptctl: Promptctl, sql: psycopg.Connection[Any]
) -> None:
    create(
        promptctl, "x", "text", "--activate",
        "--description", WILD, "--reason", WILD, "--author", WILD, "--meta", f"k{WILD}={WILD}",
    )  # fmt: skip
    assert sql.execute("select created_by, metadata->>'description' from promptctl.versions").fetchone() == (WILD, WILD)
    version = json.loads(promptctl("show", "x@1", "--json").out)
    assert version["created_by"] == WILD
    assert version["metadata"] == {"description": WILD, f"k{WILD}".partition("=")[0]: WILD}
    assert json.loads(promptctl("history", "x", "--json").out)["events"][0]["reason"] == WILD

    fields = promptctl("history", "x").out.removesuffix("\n").split("\t")
    assert len(fields) == 5
    assert unescape(fields[3]) == WILD

    promptctl("create", "x", "-f", "-", stdin=WILD)
    for words in (["history"], ["show", "x"], ["show", "x@2"], ["diff", "x@1", "x@2"], ["show", "x", "--json"]):
        for columns in (20, 80, 5000):
            screen = promptctl.on_terminal(*words, columns=columns)
            assert screen.code == 0
            controls = {c for c in screen.out if not c.isprintable()} - {"\n", "\t", "\ufeff", "\u2028"}
            assert controls == set(), (words, columns)
    assert "[/INST] [bold]b[/bold] :smile: {a} {{b}} %VAR% $HOME" in promptctl.on_terminal("history", columns=5000).out


def test_control_characters_in_error_messages_are_escaped(promptctl: Promptctl) -> None:
    for words in (["show", "a\x1b[31m"], ["list", "\x1b[2J"], ["create", "x", "-f", "\x1b[2J"], ["list", "--\x1b[2J"],
                  ["\x1b[2J"], ["sync", "\x1b[2J\u202e"], ["create", "x", "y", "--meta", "\x9b2J"]):  # fmt: skip
        screen_text = promptctl.on_terminal(*words).out
        assert not {"\x1b", "\x9b", "\u202e"} & set(screen_text), (words, screen_text)


def test_metadata_values_are_json_if_they_parse_and_text_otherwise(promptctl: Promptctl) -> None:
    pairs = {
        "n=1": 1, "f=1.5": 1.5, "neg=-2": -2, "t=true": True, "z=null": None, "l=[1, \"a\"]": [1, "a"], "s=\"q\"": "q",
        "w=word": "word", "e=": "", "eq=a=b": "a=b", "nan=NaN": "NaN", "inf=-Infinity": "-Infinity",
        "huge=1e999": "1e999", "zip=01234": "01234", "big=1" + "0" * 30: 10**30,
        "half={": "{", "date=2026-11-12": "2026-11-12", "sp= 1": " 1", "plus=+1": "+1", "exp=1e3": 1000.0,
    }  # fmt: skip
    words = [word for pair in pairs for word in ("--meta", pair)]
    create(promptctl, "x", "text", *words, "--meta", "n=2")
    expected = {pair.partition("=")[0]: value for pair, value in pairs.items()} | {"n": 2}
    assert json.loads(promptctl("show", "x@1", "--json").out)["metadata"] == expected


def test_metadata_that_cannot_be_stored_exactly_is_refused(promptctl: Promptctl) -> None:
    for value, error_text in {
        '"\\u0000"': "a text has a NUL character",
        '"\\ud800"': "a text has a lone surrogate, which is not a character",
        '{"\\ud800": 1}': "a text has a lone surrogate, which is not a character",
        '{"a": 1, "a": 2}': "the key 'a' appears twice",
        "[" * 150 + "]" * 150: "nested more than 100 deep",
        "[" * 20_000: "nested more than 100 deep",
        "[NaN]": "NaN is not a JSON number",
        "1.10": """1.10 is read as 1.1: for a text write '"1.10"'""",
        "-0": """-0 is read as 0: for a text write '"-0"'""",
        "0.10000000000000000001": "0.10000000000000000001 is read as 0.1",
    }.items():
        ended = check_failure(promptctl("create", "x", "text", "--meta", f"k={value}"), 2)
        assert ended.err.startswith(f'error: --meta "k": {error_text}'), ended.err
    assert promptctl("list").out == ""
    create(promptctl, "x", "text", "--meta", 'k="1.10"')
    assert json.loads(promptctl("show", "x@1", "--json").out)["metadata"] == {"k": "1.10"}


def test_patterns_match_like_shell_globs_and_other_characters_are_literal(promptctl: Promptctl) -> None:
    for name in ("support/triage", "support_triage", "a.b", "A-b", "x1"):
        create(promptctl, name, "text")

    def found(pattern: str) -> list[str]:
        return promptctl("list", "-q", pattern).out.split()

    assert found("support/*") == ["support/triage"]
    assert found("?-b") == ["A-b"]
    assert found("_") == ["support_triage"]
    assert found("%") == []
    assert found("\\") == []
    assert found("triage") == ["support/triage", "support_triage"]
    assert found("*") == found("") == ["A-b", "a.b", "support/triage", "support_triage", "x1"]


def test_commands_do_not_read_the_standard_input_of_a_shell_loop(promptctl: Promptctl, tmp_path: Path) -> None:
    command = " ".join(promptctl.command())
    script = f"""
        printf 'a\\nb\\nc\\n' | while read -r name; do
            {command} create "$name" "text of $name" --activate >/dev/null 2>&1
            {command} show "$name"; {command} rollback "$name" 2>/dev/null; {command} list >/dev/null
            {command} history "$name" >/dev/null; {command} stats >/dev/null
        done
    """
    process = subprocess.run(
        ["bash", "-c", script],
        check=True,
        env=promptctl.environment(),
        cwd=promptctl.home,
        capture_output=True,
        text=True,
    )
    assert process.stdout == "text of atext of btext of c"
    assert promptctl("list", "-q").out == "a\nb\nc\n"


def test_a_git_lfs_pointer_is_refused_as_content(promptctl: Promptctl) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 1\n"
    for content in (pointer, "a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> main\n"):
        (promptctl.home / "sys.txt").write_text(content)
        error = check_json_failure(promptctl("create", "x", "-f", "sys.txt", "--json"), 2)
        assert error["code"] == "unfinished_text"
        assert error["message"].startswith(("sys.txt ", '"sys.txt" '))
        assert check_json_failure(promptctl("create", "x", "--json", stdin=content), 2)["code"] == "unfinished_text"
    assert promptctl("list").out == ""
