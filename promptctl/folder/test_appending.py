"""Append a case to a file of test cases. Every other line stays as it is, with its comments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.folder import test_file_writer, test_files
from promptctl.folder.yaml_dumper import dump

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from promptctl.folder.test_files import ReadFile
    from promptctl.rules.test_cases import Case

_TESTS = re.compile(r"tests:\s*(#.*)?")
_ITEM = re.compile(r"(\s*)- ")


def appended(
    raw: bytes | None, path: str, case: Case, read_file: ReadFile, others: Collection[str] = frozenset()
) -> bytes:
    """Return the content of a file with one more case at the end of its list; None is a file that does not exist.

    `others` has the hashes of the cases of the prompt in other files.

    Raises Failed (`invalid_folder`) for an invalid file, Refused (`case_exists`) for a case that the prompt has, and
    Refused (`cannot_append`) for a layout in which the end of the list is not found, with the case to paste.
    """
    if raw is None:
        if case.hash in others:
            raise _exists(path)
        return ("tests:\n" + _indented(case, "  ")).encode()
    before = _parse(raw, path, read_file)
    if case.hash in [one.hash for one in before]:
        raise _exists(path)
    lines = raw.decode().splitlines(keepends=True)
    place, indent = _end_of_list(lines)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    lines.insert(place, _indented(case, indent))
    content = "".join(lines).encode()
    problems: list[str] = []
    after = test_files.parse(content, path, problems, read_file).cases
    hashes = [one.hash for one in before]
    # The file may give its cases a judge, a number of replies or assertions, so the new case need not be the same.
    if problems or len(after) != len(before) + 1 or [one.hash for one in after[:-1]] != hashes:
        failure = errors.Refused(
            "cannot_append",
            f"{path} has a layout to which promptctl cannot append a case",
            hint=f"add the case by hand to {path}",
        )
        failure.others = _indented(case, "").rstrip("\n").split("\n")
        raise failure
    # The case as it is with the judge, the number of replies and the defaults of the file.
    if after[-1].hash in others or after[-1].hash in hashes:
        raise _exists(path)
    return content


def _exists(path: str) -> errors.Refused:
    return errors.Refused(
        "case_exists",
        f"the prompt has this case already, so nothing is added to {path}",
        hint="for another case, change its description or its vars",
    )


def _parse(raw: bytes, path: str, read_file: ReadFile) -> Sequence[Case]:
    problems: list[str] = []
    cases = test_files.parse(raw, path, problems, read_file).cases
    if problems:
        failure = errors.Failed("invalid_folder", problems[0], hint=f"correct {path}")
        failure.others = problems[1:]
        raise failure
    return cases


def _indented(case: Case, indent: str) -> str:
    text = dump([test_file_writer.case_document(case)])
    return "".join(f"{indent}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


def _end_of_list(lines: Sequence[str]) -> tuple[int, str]:
    """Return the number of lines up to the end of the list of cases, and the indent of its items."""
    start = next((place + 1 for place, line in enumerate(lines) if _TESTS.fullmatch(line.rstrip())), 0)
    indent, end = "", len(lines)
    first = next((match for line in lines[start:] if (match := _ITEM.match(line))), None)
    if first is not None:
        indent = first[1]
    for place in range(start, len(lines)):
        line = lines[place]
        begins = line[:1]
        if begins.strip() and begins != "#" and not (line.startswith("-") and not indent):
            end = place
            break
    # Blank lines and comments at the margin belong to what follows.
    while end > start and (not lines[end - 1].strip() or (lines[end - 1].startswith("#") and end < len(lines))):
        end -= 1
    return end, indent
