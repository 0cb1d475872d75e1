"""The settings for Claude's API: which values of the environment are accepted."""

from __future__ import annotations

import pytest

from promptctl import errors
from promptctl.claude import settings


@pytest.mark.parametrize(
    "url", ["http://[::1]", "http://[::1]/v1", "http://[FE80::1]:8080", "HTTPS://me:a]b@h:443", "http://h:"]
)
def test_the_url_of_a_server_is_accepted_as_it_is(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", f" {url} ")
    assert settings.read().base_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1", "http://[::1]x", "http://[::1]x:80", "http://h[::1]", "http://[::1]:x", "http://[x]", "http://[]",
        "http://h:65536", "http://h:-1", "http://h:1:2", "http://:80", "http://?x", "http://me:sesame@", "http://h\n.x",
    ],
)  # fmt: skip
def test_a_malformed_url_is_refused_without_repeating_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "key")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
    with pytest.raises(errors.ClaudeFailed) as refused:
        settings.read()
    assert refused.value.code == "invalid_base_url"
    assert url not in refused.value.message
