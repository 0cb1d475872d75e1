"""promptctl test add."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from promptctl import atomic_files, bounded_input, errors
from promptctl.chat import transcripts
from promptctl.folder import listing, test_appending, test_files
from promptctl.output import answers, messages, stream
from promptctl.rules import references
from promptctl.rules.test_cases import Assertion, Case

if TYPE_CHECKING:
    from typing import Any

    from promptctl.cli.run import Run

_FOLDER = "prompts"


def add(
    run: Run,
    name: str,
    from_: str,
    description: str | None = None,
    contains: list[str] | None = None,
    rubric: list[str] | None = None,
    var: list[str] | None = None,
    folder: str | None = None,
) -> None:
    """Make a test case of a saved conversation.

    Appends the messages up to the last one of the user to FOLDER/NAME/tests.yaml.
    Comments and other cases stay as they are. chat --save writes the conversation.

    Examples:
      promptctl test add support --from refund.json --contains "30 days"
    """
    references.check_name(name)
    from promptctl.cli import variables

    values = variables.read(var, None)
    conversation = transcripts.load(from_, "--from").for_claude()
    while conversation and conversation[-1]["role"] == "assistant":
        conversation.pop()
    if not conversation:
        raise errors.Failed("invalid_conversation", f"{references.quoted(from_)} has no message of the user")
    case = Case(
        description=description or "",
        values=values,
        messages=tuple(conversation),
        assertions=(
            *(Assertion("contains", value=text) for text in contains or ()),
            *(Assertion("llm-rubric", value=text) for text in rubric or ()),
        ),
    )
    run.refuse_secrets(references.quoted(from_), case.canonical_text)
    path = _file(_FOLDER if folder is None else folder, name)
    content = test_appending.appended(_read(path), path, case, _reader(path))
    try:
        atomic_files.write(path, content)
    except OSError as problem:
        message = f"cannot write {references.quoted(path)}: {problem.strerror}"
        raise errors.Failed("cannot_write", message, hint="promptctl test add --folder FOLDER") from None
    _answer(run, name, path, case)


def _answer(run: Run, name: str, path: str, case: Case) -> None:
    if run.form == "json":
        document: dict[str, Any] = {"name": name, "path": path, "case": case.document()}
        stream.write_json(document)
    elif run.form == "quiet":
        answers.write_references([(name, None)])
    else:
        stream.write(f"added {references.quoted(case.title)} to {path}\n")
        if not case.assertions:
            messages.note(f"the case has no assertion, so every reply passes: add assert to it in {path}")


def _file(folder: str, name: str) -> str:
    """Return the path of the file of the cases of a prompt: the last one if there are several. Raises NotFound."""
    directory = os.path.join(folder, *name.split("/"))
    if not os.path.isdir(directory):
        raise errors.NotFound(
            "folder_not_found",
            f"{references.quoted(directory)} is not a folder",
            hint=f"promptctl export {folder} --only {name}",
        )
    several = os.path.join(directory, listing.TESTS_FOLDER)
    if os.path.isdir(several):
        files = sorted(file for file in os.listdir(several) if file.endswith((".yaml", ".yml")))
        return os.path.join(several, files[-1] if files else "tests.yaml")
    paths = [os.path.join(directory, file) for file in listing.TEST_NAMES]
    return next((path for path in paths if os.path.exists(path)), paths[0])


def _read(path: str) -> bytes | None:
    try:
        return bounded_input.any_file(path, test_files.LARGEST_FILE)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as problem:
        raise bounded_input.unreadable(references.quoted(path), problem, "correct the file") from None


def _reader(path: str) -> test_files.ReadFile:
    """Return the reader of conversations that cases of the file name, which are in its folder."""
    folder = os.path.dirname(path)

    def read(file: str) -> bytes:
        return bounded_input.any_file(os.path.join(folder, file))

    return read
