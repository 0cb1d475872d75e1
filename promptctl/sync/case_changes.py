"""The change that a plan makes for the test cases of a prompt, which follow the folder, and notes about them."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from promptctl.rules import margins, requests
from promptctl.rules.test_cases import case_problems
from promptctl.store.case_lists import CaseList
from promptctl.sync.changes import NOTE, TESTS, WHOLE_PROMPT, Change

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.folder.prompt_files import FileVersion, FolderPrompt
    from promptctl.rules.test_cases import Case
    from promptctl.store.syncs import StoredPrompt, StoredVersion

# A plan names at most so many cases that a version cannot be run with.
_MOST_PROBLEMS = 3


def case_changes(prompt: FolderPrompt, stored: StoredPrompt | None) -> list[Change]:
    """Return the change of a prompt's cases, or nothing.

    A folder without a file of cases removes those that a sync has stored.
    """
    hashes, margin = (stored.case_hashes, stored.margin) if stored is not None else ((), None)
    tests = prompt.tests
    if tests is None:
        if stored is None or stored.applied_source is None or (not hashes and margin is None):
            return []
        message = f"tests: the folder has none; {_counted(len(hashes))} removed"
        return [Change(TESTS, prompt.name, WHOLE_PROMPT, message, tests=CaseList((), None))]
    folder_hashes = tuple(case.hash for case in tests.cases)
    if folder_hashes == hashes and tests.margin == margin:
        return []
    parts = [_counted(len(folder_hashes))]
    if hashes:
        new, removed = Counter(folder_hashes) - Counter(hashes), Counter(hashes) - Counter(folder_hashes)
        parts += [f"{total} {word}" for total, word in ((new.total(), "new"), (removed.total(), "removed")) if total]
        if folder_hashes != hashes and not new and not removed:
            parts.append("in another order")
    if tests.margin != margin:
        parts.append(f"margin {margins.text('errors', tests.margin)}" if tests.margin is not None else "no margin")
    message = f"tests: {', '.join(parts)}"
    cases = CaseList(tests.cases, tests.margin)
    return [Change(TESTS, prompt.name, WHOLE_PROMPT, message, yaml_path=prompt.test_path, tests=cases)]


def case_notes(prompt: FolderPrompt, stored: StoredPrompt | None, *, has_new_cases: bool) -> list[Change]:
    """Return notes about cases that the active or the newest version of the folder cannot be run with.

    With `has_new_cases`, stored versions are checked too. Of these only the required variables are known.
    """
    if prompt.tests is None or not prompt.tests.cases or not prompt.versions:
        return []
    newest = max(file.number for file in prompt.versions)
    notes = _notes_of_braces(prompt) if has_new_cases else []
    for file in prompt.versions:
        if file.number not in (prompt.active, newest):
            continue
        version = None if stored is None else stored.versions.get(file.number)
        if version is None or has_new_cases:
            problems = _problems(prompt.tests.cases, file, version)
            more = len(problems) - _MOST_PROBLEMS
            messages = problems[:_MOST_PROBLEMS] + (
                [f"cannot be tested with other cases either: {more} more problems"] if more > 0 else []
            )
            notes += [Change(NOTE, prompt.name, file.number, message) for message in messages]
    return notes


def _notes_of_braces(prompt: FolderPrompt) -> list[Change]:
    """Return notes about messages that look like promptfoo's templates, at most three."""
    notes: list[Change] = []
    for place, case in enumerate(prompt.tests.cases if prompt.tests is not None else (), 1):
        names = [name for name in case.values if _has_braces(case, name)]
        if names and len(notes) < _MOST_PROBLEMS:
            braces = f"{{{{{names[0]}}}}}"
            message = f"tests: case {place} ({case.title}) is sent with {braces} as it is: a message is no template"
            notes.append(Change(NOTE, prompt.name, WHOLE_PROMPT, message, yaml_path=prompt.test_path))
    return notes


def _has_braces(case: Case, name: str) -> bool:
    """Whether a text message has `{{name}}`."""
    pattern = re.compile(rf"\{{\{{\s*{re.escape(name)}\s*\}}\}}")
    return any(pattern.search(str(message.get("content"))) for message in case.messages)


def _problems(cases: Sequence[Case], file: FileVersion, version: StoredVersion | None) -> list[str]:
    """Return why a version cannot be run with cases, each as a sentence."""
    required = file.required if version is None else tuple(version.required_variables.split())
    names = {*file.variables, *file.settings.get("variables", {})}
    has_few_shot_messages = bool((requests.decode(file.settings) or {}).get("messages"))
    return [
        f"cannot be tested with case {place} ({case.title}), which {problem}"
        for place, case in enumerate(cases, 1)
        for problem in case_problems(
            case,
            names if version is None else case.values,
            required,
            has_few_shot_messages=has_few_shot_messages,
        )
    ]


def _counted(number: int) -> str:
    return f"{number} case{'' if number == 1 else 's'}"
