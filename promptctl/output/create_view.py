"""Show the beginnings of new prompts in a plan; there is no earlier text to compare them with."""

from __future__ import annotations

from promptctl.output import stream
from promptctl.records import Record
from promptctl.sync import changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.sync.changes import Change
    from promptctl.sync.synchronize import Outcome

# In Markdown a longer line is cut.
_LONGEST_LINE = 200


class NewText(Record):
    """The first lines of a new prompt's text, and how many lines follow them."""

    reference: str
    path: str
    lines: list[str]
    omitted_lines: int


def new_texts(outcome: Outcome, most_lines: int, *, columns: int = _LONGEST_LINE) -> list[NewText]:
    """Return the beginning of each prompt that a plan would create; nothing for a plan that was applied.

    The text is that of the version to be activated, or else the newest. Lines are cut at `columns` characters.
    """
    if outcome.applied:
        return []
    active = {change.name: change.version for change in outcome.plan.of(changes.ACTIVATE)}

    def rank(change: Change) -> tuple[bool, int]:
        return active.get(change.name) == change.version, change.version

    selected: dict[str, Change] = {}
    for change in outcome.plan.of(changes.NEW):
        if change.name in outcome.stored or change.file is None or change.file.content is None:
            continue
        previous = selected.get(change.name)
        if previous is None or rank(change) > rank(previous):
            selected[change.name] = change
    return [_shortened(change, most_lines, columns) for change in selected.values()]


def show(outcome: Outcome, most_lines: int, most_texts: int, *, follows_diffs: bool) -> None:
    """Write at most `most_texts` texts to a terminal, each with at most `most_lines` lines and an empty line after it.

    `follows_diffs`: the output before ends with an empty line.
    """
    texts = new_texts(outcome, most_lines, columns=stream.width() - 2)
    if not texts:
        return
    if not follows_diffs:
        stream.write("\n")
    for text in texts[:most_texts]:
        stream.write(stream.styled(f"{text.reference}, a new prompt", stream.BOLD) + "\n")
        stream.write("".join(f"{stream.styled('+', stream.GREEN)} {line}\n" for line in text.lines))
        if text.omitted_lines:
            lines = "line" if text.omitted_lines == 1 else "lines"
            stream.write(stream.styled(f"  … {text.omitted_lines} more {lines} in {text.path}", stream.DIM) + "\n")
        stream.write("\n")
    if len(texts) > most_texts:
        more = f"{len(texts) - most_texts} more new prompts: their texts are in the folder"
        stream.write(stream.styled(more, stream.DIM) + "\n\n")


def _shortened(change: Change, most_lines: int, columns: int) -> NewText:
    assert change.file is not None
    content = change.file.content or b""
    count = content.count(b"\n") + (not content.endswith(b"\n"))
    first_lines = content.split(b"\n", most_lines)[: min(most_lines, count)]
    # A line can have megabytes: only its beginning is decoded.
    lines = [stream.escape_controls(line[: 4 * columns].decode(errors="ignore")) for line in first_lines]
    cut_lines = [line if len(line) <= columns else line[: columns - 1] + "…" for line in lines]
    return NewText(change.reference, change.file.path, cut_lines, count - len(first_lines))
