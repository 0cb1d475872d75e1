r"""Templates: the places in a text that take a value, and how they are filled. Pure, and on the way of `render`.

Three styles (docs/files.md): `braces`, where `{path}` is a variable and `{{path}}` the literal text `{path}`;
`mustache`, where `{{path}}` is one; `none`, where nothing is. A path is identifiers joined by dots: ASCII letters,
digits, underscore. Everything else is text, `{"a": 1}`, `{}`, `{ x }` and `{{#each}}` too. In `braces` so is `{path}`
right after one of `$@#%^` (`${HOME}`, `stash@{n}`) and as an argument of a LaTeX command (`\frac{a}{b}`).
`template_variables` in schema.sql reads the same grammar.
"""

from __future__ import annotations

import itertools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

STYLES = ("braces", "mustache", "none")
DEFAULT_STYLE = "braces"
_BLANKS = " \t"
_LONGEST_TOLD = 40
# A brace that opens right after one of these belongs to a shell, to Ruby, Perl, Git or mathematics.
_SIGILS = ("$", "@", "#", "%", "^")


class MissingValues(Exception):
    """Values that a template needs and was not given; `names` in the order of their first places."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names = tuple(names)


def is_path(text: str) -> bool:
    """Whether a text is identifiers joined by dots: ASCII letters, digits, underscores, no digit at the beginning."""
    return text.isascii() and all(part.isidentifier() for part in text.split("."))


class Template:
    """A text, read once, to be filled many times.

    `variables` are the names that stand in it, in the order of their first places; `required` those of them that have
    no default and were not said to be optional; `accepted` also those that are described and do not stand in it.
    """

    __slots__ = ("_defaults", "_names", "_pieces", "_places", "accepted", "required", "variables")

    def __init__(self, content: str, settings: Mapping[str, Any] | None = None) -> None:
        """Read `content`; of a version's `settings` the keys `template` and `variables` count."""
        given = settings or {}
        descriptions: Mapping[str, Mapping[str, Any]] = given.get("variables", {})
        texts, names = _read(content, given.get("template", DEFAULT_STYLE))
        pieces: list[str] = [""] * (2 * len(names) + 1)
        pieces[::2] = texts
        self._pieces = pieces
        self._names = names
        self._places = [(2 * place + 1, name) for place, name in enumerate(names)]
        self.variables: tuple[str, ...] = tuple(dict.fromkeys(names))
        self._defaults: dict[str, str] = {
            name: said.get("default", "")
            for name, said in descriptions.items()
            if "default" in said or said.get("required") is False
        }
        self.required: tuple[str, ...] = tuple(name for name in self.variables if name not in self._defaults)
        self.accepted = frozenset((*self.variables, *descriptions))

    def default(self, name: str) -> str | None:
        """Return what stands for a variable that is not given; None: it has to be."""
        return self._defaults.get(name)

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with every variable replaced by its value, which is not looked at again.

        Values of names that do not stand in the text are ignored. Raises MissingValues.
        """
        pieces = self._pieces.copy()
        try:
            for place, name in self._places:
                pieces[place] = values[name]
        except KeyError:
            whole = {**self._defaults, **values}
            missing = [name for name in self.required if name not in whole]
            if missing:
                raise MissingValues(missing) from None
            for place, name in self._places:
                pieces[place] = whole[name]
        return "".join(pieces)


def variables(content: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names that stand in a text, as `Template(content, settings).variables` does, in half the time."""
    if settings.get("template", DEFAULT_STYLE) != DEFAULT_STYLE:
        return Template(content, settings).variables
    if "\\" in content:
        return tuple(dict.fromkeys(_read_braces(content)[1]))
    found: dict[str, None] = {}
    pieces = content.split("{")
    before = pieces[0]
    for place in range(1, len(pieces)):
        piece = pieces[place]
        name, closing, rest = piece.partition("}")
        if closing and _is_path(name):
            if before:
                if not before.endswith(_SIGILS):
                    found[name] = None
            # Nothing stands between two braces that open.
            elif place == 1 or rest[:1] != "}":
                found[name] = None
        before = piece
    return tuple(found)


def required(names: Sequence[str], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those of a text's variables that have no default and were not said to be optional."""
    descriptions: Mapping[str, Mapping[str, Any]] = settings.get("variables", {})
    return tuple(
        name
        for name in names
        if "default" not in (said := descriptions.get(name, {})) and said.get("required") is not False
    )


def double_brace_warnings(content: str, settings: Mapping[str, Any]) -> list[str]:
    """Return sentences about double braces that another tool would have read otherwise; none where a style is set.

    Those of `{{name}}`, a variable in Mustache, Jinja and Langfuse, and those that `str.format` would halve.
    """
    if "{{" not in content or settings.get("template") is not None:
        return []
    import re

    path = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
    variable = re.compile(r"\{\{[ \t]*" + path + r"[ \t]*\}\}")
    sentences: list[str] = []
    if names := list(dict.fromkeys(variable.findall(content))):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        shown = names[0] if len(names[0]) <= _LONGEST_TOLD else names[0][: _LONGEST_TOLD - 1] + "…"
        verb = "are text and no variables" if more else "is text and no variable"
        sentences.append(f"{shown}{more} {verb}: only the template style mustache makes {{{{name}}}} one")
    rest = variable.sub(" ", content)
    first = rest.find("{{")
    if 0 <= first < rest.rfind("}}"):
        line = rest.count("\n", 0, first) + 1
        sentences.append(
            f"line {line}: double braces around other text stay double, only {{{{name}}}} becomes {{name}}"
        )
    return sentences


def describe(names: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Return variables in one line of words, by their names; those that need not be given with what stands for them."""
    descriptions: Mapping[str, Mapping[str, Any]] = settings.get("variables", {})
    return ", ".join(_told(name, descriptions.get(name, {})) for name in names)


def _told(name: str, said: Mapping[str, Any]) -> str:
    default: str | None = said.get("default", "" if said.get("required") is False else None)
    if default is None:
        return name
    shown = default if len(default) <= _LONGEST_TOLD else default[: _LONGEST_TOLD - 1] + "…"
    # As a list of them shows it; what would be mistaken for more of the list is quoted.
    return f"{name} = {shown}" if shown and shown == shown.strip() and "," not in shown else f'{name} = "{shown}"'


def _read(content: str, style: str) -> tuple[list[str], list[str]]:
    """Return the texts between the variables, and the variables: one text more than there are variables."""
    if style == "braces":
        return _read_braces(content)
    if style == "mustache":
        return _read_mustache(content)
    if style == "none":
        return [content], []
    raise ValueError(f"no template style {style!r}: {', '.join(STYLES)}")


# Names that were seen to be paths: a folder of prompts has the same few in thousands of places.
_PATHS: set[str] = set()
_MOST_PATHS = 1000


def _is_path(text: str) -> bool:
    if text in _PATHS:
        return True
    if not is_path(text):
        return False
    if len(_PATHS) < _MOST_PATHS:
        _PATHS.add(text)
    return True


def _read_braces(content: str) -> tuple[list[str], list[str]]:
    texts: list[str] = []
    names: list[str] = []
    text, start = "", 0
    arguments = _latex_arguments(content) if "\\" in content else ()
    opening = content.find("{")
    while opening != -1 and (closing := content.find("}", opening)) != -1:
        # Between a path's braces there is no other: only the last one before the closing brace can begin it.
        opening = content.rfind("{", opening, closing)
        path = content[opening + 1 : closing]
        following = closing + 1
        if _is_path(path):
            if opening > start and content[opening - 1] == "{" and content[following : following + 1] == "}":
                text += content[start : opening - 1] + content[opening:following]
                following += 1
                start = following
            elif not content.startswith(_SIGILS, opening - 1 if opening else 0) and opening not in arguments:
                texts.append(text + content[start:opening])
                names.append(path)
                text = ""
                start = following
        opening = content.find("{", following)
    texts.append(text + content[start:])
    return texts, names


def _latex_arguments(content: str) -> set[int]:
    r"""Return the places of the braces that open an argument of a LaTeX command, `\frac{a}{b}` or `\sqrt[3]{x}`."""
    places: set[int] = set()
    is_argument: list[bool] = []  # of the braces that are open, the innermost last
    was_argument = False  # what the last closing brace closed
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
    r"""Whether a brace after this text, which has none, opens an argument of a LaTeX command.

    A command has two letters or more, because `\n{name}` is an escaped line break before a variable.
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


def _read_mustache(content: str) -> tuple[list[str], list[str]]:
    texts: list[str] = []
    names: list[str] = []
    start = 0
    opening = content.find("{{")
    while opening != -1 and (closing := content.find("}}", opening + 2)) != -1:
        opening = content.rfind("{{", opening, closing)
        following = closing + 2
        path = content[opening + 2 : closing].strip(_BLANKS)
        if _is_path(path):
            # Three braces ask Mustache not to escape for HTML, which is never done here.
            if opening > start and content[opening - 1] == "{" and content[following : following + 1] == "}":
                opening -= 1
                following += 1
            texts.append(content[start:opening])
            names.append(path)
            start = following
        opening = content.find("{{", following)
    texts.append(content[start:])
    return texts, names
