"""The change that a plan makes for the test cases of a prompt, which follow the folder."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from promptctl.rules import margins
from promptctl.store.case_lists import CaseList
from promptctl.sync.changes import TESTS, WHOLE_PROMPT, Change

if TYPE_CHECKING:
    from promptctl.folder.prompt_files import FolderPrompt
    from promptctl.store.syncs import StoredPrompt


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


def _counted(number: int) -> str:
    return f"{number} case{'' if number == 1 else 's'}"
