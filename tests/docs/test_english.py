"""Plain technical English: no phrase that has to be decoded, no name that says only that something happened."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# A phrase to avoid, as a regular expression, and what to write instead.
PHRASES = {
    r"(is|are|was|were|be|been|being) told": "is reported, is notified, is printed",
    r"tells? (of|how|whether|which|apart)": "reports, shows, distinguishes",
    r"(is|are|was|were|be) said": "is reported, is documented",
    r"said of": "metadata, description",
    r"what it failed of": "the error",
    r"reckon(s|ed)?": "calculate, count",
    r"who gets what": "which version each unit gets",
    r"nobody goes back|goes back to it": "keeps the candidate, rolls back to it",
    r"(draws?|drawn?) lots|lots are drawn": "selects at random",
    r"(?<!there )is no (time|name|number|version|prompt|reference|share|plan|file|folder|JSON|text)\b": "is not a …",
    r"(puts?|put) back": "rolls back, restores",
    r"since \d+ (second|minute|hour|day)s? ago": "for N seconds",
    r"deals? (those|them|it) out": "distributes",
    r"stands? in\b": "is in, replaces",
    r"of nothing, too": "also if empty",
    r"(is|was|went|goes|go|makes?|made|what is) live": "is active, activate",
    r"live version": "active version",
    r"(is|are|was|were|be) booked|books? (a|the|each|it|how|them|uses?)\b": "is recorded, records",
    r"whoever|whomever": "anyone who, the caller",
    r"what is the matter": "the error",
    r"(lies|lie) (in|on|at|beside|behind|above|below|between)": "is in",
    r"the other way round": "inversely",
    r"at work": "active, running",
    r"hold of": "access to",
    r"is wanted|are wanted": "is requested, is needed",
    r"(who|what)ever (it|that) (is|was)": "any",
    r"as people write (it|them)": "in the written form",
    r"whole or not at all": "atomically",
    r"so and so": "by name",
    r"that many": "N",
    r"in no time": "immediately",
}
BANNED = re.compile("|".join(f"(?:\\b(?:{phrase})\\b)" for phrase in PHRASES), re.IGNORECASE)

# Participles and pronouns that say nothing of what a value is.
NAMES = {
    "asked", "done", "each", "found", "gave", "given", "got", "he", "known", "made", "meant", "said", "saw", "seen",
    "shown", "taken", "they", "told", "tried", "wanted", "went",
}  # fmt: skip

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "examples/**/*", "benchmarks/*.md", "schema.sql")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix in (".md", ".sh", ".py", ".js", ".yml", ".sql")
)
MODULES = sorted((ROOT / "promptctl").rglob("*.py"))


def prose_of_module(path: Path) -> list[tuple[int, str]]:
    """Return the lines of comments and string literals of a module, with their numbers."""
    kinds = {tokenize.COMMENT, tokenize.STRING, *(getattr(tokenize, name, -1) for name in ("FSTRING_MIDDLE",))}
    lines: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type in kinds:
            lines += [(token.start[0] + offset, line) for offset, line in enumerate(token.string.splitlines())]
    return lines


def phrases(lines: list[tuple[int, str]], path: Path) -> list[str]:
    """Return each banned phrase as `file:line: phrase`; a phrase may continue on the next line."""
    text = ""
    starts: list[tuple[int, int]] = []
    for number, line in lines:
        starts.append((len(text), number))
        text += re.sub(r"^\s*(--|#|//|\*)?\s*", "", line) + " "
    matches: list[str] = []
    for match in BANNED.finditer(text):
        number = next(number for start, number in reversed(starts) if start <= match.start())
        matches.append(f"{path.relative_to(ROOT)}:{number}: {match.group()}")
    return matches


def names_of_module(path: Path) -> list[str]:
    """Return each variable, parameter or attribute with a banned name, as `file:line: name`."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name, line = "", 0
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            name, line = node.id, node.lineno
        elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
            name, line = node.attr, node.lineno
        elif isinstance(node, ast.arg):
            name, line = node.arg, node.lineno
        if name.strip("_") in NAMES:
            names.append(f"{path.relative_to(ROOT)}:{line}: {name}")
    return names


def test_pages_and_the_schema_have_no_banned_phrase() -> None:
    matches = [
        match
        for path in PAGES
        for match in phrases(list(enumerate(path.read_text(encoding="utf-8").splitlines(), 1)), path)
    ]
    assert matches == []


def test_messages_and_comments_have_no_banned_phrase() -> None:
    assert [match for path in MODULES for match in phrases(prose_of_module(path), path)] == []


def test_names_say_what_a_thing_is() -> None:
    assert [name for path in MODULES for name in names_of_module(path)] == []


@pytest.mark.parametrize(
    "text",
    ["the uses are told", "lots are drawn", "nobody goes back", "10 is no time", "on the version that is\n    # live"],
)
def test_the_check_finds_a_banned_phrase(text: str) -> None:
    assert phrases(list(enumerate(text.splitlines(), 1)), ROOT / "page.md") != []


def test_the_glossary_defines_each_term_once() -> None:
    rows = re.findall(
        r"^\| \*\*(.+?)\*\* \|", (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(rows) > 50
    assert [term for term, count in Counter(rows).items() if count > 1] == []
    terms = {
        "use", "record", "active version", "unit", "bucket", "epoch", "candidate", "share", "split", "route",
        "watermark", "hold", "drift", "source", "archive", "revert", "retry", "sticky", "latency",
        "time to first token", "fallback",
    }  # fmt: skip
    assert terms - set(rows) == set()


def test_module_names_are_not_repeated_between_packages() -> None:
    """One module, one name: a reader who opens `splits` has one choice. Commands are named by their verbs."""
    modules = [path for path in MODULES if "commands" not in path.parts and path.stem != "__init__"]
    repeated = [name for name, count in Counter(path.stem for path in modules).items() if count > 1]
    assert [name for name in repeated if name not in ("refusals", "settings")] == []


def test_the_architecture_names_modules_that_exist() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    packages = {path.name for path in (ROOT / "promptctl").iterdir() if (path / "__init__.py").exists()}
    named = set(re.findall(r"`(\w+)[./](\w+)[\w./]*`", text))
    modules = [(package, module) for package, module in named if package in packages]
    assert len(modules) > 20
    assert [
        f"{package}.{module}"
        for package, module in modules
        if not (ROOT / "promptctl" / package / f"{module}.py").exists()
        and not (ROOT / "promptctl" / package / module).is_dir()
    ] == []
    rows = re.findall(r"^\| `(\w+)/` \| .* \| (.*) \|$", text, re.MULTILINE)
    starts = [(package, name) for package, names in rows for name in re.findall(r"`([\w/]+)`", names)]
    assert len(starts) > 20
    assert [start for start in starts if not (ROOT / "promptctl" / start[0] / f"{start[1]}.py").exists()] == []
