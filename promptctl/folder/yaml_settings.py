"""The settings of a version in YAML, their checks, and the parameters of Claude's API that belong in a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptctl.folder.yaml_values import is_near, mapping, quoted, text
from promptctl.rules import requests, template_syntax

if TYPE_CHECKING:
    from promptctl.folder.yaml_values import Report

SETTINGS = ("template", "variables", "model", "max_tokens", "cache", "request")
# Parameters of the SDK's `messages.create` without a setting of their own. The list is kept here, because importing the
# SDK takes a second. The last three are those of older SDKs and models.
REQUEST_PARAMETERS = frozenset((
    "cache_control", "container", "diagnostics", "extra_body", "extra_headers", "extra_query", "inference_geo",
    "messages", "output_config", "service_tier", "speed", "stop_sequences", "thinking", "timeout", "tool_choice",
    "tools", "user_profile_id", "workspace_id", "temperature", "top_k", "top_p",
))  # fmt: skip
# Those that only the SDK uses: Claude is not sent them.
_ARGUMENTS_OF_CALL = frozenset(("extra_body", "extra_headers", "extra_query", "timeout"))
# What other APIs and people call a parameter, with its place in a request.
_OTHER_NAMES = {"effort": "output_config: {effort: …}", "stop": "stop_sequences: […]"}
# The database has the same limit, in the constraint max_tokens_is_at_least_1.
_HIGHEST_MAX_TOKENS = 999_999_999


def request_hint(key: object, *, is_exact: bool = False) -> str | None:
    """Return a sentence about a key that belongs in a request or in the call of the application, None for any other.

    `is_exact`: the key of another API, and a key with a typing error, is any other key.
    """
    name = str(key)
    if name in requests.REFUSED_KEYS and name not in SETTINGS:
        return f"unknown key {quoted(key)}: {name} {requests.REFUSED_KEYS[name]}"
    parameter = name if name in REQUEST_PARAMETERS else None
    if parameter is None and not is_exact:
        if name in _OTHER_NAMES:
            return f"unknown key {quoted(key)}: this belongs in request: {{{_OTHER_NAMES[name]}}}"
        parameter = next((other for other in sorted(REQUEST_PARAMETERS) if is_near(name, other)), None)
    if parameter is None:
        return None
    kind = "an argument of the SDK's call" if parameter in _ARGUMENTS_OF_CALL else "a parameter of Claude's API"
    return f"unknown key {quoted(key)}: {kind} belongs in request: {{{parameter}: …}}"


def is_valid(key: str, value: object, report: Report) -> bool:
    """Whether a value is valid for the setting `key`, in which a request is an object. Report the reason if not."""
    if key == "template":
        if value in template_syntax.STYLES:
            return True
        report(f"template must be one of {', '.join(template_syntax.STYLES)}, not {quoted(value)}")
        return False
    if key == "cache":
        if value in requests.CACHE_LIFETIMES:
            return True
        report(f"cache must be {' or '.join(requests.CACHE_LIFETIMES)}, not {quoted(value)}")
        return False
    if key == "request":
        problems = requests.problems(value)
        for problem in problems:
            report(f"request: {problem}")
        return not problems
    if key == "max_tokens":
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _HIGHEST_MAX_TOKENS:
            return True
        report(f"max_tokens must be a number from 1 to {_HIGHEST_MAX_TOKENS}, not {quoted(value)}")
        return False
    if key == "variables":
        problem = _variables_problem(value)
        if problem:
            report(problem)
        return not problem
    return text(value, key, report) is not None


def _variables_problem(value: object) -> str | None:
    variables = mapping(value)
    if variables is None:
        return "variables must be a mapping of names"
    for name, declaration in variables.items():
        if not isinstance(name, str) or not template_syntax.is_path(name):
            return (
                f"variables: {quoted(name)} must be identifiers joined by dots: ASCII letters, digits and underscores"
            )
        keys = mapping(declaration)
        if keys is None or keys.keys() - {"required", "default"}:
            return f"variables: {name} must be a mapping with required or default"
        if not isinstance(keys.get("required", False), bool) or not isinstance(keys.get("default", ""), str):
            return f"variables: {name}: required must be true or false, default must be a text"
        if keys.get("required") is True and "default" in keys:
            return f"variables: {name} is required and has a default: remove one of them"
    return None
