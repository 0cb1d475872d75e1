"""Split a text of SQL into statements."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"""
      --[^\n]* | /\*.*?\*/                          # comments
    | [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*'     # strings
    | "(?:[^"]|"")*"                                # quoted names
    | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$               # dollar-quoted strings
    | begin\s+atomic\b                              # the body of a function
    | \w+ | \s+ | .
    """,
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_COMMENTS = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)


def split(sql: str) -> list[str]:
    """Return the statements of a text, each with the comments before it and its semicolon.

    A body in `begin atomic … end` and a quoted text belong to their statement, whatever they contain.
    """
    statements: list[str] = []
    start, depth = 0, 0
    for token in _TOKEN.finditer(sql):
        word = token[0].lower()
        if word.startswith("begin") and word.endswith("atomic"):
            depth = 1
        elif depth and word in ("case", "end"):
            depth += 1 if word == "case" else -1
        elif word == ";" and not depth:
            statements.append(sql[start : token.end()].strip())
            start = token.end()
    if without_comments(sql[start:]):
        statements.append(sql[start:].strip())
    return statements


def without_comments(statement: str) -> str:
    """Return a statement without the white space and the comments before it."""
    leading = _COMMENTS.match(statement)
    return statement[leading.end() :] if leading else statement


def split_list(text: str) -> list[str]:
    """Return the parts of a list that is separated by commas. A comma in parentheses or quotes separates nothing."""
    parts, start, depth = [""], 0, 0
    for token in _TOKEN.finditer(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token[0], 0)
        if token[0] == "," and not depth:
            parts[-1] = text[start : token.start()].strip()
            parts.append("")
            start = token.end()
    parts[-1] = text[start:].strip()
    return parts
