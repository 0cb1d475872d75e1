"""Turn the keywords of a request into arguments of the SDK, so that each one arrives at Claude as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from promptctl import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

# What every version of the SDK accepts and sends in the body.
_ALWAYS_KNOWN = ("model", "max_tokens", "system", "messages")
# Arguments of the SDK's call that are no parameters of Claude's API: how the call is made, and what is added to it.
OF_CALL = ("timeout", "extra_headers", "extra_query")
EXTRA_BODY = "extra_body"
_NO_TEXT_PARAMETERS = (*OF_CALL, EXTRA_BODY, "stream", "self")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def for_request(client: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the SDK's `messages.create` for the keywords of a request.

    The arguments of its call (`timeout`, `extra_headers`, `extra_query`, `extra_body`) are passed to it, so that the
    call is the one that an application makes with the same keywords. Raises ClaudeFailed for a value of these that the
    SDK would fail on.

    The SDK sends some parameters as headers, so these must be its own arguments. Headers are texts. Every other
    parameter goes into the body without passing through the SDK, which would refuse a parameter that it does not know
    with a TypeError, fail on a value that it does not expect, and warn on standard error. `extra_body` wins over all of
    the body, as it does in the SDK.
    """
    extra_body = _checked_extra_body(request)
    arguments = {name: request[name] for name in (*_ALWAYS_KNOWN, *OF_CALL) if name in request}
    rest = {name: value for name, value in request.items() if name not in arguments and name != EXTRA_BODY}
    if rest:
        names = _text_parameters(client)
        headers = {name: value for name, value in rest.items() if name in names and _can_be_a_header(value)}
        arguments |= headers
        if body := {name: value for name, value in rest.items() if name not in headers}:
            extra_body = body | extra_body
    if extra_body:
        arguments[EXTRA_BODY] = extra_body
    return arguments


def _checked_extra_body(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the extra body of a request, after a check of all arguments of the call. Raises ClaudeFailed."""
    for name in (*OF_CALL, EXTRA_BODY):
        if (value := request.get(name)) is not None and (problem := _problem(name, value)):
            raise errors.ClaudeFailed(
                "invalid_request_error",
                f"the request cannot be sent: {name} {problem}",
                hint="create a version with another request",
            )
    return dict(request.get(EXTRA_BODY) or {})


def _problem(name: str, value: object) -> str | None:
    if name == "timeout":
        is_valid = isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
        return None if is_valid else "is not a positive number of seconds"
    if not isinstance(value, dict):
        return "is not an object"
    items = cast("dict[str, object]", value)
    if name == "extra_headers" and not all(map(_HEADER_NAME.fullmatch, items)):
        return "has a name that no header can have"
    if name == "extra_headers" and not all(map(_can_be_a_header, items.values())):
        return "has a value that is not a text of ASCII characters"
    return None


def _text_parameters(client: Any) -> frozenset[str]:
    """Return the names of the parameters that are texts for the SDK."""
    import inspect

    parameters = inspect.signature(client.messages.create).parameters.values()
    return frozenset(
        parameter.name
        for parameter in parameters
        if str(parameter.annotation).removeprefix("Optional[").startswith("str")
        and parameter.name not in _NO_TEXT_PARAMETERS
    )


def _can_be_a_header(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()
