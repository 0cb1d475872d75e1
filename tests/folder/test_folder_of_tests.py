"""Files of test cases in the folder of a prompt: which are read, what the digest covers, and what is refused."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from promptctl import errors
from promptctl.folder import listing, prompt_files, test_files, written_assertions
from promptctl.rules import assertions
from tests.conftest import ROOT
from tests.folder.test_prompt_files import read, refusal, write

if TYPE_CHECKING:
    from pathlib import Path

CONVERSATION = json.dumps({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]})


def titles(folder: Path, files: dict[str, str | bytes]) -> dict[str, list[str] | None]:
    prompts = read(write(folder, files))
    return {
        prompt.name: None if prompt.tests is None else [case.title for case in prompt.tests.cases] for prompt in prompts
    }


def digest(folder: str) -> str:
    [scanned] = listing.scan(listing.list_prompts(folder), [])
    return scanned.digest


def test_cases_are_in_one_file_or_in_a_folder(tmp_path: Path) -> None:
    assert titles(
        tmp_path,
        {
            "a/v1.txt": "x",
            "a/tests.yaml": "- message: one",
            "b/v1.txt": "x",
            "b/tests/2.yaml": "- message: two",
            "b/tests/1.yml": "- message: one",
            "b/tests/notes.md": "no case",
            "c/v1.txt": "x",
            # Without a version, this is not the folder of a prompt.
            "d/tests.yaml": "not: cases",
        },
    ) == {"a": ["one"], "b": ["one", "two"], "c": None}


def test_a_folder_named_tests_can_be_a_prompt(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"a/v1.txt": "x", "a/tests/v1.txt": "y", "a/tests/tests.yaml": "- message: b"}
    assert titles(tmp_path, files) == {"a": None, "a/tests": ["b"]}


def test_two_places_for_cases_are_refused(tmp_path: Path) -> None:
    both: dict[str, str | bytes] = {"a/v1.txt": "x", "a/tests.yaml": "- message: a", "a/tests/b.yaml": "- message: b"}
    assert refusal(tmp_path / "1", both) == f"{tmp_path}/1/a: has both tests.yaml and tests/b.yaml"
    both = {"a/v1.txt": "x", "a/tests.yaml": "- message: a", "a/tests.yml": "- message: b"}
    assert refusal(tmp_path / "2", both) == f"{tmp_path}/2/a: has both tests.yaml and tests.yml"


def test_a_problem_names_the_file(tmp_path: Path) -> None:
    message = refusal(tmp_path, {"a/v1.txt": "x", "a/tests/b.yaml": "- {repeat: 0}"})
    assert message == f"{tmp_path}/a/tests/b.yaml: case 1: repeat must be a number from 1 to 100, not 0"
    # Cases of two files are compared.
    message = refusal(tmp_path / "2", {"a/v1.txt": "x", "a/tests/b.yaml": "- {}", "a/tests/c.yaml": "- {}"})
    assert message == (
        f"{tmp_path}/2/a/tests/c.yaml: case 1 equals case 1 of {tmp_path}/2/a/tests/b.yaml: use repeat for more replies"
    )


def test_a_case_is_at_most_1_mb(tmp_path: Path) -> None:
    text = "x" * 999_000
    message = refusal(tmp_path, {"a/v1.txt": "x", "a/tests.yaml": f"- {{vars: {{a: {text}, b: {text}}}}}"})
    assert message.endswith("tests.yaml: case 1 has 1998024 bytes: at most 1000000 are allowed")


def test_the_digest_covers_cases_and_their_names(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a/v1.txt": "x"})
    digests = [digest(folder)]
    for files in ({"a/tests/b.yaml": "- message: a"}, {"a/tests/b.yaml": "- message: b"}, {"a/tests/c.yaml": "- {}"}):
        write(tmp_path, dict(files))
        digests.append(digest(folder))
    (tmp_path / "a/tests/c.yaml").rename(tmp_path / "a/tests/d.yaml")
    digests.append(digest(folder))
    assert len(set(digests)) == 5
    for file in ("b.yaml", "d.yaml"):
        (tmp_path / "a/tests" / file).unlink()
    assert digest(folder) == digests[0]


def test_the_digest_covers_conversations_only_if_a_case_has_one(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a/v1.txt": "x", "a/tests.yaml": "- message: a"})
    without = digest(folder)
    write(tmp_path, {"a/chat.json": CONVERSATION})
    assert digest(folder) == without
    write(tmp_path, {"a/tests.yaml": "- conversation: chat.json"})
    with_one = digest(folder)
    write(tmp_path, {"a/chat.json": CONVERSATION.replace("Hi", "Hello")})
    assert digest(folder) != with_one


def test_conversations_are_in_the_folder_of_the_prompt_or_in_tests(tmp_path: Path) -> None:
    assert titles(
        tmp_path,
        {
            "a/v1.txt": "x",
            "a/chat.json": CONVERSATION,
            "a/tests/b.yaml": "- conversation: ../chat.json\n- conversation: other.json",
            "a/tests/other.json": CONVERSATION.replace("Hi", "Hello"),
        },
    ) == {"a": ["Hi", "Hello"]}


@pytest.mark.parametrize("name", ["../other/chat.json", "/etc/passwd", "v1.txt", "sub/chat.json", "no.json", ".x.json"])
def test_a_conversation_elsewhere_is_not_read(name: str, tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "a/v1.txt": "x",
        "a/tests.yaml": f"- conversation: {name}",
        "a/sub/chat.json": CONVERSATION,
        "a/.x.json": CONVERSATION,
        "other/chat.json": CONVERSATION,
    }
    assert refusal(tmp_path, files) == (
        f"{tmp_path}/a/tests.yaml: case 1: conversation: {name} is not a JSON file in the folder of the prompt, or in "
        "its folder tests"
    )


def test_a_link_out_of_the_folder_of_the_prompt_is_not_read(tmp_path: Path) -> None:
    folder = write(
        tmp_path, {"a/v1.txt": "x", "a/tests.yaml": "- conversation: chat.json", "other/chat.json": CONVERSATION}
    )
    (tmp_path / "a/chat.json").symlink_to("../other/chat.json")
    with pytest.raises(errors.Failed, match=r"chat\.json is a link out of the folder of the prompt"):
        read(folder)
    (tmp_path / "a/chat.json").unlink()
    (tmp_path / "a/real.json").write_text(CONVERSATION)
    (tmp_path / "a/chat.json").symlink_to("real.json")
    [prompt] = read(folder)
    assert prompt.tests is not None
    assert len(prompt.tests.cases) == 1


def test_links_out_of_the_folder_are_refused_as_for_versions(tmp_path: Path) -> None:
    (tmp_path / "cases.yaml").write_text("- message: a")
    folder = write(tmp_path / "prompts", {"a/v1.txt": "x"})
    (tmp_path / "prompts/a/tests.yaml").symlink_to("../../cases.yaml")
    with pytest.raises(errors.Failed, match=r"tests\.yaml: is a link out of the folder"):
        read(folder)


def test_a_conversation_that_changes_while_it_is_read_is_read_again_at_the_next_sync(tmp_path: Path) -> None:
    folder = write(
        tmp_path, {"a/v1.txt": "x", "a/tests.yaml": "- conversation: chat.json", "a/chat.json": CONVERSATION}
    )
    [scanned] = listing.scan(listing.list_prompts(folder), [])
    del scanned.contents["chat.json"]
    write(tmp_path, {"a/chat.json": CONVERSATION.replace("Hi", "Hello")})
    prompt = prompt_files.read(scanned, [])
    assert prompt.digest is None
    assert prompt.tests is not None
    assert prompt.tests.cases[0].title == "Hello"


def test_an_escaped_key_is_read_again_at_each_sync(tmp_path: Path) -> None:
    # The digest does not have this conversation.
    folder = write(
        tmp_path, {"a/v1.txt": "x", "a/tests.yaml": '- "con\\u0076ersation": chat.json', "a/chat.json": CONVERSATION}
    )
    [prompt] = read(folder)
    assert prompt.digest is None
    assert prompt.tests is not None
    assert len(prompt.tests.cases) == 1


def test_an_unreadable_file_is_one_problem(tmp_path: Path) -> None:
    folder = write(tmp_path, {"a/v1.txt": "x"})
    os.mkfifo(tmp_path / "a/tests.yaml")
    with pytest.raises(errors.Failed) as caught:
        read(folder)
    assert caught.value.message == f"{tmp_path}/a/tests.yaml: is not a regular file"


KEY = "sk-ant-api03-" + "A1b2C3d4" * 11 + "AA"


def find_secrets(folder: str) -> list[str]:
    secrets: list[str] = []
    problems: list[str] = []
    for scanned in listing.scan(listing.list_prompts(folder), problems):
        prompt_files.read(scanned, problems, secrets)
    assert problems == []
    return secrets


def test_cases_and_conversations_are_searched_for_secrets(tmp_path: Path) -> None:
    conversation = CONVERSATION.replace("Hi", KEY)
    files: dict[str, str | bytes] = {
        "a/v1.txt": "x",
        "a/tests.yaml": f"- message: a\n- message: my key is {KEY}\n- conversation: c.json\n",
        "a/c.json": conversation,
    }
    folder = write(tmp_path, files)
    secrets = find_secrets(folder)
    assert [secret.partition(": ")[0] for secret in secrets] == [
        f"{tmp_path}/a/c.json:1", f"{tmp_path}/a/tests.yaml:2",
    ]  # fmt: skip
    assert not any(KEY in secret for secret in secrets)
    write(tmp_path, {"a/prompt.yaml": "allow_secrets: {tests.yaml: made up}\n"})
    assert find_secrets(folder) == []


def test_the_example_of_the_page_is_a_file_of_cases(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "tests.md").read_text(encoding="utf-8")
    examples = [block.partition("```")[0] for block in page.split("```yaml\n")[1:] if block.startswith("tests:")]
    assert examples
    for count, example in enumerate(examples):
        files: dict[str, str | bytes] = {"a/v1.txt": "x", "a/tests.yaml": example, "a/chats.json": CONVERSATION}
        [prompt] = read(write(tmp_path / str(count), files))
        assert prompt.tests is not None
        assert prompt.tests.cases


def test_the_page_has_each_key_and_each_type() -> None:
    page = (ROOT / "docs" / "tests.md").read_text(encoding="utf-8")
    keys = {*test_files.CASE_KEYS, *test_files.FILE_KEYS, *written_assertions.KEYS, *assertions.KINDS}
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []
