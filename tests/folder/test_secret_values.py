from __future__ import annotations

import base64
import hashlib
import pathlib
import random
import re
import string
import subprocess
import sys
import time
import uuid

import pytest

from promptctl.folder import secret_values
from promptctl.folder.secret_values import Secret

# Every secret is put together here, so that no scanner of this repository finds one.
_RANDOM = random.Random(20261112)
_WORD = string.ascii_letters + string.digits
_URL_SAFE = _WORD + "-_"
_CAPITALS = string.ascii_uppercase + "234567"
_HEX = "0123456789abcdef"


def chars(length: int, characters: str = _WORD) -> str:
    return "".join(_RANDOM.choices(characters, k=length))


def token_of(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def pem(label: str, first: str = "", above: str = "") -> str:
    body = "\n".join(
        [
            (first + chars(64, _WORD + "+/"))[:64],
            chars(64, _WORD + "+/"),
            chars(30, _WORD + "+/") + "==",
        ]
    )
    return f"-----BEGIN {label}" + f"-----\n{above}{body}\n-----END {label}" + "-----"


OPENSSH = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gt"
ENCRYPTED = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,9F4C2B7A11D05E3388AC6610E2D9F7B4\n\n"

SECRETS = [
    ("sk-" + "ant-", "api03-" + chars(93, _URL_SAFE) + "AA", "an Anthropic API key"),
    ("sk-" + "ant-", "admin01-" + chars(93, _URL_SAFE) + "AA", "an Anthropic API key"),
    ("sk-" + "ant-", "oat01-" + chars(93, _URL_SAFE) + "AA", "an Anthropic API key"),
    ("sk-" + "ant-", chars(40), "an Anthropic API key"),
    ("sk-" + "proj-", chars(74, _URL_SAFE) + "T3Blbk" + "FJ" + chars(74, _URL_SAFE), "an OpenAI API key"),
    ("sk-" + "proj-", chars(48), "an OpenAI API key"),
    ("sk-" + "svcacct-", chars(74, _URL_SAFE), "an OpenAI API key"),
    ("sk-" + "admin-", chars(74, _URL_SAFE), "an OpenAI API key"),
    ("sk-", chars(20) + "T3Blbk" + "FJ" + chars(20), "an OpenAI API key"),
    ("sk-" + "or-", "v1-" + chars(64, _HEX), "an OpenRouter API key"),
    ("sk-" + "lf-", str(uuid.UUID(int=_RANDOM.getrandbits(128))), "a Langfuse secret key"),
    ("sk-", chars(32, _HEX), "an API key"),
    ("AK" + "IA", chars(16, _CAPITALS), "an AWS access key id"),
    ("AS" + "IA", chars(16, _CAPITALS), "an AWS access key id"),
    *[(f"gh{letter}" + "_", chars(36), "a GitHub token") for letter in "pousr"],
    ("github_" + "pat_", chars(22) + "_" + chars(59), "a GitHub token"),
    ("gl" + "pat-", chars(20, _URL_SAFE), "a GitLab token"),
    *[
        (f"xox{letter}" + "-", f"{chars(12, '0123456789')}-{chars(13, '0123456789')}-{chars(24)}", "a Slack token")
        for letter in "bpars"
    ],
    ("AI" + "za", "Sy" + chars(33, _URL_SAFE[:-2]), "a Google API key"),
    ("GOC" + "SPX-", chars(28), "a Google OAuth client secret"),
    ("sk_" + "live_", chars(24), "a Stripe key"),
    ("rk_" + "live_", chars(99), "a Stripe key"),
    ("wh" + "sec_", chars(32), "a webhook's signing secret"),
    ("np" + "m_", chars(36), "an npm token"),
    ("py" + "pi-", "AgEI" + "cHlwaS5vcmc" + chars(140, _URL_SAFE), "a PyPI token"),
    ("h" + "f_", chars(34), "a Hugging Face token"),
    ("S" + "G.", chars(22) + "." + chars(43), "a SendGrid API key"),
    ("g" + "sk_", chars(52), "a Groq API key"),
    ("x" + "ai-", chars(80), "an xAI API key"),
    ("pp" + "lx-", chars(48), "a Perplexity API key"),
    ("r" + "8_", chars(37), "a Replicate token"),
    ("lsv2_" + "pt_", chars(32, _HEX) + "_" + chars(10, _HEX), "a LangSmith API key"),
    ("dop_" + "v1_", chars(64, _HEX), "a DigitalOcean token"),
    ("shp" + "at_", chars(32, _HEX), "a Shopify token"),
    (
        "ey" + "J",
        ".".join([token_of(b'{"alg":"HS256","typ":"JWT"}')[3:], token_of(b'{"sub":"anna","iat":17900000}'), chars(43)]),
        "a JSON Web Token",
    ),
    ("hooks.slack.com/" + "services/", "T0" + chars(8) + "/B0" + chars(8) + "/" + chars(24), "a Slack webhook"),
]  # fmt: skip


def ids(case: tuple[str, str, str]) -> str:
    return f"{case[2]}: {case[0]}"


@pytest.mark.parametrize("case", SECRETS, ids=ids)
@pytest.mark.parametrize(
    "around",
    ["{}", "The key is {}.", "API_KEY={}\n", '{{"key": "{}"}}', "'{}'", "`{}`", "(see {})", "Bearer {}", "ключ {} €"],
)
def test_a_secret_is_found_and_masked(case: tuple[str, str, str], around: str) -> None:
    prefix, rest, kind = case
    found = secret_values.find("You are kind.\n\n" + around.format(prefix + rest))
    assert found == [Secret(3, kind, f"{prefix}…")]


@pytest.mark.parametrize("case", SECRETS, ids=ids)
def test_no_part_of_a_secret_is_printed(case: tuple[str, str, str]) -> None:
    prefix, rest, _ = case
    (found,) = secret_values.find(prefix + rest)
    shown = found.masked.removeprefix(prefix)
    assert shown == "…"


@pytest.mark.parametrize(
    "block",
    [
        pem("PRIVATE KEY", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"),
        pem("RSA PRIVATE KEY", "MIIEpAIBAAKCAQEA"),
        pem("EC PRIVATE KEY", "MHcCAQEEI"),
        pem("OPENSSH PRIVATE KEY", OPENSSH),
        pem("ENCRYPTED PRIVATE KEY", "MIIFHDBOBgkqhkiG9w0BBQ0wQTAp"),
        pem("RSA PRIVATE KEY", "", ENCRYPTED),
        pem("PGP PRIVATE KEY BLOCK", "lQOYBF", "Version: GnuPG v2\nComment: https://gpgtools.org\n\n"),
        pem("PRIVATE KEY", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC").replace("\n", "\\n"),
        pem("PRIVATE KEY", "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC").replace("\n", "\n    "),
    ],
)
def test_a_private_key_is_found_at_its_first_line(block: str) -> None:
    assert secret_values.find(f"Sign with\n{block}\n") == [Secret(2, "a private key", "-----BEGIN … PRIVATE KEY-----")]


PASSWORD = "kV7" + "qTz2" + "LmX"


@pytest.mark.parametrize(
    ("before", "password", "after", "shown"),
    [
        ("postgresql://app:", PASSWORD, "@db.prod/app", "postgresql://app:…@db.prod"),
        ("postgres://app:", PASSWORD, "@10.0.0.7:5432/app?sslmode=require", "postgres://app:…@10.0.0.7"),
        ("DATABASE_URL=postgresql+psycopg://app:", PASSWORD, "@[::1]:5432/app", "postgresql+psycopg://app:…@[::1]"),
        ("redis://:", PASSWORD, "@cache", "redis://:…@cache"),
        ("mongodb+srv://app:", PASSWORD, "@c0.ab1cd.mongodb.net/?w=1", "mongodb+srv://app:…@c0.ab1cd.mongodb.net"),
        ("mongodb://a:", PASSWORD, "@h1:27017,h2:27017/db", "mongodb://a:…@h1"),
        ("<https://anna:", PASSWORD, "@intranet>.", "https://anna:…@intranet"),
        ("See (amqp://anna:", PASSWORD, "@mq.prod).", "amqp://anna:…@mq.prod"),
        ("https://", PASSWORD * 4, ":" + PASSWORD + "@sentry.io/1", "https://…:…@sentry.io"),
        ("mysql://app:", "p@" + PASSWORD + "@q", "@db.prod/x", "mysql://app:…@db.prod"),
        ("mysql://app:", "p9xT@" + PASSWORD + "/q", "@db.prod/x", "mysql://app:…@…"),
        ("mysql://app:", "p%40" + PASSWORD, "@{host}/x", "mysql://app:…@{host}"),
        ("mysql://app:", "blue-horse", "@db.prod.", "mysql://app:…@db.prod"),
    ],
)
def test_a_password_in_a_url_is_found_and_masked(before: str, password: str, after: str, shown: str) -> None:
    (found,) = secret_values.find("\n\nConnect to " + before + password + after)
    assert found == Secret(3, "a password in a URL", shown)
    assert password not in found.masked
    assert PASSWORD not in found.masked


def test_a_url_with_a_token_is_reported_once() -> None:
    token = "gh" + "p_" + chars(36)
    for url in f"https://x-access-token:{token}@github.com/a/b", f"https://{token}:x-oauth-basic@github.com/a/b":
        assert secret_values.find(f"clone {url}") == [Secret(1, "a GitHub token", "gh" + "p_…")]


def test_several_secrets_are_found_in_their_order() -> None:
    key, token, aws = (
        "sk-" + "ant-" + chars(60),
        "gh" + "o_" + chars(36),
        "AK" + "IA" + chars(16, _CAPITALS),
    )
    text = f"{token} {aws},{key}\n\nredis://:{PASSWORD}@cache {key}\r\x0b\u2028{aws}\n{token}"
    assert [(found.line, found.masked) for found in secret_values.find(text)] == [
        (1, "gho_…"),
        (1, "AKIA…"),
        (1, "sk-ant-…"),
        (3, "redis://:…@cache"),
        (3, "sk-ant-…"),
        (3, "AKIA…"),
        (4, "gho_…"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk-ant-...",
        "sk-ant-…",
        "sk-ant-",
        "sk-ant-xxxxxxxx",
        "sk-ant-api03-XXXX",
        "sk-ant-api03-" + "X" * 95,
        "sk-ant-api03-" + "0" * 95,
        "sk-ant-api03-" + "abc123" * 16,
        "sk-ant-api03-your-key-goes-here-0123456789",
        "sk-ant-api03-ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        "sk-ant-YOUR_ANTHROPIC_KEY_0001",
        "sk-ant-this-stands-in-the-environment-of-the-service",
        "sk-ant-THIS_STANDS_IN_THE_ENVIRONMENT",
        "sk-ant-{anthropic_key_of_this_customer}",
        "sk-ant-<the-key-of-this-customer>",
        "sk-ant-api03-********************************",
        "sk-proj-" + "x" * 48,
        "sk-1234567890abcdef1234567890abcdef",
        "sk-learn-pipelines-with-many-steps-and-columns",
        "sk-toggleable__content-arrow-of-the-estimator",
        "AKIAIOSFODNN7EXAMPLE",
        "AKIA" + "X" * 16,
        "AKIA1234567890ABCDEF",
        "AKIA<16 characters>",
        "ghp_" + "x" * 36,
        "ghp_your_token_here",
        "github_pat_" + "1" * 82,
        "glpat-xxxxxxxxxxxxxxxxxxxx",
        "glpat-the-token-of-your-group",
        "xoxb-your-bot-token-goes-here",
        "xoxb-123456789012-1234567890123-" + "x" * 24,
        "AIza" + "_" * 35,
        "AIzaSyEXAMPLEexampleEXAMPLEexample12345",
        "sk_live_" + "x" * 24,
        "sk_test_" + "4eC39HqLyjWDarj" + "tT1zdp7dc",
        "npm_config_registry_of_the_whole_company",
        "hf_" + "a" * 34,
        "hf_hub_download(repo_id=repository_of_the_model)",
        "SG.example.example",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9",
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIn0.<signature>",
        # The token of jwt.io.
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIy"
        "fQ." + "SflKxwRJSMeKKF2QT4fw" + "pMeJf36POk6yJV_adQssw5c",
        "Never repeat what begins with -----BEGIN RSA PRIVATE KEY-----.",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n" + "x" * 64 + "\n-----END PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n<your key>\n-----END PRIVATE KEY-----\n" + hashlib.sha256(b"a").hexdigest(),
        "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEk7Vq2mTz8LxR1pWc4\n-----END PUBLIC KEY-----",
        "https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
        "<your-api-key>",
        "ANTHROPIC_API_KEY=your_api_key",
        "postgresql://user:password@host/db",
        "postgresql://USER:PASSWORD@HOST",
        "postgresql://user:pass@host:5432/db",
        "postgresql://postgres:postgres@localhost:5432/postgres",
        "postgresql://app:DB_PASSWORD@db.prod",
        "postgresql://app:$DB_PW@db.prod",
        "postgresql://app:${db_pw}@db.prod",
        "postgresql://app:{pw_of_app}@db.prod",
        "postgresql://{user}:{pw}@{host}/{database}",
        "postgresql://{{ user }}:{{ pw }}@{{ host }}",
        "postgresql://%s:%s@%s/%s",
        "postgresql://%(user)s:%(pw)s@db.prod",
        "postgresql://app:***@db.prod",
        "postgresql://app:…@db.prod",
        "postgresql://app:...@db.prod",
        "postgresql://app:<password>@db.prod",
        "postgresql://app:changeme@db.prod",
        "postgresql://app:secret@db.prod",
        "postgresql://app:xxxxx@db.prod",
        "https://user:pass@example.com",
        f"https://user:{PASSWORD}@www.example.org/",
        "docker://registry.prod:5000@sha256:0f1e",
        "ssh://git@github.com:22/a/b.git",
        "http://localhost:8080/@scope/package",
        "https://example.com/a:b/c@d",
        "Write to anna@firm.de, or see https://firm.de: there is more.",
        r"re.compile('://[^:]+:[^@]+@[^/]+')",
        # Look-alikes: what prompts are full of.
        str(uuid.UUID(int=_RANDOM.getrandbits(128))),
        hashlib.sha256(b"promptctl").hexdigest(),
        "sha256:" + hashlib.sha256(b"promptctl").hexdigest(),
        base64.b64encode(b"You are a helpful assistant that answers questions about orders, politely.").decode(),
        token_of(b'{"name": "a tool", "input": {"city": "Lausanne", "days": 12345}}'),
        "data:image/png;base64," + base64.b64encode(_RANDOM.randbytes(300)).decode(),
        r"\begin{equation}\sum_{k=1}^{n}\frac{1}{k^2}=\frac{\pi^2}{6}\label{eq:basel_problem_of_1735}\end{equation}",
        "task-" + chars(48),
        "disk-" + chars(32, _HEX),
        "the_variable_of_the_customer_support_agent and {customer_support_agent_name}",
        "-" * 80 + "\n" + "_" * 80 + "\n" + "=" * 80,
        "git checkout 3f786850e387550fdab836ed7e6dc881de23001b",
        "def find_the_longest_common_subsequence(first: str, second: str) -> list[str]: ...",
        "https://docs.anthropic.com/en/docs/build-with-claude/prompt-engineering/overview",
        "PSEUDOPSEUDOHYPOPARATHYROIDISM",
    ],
)  # fmt: skip
def test_placeholders_and_look_alikes_are_skipped(text: str) -> None:
    assert secret_values.find(text) == []
    assert secret_values.find(f"Write `{text}`, like this: ({text}).\n{text}\n") == []


def test_random_keys_are_hardly_ever_taken_for_placeholders() -> None:
    forms = [("sk-" + "ant-", 95, _URL_SAFE), ("AK" + "IA", 16, _CAPITALS), ("gh" + "p_", 36, _WORD), ("sk-", 32, _HEX)]
    for prefix, length, characters in forms:
        missed = sum(not secret_values.find(prefix + chars(length, characters)) for _ in range(2000))
        assert missed <= 12, f"{prefix}: {missed} of 2000"


def test_ordinary_texts_do_not_import_re() -> None:
    program = (
        "import sys; from promptctl.folder import secret_values as s;"
        "assert s.find('You are kind, {name}. ' * 99) == [];"
        "assert not {'re', 'typing', 'dataclasses'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-S", "-c", program], check=True, cwd=pathlib.Path(__file__).parents[2])


@pytest.mark.parametrize(
    "piece",
    [
        "a", "-", "sk-ant-", "sk-", "sk-proj-", "://", "eyJ", "eyJaaaaaaaaaa.", "eyJaaaaaaaaaa.eyJ", "@",
        "://a:", "://:@", "://a:b", "://a:b@",
        "-----BEGIN PRIVATE KEY-----", "-----BEGIN " + "A " * 10, "AKIA", "ghp_", "xoxb-", "SG.", "AIza",
        "abcdefghij0123456789 ", "sk-ant-abcdefghij0123456789.", "\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("end", ["", " ://a:@" + "x" * 20 + " PRIVATE KEY"])
def test_a_hostile_text_takes_time_in_proportion_to_its_length(piece: str, end: str) -> None:
    text = piece * (5_000_000 // len(piece)) + end
    began = time.process_time()
    assert secret_values.find(text) == []
    # Most take a third of a second and the worst takes one; a pattern that backtracks would take minutes.
    assert time.process_time() - began < 5


def test_many_secrets_take_time_in_proportion_to_their_number() -> None:
    line = "sk-" + "ant-" + chars(60) + f" redis://:{PASSWORD}@cache\n"
    began = time.process_time()
    found = secret_values.find(line * 20_000)
    assert time.process_time() - began < 3
    assert len(found) == 40_000
    assert found[-1].line == 20_000


def test_every_pattern_is_found_by_its_needle() -> None:
    # A pattern is only tried on a text that contains its needle.
    for prefix, rest, kind in SECRETS:
        assert any(
            re.match(form.pattern, prefix + rest, re.ASCII) and form.needle in prefix + rest
            for form in (*secret_values._TOKENS, *secret_values._BLOCKS)  # pyright: ignore[reportPrivateUsage]
            if form.kind == kind
        ), prefix
