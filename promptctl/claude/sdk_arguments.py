"""Turn the keywords of a request into arguments of the SDK, so that each one arrives at Claude as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# What every version of the SDK accepts and sends in the body.
_ALWAYS_KNOWN = ("model", "max_tokens", "system", "messages")
# Arguments of the SDK that are no parameters of Claude's API. A request that has such a key means Claude's.
SDK_ONLY = ("extra_headers", "extra_query", "extra_body", "timeout", "stream", "self")


def for_request(client: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the SDK's `messages.create` for the keywords of a request.

    The SDK sends some parameters as headers, so these must be its own arguments. Headers are texts. Every other
    parameter goes into the body without passing through the SDK, which would refuse a parameter that it does not know
    with a TypeError, fail on a value that it does not expect, and warn on standard error.
    """
    arguments = {name: request[name] for name in _ALWAYS_KNOWN if name in request}
    rest = {name: value for name, value in request.items() if name not in _ALWAYS_KNOWN}
    if rest:
        names = _text_parameters(client)
        headers = {name: value for name, value in rest.items() if name in names and _can_be_a_header(value)}
        arguments |= headers
        if body := {name: value for name, value in rest.items() if name not in headers}:
            arguments["extra_body"] = body
    return arguments


def _text_parameters(client: Any) -> frozenset[str]:
    """Return the names of the parameters that are texts for the SDK."""
    import inspect

    parameters = inspect.signature(client.messages.create).parameters.values()
    return frozenset(
        parameter.name
        for parameter in parameters
        if str(parameter.annotation).removeprefix("Optional[").startswith("str") and parameter.name not in SDK_ONLY
    )


def _can_be_a_header(value: object) -> bool:
    return isinstance(value, str) and value.isascii() and value.isprintable()
