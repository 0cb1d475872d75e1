"""Read keys from the bytes that a terminal sends. Pure."""

from __future__ import annotations

import codecs

ESCAPE = "\x1b"
_NAMED = {"\r": "enter", "\n": "enter", "\x7f": "backspace", "\b": "backspace", ESCAPE: "escape", "\x04": "q"}
# By the bytes after Esc [ or Esc O. A terminal in application mode sends O.
_SEQUENCES = {
    "A": "up", "B": "down", "C": "right", "D": "left", "H": "home", "F": "end", "1~": "home", "7~": "home", "4~": "end",
    "8~": "end", "5~": "page up", "6~": "page down",
}  # fmt: skip


class KeyReader:
    """Turns bytes into keys: a character is itself, other keys have names, such as `up`, `enter` and `escape`."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def is_in_sequence(self) -> bool:
        """Whether the bytes so far may be the beginning of a key: Esc alone, or of an arrow."""
        return bool(self._rest)

    def feed(self, data: bytes) -> list[str]:
        """Return the keys that are complete with these bytes."""
        text, self._rest = self._rest + self._decoder.decode(data), ""
        keys: list[str] = []
        place = 0
        while place < len(text):
            if text[place] != ESCAPE:
                key = _NAMED.get(text[place], text[place])
                if len(key) > 1 or key.isprintable():
                    keys.append(key)
                place += 1
                continue
            end = _sequence_end(text, place)
            if end is None:
                self._rest = text[place:]
                break
            sequence = text[place + 2 : end]
            if end == place + 1:
                keys.append("escape")
            elif sequence in _SEQUENCES:
                keys.append(_SEQUENCES[sequence])
            place = end
        return keys

    def flush(self) -> list[str]:
        """Return the keys of a beginning that no more bytes follow: Esc, and what was typed after it."""
        text, self._rest = self._rest, ""
        return ["escape", *(key for key in text[1:] if key.isprintable())] if text else []


def _sequence_end(text: str, begin: int) -> int | None:
    """Return where the key that begins with Esc ends, None if more may follow."""
    if begin + 1 == len(text):
        return None
    if text[begin + 1] not in "[O":
        return begin + 1
    for place in range(begin + 2, len(text)):
        if "@" <= text[place] <= "~":
            return place + 1
    return None
