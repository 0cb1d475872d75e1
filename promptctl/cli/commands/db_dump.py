"""promptctl db dump."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.cli import interruption
from promptctl.output import answers, progress, stream
from promptctl.postgres import dump_files, dumping, settings
from promptctl.rules import references

if TYPE_CHECKING:
    from promptctl.cli.run import Run


def dump(run: Run, file: str, *, force: bool = False) -> None:
    """Dump the schema and its data to a file.

    The file has one snapshot of everything: prompts, history, uses, totals and
    grants. promptctl db restore reads it, and so does pg_restore. It is written by
    pg_dump, in the custom format. Other sessions can read and write meanwhile.

    FILE appears when it is complete. It contains the texts of all prompts.

    Examples:
      promptctl db dump prompts.dump
      promptctl db dump prompts.dump && gpg --encrypt --recipient ops prompts.dump
    """
    if not file:
        raise errors.Usage("usage", "FILE is empty")
    is_stream = file == dump_files.STANDARD_STREAM
    if is_stream and run.form == "json":
        raise errors.Usage("usage", "the dump itself is written to standard output: use FILE with --json")
    if is_stream and stream.is_terminal(sys.stdout):
        raise errors.Usage("usage", "a dump is not text: write it to a file or a pipe, not to a terminal")
    dumping.check_new(file, overwrite=force)
    target = settings.target(run.database_url)
    progress_bar = progress.Progress(is_enabled=run.form == "plain", unit="MB")
    with run.database() as database, interruption.terminated():
        try:
            size = dumping.dump(
                database, target, file, overwrite=force, report=lambda count: progress_bar("dumping", count, 0)
            )
        finally:
            progress_bar.close()
        label = database.label
    if is_stream:
        return
    sentence = f"dumped {label} to {references.quoted(file)} ({amount(size)})"
    answers.show_sentences([sentence], {"file": file, "bytes": size}, run.form, quiet=f"{file}\n")


def amount(size: int) -> str:
    """Return a number of bytes in words: `12 kB`, `3.4 MB`."""
    for unit, factor in (("GB", 1_000_000_000), ("MB", 1_000_000)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{max(1, round(size / 1000))} kB"
