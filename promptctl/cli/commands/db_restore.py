"""promptctl db restore."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from promptctl import errors, schema
from promptctl.cli import interruption
from promptctl.output import answers, messages, progress, stream, verify_view
from promptctl.postgres import dump_files, programs, restoring, settings
from promptctl.store import verification

if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.store.verification import Problem


def restore(run: Run, file: str, *, skip_missing_roles: bool = False) -> int:
    """Restore a dump to a database without the schema.

    FILE is a file of promptctl db dump, from the same or another version of
    PostgreSQL. Everything is restored in one transaction, or nothing. The schema
    belongs to the role that restores it, and other roles have the access that they
    had. If no database is configured, the dump is restored to a new embedded
    database.

    Afterwards restore runs the checks of promptctl db verify. The exit code is 1 if
    they find problems; what was restored stays.

    Examples:
      promptctl db restore prompts.dump
      gpg --decrypt prompts.dump.gpg | promptctl db restore -
    """
    if not file:
        raise errors.Usage("usage", "FILE is empty")
    if file == dump_files.STANDARD_STREAM and stream.is_terminal(sys.stdin):
        raise errors.Usage("usage", "a dump is not text: read it from a file or a pipe, not from a terminal")
    target = settings.target(run.database_url)
    progress_bar = progress.Progress(is_enabled=run.form == "plain", unit="MB")
    with (
        dump_files.Dump(file, programs.pg_restore(target)) as dump,
        run.database(creates=True) as database,
        interruption.terminated(),
    ):
        try:
            version = restoring.restore(
                database,
                dump,
                file,
                skip_missing_roles=skip_missing_roles,
                report=lambda count, total: progress_bar("restoring", count, total),
            )
        finally:
            progress_bar.close()
        restored = f"restored {dump.name} to {database.label}"
        if run.form != "json":
            # The data is committed. The rest takes time, and may be interrupted.
            answers.show_sentences([restored], {}, run.form, quiet=f"{database.name}\n")
            stream.flush()
        restoring.update_statistics(database)
        problems: list[Problem] = []
        if version == schema.VERSION:
            problems = verification.find_problems(database)
            result = verify_view.sentence(problems, database.label)
        else:
            result = f"it has schema version {version}, which promptctl db migrate migrates"
        document = {"file": file, "schema_version": version, "problems": [problem.as_dict() for problem in problems]}
        if run.form == "json":
            answers.show_sentences([restored, result], document, run.form)
        else:
            answers.show_sentences([result], document, run.form)
            for problem in problems:
                messages.note(f"{problem.check}: {problem.rows}: {problem.reason}")
    return 1 if problems else 0
