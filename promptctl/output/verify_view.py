"""Present the problems that `db verify` finds. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import answers, stream, tables
from promptctl.output.table_columns import Column

if TYPE_CHECKING:
    from collections.abc import Sequence

    from promptctl.store.verification import Problem


def sentence(problems: Sequence[Problem], label: str) -> str:
    """Return the result as a sentence."""
    if not problems:
        return f"no problems found in {label}"
    return f"{len(problems)} {'problem' if len(problems) == 1 else 'problems'} found in {label}"


def show(problems: Sequence[Problem], label: str, form: str) -> None:
    """Show each problem as a line; quiet: the rows alone; JSON: a list."""
    if form == "json":
        documents = [problem.as_dict() for problem in problems]
        stream.write_json({"message": sentence(problems, label), "problems": documents})
    elif form == "quiet":
        stream.write("".join(f"{stream.one_line(problem.rows)}\n" for problem in problems))
    else:
        if problems:
            columns = [Column("CHECK", "text"), Column("ROWS", "text"), Column("PROBLEM", "text")]
            tables.show(columns, [[problem.check, problem.rows, problem.reason] for problem in problems])
            stream.write("\n" if stream.is_markdown() else "")
        answers.note_or_write_line(sentence(problems, label))
