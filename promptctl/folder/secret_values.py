"""Find keys and passwords in a text. They do not belong in a prompt, which is stored for good and shown to readers.

A secret is recognised by its public prefix and its form. Placeholders, such as `sk-ant-your-key-here`, are skipped.
"""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator
    from typing import Any


class Secret(Record):
    """A secret in a text: its line, from 1; its kind, in words; and its masked form, which can be printed."""

    line: int
    kind: str
    masked: str


class _Form(Record):
    """The form of a kind of secret.

    A text without `needle` has no secret of this form, so it is not searched. The first group of `pattern` is the
    prefix, which can be printed. The group `body` is secret.
    """

    needle: str
    kind: str
    pattern: str


# Forms of letters, digits, `-` and `_`. Even in a hostile text, a search takes time in proportion to the length:
# unbounded repetitions are possessive (`++`), so they do not backtrack, and each starts after a fixed prefix.
_TOKENS = (
    _Form("sk-ant-", "an Anthropic API key", r"(sk-ant-)(?:[a-z]{1,8}\d\d-)?(?P<body>[\w-]{20,}+)"),
    _Form("sk-", "an OpenAI API key", r"(sk-(?:proj|svcacct|admin|None)-)(?P<body>[\w-]{20,}+)"),
    _Form("sk-", "an OpenAI API key", r"(sk-)(?P<body>[A-Za-z0-9]{48})(?![\w-])"),
    _Form("sk-or-", "an OpenRouter API key", r"(sk-or-)(?:v1-)?(?P<body>[0-9a-f]{32,}+)"),
    _Form("sk-lf-", "a Langfuse secret key", r"(sk-lf-)(?P<body>[0-9a-f-]{36})(?![\w-])"),
    # Several providers have copied OpenAI's API and the prefix of its keys.
    _Form("sk-", "an API key", r"(sk-)(?P<body>(?![A-Za-z0-9]{48}(?![\w-]))[A-Za-z0-9]{32,}+)(?![\w-])"),
    *(
        _Form(prefix, "an AWS access key id", rf"({prefix})(?P<body>[A-Z0-9]{{16}})(?![\w-])")
        for prefix in ("AKIA", "ASIA")
    ),
    *(
        _Form(prefix, "a GitHub token", rf"({prefix})(?P<body>[A-Za-z0-9]{{36,}}+)(?![\w-])")
        for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")
    ),
    _Form("github_pat_", "a GitHub token", r"(github_pat_)(?P<body>\w{40,}+)"),
    _Form("glpat-", "a GitLab token", r"(glpat-)(?P<body>[\w-]{20,}+)"),
    _Form("xox", "a Slack token", r"(xox[abeoprs]-)(?P<body>[A-Za-z0-9-]{20,}+)"),
    _Form("AIza", "a Google API key", r"(AIza)(?P<body>[\w-]{35})(?![\w-])"),
    _Form("GOCSPX-", "a Google OAuth client secret", r"(GOCSPX-)(?P<body>[\w-]{28})(?![\w-])"),
    _Form("k_live_", "a Stripe key", r"([sr]k_live_)(?P<body>[A-Za-z0-9]{16,}+)"),
    _Form("whsec_", "a webhook's signing secret", r"(whsec_)(?P<body>[A-Za-z0-9]{24,}+)"),
    _Form("npm_", "an npm token", r"(npm_)(?P<body>[A-Za-z0-9]{36})(?![\w-])"),
    _Form("pypi-", "a PyPI token", r"(pypi-)AgE(?P<body>[\w-]{40,}+)"),
    _Form("hf_", "a Hugging Face token", r"(hf_)(?P<body>[A-Za-z0-9]{34})(?![\w-])"),
    _Form("SG.", "a SendGrid API key", r"(SG\.)(?P<body>[\w-]{20,24}\.[\w-]{40,46})(?![\w-])"),
    _Form("gsk_", "a Groq API key", r"(gsk_)(?P<body>[A-Za-z0-9]{40,}+)"),
    _Form("xai-", "an xAI API key", r"(xai-)(?P<body>[A-Za-z0-9]{60,}+)"),
    _Form("pplx-", "a Perplexity API key", r"(pplx-)(?P<body>[A-Za-z0-9]{40,}+)"),
    _Form("r8_", "a Replicate token", r"(r8_)(?P<body>[A-Za-z0-9]{37})(?![\w-])"),
    _Form("lsv2_", "a LangSmith API key", r"(lsv2_(?:pt|sk)_)(?P<body>[0-9a-f]{32}_[0-9a-f]{10})(?![\w-])"),
    _Form("dop_v1_", "a DigitalOcean token", r"(dop_v1_)(?P<body>[0-9a-f]{64})(?![\w-])"),
    _Form("shp", "a Shopify token", r"(shp(?:at|ca|pa|ss)_)(?P<body>[0-9a-fA-F]{32})(?![\w-])"),
    # After `-` or `_` it would be inside of another token, and a text that repeats `-eyJ` would be slow to search.
    _Form("eyJ", "a JSON Web Token", r"(?<![_-])(eyJ)[\w-]{8,}+\.(?P<body>eyJ[\w-]{8,}+\.[\w-]{20,}+)"),
)
# Forms with other characters: their needles are searched for in the whole text, and not only in runs (`_long_runs`).
_BLOCKS = (
    # A header without a key below is no secret. Lines such as `Proc-Type: …` can be between the header and the key.
    _Form(
        "PRIVATE KEY",
        "a private key",
        r"(-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----)"
        r"(?:(?!-----)[\s\S]){0,200}?(?P<body>[A-Za-z0-9+/]{40,}+)",
    ),
    _Form(
        "hooks.slack.com/",
        "a Slack webhook",
        r"(hooks\.slack\.com/services/)(?P<body>T\w{6,14}/B\w{6,14}/[A-Za-z0-9]{20,32})(?![\w-])",
    ),
)
# A password can contain an unescaped `@`, so it ends at the last `@` before the path. Otherwise its rest would be
# printed as the host.
_URL = (
    r"://(?P<user>[\w.+%~{}$*!&=,;-]{0,80}):(?P<password>[^\s/?#\"'`<>]{1,256})"
    r"@(?P<host>\[[0-9a-fA-F:.]{2,45}\]|[\w.{}-]{1,100})"
)

# The shape of a text has an `x` (120) for each character that a token can contain, and a blank (32) for any other. The
# shortest token, an AWS access key id, has 20 characters, so every token is part of a run of at least 20 `x`.
_SHORTEST = 20
_RUN = b"x" * _SHORTEST
_SHAPE = bytes(120 if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "_-") else 32 for code in range(256))

# Random characters rarely spell these words: one key of ten thousand contains a given word of four letters.
_PLACEHOLDER_WORDS = (
    "example", "placeholder", "your", "xxxx", "password", "passwd", "secret", "changeme", "change-me", "change_me",
    "redacted", "dummy", "sample", "fake", "insert", "replace", "goeshere", "key-here", "key_here", "apikey", "api-key",
    "api_key", "token", "12345", "abcde",
)  # fmt: skip
# The example token of jwt.io, which many tutorials show: {"sub": "1234567890", "name": "John Doe"…
_WELL_KNOWN = "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9l"

_compiled: dict[str, re.Pattern[str]] = {}


def find(text: str) -> list[Secret]:
    """Return what looks like real keys, tokens, private keys and passwords in URLs, in the order of the text."""
    # Of each secret: its start, its end, its kind and its masked form.
    matches: list[tuple[int, int, str, str]] = []
    if runs := _long_runs(text):
        for form in _TOKENS:
            if form.needle in runs:
                matches += _find_form(form, text)
        for form in _BLOCKS:
            if form.needle in text:
                matches += _find_form(form, text)
        matches.sort()
    if "@" in text and "://" in text:
        matches += _passwords_in_urls(text, [start for start, *_ in matches])
        matches.sort()
    secrets: list[Secret] = []
    line, counted_to = 1, 0
    for start, _, kind, masked in matches:
        line += text.count("\n", counted_to, start)
        counted_to = start
        secrets.append(Secret(line, kind, masked))
    return secrets


def find_in_values(values: Iterable[Any]) -> list[Secret]:
    """Return what looks like a secret in the texts and keys of JSON values. The lines have no meaning."""
    from promptctl.rules import json_values

    return [secret for value in values for secret in find("\n".join(json_values.texts(value)))]


def messages(path: str, text: str, values: Iterable[Any] = ()) -> list[str]:
    """Return a message about each secret in a file, with its line.

    `values` are the JSON values that YAML or JSON reads from the text, where an escape can hide a secret. The line of
    such a secret is not known.
    """
    in_text = [f"{path}:{secret.line}: {secret.masked} looks like {secret.kind}" for secret in find(text)]
    if in_text or "\\" not in text:
        return in_text
    return [f"{path}: {secret.masked} looks like {secret.kind}" for secret in find_in_values(values)]


def _long_runs(text: str) -> str:
    """Return the parts of a text that are long enough for a token, '' for almost every text.

    Each part begins three characters before its run, because the prefix `SG.` has a dot. This pass over the text costs
    as much as searching for three needles, and there are more than thirty.
    """
    raw = text.encode(errors="replace")
    shape = raw.translate(_SHAPE)
    at = shape.find(_RUN)
    if at < 0:
        return ""
    runs: list[bytes] = []
    while at >= 0:
        end = shape.find(b" ", at)
        end = len(shape) if end < 0 else end
        runs.append(raw[max(at - 3, 0) : end])
        at = shape.find(_RUN, end)
    return b" ".join(runs).decode(errors="replace")


def _pattern(source: str) -> re.Pattern[str]:
    """Return a compiled pattern. Patterns are compiled when they are needed, because importing `re` takes 7 ms."""
    if source not in _compiled:
        import re

        _compiled[source] = re.compile(source, re.ASCII)
    return _compiled[source]


def _find_form(form: _Form, text: str) -> Iterator[tuple[int, int, str, str]]:
    # A prefix within a word does not count: `task-` is not `sk-`.
    for match in _pattern(r"(?<![A-Za-z0-9])" + form.pattern).finditer(text):
        if not _is_placeholder(match["body"]):
            prefix = match[1]
            masked = "-----BEGIN … PRIVATE KEY-----" if prefix.startswith("-----") else f"{prefix}…"
            yield match.start(), match.end(), form.kind, masked


def _is_placeholder(body: str) -> bool:
    """Whether the text after a prefix is a placeholder that a person wrote, and not random characters.

    A placeholder contains a word of `_PLACEHOLDER_WORDS`, has fewer than eight different characters, or consists of one
    character by half or more. Without a digit, it is also a placeholder if it is all in lower case, or all in upper
    case with `-` or `_`.
    """
    body = body[:200]  # enough to decide, also for a long text that only begins like a key
    if len(set(body)) < 8 or _WELL_KNOWN in body:
        return True
    lower = body.lower()
    if any(word in lower for word in _PLACEHOLDER_WORDS):
        return True
    # To count repetitions in a row would be wrong: every OpenSSH key has ten A in a row.
    if any(lower.count(character) * 2 >= len(lower) for character in set(lower)):
        return True
    if any(digit in body for digit in "0123456789"):
        return False
    return body == lower or (body == body.upper() and ("-" in body or "_" in body))


def _passwords_in_urls(text: str, secret_starts: list[int]) -> Iterator[tuple[int, int, str, str]]:
    """Find passwords in URLs. A URL that contains another secret is skipped; `secret_starts` are sorted."""
    from bisect import bisect_left

    for match in _pattern(_URL).finditer(text):
        user, password, host = match["user"], match["password"], match["host"].rstrip(".")
        if _is_placeholder_password(user, password, host):
            continue
        following = bisect_left(secret_starts, match.start())
        if following < len(secret_starts) and secret_starts[following] < match.end():
            continue
        after = text[match.end() : match.end() + 256].split(maxsplit=1)
        if after and not text[match.end()].isspace() and "@" in after[0]:
            host = "…"  # the password may have a `/` and continue up to the next `@`, so this may not be the host
        # The scheme is the run of scheme characters directly before `://`.
        before = text[max(match.start() - 24, 0) : match.start()]
        scheme = before[len(before.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")) :]
        # Some services accept a key as the user.
        shown_user = user if len(user) <= 24 else "…"
        yield match.start(), match.end(), "a password in a URL", f"{scheme}://{shown_user}:…@{host}"


def _is_placeholder_password(user: str, password: str, host: str) -> bool:
    """Whether the password of a URL is a placeholder. Its rules are looser than those for keys: people choose it.

    A placeholder contains a word of `_PLACEHOLDER_WORDS` or has fewer than four different characters. It is also one if
    it equals the user, is a port, a name in capitals, a variable (`{…}`, `$NAME`, `%s`) or abbreviated (`…`), or if the
    host is reserved for examples.
    """
    lower = password.lower()
    return (
        len(set(password)) < 4
        or password == user
        or (password.isdigit() and len(password) <= 5)
        or any(word in lower for word in _PLACEHOLDER_WORDS)
        or any(mark in password for mark in ("***", "...", "…", "%s", "%("))
        or ("{" in password and "}" in password)
        or (password.strip("$%_").replace("_", "").isalpha() and password == password.upper())
        or host.lower().endswith(("example.com", "example.org", "example.net", ".example", ".invalid"))
    )
