"""The texts of wholly new prompts in a plan, shortened: there is nothing to compare them with."""

from __future__ import annotations

from promptctl.output import stream
from promptctl.records import Record
from promptctl.sync import changes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from promptctl.sync.synchronize import Outcome

# A line on a page is as long as a reader takes in at once.
_LONGEST_LINE = 200


class NewText(Record):
    """The first lines of a new prompt's text; `left_out` counts the lines that are not among them."""

    __slots__ = ()
    reference: str
    path: str
    lines: list[str]
    left_out: int


def of(outcome: Outcome, most_lines: int, *, columns: int = _LONGEST_LINE) -> list[NewText]:
    """Return the text of each prompt that a plan would make: of its version to be active, else of its newest.

    A line is cut at `columns` characters. None for a plan that was applied.
    """
    if outcome.applied:
        return []
    active = {each.name: each.version for each in outcome.plan.of(changes.ACTIVATE)}
    chosen: dict[str, changes.Change] = {}
    for each in outcome.plan.of(changes.NEW):
        if each.name in outcome.stored or each.file is None or each.file.content is None:
            continue
        before = chosen.get(each.name)
        if before is None or _weight(each, active) > _weight(before, active):
            chosen[each.name] = each
    return [_shortened(each, most_lines, columns) for each in chosen.values()]


def _weight(change: changes.Change, active: dict[str, int]) -> tuple[bool, int]:
    return active.get(change.name) == change.version, change.version


def show(outcome: Outcome, most_lines: int, most_texts: int, *, follows_diffs: bool) -> None:
    """Write the texts to a terminal, at most so many, each with at most so many lines; with an empty line after each.

    `follows_diffs`: an empty line stands before them already.
    """
    found = of(outcome, most_lines, columns=stream.width() - 2)
    if not found:
        return
    if not follows_diffs:
        stream.write("\n")
    for each in found[:most_texts]:
        stream.write(stream.styled(f"{each.reference}, a new prompt", stream.BOLD) + "\n")
        stream.write("".join(f"{stream.styled('+', stream.GREEN)} {line}\n" for line in each.lines))
        if each.left_out:
            lines = "line" if each.left_out == 1 else "lines"
            stream.write(stream.styled(f"  … {each.left_out} more {lines} in {each.path}", stream.DIM) + "\n")
        stream.write("\n")
    if len(found) > most_texts:
        more = f"{len(found) - most_texts} more new prompts: their texts are in the folder"
        stream.write(stream.styled(more, stream.DIM) + "\n\n")


def _shortened(change: changes.Change, most_lines: int, columns: int) -> NewText:
    assert change.file is not None
    content = change.file.content or b""
    count = content.count(b"\n") + (not content.endswith(b"\n"))
    first = content.split(b"\n", most_lines)[: min(most_lines, count)]
    # Of a line that goes on for megabytes only its beginning is decoded.
    lines = [stream.escape_controls(line[: 4 * columns].decode(errors="ignore")) for line in first]
    cut = [line if len(line) <= columns else line[: columns - 1] + "…" for line in lines]
    return NewText(f"{change.name}@{change.version}", change.file.path, cut, count - len(first))
