"""What Claude and the way to it refuse, told as one of our errors: by the API's type, by status, by the SDK's class."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from promptctl import errors
from promptctl.claude import network

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILED = errors.ClaudeFailed
_LONGEST_MESSAGE = 300
# What is shorter is no key.
_SHORTEST_SECRET = 6
_LONGEST_WAIT_SECONDS = 10.0
_SHORTEST_WAIT_SECONDS = 1.0

# https://docs.claude.com/en/api/errors: the type in the error's body is the code here. What it says is added.
_BY_TYPE: dict[str, tuple[type[errors.PromptctlError], str, str]] = {
    "authentication_error": (_FAILED, "authentication_error", "Claude does not accept the key"),
    "billing_error": (_FAILED, "billing_error", "Claude has a problem with the account's payment"),
    "permission_error": (_FAILED, "permission_error", "the key may not do this"),
    "not_found_error": (_FAILED, "not_found_error", "Claude has no such model"),
    "request_too_large": (_FAILED, "request_too_large", "the conversation is too large for Claude"),
    "invalid_request_error": (_FAILED, "invalid_request_error", "Claude cannot use this request"),
    "rate_limit_error": (_FAILED, "rate_limit_error", "too many requests for this key"),
    "timeout_error": (_FAILED, "timeout_error", "Claude took too long by its own clock"),
    "overloaded_error": (_FAILED, "overloaded_error", "Claude is overloaded"),
    "api_error": (_FAILED, "api_error", "Claude failed"),
}
_TYPE_BY_STATUS = {
    400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
    404: "not_found_error", 413: "request_too_large", 429: "rate_limit_error", 504: "timeout_error",
    529: "overloaded_error",
}  # fmt: skip
_WORTH_ANOTHER_TRY = ("rate_limit_error", "overloaded_error", "api_error", "timeout_error")
_WAYS_OUT = {
    "authentication_error": "set ANTHROPIC_API_KEY to a valid key",
    "billing_error": "see the account's billing in the Claude console",
    "permission_error": "use another key, or another model with --model",
    "not_found_error": "name another model with --model",
    "request_too_large": "shorten the message",
    "invalid_request_error": "see what Claude says of it, and --model, --max-tokens",
}


def translated(problem: Exception, model: str, secrets: Sequence[str]) -> tuple[errors.ClaudeFailed, float | None]:
    """Return the error that an exception of the SDK or of HTTP means, and after how many seconds to try again.

    None: trying again is of no use. What `secrets` holds never stands in the message.
    """
    import anthropic
    import httpx2

    if isinstance(problem, anthropic.APIStatusError):
        return _of_status(problem, model, secrets)
    if isinstance(problem, (anthropic.APITimeoutError, httpx2.TimeoutException)):
        cause = problem.__cause__ or problem
        connecting = isinstance(cause, (httpx2.ConnectTimeout, httpx2.PoolTimeout))
        where = _address(problem, whole=False)
        at = f" at {where}" if where else ""
        what = f"cannot be reached{at}: no connection in time" if connecting else "went silent"
        return errors.ClaudeFailed(
            "claude_timed_out", f"Claude {what}", hint="run it again, or give it more --timeout"
        ), None
    if isinstance(problem, (anthropic.APIConnectionError, httpx2.TransportError, httpx2.InvalidURL)):
        cause = problem.__cause__ if isinstance(problem, anthropic.APIConnectionError) else problem
        said = _one_line(str(cause or problem), secrets)
        if isinstance(cause, (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError)):
            return errors.ClaudeFailed(
                "reply_cut", f"the connection to Claude was cut: {said}", hint="run it again"
            ), 0.0
        hint = "see the network and ANTHROPIC_BASE_URL"
        where = _address(problem, whole=False)
        through = network.proxy(where) if where else None
        if through:
            hint = f"see whether the proxy in {through} is right"
        by = f" through the proxy in {through}" if through else ""
        if "CERTIFICATE_VERIFY_FAILED" in said:
            by += network.by_certificates()
            hint = "have SSL_CERT_FILE name a file with the certificate that signs theirs, or unset it"
        told = f"cannot connect to Claude{f' at {where}' if where else ''}{by}: {said}"
        return errors.ClaudeFailed("claude_unreachable", told, hint=hint), None
    if isinstance(problem, anthropic.CredentialsError):
        hint = "export ANTHROPIC_API_KEY=…, from the Claude console"
        return errors.ClaudeFailed(
            "no_api_key", f"no credentials for Claude: {_one_line(str(problem), secrets)}", hint=hint
        ), None
    return invalid_reply(_one_line(f"{type(problem).__name__}: {problem}", secrets)), None


def invalid_reply(what: str) -> errors.ClaudeFailed:
    """Return the error for an answer that is not the API's; `what` came instead."""
    return errors.ClaudeFailed(
        "reply_invalid", f"that is no reply of Claude's API: {what}", hint="see that ANTHROPIC_BASE_URL is right"
    )


def incomplete_reply() -> errors.ClaudeFailed:
    """Return the error for a reply that stops in good order before its end."""
    return errors.ClaudeFailed("reply_incomplete", "the reply ended before it was complete", hint="run it again")


def refused_reply() -> errors.ClaudeFailed:
    """Return the error for a reply that Claude's safeguards stopped."""
    return errors.ClaudeFailed("reply_refused", "Claude refused to go on with this reply", hint="ask it in another way")


def _of_status(problem: object, model: str, secrets: Sequence[str]) -> tuple[errors.ClaudeFailed, float | None]:
    status = int(getattr(problem, "status_code", 0))
    # An event of the stream has status 200 and only its type says what it is.
    kind = getattr(problem, "type", None)
    if status == 404 and kind not in _BY_TYPE and (where := _address(problem, whole=True)):
        # No model is missing: nothing of the API's is there.
        return invalid_reply(f"{where} is not there (status 404)"), None
    if kind not in _BY_TYPE:
        kind = _TYPE_BY_STATUS.get(status, "api_error")
    make, code, message = _BY_TYPE[kind]
    said = getattr(problem, "api_message", None)
    told = f": {_one_line(str(said), secrets)}" if said else f" (status {status})" if status >= 300 else ""
    if code == "not_found_error" and model and model not in told:
        told = f" {model}{told}"
    headers = getattr(getattr(problem, "response", None), "headers", {})
    advice = headers.get("x-should-retry")
    wait = None
    if advice == "true" or (advice != "false" and code in _WORTH_ANOTHER_TRY):
        wait = _wait(headers.get("retry-after"))
    hint = _WAYS_OUT.get(code, "run it again in a while")
    if wait is not None and wait > _LONGEST_WAIT_SECONDS:
        told += f"; it asks to wait for {duration(wait)}"
        hint = f"run it again in {duration(wait)}"
    failure = make(code, f"{message}{told}", hint=hint)
    assert isinstance(failure, errors.ClaudeFailed)
    if wait is not None and wait > _LONGEST_WAIT_SECONDS:
        failure.wait_seconds, wait = wait, None
    return failure, wait


def _address(problem: object, *, whole: bool) -> str:
    """Return the URL that was asked, without credentials, `whole` or to the port; '' where it is not known."""
    try:
        url = getattr(problem, "request").url  # noqa: B009 - no two libraries' errors have it in one type
        port = f":{url.port}" if url.port else ""
        return f"{url.scheme}://{url.host}{port}{url.path if whole else ''}"
    except (AttributeError, RuntimeError):
        return ""


def _wait(said: str | None) -> float:
    """Seconds to wait before another try, as the server says: in seconds or as a date; what is neither is ignored."""
    if said is None:
        return _SHORTEST_WAIT_SECONDS
    try:
        seconds = float(said)
    except ValueError:
        import email.utils
        import time

        try:
            seconds = email.utils.parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, OverflowError):
            return _SHORTEST_WAIT_SECONDS
    return max(seconds, 0.0) if math.isfinite(seconds) else _SHORTEST_WAIT_SECONDS


def duration(seconds: float) -> str:
    """`45 seconds`, `2 minutes`, `1 hour`: rounded up, so that nobody comes back too early."""
    for size, unit in ((3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = math.ceil(seconds / size)
            return f"{count} {unit}{'s' * (count != 1)}"
    return f"{math.ceil(seconds)} seconds"


def _one_line(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        # What is short is masked in a URL only: its letters stand in every word.
        is_long = len(secret) >= _SHORTEST_SECRET
        text = text.replace(secret, "***") if is_long else text.replace(f":{secret}@", ":***@")
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_MESSAGE else line[: _LONGEST_MESSAGE - 1] + "…"
