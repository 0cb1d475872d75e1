"""The width of text on a terminal, in columns, and shortening text to a width."""

from __future__ import annotations

ELLIPSIS = "…"
# Below this character, all characters except controls take one column.
_FIRST_COMBINING = "\u0300"
# Our own output often has these: the ellipsis, the arrow, and the blocks of sparklines and bars. Each takes one column,
# so they need no import of Rich, which takes long.
_OWN = dict.fromkeys((0x2026, 0x2192, *range(0x2581, 0x2590)), ".")


def columns_of(text: str) -> int:
    """Return how many columns a text takes on a terminal."""
    if text.isascii() or max(text) < _FIRST_COMBINING:
        return len(text)
    if text.translate(_OWN).isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Return a text that takes at most `width` columns. A wider text is cut at its end, where it gets an ellipsis."""
    return text if columns_of(text) <= width else _first_columns(text, width - 1) + ELLIPSIS


def cut_start(text: str, width: int) -> str:
    """Return the end of a text after an ellipsis, in at most `width` columns."""
    end = text[-(width - 1) :] if width > 1 else ""
    while end and columns_of(end) > width - 1:
        end = end[1:]
    return ELLIPSIS + end


def cut_middle(text: str, width: int) -> str:
    """Return a name of at most `width` columns: `support/…/triage` for a name with segments, else `suppor…triage`."""
    if columns_of(text) <= width:
        return text
    parts = text.split("/")
    for place in range(2, len(parts)):
        short = "/".join([parts[0], ELLIPSIS, *parts[place:]])
        if columns_of(short) <= width:
            return short
    if len(parts) > 1 and columns_of(parts[-1]) + 2 <= width:
        return f"{ELLIPSIS}/{parts[-1]}"
    half = (width - 1) // 2
    return _first_columns(text, width - 1 - half) + cut_start(text, half + 1)


def _first_columns(text: str, width: int) -> str:
    """Return the beginning of a text that takes `width` columns."""
    if text.isascii():
        return text[:width]
    from rich.cells import set_cell_size

    return set_cell_size(text, width)
