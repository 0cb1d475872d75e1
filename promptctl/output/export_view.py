"""Show what an export wrote. `form` is plain, quiet or json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.output import messages, stream

if TYPE_CHECKING:
    from promptctl.sync.export import Exported


def show(exported: Exported, prompts: int, folder: str, label: str, form: str) -> None:
    """Show a summary on standard error. Quiet and in a pipe, standard output gets the paths of the written files."""
    if form == "json":
        stream.write_json(
            {"folder": folder, "prompts": prompts, "written": exported.written, "unchanged": exported.unchanged}
        )
        return
    if form == "quiet" or not stream.to_terminal():
        stream.write("".join(f"{stream.tsv_field(path)}\n" for path in exported.written))
    if form == "quiet":
        return
    for warning in exported.secrets:
        messages.warning(warning)
    written = len(exported.written)
    summary = f"{written} file{'s' * (written != 1)} written" if written else "no file to write"
    unchanged = f", {exported.unchanged} up to date" if exported.unchanged else ""
    messages.note(f"{prompts} prompt{'s' * (prompts != 1)} from {label} in {folder}: {summary}{unchanged}")
