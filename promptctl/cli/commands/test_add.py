"""promptctl test add."""

from __future__ import annotations

import difflib
import errno
import os
import shlex
from typing import TYPE_CHECKING

from promptctl import atomic_files, bounded_input, errors
from promptctl.chat import transcripts
from promptctl.cli import variables
from promptctl.folder import listing, one_prompt, test_appending, test_files
from promptctl.output import answers, messages, stream
from promptctl.rules import references
from promptctl.rules.test_cases import Assertion, Case

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from promptctl.cli.run import Run
    from promptctl.folder.prompt_files import FolderPrompt

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
    Comments and other cases stay as they are. chat --save writes the conversation,
    with the values of its variables. --var replaces them, or adds others.

    Examples:
      promptctl test add support --from refund.json --contains "30 days"
    """
    references.check_name(name)
    new_values = variables.read(var, None)
    folder = _FOLDER if folder is None else folder
    transcript = transcripts.load(from_, "--from")
    path = _file(folder, name)
    prompt = one_prompt.read(folder, name)
    values = {**transcript.variables(), **new_values}
    if prompt is not None:
        values = _checked_values(run, prompt, values, new_values)
    conversation = transcript.for_claude()
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
    stored = prompt.tests.cases if prompt is not None and prompt.tests is not None else ()
    content = test_appending.appended(_read(path), path, case, _reader(path), {one.hash for one in stored})
    try:
        atomic_files.write(path, content)
    except OSError as problem:
        message = f"cannot write {references.quoted(path)}: {problem.strerror}"
        is_full = problem.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "free some space" if is_full else f"ls -ld {shlex.quote(os.path.dirname(path))}"
        raise errors.Failed("cannot_write", message, hint=hint) from None
    _answer(run, name, path, case)
    run.note(f"next: promptctl sync {shlex.quote(folder)} --dry-run; a test runs the cases that the last sync stored")


def _checked_values(
    run: Run, prompt: FolderPrompt, values: Mapping[str, str], new_values: Mapping[str, str]
) -> dict[str, str]:
    """Return the values that the newest version of a folder has variables for.

    Raises Usage for a new value without a variable, and for a variable without a value.
    """
    newest = max(prompt.versions, key=lambda file: file.number)
    accepted = (*newest.variables, *newest.settings.get("variables", {}))
    variables.check(accepted, newest.path, new_values)
    if missing := [variable for variable in newest.required if variable not in values]:
        problem = errors.Usage("variable_missing", f"{newest.path} needs {', '.join(missing)}, which the case has not")
        problem.hint_options = tuple(word for one in missing for word in ("--var", f"{one}=VALUE"))
        raise problem
    if dropped := [variable for variable in values if variable not in accepted]:
        run.note(f"{', '.join(dropped)} left out: {newest.path} has no such variable")
    return {variable: value for variable, value in values.items() if variable in accepted}


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
        near = difflib.get_close_matches(name, one_prompt.names(folder), n=1)
        problem = errors.NotFound(
            "folder_not_found",
            f"{references.quoted(directory)} is not a folder" + (f": did you mean {near[0]}?" if near else ""),
            hint=f"write {shlex.quote(os.path.join(directory, 'v1.txt'))}; for a prompt that is stored, promptctl "
            f"export {shlex.quote(folder)} --only {name} writes its files; or pass --folder FOLDER",
        )
        if near:
            problem.hint_corrections = {name: near[0]}
        raise problem
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
