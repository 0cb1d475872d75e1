"""Write runs of tests where options and the environment ask for them: HTML, JUnit, the summary of a workflow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from promptctl import atomic_files, errors
from promptctl.cli import html_files
from promptctl.output import messages, stream, test_view
from promptctl.rules import references

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from promptctl.evaluation.results import CaseReplies
    from promptctl.output.test_words import Tested

# GitHub sets it in a workflow to the file of the step's summary.
_SUMMARY = "GITHUB_STEP_SUMMARY"


def check_files(**paths: str | None) -> None:
    """Check the values of options, by their names, before the calls that are paid for.

    Raises Usage for what is not the name of a file, and Failed (`cannot_write`) for a file that cannot be written.
    """
    files = {os.path.realpath(path) for path in paths.values() if path}
    if len(files) < sum(bool(path) for path in paths.values()):
        raise errors.Usage("usage", f"{' and '.join(f'--{option}' for option in paths)} name the same file")
    for option, path in paths.items():
        if path is None:
            continue
        if path in ("", "-"):
            raise errors.Usage("usage", f"--{option} needs the name of a file")
        html_files.check(path)


def show(tests: Sequence[Tested], form: str, remarks: Sequence[str], *, all_cases: bool) -> None:
    """Show runs in a form."""
    if form == "markdown":
        from promptctl.output import test_markdown

        stream.write(test_markdown.text(tests, remarks))
    else:
        test_view.show(tests, form, all_cases=all_cases)


def write(
    tests: Sequence[Tested], replies: Mapping[str, Sequence[CaseReplies]], *, html: str | None, junit: str | None
) -> None:
    """Write the files of --html and --junit. Raises Failed (`cannot_write`), after it has tried both."""
    try:
        if html is not None:
            from promptctl.output import test_page

            html_files.write(html, test_page.text(tests, replies))
    finally:
        if junit is not None:
            from promptctl.output import junit as report

            html_files.write(junit, report.text(tests))


def write_summary(tests: Sequence[Tested], remarks: Sequence[str]) -> None:
    """Append the runs as Markdown to the summary of a step of GitHub Actions, in a workflow."""
    path = os.environ.get(_SUMMARY)
    if not path:
        return
    from promptctl.output import test_markdown

    try:
        with atomic_files.open_device(path, os.O_APPEND | os.O_CREAT) as file:
            file.write(test_markdown.text(tests, remarks).encode())
    except OSError as problem:
        messages.warning(f"cannot write {references.quoted(path)}: {problem.strerror}")
