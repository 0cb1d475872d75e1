"""Find keys and credentials in a text. They do not belong in a prompt, which is stored for good and shown to readers.

A secret is recognised by its public prefix and its form. Placeholders are skipped: see `_is_placeholder`.
"""

from __future__ import annotations

from promptctl.records import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterator


class Secret(Record):
    """A secret in a text: its line, from 1; its kind, in words; and its masked form, which can be printed."""

    line: int
    kind: str
    masked: str


class _Form(Record):
    """The form of a kind of secret. The pattern's first group can be printed; its group `body` is the secret."""

    needle: str
    kind: str
    pattern: str


# A hostile text takes time in proportion to its length: unbounded repetitions are possessive (`++`), so that they do
# not backtrack, and each starts at a prefix that it consumes.
_TOKENS = (
    _Form("sk-ant-", "an Anthropic API key", r"(sk-ant-)(?:[a-z]{1,8}\d\d-)?(?P<body>[\w-]{20,}+)"),
    _Form("sk-", "an OpenAI API key", r"(sk-(?:proj|svcacct|admin|None)-)(?P<body>[\w-]{20,}+)"),
    _Form("sk-", "an OpenAI API key", r"(sk-)(?P<body>[A-Za-z0-9]{48})(?![\w-])"),
    _Form("sk-or-", "an OpenRouter API key", r"(sk-or-)(?:v1-)?(?P<body>[0-9a-f]{32,}+)"),
    _Form("sk-lf-", "a Langfuse secret key", r"(sk-lf-)(?P<body>[0-9a-f-]{36})(?![\w-])"),
    # Several providers that copy OpenAI's API copy its keys' prefix too.
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
    # Not after `-` or `_`, which is inside of another token; and a text of only `eyJ` would match at each of them.
    _Form("eyJ", "a JSON Web Token", r"(?<![_-])(eyJ)[\w-]{8,}+\.(?P<body>eyJ[\w-]{8,}+\.[\w-]{20,}+)"),
)
_NEEDLES = [(form.needle, form) for form in _TOKENS]
# Forms with other characters than a token's are searched for in the whole text.
_BLOCKS = (
    # A header without a key below it is not a key. Lines such as `Proc-Type: …` can precede the key.
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
# A password can contain an unescaped `@`: it ends at the last one before the path, or its rest would be
# printed as the host.
_URL = (
    r"://(?P<user>[\w.+%~{}$*!&=,;-]{0,80}):(?P<password>[^\s/?#\"'`<>]{1,256})"
    r"@(?P<host>\[[0-9a-fA-F:.]{2,45}\]|[\w.{}-]{1,100})"
)

# The shortest token, an AWS access key id, has 20 characters; every token has a run of at least 20 of these.
_SHORTEST = 20
_RUN = b"x" * _SHORTEST
_SHAPE = bytes(120 if chr(code).isascii() and (chr(code).isalnum() or chr(code) in "_-") else 32 for code in range(256))

# Random characters rarely spell these: one key of ten thousand contains a given word of four letters.
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
    matches: list[tuple[int, int, str, str]] = []
    if runs := _long_runs(text):
        for form in [form for needle, form in _NEEDLES if needle in runs]:
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


def _long_runs(text: str) -> str:
    """Return every run of characters that is long enough for a token; empty for almost every text.

    Each run includes the three characters before it, for `SG.`. One pass over the bytes costs as much as searching for
    three needles, and there are more than thirty.
    """
    shape = text.encode("latin-1", "replace").translate(_SHAPE)
    at = shape.find(_RUN)
    if at < 0:
        return ""
    runs: list[str] = []
    while at >= 0:
        end = shape.find(b" ", at)
        end = len(shape) if end < 0 else end
        runs.append(text[max(at - 3, 0) : end])
        at = shape.find(_RUN, end)
    return " ".join(runs)


def _pattern(source: str) -> re.Pattern[str]:
    if source not in _compiled:
        import re

        _compiled[source] = re.compile(source, re.ASCII)
    return _compiled[source]


def _find_form(form: _Form, text: str) -> Iterator[tuple[int, int, str, str]]:
    # Not within a word: `task-` is not `sk-`.
    for match in _pattern(r"(?<![A-Za-z0-9])" + form.pattern).finditer(text):
        if not _is_placeholder(match["body"]):
            prefix = match[1]
            masked = "-----BEGIN … PRIVATE KEY-----" if prefix.startswith("-----") else f"{prefix}…"
            yield match.start(), match.end(), form.kind, masked


def _is_placeholder(body: str) -> bool:
    """Whether the text after a prefix is a placeholder that a person wrote, and not random characters.

    A placeholder contains a word of `_PLACEHOLDER_WORDS`, has fewer than eight different characters, consists by half
    of one character, or has no digit and is words: in lower case, or in upper case with `-` or `_` between them.
    """
    body = body[:200]  # enough to decide, also for a long text that only begins like a key
    if len(set(body)) < 8 or _WELL_KNOWN in body:
        return True
    lower = body.lower()
    if any(word in lower for word in _PLACEHOLDER_WORDS):
        return True
    # Not "five times in a row": every OpenSSH key has ten A in a row.
    if any(lower.count(character) * 2 >= len(lower) for character in set(lower)):
        return True
    if any(digit in body for digit in "0123456789"):
        return False
    return body == lower or (body == body.upper() and ("-" in body or "_" in body))


def _passwords_in_urls(text: str, tokens: list[int]) -> Iterator[tuple[int, int, str, str]]:
    """Find passwords in URLs; a URL that contains one of `tokens`, the sorted starts of other secrets, is skipped."""
    from bisect import bisect_left

    for match in _pattern(_URL).finditer(text):
        user, password, host = match["user"], match["password"], match["host"].rstrip(".")
        if _is_placeholder_password(user, password, host):
            continue
        nearest = bisect_left(tokens, match.start())
        if nearest < len(tokens) and tokens[nearest] < match.end():
            continue
        after = text[match.end() : match.end() + 256].split(maxsplit=1)
        if after and not text[match.end()].isspace() and "@" in after[0]:
            host = "…"  # the password may continue: it has a `/` or another character that a URL cannot have there
        before = text[max(match.start() - 24, 0) : match.start()]
        scheme = before[len(before.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-")) :]
        # Some services accept a key as the user.
        shown_user = user if len(user) <= 24 else "…"
        yield match.start(), match.end(), "a password in a URL", f"{scheme}://{shown_user}:…@{host}"


def _is_placeholder_password(user: str, password: str, host: str) -> bool:
    """Whether the password of a URL is a placeholder; the rules are looser than for keys, because people choose it.

    A placeholder contains a word of `_PLACEHOLDER_WORDS`, has fewer than four different characters, equals the user, is
    a port, a name in capitals, a variable (`{…}`, `$NAME`, `%s`) or abbreviated, or the host is an example.
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
