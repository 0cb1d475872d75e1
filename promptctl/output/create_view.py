"""Show the beginnings of new prompts in a plan; there is no earlier text to compare them with."""

from __future__ import annotations

from promptctl.output import stream
from promptctl.records import Record
from promptctl.sync import changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.sync.changes import Change
    from promptctl.sync.synchronize import Outcome

# In characters; in Markdown a longer line is cut.
_LONGEST_LINE = 200


class NewText(Record):
    """The first lines of a new prompt's text, and how many lines follow them."""

    reference: str
    path: str
    lines: list[str]
    omitted_lines: int


def new_texts(outcome: Outcome, most_lines: int, *, longest_line: int = _LONGEST_LINE) -> list[NewText]:
    """Return the beginning of each prompt that a plan would create; nothing for a plan that was applied.

    The text is that of the version to be activated, or else the newest. Lines are cut at `longest_line` characters.
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
    return [_shortened(change, most_lines, longest_line) for change in selected.values()]


def show(outcome: Outcome, most_lines: int, most_texts: int, *, follows_diffs: bool) -> None:
    """Write at most `most_texts` texts to a terminal, each with at most `most_lines` lines and an empty line after it.

    With `follows_diffs` the output so far ends with an empty line. Otherwise an empty line is written first.
    """
    texts = new_texts(outcome, most_lines, longest_line=stream.width() - 2)
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


def _shortened(change: Change, most_lines: int, longest_line: int) -> NewText:
    assert change.file is not None
    content = change.file.content or b""
    line_count = content.count(b"\n") + (not content.endswith(b"\n"))
    # The last part of the split is the rest of the text, or empty after a final newline.
    first_lines = content.split(b"\n", most_lines)[: min(most_lines, line_count)]
    # Only the beginning of a line is decoded, because a line can have megabytes. A character has at most four bytes.
    lines = [stream.escape_controls(line[: 4 * longest_line].decode(errors="ignore")) for line in first_lines]
    cut_lines = [line if len(line) <= longest_line else line[: longest_line - 1] + "…" for line in lines]
    return NewText(change.reference, change.file.path, cut_lines, line_count - len(first_lines))
