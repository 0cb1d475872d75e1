"""A prompt's text: the one normalisation that every writer makes before PostgreSQL checks it."""

from __future__ import annotations

from promptctl import errors

LARGEST_BYTES = 100 * 1024 * 1024


_BYTE_ORDER_MARK = "\ufeff".encode()


def is_normal(raw: bytes) -> bool:
    """Whether `normalised` leaves bytes as they are, if it takes them at all."""
    # One byte is looked for twenty times as fast as two.
    return (b"\r" not in raw or b"\r\n" not in raw) and not raw.startswith(_BYTE_ORDER_MARK)


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
