"""Fill the variables of a template with values, and describe variables. Pure.

`rules.template_syntax` has the grammar.
"""

from __future__ import annotations

from promptctl.rules import template_syntax

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

DEFAULT_STYLE = "braces"
_LONGEST_DEFAULT = 40


class MissingValues(Exception):
    """Variables have neither a value nor a default. `names` has these variables by first occurrence."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(", ".join(names))
        self.names = tuple(names)


class Template:
    """A parsed text that can be rendered many times.

    `variables` has the names in the text, by first occurrence. `required` has the variables that have no default and
    are not marked as optional. `accepted` has all names in the text and in the settings.
    """

    __slots__ = ("_defaults", "_names", "_pieces", "_places", "accepted", "required", "variables")

    def __init__(self, content: str, settings: Mapping[str, Any] | None = None) -> None:
        """Parse `content`. Of a version's `settings`, the keys `template` and `variables` are used.

        Raises ValueError for an unknown style.
        """
        settings = settings or {}
        descriptions: Mapping[str, Mapping[str, Any]] = settings.get("variables", {})
        texts, names = template_syntax.parse(content, settings.get("template", DEFAULT_STYLE))
        # The texts are at even indexes, and the values of variables are inserted at the odd ones.
        pieces: list[str] = [""] * (2 * len(names) + 1)
        pieces[::2] = texts
        self._pieces = pieces
        self._names = names
        self._places = [(2 * count + 1, name) for count, name in enumerate(names)]
        self.variables: tuple[str, ...] = tuple(dict.fromkeys(names))
        self._defaults: dict[str, str] = {
            name: description.get("default", "")
            for name, description in descriptions.items()
            if "default" in description or description.get("required") is False
        }
        self.required: tuple[str, ...] = tuple(name for name in self.variables if name not in self._defaults)
        self.accepted = frozenset((*self.variables, *descriptions))

    @property
    def prefix(self) -> str:
        """The text before the first variable, which is the same for all values; all of it without a variable."""
        return self._pieces[0]

    def without_prefix(self) -> Template:
        """Return the template of the text from the first variable on."""
        template = object.__new__(Template)
        for name in Template.__slots__:
            setattr(template, name, getattr(self, name))
        template._pieces = ["", *self._pieces[1:]]
        return template

    def default(self, name: str) -> str | None:
        """Return the default of a variable, '' if it is optional without a default, None if it is required."""
        return self._defaults.get(name)

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with every variable replaced by its value or default.

        Values are inserted as they are: braces in a value are text. Values for other names are ignored. Raises
        MissingValues.
        """
        pieces = self._pieces.copy()
        # Most often, each variable has a value. Defaults are looked up only otherwise.
        try:
            for place, name in self._places:
                pieces[place] = values[name]
        except KeyError:
            all_values = {**self._defaults, **values}
            missing = [name for name in self.required if name not in all_values]
            if missing:
                raise MissingValues(missing) from None
            for place, name in self._places:
                pieces[place] = all_values[name]
        return "".join(pieces)

    @staticmethod
    def render_all(parsed: Sequence[Template], values: Mapping[str, str]) -> list[str]:
        """Return the texts of several templates with their variables filled in, faster than a `render` for each.

        Raises MissingValues with the missing variables of all of them.
        """
        texts: list[str] = []
        try:
            for template in parsed:
                pieces = template._pieces.copy()
                for place, name in template._places:
                    pieces[place] = values[name]
                texts.append("".join(pieces))
        except KeyError:
            required = dict.fromkeys(name for template in parsed for name in template.required)
            missing = [name for name in required if name not in values]
            if missing:
                raise MissingValues(missing) from None
            return [template.render(values) for template in parsed]
        return texts


def variables(content: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names in the text of a version and then those in the messages of its request, each once.

    Without a request this takes half the time of `Template(content, settings).variables`, and returns the same.
    """
    style = settings.get("template", DEFAULT_STYLE)
    if "request" in settings:
        from promptctl.rules import requests

        texts = (content, *requests.message_texts(requests.decode(settings) or {}))
        return tuple(dict.fromkeys(name for text in texts for name in template_syntax.parse(text, style)[1]))
    if style != DEFAULT_STYLE:
        return Template(content, settings).variables
    return template_syntax.first_names(content)


def required(names: Sequence[str], settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Return those of these variables that have no default and are not marked as optional."""
    descriptions: Mapping[str, Mapping[str, Any]] | None = settings.get("variables")
    if not descriptions:
        return tuple(names)
    return tuple(name for name in names if _default(descriptions.get(name, {})) is None)


def double_brace_warnings(content: str, settings: Mapping[str, Any]) -> list[str]:
    """Return warnings about double braces that other tools read differently; none if the settings have a style.

    The text of a version and those of its few-shot messages are examined. `{{name}}` is a variable in Mustache, Jinja
    and Langfuse, but text here. `str.format` writes any `{{` as `{`, but here it stays double around anything but a
    name.
    """
    if settings.get("template") is not None:
        return []
    warnings = _double_braces(content)
    request = settings.get("request")
    if request is not None and (not isinstance(request, str) or "{{" in request):
        from promptctl.rules import requests

        texts = requests.message_texts(requests.decode(settings) or {})
        in_messages = dict.fromkeys(warning for text in texts for warning in _double_braces(text))
        warnings += [f"in a few-shot message, {warning}" for warning in in_messages]
    return warnings


def _double_braces(content: str) -> list[str]:
    if "{{" not in content:
        return []
    import re

    path = r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
    variable = re.compile(r"\{\{[ \t]*" + path + r"[ \t]*\}\}")
    warnings: list[str] = []
    if names := list(dict.fromkeys(variable.findall(content))):
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        verb = "are text, not variables" if more else "is text, not a variable"
        warnings.append(
            f"{_shortened(names[0])}{more} {verb}: {{{{name}}}} is a variable in the template style mustache only"
        )
    rest = variable.sub(" ", content)
    first = rest.find("{{")
    if 0 <= first < rest.rfind("}}"):
        line = rest.count("\n", 0, first) + 1
        warnings.append(f"line {line}: double braces around other text stay double; only {{{{name}}}} becomes {{name}}")
    return warnings


def describe(names: Sequence[str], settings: Mapping[str, Any]) -> str:
    """Return variables on one line, each optional one with its default: `name, tone = kindly`."""
    descriptions: Mapping[str, Mapping[str, Any]] | None = settings.get("variables")
    if not descriptions:
        return ", ".join(names)
    return ", ".join(_describe(name, _default(descriptions.get(name, {}))) for name in names)


def _default(description: Mapping[str, Any]) -> str | None:
    """Return the default in a description, '' for an optional variable without one, None for a required variable."""
    return description.get("default", "" if description.get("required") is False else None)


def _describe(name: str, default: str | None) -> str:
    if default is None:
        return name
    text = _shortened(default)
    # Quote a default that could be read as several variables.
    is_plain = text and text == text.strip() and "," not in text
    return f"{name} = {text}" if is_plain else f'{name} = "{text}"'


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_DEFAULT else text[: _LONGEST_DEFAULT - 1] + "…"
