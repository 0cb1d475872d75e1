"""Find suspicious invisible characters: characters that a model reads and a person does not see. Pure.

Suspicious characters can carry hidden instructions. Every invisible character is suspicious, except in these uses: a
joiner or a variation selector inside an emoji, a joiner or non-joiner between letters of a script that uses it,
direction marks in a text with Arabic or Hebrew, a zero-width space next to a script without spaces, a soft hyphen
inside a word, one variation selector after an ideograph.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_ZWSP, _ZWNJ, _ZWJ, _SOFT_HYPHEN = "\u200b", "\u200c", "\u200d", "\xad"
_CONTEXT_DEPENDENT = frozenset((_ZWSP, _ZWNJ, _ZWJ, _SOFT_HYPHEN))
_DIRECTION_MARKS = frozenset("\u061c\u200e\u200f")
# Tag characters are an invisible copy of ASCII. They spell the flags of `_FLAG_TAGS`.
_TAGS = range(0xE0000, 0xE0080)
_SELECTORS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0), range(0x180B, 0x180E), range(0x180F, 0x1810))
_EMOJI_SELECTORS = frozenset("\ufe0e\ufe0f")
# Unicode's Default_Ignorable_Code_Point, direction controls and interlinear annotations. PostgreSQL, Python and
# terminals show nothing for them.
_INVISIBLE = (
    range(0xAD, 0xAE), range(0x34F, 0x350), range(0x61C, 0x61D), range(0x115F, 0x1161), range(0x17B4, 0x17B6),
    range(0x180B, 0x1810), range(0x200B, 0x2010), range(0x202A, 0x202F), range(0x2060, 0x2070), range(0x3164, 0x3165),
    range(0xFE00, 0xFE10), range(0xFEFF, 0xFF00), range(0xFFA0, 0xFFA1), range(0xFFF0, 0xFFFC),
    range(0x1BCA0, 0x1BCA4), range(0x1D173, 0x1D17B), range(0xE0000, 0xE1000),
)  # fmt: skip
_RIGHT_TO_LEFT = (range(0x590, 0x900), range(0xFB1D, 0xFE00), range(0xFE70, 0xFEFD), range(0x10800, 0x11000),
                  range(0x1E800, 0x1F000))  # fmt: skip
# Scripts whose letters are joined or kept apart by (non-)joiners: Arabic to Sinhala, Tibetan to Khmer and Mongolian.
_JOINED = (range(0x600, 0xE00), range(0xF00, 0x10A0), range(0x1780, 0x18B0), range(0xA800, 0xAAE0),
           range(0xFB50, 0xFE00), range(0xFE70, 0xFEFD), range(0x10A00, 0x12000))  # fmt: skip
_WITHOUT_SPACES = (range(0xE00, 0xF00), range(0x1000, 0x10A0), range(0x1780, 0x1800), range(0x3000, 0xA000))
_IDEOGRAPHS = (range(0x2E80, 0xA000), range(0xF900, 0xFB00), range(0xFF00, 0xFFF0), range(0x20000, 0x33480))
_PICTURES = (range(0x203C, 0x3300), range(0x1F000, 0x20000))
_KEYCAPS = frozenset("#*0123456789\xa9\xae")
# Three flags are a black flag with tags after it: England, Scotland, Wales.
_BLACK_FLAG = "\U0001f3f4"
_FLAG_TAGS = tuple(
    "".join(chr(0xE0000 + ord(letter)) for letter in code) + "\U000e007f" for code in ("gbeng", "gbsct", "gbwls")
)
# How many different characters a summary lists.
_MOST_LISTED = 3


def positions(text: str) -> list[int]:
    """Return the positions of the suspicious invisible characters in a text, ascending."""
    if text.isascii():
        return []
    # `set` runs in C, so a text without invisible characters costs one pass.
    present = [character for character in set(text) if character > "\x7f" and _among(character, _INVISIBLE)]
    if not present:
        return []
    has_right_to_left = any(_among(character, _RIGHT_TO_LEFT) for character in set(text) - _DIRECTION_MARKS)
    has_flag = _BLACK_FLAG in text
    suspicious: list[int] = []
    for character in present:
        if character in _DIRECTION_MARKS and has_right_to_left:
            continue
        # Most invisible characters are suspicious in any place. A text may have a million of them, so their context is
        # not inspected.
        depends_on_context = (
            character in _CONTEXT_DEPENDENT or _among(character, _SELECTORS) or (has_flag and ord(character) in _TAGS)
        )
        place = text.find(character)
        while place >= 0:
            if not (depends_on_context and _is_ordinary(text, place)):
                suspicious.append(place)
            place = text.find(character, place + 1)
    return sorted(suspicious)


def summary(text: str) -> str | None:
    """Return a description, `contains 12 invisible characters (U+E0041 U+E0042 U+200B …)`; None if there are none."""
    suspicious = positions(text)
    if not suspicious:
        return None
    codes = list(dict.fromkeys(f"U+{ord(text[place]):04X}" for place in suspicious))
    more = " …" if len(codes) > _MOST_LISTED else ""
    plural = "s" if len(suspicious) != 1 else ""
    return f"contains {len(suspicious)} invisible character{plural} ({' '.join(codes[:_MOST_LISTED])}{more})"


def escape(text: str, escape_character: Callable[[str], str] | None = None) -> str:
    r"""Return a text in which each suspicious invisible character is an escape that a person sees.

    `escape_character` returns the escape of a character. The default is `\u200b` or `\U000e0041`.
    """
    suspicious = positions(text)
    if not suspicious:
        return text
    to_escape = escape_character or _escape
    escapes = {character: to_escape(character) for character in {text[place] for place in suspicious}}
    parts: list[str] = []
    end = 0
    for place in suspicious:
        parts += (text[end:place], escapes[text[place]])
        end = place + 1
    return "".join([*parts, text[end:]])


def _escape(character: str) -> str:
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _among(character: str, ranges: Iterable[range]) -> bool:
    code = ord(character)
    return any(code in interval for interval in ranges)


def _is_ordinary(text: str, place: int) -> bool:
    """Whether an invisible character has an ordinary use, by the characters around it."""
    character = text[place]
    before = text[place - 1] if place else ""
    after = text[place + 1] if place + 1 < len(text) else ""
    if not before:
        return False
    if character == _SOFT_HYPHEN:
        return before.isalpha() and after.isalpha()
    if character == _ZWSP:
        return any(side and _among(side, _WITHOUT_SPACES) for side in (before, after))
    if character in (_ZWJ, _ZWNJ):
        if _among(before, _JOINED):
            return True
        is_picture = before in _EMOJI_SELECTORS or _among(before, _PICTURES)
        return character == _ZWJ and is_picture and bool(after) and _among(after, _PICTURES)
    if ord(character) in _TAGS:
        # The tags begin directly after the nearest black flag.
        start = text.rfind(_BLACK_FLAG, max(0, place - len(_FLAG_TAGS[0])), place) + 1
        return start > 0 and text.startswith(_FLAG_TAGS, start)
    if _among(character, _SELECTORS):
        if character in _EMOJI_SELECTORS and (before in _KEYCAPS or _among(before, _PICTURES)):
            return True
        return _among(before, (*_IDEOGRAPHS, range(0x1800, 0x18B0), range(0x2200, 0x2300)))
    return False
