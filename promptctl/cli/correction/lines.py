"""Correct a command line that no command accepts.

A correction with only one possible meaning runs; any other becomes a hint to paste.
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
    corrected, is_unambiguous = _correction(words)
    return corrected if is_unambiguous and corrected is not None and _differs(corrected, words) else None


def corrected(words: Sequence[str]) -> list[str] | None:
    """Return the command line that was probably meant and that a command accepts, None where there is none."""
    corrected, _ = _correction(words)
    return corrected if corrected is not None and _differs(corrected, words) else None


def _differs(corrected: Sequence[str], words: Sequence[str]) -> bool:
    """Whether two lines are read differently. The order of options does not count."""
    if list(corrected) == list(words):
        return False
    return (read := fast_reader.read(corrected)) is None or read != fast_reader.read(words)


def alternative(words: Sequence[str]) -> tuple[str, str] | None:
    """Return the reason why a command does not exist, and what to run instead; None for an unknown word."""
    place = 1 if len(words) > 1 and words[0] in FAMILIES else 0
    if not words or (entry := synonyms.WITHOUT_COMMAND.get((words[0] if place else "", words[place]))) is None:
        return None
    import shlex

    reason, hint = entry
    following = [shlex.quote(word) for word in words[place + 1 :] if not word.startswith("-")]
    if hint.count("{") > len(following):
        following += ["OLD", "NEW"][len(following) :] if "{1}" in hint else [""]
    return reason, hint.format(*following).rstrip()


def unknown_option(path: str, spelling: str, spellings: Sequence[str], words: Sequence[str]) -> errors.Usage:
    """Return the error for an option that a command does not have, with the nearest one where no hint corrects it."""
    import difflib

    near = difflib.get_close_matches(spelling, [option for option in spellings if option.startswith("--")], n=1)
    question = f": did you mean {near[0]}?" if near and corrected(words) is None else ""
    return errors.Usage("usage", f"{path} has no option {references.quoted(spelling)}{question}", hint=f"{path} --help")


def is_unquoted_text(name: str, rest: Sequence[str]) -> bool:
    """Whether a text lacks its quotes, so that it runs on into the arguments: `rollback D --reason too concise`.

    This includes an argument after an option's text of one word, where another argument precedes that option.
    """
    return _unquoted_text(name, rest) is not None


def _unquoted_text(name: str, rest: Sequence[str]) -> tuple[int, int] | None:
    """Return the places of a text without quotes, None where the command accepts the line."""
    return unquoted_texts.find(name, rest) if fast_reader.read([*name.split(" "), *rest]) is None else None


def _correction(words: Sequence[str]) -> tuple[list[str] | None, bool]:
    """Return the corrected words, None where there are none, and whether they can mean only one thing."""
    words, is_unambiguous = _with_command_first(words)
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
    if (places := _unquoted_text(name, rest)) is not None:
        first, end = places
        rest, is_unambiguous = [*rest[:first], " ".join(rest[first:end]), *rest[end:]], False
    line = ParsedLine(name, rest)
    line.is_unambiguous = is_unambiguous
    options.correct(line)
    arguments.correct(line)
    corrected = line.words()
    if "--help" in corrected:
        return corrected, False
    if _is_accepted(corrected):
        return corrected, line.is_unambiguous
    # The words after another tool's command may mean nothing here; the help of our command lists what it accepts.
    return ([*name.split(" "), "--help"], False) if is_other_command else (None, False)


def _with_command_first(words: Sequence[str]) -> tuple[list[str], bool]:
    """Move options that every command has behind the command."""
    before: list[str] = []
    rest = list(words)
    shared = by_spelling(SHARED)
    while rest and (option := shared.get(rest[0].partition("=")[0])) is not None:
        count = 1 if option.kind == FLAG or "=" in rest[0] else 2
        before, rest = [*before, *rest[:count]], rest[count:]
    if not before or not rest:
        return list(words), True
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *before, *rest[end:]], True


def _without_noun(words: Sequence[str]) -> list[str]:
    """Return the words without a noun beside the verb: `get prompt D` is `get D`, `prompt list` is `list`."""
    first, second = [*words[:2], "", ""][:2]
    if first in synonyms.NOUNS and (second in COMMANDS or ("", second) in synonyms.COMMANDS):
        lists_versions = first.startswith("version") and len(words) > 2 and _target(second) == "list"
        return ["show" if lists_versions else second, *words[2:]]
    if second in synonyms.NOUNS and ("", first) in synonyms.COMMANDS:
        is_show = _target(first) == "show"
        return ["list"] if is_show and len(words) == 2 and second == "prompts" else [first, *words[2:]]
    return list(words)


def _target(word: str) -> str:
    return synonyms.COMMANDS.get(("", word), word)


def _other_command(words: Sequence[str]) -> list[str] | None:
    """Return the words with our command for a synonym or a misspelling, None where there is none."""
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
    whole = words[0] if words[0] in COMMANDS else None
    return [*whole.split(" "), *words[1:]] if whole else None


def _replaced(target: str, rest: Sequence[str], synonym: str) -> list[str]:
    """Return the words of the target and those that follow it; `status NAME` means `show NAME`."""
    if synonym in ("status", "version") and rest and not rest[0].startswith("-"):
        return ["show", *rest]
    if target == "--version" or (target == "db status" and rest and not rest[0].startswith("-")):
        return [*target.split(" ")]
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
    """Whether a command accepts these words: the options, the arguments, each name and version."""
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
