"""Translate failures of Claude's API and the network that the test server cannot produce."""

from __future__ import annotations

from typing import Any

import pytest

from promptctl.claude import refusals


@pytest.fixture(scope="module")
def sdk() -> Any:
    import anthropic

    return anthropic


@pytest.fixture(scope="module")
def http() -> Any:
    import httpx2

    return httpx2


def status_error(sdk: Any, http: Any, status: int, body: object, **headers: str) -> Exception:
    response = http.Response(status, headers=headers, request=http.Request("POST", "http://h/v1/messages"))
    return sdk.APIStatusError("x", response=response, body=body)


def body(kind: str, message: str = "said so") -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message}}


def test_connection_and_reply_timeouts_have_different_messages(sdk: Any, http: Any) -> None:
    request = http.Request("POST", "http://h")
    for cause, message in (
        (http.ConnectTimeout("x"), "no connection before the timeout"),
        (http.ReadTimeout("x"), "sent nothing before the timeout"),
    ):
        timeout = sdk.APITimeoutError(request)
        timeout.__cause__ = cause
        for exception in (timeout, cause):
            failure, wait = refusals.translate(exception, "m", [])
            assert (failure.code, wait) == ("claude_timed_out", None)
            assert message in failure.message


def test_the_error_type_takes_precedence_over_the_status(sdk: Any, http: Any) -> None:
    # An event of the stream has status 200.
    failure, wait = refusals.translate(status_error(sdk, http, 200, body("overloaded_error")), "m", [])
    assert (failure.code, wait, failure.message) == ("overloaded_error", 1.0, "Claude is overloaded: said so")
    failure, wait = refusals.translate(status_error(sdk, http, 200, body("moon_error")), "m", [])
    assert (failure.code, failure.message) == ("api_error", "Claude had an internal error: said so")
    failure, wait = refusals.translate(status_error(sdk, http, 403, None), "m", [])
    assert (failure.code, failure.message) == ("permission_error", "the API key does not have permission (status 403)")
    failure, wait = refusals.translate(status_error(sdk, http, 418, "teapot"), "m", [])
    assert (failure.code, failure.message) == ("api_error", "Claude had an internal error (status 418)")


def test_each_status_has_the_error_code_that_the_api_documents(sdk: Any, http: Any) -> None:
    for status, code in (
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"),
        (403, "permission_error"), (413, "request_too_large"), (429, "rate_limit_error"), (500, "api_error"),
        (504, "timeout_error"), (529, "overloaded_error"),
    ):  # fmt: skip
        failure, _ = refusals.translate(status_error(sdk, http, status, None), "m", [])
        assert (failure.code, failure.exit_code) == (code, 7)
    failure, _ = refusals.translate(status_error(sdk, http, 404, body("not_found_error")), "m", [])
    assert failure.code == "not_found_error"


def test_incomplete_and_refused_replies_have_their_own_codes() -> None:
    incomplete, refused = refusals.incomplete_reply(), refusals.refused_reply()
    assert incomplete.code == "reply_incomplete"
    assert refused.code == "reply_refused"


WAITS = {"0": 0.0, "3": 3.0, "2.5": 2.5, "3600": None, "10.5": None, "-5": 0.0, "nan": 1.0, "inf": 1.0,
         "Wed, 21 Oct 2015 07:28:00 GMT": 0.0, "Fri, 21 Oct 2095 07:28:00 GMT": None, "": 1.0}  # fmt: skip


@pytest.mark.parametrize("retry_after", WAITS)
def test_a_retry_after_of_up_to_ten_seconds_is_waited_for(retry_after: str, sdk: Any, http: Any) -> None:
    problem = status_error(sdk, http, 429, body("rate_limit_error"), **{"retry-after": retry_after})
    assert refusals.translate(problem, "m", [])[1] == WAITS[retry_after]


@pytest.mark.parametrize(
    ("seconds", "duration"),
    [(11, "11 seconds"), (60, "1 minute"), (61, "2 minutes"), (3600, "1 hour"), (5400, "2 hours")],
)
def test_a_retry_after_above_ten_seconds_is_reported_and_not_waited_for(
    seconds: int, duration: str, sdk: Any, http: Any
) -> None:
    problem = status_error(sdk, http, 429, body("rate_limit_error"), **{"retry-after": str(seconds)})
    failure, wait = refusals.translate(problem, "m", [])
    assert wait is None
    assert failure.message.endswith(f": said so; Claude asks to wait {duration}")
    assert failure.hint == f"run the command again in {duration}"
    assert failure.wait_seconds == seconds


def test_a_short_secret_is_masked_in_urls_only(sdk: Any, http: Any) -> None:
    problem = status_error(sdk, http, 401, body("authentication_error", "see http://me:e@host"))
    failure, _ = refusals.translate(problem, "m", ["e"])
    assert failure.message == "Claude rejected the API key: see http://me:***@host"


def test_a_404_without_an_api_error_names_the_url(sdk: Any, http: Any) -> None:
    request = http.Request("POST", "http://me:secret@proxy.internal:8080/v1/v1/messages")
    problem = sdk.NotFoundError("not found", response=http.Response(404, request=request), body="<html>")
    failure, wait = refusals.translate(problem, "m", [])
    assert (failure.code, wait) == ("reply_invalid", None)
    assert "http://proxy.internal:8080/v1/v1/messages does not exist (status 404)" in failure.message
    failure, _ = refusals.translate(sdk.APIConnectionError(message="refused", request=request), "m", [])
    assert failure.message.startswith("cannot connect to Claude at http://proxy.internal:8080: ")
    assert "secret" not in failure.message


def test_a_certificate_error_names_the_variable_that_sets_the_certificates(
    sdk: Any, http: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = http.ConnectError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate")
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    failure, wait = refusals.translate(problem, "m", [])
    assert (failure.code, wait) == ("claude_unreachable", None)
    assert failure.message.startswith("cannot connect to Claude: [SSL: CERTIFICATE_VERIFY_FAILED]")
    for name in ("SSL_CERT_DIR", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, "/some/where")
        failure, _ = refusals.translate(problem, "m", [])
        assert failure.message.startswith(f"cannot connect to Claude with the certificates of {name}: ")
        assert failure.hint is not None
        assert "SSL_CERT_FILE" in failure.hint


def test_the_header_x_should_retry_decides_whether_to_retry(sdk: Any, http: Any) -> None:
    refused = status_error(sdk, http, 529, body("overloaded_error"), **{"x-should-retry": "false"})
    assert refusals.translate(refused, "m", [])[1] is None
    allowed = status_error(sdk, http, 400, body("invalid_request_error"), **{"x-should-retry": "true"})
    assert refusals.translate(allowed, "m", [])[1] == 1.0


def test_a_message_is_one_short_line_without_secrets(sdk: Any, http: Any) -> None:
    problem = status_error(sdk, http, 401, body("authentication_error", "bad key sk-123\n\x1b[31m" + "x" * 5000))
    failure, _ = refusals.translate(problem, "m", ["sk-123"])
    assert "sk-123" not in failure.message
    assert "bad key ***" in failure.message
    assert "\n" not in failure.message
    assert len(failure.message) < 400


def test_an_invalid_url_and_an_unknown_exception_have_codes(sdk: Any, http: Any) -> None:
    assert refusals.translate(http.InvalidURL("x"), "m", [])[0].code == "claude_unreachable"
    assert refusals.translate(ValueError("odd"), "m", [])[0].code == "reply_invalid"
    failure, wait = refusals.translate(http.ReadError("gone"), "m", [])
    assert (failure.code, wait) == ("reply_cut", 0.0)
