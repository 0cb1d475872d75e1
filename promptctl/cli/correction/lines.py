"""Correct a command line that no command accepts.

A correction runs if it is the only possible meaning of the line. Any other correction becomes a hint to paste.
"""

from __future__ import annotations

from promptctl import errors
from promptctl.cli import fast_reader, unquoted_texts
from promptctl.cli.catalogue import COMMANDS, FAMILIES
from promptctl.cli.correction import arguments, lenient_values, options, synonyms
from promptctl.cli.correction.parsed_line import REFERENCES, ParsedLine
from promptctl.cli.parameters import FLAG, SHARED, by_spelling
from promptctl.rules import references, shares

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def unambiguous(words: Sequence[str]) -> list[str] | None:
    """Return the corrected words of a line that can mean only one thing, None for any other line."""
    likely, is_unambiguous = _correction(words)
    return likely if is_unambiguous and likely is not None and _differs(likely, words) else None


def corrected(words: Sequence[str]) -> list[str] | None:
    """Return the line that was probably meant, if a command accepts it, else None."""
    likely, _ = _correction(words)
    return likely if likely is not None and _differs(likely, words) else None


def _differs(likely: Sequence[str], words: Sequence[str]) -> bool:
    """Whether two lines have different values. The order of options does not count."""
    if list(likely) == list(words):
        return False
    return (read := fast_reader.read(likely)) is None or read != fast_reader.read(words)


def alternative(words: Sequence[str]) -> tuple[str, str] | None:
    """Return the reason why a command does not exist, and what to run instead; None for an unknown word."""
    place = 1 if len(words) > 1 and words[0] in FAMILIES else 0
    if not words or (entry := synonyms.WITHOUT_COMMAND.get((words[0] if place else "", words[place]))) is None:
        return None
    import shlex

    reason, hint = entry
    following = [shlex.quote(word) for word in words[place + 1 :] if not word.startswith("-")]
    # Placeholders, or nothing, for words that are missing.
    if hint.count("{") > len(following):
        following += ["OLD", "NEW"][len(following) :] if "{1}" in hint else [""]
    return reason, hint.format(*following).rstrip()


def unknown_option(command_path: str, spelling: str, spellings: Sequence[str], words: Sequence[str]) -> errors.Usage:
    """Return the error for an option that a command does not have.

    It names the nearest option, unless the hint will be a corrected line.
    """
    import difflib

    near = difflib.get_close_matches(spelling, [option for option in spellings if option.startswith("--")], n=1)
    question = f": did you mean {near[0]}?" if near and corrected(words) is None else ""
    message = f"{command_path} has no option {references.quoted(spelling)}{question}"
    return errors.Usage("usage", message, hint=f"{command_path} --help")


def is_unquoted_text(name: str, rest: Sequence[str]) -> bool:
    """Whether a text lacks quotes, so that its last words are arguments: `rollback D --reason too concise`.

    If an argument precedes the option, any argument after the option's first word counts as a part of the text.
    """
    return _unquoted_text(name, rest) is not None


def _unquoted_text(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return the range of words of a text without quotes, None if the command accepts the line."""
    return unquoted_texts.find(name, rest) if fast_reader.read([*name.split(" "), *rest]) is None else None


def _correction(words: Sequence[str]) -> tuple[list[str] | None, bool]:
    """Return the corrected words, or None if there is no correction, and whether they can mean only one thing."""
    words, is_unambiguous = _with_command_first(words), True
    name, rest = fast_reader.command(words)
    is_other_command = name is None
    if name is None:
        replaced = _other_command(_without_noun(words))
        if replaced is None:
            return None, False
        words, is_unambiguous = replaced, False
        if words[:1] in (["--version"], ["--help"]):
            return words[:1], False
        name, rest = fast_reader.command(words)
        if name is None:
            return None, False
    if "--help" in rest or "-h" in rest:
        return [*name.split(" "), "--help"], False
    if (text_range := _unquoted_text(name, rest)) is not None:
        first, end = text_range
        rest, is_unambiguous = [*rest[:first], " ".join(rest[first:end]), *rest[end:]], False
    line = ParsedLine(name, rest)
    line.is_unambiguous = is_unambiguous
    options.correct(line)
    arguments.correct(line)
    likely = line.words()
    if "--help" in likely:
        return likely, False
    if _is_accepted(likely):
        return likely, line.is_unambiguous
    # The words after another tool's command may mean nothing here. The help of our command lists what it accepts.
    return ([*name.split(" "), "--help"], False) if is_other_command else (None, False)


def _with_command_first(words: Sequence[str]) -> list[str]:
    """Return the words with the options before the command moved behind it, to the end or to the first `--`."""
    before: list[str] = []
    rest = list(words)
    shared = by_spelling(SHARED)
    while rest and (option := shared.get(rest[0].partition("=")[0])) is not None:
        count = 1 if option.kind == FLAG or "=" in rest[0] else 2
        before, rest = [*before, *rest[:count]], rest[count:]
    if not before or not rest:
        return list(words)
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *before, *rest[end:]]


def _without_noun(words: Sequence[str]) -> list[str]:
    """Return the words without a noun beside the verb: `get prompt D` is `get D`, `prompt list` is `list`."""
    # Empty texts for words that are missing.
    first, second = [*words[:2], "", ""][:2]
    if first in synonyms.NOUNS and (second in COMMANDS or ("", second) in synonyms.COMMANDS):
        lists_versions = first.startswith("version") and len(words) > 2 and _target(second) == "list"
        return ["show" if lists_versions else second, *words[2:]]
    if second in synonyms.NOUNS and ("", first) in synonyms.COMMANDS:
        is_show = _target(first) == "show"
        return ["list"] if is_show and len(words) == 2 and second == "prompts" else [first, *words[2:]]
    return list(words)


def _target(word: str) -> str:
    """Return our command for a synonym, and any other word as it is."""
    return synonyms.COMMANDS.get(("", word), word)


def _other_command(words: Sequence[str]) -> list[str] | None:
    """Return the words with our command instead of a synonym or a misspelling, None if there is no such command."""
    if words and words[0] in COMMANDS and " " not in words[0]:
        return list(words)
    for length in (2, 1):
        synonym = words[:length]
        family = synonym[0] if len(synonym) == 2 else ""
        if len(synonym) == length and (target := synonyms.COMMANDS.get((family, synonym[-1].lower()))):
            name = target.partition(" --")[0]
            if name in COMMANDS or target.startswith("--"):
                return _replaced(target, words[length:], synonym[-1].lower())
            return None
    if not words:
        return None
    if words[0] == "db" and len(words) > 1 and words[1] in COMMANDS:
        return list(words[1:])
    if len(words) == 2 and words[0] == "release" and lenient_values.version(words[1]) is not None:
        return ["release", "show", words[1]]
    import difflib

    if words[0] in FAMILIES and len(words) > 1:
        near = difflib.get_close_matches(f"{words[0]} {words[1]}", list(COMMANDS), n=1, cutoff=0.8)
        if not near and words[0] == "route" and not words[1].startswith("-"):
            return ["route", "show" if len(words) == 2 else "set", *words[1:]]
        return [*str(near[0]).split(" "), *words[2:]] if near else None
    near = difflib.get_close_matches(words[0], [name for name in COMMANDS if " " not in name], n=1, cutoff=0.7)
    if near:
        return [str(near[0]), *words[1:]]
    long_synonyms = [word for family, word in synonyms.COMMANDS if not family and len(word) > 4]
    if near := difflib.get_close_matches(words[0], long_synonyms, n=1, cutoff=0.8):
        return _other_command([str(near[0]), *words[1:]])
    # Two words in one pair of quotes: 'db init'.
    return [*words[0].split(" "), *words[1:]] if words[0] in COMMANDS else None


def _replaced(target: str, rest: Sequence[str], synonym: str) -> list[str]:
    """Return our command, the target, with the words that followed the synonym.

    Some words depend on what follows: `status` means `db status`, and `status NAME` means `show NAME`.
    """
    if synonym in ("status", "version") and rest and not rest[0].startswith("-"):
        return ["show", *rest]
    if target == "--version" or (target == "db status" and rest and not rest[0].startswith("-")):
        return [*target.split(" ")]
    # These commands accept no argument, for example no name of a server.
    if rest and target in ("db start", "db stop", "db init", "db migrate", "release list") and rest[0][:1] != "-":
        return [*target.split(" ")]
    if target == "route show" and not rest:
        return ["list"]
    if target == "sync --dry-run" and "--dry-run" in rest:
        return ["sync", *rest]
    name, dashes, option = target.partition(" --")
    return [*name.split(" "), *rest, *([f"--{option}"] if dashes else [])]


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list) else [value]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - a value of any kind


def _is_accepted(words: Sequence[str]) -> bool:
    """Whether a command accepts these words, including every name, version and share."""
    read = fast_reader.read(words)
    if read is None:
        return False
    name, values = read
    try:
        for parameter, value in values.items():
            for word in _as_list(value):
                if isinstance(word, str):
                    _check(name, parameter, word)
    except (errors.Usage, ValueError):
        return False
    return True


def _check(name: str, parameter: str, word: str) -> None:
    """Raise Usage or ValueError for a name, a version or a share that the command would refuse."""
    if parameter == "references_":
        references.parse_with_version(word, name)
    elif parameter in (*REFERENCES, "against"):
        references.parse(word)
    elif parameter in ("name", "names") and name != "stats":
        references.check_name(word)
    elif parameter in ("to", "expect"):
        references.parse_version(word)
    elif parameter == "share":
        shares.basis_points(word)
