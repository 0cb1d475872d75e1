"""promptctl diff."""

from __future__ import annotations

from promptctl import errors
from promptctl.output import stream
from promptctl.rules import references
from promptctl.rules.references import Reference
from promptctl.store import prompt_lists, prompt_states, version_texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.cli.run import Run
    from promptctl.postgres.database import Database


def diff(run: Run, left: str, right: str | None = None, exit_code: bool = False) -> int:
    """Compare the texts and the settings of two versions.

    NAME compares the active version with the latest, NAME@A compares A with the
    active version, and NAME@A NAME@B compares A with B. On a terminal, changed
    words are highlighted. In a pipe the output is a unified diff, unless you use
    --color always. Settings follow the text, key by key.

    Examples:
      promptctl diff default-system-prompt
      promptctl diff default-system-prompt@1 default-system-prompt@3 --exit-code
    """
    with run.database() as database:
        sides = _sides(database, left, right)
        old, new = (version_texts.read_text(database, side) for side in sides)
    from promptctl.output import diff_view, setting_diff_view
    from promptctl.rules import setting_differences

    names = f"{old.name}@{old.version}", f"{new.name}@{new.version}"
    settings = setting_differences.differences(old.settings, new.settings)
    differs = old.content != new.content or bool(settings)
    if run.form == "json":
        unified = diff_view.unified(old.content, new.content, *names)
        documents = setting_diff_view.documents(settings)
        stream.write_json(
            {"old": names[0], "new": names[1], "differs": differs, "diff": unified, "settings": documents}
        )
    elif run.form == "quiet":
        stream.write(f"{names[0]} {names[1]}\n" if differs else "")
    elif stream.is_markdown():
        diff_view.show_markdown(old.content, new.content, *names)
        if settings:
            stream.write("\n")
            setting_diff_view.show_markdown(settings)
    else:
        if old.content != new.content or not settings:
            diff_view.show(old.content, new.content, *names)
        setting_diff_view.show(settings, *names)
    return errors.DIFFERENT if exit_code and differs else 0


def _sides(database: Database, left: str, right: str | None) -> tuple[Reference, Reference]:
    """Return the old and the new side."""
    old = references.parse(left)
    if right is not None:
        return old, references.parse(right)
    if old.version is not None:
        return old, Reference(old.name, None)
    newest = prompt_lists.version_numbers(database, old.name, limit=1)
    if not newest:
        raise prompt_states.not_found_error(database, old)
    return old, Reference(old.name, newest[0])
