"""Compose what Claude is sent from a version: the keywords of `messages.create` in Anthropic's SDK. Pure.

The text of the version is the system prompt. Its request (`rules.requests`) is sent as it is, except that the texts of
its messages are templates, as the text of the version is.
"""

from __future__ import annotations

from promptctl.rules import requests
from promptctl.rules.read_only import read_only
from promptctl.rules.templates import Template

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_CACHE_CONTROLS = {"5m": {"type": "ephemeral"}, "1h": {"type": "ephemeral", "ttl": "1h"}}


class RequestTemplate:
    """A version, parsed once, which composes the keywords of many calls.

    `variables` has the names in the text and then those in the messages, each once. `required` has those of them that
    have no default, `accepted` all names in the texts and in the settings. `request` has the request of the version, or
    None. It cannot be changed, and `keywords` returns parts of it.
    """

    __slots__ = (
        "_cached_block", "_containers", "_keywords", "_messages", "_places", "_prefix", "_settings", "_templates",
        "_trees", "accepted", "request", "required", "variables",
    )  # fmt: skip

    def __init__(self, content: str, settings: Mapping[str, Any]) -> None:
        """Parse the text of a version, and the texts of the messages in the request of its settings.

        Raises ValueError for an unknown template style.
        """
        text = Template(content, settings)
        self._settings = settings
        self._prefix = _cacheable(text)
        self._cached_block: dict[str, Any] | None = None
        lifetime = cache_lifetime(settings)
        control = None if lifetime is None else _CACHE_CONTROLS[lifetime]
        if self._prefix and control is not None:
            self._cached_block = {"type": "text", "text": self._prefix, "cache_control": read_only(control)}
        self.request: Mapping[str, Any] | None = None
        if (request := requests.decode(settings)) is not None:
            self.request = read_only(request)
        sent = dict(self.request or {})
        # The templates that are rendered for each call: that of the text, or of what follows the cached block, then
        # those of messages with a variable.
        self._templates = [text if self._cached_block is None else text.without_prefix()]
        self._messages: list[Any] = []
        # The messages to fill in: those whose content is one text, by the indexes of the message and the template; and
        # those whose content is a list of blocks.
        self._places: list[tuple[int, dict[str, Any], int]] = []
        self._trees: list[tuple[int, dict[str, Any], int]] = []
        for place, message in enumerate(sent.pop("messages", ())):
            self._messages.append(self._parse(place, message))
        self._keywords: dict[str, Any] = {
            **self._model_and_max_tokens(None, None),
            "system": "",
            **sent,
            "messages": [],
        }
        # Objects and lists of the first level are copied for each call, so that a caller may add to them.
        self._containers: list[tuple[str, Any]] = [
            (key, list(value) if isinstance(value, list) else dict(value))  # pyright: ignore[reportUnknownArgumentType] - any JSON
            for key, value in sent.items()
            if isinstance(value, (list, dict))
        ]
        self.variables: tuple[str, ...] = tuple(
            dict.fromkeys(name for template in self._templates for name in template.variables)
        )
        self.required: tuple[str, ...] = tuple(name for name in self.variables if text.default(name) is None)
        self.accepted = text.accepted.union(self.variables)

    def default(self, name: str) -> str | None:
        """Return the default of a variable, '' if it is optional without a default, None if it is required."""
        return self._templates[0].default(name)

    def keywords(
        self,
        values: Mapping[str, str],
        messages: Iterable[Mapping[str, Any]] = (),
        *,
        model: str | None = None,
        max_tokens: int | None = None,
    ) -> dict[str, Any]:
        """Return the keywords of `messages.create`, in this order.

        - `model` and `max_tokens`: the argument, else the setting; left out if there is neither.
        - `system`: the text with its variables filled in. With the setting `cache`, a list of text blocks, where the
          first one ends before the first variable and has the breakpoint.
        - The keys of the request, as they are.
        - `messages`: those of the request with their variables filled in, then `messages`.

        The dictionary, and the objects and lists in it, are the caller's. What these contain is shared and read-only.
        Values are inserted as they are: braces in a value are text. Values for other names are ignored. Raises
        templates.MissingValues with all variables that have neither a value nor a default.
        """
        texts = Template.render_all(self._templates, values)
        if model is max_tokens is None:
            keywords = self._keywords.copy()
        else:
            keywords = {**self._model_and_max_tokens(model, max_tokens), **self._keywords}
            keywords.update(self._model_and_max_tokens(model, max_tokens))
        keywords["system"] = texts[0] if self._cached_block is None else self._blocks(self._cached_block, texts[0])
        for key, container in self._containers:
            keywords[key] = container.copy()
        filled = self._messages.copy()
        for place, message, index in self._places:
            filled[place] = copied = message.copy()
            copied["content"] = texts[index]
        for place, message, index in self._trees:
            filled[place] = _filled(message, iter(texts[index:]))
        filled += messages
        keywords["messages"] = filled
        return keywords

    def _blocks(self, cached: dict[str, Any], rest: str) -> list[dict[str, Any]]:
        """Return the text as blocks, with the breakpoint on the first. Claude refuses a block that has only blanks."""
        if not rest or rest.isspace():
            return [{**cached, "text": self._prefix + rest}]
        return [cached.copy(), {"type": "text", "text": rest}]

    def _model_and_max_tokens(self, model: str | None, max_tokens: int | None) -> dict[str, Any]:
        chosen = {
            "model": self._settings.get("model") if model is None else model,
            "max_tokens": self._settings.get("max_tokens") if max_tokens is None else max_tokens,
        }
        return {name: value for name, value in chosen.items() if value is not None}

    def _parse(self, place: int, message: Mapping[str, Any]) -> Mapping[str, Any]:
        """Parse the message at an index. Return it as it is sent if it has no variable."""
        templates: list[Template] = []

        def parse(text: str) -> Any:
            templates.append(Template(text, self._settings))
            return templates[-1]

        [parsed] = requests.replace_message_texts([message], parse)
        if not any(template.variables for template in templates):
            return read_only(_filled(parsed, iter(Template.render_all(templates, {}))))
        index = len(self._templates)
        self._templates += templates
        if isinstance(parsed["content"], Template):
            self._places.append((place, parsed, index))
        else:
            self._trees.append((place, parsed, index))
        return parsed


def cache_lifetime(settings: Mapping[str, Any]) -> str | None:
    """Return how long Claude caches the text of a version, `5m` or `1h`, or None.

    Any other value is no lifetime: until schema version 8, the key could have any value.
    """
    lifetime = settings.get("cache")
    return lifetime if lifetime in requests.CACHE_LIFETIMES else None


def cacheable_text(content: str, settings: Mapping[str, Any]) -> str:
    """Return what Claude can cache of a text: what stands before the first variable, or '' if that is only blanks."""
    return _cacheable(Template(content, settings))


def _cacheable(template: Template) -> str:
    return "" if template.prefix.isspace() else template.prefix


def _filled(node: Any, texts: Iterator[str]) -> Any:
    """Return a copy of a parsed message, with the next one of `texts` in the place of each Template."""
    kind = node.__class__
    if kind is Template:
        return next(texts)
    if kind is dict:
        return {key: _filled(item, texts) for key, item in node.items()}
    if kind is list:
        return [_filled(item, texts) for item in node]
    return node
