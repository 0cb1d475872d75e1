r"""Parse the variables of a template: the grammar of the three styles. Pure.

In `braces`, `{path}` is a variable and `{{path}}` is the literal text `{path}`. In `mustache`, `{{path}}` is a
variable. In `none` there are no variables. A path is identifiers joined by dots: ASCII letters, digits, underscore.
Everything else is text, such as `{"a": 1}`, `{}`, `{ x }` and `{{#each}}`. In `braces`, `{path}` is text in two more
places: directly after one of `$@#%^` (`${HOME}`, `stash@{n}`), and as the argument of a LaTeX command (`\frac{a}{b}`).
docs/files.md documents the grammar. `template_variables` in schema.sql implements the same.
"""

from __future__ import annotations

import itertools

STYLES = ("braces", "mustache", "none")
_BLANKS = " \t"
# A brace directly after one of these characters belongs to a shell, Ruby, Perl, Git or a formula.
SIGILS = ("$", "@", "#", "%", "^")
# A cache of texts that are paths: a folder of prompts has the same few variables in thousands of places.
_PATHS: set[str] = set()
_MOST_PATHS = 1000


def is_path(text: str) -> bool:
    """Whether a text is identifiers joined by dots: ASCII letters, digits, underscores, not beginning with a digit."""
    if text in _PATHS:
        return True
    if not (text.isascii() and all(part.isidentifier() for part in text.split("."))):
        return False
    if len(_PATHS) < _MOST_PATHS:
        _PATHS.add(text)
    return True


def parse(content: str, style: str) -> tuple[list[str], list[str]]:
    """Return the texts around the variables and the names of the variables. There is one text more than names.

    Raises ValueError for an unknown style.
    """
    if style == "braces":
        return parse_braces(content)
    if style == "mustache":
        return _parse_mustache(content)
    if style == "none":
        return [content], []
    raise ValueError(f"no template style {style!r}: {', '.join(STYLES)}")


def first_names(content: str) -> tuple[str, ...]:
    """Return the names of the variables in style `braces`, by first occurrence, in half the time of `parse`."""
    if "\\" in content:
        return tuple(dict.fromkeys(parse_braces(content)[1]))
    names: dict[str, None] = {}
    pieces = content.split("{")
    before = pieces[0]
    for index in range(1, len(pieces)):
        piece = pieces[index]
        name, closing, rest = piece.partition("}")
        if closing and is_path(name):
            if before:
                if not before.endswith(SIGILS):
                    names[name] = None
            # An empty piece before the brace, except at the beginning, means `{{`: `{{name}}` is the text `{name}`.
            elif index == 1 or rest[:1] != "}":
                names[name] = None
        before = piece
    return tuple(names)


def parse_braces(content: str) -> tuple[list[str], list[str]]:
    """Parse style `braces`, as `parse` does."""
    texts: list[str] = []
    names: list[str] = []
    # The text since the last variable is `text` and the content from `start` on.
    text, start = "", 0
    arguments = _latex_arguments(content) if "\\" in content else ()
    opening = content.find("{")
    while opening != -1 and (closing := content.find("}", opening)) != -1:
        # A path contains no brace, so only the last opening brace before the closing one can begin it.
        opening = content.rfind("{", opening, closing)
        path = content[opening + 1 : closing]
        following = closing + 1
        if is_path(path):
            if opening > start and content[opening - 1] == "{" and content[following : following + 1] == "}":
                # `{{path}}`: keep one brace of each pair.
                text += content[start : opening - 1] + content[opening:following]
                following += 1
                start = following
            elif not content.startswith(SIGILS, opening - 1 if opening else 0) and opening not in arguments:
                texts.append(text + content[start:opening])
                names.append(path)
                text = ""
                start = following
        opening = content.find("{", following)
    texts.append(text + content[start:])
    return texts, names


def _latex_arguments(content: str) -> set[int]:
    r"""Return the positions of the braces that open an argument of a LaTeX command: `\frac{a}{b}`, `\sqrt[3]{x}`."""
    places: set[int] = set()
    # Whether each brace that is still open opens an argument, the innermost last.
    is_argument: list[bool] = []
    # Whether the last closing brace closed an argument.
    was_argument = False
    pieces = content.split("{")
    place = len(pieces[0])
    for piece, following in itertools.pairwise(pieces):
        if closed := piece.count("}"):
            was_argument = closed <= len(is_argument) and is_argument[-closed]
            del is_argument[-closed:]
        opens = _ends_before_argument(piece.rpartition("}")[2], follows_argument=was_argument)
        if opens:
            places.add(place)
        is_argument.append(opens)
        was_argument = False
        place += 1 + len(following)
    return places


def _ends_before_argument(text: str, *, follows_argument: bool) -> bool:
    r"""Whether a brace directly after this text, which contains no brace, opens an argument of a LaTeX command.

    A command has two letters or more, because `\n{name}` is an escaped line break and a variable.
    """
    if text.endswith("]"):
        text, opening, optional = text[:-1].rpartition("[")
        if not opening or "]" in optional:
            return False
    if not text:
        return follows_argument
    _, backslash, command = text.rpartition("\\")
    command = command.removesuffix("*")
    return bool(backslash) and len(command) >= 2 and command.isascii() and command.isalpha()


def _parse_mustache(content: str) -> tuple[list[str], list[str]]:
    texts: list[str] = []
    names: list[str] = []
    start = 0
    opening = content.find("{{")
    while opening != -1 and (closing := content.find("}}", opening + 2)) != -1:
        opening = content.rfind("{{", opening, closing)
        following = closing + 2
        path = content[opening + 2 : closing].strip(_BLANKS)
        if is_path(path):
            # In Mustache, three braces disable the escaping of HTML. Here nothing is escaped, so they mean the same as
            # two.
            if opening > start and content[opening - 1] == "{" and content[following : following + 1] == "}":
                opening -= 1
                following += 1
            texts.append(content[start:opening])
            names.append(path)
            start = following
        opening = content.find("{{", following)
    texts.append(content[start:])
    return texts, names
