"""Translate exceptions of the SDK and of HTTP to ClaudeFailed, by the error type, the HTTP status or the class."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.claude import network, settings

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_MESSAGE = 300
# A shorter secret is masked only as the password in a URL, because elsewhere it may be part of an ordinary word.
_SHORTEST_SECRET = 6
# If Claude asks to wait longer than this, the call is not repeated: the user gets the error, with the time to wait.
_LONGEST_WAIT_SECONDS = 10.0
# The wait if Claude names none.
_DEFAULT_WAIT_SECONDS = 1.0

# Our message for each error type of https://docs.claude.com/en/api/errors. The types are also our error codes. Claude's
# own message is appended.
MESSAGES = {
    "authentication_error": "Claude rejected the API key",
    "billing_error": "Claude reports a billing problem",
    "permission_error": "the API key does not have permission",
    "not_found_error": "Claude does not have the model",
    "request_too_large": "the request is too large for Claude",
    "invalid_request_error": "Claude rejected the request",
    "rate_limit_error": "the API key has reached its rate limit",
    "timeout_error": "Claude timed out",
    "overloaded_error": "Claude is overloaded",
    "api_error": "Claude had an internal error",
}
_TYPE_BY_STATUS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error",
    529: "overloaded_error",
}  # fmt: skip
_RETRYABLE = ("rate_limit_error", "overloaded_error", "api_error", "timeout_error")
_HINTS = {
    "authentication_error": "set ANTHROPIC_API_KEY to a valid key",
    "billing_error": "check the billing of the account in the Claude Console",
    "permission_error": "use another key, or another model with --model",
    "not_found_error": "choose another model with --model",
    "request_too_large": "shorten the message",
    "invalid_request_error": "check --model, --max-tokens and the request of the version",
}


def translate(problem: Exception, model: str, secrets: Sequence[str]) -> tuple[errors.ClaudeFailed, float | None]:
    """Return the error for an exception of the SDK or of HTTP, and the seconds to wait before a retry.

    None means that a retry does not help. `secrets` are masked in the message.
    """
    import anthropic
    import httpx2

    if isinstance(problem, anthropic.APIStatusError):
        return _status_error(problem, model, secrets)
    if isinstance(problem, (anthropic.APITimeoutError, httpx2.TimeoutException)):
        is_connecting = isinstance(problem.__cause__ or problem, (httpx2.ConnectTimeout, httpx2.PoolTimeout))
        return _timeout(problem, is_connecting=is_connecting), None
    if isinstance(problem, (anthropic.APIConnectionError, httpx2.TransportError, httpx2.InvalidURL)):
        cause = problem.__cause__ if isinstance(problem, anthropic.APIConnectionError) else problem
        reason = _masked_line(str(cause or problem), secrets)
        if isinstance(cause, (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)):
            lost = f"lost the connection to Claude: {reason}"
            return errors.ClaudeFailed("reply_cut", lost, hint="run the command again"), 0.0
        return _unreachable(problem, reason), None
    if isinstance(problem, anthropic.CredentialsError):
        return errors.ClaudeFailed(
            "no_api_key", f"no credentials for Claude: {_masked_line(str(problem), secrets)}", hint=settings.KEY_HINT
        ), None
    if isinstance(problem, RecursionError):
        return invalid_reply("it is nested too deeply"), None
    if isinstance(problem, (json.JSONDecodeError, UnicodeDecodeError)):
        return invalid_reply("it has an event that is not JSON"), None
    return invalid_reply(_masked_line(f"{type(problem).__name__}: {problem}", secrets)), None


def invalid_reply(reason: str) -> errors.ClaudeFailed:
    """Return the error for a reply that is not in the format of Claude's API."""
    return errors.ClaudeFailed(
        "reply_invalid", f"the reply is not from Claude's API: {reason}", hint="check ANTHROPIC_BASE_URL"
    )


def incomplete_reply() -> errors.ClaudeFailed:
    """Return the error for a stream that was closed normally before its last event."""
    return errors.ClaudeFailed(
        "reply_incomplete", "the reply ended before it was complete", hint="run the command again"
    )


def refused_reply() -> errors.ClaudeFailed:
    """Return the error for a reply that Claude's safeguards stopped."""
    return errors.ClaudeFailed("reply_refused", "Claude refused to continue the reply", hint="rephrase the message")


def _timeout(problem: Exception, *, is_connecting: bool) -> errors.ClaudeFailed:
    if not is_connecting:
        message = "Claude sent nothing before the timeout"
    else:
        address = _address(problem, with_path=False)
        message = f"cannot connect to Claude{f' at {address}' if address else ''}: no connection before the timeout"
    return errors.ClaudeFailed("claude_timed_out", message, hint="run the command again, or raise --timeout")


def _unreachable(problem: Exception, reason: str) -> errors.ClaudeFailed:
    address = _address(problem, with_path=False)
    hint = "check the network and ANTHROPIC_BASE_URL"
    route = ""
    if address and (variable := network.proxy_variable(address)):
        route = f" through the proxy in {variable}"
        hint = f"check the proxy in {variable}"
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        route += network.certificates_clause()
        hint = "set SSL_CERT_FILE to a file with the CA certificate of the server, or unset it"
    message = f"cannot connect to Claude{f' at {address}' if address else ''}{route}: {reason}"
    return errors.ClaudeFailed("claude_unreachable", message, hint=hint)


def _status_error(problem: object, model: str, secrets: Sequence[str]) -> tuple[errors.ClaudeFailed, float | None]:
    status = int(getattr(problem, "status_code", 0))
    # For an error inside a stream the status is 200, so its type alone says which error it is.
    reported_type = getattr(problem, "type", None)
    kind = reported_type if isinstance(reported_type, str) else ""
    if status == 404 and kind not in MESSAGES and (address := _address(problem, with_path=True)):
        # For a missing model the API sends a type. Without a type, the URL itself is wrong.
        return invalid_reply(f"{address} does not exist (status 404)"), None
    if kind not in MESSAGES:
        kind = _TYPE_BY_STATUS.get(status, "api_error")
    api_message = getattr(problem, "api_message", None)
    # Another server may send an object.
    if api_message and isinstance(api_message, str):
        detail = f": {_masked_line(api_message, secrets)}"
    else:
        detail = f" (status {status})" if status >= 300 else ""
    if kind == "not_found_error" and model and model not in detail:
        detail = f" {model}{detail}"
    headers = getattr(getattr(problem, "response", None), "headers", {})
    should_retry = headers.get("x-should-retry")
    wait = None
    if should_retry == "true" or (should_retry != "false" and kind in _RETRYABLE):
        wait = _wait_seconds(headers.get("retry-after"))
    hint = _HINTS.get(kind, "run the command again later")
    if wait is not None and wait > _LONGEST_WAIT_SECONDS:
        detail += f"; Claude asks to wait {duration(wait)}"
        hint = f"run the command again in {duration(wait)}"
    failure = errors.ClaudeFailed(kind, f"{MESSAGES[kind]}{detail}", hint=hint)
    if wait is not None and wait > _LONGEST_WAIT_SECONDS:
        failure.wait_seconds, wait = wait, None
    return failure, wait


def _address(problem: object, *, with_path: bool) -> str:
    """Return the URL of the request without its credentials; '' if it is not known."""
    try:
        url = getattr(problem, "request").url  # noqa: B009 - no base class of both libraries' errors declares `request`
        port = f":{url.port}" if url.port else ""
        return f"{url.scheme}://{url.host}{port}{url.path if with_path else ''}"
    except (AttributeError, RuntimeError):
        return ""


def _wait_seconds(retry_after: str | None) -> float:
    """Return how many seconds to wait by a `retry-after` header, a number or a date; one second if it is neither."""
    if retry_after is None:
        return _DEFAULT_WAIT_SECONDS
    try:
        seconds = float(retry_after)
    except ValueError:
        import email.utils
        import time

        try:
            seconds = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except (ValueError, OverflowError):
            return _DEFAULT_WAIT_SECONDS
    return max(seconds, 0.0) if math.isfinite(seconds) else _DEFAULT_WAIT_SECONDS


def duration(seconds: float) -> str:
    """Return a duration as text, `45 seconds`, `2 minutes` or `1 hour`, rounded up."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = math.ceil(seconds / size)
            return f"{count} {unit}{'s' * (count != 1)}"
    return f"{math.ceil(seconds)} seconds"


def _masked_line(text: str, secrets: Sequence[str]) -> str:
    """Return a text with its secrets masked, on one line and shortened."""
    for secret in secrets:
        is_long = len(secret) >= _SHORTEST_SECRET
        text = text.replace(secret, "***") if is_long else text.replace(f":{secret}@", ":***@")
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"
