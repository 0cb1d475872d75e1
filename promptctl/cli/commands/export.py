"""promptctl export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl import errors, working_directory
from promptctl.cli import interruption
from promptctl.output import export_view as output
from promptctl.output import progress
from promptctl.rules import references
from promptctl.store import exports
from promptctl.sync import export as exporting

if TYPE_CHECKING:
    from promptctl.cli.run import Run

# The default.
_FOLDER = "prompts"


def export(run: Run, folder: str | None = None, only: str | None = None, force: bool = False) -> None:
    """Write prompts to a folder that sync can read.

    Writes every version that is not archived, byte for byte, its request as
    vN.request.yaml or vN.request.json, and a prompt.yaml with the active version
    and the metadata. A sync of the folder then finds no
    differences. A file that differs is not replaced without --force. Files are
    never removed.

    Examples:
      promptctl export prompts/
      promptctl export /tmp/support --only "support/*"
    """
    if folder == "":
        raise errors.Usage("usage", "the name of the folder is empty")
    if folder == "-":
        raise errors.Usage("usage", "export writes a folder, not standard output", hint=f"promptctl export {_FOLDER}/")
    target = _FOLDER if folder is None else folder
    working_directory.require(target)
    progress_bar = progress.Progress(is_enabled=run.form == "plain")
    with run.database() as database:
        prompts = exports.read_prompts(database, only)
        if not prompts and only is not None:
            raise errors.NotFound(
                "prompt_not_found",
                f"no prompt matches {references.quoted(only)} in {database.label}",
                hint="promptctl list",
            )
        try:
            with interruption.terminated():
                exported = exporting.export(target, prompts, progress_bar, overwrite=force)
        except exporting.FilesDiffer as failure:
            import shlex

            # The hint exports to another folder.
            words = ["promptctl", "export", exporting.free_folder(target), *(["--only", only] if only else [])]
            failure.hint = shlex.join(words)
            raise
        finally:
            progress_bar.close()
        output.show(exported, len(prompts), target, database.label, run.form)
