"""A prompt's text: the one normalisation that every writer makes before PostgreSQL checks it."""

from __future__ import annotations

from promptctl import errors
from promptctl.bounded_input import LARGEST_BYTES

_LFS_POINTERS = ("version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/")
# As Git LFS has it: what is longer is no pointer.
_LONGEST_POINTER = 1024
_MARKERS_OF_EDITS = frozenset(("SEARCH", "ORIGINAL"))
_BYTE_ORDER_MARK = "\ufeff".encode()


def is_normal(raw: bytes) -> bool:
    """Whether `normalised` leaves bytes as they are, if it takes them at all."""
    # One byte is looked for twenty times as fast as two.
    return (b"\r" not in raw or b"\r\n" not in raw) and not raw.startswith(_BYTE_ORDER_MARK)


def unfinished(text: str) -> str | None:
    """Return what stands in for a text that Git has not put in place, None: nothing does.

    A conflict is known by its three markers in their order, each at the beginning of a line; `=======` alone underlines
    a heading. The markers `<<<<<<< SEARCH` and `<<<<<<< ORIGINAL` belong to formats in which a model writes its edits.
    """
    if text.startswith(_LFS_POINTERS) and "\noid sha256:" in text[:_LONGEST_POINTER]:
        return "is a pointer of Git LFS and not the text: git lfs pull"
    if "<<<<<<<" not in text or ">>>>>>>" not in text:
        return None
    awaited = 0
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("<<<<<<<") and _is_marker(line, "<"):
            awaited, first = (0, 0) if line[7:].strip() in _MARKERS_OF_EDITS else (1, number)
        elif awaited == 1 and line.rstrip() == "=======":
            awaited = 2
        elif awaited == 2 and _is_marker(line, ">"):
            return f"has an unresolved merge conflict, on line {first}"
    return None


def _is_marker(line: str, sign: str) -> bool:
    return line.startswith(sign * 7) and line[7:8] in ("", " ", "\t")


def normalised(raw: bytes, what: str) -> str:
    """Return bytes as a prompt's text: UTF-8, without a byte order mark, CR LF turned into LF; else all as it is.

    `what` names them in an error. Raises Usage for what is empty, too large, not UTF-8, or has a NUL.
    """
    if len(raw) > LARGEST_BYTES:
        raise errors.Usage("too_large", f"{what} has {len(raw)} bytes: at most {LARGEST_BYTES} are allowed")
    try:
        text = raw.decode()
    except UnicodeDecodeError as problem:
        raise errors.Usage(
            "not_utf8", f"{what} is not UTF-8: byte {problem.start} is 0x{raw[problem.start]:02x}"
        ) from None
    # All of them: a second mark would be an error to the database.
    text = text.lstrip("\ufeff")
    if "\r" in text and "\r\n" in text:
        *lines, last = text.split("\n")
        # All of CR CR LF: replacing it once leaves a CR LF, and replacing until none is left takes hours for a million.
        text = "\n".join([*(line.rstrip("\r") for line in lines), last])
    if "\0" in text:
        raise errors.Usage("nul_in_text", f"{what} has a NUL character: byte {raw.index(0)}")
    if not text or text.isspace():
        raise errors.Usage("empty_content", f"{what} is empty")
    return text
