"""A prompt's text: the one normalisation that every writer makes before PostgreSQL checks it."""

from __future__ import annotations

from promptctl import errors

LARGEST_BYTES = 100 * 1024 * 1024


def normalised(raw: bytes, what: str) -> str:
    """Return bytes as a prompt's text: UTF-8, without a byte order mark, CR LF turned into LF; else all as it is.

    `what` names them in an error. Raises Usage for what is empty, too large, not UTF-8, or has a NUL.
    """
    if len(raw) > LARGEST_BYTES:
        raise errors.Usage("too_large", f"{what} has {len(raw)} bytes: at most {LARGEST_BYTES} are allowed")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise errors.Usage(
            "not_utf8", f"{what} is not UTF-8: byte {problem.start} is 0x{raw[problem.start]:02x}"
        ) from None
    # A second mark is text to the decoder and an error to the database.
    text = text.lstrip("\ufeff")
    if "\r\n" in text:
        *lines, last = text.split("\n")
        # All of CR CR LF: replacing it once leaves a CR LF, and replacing until none is left takes hours for a million.
        text = "\n".join([*(line.rstrip("\r") for line in lines), last])
    if "\0" in text:
        raise errors.Usage("nul_in_text", f"{what} has a NUL character: byte {raw.index(0)}")
    if not text.strip():
        raise errors.Usage("empty_content", f"{what} is empty")
    return text
