"""The request of a version: what Claude is sent besides the text, as one JSON object. Pure.

Nothing in a request is interpreted, except its few-shot messages: texts in `messages` are templates in the style of the
version. A setting holds the request as the text of the object, because `jsonb` does not keep the order of keys, and
Claude is sent that order. schema.sql implements the same checks.
"""

from __future__ import annotations

from promptctl.rules import jsonb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, cast
else:

    def cast(_: str, value: object) -> object:
        """Return the value. Only a type checker uses the type, and importing typing takes 7 ms."""
        return value


# Keys that a request must not have. The value completes a sentence that begins with the key.
REFUSED_KEYS: Mapping[str, str] = {
    "model": "belongs in the setting model",
    "max_tokens": "belongs in the setting max_tokens",
    "system": "is the text of the version",
    "stream": "belongs in the application's call",
    "metadata": "belongs in the application's call",
}
# The values of the setting `cache`: how long Claude keeps a cached text.
CACHE_LIFETIMES = ("5m", "1h")
MOST_BYTES = 1_000_000
# The request itself is level 1. Only objects and lists count.
DEEPEST = 100
ROLES = ("user", "assistant")
_MOST_PROBLEMS = 20
_LONGEST_SHOWN = 60
# 2 ** 1024, the least integer that JavaScript and Python's `float` read as infinity, is above this.
_LARGEST = 1.7976931348623157e308


def decode(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the request in the settings of a version, its keys in their order, or None.

    Settings have it as text when they come from the database, and as an object after `visible_settings`. Any other
    value is no request: until schema version 8, this key could have any value.
    """
    request = settings.get("request")
    if isinstance(request, str):
        try:
            request = jsonb.parse(request)
        except (ValueError, IndexError, RecursionError):
            return None
    if not isinstance(request, dict):
        return None
    keys = cast("dict[str, Any]", request)
    if not REFUSED_KEYS.keys().isdisjoint(keys) or ("messages" in keys and _message_problems(keys["messages"])):
        return None
    return keys


def encode(request: Mapping[str, Any]) -> str:
    """Return the text that stores a request. Requests with the same keys in the same order have the same text.

    Raises ValueError for NaN and infinity.
    """
    import json

    return json.dumps(request, ensure_ascii=False, allow_nan=False)


def visible_settings(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return settings with the request as an object; the same mapping if there is no request."""
    request = decode(settings) if "request" in settings else None
    return settings if request is None else {**settings, "request": request}


def parse_json(text: str) -> object:
    """Return the value of a JSON text. `problems` checks whether it can be a request.

    Raises `json_documents.InvalidDocument`, which is a ValueError with a short `reason` and a `line` or None, for text
    that is not JSON, NaN, infinity, a duplicate key, a NUL character and a lone surrogate.
    """
    from promptctl.rules import json_documents

    return json_documents.parse(text, unique_keys=True)


def problems(request: object) -> list[str]:
    """Return why a value cannot be a request, as short clauses with the path: `tools[0].x is not a finite number`.

    The list is empty for a request that can be stored. Everything else, such as a tool without a name, is Claude's to
    refuse.
    """
    if not isinstance(request, dict):
        return [f"is {kind(request)}, not an object"]
    keys = cast("dict[object, Any]", request)
    clauses = [f"{key} {instead}" for key, instead in REFUSED_KEYS.items() if key in keys]
    text = _plain_text(keys)
    invalid_values = [] if text is not None else _value_problems(keys)
    clauses += invalid_values
    if "messages" in keys:
        clauses += _message_problems(keys["messages"])
    if not invalid_values:
        text = encode(cast("dict[str, Any]", keys)) if text is None else text
    if text is not None and len(text.encode()) > MOST_BYTES:
        clauses.append(f"has more than {MOST_BYTES:,} bytes".replace(",", " "))
    return clauses[:_MOST_PROBLEMS]


def warnings(request: Mapping[str, Any]) -> list[str]:
    """Return sentences about messages that Claude refuses, or reads otherwise than their author probably expects.

    A version's messages go before those of the application, which knows whether any follow.
    """
    messages = request.get("messages")
    if not messages:
        return []
    roles = [message["role"] for message in messages]
    sentences: list[str] = []
    if roles[0] == "assistant":
        sentences.append("messages[0] is from the assistant: a conversation begins with the user")
    for place in range(1, len(roles)):
        if roles[place] == roles[place - 1]:
            sentences.append(
                f"messages do not alternate: messages[{place - 1}] and messages[{place}] are both from the "
                f"{roles[place]}, and Claude reads them as one"
            )
            break
    if roles[-1] == "assistant":
        sentences.append(
            "messages end with the assistant: newer models refuse a call without a message from the user after them"
        )
    else:
        sentences.append("messages end with the user: Claude reads the last one and the application's first as one")
    return sentences


def message_texts(request: Mapping[str, Any]) -> list[str]:
    """Return the texts in the messages of a request that are templates, in order.

    These are a message's `content` if it is a text, otherwise the `text` of its blocks of type `text`, and the same in
    the `content` of its blocks of type `tool_result`.
    """
    texts: list[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    replace_message_texts(request.get("messages", ()), collect)
    return texts


def replace_message_texts(messages: Sequence[Any], replacement: Callable[[str], str]) -> list[Any]:
    """Return messages in which each text that is a template is replaced. The messages themselves are not changed."""
    return [_replaced(message, "content", replacement) for message in messages]


def shortened(text: str) -> str:
    """Return a text of at most 60 characters, with an ellipsis at the end of a longer one."""
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


def kind(value: object) -> str:
    """Return what kind of JSON value something is, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    for kind, name in ((dict, "an object"), (list, "a list"), (str, "a text"), ((int, float), "a number")):
        if isinstance(value, kind):
            return name
    return f"a {type(value).__name__}"


def _replaced(
    parent: Mapping[str, Any], key: str, replacement: Callable[[str], str], *, is_result: bool = False
) -> Mapping[str, Any]:
    """Return an object with the texts under `key` replaced: a text, or those in a list of blocks."""
    value = parent.get(key)
    if isinstance(value, str):
        return {**parent, key: replacement(value)}
    if key == "content" and isinstance(value, list):
        blocks = [_replaced_block(block, replacement, is_result=is_result) for block in cast("list[Any]", value)]
        return {**parent, key: blocks}
    return parent


def _replaced_block(block: Any, replacement: Callable[[str], str], *, is_result: bool) -> Any:
    """Return a block with its texts replaced. A tool's result contains no tool's result."""
    if not isinstance(block, dict):
        return block
    keys = cast("dict[str, Any]", block)
    if keys.get("type") == "text":
        return _replaced(keys, "text", replacement)
    if keys.get("type") == "tool_result" and not is_result:
        return _replaced(keys, "content", replacement, is_result=True)
    return keys


def _plain_text(request: dict[object, Any]) -> str | None:
    """Return the text of a request in which `_value_problems` finds nothing, in a fifth of its time.

    The text can be None for another such request, one with an escaped NUL.
    """
    from promptctl.rules import json_documents

    text = json_documents.exact_text(request)
    collections: list[Any] = [request]
    for _ in range(DEEPEST):
        collections = [
            item
            for node in collections
            for item in (cast("dict[object, Any]", node).values() if isinstance(node, dict) else node)
            if isinstance(item, (dict, list))
        ]
        if not collections:
            break
    return None if collections or text is None or "\\u0000" in text else text


def _value_problems(request: dict[object, Any]) -> list[str]:
    """Return clauses about nesting, and about numbers, texts and keys that cannot be stored."""
    clauses: list[str] = []
    # A value, its path as a linked list of keys from the end, and its level.
    pending: list[tuple[Any, Any, int]] = [(request, None, 1)]
    while pending:
        node, path, level = pending.pop()
        if isinstance(node, (dict, list)):
            if level > DEEPEST:
                return [*clauses, f"has more than {DEEPEST} levels"]
            children = list(_children(node, path, level + 1))
            clauses += [
                f"{_path(child_path)}: {problem}"
                for _, child_path, _ in children
                if isinstance(node, dict) and (problem := _key_problem(child_path[0]))
            ]
            # In reverse, because the last one of the stack is next.
            pending += reversed(children)
        elif (problem := _scalar_problem(node)) is not None:
            clauses.append(f"{_path(path)} {problem}")
    return clauses


def _children(node: Any, path: Any, level: int) -> Iterator[tuple[Any, Any, int]]:
    is_object = isinstance(node, dict)
    items: Any = cast("dict[object, Any]", node).items() if is_object else enumerate(node)
    for key, value in items:
        yield value, (key, is_object, path), level


def _key_problem(key: object) -> str | None:
    from promptctl.rules import json_documents

    if not isinstance(key, str):
        return f"the key {shortened(repr(key))} is not a text"
    problem = json_documents.storage_problem(key)
    return problem and f"a key has {problem}"


def _scalar_problem(value: object) -> str | None:
    from promptctl.rules import json_documents

    if isinstance(value, str):
        problem = json_documents.storage_problem(value)
        return problem and f"has {problem}"
    if isinstance(value, (int, float)):
        # NaN is not between them.
        return None if -_LARGEST <= value <= _LARGEST else "is not a finite number"
    return None if value is None else f"is {kind(value)}, which JSON does not have"


def _message_problems(messages: object) -> list[str]:
    if not isinstance(messages, list):
        return [f"messages is {kind(messages)}, not a list"]
    if not messages:
        return ["messages is empty: leave it out"]
    return [
        f"messages[{place}]{problem}"
        for place, message in enumerate(cast("list[object]", messages))
        if (problem := _message_problem(message))
    ]


def _message_problem(message: object) -> str | None:
    if not isinstance(message, dict):
        return f" is {kind(message)}, not an object"
    keys = cast("dict[object, object]", message)
    role = keys.get("role")
    if role not in ROLES:
        fault = "has no role" if "role" not in keys else f"has the role {shortened(repr(role))}"
        return f" {fault}: use user or assistant"
    content = keys.get("content")
    if not isinstance(content, (str, list)):
        return " has no content" if content is None else f".content is {kind(content)}: use a text or a list of blocks"
    return None


def _path(linked: Any) -> str:
    """Return a path in the form of errors: `tools[0].input_schema`."""
    parts: list[str] = []
    while linked is not None:
        key, is_key, linked = linked
        parts.append(f".{shortened(_printable(str(key)))}" if is_key else f"[{key}]")
    return "".join(reversed(parts)).removeprefix(".")


def _printable(text: str) -> str:
    return text if text.isprintable() else repr(text)
