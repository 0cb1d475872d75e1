"""Normalise the text of a prompt. Every command that stores a text does this before PostgreSQL checks it."""

from __future__ import annotations

from promptctl import errors
from promptctl.bounded_input import LARGEST_BYTES

_LFS_POINTERS = ("version https://git-lfs.github.com/spec/", "version https://hawser.github.com/spec/")
# Git LFS has the same limit: a longer file is not a pointer.
_LONGEST_POINTER = 1024
# A prompt can show a model how to write an edit. Such formats begin with `<<<<<<< SEARCH`, and are no conflict.
_EDIT_MARKERS = frozenset(("SEARCH", "ORIGINAL"))
_BYTE_ORDER_MARK = "\ufeff".encode()


def is_normal(raw: bytes) -> bool:
    """Whether `normalise` would return these bytes unchanged. It may still refuse them."""
    # Searching for one byte is twenty times as fast as searching for two.
    return (b"\r" not in raw or b"\r\n" not in raw) and not raw.startswith(_BYTE_ORDER_MARK)


def git_problem(text: str) -> str | None:
    """Return why a file from Git is not the real text: it is a Git LFS pointer or has a merge conflict. Else None.

    A conflict has three markers in order, each at the beginning of a line: `<<<<<<<`, `=======` and `>>>>>>>`. The
    second one alone underlines a heading.
    """
    if is_lfs_pointer(text):
        return "is a Git LFS pointer and not the text: run git lfs pull"
    # Searching for one character is ten times as fast as searching for seven.
    if "<" not in text or "<<<<<<<" not in text or ">>>>>>>" not in text:
        return None
    # How many of the three markers were read, and the line of the first.
    markers = 0
    first_line = 0
    for number, line in enumerate(text.splitlines(), 1):
        if _is_marker(line, "<"):
            is_edit = line[7:].strip() in _EDIT_MARKERS
            markers, first_line = (0 if is_edit else 1), number
        elif markers == 1 and line.rstrip() == "=======":
            markers = 2
        elif markers == 2 and _is_marker(line, ">"):
            return f"has an unresolved merge conflict, on line {first_line}"
    return None


def is_lfs_pointer(text: str) -> bool:
    """Whether a text is the pointer that Git LFS commits instead of the real text."""
    return text.startswith(_LFS_POINTERS) and "\noid sha256:" in text[:_LONGEST_POINTER]


def _is_marker(line: str, sign: str) -> bool:
    return line.startswith(sign * 7) and line[7:8] in ("", " ", "\t")


def normalise(raw: bytes, source: str) -> str:
    """Return the text of a prompt from bytes in UTF-8. A byte order mark is removed, and CR LF becomes LF.

    `source` names the input in an error. Raises Usage for a text that is empty, too large, not UTF-8, or has a NUL.
    """
    if len(raw) > LARGEST_BYTES:
        raise errors.Usage("too_large", f"{source} has {len(raw)} bytes: at most {LARGEST_BYTES} are allowed")
    try:
        text = raw.decode()
    except UnicodeDecodeError as problem:
        raise errors.Usage(
            "not_utf8", f"{source} is not UTF-8: byte {problem.start} is 0x{raw[problem.start]:02x}"
        ) from None
    if not is_normal(raw):
        # Remove all byte order marks: the database refuses a text that begins with one.
        *lines, last = text.lstrip("\ufeff").split("\n")
        # Remove every CR before a LF. Replacing CR LF by LF would leave a CR LF of CR CR LF, and repeating the
        # replacement takes hours for a million CR.
        text = "\n".join([*(line.rstrip("\r") for line in lines), last])
    if b"\0" in raw:
        raise errors.Usage("nul_in_text", f"{source} has a NUL character: byte {raw.index(0)}")
    if not text or text.isspace():
        raise errors.Usage("empty_content", f"{source} is empty")
    return text
